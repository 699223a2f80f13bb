//! Surviving generations: in how many slots of time the live tasks of a place were spawned, at the
//! end of each slot. A steady place keeps that number, a leak raises it by one a slot.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;

use loop_proto::finding::GrowthFacts;

use super::usual::{Place, Usual};
use crate::inspect::tables::Look;
use crate::record::site;
use crate::record::task::{Kind, flag, phase};

/// Slots that are remembered: as many as the rule looks at, and the one before.
const KEPT: usize = 31;

#[derive(Default)]
struct Generations {
    /// At the end of each slot, the latest last.
    counts: VecDeque<u64>,
    live: u64,
    oldest: u64,
    oldest_age: u64,
}

/// The tasks of one place that are found in a look.
#[derive(Default, Clone)]
struct Found {
    live: u64,
    oldest: (u64, u64),
    last: u64,
    /// A bit a slot, by its age.
    slots: Vec<u64>,
}

/// The generations of all places.
#[derive(Default)]
pub(crate) struct Growth {
    places: HashMap<Place, Generations>,
    /// The slot that runs.
    slot: u64,
    slot_ns: u64,
    ended_at: u64,
}

/// A place whose generations grow, as the rule is told.
pub(super) struct Grown<'a> {
    pub(super) site: u32,
    pub(super) oldest: u64,
    pub(super) facts: GrowthFacts<'a>,
}

impl Growth {
    /// Counts the generations, if a slot has ended since the last time.
    pub(super) fn take(&mut self, look: &Look, slot_ns: u64) {
        let slot_ns = slot_ns.max(1);
        let slot = look.now.mono / slot_ns;
        if slot_ns != self.slot_ns {
            // Other slots: all that was counted is void.
            *self = Self {
                slot,
                slot_ns,
                ..Self::default()
            };
        }
        let passed = slot.saturating_sub(self.slot);
        if passed == 0 {
            return;
        }
        self.slot = slot;
        self.ended_at = look.now.mono;
        let mut gone = std::mem::take(&mut self.places);
        for at in &look.loops {
            if at.record.facts.internal {
                continue;
            }
            let id = at.record.id.get();
            for (site, found) in sites(look, at, slot, slot_ns).into_iter().enumerate() {
                let place = (id, site as u32);
                let mut generations = gone.remove(&place).unwrap_or_default();
                if found.live == 0 && generations.live == 0 {
                    continue;
                }
                let count = found.slots.iter().map(|bits| u64::from(bits.count_ones()));
                let count = count.sum();
                // Slots in which nobody looked do not count as growth.
                for _ in 0..passed.min(KEPT as u64) {
                    if generations.counts.len() == KEPT {
                        generations.counts.pop_front();
                    }
                    generations.counts.push_back(count);
                }
                generations.live = found.live;
                (generations.oldest, generations.oldest_age) = found.oldest;
                generations.counts.make_contiguous();
                self.places.insert(place, generations);
            }
        }
    }

    /// The places of one loop, as the rule wants them.
    pub(super) fn of_loop<'a>(
        &'a self,
        id: u32,
        usual: &'a Usual,
        now: u64,
    ) -> impl Iterator<Item = Grown<'a>> {
        // Tasks of many places together are no place that grows.
        let of_it = self.places.iter();
        let of_it = of_it.filter(move |((of, at), _)| *of == id && *at != site::OTHER);
        of_it.map(move |(place, generations)| Grown {
            site: place.1,
            oldest: generations.oldest,
            facts: GrowthFacts {
                generations: generations.counts.as_slices().0,
                slot_ns: self.slot_ns,
                at_ns: self.ended_at,
                oldest_age_ns: generations
                    .oldest_age
                    .saturating_add(now.saturating_sub(self.ended_at)),
                usual_life_ns: usual.life(*place).map(|(life, _)| life),
                usual_of: usual.life(*place).map_or(0, |(_, of)| of),
                live: generations.live,
            },
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.len() * (size_of::<Generations>() + 8 * KEPT)
    }
}

/// Who lives on one loop, by site.
fn sites(
    look: &Look,
    at: &crate::inspect::tables::LoopLook,
    slot: u64,
    slot_ns: u64,
) -> Vec<Found> {
    let relaxed = Ordering::Relaxed;
    let mut sites: Vec<Found> = Vec::new();
    for (_, row) in at.record.tasks.live() {
        // Of all fields one may be of the row's next task: that is one more young one.
        let skipped = flag::FOREVER | flag::INTERNAL;
        if row.phase.load(relaxed) == phase::DONE
            || row.flags.load(relaxed) & skipped != 0
            || row.kind.load(relaxed) != Kind::Task as u8
        {
            continue;
        }
        let age = look.now.since(row.spawned_at.load(relaxed));
        let born = look.now.mono.saturating_sub(age) / slot_ns;
        let site = row.site() as usize;
        if sites.len() <= site {
            sites.resize(site + 1, Found::default());
        }
        let found = &mut sites[site];
        found.live += 1;
        if age > found.oldest.1 {
            found.oldest = (row.task_id(), age);
        }
        // Most of a crowd were born together.
        if found.last != born + 1 {
            found.last = born + 1;
            let back = slot.saturating_sub(born) as usize;
            if found.slots.len() <= back / 64 {
                found.slots.resize(back / 64 + 1, 0);
            }
            found.slots[back / 64] |= 1 << (back % 64);
        }
    }
    sites
}

#[cfg(test)]
mod tests {
    use loop_proto::finding::growing;

    use super::super::usual::Spread;
    use super::*;

    const SLOT: u64 = 60;

    /// A life in seconds: when it begins, and when it ends.
    type Life = (u64, u64);

    /// Whether `growing` is said at the end of any of the minutes of these lives.
    fn is_said(lives: &[Life], minutes: u64) -> bool {
        let (mut counts, mut spread) = (Vec::new(), Spread::default());
        (1..=minutes).any(|minute| {
            let now = minute * SLOT;
            let ended = lives
                .iter()
                .filter(|(_, end)| (now - SLOT..now).contains(end));
            ended.for_each(|(begin, end)| spread.add((end - begin) * 1_000_000_000));
            let alive = || {
                let begun = lives.iter().filter(|(begin, _)| *begin < now);
                begun.filter(|(_, end)| *end >= now)
            };
            let mut slots: Vec<u64> = alive().map(|(begin, _)| begin / SLOT).collect();
            slots.sort_unstable();
            slots.dedup();
            counts.push(slots.len() as u64);
            let oldest = alive().map(|(begin, _)| now - begin).max().unwrap_or(0);
            let facts = GrowthFacts {
                generations: &counts[counts.len().saturating_sub(KEPT)..],
                slot_ns: SLOT * 1_000_000_000,
                at_ns: now * 1_000_000_000,
                oldest_age_ns: oldest * 1_000_000_000,
                usual_life_ns: spread.p99(),
                usual_of: spread.total(),
                live: alive().count() as u64,
            };
            growing(&facts).is_some()
        })
    }

    /// Numbers that look random and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }

        /// Most are short, some several times as long.
        fn life(&mut self, usual: u64) -> u64 {
            let times = 1 + self.below(4) * self.below(3);
            1 + self.below(usual) * times
        }
    }

    const MINUTES: u64 = 90;

    /// Load that comes and goes: `(spawns a minute, in minute)`.
    fn ramp(dice: &mut Dice, longest: u64) -> Vec<Life> {
        let (period, most) = (10 + dice.below(80), 20 + dice.below(100));
        let usual = 1 + dice.below(longest);
        let mut lives = Vec::new();
        for minute in 0..MINUTES {
            let phase = minute % period;
            let height = phase.min(period - phase) * 2 * most / period;
            for _ in 0..height {
                let begin = minute * SLOT + dice.below(SLOT);
                lives.push((begin, begin + dice.life(usual)));
            }
        }
        lives
    }

    /// The same, and one in so many never ends.
    fn leaking(dice: &mut Dice) -> Vec<Life> {
        // Those that end do so in a minute or some: what is five times as old is seen in time.
        let (mut lives, one_in) = (ramp(dice, SLOT), 4 + dice.below(16));
        for life in &mut lives {
            if dice.below(one_in) == 0 {
                life.1 = u64::MAX;
            }
        }
        lives
    }

    #[test]
    fn of_what_is_said_under_ramps_of_load_nine_in_ten_are_leaks_and_most_leaks_are_said() {
        let mut dice = Dice(88_172_645_463_325_252);
        let rounds = 200;
        let wrong = (0..rounds).filter(|_| is_said(&ramp(&mut dice, 600), MINUTES));
        let wrong = wrong.count();
        let right = (0..rounds).filter(|_| is_said(&leaking(&mut dice), MINUTES));
        let right = right.count();
        println!("of {rounds} ramps {wrong} are said to grow, of {rounds} leaks {right}");
        assert!(
            right * 10 >= (right + wrong) * 9,
            "{right} right, {wrong} wrong"
        );
        assert!(
            right * 10 >= rounds * 7,
            "{right} of {rounds} leaks are said"
        );
    }

    #[test]
    fn what_stays_after_it_was_filled_is_no_growth() {
        let filled: Vec<Life> = (0..20 * SLOT).map(|at| (at, u64::MAX)).collect();
        assert!(!is_said(&filled, MINUTES), "a cache, full after 20 minutes");
        let pool: Vec<Life> = (0..20).map(|at| (at, u64::MAX)).collect();
        assert!(!is_said(&pool, MINUTES));
        let steady: Vec<Life> = (0..MINUTES * SLOT).map(|at| (at, at + 600)).collect();
        assert!(!is_said(&steady, MINUTES), "each lives ten minutes");
        let for_ever: Vec<Life> = (0..MINUTES * SLOT).map(|at| (at, u64::MAX)).collect();
        assert!(is_said(&for_ever, MINUTES), "none ever ends");
    }
}
