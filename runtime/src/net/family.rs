//! What TCP and unix sockets differ in: types, addresses, how a connect begins.
//!
//! Sealed: `Stream` and `Listener` are generic over a family, and these are all there are.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};

use super::streams::SocketName;
use crate::io::transfer::Transfer;
use crate::record::source::{Address, Kind};

/// A family of sockets.
pub trait Family: Sized + Send + Sync + Unpin + 'static {
    type Socket: Socket<Addr = Self::Addr>;
    type Server: Server<Socket = Self::Socket, Addr = Self::Addr>;
    type Addr: fmt::Debug + Send + Sync + Unpin;
    /// What a connect is given.
    type Target: fmt::Display + Send + Sync + Unpin;

    fn connect(target: &Self::Target) -> io::Result<Self::Socket>;
    fn recorded_target(target: &Self::Target) -> RecordedAddress;
    fn recorded(address: &Self::Addr) -> RecordedAddress;
    fn name(address: &Self::Addr) -> SocketName;
    /// Whether a listener's address is also that of the sockets it accepts.
    fn is_exact(address: &Self::Addr) -> bool;
    /// Sets what asyncio's streams have set.
    fn prepare(socket: &Self::Socket) {
        let _ = socket;
    }
    fn stream_kind() -> SourceKind;
    fn server_kind() -> SourceKind;
}

/// The record's words, unnameable outside the crate.
#[derive(Clone, Copy)]
pub struct RecordedAddress(pub(crate) Address);

/// The record's word, unnameable outside the crate.
#[derive(Clone, Copy)]
pub struct SourceKind(pub(crate) Kind);

/// A connected socket.
pub trait Socket: Transfer + fmt::Debug {
    type Addr;

    fn shut_down(&self, how: Shutdown) -> io::Result<()>;
    fn error(&self) -> io::Result<Option<io::Error>>;
    fn local(&self) -> io::Result<Self::Addr>;
    fn peer(&self) -> io::Result<Self::Addr>;
    /// The descriptor's number, for the record.
    fn number(&self) -> i64;
}

/// A listening socket.
pub trait Server: mio::event::Source + fmt::Debug + Send + 'static {
    type Socket;
    type Addr;

    fn accept(&self) -> io::Result<(Self::Socket, Self::Addr)>;
    fn local(&self) -> io::Result<Self::Addr>;
    fn number(&self) -> i64;
}

#[cfg(unix)]
pub(super) fn number(of: &impl std::os::fd::AsRawFd) -> i64 {
    of.as_raw_fd().into()
}

#[cfg(windows)]
pub(super) fn number(of: &impl std::os::windows::io::AsRawSocket) -> i64 {
    of.as_raw_socket() as i64
}

macro_rules! socket {
    ($socket:ty, $server:ty, $addr:ty) => {
        impl Transfer for $socket {
            fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
                (&mut &*self).read(buf)
            }

            fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&mut &*self).read_vectored(bufs)
            }

            fn send(&self, buf: &[u8]) -> io::Result<usize> {
                (&mut &*self).write(buf)
            }

            fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&mut &*self).write_vectored(bufs)
            }
        }

        impl Socket for $socket {
            type Addr = $addr;

            fn shut_down(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }

            fn error(&self) -> io::Result<Option<io::Error>> {
                self.take_error()
            }

            fn local(&self) -> io::Result<$addr> {
                self.local_addr()
            }

            fn peer(&self) -> io::Result<$addr> {
                self.peer_addr()
            }

            fn number(&self) -> i64 {
                number(self)
            }
        }

        impl Server for $server {
            type Socket = $socket;
            type Addr = $addr;

            fn accept(&self) -> io::Result<($socket, $addr)> {
                self.accept()
            }

            fn local(&self) -> io::Result<$addr> {
                self.local_addr()
            }

            fn number(&self) -> i64 {
                number(self)
            }
        }
    };
}

/// The family of TCP over IPv4 and IPv6.
#[derive(Clone, Copy, Debug)]
pub enum Tcp {}

socket!(mio::net::TcpStream, mio::net::TcpListener, SocketAddr);

impl Family for Tcp {
    type Socket = mio::net::TcpStream;
    type Server = mio::net::TcpListener;
    type Addr = SocketAddr;
    type Target = SocketAddr;

    fn connect(target: &SocketAddr) -> io::Result<mio::net::TcpStream> {
        mio::net::TcpStream::connect(*target)
    }

    fn recorded_target(target: &SocketAddr) -> RecordedAddress {
        RecordedAddress(Address::Ip(*target))
    }

    fn recorded(address: &SocketAddr) -> RecordedAddress {
        RecordedAddress(Address::Ip(*address))
    }

    fn prepare(socket: &mio::net::TcpStream) {
        // A socket that is gone already tells so when it is used.
        let _ = socket.set_nodelay(true);
    }

    fn name(address: &SocketAddr) -> SocketName {
        SocketName::Ip(*address)
    }

    fn is_exact(address: &SocketAddr) -> bool {
        !address.ip().is_unspecified()
    }

    fn stream_kind() -> SourceKind {
        SourceKind(Kind::Tcp)
    }

    fn server_kind() -> SourceKind {
        SourceKind(Kind::TcpListener)
    }
}

/// The family of unix stream sockets.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
pub enum Unix {}

#[cfg(unix)]
pub(super) mod unix {
    use std::os::unix::net::SocketAddr as UnixAddr;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::record::names;

    socket!(mio::net::UnixStream, mio::net::UnixListener, UnixAddr);

    /// A path that shows itself.
    #[derive(Clone, Debug)]
    pub struct SocketPath(pub(crate) PathBuf);

    impl fmt::Display for SocketPath {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.display().fmt(f)
        }
    }

    pub(crate) fn recorded_path(path: &Path) -> Address {
        Address::Path(names::intern(&path.to_string_lossy()))
    }

    pub(crate) fn recorded_unix(address: &UnixAddr) -> RecordedAddress {
        RecordedAddress(match address.as_pathname() {
            Some(path) => recorded_path(path),
            None => abstract_name(address),
        })
    }

    impl Family for Unix {
        type Socket = mio::net::UnixStream;
        type Server = mio::net::UnixListener;
        type Addr = UnixAddr;
        type Target = SocketPath;

        fn connect(target: &SocketPath) -> io::Result<mio::net::UnixStream> {
            mio::net::UnixStream::connect(&target.0)
        }

        fn recorded_target(target: &SocketPath) -> RecordedAddress {
            RecordedAddress(recorded_path(&target.0))
        }

        fn recorded(address: &UnixAddr) -> RecordedAddress {
            recorded_unix(address)
        }

        fn name(address: &UnixAddr) -> SocketName {
            #[cfg(target_os = "linux")]
            if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
                return SocketName::Abstract(name.to_owned());
            }
            match address.as_pathname() {
                Some(path) => SocketName::Path(path.to_owned()),
                None => SocketName::Unnamed,
            }
        }

        fn is_exact(_address: &UnixAddr) -> bool {
            true
        }

        fn stream_kind() -> SourceKind {
            SourceKind(Kind::Unix)
        }

        fn server_kind() -> SourceKind {
            SourceKind(Kind::UnixListener)
        }
    }

    #[cfg(target_os = "linux")]
    fn abstract_name(address: &UnixAddr) -> Address {
        use std::os::linux::net::SocketAddrExt;
        match address.as_abstract_name() {
            // `ss` and `netstat` write them so.
            Some(name) => Address::Path(names::intern(&format!(
                "@{}",
                String::from_utf8_lossy(name)
            ))),
            None => Address::Unnamed,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn abstract_name(_address: &UnixAddr) -> Address {
        Address::Unnamed
    }
}
