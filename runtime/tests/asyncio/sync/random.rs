//! Locks and queues under tasks that come, go and are cancelled in any order.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use loop_runtime::sync::{Lock, Queue, Semaphore};
use loop_runtime::testing::TestLoop;
use loop_runtime::{Task, create_task, yield_now};
use proptest::prelude::*;

/// One move of whoever disturbs the tasks.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A task that uses the thing, and keeps it for so many turns.
    Start(u8),
    Cancel(usize),
    /// One iteration of the loop.
    Once,
    /// Iterations until nothing is ready.
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u8).prop_map(Step::Start),
        3 => (0..64_usize).prop_map(Step::Cancel),
        3 => Just(Step::Once),
        1 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 0..60)
}

/// Plays `steps`; `start` makes the task of number so-and-so.
fn play(
    test: &mut TestLoop,
    steps: &[Step],
    mut start: impl FnMut(usize, u8) -> Task<()>,
) -> Vec<Task<()>> {
    let mut tasks: Vec<Task<()>> = Vec::new();
    for step in steps {
        match *step {
            Step::Start(turns) => {
                let task = test.enter(|| start(tasks.len(), turns));
                tasks.push(task);
            }
            Step::Cancel(at) if !tasks.is_empty() => {
                let task = &tasks[at % tasks.len()];
                test.enter(|| task.cancel());
            }
            Step::Cancel(_) => {}
            Step::Once => {
                test.once();
            }
            Step::Turn => test.turn(),
        }
    }
    test.turn();
    tasks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn b59_a_lock_has_one_owner_and_is_free_in_the_end_whoever_is_cancelled(steps in steps()) {
        let mut test = TestLoop::new();
        let lock = test.enter(|| Lock::new(()));
        let (inside, worst) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (order, ours) = (Rc::new(RefCell::new(Vec::new())), lock.clone());
        let tasks = play(&mut test, &steps, |number, turns| {
            let (lock, inside, worst) = (ours.clone(), inside.clone(), worst.clone());
            let order = order.clone();
            create_task(async move {
                let guard = lock.lock().await;
                struct Out(Rc<Cell<u32>>);
                impl Drop for Out {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() - 1);
                    }
                }
                inside.set(inside.get() + 1);
                let _out = Out(inside.clone());
                worst.set(worst.get().max(inside.get()));
                order.borrow_mut().push(number);
                for _ in 0..turns {
                    yield_now().await;
                }
                drop(guard);
            })
        });
        prop_assert!(worst.get() <= 1, "{} owners", worst.get());
        prop_assert!(tasks.iter().all(Task::done), "somebody waits for a free lock");
        prop_assert!(!test.enter(|| lock.locked()));
        prop_assert!(order.borrow().is_sorted(), "{order:?}");
    }

    #[test]
    fn b59_a_semaphore_has_all_its_permits_in_the_end_whoever_is_cancelled(steps in steps()) {
        let mut test = TestLoop::new();
        let semaphore = test.enter(|| Semaphore::new(3));
        let (out, worst) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let ours = semaphore.clone();
        let tasks = play(&mut test, &steps, |_, turns| {
            let (semaphore, out, worst) = (ours.clone(), out.clone(), worst.clone());
            create_task(async move {
                let count = usize::from(turns) % 3 + 1;
                let permit = semaphore.acquire_many(count).await;
                out.set(out.get() + count);
                worst.set(worst.get().max(out.get()));
                // Given back before the permit, so that what is out is never counted too low.
                struct Back(Rc<Cell<usize>>, usize);
                impl Drop for Back {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() - self.1);
                    }
                }
                let _permit = permit;
                let _back = Back(out.clone(), count);
                for _ in 0..turns {
                    yield_now().await;
                }
            })
        });
        prop_assert!(worst.get() <= 3, "{} permits out of 3", worst.get());
        prop_assert!(tasks.iter().all(Task::done), "somebody waits for free permits");
        prop_assert_eq!(test.enter(|| semaphore.available_permits()), 3);
    }

    #[test]
    fn b60_a_queue_loses_no_item_and_doubles_none_whoever_is_cancelled(
        steps in steps(),
        capacity in 0..4_usize,
    ) {
        let mut test = TestLoop::new();
        let queue = test.enter(|| Queue::new(capacity));
        let (put, got) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        let most = Rc::new(Cell::new(0));
        let ours = queue.clone();
        let tasks = play(&mut test, &steps, |number, turns| {
            let (queue, put, got) = (ours.clone(), put.clone(), got.clone());
            let most = most.clone();
            create_task(async move {
                if turns % 2 == 0 {
                    queue.put(number).await.unwrap();
                    put.borrow_mut().push(number);
                } else if let Ok(item) = queue.get().await {
                    got.borrow_mut().push(item);
                }
                most.set(most.get().max(queue.len()));
            })
        });
        prop_assert!(capacity == 0 || most.get() <= capacity);
        let waits = tasks.iter().filter(|task| !task.done()).count();
        test.enter(|| {
            // Who still waits is right to: getters at an empty queue, putters at a full one.
            if waits > 0 {
                prop_assert!(queue.is_empty() || queue.is_full());
            }
            Ok(())
        })?;
        // What is left comes out, putters that wait finish, getters hear the end.
        let ours = queue.clone();
        let drained = got.clone();
        test.run(async move {
            loop {
                while let Ok(item) = ours.get_nowait() {
                    drained.borrow_mut().push(item);
                }
                yield_now().await;
                yield_now().await;
                if ours.is_empty() {
                    break;
                }
            }
            ours.shutdown(false);
            yield_now().await;
        })
        .unwrap();
        test.turn();
        prop_assert!(tasks.iter().all(Task::done));
        prop_assert_eq!(&*put.borrow(), &*got.borrow(), "first in, first out");
        prop_assert_eq!(test.enter(|| queue.unfinished()), put.borrow().len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Against a model: each receiver has its own list of what it is still to get.
    #[test]
    fn a_broadcast_gives_each_receiver_its_items_and_keeps_none_that_nobody_wants(
        steps in prop::collection::vec((0..4_u8, 0..8_usize), 0..80),
        capacity in 1..5_usize,
    ) {
        use loop_runtime::sync::broadcast::{self, TryRecvError};
        use std::collections::VecDeque;
        let test = TestLoop::new();
        test.enter(|| -> Result<(), TestCaseError> {
            let (sender, receiver) = broadcast::channel(capacity);
            let mut receivers = vec![(receiver, VecDeque::new())];
            for (item, (step, at)) in steps.into_iter().enumerate() {
                let at = at % receivers.len().max(1);
                match step {
                    0 => {
                        let sent = sender.send(item).map_err(|error| error.0);
                        prop_assert_eq!(sent, match receivers.len() {
                            0 => Err(item),
                            there => Ok(there),
                        });
                        for (_, wants) in &mut receivers {
                            wants.push_back(item);
                        }
                    }
                    1 => receivers.push((sender.subscribe(), VecDeque::new())),
                    2 if !receivers.is_empty() => drop(receivers.swap_remove(at)),
                    3 if !receivers.is_empty() => {
                        let (receiver, wants) = &mut receivers[at];
                        let lost = wants.len().saturating_sub(capacity);
                        wants.drain(..lost);
                        let expected = match lost {
                            0 => wants.pop_front().ok_or(TryRecvError::Empty),
                            lost => Err(TryRecvError::Lagged(lost as u64)),
                        };
                        prop_assert_eq!(receiver.try_recv(), expected);
                    }
                    _ => {}
                }
                let kept = receivers.iter().map(|(_, wants)| wants.len().min(capacity)).max();
                prop_assert_eq!(sender.len(), kept.unwrap_or(0));
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_channel_loses_no_item_whichever_sender_is_cancelled(
        steps in steps(),
        capacity in 1..4_usize,
    ) {
        let mut test = TestLoop::new();
        let (sender, mut receiver) = test.enter(|| loop_runtime::sync::mpsc::channel(capacity));
        let sent = Rc::new(RefCell::new(Vec::new()));
        let got = Rc::new(RefCell::new(Vec::new()));
        let drained = got.clone();
        let (pace, ours) = (Rc::new(Cell::new(0)), sender.clone());
        let taken = pace.clone();
        // Receives one item a turn, as many as it was told to.
        let drain = test.enter(|| create_task(async move {
            loop {
                if taken.get() == 0 {
                    yield_now().await;
                    continue;
                }
                let Some(item) = receiver.recv().await else { return };
                taken.set(taken.get() - 1);
                drained.borrow_mut().push(item);
            }
        }));
        let _tasks: Vec<Task<()>> = {
            let mut tasks: Vec<Task<()>> = Vec::new();
            for step in &steps {
                match *step {
                    Step::Start(turns) => {
                        pace.set(pace.get() + usize::from(turns % 2));
                        let (sender, sent, number) = (ours.clone(), sent.clone(), tasks.len());
                        tasks.push(test.enter(|| create_task(async move {
                            sender.send(number).await.unwrap();
                            sent.borrow_mut().push(number);
                        })));
                    }
                    Step::Cancel(at) if !tasks.is_empty() => {
                        test.enter(|| tasks[at % tasks.len()].cancel());
                    }
                    Step::Cancel(_) => {}
                    Step::Once | Step::Turn => {
                        test.once();
                    }
                }
            }
            tasks
        };
        pace.set(usize::MAX);
        drop((sender, ours));
        test.run(async move { drain.await.unwrap() }).unwrap();
        prop_assert_eq!(&*sent.borrow(), &*got.borrow());
    }
}
