//! Where a loop comes from when nobody says how to make it: the process's policy.
//!
//! Knows neither runs nor configurations.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};

use crate::context::{self, NoRunningLoop, Organs};
use crate::event_loop::{Config, EventLoop};
use crate::handle::LocalLoop;

/// Makes the loops of a process that nobody configured otherwise.
///
/// Asked by [`new_event_loop`], [`run`](crate::run) and [`Runner::new`](crate::Runner::new), never
/// by a [`Builder`](crate::Builder). One method only: what else asyncio's policies did is what made
/// Python deprecate them in 3.14 and remove them in 3.16. New code names its factory instead, with
/// [`Builder::factory`](crate::Builder::factory).
///
/// Source: asyncio's `AbstractEventLoopPolicy`.
pub trait LoopPolicy: Send + Sync + 'static {
    /// Makes a loop, on the thread that calls.
    ///
    /// Errors: what the system says when it refuses an epoll or event descriptor.
    fn new_event_loop(&self) -> io::Result<EventLoop>;
}

/// The policy of a process that set none: loops with the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultLoopPolicy;

impl LoopPolicy for DefaultLoopPolicy {
    #[track_caller]
    fn new_event_loop(&self) -> io::Result<EventLoop> {
        EventLoop::with(Config::new())
    }
}

impl fmt::Debug for dyn LoopPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopPolicy")
    }
}

static POLICY: Mutex<Option<Arc<dyn LoopPolicy>>> = Mutex::new(None);

/// Has `policy` make the loops of this process that nobody configures; `None` brings the default
/// back. Loops that exist stay as they are.
///
/// Source: asyncio's `set_event_loop_policy`, which Python is giving up.
///
/// ```
/// use std::sync::Arc;
/// use loop_runtime::{Builder, EventLoop, LoopPolicy};
///
/// struct Named;
/// impl LoopPolicy for Named {
///     fn new_event_loop(&self) -> std::io::Result<EventLoop> {
///         Builder::new().name("by policy").build()
///     }
/// }
///
/// loop_runtime::set_event_loop_policy(Some(Arc::new(Named)));
/// let name = loop_runtime::run(async { loop_runtime::get_running_loop().unwrap().name() });
/// assert_eq!(name.unwrap(), "by policy");
/// loop_runtime::set_event_loop_policy(None);
/// ```
pub fn set_event_loop_policy(policy: Option<Arc<dyn LoopPolicy>>) {
    let before = std::mem::replace(
        &mut *POLICY.lock().unwrap_or_else(PoisonError::into_inner),
        policy,
    );
    // Outside the lock: the last reference may run the app's code.
    drop(before);
}

/// The policy of this process; the default one if none was set.
///
/// Source: asyncio's `get_event_loop_policy`.
pub fn get_event_loop_policy() -> Arc<dyn LoopPolicy> {
    set_policy().unwrap_or_else(|| Arc::new(DefaultLoopPolicy))
}

/// The policy that was set.
pub(super) fn set_policy() -> Option<Arc<dyn LoopPolicy>> {
    POLICY
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// A loop by the process's policy; not running yet.
///
/// Errors: what the system says when it refuses an epoll or event descriptor.
/// Records: a loop, from now until it is closed.
/// Source: asyncio's `new_event_loop`.
///
/// ```
/// let el = loop_runtime::new_event_loop().unwrap();
/// assert_eq!(el.run_until_complete(async { 7 }), Ok(7));
/// ```
#[track_caller]
pub fn new_event_loop() -> io::Result<EventLoop> {
    match set_policy() {
        Some(policy) => policy.new_event_loop(),
        None => EventLoop::with(Config::at(Location::caller())),
    }
}

thread_local! {
    /// What `set_event_loop` set; it keeps no loop alive.
    static SET: RefCell<Option<Weak<Organs>>> = const { RefCell::new(None) };
}

/// Has [`get_event_loop`] give `event_loop` on this thread while no loop runs there; `None` takes
/// it back.
///
/// Keeps no loop alive. Only a loop that runs, or that [`EventLoop::enter`] entered, is one that
/// `create_task` and timers go to: to spawn before a run, use that, or the `LocalLoop` that
/// `get_event_loop` gives.
///
/// Source: asyncio's `set_event_loop`.
///
/// ```
/// let el = loop_runtime::new_event_loop().unwrap();
/// loop_runtime::set_event_loop(Some(&el));
/// let task = loop_runtime::get_event_loop().unwrap().create_task(async { 7 });
/// assert_eq!(el.run_until_complete(task).unwrap().unwrap(), 7);
/// loop_runtime::set_event_loop(None);
/// assert!(loop_runtime::get_event_loop().is_err());
/// ```
pub fn set_event_loop(event_loop: Option<&EventLoop>) {
    SET.with(|set| {
        *set.borrow_mut() = event_loop.map(|event_loop| Rc::downgrade(event_loop.organs()));
    });
}

/// The loop that runs on this thread, else the one that [`set_event_loop`] named. Makes none.
///
/// Errors: there is neither.
/// Source: asyncio's `get_event_loop`, as Python 3.14 has it.
pub fn get_event_loop() -> Result<LocalLoop, NoRunningLoop> {
    let running = context::current().ok();
    let set = || SET.with(|set| set.borrow().as_ref().and_then(Weak::upgrade));
    running
        .or_else(set)
        .map(LocalLoop::new)
        .ok_or(NoRunningLoop)
}
