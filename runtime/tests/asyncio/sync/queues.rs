//! Queues: nothing is lost, whoever is cancelled; `join`, and both ways to shut one down.

use loop_runtime::sync::{GetError, LifoQueue, PriorityQueue, PutError, Queue};
use loop_runtime::{Task, create_task};

use super::{Log, run, settle};

fn getter(queue: &Queue<u32>, log: &Log, name: &'static str) -> Task<()> {
    let (queue, log) = (queue.clone(), log.clone());
    create_task(async move {
        match queue.get().await {
            Ok(item) => log.note(format!("{name}={item}")),
            Err(_) => log.note(format!("{name}=shut")),
        }
    })
}

fn putter(queue: &Queue<u32>, log: &Log, item: u32) -> Task<()> {
    let (queue, log) = (queue.clone(), log.clone());
    create_task(async move {
        match queue.put(item).await {
            Ok(()) => log.note(format!("put {item}")),
            Err(shut) => log.note(format!("shut {}", shut.item)),
        }
    })
}

#[test]
fn b60_a_getter_cancelled_in_the_tick_of_the_put_loses_no_item() {
    for cancel_first in [false, true] {
        run(async move {
            let (queue, log) = (Queue::new(0), Log::default());
            let gone = getter(&queue, &log, "gone");
            let next = getter(&queue, &log, "next");
            settle().await;
            if cancel_first {
                gone.cancel();
                queue.put_nowait(1).unwrap();
            } else {
                queue.put_nowait(1).unwrap();
                gone.cancel();
            }
            next.await.unwrap();
            log.is("next=1");
            assert!(queue.is_empty());
        });
    }
}

#[test]
fn b60_an_item_nobody_lived_to_take_is_still_there() {
    run(async {
        let (queue, log) = (Queue::new(0), Log::default());
        let gone = getter(&queue, &log, "gone");
        settle().await;
        queue.put_nowait(1).unwrap();
        // It is the getter's while that lives.
        assert_eq!(queue.get_nowait(), Err(GetError::Empty));
        gone.cancel();
        settle().await;
        assert_eq!((queue.len(), queue.get_nowait()), (1, Ok(1)));
        log.is("");
    });
}

#[test]
fn b60_a_cancelled_putter_puts_nothing_and_its_room_goes_to_the_next() {
    for cancel_first in [false, true] {
        run(async move {
            let (queue, log) = (Queue::new(1), Log::default());
            queue.put_nowait(0).unwrap();
            let gone = putter(&queue, &log, 1);
            let next = putter(&queue, &log, 2);
            settle().await;
            if cancel_first {
                gone.cancel();
            }
            assert_eq!(queue.get_nowait(), Ok(0));
            if !cancel_first {
                // The room is the first putter's, so there is none.
                assert!(matches!(queue.put_nowait(3), Err(PutError::Full(3))));
                gone.cancel();
            }
            next.await.unwrap();
            log.is("put 2");
            assert_eq!(queue.get_nowait(), Ok(2));
            assert!(queue.is_empty());
        });
    }
}

#[test]
fn b60_a_put_into_a_full_queue_waits_for_room() {
    run(async {
        let (queue, log) = (Queue::new(2), Log::default());
        let tasks: Vec<_> = (0..5).map(|item| putter(&queue, &log, item)).collect();
        settle().await;
        log.is("put 0 put 1");
        assert!(queue.is_full());
        let full = queue.put_nowait(9).unwrap_err();
        assert!(matches!(full, PutError::Full(9)));
        assert!(full.to_string().contains("full"));
        for item in 0..5 {
            assert_eq!(queue.get().await, Ok(item));
        }
        for task in tasks {
            task.await.unwrap();
        }
        log.is("put 0 put 1 put 2 put 3 put 4");
        assert_eq!(queue.get_nowait(), Err(GetError::Empty));
    });
}

#[test]
fn b60_getters_are_served_in_the_order_of_asking() {
    run(async {
        let (queue, log) = (Queue::new(0), Log::default());
        let tasks = ["a", "b", "c"].map(|name| getter(&queue, &log, name));
        settle().await;
        for item in 1..=3 {
            queue.put_nowait(item).unwrap();
        }
        for task in tasks {
            task.await.unwrap();
        }
        log.is("a=1 b=2 c=3");
    });
}

#[test]
fn b60_join_waits_until_every_item_is_done() {
    run(async {
        let queue = Queue::new(0);
        queue.join().await;
        for item in 0..3 {
            queue.put_nowait(item).unwrap();
        }
        let theirs = queue.clone();
        let joins = create_task(async move { theirs.join().await });
        for _ in 0..3 {
            // Taken is not done.
            queue.get_nowait().unwrap();
            settle().await;
            assert!(!joins.done());
            queue.task_done().unwrap();
        }
        joins.await.unwrap();
        assert_eq!(queue.unfinished(), 0);
        let error = queue.task_done().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("every item that was put is done")
        );
    });
}

#[test]
fn b60_a_shutdown_lets_the_queue_run_dry_and_then_errs() {
    run(async {
        let (queue, log) = (Queue::new(2), Log::default());
        queue.put_nowait(1).unwrap();
        queue.put_nowait(2).unwrap();
        let _blocked = putter(&queue, &log, 3);
        settle().await;
        assert!(queue.shutdown(false).is_empty());
        settle().await;
        log.is("shut 3");
        assert!(matches!(queue.put_nowait(4), Err(PutError::ShutDown(4))));
        assert_eq!(queue.put(5).await.unwrap_err().item, 5);
        assert_eq!(queue.get().await, Ok(1));
        assert_eq!(queue.get_nowait(), Ok(2));
        assert!(queue.get().await.is_err());
        assert_eq!(queue.get_nowait(), Err(GetError::ShutDown));
        // What was put is still to be done.
        assert_eq!(queue.unfinished(), 2);
        queue.task_done().unwrap();
        queue.task_done().unwrap();
        queue.join().await;
    });
}

#[test]
fn b60_a_shutdown_tells_getters_that_wait_in_vain() {
    run(async {
        let (queue, log) = (Queue::<u32>::new(0), Log::default());
        let tasks = ["a", "b"].map(|name| getter(&queue, &log, name));
        settle().await;
        queue.shutdown(false);
        for task in tasks {
            task.await.unwrap();
        }
        log.is("a=shut b=shut");
    });
}

#[test]
fn b60_a_getter_that_was_promised_the_last_item_gets_it_and_the_others_the_end() {
    run(async {
        let (queue, log) = (Queue::new(0), Log::default());
        let tasks = ["a", "b", "c"].map(|name| getter(&queue, &log, name));
        settle().await;
        queue.put_nowait(1).unwrap();
        queue.shutdown(false);
        tasks[0].cancel();
        settle().await;
        log.is("b=1 c=shut");
    });
}

#[test]
fn b60_a_shutdown_at_once_errs_now_and_gives_what_nobody_will_get() {
    run(async {
        let (queue, log) = (Queue::new(2), Log::default());
        let promised = getter(&queue, &log, "promised");
        settle().await;
        queue.put_nowait(1).unwrap();
        queue.put_nowait(2).unwrap();
        let _blocked = putter(&queue, &log, 3);
        let theirs = queue.clone();
        let joins = create_task(async move { theirs.join().await });
        // Before the getter's turn: it was promised an item, and does not get it.
        assert_eq!(queue.shutdown(true), [1, 2]);
        promised.await.unwrap();
        settle().await;
        log.is("promised=shut shut 3");
        // What will never be taken counts as done.
        joins.await.unwrap();
        assert!(queue.get().await.is_err());
        assert_eq!(queue.get_nowait(), Err(GetError::ShutDown));
        assert!(queue.shutdown(true).is_empty());
    });
}

#[test]
fn b60_a_shutdown_at_once_may_follow_a_gentle_one() {
    run(async {
        let queue = Queue::new(0);
        queue.put_nowait(1).unwrap();
        queue.shutdown(false);
        assert_eq!(queue.shutdown(true), [1]);
        assert!(queue.get().await.is_err());
        queue.join().await;
    });
}

#[test]
fn b60_a_priority_queue_gives_the_smallest_and_a_lifo_queue_the_last() {
    run(async {
        let smallest = PriorityQueue::new(0);
        let last = LifoQueue::new(0);
        for item in [(3, 'a'), (1, 'b'), (2, 'c')] {
            smallest.put(item).await.unwrap();
            last.put(item).await.unwrap();
        }
        let mut order = Vec::new();
        while let Ok((_, letter)) = smallest.get_nowait() {
            order.push(letter);
        }
        while let Ok((_, letter)) = last.get_nowait() {
            order.push(letter);
        }
        assert_eq!(order, ['b', 'c', 'a', 'c', 'b', 'a']);
    });
}

#[test]
fn equal_items_of_a_priority_queue_come_in_the_order_of_putting() {
    #[derive(Debug)]
    struct Job(u32, &'static str);
    impl Ord for Job {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl PartialEq for Job {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }
    impl Eq for Job {}
    run(async {
        let queue = PriorityQueue::named("jobs", 0);
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for name in names {
            queue.put_nowait(Job(1, name)).unwrap();
        }
        queue.put_nowait(Job(0, "first")).unwrap();
        assert_eq!(queue.get_nowait().unwrap().1, "first");
        for name in names {
            assert_eq!(queue.get_nowait().unwrap().1, name);
        }
    });
}

#[test]
fn a_queue_asked_elsewhere_says_which_loop_it_belongs_to() {
    let queue = loop_runtime::testing::TestLoop::new().enter(|| Queue::<u32>::new(1));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.len()));
    let panic = caught.unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("a thread where no loop runs"), "{text}");
}
