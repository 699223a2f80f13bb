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
mod race;
mod server;
mod stream;
mod streams;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
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
pub use lookup::{HostPort, lookup_host};
pub use race::ConnectErrors;
#[cfg(unix)]
pub use server::start_unix_server;
pub use server::{Handled, Server, ServerOptions, start_server, start_server_with};
pub use stream::{ReadHalf, Stream, WriteHalf};
#[cfg(unix)]
pub use streams::open_unix_connection;
pub use streams::{
    ReadError, SocketName, StreamOptions, StreamReader, StreamWriter, open_connection,
    open_connection_with,
};
pub use tcp::ListenOptions;
pub(crate) use tcp::listen_together;
pub use udp::{Udp, UdpOptions};
#[cfg(unix)]
pub use unix::PeerCredentials;
#[cfg(unix)]
pub use unix_datagram::UnixMessages;

/// A TCP connection.
pub type TcpStream = Stream<Tcp>;
/// A TCP socket that accepts connections.
pub type TcpListener = Listener<Tcp>;
/// A connection over a unix socket.
#[cfg(unix)]
pub type UnixStream = Stream<Unix>;
/// A unix socket that accepts connections.
#[cfg(unix)]
pub type UnixListener = Listener<Unix>;
/// A UDP socket.
pub type UdpSocket = Datagram<Udp>;
/// A datagram socket of this machine.
#[cfg(unix)]
pub type UnixDatagram = Datagram<UnixMessages>;

#[cfg(all(test, unix))]
mod tests;
