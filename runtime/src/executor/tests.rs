//! The executor against its own record: what it counts, states and frees. Stands on the record
//! alone; there is no loop here, only turns by hand.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::panic::Location;
use std::task::Poll;

use super::*;
use crate::record::current::{Doing, Entered};
use crate::record::drops::SOME_THREAD;
use crate::record::event::Kind as Event;
use crate::record::task::{State, TaskFacts};
use crate::record::wake::Cause;

struct Bench {
    record: Arc<LoopRecord>,
    executor: Executor,
}

impl Bench {
    fn new() -> Self {
        let record = LoopRecord::new("bench", false, Location::caller());
        let executor = Executor::new(record.clone(), Rc::default(), Box::new(|| ()));
        Self { record, executor }
    }

    fn inside<R>(&self, f: impl FnOnce(&Executor) -> R) -> R {
        let _record = Entered::new(&self.record);
        let _executor = self.executor.enter();
        f(&self.executor)
    }

    #[track_caller]
    fn spawn<F: Future + 'static>(&self, future: F) -> RawTask {
        let how = How::new(Location::caller(), Kind::Task);
        self.inside(|executor| executor.spawn(future, &how))
    }

    /// Spawns a task that nobody holds.
    #[track_caller]
    fn detach<F: Future + 'static>(&self, future: F) -> u64 {
        let task = self.spawn(future);
        self.drop_handle(task);
        task.id()
    }

    fn drop_handle(&self, task: RawTask) {
        self.inside(|executor| executor.handle_dropped(task, false));
    }

    /// Polls until nothing is ready.
    fn turn(&self) {
        self.inside(|executor| {
            executor.take_away();
            while executor.ready_len() > 0 {
                executor.run_ready(usize::MAX, clock::ticks(), u64::MAX);
                executor.take_away();
            }
        });
    }

    fn facts(&self, id: u64) -> TaskFacts {
        record::find_task(&self.record, id)
            .expect("the task has its row")
            .1
    }

    fn rows(&self) -> usize {
        self.record.tasks.live().count()
    }

    fn close(&self) {
        self.inside(|executor| drop(executor.close(false)));
    }
}

/// Pending as often as said; wakes itself.
async fn yields(times: usize) {
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Waits for ever and leaves a clone of its waker.
async fn leave(waker: Rc<RefCell<Option<Waker>>>) {
    poll_fn(|cx| {
        *waker.borrow_mut() = Some(cx.waker().clone());
        Poll::<()>::Pending
    })
    .await
}

fn spin(ticks: u64) {
    let start = clock::ticks();
    while clock::ticks() - start < ticks {
        std::hint::spin_loop();
    }
}

#[test]
fn counts_of_references_go_back_to_zero_and_rows_are_reused() {
    let bench = Bench::new();
    for _ in 0..100_000 {
        bench.detach(async {});
        bench.turn();
    }
    assert_eq!(
        (bench.rows(), bench.record.tasks.slots()),
        (0, 1024),
        "one chunk is enough"
    );
    let row = bench.record.tasks.get(0).unwrap();
    assert_eq!(row.refs_here.load(Ordering::Relaxed), 0);
    assert_eq!(bench.executor.live_tasks(), 0);
    bench.close();
}

#[test]
fn each_waker_and_handle_is_counted_and_a_row_stays_until_the_last_is_gone() {
    let bench = Bench::new();
    let slot = Rc::new(RefCell::new(None));
    let task = bench.spawn(leave(slot.clone()));
    bench.turn();
    let (waker, second) = (slot.take().unwrap(), RefCell::new(None));
    assert_eq!(
        (
            bench.facts(task.id()).wakers,
            bench.facts(task.id()).handles
        ),
        (1, 1)
    );
    bench.inside(|_| *second.borrow_mut() = Some(waker.clone()));
    assert_eq!(bench.facts(task.id()).wakers, 2);
    let away = std::thread::spawn(move || {
        let clone = waker.clone();
        drop(waker);
        clone
    });
    let clone = away.join().unwrap();
    assert_eq!(
        bench.facts(task.id()).wakers,
        2,
        "one here, one away; a handed-in drop is none"
    );
    bench.inside(|executor| assert!(executor.cancel(task, None)));
    bench.turn();
    assert_eq!(bench.facts(task.id()).state, State::Done);
    bench.drop_handle(task);
    bench.inside(|_| drop(second.take()));
    assert_eq!(bench.rows(), 1, "a waker is left");
    drop(clone);
    bench.turn();
    assert_eq!(bench.rows(), 0);
    bench.close();
}

#[test]
fn a_stranded_task_has_no_waker_and_no_handle_in_a_settled_reading() {
    let bench = Bench::new();
    let stranded = bench.detach(pending::<()>());
    let slot = Rc::new(RefCell::new(None));
    let waits = bench.detach(leave(slot.clone()));
    let held = bench.spawn(pending::<()>());
    bench.turn();
    let settled = |id| {
        let rows = bench.record.tasks.live();
        let row = rows.map(|(_, row)| row).find(|row| row.task_id() == id);
        let facts = row.unwrap().read_settled().expect("nothing runs");
        (facts.state, facts.wakers, facts.handles)
    };
    assert_eq!(settled(stranded), (State::Wait, 0, 0));
    assert_eq!(settled(waits), (State::Wait, 1, 0));
    assert_eq!(settled(held.id()), (State::Wait, 0, 1));
    bench.drop_handle(held);
    bench.inside(|_| slot.take().unwrap().wake());
    let row = bench
        .record
        .tasks
        .live()
        .find(|(_, row)| row.task_id() == waits);
    assert!(row.unwrap().1.read_settled().is_none(), "woken: no verdict");
    bench.turn();
    bench.inside(|_| drop(slot.take()));
    bench.close();
}

#[test]
fn who_woke_a_task_is_recorded() {
    let bench = Bench::new();
    let slot = Rc::new(RefCell::new(None));
    let task = bench.detach(leave(slot.clone()));
    let woken_by = || bench.facts(task).woken_by;
    assert_eq!(woken_by(), Some(Cause::Spawn));
    bench.turn();

    let other = slot.take().unwrap();
    let waker = bench.detach(async move { other.wake() });
    bench.turn();
    assert_eq!(woken_by(), Some(Cause::Task(waker)));

    bench.inside(|_| {
        bench.record.phase(Doing::Timers, clock::ticks());
        bench.record.acts_for(Some(Cause::Timer(7)));
        slot.take().unwrap().wake();
        bench.record.acts_for(None);
        bench.record.phase(Doing::Turning, clock::ticks());
    });
    assert_eq!(woken_by(), Some(Cause::Timer(7)));
    bench.turn();

    bench.inside(|_| slot.take().unwrap().wake());
    assert_eq!(woken_by(), Some(Cause::Loop));
    bench.turn();

    let away = slot.take().unwrap();
    std::thread::spawn(move || away.wake()).join().unwrap();
    bench.turn();
    assert!(
        matches!(woken_by(), Some(Cause::Thread(_))),
        "{:?}",
        woken_by()
    );

    let own = bench.detach(async {
        yields(1).await;
        pending::<()>().await
    });
    bench.turn();
    assert_eq!(bench.facts(own).woken_by, Some(Cause::Task(own)));
    bench.inside(|_| drop(slot.take()));
    bench.close();
}

#[test]
fn wakes_by_itself_are_counted_apart_from_those_of_others() {
    let bench = Bench::new();
    let slot = Rc::new(RefCell::new(None));
    let task = bench.detach({
        let slot = slot.clone();
        async move {
            yields(3).await;
            leave(slot).await
        }
    });
    bench.turn();
    let wakes = || (bench.facts(task).wakes, bench.facts(task).self_wakes);
    assert_eq!(wakes(), (3, 3), "its spawn was no wake");
    let waker: Waker = slot.take().unwrap();
    bench.detach(async move {
        // The second finds it ready.
        waker.wake_by_ref();
        waker.wake();
    });
    bench.turn();
    assert_eq!(wakes(), (5, 3));
    bench.inside(|_| drop(slot.take()));
    bench.close();
}

#[test]
fn what_is_left_of_a_share_goes_before_what_came_meanwhile() {
    let bench = Bench::new();
    let order = Rc::new(RefCell::new(Vec::new()));
    for number in 0..3 {
        let order = order.clone();
        bench.detach(async move {
            for _ in 0..2 {
                order.borrow_mut().push(number);
                yields(1).await;
            }
        });
    }
    bench.inside(|executor| {
        while executor.ready_len() > 0 {
            assert_eq!(executor.run_ready(1, clock::ticks(), u64::MAX), 1);
        }
    });
    assert_eq!(*order.borrow(), [0, 1, 2, 0, 1, 2]);
    bench.close();
}

#[test]
fn polls_and_busy_time_of_a_loop_are_the_sums_of_its_tasks() {
    let bench = Bench::new();
    for times in 0..50 {
        bench.spawn(async move {
            spin(1_000);
            yields(times).await;
        });
    }
    bench.inside(|executor| {
        executor.call(|| spin(1_000), How::new(Location::caller(), Kind::Callback))
    });
    let waiting: Vec<_> = (0..10).map(|_| bench.spawn(pending::<()>())).collect();
    bench.turn();
    let stats = &bench.record.stats;
    let relaxed = Ordering::Relaxed;
    let sites = || bench.record.sites.all().map(|(_, site)| site);
    let live = |of: fn(&TaskFacts) -> u64| {
        waiting
            .iter()
            .map(|task| of(&bench.facts(task.id())))
            .sum::<u64>()
    };
    let polls = sites().map(|site| site.polls.load(relaxed)).sum::<u64>();
    let busy = sites().map(|site| site.busy.load(relaxed)).sum::<u64>();
    assert_eq!(live(|facts| facts.polls), 10);
    assert_eq!(stats.polls.load(relaxed), polls + 10);
    let all = busy + live(|facts| facts.busy);
    assert!(
        all <= stats.busy.load(relaxed),
        "no task's time is counted twice"
    );
    assert_eq!(stats.spawned.load(relaxed), 60);
    assert_eq!(
        (stats.finished.load(relaxed), stats.callbacks.load(relaxed)),
        (50, 1)
    );
    let spawned = sites().map(|site| site.spawned.load(relaxed)).sum::<u64>();
    assert_eq!(spawned, 61, "places count callbacks too");
    bench.close();
}

#[test]
fn the_longest_poll_is_kept_and_a_cancel_is_no_poll() {
    let bench = Bench::new();
    let task = bench.spawn(async {
        yields(1).await;
        spin(200_000);
        yields(1).await;
        pending::<()>().await;
    });
    bench.turn();
    let facts = bench.facts(task.id());
    assert_eq!(facts.polls, 3);
    assert!(facts.max_poll >= 200_000 && facts.busy >= facts.max_poll);
    bench.inside(|executor| executor.cancel(task, None));
    bench.turn();
    assert_eq!(bench.facts(task.id()).polls, 3);
    assert_eq!(bench.facts(task.id()).outcome, Some(Outcome::Cancelled));
    bench.drop_handle(task);
    bench.close();
}

#[test]
fn the_ended_are_listed_newest_first_with_outcome_and_error() {
    let bench = Bench::new();
    let returned = bench.detach(async {});
    let panicked = bench.detach(async { panic!("no such ticket") });
    let cancelled = bench.spawn(pending::<()>());
    bench.turn();
    bench.inside(|executor| executor.cancel(cancelled, Some("enough")));
    bench.turn();
    let dropped = bench.detach(pending::<()>());
    bench.close();
    let ended: Vec<_> = (0..9)
        .filter_map(|back| bench.record.ended.get(back))
        .collect();
    let ended: Vec<_> = ended
        .iter()
        .map(|row| (row.id, row.outcome, &*row.error))
        .collect();
    assert_eq!(
        ended,
        [
            (dropped, Outcome::Dropped, ""),
            (cancelled.id(), Outcome::Cancelled, ""),
            (panicked, Outcome::Panicked, "no such ticket"),
            (returned, Outcome::Returned, ""),
        ]
    );
}

#[test]
fn events_of_a_life_come_in_order_and_none_unless_wanted() {
    let bench = Bench::new();
    bench.detach(yields(2));
    bench.turn();
    assert!(bench.record.ring().is_none(), "nobody wanted any");
    bench.record.want(u32::MAX);
    let task = bench.detach(yields(2));
    bench.turn();
    bench.record.want(0);
    bench.detach(yields(2));
    bench.turn();
    let mut life = Vec::new();
    bench.record.ring().unwrap().drain(|event| life.push(event));
    let kinds: Vec<_> = life.iter().map(|event| event.kind).collect();
    let polled = Event::TaskPolled;
    assert_eq!(
        kinds,
        [
            Event::TaskSpawned,
            polled,
            polled,
            polled,
            Event::TaskFinished
        ]
    );
    assert!(life.iter().all(|event| event.id == task));
    assert!(life.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let causes: Vec<_> = life[1..4]
        .iter()
        .map(|event| event.cause().unwrap())
        .collect();
    assert_eq!(causes, [Cause::Spawn, Cause::Task(task), Cause::Task(task)]);
    assert_eq!((life[4].of, life[4].value), (Outcome::Returned as u64, 3));
    bench.close();
}

/// Takes long to drop.
struct Slow(u64);

impl Drop for Slow {
    fn drop(&mut self) {
        spin(self.0);
    }
}

/// The blocks of a bench since the `from`th: what the loop was at, and for whom.
fn blocks(bench: &Bench) -> Vec<(Doing, Option<u64>)> {
    let over = &bench.record.over;
    let all = (0..over.written()).filter_map(|number| over.read(number));
    all.map(|over| (over.doing, over.task.map(|task| task.id)))
        .collect()
}

/// A limit that no honest poll here comes near, and a spin beyond it.
const LIMIT: u64 = 1 << 28;
const BEYOND: u64 = LIMIT + (1 << 24);

#[test]
fn a_block_is_logged_with_its_task_once_and_a_slow_drop_is_not_the_next_tasks() {
    let bench = Bench::new();
    bench
        .record
        .set_budget(std::time::Duration::from_nanos(clock::ticks_to_ns(LIMIT)));
    let polls = bench.detach(async { spin(BEYOND) });
    bench.turn();
    assert_eq!(blocks(&bench), [(Doing::Polling, Some(polls))]);

    let value = bench.detach(async { Slow(BEYOND) });
    let next = bench.spawn(async {});
    bench.turn();
    assert_eq!(blocks(&bench)[1..], [(Doing::Dropping, Some(value))]);
    assert!(bench.facts(next.id()).max_poll < LIMIT);

    let future = bench.spawn(async {
        let _slow = Slow(BEYOND);
        pending::<()>().await;
    });
    bench.turn();
    bench.inside(|executor| executor.cancel(future, None));
    bench.turn();
    assert_eq!(blocks(&bench)[2..], [(Doing::Dropping, Some(future.id()))]);
    assert_eq!(bench.record.stats.blocks.load(Ordering::Relaxed), 3);
    bench.close();
}

#[test]
fn after_the_close_the_last_waker_or_handle_frees_the_record() {
    let bench = Bench::new();
    let slot = Rc::new(RefCell::new(None));
    let held = bench.spawn(leave(slot.clone()));
    bench.turn();
    let here = slot.take().unwrap();
    let away = here.clone();
    let away = std::thread::spawn(move || away.clone()).join().unwrap();
    bench.close();
    let Bench { record, executor } = bench;
    let weak = Arc::downgrade(&record);
    drop((executor, record));
    drop(here);
    away.wake_by_ref();
    std::thread::spawn(move || drop(away)).join().unwrap();
    assert!(weak.upgrade().is_some(), "the handle is left");
    handle_dropped_after_close(held);
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_closed_loop_nobody_refers_to_is_freed_at_once() {
    let bench = Bench::new();
    for _ in 0..3_000 {
        bench.detach(pending::<()>());
    }
    bench.turn();
    bench.close();
    let Bench { record, executor } = bench;
    let weak = Arc::downgrade(&record);
    drop((executor, record));
    assert!(weak.upgrade().is_none());
}

/// Who dropped the last waker of each task, and at which of its polls.
fn drops(bench: &Bench) -> Vec<(u64, Option<Cause>, u64)> {
    let all = bench.record.drops.read().drops;
    let told = all.iter().map(|drop| (drop.task, drop.by, drop.polls));
    told.collect()
}

#[test]
fn the_drop_that_leaves_a_waiting_task_without_a_waker_is_recorded_with_who_did_it() {
    let bench = Bench::new();
    let slot = Rc::new(RefCell::new(None));
    let waits = bench.detach(leave(slot.clone()));
    bench.turn();
    assert_eq!(drops(&bench), [], "one is alive");
    let second = slot.borrow().clone();
    bench.inside(|_| drop(second));
    assert_eq!(drops(&bench), [], "one is alive still");
    let own = slot.clone();
    let by = bench.detach(async move { drop(own.borrow_mut().take()) });
    bench.turn();
    assert_eq!(drops(&bench), [(waits, Some(Cause::Task(by)), 1)]);
    assert_eq!(bench.facts(waits).wakers, 0);
    bench.close();
}

#[test]
fn threads_that_drop_many_wakers_at_once_leave_a_drop_by_one_that_is_not_known() {
    let bench = Bench::new();
    let slot = Rc::new(RefCell::new(None));
    let task = bench.spawn(leave(slot.clone()));
    let waits = task.id();
    bench.drop_handle(task);
    bench.turn();
    let many: Vec<Waker> = (0..8).map(|_| slot.borrow().clone().unwrap()).collect();
    bench.inside(|_| drop(slot.borrow_mut().take()));
    // As eight threads do whose looks all come before the first of their drops: none tells.
    for waker in many {
        std::mem::forget(waker);
        let row = bench.record.tasks.at(task.row().as_ptr()).unwrap();
        waker::give_up_away(&bench.executor.shared, row);
    }
    assert_eq!(drops(&bench), []);
    bench.turn();
    assert_eq!(drops(&bench), [(waits, Some(SOME_THREAD), 1)]);
    // Where the last one was told, nothing is added.
    let slot = Rc::new(RefCell::new(None));
    let other = bench.detach(leave(slot.clone()));
    bench.turn();
    let last = slot.borrow_mut().take();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(last));
    });
    bench.turn();
    let told = drops(&bench);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(matches!(told[1], (task, Some(Cause::Thread(1..)), 1) if task == other));
    bench.close();
}

#[test]
fn a_waker_that_wakes_or_goes_with_its_task_is_no_last_drop() {
    let bench = Bench::new();
    // Used up by a wake.
    let slot = Rc::new(RefCell::new(None));
    let woken = bench.detach(leave(slot.clone()));
    bench.turn();
    bench.inside(|_| slot.borrow_mut().take().unwrap().wake());
    // Dropped while its task is ready.
    let ready = Rc::new(RefCell::new(None));
    bench.detach(leave(ready.clone()));
    bench.turn();
    let waker = ready.borrow_mut().take().unwrap();
    bench.inside(|_| {
        waker.wake_by_ref();
        drop(waker);
    });
    // Dropped in its own poll.
    bench.detach(poll_fn(|cx| {
        drop(cx.waker().clone());
        Poll::<()>::Pending
    }));
    // Dropped with its future, which is cancelled.
    let held = bench.spawn(leave(Rc::default()));
    bench.turn();
    bench.inside(|executor| executor.cancel(held, None));
    bench.turn();
    bench.drop_handle(held);
    assert_eq!(drops(&bench), []);
    assert_eq!(bench.facts(woken).polls, 2);
    bench.close();
}

#[test]
fn a_drop_on_another_thread_is_recorded_with_that_thread() {
    let bench = Bench::new();
    let slot = Rc::new(RefCell::new(None));
    let waits = bench.detach(leave(slot.clone()));
    bench.turn();
    let waker: Waker = slot.borrow_mut().take().unwrap();
    let dropped = move || {
        drop(waker);
        crate::os::thread_id()
    };
    let thread = std::thread::spawn(dropped).join().unwrap();
    let by = Some(Cause::Thread(thread));
    assert_eq!(drops(&bench), [(waits, by, 1)]);
    // A wake there is none: the reference that it gives up has done its work.
    let slot = Rc::new(RefCell::new(None));
    bench.detach(leave(slot.clone()));
    bench.turn();
    let waker: Waker = slot.borrow_mut().take().unwrap();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    bench.turn();
    assert_eq!(drops(&bench).len(), 1);
    bench.close();
}
