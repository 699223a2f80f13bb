//! The server: accepts, keeps the list of connections, and sees them out when it stops.
//!
//! Stopping, numbered as in the code:
//!
//! 1. it accepts no more;
//! 2. each connection is told: idle ones close, the others after the request in flight;
//! 3. whatever is left when the limit has passed is cancelled, and its requests with it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use super::request::{Origin, Requests};
use super::{BoxError, connection};
use crate::net::{TcpListener, TcpStream};
use crate::spawn::{Task, TaskBuilder};
use crate::time::timeout;

/// Addresses of peers that a server puts into names; names are kept for ever.
const PEERS: usize = 1_024;

/// Serves until `stop` is done, then sees the connections out for at most `limit`.
pub(super) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    origin: Origin,
    limit: Duration,
    stop: impl Future<Output = ()>,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let server = Server {
        guests: Rc::default(),
        known: HashSet::new(),
        service,
        origin,
    };
    let mut server = server;
    let mut stop = pin!(stop);
    let served = loop {
        let mut accept = listener.accept();
        let next = poll_fn(|cx| match stop.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => pin!(&mut accept).poll(cx).map(Some),
        });
        match next.await {
            Some(Ok((stream, peer))) => server.welcome(stream, peer),
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    // 1.
    drop(listener);
    // 2.
    let guests = &server.guests;
    guests.ask_to_leave();
    if timeout(limit, guests.gone()).await.is_err() {
        tracing::warn!(
            connections = guests.count(),
            ?limit,
            "requests did not end in time and are cancelled"
        );
        // 3.
        guests.cancel();
        // A cancelled task is dropped at its next step; only a handler that catches the cancel
        // takes longer, and that is for the run to await.
        let _ = timeout(limit, guests.gone()).await;
    }
    served
}

/// What every connection is made of.
struct Server<S> {
    guests: Rc<Guests>,
    /// Peers whose address is in names already.
    known: HashSet<IpAddr>,
    service: S,
    origin: Origin,
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.guests.cancel();
    }
}

impl<S> Server<S> {
    fn welcome<B>(&mut self, stream: TcpStream, peer: SocketAddr)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        // An answer goes out in one write; to wait for more to send would only delay it. The
        // system may refuse, on a connection that is over already.
        let _ = stream.set_nodelay(true);
        let requests = Requests {
            service: self.service.clone(),
            peer,
            origin: self.origin,
        };
        let number = self.guests.next();
        let task = self.name(peer).spawn_at(
            connection::converse(stream, requests, self.guests.clone(), number),
            self.origin.place,
        );
        self.guests.came(number, task);
    }

    /// `conn 127.0.0.1:50012`: the address is a name, the port its number.
    fn name(&mut self, peer: SocketAddr) -> TaskBuilder {
        let builder = Task::<()>::builder();
        let address = peer.ip().to_canonical();
        if !self.known.contains(&address) {
            if self.known.len() >= PEERS {
                return builder.name("conn (other):").number(peer.port().into());
            }
            self.known.insert(address);
        }
        let name = match address {
            IpAddr::V4(address) => format!("conn {address}:"),
            IpAddr::V6(address) => format!("conn [{address}]:"),
        };
        builder.name(&name).number(peer.port().into())
    }
}

/// The connections that are open, by number.
#[derive(Default)]
pub(super) struct Guests {
    leaving: Cell<bool>,
    last: Cell<u64>,
    here: RefCell<HashMap<u64, Guest>>,
    /// Who waits for the last one to leave.
    host: Cell<Option<Waker>>,
}

struct Guest {
    task: Task<()>,
    /// Its last poll's, to tell it that the server stops.
    waker: Option<Waker>,
}

impl Guests {
    fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn came(&self, number: u64, task: Task<()>) {
        self.here
            .borrow_mut()
            .insert(number, Guest { task, waker: None });
    }

    /// Called by the connection itself as it ends.
    pub(super) fn left(&self, number: u64) {
        // Dropped after the borrow: the task's handle may call back.
        let guest = self.here.borrow_mut().remove(&number);
        drop(guest);
        if self.count() == 0
            && let Some(host) = self.host.take()
        {
            host.wake();
        }
    }

    fn count(&self) -> usize {
        self.here.borrow().len()
    }

    /// Whether connections are to end; if not, `waker` is called once they are.
    pub(super) fn are_leaving(&self, number: u64, waker: &Waker) -> bool {
        if self.leaving.get() {
            return true;
        }
        if let Some(guest) = self.here.borrow_mut().get_mut(&number) {
            match &mut guest.waker {
                Some(known) if known.will_wake(waker) => {}
                known => *known = Some(waker.clone()),
            }
        }
        false
    }

    fn ask_to_leave(&self) {
        self.leaving.set(true);
        let wakers: Vec<Waker> = self
            .here
            .borrow_mut()
            .values_mut()
            .filter_map(|guest| guest.waker.take())
            .collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn cancel(&self) {
        // A cancel may end a task at once, which comes back to `left`.
        let tasks: Vec<_> = self
            .here
            .borrow()
            .values()
            .map(|guest| guest.task.task_ref())
            .collect();
        for task in tasks {
            task.cancel();
        }
    }

    async fn gone(&self) {
        poll_fn(|cx| {
            if self.count() == 0 {
                return Poll::Ready(());
            }
            self.host.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
