//! Blocks of the last hour that outlive the list of the latest: the worst of each minute, so that
//! each peak of a strip can be explained, and the worst of all. Knows not how a block is noticed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::{HOUR, SLOTS};
use crate::id::LoopId;
use crate::inspect::blocks::Block;
use crate::inspect::stack::Frame;
use crate::inspect::stack::names::Line;

const MINUTE: u64 = 60_000_000_000;
/// The worst blocks of the hour that are kept.
pub(crate) const WORST: usize = 16;
/// Frames of the stacks of one that are kept, and lines of them in words; else the inner end of
/// what they have in common.
const FRAMES: usize = 96;
/// Bytes of those lines.
const TEXT: usize = 16 << 10;

/// One minute.
struct Minute {
    number: u64,
    ended: u64,
    worst: Arc<Block>,
}

/// What is kept of an hour's blocks.
#[derive(Default)]
pub(crate) struct Worst {
    minutes: VecDeque<Minute>,
    worst: Vec<(u64, Arc<Block>)>,
}

/// How long it held its loop, as far as is known.
pub(crate) fn held(block: &Block) -> u64 {
    block.bracket.map_or(block.wall_ns, |held| held.lower)
}

/// Which blocks the strips have. Each is in one slot, though it may be told a while after its end, and though the seconds that
/// close slots come late on a busy machine.
#[derive(Default)]
pub(crate) struct Drawn(HashSet<u64>);

impl Drawn {
    /// The longest block of each loop that no slot has yet. `open`: whether a slot of the loop is being filled; what is of one
    /// without is left for its first.
    pub(crate) fn take(
        &mut self,
        recent: &[Arc<Block>],
        open: impl Fn(LoopId) -> bool,
    ) -> HashMap<LoopId, u64> {
        let mut worst = HashMap::new();
        for block in recent {
            let of = block.loop_id;
            if block.ended.is_some() && open(of) && self.0.insert(block.id) {
                let longest: &mut u64 = worst.entry(of).or_default();
                *longest = held(block).max(*longest);
            }
        }
        self.0
            .retain(|id| recent.iter().any(|block| block.id == *id));
        worst
    }
}

/// The same block with no more of its stacks than is kept.
fn short(block: &Arc<Block>) -> Arc<Block> {
    if block.samples.fit(FRAMES, TEXT) {
        return block.clone();
    }
    let mut short = Block::clone(block);
    short.samples.shorten(FRAMES, TEXT);
    Arc::new(short)
}

/// What one takes, its stacks included: shared with the list of the latest or not.
fn bytes(block: &Block) -> usize {
    size_of::<Block>() + block.samples.bytes()
}

impl Worst {
    /// Bytes that it keeps.
    pub(crate) fn bytes(&self) -> usize {
        self.all().map(|block| bytes(block)).sum()
    }

    /// The most that `bytes` can come to.
    pub(crate) fn limit() -> usize {
        let one = size_of::<Block>() + FRAMES * (size_of::<Frame>() + size_of::<Line>()) + TEXT;
        (SLOTS + 2 + WORST) * one
    }

    /// Takes in a block that ended at `now`, nanoseconds.
    pub(crate) fn file(&mut self, block: &Arc<Block>, now: u64) {
        let block = &short(block);
        self.age(now);
        let number = now / MINUTE;
        match self.minutes.back_mut() {
            Some(minute) if minute.number == number => {
                minute.ended += 1;
                if held(block) > held(&minute.worst) {
                    minute.worst = block.clone();
                }
            }
            _ => self.minutes.push_back(Minute {
                number,
                ended: 1,
                worst: block.clone(),
            }),
        }
        if self.worst.len() < WORST {
            self.worst.push((now, block.clone()));
            return;
        }
        let least = self.worst.iter_mut().min_by_key(|(_, kept)| held(kept));
        if let Some(least) = least.filter(|(_, least)| held(least) < held(block)) {
            *least = (now, block.clone());
        }
    }

    /// Lets go of what ended more than an hour ago.
    pub(crate) fn age(&mut self, now: u64) {
        let from = now.saturating_sub(HOUR);
        let first = from / MINUTE;
        while self
            .minutes
            .front()
            .is_some_and(|minute| minute.number < first || self.minutes.len() > SLOTS + 1)
        {
            self.minutes.pop_front();
        }
        self.worst.retain(|(ended, _)| *ended >= from);
    }

    /// Puts a block whose names were found in place of the one without.
    pub(crate) fn replace(&mut self, named: &Arc<Block>) {
        let named = &short(named);
        let minutes = self.minutes.iter_mut().map(|minute| &mut minute.worst);
        let worst = self.worst.iter_mut().map(|(_, block)| block);
        for block in minutes.chain(worst).filter(|block| block.id == named.id) {
            *block = named.clone();
        }
    }

    pub(crate) fn find(&self, id: u64) -> Option<&Arc<Block>> {
        self.all().find(|block| block.id == id)
    }

    /// All that are kept; one may be there twice.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Block>> {
        let minutes = self.minutes.iter().map(|minute| &minute.worst);
        minutes.chain(self.worst.iter().map(|(_, block)| block))
    }

    /// How many ended within the hour, to the minute.
    pub(crate) fn ended(&self) -> u64 {
        self.minutes.iter().map(|minute| minute.ended).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::blocks::tests::sample;

    #[test]
    fn a_deep_stack_is_kept_from_its_inner_end_within_the_bound() {
        use crate::inspect::stack::names::Whose;
        use crate::inspect::stack::samples::Named;
        use crate::inspect::stack::{How, Stack};
        let frame = |offset| Frame {
            module: "app".into(),
            build_id: "".into(),
            offset,
            address: offset,
            function: None,
        };
        let line = |at: usize| Line {
            frame: at,
            function: format!("f{at}").repeat(200),
            place: String::new(),
            whose: Whose::App,
            inlined: false,
            culprit: at == 0,
            awaited_by: 0,
        };
        let mut deep = sample(1, 100);
        deep.samples.push(Stack {
            frames: (0..512).map(frame).collect(),
            complete: true,
            at: 1,
            how: How::Signal,
        });
        let mut kept = Worst::default();
        for number in 0..3_600 {
            kept.file(
                &Arc::new(Block {
                    id: number,
                    ..deep.clone()
                }),
                number * 1_000_000_000,
            );
        }
        // The names come later, as they do.
        deep.id = 3_540;
        deep.samples.name(Arc::from([Named {
            lines: (0..512).map(line).collect(),
            common: 512,
        }]));
        kept.replace(&Arc::new(deep));
        let last = kept.find(3_540).unwrap();
        let shown = last.samples.shown();
        let lines = shown[0].lines.unwrap();
        assert!(lines[0].culprit && lines.len() < FRAMES, "{}", lines.len());
        assert_eq!(shown[0].common, lines.len());
        assert_eq!(shown[0].stack.frames[0].offset, 0);
        assert!(kept.bytes() <= Worst::limit());
        assert!(Worst::limit() <= 3 << 20, "{}", Worst::limit());
    }

    #[test]
    fn the_worst_of_each_minute_and_of_the_hour_are_kept_and_all_are_counted() {
        let mut kept = Worst::default();
        let second = 1_000_000_000;
        for number in 0..3_600_u64 {
            // One in a hundred seconds is ten times as long as the others.
            let lower = if number % 100 == 7 {
                1_000 + number
            } else {
                100
            };
            kept.file(&Arc::new(sample(number, lower)), number * second);
        }
        assert_eq!(kept.ended(), 3_600);
        assert_eq!(kept.minutes.len(), 60);
        assert_eq!(kept.worst.len(), WORST);
        assert!(kept.find(3_507).is_some() && kept.find(7).is_some());
        assert!(kept.worst.iter().all(|(_, block)| held(block) >= 1_000));
        assert!(kept.bytes() <= Worst::limit());
        // Two hours later nothing of it is left.
        kept.age(3 * 3_600 * second);
        assert_eq!((kept.ended(), kept.all().count()), (0, 0));
    }

    #[test]
    fn a_block_is_in_the_strip_once_whenever_it_is_told() {
        let told: Vec<Arc<Block>> = [(1, 5), (2, 9)]
            .map(|(id, ns)| Arc::new(sample(id, ns)))
            .into();
        let of = told[0].loop_id;
        let mut drawn = Drawn::default();
        // The loop has no slot yet, so they wait for the first one.
        assert!(drawn.take(&told, |_| false).is_empty());
        assert_eq!(drawn.take(&told, |_| true), HashMap::from([(of, 9)]));
        assert!(drawn.take(&told, |_| true).is_empty());
        let running = Block {
            ended: None,
            ..sample(3, 4)
        };
        let goes_on = [told[1].clone(), Arc::new(running)];
        assert!(drawn.take(&goes_on, |_| true).is_empty());
        let ended = [told[1].clone(), Arc::new(sample(3, 4))];
        assert_eq!(drawn.take(&ended, |_| true), HashMap::from([(of, 4)]));
        assert_eq!(drawn.0.len(), 2, "what is no longer listed is forgotten");
    }
}
