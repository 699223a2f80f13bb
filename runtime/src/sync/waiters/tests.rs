//! The line of waiters, polled by hand.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::*;
use crate::record::task::On;
use crate::testing::TestLoop;

/// Counts its wakes.
#[derive(Default)]
struct Counted(AtomicU64);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(line: &Waiters, ticket: &mut Ticket, wants: usize, waker: &Waker) -> Poll<usize> {
    let on = WaitingOn::new(On::Resource, 7);
    line.poll(
        ticket,
        wants,
        on,
        Location::caller(),
        &mut Context::from_waker(waker),
    )
}

fn rows(test: &TestLoop) -> usize {
    test.event_loop().organs().record.waits.live().count()
}

#[test]
fn grants_go_by_the_order_of_arrival_and_wake_once() {
    let test = TestLoop::new();
    test.enter(|| {
        let (line, wakes) = (
            Waiters::new(),
            [(); 3].map(|()| Arc::new(Counted::default())),
        );
        let mut tickets = [(); 3].map(|()| Ticket::default());
        for (ticket, wakes) in tickets.iter_mut().zip(&wakes) {
            assert!(poll(&line, ticket, 1, &wakes.clone().into()).is_pending());
        }
        assert_eq!((line.len(), rows(&test)), (3, 3));
        assert!(line.grant(40) && line.grant(41));
        assert_eq!(
            wakes.each_ref().map(|w| w.0.load(Ordering::Relaxed)),
            [1, 1, 0]
        );
        let waker = Waker::noop();
        assert_eq!(poll(&line, &mut tickets[1], 1, waker), Poll::Ready(41));
        assert_eq!(poll(&line, &mut tickets[0], 1, waker), Poll::Ready(40));
        assert!(poll(&line, &mut tickets[2], 1, waker).is_pending());
        assert_eq!(line.leave(&mut tickets[2]), Left::Waiting);
        assert!(!line.grant(42));
        assert_eq!(rows(&test), 0);
    });
}

#[test]
fn who_leaves_says_what_is_to_be_passed_on() {
    TestLoop::new().enter(|| {
        let (line, waker) = (Waiters::new(), Waker::noop());
        let (mut first, mut second) = (Ticket::default(), Ticket::default());
        assert_eq!(line.leave(&mut first), Left::Outside);
        let _ = poll(&line, &mut first, 5, waker);
        let _ = poll(&line, &mut second, 6, waker);
        assert_eq!(line.first().map(|first| first.wants), Some(5));
        line.grant(9);
        assert_eq!(line.leave(&mut first), Left::Granted(9));
        assert_eq!(line.first().map(|first| first.wants), Some(6));
        assert_eq!(line.leave(&mut second), Left::Waiting);
        assert!(first.is_empty() && second.is_empty());
    });
}

#[test]
fn a_new_waker_takes_the_old_one_s_place() {
    TestLoop::new().enter(|| {
        let (line, mut ticket) = (Waiters::new(), Ticket::default());
        let (old, new) = (Arc::new(Counted::default()), Arc::new(Counted::default()));
        let _ = poll(&line, &mut ticket, 1, &old.clone().into());
        let _ = poll(&line, &mut ticket, 1, &new.clone().into());
        line.grant(0);
        let count = |wakes: &Counted| wakes.0.load(Ordering::Relaxed);
        assert_eq!((count(&old), count(&new)), (0, 1));
        assert_eq!(Arc::strong_count(&old), 1, "the old waker is given up");
        line.leave(&mut ticket);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Join,
    Poll(usize),
    Leave(usize),
    Grant,
    GrantAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Join),
        3 => (0..64_usize).prop_map(Step::Poll),
        3 => (0..64_usize).prop_map(Step::Leave),
        3 => Just(Step::Grant),
        1 => Just(Step::GrantAll),
    ]
}

proptest! {
    /// Against a model: a queue of names, and what each was granted.
    #[test]
    fn a_line_is_a_queue_that_can_be_left(steps in prop::collection::vec(step(), 0..200)) {
        let test = TestLoop::new();
        test.enter(|| -> Result<(), TestCaseError> {
            let (line, waker) = (Waiters::new(), Waker::noop());
            let mut tickets: Vec<(usize, Ticket)> = Vec::new();
            let (mut model, mut granted) = (VecDeque::new(), std::collections::HashMap::new());
            let mut words = 0..;
            for (name, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Join => {
                        let mut ticket = Ticket::default();
                        prop_assert!(poll(&line, &mut ticket, name, waker).is_pending());
                        tickets.push((name, ticket));
                        model.push_back(name);
                    }
                    Step::Poll(at) if !tickets.is_empty() => {
                        let at = at % tickets.len();
                        let (name, ticket) = &mut tickets[at];
                        match granted.remove(name) {
                            Some(word) => {
                                prop_assert_eq!(poll(&line, ticket, 0, waker), Poll::Ready(word));
                                tickets.swap_remove(at);
                            }
                            None => prop_assert!(poll(&line, ticket, 0, waker).is_pending()),
                        }
                    }
                    Step::Leave(at) if !tickets.is_empty() => {
                        let (name, mut ticket) = tickets.swap_remove(at % tickets.len());
                        let left = granted.remove(&name).map_or(Left::Waiting, Left::Granted);
                        prop_assert_eq!(line.leave(&mut ticket), left);
                        model.retain(|&other| other != name);
                    }
                    Step::Poll(_) | Step::Leave(_) => {}
                    Step::Grant => {
                        let word = words.next().expect("words do not end");
                        let first = model.pop_front();
                        prop_assert_eq!(line.grant(word), first.is_some());
                        granted.extend(first.map(|name| (name, word)));
                    }
                    Step::GrantAll => {
                        prop_assert_eq!(line.grant_all(|nth| 1000 + nth), model.len());
                        let all = model.drain(..).enumerate();
                        granted.extend(all.map(|(nth, name)| (name, 1000 + nth)));
                    }
                }
                prop_assert_eq!(line.len(), model.len());
                prop_assert_eq!(line.first().map(|first| first.wants), model.front().copied());
                prop_assert_eq!(rows(&test), model.len());
            }
            for (_, mut ticket) in tickets {
                line.leave(&mut ticket);
            }
            prop_assert_eq!((line.len(), rows(&test)), (0, 0));
            Ok(())
        })?;
    }
}
