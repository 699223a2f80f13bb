//! How a signal's handler reaches its loop on Unix: a pipe in the loop's reactor.
//!
//! Knows flags and actions of signals, and nothing of who listens.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Poll, Wake, Waker};

use signal_hook::{SigId, flag, low_level};

use super::fanout;
use crate::context::{self, Organs};
use crate::id::LoopId;
use crate::reactor::{Direction, Interests, SourceKey};
use crate::record::bound;
use crate::record::source::{Address, Kind, Registration};

/// The pipe of one loop.
pub(super) struct Bell {
    pipe: RefCell<mio::net::UnixStream>,
    writer: UnixStream,
    key: SourceKey,
}

impl Bell {
    pub(super) fn hang(organs: &Organs) -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let mut pipe = mio::net::UnixStream::from_std(reader);
        let registration = Registration {
            kind: Kind::Internal,
            fd: pipe.as_raw_fd().into(),
            local: Address::Unnamed,
            peer: Address::Unnamed,
            place: None,
        };
        let key = organs
            .reactor
            .register(&mut pipe, Interests::READS, &registration)?;
        Ok(Self {
            pipe: RefCell::new(pipe),
            writer,
            key,
        })
    }

    /// Has `signal` set `came` and ring; what was registered for that goes to `actions`.
    pub(super) fn ring_at(
        &self,
        signal: i32,
        came: &Arc<AtomicBool>,
        actions: &mut Vec<SigId>,
    ) -> io::Result<()> {
        // In this order: whoever reads the pipe finds the flag set.
        actions.push(flag::register(signal, came.clone())?);
        let writer = self.writer.try_clone()?;
        actions.push(low_level::pipe::register(signal, writer)?);
        Ok(())
    }

    /// Empties the pipe and waits for more; whether the loop `on` runs here.
    pub(super) fn silence(&self, on: LoopId) -> bool {
        let waker = Waker::from(Arc::new(Doorbell { on }));
        let again = context::with(|organs| {
            let reactor = &organs.reactor;
            while let Poll::Ready(Ok(())) =
                reactor.poll_ready(self.key, Direction::Read, &waker, Location::caller())
            {
                match self.pipe.borrow_mut().read(&mut [0; 64]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => reactor.would_block(self.key, Direction::Read),
                }
            }
        });
        again.is_ok()
    }

    pub(super) fn take_down(&self) {
        let _ = context::with(|organs| {
            organs
                .reactor
                .deregister(&mut *self.pipe.borrow_mut(), self.key);
        });
    }
}

/// Woken by the reactor when the pipe has something.
struct Doorbell {
    on: LoopId,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        if bound::here() == Some(self.on)
            && let Some(fanout) = fanout::of(self.on)
        {
            fanout.serve();
        }
    }
}
