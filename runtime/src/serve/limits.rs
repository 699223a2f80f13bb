//! What a client may cost: connections, streams, header and message sizes, time. And who is not
//! let in at all: browsers, foreign authorities, calls without their token. Knows no answer.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use http::{HeaderMap, Request, Response};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use loop_proto::endpoint::AUTHORITY;
use loop_proto::message::MAX_REQUEST_BYTES;
use loop_proto::pb;
use loop_proto::pb::inspect_server::InspectServer;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service as _;

use super::auth::{Role, Tokens};
use super::service::Inspect;
use super::signal::Signal;
use crate::io::{HyperExecutor, HyperTimer};
use crate::time::{Sleep, sleep};

/// Clients at a time.
pub(crate) const CONNECTIONS: u32 = 8;
const STREAMS: u32 = 16;
/// Streams of events of one client: each event is looked at for each of them.
const FEEDS: u32 = 4;
const HEADERS: u32 = 16 << 10;
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 1024;
/// Bytes a stream may have on their way out; sixteen of them, and the messages behind them, stay
/// below 8 MiB.
const SEND_BUFFER: usize = 128 << 10;
/// No message is larger: what is behind a slow client is that small too.
pub(crate) const MESSAGE: usize = 128 << 10;
const HANDSHAKE: Duration = Duration::from_secs(5);
const PING_EACH: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(50);
/// A client that takes nothing for so long is let go, as is one that does not answer. Not after half
/// of it: whoever stops a console for thirty seconds goes on with the same streams and is told what
/// it missed, which one that attaches anew cannot be. Meanwhile it costs one message, no more.
pub(crate) const PROGRESS: Duration = Duration::from_secs(60);

/// What is counted over all connections.
#[derive(Default)]
pub(crate) struct Gauges {
    connections: AtomicU32,
    /// Connections that have not made a call yet, the oldest first.
    silent: Mutex<Vec<Weak<Peer>>>,
    /// Connections that said Hello, the oldest first.
    attached: Mutex<Vec<Weak<Peer>>>,
    /// Connections there ever were.
    numbers: AtomicU64,
    pub(crate) viewers: AtomicU32,
    /// Streams of events of all connections.
    pub(crate) feeds: AtomicU32,
    pub(crate) bytes_sent: AtomicU64,
}

/// One of the places for connections; given back when dropped.
pub(crate) struct Place(Arc<Gauges>);

impl Place {
    /// `None`: all are taken.
    pub(crate) fn take(gauges: &Arc<Gauges>) -> Option<Self> {
        gauges
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < CONNECTIONS).then_some(taken + 1)
            })
            .ok()
            .map(|_| Self(gauges.clone()))
    }
}

impl Gauges {
    fn silent(&self) -> MutexGuard<'_, Vec<Weak<Peer>>> {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|peer| peer.upgrade().is_some_and(|peer| !peer.asked.is_raised()));
        silent
    }

    /// Who is attached.
    pub(crate) fn attached(&self) -> Vec<pb::Viewer> {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.retain(|peer| peer.strong_count() > 0);
        let peers: Vec<_> = attached.iter().filter_map(Weak::upgrade).collect();
        // Before the last of them goes, which takes this lock.
        drop(attached);
        peers.iter().map(|peer| peer.viewer()).collect()
    }

    /// One more connection that has not made a call yet.
    pub(crate) fn wait_for(&self, peer: &Arc<Peer>) {
        self.silent().push(Arc::downgrade(peer));
    }

    /// Ends the connection that has kept silent for longest, for one that may have something to
    /// ask. False: all have asked.
    pub(crate) fn end_silent(&self) -> bool {
        let mut silent = self.silent();
        let oldest = (!silent.is_empty()).then(|| silent.remove(0));
        let oldest = oldest.and_then(|peer| peer.upgrade());
        if let Some(peer) = &oldest {
            peer.doomed.raise();
        }
        oldest.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who connected, as far as the kernel tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    pub(crate) uid: Option<u32>,
    pub(crate) pid: Option<u32>,
    /// `unix`, or a TCP address.
    pub(crate) address: String,
}

/// Bytes of a client's own name that are kept.
const CLIENT_BYTES: usize = 96;

/// What is known of one connection, by all its calls.
pub(crate) struct Peer {
    number: u64,
    who: Who,
    /// What it says that it is.
    client: Mutex<String>,
    /// What it may do if it asks for it.
    may: AtomicU8,
    /// What it asked for and got.
    role: AtomicU8,
    /// It said Hello and is counted among the viewers.
    greeted: AtomicU8,
    /// It has made a call.
    pub(crate) asked: Signal,
    /// Its streams of events.
    feeds: AtomicU32,
    /// The connection is to end.
    pub(crate) doomed: Signal,
    gauges: Arc<Gauges>,
}

impl Peer {
    /// `may`: what it may do, once it asks for it by name.
    pub(crate) fn new(may: Role, who: Who, gauges: &Arc<Gauges>) -> Self {
        Self {
            number: gauges.numbers.fetch_add(1, Ordering::Relaxed) + 1,
            who,
            client: Mutex::default(),
            may: AtomicU8::new(may as u8),
            role: AtomicU8::new(Role::Observe as u8),
            greeted: AtomicU8::new(0),
            asked: Signal::default(),
            feeds: AtomicU32::new(0),
            doomed: Signal::default(),
            gauges: gauges.clone(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        Role::from_raw(self.role.load(Ordering::Relaxed))
    }

    /// It showed what allows it this.
    fn allow(&self, role: Role) {
        self.may.fetch_max(role as u8, Ordering::Relaxed);
    }

    /// Says Hello: what it is, and what it asks to be let do. It gets as much of that as it may.
    pub(crate) fn introduce(&self, client: &str, asked: Role) -> Role {
        let cut = client.floor_char_boundary(CLIENT_BYTES.min(client.len()));
        let mut name = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client[..cut].clone_into(&mut name);
        let got = (asked as u8).min(self.may.load(Ordering::Relaxed));
        self.role.store(got, Ordering::Relaxed);
        Role::from_raw(got)
    }

    /// Why it may not command; empty: it may.
    pub(crate) fn why_not(&self) -> &'static str {
        if self.role() == Role::Control {
            ""
        } else if Role::from_raw(self.may.load(Ordering::Relaxed)) == Role::Control {
            "this viewer only looks: it has not asked for the role control (loop-console --control)"
        } else {
            "the token that was shown only lets look: show the one in the file beside it that ends in \
             .control-token"
        }
    }

    /// Who it is, for the log of events and the list of viewers.
    pub(crate) fn viewer(&self) -> pb::Viewer {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        pb::Viewer {
            number: self.number,
            client: client.clone(),
            uid: self.who.uid,
            pid: self.who.pid,
            address: self.who.address.clone(),
            controls: self.role() == Role::Control,
        }
    }

    /// Whether it said Hello.
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed) == 1
    }

    /// One more stream of events begins. Errors: it has as many as it may have.
    pub(crate) fn begin_feed(&self) -> Result<(), Status> {
        self.feeds
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |feeds| {
                (feeds < FEEDS).then_some(feeds + 1)
            })
            .map(|_| _ = self.gauges.feeds.fetch_add(1, Ordering::Relaxed))
            .map_err(|feeds| {
                Status::resource_exhausted(format!(
                    "this client has {feeds} streams of events already; end one first"
                ))
            })
    }

    /// A stream of events is over.
    pub(crate) fn end_feed(&self) {
        self.feeds.fetch_sub(1, Ordering::Relaxed);
        self.gauges.feeds.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts it among the viewers, once. Tells whether it was new.
    pub(crate) fn greet(self: &Arc<Self>) -> bool {
        let new = self.greeted.swap(1, Ordering::Relaxed) == 0;
        if new {
            self.gauges.viewers.fetch_add(1, Ordering::Relaxed);
            let mut attached = self
                .gauges
                .attached
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            attached.retain(|peer| peer.strong_count() > 0);
            attached.push(Arc::downgrade(self));
        }
        new
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if *self.greeted.get_mut() == 1 {
            self.gauges.viewers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What every call of a connection has to pass.
#[derive(Clone)]
pub(crate) enum Access {
    /// The kernel told who is there.
    #[cfg_attr(not(unix), allow(dead_code))]
    Unix,
    /// It must show a token, and mean this port.
    Tcp { tokens: Tokens, port: u16 },
}

impl Access {
    /// What the caller may do, if it asks for it. Errors: it is not let in.
    fn admits(&self, authority: Option<&str>, headers: &HeaderMap) -> Result<Role, Status> {
        if headers.contains_key(http::header::ORIGIN) {
            return Err(Status::permission_denied(
                "calls from web pages are refused",
            ));
        }
        let authority = authority.unwrap_or("");
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let known = match self {
            Access::Unix => authority == AUTHORITY || authority == "localhost",
            Access::Tcp { port, .. } => {
                matches!(host, "localhost" | "127.0.0.1" | "[::1]")
                    && authority.ends_with(&format!(":{port}"))
            }
        };
        if !known {
            return Err(Status::permission_denied(
                "the authority of the call is not this endpoint's",
            ));
        }
        match self {
            Access::Tcp { tokens, .. } => headers
                .get(http::header::AUTHORIZATION)
                .and_then(|header| tokens.role(header.as_bytes()))
                .ok_or_else(|| {
                    Status::unauthenticated(
                        "the token of this endpoint is needed: it is in the file that the app names",
                    )
                }),
            Access::Unix => Ok(Role::Control),
        }
    }
}

/// The service as hyper calls it: nothing gets through that is not admitted.
struct Guard {
    server: InspectServer<Inspect>,
    access: Access,
    peer: Arc<Peer>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

impl hyper::service::Service<Request<Incoming>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, mut request: Request<Incoming>) -> Answer {
        self.peer.asked.raise();
        let authority = request.uri().authority().map(ToString::to_string);
        match self.access.admits(authority.as_deref(), request.headers()) {
            Ok(role) => self.peer.allow(role),
            Err(refused) => return Box::pin(std::future::ready(Ok(refused.into_http()))),
        }
        let limit = deadline(request.headers());
        request.extensions_mut().insert(self.peer.clone());
        let answer = self.server.clone().call(request);
        Box::pin(within(limit, answer))
    }
}

/// Reads `grpc-timeout`. `None`: there is none, or it is not understood.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The answer, or that its time is over; of a stream, the end when its time is over.
async fn within(
    limit: Option<Duration>,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Result<Response<Body>, Infallible> {
    let Some(limit) = limit else {
        return answer.await;
    };
    let mut over = sleep(limit);
    let mut answer = std::pin::pin!(answer);
    let response = std::future::poll_fn(|cx| {
        if let Poll::Ready(response) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        Pin::new(&mut over).poll(cx).map(|()| None)
    })
    .await;
    match response {
        Some(response) => response.map(|response| {
            response.map(|body| {
                Body::new(Timed {
                    body,
                    over: Some(over),
                })
            })
        }),
        None => Ok(too_late().into_http()),
    }
}

fn too_late() -> Status {
    Status::deadline_exceeded("the call's own deadline has passed")
}

/// A body that ends when its time is over.
struct Timed {
    body: Body,
    over: Option<Sleep>,
}

impl hyper::body::Body for Timed {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = self.get_mut();
        let Some(over) = &mut this.over else {
            return Poll::Ready(None);
        };
        if Pin::new(over).poll(cx).is_ready() {
            this.over = None;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(match too_late().add_header(&mut trailers) {
                Ok(()) => Some(Ok(Frame::trailers(trailers))),
                Err(status) => Some(Err(status)),
            });
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over.is_none() || self.body.is_end_stream()
    }
}

/// Serves one connection until it ends, is doomed, or asks nothing for too long.
pub(crate) async fn serve<S>(stream: S, service: Arc<Inspect>, access: Access, peer: Arc<Peer>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let guard = Guard {
        server: InspectServer::from_arc(service).max_decoding_message_size(MAX_REQUEST_BYTES),
        access,
        peer: peer.clone(),
    };
    let stream = Metered {
        stream,
        gauges: peer.gauges.clone(),
    };
    let mut connection = http2::Builder::new(HyperExecutor)
        .timer(HyperTimer)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EACH)
        .keep_alive_timeout(PING_LIMIT)
        .serve_connection(crate::io::HyperIo::new(stream), guard);
    let mut first = Some(sleep(HANDSHAKE));
    std::future::poll_fn(|cx| {
        // Why a connection ended is nobody's concern here: its viewer is gone either way.
        if Pin::new(&mut connection).poll(cx).is_ready() || peer.doomed.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if first.is_some() && peer.asked.is_raised() {
            first = None;
        }
        match &mut first {
            Some(limit) => Pin::new(limit).poll(cx),
            None => Poll::Pending,
        }
    })
    .await;
}

/// A stream whose sent bytes are counted.
struct Metered<S> {
    stream: S,
    gauges: Arc<Gauges>,
}

impl<S> Metered<S> {
    fn count(&self, sent: usize) {
        self.gauges
            .bytes_sent
            .fetch_add(sent as u64, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.count(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.count(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_and_nonsense_is_none() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            deadline(&headers)
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for nonsense in ["", "m", "10", "-1S", "123456789S", "1x", "1é"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn web_pages_foreign_authorities_and_calls_without_token_are_refused() {
        let tcp = Access::Tcp {
            tokens: Tokens::new().unwrap(),
            port: 7000,
        };
        let none = HeaderMap::new();
        assert!(Access::Unix.admits(Some(AUTHORITY), &none).is_ok());
        assert!(Access::Unix.admits(Some("evil.example"), &none).is_err());
        assert!(Access::Unix.admits(None, &none).is_err());
        let refused = tcp.admits(Some("127.0.0.1:7000"), &none).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        for foreign in [
            "evil.example:7000",
            "127.0.0.1:7001",
            "127.0.0.1.evil:7000",
            "7000",
        ] {
            let refused = tcp.admits(Some(foreign), &none).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{foreign}");
        }
        let mut page = HeaderMap::new();
        page.insert("origin", "https://evil.example".parse().unwrap());
        assert!(Access::Unix.admits(Some(AUTHORITY), &page).is_err());
    }

    #[test]
    fn control_has_to_be_allowed_and_asked_for() {
        let gauges = Arc::new(Gauges::default());
        let owner = Peer::new(Role::Control, Who::default(), &gauges);
        assert_eq!(owner.role(), Role::Observe, "before it asked");
        assert!(owner.why_not().contains("--control"));
        assert_eq!(owner.introduce("looks", Role::Observe), Role::Observe);
        assert_eq!(owner.introduce("commands", Role::Control), Role::Control);
        assert_eq!(owner.why_not(), "");
        assert_eq!(owner.introduce("looks", Role::Observe), Role::Observe);
        let guest = Peer::new(Role::Observe, Who::default(), &gauges);
        assert_eq!(guest.introduce("commands", Role::Control), Role::Observe);
        assert!(guest.why_not().contains("control-token"));
    }

    #[test]
    fn a_clients_own_name_is_cut_at_a_character() {
        let peer = Peer::new(Role::Observe, Who::default(), &Arc::default());
        peer.introduce(&"é".repeat(CLIENT_BYTES), Role::Observe);
        let name = peer.viewer().client;
        assert!(
            name.len() <= CLIENT_BYTES && name.chars().all(|c| c == 'é'),
            "{name}"
        );
    }

    #[test]
    fn there_are_as_many_places_as_connections_allowed() {
        let gauges = Arc::new(Gauges::default());
        let mut taken: Vec<Place> = (0..CONNECTIONS)
            .map(|_| Place::take(&gauges).unwrap())
            .collect();
        assert!(Place::take(&gauges).is_none());
        taken.pop();
        assert!(Place::take(&gauges).is_some());
    }

    #[test]
    fn who_has_kept_silent_for_longest_goes_first_and_who_asked_stays() {
        let gauges = Arc::new(Gauges::default());
        let peers: Vec<_> = (0..3)
            .map(|_| Arc::new(Peer::new(Role::Control, Who::default(), &gauges)))
            .collect();
        peers.iter().for_each(|peer| gauges.wait_for(peer));
        peers[0].asked.raise();
        let doomed = || peers.iter().map(|peer| peer.doomed.is_raised());
        assert!(gauges.end_silent());
        assert!(doomed().eq([false, true, false]));
        assert!(gauges.end_silent());
        assert!(doomed().eq([false, true, true]));
        assert!(!gauges.end_silent(), "the one that is left has asked");
    }
}
