//! `select!`, `join!`, `try_join!` and `gather!`: several futures at one await.
//!
//! Every arm is polled with the task's own waker, so what each waits for is seen at each poll.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::spawn::{Task, create_task};

pin_project! {
    /// A future, then its value, then nothing.
    #[project = Stage]
    #[doc(hidden)]
    pub enum Arm<F: Future> {
        Running { #[pin] future: F },
        Done { value: Option<F::Output> },
    }
}

#[doc(hidden)]
pub fn arm<F: Future>(future: F) -> Arm<F> {
    Arm::Running { future }
}

impl<F: Future> Arm<F> {
    /// Whether its value is there.
    #[track_caller]
    pub fn poll_done(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        if let Stage::Running { future } = self.as_mut().project() {
            let Poll::Ready(value) = future.poll(cx) else {
                return false;
            };
            self.set(Arm::Done { value: Some(value) });
        }
        true
    }

    /// The value, once.
    pub fn take(self: Pin<&mut Self>) -> Option<F::Output> {
        match self.project() {
            Stage::Done { value } => value.take(),
            Stage::Running { .. } => None,
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Arm<F> {
    /// As `poll_done`; an error is given at once.
    #[track_caller]
    pub fn try_poll_done(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<bool, E> {
        if !self.as_mut().poll_done(cx) {
            return Ok(false);
        }
        let Stage::Done { value } = self.project() else {
            return Ok(false);
        };
        match value.take() {
            Some(Err(error)) => Err(error),
            other => {
                *value = other;
                Ok(true)
            }
        }
    }

    /// The value that is no error, once.
    pub fn take_ok(self: Pin<&mut Self>) -> Option<T> {
        self.take().and_then(Result::ok)
    }
}

/// A future or a task, to be made a task of.
#[doc(hidden)]
pub struct Item<X>(pub X);

impl<T> Item<Task<T>> {
    /// A task is one already.
    pub fn into_task(self) -> Task<T> {
        self.0
    }
}

/// Found where `Item` has no method of its own: any other future is spawned.
#[doc(hidden)]
pub trait Spawned {
    type Value;

    #[track_caller]
    fn into_task(self) -> Task<Self::Value>;
}

impl<F> Spawned for Item<F>
where
    F: Future + 'static,
    F::Output: 'static,
{
    type Value = F::Output;

    #[track_caller]
    fn into_task(self) -> Task<F::Output> {
        create_task(self.0)
    }
}

/// Awaits futures and tasks of any types, each in a task of its own, and gives their values in a
/// tuple: `gather![a, b].await?`.
///
/// As the function `gather`, of which it makes the same future: with `return_exceptions`, `cancel`
/// and `name`.
///
/// ```
/// use loop_runtime::{create_task, gather};
/// loop_runtime::run(async {
///     let (n, text) = gather![async { 7 }, create_task(async { "seven" })].await.unwrap();
///     assert_eq!((n, text), (7, "seven"));
/// })
/// .unwrap();
/// ```
#[macro_export]
macro_rules! gather {
    ($($item:expr),+ $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::__private::Spawned as _;
        $crate::__private::gather_all(($($crate::__private::Item($item).into_task(),)+))
    }};
}

/// Awaits several futures in this task at once and gives all their values, in a tuple.
///
/// They take turns within one task: one that blocks holds up all, and all go down with it. For
/// work of its own use `gather!` or a `TaskGroup`.
///
/// Cancel: all are dropped. A branch that is inside `catch_cancel` catches; the others go on.
///
/// ```
/// use std::time::Duration;
/// use loop_runtime::{join, sleep};
/// loop_runtime::run(async {
///     let slow = async {
///         sleep(Duration::from_millis(1)).await;
///         "slow"
///     };
///     assert_eq!(join!(async { 1 }, slow), (1, "slow"));
/// })
/// .unwrap();
/// ```
#[macro_export]
macro_rules! join {
    (@arms [$($arm:ident)*] $future:expr $(, $rest:expr)*) => {{
        let mut arm = ::std::pin::pin!($crate::__private::arm($future));
        $crate::join!(@arms [$($arm)* arm] $($rest),*)
    }};
    (@arms [$($arm:ident)*]) => {{
        ::std::future::poll_fn(|cx| {
            let mut all = true;
            $(all &= $arm.as_mut().poll_done(cx);)*
            if all { ::std::task::Poll::Ready(()) } else { ::std::task::Poll::Pending }
        })
        .await;
        ($($arm.as_mut().take().expect("all arms are done, and each is taken once"),)*)
    }};
    ($($future:expr),+ $(,)?) => { $crate::join!(@arms [] $($future),+) };
}

/// As `join!`, of futures that give a `Result`: the first error ends it at once, and drops the
/// others; else `Ok` of all values.
///
/// ```
/// use loop_runtime::try_join;
/// loop_runtime::run(async {
///     let never = std::future::pending::<Result<(), &str>>();
///     assert_eq!(try_join!(never, async { Err::<u8, _>("no") }), Err("no"));
///     assert_eq!(try_join!(async { Ok::<_, &str>(1) }, async { Ok(2) }), Ok((1, 2)));
/// })
/// .unwrap();
/// ```
#[macro_export]
macro_rules! try_join {
    (@arms [$($arm:ident)*] $future:expr $(, $rest:expr)*) => {{
        let mut arm = ::std::pin::pin!($crate::__private::arm($future));
        $crate::try_join!(@arms [$($arm)* arm] $($rest),*)
    }};
    (@arms [$($arm:ident)*]) => {{
        let ended = ::std::future::poll_fn(|cx| {
            let mut all = true;
            $(match $arm.as_mut().try_poll_done(cx) {
                Ok(done) => all &= done,
                Err(error) => return ::std::task::Poll::Ready(Err(error)),
            })*
            if all { ::std::task::Poll::Ready(Ok(())) } else { ::std::task::Poll::Pending }
        })
        .await;
        match ended {
            Ok(()) => Ok(($($arm.as_mut().take_ok().expect("all arms are done, and each is taken once"),)*)),
            Err(error) => Err(error),
        }
    }};
    ($($future:expr),+ $(,)?) => { $crate::try_join!(@arms [] $($future),+) };
}

/// Awaits several futures in this task and goes on with the first that is done; the others are
/// dropped before its handler runs.
///
/// `pattern = future => handler`, with `, if condition` before the arrow for an arm that may be
/// off, and a last `else => handler` for when no arm is left. A value that does not fit its pattern
/// takes its arm out. Handlers may `.await`, `break`, `return` and use `?`; all give one type.
///
/// Arms are polled from top to bottom: of two that are done the upper one wins, every time. Put
/// what must not starve (a stop, a limit) above what is always busy. In a pattern `mut x` may
/// stand alone, not inside another pattern; bind `x` and say `let mut x = x`.
///
/// Panics: no arm is left and there is no `else`.
/// Cancel: a select drops the futures of the arms that did not win, so each must be one that loses
/// nothing when it is dropped before it is done: `sleep`, `Queue::get`, `JoinSet::join_next`,
/// `AsCompleted::next`, `CancellationToken::cancelled`, a `LoopFuture` or a `Task` by `&mut`. A
/// future that is half through something (a read of several parts, `Lock` and then more) loses its
/// progress; make it once outside, pin it, and select on `&mut` of it. A `Task` that is dropped so
/// is detached and goes on.
///
/// ```
/// use loop_runtime::{create_task, select, yield_now};
/// loop_runtime::run(async {
///     let mut work = create_task(async {
///         yield_now().await;
///         "done"
///     });
///     let mut turns = 0;
///     let ended = loop {
///         select! {
///             value = &mut work => break value.unwrap(),
///             _ = yield_now(), if turns < 100 => turns += 1,
///             else => unreachable!(),
///         }
///     };
///     assert_eq!(ended, "done");
///     assert!(turns > 0);
/// })
/// .unwrap();
/// ```
#[macro_export]
macro_rules! select {
    // 0. `else` first, since it cannot begin a pattern.
    (@arms $arms:tt else => $handler:expr $(,)?) => {
        $crate::select!(@run $arms $handler)
    };
    // 1. Each arm gets a place for its value, outside of what is dropped before the handler.
    (@arms $arms:tt $pattern:pat = $future:expr, if $on:expr => $handler:block, $($rest:tt)*) => {
        $crate::select!(@place $arms [($pattern) ($future) ($on) $handler] $($rest)*)
    };
    (@arms $arms:tt $pattern:pat = $future:expr, if $on:expr => $handler:block $($rest:tt)*) => {
        $crate::select!(@place $arms [($pattern) ($future) ($on) $handler] $($rest)*)
    };
    (@arms $arms:tt $pattern:pat = $future:expr, if $on:expr => $handler:expr, $($rest:tt)*) => {
        $crate::select!(@place $arms [($pattern) ($future) ($on) $handler] $($rest)*)
    };
    (@arms $arms:tt $pattern:pat = $future:expr, if $on:expr => $handler:expr) => {
        $crate::select!(@place $arms [($pattern) ($future) ($on) $handler])
    };
    (@arms $arms:tt $pattern:pat = $future:expr => $handler:block, $($rest:tt)*) => {
        $crate::select!(@place $arms [($pattern) ($future) (true) $handler] $($rest)*)
    };
    (@arms $arms:tt $pattern:pat = $future:expr => $handler:block $($rest:tt)*) => {
        $crate::select!(@place $arms [($pattern) ($future) (true) $handler] $($rest)*)
    };
    (@arms $arms:tt $pattern:pat = $future:expr => $handler:expr, $($rest:tt)*) => {
        $crate::select!(@place $arms [($pattern) ($future) (true) $handler] $($rest)*)
    };
    (@arms $arms:tt $pattern:pat = $future:expr => $handler:expr) => {
        $crate::select!(@place $arms [($pattern) ($future) (true) $handler])
    };
    (@arms $arms:tt) => {
        $crate::select!(@run $arms panic!("no arm of a `select!` is left, and it has no `else`"))
    };
    (@place [$($arm:tt)*] [$($new:tt)*] $($rest:tt)*) => {{
        let mut value = ::std::option::Option::None;
        $crate::select!(@arms [$($arm)* (value $($new)*)] $($rest)*)
    }};
    // 3. The value that is there picks its handler.
    (@run [$(($value:ident ($pattern:pat) ($future:expr) ($on:expr) $handler:expr))+] $else:expr) => {{
        $crate::select!(@pin [] $(($value ($pattern) ($future) ($on)))+);
        $(if let ::std::option::Option::Some(value) = $value {
            match value {
                $pattern => $handler,
                #[allow(unreachable_patterns)]
                _ => unreachable!("a value that does not fit takes its arm out"),
            }
        } else)+ {
            $else
        }
    }};
    // 2. The futures live in a block of their own.
    (@pin [$($arm:tt)*] ($value:ident ($pattern:pat) ($future:expr) ($on:expr)) $($rest:tt)*) => {{
        let mut on = $on;
        // An arm that is off is not even made.
        let mut arm = ::std::pin::pin!(if on { ::std::option::Option::Some($future) } else { ::std::option::Option::None });
        $crate::select!(@pin [$($arm)* ($value arm on ($pattern))] $($rest)*)
    }};
    (@pin [$(($value:ident $arm:ident $on:ident ($pattern:pat)))+]) => {
        ::std::future::poll_fn(|cx| {
            let mut left = false;
            $(if $on && let ::std::option::Option::Some(arm) = $arm.as_mut().as_pin_mut() {
                match ::std::future::Future::poll(arm, cx) {
                    ::std::task::Poll::Ready(value) => {
                        #[allow(unused_variables)]
                        let fits = match &value {
                            $pattern => true,
                            #[allow(unreachable_patterns)]
                            _ => false,
                        };
                        if fits {
                            $value = ::std::option::Option::Some(value);
                            return ::std::task::Poll::Ready(());
                        }
                        $on = false;
                    }
                    ::std::task::Poll::Pending => left = true,
                }
            })+
            if left { ::std::task::Poll::Pending } else { ::std::task::Poll::Ready(()) }
        })
        .await
    };
    ($($all:tt)+) => { $crate::select!(@arms [] $($all)+) };
}
