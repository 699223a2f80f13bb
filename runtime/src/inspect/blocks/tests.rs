//! The table by itself: what is shown, kept, counted and told.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::inspect::stack::How;

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
        stack: None,
        stack_missing: String::new(),
        lines: None,
        place: Place::default(),
        cpu_ns: None,
        delay_ns: None,
        ready: 0,
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

fn stack(samples: u32) -> Option<Arc<Stack>> {
    Some(Arc::new(Stack {
        frames: Vec::new(),
        complete: true,
        at: 1,
        how: How::Signal,
        samples,
    }))
}

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
    assert_eq!(blocks.recent().len(), 1);
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
    let recent = blocks.recent();
    assert_eq!((recent.len(), recent[0].id), (KEPT, 5));
    assert_eq!(blocks.tally(LoopId::from_raw(7)).host, KEPT as u64 + 5);
}

#[test]
fn names_of_an_older_stack_are_not_put_on_a_newer_one() {
    let blocks = Blocks::new(None);
    let mut shown = block(1, Verdict::Proven);
    shown.stack = stack(2);
    blocks.show(&shown, false);
    blocks.name(1, 1, Arc::from([]), None);
    let now = || blocks.now(LoopId::from_raw(7)).unwrap();
    assert!(now().lines.is_none());
    blocks.name(1, 2, Arc::from([]), None);
    assert!(now().lines.is_some());
    // The watchdog's copy has no names; its next look does not take them away.
    blocks.show(&shown, false);
    assert!(now().lines.is_some());
    blocks.file(shown);
    assert!(blocks.recent()[0].lines.is_some());
}
