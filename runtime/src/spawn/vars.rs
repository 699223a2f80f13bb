//! `context_var!`: values that a task hands down to what it spawns.
//!
//! Knows contexts; knows no task.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waking, Poll};

use pin_project_lite::pin_project;

use crate::record::vars::{self, Context, Key, Value};

/// A variable whose value each task inherits from its spawner and changes for itself alone.
///
/// Made by `context_var!`. Copied to spawned tasks, to callbacks (`call_soon`, `call_later`,
/// `call_soon_threadsafe`, done callbacks) and to jobs (`to_thread`, `run_in_executor`) when they are
/// handed in; not to a `std::thread::spawn`, which `Context::copy` and `Context::run` are for.
///
/// Source: Python's `contextvars.ContextVar`.
///
/// ```
/// use loop_runtime::{context_var, create_task};
///
/// context_var! {
///     /// The request that is being served.
///     static REQUEST: String;
///     static RETRIES: u32 = 3;
/// }
///
/// loop_runtime::run(async {
///     assert_eq!((REQUEST.get(), RETRIES.get()), (None, Some(3)));
///     REQUEST.set("GET /".to_owned());
///     let child = create_task(async {
///         REQUEST.set(format!("{} from a child", REQUEST.get().unwrap()));
///         REQUEST.get()
///     });
///     assert_eq!(child.await.unwrap().unwrap(), "GET / from a child");
///     assert_eq!(REQUEST.get().unwrap(), "GET /");
/// })
/// .unwrap();
/// ```
pub struct ContextVar<T: 'static> {
    name: &'static str,
    default: Option<fn() -> T>,
}

/// Declares context variables, as `thread_local!` declares its own.
///
/// ```
/// loop_runtime::context_var! {
///     pub static USER: u64;
///     static TRIES: u32 = 3;
/// }
/// assert_eq!((USER.get(), TRIES.get()), (None, Some(3)));
/// ```
#[macro_export]
macro_rules! context_var {
    () => {};
    ($(#[$attr:meta])* $vis:vis static $name:ident : $type:ty = $default:expr $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::ContextVar<$type> =
            $crate::ContextVar::__new(stringify!($name), Some(|| $default));
        $($crate::context_var! { $($rest)* })?
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident : $type:ty $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::ContextVar<$type> =
            $crate::ContextVar::__new(stringify!($name), None);
        $($crate::context_var! { $($rest)* })?
    };
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextVar")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a variable was before a `set`, for `reset`.
pub struct Token<T: 'static> {
    before: Option<Value>,
    context: Context,
    _value: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("was_set", &self.before.is_some())
            .finish_non_exhaustive()
    }
}

/// A token was used where another context is current than the one that gave it.
///
/// Nothing was changed. Reset in the task, or the `Context::run`, that did the set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongContext;

impl fmt::Display for WrongContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the token was given in another context, so nothing was reset; reset in the task, or \
             inside the `Context::run`, that did the `set`",
        )
    }
}

impl std::error::Error for WrongContext {}

impl<T> ContextVar<T> {
    #[doc(hidden)]
    pub const fn __new(name: &'static str, default: Option<fn() -> T>) -> Self {
        Self { name, default }
    }

    /// The variable's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn key(&'static self) -> Key {
        Key {
            address: std::ptr::from_ref(self) as usize,
            name: self.name,
        }
    }
}

impl<T: Send + Sync + 'static> ContextVar<T> {
    /// The value in the current context, else the default; `None` where there is neither.
    ///
    /// Source: Python's `ContextVar.get`, whose `LookupError` is the `None`.
    pub fn get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        match self.value() {
            Some(value) => value.downcast_ref().cloned(),
            None => self.default.map(|default| default()),
        }
    }

    /// Runs `f` with the value in the current context, without a clone of it; the default does not
    /// count.
    pub fn with<R>(&'static self, f: impl FnOnce(Option<&T>) -> R) -> R {
        let value = self.value();
        f(value.as_ref().and_then(|value| value.downcast_ref()))
    }

    fn value(&'static self) -> Option<Value> {
        vars::current()?.value(self.key().address)
    }

    /// Sets the value in the current context: that of the running task or callback, of the
    /// `Context::run` around it, or, outside of all, of the thread.
    ///
    /// Source: Python's `ContextVar.set`.
    ///
    /// ```
    /// loop_runtime::context_var! { static DEPTH: u32; }
    /// let before = DEPTH.set(1);
    /// assert_eq!(DEPTH.get(), Some(1));
    /// DEPTH.reset(before).unwrap();
    /// assert_eq!(DEPTH.get(), None);
    /// ```
    pub fn set(&'static self, value: T) -> Token<T> {
        let context = vars::current_or_new();
        let before = context.replace(self.key(), Some(Arc::new(value)));
        Token {
            before,
            context,
            _value: PhantomData,
        }
    }

    /// Brings back what was there before a `set`.
    ///
    /// Errors: `WrongContext`.
    /// Source: Python's `ContextVar.reset`.
    pub fn reset(&'static self, token: Token<T>) -> Result<(), WrongContext> {
        let here = vars::current().is_some_and(|here| here.is_same(&token.context));
        if !here {
            return Err(WrongContext);
        }
        let set = token.context.replace(self.key(), token.before);
        drop(set);
        Ok(())
    }

    /// Runs `future` with the variable at `value`: in a copy of the caller's context, so that what
    /// the future sets is gone with it.
    ///
    /// ```
    /// loop_runtime::context_var! { static USER: u64; }
    /// loop_runtime::run(async {
    ///     let inside = USER.scope(7, async {
    ///         loop_runtime::yield_now().await;
    ///         USER.get()
    ///     });
    ///     assert_eq!((inside.await, USER.get()), (Some(7), None));
    /// })
    /// .unwrap();
    /// ```
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Scope<F> {
        let context = Context::copy();
        context.replace(self.key(), Some(Arc::new(value)));
        Scope { context, future }
    }
}

pin_project! {
    /// A future that is polled in a context of its own.
    #[must_use = "a scope that is not awaited runs nothing"]
    pub struct Scope<F> {
        context: Context,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Waking<'_>) -> Poll<F::Output> {
        let this = self.project();
        let future = this.future;
        this.context.run(|| future.poll(cx))
    }
}
