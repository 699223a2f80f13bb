//! `gather`: the values of several tasks, in the order in which they were given.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::crowd::{Crowd, When};
use super::wait_for::{Cancellable, sealed};
use crate::context;
use crate::id::map::IdMap;
use crate::spawn::{JoinError, Task};

/// The tasks of a gather, until it is over.
struct Gathered<T> {
    tasks: Vec<Task<T>>,
    crowd: Option<Crowd>,
    place: &'static Location<'static>,
    name: Option<String>,
    over: bool,
}

impl<T> Gathered<T> {
    /// At the first poll: lets itself be told of all ends.
    fn begin(&mut self, when: When) -> Result<(), JoinError> {
        if self.crowd.is_some() {
            return Ok(());
        }
        let crowd = context::expect(|organs| Crowd::new(organs, when, self.place));
        if let Some(name) = &self.name {
            crowd.name(name);
        }
        for task in &mut self.tasks {
            crowd.add(task).map_err(JoinError::WrongLoop)?;
            task.tie();
        }
        self.crowd = Some(crowd);
        Ok(())
    }

    fn crowd(&self) -> &Crowd {
        self.crowd.as_ref().expect("it has begun")
    }

    fn wait<R>(&self, cx: &mut Context<'_>, at: &'static Location<'static>) -> Poll<R> {
        self.crowd().wait(cx, at);
        Poll::Pending
    }

    /// Ends it: nobody is told any more, and what still runs goes on by itself.
    fn end(&mut self) -> Vec<Task<T>> {
        self.over = true;
        self.crowd = None;
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.iter_mut().for_each(Task::untie);
        tasks
    }

    /// All values, every task being done.
    fn results(&mut self) -> impl Iterator<Item = Result<T, JoinError>> + use<T> {
        let tasks = self.end();
        tasks.into_iter().map(|task| {
            task.take_result().unwrap_or_else(|| {
                Err(match task.check_here() {
                    Ok(()) => JoinError::Taken,
                    Err(wrong) => JoinError::WrongLoop(wrong),
                })
            })
        })
    }

    fn cancel(&self) -> bool {
        let asked = self.tasks.iter().filter(|task| task.cancel()).count();
        asked > 0
    }
}

/// The future of `gather`.
#[must_use = "what is gathered is not awaited before this is"]
pub struct Gather<T> {
    gathered: Gathered<T>,
}

/// The future of `Gather::return_exceptions`.
#[must_use = "what is gathered is not awaited before this is"]
pub struct GatherAll<T> {
    gathered: Gathered<T>,
}

/// The future of `Gather::fallible`.
#[must_use = "what is gathered is not awaited before this is"]
pub struct TryGather<U, E> {
    gathered: Gathered<Result<U, E>>,
    places: IdMap<usize>,
    values: Vec<Option<U>>,
}

/// Why `Gather::fallible` ended without values.
#[derive(Debug)]
#[non_exhaustive]
pub enum GatherError<E> {
    /// A task returned this error.
    Failed(E),
    /// A task panicked or was cancelled.
    Join(JoinError),
}

impl<E: fmt::Display> fmt::Display for GatherError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatherError::Failed(error) => error.fmt(f),
            GatherError::Join(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for GatherError<E> {}

// A handle is not pinned, nor is anything else here.
impl<T> Unpin for Gather<T> {}
impl<T> Unpin for GatherAll<T> {}
impl<U, E> Unpin for TryGather<U, E> {}

/// Awaits all `tasks` and gives their values in the order in which they were given.
///
/// The first that panics or is cancelled by somebody else ends the wait at once with its
/// `JoinError`; the others go on, without handles. A value that is an `Err` is a value like any
/// other: `fallible` has it end the wait too, `return_exceptions` gives whatever each came to. The
/// macro `gather!` takes futures and tasks of different types.
///
/// Errors: `JoinError` of the first that failed.
/// Cancel: a cancel of the awaiting task cancels all that still run; a drop lets them run on.
/// Records: a resource of kind group, with who waits and how many tasks have not ended.
/// Source: asyncio's `gather`.
///
/// ```
/// use loop_runtime::{create_task, gather};
/// loop_runtime::run(async {
///     let squares = gather((1..=3).map(|n| create_task(async move { n * n })));
///     assert_eq!(squares.await.unwrap(), [1, 4, 9]);
/// })
/// .unwrap();
/// ```
#[doc(alias = "join_all")]
#[track_caller]
pub fn gather<T>(tasks: impl IntoIterator<Item = Task<T>>) -> Gather<T> {
    Gather {
        gathered: Gathered {
            tasks: tasks.into_iter().collect(),
            crowd: None,
            place: Location::caller(),
            name: None,
            over: false,
        },
    }
}

impl<T> Gather<T> {
    /// Waits for the end of all, and gives of each its value or what kept it from having one.
    ///
    /// ```
    /// use loop_runtime::{create_task, gather};
    /// loop_runtime::run(async {
    ///     let tasks = [create_task(async { 1 }), create_task(std::future::pending())];
    ///     tasks[1].cancel();
    ///     let both = gather(tasks).return_exceptions().await;
    ///     assert_eq!(*both[0].as_ref().unwrap(), 1);
    ///     assert!(both[1].as_ref().unwrap_err().is_cancelled());
    /// })
    /// .unwrap();
    /// ```
    pub fn return_exceptions(self) -> GatherAll<T> {
        GatherAll {
            gathered: self.gathered,
        }
    }

    /// The name on the screen. Names are kept for ever: use few.
    pub fn name(mut self, name: &str) -> Self {
        self.gathered.name = Some(name.to_owned());
        self
    }

    /// Asks all tasks that are not done to cancel; false if there are none, or the gather is over.
    pub fn cancel(&self) -> bool {
        self.gathered.cancel()
    }
}

impl<U, E> Gather<Result<U, E>> {
    /// Has the first `Err` end the wait at once, as a panic does; the others go on.
    ///
    /// ```
    /// use loop_runtime::{GatherError, create_task, gather};
    /// loop_runtime::run(async {
    ///     let numbers = ["1", "x"].map(|text| create_task(async move { text.parse::<u8>() }));
    ///     let error = gather(numbers).fallible().await.unwrap_err();
    ///     assert!(matches!(error, GatherError::Failed(_)));
    /// })
    /// .unwrap();
    /// ```
    #[doc(alias = "try_join_all")]
    pub fn fallible(self) -> TryGather<U, E> {
        TryGather {
            gathered: self.gathered,
            places: IdMap::default(),
            values: Vec::new(),
        }
    }
}

impl<T> sealed::Sealed for Gather<T> {}

impl<T> Cancellable for Gather<T> {
    type Value = Vec<T>;

    fn request_cancel(&mut self) -> bool {
        self.cancel()
    }
}

impl<T> Future for Gather<T> {
    type Output = Result<Vec<T>, JoinError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gathered = &mut self.gathered;
        assert!(!gathered.over, "a gather is not polled after it ended");
        gathered.begin(When::LastOrLost)?;
        if let Some(bad) = gathered.crowd().bad() {
            let task = gathered.tasks.iter().find(|task| task.raw().id() == bad);
            let result = task.and_then(Task::take_result);
            // The others go on, without handles.
            drop(gathered.end());
            let error = result.and_then(Result::err).unwrap_or(JoinError::Taken);
            return Poll::Ready(Err(error));
        }
        if gathered.crowd().pending() > 0 {
            return gathered.wait(cx, Location::caller());
        }
        Poll::Ready(gathered.results().collect())
    }
}

impl<T> Future for GatherAll<T> {
    type Output = Vec<Result<T, JoinError>>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gathered = &mut self.gathered;
        assert!(!gathered.over, "a gather is not polled after it ended");
        if gathered.begin(When::Last).is_err() || gathered.crowd().pending() == 0 {
            return Poll::Ready(gathered.results().collect());
        }
        gathered.wait(cx, Location::caller())
    }
}

impl<U, E> TryGather<U, E> {
    /// Takes what has ended since; the first error ends it.
    fn take_ended(&mut self) -> Result<(), GatherError<E>> {
        while let Some(id) = self.gathered.crowd().next_ended() {
            let place = self.places.remove(&id).expect("a task ends once");
            let value = self.gathered.tasks[place].take_result();
            let value = value.unwrap_or(Err(JoinError::Taken));
            let value = value.map_err(GatherError::Join)?;
            self.values[place] = Some(value.map_err(GatherError::Failed)?);
        }
        Ok(())
    }
}

impl<U, E> Future for TryGather<U, E> {
    type Output = Result<Vec<U>, GatherError<E>>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(!this.gathered.over, "a gather is not polled after it ended");
        if this.gathered.crowd.is_none() {
            let ids = this.gathered.tasks.iter().map(|task| task.raw().id());
            this.places = ids.zip(0..).collect();
            this.values = this.gathered.tasks.iter().map(|_| None).collect();
        }
        this.gathered.begin(When::Each).map_err(GatherError::Join)?;
        if let Err(error) = this.take_ended() {
            // The others go on, without handles.
            drop(this.gathered.end());
            return Poll::Ready(Err(error));
        }
        if this.gathered.crowd().pending() > 0 {
            return this.gathered.wait(cx, Location::caller());
        }
        drop(this.gathered.end());
        let values = std::mem::take(&mut this.values);
        Poll::Ready(Ok(values.into_iter().flatten().collect()))
    }
}
