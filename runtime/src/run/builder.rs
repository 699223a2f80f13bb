//! `Builder`: everything that can be chosen about a loop and its run.

use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::{LoopPool, Manners, Runner, policy, run_on_judged};
use crate::event_loop::{Config, EventLoop, OnDeadlock, RunError};

/// Chooses how a loop is made and run. Every setting has a default that suits.
///
/// ```
/// use std::time::Duration;
/// let answer = loop_runtime::Builder::new()
///     .name("answers")
///     .block_budget(Duration::from_millis(20))
///     .run(async { 6 * 7 });
/// assert_eq!(answer, Ok(42));
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` or `run`"]
pub struct Builder {
    config: Config,
    manners: Manners,
    #[cfg(feature = "inspect")]
    settings: super::inspector::Settings,
    inspect: bool,
    factory: Option<Factory>,
}

/// Makes a loop instead of the settings.
type Factory = Arc<dyn Fn() -> io::Result<EventLoop> + Send + Sync>;

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.config.name)
            .field("manners", &self.manners)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The defaults.
    #[track_caller]
    pub fn new() -> Self {
        Self {
            config: Config::new(),
            manners: Manners::default(),
            #[cfg(feature = "inspect")]
            settings: super::inspector::Settings::default(),
            inspect: true,
            factory: None,
        }
    }

    /// The defaults, and the process's policy if there is one.
    #[track_caller]
    pub(super) fn by_policy() -> Self {
        let mut builder = Self::new();
        if let Some(policy) = policy::set_policy() {
            builder.factory = Some(Arc::new(move || policy.new_event_loop()));
        }
        builder
    }

    /// The loop's name on the screen; the default is `loop-N`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// A poll longer than this is a block; the default is 100 ms, as asyncio's
    /// `slow_callback_duration`.
    pub fn block_budget(mut self, budget: Duration) -> Self {
        self.config.budget = budget;
        self
    }

    /// Whether the loop is in debug mode, whatever the environment's `LOOP_DEBUG` says; see
    /// [`LocalLoop::set_debug`](crate::LocalLoop::set_debug).
    pub fn debug(mut self, on: bool) -> Self {
        self.config.debug = Some(on);
        self
    }

    /// How many operations that are ready at once (a read of a socket with data, an item of a
    /// queue) one poll may do before the next one lets other tasks have a turn; the default is 128,
    /// 0 turns it off. Without it, a task whose every `.await` is ready at once keeps the loop, as in
    /// asyncio.
    ///
    /// ```
    /// let answer = loop_runtime::Builder::new().poll_budget(0).run(async { 7 });
    /// assert_eq!(answer, Ok(7));
    /// ```
    #[doc(alias = "coop")]
    pub fn poll_budget(mut self, operations: u32) -> Self {
        self.config.allowance = operations;
        self
    }

    /// After so many polls the reactor is asked, though more tasks are ready; the default is 1024;
    /// the time limit of `turn` comes first unless polls are shorter than 50 ns.
    ///
    /// Panics: zero.
    pub fn polls_per_wait(mut self, polls: usize) -> Self {
        assert!(
            polls > 0,
            "a loop that polls nothing between two waits makes no progress; use at least 1"
        );
        self.config.polls_per_wait = polls;
        self
    }

    /// After so much time in polls the reactor is asked, though more tasks are ready; the default
    /// is 50 µs.
    pub fn turn(mut self, turn: Duration) -> Self {
        self.config.turn = turn;
        self
    }

    /// How long tasks that outlive the main future may take to end by themselves before they count
    /// as left behind; the default is 100 ms. A run with no task left does not wait.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.manners.grace = grace;
        self
    }

    /// How long cancelled tasks, and then executor jobs, may take to end; the default is 60 s.
    pub fn shutdown_limit(mut self, limit: Duration) -> Self {
        self.manners.limit = limit;
        self
    }

    /// What a run does when its main task waits and nothing can wake the loop any more; the default is
    /// to end with `RunError::Deadlock`. See [`OnDeadlock`] for when that is known.
    ///
    /// Records: the finding `deadlocked`, of the loop.
    ///
    /// ```
    /// use loop_runtime::{Builder, OnDeadlock};
    /// let builder = Builder::new().on_deadlock(OnDeadlock::Report); // Hangs, to be looked at.
    /// assert_eq!(builder.run(async { 7 }), Ok(7));
    /// ```
    pub fn on_deadlock(mut self, what: OnDeadlock) -> Self {
        self.config.on_deadlock = what;
        self
    }

    /// Whether Ctrl-C cancels the main task; the default is yes.
    pub fn interrupts(mut self, interrupts: bool) -> Self {
        self.manners.interrupts = interrupts;
        self
    }

    /// Whether this run may start the process's inspector; the default is yes. `LOOP_CONSOLE=off`
    /// turns it off from outside, and wins.
    pub fn inspector(mut self, on: bool) -> Self {
        self.inspect = on;
        self
    }

    /// Whether tokio's context is there while the loop runs, so that crates which need it (reqwest,
    /// sqlx) work in all its tasks; the default is no. See `with_tokio` for single futures.
    ///
    /// Panics: the run does, if the thread that serves such crates cannot be started.
    /// Records: the loop `tokio`, from the run on.
    ///
    /// ```
    /// loop_runtime::Builder::new()
    ///     .compat_tokio(true)
    ///     .run(async {
    ///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    ///     })
    ///     .unwrap();
    /// ```
    #[cfg(feature = "compat-tokio")]
    pub fn compat_tokio(mut self, on: bool) -> Self {
        self.config.companion = on.then_some(|| Box::new(crate::compat::enter()));
        self
    }

    /// What is done about calls of the C library that block, made by tasks and callbacks of this loop
    /// inside a poll: sleeps, reads from files and from descriptors that block, name lookups, waits
    /// for children and threads, and the like. Without this they are not looked for. Not inside
    /// [`allow_blocking`](crate::allow_blocking). A loop that a factory or a policy makes is not
    /// covered.
    ///
    /// For tests and CI: each such call is noted with its stack, which takes microseconds. Only on
    /// Linux with glibc; elsewhere nothing is noted. Calls from a signal's handler that interrupts a
    /// poll count as the poll's, and what the C library calls inside itself is not seen.
    ///
    /// Records: the finding `blocking-call`.
    ///
    /// ```
    /// use std::time::Duration;
    /// let result = loop_runtime::Builder::new()
    ///     .on_blocking_call(loop_runtime::BlockingCall::Panic)
    ///     .run(async {
    ///         let task = loop_runtime::create_task(async {
    ///             std::thread::sleep(Duration::from_millis(1));
    ///         });
    ///         task.await.is_err() // it panicked: "task 3 called clock_nanosleep (sleeps) …"
    ///     });
    /// assert_eq!(result, Ok(cfg!(all(target_os = "linux", target_env = "gnu"))));
    /// ```
    #[cfg(feature = "intercept")]
    pub fn on_blocking_call(mut self, what: crate::BlockingCall) -> Self {
        self.config.calls = Some(what.mode());
        self
    }

    /// Has one of so many spawns leave its stack, so that a task's page tells which calls led to it;
    /// 1 for all. There is one inspector a process: what a run says holds for it, and a console turns
    /// it off and on (`spawn-stacks`), beside which stands what one took of the loop's time. At most
    /// 64 wait to be read, every 5 ms; the rest are counted as lost. `LOOP_CONSOLE_SPAWN_STACKS`
    /// says the same from outside, and wins. Needs the feature `stacks`, on Linux.
    ///
    /// Panics: zero.
    ///
    /// ```
    /// let answer = loop_runtime::Builder::new().spawn_stacks(64).run(async { 7 });
    /// assert_eq!(answer, Ok(7));
    /// ```
    #[cfg(feature = "inspect")]
    pub fn spawn_stacks(mut self, one_of: u32) -> Self {
        assert!(
            one_of > 0,
            "one spawn of none cannot be taken; leave this out for no stacks"
        );
        self.settings.spawn_stacks = Some(one_of);
        self
    }

    /// Has the inspector listen on this TCP address as well. Loopback only, and who connects must
    /// show the token from the file that `LoopHandle::inspector` names.
    #[cfg(feature = "inspect")]
    pub fn inspector_tcp(mut self, address: std::net::SocketAddr) -> Self {
        self.settings.listen_tcp = Some(address);
        self
    }

    /// From when on what rests is suspected of being leaked. There is one inspector a process: what
    /// the latest run says holds for all of its loops. Without the feature `inspect` nothing is
    /// suspected.
    #[cfg_attr(not(feature = "inspect"), allow(unused_mut, unused_variables))]
    pub fn leak_limits(mut self, limits: super::LeakLimits) -> Self {
        #[cfg(feature = "inspect")]
        {
            self.settings.leaks = Some(limits);
        }
        self
    }

    /// Has the flight recorder write a dump into `directory` when a poll blocks, a task leaks, tasks
    /// deadlock, a task panics: the last events and a snapshot, written by the inspector's thread,
    /// at most one a minute and cause. 16 files of at most 64 MiB together are kept.
    /// `LOOP_CONSOLE_DUMP_DIR` and `LOOP_CONSOLE_DUMP` do the same from outside, and win.
    ///
    /// Errors: none; what cannot be written is a sentence on the console's page of costs.
    #[cfg(all(feature = "inspect", unix))]
    pub fn dump_to(mut self, directory: impl Into<std::path::PathBuf>) -> Self {
        self.settings.dumps.want_in(directory.into());
        self
    }

    /// Has `signal` write a dump: USR1, USR2, HUP or QUIT. One that the app handles itself is left
    /// to it, and the console says so; handlers that the app sets later are called as well.
    ///
    /// Panics: another signal.
    #[cfg(all(feature = "inspect", unix))]
    pub fn dump_on(mut self, signal: crate::signal::Signal) -> Self {
        let known = crate::inspect::flight::by_number(signal.number());
        let known = known.unwrap_or_else(|| {
            panic!("{signal} cannot write a dump; choose SIGUSR1, SIGUSR2, SIGHUP or SIGQUIT")
        });
        self.settings.dumps.want_on(known);
        self
    }

    /// Has `factory` make the loop. Of these settings those of the run still hold (`grace`,
    /// `shutdown_limit`, `interrupts`, `inspector`, `debug`); those of the loop are the factory's.
    ///
    /// Source: asyncio's `loop_factory`.
    ///
    /// ```
    /// use loop_runtime::{Builder, EventLoop};
    /// let answer = Builder::new().factory(EventLoop::new).run(async { 7 });
    /// assert_eq!(answer, Ok(7));
    /// ```
    pub fn factory(
        mut self,
        factory: impl Fn() -> io::Result<EventLoop> + Send + Sync + 'static,
    ) -> Self {
        self.factory = Some(Arc::new(factory));
        self
    }

    /// Part of the inspector, or of a tool that looks at one: in no list, and opens no endpoint.
    #[doc(hidden)]
    pub fn internal(mut self) -> Self {
        self.config.internal = true;
        self.inspect = false;
        self.manners.interrupts = false;
        self.manners.grace = Duration::ZERO;
        self
    }

    /// Makes the loop, which is not running yet. `run_until_complete` on it does none of `run`'s
    /// clean-up.
    ///
    /// Errors: what the system says when it refuses an epoll or event descriptor.
    pub fn build(self) -> io::Result<EventLoop> {
        self.ready_inspector();
        self.make()
    }

    /// A runner with these settings; its loop is made by its first run.
    ///
    /// ```
    /// let runner = loop_runtime::Builder::new().name("twice").runner();
    /// assert_eq!(runner.run(async { 1 }), Ok(1));
    /// assert_eq!(runner.run(async { 2 }), Ok(2));
    /// ```
    pub fn runner(self) -> Runner {
        Runner::with(self)
    }

    /// `loops` loops with these settings, each on a thread of its own. They are called after the
    /// name set here, with their number: `NAME-0`, `NAME-1`, …. `grace` is what the close says.
    ///
    /// Errors: a thread or a loop cannot be made.
    /// Panics: no loops at all.
    ///
    /// ```
    /// let pool = loop_runtime::Builder::new().name("worker").pool(2).unwrap();
    /// assert_eq!(pool.handles()[1].name(), "worker-1");
    /// ```
    pub fn pool(self, loops: usize) -> io::Result<LoopPool> {
        LoopPool::with(&self, loops)
    }

    /// Makes the loop, runs `main` on it, cleans up, closes it.
    ///
    /// As `loop_runtime::run`, with these settings.
    #[track_caller]
    pub fn run<F>(self, main: F) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let event_loop = self.make()?;
        self.ready_inspector();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let place = self.config.place;
            run_on_judged(
                &event_loop,
                &self.manners,
                place,
                main,
                |_| {},
                |_| false,
                |_| {},
            )
        }));
        // 4.
        if result.is_err() && self.inspect {
            super::inspector::panicked();
        }
        if !matches!(result, Ok(Err(RunError::Forked))) {
            self.hand_over(&event_loop);
        }
        let _ = event_loop.close();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Makes the loop.
    pub(super) fn make(&self) -> io::Result<EventLoop> {
        match &self.factory {
            Some(factory) => {
                let event_loop = factory()?;
                if let Some(debug) = self.config.debug {
                    event_loop.local().set_debug(debug);
                }
                Ok(event_loop)
            }
            None => {
                let event_loop = EventLoop::with(self.config.clone())?;
                #[cfg(feature = "intercept")]
                if let Some(mode) = self.config.calls {
                    crate::intercept::look(&event_loop.organs().record, mode);
                }
                Ok(event_loop)
            }
        }
    }

    /// Has a name, if nobody chose one.
    #[cfg(feature = "web")]
    pub(crate) fn name_if_none(self, name: &str) -> Self {
        match self.stem() {
            Some(_) => self,
            None => self.name(name),
        }
    }

    /// What loops that are made with this are called after.
    pub(super) fn stem(&self) -> Option<&str> {
        self.config.name.as_deref()
    }

    /// Where it was made.
    pub(super) fn place(&self) -> &'static Location<'static> {
        self.config.place
    }

    pub(super) fn manners(&self) -> &Manners {
        &self.manners
    }

    /// Whoever judges this process gets the last word on a run.
    pub(super) fn hand_over(&self, event_loop: &EventLoop) {
        if self.inspect {
            super::inspector::hand_over(event_loop, "", self.manners.grace);
        }
    }

    pub(super) fn ready_inspector(&self) {
        #[cfg(feature = "inspect")]
        if self.inspect {
            super::inspector::ensure(&self.settings);
        }
    }
}
