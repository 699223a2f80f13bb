//! Crates that need tokio (reqwest, sqlx, tonic's own client) on this loop: feature `compat-tokio`.
//!
//! One tokio runtime a process, of one thread, started when first asked for. Their sockets and
//! timers are driven there and wake our tasks from there; what they `tokio::spawn` runs there. It is
//! in the list of loops as `tokio`. Built with `--cfg tokio_unstable`, which is what tokio wants for
//! the hooks, its tasks are rows like ours, and its blocks are alarms like ours; without, their
//! number stands beside its name. Knows no loop of ours.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::{fmt, io, thread};

use tokio::runtime::{EnterGuard, Handle, Runtime};

use crate::clock;
use crate::record::current::Entered;
use crate::record::{self, LoopRecord};

#[cfg(tokio_unstable)]
mod listed;

/// The helper of this process; after a fork the child makes its own.
static HELPER: Mutex<Option<(u32, &'static Handle)>> = Mutex::new(None);

/// While it lives, tokio's context is this thread's: `tokio::spawn`, its timers and sockets work.
pub(crate) struct Here {
    _guard: EnterGuard<'static>,
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Here")
    }
}

/// Makes tokio's context this thread's.
///
/// Panics: the system refuses a thread or an epoll descriptor.
pub(crate) fn enter() -> Here {
    match handle() {
        Ok(handle) => Here {
            _guard: handle.enter(),
        },
        Err(error) => panic!(
            "the thread for tokio's crates could not be started: {error}; look at the limits on threads and open files"
        ),
    }
}

fn handle() -> io::Result<&'static Handle> {
    let mut helper = HELPER.lock().unwrap_or_else(PoisonError::into_inner);
    match *helper {
        Some((process, handle)) if process == std::process::id() => Ok(handle),
        _ => {
            // Never dropped: tasks of any loop may hold what it drives.
            let handle = &*Box::leak(Box::new(start()?));
            *helper = Some((std::process::id(), handle));
            Ok(handle)
        }
    }
}

/// Starts the helper's thread and gives a way to it.
fn start() -> io::Result<Handle> {
    let (tell, told) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("tokio".to_owned())
        .spawn(move || {
            let record = LoopRecord::new("tokio", false, std::panic::Location::caller());
            let runtime = match build(&record) {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            record.set_budget(crate::record::BUDGET);
            let _runs_here = record.runs_here();
            let _here = Entered::new(&record);
            record.facts.stays.store(true, Ordering::Relaxed);
            record::enlist(&record);
            record.current.unpark(clock::ticks());
            let told = tell.send(Ok(runtime.handle().clone()));
            if told.is_ok() {
                runtime.block_on(std::future::pending::<()>());
            }
        })?;
    told.recv()
        .unwrap_or_else(|_| Err(io::Error::other("it ended at once")))
}

fn build(record: &Arc<LoopRecord>) -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all();
    let (parks, wakes) = (record.clone(), record.clone());
    #[cfg(tokio_unstable)]
    let listed = listed::hooks(&mut builder, record);
    builder.on_thread_park(move || {
        #[cfg(not(tokio_unstable))]
        say_how_many(&parks);
        parks.current.park(clock::ticks());
    });
    builder.on_thread_unpark(move || {
        wakes.current.unpark(clock::ticks());
        #[cfg(tokio_unstable)]
        listed.take_in();
    });
    builder.build()
}

/// Puts the number of tasks that are in no list beside the helper's name. Its thread.
#[cfg(not(tokio_unstable))]
fn say_how_many(record: &LoopRecord) {
    let Ok(here) = Handle::try_current() else {
        return;
    };
    let name = match here.metrics().num_alive_tasks() {
        0 => "tokio".to_owned(),
        tasks => format!("tokio +{tasks} unlisted"),
    };
    let mut shown = record
        .facts
        .name
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if *shown != name {
        *shown = name;
    }
}

/// A future of tokio's world, in tokio's context whenever it is polled or dropped.
///
/// Made by [`with_tokio`].
#[must_use = "a future does nothing until it is awaited"]
pub struct WithTokio<F> {
    /// `None` once dropped.
    inner: Option<Pin<Box<F>>>,
}

impl<F> fmt::Debug for WithTokio<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithTokio").finish_non_exhaustive()
    }
}

/// Wraps a future that needs tokio, so that it can be awaited here: a call of reqwest or sqlx.
///
/// `Builder::compat_tokio` does the same for all futures of a loop, and is what a program wants
/// that uses such crates in many places.
///
/// Panics: the thread that serves tokio's crates cannot be started.
/// Records: the loop `tokio`, from the first use on: what is spawned there, as far as tokio tells.
///
/// ```
/// loop_runtime::run(async {
///     let late = loop_runtime::with_tokio(async {
///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
///         tokio::spawn(async { 6 * 7 }).await.unwrap()
///     });
///     assert_eq!(late.await, 42);
/// })
/// .unwrap();
/// ```
pub fn with_tokio<F: Future>(future: F) -> WithTokio<F> {
    WithTokio {
        inner: Some(Box::pin(future)),
    }
}

impl<F: Future> Future for WithTokio<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _here = enter();
        let inner = self.inner.as_mut();
        inner
            .expect("it is there until it is dropped")
            .as_mut()
            .poll(cx)
    }
}

impl<F> Drop for WithTokio<F> {
    fn drop(&mut self) {
        // What it holds may want to spawn its own clean-up. A drop may not panic.
        let _here = handle().ok().map(Handle::enter);
        self.inner = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of_tokio() -> Arc<LoopRecord> {
        let mut loops = record::loops().into_iter();
        loops
            .find(|record| record.name().starts_with("tokio"))
            .expect("it is in the list from its start on")
    }

    /// Has the helper's thread go to sleep and wake up again.
    async fn let_it_turn() {
        with_tokio(async { tokio::time::sleep(std::time::Duration::from_millis(2)).await }).await;
    }

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        crate::Builder::new().inspector(false).run(main).unwrap()
    }

    #[cfg(tokio_unstable)]
    #[test]
    fn what_is_spawned_there_is_a_row_with_its_place_and_who_spawned_it() {
        use crate::record::task::{State, TaskFacts};
        use crate::spawn::current_task;

        let spawned = |line: u32| -> Option<TaskFacts> {
            let record = record_of_tokio();
            let of_line = |facts: &TaskFacts| {
                let place = record.sites.get(facts.site).and_then(|site| site.place());
                place.is_some_and(|at| at.file() == file!() && at.line() == line)
            };
            let rows = record.tasks.live();
            rows.filter_map(|(_, row)| row.read()).find(of_line)
        };
        run(async move {
            let (end, ends) = tokio::sync::oneshot::channel::<()>();
            let here = current_task().unwrap().id();
            let (task, line) = with_tokio(async {
                let line = line!() + 1;
                let task = tokio::spawn(async { ends.await.is_ok() });
                (task, line)
            })
            .await;
            let_it_turn().await;
            let facts = spawned(line).expect("it is listed while it lives");
            assert_eq!((facts.state, facts.polls), (State::Wait, 1));
            assert_eq!(facts.parent, here.get());
            assert!(facts.wakers > 0, "so that it is never called stranded");
            end.send(()).unwrap();
            assert!(task.await.unwrap());
            let_it_turn().await;
            assert!(spawned(line).is_none());
        });
    }

    #[cfg(tokio_unstable)]
    #[test]
    fn a_poll_over_the_budget_is_a_block_there_too() {
        run(async {
            let_it_turn().await;
            let record = record_of_tokio();
            let before = record.stats.blocks.load(Ordering::Relaxed);
            with_tokio(async {
                let blocks = tokio::spawn(async { thread::sleep(2 * crate::record::BUDGET) });
                blocks.await.unwrap();
            })
            .await;
            let_it_turn().await;
            assert!(record.stats.blocks.load(Ordering::Relaxed) > before);
        });
    }

    #[cfg(not(tokio_unstable))]
    #[test]
    fn what_is_spawned_there_is_counted_beside_the_name() {
        run(async {
            let (end, ends) = tokio::sync::oneshot::channel::<()>();
            let spawned = async { Some(tokio::spawn(async { ends.await.is_ok() })) };
            let task = with_tokio(spawned).await.unwrap();
            let_it_turn().await;
            // Other tests spawn there too.
            let name = record_of_tokio().name();
            let tasks = name.strip_prefix("tokio +").unwrap_or("0");
            let tasks = tasks.strip_suffix(" unlisted").unwrap_or("0");
            assert!(tasks.parse::<u32>().unwrap() >= 1, "{name}");
            end.send(()).unwrap();
            assert!(task.await.unwrap());
        });
    }
}
