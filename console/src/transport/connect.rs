//! From a target to a session: which socket is meant, is it one of ours, who listens there. The rest of the transport sees only
//! [`Connector`].

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use loop_proto::endpoint::{AUTHORITY, MAX_PATH};
use loop_proto::pb;
use loop_runtime::io::HyperIo;
use loop_runtime::net::{TcpStream, UnixStream};

use super::Options;
use super::address::Target;
use super::discover::{self, Candidate, Places};
use super::recording::{self, Source};
use super::session::{Session, Trouble};
use crate::exit::{Exit, Failure};
use crate::store::{App, Looked, VersionGap};

/// Finds apps and opens sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    options: Rc<Options>,
    places: Rc<Places>,
}

/// An app that answered.
#[derive(Clone, Debug)]
pub struct Live {
    pub candidate: Candidate,
    pub session: Session,
}

/// Why there is no session with the app that was meant.
#[derive(Clone, Debug)]
pub enum NotThere {
    /// There is none.
    Nobody { looked: Vec<Looked> },
    /// Several are, and the target does not say which.
    Several(Vec<App>),
    /// It is there, or should be, and cannot be talked to.
    Trouble(Trouble),
    /// A recording was meant, and cannot be opened.
    Unreadable(Failure),
}

impl Connector {
    pub fn new(options: Options, places: Places) -> Self {
        Connector {
            options: Rc::new(options),
            places: Rc::new(places),
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Opens a session with what `target` means.
    pub async fn open(&self, target: &Target) -> Result<Session, NotThere> {
        if let Some(word) = target.recording() {
            return self.recorded(word).map_err(NotThere::Unreadable);
        }
        if let Some(command) = &self.options.via {
            return self.via(command).await.map_err(NotThere::Trouble);
        }
        match target {
            Target::Tcp { host, port } => self.tcp(host, *port).await.map_err(NotThere::Trouble),
            Target::Socket(path) => self.socket(path, None).await.map_err(NotThere::Trouble),
            Target::Path(path) if is_socket(path) => {
                self.socket(path, None).await.map_err(NotThere::Trouble)
            }
            _ => self.find(target).await.map(|live| live.session),
        }
    }

    /// The socket of what `target` means, for those who speak over it themselves.
    pub async fn resolve(&self, target: &Target) -> Result<PathBuf, NotThere> {
        match target {
            Target::Socket(path) => Ok(path.clone()),
            Target::Path(path) if is_socket(path) => Ok(path.clone()),
            _ => self.find(target).await.map(|live| live.candidate.socket),
        }
    }

    /// The apps that answer, and where was looked. Those that speak another version are the second part.
    pub async fn apps(&self) -> (Vec<Live>, Vec<(Candidate, Trouble)>, Vec<Looked>) {
        let found = discover::look(&self.places);
        // All at once: one app that hangs must not hold up the list.
        let tries: Vec<_> = found
            .candidates
            .into_iter()
            .map(|candidate| {
                let connector = self.clone();
                loop_runtime::create_task(async move {
                    let session = connector.socket(&candidate.socket, Some(&candidate)).await;
                    (candidate, session)
                })
            })
            .collect();
        let (mut live, mut troubled) = (Vec::new(), Vec::new());
        for one in tries {
            match one.await {
                Ok((candidate, Ok(session))) => live.push(Live { candidate, session }),
                Ok((candidate, Err(trouble))) => troubled.push((candidate, trouble)),
                // A panic of ours; the others are still worth listing.
                Err(_) => {}
            }
        }
        live.sort_by_key(|live| live.candidate.pid);
        (live, troubled, found.looked)
    }

    /// The one app that `target` means, among those that answer.
    async fn find(&self, target: &Target) -> Result<Live, NotThere> {
        let (live, mut troubled, looked) = self.apps().await;
        let mut meant: Vec<Live> = live
            .into_iter()
            .filter(|live| is_meant(target, &live.candidate, &live.session.hello))
            .collect();
        match meant.len() {
            1 => Ok(meant.remove(0)),
            0 => {
                // One that is there and speaks another version says more than "nobody".
                troubled.retain(|(candidate, trouble)| match (target, trouble) {
                    (_, Trouble::Gap { hello, .. }) => is_meant(target, candidate, hello),
                    (Target::Pid(pid), _) => candidate.pid == *pid,
                    (Target::Name(name), _) => candidate.note.name == *name,
                    _ => false,
                });
                match troubled.into_iter().next() {
                    Some((_, trouble)) => Err(NotThere::Trouble(trouble)),
                    None => Err(NotThere::Nobody { looked }),
                }
            }
            _ => Err(NotThere::Several(meant.iter().map(app).collect())),
        }
    }

    /// A session with a recording.
    fn recorded(&self, word: &str) -> Result<Session, Failure> {
        if let Some(command) = &self.options.via {
            return Err(Failure::usage(
                "A recording is read from a file here; --via reaches an app elsewhere.",
                format!("Copy the file from there, or open it there: {command} is not needed."),
            ));
        }
        let (path, pid_here) = recording::find::resolve(word, &self.places)?;
        Source::open(&path, &self.places, pid_here).map(Session::of)
    }

    async fn via(&self, command: &str) -> Result<Session, Trouble> {
        let failed = |error: io::Error| {
            Trouble::Unreachable(format!("`{command}` cannot be started: {error}"))
        };
        // Both of the command's pipes are one socket, so its exit is the end of our stream.
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        let again = theirs.try_clone().map_err(failed)?;
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(again)))
            .spawn()
            .map_err(failed)?;
        std::thread::Builder::new()
            .name("via".to_owned())
            // Somebody has to wait for it, or it stays as a zombie.
            .spawn(move || child.wait())
            .map_err(failed)?;
        let stream = UnixStream::from_std(ours).map_err(failed)?;
        let session = Session::open(HyperIo::new(stream), AUTHORITY, None, &self.options).await;
        session.map_err(|trouble| match trouble {
            Trouble::Unreachable(why) => {
                Trouble::Unreachable(format!("`{command}` gave no connection: {why}"))
            }
            other => other,
        })
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<Session, Trouble> {
        let unreachable =
            |error: &dyn std::fmt::Display| Trouble::Unreachable(format!("{host}:{port}: {error}"));
        let token = token().map_err(|error| unreachable(&error))?;
        let ip = if host == "localhost" {
            "127.0.0.1"
        } else {
            host
        };
        let ip: std::net::IpAddr = ip.parse().map_err(|error| unreachable(&error))?;
        let connecting = TcpStream::connect((ip, port).into());
        let stream = match loop_runtime::timeout(self.options.timeout, connecting).await {
            Ok(stream) => stream.map_err(|error| unreachable(&error))?,
            Err(_) => return Err(Trouble::Silent(self.options.timeout)),
        };
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        Session::open(
            HyperIo::new(stream),
            &authority,
            token.as_deref(),
            &self.options,
        )
        .await
    }

    /// Opens a socket, and checks who listens before a byte is sent. `candidate`: what the directory said of it.
    async fn socket(&self, path: &Path, candidate: Option<&Candidate>) -> Result<Session, Trouble> {
        let unreachable = |error: &dyn std::fmt::Display| {
            Trouble::Unreachable(format!("{}: {error}", path.display()))
        };
        let short = Short::of(path).map_err(|error| unreachable(&error))?;
        let connecting = UnixStream::connect(short.path());
        let stream = match loop_runtime::timeout(self.options.timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                if let (Some(candidate), io::ErrorKind::ConnectionRefused) =
                    (candidate, error.kind())
                {
                    discover::sweep(candidate, &self.places, std::time::SystemTime::now());
                }
                let why = match error.kind() {
                    io::ErrorKind::ConnectionRefused => {
                        "nobody listens there any more (did it stop?)".to_owned()
                    }
                    io::ErrorKind::PermissionDenied => "it belongs to another user".to_owned(),
                    _ => error.to_string(),
                };
                return Err(unreachable(&why));
            }
            Err(_) => return Err(Trouble::Silent(self.options.timeout)),
        };
        let peer = stream
            .peer_credentials()
            .map_err(|error| unreachable(&error))?;
        let owner = match candidate {
            Some(candidate) => Some(candidate.owner),
            None => std::fs::symlink_metadata(path)
                .ok()
                .map(|file| std::os::unix::fs::MetadataExt::uid(&file)),
        };
        if !may_listen(peer.uid, self.places.uid, owner) {
            return Err(unreachable(&format!(
                "user {} listens there, who is neither you nor root",
                peer.uid
            )));
        }
        Session::open(HyperIo::new(stream), AUTHORITY, None, &self.options).await
    }
}

/// Whether we talk to a listener of user `peer`: ourselves, root, or, when we are root, whoever owns the socket.
fn may_listen(peer: u32, ours: u32, owner: Option<u32>) -> bool {
    peer == ours || peer == 0 || (ours == 0 && owner == Some(peer))
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

fn is_meant(target: &Target, candidate: &Candidate, hello: &pb::HelloReply) -> bool {
    match target {
        Target::Only => true,
        Target::Pid(pid) => candidate.pid == *pid || hello.pid == *pid,
        Target::Name(name) => {
            let file = Path::new(&hello.executable)
                .file_name()
                .map(|f| f.to_string_lossy().into_owned());
            hello.app_name == *name || file.as_deref() == Some(name)
        }
        Target::Path(path) => {
            let real =
                |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            !hello.executable.is_empty() && real(path) == real(Path::new(&hello.executable))
        }
        Target::Socket(_) | Target::Tcp { .. } | Target::Recording(_) => false,
    }
}

/// An app as lists show it.
pub fn app(live: &Live) -> App {
    let hello = &live.session.hello;
    App {
        target: live.candidate.pid.to_string(),
        pid: live.candidate.pid,
        name: hello.app_name.clone(),
        up: discover::up(Some(hello.started_unix_ns)),
        loops: None,
        worst: None,
    }
}

/// Both ends of a gap, in the words of the screen and of stderr.
pub fn version_gap(hello: &pb::HelloReply, gap: &loop_proto::version::VersionGap) -> VersionGap {
    let of = |v: pb::Version| format!("{}.{}", v.major, v.minor);
    let fix = if gap.theirs.major > gap.ours.major {
        format!(
            "cargo install --locked loop-console --version {}",
            hello.runtime_version
        )
    } else {
        format!(
            "rebuild the app with loop-runtime {}",
            env!("CARGO_PKG_VERSION")
        )
    };
    VersionGap {
        app: hello.app_name.clone(),
        pid: hello.pid,
        app_version: format!("runtime {}", hello.runtime_version),
        app_protocol: of(gap.theirs),
        console_version: format!("loop-console {}", env!("CARGO_PKG_VERSION")),
        console_protocol: of(gap.ours),
        fix,
    }
}

/// What a one-shot says when there is no session, and the code it leaves with.
pub fn failure(target: &Target, not_there: NotThere) -> Failure {
    let safe = |text: &str| loop_proto::escape::escape(text, 1024).into_owned();
    match not_there {
        NotThere::Unreadable(failure) => failure,
        NotThere::Nobody { looked } => nobody(target, &looked),
        NotThere::Several(apps) => {
            let list: Vec<String> = apps
                .iter()
                .map(|app| format!("{:>7}  {}", app.pid, safe(&app.name)))
                .collect();
            Failure::new(
                Exit::Usage,
                match target {
                    Target::Only => format!("Several apps run here:\n{}", list.join("\n")),
                    _ => format!("Several apps are called {target}:\n{}", list.join("\n")),
                },
                "Name one by its pid or name, as the last argument.",
            )
        }
        NotThere::Trouble(Trouble::Gap { hello, gap }) => {
            let v = version_gap(&hello, &gap);
            Failure::new(
                Exit::VersionGap,
                format!(
                    "Cannot talk to {} (pid {}): it speaks protocol {}, I speak {}.\n  app  {}     console  {}",
                    safe(&v.app),
                    v.pid,
                    v.app_protocol,
                    v.console_protocol,
                    safe(&v.app_version),
                    v.console_version
                ),
                format!("Fix: {}", safe(&v.fix)),
            )
        }
        NotThere::Trouble(trouble) => Failure::new(
            Exit::NoApp,
            format!(
                "Cannot connect to {target}: {}.",
                safe(told_once(&target.to_string(), &trouble.to_string()))
            ),
            format!(
                "{}`loop-console ps` lists the apps that answer.",
                left(target)
            ),
        ),
    }
}

/// What to open in the stead of an app that does not answer, a line of its own; empty: it left nothing.
fn left(target: &Target) -> String {
    let (found, _) = recording::find::all(&Places::here());
    let is_meant = |one: &recording::find::Found| match target {
        Target::Pid(pid) => one.is_of(*pid),
        Target::Name(name) => one.head.name == *name,
        _ => false,
    };
    match found.iter().find(|one| is_meant(one)) {
        Some(one) => format!(
            "What it recorded can be seen without it: loop-console open {}\n",
            one.pid()
        ),
        None => String::new(),
    }
}

/// A reason without the addresses before it that the target has said already: each layer puts its own there.
fn told_once<'a>(target: &str, why: &'a str) -> &'a str {
    match why.split_once(": ") {
        Some((address, rest)) if target.ends_with(address) => told_once(target, rest),
        _ => why,
    }
}

fn nobody(target: &Target, looked: &[Looked]) -> Failure {
    let what = match target {
        Target::Only => "No running app found.".to_owned(),
        _ => format!("No running app found that is {target}."),
    };
    let mut lines = vec![what];
    lines.extend(Looked::lines(looked));
    let mut next = left(target);
    if let Target::Name(name) = target
        && next.is_empty()
        && let Some(command) = crate::cli::meant_command(name)
    {
        next = format!("Did you mean the command `{command}`?\n");
    }
    next.push_str(
        "An app built on loop-runtime shows itself while it is in loop_runtime::run();\nLOOP_CONSOLE=on turns that on where it is off, in tests for instance.",
    );
    Failure::new(Exit::NoApp, lines.join("\n"), next)
}

/// The token for TCP, from the environment or the file that it names. Never from an argument: others can read those.
fn token() -> Result<Option<String>, String> {
    if let Some(token) = std::env::var_os("LOOP_CONSOLE_TOKEN").filter(|t| !t.is_empty()) {
        return token
            .into_string()
            .map(Some)
            .map_err(|_| "LOOP_CONSOLE_TOKEN is no text".to_owned());
    }
    let Some(file) = std::env::var_os("LOOP_CONSOLE_TOKEN_FILE").filter(|f| !f.is_empty()) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) => Err(format!(
            "the token in {} cannot be read: {error}",
            PathBuf::from(file).display()
        )),
    }
}

/// A path that fits into a socket's address: a long one goes through its directory's descriptor.
struct Short {
    path: PathBuf,
    _directory: Option<std::fs::File>,
}

impl Short {
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        if path.as_os_str().len() <= MAX_PATH {
            return Ok(Short {
                path: path.to_owned(),
                _directory: None,
            });
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no path of a socket",
            ));
        };
        let directory = std::fs::File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Short {
            path,
            _directory: Some(directory),
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests;
