//! Moving bytes to and from a source: the futures and polls that streams and pipes share.
//!
//! Knows of a source only how one call on it goes, and what a short one means there.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::panic::Location;
use std::task::{Context, Poll};

use super::op::Op;
use super::registered::{Registered, Step};
use crate::reactor::Direction;

/// A source of bytes, whose calls do not block.
pub trait Transfer: mio::event::Source + Send + 'static {
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    fn send(&self, buf: &[u8]) -> io::Result<usize>;
    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether a call that moved less than it could have says that the next one would block.
    fn short_is_empty(&self) -> bool {
        // Windows' emulated readiness needs the call that finds it out to be armed again.
        !cfg!(windows)
    }
}

/// The step of a call that moved `moved` bytes and could have moved `room`.
fn step<S: Transfer>(source: &S, moved: usize, room: usize) -> Step<usize> {
    // A short transfer saves the call that would only find out that there is no more.
    if moved > 0 && moved < room && source.short_is_empty() {
        Step::DoneShort(moved)
    } else {
        Step::Done(moved)
    }
}

pub(crate) fn read<'a, S: Transfer>(
    io: &'a Registered<S>,
    buf: &'a mut [u8],
) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
    Op::new(io, Direction::Read, move |socket: &S| {
        socket.recv(buf).map(|n| step(socket, n, buf.len()))
    })
}

pub(crate) fn read_exact<'a, S: Transfer>(
    io: &'a Registered<S>,
    buf: &'a mut [u8],
) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
    let mut filled = 0;
    Op::new(io, Direction::Read, move |socket: &S| {
        while filled < buf.len() {
            match socket.recv(&mut buf[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Step::Done(()))
    })
}

pub(crate) fn write<'a, S: Transfer>(
    io: &'a Registered<S>,
    buf: &'a [u8],
) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
    Op::new(io, Direction::Write, move |socket: &S| {
        socket.send(buf).map(|n| step(socket, n, buf.len()))
    })
}

pub(crate) fn write_all<'a, S: Transfer>(
    io: &'a Registered<S>,
    mut buf: &'a [u8],
) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
    Op::new(io, Direction::Write, move |socket: &S| {
        while !buf.is_empty() {
            match socket.send(buf) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    let short = matches!(step(socket, n, buf.len()), Step::DoneShort(_));
                    buf = &buf[n..];
                    if short {
                        return Ok(Step::Short);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Step::Done(()))
    })
}

#[track_caller]
pub(crate) fn poll_read<S: Transfer>(
    io: &Registered<S>,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    poll_read_at(io, cx, Location::caller(), buf)
}

/// As `poll_read`, for who knows where the `.await` stands; without a place it is not the running
/// task that waits.
pub(crate) fn poll_read_at<S: Transfer>(
    io: &Registered<S>,
    cx: &mut Context<'_>,
    place: impl Into<Option<&'static Location<'static>>>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    io.poll_io(Direction::Read, cx, place, |socket| {
        socket.recv(buf).map(|n| step(socket, n, buf.len()))
    })
}

#[track_caller]
pub(crate) fn poll_read_vectored<S: Transfer>(
    io: &Registered<S>,
    cx: &mut Context<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> Poll<io::Result<usize>> {
    let room = bufs.iter().map(|buf| buf.len()).sum();
    io.poll_io(Direction::Read, cx, Location::caller(), |socket| {
        socket.recv_vectored(bufs).map(|n| step(socket, n, room))
    })
}

#[track_caller]
pub(crate) fn poll_write<S: Transfer>(
    io: &Registered<S>,
    cx: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    poll_write_at(io, cx, Location::caller(), buf)
}

/// As `poll_write`, for who knows where the `.await` stands; without a place it is not the running
/// task that waits.
pub(crate) fn poll_write_at<S: Transfer>(
    io: &Registered<S>,
    cx: &mut Context<'_>,
    place: impl Into<Option<&'static Location<'static>>>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    io.poll_io(Direction::Write, cx, place, |socket| {
        socket.send(buf).map(|n| step(socket, n, buf.len()))
    })
}

#[track_caller]
pub(crate) fn poll_write_vectored<S: Transfer>(
    io: &Registered<S>,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let room = bufs.iter().map(|buf| buf.len()).sum();
    io.poll_io(Direction::Write, cx, Location::caller(), |socket| {
        // The kernel takes a limited number of slices, which is not a full socket.
        socket.send_vectored(bufs).map(|n| match bufs.len() {
            0..=64 => step(socket, n, room),
            _ => Step::Done(n),
        })
    })
}
