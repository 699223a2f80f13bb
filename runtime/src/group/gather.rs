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

/// A task of whatever type, as a gather sees it.
trait AnyTask {
    fn add_to(&mut self, crowd: &Crowd) -> Result<(), JoinError>;
    fn untie(&mut self);
    fn ask(&self, place: &'static Location<'static>) -> bool;
    fn id(&self) -> u64;
    /// Why it has no value, taken.
    fn error(&self) -> Option<JoinError>;
}

impl<T> AnyTask for Task<T> {
    fn add_to(&mut self, crowd: &Crowd) -> Result<(), JoinError> {
        crowd.add(self).map_err(JoinError::WrongLoop)?;
        // It goes down with the awaiter, as one that is awaited alone does.
        self.tie();
        Ok(())
    }

    fn untie(&mut self) {
        Task::untie(self);
    }

    fn ask(&self, place: &'static Location<'static>) -> bool {
        self.cancel_from(Some(place))
    }

    fn id(&self) -> u64 {
        self.raw().id()
    }

    fn error(&self) -> Option<JoinError> {
        self.take_result()?.err()
    }
}

/// What came of a task that is done.
fn result<T>(task: Task<T>) -> Result<T, JoinError> {
    task.take_result().unwrap_or_else(|| {
        Err(match task.check_here() {
            Ok(()) => JoinError::Taken,
            Err(wrong) => JoinError::WrongLoop(wrong),
        })
    })
}

/// Several tasks: a vector of one type, a tuple of many.
#[allow(private_interfaces, private_bounds)] // Sealed: what it is made of is not for others.
pub trait Tasks: sealed::Sealed + Sized {
    /// Their values.
    type Values;
    /// Of each its value or what kept it from having one.
    type Results;

    #[doc(hidden)]
    fn each(&mut self, act: &mut dyn FnMut(&mut dyn AnyTask));
    #[doc(hidden)]
    fn results(self) -> Self::Results;
    #[doc(hidden)]
    fn values(self) -> Result<Self::Values, JoinError>;
}

impl<T> sealed::Sealed for Vec<Task<T>> {}

#[allow(private_interfaces)]
impl<T> Tasks for Vec<Task<T>> {
    type Values = Vec<T>;
    type Results = Vec<Result<T, JoinError>>;

    fn each(&mut self, act: &mut dyn FnMut(&mut dyn AnyTask)) {
        self.iter_mut().for_each(|task| act(task));
    }

    fn results(self) -> Self::Results {
        self.into_iter().map(result).collect()
    }

    fn values(self) -> Result<Vec<T>, JoinError> {
        self.into_iter().map(result).collect()
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name),*> sealed::Sealed for ($(Task<$name>,)*) {}

        #[allow(private_interfaces)]
        #[allow(non_snake_case)]
        impl<$($name),*> Tasks for ($(Task<$name>,)*) {
            type Values = ($($name,)*);
            type Results = ($(Result<$name, JoinError>,)*);

            fn each(&mut self, act: &mut dyn FnMut(&mut dyn AnyTask)) {
                let ($($name,)*) = self;
                $(act($name);)*
            }

            fn results(self) -> Self::Results {
                let ($($name,)*) = self;
                ($(result($name),)*)
            }

            fn values(self) -> Result<Self::Values, JoinError> {
                let ($($name,)*) = self;
                Ok(($(result($name)?,)*))
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);

/// The tasks of a gather, until it is over.
struct Gathered<S> {
    tasks: Option<S>,
    crowd: Option<Crowd>,
    place: &'static Location<'static>,
    name: Option<String>,
}

impl<S: Tasks> Gathered<S> {
    #[track_caller]
    fn new(tasks: S) -> Self {
        Self {
            tasks: Some(tasks),
            crowd: None,
            place: Location::caller(),
            name: None,
        }
    }

    /// At the first poll: lets itself be told of all ends.
    fn begin(&mut self, when: When) -> Result<&Crowd, JoinError> {
        let tasks = self.tasks.as_mut();
        let tasks = tasks.expect("a gather is not polled after it ended");
        if self.crowd.is_none() {
            let crowd = context::expect(|organs| Crowd::new(organs, when, self.place));
            if let Some(name) = &self.name {
                crowd.name(name);
            }
            let mut added = Ok(());
            tasks.each(&mut |task| {
                let one = task.add_to(&crowd);
                added = std::mem::replace(&mut added, Ok(())).and(one);
            });
            added?;
            self.crowd = Some(crowd);
        }
        Ok(self.crowd.as_ref().expect("made above"))
    }

    /// Ends it: nobody is told any more, and what still runs goes on by itself.
    fn end(&mut self) -> S {
        self.crowd = None;
        let mut tasks = self.tasks.take().expect("a gather ends once");
        tasks.each(&mut |task| task.untie());
        tasks
    }

    fn cancel(&mut self, place: &'static Location<'static>) -> bool {
        let mut asked = false;
        if let Some(tasks) = &mut self.tasks {
            tasks.each(&mut |task| asked |= task.ask(place));
        }
        asked
    }
}

/// The future of `gather`.
#[must_use = "what is gathered is not awaited before this is"]
pub struct Gather<S> {
    gathered: Gathered<S>,
}

/// The future of `Gather::return_exceptions`.
#[must_use = "what is gathered is not awaited before this is"]
pub struct GatherAll<S> {
    gathered: Gathered<S>,
}

/// The future of `Gather::fallible`.
#[must_use = "what is gathered is not awaited before this is"]
pub struct TryGather<U, E> {
    gathered: Gathered<Vec<Task<Result<U, E>>>>,
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
impl<S> Unpin for Gather<S> {}
impl<S> Unpin for GatherAll<S> {}
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
pub fn gather<T>(tasks: impl IntoIterator<Item = Task<T>>) -> Gather<Vec<Task<T>>> {
    gather_all(tasks.into_iter().collect())
}

/// As `gather`, of a tuple too: what the macro calls.
#[doc(hidden)]
#[track_caller]
pub fn gather_all<S: Tasks>(tasks: S) -> Gather<S> {
    Gather {
        gathered: Gathered::new(tasks),
    }
}

impl<S: Tasks> Gather<S> {
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
    pub fn return_exceptions(self) -> GatherAll<S> {
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
    #[track_caller]
    pub fn cancel(&mut self) -> bool {
        self.gathered.cancel(Location::caller())
    }
}

impl<U, E> Gather<Vec<Task<Result<U, E>>>> {
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

impl<S> sealed::Sealed for Gather<S> {}

impl<S: Tasks> Cancellable for Gather<S> {
    type Value = S::Values;

    fn request_cancel(&mut self, place: &'static Location<'static>) -> bool {
        self.gathered.cancel(place)
    }
}

impl<S: Tasks> Future for Gather<S> {
    type Output = Result<S::Values, JoinError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gathered = &mut self.gathered;
        let crowd = gathered.begin(When::LastOrLost)?;
        if let Some(bad) = crowd.bad() {
            let mut error = None;
            // The others go on, without handles.
            gathered.end().each(&mut |task| {
                if task.id() == bad {
                    error = task.error();
                }
            });
            return Poll::Ready(Err(error.unwrap_or(JoinError::Taken)));
        }
        if crowd.pending() > 0 {
            crowd.wait(cx, Location::caller());
            return Poll::Pending;
        }
        Poll::Ready(gathered.end().values())
    }
}

impl<S: Tasks> Future for GatherAll<S> {
    type Output = S::Results;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gathered = &mut self.gathered;
        match gathered.begin(When::Last) {
            Ok(crowd) if crowd.pending() > 0 => {
                crowd.wait(cx, Location::caller());
                Poll::Pending
            }
            // Away from its loop each says so itself.
            _ => Poll::Ready(gathered.end().results()),
        }
    }
}

impl<U, E> TryGather<U, E> {
    /// Takes what has ended since; the first error ends it.
    fn take_ended(&mut self) -> Result<(), GatherError<E>> {
        let gathered = &mut self.gathered;
        if let (Some(crowd), Some(tasks)) = (&gathered.crowd, &mut gathered.tasks) {
            while let Some(id) = crowd.next_ended() {
                let place = self.places.remove(&id).expect("a task ends once");
                let value = tasks[place].take_result();
                let value = value.unwrap_or(Err(JoinError::Taken));
                let value = value.map_err(GatherError::Join)?;
                self.values[place] = Some(value.map_err(GatherError::Failed)?);
            }
        }
        Ok(())
    }
}

impl<U, E> Future for TryGather<U, E> {
    type Output = Result<Vec<U>, GatherError<E>>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.gathered.crowd.is_none()
            && let Some(tasks) = &this.gathered.tasks
        {
            this.places = tasks.iter().map(|task| task.raw().id()).zip(0..).collect();
            this.values = tasks.iter().map(|_| None).collect();
        }
        this.gathered.begin(When::Each).map_err(GatherError::Join)?;
        if let Err(error) = this.take_ended() {
            // The others go on, without handles.
            drop(this.gathered.end());
            return Poll::Ready(Err(error));
        }
        let crowd = this.gathered.begin(When::Each).map_err(GatherError::Join)?;
        if crowd.pending() > 0 {
            crowd.wait(cx, Location::caller());
            return Poll::Pending;
        }
        drop(this.gathered.end());
        let values = std::mem::take(&mut this.values);
        Poll::Ready(Ok(values.into_iter().flatten().collect()))
    }
}
