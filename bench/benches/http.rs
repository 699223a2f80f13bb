//! HTTP hello: hyper on each loop, the server's CPU per request on 50 kept connections.
//!
//! The last of ours is `web::serve`, which makes a named task of every request; hyper alone does
//! not.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::rc::Rc;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use loop_bench::load::{Talk, served};
use loop_bench::{Contender, compare, rounds, settle};
use loop_runtime::Promise;
use loop_runtime::io::{HyperIo, HyperTimer};

const TALK: Talk = Talk {
    connections: 50,
    rounds: 500,
    question: b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    ends_with: Some(b"\r\n\r\nHello, World!"),
};

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("Hello, World!")))
}

fn ours(listener: TcpListener, connections: usize) {
    loop_runtime::run(async move {
        let listener = loop_runtime::net::TcpListener::from_std(listener)
            .expect("a listener can be taken over");
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.expect("a client comes");
            tasks.push(loop_runtime::create_task(
                http1::Builder::new()
                    .timer(HyperTimer)
                    .serve_connection(HyperIo::new(stream), service_fn(hello)),
            ));
        }
        for task in tasks {
            task.await
                .expect("it ends well")
                .expect("the client is polite");
        }
    })
    .expect("a loop can be made and run");
}

fn tokios(listener: TcpListener, connections: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts");
    runtime.block_on(async move {
        listener
            .set_nonblocking(true)
            .expect("a listener can be non-blocking");
        let listener =
            tokio::net::TcpListener::from_std(listener).expect("a listener can be taken over");
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.expect("a client comes");
            tasks.push(tokio::spawn(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service_fn(hello)),
            ));
        }
        for task in tasks {
            task.await
                .expect("it ends well")
                .expect("the client is polite");
        }
    });
}

/// Answers, counts, and tells when the client has asked everything.
#[derive(Clone)]
struct Hello {
    left: Rc<Cell<u64>>,
    all_asked: Rc<Cell<Option<Promise<()>>>>,
}

impl tower_service::Service<Request<Incoming>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0
            && let Some(promise) = self.all_asked.take()
        {
            promise.set_result(()).expect("the server waits");
        }
        ready(Ok(Response::new(Full::from("Hello, World!"))))
    }
}

fn ours_web(listener: TcpListener, _: usize) {
    loop_runtime::run(async move {
        let listener = loop_runtime::net::TcpListener::from_std(listener)
            .expect("a listener can be taken over");
        let (promise, all_asked) = loop_runtime::create_future();
        let hello = Hello {
            left: Rc::new(Cell::new(TALK.questions())),
            all_asked: Rc::new(Cell::new(Some(promise))),
        };
        loop_runtime::web::App::new(hello)
            .serve_until(listener, async { all_asked.await.expect("it is set") })
            .await
            .expect("clients come");
    })
    .expect("a loop can be made and run");
}

fn main() {
    settle();
    compare(
        "http: the server's CPU per hello, 50 kept connections, kernel included",
        "ns",
        rounds(9),
        Some(1.0),
        vec![
            Contender::measured("hyper on loop-runtime, recorded", || served(TALK, ours)),
            Contender::measured("hyper on tokio current_thread, not recorded", || {
                served(TALK, tokios)
            }),
            Contender::measured("web::serve, a named task per request", || {
                served(TALK, ours_web)
            }),
        ],
    );
}
