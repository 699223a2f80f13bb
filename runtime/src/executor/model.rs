//! Loom: the protocols of `away`, over all interleavings of the threads named.
//!
//! Each was seen to fail with its protocol weakened: `take_marks` or `settle_closed` as a load and
//! a store in place of the swap, a relaxed `fetch_or` in `wake`, a relaxed push, a wake that relies on a drop's announcement, a load in place of
//! the write of nothing in `prepare_sleep`, and a last drop that is judged by the count before it.

use std::sync::atomic::{AtomicUsize as Count, Ordering as StdOrdering};

use loom::sync::Arc;
use loom::thread;

use super::away::{self, Away, Pushed, Stack, Taken};
use crate::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

#[repr(align(64))]
struct Row {
    link: AtomicUsize,
    marks: AtomicU32,
    refs_away: AtomicI32,
}

impl Away for Row {
    fn link(&self) -> &AtomicUsize {
        &self.link
    }
    fn marks(&self) -> &AtomicU32 {
        &self.marks
    }
    fn refs_away(&self) -> &AtomicI32 {
        &self.refs_away
    }
}

struct World {
    stack: Stack,
    row: Row,
    /// How often somebody was told to release the closed loop's hold.
    releases: Count,
    /// What a waker wrote before it woke.
    written: AtomicU32,
    /// Kicks sent to the loop. The kernel orders one before the end of the wait that it ends, so a
    /// kick is a release and its look an acquire.
    kicks: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            stack: Stack::default(),
            row: Row {
                link: AtomicUsize::new(0),
                marks: AtomicU32::new(0),
                refs_away: AtomicI32::new(0),
            },
            releases: Count::new(0),
            written: AtomicU32::new(0),
            kicks: AtomicUsize::new(0),
        })
    }

    fn after(&self, left: away::Left) {
        if left.release {
            self.releases.fetch_add(1, StdOrdering::Relaxed);
        }
        if left.wake_loop {
            self.kicks.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn give_up(&self) {
        // The world outlives its threads: nothing needs to be kept.
        let (left, _keep) = away::give_up(&self.stack, &self.row, || ());
        self.after(left);
    }

    /// As the loop does: whether the row was woken, and how many references came back.
    fn take(&self) -> (bool, i32) {
        let head = self.stack.take();
        if head == 0 {
            return (false, 0);
        }
        assert!(matches!(away::kind_of(head), Taken::Row(_)));
        assert_eq!(
            self.row.link.load(Ordering::Relaxed),
            0,
            "one row is on the stack once"
        );
        away::take_marks(&self.row)
    }
}

#[test]
fn model_a_wake_is_seen_by_a_take_that_comes_after_what_it_wrote() {
    loom::model(|| {
        let world = World::new();
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    world.written.fetch_add(1, Ordering::Relaxed);
                    world.after(away::wake(&world.stack, &world.row).0);
                })
            })
            .collect();
        // A poll after each wake that is taken; the last one must have seen both writings.
        let mut seen = 0;
        if world.take().0 {
            seen = world.written.load(Ordering::Relaxed);
        }
        wakers
            .into_iter()
            .for_each(|waker| waker.join().expect("a waker does not panic"));
        if world.take().0 {
            seen = world.written.load(Ordering::Relaxed);
        }
        assert_eq!(seen, 2, "a wake was lost");
    });
}

#[test]
fn model_every_reference_given_up_is_deducted_once() {
    loom::model(|| {
        let world = World::new();
        let droppers: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    away::clone(&world.row);
                    world.give_up();
                    world.give_up();
                })
            })
            .collect();
        // Two references, one a thread, and each thread makes one more.
        let mut here = 2 - world.take().1;
        droppers
            .into_iter()
            .for_each(|dropper| dropper.join().expect("a dropper does not panic"));
        here -= world.take().1;
        assert_eq!(here + world.row.refs_away.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn model_the_last_reference_of_a_closed_loop_releases_its_hold_once() {
    loom::model(|| {
        let world = World::new();
        let droppers: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    world.after(away::wake(&world.stack, &world.row).0);
                    world.give_up();
                })
            })
            .collect();
        let mut here = 2;
        if world.stack.shut() != 0 {
            here -= away::take_marks(&world.row).1;
        }
        if away::fold(&world.row, here) {
            world.releases.fetch_add(1, StdOrdering::Relaxed);
        }
        droppers
            .into_iter()
            .for_each(|dropper| dropper.join().expect("a dropper does not panic"));
        assert_eq!(
            world.releases.load(StdOrdering::Relaxed),
            1,
            "the hold is released exactly once"
        );
    });
}

#[test]
fn model_a_loop_does_not_sleep_through_a_wake() {
    loom::model(|| {
        let world = World::new();
        let waker = thread::spawn({
            let world = world.clone();
            move || world.after(away::wake(&world.stack, &world.row).0)
        });
        let sleeps = world.stack.prepare_sleep();
        waker.join().expect("a waker does not panic");
        let kicked = world.kicks.load(Ordering::Acquire) > 0;
        assert!(
            !sleeps || kicked || world.stack.is_empty(),
            "asleep beside work, and nobody wakes it"
        );
        assert!(world.take().0);
    });
}

/// A drop alone lets the loop sleep, so a wake that finds the row announced by one must not rely
/// on the announcement.
#[test]
fn model_a_loop_does_not_sleep_through_a_wake_that_meets_a_drop() {
    loom::model(|| {
        let world = World::new();
        let dropper = thread::spawn({
            let world = world.clone();
            move || world.give_up()
        });
        let waker = thread::spawn({
            let world = world.clone();
            move || world.after(away::wake(&world.stack, &world.row).0)
        });
        // As the loop does: a kick ends a wait, also one that is about to begin, and is used up.
        let (mut woken, mut used) = (false, 0);
        loop {
            woken |= world.take().0;
            if !world.stack.prepare_sleep() {
                continue;
            }
            let kicks = world.kicks.load(Ordering::Acquire);
            if kicks == used {
                break;
            }
            used = kicks;
            world.stack.awake();
        }
        dropper.join().expect("a dropper does not panic");
        waker.join().expect("a waker does not panic");
        let kicked = world.kicks.load(Ordering::Acquire) > used;
        assert!(woken || kicked, "asleep beside a wake, and nobody tells");
    });
}

#[test]
fn model_an_errand_is_taken_or_given_back() {
    loom::model(|| {
        let world = World::new();
        let link = Arc::new(AtomicUsize::new(0));
        let sender = thread::spawn({
            let (world, link) = (world.clone(), link.clone());
            move || {
                world
                    .stack
                    .push_errand(64, |below| link.store(below, Ordering::Relaxed))
                    != Pushed::Refused
            }
        });
        let taken = world.stack.shut() != 0;
        let sent = sender.join().expect("a sender does not panic");
        assert_eq!(taken, sent);
    });
}
