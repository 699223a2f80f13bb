//! Unix sockets: connect, bind over a stale file, unlink only what is ours, who is at the other end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::panic::Location;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::connect::{Connect, naming};
use super::family::{Unix, unix::SocketPath};
use super::listener::Listener;
use super::stream::Stream;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Who is at the other end of a unix socket, as the kernel knew it at connect time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The process; `None` where the system does not tell, or it is in another namespace.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl Stream<Unix> {
    /// Connects to the socket file at `path`.
    ///
    /// Errors: also `WouldBlock`, when the listener's backlog is full; the kernel offers no way to
    /// wait for that.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> Connect<Unix> {
        Connect::new(SocketPath(path.as_ref().to_owned()))
    }

    /// Takes over a connected socket of the standard library.
    #[track_caller]
    pub fn from_std(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::connected(mio::net::UnixStream::from_std(socket), Location::caller())
    }

    /// Two connected sockets without names.
    #[doc(alias = "socketpair")]
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = mio::net::UnixStream::pair()?;
        let place = Location::caller();
        Ok((Self::connected(a, place)?, Self::connected(b, place)?))
    }

    /// Who is at the other end (`SO_PEERCRED`).
    ///
    /// Errors: `Unsupported` on systems where the runtime cannot ask.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        let socket = self.io().get()?;
        #[cfg(target_os = "linux")]
        {
            let credentials = rustix::net::sockopt::socket_peercred(socket)?;
            Ok(PeerCredentials {
                pid: u32::try_from(credentials.pid.as_raw_nonzero().get()).ok(),
                uid: credentials.uid.as_raw(),
                gid: credentials.gid.as_raw(),
            })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = socket;
            Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the peer of a unix socket can only be asked for on Linux; guard the socket file \
                 with its directory's permissions",
            ))
        }
    }
}

impl Listener<Unix> {
    /// Listens on the socket file `path`, and removes it when dropped.
    ///
    /// A socket file on which nobody answers is replaced. Only a file that is still the one made
    /// here is removed.
    /// Errors: `AddrInUse` if somebody answers there, or it is no socket; the kernel's, with the
    /// path.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let (path, place) = (path.as_ref(), Location::caller());
        let (server, file) = open(path).map_err(|error| naming(error, &path.display()))?;
        Self::register(server, BACKLOG, place, Some(Box::new(file)))
    }

    /// Takes over a listening socket of the standard library, or one that was inherited. Its file
    /// is left alone.
    #[track_caller]
    pub fn from_std(server: std::os::unix::net::UnixListener) -> io::Result<Self> {
        server.set_nonblocking(true)?;
        let server = mio::net::UnixListener::from_std(server);
        Self::register(server, 0, Location::caller(), None)
    }
}

/// The file of a bound socket, removed with the listener if it is still the same file.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode))
        {
            // Gone already, or not ours to remove any more: nothing is left to do about it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<(mio::net::UnixListener, SocketFile)> {
    let listen = |socket: &Socket| socket.listen(BACKLOG as i32);
    let (socket, file) = bind_file(path, Type::STREAM, listen)?;
    Ok((mio::net::UnixListener::from_std(socket.into()), file))
}

/// A socket bound to the file `path`, which goes with what is returned.
pub(super) fn bind_file(
    path: &Path,
    kind: Type,
    then: impl FnOnce(&Socket) -> io::Result<()>,
) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            clear(path, &address, kind)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: std::path::absolute(path)?,
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    then(&socket)?;
    Ok((socket, file))
}

/// Removes the file at `path` if it is a socket on which nobody answers.
fn clear(path: &Path, address: &SockAddr, kind: Type) -> io::Result<()> {
    let in_use = |why: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, why.to_owned()));
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return in_use("there is a file here that is no socket; it is left alone");
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full backlog is an answer too; and where we may not connect, somebody else may listen.
        _ => in_use("somebody has this socket open, and answers"),
    }
}
