//! The socket file of this process: where it lies, who may open it, and how it goes away. Fails
//! with a sentence and never otherwise. Knows nothing of what is served.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use loop_proto::endpoint::{
    MAX_PATH, Note, directories, note_path, read_socket_name, read_start, socket_name,
};

use super::auth::{own_uid, write_private};

/// Sockets looked at in one go.
const SWEEP: usize = 64;

/// A socket that was made less long ago may be about to be listened on.
const YOUNG: Duration = Duration::from_secs(2);

/// The files of an endpoint, removed when it goes; in a forked child they are the parent's.
#[derive(Debug)]
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    pid: u32,
}

impl Files {
    pub(crate) fn socket(&self) -> &Path {
        &self.paths[0]
    }

    /// One more file that goes with them.
    pub(crate) fn add(&mut self, path: PathBuf) {
        self.paths.push(path);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            for path in &self.paths {
                // Gone already, or the directory is: either way it is not there.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Opens the endpoint in the first directory that can hold it.
///
/// Errors: a sentence that names each directory and what was wrong with it.
pub(crate) fn open(
    variable: impl Fn(&str) -> Option<OsString>,
    start: u64,
    note: &Note<'_>,
) -> Result<(UnixListener, Files), String> {
    let name = socket_name(note.pid, start);
    let mut why = Vec::new();
    for directory in directories(variable, own_uid()) {
        match open_in(&directory, &name, note) {
            Ok(opened) => {
                sweep(&directory, SystemTime::now());
                return Ok(opened);
            }
            Err(error) => why.push(format!("{}: {error}", directory.display())),
        }
    }
    Err(format!(
        "no directory can hold its socket ({})",
        why.join("; ")
    ))
}

fn open_in(directory: &Path, name: &str, note: &Note<'_>) -> io::Result<(UnixListener, Files)> {
    let socket = directory.join(name);
    if socket.as_os_str().len() > MAX_PATH {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a socket's path may have {MAX_PATH} bytes"),
        ));
    }
    ready(directory)?;
    let listener = bind(&socket)?;
    let mut files = Files {
        paths: vec![socket],
        pid: std::process::id(),
    };
    // The directory is closed to others, so nobody came in before this.
    fs::set_permissions(files.socket(), fs::Permissions::from_mode(0o600))?;
    let beside = note_path(files.socket());
    files.add(beside.clone());
    write_private(&beside, note.to_string().as_bytes())?;
    Ok((listener, files))
}

/// Makes the directory, or checks that it is ours alone.
pub(super) fn ready(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let refused = |why: &str| {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            why.to_owned(),
        ))
    };
    // Not followed: a link may lead to where somebody else listens.
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() {
        return refused("it is no directory");
    }
    if found.uid() != own_uid() {
        return refused("it belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        // Not closed by us: it may be a directory that others need.
        return refused("other users may enter it; `chmod 700` it");
    }
    Ok(())
}

/// Binds, over the file of a process that is gone if need be.
fn bind(socket: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(socket) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(socket) => {
            fs::remove_file(socket)?;
            UnixListener::bind(socket)
        }
        bound => bound,
    }
}

/// A socket file on which nobody answers. Where we may not ask, somebody may listen.
fn is_stale(socket: &Path) -> bool {
    let is_socket = fs::symlink_metadata(socket).is_ok_and(|file| file.file_type().is_socket());
    is_socket
        && matches!(ask(socket), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Connects without waiting: a full backlog is an answer too.
fn ask(socket: &Path) -> io::Result<()> {
    let probe = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    probe.connect(&socket2::SockAddr::unix(socket)?)
}

/// Removes what processes left behind that did not end by themselves: killed, or ended by a signal.
///
/// A socket that refuses is no proof by itself: between its making and the call to `listen` every one
/// does. So its process must be gone, which its pid and its start tell together, and the socket must
/// not be young, since its process may be in another namespace, where we see no pid of it.
fn sweep(directory: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let sockets = entries.flatten().filter_map(|entry| {
        let of = read_socket_name(&entry.file_name())?;
        Some((of, entry.path()))
    });
    for ((pid, start), socket) in sockets.take(SWEEP) {
        if !lives(pid, start) && !is_young(&socket, now) && is_stale(&socket) {
            // Another process may sweep at the same time.
            let _ = fs::remove_file(note_path(&socket));
            let token = socket.with_extension("token");
            let _ = fs::remove_file(super::auth::Tokens::control_beside(&token));
            let _ = fs::remove_file(token);
            let _ = fs::remove_file(&socket);
        }
    }
}

/// Whether the process of that pid is the one that started then. Where `/proc` does not tell, nobody's.
fn lives(pid: u32, start: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| read_start(&stat) == Some(start))
}

fn is_young(socket: &Path, now: SystemTime) -> bool {
    let made = fs::symlink_metadata(socket).and_then(|file| file.modified());
    // In the future: the clock was set meanwhile.
    made.is_ok_and(|made| now.duration_since(made).is_ok_and(|age| age < YOUNG))
}

/// What tells two processes of one pid apart: the clock ticks after boot at which the kernel
/// started this one; elsewhere the time.
pub(crate) fn start_of_process() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat");
    let ticks = stat.ok().and_then(|stat| read_start(&stat));
    ticks.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ep-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn note() -> Note<'static> {
        Note {
            name: "shop",
            pid: 7,
            ..Note::default()
        }
    }

    fn at(directory: &Path) -> impl Fn(&str) -> Option<OsString> {
        let directory = directory.to_owned();
        move |name| (name == "LOOP_CONSOLE_DIR").then(|| directory.clone().into())
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn socket_note_and_directory_are_for_their_user_alone_and_go_with_the_endpoint() {
        let scratch = Scratch::new("modes");
        let directory = scratch.0.join("d");
        let (listener, files) = open(at(&directory), 42, &note()).unwrap();
        let socket = directory.join("7-42.sock");
        assert_eq!(files.socket(), socket);
        assert_eq!((mode(&directory), mode(&socket)), (0o700, 0o600));
        assert_eq!(mode(&note_path(&socket)), 0o600);
        let text = fs::read_to_string(note_path(&socket)).unwrap();
        assert!(text.contains("\"name\":\"shop\""), "{text}");
        assert!(UnixStream::connect(&socket).is_ok());
        drop((listener, files));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let scratch = Scratch::new("stale");
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
        let socket = scratch.0.join("7-42.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let (listener, files) = open_in(&scratch.0, "7-42.sock", &note()).unwrap();
        let again = open_in(&scratch.0, "7-42.sock", &note()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        assert!(
            UnixStream::connect(&socket).is_ok(),
            "the first still answers"
        );
        drop((listener, files));
    }

    #[test]
    fn what_others_left_behind_is_swept_and_what_answers_or_is_none_of_ours_stays() {
        let scratch = Scratch::new("sweep");
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
        let left = |name: &str| drop(UnixListener::bind(scratch.0.join(name)).unwrap());
        left("1-1.sock");
        fs::File::create(scratch.0.join("1-1.json"))
            .unwrap()
            .write_all(b"{}")
            .unwrap();
        let alive = UnixListener::bind(scratch.0.join("2-2.sock")).unwrap();
        left("other.sock");
        // Our pid, of a process that was before us: it is used again.
        let pid = std::process::id();
        let (before, ours) = (start_of_process() - 1, start_of_process());
        left(&format!("{pid}-{before}.sock"));
        // And ours: it refuses since it is about to listen, however long that takes.
        left(&format!("{pid}-{ours}.sock"));
        let opened = open(at(&scratch.0), 42, &note()).unwrap();
        assert!(scratch.0.join("1-1.sock").exists(), "it is young");
        sweep(&scratch.0, SystemTime::now() + 2 * YOUNG);
        let there = |name: &str| scratch.0.join(name).exists();
        assert!(!there("1-1.sock") && !there("1-1.json"));
        assert!(!there(&format!("{pid}-{before}.sock")));
        assert!(there(&format!("{pid}-{ours}.sock")));
        assert!(there("2-2.sock") && there("other.sock") && there("7-42.sock"));
        drop((alive, opened));
    }

    #[test]
    fn a_directory_that_cannot_hold_it_is_passed_over_with_a_reason() {
        let scratch = Scratch::new("reasons");
        let long = scratch.0.join("x".repeat(MAX_PATH));
        let refused = open_in(&long, "7-42.sock", &note()).unwrap_err();
        assert!(refused.to_string().contains("107 bytes"), "{refused}");
        let file = scratch.0.join("file");
        fs::write(&file, "").unwrap();
        assert!(open_in(&file, "7-42.sock", &note()).is_err());
        let link = scratch.0.join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        let refused = open_in(&link, "7-42.sock", &note()).unwrap_err();
        assert!(refused.to_string().contains("no directory"), "{refused}");
        let missing = scratch.0.join("no/such");
        assert!(open_in(&missing, "7-42.sock", &note()).is_err());
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused_and_left_as_it_is() {
        let scratch = Scratch::new("open");
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
        let refused = ready(&scratch.0).unwrap_err();
        assert!(refused.to_string().contains("chmod 700"), "{refused}");
        assert_eq!(mode(&scratch.0), 0o755);
    }
}
