//! Names to addresses, on the executor's own lane, and connecting to the first that answers.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::Location;

use super::connect::naming;
use super::stream::Stream;
use super::{Tcp, TcpStream};
use crate::blocking::Lane;
use crate::context;

/// The addresses of `host`, in the order in which they should be tried.
///
/// An address in figures needs no thread. A name is looked up by the system's resolver, on a lane
/// of its own, so that a busy executor does not look like a slow network.
/// Errors: the resolver's, with the name.
#[doc(alias = "getaddrinfo")]
pub async fn lookup_host(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let job = context::with(|organs| {
        organs
            .blocking
            .submit(Lane::Lookup, host, Location::caller(), move || {
                (name.as_str(), port)
                    .to_socket_addrs()
                    .map(Iterator::collect::<Vec<_>>)
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

/// Connects to `host`, trying its addresses in order.
///
/// Errors: of the lookup; or, if all addresses fail, one that lists them all and has the kind of
/// the last.
pub async fn open_connection(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = Vec::new();
    for address in lookup_host(host, port).await? {
        match Stream::<Tcp>::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed.push(error),
        }
    }
    // One failure is its own best description.
    if failed.len() == 1 {
        return Err(failed.remove(0));
    }
    let kind = failed
        .last()
        .map_or(io::ErrorKind::NotFound, io::Error::kind);
    Err(io::Error::new(kind, AllFailed(failed)))
}

/// All of a host's addresses failed.
#[derive(Debug)]
struct AllFailed(Vec<io::Error>);

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no address of this host could be connected to")?;
        for error in &self.0 {
            write!(f, "; {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for AllFailed {}
