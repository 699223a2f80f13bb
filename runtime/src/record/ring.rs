//! Events of one loop, the newest `capacity` of them: one producer that never waits and never looks
//! who reads, any number of readers that count what passed them by.
//!
//! The producer writes the slot, counts the kind, moves the tail. A reader copies a slot and then
//! looks at the tail again: a slot that the producer may have begun anew meanwhile is no event. Per
//! kind `lost = pushed - received`, exactly, since the producer's totals are exact. All of it lies
//! in `words`, which may be a file's: `loop_proto::recording` says where what stands, and reads it
//! when the process is gone. Loom test: `record/ring/model.rs`.

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::atomic::{Ordering, fence, own};

use super::event::{Event, KINDS};

#[cfg(all(test, loop_model))]
mod model;
pub(crate) mod supply;
#[cfg(all(test, not(loop_model)))]
mod tests;
pub(crate) mod words;

use words::Words;

/// Events a loop's ring holds where nothing says otherwise.
pub(crate) const CAPACITY: usize = 1 << 16;

/// Slots that a ring in a file begins with: most loops of a test or a tool never need more, and
/// whoever fills these has worked for longer than it takes to get as many again.
pub(crate) const FIRST: usize = 1 << 12;

/// Words of the page before the slots, and what stands where in it: as `loop_proto::recording`
/// has it, of which a test holds this to account. Few in a model.
pub(crate) const PAGE: usize = if cfg!(loop_model) { 32 } else { 512 };
const MARK: usize = 0;
const LOOP: usize = 1;
const SLOTS: usize = 2;
/// A line of its own, with the totals: the one word that readers and producer share.
const TAIL: usize = 16;
const TOTALS: usize = 17;
/// The first word of every ring, for who finds it in a file.
const MARK_OF_A_RING: u64 = u64::from_le_bytes(*b"LOOPRING");

/// Words of a slot.
const SLOT: usize = 4;
/// Slots copied between two looks at the tail.
const RUN: usize = if cfg!(loop_model) { 2 } else { 32 };
/// Looks at totals that change while they are read, before a reader makes do without them.
const LOOKS: usize = if cfg!(loop_model) { 1 } else { 64 };

pub(crate) struct Ring {
    words: Words,
    /// One less than the slots that the producer uses by now, and it alone. It takes more before it
    /// would come around for the first time, up to the capacity: where an event stands does not
    /// depend on how many there are, until then.
    mask: AtomicUsize,
    /// The one reader that the viewers share.
    reader: Mutex<Reader>,
}

/// A part of a ring, as it would stand in a file.
pub(crate) struct Image {
    pub(crate) tail: u64,
    pub(crate) totals: [u64; KINDS],
    /// The words of its page, as far as they say anything.
    pub(crate) page: Vec<u64>,
    /// Slots by index.
    pub(crate) slots: Vec<(u64, [u64; SLOT])>,
}

/// Words that a ring of that many events needs.
pub(crate) const fn words_for(capacity: usize) -> usize {
    PAGE + capacity * SLOT
}

/// Events for which that many words are enough.
pub(crate) const fn capacity_of(words: usize) -> usize {
    (words - PAGE) / SLOT
}

impl Ring {
    /// A ring in memory of its own. `capacity` must be a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        Self::within(Words::zeroed(words_for(capacity)), 0)
    }

    /// A ring in these words, which are 0 or another ring's that nobody pushes to any more.
    ///
    /// Panics: they, or those of them that have room, do not make a power of two of slots.
    pub(crate) fn within(words: Words, loop_id: u32) -> Self {
        let capacity = capacity_of(words.len());
        // Of another ring's place there may be more room than was asked for.
        let begun = 1 << capacity_of(words.room()).ilog2();
        assert!(
            capacity.is_power_of_two(),
            "the ring's capacity is a power of two"
        );
        // Nobody's while it is made ready: who reads the file meanwhile passes it over.
        words[LOOP].store(0, Ordering::Release);
        for word in &words[TAIL..TOTALS + KINDS] {
            word.store(0, Ordering::Relaxed);
        }
        words[SLOTS].store(capacity as u64, Ordering::Relaxed);
        words[MARK].store(MARK_OF_A_RING, Ordering::Relaxed);
        words[LOOP].store(u64::from(loop_id) + 1, Ordering::Release);
        Self {
            words,
            mask: AtomicUsize::new(begun - 1),
            reader: Mutex::default(),
        }
    }

    /// Adds an event, in place of the oldest one. The producer's thread.
    #[inline]
    pub(crate) fn push(&self, event: Event) {
        let words = &self.words[..];
        let tail = own(&words[TAIL]);
        // Who sees anything of what follows sees that the tail had come this far, and so knows that
        // the slot is being written anew. (On x86 this is no instruction.)
        fence(Ordering::Release);
        let mut slot = tail as usize & self.mask.load(Ordering::Relaxed);
        if slot == 0 {
            slot = self.around(tail);
        }
        let at = PAGE + slot * SLOT;
        let slot = &words[at..at + SLOT];
        for (cell, word) in slot.iter().zip(event.words()) {
            cell.store(word, Ordering::Relaxed);
        }
        let total = &words[TOTALS + event.kind as usize];
        total.store(own(total) + 1, Ordering::Relaxed);
        // Release: who sees the tail sees the slot.
        words[TAIL].store(tail + 1, Ordering::Release);
    }

    /// Where the event `tail` goes: at the beginning, or, the first time that the end is reached, on
    /// into more room. The producer's thread; a system call at times that double.
    #[cold]
    #[inline(never)]
    fn around(&self, tail: u64) -> usize {
        let used = self.mask.load(Ordering::Relaxed) + 1;
        if tail != used as u64 || used >= self.capacity() {
            return 0;
        }
        if !self.words.grow(words_for(2 * used)) {
            // Who reads a later tail reads this: it is stored before.
            self.words[SLOTS].store(used as u64, Ordering::Relaxed);
            return 0;
        }
        self.mask.store(2 * used - 1, Ordering::Relaxed);
        used
    }

    /// Makes room before the producer needs it. Another thread, now and then.
    ///
    /// That there is none is the producer's to tell, once it would need it.
    #[cfg_attr(not(feature = "inspect"), allow(dead_code))]
    pub(crate) fn make_room(&self) {
        let room = capacity_of(self.words.room());
        if self.tail() >= room as u64 / 4 && room < self.capacity() {
            let _ = self.words.reserve(words_for(2 * room));
        }
    }

    /// How many events were pushed.
    pub(crate) fn tail(&self) -> u64 {
        self.words[TAIL].load(Ordering::Acquire)
    }

    /// Events that it holds at most: as of a tail that was loaded before.
    pub(crate) fn capacity(&self) -> usize {
        self.words[SLOTS].load(Ordering::Relaxed) as usize
    }

    /// Bytes of its own memory, and whether they are a file's.
    pub(crate) fn bytes(&self) -> (usize, bool) {
        (self.words.room() * size_of::<u64>(), self.words.is_file())
    }

    /// What a file that has the events before `from` has to take along.
    pub(crate) fn image(&self, from: u64) -> Image {
        let (tail, totals) = self.totals().unwrap_or_else(|| {
            let tail = self.tail();
            let totals =
                std::array::from_fn(|kind| self.words[TOTALS + kind].load(Ordering::Relaxed));
            (tail, totals)
        });
        let mut page: Vec<u64> = [MARK, LOOP, SLOTS]
            .map(|at| self.words[at].load(Ordering::Relaxed))
            .to_vec();
        page.resize(TAIL, 0);
        page.push(tail);
        page.extend(totals);
        let mut slots = Vec::new();
        let mut next = from.max(tail.saturating_sub(self.capacity() as u64));
        let mut run = [[0; SLOT]; RUN];
        while next < tail {
            let (lost, count) = self.copy(next, tail, &mut run);
            // What was written over meanwhile is an event of no kind.
            run[..lost].fill([0, u64::MAX, 0, 0]);
            slots.extend((next..).zip(run.iter().take(count).copied()));
            next += count as u64;
        }
        Image {
            tail,
            totals,
            page,
            slots,
        }
    }

    /// How many were pushed, in all and a kind, at one moment. `None`: the producer was too quick.
    pub(crate) fn totals(&self) -> Option<(u64, [u64; KINDS])> {
        for _ in 0..LOOKS {
            let tail = self.words[TAIL].load(Ordering::Acquire);
            let totals =
                std::array::from_fn(|kind| self.words[TOTALS + kind].load(Ordering::Relaxed));
            // Each is at least what it was when the tail came this far, since it was stored before
            // it: if together they are the tail, none is more.
            if totals.iter().sum::<u64>() == tail {
                return Some((tail, totals));
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Copies slots from `from` on, as many as fit, up to `end`, which was a tail. Returns how many
    /// at the beginning have been lost: those after it stand in `out` at their places.
    fn copy(&self, from: u64, end: u64, out: &mut [[u64; SLOT]; RUN]) -> (usize, usize) {
        let count = (end - from).min(RUN as u64) as usize;
        let mask = self.capacity() - 1;
        for (index, words) in (from..).zip(out.iter_mut().take(count)) {
            let at = PAGE + (index as usize & mask) * SLOT;
            let slot = &self.words[at..at + SLOT];
            *words = std::array::from_fn(|word| slot[word].load(Ordering::Relaxed));
        }
        // Whatever was copied of a later push: its tail is seen by the load that follows.
        fence(Ordering::Acquire);
        // Acquire: the capacity that follows is one of that tail.
        let tail = self.words[TAIL].load(Ordering::Acquire);
        // The push of `tail` may be under way, in the slot that `tail - capacity` had.
        let oldest = (tail + 1).saturating_sub(self.capacity() as u64);
        let lost = oldest.saturating_sub(from).min(count as u64) as usize;
        (lost, count)
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the viewers' reader takes what is pushed: what was before is not lost to it.
    pub(crate) fn attend(&self) {
        let lost = self.reader().lost;
        *self.reader() = Reader {
            lost,
            ..Reader::now(self)
        };
    }

    /// Takes all events that the viewers have not had.
    pub(crate) fn drain(&self, take: impl FnMut(Event)) {
        self.reader().drain(self, take);
    }

    /// Events that passed the viewers by so far, a kind.
    pub(crate) fn lost(&self) -> [u64; KINDS] {
        self.reader().lost
    }

    /// Events that the ring has now.
    pub(crate) fn fill(&self) -> u64 {
        let tail = self.tail();
        tail.min(self.capacity() as u64)
    }

    /// The newest `most` events, oldest first, of those that the viewers' reader had or passed by.
    pub(crate) fn backlog(&self, most: usize) -> Vec<Event> {
        let end = self.reader().next;
        let mut events = Vec::new();
        let next = end.saturating_sub(most as u64);
        let mut reader = Reader {
            next,
            ..Reader::default()
        };
        reader.take_until(self, end, |event| events.push(event));
        events
    }
}

/// Who reads a ring, and what it had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    /// The index of the next event.
    next: u64,
    /// By kind: what it took, and what had been pushed before it came.
    received: [u64; KINDS],
    lost: [u64; KINDS],
    /// How many events it lost in all. By kind they are known when the totals could be read.
    pub(crate) skipped: u64,
}

impl Reader {
    /// One that begins with what is pushed from now on.
    pub(crate) fn now(ring: &Ring) -> Self {
        for _ in 0..LOOKS {
            if let Some((next, received)) = ring.totals() {
                return Self {
                    next,
                    received,
                    ..Self::default()
                };
            }
        }
        // From the oldest event on it is known what was pushed: nothing, and that is all lost.
        Self::default()
    }

    /// By kind, what passed it by.
    pub(crate) fn lost(&self) -> [u64; KINDS] {
        self.lost
    }

    /// Takes what it has not had.
    pub(crate) fn drain(&mut self, ring: &Ring, mut take: impl FnMut(Event)) {
        // Up to a moment whose totals are known, so that what was lost is known exactly.
        match ring.totals() {
            Some((end, totals)) => {
                self.take_until(ring, end, &mut take);
                for (kind, lost) in self.lost.iter_mut().enumerate() {
                    *lost = totals[kind].saturating_sub(self.received[kind]);
                }
            }
            None => self.take_until(ring, ring.tail(), take),
        }
    }

    /// Takes up to `end`, which was a tail.
    fn take_until(&mut self, ring: &Ring, end: u64, mut take: impl FnMut(Event)) {
        let mut run = [[0; SLOT]; RUN];
        while self.next < end {
            let tail = ring.tail();
            let capacity = ring.capacity() as u64;
            if tail - self.next > capacity {
                // Lapped: what is left is taken from a little later on, or the producer would be
                // here again before the copy is made.
                let margin = (capacity / 16).min(1_024);
                let next = (tail - capacity + margin).min(end);
                self.skipped += next - self.next;
                self.next = next;
                continue;
            }
            let (lost, count) = ring.copy(self.next, end, &mut run);
            self.skipped += lost as u64;
            for words in &run[lost..count] {
                if let Some(event) = Event::from_words(*words) {
                    self.received[event.kind as usize] += 1;
                    take(event);
                }
            }
            self.next += count as u64;
        }
    }
}
