//! What is usual at a spawn place: how long its tasks live, and how long they sleep. Sampled from
//! the tasks that ended and from some of those that live; nothing of it is written by the app's loop.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::inspect::ids::IdMap;
use crate::inspect::tables::{Look, Moment};
use crate::record::site;
use crate::record::task::{Kind, State, TaskFacts};

/// Fewer than this say nothing of what is usual.
const ENOUGH: u32 = 20;
/// Ended tasks that are looked at, of each loop in each look: the latest.
const ENDED: u64 = 256;
/// Live tasks that are looked at closely in one walk, about.
const SAMPLE: u64 = 4096;
/// Above this the counts of a spread are halved: what was usual is forgotten slowly.
const FORGETS: u32 = 8192;

/// Durations in buckets of an eighth of an octave.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    counts: Box<[u32; 512]>,
    total: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            counts: Box::new([0; 512]),
            total: 0,
        }
    }
}

impl Spread {
    pub(super) fn add(&mut self, ns: u64) {
        if self.total == FORGETS {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket(ns)] += 1;
        self.total += 1;
    }

    /// How many it knows, about: of those that were long ago it has forgotten half.
    pub(super) fn total(&self) -> u64 {
        self.total.into()
    }

    /// What 99 of 100 are below. `None`: too few to say.
    pub(super) fn p99(&self) -> Option<u64> {
        if self.total < ENOUGH {
            return None;
        }
        let mut above = self.total / 100;
        let top = self.counts.iter().rposition(|count| {
            let here = *count > above;
            above -= above.min(*count);
            here
        });
        top.map(upper)
    }
}

fn bucket(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let octave = 63 - ns.leading_zeros() as usize;
    octave * 8 + (ns >> (octave - 3) & 7) as usize
}

/// The first duration above that bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < 24 {
        return bucket as u64 + 1;
    }
    let (octave, part) = (bucket / 8, bucket as u64 % 8);
    let top = u128::from(9 + part) << (octave - 3);
    u64::try_from(top).unwrap_or(u64::MAX)
}

/// A loop's number and a site's.
pub(super) type Place = (u32, u32);

/// What is usual, nanoseconds, and from how many that is known.
pub(super) type Known = (u64, u64);

#[derive(Default)]
struct Habit {
    lives: Spread,
    sleeps: Spread,
    /// The longest sleeps that were seen to end.
    longest: [u64; 2],
    /// Of the tasks that the last walk looked at: how many live, and how many sleep for long.
    live: u32,
    resting: u32,
    counting: [u32; 2],
}

/// What is usual at all places.
pub(crate) struct Usual {
    habits: HashMap<Place, Habit>,
    /// Ended tasks of each loop that were seen.
    read: HashMap<u32, u64>,
    /// Those that slept for long at the last walk: at how many polls, and since when.
    before: IdMap<(u64, u64)>,
    now: IdMap<(u64, u64)>,
    walked_at: u64,
    /// What this walk was told of places already: it may ask for a million tasks.
    told: HashMap<Place, Option<Known>>,
    last: Option<(Place, Option<Known>)>,
    /// Every so many-th task is looked at: a power of two.
    stride: u64,
    live: u64,
}

impl Default for Usual {
    fn default() -> Self {
        Self {
            habits: HashMap::new(),
            read: HashMap::new(),
            before: IdMap::default(),
            now: IdMap::default(),
            walked_at: 0,
            told: HashMap::new(),
            last: None,
            stride: 1,
            live: 0,
        }
    }
}

impl Usual {
    /// Looks at the tasks that ended since the last time.
    pub(super) fn read_ended(&mut self, look: &Look) {
        for at in &look.loops {
            if at.record.facts.internal {
                continue;
            }
            let ring = &at.record.ended;
            let id = at.record.id.get();
            let seen = self.read.entry(id).or_default();
            let written = ring.written();
            let fresh = written.saturating_sub(*seen).min(ENDED);
            *seen = written;
            for ended in (0..fresh).filter_map(|back| ring.get(back)) {
                if ended.kind == Kind::Callback as u8 {
                    continue;
                }
                let habit = self.habits.entry((id, ended.site)).or_default();
                let lived = ended.ended_at.saturating_sub(ended.spawned_at);
                habit.lives.add(look.now.ns(lived));
                let slept = lived.saturating_sub(ended.busy.saturating_add(ended.scheduled));
                if ended.polls > 1 {
                    habit.sleeps.add(look.now.ns(slept / (ended.polls - 1)));
                }
            }
        }
        if self.read.len() > 2 * look.loops.len() + 16 {
            let lives = |id: u32| look.loops.iter().any(|at| at.record.id.get() == id);
            self.read.retain(|id, _| lives(*id));
            self.habits.retain(|(id, _), _| lives(*id));
        }
    }

    pub(super) fn begin_walk(&mut self) {
        self.live = 0;
        self.now.clear();
        self.told.clear();
        self.last = None;
        for habit in self.habits.values_mut() {
            habit.counting = [0; 2];
        }
    }

    /// Looks at one live task of a walk, which has been in its state since `since_ns`.
    #[inline]
    pub(super) fn look_at(&mut self, facts: &TaskFacts, since_ns: u64, now: &Moment, long: u64) {
        self.live += 1;
        if facts.id & (self.stride - 1) == 0 && facts.kind != Kind::Callback {
            self.sample(facts, since_ns, now, long);
        }
    }

    fn sample(&mut self, facts: &TaskFacts, since_ns: u64, now: &Moment, long: u64) {
        let place = (facts.loop_id, facts.site);
        let habit = self.habits.entry(place).or_default();
        let sleeps = match facts.state {
            State::Wait => now.mono.saturating_sub(since_ns),
            _ => 0,
        };
        habit.counting[0] += 1;
        // Half of it: who has slept so long at the last walk may be over it at this one.
        habit.counting[1] += u32::from(sleeps >= long / 2);
        if facts.polls >= 3 {
            let awake = now.ns(facts.busy.saturating_add(facts.scheduled));
            let awake = awake.saturating_add(sleeps);
            let slept = now.since(facts.spawned_at).saturating_sub(awake);
            habit.sleeps.add(slept / (facts.polls - 1));
        }
        if let Some((polls, since)) = self.before.get(&facts.id)
            && *polls != facts.polls
        {
            // It slept at the last walk, and has been woken since: it slept so long at least.
            let ended = self.walked_at.saturating_sub(*since);
            habit.sleeps.add(ended);
            let [first, second] = habit.longest;
            if ended > second {
                habit.longest = [first.max(ended), first.min(ended)];
            }
        }
        // What is shorter cannot make the limit longer.
        if sleeps >= long / 20 && (self.now.len() as u64) < 2 * SAMPLE {
            self.now.insert(facts.id, (facts.polls, since_ns));
        }
    }

    pub(super) fn end_walk(&mut self, now: u64) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.walked_at = now;
        self.stride = (self.live / SAMPLE).max(1).next_power_of_two();
        for habit in self.habits.values_mut() {
            [habit.live, habit.resting] = habit.counting;
        }
    }

    /// What tasks of that place usually sleep at most. `None`: not known, or most of them sleep for
    /// long now and few have ended there: then it is how they are.
    pub(super) fn sleep(&mut self, place: Place, finished: impl FnOnce() -> u64) -> Option<Known> {
        // Tasks of many places together have nothing that is usual.
        if place.1 == site::OTHER {
            return None;
        }
        if let Some((_, usual)) = self.last.filter(|(of, _)| *of == place) {
            return usual;
        }
        let usual = match self.told.get(&place) {
            Some(usual) => *usual,
            None => self.sleep_of(place, finished()),
        };
        self.told.insert(place, usual);
        self.last = Some((place, usual));
        usual
    }

    fn sleep_of(&self, place: Place, finished: u64) -> Option<Known> {
        let habit = self.habits.get(&place)?;
        let usual = habit.sleeps.p99()?.max(habit.longest[1]);
        let live = u64::from(habit.live);
        let alone = live > 0 && 2 * u64::from(habit.resting) < live;
        let mortal = live > 0 && finished >= 20 * live * self.stride;
        (alone || mortal).then_some((usual, habit.sleeps.total()))
    }

    /// What tasks of that place usually live at most. `None`: too few have ended.
    pub(super) fn life(&self, place: Place) -> Option<Known> {
        let lives = &self.habits.get(&place)?.lives;
        Some((lives.p99()?, lives.total()))
    }

    pub(super) fn bytes(&self) -> usize {
        self.habits.len() * (size_of::<Habit>() + 4096) + 24 * (self.before.len() + self.now.len())
    }
}

/// Tasks of a site that have ended.
pub(super) fn finished(record: &crate::record::LoopRecord, site: u32) -> u64 {
    record
        .sites
        .get(site)
        .map_or(0, |site| site.finished.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_above_what_lies_in_it_by_an_eighth_at_most() {
        for ns in [0, 7, 8, 9, 15, 16, 100, 1_000, 123_456_789, 1 << 40] {
            let top = upper(bucket(ns));
            assert!(ns < top && top <= ns + ns / 8 + 1, "{ns} {top}");
        }
        assert_eq!(upper(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn what_is_usual_needs_enough_and_leaves_one_in_a_hundred_out() {
        let mut spread = Spread::default();
        (0..19).for_each(|_| spread.add(1_000));
        assert_eq!(spread.p99(), None);
        (0..180).for_each(|_| spread.add(1_000));
        spread.add(1 << 40);
        let usual = spread.p99().unwrap();
        assert!((1_000..1_200).contains(&usual), "{usual}");
        (0..20).for_each(|_| spread.add(1 << 40));
        assert!(spread.p99().unwrap() > 1 << 40);
        (0..40_000).for_each(|_| spread.add(5));
        assert_eq!(spread.p99(), Some(6), "what was long ago is forgotten");
    }
}
