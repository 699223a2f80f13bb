//! B42-B58: task groups, timeouts, gather, wait, shield.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use loop_runtime::testing::TestLoop;
use loop_runtime::{catch_cancel, sleep};

mod arms;
mod crowds;
mod limits;
mod scopes;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// What a test notes, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, text: impl Into<String>) {
        self.0.borrow_mut().push(text.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// A guard that notes its drop.
    fn drops(&self, text: &str) -> Noted {
        Noted(self.clone(), text.to_owned())
    }
}

struct Noted(Log, String);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.add(self.1.clone());
    }
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    TestLoop::new().run(future).unwrap()
}

/// Waits for an hour; on a cancel cleans up for `time` and then ends as `then` says.
async fn cleans_up<T>(log: Log, name: &'static str, time: Duration, then: T) -> T {
    if catch_cancel(sleep(HOUR)).await.is_err() {
        sleep(time).await;
        log.add(format!("{name} cleaned up"));
    }
    then
}

/// After `time`, this value.
async fn after<T>(time: Duration, value: T) -> T {
    sleep(time).await;
    value
}
