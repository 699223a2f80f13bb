//! The doors of the inspector, and what its thread does besides serving: the beat of a second, and
//! the walks for findings.

use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use loop_proto::endpoint::Note;
use loop_proto::pb;

use super::Status;
use super::auth::{self, Role, Tokens};
use super::limits::{Access, Gauges, Peer, Place, Who, serve as serve_connection};
use super::service::{Inspect, spawn};
use super::shared::Shared;
use crate::clock;
use crate::inspect::history::UNASKED_MS;
use crate::inspect::tables::Look;
use crate::inspect::view::CHUNKS;
use crate::net::{TcpListener, TcpStream};
#[cfg(unix)]
use crate::net::{UnixListener, UnixStream};
use crate::spawn::yield_now;
use crate::time::sleep;

#[cfg(unix)]
pub(crate) use super::endpoint::Files;
/// Without unix sockets there are only the tokens' files; removed with it.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Files {
    tokens: [std::path::PathBuf; 2],
}

#[cfg(not(unix))]
impl Drop for Files {
    fn drop(&mut self) {
        // Gone already, or its directory is: either way it is not there.
        for token in &self.tokens {
            let _ = std::fs::remove_file(token);
        }
    }
}

/// What the thread opens its doors with.
#[derive(Default)]
pub(crate) struct Doors {
    #[cfg(unix)]
    unix: Option<std::os::unix::net::UnixListener>,
    tcp: Option<(std::net::TcpListener, Tokens)>,
    #[cfg(unix)]
    gate: Option<std::os::unix::net::UnixStream>,
}

#[cfg(all(test, unix))]
impl Doors {
    pub(crate) fn unix(listener: std::os::unix::net::UnixListener) -> Self {
        Self {
            unix: Some(listener),
            ..Self::default()
        }
    }

    pub(crate) fn gate(stream: std::os::unix::net::UnixStream) -> Self {
        Self {
            gate: Some(stream),
            ..Self::default()
        }
    }
}

/// After a connection could not be taken, the next try comes this much later.
const REST: Duration = Duration::from_secs(1);

type Opened = (Doors, Option<Files>, Status);

/// Opens the endpoint, and the TCP port if one is wanted. Errors: why there is none.
#[cfg(unix)]
pub(crate) fn open(note: &Note<'_>, tcp: Option<SocketAddr>) -> Result<Opened, String> {
    use super::endpoint;
    let start = endpoint::start_of_process();
    let (tcp, tcp_error) = match tcp.map(open_tcp).transpose() {
        Ok(tcp) => (tcp, None),
        Err(error) => {
            tracing::warn!(%error, "the inspector does not listen on TCP");
            (None, Some(error))
        }
    };
    let address = tcp
        .as_ref()
        .map(|(_, _, address)| address.to_string())
        .unwrap_or_default();
    let note = Note {
        tcp: &address,
        ..note.clone()
    };
    let opened = endpoint::open(|name| std::env::var_os(name), start, &note);
    let (unix, mut files) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return Err(match tcp_error {
                Some(tcp) => format!("{error}; {tcp}"),
                None => error,
            });
        }
    };
    let mut doors = Doors {
        unix: Some(unix),
        ..Doors::default()
    };
    let mut shown = None;
    let mut no_tcp = tcp_error;
    if let Some((listener, tokens, address)) = tcp {
        let path = files.socket().with_extension("token");
        let control = Tokens::control_beside(&path);
        let written = tokens.observe.write(&path).and_then(|()| {
            files.add(path.clone());
            tokens.control.write(&control)
        });
        match written {
            Ok(()) => {
                files.add(control);
                doors.tcp = Some((listener, tokens));
                shown = Some((address, path));
            }
            Err(error) => {
                let error = format!(
                    "its token could not be written: {}: {error}",
                    path.display()
                );
                tracing::warn!(%error, "the inspector does not listen on TCP");
                no_tcp = Some(error);
            }
        }
    }
    let status = Status::Listening {
        socket: Some(files.socket().to_owned()),
        tcp: shown,
        no_tcp,
    };
    Ok((doors, Some(files), status))
}

/// Opens a port of this machine for those who show the token in its file: there are no sockets
/// that only this user could open. The file lies in the user's own directory for temporary files.
#[cfg(not(unix))]
pub(crate) fn open(note: &Note<'_>, tcp: Option<SocketAddr>) -> Result<Opened, String> {
    let address = tcp.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let (listener, tokens, address) = open_tcp(address)?;
    let path = std::env::temp_dir().join(format!("loop-console-{}.token", note.pid));
    let control = Tokens::control_beside(&path);
    for (token, path) in [(&tokens.observe, &path), (&tokens.control, &control)] {
        token
            .write(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let doors = Doors {
        tcp: Some((listener, tokens)),
    };
    let files = Files {
        tokens: [path.clone(), control],
    };
    let status = Status::Listening {
        socket: None,
        tcp: Some((address, path)),
        no_tcp: None,
    };
    Ok((doors, Some(files), status))
}

fn open_tcp(address: SocketAddr) -> Result<(std::net::TcpListener, Tokens, SocketAddr), String> {
    auth::may_listen(address)?;
    let tokens = Tokens::new().map_err(|error| format!("no token could be made: {error}"))?;
    let listener = std::net::TcpListener::bind(address)
        .and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = listener.map_err(|error| format!("{address}: {error}"))?;
    Ok((listener, tokens, address))
}

/// Calls the gate that listens at `path`. Errors: nobody does.
#[cfg(unix)]
pub(crate) fn call(path: &Path) -> Result<Opened, String> {
    let stream = std::os::unix::net::UnixStream::connect(path)
        .map_err(|error| format!("no gate listens at {}: {error}", path.display()))?;
    let doors = Doors {
        gate: Some(stream),
        ..Doors::default()
    };
    Ok((doors, None, Status::Connected))
}

#[cfg(not(unix))]
pub(crate) fn call(path: &Path) -> Result<Opened, String> {
    Err(format!(
        "{}: this system has no unix sockets",
        path.display()
    ))
}

/// Opens the doors, on the inspector's loop.
pub(crate) fn serve(shared: &Arc<Shared>, doors: Doors) {
    let service = Arc::new(Inspect {
        shared: shared.clone(),
    });
    #[cfg(unix)]
    {
        if let Some(listener) = doors.unix {
            match UnixListener::from_std(listener) {
                Ok(listener) => spawn(accept_unix(service.clone(), listener)),
                Err(error) => tracing::warn!(%error, "the inspector cannot listen"),
            }
        }
        if let Some(stream) = doors.gate {
            match UnixStream::from_std(stream) {
                Ok(stream) => spawn(serve_gate(service.clone(), stream)),
                Err(error) => {
                    tracing::warn!(%error, "the gate cannot be served");
                    shared.gate.close();
                }
            }
        }
    }
    if let Some((listener, tokens)) = doors.tcp {
        match TcpListener::from_std(listener) {
            Ok(listener) => spawn(accept_tcp(service, listener, tokens)),
            Err(error) => tracing::warn!(%error, "the inspector cannot listen on TCP"),
        }
    }
}

#[cfg(unix)]
async fn serve_gate(service: Arc<Inspect>, stream: UnixStream) {
    let shared = service.shared.clone();
    let peer = Arc::new(Peer::new(Role::Control, who(&stream), &shared.gauges));
    serve_connection(stream, service, Access::Unix, peer).await;
    shared.gate.close();
}

/// Who is at the other end, as far as the kernel tells.
#[cfg(unix)]
fn who(stream: &UnixStream) -> Who {
    let known = stream.peer_credentials().ok();
    Who {
        uid: known.as_ref().map(|peer| peer.uid),
        pid: known.as_ref().and_then(|peer| peer.pid),
        address: "unix".to_owned(),
    }
}

#[cfg(unix)]
async fn accept_unix(service: Arc<Inspect>, listener: UnixListener) {
    let own = auth::own_uid();
    let mut faults = Faults("the inspector's socket");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Where the kernel does not tell, the directory's permissions have to do.
                let known = stream.peer_credentials();
                if known.is_ok_and(|peer| !auth::may_talk(peer.uid, own)) {
                    continue;
                }
                let who = who(&stream);
                admit(&service, stream, Access::Unix, (Role::Control, who));
            }
            Err(error) => faults.rest(&error).await,
        }
    }
}

async fn accept_tcp(service: Arc<Inspect>, listener: TcpListener, tokens: Tokens) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let mut faults = Faults("the inspector's port");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let stream: TcpStream = stream;
                let tokens = tokens.clone();
                let who = Who {
                    address: address.to_string(),
                    ..Who::default()
                };
                // What it may do is known by the token that its calls show.
                admit(
                    &service,
                    stream,
                    Access::Tcp { tokens, port },
                    (Role::Observe, who),
                );
            }
            Err(error) => faults.rest(&error).await,
        }
    }
}

/// What goes wrong at a door. One connection that cannot be taken is no reason to take no other:
/// the kernel may be out of memory, or of places in its poll, for a while only.
struct Faults(&'static str);

impl Faults {
    /// Tells the first, and waits before the next try.
    async fn rest(&mut self, error: &std::io::Error) {
        let door = std::mem::take(&mut self.0);
        if !door.is_empty() {
            tracing::warn!(%error, "{door} could not take a connection; it tries again each second");
        }
        sleep(REST).await;
    }
}

/// Serves a connection if there is a place for it, or somebody silent to give way; else it is
/// closed.
fn admit<S>(service: &Arc<Inspect>, stream: S, access: Access, (may, who): (Role, Who))
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + 'static,
{
    let gauges = service.shared.gauges.clone();
    let place = Place::take(&gauges);
    if place.is_none() && !gauges.end_silent() {
        return;
    }
    let peer = Arc::new(Peer::new(may, who, &gauges));
    gauges.wait_for(&peer);
    let service = service.clone();
    spawn(async move {
        let place = match place {
            Some(place) => Some(place),
            // Who gives way is awake already, and ends in this turn of the loop or the next.
            None => given_way(&gauges).await,
        };
        if place.is_some() {
            let shared = service.shared.clone();
            serve_connection(stream, service, access, peer.clone()).await;
            if peer.is_greeted() {
                shared.tell_viewer(pb::EventKind::ViewerDetached, &peer);
            }
        }
    });
}

/// The place of a connection that was told to end; `None`: somebody else has it.
async fn given_way(gauges: &Arc<Gauges>) -> Option<Place> {
    for _ in 0..8 {
        yield_now().await;
        if let Some(place) = Place::take(gauges) {
            return Some(place);
        }
    }
    None
}

/// Closes slots of time, once a second.
pub(crate) async fn beat(shared: Arc<Shared>) {
    loop {
        let beat = Duration::from_secs(1);
        let next = clock::mono() + beat.as_nanos() as u64;
        while clock::mono() < next {
            // Slots of time that are shorter than a second are a test's.
            let pause = shared.desk().judge.pause();
            sleep(pause).await;
            if pause < beat {
                let mut desk = shared.desk();
                desk.judge.note(&Look::new(false));
            }
        }
        shared.desk().second();
    }
}

/// Which blocks were told as events. A block changes more often than that, each time its stack gets
/// better or its names are found: that is told to views alone.
#[derive(Default)]
struct Told {
    begun: HashSet<u64>,
    /// The newest that ended: the names of a stack may be found long after.
    ended: BTreeSet<u64>,
}

impl Told {
    /// Ends that are remembered: more than the blocks whose stacks wait for their names.
    const ENDS: usize = 256;

    /// Whether nobody was told of this yet.
    fn is_news(&mut self, kind: pb::EventKind, block: u64) -> bool {
        if kind == pb::EventKind::LoopBlocked {
            return self.begun.insert(block);
        }
        self.begun.remove(&block);
        let is_news = self.ended.insert(block);
        if self.ended.len() > Self::ENDS {
            self.ended.pop_first();
        }
        is_news
    }
}

/// Tells viewers of blocks the moment they change.
pub(crate) async fn blocks(shared: Arc<Shared>) {
    let mut told = Told::default();
    loop {
        shared.blocked.wait().await;
        shared.blocked.take();
        {
            let mut feeds = shared.feeds();
            let desk = shared.desk();
            for event in shared.take_blocks() {
                if told.is_news(event.kind(), event.subject_id) {
                    #[cfg(unix)]
                    shared.flight.blocked(&event);
                    feeds.tell(event, &desk);
                }
            }
        }
        for target in [pb::Target::Blocks, pb::Target::Loops, pb::Target::Findings] {
            shared.push(target);
        }
        shared.record.raise();
        if shared.findings_wanted() {
            shared.urgent.raise();
        }
    }
}

/// How often the rings are emptied while polls are kept and nobody watches.
const KEEPS: Duration = Duration::from_millis(5);

/// Takes what the loops record while it is kept for those who come later.
pub(crate) async fn keep(shared: Arc<Shared>) {
    loop {
        shared.keeping.wait().await;
        shared.keeping.take();
        while shared.feeds().keeps_polls() {
            {
                let mut feeds = shared.feeds();
                let mut desk = shared.desk();
                if feeds.is_due(crate::clock::mono(), KEEPS) {
                    feeds.drain(&mut desk);
                }
            }
            sleep(KEEPS).await;
        }
    }
}

/// A walk that took so long is not made twice for what takes two: it is made again in time anyway.
const DEAR: Duration = Duration::from_millis(25);
/// A walk for findings may take this share of a CPU.
const SHARE: u32 = 50;
/// Between the two looks that make a certain verdict, and between the two walks that find what one
/// does not, such as a timer whose task is gone.
const TWICE: Duration = Duration::from_millis(20);

const UNASKED: Duration = Duration::from_millis(UNASKED_MS as u64);
/// A walk that nobody asked for may take this share of a CPU.
const UNASKED_SHARE: u32 = 200;

/// Looks for findings: often while somebody wants them, now and then for the memory of the last
/// hour when nobody does.
pub(crate) async fn judge(shared: Arc<Shared>) {
    let mut lately = 0;
    let mut rest = UNASKED;
    loop {
        if !shared.findings_wanted() {
            lately = 0;
            let mut pause = sleep(rest);
            let wanted = std::future::poll_fn(|cx| {
                if shared.urgent.poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                Pin::new(&mut pause).poll(cx).map(|()| false)
            })
            .await;
            if !wanted {
                let took = walked(&shared).await;
                rest = UNASKED.max(took * UNASKED_SHARE);
                continue;
            }
        }
        shared.urgent.take();
        let took = walked(&shared).await;
        lately = if took < DEAR { lately + 1 } else { 2 };
        let pause = if lately < 2 {
            TWICE
        } else {
            shared.desk().judge.pause().max(took * SHARE)
        };
        let mut pause = sleep(pause);
        std::future::poll_fn(|cx| {
            // The second walk comes by itself; after that, whoever is in a hurry may have one.
            if lately >= 2 && shared.urgent.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            Pin::new(&mut pause).poll(cx)
        })
        .await;
    }
}

/// A walk, or what is left of one that panics: who waits for it has what was found before, with
/// the loss told, and the next one tries anew. Findings are not all that the inspector is for.
async fn walked(shared: &Arc<Shared>) -> Duration {
    let mut walk = std::pin::pin!(walk(shared));
    let whole = std::future::poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| walk.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    });
    if let Some(took) = whole.await {
        return took;
    }
    shared.desk().judge.failed += 1;
    shared.round_done(false);
    Duration::ZERO
}

/// One walk; the CPU time it took.
async fn walk(shared: &Arc<Shared>) -> Duration {
    let cpu = || crate::os::thread::cpu_time(crate::os::thread_id()).unwrap_or(0);
    shared.round_begins();
    let mut walk = shared.desk().judge.begin(Look::new(false));
    let mut took = 0;
    loop {
        let before = cpu();
        let done = shared.desk().judge.step(&mut walk, CHUNKS);
        took += cpu().saturating_sub(before);
        if done {
            break;
        }
        yield_now().await;
    }
    let before = cpu();
    let doubts = shared.desk().judge.doubts(&mut walk);
    took += cpu().saturating_sub(before);
    if doubts {
        sleep(TWICE).await;
    }
    loop {
        let before = cpu();
        let done = shared.desk().judge.again(&mut walk, CHUNKS);
        took += cpu().saturating_sub(before);
        if done {
            break;
        }
        yield_now().await;
    }
    let before = cpu();
    let news = {
        let mut desk = shared.desk();
        let blocks = desk.blocks.clone();
        desk.judge.end(walk, blocks.as_deref());
        desk.judge.took = took + cpu().saturating_sub(before);
        desk.take_news()
    };
    took += cpu().saturating_sub(before);
    if !news.is_empty() {
        #[cfg(unix)]
        shared.flight.found(&news);
        {
            let mut feeds = shared.feeds();
            feeds.tell_findings(&news, &mut shared.desk());
        }
        shared.push(pb::Target::Findings);
        shared.record.raise();
    }
    let took = Duration::from_nanos(took);
    shared.round_done(took >= DEAR);
    took
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_begins_once_and_ends_once_however_often_its_stack_gets_better() {
        let mut told = Told::default();
        let (begins, ends) = (pb::EventKind::LoopBlocked, pb::EventKind::LoopUnblocked);
        assert!(told.is_news(begins, 1) && !told.is_news(begins, 1));
        assert!(told.is_news(begins, 2));
        assert!(told.is_news(ends, 2) && told.is_news(ends, 1));
        assert!(!told.is_news(ends, 1) && !told.is_news(ends, 2));
        // One that nobody saw begin.
        assert!(told.is_news(ends, 3) && !told.is_news(ends, 3));
    }
}
