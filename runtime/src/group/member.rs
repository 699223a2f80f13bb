//! The tasks of a group: their places, how they come and go, and what they failed with.
//!
//! A task tells its group itself when it is over, whatever the way, so the group needs neither
//! the task's awaiter nor a callback, and both stay the app's.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::error::{Cause, Failed, Failure, GroupClosed};
use crate::context;
use crate::executor::{ErrorContext, Executor, RawTask, ScopeKey, text_of};
use crate::record::bound::LoopBound;
use crate::spawn::{Panic, TaskRef};
use crate::sync::resource::Resource;

/// How far a group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Open,
    /// Its tasks were asked to cancel, and it takes no more.
    Cancelling,
    Over,
}

/// The place of one task.
enum Place {
    Free,
    /// Its task is being spawned.
    Kept,
    /// Its task was over before its spawn returned.
    Left,
    Taken(RawTask),
}

/// What a group and its tasks share.
pub(super) struct Group<E> {
    pub(super) stage: Cell<Stage>,
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<u32>>,
    live: Cell<usize>,
    failures: RefCell<Vec<Failure<E>>>,
    /// The same, as nobody hears of them but when the group is dropped.
    unheard: RefCell<Vec<ErrorContext>>,
    /// The scope around the body, while the body runs.
    pub(super) body: Cell<Option<ScopeKey>>,
    /// Of whoever waits for the last task to end.
    pub(super) waker: Cell<Option<Waker>>,
    pub(super) row: Resource,
}

pub(super) type Shared<E> = Arc<LoopBound<Group<E>>>;

impl<E> Group<E> {
    pub(super) fn new(row: Resource) -> Self {
        Self {
            stage: Cell::new(Stage::Open),
            places: RefCell::default(),
            free: RefCell::default(),
            live: Cell::new(0),
            failures: RefCell::default(),
            unheard: RefCell::default(),
            body: Cell::new(None),
            waker: Cell::new(None),
            row,
        }
    }

    /// Tasks that are not over.
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Keeps a place for a task that is about to be spawned.
    pub(super) fn keep_place(&self) -> Result<u32, GroupClosed> {
        match self.stage.get() {
            Stage::Open => {}
            Stage::Cancelling => return Err(GroupClosed::Cancelling),
            Stage::Over => return Err(GroupClosed::Over),
        }
        let mut places = self.places.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            places.push(Place::Free);
            places.len() as u32 - 1
        });
        places[place as usize] = Place::Kept;
        self.count(self.live.get() + 1);
        Ok(place)
    }

    /// The task of a place that was kept.
    pub(super) fn take_place(&self, place: u32, raw: RawTask, executor: &Executor) {
        let mut places = self.places.borrow_mut();
        let at = &mut places[place as usize];
        if matches!(at, Place::Left) {
            // An eager task that was done at once.
            *at = Place::Free;
            self.free.borrow_mut().push(place);
            return;
        }
        *at = Place::Taken(raw);
        drop(places);
        executor.hold(raw);
        if self.stage.get() != Stage::Open {
            // What it did at its first step, done in its spawn, ended the group.
            executor.cancel_member(raw, None);
        }
    }

    fn count(&self, live: usize) {
        self.live.set(live);
        self.row.level(live);
    }

    /// A task is over, or as good as: its future has ended or is gone.
    fn left(&self, place: u32, executor: &Executor) {
        let mut places = self.places.borrow_mut();
        match std::mem::replace(&mut places[place as usize], Place::Left) {
            Place::Taken(raw) => {
                places[place as usize] = Place::Free;
                self.free.borrow_mut().push(place);
                executor.release(raw);
            }
            // Its spawn, which is still under way, frees the place.
            Place::Kept => {}
            Place::Left | Place::Free => unreachable!("a task leaves its group once"),
        }
        drop(places);
        let live = self.live.get() - 1;
        self.count(live);
        if live == 0
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    pub(super) fn fail(&self, failure: Failure<E>) {
        self.failures.borrow_mut().push(failure);
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.failures.borrow().is_empty()
    }

    /// What failed, to be passed on.
    pub(super) fn take_failures(&self) -> Vec<Failure<E>> {
        self.unheard.take();
        self.failures.take()
    }

    /// Asks every task to cancel, oldest first, and cuts the body. Takes no more tasks. `place` is
    /// the call of the app's that asks, if there is one.
    pub(super) fn cancel(&self, executor: &Executor, place: Option<&'static Location<'static>>) {
        if self.stage.get() != Stage::Open {
            return;
        }
        self.stage.set(Stage::Cancelling);
        for at in self.places.borrow().iter() {
            if let Place::Taken(raw) = at {
                executor.cancel_member(*raw, place);
            }
        }
        if let Some(body) = self.body.get() {
            executor.cut(body);
        }
    }

    /// The group is dropped with tasks in it: they are asked to cancel, and shown as outliving it
    /// until they end.
    pub(super) fn abandon(&self, executor: &Executor) {
        self.body.set(None);
        // Not those that were asked before: a second request would cut their clean-up.
        self.cancel(executor, None);
        self.stage.set(Stage::Over);
        drop(self.waker.take());
        let mut left = Vec::new();
        for place in self.places.borrow_mut().iter_mut() {
            if let Place::Taken(raw) = place {
                left.push(*raw);
                // Its end is told to nobody: it frees a place that nobody takes.
                *place = Place::Kept;
            }
        }
        for raw in left {
            executor.outlived(raw);
        }
        drop(self.failures.take());
        for context in self.unheard.take() {
            executor.unheard(&context);
        }
    }
}

/// A task's place in its group; left when dropped.
pub(super) struct Seat<E: Send + 'static> {
    shared: Shared<E>,
    place: u32,
}

impl<E: Send + 'static> Drop for Seat<E> {
    fn drop(&mut self) {
        // Elsewhere: the loop is closed, and the group's tasks are nobody's.
        if let Ok(group) = self.shared.get() {
            let _ = context::with(|organs| group.left(self.place, &organs.executor));
        }
    }
}

pin_project! {
    /// The future of a group's task around the app's.
    pub(super) struct Member<F, E>
    where
        E: Send,
        E: 'static,
    {
        #[pin]
        future: F,
        // After the future: what that does while it is dropped is part of the task.
        seat: Option<Seat<E>>,
    }
}

impl<F, E: Send + 'static> Member<F, E> {
    pub(super) fn new(future: F, shared: Shared<E>, place: u32) -> Self {
        Self {
            future,
            seat: Some(Seat { shared, place }),
        }
    }
}

impl<F, T, E> Future for Member<F, E>
where
    F: Future<Output = Result<T, E>>,
    E: Display + Send + 'static,
{
    type Output = Result<T, Failed>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future;
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => Poll::Ready(Ok(value)),
            Ok(Poll::Ready(Err(error))) => {
                if let Some(seat) = this.seat {
                    seat.failed(error);
                }
                Poll::Ready(Err(Failed))
            }
            Err(payload) => match this.seat {
                Some(seat) => seat.panicked(payload),
                None => resume_unwind(payload),
            },
        }
    }
}

impl<E: Send + 'static> Seat<E> {
    fn failed(&self, error: E)
    where
        E: Display,
    {
        let says = error.to_string();
        let heard = self.tell(
            |executor| executor.heard(Some(says.clone()), ""),
            || Cause::Failed(error),
        );
        if !heard {
            // Its group is gone: it fails like any task that nobody awaits.
            let _ = context::with(|organs| organs.executor.state_failure(says));
        }
    }

    fn panicked(&self, payload: Box<dyn Any + Send>) -> ! {
        let text = text_of(&*payload).to_owned();
        let mut payload = Some(payload);
        let cause = || Cause::Panicked(Panic::new(payload.take().expect("told once")));
        self.tell(|executor| executor.heard(None, &text), cause);
        // The group has the payload, if it is there; the task ends by a panic all the same.
        match payload {
            Some(payload) => resume_unwind(payload),
            None => resume_unwind(Box::new(text)),
        }
    }

    /// The running task fails: its group hears of it, and comes to its end. False if there is none.
    fn tell(
        &self,
        hear: impl FnOnce(&Executor) -> Option<ErrorContext>,
        cause: impl FnOnce() -> Cause<E>,
    ) -> bool {
        let Ok(group) = self.shared.get() else {
            return false;
        };
        if group.stage.get() == Stage::Over {
            return false;
        }
        let told = context::with(|organs| {
            let executor = &organs.executor;
            let Some(context) = hear(executor) else {
                return false;
            };
            group.fail(Failure {
                task: context
                    .task
                    .map(|id| TaskRef::new(id.get(), organs.record.id)),
                name: context.name.clone(),
                cause: cause(),
            });
            group.unheard.borrow_mut().push(context);
            group.cancel_others(self.place, executor);
            true
        });
        told.unwrap_or(false)
    }
}

impl<E> Group<E> {
    /// As `cancel`, but for the task that runs, which is ending as it is.
    fn cancel_others(&self, own: u32, executor: &Executor) {
        let place = std::mem::replace(&mut self.places.borrow_mut()[own as usize], Place::Kept);
        self.cancel(executor, None);
        self.places.borrow_mut()[own as usize] = place;
    }
}
