//! A connected socket: reads, writes, halves. Knows no addresses but what the family records.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::family::{Family, Socket};
use crate::io::registered::Registered;
use crate::io::transfer::{
    poll_read, poll_read_vectored, poll_write, poll_write_vectored, read, read_exact, write,
    write_all,
};
use crate::reactor::Interests;
use crate::record::source::{Address, Registration};

/// A connected socket of one loop.
///
/// Implements `futures-io`'s traits; the methods here do the same and know where they are awaited.
/// Errors: `WrongLoop` (inside the `io::Error`) where another loop runs.
/// Cancel: an operation that is dropped leaves no waiter; what it has moved is moved.
/// Records: `SourceRegistered`, `SourceReady` at each readiness, `SourceReleased` when dropped.
pub struct Stream<F: Family> {
    io: Registered<F::Socket>,
    family: PhantomData<F>,
}

impl<F: Family> Stream<F> {
    pub(super) fn register(
        socket: F::Socket,
        interests: Interests,
        local: Address,
        peer: Address,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let registration = Registration {
            kind: F::stream_kind().0,
            fd: socket.number(),
            local,
            peer,
            place: Some(place),
        };
        Registered::new(socket, interests, &registration).map(|io| Self {
            io,
            family: PhantomData,
        })
    }

    /// A stream over a socket that is connected and non-blocking.
    pub(super) fn connected(
        socket: F::Socket,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let (local, peer) = addresses::<F>(&socket);
        Self::register(socket, Interests::CONNECTED, local, peer, place)
    }

    pub(super) fn io(&self) -> &Registered<F::Socket> {
        &self.io
    }

    /// The id under which the record and the console list it.
    pub fn id(&self) -> io::Result<u64> {
        self.io.id()
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<F::Addr> {
        self.io.get()?.local()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<F::Addr> {
        self.io.get()?.peer()
    }

    /// The error that the socket has kept for us, if any.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get()?.error()
    }

    /// Reads what is there, up to the buffer's length; 0 at the end.
    #[doc(alias = "sock_recv")]
    pub fn read<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        read(&self.io, buf)
    }

    /// Fills the buffer.
    ///
    /// Errors: `UnexpectedEof` if the stream ends before; what came is in the buffer.
    #[doc(alias = "readexactly")]
    pub fn read_exact<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        read_exact(&self.io, buf)
    }

    /// Writes what fits.
    pub fn write<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        write(&self.io, buf)
    }

    /// Writes it all.
    ///
    /// Errors: also if only a part was written; a write to a closed peer ends with one, always.
    #[doc(alias = "sock_sendall")]
    pub fn write_all<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        write_all(&self.io, buf)
    }

    /// Ends one direction or both; the peer reads to the end then.
    #[doc(alias = "write_eof")]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get()?.shut_down(how)
    }

    /// Two halves that may live in two tasks of this loop. The socket is closed when both are gone.
    pub fn into_split(self) -> (ReadHalf<F>, WriteHalf<F>) {
        let io = Arc::new(self.io);
        let read = ReadHalf {
            io: io.clone(),
            family: PhantomData,
        };
        let write = WriteHalf {
            io,
            family: PhantomData,
        };
        (read, write)
    }
}

/// The half of a stream that reads.
pub struct ReadHalf<F: Family> {
    io: Arc<Registered<F::Socket>>,
    family: PhantomData<F>,
}

/// The half of a stream that writes. Dropping it shuts that direction down.
pub struct WriteHalf<F: Family> {
    io: Arc<Registered<F::Socket>>,
    family: PhantomData<F>,
}

impl<F: Family> ReadHalf<F> {
    /// As [`Stream::read`].
    pub fn read<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        read(&self.io, buf)
    }

    /// As [`Stream::read_exact`].
    pub fn read_exact<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        read_exact(&self.io, buf)
    }
}

impl<F: Family> WriteHalf<F> {
    /// As [`Stream::write`].
    pub fn write<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        write(&self.io, buf)
    }

    /// As [`Stream::write_all`].
    pub fn write_all<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        write_all(&self.io, buf)
    }
}

impl<F: Family> Drop for WriteHalf<F> {
    fn drop(&mut self) {
        // Elsewhere than at home the socket is closed when the last half arrives there; and a
        // peer that is gone needs no end of the stream.
        if let Ok(socket) = self.io.get() {
            let _ = socket.shut_down(Shutdown::Write);
        }
    }
}

/// What can be recorded of both ends; a peer that is gone already has no address.
pub(super) fn addresses<F: Family>(socket: &F::Socket) -> (Address, Address) {
    let recorded = |address: io::Result<F::Addr>| {
        address.map_or(Address::None, |address| F::recorded(&address).0)
    };
    (recorded(socket.local()), recorded(socket.peer()))
}

fn poll_close<S: Socket>(io: &Registered<S>) -> Poll<io::Result<()>> {
    Poll::Ready(match io.get()?.shut_down(Shutdown::Write) {
        // The peer was faster.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        done => done,
    })
}

macro_rules! reads {
    ($type:ident) => {
        impl<F: Family> AsyncRead for $type<F> {
            #[track_caller]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                poll_read(&self.io, cx, buf)
            }

            #[track_caller]
            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                poll_read_vectored(&self.io, cx, bufs)
            }
        }
    };
}

macro_rules! writes {
    ($type:ident) => {
        impl<F: Family> AsyncWrite for $type<F> {
            #[track_caller]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                poll_write(&self.io, cx, buf)
            }

            #[track_caller]
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                poll_write_vectored(&self.io, cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                poll_close(&self.io)
            }
        }
    };
}

macro_rules! shows {
    ($($type:ident)*) => {
        $(impl<F: Family> fmt::Debug for $type<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.io).finish()
            }
        })*
    };
}

reads!(Stream);
reads!(ReadHalf);
writes!(Stream);
writes!(WriteHalf);
shows!(Stream ReadHalf WriteHalf);
