//! The inspector against real clients, in one process: its thread listens on a socket in a
//! directory of the test, the test's own loop is what is looked at and carries the client.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use loop_proto::endpoint::{AUTHORITY, Note};
use loop_proto::pb;
use loop_proto::pb::inspect_client::InspectClient;
use tonic::Code;
use tonic::body::Body;

use super::listen::Doors;
use super::shared::{Identity, Shared};
use crate::id::LoopId;
use crate::inspect::flight::log::Log;
use crate::io::{AsyncRead, AsyncWrite, HyperExecutor, HyperIo, HyperTimer};
use crate::net::UnixStream;
use crate::record::{Command, bound};
use crate::{EventLoop, create_future, create_task, sleep, yield_now};

mod abuse;
mod calls;
mod control;
mod dumps;
mod gate;
mod graph;
mod hour;
mod jobs;
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod stacks;
mod stalled;
mod waiting;
mod watched;

/// An inspector with a socket of its own.
struct Inspected {
    shared: Arc<Shared>,
    directory: PathBuf,
    socket: PathBuf,
    files: Option<super::endpoint::Files>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn shared(dumps: Arc<Log>) -> Arc<Shared> {
    let identity = Identity {
        name: "shop".to_owned(),
        version: "1.2".to_owned(),
        instance: [7; 16],
        executable: String::new(),
        started_unix_ns: 1,
    };
    crate::clock::anchor();
    Arc::new(Shared::new(identity, carry, dumps))
}

/// Lets the other tasks run until they wait.
async fn settle() {
    for _ in 0..3 {
        yield_now().await;
    }
}

/// The page of a task that lives.
async fn page(client: &mut Client, id: u64) -> pb::TaskDetail {
    let request = pb::TaskRequest {
        id,
        ..pb::TaskRequest::default()
    };
    client.task(request).await.unwrap().into_inner()
}

fn carry(id: LoopId, command: Command, done: super::Done) -> Result<(), String> {
    let errand = move || {
        let carried = crate::context::with(|organs| match command {
            Command::Cancel { task } => {
                let executor = &organs.executor;
                executor.cancel_for(task, crate::record::asked::By::Viewer, None, None)
            }
            Command::Nudge { task } => organs.executor.nudge_by_id(task),
        });
        done(carried.unwrap_or(false));
    };
    bound::send(id, Box::new(errand)).map_err(|_| "closed".to_owned())
}

impl Inspected {
    fn new(name: &str) -> Self {
        Self::with_dumps(name, Arc::default())
    }

    fn with_dumps(name: &str, dumps: Arc<Log>) -> Self {
        let directory = std::env::temp_dir().join(format!("in-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        let note = Note {
            name: "shop",
            pid: std::process::id(),
            ..Note::default()
        };
        let place = directory.clone();
        let variable = move |name: &str| (name == "LOOP_CONSOLE_DIR").then(|| place.clone().into());
        let (listener, files) = super::endpoint::open(variable, 1, &note).unwrap();
        let shared = shared(dumps);
        let serving = shared.clone();
        let doors = Doors::unix(listener);
        super::flight::Flight::hear(&shared);
        let thread = std::thread::spawn(move || super::run(&serving, doors));
        Self {
            shared,
            socket: files.socket().to_owned(),
            directory,
            files: Some(files),
            thread: Some(thread),
        }
    }

    async fn client(&self) -> Client {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        client(stream, AUTHORITY).await
    }
}

impl Drop for Inspected {
    fn drop(&mut self) {
        self.shared.stop.raise();
        let ended = self.thread.take().unwrap().join();
        drop(self.files.take());
        let _ = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

type Client = InspectClient<Channel>;

/// hyper's sender as the generated client wants it.
#[derive(Clone)]
struct Channel {
    sender: SendRequest<Body>,
    headers: Vec<(&'static str, String)>,
}

impl tower_service::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        Box::pin(self.sender.send_request(request))
    }
}

async fn channel<S>(stream: S) -> Channel
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    try_channel(stream).await.unwrap()
}

async fn try_channel<S>(stream: S) -> hyper::Result<Channel>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(HyperExecutor)
        .timer(HyperTimer)
        .handshake(HyperIo::new(stream))
        .await?;
    create_task(async move {
        let _ = connection.await;
    })
    .detach();
    Ok(Channel {
        sender,
        headers: Vec::new(),
    })
}

async fn client<S>(stream: S, authority: &str) -> Client
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let origin = format!("http://{authority}").parse().unwrap();
    InspectClient::with_origin(channel(stream).await, origin)
}

/// Runs `main` on a loop, with the id under which the inspector lists it.
fn on_loop<F: Future + 'static>(main: impl FnOnce(u32) -> F) -> F::Output
where
    F::Output: 'static,
{
    let event_loop = EventLoop::new().unwrap();
    let id = event_loop.id().get();
    let output = event_loop.run_until_complete(main(id)).unwrap();
    event_loop.close().unwrap();
    output
}

fn query(target: pb::Target, filter: &str) -> pb::Query {
    pb::Query {
        slot: 1,
        serial: 1,
        target: target as i32,
        filter: filter.to_owned(),
        ..pb::Query::default()
    }
}

/// Asks once and puts the parts of the answer together.
async fn ask(client: &mut Client, query: pb::Query) -> (pb::View, loop_proto::message::Texts) {
    let mut views = client
        .watch(stream::iter([query]))
        .await
        .unwrap()
        .into_inner();
    let mut texts = loop_proto::message::Texts::default();
    let mut whole = pb::View::default();
    while let Some(part) = views.message().await.unwrap() {
        texts.learn(part.interned.clone());
        let complete = part.complete;
        let tasks = std::mem::take(&mut whole.tasks);
        let mut part = part;
        part.tasks.splice(0..0, tasks);
        whole = part;
        if complete {
            break;
        }
    }
    assert!(whole.complete, "an answer ends");
    (whole, texts)
}
