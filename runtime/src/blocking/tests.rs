//! The executor with a home that keeps errands until the test carries them out.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Barrier, Condvar};

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::record::job::State;

/// A loop's inbox, as seen from here.
#[derive(Default)]
struct Inbox {
    errands: Mutex<VecDeque<Errand>>,
    came: Condvar,
    closed: std::sync::atomic::AtomicBool,
}

impl Inbox {
    /// Waits for one errand and carries it out.
    fn turn(&self) {
        let mut errands = self.errands.lock().unwrap();
        while errands.is_empty() {
            errands = self.came.wait(errands).unwrap();
        }
        let errand = errands.pop_front().unwrap();
        drop(errands);
        errand();
    }
}

#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn executor(threads: usize) -> (Blocking, Arc<LoopRecord>, Arc<Inbox>) {
    let record = LoopRecord::new("executor", false, Location::caller());
    let inbox = Arc::new(Inbox::default());
    let home = inbox.clone();
    let home: Home = Box::new(move |errand| {
        if home.closed.load(Ordering::Relaxed) {
            return Err(errand);
        }
        home.errands.lock().unwrap().push_back(errand);
        home.came.notify_one();
        Ok(())
    });
    let blocking = Blocking::with_limits(record.clone(), Rc::default(), home, threads, 1);
    (blocking, record, inbox)
}

impl Blocking {
    fn run<T: Send + 'static>(
        &self,
        name: &str,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Job<T> {
        self.submit(Lane::General, name, Location::caller(), run)
            .unwrap()
    }
}

fn poll<T>(job: &mut Job<T>, waker: &Waker) -> Poll<std::thread::Result<T>> {
    std::pin::Pin::new(job).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_job_runs_elsewhere_and_its_value_wakes_the_waiter_on_the_loop() {
    let (executor, record, inbox) = executor(2);
    let counted = Arc::new(Counted::default());
    let waker = Waker::from(counted.clone());
    let (go, wait) = mpsc::channel();
    let mut job = executor.run("where", move || {
        wait.recv().unwrap();
        std::thread::current().id()
    });
    assert!(poll(&mut job, &waker).is_pending());
    go.send(()).unwrap();
    inbox.turn();
    assert_eq!(counted.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(Ok(thread)) = poll(&mut job, &waker) else {
        panic!("woken without a value")
    };
    assert_ne!(thread, std::thread::current().id());
    assert_eq!(record.jobs.live().count(), 0);
    drop(job);
    assert_eq!(Arc::strong_count(&counted), 2, "no waker is kept");
}

#[test]
fn a_row_says_name_state_and_thread_while_the_job_runs() {
    let (executor, record, inbox) = executor(1);
    let (go, wait) = mpsc::channel::<()>();
    let began = Arc::new(Barrier::new(2));
    let theirs = began.clone();
    let first = executor.run("resize", move || {
        theirs.wait();
        wait.recv().unwrap();
    });
    let second = executor.run("", || ());
    began.wait();
    let facts: Vec<_> = record
        .jobs
        .live()
        .map(|(_, row)| row.read().unwrap())
        .collect();
    assert_eq!(facts[0].name.text(), Some("resize"));
    assert_eq!(
        (facts[0].state, facts[1].state),
        (State::Running, State::Queued)
    );
    assert!(facts[0].started_at >= facts[0].submitted_at);
    if cfg!(target_os = "linux") {
        assert_ne!(facts[0].thread, 0);
    }
    assert_eq!(executor.counts(), (1, 1));
    go.send(()).unwrap();
    inbox.turn();
    inbox.turn();
    drop((first, second));
    assert_eq!(record.jobs.live().count(), 0);
}

#[test]
fn a_panic_in_a_job_is_its_result_and_the_thread_goes_on() {
    let (executor, _, inbox) = executor(1);
    let mut job = executor.run("breaks", || panic!("on purpose"));
    inbox.turn();
    let Poll::Ready(Err(panic)) = poll(&mut job, Waker::noop()) else {
        panic!("no result")
    };
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    let mut next = executor.run("works", || 7);
    inbox.turn();
    assert!(matches!(poll(&mut next, Waker::noop()), Poll::Ready(Ok(7))));
}

#[test]
fn a_job_withdrawn_before_its_turn_never_runs() {
    let (executor, record, inbox) = executor(1);
    let (go, wait) = mpsc::channel::<()>();
    let first = executor.run("first", move || wait.recv());
    let ran = Arc::new(AtomicUsize::new(0));
    let theirs = ran.clone();
    let second = executor.run("second", move || theirs.fetch_add(1, Ordering::Relaxed));
    drop(second);
    assert_eq!(Arc::strong_count(&ran), 1, "its closure is gone");
    go.send(()).unwrap();
    inbox.turn();
    drop(first);
    executor.shutdown(None).unwrap();
    assert_eq!(
        (ran.load(Ordering::Relaxed), record.jobs.live().count()),
        (0, 0)
    );
}

#[test]
fn a_running_job_that_nobody_wants_goes_on_and_is_listed_as_cancelled() {
    struct Noted(mpsc::Sender<()>);
    impl Drop for Noted {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (executor, record, inbox) = executor(1);
    let (go, wait) = mpsc::channel::<()>();
    let (dropped, value_dropped) = mpsc::channel();
    let began = Arc::new(Barrier::new(2));
    let theirs = began.clone();
    let job = executor.run("long", move || {
        theirs.wait();
        wait.recv().unwrap();
        Noted(dropped)
    });
    began.wait();
    drop(job);
    let facts = record.jobs.live().next().unwrap().1.read().unwrap();
    assert_eq!((facts.state, facts.cancelled), (State::Running, true));
    go.send(()).unwrap();
    value_dropped.recv().unwrap();
    inbox.turn();
    assert_eq!(record.jobs.live().count(), 0);
}

#[test]
fn a_shutdown_waits_for_what_runs_and_names_what_is_stuck() {
    let (executor, _, _inbox) = executor(1);
    let (go, wait) = mpsc::channel::<()>();
    let began = Arc::new(Barrier::new(2));
    let theirs = began.clone();
    let first = executor.run("export", move || {
        theirs.wait();
        wait.recv().unwrap();
    });
    let second = executor.run("thumbnail", || ());
    began.wait();
    let stuck = executor.shutdown(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(stuck.jobs, ["export", "thumbnail"]);
    assert!(
        executor
            .submit(Lane::General, "late", Location::caller(), || ())
            .is_err()
    );
    go.send(()).unwrap();
    assert_eq!(executor.shutdown(None), Ok(()));
    drop((first, second));
}

#[test]
fn a_result_for_a_closed_loop_calls_nobody_there() {
    let (executor, _, inbox) = executor(1);
    let (go, wait) = mpsc::channel::<()>();
    let began = Arc::new(Barrier::new(2));
    let theirs = began.clone();
    let job = executor.run("late", move || {
        theirs.wait();
        wait.recv()
    });
    began.wait();
    inbox.closed.store(true, Ordering::Relaxed);
    drop(job);
    let pool = executor.general.borrow().pool.clone();
    drop(executor);
    go.send(()).unwrap();
    pool.wait_idle(None).unwrap();
    assert!(inbox.errands.lock().unwrap().is_empty());
}

#[test]
fn lookups_do_not_queue_behind_jobs() {
    let (executor, _, inbox) = executor(1);
    let (go, wait) = mpsc::channel::<()>();
    let busy = executor.run("busy", move || wait.recv());
    let mut lookup = executor
        .submit(Lane::Lookup, "", Location::caller(), || "127.0.0.1")
        .unwrap();
    inbox.turn();
    assert!(poll(&mut lookup, Waker::noop()).is_ready());
    go.send(()).unwrap();
    inbox.turn();
    drop(busy);
}

#[test]
fn rows_are_reused_over_many_jobs() {
    let (executor, record, inbox) = executor(2);
    for round in 0..3_000_u32 {
        let mut job = executor.run("small", move || round);
        inbox.turn();
        assert!(matches!(poll(&mut job, Waker::noop()), Poll::Ready(Ok(n)) if n == round));
    }
    assert_eq!(record.jobs.live().count(), 0);
    assert_eq!(record.jobs.slots(), crate::record::slab::CHUNK as u32);
}
