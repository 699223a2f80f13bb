//! Channels: `mpsc`, `oneshot`, `watch` and `broadcast`, on their loop and from other threads.

use futures_util::{StreamExt, poll};
use loop_runtime::sync::{broadcast, mpsc, oneshot, watch};
use loop_runtime::testing::TestLoop;
use loop_runtime::{create_task, yield_now};

use super::{Log, run, settle};

#[test]
fn a_bounded_send_waits_for_room_in_the_order_of_asking() {
    run(async {
        let (sender, mut receiver) = mpsc::channel(1);
        let log = Log::default();
        let tasks: Vec<_> = (0..4)
            .map(|item| {
                let (sender, log) = (sender.clone(), log.clone());
                create_task(async move {
                    sender.send(item).await.unwrap();
                    log.note(item);
                })
            })
            .collect();
        settle().await;
        log.is("0");
        assert!(matches!(
            sender.try_send(9),
            Err(mpsc::TrySendError::Full(9))
        ));
        drop(sender);
        for item in 0..4 {
            assert_eq!(receiver.recv().await, Some(item));
        }
        assert_eq!(receiver.recv().await, None);
        for task in tasks {
            task.await.unwrap();
        }
        log.is("0 1 2 3");
    });
}

#[test]
fn a_cancelled_send_sends_nothing_and_its_room_goes_to_the_next() {
    for granted in [false, true] {
        run(async move {
            let (sender, mut receiver) = mpsc::channel(1);
            sender.try_send(0).unwrap();
            let mut gone = Box::pin(sender.send(1));
            let mut next = Box::pin(sender.send(2));
            assert!(poll!(gone.as_mut()).is_pending() && poll!(next.as_mut()).is_pending());
            if granted {
                assert_eq!(receiver.try_recv(), Ok(0));
                assert!(sender.try_send(3).is_err(), "the room is the first one's");
            }
            drop(gone);
            if !granted {
                assert_eq!(receiver.try_recv(), Ok(0));
            }
            assert!(poll!(next.as_mut()).is_ready());
            assert_eq!(receiver.recv().await, Some(2));
        });
    }
}

#[test]
fn a_cancelled_recv_loses_no_item() {
    run(async {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut waits = Box::pin(receiver.recv());
        assert!(poll!(waits.as_mut()).is_pending());
        sender.send(1).unwrap();
        drop(waits);
        assert_eq!((receiver.len(), receiver.recv().await), (1, Some(1)));
    });
}

#[test]
fn a_receiver_that_is_gone_is_an_error_that_gives_the_item_back() {
    run(async {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(0).unwrap();
        let mut waits = Box::pin(sender.send(1));
        assert!(poll!(waits.as_mut()).is_pending());
        let theirs = sender.clone();
        let told = create_task(async move { theirs.closed().await });
        settle().await;
        drop(receiver);
        assert_eq!(waits.await, Err(mpsc::SendError(1)));
        told.await.unwrap();
        assert!(sender.is_closed());
        assert!(matches!(
            sender.try_send(2),
            Err(mpsc::TrySendError::Closed(2))
        ));
        assert!(sender.reserve().await.is_err());
    });
}

#[test]
fn a_closed_receiver_takes_what_was_sent_and_what_was_promised_room() {
    run(async {
        let (sender, mut receiver) = mpsc::channel(2);
        sender.try_send(1).unwrap();
        let room = sender.reserve().await.unwrap();
        receiver.close();
        assert!(sender.send(9).await.is_err());
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
        room.send(2).unwrap();
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(receiver.recv().await, None);
    });
}

#[test]
fn room_that_is_not_used_after_a_close_ends_the_wait() {
    run(async {
        let (sender, mut receiver) = mpsc::channel::<u32>(1);
        let room = sender.reserve().await.unwrap();
        receiver.close();
        let task = create_task(async move { receiver.recv().await });
        settle().await;
        assert!(!task.done());
        drop(room);
        assert_eq!(task.await.unwrap(), None);
    });
}

#[test]
fn a_receiver_is_a_stream() {
    run(async {
        let (sender, receiver) = mpsc::unbounded_channel();
        create_task(async move {
            for item in 0..3 {
                sender.send(item).unwrap();
                yield_now().await;
            }
        })
        .detach();
        assert_eq!(receiver.collect::<Vec<_>>().await, [0, 1, 2]);
    });
}

#[test]
fn a_loop_receives_all_that_threads_send_each_in_its_order() {
    let received = loop_runtime::run(async {
        let (sender, mut receiver) = mpsc::channel(3);
        let (unbounded, mut many) = mpsc::unbounded_channel();
        for thread in 0..3_u32 {
            let (sender, unbounded) = (sender.clone(), unbounded.clone());
            std::thread::spawn(move || {
                for item in 0..200_u32 {
                    sender.blocking_send((thread, item)).unwrap();
                    unbounded.send((thread, item)).unwrap();
                }
            });
        }
        drop((sender, unbounded));
        let (mut some, mut all) = (Vec::new(), Vec::new());
        while let Some(item) = receiver.recv().await {
            some.push(item);
        }
        while let Some(item) = many.recv().await {
            all.push(item);
        }
        [some, all]
    })
    .unwrap();
    for items in received {
        assert_eq!(items.len(), 600);
        for thread in 0..3 {
            let own = items.iter().filter(|item| item.0 == thread);
            assert!(own.map(|item| item.1).eq(0..200));
        }
    }
}

#[test]
fn a_task_of_another_loop_sends_and_waits_for_room() {
    let (give, sends) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        let sender: mpsc::Sender<u32> = sends.recv().unwrap();
        loop_runtime::run(async move {
            for item in 0..10 {
                sender.send(item).await.unwrap();
            }
            // Nobody receives this one: it waits until the other loop is closed.
            sender.send(10).await.unwrap();
            sender.send(11).await
        })
        .unwrap()
    });
    loop_runtime::run(async move {
        let (to_there, mut receiver) = mpsc::channel(1);
        give.send(to_there).unwrap();
        for item in 0..10 {
            assert_eq!(receiver.recv().await, Some(item));
        }
        // Lets the last two come, of which one has room.
        while receiver.is_empty() {
            yield_now().await;
        }
        receiver
    })
    .map(drop)
    .unwrap();
    assert_eq!(other.join().unwrap(), Err(mpsc::SendError(11)));
}

#[test]
fn a_send_from_elsewhere_that_is_dropped_takes_its_item_back() {
    let mut test = TestLoop::new();
    let (sender, mut receiver) = test.enter(|| mpsc::channel(1));
    let full = sender.clone();
    test.enter(|| full.try_send(0).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut send = Box::pin(sender.send(1));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(send.as_mut().poll(&mut cx).is_pending());
        });
    });
    test.turn();
    assert_eq!(test.enter(|| receiver.try_recv()), Ok(0));
    test.turn();
    assert!(test.enter(|| receiver.is_empty()));
    assert_eq!(test.handle().all_tasks().len(), 0, "nobody waits for room");
}

#[test]
fn a_sender_of_a_loop_that_is_closed_gives_the_item_back() {
    let test = TestLoop::new();
    let (sender, receiver) = test.enter(|| mpsc::channel(1));
    let (unbounded, many) = test.enter(mpsc::unbounded_channel);
    let (once, _waits) = test.enter(oneshot::channel);
    drop(test);
    assert_eq!(sender.blocking_send(1), Err(mpsc::SendError(1)));
    assert_eq!(unbounded.send(2), Err(mpsc::SendError(2)));
    assert_eq!(once.send(3), Err(3));
    drop((receiver, many));
}

#[test]
fn a_blocking_send_on_a_loop_s_thread_is_refused() {
    run(async {
        let (sender, _receiver) = mpsc::channel(1);
        let task = create_task(async move { sender.blocking_send(1) });
        let text = task.await.unwrap_err().to_string();
        assert!(text.contains("would stop that loop"), "{text}");
    });
}

#[test]
fn a_oneshot_gives_its_value_or_says_that_none_will_come() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        let task = create_task(receiver);
        settle().await;
        sender.send(7).unwrap();
        assert_eq!(task.await.unwrap(), Ok(7));

        let (sender, receiver) = oneshot::channel::<()>();
        let task = create_task(receiver);
        settle().await;
        drop(sender);
        assert_eq!(task.await.unwrap(), Err(oneshot::RecvError));

        let (mut sender, mut receiver) = oneshot::channel();
        assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Empty));
        assert!(poll!(Box::pin(sender.closed())).is_pending());
        drop(receiver);
        sender.closed().await;
        assert!(sender.is_closed());
        assert_eq!(sender.send(8), Err(8));
    });
}

#[test]
fn a_oneshot_s_sender_dropped_on_a_thread_ends_the_wait() {
    let ended = loop_runtime::run(async {
        let (sender, receiver) = oneshot::channel::<()>();
        std::thread::spawn(move || drop(sender));
        receiver.await
    });
    assert_eq!(ended, Ok(Err(oneshot::RecvError)));
}

#[test]
fn a_watcher_sees_the_latest_and_may_miss_those_before() {
    run(async {
        let (sender, mut receiver) = watch::channel(0);
        let mut late = sender.subscribe();
        assert!(!receiver.has_changed().unwrap());
        let mut waits = Box::pin(receiver.changed());
        assert!(poll!(waits.as_mut()).is_pending());
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        waits.await.unwrap();
        assert_eq!(*receiver.borrow(), 2);
        // What is held on to stays, and is in nobody's way.
        let held = receiver.borrow_and_update();
        assert_eq!(*sender.send_replace(3), 2);
        assert_eq!((*held, *receiver.borrow()), (2, 3));
        assert!(receiver.has_changed().unwrap());
        assert_eq!(*late.wait_for(|value| *value == 3).await.unwrap(), 3);
        drop(receiver);
        assert_eq!(sender.receiver_count(), 1);
        let theirs = sender.clone();
        let told = create_task(async move { theirs.closed().await });
        settle().await;
        drop(late);
        told.await.unwrap();
        assert_eq!(sender.send(4), Err(watch::SendError(4)));
    });
}

#[test]
fn a_watcher_is_told_that_no_sender_is_left_after_it_saw_the_last_value() {
    run(async {
        let (sender, mut receiver) = watch::channel(0);
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await, Err(watch::RecvError));
        assert_eq!(*receiver.borrow(), 1);
    });
}

#[test]
fn a_value_watched_is_sent_from_any_thread() {
    let seen = loop_runtime::run(async {
        let (sender, mut receiver) = watch::channel(0);
        std::thread::spawn(move || (1..=100).for_each(|value| sender.send(value).unwrap()));
        let mut seen = vec![];
        while receiver.changed().await.is_ok() {
            seen.push(*receiver.borrow());
        }
        seen
    })
    .unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&100), "{seen:?}");
}

#[test]
fn every_receiver_of_a_broadcast_gets_every_item() {
    run(async {
        let (sender, mut first) = broadcast::channel(4);
        let mut second = sender.subscribe();
        let task = create_task(async move { [second.recv().await, second.recv().await] });
        settle().await;
        assert_eq!(sender.send(1), Ok(2));
        settle().await;
        assert_eq!(sender.send(2), Ok(2));
        assert_eq!(task.await.unwrap(), [Ok(1), Ok(2)]);
        // The other receiver is gone; this one had nothing yet.
        assert_eq!(
            (sender.receiver_count(), sender.len(), first.len()),
            (1, 2, 2)
        );
        assert_eq!(first.recv().await, Ok(1));
        assert_eq!(first.try_recv(), Ok(2));
        assert_eq!(first.try_recv(), Err(broadcast::TryRecvError::Empty));
        assert!(sender.is_empty());
        // One who comes later gets what comes later.
        let mut third = first.resubscribe();
        sender.send(3).unwrap();
        drop(sender);
        for receiver in [&mut first, &mut third] {
            assert_eq!(receiver.recv().await, Ok(3));
            assert_eq!(receiver.recv().await, Err(broadcast::RecvError::Closed));
        }
    });
}

#[test]
fn a_receiver_too_far_behind_is_told_how_much_it_lost() {
    run(async {
        let (sender, mut receiver) = broadcast::channel(2);
        for item in 0..5 {
            sender.send(item).unwrap();
        }
        assert_eq!(receiver.recv().await, Err(broadcast::RecvError::Lagged(3)));
        assert_eq!(receiver.recv().await, Ok(3));
        assert_eq!(receiver.recv().await, Ok(4));
        drop(receiver);
        assert_eq!(sender.send(5), Err(broadcast::SendError(5)));
    });
}

#[test]
fn a_broadcast_is_sent_from_any_thread() {
    let seen = loop_runtime::run(async {
        let (sender, mut receiver) = broadcast::channel(1000);
        let gone = sender.subscribe();
        std::thread::spawn(move || {
            drop(gone);
            (0..100).for_each(|item| assert!(sender.send(item).is_ok()));
        });
        let mut seen = vec![];
        while let Ok(item) = receiver.recv().await {
            seen.push(item);
        }
        seen
    })
    .unwrap();
    assert!(seen.into_iter().eq(0..100));
}

#[test]
#[should_panic(expected = "a channel without room")]
fn a_channel_without_room_is_refused() {
    run(async { drop(mpsc::channel::<u32>(0)) });
}
