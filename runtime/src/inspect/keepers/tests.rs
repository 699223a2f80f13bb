//! Handles in the memory of tasks that a test makes. What is left in freed memory by other tests can
//! hide them, so what is to be found may be found in one of several tries.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::inspect::tables::LoopLook;
use crate::record::LoopRecord;
use crate::spawn::{Task, create_task};
use crate::sync::{Promise, Queue, create_future};
use crate::testing::TestLoop;

/// Tries until something is found, and until it is believed that nothing will be.
const MANY: usize = 20;
const FEW: usize = 2;

/// Who has the handles on the only thing that is waited for, as another thread finds.
fn kept(test: &TestLoop) -> Option<Vec<u64>> {
    let record: Arc<LoopRecord> = test.event_loop().organs().record.clone();
    let look = move || {
        let rows = record.resources.live();
        let all = rows.filter_map(|(_, row)| row.read());
        let asked: Vec<Asked> = all.filter_map(|facts| Asked::of(&facts)).collect();
        assert_eq!(asked.len(), 1, "{asked:?}");
        let look = Look::of(vec![LoopLook::new(record.clone())], false);
        let mut keepers = Keepers::default();
        keepers.memory.most = u64::MAX;
        keepers.of(&look, &asked).remove(&asked[0].id)
    };
    std::thread::spawn(look).join().expect("it looks")
}

/// What `make` comes to in the first try in which somebody is found, and who is expected; the tries
/// stay where they are, so that each has other memory.
fn found<K: 'static>(tries: usize, make: impl Fn() -> (Vec<Task<()>>, K)) -> bool {
    (0..tries).any(|_| {
        let mut test = TestLoop::new();
        let (tasks, keep) = test.enter(&make);
        test.turn();
        wipe();
        let ids: Vec<u64> = tasks.iter().map(|task| task.id().get()).collect();
        let found = kept(&test);
        std::mem::forget((test, keep, tasks));
        match found {
            Some(found) => {
                assert_eq!(found, ids);
                true
            }
            None => false,
        }
    })
}

/// Overwrites what calls that have returned left on the stack.
#[inline(never)]
fn wipe() {
    std::hint::black_box([0_u8; 1 << 17]);
}

async fn own(promise: Promise<u32>, future: crate::sync::LoopFuture<u32>) {
    let _ = future.await;
    drop(promise);
}

#[test]
fn a_promise_in_its_own_waiter_and_one_in_another_task_are_found() {
    assert!(found(MANY, || {
        let (promise, future) = create_future();
        (vec![create_task(own(promise, future))], ())
    }));
    assert!(found(MANY, || {
        let (promise, future) = create_future::<u32>();
        let keeps = create_task(async move {
            std::future::pending::<()>().await;
            drop(promise);
        });
        let waits = create_task(async move {
            let _ = future.await;
        });
        (vec![keeps, waits], ())
    }));
}

#[test]
fn a_promise_in_a_list_of_its_own_waiter_is_found() {
    assert!(found(MANY, || {
        let (promise, future) = create_future::<u32>();
        let mut all = vec![promise];
        let waits = create_task(async move {
            let _ = future.await;
            all.clear();
        });
        (vec![waits], ())
    }));
}

#[test]
fn a_promise_on_a_stack_or_on_the_heap_is_anybody_s() {
    assert!(!found(FEW, || {
        let (promise, future) = create_future::<u32>();
        let waits = create_task(async move {
            let _ = future.await;
        });
        (vec![waits], Box::new(promise))
    }));
    assert!(!found(FEW, || {
        let (promise, future) = create_future::<u32>();
        let kept = Rc::new(RefCell::new(vec![promise]));
        let theirs = kept.clone();
        let waits = create_task(async move {
            let _ = future.await;
            theirs.borrow_mut().clear();
        });
        (vec![waits], ())
    }));
}

#[test]
fn a_queue_that_tasks_share_is_theirs_until_somebody_else_has_it_too() {
    let both = |queue: &Rc<Queue<u32>>| {
        let (gets, puts) = (queue.clone(), queue.clone());
        vec![
            create_task(async move {
                let _ = gets.get().await;
            }),
            create_task(async move {
                std::future::pending::<()>().await;
                let _ = puts.put(1).await;
            }),
        ]
    };
    assert!(found(MANY, || (both(&Rc::new(Queue::new(1))), ())));
    assert!(!found(FEW, || {
        let queue = Rc::new(Queue::new(1));
        (both(&queue), Box::new(queue))
    }));
}

#[test]
fn words_are_found_by_what_they_are_turned_over() {
    let words = Words::new(vec![(!7, 0), (!9, 1), (!7, 2)]);
    let mut found = Vec::new();
    words.find(&[7, 8, 9, 0, u64::MAX, 7], |at, of| found.push((at, of)));
    assert_eq!(found, [(0, 0), (0, 2), (2, 1), (5, 0), (5, 2)]);
    Words::new(Vec::new()).find(&[0, u64::MAX], |_, _| panic!("nothing was looked for"));
}
