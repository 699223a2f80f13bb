//! The few tasks that somebody looks at: from then on each of their polls, waits for a turn and
//! wakes is told apart. The loop counts, an observer chooses; nobody else pays more than a look at
//! one byte of the row. Knows no viewer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;
use super::task::TaskRow;
use super::wake::CAUSES;
use super::{count, raise};
use crate::clock;

/// Tasks of one loop that can be watched at a time.
pub(crate) const PLACES: usize = 16;
/// The bit of `TaskRow::watched` that says that the stack at the task's next wait is wished for; no
/// place has so high a number.
pub(crate) const WISHED: u8 = 0x80;
/// A place that nobody asked for so long may go to another task.
const KEPT: Duration = Duration::from_secs(30);
/// A place that was taken from a task rests for so long: the loop may be about to count into it.
const REST: Duration = Duration::from_millis(100);

/// What is counted of one task. Times in ticks.
#[derive(Default)]
pub(crate) struct Place {
    /// 0: free.
    task: AtomicU64,
    /// Since when it counts; while it is free: since when it is.
    pub(crate) since: AtomicU64,
    /// When an observer last asked.
    asked: AtomicU64,
    /// What the row had counted already.
    pub(crate) polls: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) scheduled: AtomicU64,
    pub(crate) poll_times: Histogram,
    pub(crate) delays: Histogram,
    pub(crate) longest_poll: AtomicU64,
    pub(crate) longest_delay: AtomicU64,
    /// Wakes by the kind of their cause.
    pub(crate) wakes: [AtomicU64; CAUSES],
}

/// The places of one loop. Each is made when it is first needed.
#[derive(Default)]
pub(crate) struct Watched([OnceLock<Box<Place>>; PLACES]);

impl Watched {
    /// What is counted of the task in `row`. The loop's thread.
    fn of(&self, row: &TaskRow) -> Option<&Place> {
        let watched = row.watched.load(Ordering::Relaxed) & !WISHED;
        let number = usize::from(watched).checked_sub(1)?;
        let place = self.0.get(number)?.get()?;
        if place.task.load(Ordering::Acquire) == row.task_id() {
            return Some(place);
        }
        // The row has another task by now, or the place has.
        row.watched.fetch_and(WISHED, Ordering::Relaxed);
        None
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn polled(&self, row: &TaskRow, took: u64) {
        if let Some(place) = self.of(row) {
            place.poll_times.count(took);
            raise(&place.longest_poll, took);
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn delayed(&self, row: &TaskRow, delay: u64) {
        if let Some(place) = self.of(row) {
            place.delays.count(delay);
            raise(&place.longest_delay, delay);
        }
    }

    /// `cause`: the upper byte of a cause's word.
    #[cold]
    #[inline(never)]
    pub(crate) fn woken(&self, row: &TaskRow, cause: usize) {
        if let Some(place) = self.of(row) {
            count(&place.wakes[cause % CAUSES]);
        }
    }

    /// What has been counted of the task of that id, which is in `row`, since it was first asked
    /// for; `None`: counting begins now, or all places are taken. One observer at a time.
    pub(crate) fn look(&self, row: &TaskRow, id: u64) -> Option<&Place> {
        let relaxed = Ordering::Relaxed;
        let now = clock::ticks();
        let (kept, rest) = (clock::ns_to_ticks(KEPT), clock::ns_to_ticks(REST));
        let made = || {
            self.0
                .iter()
                .enumerate()
                .filter_map(|(n, place)| Some((n, &**place.get()?)))
        };
        if let Some((_, place)) = made().find(|(_, place)| place.task.load(relaxed) == id) {
            place.asked.store(now, relaxed);
            return Some(place);
        }
        for (_, place) in made() {
            let unasked = now.saturating_sub(place.asked.load(relaxed));
            if place.task.load(relaxed) != 0 && unasked > kept {
                place.task.store(0, Ordering::Release);
                place.since.store(now, relaxed);
            }
        }
        let rested = |place: &Place| {
            place.task.load(relaxed) == 0 && now.saturating_sub(place.since.load(relaxed)) > rest
        };
        let free = made().find(|(_, place)| rested(place)).map(|(n, _)| n);
        let unmade = || self.0.iter().position(|place| place.get().is_none());
        let number = free.or_else(unmade)?;
        let place = self.0[number].get_or_init(Box::default);
        place.clear(now);
        place.task.store(id, Ordering::Release);
        // A wish for a stack stays.
        row.watched.fetch_and(WISHED, relaxed);
        row.watched.fetch_or(number as u8 + 1, relaxed);
        // What the row counts from here on is in the histograms too.
        let facts = row.read().filter(|facts| facts.id == id);
        match facts {
            Some(facts) => {
                place.polls.store(facts.polls, relaxed);
                place.busy.store(facts.busy, relaxed);
                place.scheduled.store(facts.scheduled, relaxed);
            }
            None => place.task.store(0, Ordering::Release),
        }
        None
    }

    pub(crate) fn bytes(&self) -> usize {
        let made = self.0.iter().filter(|place| place.get().is_some()).count();
        made * (size_of::<Place>() + 2 * super::histogram::BUCKETS * 4)
    }
}

impl Place {
    fn clear(&self, now: u64) {
        self.poll_times.clear();
        self.delays.clear();
        let numbers = [&self.longest_poll, &self.longest_delay];
        for number in numbers.into_iter().chain(&self.wakes) {
            number.store(0, Ordering::Relaxed);
        }
        self.since.store(now, Ordering::Relaxed);
        self.asked.store(now, Ordering::Relaxed);
    }
}
