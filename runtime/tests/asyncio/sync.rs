//! B59-B60: locks and queues, and the channels that Rust has beside them.

use std::cell::RefCell;
use std::rc::Rc;

use loop_runtime::testing::TestLoop;

mod channels;
mod locks;
mod queues;
mod random;
mod signals;

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    TestLoop::new().run(future).unwrap()
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    #[track_caller]
    fn is(&self, all: &str) {
        assert_eq!(self.0.borrow().join(" "), all);
    }
}

/// Lets all others run that are ready.
async fn settle() {
    for _ in 0..8 {
        loop_runtime::yield_now().await;
    }
}
