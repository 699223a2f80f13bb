//! hyper's executor on our loop: its own tasks are tasks like others. Knows spawning only.

use std::future::Future;

use hyper::rt;

use crate::spawn::Task;

/// Spawns hyper's tasks on the running loop, under the name `hyper` and detached.
///
/// They live as long as their connection and are none of the app's: no leak is made of them.
/// Panics: used where no loop runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperExecutor;

impl<F> rt::Executor<F> for HyperExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        let builder = Task::<()>::builder().name("hyper").allow_forever();
        builder.spawn(future).detach();
    }
}
