//! Signals, on any loop: handlers, futures, and the Ctrl-C that `run` and servers need.
//!
//! Unlike asyncio's, any loop may listen, on any thread, and several to the same signal. While
//! somebody listens, the signal's default is off; it is back when the last listener is gone.
//!
//! Windows has two of them: [`Signal::INT`], which Ctrl-C is, and [`Signal::TERM`], which only the
//! process itself can raise. The other constants are absent there, and other numbers are refused.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};

use signal_hook::{SigId, consts, flag, low_level};

use crate::context;
use crate::handle::LocalLoop;
use crate::id::LoopId;
use crate::record;
use crate::record::bound::{self, LoopBound};
use crate::record::task::{On, WaitingOn};
use crate::record::vars;

mod fanout;
#[cfg(feature = "web")]
mod first;
#[cfg(unix)]
mod pipe;
mod process;
#[cfg(all(test, unix))]
mod tests;
#[cfg(windows)]
mod thread;

use fanout::Fanout;
#[cfg(feature = "web")]
pub(crate) use first::first_of;

/// A signal, by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// Ctrl-C.
    pub const INT: Self = Self(consts::SIGINT);
    /// The polite request to end.
    pub const TERM: Self = Self(consts::SIGTERM);
    /// The terminal went away; for daemons: read your configuration again.
    #[cfg(unix)]
    pub const HUP: Self = Self(consts::SIGHUP);
    /// Ctrl-\.
    #[cfg(unix)]
    pub const QUIT: Self = Self(consts::SIGQUIT);
    /// For the app's own use.
    #[cfg(unix)]
    pub const USR1: Self = Self(consts::SIGUSR1);
    /// For the app's own use.
    #[cfg(unix)]
    pub const USR2: Self = Self(consts::SIGUSR2);
    /// Ends a process; cannot be handled.
    #[cfg(unix)]
    pub const KILL: Self = Self(consts::SIGKILL);
    /// Urgent data came; ignored by those who do not handle it.
    #[cfg(unix)]
    pub const URG: Self = Self(consts::SIGURG);
    /// A process that was stopped goes on.
    #[cfg(unix)]
    pub const CONT: Self = Self(consts::SIGCONT);
    /// A child changed its state.
    #[cfg(unix)]
    pub const CHLD: Self = Self(consts::SIGCHLD);
    /// The terminal's size changed.
    #[cfg(unix)]
    pub const WINCH: Self = Self(consts::SIGWINCH);

    /// The signal of that number; whether it can be handled shows when it is.
    pub fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl LocalLoop {
    /// Calls `handler` in this loop at each `signal`, in place of the handler there was.
    ///
    /// The loop's close removes it. Signals that come faster than the loop turns may be one call.
    /// Errors: a signal that cannot be handled (KILL, STOP, SEGV, …), a number that is none.
    /// Records: a callback row a call, woken by the signal.
    /// Source: asyncio's `add_signal_handler`, which is for the main thread only.
    ///
    /// ```
    /// use loop_runtime::signal::Signal;
    /// loop_runtime::run(async {
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     let (promise, reload) = loop_runtime::create_future();
    ///     let mut promise = Some(promise);
    ///     el.add_signal_handler(Signal::HUP, move || {
    ///         if let Some(promise) = promise.take() {
    ///             promise.set_result("read the configuration again").unwrap();
    ///         }
    ///     })
    ///     .unwrap();
    ///     // As `kill -HUP` would from another terminal.
    ///     let own = std::process::id().to_string();
    ///     loop_runtime::process::create_subprocess_exec("kill", ["-HUP", &own]).status().await.unwrap();
    ///     assert_eq!(reload.await, Ok("read the configuration again"));
    ///     assert!(el.remove_signal_handler(Signal::HUP));
    /// })
    /// .unwrap();
    /// ```
    ///
    /// A coroutine is no handler, as in asyncio; spawn one in it:
    ///
    /// ```compile_fail
    /// # use loop_runtime::signal::Signal;
    /// # let el = loop_runtime::get_running_loop().unwrap();
    /// el.add_signal_handler(Signal::HUP, || async {}).unwrap();
    /// ```
    #[track_caller]
    pub fn add_signal_handler(
        &self,
        signal: Signal,
        handler: impl FnMut() + 'static,
    ) -> io::Result<()> {
        if self.is_closed() {
            return Err(io::Error::other(self.handle().refusal()));
        }
        // Called in the context of who adds it, as every callback.
        let (mut handler, vars) = (handler, vars::current().map(|vars| vars.fork()));
        let handler = move || match &vars {
            Some(vars) => vars.run(&mut handler),
            None => handler(),
        };
        let handler = Rc::new(RefCell::new(handler));
        let place = Location::caller();
        // The loop need not run yet, as asyncio's need not.
        context::entered(self.organs(), || {
            Fanout::here()?.set_handler(signal.0, handler, place)
        })
    }

    /// Removes the handler of `signal`; whether there was one. If nobody else in the process
    /// listens to it, its default effect is back.
    ///
    /// Source: asyncio's `remove_signal_handler`.
    ///
    /// ```
    /// use loop_runtime::signal::Signal;
    /// loop_runtime::run(async {
    ///     let el = loop_runtime::get_running_loop().unwrap();
    ///     el.add_signal_handler(Signal::USR1, || ()).unwrap();
    ///     assert!(el.remove_signal_handler(Signal::USR1));
    ///     assert!(!el.remove_signal_handler(Signal::USR1));
    ///     assert!(el.add_signal_handler(Signal::KILL, || ()).is_err(), "nobody handles that");
    /// })
    /// .unwrap();
    /// ```
    pub fn remove_signal_handler(&self, signal: Signal) -> bool {
        fanout::of(self.id()).is_some_and(|fanout| fanout.remove_handler(signal.0))
    }
}

/// The deliveries of one signal to one loop, for as long as it lives.
///
/// Cancel: a delivery that came while nobody waited is told at the next call. Several are one.
pub struct Deliveries {
    signal: Signal,
    subscription: LoopBound<Subscription>,
}

/// A subscriber of the fan-out, which is removed with it.
struct Subscription {
    on: LoopId,
    signal: i32,
    ticket: u64,
}

impl Subscription {
    fn bound(on: LoopId, signal: i32, ticket: u64) -> LoopBound<Self> {
        LoopBound::new(on, Self { on, signal, ticket })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if bound::here() == Some(self.on)
            && let Some(fanout) = fanout::of(self.on)
        {
            fanout.unsubscribe(self.signal, self.ticket);
        }
    }
}

/// Listens to `signal` from now on.
///
/// Errors: as `LocalLoop::add_signal_handler`; no loop runs here.
/// Records: who listens, how often the signal came and when last; the task waits for a signal.
///
/// ```
/// use loop_runtime::{process::create_subprocess_exec, signal::{self, Signal}};
/// # loop_runtime::run(async {
/// let mut resized = signal::listen(Signal::WINCH)?;
/// let own = std::process::id().to_string();
/// create_subprocess_exec("kill", ["-WINCH", &own]).status().await?;
/// resized.next().await?;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn listen(signal: Signal) -> io::Result<Deliveries> {
    listen_at(signal, Location::caller())
}

fn listen_at(signal: Signal, place: &'static Location<'static>) -> io::Result<Deliveries> {
    let fanout = Fanout::here()?;
    let ticket = fanout.add_waiter(signal.0, place)?;
    Ok(Deliveries {
        signal,
        subscription: Subscription::bound(fanout.on(), signal.0, ticket),
    })
}

impl Deliveries {
    /// Waits for a delivery.
    ///
    /// Errors: another loop runs here.
    #[allow(
        clippy::should_implement_trait,
        reason = "async-std, tokio-stream and asyncio call it so"
    )]
    pub fn next(&mut self) -> impl Future<Output = io::Result<()>> + Send + Unpin + '_ {
        Next { of: self }
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        place: &'static Location<'static>,
    ) -> Poll<io::Result<()>> {
        let waiter = match self.subscription.get() {
            Ok(subscription) => subscription,
            Err(wrong) => return Poll::Ready(Err(io::Error::other(wrong))),
        };
        let Some(fanout) = fanout::of(waiter.on) else {
            return Poll::Pending;
        };
        let polled = fanout.poll_waiter(waiter.signal, waiter.ticket, cx.waker());
        if polled.is_pending() {
            record::waiting(WaitingOn::new(On::Signal, self.signal.0 as u64), place);
        }
        polled.map(Ok)
    }
}

struct Next<'a> {
    of: &'a mut Deliveries,
}

impl Future for Next<'_> {
    type Output = io::Result<()>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.of.poll(cx, Location::caller())
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries")
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}

/// Waits for Ctrl-C, from its first poll until it is done or dropped.
///
/// The next Ctrl-C after it is `run`'s again, which cancels the main task; or, where nobody else
/// listens, ends the process.
///
/// Records: the task waits for SIGINT.
///
/// ```no_run
/// loop_runtime::run(async {
///     loop_runtime::signal::ctrl_c().await.unwrap();
///     println!("once more ends at once");
/// })
/// .unwrap();
/// ```
pub fn ctrl_c() -> CtrlC {
    CtrlC { deliveries: None }
}

/// See [`ctrl_c`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct CtrlC {
    deliveries: Option<Deliveries>,
}

impl Future for CtrlC {
    type Output = io::Result<()>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let deliveries = match &mut self.deliveries {
            Some(deliveries) => deliveries,
            empty => empty.insert(listen_at(Signal::INT, place)?),
        };
        let came = ready!(deliveries.poll(cx, place));
        self.deliveries = None;
        Poll::Ready(came)
    }
}

/// Once `once` is set, which the first delivery does, `signal` has its default effect.
fn default_from_second(signal: i32, once: &Arc<AtomicBool>) -> io::Result<[SigId; 2]> {
    // Asked before it is set.
    let ask = flag::register_conditional_default(signal, once.clone())?;
    match flag::register(signal, once.clone()) {
        Ok(set) => Ok([ask, set]),
        Err(error) => {
            low_level::unregister(ask);
            Err(error)
        }
    }
}

/// What `on_interrupt` set, removed when it is dropped.
#[must_use = "dropping it removes the handler"]
pub(crate) struct Registration {
    _subscription: LoopBound<Subscription>,
}

/// Calls `handler` on this loop at Ctrl-C; a second one ends the process at once.
///
/// While the app itself listens to Ctrl-C on this loop, neither happens.
/// Errors: as `listen`.
#[track_caller]
pub(crate) fn on_interrupt(handler: impl FnMut() + 'static) -> io::Result<Registration> {
    let (signal, place) = (Signal::INT.0, Location::caller());
    let fanout = Fanout::here()?;
    let ticket = fanout.add_fallback(signal, Rc::new(RefCell::new(handler)), place)?;
    Ok(Registration {
        _subscription: Subscription::bound(fanout.on(), signal, ticket),
    })
}
