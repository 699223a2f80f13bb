//! Where a run meets the inspector: started before the first poll, told when the run ends.
//!
//! Without the feature `inspect` there is nothing to meet, and this says so.

use std::fmt;
use std::path::PathBuf;

use crate::event_loop::EventLoop;
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
                socket: Some(socket),
                ..
            } => write!(f, "listening at {}", socket.display()),
            InspectorStatus::Listening {
                tcp: Some((address, token)),
                ..
            } => {
                write!(f, "listening at {address}, token in {}", token.display())
            }
            InspectorStatus::Listening { .. } => f.write_str("listening"),
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

#[cfg(feature = "inspect")]
mod face {
    use std::time::Duration;

    use super::{EventLoop, InspectorStatus};
    use crate::context;
    use crate::id::LoopId;
    use crate::record::{Command, bound};
    use crate::serve;

    pub(super) fn status() -> InspectorStatus {
        match serve::status() {
            serve::Status::Listening { socket, tcp } => InspectorStatus::Listening { socket, tcp },
            serve::Status::Connected => InspectorStatus::Connected,
            serve::Status::None(why) => InspectorStatus::None(why),
        }
    }

    #[derive(Clone, Default)]
    pub(crate) struct Settings {
        pub(crate) listen_tcp: Option<std::net::SocketAddr>,
    }

    impl Settings {
        fn to_serve(&self) -> serve::Settings {
            serve::Settings {
                listen_tcp: self.listen_tcp,
                carry,
            }
        }
    }

    /// A viewer's command, carried out by the loop that it is about.
    fn carry(id: LoopId, command: Command, done: serve::Done) -> Result<(), String> {
        let errand = move || {
            let carried = context::with(|organs| match command {
                Command::Cancel { task } => organs.executor.cancel_by_id(task, None),
                Command::Nudge { task } => organs.executor.wake_by_id(task),
            });
            done(carried.unwrap_or(false));
        };
        bound::send(id, Box::new(errand)).map_err(|_| format!("loop {id} is closed"))
    }

    pub(crate) fn ensure(settings: &Settings) {
        serve::ensure(&settings.to_serve());
    }

    pub(crate) fn run_ended(_: &EventLoop) {
        serve::run_ended();
    }

    pub(crate) fn hand_over(event_loop: &EventLoop) {
        serve::hand_over(event_loop.id(), "", Duration::ZERO);
    }

    pub(crate) fn test_begins(_: &EventLoop) {
        serve::ensure_for_test(&Settings::default().to_serve());
    }

    /// A test's thread has the test's name.
    pub(crate) fn test_ends(event_loop: &EventLoop) {
        let thread = std::thread::current();
        serve::hand_over(event_loop.id(), thread.name().unwrap_or(""), Duration::ZERO);
    }
}

#[cfg(not(feature = "inspect"))]
mod face {
    use super::{EventLoop, InspectorStatus};

    pub(super) fn status() -> InspectorStatus {
        InspectorStatus::None("built without the feature `inspect`".to_owned())
    }

    #[derive(Clone, Default)]
    pub(crate) struct Settings {
        pub(crate) listen_tcp: Option<std::net::SocketAddr>,
    }

    pub(crate) fn ensure(_: &Settings) {}
    pub(crate) fn run_ended(_: &EventLoop) {}
    pub(crate) fn hand_over(_: &EventLoop) {}
    pub(crate) fn test_begins(_: &EventLoop) {}
    pub(crate) fn test_ends(_: &EventLoop) {}
}

use face::status;
pub(crate) use face::{Settings, ensure, hand_over, run_ended, test_begins, test_ends};
