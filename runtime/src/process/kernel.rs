//! One child as the kernel has it: how it ended, and signals to it that never reach another.
//!
//! Reaping and signalling exclude each other, so a process id is used only while it is the
//! child's: until it is reaped, the kernel gives its number to nobody. Knows no loop.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};

/// What stands for the status of a child whose own somebody else has taken; asyncio's.
const LOST: i32 = 255;

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Exit {
    pub(super) status: ExitStatus,
    /// Somebody else took the status; this one is a stand-in.
    pub(super) lost: bool,
}

/// A child of this process.
pub(super) struct Process {
    pid: Pid,
    /// Its process group has its number.
    pub(super) leads_group: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    /// `None` where the kernel has none to give, and once nobody needs it any more.
    pidfd: Option<OwnedFd>,
    exit: Option<Exit>,
}

impl Process {
    /// The child with that number, which nobody has waited for yet. `pidfd`: try to get one.
    pub(super) fn new(pid: Pid, leads_group: bool, pidfd: bool) -> Self {
        Self {
            pid,
            leads_group,
            inner: Mutex::new(Inner {
                pidfd: pidfd.then(|| open(pid)).flatten(),
                exit: None,
            }),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code of others runs under the lock, so a poisoned one is consistent.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the descriptor that tells of its exit, if there is one.
    #[cfg(target_os = "linux")]
    pub(super) fn pidfd(&self) -> Option<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd;
        self.lock().pidfd.as_ref().map(AsRawFd::as_raw_fd)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn pidfd(&self) -> Option<std::os::fd::RawFd> {
        None
    }

    /// How it ended, as far as somebody has asked yet.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.lock().exit
    }

    /// Asks the kernel whether it ended, and reaps it then.
    pub(super) fn reap(&self) -> Option<Exit> {
        self.reap_locked(&mut self.lock())
    }

    fn reap_locked(&self, inner: &mut Inner) -> Option<Exit> {
        if inner.exit.is_none() {
            inner.exit = self.ask(inner);
        }
        inner.exit
    }

    fn ask(&self, inner: &Inner) -> Option<Exit> {
        let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let asked = match inner.id() {
            // Linux 5.3 has the descriptor and cannot wait for it.
            Some(id) => ask_about(id, now).or_else(|error| match error {
                rustix::io::Errno::INVAL => ask_about(WaitId::Pid(self.pid), now),
                _ => Err(error),
            }),
            None => ask_about(WaitId::Pid(self.pid), now),
        };
        match asked {
            Ok(status) => Some(Exit {
                status: coded(&status?),
                lost: false,
            }),
            Err(error) => {
                tracing::warn!(
                    pid = self.pid(),
                    %error,
                    "the exit status of a child was taken by somebody else (a `waitpid` elsewhere \
                     in the program, or SIGCHLD is ignored); {LOST} stands for it"
                );
                Some(Exit {
                    status: ExitStatus::from_raw(LOST << 8),
                    lost: true,
                })
            }
        }
    }

    /// Waits until it has ended, in the calling thread, and leaves it to be reaped.
    pub(super) fn wait_unreaped(&self) {
        // Should another thread reap it at that moment, there is no such child, or it is another
        // one of ours: then this only takes longer. An error is for `reap` to explain.
        let _ = ask_about(
            WaitId::Pid(self.pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
    }

    /// Sends it a signal.
    ///
    /// Errors: `NotFound` once it has ended, also if nobody has noticed yet; the kernel's.
    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        let mut inner = self.lock();
        if self.reap_locked(&mut inner).is_some() {
            return Err(self.gone());
        }
        match send_by_fd(&inner, signal, 0) {
            Some(sent) => sent,
            None => send_by_number(self.pid.as_raw_nonzero().get(), signal),
        }
    }

    /// Sends a signal to all of its process group, which it leads; also when it has itself ended.
    ///
    /// Errors: `InvalidInput`: it leads none. `NotFound`: nobody is left in the group, or it has
    /// ended and this kernel (Linux before 6.9, others) cannot address the group without a risk.
    pub(super) fn signal_group(&self, signal: i32) -> io::Result<()> {
        if !self.leads_group {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this child leads no process group: start it with `process_group(0)` or \
                 `new_session()`, or signal it alone",
            ));
        }
        let mut inner = self.lock();
        match send_by_fd(&inner, signal, kernel_flags::PROCESS_GROUP) {
            // The number may be another group's once the child is reaped and its group empty.
            None if self.reap_locked(&mut inner).is_some() => Err(self.gone()),
            None => send_by_number(-self.pid.as_raw_nonzero().get(), signal),
            Some(Err(error)) if error.raw_os_error() == Some(libc::ESRCH) => Err(self.gone()),
            Some(sent) => sent,
        }
    }

    /// The exit is known and told: what is not needed any more goes.
    pub(super) fn settle(&self) {
        if !self.leads_group {
            self.lock().pidfd = None;
        }
    }

    fn gone(&self) -> io::Error {
        let text = format!("the child {} has ended and cannot be signalled", self.pid());
        io::Error::new(io::ErrorKind::NotFound, text)
    }
}

impl Inner {
    #[cfg(target_os = "linux")]
    fn id(&self) -> Option<WaitId<'_>> {
        use std::os::fd::AsFd;
        self.pidfd.as_ref().map(|fd| WaitId::PidFd(fd.as_fd()))
    }

    #[cfg(not(target_os = "linux"))]
    fn id(&self) -> Option<WaitId<'_>> {
        None
    }
}

#[cfg(target_os = "linux")]
fn open(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn open(_: Pid) -> Option<OwnedFd> {
    None
}

fn ask_about(id: WaitId<'_>, how: WaitIdOptions) -> rustix::io::Result<Option<WaitIdStatus>> {
    rustix::io::retry_on_intr(|| waitid(id.clone(), how))
}

/// As wait(2) codes it.
fn coded(status: &WaitIdStatus) -> ExitStatus {
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xFF) << 8,
        (None, Some(signal)) => signal | if status.dumped() { 0x80 } else { 0 },
        // Only exits were asked for.
        (None, None) => LOST << 8,
    };
    ExitStatus::from_raw(raw)
}

mod kernel_flags {
    /// `PIDFD_SIGNAL_PROCESS_GROUP`, Linux 6.9.
    pub(super) const PROCESS_GROUP: u32 = 1 << 2;
}

/// `None`: no descriptor, or a kernel that does not know the flag or the call.
#[cfg(target_os = "linux")]
fn send_by_fd(inner: &Inner, signal: i32, flags: u32) -> Option<io::Result<()>> {
    use std::os::fd::AsRawFd;
    let fd = inner.pidfd.as_ref()?.as_raw_fd();
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open, since `inner` owns it; the kernel takes a null `info` for a
    // plain signal and writes nothing.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, flags) };
    if sent == 0 {
        return Some(Ok(()));
    }
    let error = io::Error::last_os_error();
    let unknown = error.raw_os_error() == Some(libc::ENOSYS)
        || error.raw_os_error() == Some(libc::EINVAL) && flags != 0;
    (!unknown).then_some(Err(error))
}

#[cfg(not(target_os = "linux"))]
fn send_by_fd(_: &Inner, _: i32, _: u32) -> Option<io::Result<()>> {
    None
}

/// `number`: a process, or, negative, a process group; its owner is not reaped yet.
fn send_by_number(number: i32, signal: i32) -> io::Result<()> {
    // SAFETY: touches no memory; whom it reaches is the caller's to know.
    if unsafe { libc::kill(number, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Has the child begin a session of its own, between fork and exec.
pub(super) fn begin_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let begin = || rustix::process::setsid().map(drop).map_err(io::Error::from);
    // SAFETY: between fork and exec it makes one system call, and allocates nothing.
    unsafe { command.pre_exec(begin) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[expect(clippy::zombie_processes, reason = "`Process` reaps it")]
    fn start(program: &str, arguments: &[&str], pidfd: bool) -> Process {
        let child = Command::new(program).args(arguments).spawn().unwrap();
        Process::new(
            Pid::from_raw(child.id().cast_signed()).unwrap(),
            false,
            pidfd,
        )
    }

    #[test]
    fn a_status_is_coded_as_wait_codes_it() {
        for pidfd in [true, false] {
            let seven = start("sh", &["-c", "exit 7"], pidfd);
            seven.wait_unreaped();
            assert_eq!(seven.exit(), None, "nobody asked");
            assert_eq!(seven.reap().unwrap().status.code(), Some(7));
            let sleeps = start("sleep", &["100"], pidfd);
            assert_eq!(sleeps.reap(), None);
            sleeps.signal(libc::SIGTERM).unwrap();
            sleeps.wait_unreaped();
            assert_eq!(sleeps.reap().unwrap().status.signal(), Some(libc::SIGTERM));
        }
    }

    #[test]
    fn a_child_that_has_ended_is_not_signalled_though_nobody_noticed() {
        for pidfd in [true, false] {
            let ended = start("true", &[], pidfd);
            ended.wait_unreaped();
            assert_eq!(ended.exit(), None);
            let error = ended.signal(libc::SIGKILL).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
            assert!(ended.exit().is_some(), "it was reaped on the way");
        }
    }

    #[test]
    fn a_status_that_somebody_else_took_is_255_and_said_to_be_lost() {
        for pidfd in [true, false] {
            let process = start("sh", &["-c", "exit 7"], pidfd);
            let id = WaitId::Pid(process.pid);
            ask_about(id, WaitIdOptions::EXITED).unwrap();
            let exit = process.reap().unwrap();
            assert_eq!((exit.status.code(), exit.lost), (Some(LOST), true));
        }
    }
}
