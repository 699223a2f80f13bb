//! `Application`: aiohttp's way to say which handler serves which path, thin over axum's `Router`.
//!
//! Knows nothing of how an app is served.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{self, MethodRouter};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::{BoxError, ConnectInfo};
use crate::record::outer::outer;

/// The most bytes of a request's body that are read, as aiohttp's `client_max_size`.
const BODY: usize = 1 << 20;

/// Routes and their handlers, in the words of aiohttp; thin over an axum `Router`.
///
/// Records: what [`run_app`](super::run_app) records of any service.
/// Source: aiohttp's `web.Application`.
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
#[derive(Clone, Default)]
pub struct Application {
    routes: UrlDispatcher,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").finish_non_exhaustive()
    }
}

impl Application {
    /// An application without routes: each request gets 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// The routes, to add to them.
    pub fn router(&mut self) -> &mut UrlDispatcher {
        &mut self.routes
    }

    /// The axum router with all routes added so far, to merge it into another or to add layers.
    pub fn into_router(self) -> Router {
        self.routes.router
    }

    pub(super) fn router_mut(&mut self) -> &mut Router {
        &mut self.routes.router
    }
}

impl From<Router> for Application {
    fn from(router: Router) -> Self {
        Self {
            routes: UrlDispatcher { router },
        }
    }
}

impl<B> Service<http::Request<B>> for Application
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = <Router as Service<http::Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Router as Service<http::Request<B>>>::poll_ready(&mut self.routes.router, cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.routes.router.call(request)
    }
}

/// Which handler serves which method and path. A path may have parts in braces: `/users/{name}`.
///
/// A handler takes a [`Request`] and gives a [`Response`]; any axum handler will do as well.
///
/// Source: aiohttp's `app.router`.
///
/// ```
/// use loop_runtime::web;
///
/// let mut app = web::Application::new();
/// app.router()
///     .add_get("/users/{name}", async |request: web::Request| {
///         web::Response::text(format!("hello {}", request.match_info("name").unwrap_or("?")))
///     })
///     .add_post("/users", async |request: web::Request| match request.text().await {
///         Ok(name) => web::Response::text(name).with_status(201),
///         Err(error) => web::Response::from(error),
///     });
/// ```
#[derive(Clone, Default)]
pub struct UrlDispatcher {
    router: Router,
}

impl fmt::Debug for UrlDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlDispatcher").finish_non_exhaustive()
    }
}

impl UrlDispatcher {
    /// Has `handler` serve GET (and so HEAD) of `path`.
    ///
    /// Panics: the path does not begin with `/`, or another handler serves it already.
    pub fn add_get<T: 'static>(&mut self, path: &str, handler: impl Handler<T, ()>) -> &mut Self {
        self.route(path, routing::get(handler))
    }

    /// Has `handler` serve POST of `path`.
    ///
    /// Panics: as `add_get`.
    pub fn add_post<T: 'static>(&mut self, path: &str, handler: impl Handler<T, ()>) -> &mut Self {
        self.route(path, routing::post(handler))
    }

    /// Has `handler` serve PUT of `path`.
    ///
    /// Panics: as `add_get`.
    pub fn add_put<T: 'static>(&mut self, path: &str, handler: impl Handler<T, ()>) -> &mut Self {
        self.route(path, routing::put(handler))
    }

    /// Has `handler` serve PATCH of `path`.
    ///
    /// Panics: as `add_get`.
    pub fn add_patch<T: 'static>(&mut self, path: &str, handler: impl Handler<T, ()>) -> &mut Self {
        self.route(path, routing::patch(handler))
    }

    /// Has `handler` serve DELETE of `path`.
    ///
    /// Panics: as `add_get`.
    pub fn add_delete<T: 'static>(
        &mut self,
        path: &str,
        handler: impl Handler<T, ()>,
    ) -> &mut Self {
        self.route(path, routing::delete(handler))
    }

    /// Adds an axum method router, for whatever has no method here.
    ///
    /// Panics: as `add_get`.
    pub fn route(&mut self, path: &str, methods: MethodRouter) -> &mut Self {
        self.router = std::mem::take(&mut self.router).route(path, methods);
        self
    }
}

/// A request, as a handler gets it.
///
/// Source: aiohttp's `web.Request`.
///
/// ```
/// use loop_runtime::web;
///
/// async fn greet(request: web::Request) -> web::Response {
///     let name = request.query("name").unwrap_or_else(|| "World".to_owned());
///     web::Response::text(format!("Hello, {name}! You asked for {}.", request.path()))
/// }
/// # let mut app = web::Application::new();
/// app.router().add_get("/greet", greet);
/// ```
#[derive(Debug)]
pub struct Request {
    parts: Parts,
    body: Body,
    matched: Vec<(String, String)>,
}

impl Request {
    /// GET, POST, …
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The path that came, without the query.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// What a part of the route in braces matched, decoded.
    pub fn match_info(&self, name: &str) -> Option<&str> {
        let found = self.matched.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The last value of this name in the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let mut all = Query::<HashMap<String, String>>::try_from_uri(&self.parts.uri).ok()?;
        all.remove(name)
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The header of this name, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The address at the other end of the connection; none if the request did not come through
    /// this module.
    pub fn remote(&self) -> Option<SocketAddr> {
        let ConnectInfo(address) = self.parts.extensions.get()?;
        Some(*address)
    }

    /// Reads the body, of at most 1 MiB.
    ///
    /// Errors: it is longer, or the client went away.
    pub fn read(self) -> impl Future<Output = Result<Bytes, BodyError>> {
        outer(async move {
            let declared = self.header(header::CONTENT_LENGTH.as_str());
            if declared.and_then(|length| length.parse().ok()) > Some(BODY as u64) {
                return Err(BodyError::TooLong);
            }
            let read = axum::body::to_bytes(self.body, BODY + 1).await;
            match read {
                Ok(bytes) if bytes.len() <= BODY => Ok(bytes),
                Ok(_) => Err(BodyError::TooLong),
                Err(error) if too_long(&error) => Err(BodyError::TooLong),
                Err(error) => Err(BodyError::Broken(error.to_string())),
            }
        })
    }

    /// Reads the body as UTF-8 text.
    ///
    /// Errors: as `read`, or it is no UTF-8.
    pub fn text(self) -> impl Future<Output = Result<String, BodyError>> {
        outer(async move {
            String::from_utf8(self.read().await?.into()).map_err(|_| BodyError::NotText)
        })
    }

    /// The axum request, with its whole body unread.
    pub fn into_inner(self) -> axum::extract::Request {
        axum::extract::Request::from_parts(self.parts, self.body)
    }
}

/// Whether reading stopped at the limit: axum says so only in the error beneath.
fn too_long(error: &axum::Error) -> bool {
    let beneath = std::error::Error::source(error);
    beneath.is_some_and(|error| error.is::<http_body_util::LengthLimitError>())
}

impl<S: Send + Sync> FromRequest<S> for Request {
    type Rejection = axum::response::Response;

    async fn from_request(
        request: axum::extract::Request,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        let (mut parts, body) = request.into_parts();
        let matched = RawPathParams::from_request_parts(&mut parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let matched = matched
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(Self {
            parts,
            body,
            matched,
        })
    }
}

/// Why a request has no body to read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than 1 MiB; take it from `Request::into_inner` piece by piece.
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// The connection broke, or what came was no HTTP.
    Broken(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::TooLong => f.write_str("the body is longer than 1 MiB; send less"),
            BodyError::NotText => f.write_str("the body is not UTF-8 text"),
            BodyError::Broken(text) => write!(f, "the body did not arrive whole: {text}"),
        }
    }
}

impl std::error::Error for BodyError {}

/// An answer.
///
/// Source: aiohttp's `web.Response`.
///
/// ```
/// use loop_runtime::web::Response;
///
/// let missing = Response::text("no such user\n").with_status(404);
/// assert_eq!(missing.status(), 404);
/// let page = Response::html("<p>hello</p>").with_header("cache-control", "no-store");
/// assert_eq!(page.status(), 200);
/// ```
#[derive(Debug)]
pub struct Response {
    inner: axum::response::Response,
}

impl Response {
    /// `text/plain`, status 200.
    pub fn text(text: impl Into<String>) -> Self {
        Self::of("text/plain; charset=utf-8", text.into())
    }

    /// `text/html`, status 200.
    pub fn html(text: impl Into<String>) -> Self {
        Self::of("text/html; charset=utf-8", text.into())
    }

    /// `application/json` of text that is JSON already, status 200.
    pub fn json(text: impl Into<String>) -> Self {
        Self::of("application/json", text.into())
    }

    /// `application/octet-stream`, status 200.
    pub fn bytes(body: impl Into<Bytes>) -> Self {
        Self::of("application/octet-stream", body.into())
    }

    fn of(kind: &'static str, body: impl Into<Body>) -> Self {
        let mut inner = axum::response::Response::new(body.into());
        let kind = HeaderValue::from_static(kind);
        inner.headers_mut().insert(header::CONTENT_TYPE, kind);
        Self { inner }
    }

    /// With another status.
    ///
    /// Panics: `status` is not from 100 to 999.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        *self.inner.status_mut() = StatusCode::from_u16(status)
            .unwrap_or_else(|_| panic!("{status} is no HTTP status; those are from 100 to 999"));
        self
    }

    /// With one more header, which replaces others of its name.
    ///
    /// Panics: name or value hold what a header cannot.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name)
            .unwrap_or_else(|_| panic!("{name:?} cannot be the name of a header"));
        let value = HeaderValue::try_from(value)
            .unwrap_or_else(|_| panic!("{value:?} cannot be the value of a header"));
        self.inner.headers_mut().insert(name, value);
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> axum::response::Response {
        self.inner
    }
}

impl From<BodyError> for Response {
    /// 413 for a body that is too long, else 400, with the error's text.
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLong => 413,
            _ => 400,
        };
        Self::text(format!("{error}\n")).with_status(status)
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> axum::response::Response {
        Response::from(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Application {
        let mut app = Application::new();
        app.router()
            .add_get("/users/{name}", async |request: Request| {
                let greeting = request.query("greeting").unwrap_or_default();
                let name = request.match_info("name").unwrap_or("?").to_owned();
                Response::text(format!("{greeting} {name} {:?}", request.remote()))
            })
            .add_post("/length", async |request: Request| {
                let text = request.text().await?;
                Ok::<_, BodyError>(Response::text(text.len().to_string()).with_status(201))
            });
        app
    }

    /// Status, content type and body of the answer.
    fn ask(method: &str, uri: &str, body: Vec<u8>) -> (u16, String, String) {
        let request = http::Request::builder().method(method).uri(uri);
        let request = request.body(Body::from(body)).unwrap();
        crate::run(async move {
            let answer = app().call(request).await.unwrap();
            let kind = answer.headers().get("content-type");
            let kind = kind.map_or(String::new(), |kind| kind.to_str().unwrap().to_owned());
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), BODY).await;
            let body = String::from_utf8(body.unwrap().into()).unwrap();
            (status, kind, body)
        })
        .unwrap()
    }

    #[test]
    fn a_handler_sees_the_matched_part_and_the_query_decoded() {
        let (status, kind, body) = ask("GET", "/users/J%C3%BCrgen?greeting=hi%20there", vec![]);
        assert_eq!(status, 200);
        assert_eq!(kind, "text/plain; charset=utf-8");
        assert_eq!(body, "hi there Jürgen None");
    }

    #[test]
    fn a_path_or_method_without_a_handler_is_answered_by_the_router() {
        assert_eq!(ask("GET", "/nowhere", vec![]).0, 404);
        assert_eq!(ask("DELETE", "/length", vec![]).0, 405);
    }

    #[test]
    fn a_body_is_read_up_to_a_mebibyte_and_must_be_text() {
        assert_eq!(ask("POST", "/length", vec![b'a'; BODY]).2, BODY.to_string());
        let (status, _, body) = ask("POST", "/length", vec![b'a'; BODY + 1]);
        assert_eq!(
            (status, body.as_str()),
            (413, "the body is longer than 1 MiB; send less\n")
        );
        let (status, _, body) = ask("POST", "/length", vec![0xFF]);
        assert_eq!(
            (status, body.as_str()),
            (400, "the body is not UTF-8 text\n")
        );
    }

    #[test]
    #[should_panic(expected = "0 is no HTTP status; those are from 100 to 999")]
    fn a_status_outside_the_range_is_refused_with_the_range() {
        let _ = Response::text("").with_status(999).with_status(0);
    }
}
