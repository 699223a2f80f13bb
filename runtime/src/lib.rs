//! An event loop in the shape of asyncio that records everything it does.
//!
//! ```
//! use std::time::Duration;
//!
//! loop_runtime::run(async {
//!     let task = loop_runtime::create_task(async {
//!         loop_runtime::sleep(Duration::from_millis(1)).await;
//!         42
//!     });
//!     assert_eq!(task.await.unwrap(), 42);
//! })
//! .unwrap();
//! ```
//!
//! Every spawn, poll, wake, timer and I/O registration is recorded, always; `loop-console connect`
//! shows it live, also while the loop is blocked. What an observer sees of an item stands under
//! `Records:` in its documentation.
//!
//! ```
//! use std::time::Duration;
//!
//! loop_runtime::run(async {
//!     let el = loop_runtime::get_running_loop().unwrap();
//!     el.call_later(Duration::from_millis(1), || println!("a millisecond later"));
//!     let (promise, future) = loop_runtime::create_future();
//!     let handle = el.handle(); // The only thing that other threads may hold.
//!     std::thread::spawn(move || handle.call_soon_threadsafe(|| promise.set_result("from a thread").unwrap()));
//!     assert_eq!(future.await, Ok("from a thread"));
//! })
//! .unwrap();
//! ```
#![deny(missing_docs)]
// Without the inspector nobody reads much of what is recorded, or asks for what it would.
#![cfg_attr(not(feature = "inspect"), allow(dead_code, unused_imports))]

// Vocabulary.
mod atomic;
mod clock;
mod id;
mod os;
// What happened. Rows of children and of waits in plural are stated by nobody yet.
#[allow(dead_code)]
mod record;
// The organs: none knows another.
mod blocking;
#[cfg(feature = "compat-tokio")]
mod compat;
mod executor;
#[cfg(feature = "inspect")]
#[allow(dead_code)] // Some of what it can tell has no place on the wire yet.
mod inspect;
mod reactor;
mod timers;
// The loop from a task, and from a thread.
mod context;
mod handle;
// What a task may say of itself.
mod allow;
// What tasks await.
pub mod fs;
pub mod io;
pub mod net;
#[cfg(unix)]
pub mod process;
pub mod signal;
mod spawn;
pub mod sync;
mod threads;
// Several tasks at once.
pub mod group;
pub mod time;
// The loop itself, and those who run it.
mod event_loop;
#[cfg(feature = "intercept")]
mod intercept;
mod run;
#[cfg(feature = "inspect")]
mod serve;
pub mod testing;
#[cfg(feature = "tracing")]
pub mod trace;
#[cfg(feature = "web")]
pub mod web;

pub use allow::allow_blocking;
pub use blocking::{Executor, ExecutorShutDown, StuckJobs};
#[cfg(feature = "compat-tokio")]
pub use compat::{WithTokio, with_tokio};
pub use context::NoRunningLoop;
pub use event_loop::{CloseError, Deadlock, EventLoop, OnDeadlock, RunError, get_running_loop};
pub use group::{
    CancellationToken, Cause, Failed, Failure, GatherError, GroupClosed, GroupError, JoinSet,
    LimitOver, ReturnWhen, TaskGroup, TimeLimit, WaitError, as_completed, gather, shield,
    timeout_scope, timeout_scope_at, wait, wait_for,
};
pub use handle::{
    Blocked, Closed, ErrorHandler, Handle, LocalLoop, LoopHandle, RemoteError, RemoteTask,
    SendHandle, TimerHandle,
};
pub use id::{LoopId, RowId, TaskId};
#[cfg(feature = "intercept")]
pub use intercept::BlockingCall;
pub use record::bound::WrongLoop;
pub use record::vars::Context;
pub use run::{
    Builder, DefaultLoopPolicy, InspectorStatus, LeakLimits, LoopPolicy, LoopPool, PoolError,
    PoolServer, Runner, get_event_loop, get_event_loop_policy, new_event_loop, run, set_event_loop,
    set_event_loop_policy,
};
pub use spawn::{
    CancelRequest, Cancellation, Cancelled, Canceller, CatchCancel, ContextVar, ErrorContext,
    JoinError, NewTask, Panic, Pending, Propagate, Scope, Task, TaskBuilder, TaskFactory, TaskInfo,
    TaskRef, TaskState, Token, WrongContext, YieldNow, all_tasks, catch_cancel, create_task,
    current_task, eager_task_factory, pending, yield_now,
};
pub use sync::{FutureError, InvalidState, LoopFuture, Promise, create_future};
pub use threads::{
    BlockingTask, JobError, ShutdownExecutor, run_in_executor, run_in_executor_on, to_thread,
    to_thread_on,
};
pub use time::{
    Elapsed, Interval, LoopInstant, Sleep, Timeout, interval, sleep, sleep_until, timeout,
    timeout_at,
};

#[cfg(feature = "macros")]
pub use loop_runtime_macros::{main, test};

#[doc(hidden)]
pub mod __private {
    //! What the macros call.
    pub use crate::group::private::{Arm, Item, Spawned, arm, gather_all};
    pub use crate::run::entry::main;
}
