//! The await graph around a task, as a viewer sees it.

use super::*;
use crate::sync::{Lock, Semaphore};

/// The steps of one direction: depth, who waits, for which task, and whether that closes a ring.
fn steps(of: &[pb::AwaitStep]) -> Vec<(u32, u64, u64, bool)> {
    of.iter()
        .map(|step| (step.depth, step.task_id, step.on_task_id, step.ring))
        .collect()
}

#[test]
fn a_join_behind_a_lock_is_followed_to_the_task_that_has_to_act_and_back() {
    let inspected = Inspected::new("graph");
    on_loop(|_| async move {
        let lock = Arc::new(Lock::named("cart", ()));
        let (promise, kept) = create_future::<()>();
        let held = lock.clone();
        let holder = create_task(async move {
            let _guard = held.lock().await;
            let _ = kept.await;
        });
        settle().await;
        let wants = create_task(async move { drop(lock.lock().await) });
        let (holder_id, wants_id) = (holder.id().get(), wants.id().get());
        let joins = create_task(async move { wants.await.unwrap() });
        let joins_id = joins.id().get();
        settle().await;
        let mut client = inspected.client().await;

        let top = page(&mut client, joins_id).await;
        let expected = [
            (1, joins_id, wants_id, false),
            (2, wants_id, holder_id, false),
            (3, holder_id, 0, false),
        ];
        let mut found = steps(&top.awaits);
        // Who keeps the promise may be found out, or not.
        found[2].2 = 0;
        assert_eq!(found, expected);
        assert_eq!((top.awaits_cut, top.awaited_by_cut), (0, 0));
        let kinds: Vec<_> = (top.awaits.iter())
            .map(|step| step.wait.as_ref().unwrap().kind())
            .collect();
        use pb::WaitKind::{Future, Resource, Task};
        assert_eq!(kinds, [Task, Resource, Future]);
        for step in &top.awaits {
            let since = step.wait.as_ref().unwrap().since_ns;
            assert!(since.is_some_and(|since| since <= top.at_ns), "{step:?}");
        }
        assert_eq!(top.awaits[0].on_task_state(), pb::TaskState::Wait);

        let bottom = page(&mut client, holder_id).await;
        let expected = [
            (1, wants_id, holder_id, false),
            (2, joins_id, wants_id, false),
        ];
        assert_eq!(steps(&bottom.awaited_by), expected);

        drop(promise);
        joins.await.unwrap();
        holder.await.unwrap();
    });
}

#[test]
fn a_ring_is_told_where_it_closes() {
    let inspected = Inspected::new("ring");
    on_loop(|_| async move {
        let locks = [Lock::new(()), Lock::new(())].map(Arc::new);
        let crossing = |first: usize| {
            let (mine, other) = (locks[first].clone(), locks[1 - first].clone());
            create_task(async move {
                let _mine = mine.lock().await;
                yield_now().await;
                let _other = other.lock().await;
            })
        };
        let (one, two) = (crossing(0), crossing(1));
        let (a, b) = (one.id().get(), two.id().get());
        settle().await;
        let mut client = inspected.client().await;
        let page = page(&mut client, a).await;
        assert_eq!(steps(&page.awaits), [(1, a, b, false), (2, b, a, true)]);
        assert_eq!(steps(&page.awaited_by), [(1, b, a, false), (2, a, b, true)]);
        one.cancel();
        two.cancel();
        let _ = (one.await, two.await);
    });
}

#[test]
fn who_has_permits_has_to_act() {
    let inspected = Inspected::new("permits");
    on_loop(|_| async move {
        let slots = Arc::new(Semaphore::new(2));
        let (promise, kept) = create_future::<()>();
        let kept = Arc::new(Lock::new(kept));
        let holder = |kept: Arc<Lock<_>>| {
            let slots = slots.clone();
            create_task(async move {
                let _permit = slots.acquire().await;
                let _ = (&mut *kept.lock().await).await;
            })
        };
        let (one, two) = (holder(kept.clone()), holder(kept.clone()));
        settle().await;
        let theirs = slots.clone();
        let wants = create_task(async move { drop(theirs.acquire().await) });
        let [one_id, two_id, wants_id] = [&one, &two, &wants].map(|task| task.id().get());
        settle().await;
        let mut client = inspected.client().await;
        let page = page(&mut client, wants_id).await;
        let first: Vec<_> = steps(&page.awaits)
            .into_iter()
            .filter(|step| step.0 == 1)
            .collect();
        assert_eq!(
            first,
            [(1, wants_id, one_id, false), (1, wants_id, two_id, false)]
        );
        let page = super::page(&mut client, two_id).await;
        assert_eq!(steps(&page.awaited_by), [(1, wants_id, two_id, false)]);
        drop(promise);
        one.await.unwrap();
        let _ = two.await;
        wants.await.unwrap();
    });
}

#[test]
fn a_task_that_many_wait_for_lists_as_many_as_fit_and_counts_the_rest() {
    let inspected = Inspected::new("many");
    on_loop(|_| async move {
        let lock = Arc::new(Lock::new(()));
        let guard = lock.lock().await;
        let me = crate::current_task().unwrap().id().get();
        let waiting: Vec<_> = (0..300)
            .map(|_| {
                let lock = lock.clone();
                create_task(async move { drop(lock.lock().await) })
            })
            .collect();
        settle().await;
        let mut client = inspected.client().await;
        let page = page(&mut client, me).await;
        assert_eq!((page.awaited_by.len(), page.awaited_by_cut), (256, 44));
        drop(guard);
        for task in waiting {
            task.await.unwrap();
        }
    });
}
