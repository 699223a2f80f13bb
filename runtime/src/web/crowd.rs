//! An app on several loops: the caller's thread runs the first and hears the signals, a pool runs the
//! others, and all stop together.

use std::io;
use std::net::TcpListener as StdListener;
use std::panic::Location;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use super::{App, BoxError, ServeError};
use crate::handle::{LoopHandle, RemoteTask};
use crate::net::{ListenOptions, TcpListener, listen_together};
use crate::run::{Builder, LoopPool};
use crate::sync::{Promise, create_future};

pub(super) fn run<S, B>(mut app: App<S>, builder: Builder) -> Result<(), ServeError>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let others = std::mem::take(&mut app.others);
    let (address, place) = (app.address, app.place);
    let bound = listen_together(address, ListenOptions::default(), others.len() + 1);
    let mut listeners = bound
        .map_err(|error| ServeError::Bind { address, error })?
        .into_iter();
    let own = listeners.next().expect("one listener more than others");
    let pool = builder
        .clone()
        .name_if_none("web")
        .pool(others.len())
        .map_err(|error| ServeError::Run(error.into()))?;
    let stations: Vec<_> = others
        .into_iter()
        .zip(listeners)
        .enumerate()
        .map(|(number, (service, listener))| {
            let part = app.part(service);
            station(&pool, number, place, listener, part)
        })
        .collect();
    let served = builder.run(async move {
        let served = match adopt(own, place) {
            Ok(listener) => app.serve(listener).await,
            Err(error) => Err(error),
        };
        // All are told before any is awaited, so that they see their connections out at one time.
        let leaving: Vec<_> = stations.into_iter().map(Station::leave).collect();
        let mut all = served;
        for task in leaving {
            let ended = task
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error.to_string())));
            all = all.and(ended);
        }
        all.map_err(ServeError::Accept)
    });
    if let Err(error) = pool.close(Duration::ZERO) {
        tracing::warn!(%error, "the server's loops");
    }
    served.map_err(ServeError::Run)?
}

fn adopt(listener: StdListener, place: &'static Location<'static>) -> io::Result<TcpListener> {
    TcpListener::adopt(listener, ListenOptions::default().backlog, place)
}

/// The server on one of the pool's loops.
struct Station {
    handle: LoopHandle,
    stop: std::sync::mpsc::Receiver<Promise<()>>,
    task: RemoteTask<io::Result<()>>,
}

fn station<S, B>(
    pool: &LoopPool,
    number: usize,
    place: &'static Location<'static>,
    listener: StdListener,
    app: impl FnOnce() -> App<S> + Send + 'static,
) -> Station
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let (tell, stop) = std::sync::mpsc::channel();
    let make = move || {
        let (promise, stopped) = create_future::<()>();
        // Nobody hears it if the server is over already.
        let _ = tell.send(promise);
        let app = app();
        async move {
            let listener = adopt(listener, place)?;
            let stopped = async {
                // A promise that was dropped says the same.
                let _ = stopped.await;
            };
            app.serve_until(listener, stopped).await
        }
    };
    let task = pool
        .spawn_at(number, place, make)
        .expect("a pool that was just made takes work");
    Station {
        handle: pool.handles().swap_remove(number),
        stop,
        task,
    }
}

impl Station {
    /// Has the server stop; gives what is to be awaited.
    fn leave(self) -> RemoteTask<io::Result<()>> {
        let stop = self.stop;
        // On its own loop, where the promise is kept; a loop that has ended needs no telling.
        let _ = self.handle.call_soon_threadsafe(move || {
            if let Ok(promise) = stop.try_recv() {
                let _ = promise.set_result(());
            }
        });
        self.task
    }
}

impl<S> App<S> {
    /// What makes the app of another loop, on that loop.
    fn part(
        &self,
        service: Box<dyn FnOnce() -> S + Send>,
    ) -> impl FnOnce() -> App<S> + Send + use<S>
    where
        S: 'static,
    {
        let (address, limit, names, place) = (self.address, self.limit, self.names, self.place);
        move || App {
            service: service(),
            address,
            limit,
            names,
            listening: None,
            others: Vec::new(),
            place,
        }
    }
}
