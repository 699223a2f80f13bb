//! A web server: an [`Application`], an axum `Router`, or any tower service, over hyper on this loop.
//!
//! Each connection is a task, and so is each request; a request's task is named after its method
//! and the route that matched, never after the path that came, so that the names stay few. Knows
//! HTTP/1 only through hyper, and nothing of what the service does.
//!
//! Handlers are `Send`, since axum asks for it: the runtime's own types (sleeps, sockets, futures,
//! tasks) are, an `Rc` held across an `.await` is not. A service that is not axum's need not be.
//!
//! What axum has behind its feature `tokio` is not there: `axum::serve`, websockets, the keep-alive
//! of server-sent events. `ConnectInfo` is [`ConnectInfo`] here.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use crate::event_loop::RunError;
use crate::net::TcpListener;
use crate::os::open_files;
use crate::record::outer::outer;
use crate::run::Builder;
use crate::signal::{self, Signal};

mod application;
mod connection;
mod crowd;
mod naming;
mod request;
mod serving;

pub use application::{Application, BodyError, Request, Response, UrlDispatcher};
pub use request::ConnectInfo;

/// How long requests in flight may take to end after a signal; as aiohttp's `shutdown_timeout`.
const LIMIT: Duration = Duration::from_secs(60);

/// A boxed error of a service or a body.
type BoxError = Box<dyn Error + Send + Sync>;

/// Serves `service` on 127.0.0.1:8080 until SIGINT or SIGTERM, on an event loop of its own.
///
/// As [`App::run`], with the defaults.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// let app = Router::new().route("/", get(async || "Hello, World!"));
/// loop_runtime::web::run_app(app).unwrap();
/// ```
///
/// In aiohttp's words, with an [`Application`]:
///
/// ```no_run
/// use loop_runtime::web;
///
/// async fn handle(_request: web::Request) -> web::Response {
///     web::Response::text("Hello, World!")
/// }
///
/// let mut app = web::Application::new();
/// app.router().add_get("/", handle);
/// web::run_app(app).unwrap();
/// ```
#[track_caller]
pub fn run_app<S, B>(service: S) -> Result<(), ServeError>
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    App::new(service).run()
}

/// Serves `service` on `listener` until SIGINT or SIGTERM, on the loop that runs.
///
/// As [`App::serve`], with the defaults.
#[track_caller]
pub fn serve<S, B>(listener: TcpListener, service: S) -> impl Future<Output = io::Result<()>>
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    App::new(service).serve(listener)
}

/// A service and how it is served.
#[must_use = "an app is served by `run`, `serve` or `serve_until`"]
pub struct App<S> {
    service: S,
    address: SocketAddr,
    limit: Duration,
    names: bool,
    listening: Option<Box<dyn FnOnce(SocketAddr)>>,
    /// What the loops beside the first serve.
    others: Vec<Box<dyn FnOnce() -> S + Send>>,
    place: &'static Location<'static>,
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("address", &self.address)
            .field("shutdown_limit", &self.limit)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl<S, B> App<S>
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    /// An app with the defaults. `service` is cloned for each request, as an axum `Router` is
    /// meant to be.
    ///
    /// Records: connections and requests are tasks that were spawned at this place.
    #[track_caller]
    pub fn new(service: S) -> Self {
        Self {
            service,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            limit: LIMIT,
            names: true,
            listening: None,
            others: Vec::new(),
            place: Location::caller(),
        }
    }

    /// Where `run` listens; the default is 127.0.0.1:8080. Port 0 takes a free one, which
    /// `on_listening` tells.
    pub fn addr(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// How long requests in flight may take to end once the server stops; then they are
    /// cancelled. The default is 60 s.
    pub fn shutdown_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Whether a request's task is named after its method and route; the default is yes. Without,
    /// all are named `request`.
    pub fn names(mut self, on: bool) -> Self {
        self.names = on;
        self
    }

    /// Has `told` called once with the address, when the server listens.
    pub fn on_listening(mut self, told: impl FnOnce(SocketAddr) + 'static) -> Self {
        self.listening = Some(Box::new(told));
        self
    }

    /// On how many loops `run` serves, each on a thread of its own with a listener and a clone of the
    /// service; the default is one, which asks nothing of the service. The kernel spreads the
    /// connections (SO_REUSEPORT); a connection and its requests stay on their loop.
    ///
    /// Panics: no loops at all.
    ///
    /// ```no_run
    /// use axum::{Router, routing::get};
    /// let app = Router::new().route("/", get(async || "Hello, World!"));
    /// loop_runtime::web::App::new(app).loops(4).run().unwrap();
    /// ```
    pub fn loops(mut self, loops: usize) -> Self
    where
        S: Send,
    {
        assert!(
            loops > 0,
            "without a loop nothing is served; use at least 1"
        );
        self.others = (1..loops)
            .map(|_| {
                let service = self.service.clone();
                Box::new(move || service) as Box<dyn FnOnce() -> S + Send>
            })
            .collect();
        self
    }

    /// Makes an event loop and serves on it until SIGINT or SIGTERM.
    ///
    /// At the first signal it stops to accept and lets requests in flight end, for as long as
    /// `shutdown_limit`; the second ends the process at once, also while the loop is blocked.
    ///
    /// Errors: the address is in use or refused; the loop cannot be made or was stopped.
    /// Source: aiohttp's `web.run_app`.
    #[track_caller]
    pub fn run(self) -> Result<(), ServeError> {
        self.run_with(Builder::new())
    }

    /// As `run`, on a loop that `builder` makes.
    #[track_caller]
    pub fn run_with(self, builder: Builder) -> Result<(), ServeError> {
        if !self.others.is_empty() {
            return crowd::run(self, builder);
        }
        let served = builder.run(async move {
            let listener = bind(self.address)?;
            self.serve(listener).await.map_err(ServeError::Accept)
        });
        served.map_err(ServeError::Run)?
    }

    /// Serves on `listener` until SIGINT or SIGTERM; as `run` otherwise.
    ///
    /// Cancel: dropping it cancels its connections and their requests.
    pub fn serve(self, listener: TcpListener) -> impl Future<Output = io::Result<()>> {
        outer(async move {
            let mut signals = signal::first_of(&[Signal::INT, Signal::TERM])?;
            self.serve_until(listener, async move {
            match signals.came().await {
                Ok(signal) => tracing::info!(%signal, "the server stops: it accepts no more, requests in flight may end"),
                Err(error) => tracing::warn!(%error, "the server stops: it can no longer hear signals"),
            }
        })
        .await
        })
    }

    /// Serves on `listener` until `stop` is done; listens to no signal.
    ///
    /// Errors: the listener can accept no more.
    /// Cancel: dropping it cancels its connections and their requests.
    /// Records: a task per connection and per request.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use loop_runtime::{net::TcpListener, web::App};
    ///
    /// loop_runtime::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    ///     let app = Router::new().route("/", get(async || "Hello, World!"));
    ///     App::new(app).serve_until(listener, async {}).await.unwrap();
    /// })
    /// .unwrap();
    /// ```
    pub fn serve_until(
        mut self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> impl Future<Output = io::Result<()>> {
        outer(async move {
            let address = listener.local_addr()?;
            if let Some(told) = self.listening.take() {
                told(address);
            }
            let service = if self.names {
                naming::named(self.service)
            } else {
                self.service
            };
            let requests = request::Origin {
                names: self.names,
                place: self.place,
            };
            serving::serve(listener, service, requests, self.limit, stop).await
        })
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).map_err(|error| ServeError::Bind { address, error })
}

/// Why an app was not served to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// It could not listen.
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// It can accept no more connections.
    Accept(io::Error),
    /// The event loop could not be made, or ended before the server.
    Run(RunError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Bind { address, error } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "cannot listen on {address}: it is in use; stop what listens there, or choose another address"
                )
            }
            ServeError::Bind { address, error }
                if error.kind() == io::ErrorKind::PermissionDenied && address.port() < 1024 =>
            {
                write!(
                    f,
                    "cannot listen on {address}: not permitted; ports below 1024 belong to root, choose another one"
                )
            }
            ServeError::Bind { address, error }
                if error.kind() == io::ErrorKind::AddrNotAvailable =>
            {
                write!(
                    f,
                    "cannot listen on {address}: it is no address of this machine; 0.0.0.0 and [::] are all of them"
                )
            }
            ServeError::Bind { address, error } => {
                // That of a bind names the address itself, and says what to do where descriptors are
                // wanting.
                let (address, error) = (address.to_string(), error.to_string());
                match error.starts_with(&address) {
                    true => write!(f, "cannot listen on {error}"),
                    false => write!(f, "cannot listen on {address}: {error}"),
                }
            }
            ServeError::Accept(error) => match open_files::advice(error) {
                // Also of what it hears of signals with: then nothing was served.
                Some(advice) => {
                    write!(f, "the server can serve no connections: {error}; {advice}")
                }
                None => write!(
                    f,
                    "the server can accept no more connections: {error}; requests in flight were let end, start it again"
                ),
            },
            ServeError::Run(error) => error.fmt(f),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ServeError::Bind { error, .. } | ServeError::Accept(error) => Some(error),
            ServeError::Run(error) => Some(error),
        }
    }
}
