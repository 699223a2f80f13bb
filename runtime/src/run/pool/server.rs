//! One listener a loop on one address: what `LoopPool::serve` starts.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::sync::{Arc, Mutex};

use super::{LoopPool, lock};
use crate::handle::{RemoteError, RemoteTask};
use crate::net::{ListenOptions, TcpListener};

/// A server on all loops of a pool. Dropping it leaves the server to the pool, whose close stops it.
pub struct PoolServer<T> {
    address: SocketAddr,
    tasks: Tasks<T>,
}

/// A task of each loop; taken out by who waits for it.
type Tasks<T> = Arc<Vec<Mutex<Option<RemoteTask<T>>>>>;

impl<T> fmt::Debug for PoolServer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolServer")
            .field("address", &self.address)
            .field("loops", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn start<F, T>(
    pool: &LoopPool,
    address: SocketAddr,
    place: &'static Location<'static>,
    serve: impl Fn(TcpListener) -> F + Send + Clone + 'static,
) -> io::Result<PoolServer<T>>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let options = ListenOptions::default();
    let listeners = crate::net::listen_together(address, options, pool.len())?;
    let address = listeners[0].local_addr()?;
    let mut tasks = Vec::with_capacity(listeners.len());
    for (number, listener) in listeners.into_iter().enumerate() {
        let serve = serve.clone();
        // Made on its loop; what the reactor says of a socket is the task's to find.
        let make = move || {
            let listener = TcpListener::adopt(listener, options.backlog, place);
            let served = listener.map(serve);
            async move {
                match served {
                    Ok(served) => served.await,
                    Err(error) => panic!("the loop cannot watch its listener: {error}"),
                }
            }
        };
        let task = pool
            .spawn_at(number, place, make)
            .map_err(io::Error::other)?;
        tasks.push(Mutex::new(Some(task)));
    }
    Ok(PoolServer {
        address,
        tasks: Arc::new(tasks),
    })
}

impl<T: Send + 'static> PoolServer<T> {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Cancels the server's task on each loop, and so drops its listener. Connections that have tasks
    /// of their own live on.
    pub fn stop(&self) {
        for task in self.tasks.iter() {
            if let Some(task) = &*lock(task) {
                task.cancel();
            }
        }
    }

    /// Blocks the calling thread until the server's task on each loop is over, and gives what they
    /// came to. Empty the second time. Not for inside a loop.
    pub fn wait(&self) -> Vec<Result<T, RemoteError>> {
        // Not under the lock, which `stop` takes.
        let tasks: Vec<_> = self.tasks.iter().map(|task| lock(task).take()).collect();
        tasks
            .into_iter()
            .flatten()
            .map(|task| task.wait(None))
            .collect()
    }

    /// Stops the server, however many handles are left.
    pub(super) fn stopper(&self) -> Box<dyn Fn() + Send> {
        let server = Self {
            address: self.address,
            tasks: self.tasks.clone(),
        };
        Box::new(move || server.stop())
    }
}
