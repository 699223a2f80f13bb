//! One request: a task of its own, which its connection awaits and takes down with it.
//!
//! Knows neither routes nor sockets.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{BoxError, naming};
use crate::spawn::{JoinError, Task};

/// Where tasks of this server come from, and what they are called.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) names: bool,
    pub(super) place: &'static Location<'static>,
}

/// Who sent a request: the address at the other end of its connection.
///
/// As axum's, which needs tokio. In the extensions of every request, and an axum extractor.
///
/// ```no_run
/// # use loop_runtime::web::{ConnectInfo, run_app};
/// # use axum::{Router, routing::get};
/// async fn whoami(ConnectInfo(address): ConnectInfo) -> String {
///     format!("you are {address}")
/// }
/// run_app(Router::new().route("/whoami", get(whoami))).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectInfo(pub SocketAddr);

impl<S: Sync> FromRequestParts<S> for ConnectInfo {
    /// The request did not come through `web`.
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts
            .extensions
            .get()
            .copied()
            .ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The requests of one connection.
pub(super) struct Requests<S> {
    pub(super) service: S,
    pub(super) peer: SocketAddr,
    pub(super) origin: Origin,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
{
    type Response = Response<Reply<B>>;
    type Error = Infallible;
    type Future = InFlight<B, S::Error>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let name = if self.origin.names {
            naming::unmatched(request.method())
        } else {
            "request"
        };
        let answer = answer(self.service.clone(), request);
        InFlight {
            task: Task::<()>::builder()
                .name(name)
                .spawn_at(answer, self.origin.place),
        }
    }
}

async fn answer<S>(mut service: S, request: Request<Incoming>) -> Result<S::Response, S::Error>
where
    S: Service<Request<Incoming>>,
{
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

/// A request whose answer is awaited; dropped with its connection, which cancels its task.
pub(super) struct InFlight<B, E> {
    task: Task<Result<Response<B>, E>>,
}

impl<B, E: Into<BoxError>> Future for InFlight<B, E> {
    type Output = Result<Response<Reply<B>>, Infallible>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let status = match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(Ok(response)) => return Poll::Ready(Ok(response.map(|body| Reply::App { body }))),
            Ok(Err(error)) => {
                let error = error.into();
                tracing::error!(task = %self.task.id(), error, "a service failed; its client gets 500");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Err(JoinError::Panicked(panic)) => {
                tracing::error!(task = %self.task.id(), panic = panic.text(), "a handler panicked; its client gets 500");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Err(error) => {
                tracing::warn!(task = %self.task.id(), %error, "a request was cancelled; its client gets 503");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let mut response = Response::new(Reply::Empty);
        *response.status_mut() = status;
        Poll::Ready(Ok(response))
    }
}

impl<B, E> Drop for InFlight<B, E> {
    fn drop(&mut self) {
        self.task.cancel();
    }
}

pin_project! {
    /// The service's body, or none where the service gave no answer.
    #[project = ReplyPin]
    pub(super) enum Reply<B> {
        App { #[pin] body: B },
        Empty,
    }
}

impl<B: Body> Body for Reply<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project() {
            ReplyPin::App { body } => body.poll_frame(cx),
            ReplyPin::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::App { body } => body.is_end_stream(),
            Reply::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::App { body } => body.size_hint(),
            Reply::Empty => SizeHint::with_exact(0),
        }
    }
}
