//! Happy eyeballs (RFC 8305): a host's addresses are tried in turn, the families alternating, each
//! a quarter of a second after the one before or as soon as that failed; the first that connects
//! wins.
//!
//! Knows connects and a clock; knows no names.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connect::Connect;
use super::family::Tcp;
use super::stream::Stream;
use crate::time::{Sleep, sleep};

/// How long an attempt is alone before the next one begins (RFC 8305, section 8).
pub(super) const STAGGER: Duration = Duration::from_millis(250);

/// None of a host's addresses could be connected to.
///
/// Inside the `io::Error` of a connect by name: `error.get_ref()` and `downcast_ref`. That error's
/// kind is the last one's.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectErrors {
    /// One for each address, in the order in which they failed; each names its address.
    pub errors: Vec<io::Error>,
}

impl fmt::Display for ConnectErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no address of this host could be connected to")?;
        for error in &self.errors {
            write!(f, "; {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectErrors {}

/// A race of connects to the addresses of one host. Dropping it closes all that run.
#[must_use = "futures do nothing unless awaited"]
pub(super) struct Race {
    waiting: VecDeque<SocketAddr>,
    running: Vec<Connect<Tcp>>,
    errors: Vec<io::Error>,
    /// `None`: the next one begins only when the last one failed.
    stagger: Option<Duration>,
    next: Option<Sleep>,
}

impl Race {
    pub(super) fn new(addresses: Vec<SocketAddr>, stagger: Option<Duration>) -> Self {
        Self {
            waiting: alternating(addresses).into(),
            running: Vec::new(),
            errors: Vec::new(),
            stagger,
            next: None,
        }
    }

    /// Starts the next attempt, if there is one.
    fn start(&mut self, place: &'static Location<'static>) {
        if let Some(address) = self.waiting.pop_front() {
            self.running.push(Connect::at(address, place));
            let more = !self.waiting.is_empty();
            self.next = self.stagger.filter(|_| more).map(sleep);
        }
    }

    fn lost(&mut self) -> io::Error {
        // One failure is its own best description.
        if self.errors.len() == 1 {
            return self.errors.remove(0);
        }
        let kind = self
            .errors
            .last()
            .map_or(io::ErrorKind::NotFound, io::Error::kind);
        let errors = std::mem::take(&mut self.errors);
        io::Error::new(kind, ConnectErrors { errors })
    }
}

impl Future for Race {
    type Output = io::Result<Stream<Tcp>>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let this = self.get_mut();
        loop {
            let mut failed = false;
            let mut at = 0;
            while at < this.running.len() {
                match this.running[at].poll_at(cx, place) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        this.errors.push(error);
                        drop(this.running.remove(at));
                        failed = true;
                    }
                    Poll::Pending => at += 1,
                }
            }
            let due = match &mut this.next {
                Some(next) => Pin::new(next).poll(cx).is_ready(),
                None => false,
            };
            let idle = this.running.is_empty();
            if this.waiting.is_empty() || !(failed || due || idle) {
                if idle && this.waiting.is_empty() {
                    return Poll::Ready(Err(this.lost()));
                }
                return Poll::Pending;
            }
            this.start(place);
        }
    }
}

/// The addresses with the families in turn, beginning with the first one's; else in their order.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut queues = [first, second];
    let mut all = Vec::new();
    let mut turn = 0;
    while queues.iter().any(|queue| !queue.is_empty()) {
        all.extend(queues[turn % 2].pop_front());
        turn += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternating(given), expected);
        let given = addresses(&["1.1.1.1:1", "[::1]:1"]);
        assert_eq!(alternating(given.clone()), given);
        assert!(alternating(Vec::new()).is_empty());
    }
}
