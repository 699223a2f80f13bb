//! Names of requests: method and matched route, so that they stay as few as the routes are.
//!
//! Only axum tells which route matched, and only once it routes, which the request's own task does
//! at its first poll. Until then, and for good where nothing matched, a request is `(unmatched)`.

use std::any::Any;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware;
use http::Method;

use super::Application;
use crate::record;
use crate::record::names;

/// The name of a request that no route took yet.
pub(super) fn unmatched(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET (unmatched)",
        Method::POST => "POST (unmatched)",
        Method::PUT => "PUT (unmatched)",
        Method::DELETE => "DELETE (unmatched)",
        Method::HEAD => "HEAD (unmatched)",
        Method::OPTIONS => "OPTIONS (unmatched)",
        Method::PATCH => "PATCH (unmatched)",
        Method::TRACE => "TRACE (unmatched)",
        Method::CONNECT => "CONNECT (unmatched)",
        // Whoever sends a request chooses the word, so it is no name.
        _ => "(other method) (unmatched)",
    }
}

/// `service`, which names its requests' tasks if it is an axum `Router` or an `Application`.
pub(super) fn named<S: 'static>(mut service: S) -> S {
    let any = &mut service as &mut dyn Any;
    let router = if any.is::<Application>() {
        any.downcast_mut().map(Application::router_mut)
    } else {
        any.downcast_mut::<Router>()
    };
    if let Some(router) = router {
        *router = std::mem::take(router).layer(middleware::map_request(name));
    }
    service
}

async fn name(request: Request) -> Request {
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        let from = unmatched(request.method());
        let method = from.strip_suffix(" (unmatched)").unwrap_or(from);
        let to = names::intern(&format!("{method} {}", route.as_str()));
        // A task of another name is not the request's: the app handed the request on.
        record::rename_current(names::intern(from), to);
    }
    request
}
