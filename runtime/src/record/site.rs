//! Spawn places: one row for each (place, type), with what its tasks did together.
//!
//! Interned by the loop that spawns, read by anyone. Knows no single task.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;
use super::place::PlaceCell;
use super::slab::{Row, Slab, Slots};

/// Places a loop tells apart; tasks of further ones share the row `(other)`.
pub(crate) const CAP: usize = 1024;

/// The row that stands for all places beyond the cap.
pub(crate) const OTHER: u32 = 0;

#[derive(Default)]
pub(crate) struct SiteRow {
    id: AtomicU64,
    pub(crate) place: PlaceCell,
    facts: OnceLock<Facts>,
    pub(crate) spawned: AtomicU64,
    pub(crate) finished: AtomicU64,
    /// Ticks and polls of finished tasks.
    pub(crate) busy: AtomicU64,
    pub(crate) polls: AtomicU64,
    /// Sum of lifetimes, in ticks, of finished tasks.
    pub(crate) lived: AtomicU64,
    /// The longest poll of a finished task, in ticks.
    pub(crate) max_poll: AtomicU64,
    /// Finished tasks that ended with an error or a panic.
    pub(crate) failed: AtomicU64,
}

struct Facts {
    type_name: &'static str,
    size: usize,
    polls: Histogram,
}

impl Row for SiteRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

impl SiteRow {
    /// The future's type, as rustc prints it.
    pub(crate) fn type_name(&self) -> &'static str {
        self.facts.get().map_or("", |facts| facts.type_name)
    }

    /// The future's size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.facts.get().map_or(0, |facts| facts.size)
    }

    /// Poll durations of all its tasks, dead or alive.
    pub(crate) fn poll_times(&self) -> Option<&Histogram> {
        self.facts.get().map(|facts| &facts.polls)
    }

    pub(crate) fn place(&self) -> Option<&'static Location<'static>> {
        self.place.get()
    }
}

const CACHE: usize = 64;
type Key = (usize, usize);

/// The places of one loop.
pub(crate) struct Sites {
    rows: Slab<SiteRow>,
}

/// The owner's side: finds a place's row.
pub(crate) struct SiteIndex {
    slots: Slots,
    all: RefCell<HashMap<Key, u32>>,
    /// Recent places, direct-mapped: a spawn in a loop finds its row without hashing.
    recent: [Cell<(Key, u32)>; CACHE],
}

impl Default for SiteIndex {
    fn default() -> Self {
        Self {
            slots: Slots::default(),
            all: RefCell::new(HashMap::new()),
            recent: std::array::from_fn(|_| Cell::new(((0, 0), OTHER))),
        }
    }
}

impl Sites {
    pub(crate) fn new() -> Self {
        Self {
            rows: Slab::new(CAP),
        }
    }

    /// Tasks whose place found the table full.
    pub(crate) fn beyond(&self) -> u64 {
        let other = self.get(OTHER);
        other.map_or(0, |row| row.spawned.load(Ordering::Relaxed))
    }

    /// The row of a site, by the number that task rows carry.
    #[inline]
    pub(crate) fn get(&self, site: u32) -> Option<&SiteRow> {
        self.rows.get(site)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &SiteRow)> {
        self.rows.live()
    }

    /// Finds or makes the row of a place and type. Owner's thread.
    #[inline]
    pub(crate) fn of(
        &self,
        index: &SiteIndex,
        place: &'static Location<'static>,
        type_name: &'static str,
        size: usize,
    ) -> u32 {
        let key = (
            std::ptr::from_ref(place) as usize,
            type_name.as_ptr() as usize,
        );
        let recent = &index.recent[(key.0 >> 3 ^ key.1 >> 4) % CACHE];
        let (known, site) = recent.get();
        if known == key {
            return site;
        }
        let site = self.look_up(index, key, place, type_name, size);
        recent.set((key, site));
        site
    }

    #[cold]
    fn look_up(
        &self,
        index: &SiteIndex,
        key: Key,
        place: &'static Location<'static>,
        type_name: &'static str,
        size: usize,
    ) -> u32 {
        if let Some(&site) = index.all.borrow().get(&key) {
            return site;
        }
        if index.slots.live() == 0 {
            self.add(index, None, "(other)", 0);
        }
        let site = self
            .add(index, Some(place), type_name, size)
            .unwrap_or(OTHER);
        if site != OTHER {
            index.all.borrow_mut().insert(key, site);
        }
        site
    }

    fn add(
        &self,
        index: &SiteIndex,
        place: Option<&'static Location<'static>>,
        type_name: &'static str,
        size: usize,
    ) -> Option<u32> {
        let (site, row) = self.rows.take(&index.slots)?;
        if let Some(place) = place {
            row.place.set(place);
        }
        // A slot is taken once and never given back, so the facts are set once.
        let _ = row.facts.set(Facts {
            type_name,
            size,
            polls: Histogram::default(),
        });
        row.id.store(u64::from(site) + 1, Ordering::Release);
        Some(site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    #[test]
    fn one_place_and_type_is_one_site() {
        let (sites, index) = (Sites::new(), SiteIndex::default());
        let place = here();
        let a = sites.of(&index, place, "A", 8);
        let b = sites.of(&index, place, "B", 16);
        assert_eq!(sites.of(&index, place, "A", 8), a);
        assert_ne!(a, b);
        let row = sites.get(b).unwrap();
        assert_eq!(
            (row.type_name(), row.size(), row.place()),
            ("B", 16, Some(place))
        );
    }

    #[test]
    fn places_beyond_the_cap_share_one_row() {
        let (sites, index) = (Sites::new(), SiteIndex::default());
        let place = here();
        let names: Vec<&'static str> = (0..CAP + 10)
            .map(|i| &*Box::leak(format!("T{i}").into_boxed_str()))
            .collect();
        let last = names
            .iter()
            .map(|name| sites.of(&index, place, name, 1))
            .last();
        assert_eq!(last, Some(OTHER));
        assert_eq!(sites.get(OTHER).unwrap().type_name(), "(other)");
        assert_ne!(sites.of(&index, place, names[0], 1), OTHER);
    }
}
