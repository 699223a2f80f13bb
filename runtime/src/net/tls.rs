//! TLS over our streams, by rustls: who is trusted, and the handshake of either side.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use loop_runtime::net::tls;
//!
//! # async fn example() -> std::io::Result<()> {
//! let connector = tls::TlsConnector::new()?;
//! let (mut reader, writer) = tls::open_connection("example.org:443", &connector).await?;
//! writer.write(b"HEAD / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
//! let status = reader.readline().await?;
//! # Ok(())
//! # }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::family::{Family, Tcp};
use super::lookup::HostPort;
use super::race::Race;
use super::server::{Dress, Handled, Server, ServerOptions};
use super::stream::Stream;
use super::streams::conn::in_time;
use super::streams::{StreamOptions, StreamReader, StreamWriter};
use crate::record::outer::outer;

mod session;
mod stream;

pub(crate) use session::Session;
pub use stream::TlsStream;

/// For configurations that go beyond what is here.
pub use rustls;

/// What a client trusts.
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
}

/// Who a server is.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
}

/// rustls' errors are about what was given.
fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl TlsConnector {
    /// Trusts the authorities that Mozilla trusts, as they were when this was built.
    #[doc(alias = "create_default_context")]
    pub fn new() -> io::Result<Self> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        Self::trusting(RootCertStore { roots })
    }

    /// Trusts the certificates in `pem`, and no others.
    ///
    /// Errors: `InvalidInput`: no certificate in it, or one that is none.
    pub fn with_roots(pem: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(invalid)?;
        }
        Self::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> io::Result<Self> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::from_config(Arc::new(config)))
    }

    /// With a configuration made by hand.
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        Self { config }
    }

    pub(super) fn session(&self, name: &str) -> io::Result<rustls::Connection> {
        let name = ServerName::try_from(name.to_owned()).map_err(invalid)?;
        let session = rustls::ClientConnection::new(self.config.clone(), name);
        Ok(session.map_err(invalid)?.into())
    }

    /// The handshake with a server that has to prove to be `name`.
    ///
    /// Errors: `InvalidData`, with what is wrong with the peer or its certificate; `TimedOut` after
    /// 60 s; the stream's.
    pub fn connect<F: Family>(
        &self,
        name: &str,
        stream: Stream<F>,
    ) -> impl Future<Output = io::Result<TlsStream<F>>> {
        outer(
            async move { shaken(TlsStream::new(Session::new(stream, self.session(name)?))).await },
        )
    }
}

impl TlsAcceptor {
    /// Proves who it is with the chain of certificates in `chain` (its own first) and the private
    /// key in `key`, both PEM.
    ///
    /// Errors: `InvalidInput`, with what is wrong with them.
    pub fn new(chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid(error.to_string()))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_no_client_auth()
            .with_single_cert(certificates(chain)?, key)
            .map_err(invalid)?;
        Ok(Self::from_config(Arc::new(config)))
    }

    /// With a configuration made by hand.
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { config }
    }

    pub(super) fn session(&self) -> io::Result<rustls::Connection> {
        let session = rustls::ServerConnection::new(self.config.clone());
        Ok(session.map_err(invalid)?.into())
    }

    /// The handshake with a client.
    ///
    /// Errors: as [`TlsConnector::connect`].
    pub fn accept<F: Family>(
        &self,
        stream: Stream<F>,
    ) -> impl Future<Output = io::Result<TlsStream<F>>> {
        outer(async move { shaken(TlsStream::new(Session::new(stream, self.session()?))).await })
    }
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| invalid(error.to_string()))?;
    if all.is_empty() {
        return Err(invalid("there is no certificate in this PEM text"));
    }
    Ok(all)
}

/// A handshake under way; gives the stream when it is done.
struct Handshake<F: Family>(Option<TlsStream<F>>);

impl<F: Family> Unpin for Handshake<F> {}

impl<F: Family> Future for Handshake<F> {
    type Output = io::Result<TlsStream<F>>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let stream = &mut self.get_mut().0;
        let shaking = stream.as_mut().expect("polled after it was ready");
        ready!(shaking.session().poll_handshake(cx, Some(place)))?;
        Poll::Ready(Ok(stream.take().expect("it was there a line ago")))
    }
}

async fn shaken<F: Family>(stream: TlsStream<F>) -> io::Result<TlsStream<F>> {
    in_time(Handshake(Some(stream))).await
}

/// As [`net::open_connection`](super::open_connection), under TLS; the server has to prove to be
/// the host that is named.
///
/// Errors: also those of [`TlsConnector::connect`].
/// Source: asyncio's `open_connection(…, ssl=…)`.
pub fn open_connection(
    host: impl Into<HostPort>,
    connector: &TlsConnector,
) -> impl Future<Output = io::Result<(StreamReader, StreamWriter)>> {
    outer(async move {
        let (host, options) = (host.into(), StreamOptions::default());
        let stream = Race::new(host.addresses().await?, options.happy_eyeballs_delay).await?;
        Tcp::prepare(stream.io().get()?);
        let stream = connector.connect(&host.host(), stream).await?;
        stream.into_streams(options)
    })
}

/// As [`net::start_server`](super::start_server), under TLS. A handler is called once the handshake
/// is done; a client that does not end it within 60 s is shut out.
///
/// Source: asyncio's `start_server(…, ssl=…)`.
#[track_caller]
pub fn start_server<H, R>(
    handler: H,
    address: impl Into<HostPort>,
    acceptor: &TlsAcceptor,
) -> impl Future<Output = io::Result<Server>>
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Handled + 'static,
{
    let acceptor = acceptor.clone();
    let dress: Dress = Arc::new(move |plain| {
        plain
            .under(acceptor.session()?)
            .map_err(|_| io::Error::other("a socket that was just accepted has no TLS"))
    });
    let options = ServerOptions::default();
    Server::start(
        handler,
        address.into(),
        options,
        Some(dress),
        Location::caller(),
    )
}

impl StreamWriter {
    /// Goes on under TLS, as the client: what was written before is sent first.
    ///
    /// `reader` is the connection's other half. The server has to prove to be `name`.
    /// Errors: as [`TlsConnector::connect`]; `InvalidData` if the peer has sent bytes that were
    /// read ahead, which nothing vouches for; `Unsupported` over a pipe.
    /// Source: asyncio's `StreamWriter.start_tls`.
    pub fn start_tls(
        &self,
        reader: &mut StreamReader,
        connector: &TlsConnector,
        name: &str,
    ) -> impl Future<Output = io::Result<()>> {
        outer(async move { self.put_under_tls(reader, connector.session(name)?).await })
    }

    /// As [`start_tls`](Self::start_tls), as the server.
    pub fn start_tls_server(
        &self,
        reader: &mut StreamReader,
        acceptor: &TlsAcceptor,
    ) -> impl Future<Output = io::Result<()>> {
        outer(async move { self.put_under_tls(reader, acceptor.session()?).await })
    }

    async fn put_under_tls(
        &self,
        reader: &mut StreamReader,
        session: rustls::Connection,
    ) -> io::Result<()> {
        if !self.is_of(reader) {
            return Err(invalid("this reader is another connection's"));
        }
        self.sent().await?;
        if !reader.buffered().is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer sent more in the clear than was read before TLS began",
            ));
        }
        self.shared().put_under(session)?;
        in_time(self.shared().opened()).await
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").finish_non_exhaustive()
    }
}
