//! What the rows say of locks, queues and channels: who holds, how much is there, who waits.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::*;
use crate::record::resource::{Kind, ResourceFacts, state};
use crate::record::task::{On, TaskFacts};
use crate::record::wait::WaitFacts;
use crate::spawn::{Task, create_task, yield_now};
use crate::testing::TestLoop;

fn resources(test: &TestLoop) -> Vec<ResourceFacts> {
    let rows = &test.event_loop().organs().record.resources;
    rows.live().filter_map(|(_, row)| row.read()).collect()
}

/// The only resource there is.
#[track_caller]
fn only(test: &TestLoop) -> ResourceFacts {
    let all = resources(test);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().expect("there is one")
}

fn waits(test: &TestLoop) -> Vec<WaitFacts> {
    let rows = &test.event_loop().organs().record.waits;
    rows.live().filter_map(|(_, row)| row.read()).collect()
}

fn facts<T>(test: &TestLoop, task: &Task<T>) -> TaskFacts {
    let record = &test.event_loop().organs().record;
    let found = crate::record::find_task(record, task.id().get());
    found.expect("a task with a handle has a row").1
}

fn spawn(test: &TestLoop, future: impl Future<Output = ()> + 'static) -> Task<()> {
    test.enter(|| create_task(future))
}

#[test]
fn a_lock_s_row_names_its_holder_and_who_waits_from_its_making_to_its_drop() {
    let mut test = TestLoop::new();
    let lock = test.enter(|| Lock::named("accounts", 0));
    let made = only(&test);
    assert_eq!(
        (made.kind, made.name.text()),
        (Kind::Lock, Some("accounts"))
    );
    assert_eq!((made.holder, made.held_since, made.uses), (0, 0, 0));
    assert!(
        made.place
            .is_some_and(|place| place.file().ends_with("sync/tests.rs"))
    );

    let (event, ours) = test.enter(|| (Event::new(), lock.clone()));
    let go = event.clone();
    let holder = spawn(&test, async move {
        let _guard = ours.lock().await;
        go.wait().await;
    });
    let ours = lock.clone();
    let waiter = spawn(&test, async move { drop(ours.lock().await) });
    test.turn();
    let lock_row = |test: &TestLoop| {
        let mut all = resources(test).into_iter();
        all.find(|row| row.kind == Kind::Lock)
            .expect("the lock is there")
    };
    let held = lock_row(&test);
    assert_eq!(held.holder, holder.id().get());
    assert!(held.held_since >= held.since && held.since > 0);
    assert_eq!((held.waiters, held.waiter), (1, waiter.id().get()));
    assert_eq!((held.uses, held.contended), (1, 1));
    // The task says so too, with the place of its `.await`.
    let says = facts(&test, &waiter);
    assert_eq!(
        (says.waiting_on.kind(), says.waiting_on.id()),
        (On::Resource, held.id)
    );
    let place = says.waiting_at.expect("its await is known");
    assert!(place.file().ends_with("sync/tests.rs"), "{place}");
    let row = waits(&test)
        .into_iter()
        .find(|row| row.task == waiter.id().get());
    let row = row.expect("it has a wait row");
    assert_eq!((row.on, row.place), (says.waiting_on, Some(place)));
    assert!(row.since > 0);

    // Freed: it is the waiter's before that has run.
    event.set();
    test.once();
    test.turn();
    assert!(holder.done() && waiter.done());
    let free = lock_row(&test);
    assert_eq!(
        (free.holder, free.held_since, free.waiters, free.waiter),
        (0, 0, 0, 0)
    );
    assert_eq!((free.uses, free.contended, waits(&test).len()), (2, 1, 0));
    test.enter(|| drop((lock, event)));
    assert!(resources(&test).is_empty());
}

#[test]
fn a_lock_is_its_next_holder_s_from_the_release_on() {
    let test = TestLoop::new();
    test.enter(|| {
        let lock = Lock::new(());
        let guard = lock.try_lock().expect("it is free");
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut waits_here = pin!(lock.lock());
        assert!(waits_here.as_mut().poll(&mut cx).is_pending());
        assert_eq!((only(&test).waiters, waits(&test).len()), (1, 1));
        drop(guard);
        let row = only(&test);
        assert!(row.held_since > 0, "it is held, by no task");
        assert_eq!((row.waiters, row.holder, waits(&test).len()), (0, 0, 0));
        assert!(waits_here.as_mut().poll(&mut cx).is_ready());
    });
}

#[test]
fn a_select_shows_every_arm_and_forgets_them_when_it_is_dropped() {
    let mut test = TestLoop::new();
    let (lock, event, queue) =
        test.enter(|| (Lock::new(()), Event::new(), Queue::<u32>::named("jobs", 3)));
    let guard = test.enter(|| lock.try_lock().expect("it is free").into_owned());
    let (l, e, q) = (lock.clone(), event.clone(), queue.clone());
    let task = spawn(&test, async move {
        let (mut a, mut b, mut c) = (pin!(l.lock()), pin!(e.wait()), pin!(q.get()));
        poll_fn(|cx| {
            let lock = a.as_mut().poll(cx).is_ready();
            let event = b.as_mut().poll(cx).is_ready();
            let queue = c.as_mut().poll(cx).is_ready();
            if lock || event || queue {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    });
    test.turn();
    let mut arms: Vec<_> = waits(&test)
        .iter()
        .map(|row| (row.task, row.on.id()))
        .collect();
    arms.sort_unstable();
    let mut all: Vec<_> = resources(&test)
        .iter()
        .map(|row| (task.id().get(), row.id))
        .collect();
    all.sort_unstable();
    assert_eq!(arms, all);
    assert!(
        resources(&test)
            .iter()
            .all(|row| row.waiter == task.id().get() && row.waiters == 1)
    );
    assert_eq!(
        (facts(&test, &task).waits, facts(&test, &task).wakers),
        (3, 3)
    );
    event.set();
    test.turn();
    assert!(task.done() && waits(&test).is_empty());
    assert!(
        resources(&test)
            .iter()
            .all(|row| row.waiter == 0 && row.waiters == 0)
    );
    test.enter(|| drop(guard));
}

#[test]
fn a_semaphore_a_barrier_and_a_queue_say_how_much_is_there_of_how_much() {
    let mut test = TestLoop::new();
    let level = |test: &TestLoop| (only(test).level, only(test).capacity);

    let slots = test.enter(|| BoundedSemaphore::new(3));
    let permit = test.enter(|| slots.try_acquire(2).expect("three are free").into_owned());
    assert_eq!((level(&test), only(&test).kind), ((1, 3), Kind::Semaphore));
    test.enter(|| drop(permit));
    assert_eq!(level(&test), (3, 3));
    test.enter(|| drop(slots));

    let barrier = test.enter(|| Barrier::new(2));
    let theirs = barrier.clone();
    let task = spawn(&test, async move {
        let _ = theirs.wait().await;
    });
    test.turn();
    assert_eq!((level(&test), only(&test).kind), ((1, 2), Kind::Barrier));
    test.enter(|| barrier.abort());
    assert_eq!((level(&test).0, only(&test).state), (0, state::BROKEN));
    test.turn();
    test.enter(|| drop((barrier, task)));

    let queue = test.enter(|| Queue::new(2));
    test.enter(|| {
        queue
            .put_nowait(1)
            .and_then(|()| queue.put_nowait(2))
            .expect("there is room")
    });
    let theirs = queue.clone();
    let putter = spawn(&test, async move {
        let _ = theirs.put(3).await;
    });
    let theirs = queue.clone();
    let joiner = spawn(&test, async move { theirs.join().await });
    test.turn();
    let row = only(&test);
    assert_eq!((row.level, row.capacity, row.kind), (2, 2, Kind::Queue));
    assert_eq!((row.waiters, row.waiter), (2, putter.id().get()));
    test.enter(|| queue.shutdown(true));
    test.turn();
    assert!(putter.done() && joiner.done());
    let row = only(&test);
    assert_eq!(
        (row.level, row.waiters, row.waiter, row.state),
        (0, 0, 0, state::SET)
    );
}

#[test]
fn channels_say_who_waits_at_which_end() {
    let mut test = TestLoop::new();
    let (sender, mut receiver) = test.enter(|| mpsc::named("lines", 1));
    let theirs = sender.clone();
    let sends = spawn(&test, async move {
        for line in 0..2 {
            theirs.send(line).await.expect("it is open");
        }
    });
    test.turn();
    let row = only(&test);
    assert_eq!((row.kind, row.name.text()), (Kind::Channel, Some("lines")));
    assert_eq!((row.level, row.capacity), (1, 1));
    assert_eq!((row.waiters, row.waiter), (1, sends.id().get()));
    let receives = spawn(
        &test,
        async move { while receiver.recv().await.is_some() {} },
    );
    test.turn();
    let row = only(&test);
    assert_eq!(
        (row.level, row.waiters, row.waiter),
        (0, 1, receives.id().get())
    );
    assert_eq!((row.uses, waits(&test).len()), (2, 1));
    test.enter(|| drop(sender));
    test.turn();
    test.enter(|| drop((sends, receives)));
    assert!(resources(&test).is_empty());

    // One that nobody waits for has no row; then it is that of its making.
    let (sender, receiver) = test.enter(|| oneshot::named::<u32>("reply"));
    assert!(resources(&test).is_empty());
    let task = spawn(&test, async move {
        let _ = receiver.await;
    });
    test.turn();
    let row = only(&test);
    assert_eq!((row.kind, row.name.text()), (Kind::Channel, Some("reply")));
    assert_eq!((row.waiter, row.waiters), (task.id().get(), 1));
    test.enter(|| drop(sender));
    assert_eq!((only(&test).state, only(&test).waiters), (state::BROKEN, 0));
}

#[test]
fn a_condition_s_waiter_waits_for_it_and_then_for_the_lock() {
    let mut test = TestLoop::new();
    let condition = test.enter(|| Condition::new(0));
    let theirs = condition.clone();
    let task = spawn(&test, async move {
        drop(theirs.wait(theirs.lock().await).await)
    });
    test.turn();
    let waits_for = |test: &TestLoop| {
        let on = facts(test, &task).waiting_on.id();
        let row = resources(test).into_iter().find(|row| row.id == on);
        row.expect("what it waits for is there").kind
    };
    assert_eq!(waits_for(&test), Kind::Condition);
    let theirs = condition.clone();
    let holder = spawn(&test, async move {
        let guard = theirs.lock().await;
        theirs.notify(&guard, 1);
        yield_now().await;
        std::future::pending::<()>().await;
    });
    test.turn();
    assert_eq!(waits_for(&test), Kind::Lock);
    let lock = resources(&test)
        .into_iter()
        .find(|row| row.kind == Kind::Lock);
    assert_eq!(lock.map(|row| row.holder), Some(holder.id().get()));
    holder.cancel();
    test.turn();
    assert!(task.done() && waits(&test).is_empty());
}

#[test]
fn a_semaphore_s_row_names_who_has_its_permits_until_that_cannot_be_known() {
    let mut test = TestLoop::new();
    let (slots, go) = test.enter(|| (Semaphore::new(20), Event::new()));
    let of = |test: &TestLoop| {
        let row = resources(test)
            .into_iter()
            .find(|row| row.kind == Kind::Semaphore);
        let row = row.expect("it is there");
        let mut named: Vec<u64> = row.permits.into_iter().filter(|task| *task != 0).collect();
        named.sort_unstable();
        (row.out, named, row.state)
    };
    let (theirs, wait) = (slots.clone(), go.clone());
    let task = spawn(&test, async move {
        let _two = theirs.acquire_many(2).await;
        wait.wait().await;
        theirs.acquire().await.forget();
    });
    test.turn();
    let id = task.id().get();
    assert_eq!(of(&test), (2, vec![id; 2], 0));
    let many = test.enter(|| slots.try_acquire(9).expect("they are free"));
    assert_eq!(of(&test), (11, vec![id; 2], 0), "nine have no place");
    test.enter(|| drop(many));
    // Who is given one that comes back is named as well.
    let rest = test.enter(|| slots.try_acquire(18).expect("they are free"));
    let theirs = slots.clone();
    let moves = spawn(&test, async move {
        let one = theirs.acquire().await.into_owned();
        yield_now().await;
        drop(one);
    });
    test.turn();
    assert_eq!(of(&test).0, 20);
    test.enter(|| drop(rest));
    test.once();
    assert_eq!(
        of(&test),
        (3, vec![id; 2], 0),
        "an owned one may be anywhere"
    );
    test.turn();
    assert!(moves.done());
    test.enter(|| go.set());
    test.turn();
    assert!(task.done());
    assert_eq!(of(&test), (0, vec![], state::BY_HAND));
}

#[test]
fn a_lock_s_row_says_where_it_was_taken_and_that_its_guard_may_have_moved() {
    let test = TestLoop::new();
    test.enter(|| {
        let lock = Lock::new(());
        let guard = lock.try_lock().expect("it is free");
        let row = only(&test);
        let taken = row.taken_at.expect("it is held");
        assert!(
            taken.file().ends_with("sync/tests.rs") && !row.moved,
            "{taken}"
        );
        let guard = guard.into_owned();
        assert!(only(&test).moved);
        drop(guard);
        let row = only(&test);
        assert!(row.taken_at.is_none() && !row.moved);
        drop(lock.try_lock().expect("it is free"));
    });
}

/// Both locks of each order that was seen, how often, and how many others were had each time.
fn orders(test: &TestLoop) -> Vec<(u64, u64, u64, usize)> {
    let mut orders = test.event_loop().organs().record.orders.read();
    orders.sort_by_key(|order| (order.before.id, order.after.id));
    let gates = |gates: [u64; 4]| gates.into_iter().filter(|gate| *gate != 0).count();
    let plain = orders.iter().map(|order| {
        let (before, after) = (order.before.id, order.after.id);
        (before, after, order.times, gates(order.gates))
    });
    plain.collect()
}

#[test]
fn locks_that_a_task_has_at_once_leave_the_order_in_which_it_took_them() {
    let mut test = TestLoop::new();
    let locks = test.enter(|| [(); 3].map(|()| Lock::new(())));
    let ids: Vec<u64> = resources(&test).iter().map(|row| row.id).collect();
    let [cart, stock, desk] = locks.clone();
    let task = spawn(&test, async move {
        drop(cart.lock().await);
        drop(stock.lock().await);
        // One after the other is no order, and neither is one that nobody waited for.
        let first = cart.lock().await;
        drop(stock.try_lock().expect("it is free"));
        let second = stock.lock().await;
        drop(first);
        drop(desk.lock().await);
        drop(second);
        let _third = desk.lock().await;
    });
    test.turn();
    assert!(task.done());
    assert_eq!(
        orders(&test),
        [(ids[0], ids[1], 1, 0), (ids[1], ids[2], 1, 0)]
    );
    let order = &test.event_loop().organs().record.orders.read()[0];
    let taken = order.after.taken.expect("it was taken somewhere");
    assert!(taken.file().ends_with("sync/tests.rs"), "{taken}");
    assert_eq!((order.task, order.by_others), (task.id().get(), false));
}

#[test]
fn what_is_had_each_time_guards_an_order_and_what_is_not_does_not() {
    let mut test = TestLoop::new();
    let locks = test.enter(|| [(); 4].map(|()| Lock::new(())));
    let ids: Vec<u64> = resources(&test).iter().map(|row| row.id).collect();
    let take = |gates: &[usize]| {
        let (locks, gates) = (locks.clone(), gates.to_vec());
        async move {
            let mut had = Vec::new();
            for gate in gates {
                had.push(locks[gate].try_lock().expect("it is free"));
            }
            let _first = locks[0].lock().await;
            let _second = locks[1].lock().await;
        }
    };
    let of = |test: &TestLoop| {
        let all = orders(test);
        let of = all
            .iter()
            .find(|order| (order.0, order.1) == (ids[0], ids[1]));
        of.map(|order| (order.2, order.3))
    };
    for (gates, left) in [(&[2, 3][..], 2), (&[3], 1), (&[3, 2], 1), (&[], 0)] {
        let task = spawn(&test, take(gates));
        test.turn();
        assert!(task.done());
        assert_eq!(of(&test).map(|order| order.1), Some(left), "{gates:?}");
    }
    assert_eq!(of(&test), Some((4, 0)));
}

#[test]
fn orders_take_no_more_room_however_many_there_are_and_the_forgotten_are_counted() {
    let mut test = TestLoop::new();
    let locks: Vec<Lock<()>> = test.enter(|| (0..60).map(|_| Lock::new(())).collect());
    let bytes = test.event_loop().organs().record.orders.bytes();
    let task = spawn(&test, async move {
        for first in &locks {
            let _first = first.lock().await;
            for second in locks.iter().filter(|second| !second.locked()) {
                drop(second.lock().await);
            }
        }
    });
    for _ in 0..200 {
        test.turn();
    }
    assert!(task.done());
    let orders = &test.event_loop().organs().record.orders;
    assert!(orders.read().len() <= 256);
    assert_eq!(orders.read().len() as u64 + orders.forgotten(), 60 * 59);
    assert_eq!(orders.bytes(), bytes);
}
