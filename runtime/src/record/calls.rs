//! Blocking calls that polls made: which, from where, how often. A row for each call and stack.
//!
//! Written by the loop's thread, where interception is on (the feature `intercept` and
//! `Builder::on_blocking_call`); no lock and no allocation where it writes, since a signal's handler
//! may be what calls. Knows no names of frames, and not how a call is noticed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use super::LoopRecord;
use super::current::Doing;
use super::over::{Blamed, BlamedCell};
use super::task::TaskRow;

/// Frames that are kept of a stack, innermost first.
pub(crate) const FRAMES: usize = 32;
/// Places that a loop remembers; calls from more are counted.
pub(crate) const PLACES: usize = 128;

/// The calls that are looked for, each with its symbol in the C library.
macro_rules! calls {
    ($($call:ident $symbol:literal,)*) => {
        /// A call of the C library that may hold its thread.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Call {
            $($call,)*
        }

        impl Call {
            pub(crate) const ALL: [Call; [$($symbol,)*].len()] = [$(Call::$call,)*];

            /// Its symbol in the C library.
            pub(crate) fn symbol(self) -> &'static std::ffi::CStr {
                match self {
                    $(Call::$call => $symbol,)*
                }
            }
        }
    };
}

calls! {
    Nanosleep c"nanosleep",
    ClockNanosleep c"clock_nanosleep",
    Usleep c"usleep",
    Sleep c"sleep",
    Fsync c"fsync",
    Fdatasync c"fdatasync",
    Flock c"flock",
    Getaddrinfo c"getaddrinfo",
    Waitpid c"waitpid",
    Wait4 c"wait4",
    Waitid c"waitid",
    Read c"read",
    Readv c"readv",
    Pread64 c"pread64",
    Recv c"recv",
    Recvfrom c"recvfrom",
    Recvmsg c"recvmsg",
    Connect c"connect",
    Accept c"accept",
    Accept4 c"accept4",
    Poll c"poll",
    Select c"select",
    EpollWait c"epoll_wait",
    Syscall c"syscall",
    PthreadJoin c"pthread_join",
}

use Call::*;

impl Call {
    fn from_raw(raw: u8) -> Self {
        Self::ALL.get(usize::from(raw)).copied().unwrap_or(Syscall)
    }

    /// What is said of it: `nanosleep (sleeps)`.
    pub(crate) fn words(self) -> String {
        let what = match self {
            Nanosleep | ClockNanosleep | Usleep | Sleep => "sleeps",
            Fsync | Fdatasync => "waits for a disk",
            Flock => "waits for a lock on a file",
            Getaddrinfo => "asks a name server",
            Waitpid | Wait4 | Waitid => "waits for a child",
            Read | Readv | Pread64 => "reads from a file, a pipe or a socket that blocks",
            Recv | Recvfrom | Recvmsg => "reads from a socket that blocks",
            Connect => "connects a socket that blocks",
            Accept | Accept4 => "waits for a visitor",
            Poll | Select | EpollWait => "waits for descriptors",
            Syscall => {
                return "futex (waits for another thread: a lock, a channel, a condition)"
                    .to_owned();
            }
            PthreadJoin => "waits for a thread's end",
        };
        format!("{} ({what})", self.symbol().to_string_lossy())
    }
}

/// What a loop does about a blocking call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum Mode {
    #[default]
    Off = 0,
    /// Notes it.
    Warn = 1,
    /// Notes it, and has the task panic.
    Panic = 2,
}

#[derive(Default)]
struct Cell {
    /// Odd while being written; 0: never written.
    version: AtomicU64,
    hash: AtomicU64,
    call: AtomicU8,
    first: AtomicU64,
    last: AtomicU64,
    count: AtomicU64,
    longest: AtomicU64,
    task: BlamedCell,
    frames: [AtomicUsize; FRAMES],
}

/// A copy of one row. Times in ticks.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    pub(crate) call: Call,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) count: u64,
    /// The longest, where the call was timed; 0: it was not.
    pub(crate) longest: u64,
    /// Who did it first.
    pub(crate) task: Option<Blamed>,
    /// Return addresses, innermost first.
    pub(crate) frames: Vec<usize>,
}

/// The calls of one loop.
#[derive(Default)]
pub(crate) struct Calls {
    mode: AtomicU8,
    cells: OnceLock<Box<[Cell]>>,
    /// Calls from places that found the table full.
    beyond: AtomicU64,
    /// The task that is to panic, and the row of its call plus one. The loop's thread.
    due: AtomicU64,
    due_row: AtomicU32,
}

/// Puts a call into words; set by whoever can name frames.
static WORDS: OnceLock<fn(&Called) -> String> = OnceLock::new();

impl Calls {
    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            1 => Mode::Warn,
            2 => Mode::Panic,
            _ => Mode::Off,
        }
    }

    /// Sets what is done about calls from now on, and who names their frames.
    pub(crate) fn switch(&self, mode: Mode, words: fn(&Called) -> String) {
        WORDS.get_or_init(|| words);
        self.cells
            .get_or_init(|| (0..PLACES).map(|_| Cell::default()).collect());
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// `row` called `call` from the stack `frames` at tick `now`, and it took `took` ticks, if that is
    /// known. The loop's thread.
    pub(crate) fn note(&self, call: Call, frames: &[usize], row: &TaskRow, now: u64, took: u64) {
        let Some(cells) = self.cells.get() else {
            return;
        };
        let relaxed = Ordering::Relaxed;
        let frames = &frames[..frames.len().min(FRAMES)];
        let hash = hash(call, frames);
        for at in 0..PLACES {
            let number = (hash as usize).wrapping_add(at) % PLACES;
            let cell = &cells[number];
            let version = cell.version.load(relaxed);
            if version == 0 {
                cell.version.store(1, relaxed);
                fence(Ordering::Release);
                cell.hash.store(hash, relaxed);
                cell.call.store(call as u8, relaxed);
                cell.first.store(now, relaxed);
                cell.last.store(now, relaxed);
                cell.count.store(1, relaxed);
                cell.longest.store(took, relaxed);
                cell.task.store(Some(Blamed::of(row)));
                for (kept, frame) in cell.frames.iter().zip(frames) {
                    kept.store(*frame, relaxed);
                }
                cell.version.store(2, Ordering::Release);
            } else if cell.hash.load(relaxed) == hash {
                super::add(&cell.count, 1);
                cell.last.store(now, relaxed);
                super::raise(&cell.longest, took);
            } else {
                continue;
            }
            if self.mode() == Mode::Panic {
                self.due.store(row.task_id(), relaxed);
                self.due_row.store(number as u32, relaxed);
            }
            return;
        }
        super::count(&self.beyond);
    }

    /// All that was noted. Any thread.
    pub(crate) fn all(&self) -> impl Iterator<Item = Called> {
        let cells = self.cells.get().map_or(&[][..], |cells| cells);
        cells.iter().filter_map(Cell::read)
    }

    /// Calls whose place found the table full.
    pub(crate) fn beyond(&self) -> u64 {
        self.beyond.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.cells.get().map_or(0, |cells| size_of_val(&**cells))
    }
}

impl Cell {
    fn read(&self) -> Option<Called> {
        let relaxed = Ordering::Relaxed;
        // Written once; afterwards only its counts change, each by itself.
        if self.version.load(Ordering::Acquire) != 2 {
            return None;
        }
        let frames = self.frames.iter().map(|frame| frame.load(relaxed));
        Some(Called {
            call: Call::from_raw(self.call.load(relaxed)),
            first: self.first.load(relaxed),
            last: self.last.load(relaxed),
            count: self.count.load(relaxed),
            longest: self.longest.load(relaxed),
            task: self.task.load(),
            frames: frames.take_while(|frame| *frame != 0).collect(),
        })
    }
}

/// FNV, never 0.
fn hash(call: Call, frames: &[usize]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ call as u64;
    let all = frames.iter().fold(start, |hash, frame| {
        (hash ^ *frame as u64).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (all ^ all >> 32) | 1
}

impl LoopRecord {
    /// Whether a blocking call that is made now is the app's, in a poll, and not allowed. The loop's
    /// thread.
    pub(crate) fn may_not_block(&self) -> bool {
        self.calls.mode() != Mode::Off
            && matches!(
                self.current.doing(),
                Doing::Polling | Doing::Dropping | Doing::Handling
            )
            && !self.allowed.is_open()
            && !self.facts.internal
    }
}

/// A poll is over: panics if it made a call for which its task is to panic.
#[cfg_attr(not(feature = "intercept"), allow(dead_code))]
pub(crate) fn answer() {
    let words = super::current::here_row(|record, row| {
        let calls = &record.calls;
        let due = calls.due.load(Ordering::Relaxed);
        if due == 0 {
            return None;
        }
        calls.due.store(0, Ordering::Relaxed);
        // Of a poll that panicked by itself it was left there.
        if due != row.task_id() {
            return None;
        }
        let number = calls.due_row.load(Ordering::Relaxed) as usize;
        let called = calls.cells.get()?.get(number)?.read()?;
        Some(WORDS.get()?(&called))
    });
    if let Some(words) = words.flatten() {
        panic!("{words}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::id;
    use crate::record::names::NameId;
    use crate::record::task::{Birth, Kind};

    fn row() -> TaskRow {
        let row = TaskRow::default();
        row.spawned(&Birth {
            id: id::single(),
            kind: Kind::Task,
            parent: 0,
            at: clock::ticks(),
            site: 0,
            name: NameId::NONE,
            number: 0,
            loop_id: 1,
            flags: 0,
        });
        row
    }

    #[test]
    fn each_call_from_each_stack_has_a_row_that_counts() {
        let (calls, row) = (Calls::default(), row());
        calls.note(Read, &[1, 2], &row, 5, 0);
        assert_eq!(calls.all().count(), 0, "off");
        calls.switch(Mode::Warn, |_| String::new());
        for at in [10, 20, 30] {
            calls.note(Read, &[1, 2], &row, at, at);
        }
        calls.note(Read, &[1, 3], &row, 40, 0);
        calls.note(Recv, &[1, 2], &row, 50, 0);
        let mut all: Vec<Called> = calls.all().collect();
        all.sort_by_key(|called| called.first);
        let told = all
            .iter()
            .map(|c| (c.call, c.first, c.last, c.count, c.longest));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                (Read, 10, 30, 3, 30),
                (Read, 40, 40, 1, 0),
                (Recv, 50, 50, 1, 0)
            ]
        );
        assert_eq!(all[1].frames, [1, 3]);
        assert_eq!(all[0].task.map(|task| task.id), Some(row.task_id()));
    }

    #[test]
    fn what_finds_the_table_full_is_counted() {
        let (calls, row) = (Calls::default(), row());
        calls.switch(Mode::Warn, |_| String::new());
        for place in 1..=PLACES + 7 {
            calls.note(Read, &[place], &row, 1, 0);
        }
        assert_eq!((calls.all().count(), calls.beyond()), (PLACES, 7));
        let deep: Vec<usize> = (1..=100).collect();
        let other = Calls::default();
        other.switch(Mode::Warn, |_| String::new());
        other.note(Read, &deep, &row, 1, 0);
        assert_eq!(other.all().next().unwrap().frames.len(), FRAMES);
    }

    #[test]
    fn every_call_lies_at_its_number_and_has_words() {
        for (at, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, at);
            assert_eq!(Call::from_raw(at as u8), call);
            assert!(call.words().contains('('), "{call:?}");
        }
    }
}
