//! asyncio's server: a handler for each connection, each in a task of its own, and an end in order.
//!
//! ```text
//! start_server ─► accepts ── close ──► accepts no more ─── the last connection is shut ──► ended
//!                    └─ a task a connection: handler(reader, writer)        (wait_closed)
//! ```
//!
//! Knows listeners and streams; knows no protocol.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
#[cfg(unix)]
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::family::Family;
use super::listener::{Listener, Waits};
use super::lookup::HostPort;
use super::stream::Stream;
use super::streams::conn::{Shared, in_time};
use super::streams::transport::Transport;
use super::streams::{SocketName, StreamOptions, StreamReader, StreamWriter};
use super::tcp::ListenOptions;
use crate::context;
use crate::record::bound::{self, LoopBound};
use crate::record::resource::Kind;
use crate::spawn::Task;
use crate::sync::resource::Resource;
use crate::sync::waiters::{Ticket, Waiters};

/// What a handler of connections comes to: nothing, or a `Result` whose error is to be seen.
///
/// An error is stated as the connection task's failure and goes to the exception handler.
pub trait Handled {
    /// The error's text.
    #[doc(hidden)]
    fn failure(self) -> Option<String>;
}

impl Handled for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Display> Handled for Result<T, E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// How a server listens and what its streams are like.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// How its sockets are bound.
    pub listen: ListenOptions,
    /// What its streams are like.
    pub streams: StreamOptions,
}

impl ServerOptions {
    /// Sets [`listen`](Self::listen).
    pub fn listen(mut self, options: ListenOptions) -> Self {
        self.listen = options;
        self
    }

    /// Sets [`streams`](Self::streams).
    pub fn streams(mut self, options: StreamOptions) -> Self {
        self.streams = options;
        self
    }
}

/// What a connection's transport is dressed in before its handler gets it.
pub(crate) type Dress =
    Arc<dyn Fn(Box<dyn Transport>) -> io::Result<Box<dyn Transport>> + Send + Sync>;

/// A server that accepts connections and has a handler for each.
///
/// Dropping it stops accepting; open connections live on.
/// Records: a listener's row and a task `server ADDRESS` for each socket, a task `client of
/// ADDRESS #N` for each connection, spawned where the server was started.
/// Source: asyncio's `Server`.
pub struct Server {
    shared: Arc<ServerShared>,
}

struct ServerShared(LoopBound<State>);

struct State {
    /// One for each listening socket.
    doors: RefCell<Vec<Arc<dyn Door>>>,
    names: RefCell<Vec<SocketName>>,
    /// Connections that are not shut, by their number.
    clients: RefCell<BTreeMap<u64, Weak<Shared>>>,
    count: Cell<u64>,
    closed: Cell<bool>,
    waits: Waiters,
    resource: Resource,
    streams: StreamOptions,
    dress: Option<Dress>,
    place: &'static Location<'static>,
}

/// Starts a server at `address` that spawns `handler`'s future for each connection.
///
/// A name with several addresses gets a socket for each; port 0 takes a free port.
/// The writer that a handler drops, or leaves behind when it ends, sends what it has buffered and
/// ends the stream.
/// Errors: of the lookup; the kernel's, with the address.
/// Source: asyncio's `start_server`.
///
/// ```
/// # loop_runtime::run(async {
/// let server = loop_runtime::net::start_server(
///     async |mut reader, writer| {
///         while let Ok(line) = reader.readline().await {
///             if line.is_empty() {
///                 return Ok(());
///             }
///             writer.write(&line)?;
///             writer.drain().await?;
///         }
///         std::io::Result::Ok(())
///     },
///     "127.0.0.1:0",
/// )
/// .await?;
/// assert_eq!(server.sockets().len(), 1);
/// server.close();
/// server.wait_closed().await;
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[track_caller]
pub fn start_server<H, R>(
    handler: H,
    address: impl Into<HostPort>,
) -> impl Future<Output = io::Result<Server>>
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Handled + 'static,
{
    start_server_with(handler, address, ServerOptions::default())
}

/// As [`start_server`], with options.
#[track_caller]
pub fn start_server_with<H, R>(
    handler: H,
    address: impl Into<HostPort>,
    options: ServerOptions,
) -> impl Future<Output = io::Result<Server>>
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Handled + 'static,
{
    Server::start(handler, address.into(), options, None, Location::caller())
}

/// Starts a server on the socket file `path`; see [`UnixListener::bind`](Listener::bind) for what
/// becomes of a file that is there, and [`start_server`] for the rest.
///
/// Source: asyncio's `start_unix_server`.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("loop-doc-server-{}", std::process::id()));
/// # loop_runtime::run(async move {
/// let hello = async |_reader, writer: loop_runtime::net::StreamWriter| writer.write(b"hello");
/// let server = loop_runtime::net::start_unix_server(hello, &path)?;
/// let (mut reader, _writer) = loop_runtime::net::open_unix_connection(&path).await?;
/// assert_eq!(reader.read_to_end().await?, b"hello");
/// drop(server);
/// assert!(!path.exists());
/// # std::io::Result::Ok(())
/// # }).unwrap().unwrap();
/// ```
#[cfg(unix)]
#[track_caller]
pub fn start_unix_server<H, R>(handler: H, path: impl AsRef<Path>) -> io::Result<Server>
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Handled + 'static,
{
    let listener = Listener::<super::Unix>::bind(path)?;
    Server::over(listener, handler, StreamOptions::default())
}

impl Server {
    /// A server on a listener that exists.
    ///
    /// Errors: it belongs to another loop.
    #[track_caller]
    pub fn over<F, H, R>(
        listener: Listener<F>,
        handler: H,
        streams: StreamOptions,
    ) -> io::Result<Self>
    where
        F: Family,
        H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
        R: Handled + 'static,
    {
        let server = Self::new(streams, None, Location::caller())?;
        server.open(listener, Rc::new(handler))?;
        Ok(server)
    }

    pub(super) async fn start<H, R>(
        handler: H,
        address: HostPort,
        options: ServerOptions,
        dress: Option<Dress>,
        place: &'static Location<'static>,
    ) -> io::Result<Self>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
        R: Handled + 'static,
    {
        let server = Self::new(options.streams, dress, place)?;
        let handler = Rc::new(handler);
        let mut absent = None;
        for address in address.addresses().await? {
            match Listener::bind_at(address, options.listen, place) {
                Ok(listener) => server.open(listener, handler.clone())?,
                // `localhost` has an IPv6 address where the system may have no IPv6.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    absent = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match absent {
            Some(error) if server.sockets().is_empty() => Err(error),
            _ => Ok(server),
        }
    }

    fn new(
        streams: StreamOptions,
        dress: Option<Dress>,
        place: &'static Location<'static>,
    ) -> io::Result<Self> {
        let shared = context::with(|organs| {
            let state = State {
                doors: RefCell::default(),
                names: RefCell::default(),
                clients: RefCell::default(),
                count: Cell::new(0),
                closed: Cell::new(false),
                waits: Waiters::new(),
                resource: Resource::new(organs, Kind::Event, "server", place),
                streams,
                dress,
                place,
            };
            ServerShared(LoopBound::new(organs.record.id, state))
        });
        let shared = Arc::new(shared.map_err(io::Error::other)?);
        Ok(Self { shared })
    }

    /// Accepts on one more listener.
    fn open<F, H, R>(&self, listener: Listener<F>, handler: Rc<H>) -> io::Result<()>
    where
        F: Family,
        H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
        R: Handled + 'static,
    {
        let state = self.shared.get()?;
        let name = F::name(&listener.local_addr()?);
        let here = HereDoor {
            listener: RefCell::new(Some(listener)),
            closing: Cell::new(false),
        };
        let door = Arc::new(OneDoor(LoopBound::new(self.shared.0.made_on(), here)));
        state.doors.borrow_mut().push(door.clone());
        let accept = accept_all(door, Arc::downgrade(&self.shared), handler, name.clone());
        Task::<()>::builder()
            .name(&format!("server {name}"))
            .allow_forever()
            .spawn_at(accept, state.place)
            .detach();
        state.names.borrow_mut().push(name);
        Ok(())
    }

    /// The names of the sockets on which it accepts; none once it is closed, or on another loop.
    pub fn sockets(&self) -> Vec<SocketName> {
        match self.shared.get() {
            Ok(state) if !state.closed.get() => state.names.borrow().clone(),
            _ => Vec::new(),
        }
    }

    /// Whether it accepts connections.
    pub fn is_serving(&self) -> bool {
        self.shared.get().is_ok_and(|state| !state.closed.get())
    }

    /// How many connections are open; 0 on another loop.
    pub fn connections(&self) -> usize {
        let state = self.shared.get();
        state.map_or(0, |state| state.clients.borrow().len())
    }

    /// Stops accepting: its sockets are closed when this returns. Open connections live on.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Closes all open connections, each after what its writer has buffered.
    pub fn close_clients(&self) {
        self.each_client(Shared::close);
    }

    /// Closes all open connections now, whatever is buffered.
    pub fn abort_clients(&self) {
        self.each_client(Shared::abort);
    }

    fn each_client(&self, f: fn(&Arc<Shared>)) {
        let Ok(state) = self.shared.get() else { return };
        // Copied, since each takes itself off the list.
        let clients: Vec<_> = state.clients.borrow().values().cloned().collect();
        for client in clients.iter().filter_map(Weak::upgrade) {
            f(&client);
        }
    }

    /// Waits until the server is closed and its last connection is shut, in either order.
    pub fn wait_closed(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Waiting {
            shared: &self.shared,
            ticket: Ticket::default(),
            until: State::has_ended,
            closes: false,
        }
    }

    /// Serves until `close`.
    ///
    /// Cancel: closes the server; its connections live on.
    pub fn serve_forever(&self) -> impl Future<Output = ()> + Send + Unpin + '_ {
        Waiting {
            shared: &self.shared,
            ticket: Ticket::default(),
            until: |state| state.closed.get(),
            closes: true,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl ServerShared {
    fn get(&self) -> io::Result<&State> {
        self.0.get().map_err(io::Error::other)
    }

    fn close(self: &Arc<Self>) {
        match self.get() {
            Ok(state) => state.close(),
            Err(_) => {
                let shared = self.clone();
                let errand = move || {
                    if let Ok(state) = shared.get() {
                        state.close();
                    }
                };
                // A closed loop accepts nothing.
                let _ = bound::send(self.0.made_on(), Box::new(errand));
            }
        }
    }

    /// Hands a connection to the handler, in a task of its own.
    fn serve<F, H, R>(
        self: &Arc<Self>,
        stream: Stream<F>,
        handler: Rc<H>,
        name: &SocketName,
    ) -> io::Result<()>
    where
        F: Family,
        H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
        R: Handled + 'static,
    {
        let state = self.get()?;
        let number = state.count.get() + 1;
        state.count.set(number);
        F::prepare(stream.io().get()?);
        let mut transport: Box<dyn Transport> = Box::new(stream);
        let dressed = state.dress.is_some();
        if let Some(dress) = &state.dress {
            transport = dress(transport)?;
        }
        let client = Shared::new(transport, state.streams.high_water)?;
        let guest = Guest {
            server: self.clone(),
            number,
        };
        state
            .clients
            .borrow_mut()
            .insert(number, client.downgrade());
        client.keep(Box::new(guest))?;
        let (reader, writer) = state.streams.halves_of(client.clone());
        let serve = async move {
            if dressed && let Err(error) = in_time(client.opened()).await {
                // Everyday where anybody may knock; told to who looks for it.
                tracing::debug!(peer = ?writer.peer(), %error, "a handshake failed");
                return;
            }
            drop(client);
            if let Some(text) = handler(reader, writer).await.failure() {
                // The loop is there: it is what polls this.
                let _ = context::with(|organs| organs.executor.state_failure(text));
            }
        };
        Task::<()>::builder()
            .name(&format!("client of {name} #"))
            .number(number as u32)
            .spawn_at(serve, state.place)
            .detach();
        Ok(())
    }
}

impl State {
    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        for door in self.doors.take() {
            door.shut();
        }
        self.wake();
    }

    fn has_ended(&self) -> bool {
        self.closed.get() && self.clients.borrow().is_empty()
    }

    /// Something changed: who waits looks again.
    fn wake(&self) {
        self.waits.grant_all(|_| 0);
    }
}

/// A connection's entry in its server's list; struck off when the connection is shut.
struct Guest {
    server: Arc<ServerShared>,
    number: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A connection is dropped on its loop, or after it.
        if let Ok(state) = self.server.get() {
            state.clients.borrow_mut().remove(&self.number);
            if state.has_ended() {
                state.wake();
            }
        }
    }
}

/// A listening socket that may be closed while somebody waits on it.
trait Door: Send + Sync {
    fn shut(&self);
}

struct OneDoor<F: Family>(LoopBound<HereDoor<F>>);

struct HereDoor<F: Family> {
    listener: RefCell<Option<Listener<F>>>,
    closing: Cell<bool>,
}

impl<F: Family> Door for OneDoor<F> {
    fn shut(&self) {
        if let Ok(here) = self.0.get() {
            here.closing.set(true);
            // Borrowed only within an accept, which looks at `closing` afterwards.
            if let Ok(mut listener) = here.listener.try_borrow_mut() {
                let listener = listener.take();
                drop(listener);
            }
        }
    }
}

/// Accepts the next connection; `None` once the door is shut.
struct AcceptAt<F: Family> {
    door: Arc<OneDoor<F>>,
    waits: Waits,
}

impl<F: Family> Unpin for AcceptAt<F> {}

impl<F: Family> Future for AcceptAt<F> {
    type Output = Option<io::Result<Stream<F>>>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = Location::caller();
        let this = self.get_mut();
        let here = match this.door.0.get() {
            Ok(here) => here,
            Err(wrong) => return Poll::Ready(Some(Err(io::Error::other(wrong)))),
        };
        let listener = here.listener.borrow();
        let polled = match &*listener {
            Some(open) => open.poll_accept(&mut this.waits, cx, place),
            None => return Poll::Ready(None),
        };
        drop(listener);
        if here.closing.get() {
            this.door.shut();
            return Poll::Ready(None);
        }
        polled.map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

impl<F: Family> Drop for AcceptAt<F> {
    fn drop(&mut self) {
        if let Ok(here) = self.door.0.get()
            && let Some(listener) = &*here.listener.borrow()
        {
            listener.forget(&mut self.waits);
        }
        self.waits.stop_resting();
    }
}

async fn accept_all<F, H, R>(
    door: Arc<OneDoor<F>>,
    server: Weak<ServerShared>,
    handler: Rc<H>,
    name: SocketName,
) where
    F: Family,
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Handled + 'static,
{
    let mut accept = AcceptAt {
        door,
        waits: Waits::default(),
    };
    while let Some(accepted) = (&mut accept).await {
        let Some(server) = server.upgrade() else {
            return;
        };
        let served = accepted.and_then(|stream| server.serve(stream, handler.clone(), &name));
        if let Err(error) = served {
            tracing::error!(server = %name, %error, "a server cannot accept any more, and closes");
            server.close();
        }
    }
}

/// Waits until the server is as far as `until` says.
#[must_use = "futures do nothing unless awaited"]
struct Waiting<'a> {
    shared: &'a Arc<ServerShared>,
    ticket: Ticket,
    until: fn(&State) -> bool,
    /// Closes the server if it is dropped before.
    closes: bool,
}

impl Future for Waiting<'_> {
    type Output = ();

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let place = Location::caller();
        let this = self.get_mut();
        let state = match this.shared.get() {
            Ok(state) => state,
            Err(error) => panic!("{error}"),
        };
        loop {
            if (this.until)(state) {
                state.waits.leave(&mut this.ticket);
                this.closes = false;
                return Poll::Ready(());
            }
            let on = state.resource.on();
            if state
                .waits
                .poll(&mut this.ticket, 0, on, place, cx)
                .is_pending()
            {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Ok(state) = self.shared.get() {
            state.waits.leave(&mut self.ticket);
        }
        if self.closes {
            self.shared.close();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("sockets", &self.sockets())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
