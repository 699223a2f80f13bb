//! What a registered source is to the reactor: readiness bits, and who waits for which direction.
//!
//! Knows no system calls; slots and tickets keep stale keys and dropped waiters apart.

use std::task::Waker;

use crate::record::source::direction;

/// The side of a source that somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read = 0,
    Write = 1,
}

impl Direction {
    pub(crate) fn bit(self) -> u8 {
        match self {
            Direction::Read => direction::READ,
            Direction::Write => direction::WRITE,
        }
    }
}

/// Names one registration of one reactor. Stale once it is deregistered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SourceKey {
    pub(super) slot: u32,
    pub(super) id: u64,
}

impl SourceKey {
    /// The row's id, for what waits for it.
    pub(crate) fn id(self) -> u64 {
        self.id
    }
}

/// Names one waiter of one direction, so that it can be forgotten; 0 for none yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ticket(u64);

#[derive(Default)]
pub(super) struct Waiters {
    /// The one of the `poll_*` functions, which have one caller and no end: a later call replaces
    /// the earlier one's waker.
    one: Option<Waker>,
    /// The oldest of the futures, which say when they stop waiting. Mostly the only one, so it has
    /// a place that costs no allocation.
    first: Option<(Ticket, Waker)>,
    /// Those behind it.
    more: Vec<(Ticket, Waker)>,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none() && self.first.is_none() && self.more.is_empty()
    }

    /// Returns the waker that was replaced, to be dropped where nothing is borrowed.
    pub(super) fn set_one(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.one {
            Some(old) if old.will_wake(waker) => None,
            _ => self.one.replace(waker.clone()),
        }
    }

    /// As `set_one`, for the holder of `ticket`, which gets a number if it has none.
    pub(super) fn set(
        &mut self,
        ticket: &mut Ticket,
        fresh: impl FnOnce() -> u64,
        waker: &Waker,
    ) -> Option<Waker> {
        if *ticket == Ticket::default() {
            *ticket = Ticket(fresh());
        }
        let mut held = self.first.iter_mut().chain(&mut self.more);
        if let Some((_, old)) = held.find(|(held, _)| held == ticket) {
            let known = old.will_wake(waker);
            return (!known).then(|| std::mem::replace(old, waker.clone()));
        }
        let entry = (*ticket, waker.clone());
        // Behind those who wait already, also where the oldest has left.
        if self.first.is_none() && self.more.is_empty() {
            self.first = Some(entry);
        } else {
            self.more.push(entry);
        }
        None
    }

    pub(super) fn forget_one(&mut self) -> Option<Waker> {
        self.one.take()
    }

    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Waker> {
        if let Some((_, waker)) = self.first.take_if(|(held, _)| *held == ticket) {
            return Some(waker);
        }
        let at = self.more.iter().position(|(held, _)| *held == ticket)?;
        Some(self.more.remove(at).1)
    }

    /// Takes all, the futures in the order in which they came.
    pub(super) fn take(&mut self) -> Woken {
        Woken {
            one: self.one.take(),
            first: self.first.take().map(|(_, waker)| waker),
            more: std::mem::take(&mut self.more),
        }
    }
}

/// Wakers taken from a source, to be woken while nothing is borrowed.
#[derive(Default)]
pub(super) struct Woken {
    one: Option<Waker>,
    first: Option<Waker>,
    more: Vec<(Ticket, Waker)>,
}

impl Woken {
    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none() && self.first.is_none() && self.more.is_empty()
    }

    pub(super) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.one
            .into_iter()
            .chain(self.first)
            .chain(self.more.into_iter().map(|(_, waker)| waker))
    }
}

pub(super) struct Source {
    pub(super) id: u64,
    /// Its descriptor's number; −1 for none.
    pub(super) fd: i64,
    /// That number is another source's by now: somebody closed the descriptor under this one.
    pub(super) displaced: bool,
    /// `None` where the table of rows was full.
    pub(super) row: Option<u32>,
    /// The runtime's own: what it is for is counted elsewhere.
    pub(super) internal: bool,
    /// Bits of `record::source::direction`.
    pub(super) ready: u8,
    /// Directions that an event made ready and no call has confirmed yet.
    pub(super) unproved: u8,
    pub(super) waiters: [Waiters; 2],
}

/// The sources of one reactor by slot; a slot counts its reuses for the events' tokens.
#[derive(Default)]
pub(super) struct Sources {
    slots: Vec<(usize, Option<Source>)>,
    free: Vec<u32>,
    /// By a descriptor's number, the slot that was filled with it last.
    by_fd: Vec<u32>,
}

/// Numbers of descriptors that are kept track of; higher ones are Windows' handles.
const FDS: i64 = 1 << 22;

/// Slots in which a waiter is looked for.
const LOOKED: usize = 1024;

/// Bits of a token that are the slot; the rest is the slot's generation.
const SLOT_BITS: u32 = usize::BITS / 2;
const SLOT_MASK: usize = (1 << SLOT_BITS) - 1;
/// Generations stop short of the tokens that are the reactor's own.
const GENERATIONS: usize = SLOT_MASK;

impl Sources {
    /// A slot and its token. `None` when there are no more.
    pub(super) fn reserve(&mut self) -> Option<(u32, usize)> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < SLOT_MASK => {
                self.slots.push((0, None));
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let generation = self.slots[slot as usize].0;
        Some((slot, generation << SLOT_BITS | slot as usize))
    }

    /// Fills a slot. Tells whether a source with the same descriptor was there, and marks it.
    pub(super) fn fill(&mut self, slot: u32, source: Source) -> bool {
        let displaced = self.displace(slot, source.fd);
        self.slots[slot as usize].1 = Some(source);
        displaced
    }

    fn displace(&mut self, slot: u32, fd: i64) -> bool {
        if !(0..FDS).contains(&fd) {
            return false;
        }
        let at = fd as usize;
        if at >= self.by_fd.len() {
            self.by_fd.resize(at + 1, 0);
        }
        let before = std::mem::replace(&mut self.by_fd[at], slot);
        match self.slots.get_mut(before as usize) {
            // The slot itself is still empty, so this is another one.
            Some((_, Some(source))) if source.fd == fd => {
                source.displaced = true;
                true
            }
            _ => false,
        }
    }

    /// Gives a slot back, filled or not; its token is stale from now on.
    pub(super) fn release(&mut self, slot: u32) -> Option<Source> {
        let (generation, source) = &mut self.slots[slot as usize];
        *generation = (*generation + 1) % GENERATIONS;
        self.free.push(slot);
        source.take()
    }

    pub(super) fn of_token(&mut self, token: usize) -> Option<&mut Source> {
        let (generation, source) = self.slots.get_mut(token & SLOT_MASK)?;
        (*generation == token >> SLOT_BITS).then_some(source.as_mut()?)
    }

    pub(super) fn of_key(&mut self, key: SourceKey) -> Option<&mut Source> {
        self.slots
            .get_mut(key.slot as usize)?
            .1
            .as_mut()
            .filter(|source| source.id == key.id)
    }

    #[cfg(unix)]
    pub(super) fn token_of(&self, slot: u32) -> usize {
        self.slots[slot as usize].0 << SLOT_BITS | slot as usize
    }

    /// Whether an event could wake somebody. Looks at a bounded number of slots; true also where
    /// these did not tell.
    pub(super) fn may_wake(&self) -> bool {
        let waits = |source: &Source| {
            !source.internal && source.waiters.iter().any(|waiters| !waiters.is_empty())
        };
        let mut sources = self.slots.iter().filter_map(|(_, source)| source.as_ref());
        self.slots.len() > LOOKED || sources.any(waits)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Source> {
        self.slots.drain(..).filter_map(|(_, source)| source)
    }
}
