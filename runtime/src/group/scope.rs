//! `TaskGroup::scope`: a body and its tasks, which end together.
//!
//! ```text
//!         first poll           body ends, or is cut          last task ends
//! (new) ─────────────► body ─────────────────────► waiting ─────────────────► over
//!                        │ cancel from outside, a failure, `cancel`: all tasks are asked to
//!                        └ cancel, the body is cut through the scopes inside it
//! ```

use std::fmt;
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::error::{Cause, Failed, Failure, GroupClosed, GroupError};
use super::member::{Group, Member, Shared, Stage};
use crate::context;
use crate::executor::Hit;
use crate::record;
use crate::record::bound::LoopBound;
use crate::record::resource::Kind;
use crate::spawn::{Entered, Panic, Task, TaskBuilder};
use crate::sync::home::at_home;
use crate::sync::resource::Resource;

/// Tasks that end before their scope does.
///
/// Cheap to clone: the clones are the same group, and its tasks may hold one to spawn more.
///
/// Source: asyncio's `TaskGroup`.
pub struct TaskGroup<E: Send + 'static> {
    shared: Shared<E>,
}

impl<E: Send> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<E: Send> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("loop", &self.shared.made_on())
            .field("tasks", &self.len())
            .finish_non_exhaustive()
    }
}

impl<E: Send + 'static> TaskGroup<E> {
    /// Runs `body` with a group, and waits for the body and for every task that was spawned into
    /// the group, also by its tasks.
    ///
    /// The first that fails (a task returns `Err` or panics, or the body does) has all others asked
    /// to cancel, the body too; the scope waits for their clean-up and gives all failures together.
    /// A task that is cancelled by hand is no failure.
    ///
    /// Errors: `GroupError`, with every failure; without any if `cancel` cut the body.
    /// Panics: made or polled where no loop, or another one, runs.
    /// Cancel: a cancel of the task that awaits the scope cancels body and tasks, waits for them and
    /// then ends that task; with failures the group's error comes first and the cancel at the next
    /// await. A scope that is dropped unfinished asks its tasks to cancel and cannot wait for them.
    /// Records: a resource of kind group, with who waits and how many tasks it has; tasks that
    /// outlive a dropped scope are marked.
    /// Source: asyncio's `async with TaskGroup()`.
    ///
    /// ```
    /// use loop_runtime::TaskGroup;
    /// loop_runtime::run(async {
    ///     let sum = TaskGroup::scope(|tg| async move {
    ///         let a = tg.create_task(async { Ok::<_, String>(1) });
    ///         let b = tg.create_task(async { Ok(2) });
    ///         Ok(a.await.unwrap().unwrap() + b.await.unwrap().unwrap())
    ///     });
    ///     assert_eq!(sum.await.unwrap(), 3);
    ///
    ///     let failed = TaskGroup::scope(|tg| async move {
    ///         tg.create_task(std::future::pending::<Result<(), String>>()).detach(); // Cancelled.
    ///         tg.create_task(async { Err::<(), _>("no route".to_owned()) }).detach();
    ///         Ok(())
    ///     });
    ///     assert_eq!(failed.await.unwrap_err().errors().collect::<Vec<_>>(), ["no route"]);
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn scope<F, B, R>(body: F) -> GroupScope<F, B, R, E>
    where
        F: FnOnce(TaskGroup<E>) -> B,
        B: Future<Output = Result<R, E>>,
    {
        let place = Location::caller();
        let group = context::expect(|organs| {
            let row = Resource::new(organs, Kind::Group, "", place);
            LoopBound::new(organs.record.id, Group::new(row))
        });
        GroupScope {
            start: Some(body),
            body: None,
            value: None,
            shared: Arc::new(group),
            entered: None,
            outside: Hit::default(),
            phase: Phase::New,
        }
    }

    /// Spawns `future` into the group. Dropping the handle is fine: the group keeps the task.
    ///
    /// A group that is being cancelled or is over drops `future` unpolled and gives a task that is
    /// cancelled, with the reason as its message; `try_create_task` says so at once.
    ///
    /// Panics: this is not the group's loop.
    ///
    /// ```
    /// use loop_runtime::TaskGroup;
    /// loop_runtime::run(async {
    ///     let group = TaskGroup::scope(|tg| async move {
    ///         let more = tg.clone();
    ///         tg.create_task(async move {
    ///             more.create_task(async { Ok::<_, String>(()) }).detach(); // Awaited as well.
    ///             Ok(())
    ///         })
    ///         .detach();
    ///         Ok(())
    ///     });
    ///     group.await.unwrap();
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn create_task<F, T>(&self, future: F) -> Task<Result<T, Failed>>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: Display,
    {
        self.create_task_as(Task::<()>::builder(), future)
    }

    /// As `create_task`, with what a builder says: a name, above all.
    ///
    /// ```
    /// use loop_runtime::{Task, TaskGroup};
    /// loop_runtime::run(async {
    ///     let group = TaskGroup::scope(|tg| async move {
    ///         let named = Task::<()>::builder().name("fetch").number(7);
    ///         tg.create_task_as(named, async { Err::<(), _>("refused") }).detach();
    ///         Ok(())
    ///     });
    ///     assert_eq!(group.await.unwrap_err().to_string(), "the group failed: fetch-7: refused");
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn create_task_as<F, T>(&self, builder: TaskBuilder, future: F) -> Task<Result<T, Failed>>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: Display,
    {
        let place = Location::caller();
        match self.spawn(builder.clone(), future, place) {
            Ok(task) => task,
            Err(GroupClosed::WrongLoop(wrong)) => {
                panic!("a group was used away from its loop: {wrong}")
            }
            Err(closed) => {
                let refused = builder.spawn_at(std::future::pending(), place);
                refused.cancel_message(&closed.to_string());
                refused
            }
        }
    }

    /// As `create_task`, with the refusal of a group that is being cancelled or over as an error.
    ///
    /// Errors: `GroupClosed`; the future was dropped unpolled.
    ///
    /// ```
    /// use loop_runtime::{GroupClosed, TaskGroup};
    /// loop_runtime::run(async {
    ///     let kept = TaskGroup::<String>::scope(|tg| async move { Ok(tg) }).await.unwrap();
    ///     let late = kept.try_create_task(async { Ok(()) });
    ///     assert_eq!(late.unwrap_err(), GroupClosed::Over);
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn try_create_task<F, T>(&self, future: F) -> Result<Task<Result<T, Failed>>, GroupClosed>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: Display,
    {
        self.spawn(Task::<()>::builder(), future, Location::caller())
    }

    fn spawn<F, T>(
        &self,
        builder: TaskBuilder,
        future: F,
        at: &'static Location<'static>,
    ) -> Result<Task<Result<T, Failed>>, GroupClosed>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: Display,
    {
        let group = self.shared.get().map_err(GroupClosed::WrongLoop)?;
        let place = group.keep_place()?;
        let member = Member::new(future, self.shared.clone(), place);
        let task = builder.spawn_at(member, at);
        context::expect(|organs| group.take_place(place, task.raw(), &organs.executor));
        Ok(task)
    }

    /// Asks every task of the group to cancel and cuts the body; the scope then ends without an
    /// error of its own. A body that has returned its value keeps it. Any thread.
    ///
    /// Source: asyncio's `TaskGroup.cancel` (3.15).
    ///
    /// ```
    /// use loop_runtime::TaskGroup;
    /// loop_runtime::run(async {
    ///     let first = TaskGroup::<String>::scope(|tg| async move {
    ///         tg.create_task(std::future::pending::<Result<(), _>>()).detach();
    ///         tg.cancel();
    ///         Ok("enough")
    ///     });
    ///     assert_eq!(first.await.unwrap(), "enough");
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn cancel(&self) {
        let place = Location::caller();
        // Refused by a loop that is closed: its tasks are gone.
        let _ = at_home(&self.shared, move |group| {
            let _ = context::with(|organs| group.cancel(&organs.executor, Some(place)));
        });
    }

    /// Tasks of the group that are not over. 0 away from its loop.
    pub fn len(&self) -> usize {
        self.shared.get().map_or(0, Group::live)
    }

    /// Whether all tasks of the group are over.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    New,
    Running,
    /// Everything has ended and the cancel from outside goes on to what is around.
    Raising,
    Over,
}

pin_project! {
    /// The future of `TaskGroup::scope`.
    #[must_use = "a group that is not awaited runs nothing"]
    pub struct GroupScope<F, B, R, E>
    where
        E: Send,
        E: 'static,
    {
        start: Option<F>,
        #[pin]
        body: Option<B>,
        value: Option<R>,
        shared: Shared<E>,
        entered: Option<LoopBound<Entered>>,
        // Cancels that came from outside of the group.
        outside: Hit,
        phase: Phase,
    }

    impl<F, B, R, E> PinnedDrop for GroupScope<F, B, R, E>
    where
        E: Send,
        E: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if matches!(*this.phase, Phase::Raising | Phase::Over) {
                return;
            }
            // Elsewhere, or with the loop closed, there are no tasks left to ask.
            if let Ok(group) = this.shared.get() {
                let _ = context::with(|organs| group.abandon(&organs.executor));
            }
        }
    }
}

impl<F, B, R, E: Send> GroupScope<F, B, R, E> {
    /// The group's name on the screen. Names are kept for ever: use few.
    pub fn name(self, name: &str) -> Self {
        if let Ok(group) = self.shared.get() {
            group.row.name(name);
        }
        self
    }
}

impl<F, B, R, E> Future for GroupScope<F, B, R, E>
where
    F: FnOnce(TaskGroup<E>) -> B,
    B: Future<Output = Result<R, E>>,
    E: Send + 'static,
{
    type Output = Result<R, GroupError<E>>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let at = Location::caller();
        let mut this = self.project();
        let group = match this.shared.get() {
            Ok(group) => group,
            Err(wrong) => panic!("a group was polled away from its loop: {wrong}"),
        };
        let organs = context::current().unwrap_or_else(|error| panic!("{error}"));
        let executor = &organs.executor;
        if *this.phase == Phase::Raising {
            record::waiting(group.row.on(), at);
            return Poll::Pending;
        }
        let entered = this.entered.get_or_insert_with(|| {
            LoopBound::new(organs.record.id, Entered(executor.enter_scope()))
        });
        let scope = entered
            .get()
            .map_or_else(|wrong| panic!("{wrong}"), |entered| entered.0);
        if let Some(start) = this.start.take() {
            *this.phase = Phase::Running;
            group.body.set(Some(scope));
            let tg = TaskGroup {
                shared: this.shared.clone(),
            };
            match catch_unwind(AssertUnwindSafe(|| start(tg))) {
                Ok(body) => this.body.set(Some(body)),
                Err(payload) => body_failed(group, Cause::Panicked(Panic::new(payload))),
            }
        }
        loop {
            if let Some(mut hit) = executor.scopes().take_hit(scope) {
                if hit.cut == scope.id() {
                    hit.cut = 0;
                }
                this.outside.join(hit);
                executor.delivering(|| this.body.set(None));
                group.body.set(None);
                group.cancel(executor, None);
            }
            let Some(body) = this.body.as_mut().as_pin_mut() else {
                break;
            };
            let polled = executor.poll_in_scope(scope, cx, |cx| {
                catch_unwind(AssertUnwindSafe(|| body.poll(cx)))
            });
            match polled {
                // What a scope inside raised meanwhile is caught now.
                Ok(Poll::Pending) if executor.scopes().is_hit(scope) => continue,
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Ok(value))) => *this.value = Some(value),
                Ok(Poll::Ready(Err(error))) => body_failed(group, Cause::Failed(error)),
                Err(payload) => body_failed(group, Cause::Panicked(Panic::new(payload))),
            }
            group.body.set(None);
            this.body.set(None);
        }
        group.body.set(None);
        if group.has_failed() {
            group.cancel(executor, None);
        }
        if group.live() > 0 {
            let old = group.waker.replace(Some(cx.waker().clone()));
            drop(old);
            group.row.waited_for(record::current_task(), 1);
            record::waiting(group.row.on(), at);
            return Poll::Pending;
        }
        group.row.waited_for(0, 0);
        group.stage.set(Stage::Over);
        *this.phase = Phase::Over;
        // What came in this very poll is taken with what came before.
        *this.entered = None;
        let outside = std::mem::take(this.outside);
        let failures = group.take_failures();
        if failures.is_empty() {
            if !outside.is_none() {
                executor.raise(outside, true);
                *this.phase = Phase::Raising;
                record::waiting(group.row.on(), at);
                return Poll::Pending;
            }
            let value = this.value.take();
            return Poll::Ready(value.ok_or_else(|| GroupError::new(failures)));
        }
        if !outside.is_none() {
            // The error comes first; the cancel is not lost, but comes at the next await.
            executor.raise(outside, false);
        }
        Poll::Ready(Err(GroupError::new(failures)))
    }
}

fn body_failed<E>(group: &Group<E>, cause: Cause<E>) {
    group.fail(Failure {
        task: None,
        name: String::new(),
        cause,
    });
}
