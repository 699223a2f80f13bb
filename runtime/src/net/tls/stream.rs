//! `TlsStream`: a session as a stream of `futures-io`. Knows no certificates.

use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::pki_types::CertificateDer;

use super::Session;
use crate::net::family::{Family, Tcp};
use crate::net::stream::Stream;
use crate::net::streams::{StreamOptions, StreamReader, StreamWriter};

/// A stream under TLS, after its handshake.
///
/// Implements `futures-io`'s traits. What is written may stay here until `flush`, or the next
/// write. Its `close` tells the peer that this is the end and no cut; a peer that does not tell so
/// makes the last read an `UnexpectedEof`.
/// Errors: `InvalidData` for what is no TLS; else as [`Stream`].
/// Records: what its [`Stream`] records.
pub struct TlsStream<F: Family = Tcp> {
    session: Box<Session<F>>,
}

impl<F: Family> TlsStream<F> {
    pub(super) fn new(session: Session<F>) -> Self {
        let session = Box::new(session);
        Self { session }
    }

    pub(super) fn session(&mut self) -> &mut Session<F> {
        &mut self.session
    }

    /// The stream under it, for its addresses and its row.
    pub fn get_ref(&self) -> &Stream<F> {
        self.session.stream()
    }

    /// The protocol that both ends agreed on (ALPN), if they did.
    #[doc(alias = "selected_alpn_protocol")]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.tls().alpn_protocol()
    }

    /// The chain of certificates with which the peer proved who it is; none, if it did not have to.
    #[doc(alias = "getpeercert")]
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.tls().peer_certificates()
    }

    /// The version of TLS.
    pub fn protocol_version(&self) -> Option<rustls::ProtocolVersion> {
        self.session.tls().protocol_version()
    }

    /// The two halves as asyncio has them.
    pub fn into_streams(self, options: StreamOptions) -> io::Result<(StreamReader, StreamWriter)> {
        options.halves(self.session)
    }
}

impl<F: Family> AsyncRead for TlsStream<F> {
    #[track_caller]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let place = Location::caller();
        self.get_mut().session.poll_read(cx, Some(place), buf)
    }
}

impl<F: Family> AsyncWrite for TlsStream<F> {
    #[track_caller]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let place = Location::caller();
        self.get_mut().session.poll_write(cx, Some(place), buf)
    }

    #[track_caller]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let place = Location::caller();
        self.get_mut().session.poll_flush(cx, Some(place))
    }

    #[track_caller]
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let place = Location::caller();
        self.get_mut().session.poll_end(cx, Some(place))
    }
}

impl<F: Family> fmt::Debug for TlsStream<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsStream").field(self.get_ref()).finish()
    }
}
