//! hyper's timer on our loop. Knows sleeps; knows no stream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;

use crate::time::{self, Sleep};

/// The running loop's timers, as hyper wants them.
///
/// Panics: used where no loop runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperTimer;

struct HyperSleep(Sleep);

impl Future for HyperSleep {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl rt::Sleep for HyperSleep {}

impl rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(HyperSleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let known = sleep.as_mut().downcast_mut_pin::<HyperSleep>();
        // A sleep of another loop, or another timer's: a new one takes its place.
        if known.is_none_or(|known| known.get_mut().0.reset(time::now() + left).is_err()) {
            *sleep = self.sleep(left);
        }
    }
}
