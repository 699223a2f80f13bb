//! One connection: hyper's state machine in a task, told once when the server stops.
//!
//! Knows neither requests nor other connections.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use tower_service::Service;

use super::BoxError;
use super::request::Requests;
use super::serving::Guests;
use crate::io::{HyperIo, HyperTimer};
use crate::net::TcpStream;

/// Serves the requests of one connection until either side ends it.
pub(super) async fn converse<S, B>(
    stream: TcpStream,
    requests: Requests<S>,
    guests: Rc<Guests>,
    number: u64,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let _leave = Leave {
        guests: guests.clone(),
        number,
    };
    let peer = requests.peer;
    let mut http = http1::Builder::new();
    // Hyper ends a connection that sends no whole head within 30 s, if it has a clock.
    http.timer(HyperTimer);
    let mut conversation = pin!(http.serve_connection(HyperIo::new(stream), requests));
    let mut told = false;
    let ended = poll_fn(|cx| {
        if guests.are_leaving(number, cx.waker()) && !told {
            told = true;
            conversation.as_mut().graceful_shutdown();
        }
        conversation.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        report(&error, peer);
    }
}

/// Clients that go away or talk nonsense are everyday; they are told to who looks for them.
fn report(error: &hyper::Error, peer: SocketAddr) {
    tracing::debug!(%peer, error = error as &dyn std::error::Error, "a connection ended early");
}

/// Strikes the connection off the list, however it ends.
struct Leave {
    guests: Rc<Guests>,
    number: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.guests.left(self.number);
    }
}
