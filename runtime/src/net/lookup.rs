//! Names to addresses: figures and `localhost` at once, the rest on the executor's own lane.
//!
//! Knows no sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::panic::Location;

use super::connect::naming;
use crate::blocking::Lane;
use crate::context;
use crate::record::outer::outer;

/// A host and a port: from `"example.org:443"`, `"[::1]:80"`, `("example.org", 443)` or a
/// `SocketAddr`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort(Kind);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Ip(SocketAddr),
    Named(String, u16),
    /// A text without a port; told where it is used, as an address that does not work.
    Unclear(String),
}

impl HostPort {
    /// The host without the port, in figures where it was given so.
    pub fn host(&self) -> String {
        match &self.0 {
            Kind::Ip(address) => address.ip().to_string(),
            Kind::Named(host, _) | Kind::Unclear(host) => host.clone(),
        }
    }

    /// Its addresses, in the order in which they should be tried.
    ///
    /// Errors: as [`lookup_host`]; `InvalidInput` if it names no port.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.0 {
            Kind::Ip(address) => Ok(vec![*address]),
            Kind::Named(host, port) => lookup_host(host, *port).await,
            Kind::Unclear(text) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{text:?} has no port; write it as host:port"),
            )),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Ip(address) => address.fmt(f),
            Kind::Named(host, port) => write!(f, "{host}:{port}"),
            Kind::Unclear(text) => f.write_str(text),
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self(Kind::Ip(address))
    }
}

impl From<(IpAddr, u16)> for HostPort {
    fn from(address: (IpAddr, u16)) -> Self {
        Self(Kind::Ip(address.into()))
    }
}

impl From<(&str, u16)> for HostPort {
    fn from((host, port): (&str, u16)) -> Self {
        Self(match host.parse::<IpAddr>() {
            Ok(ip) => Kind::Ip((ip, port).into()),
            Err(_) => Kind::Named(host.to_owned(), port),
        })
    }
}

impl From<&str> for HostPort {
    fn from(text: &str) -> Self {
        if let Ok(address) = text.parse() {
            return Self(Kind::Ip(address));
        }
        let parts = text
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains(':'));
        match parts.map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, port).into(),
            _ => Self(Kind::Unclear(text.to_owned())),
        }
    }
}

impl From<&String> for HostPort {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for HostPort {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// The addresses of `host`, in the order in which they should be tried.
///
/// An address in figures and `localhost` need no thread. A name is looked up by the system's
/// resolver, on a lane of its own, so that a busy executor does not look like a slow network.
/// Errors: the resolver's, with the name.
/// Cancel: a lookup that waits for its thread is withdrawn; one that runs cannot be stopped, and is
/// shown as abandoned until it ends.
/// Records: a job named after the host.
/// Source: asyncio's `getaddrinfo`.
///
/// ```
/// # loop_runtime::run(async {
/// let addresses = loop_runtime::net::lookup_host("localhost", 80).await?;
/// assert!(addresses.iter().all(|address| address.ip().is_loopback()));
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[doc(alias = "getaddrinfo")]
pub fn lookup_host(host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> {
    outer(async move {
        lookup_with(host, port, |host, port| {
            (host, port).to_socket_addrs().map(Iterator::collect)
        })
        .await
    })
}

/// As `lookup_host`, by `resolve`, which may block.
pub(super) async fn lookup_with(
    host: &str,
    port: u16,
    resolve: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // The name always means this machine (RFC 6761).
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![
            (Ipv6Addr::LOCALHOST, port).into(),
            (Ipv4Addr::LOCALHOST, port).into(),
        ]);
    }
    let name = host.to_owned();
    let job = context::with(|organs| {
        organs
            .blocking
            .submit(Lane::Lookup, host, Location::caller(), move || {
                resolve(&name, port)
            })
    })
    .map_err(io::Error::other)?
    .map_err(io::Error::other)?;
    match job.await {
        Ok(Ok(found)) if found.is_empty() => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{host}: the name has no address"),
        )),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(naming(error, &host)),
        Err(_) => Err(io::Error::other(format!("{host}: the lookup panicked"))),
    }
}
