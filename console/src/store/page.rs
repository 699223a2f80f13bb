//! The part of a long list that is at hand, kept calm: rows change in place at once, but change places only when allowed.
//! Knows neither what a row is about nor how high the screen is.

use std::collections::HashMap;
use std::time::Duration;

use super::{Row, Rows};

/// How long a row that ended stays, dimmed.
const ENDED_STAYS: Duration = Duration::from_secs(5);
/// How long a new row carries its mark.
const NEW_STAYS: Duration = Duration::from_secs(5);

/// What the screen marks beside a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    None,
    /// Came to be while we looked.
    New,
    /// Ended while we looked: the list was complete and it was not in it.
    Ended,
    /// Not in this part of the list any more; it may live elsewhere in it.
    Left,
}

/// Rows `offset..offset + rows.len()` of a list of `matched`.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub total: u64,
    pub matched: u64,
    pub offset: u64,
    pub rows: Vec<T>,
    /// Rows moved while they were read: a few may be missing or twice.
    pub torn: bool,
    /// An answer arrived since the question changed.
    pub loaded: bool,
    marks: HashMap<u64, (Mark, Duration)>,
    /// The newest answer, while rows may not change places.
    held: Option<Rows<T>>,
    pinned: Option<u64>,
    /// The app's clock at the last answer.
    read_ns: u64,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page {
            total: 0,
            matched: 0,
            offset: 0,
            rows: Vec::new(),
            loaded: false,
            torn: false,
            marks: HashMap::new(),
            held: None,
            pinned: None,
            read_ns: 0,
        }
    }
}

impl<T: Row + Clone> Page<T> {
    /// Takes an answer in. With `resort`, its order is shown; without, known rows are refreshed where they are, rows that are
    /// gone are marked, and the order waits for [`Page::settle`].
    pub fn take(&mut self, rows: Rows<T>, now: Duration, at_ns: u64, resort: bool) {
        let moved = !self.loaded || rows.offset != self.offset;
        // Of this list's last answer: those of other lists came in between.
        let since_ns = std::mem::replace(&mut self.read_ns, at_ns);
        if since_ns > 0 && self.loaded {
            for row in &rows.rows {
                if row.born_ns().is_some_and(|born| born > since_ns) {
                    self.marks.insert(row.id(), (Mark::New, now));
                }
            }
        }
        self.torn = rows.torn;
        self.total = rows.total;
        self.matched = rows.matched;
        let complete = rows.offset == 0 && rows.rows.len() as u64 >= rows.total;
        let at: HashMap<u64, usize> = rows
            .rows
            .iter()
            .enumerate()
            .map(|(i, r)| (r.id(), i))
            .collect();
        if moved {
            self.marks.retain(|_, (mark, _)| *mark == Mark::New);
        } else {
            for row in &self.rows {
                let id = row.id();
                let gone = !at.contains_key(&id);
                match self.marks.get_mut(&id) {
                    Some((mark @ (Mark::Ended | Mark::Left), _)) if !gone => *mark = Mark::None,
                    Some((mark @ (Mark::New | Mark::None), since)) if gone => {
                        *mark = if complete { Mark::Ended } else { Mark::Left };
                        *since = now;
                    }
                    None if gone => {
                        self.marks
                            .insert(id, (if complete { Mark::Ended } else { Mark::Left }, now));
                    }
                    _ => {}
                }
            }
        }
        if resort || moved {
            self.show(rows, now, complete && !moved);
            return;
        }
        for row in &mut self.rows {
            if let Some(&i) = at.get(&row.id()) {
                *row = rows.rows[i].clone();
            }
        }
        self.held = Some(rows);
    }

    /// Puts `rows` on show. Rows that ended a moment ago keep about their place when the list is complete: in a part of a list
    /// nobody can tell an ended row from one that sorted elsewhere.
    fn show(&mut self, rows: Rows<T>, now: Duration, keep_ended: bool) {
        let (from, loaded) = (self.offset, self.loaded);
        let old = std::mem::replace(&mut self.rows, rows.rows);
        self.offset = rows.offset;
        self.held = None;
        self.loaded = true;
        // The selected row keeps its place, whatever became of it, unless another question was asked.
        let pinned = self.pinned.filter(|id| loaded && self.get(*id).is_none());
        self.marks.retain(|id, (mark, at)| match mark {
            Mark::New => now.saturating_sub(*at) < NEW_STAYS,
            Mark::Ended => {
                Some(*id) == pinned || keep_ended && now.saturating_sub(*at) < ENDED_STAYS
            }
            Mark::Left => Some(*id) == pinned,
            Mark::None => false,
        });
        for (index, row) in old.into_iter().enumerate() {
            let id = row.id();
            let stays = Some(id) == pinned
                || matches!(self.marks.get(&id), Some((Mark::Ended | Mark::Left, _)));
            let at = (from + index as u64)
                .checked_sub(self.offset)
                .and_then(|at| usize::try_from(at).ok());
            if let (true, Some(at)) = (stays, at.filter(|at| *at <= self.rows.len())) {
                self.rows.insert(at, row);
                let mark = self.marks.entry(id).or_insert((Mark::Left, now));
                if mark.0 == Mark::New {
                    mark.0 = Mark::Left;
                }
            } else {
                // Nothing is marked that is not on show.
                if stays {
                    self.marks.remove(&id);
                }
            }
        }
    }

    /// Shows the newest order, if one waits.
    pub fn settle(&mut self, now: Duration) {
        if let Some(rows) = self.held.take() {
            let read_ns = self.read_ns;
            self.take(rows, now, read_ns, true);
        }
    }

    /// Takes rows out at once.
    pub fn remove(&mut self, leaves: impl Fn(&T) -> bool) {
        let before = self.rows.len();
        self.rows.retain(|r| !leaves(r));
        let gone = (before - self.rows.len()) as u64;
        self.matched = self.matched.saturating_sub(gone);
        self.total = self.total.saturating_sub(gone);
    }

    /// Whether an order waits to be shown.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The question changed: what is here answers another one. It stays visible, dimmed by the screen, until the answer.
    pub fn stale(&mut self) {
        self.loaded = false;
        self.held = None;
        self.marks.clear();
    }

    /// What to mark beside a row; a row stays new for five seconds.
    pub fn mark(&self, id: u64, now: Duration) -> Mark {
        match self.marks.get(&id) {
            Some((Mark::New, at)) if now.saturating_sub(*at) >= NEW_STAYS => Mark::None,
            Some((mark, _)) => *mark,
            None => Mark::None,
        }
    }

    /// How many rows the list shows: those that matched, and those that ended a moment ago.
    pub fn len(&self) -> u64 {
        self.matched.max(self.offset + self.rows.len() as u64)
    }

    /// Whether there is no row to show.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at place `rank` of the whole list, if it is at hand.
    pub fn at(&self, rank: u64) -> Option<&T> {
        self.rows
            .get(usize::try_from(rank.checked_sub(self.offset)?).ok()?)
    }

    /// The place in the whole list of the row `id`, if it is at hand.
    pub fn rank(&self, id: u64) -> Option<u64> {
        self.rows
            .iter()
            .position(|r| r.id() == id)
            .map(|i| self.offset + i as u64)
    }

    /// The row of that id, if it is at hand.
    pub fn get(&self, id: u64) -> Option<&T> {
        self.rows.iter().find(|r| r.id() == id)
    }

    /// Whether every row that matched is at hand.
    pub fn is_whole(&self) -> bool {
        self.offset == 0 && self.rows.len() as u64 >= self.matched
    }
}

/// A page whose rows are of any kind.
pub trait Listed {
    /// How many rows the list shows, at hand or not.
    fn len(&self) -> u64;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether an answer arrived since the question changed.
    fn loaded(&self) -> bool;
    /// The place of the first row at hand.
    fn offset(&self) -> u64;
    /// The row at a place of the list, if it is at hand.
    fn id_at(&self, rank: u64) -> Option<u64>;
    /// A row's place in the list, if it is at hand.
    fn rank_of(&self, id: u64) -> Option<u64>;
    /// Shows the newest order, if one waits.
    fn settle(&mut self, now: Duration);
    /// Whether an order waits to be shown.
    fn is_held(&self) -> bool;
    /// What is here answers another question from now on.
    fn stale(&mut self);
    /// The selected row: if it leaves, its last state stays at its place until the selection moves.
    fn pin(&mut self, id: Option<u64>);
}

impl<T: Row + Clone> Listed for Page<T> {
    fn len(&self) -> u64 {
        Page::len(self)
    }
    fn loaded(&self) -> bool {
        self.loaded
    }
    fn offset(&self) -> u64 {
        self.offset
    }
    fn id_at(&self, rank: u64) -> Option<u64> {
        self.at(rank).map(Row::id)
    }
    fn rank_of(&self, id: u64) -> Option<u64> {
        self.rank(id)
    }
    fn settle(&mut self, now: Duration) {
        Page::settle(self, now);
    }
    fn is_held(&self) -> bool {
        Page::is_held(self)
    }
    fn stale(&mut self) {
        Page::stale(self);
    }
    fn pin(&mut self, id: Option<u64>) {
        self.pinned = id;
    }
}
