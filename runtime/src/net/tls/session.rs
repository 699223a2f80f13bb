//! One TLS session over one stream, polled: what rustls wants read and written, and when.
//!
//! Knows neither certificates nor who drives it. A reader may have to write (an answer of the
//! protocol's own); it does so only while no writer waits, whose waker it would take.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use rustls::Connection;

use crate::io::transfer::{poll_read_at, poll_write_at};
use crate::net::family::Family;
use crate::net::stream::Stream;
use crate::net::streams::transport::{Facts, Place, Transport};
use crate::reactor::Direction;
use crate::record::source::SourceRow;

/// A session and the stream under it.
pub(crate) struct Session<F: Family> {
    stream: Stream<F>,
    tls: Connection,
    /// Who writes waits for room.
    writer_waits: bool,
    ended: bool,
}

impl<F: Family> Session<F> {
    pub(crate) fn new(stream: Stream<F>, tls: Connection) -> Self {
        Self {
            stream,
            tls,
            writer_waits: false,
            ended: false,
        }
    }

    pub(super) fn tls(&self) -> &Connection {
        &self.tls
    }

    pub(super) fn stream(&self) -> &Stream<F> {
        &self.stream
    }

    /// Ready when the handshake is done.
    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx, place))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx, place))? == 0 {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the peer closed the connection during the TLS handshake",
                )));
            }
        }
    }

    /// Ready when all that rustls has for the peer is with the kernel.
    fn poll_send(&mut self, cx: &mut Context<'_>, place: Place) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut wire = Wire {
                stream: &self.stream,
                cx,
                place,
            };
            match self.tls.write_tls(&mut wire) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the peer what is there; 0 at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>, place: Place) -> Poll<io::Result<usize>> {
        let mut wire = Wire {
            stream: &self.stream,
            cx,
            place,
        };
        let n = match self.tls.read_tls(&mut wire) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if let Err(error) = self.tls.process_new_packets() {
            // The peer is told why, if it takes it at once.
            let _ = self.poll_send(&mut Context::from_waker(std::task::Waker::noop()), None);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(n))
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
            if self.tls.wants_write()
                && !self.writer_waits
                && let Poll::Ready(Err(error)) = self.poll_send(cx, place)
            {
                return Poll::Ready(Err(error));
            }
            // At the end rustls tells whether it was one, or a cut.
            ready!(self.poll_receive(cx, place))?;
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx, place))?;
        let n = self.tls.writer().write(buf)?;
        // What is not sent now is sent by the next write or by `poll_flush`.
        if let Poll::Ready(Err(error)) = self.poll_flush(cx, place) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(n))
    }

    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
    ) -> Poll<io::Result<()>> {
        if self.tls.is_handshaking() {
            return self.poll_handshake(cx, place);
        }
        let polled = self.poll_send(cx, place);
        self.writer_waits = polled.is_pending();
        polled
    }

    /// Tells the peer that this is the end, and no cut.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>, place: Place) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.ended, true) {
            self.tls.send_close_notify();
        }
        let polled = self.poll_send(cx, place);
        self.writer_waits = polled.is_pending();
        ready!(polled)?;
        Poll::Ready(match self.stream.shutdown(Shutdown::Write) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        })
    }
}

/// The stream as rustls wants it.
struct Wire<'a, 'b, F: Family> {
    stream: &'a Stream<F>,
    cx: &'a mut Context<'b>,
    place: Place,
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<F: Family> Read for Wire<'_, '_, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        now(poll_read_at(self.stream.io(), self.cx, self.place, buf))
    }
}

impl<F: Family> Write for Wire<'_, '_, F> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        now(poll_write_at(self.stream.io(), self.cx, self.place, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: Family> Transport for Session<F> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read(cx, place, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        place: Place,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, place, buf)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, place: Place) -> Poll<io::Result<()>> {
        self.poll_flush(cx, place)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, place: Place) -> Poll<io::Result<()>> {
        self.poll_end(cx, place)
    }

    fn under(self: Box<Self>, _: Connection) -> Result<Box<dyn Transport>, Box<dyn Transport>> {
        Err(self)
    }

    fn forget_reader(&self) {
        self.stream.io().forget_one(Direction::Read);
    }

    fn state(&self, facts: &dyn Fn(&SourceRow)) {
        self.stream.io().with_row(facts);
    }

    fn facts(&self) -> io::Result<Facts> {
        self.stream.facts()
    }
}
