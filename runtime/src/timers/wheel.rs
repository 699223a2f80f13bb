//! Deadlines in order: a radix tree of lists, 64 ways a level, exact to the nanosecond.
//!
//! Insert and remove are O(1) and leave nothing behind; taking what is due moves an entry down at
//! most once a level. Equal deadlines come out in the order of their insertion. Knows neither
//! clocks nor wakers: `now` is an argument and what is kept is a `T`.
//!
//! An entry lies on the level of the highest digit (6 bits) in which its deadline differs from
//! `floor`, in the list of that digit. So whatever lies on a lower level is due earlier, as is a
//! lower digit of the same level; entries of equal deadlines always share a list; and there is no
//! wrapping around.
//!
//! A list whose range is short (16 ms) and has begun does not move down: it is sorted into the
//! `run`, from which its entries are taken. What is queued later for the same range lies in lists
//! as ever, and whatever of both is earlier comes first; on equal deadlines the run, which is older.

use crate::record::memory;

const BITS: u32 = 6;
const WAYS: usize = 1 << BITS;
const LEVELS: usize = (u64::BITS.div_ceil(BITS)) as usize;
const NONE: u32 = u32::MAX;
/// `Entry::list` of an entry that is in no list.
const OUT: u16 = u16::MAX;
/// `Entry::list` of an entry in the run, where its `prev` is its place in it.
const RUN: u16 = u16::MAX - 1;
/// Lists of this level and below become the run.
const RUN_LEVEL: usize = 4;
/// Room that a run may keep when it is used up.
const RUN_KEPT: usize = 4096;
/// A list up to this long is searched for its earliest deadline; of a longer one the start of its
/// range is told instead, which is early by less than the range and costs one turn of the loop.
const SEARCH: usize = 32;

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

/// A cache line: a crowd of timers is visited in no order that the caches could guess.
#[repr(align(64))]
struct Entry<T> {
    deadline: u64,
    next: u32,
    prev: u32,
    list: u16,
    /// `None` for a free entry, whose `next` is the next free one.
    value: Option<T>,
}

pub(super) struct Wheel<T> {
    /// No deadline in a list is below it, save on level 0, where what came late is kept sorted.
    floor: u64,
    /// Levels that hold something, and of each level the lists that do.
    levels: u16,
    lists: [u64; LEVELS],
    ends: Box<[[List; WAYS]; LEVELS]>,
    /// In order; a cancelled entry's place holds `NONE`. Used up to `run_at`.
    run: Vec<(u64, u32)>,
    run_at: usize,
    entries: Vec<Entry<T>>,
    free: u32,
    queued: usize,
    /// What `next` found; no entry is due earlier.
    known: Option<u64>,
}

impl<T> Wheel<T> {
    pub(super) fn new() -> Self {
        let empty = List {
            head: NONE,
            tail: NONE,
        };
        Self {
            floor: 0,
            levels: 0,
            lists: [0; LEVELS],
            ends: Box::new([[empty; WAYS]; LEVELS]),
            run: Vec::new(),
            run_at: 0,
            entries: Vec::new(),
            free: NONE,
            queued: 0,
            known: None,
        }
    }

    /// Entries that wait for their deadline.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Makes an entry and queues it. `now` is a hint: the closer, the fewer moves.
    pub(super) fn insert(&mut self, deadline: u64, now: u64, value: T) -> u32 {
        let entry = Entry {
            deadline,
            next: NONE,
            prev: NONE,
            list: OUT,
            value: Some(value),
        };
        let index = if self.free == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let index = self.free;
            self.free = self.entries[index as usize].next;
            self.entries[index as usize] = entry;
            index
        };
        self.queue(index, deadline, now);
        index
    }

    /// Queues an entry that is in no list (it was taken as due, or `unqueue`d).
    pub(super) fn queue(&mut self, index: u32, deadline: u64, now: u64) {
        debug_assert_eq!(self.entries[index as usize].list, OUT);
        if self.queued == 0 {
            self.floor = self.floor.max(now);
        }
        self.entries[index as usize].deadline = deadline;
        self.known = match self.known {
            Some(known) => Some(known.min(deadline)),
            None if self.queued == 0 => Some(deadline),
            None => None,
        };
        self.queued += 1;
        self.place(index);
    }

    /// Takes an entry out of its list, if it is in one; its value stays.
    pub(super) fn unqueue(&mut self, index: u32) -> bool {
        let entry = &self.entries[index as usize];
        if entry.list == OUT {
            return false;
        }
        // Only the earliest one can have been what `known` says.
        if self.known == Some(entry.deadline) || self.queued == 1 {
            self.known = None;
        }
        self.take_out(index);
        true
    }

    /// Frees an entry that is in no list.
    pub(super) fn free(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        debug_assert_eq!(entry.list, OUT);
        let value = entry.value.take();
        entry.next = self.free;
        self.free = index;
        value
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.value.as_mut()
    }

    pub(super) fn deadline(&self, index: u32) -> u64 {
        self.entries[index as usize].deadline
    }

    pub(super) fn is_queued(&self, index: u32) -> bool {
        self.entries[index as usize].list != OUT
    }

    /// When to look again: the earliest deadline, or a moment shortly before it where that would
    /// take a long search.
    pub(super) fn next(&mut self) -> Option<u64> {
        if self.known.is_none() {
            let run = self.run_head().map(|(deadline, _)| deadline);
            let lists = self.first().map(|first| self.earliest_of(first));
            self.known = match (run, lists) {
                (Some(run), Some(lists)) => Some(run.min(lists)),
                (one, other) => one.or(other),
            };
        }
        self.known
    }

    fn earliest_of(&self, (level, digit): (usize, usize)) -> u64 {
        let mut index = self.ends[level][digit].head;
        let mut earliest = self.entries[index as usize].deadline;
        // On level 0 a list is in order already.
        if level == 0 {
            return earliest;
        }
        for _ in 0..SEARCH {
            let entry = &self.entries[index as usize];
            earliest = earliest.min(entry.deadline);
            index = entry.next;
            if index == NONE {
                return earliest;
            }
        }
        self.start_of(level, digit)
    }

    /// What `pop` gives after `ahead` more, where that is known; and asks for the memory of what it
    /// gives after twice as many.
    pub(super) fn ahead(&self, ahead: usize) -> Option<&T> {
        let place = |ahead: usize| self.run.get(self.run_at + ahead).map(|&(_, index)| index);
        if let Some(entry) = place(2 * ahead).and_then(|index| self.entries.get(index as usize)) {
            memory::ask_for(entry);
        }
        self.get(place(ahead)?)
    }

    /// Takes the earliest entry out of its list, if its deadline is not after `now`.
    pub(super) fn pop(&mut self, now: u64) -> Option<u32> {
        if self.known.is_some_and(|known| known > now) {
            return None;
        }
        self.known = None;
        loop {
            let run = self.run_head();
            let list = self.first().map(|(level, digit)| {
                let List { head, tail } = self.ends[level][digit];
                // A list of one says its deadline exactly, on any level.
                let exact = level == 0 || head == tail;
                let from = if exact {
                    self.entries[head as usize].deadline
                } else {
                    self.start_of(level, digit)
                };
                (from, exact, head, level, digit)
            });
            match (run, list) {
                (Some((deadline, index)), list)
                    if list.is_none_or(|(from, exact, ..)| {
                        deadline < from || exact && deadline == from
                    }) =>
                {
                    if deadline > now {
                        self.known = Some(deadline);
                        break;
                    }
                    self.take_out(index);
                    return Some(index);
                }
                (_, Some((from, exact, head, level, digit))) => {
                    if from > now {
                        self.known = exact.then_some(from);
                        break;
                    }
                    if exact {
                        self.take_out(head);
                        return Some(head);
                    }
                    self.floor = from;
                    if level <= RUN_LEVEL && run.is_none() {
                        self.sort(level, digit);
                    } else {
                        self.spread(level, digit);
                    }
                }
                _ => break,
            }
        }
        self.raise_floor(now);
        None
    }

    /// The first entry of the run that is not cancelled.
    fn run_head(&mut self) -> Option<(u64, u32)> {
        while let Some(&(deadline, index)) = self.run.get(self.run_at) {
            if index != NONE {
                return Some((deadline, index));
            }
            self.run_at += 1;
        }
        if self.run_at > 0 {
            self.run.clear();
            self.run.shrink_to(RUN_KEPT);
            self.run_at = 0;
        }
        None
    }

    /// Makes a list the run, of which nothing is left.
    fn sort(&mut self, level: usize, digit: usize) {
        let mut index = self.detach(level, digit);
        while index != NONE {
            let entry = &self.entries[index as usize];
            self.run.push((entry.deadline, index));
            index = entry.next;
        }
        // Stable: equal deadlines keep the order of their insertion.
        self.run.sort_by_key(|&(deadline, _)| deadline);
        for (place, &(_, index)) in self.run.iter().enumerate() {
            let entry = &mut self.entries[index as usize];
            entry.list = RUN;
            entry.prev = place as u32;
        }
    }

    /// With nothing due at `now`, measures new deadlines from there.
    fn raise_floor(&mut self, now: u64) {
        while let Some((level, digit)) = self.first() {
            let start = self.start_of(level, digit);
            if level == 0 || start > now {
                break;
            }
            // The list's range holds `now`: its single entry moves down.
            self.floor = start;
            self.spread(level, digit);
        }
        // Every list begins after `now`, so that `now` shares with each all higher digits and
        // has a lower one on its level: all entries stay where they are. (What is on level 0 lies
        // within the same 64 ns.)
        if self.first().is_none_or(|(level, _)| level > 0) {
            self.floor = self.floor.max(now);
        }
    }

    /// Places all entries of a list anew, in order.
    fn spread(&mut self, level: usize, digit: usize) {
        let mut index = self.detach(level, digit);
        while index != NONE {
            let next = self.entries[index as usize].next;
            self.place(index);
            index = next;
        }
    }

    /// Empties a list; returns its first entry, which still leads to the others.
    fn detach(&mut self, level: usize, digit: usize) -> u32 {
        let empty = List {
            head: NONE,
            tail: NONE,
        };
        let list = std::mem::replace(&mut self.ends[level][digit], empty);
        self.empty(level, digit);
        list.head
    }

    fn first(&self) -> Option<(usize, usize)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some((level, self.lists[level].trailing_zeros() as usize))
    }

    /// The smallest deadline that a list can hold.
    fn start_of(&self, level: usize, digit: usize) -> u64 {
        let shift = BITS * level as u32;
        let above = u64::MAX.checked_shl(shift + BITS).unwrap_or(0);
        self.floor & above | (digit as u64) << shift
    }

    fn place(&mut self, index: u32) {
        let deadline = self.entries[index as usize].deadline;
        let key = deadline.max(self.floor);
        let level = (63 - ((key ^ self.floor) | 1).leading_zeros()) / BITS;
        let digit = (key >> (BITS * level)) as usize & (WAYS - 1);
        let level = level as usize;
        let list = &mut self.ends[level][digit];
        // Entries of one list of level 0 are due at the same nanosecond, except those that were
        // due before they came: these go before whatever is due later.
        let mut after = list.tail;
        if level == 0 {
            while after != NONE && self.entries[after as usize].deadline > deadline {
                after = self.entries[after as usize].prev;
            }
        }
        let before = match after {
            NONE => std::mem::replace(&mut list.head, index),
            after => std::mem::replace(&mut self.entries[after as usize].next, index),
        };
        match before {
            NONE => list.tail = index,
            before => self.entries[before as usize].prev = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.prev = after;
        entry.next = before;
        entry.list = (level * WAYS + digit) as u16;
        self.lists[level] |= 1 << digit;
        self.levels |= 1 << level;
    }

    /// Takes a queued entry out of its list or the run.
    fn take_out(&mut self, index: u32) {
        self.queued -= 1;
        let entry = &mut self.entries[index as usize];
        if entry.list == RUN {
            entry.list = OUT;
            self.run[entry.prev as usize].1 = NONE;
        } else {
            self.unlink(index);
        }
    }

    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let (prev, next) = (entry.prev, entry.next);
        let (level, digit) = (entry.list as usize / WAYS, entry.list as usize % WAYS);
        entry.list = OUT;
        let list = &mut self.ends[level][digit];
        match prev {
            NONE => list.head = next,
            prev => self.entries[prev as usize].next = next,
        }
        match next {
            NONE => list.tail = prev,
            next => self.entries[next as usize].prev = prev,
        }
        if self.ends[level][digit].head == NONE {
            self.empty(level, digit);
        }
    }

    fn empty(&mut self, level: usize, digit: usize) {
        self.lists[level] &= !(1 << digit);
        if self.lists[level] == 0 {
            self.levels &= !(1 << level);
        }
    }
}

#[cfg(test)]
mod tests;
