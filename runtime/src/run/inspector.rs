//! Where a run meets the inspector: started before the first poll, told when the run ends.
//!
//! Without the feature `inspect` there is nothing to meet, and this says so.

use std::fmt;
use std::path::PathBuf;

use crate::handle::LoopHandle;

/// Whether this process can be looked into, and if not, why.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InspectorStatus {
    /// It listens here.
    Listening {
        /// The unix socket, if there is one.
        socket: Option<PathBuf>,
        /// The TCP address, and the file that holds its token.
        tcp: Option<(std::net::SocketAddr, PathBuf)>,
        /// Why it is not on the TCP address that the builder asked for, if it is not.
        no_tcp: Option<String>,
    },
    /// It talks to the checker that started this process.
    Connected,
    /// There is none; the text says why.
    None(String),
}

impl fmt::Display for InspectorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InspectorStatus::Listening {
                socket,
                tcp,
                no_tcp,
            } => {
                f.write_str("listening")?;
                if let Some(socket) = socket {
                    write!(f, " at {}", socket.display())?;
                }
                if let Some((address, token)) = tcp {
                    let also = if socket.is_some() { " and" } else { "" };
                    write!(f, "{also} at {address}, token in {}", token.display())?;
                }
                match no_tcp {
                    Some(why) => write!(f, "; not on TCP: {why}"),
                    None => Ok(()),
                }
            }
            InspectorStatus::Connected => f.write_str("connected to a checker"),
            InspectorStatus::None(why) => write!(f, "no inspector: {why}"),
        }
    }
}

impl LoopHandle {
    /// Where this process's inspector listens, or why there is none.
    ///
    /// ```
    /// loop_runtime::run(async {
    ///     let handle = loop_runtime::get_running_loop().unwrap().handle();
    ///     println!("{}", handle.inspector());
    /// })
    /// .unwrap();
    /// ```
    pub fn inspector(&self) -> InspectorStatus {
        status()
    }
}

/// What a builder says about the inspector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) listen_tcp: Option<std::net::SocketAddr>,
    pub(crate) leaks: Option<super::LeakLimits>,
    pub(crate) spawn_stacks: Option<u32>,
    #[cfg(feature = "inspect")]
    pub(crate) dumps: crate::inspect::flight::Wish,
}

#[cfg(feature = "inspect")]
mod face {
    use std::time::Duration;

    use super::{InspectorStatus, Settings};
    use crate::context;
    use crate::event_loop::EventLoop;
    use crate::id::LoopId;
    use crate::record::{Command, bound};
    use crate::serve::{self, Done, Status};

    impl Settings {
        fn to_serve(&self) -> serve::Settings {
            serve::Settings {
                listen_tcp: self.listen_tcp,
                carry,
                dumps: self.dumps.clone(),
                spawn_stacks: self.spawn_stacks,
                leaks: self
                    .leaks
                    .map(|limits| [limits.idle, limits.outlived, limits.generation]),
            }
        }
    }

    /// Has a loop carry out what a viewer commands, at its next turn.
    fn carry(id: LoopId, command: Command, done: Done) -> Result<(), String> {
        let errand = move || {
            let found = context::with(|organs| match command {
                Command::Cancel { task } => {
                    let executor = &organs.executor;
                    executor.cancel_for(task, crate::record::asked::By::Viewer, None, None)
                }
                Command::Nudge { task } => organs.executor.nudge_by_id(task),
            });
            done(found.unwrap_or(false));
        };
        bound::send(id, Box::new(errand)).map_err(|_| format!("loop {id} is closed"))
    }

    pub(super) fn status() -> InspectorStatus {
        match serve::status() {
            Status::Listening {
                socket,
                tcp,
                no_tcp,
            } => InspectorStatus::Listening {
                socket,
                tcp,
                no_tcp,
            },
            Status::Connected => InspectorStatus::Connected,
            Status::None(why) => InspectorStatus::None(why),
        }
    }

    /// Starts the inspector, unless there is one or the environment says no.
    pub(crate) fn ensure(settings: &Settings) {
        serve::ensure(&settings.to_serve());
    }

    /// The grace of a run is over, and nothing is cancelled yet.
    pub(crate) fn run_ended(grace: Duration) {
        serve::run_ended(grace);
    }

    /// A run ends because nothing can wake its loop, which stands as it stood.
    pub(crate) fn deadlocked(grace: Duration) {
        serve::deadlocked(grace);
    }

    /// The grace that a gate gives tasks, if one judges and says so.
    pub(crate) fn grace() -> Option<Duration> {
        serve::grace()
    }

    /// The main task of a run panicked.
    pub(crate) fn panicked() {
        serve::panicked();
    }

    /// A run is over, and its loop about to close. `test` is the test's name, if it was one.
    pub(crate) fn hand_over(event_loop: &EventLoop, test: &str, grace: Duration) {
        serve::hand_over(event_loop.id(), test, grace);
    }

    /// A test fails: the file that was written of it, or why there is none. `None`: nobody asked.
    pub(crate) fn test_fails(test: &str, why: &str) -> Option<Result<String, String>> {
        #[cfg(unix)]
        return serve::dump_of_test(carry, test, why);
        #[cfg(not(unix))]
        {
            let _ = (test, why);
            None
        }
    }

    /// A test has no inspector, unless a gate judges it.
    pub(crate) fn test_begins() {
        serve::ensure_for_test(&Settings::default().to_serve());
    }
}

#[cfg(not(feature = "inspect"))]
mod face {
    use std::time::Duration;

    use super::{InspectorStatus, Settings};
    use crate::event_loop::EventLoop;

    pub(super) fn status() -> InspectorStatus {
        InspectorStatus::None("built without the feature `inspect`".to_owned())
    }

    pub(crate) fn ensure(_: &Settings) {}
    pub(crate) fn run_ended(_: Duration) {}
    pub(crate) fn deadlocked(_: Duration) {}
    pub(crate) fn grace() -> Option<Duration> {
        None
    }
    pub(crate) fn panicked() {}
    pub(crate) fn hand_over(_: &EventLoop, _: &str, _: Duration) {}
    pub(crate) fn test_begins() {}
    pub(crate) fn test_fails(_: &str, _: &str) -> Option<Result<String, String>> {
        None
    }
}

use face::status;
pub(crate) use face::{
    deadlocked, ensure, grace, hand_over, panicked, run_ended, test_begins, test_fails,
};
