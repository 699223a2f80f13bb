//! Requests to cancel a task: who asked, where, when, with what words.
//!
//! One entry a task, the last so many, kept past the task's end. Cold: written when a cancel is
//! asked for. Knows no delivery, which is the executor's.

use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tasks whose requests are remembered; as many as there are ended rows.
const KEPT: usize = super::ended::CAPACITY;
/// Bytes of a message that are kept here; the awaiter gets all of it.
const MESSAGE_BYTES: usize = 256;

/// Who asked for a cancel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// A task or callback, of this loop or another one.
    Task(u64),
    /// The task that awaited it and was cancelled itself.
    Awaiter(u64),
    /// Code on a thread where no task ran, by the thread's number.
    Thread(u64),
    /// Somebody at a console.
    Viewer,
    /// Ctrl-C.
    Interrupt,
    /// The run is over and takes its tasks with it.
    RunEnd,
}

impl By {
    /// Whoever runs on this thread.
    pub(crate) fn here() -> Self {
        match super::current_task() {
            0 => By::Thread(crate::os::thread_id()),
            id => By::Task(id),
        }
    }
}

/// One request, or several: the last one's words, and how many there were.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) by: By,
    /// Where `cancel` was called; `None` where no call of the app's was.
    pub(crate) place: Option<&'static Location<'static>>,
    pub(crate) message: Option<String>,
    /// Tick of the first and of the last request.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) times: u32,
    /// Tells this entry from an earlier one of the same task that was withdrawn.
    number: u64,
}

#[derive(Default)]
struct Inner {
    all: HashMap<u64, Asked>,
    /// Task and number of each entry, oldest first.
    order: VecDeque<(u64, u64)>,
    asked: u64,
}

/// The requests of one loop.
#[derive(Default)]
pub(crate) struct Requests(Mutex<Inner>);

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cancel of `task` was asked for at tick `now`. The loop's thread.
    pub(crate) fn ask(
        &self,
        task: u64,
        by: By,
        place: Option<&'static Location<'static>>,
        message: Option<&str>,
        now: u64,
    ) {
        let message =
            message.map(|text| text[..text.floor_char_boundary(MESSAGE_BYTES)].to_owned());
        let mut inner = self.lock();
        inner.asked += 1;
        let number = inner.asked;
        if let Some(asked) = inner.all.get_mut(&task) {
            (asked.by, asked.place, asked.message) = (by, place, message);
            asked.last = now;
            asked.times = asked.times.saturating_add(1);
            return;
        }
        inner.all.insert(
            task,
            Asked {
                by,
                place,
                message,
                first: now,
                last: now,
                times: 1,
                number,
            },
        );
        inner.order.push_back((task, number));
        while inner.order.len() > KEPT {
            if let Some((old, number)) = inner.order.pop_front()
                && inner
                    .all
                    .get(&old)
                    .is_some_and(|asked| asked.number == number)
            {
                inner.all.remove(&old);
            }
        }
    }

    /// All requests of `task` are withdrawn.
    pub(crate) fn withdrawn(&self, task: u64) {
        self.lock().all.remove(&task);
    }

    /// What was asked of `task`; `None`: nothing, or so many others were asked since.
    pub(crate) fn of(&self, task: u64) -> Option<Asked> {
        self.lock().all.get(&task).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_request_is_told_with_the_moment_of_the_first() {
        let requests = Requests::default();
        requests.ask(7, By::Task(1), None, Some("first"), 10);
        requests.ask(7, By::Viewer, None, None, 20);
        let asked = requests.of(7).unwrap();
        assert_eq!((asked.first, asked.last, asked.times), (10, 20, 2));
        assert_eq!((asked.by, asked.message), (By::Viewer, None));
        requests.withdrawn(7);
        assert!(requests.of(7).is_none());
    }

    #[test]
    fn the_oldest_go_and_one_asked_anew_is_not_taken_for_its_withdrawn_self() {
        let requests = Requests::default();
        requests.ask(1, By::RunEnd, None, None, 1);
        requests.withdrawn(1);
        for task in 2..KEPT as u64 {
            requests.ask(task, By::RunEnd, None, None, task);
        }
        requests.ask(1, By::RunEnd, None, None, 9);
        requests.ask(0, By::RunEnd, None, None, 9);
        assert!(requests.of(1).is_some(), "asked last but one");
        assert!(requests.of(2).is_some());
        requests.ask(KEPT as u64, By::RunEnd, None, None, 9);
        assert!(requests.of(2).is_none());
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let requests = Requests::default();
        requests.ask(1, By::Viewer, None, Some(&"é".repeat(MESSAGE_BYTES)), 1);
        let message = requests.of(1).unwrap().message.unwrap();
        assert!(message.len() <= MESSAGE_BYTES && message.chars().all(|c| c == 'é'));
    }
}
