//! A second executor, sixty lines long, on the record alone: the proof that the row of a task
//! knows no executor, so that others (tokio's first) can be recorded by the same tables.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::LoopRecord;
use super::Owner;
use super::current::{Doing, Entered};
use super::names::NameId;
use super::task::{Birth, Kind, Outcome, State, phase};
use crate::clock;

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Toy {
    record: Arc<LoopRecord>,
    owner: Owner,
    tasks: Vec<(u32, Work)>,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

struct Woken {
    task: usize,
    slot: u32,
    record: Arc<LoopRecord>,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().push_back(self.task);
        if let Some(row) = self.record.tasks.get(self.slot) {
            row.woken(&self.record);
        }
    }
}

impl Toy {
    fn new() -> Self {
        Self {
            record: LoopRecord::new("toy", false, Location::caller()),
            owner: Owner::default(),
            tasks: Vec::new(),
            ready: Arc::default(),
        }
    }

    #[track_caller]
    fn spawn<F: Future<Output = ()> + 'static>(&mut self, future: F) -> u64 {
        let (record, owner, id) = (&self.record, &self.owner, self.owner.ids.next());
        let of = std::any::type_name::<F>();
        let site = record
            .sites
            .of(&owner.sites, Location::caller(), of, size_of::<F>());
        let (slot, row) = record.tasks.take(&owner.tasks).unwrap();
        row.spawned(&Birth {
            id,
            kind: Kind::Task,
            parent: super::current_task(),
            at: clock::ticks(),
            site,
            name: NameId::NONE,
            number: 0,
            loop_id: record.id.get(),
            flags: 0,
        });
        self.ready.lock().unwrap().push_back(self.tasks.len());
        self.tasks.push((slot, Box::pin(future)));
        id
    }

    fn run(&mut self) {
        let record = self.record.clone();
        let _here = Entered::new(&record);
        record.phase(Doing::Polling, clock::ticks());
        while let Some(task) = { self.ready.lock().unwrap().pop_front() } {
            let (slot, future) = &mut self.tasks[task];
            let row = record.tasks.get(*slot).unwrap();
            if row.phase.load(Ordering::Relaxed) == phase::DONE {
                continue;
            }
            let waker = Waker::from(Arc::new(Woken {
                task,
                slot: *slot,
                record: record.clone(),
                ready: self.ready.clone(),
            }));
            let start = clock::ticks();
            row.poll_begin(&record, start);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            let pending = polled.is_pending();
            row.poll_end(&record, start, clock::ticks(), pending);
            if !pending {
                row.finished(Outcome::Returned);
            }
        }
        record.phase(Doing::Stopped, clock::ticks());
    }
}

#[test]
fn an_executor_of_sixty_lines_is_recorded_by_the_row_alone() {
    let mut toy = Toy::new();
    let mut left = 2;
    let first = toy.spawn(std::future::poll_fn(move |cx| {
        cx.waker().wake_by_ref();
        left -= 1;
        if left < 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
    let second = toy.spawn(std::future::pending());
    toy.run();
    let facts = |id| super::find_task(&toy.record, id).unwrap().1;
    assert_eq!((facts(first).polls, facts(first).state), (3, State::Done));
    assert_eq!(facts(first).outcome, Some(Outcome::Returned));
    assert_eq!(facts(first).woken_by, Some(super::wake::Cause::Task(first)));
    assert_eq!((facts(second).polls, facts(second).state), (1, State::Wait));
    assert!(facts(first).busy > 0);
    assert_eq!((facts(first).wakes, facts(first).self_wakes), (3, 3));
    let places: Vec<_> = toy
        .record
        .sites
        .all()
        .filter_map(|(_, site)| site.place())
        .collect();
    assert_eq!(places.len(), 2);
}
