//! A task that somebody looks at: its polls and wakes are told apart from then on.

use std::rc::Rc;

use super::*;
use crate::sync::Event;

#[test]
fn a_task_that_is_looked_at_tells_who_woke_it_and_how_its_polls_were_since() {
    let inspected = Inspected::new("watched");
    on_loop(|_| async move {
        let (one, two) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let event = one.clone();
        let watched = create_task(async move {
            loop {
                event.wait().await;
                event.clear();
                // Long enough for a bucket of its own, by its own doing.
                let began = std::time::Instant::now();
                while began.elapsed() < Duration::from_micros(50) {}
                yield_now().await;
            }
        });
        let id = watched.id().get();
        settle().await;
        one.set();
        settle().await;
        let mut client = inspected.client().await;
        let first = page(&mut client, id).await;
        assert_eq!(first.poll, None, "nobody looked before");
        assert_eq!(first.woken_by, []);
        for _ in 0..3 {
            one.set();
            settle().await;
        }
        let next = page(&mut client, id).await;
        let count = |cause: pb::WakeCause| {
            let mut all = next.woken_by.iter();
            all.find(|by| by.cause() == cause).map_or(0, |by| by.count)
        };
        assert_eq!(count(pb::WakeCause::Task), 3, "{:?}", next.woken_by);
        assert_eq!(count(pb::WakeCause::Self_), 3, "{:?}", next.woken_by);
        assert_eq!(count(pb::WakeCause::Timer), 0);
        let task = next.task.as_ref().unwrap();
        assert_eq!(task.wakes, 8, "the first time counts in the row alone");
        assert_eq!(task.self_wakes, 4);
        let poll = next.poll.expect("somebody looked before");
        assert_eq!(poll.count, 6);
        let long: u64 = poll.counts.iter().sum();
        assert!(long >= 3 && poll.max_ns >= 50_000, "{poll:?}");
        assert!(poll.since_ns > task.spawned_at_ns && poll.since_ns <= next.at_ns);
        assert!(next.scheduled.is_some());
        watched.cancel();
        let _ = watched.await;
        drop(two);
    });
}

#[test]
fn a_reused_row_is_not_taken_for_the_task_that_was_looked_at() {
    let inspected = Inspected::new("reused");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let first = create_task(std::future::pending::<()>());
        page(&mut client, first.id().get()).await;
        first.cancel();
        let _ = first.await;
        settle().await;
        let second = create_task(async {
            loop {
                yield_now().await;
            }
        });
        let id = second.id().get();
        assert_eq!(page(&mut client, id).await.poll, None);
        settle().await;
        let page = page(&mut client, id).await;
        let woken = page.woken_by.iter().map(|by| by.cause());
        assert_eq!(woken.collect::<Vec<_>>(), [pb::WakeCause::Self_]);
        second.cancel();
        let _ = second.await;
    });
}
