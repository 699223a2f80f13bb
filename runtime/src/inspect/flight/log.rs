//! What the flight recorder did: for the cost, for the hour, and for when to write again. Any
//! thread; the lock is held for moments. Knows no disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use loop_proto::pb;

use super::{Cause, LIMITS, Pace, Set, Wish};

const ON: u8 = 1;
const OFF: u8 = 2;

/// Causes that wait to be written; more at once tell nothing that these do not.
const WAITING: usize = 4;

/// A cause that is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trigger {
    pub(crate) cause: Cause,
    /// In words: a place, a task, what a viewer gave as the reason.
    pub(crate) detail: String,
    /// The block or finding. 0: neither.
    pub(crate) subject: u64,
    /// The task that it is about. 0: none.
    pub(crate) task: u64,
}

#[derive(Default)]
struct State {
    pace: Pace,
    waiting: VecDeque<Trigger>,
    /// One is being written.
    busy: bool,
    cost: pb::DumpCost,
    files: Vec<pb::DumpFile>,
}

/// One for the inspector of a process.
#[derive(Default)]
pub(crate) struct Log {
    wish: Wish,
    /// What a viewer turned: all usual causes on, or all off. 0: nothing was turned.
    turned: AtomicU8,
    state: Mutex<State>,
}

impl Log {
    pub(crate) fn new(wish: Wish) -> Self {
        let state = State {
            cost: pb::DumpCost {
                directory: wish
                    .directory
                    .as_ref()
                    .map_or_else(String::new, |path| path.display().to_string()),
                limit_bytes: LIMITS.bytes,
                trouble: wish.trouble.clone(),
                ..pb::DumpCost::default()
            },
            ..State::default()
        };
        Self {
            wish,
            turned: AtomicU8::new(0),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wish(&self) -> &Wish {
        &self.wish
    }

    /// What causes a dump now.
    pub(crate) fn causes(&self) -> Set {
        match self.turned.load(Ordering::Relaxed) {
            ON => self.wish.causes.and(Set::usual()),
            OFF => Set::default(),
            _ => self.wish.causes,
        }
    }

    /// A viewer turns the usual causes on, or all off.
    pub(crate) fn turn(&self, on: bool) {
        self.turned
            .store(if on { ON } else { OFF }, Ordering::Relaxed);
    }

    /// Something happened. True: it waits to be written. Any thread.
    pub(crate) fn trigger(&self, trigger: Trigger, now: u64) -> bool {
        if !self.causes().has(trigger.cause) {
            return false;
        }
        let mut state = self.state();
        if state.waiting.len() >= WAITING {
            state.pace.suppressed += 1;
            return false;
        }
        let admitted = state.pace.admit(trigger.cause, now);
        if admitted {
            state.waiting.push_back(trigger);
        }
        admitted
    }

    /// Whether a viewer's command may write now.
    pub(crate) fn admit_asked(&self, now: u64) -> bool {
        self.state().pace.admit(Cause::Asked, now)
    }

    /// The next that waits; it is being written from now on. `None`: nothing waits, or one is being
    /// written already.
    pub(crate) fn next(&self) -> Option<Trigger> {
        let mut state = self.state();
        if state.busy {
            return None;
        }
        let next = state.waiting.pop_front();
        state.busy = next.is_some();
        next
    }

    /// Begins to write out of turn. False: one is being written.
    pub(crate) fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().busy, true)
    }

    /// Whether something waits or is being written.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state();
        state.busy || !state.waiting.is_empty()
    }

    /// One was written: its file, how many had to go for it, and the paths that are there now.
    pub(crate) fn written(&self, file: pb::DumpFile, removed: u64, bytes: u64, there: &[String]) {
        let mut state = self.state();
        state.busy = false;
        state.cost.written += 1;
        state.cost.removed += removed;
        state.cost.bytes = bytes;
        state.cost.trouble.clear();
        if let Some((directory, _)) = file.path.rsplit_once('/') {
            state.cost.directory = directory.to_owned();
        }
        state.files.insert(0, file);
        let is_there = |file: &pb::DumpFile| {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            there.iter().any(|known| known == name)
        };
        state.files.retain(is_there);
    }

    /// One could not be written.
    pub(crate) fn failed(&self, why: &str) {
        let mut state = self.state();
        state.busy = false;
        state.cost.failed += 1;
        state.cost.trouble = why.to_owned();
    }

    /// What cannot be done, though no file was lost by it.
    pub(crate) fn trouble(&self, why: String) {
        self.state().cost.trouble = why;
    }

    /// For the cost. `None`: nobody wants dumps, and none was written.
    pub(crate) fn cost(&self) -> Option<pb::DumpCost> {
        let state = self.state();
        let cost = pb::DumpCost {
            suppressed: state.pace.suppressed,
            ..state.cost.clone()
        };
        let silent = self.causes() == Set::default()
            && self.wish.directory.is_none()
            && cost.written == 0
            && cost.trouble.is_empty();
        (!silent).then_some(cost)
    }

    /// The files that are still there, the newest first.
    pub(crate) fn files(&self) -> Vec<pb::DumpFile> {
        self.state().files.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(cause: Cause) -> Trigger {
        Trigger {
            cause,
            detail: String::new(),
            subject: 7,
            task: 0,
        }
    }

    fn log() -> Log {
        let mut wish = Wish::default();
        wish.want_in("/d".into());
        Log::new(wish)
    }

    fn file(name: &str) -> pb::DumpFile {
        pb::DumpFile {
            path: format!("/d/{name}"),
            ..pb::DumpFile::default()
        }
    }

    #[test]
    fn what_nobody_wants_waits_for_nothing() {
        let log = Log::default();
        assert!(!log.trigger(trigger(Cause::Block), 1));
        assert!(!log.is_busy());
        assert_eq!(log.cost(), None, "and is nobody's loss");
    }

    #[test]
    fn one_is_written_at_a_time_and_what_came_too_often_is_counted() {
        let log = log();
        assert!(log.trigger(trigger(Cause::Block), 1));
        assert!(!log.trigger(trigger(Cause::Block), 2));
        assert!(log.trigger(trigger(Cause::Leak), 3));
        assert_eq!(log.next(), Some(trigger(Cause::Block)));
        assert_eq!(log.next(), None, "the first is under way");
        assert!(!log.begin(), "a command waits its turn too");
        log.written(file("a"), 0, 10, &["a".to_owned()]);
        assert_eq!(log.next(), Some(trigger(Cause::Leak)));
        log.failed("no room");
        let cost = log.cost().unwrap();
        assert_eq!((cost.written, cost.failed, cost.suppressed), (1, 1, 1));
        assert_eq!(cost.trouble, "no room");
        assert!(!log.is_busy());
    }

    #[test]
    fn a_viewer_turns_the_usual_causes_on_and_all_off() {
        let log = Log::default();
        log.turn(true);
        assert!(log.trigger(trigger(Cause::Block), 1));
        assert!(
            !log.trigger(trigger(Cause::Signal), 1),
            "it listens to none"
        );
        assert!(log.cost().is_some());
        log.turn(false);
        assert!(!log.trigger(trigger(Cause::Leak), 1));
        assert!(log.admit_asked(1), "who asks may still have one");
    }

    #[test]
    fn files_that_gave_way_are_told_no_more() {
        let log = log();
        for name in ["a", "b"] {
            log.begin();
            log.written(file(name), 0, 10, &["a".to_owned(), "b".to_owned()]);
        }
        log.begin();
        log.written(file("c"), 1, 20, &["b".to_owned(), "c".to_owned()]);
        let names: Vec<_> = log.files().into_iter().map(|file| file.path).collect();
        assert_eq!(names, ["/d/c", "/d/b"]);
        assert_eq!(log.cost().unwrap().directory, "/d");
    }

    #[test]
    fn a_burst_of_causes_waits_in_a_short_line() {
        let log = log();
        let mut admitted = 0;
        for _ in 0..100 {
            admitted += u32::from(log.trigger(trigger(Cause::Test), 1));
        }
        assert_eq!(admitted, WAITING as u32);
        assert_eq!(log.cost().unwrap().suppressed, 100 - WAITING as u64);
    }
}
