//! `LoopHandle`: a loop as other threads hold it. May send it work, may not touch it.
//!
//! Knows the executor's foreign side and the record; knows no iteration.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::context;
use crate::executor::{How, Shared};
use crate::id::LoopId;
use crate::record::current::Doing;
use crate::record::task::Kind;
use crate::record::{LoopRecord, bound, vars};
use crate::spawn::TaskRef;

mod blocked;
mod local;
mod remote;
pub use blocked::Blocked;
pub use local::{ErrorHandler, Handle, LocalLoop, TimerHandle};
pub use remote::{RemoteError, RemoteTask};

/// The loop is closed; what was handed in was dropped unrun.
///
/// A loop closes when its `run` ends or `EventLoop::close` is called. Keep the loop alive as long
/// as others send to it, or treat this as the end of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// Which loop.
    pub id: LoopId,
    /// This process is a child of the loop's, forked after it was made.
    pub forked: bool,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.forked {
            return write!(
                f,
                "loop {} belongs to the parent process; what was sent to it was dropped unrun. Make a new loop after a fork",
                self.id
            );
        }
        write!(
            f,
            "loop {} is closed; what was sent to it was dropped unrun. Keep the loop alive while others send to it",
            self.id
        )
    }
}

impl std::error::Error for Closed {}

/// A loop as other threads hold it.
///
/// ```
/// loop_runtime::run(async {
///     let handle = loop_runtime::get_running_loop().unwrap().handle();
///     let answer = std::thread::spawn(move || {
///         handle.spawn(|| async { 6 * 7 }).unwrap().wait(None).unwrap()
///     });
///     let answer = loop_runtime::run_in_executor(move || answer.join().unwrap()).await.unwrap();
///     assert_eq!(answer, 42);
/// })
/// .unwrap();
/// ```
pub struct LoopHandle {
    shared: Arc<Shared>,
}

impl Clone for LoopHandle {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Drop for LoopHandle {
    fn drop(&mut self) {
        self.shared.handle_dropped();
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish()
    }
}

const PENDING: u8 = 0;
const CANCELLED: u8 = 1;
const TAKEN: u8 = 2;

/// A callback on its way to another thread's loop.
#[derive(Clone, Debug)]
pub struct SendHandle {
    state: Arc<AtomicU8>,
}

impl SendHandle {
    /// Keeps the callback from running, unless it has begun. Tells whether it did.
    pub fn cancel(&self) -> bool {
        self.state
            .compare_exchange(PENDING, CANCELLED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
            || self.cancelled()
    }

    /// Whether it was cancelled before it began.
    pub fn cancelled(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CANCELLED
    }
}

impl LoopHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.handle_made();
        Self { shared }
    }

    pub(crate) fn record(&self) -> &Arc<LoopRecord> {
        self.shared.record()
    }

    /// The loop's id, as the console prints it.
    pub fn id(&self) -> LoopId {
        self.record().id
    }

    /// The loop's name.
    pub fn name(&self) -> String {
        self.record().name()
    }

    /// Whether the loop is closed for good, or out of reach: the parent process's, after a fork.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed() || self.shared.is_forked()
    }

    /// Whether some thread is running the loop now.
    pub fn is_running(&self) -> bool {
        !matches!(
            self.record().current.doing(),
            Doing::Stopped | Doing::Closed
        )
    }

    /// Has the loop call `callback`, once, on its own thread.
    ///
    /// First in, first out with everything else that this thread sends. The loop is woken once per
    /// sleep, however many calls come.
    ///
    /// Errors: `Closed`.
    /// Records: a row of kind callback, with this place; the loop's count of calls from outside.
    /// Source: asyncio's `call_soon_threadsafe`.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let handle = loop_runtime::get_running_loop().unwrap().handle();
    ///     let (promise, future) = loop_runtime::create_future();
    ///     std::thread::spawn(move || handle.call_soon_threadsafe(move || promise.set_result(7).unwrap()));
    ///     assert_eq!(future.await, Ok(7));
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn call_soon_threadsafe(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<SendHandle, Closed> {
        let state = Arc::new(AtomicU8::new(PENDING));
        let taken = state.clone();
        self.send(Location::caller(), move || {
            if taken
                .compare_exchange(PENDING, TAKEN, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                callback();
            }
        })?;
        Ok(SendHandle { state })
    }

    /// Spawns, on the loop, the future that `make` makes there.
    ///
    /// The future itself need not be `Send`. What comes back may be awaited on any executor, or
    /// waited for by a thread that has none.
    ///
    /// Errors: `Closed`.
    /// Cancel: dropping the `RemoteTask` detaches the task; `cancel` asks it to stop.
    /// Records: a task, spawned at this place.
    /// Source: asyncio's `run_coroutine_threadsafe`.
    #[track_caller]
    pub fn spawn<F, T>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<T>, Closed>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        self.spawn_at(Location::caller(), make)
    }

    pub(crate) fn spawn_at<F, T>(
        &self,
        place: &'static Location<'static>,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<T>, Closed>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        remote::spawn(self, place, make)
    }

    /// The tasks of this loop that are not done, in the order of their slots.
    ///
    /// A task that is older than the call is not missed.
    ///
    /// Source: asyncio's `all_tasks`.
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        crate::spawn::tasks_of(&self.shared)
    }

    /// Asks the loop to stop after its current iteration.
    ///
    /// Errors: `Closed`.
    pub fn stop(&self) -> Result<(), Closed> {
        self.send(Location::caller(), || {
            // The errand runs inside its loop; there is always one.
            let _ = context::with(|organs| organs.state.stopping.set(true));
        })
    }

    pub(crate) fn refusal(&self) -> Closed {
        Closed {
            id: self.id(),
            forked: self.shared.is_forked(),
        }
    }

    /// Sends `errand`, known by `place`.
    pub(crate) fn send(
        &self,
        place: &'static Location<'static>,
        errand: impl FnOnce() + Send + 'static,
    ) -> Result<(), Closed> {
        // On the loop's own thread it goes straight to the ready queue, in line with `call_soon`.
        let here = context::current()
            .ok()
            .filter(|organs| organs.record.id == self.id());
        match here {
            Some(organs) if !organs.state.closed.get() && !self.shared.is_forked() => {
                organs
                    .executor
                    .call(errand, How::new(place, Kind::Callback));
                Ok(())
            }
            _ => {
                // In the sender's context, and not in what the loop's thread happens to have.
                let errand: bound::Errand = if vars::is_used() {
                    let context = vars::Context::copy();
                    Box::new(move || context.run(errand))
                } else {
                    Box::new(errand)
                };
                let sent = self.shared.submit_at(place, errand);
                sent.map_err(|_| self.refusal())
            }
        }
    }
}
