//! The table by itself: what is shown, kept, counted and told.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::inspect::stack::{How, Stack};

fn block(id: u64, verdict: Verdict) -> Block {
    Block {
        id,
        loop_id: LoopId::from_raw(7),
        doing: Doing::Polling,
        task: None,
        spawn_place: None,
        began: 1,
        ended: None,
        wall_ns: 100,
        allowed: Default::default(),
        bracket: Some(Bracket {
            lower: 90 + id,
            upper: 100,
        }),
        budget_ns: 50,
        seen: Seen::Live,
        verdict,
        vetoed: false,
        cause: Judgement::default(),
        samples: Samples::default(),
        stack_missing: String::new(),
        place: Place::default(),
        cpu_ns: None,
        delay_ns: None,
        throttled: None,
        behind: None,
    }
}

/// A proven block that ended, for tests of what keeps blocks.
pub(crate) fn sample(id: u64, lower: u64) -> Block {
    Block {
        bracket: Some(Bracket {
            lower,
            upper: lower + 1,
        }),
        ended: Some(id + 1),
        ..block(id, Verdict::Proven)
    }
}

fn stack() -> Stack {
    Stack {
        frames: Vec::new(),
        complete: true,
        at: 1,
        how: How::Signal,
    }
}

fn names(count: usize) -> Arc<[Named]> {
    let named = Named {
        lines: Arc::from([]),
        common: 0,
    };
    vec![named; count].into()
}

const LOOP: fn() -> LoopId = || LoopId::from_raw(7);

#[test]
fn a_block_is_shown_while_it_lasts_and_kept_when_it_ended() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let notify: Notify = Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let blocks = Blocks::new(Some(notify));
    blocks.show(&block(1, Verdict::Open), false);
    let shown = blocks.now(LoopId::from_raw(7)).unwrap();
    assert!(shown.waits_for_cpu());
    blocks.show(&block(1, Verdict::Proven), true);
    blocks.file(block(1, Verdict::Proven));
    assert!(blocks.now(LoopId::from_raw(7)).is_none());
    assert_eq!(blocks.recent(LOOP()).len(), 1);
    let tally = blocks.tally(LoopId::from_raw(7));
    assert_eq!((tally.proven, tally.worst, tally.host), (1, 91, 0));
    assert_eq!(told.load(Ordering::Relaxed), 2, "not of what is unproven");
}

#[test]
fn what_the_host_did_is_counted_but_pushes_nothing_out() {
    let blocks = Blocks::new(None);
    for id in 0..KEPT as u64 + 5 {
        blocks.file(block(id, Verdict::Proven));
        blocks.file(block(10_000 + id, Verdict::Host));
    }
    let recent = blocks.recent(LOOP());
    assert_eq!((recent.len(), recent[0].id), (KEPT, 5));
    assert_eq!(blocks.tally(LoopId::from_raw(7)).host, KEPT as u64 + 5);
}

#[test]
fn names_of_older_stacks_are_shown_until_the_newest_has_its_own() {
    let blocks = Blocks::new(None);
    let mut shown = block(1, Verdict::Proven);
    shown.samples.push(stack());
    blocks.show(&shown, false);
    assert!(blocks.has_unnamed());
    let place = Place {
        text: "parse.rs:54".to_owned(),
        ..Place::default()
    };
    blocks.name(1, &names(1), Some(&place));
    let now = || blocks.now(LOOP()).unwrap();
    assert!(now().samples.is_named() && !blocks.has_unnamed());
    // The watchdog's copy has neither names nor place; its next look does not take them away.
    shown.samples.push(stack());
    blocks.show(&shown, false);
    assert!(now().samples.is_named() && blocks.has_unnamed());
    let without_namer = Blocks::new(None);
    without_namer.show(&shown, false);
    without_namer.names_fail();
    assert!(
        !without_namer.has_unnamed(),
        "nobody waits for what does not come"
    );
    assert_eq!(now().place.text, "parse.rs:54");
    // What both have in common has no line of the app: then nothing in the stack is to blame.
    blocks.name(1, &names(2), None);
    assert_eq!(
        (now().place.text.as_str(), blocks.has_unnamed()),
        ("", false)
    );
    blocks.file(shown);
    assert!(blocks.recent(LOOP())[0].samples.is_named());
}

#[test]
fn the_last_blocks_of_a_loop_and_the_worst_of_the_hour_keep_their_stacks() {
    let blocks = Blocks::new(None);
    for id in 0..60_u64 {
        let lower = if id == 20 { 9_000 } else { 100 - id };
        let mut block = sample(id, lower);
        block.samples.push(stack());
        blocks.file(block);
    }
    let recent = blocks.recent(LOOP());
    let with_stack = |block: &&Arc<Block>| block.samples.taken() > 0;
    assert_eq!(recent.iter().filter(with_stack).count(), WITH_STACKS);
    assert!(recent[0].stack_missing.contains("let go of"));
    let all = blocks.all();
    assert_eq!(all.len(), 60, "each once");
    assert!(all[20].samples.taken() > 0, "it was the worst");
}

#[test]
fn what_a_quota_held_up_is_kept_apart_and_counts_against_nobody() {
    let blocks = Blocks::new(None);
    for id in 0..40_u64 {
        let mut held_up = block(id, Verdict::Host);
        held_up.ended = Some(id + 1);
        held_up.cause.kind = Cause::Throttled;
        blocks.file(held_up);
    }
    let tally = blocks.tally(LOOP());
    assert_eq!((tally.proven, tally.host, tally.throttled), (0, 40, 40));
    assert!(blocks.recent(LOOP()).is_empty() && blocks.latest().is_empty());
    assert_eq!(blocks.all().len(), KEPT_THROTTLED);
}

#[test]
fn the_longest_that_the_host_held_up_in_an_hour_are_listed_and_count_against_nobody() {
    let blocks = Blocks::new(None);
    let held_up = |id: u64, wall_ns: u64, ended: u64| {
        let mut block = block(id, Verdict::Host);
        (block.wall_ns, block.ended) = (wall_ns, Some(ended));
        block.cause.kind = Cause::Host;
        block
    };
    blocks.file(held_up(1, 533_000_000, 10));
    for id in 2..50 {
        blocks.file(held_up(id, id, 10 + id));
    }
    let tally = blocks.tally(LOOP());
    assert_eq!((tally.proven, tally.host, tally.throttled), (0, 49, 0));
    assert!(blocks.recent(LOOP()).is_empty() && blocks.latest().is_empty());
    let listed: Vec<u64> = blocks.all().iter().map(|block| block.id).collect();
    assert_eq!(
        (listed.len(), listed[0]),
        (KEPT_HOST, 1),
        "the longest stays"
    );
    assert!(listed[1..].iter().all(|id| *id > 34), "{listed:?}");
    // What nobody can tell from a block is not listed as if it were none.
    let mut untold = held_up(90, 900, 100);
    untold.bracket = None;
    blocks.file(untold);
    assert!(blocks.all().iter().all(|block| block.id != 90));
    // An hour later the old ones have given way, also to one that is shorter.
    let hour = clock::ns_to_ticks(Duration::from_nanos(HOUR));
    blocks.file(held_up(99, 7, 100 + hour));
    let listed: Vec<u64> = blocks.all().iter().map(|block| block.id).collect();
    assert_eq!(listed, [99]);
}

#[test]
fn many_loops_together_keep_no_more_than_is_allowed() {
    let blocks = Blocks::new(None);
    for id in 0..2_000_u64 {
        let mut one = sample(id, 100);
        one.loop_id = LoopId::from_raw(1 + id as u32 % 40);
        one.began = id;
        blocks.file(one);
    }
    let kept = blocks.latest();
    assert_eq!(
        (kept.len(), kept[0].id),
        (KEPT_IN_ALL, 2_000 - KEPT_IN_ALL as u64)
    );
}
