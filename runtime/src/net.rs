//! Sockets: TCP and unix streams and their listeners, one generic core for both.
//!
//! A socket belongs to the loop that made it. It may travel, as may futures that hold it; used on
//! another loop it answers with an error that names both, dropped there it goes home. Knows
//! readiness and addresses; name lookups run on the executor's own lane.

mod connect;
mod datagram;
mod family;
mod listener;
mod lookup;
mod stream;
mod tcp;
mod udp;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_datagram;

pub use connect::Connect;
pub use datagram::Datagram;
pub use family::Tcp;
#[cfg(unix)]
pub use family::Unix;
pub use listener::{Accept, Incoming, Listener};
pub use lookup::{lookup_host, open_connection};
pub use stream::{ReadHalf, Stream, WriteHalf};
pub use tcp::ListenOptions;
pub use udp::{Udp, UdpOptions};
#[cfg(unix)]
pub use unix::PeerCredentials;
#[cfg(unix)]
pub use unix_datagram::UnixMessages;

/// A TCP connection.
#[doc(alias = "open_connection")]
pub type TcpStream = Stream<Tcp>;
/// A TCP socket that accepts connections.
#[doc(alias = "start_server")]
pub type TcpListener = Listener<Tcp>;
/// A connection over a unix socket.
#[cfg(unix)]
#[doc(alias = "open_unix_connection")]
pub type UnixStream = Stream<Unix>;
/// A unix socket that accepts connections.
#[cfg(unix)]
#[doc(alias = "start_unix_server")]
pub type UnixListener = Listener<Unix>;
/// A UDP socket.
pub type UdpSocket = Datagram<Udp>;
/// A datagram socket of this machine.
#[cfg(unix)]
pub type UnixDatagram = Datagram<UnixMessages>;

#[cfg(all(test, unix))]
mod tests;
