//! `LoopPool`: several loops, each on a thread of its own, and one place to send work to.
//!
//! Shares nothing between its loops: a task stays on the loop that it was spawned on. Knows loops
//! only as a runner makes them and as a handle reaches them.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::{Location, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Builder, Manners};
use crate::context;
use crate::event_loop::{OnDeadlock, RunError};
use crate::executor::{ErrorContext, text_of};
use crate::handle::{Closed, LoopHandle, RemoteTask};
use crate::net::TcpListener;
use crate::spawn::TaskInfo;
use crate::sync::{Promise, create_future};

mod server;
pub use server::PoolServer;

/// Event loops on threads of their own, one each.
///
/// For work that is more than one core can do, where each piece of it stays on one loop: requests,
/// connections, sessions. What is spawned on a loop never moves; futures need not be `Send`, only
/// what makes them.
///
/// Dropping a pool closes it without a grace.
///
/// Records: each loop is listed by itself, as `NAME-0`, `NAME-1`, …, and so is its thread.
/// Source: what asyncio's users build from a thread and a loop each.
///
/// ```
/// use std::time::Duration;
///
/// let pool = loop_runtime::LoopPool::new(2).unwrap();
/// let squares: Vec<_> = (0..8_u64).map(|n| pool.spawn(move || async move { n * n }).unwrap()).collect();
/// let sum: u64 = squares.into_iter().map(|square| square.wait(None).unwrap()).sum();
/// assert_eq!(sum, 140);
/// pool.close(Duration::from_secs(1)).unwrap();
/// ```
pub struct LoopPool {
    members: Vec<Member>,
    /// Where the search for the least busy loop begins, so that equals take turns.
    turn: AtomicUsize,
    closing: AtomicBool,
    /// Stop the servers of the pool.
    servers: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

/// One loop of a pool.
struct Member {
    handle: LoopHandle,
    /// Tasks that were sent through the pool and are not over.
    sent: Arc<AtomicUsize>,
    /// Ends its run, with the grace that its tasks get.
    end: Mutex<Option<Promise<Duration>>>,
    thread: Mutex<Option<JoinHandle<Ending>>>,
}

/// How a loop of a pool ended.
struct Ending {
    run: Result<(), RunError>,
    left: Vec<TaskInfo>,
}

/// What the thread of a loop says once the loop runs.
type Begun = (LoopHandle, Promise<Duration>);

impl fmt::Debug for LoopPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.members.iter().map(|member| &member.handle))
            .finish()
    }
}

/// Counts a task of a pool until it is over, however that comes.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing of the app's runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LoopPool {
    /// `loops` loops with the defaults, called `pool-0`, `pool-1`, ….
    ///
    /// Errors: a thread or a loop cannot be made; those that could are closed again.
    /// Panics: no loops at all.
    #[track_caller]
    pub fn new(loops: usize) -> io::Result<Self> {
        Builder::new().pool(loops)
    }

    pub(super) fn with(builder: &Builder, loops: usize) -> io::Result<Self> {
        assert!(
            loops > 0,
            "a pool without loops runs nothing; use at least 1"
        );
        let stem = builder.stem().unwrap_or("pool").to_owned();
        let mut pool = Self {
            members: Vec::with_capacity(loops),
            turn: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            servers: Mutex::default(),
        };
        for number in 0..loops {
            let name = format!("{stem}-{number}");
            // An error drops the pool, which closes what was started.
            pool.members.push(Member::start(builder.clone(), name)?);
        }
        Ok(pool)
    }

    /// How many loops it has.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a pool has one loop at the least"
    )]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Its loops as other threads hold them, by number.
    pub fn handles(&self) -> Vec<LoopHandle> {
        self.members
            .iter()
            .map(|member| member.handle.clone())
            .collect()
    }

    /// Tasks that are not done, of each loop: those that were sent and have not arrived count too.
    pub fn loads(&self) -> Vec<usize> {
        self.members.iter().map(Member::load).collect()
    }

    /// Spawns, on the loop with the fewest tasks, the future that `make` makes there.
    ///
    /// As [`LoopHandle::spawn`] otherwise.
    ///
    /// Errors: the pool is closed, or all its loops have ended.
    /// Records: a task, spawned at this place.
    #[track_caller]
    pub fn spawn<F, T>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<T>, Closed>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let count = self.members.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let least = (0..count)
            .map(|step| first.wrapping_add(step) % count)
            .filter(|&at| !self.members[at].handle.is_closed())
            .min_by_key(|&at| self.members[at].load())
            // All have ended; that of the first says so.
            .unwrap_or(0);
        self.spawn_at(least, Location::caller(), make)
    }

    /// As [`spawn`](Self::spawn), on loop `number`.
    ///
    /// Panics: there is no such loop.
    #[track_caller]
    pub fn spawn_on<F, T>(
        &self,
        number: usize,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<T>, Closed>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        self.spawn_at(number, Location::caller(), make)
    }

    pub(crate) fn spawn_at<F, T>(
        &self,
        number: usize,
        place: &'static Location<'static>,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<T>, Closed>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let member = &self.members[number];
        if self.closing.load(Ordering::Relaxed) {
            return Err(member.handle.refusal());
        }
        let counted = Counted::new(&member.sent);
        member.handle.spawn_at(place, move || {
            let future = make();
            async move {
                let _counted = counted;
                future.await
            }
        })
    }

    /// Has `handler` told of what goes wrong unheard on any of the loops; the context says on which.
    /// It is called on that loop's thread.
    ///
    /// Source: asyncio's `set_exception_handler`.
    pub fn set_exception_handler(&self, handler: impl Fn(&ErrorContext) + Send + Sync + 'static) {
        let handler = Arc::new(handler);
        for member in &self.members {
            let handler = handler.clone();
            // A loop that has ended has nothing to tell.
            let _ = member.handle.call_soon_threadsafe(move || {
                let _ = context::with(|organs| {
                    let handler = move |context: &ErrorContext| handler(context);
                    organs.executor.set_handler(Some(std::rc::Rc::new(handler)));
                });
            });
        }
    }

    /// Listens on `address` with one socket a loop, and has each loop spawn what `serve` makes of
    /// its socket. The kernel spreads the connections over them (SO_REUSEPORT).
    ///
    /// The spread goes by the addresses of both ends: even for many connections, by chance for few.
    ///
    /// Errors: the kernel's, with the address; one that is in use by others is refused, though the
    /// kernel would share it.
    /// Records: on each loop a listener and a task, spawned at this place.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = loop_runtime::LoopPool::new(2).unwrap();
    /// let server = pool.serve("127.0.0.1:0".parse().unwrap(), |listener| async move {
    ///     loop {
    ///         let (mut stream, _) = listener.accept().await?;
    ///         stream.write_all(b"hello").await?;
    ///     }
    ///     #[allow(unreachable_code)]
    ///     std::io::Result::Ok(())
    /// })
    /// .unwrap();
    /// let mut text = String::new();
    /// use std::io::Read;
    /// std::net::TcpStream::connect(server.local_addr()).unwrap().read_to_string(&mut text).unwrap();
    /// assert_eq!(text, "hello");
    /// pool.close(Duration::ZERO).unwrap();
    /// ```
    #[track_caller]
    pub fn serve<F, T>(
        &self,
        address: SocketAddr,
        serve: impl Fn(TcpListener) -> F + Send + Clone + 'static,
    ) -> io::Result<PoolServer<T>>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let server = server::start(self, address, Location::caller(), serve)?;
        lock(&self.servers).push(server.stopper());
        Ok(server)
    }

    /// Takes no more work, stops the servers, lets the tasks that there are end for at most `grace`,
    /// cancels the rest, closes the loops and joins their threads.
    ///
    /// Blocks the calling thread; inside a loop, hand it to `run_in_executor`. Closing twice is no
    /// error.
    ///
    /// Errors: loops that ended before, by a panic or a `stop`; tasks that ignored their
    /// cancellation. All loops are closed all the same.
    /// Panics: called on a thread of the pool, which would wait for itself.
    pub fn close(&self, grace: Duration) -> Result<(), PoolError> {
        assert!(
            !self.is_mine(),
            "a loop of the pool cannot wait for its own end; close the pool from another thread"
        );
        self.ask_to_end(grace);
        let mut failed = Vec::new();
        for member in &self.members {
            let Some(thread) = lock(&member.thread).take() else {
                continue;
            };
            let what = match thread.join() {
                Ok(Ending {
                    run: Err(error), ..
                }) => format!("ended early: {error}"),
                Ok(Ending { left, .. }) if !left.is_empty() => {
                    format!(
                        "dropped {} tasks that ignored their cancellation",
                        left.len()
                    )
                }
                Ok(_) => continue,
                Err(panic) => format!("panicked: {}", text_of(&*panic)),
            };
            failed.push((member.handle.name(), what));
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(PoolError { loops: failed }),
        }
    }

    /// Whether the calling thread runs one of its loops.
    fn is_mine(&self) -> bool {
        let here = context::with(|organs| organs.record.id);
        here.is_ok_and(|here| self.members.iter().any(|member| member.handle.id() == here))
    }

    fn ask_to_end(&self, grace: Duration) {
        self.closing.store(true, Ordering::Relaxed);
        for stop in lock(&self.servers).drain(..) {
            stop();
        }
        for member in &self.members {
            if let Some(end) = lock(&member.end).take() {
                // A loop that has ended needs no telling.
                let _ = member.handle.call_soon_threadsafe(move || {
                    let _ = end.set_result(grace);
                });
            }
        }
    }
}

impl Drop for LoopPool {
    fn drop(&mut self) {
        if self.is_mine() {
            // Its threads end by themselves; only to wait for them is not possible here.
            self.ask_to_end(Duration::ZERO);
        } else if let Err(error) = self.close(Duration::ZERO) {
            tracing::warn!(%error, "a pool of loops was dropped");
        }
    }
}

impl Member {
    fn start(builder: Builder, name: String) -> io::Result<Self> {
        let (begun, begins) = mpsc::channel::<Begun>();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || run(builder.name(name), begun))?;
        match begins.recv() {
            Ok((handle, end)) => Ok(Self {
                handle,
                sent: Arc::default(),
                end: Mutex::new(Some(end)),
                thread: Mutex::new(Some(thread)),
            }),
            // It ended before it began.
            Err(mpsc::RecvError) => match thread.join() {
                Ok(ending) => Err(io::Error::other(
                    ending.run.err().unwrap_or(RunError::Stopped),
                )),
                Err(panic) => resume_unwind(panic),
            },
        }
    }

    fn load(&self) -> usize {
        let stats = &self.handle.record().stats;
        // Read first, so that a task that ends in between does not make it negative.
        let finished = stats.finished.load(Ordering::Relaxed);
        let live = stats.spawned.load(Ordering::Relaxed) - finished;
        // The main task is the pool's own.
        let live = usize::try_from(live)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        live.max(self.sent.load(Ordering::Relaxed))
    }
}

/// What the thread of a loop does.
fn run(builder: Builder, begun: mpsc::Sender<Begun>) -> Ending {
    let manners = builder.manners().clone();
    // Ctrl-C is for whoever runs the pool.
    // Its main task waits for the pool, whatever threads there are.
    let runner = builder
        .interrupts(false)
        .on_deadlock(OnDeadlock::Report)
        .runner();
    let place = runner.place();
    let main = async move {
        let (end, ended) = create_future();
        let handle = context::expect(|organs| LoopHandle::new(organs.executor.shared().clone()));
        // Nobody waits for this any more if the pool was dropped half-made.
        let _ = begun.send((handle, end));
        ended.await.unwrap_or_default()
    };
    let run = runner.run_at(place, main);
    let manners = Manners {
        grace: run.as_ref().copied().unwrap_or_default(),
        ..manners
    };
    // Only who runs can be in the way of a close, and this thread does not.
    let left = runner.close_with(&manners).unwrap_or_default();
    Ending {
        run: run.map(drop),
        left,
    }
}

/// Loops of a pool that did not end as they should.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PoolError {
    /// The name of each, and what became of it.
    pub loops: Vec<(String, String)>,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} loop(s) of the pool ended badly", self.loops.len())?;
        for (name, what) in &self.loops {
            write!(f, "; {}: {what}", name.escape_debug())?;
        }
        f.write_str("; what was left on them is dropped")
    }
}

impl Error for PoolError {}
