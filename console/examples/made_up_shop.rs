//! A made-up app that is as good as a real one to a console: it serves the schema's made-up shop from where apps listen, or to
//! the gate that started it. Tests of the console and its pictures need no app that misbehaves. Knows nothing of real tasks.
//!
//! ```text
//! made_up_shop [name=shop-api] [major=1] [blocked] [judge=clean|leak|block|tests|die|linger] [exit=0] [lose=12]
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use loop_console::transport::mailbox::{Receiver, mailbox};
use loop_proto::endpoint::{self, Note, Wish};
use loop_proto::fixture::{self, Shop, Viewer};
use loop_proto::pb;
use loop_proto::pb::inspect_server::{Inspect, InspectServer};
use loop_runtime::io::HyperIo;
use loop_runtime::net::{UnixListener, UnixStream};
use tonic::{Request, Response, Status, Streaming};

/// How the app is to behave.
#[derive(Clone, Debug)]
struct Script {
    shop: Shop,
    judge: String,
    lose: u64,
}

#[derive(Clone, Debug)]
struct Exec;

impl<F: Future + 'static> hyper::rt::Executor<F> for Exec
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        drop(loop_runtime::create_task(future));
    }
}

#[tonic::async_trait]
impl Inspect for Script {
    type WatchStream = Receiver<Result<pb::View, Status>>;
    type WatchEventsStream = Receiver<Result<pb::EventBatch, Status>>;
    type JudgeStream = Receiver<Result<pb::Verdict, Status>>;

    async fn hello(
        &self,
        _: Request<pb::HelloRequest>,
    ) -> Result<Response<pb::HelloReply>, Status> {
        Ok(Response::new(self.shop.hello.clone()))
    }

    async fn watch(
        &self,
        request: Request<Streaming<pb::Query>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (out, views) = mailbox();
        let mut asks = request.into_inner();
        let mut viewer = Viewer::new(self.shop.clone());
        drop(loop_runtime::create_task(async move {
            let mut open: BTreeMap<u32, pb::Query> = BTreeMap::new();
            loop {
                match loop_runtime::timeout(Duration::from_millis(100), asks.message()).await {
                    Ok(Ok(Some(query))) => {
                        open.remove(&query.slot);
                        if query.close {
                            continue;
                        }
                        out.send(Ok(viewer.answer(&query)));
                        if query.interval_ms > 0 {
                            open.insert(query.slot, query);
                        }
                    }
                    Ok(_) => return,
                    Err(_) => {
                        for query in open.values() {
                            if !out.send(Ok(viewer.answer(query))) {
                                return;
                            }
                        }
                    }
                }
            }
        }));
        Ok(Response::new(views))
    }

    async fn watch_events(
        &self,
        request: Request<pb::EventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let kinds = request.into_inner().kinds;
        let (out, batches) = mailbox();
        let mut batch = Viewer::new(self.shop.clone()).events();
        batch
            .events
            .retain(|e| kinds.is_empty() || kinds.contains(&e.kind));
        batch.delivered = batch.events.len() as u64;
        if self.lose > 0 {
            batch.lost = vec![pb::Lost {
                kind: pb::EventKind::TaskPolled as i32,
                count: self.lose,
            }];
        }
        out.send(Ok(batch));
        drop(loop_runtime::create_task(async move {
            // Held open: who follows waits for more.
            while out.send(Ok(pb::EventBatch::default())) {
                loop_runtime::sleep(Duration::from_millis(200)).await;
            }
        }));
        Ok(Response::new(batches))
    }

    async fn task(
        &self,
        request: Request<pb::TaskRequest>,
    ) -> Result<Response<pb::TaskDetail>, Status> {
        let detail = Viewer::new(self.shop.clone()).task(request.get_ref());
        detail
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such task"))
    }

    async fn command(
        &self,
        _: Request<pb::CommandRequest>,
    ) -> Result<Response<pb::CommandReply>, Status> {
        Err(Status::permission_denied("a made-up app does nothing"))
    }

    async fn judge(
        &self,
        request: Request<Streaming<pb::JudgeRequest>>,
    ) -> Result<Response<Self::JudgeStream>, Status> {
        let (out, verdicts) = mailbox();
        let mut steps = request.into_inner();
        let script = self.clone();
        drop(loop_runtime::create_task(async move {
            // Its run begins once the gate has said what it judges by.
            let Ok(Some(begin)) = steps.message().await else {
                return;
            };
            let block_ns = match begin.step {
                Some(pb::judge_request::Step::Begin(begin)) => begin.block_budget_ns,
                _ => 0,
            };
            if script.judge == "die" {
                std::process::exit(0);
            }
            if script.judge == "linger" {
                return loop_runtime::sleep(Duration::from_secs(600)).await;
            }
            for verdict in script.verdicts(block_ns) {
                let whole = verdict.complete;
                out.send(Ok(verdict));
                if whole {
                    // Each is receipted before the next.
                    let _ = steps.message().await;
                }
            }
            drop(out);
            loop_runtime::sleep(Duration::from_millis(50)).await;
            if let Ok(event_loop) = loop_runtime::get_running_loop() {
                event_loop.stop();
            }
        }));
        Ok(Response::new(verdicts))
    }
}

impl Script {
    fn verdicts(&self, block_budget_ns: u64) -> Vec<pb::Verdict> {
        let shop = &self.shop;
        let verdict = |sequence: u64, last: bool| pb::Verdict {
            sequence,
            complete: true,
            last,
            process: shop.hello.app_name.clone(),
            pid: std::process::id(),
            started_at_ns: fixture::STARTED_NS,
            ended_at_ns: fixture::AT_NS,
            outcome: pb::RunOutcome::Returned as i32,
            block_budget_ns,
            ..pb::Verdict::default()
        };
        match self.judge.as_str() {
            "leak" => vec![pb::Verdict {
                findings: shop.findings.clone(),
                interned: shop.interned.clone(),
                ..verdict(1, true)
            }],
            "block" => {
                // In two parts, as a verdict above a megabyte comes.
                let blocks = shop.blocks.clone();
                let first = pb::Verdict {
                    complete: false,
                    interned: shop.interned.clone(),
                    ..verdict(1, true)
                };
                vec![
                    first,
                    pb::Verdict {
                        blocks_total: blocks.len() as u64,
                        blocks,
                        ..verdict(1, true)
                    },
                ]
            }
            "tests" => (1..=3)
                .map(|n| pb::Verdict {
                    test: format!("tests::number_{n}"),
                    ..verdict(n, false)
                })
                .chain([verdict(4, true)])
                .collect(),
            _ => vec![verdict(1, true)],
        }
    }
}

fn serve(stream: UnixStream, script: Script) -> loop_runtime::Task<()> {
    let service = TowerToHyperService::new(InspectServer::new(script));
    loop_runtime::create_task(async move {
        let connection = hyper::server::conn::http2::Builder::new(Exec)
            .serve_connection(HyperIo::new(stream), service);
        // A console that goes is no news.
        let _ = connection.await;
    })
}

fn main() {
    let mut script = Script {
        shop: fixture::shop(),
        judge: "clean".to_owned(),
        lose: 0,
    };
    let mut exit = 0;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "blocked") {
        script.shop = fixture::blocked_shop();
    }
    let hello = &mut script.shop.hello;
    hello.pid = std::process::id();
    hello.instance_id = std::process::id().to_le_bytes().repeat(4);
    hello.executable = std::env::current_exe()
        .map(|p| p.display().to_string())
        .unwrap_or_default();
    for (name, value) in arguments.iter().filter_map(|a| a.split_once('=')) {
        match name {
            "name" => hello.app_name = value.to_owned(),
            "major" => {
                hello.protocol = Some(pb::Version {
                    major: value.parse().expect("a number"),
                    minor: 0,
                })
            }
            "judge" => script.judge = value.to_owned(),
            "exit" => exit = value.parse().expect("a number"),
            "lose" => script.lose = value.parse().expect("a number"),
            _ => panic!("made_up_shop does not know {name}"),
        }
    }
    let wish = Wish::read(std::env::var_os(endpoint::WISH).as_deref()).expect("LOOP_CONSOLE");
    let event_loop = loop_runtime::Builder::new()
        .internal()
        .build()
        .expect("a loop");
    let ended = event_loop.run_until_complete(async move {
        match wish {
            Some(Wish::Connect(gate)) => {
                let gate = UnixStream::connect(gate).await.expect("the gate");
                // A gate that goes without judging ends it as well.
                let _ = serve(gate, script).await;
            }
            _ => listen(script).await,
        }
    });
    // Stopped, which is how a judged run ends.
    drop(ended);
    std::process::exit(exit);
}

/// Listens where apps listen; the socket is left behind, as by an app that was killed.
async fn listen(script: Script) {
    let uid = rustix::process::geteuid().as_raw();
    let directory: PathBuf = endpoint::directories(|name| std::env::var_os(name), uid).remove(0);
    if !directory.is_dir() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .expect("a directory");
    }
    let pid = std::process::id();
    let socket = directory.join(endpoint::socket_name(pid, 1));
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).expect("its mode");
    note(&socket, &script.shop.hello);
    let listener = UnixListener::from_std(listener).expect("a listener");
    println!("{}", socket.display());
    while let Ok((stream, _)) = listener.accept().await {
        drop(serve(stream, script.clone()));
    }
}

fn note(socket: &Path, hello: &pb::HelloReply) {
    let note = Note {
        name: &hello.app_name,
        version: &hello.app_version,
        runtime: &hello.runtime_version,
        pid: hello.pid,
        started_unix_ns: hello.started_unix_ns,
        tcp: "",
    };
    fs::write(endpoint::note_path(socket), note.to_string()).expect("a note");
}
