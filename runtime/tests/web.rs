//! The web server as its clients and its handlers see it.
#![cfg(feature = "web")]

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use loop_runtime::net::TcpListener;
use loop_runtime::testing::TestLoop;
use loop_runtime::web;
use loop_runtime::web::{App, Application, ConnectInfo, ServeError};
use loop_runtime::{Builder, all_tasks, create_future, current_task, get_running_loop};

/// Longer than anything here takes, so that a failure is one.
const FAR: Duration = Duration::from_secs(30);

struct Client(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    closes: bool,
    body: String,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(FAR)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, method: &str, path: &str) {
        write!(
            self.0.get_mut(),
            "{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n"
        )
        .unwrap();
    }

    fn answer(&mut self) -> Answer {
        let mut answer = Answer {
            status: 0,
            closes: false,
            body: String::new(),
        };
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(status) = line.strip_prefix("http/1.1 ") {
                answer.status = status[..3].parse().unwrap();
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            } else if line == "connection: close" {
                answer.closes = true;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path);
        self.answer()
    }

    /// Waits for the server to close, and tells what came before.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// Serves what `app` makes until `client`, on a thread of its own, is done.
fn with_server<S, R>(
    app: impl FnOnce() -> S,
    client: impl FnOnce(SocketAddr) -> R + Send + 'static,
) -> R
where
    S: Served + 'static,
    R: Send + 'static,
{
    let app = app();
    Builder::new()
        .inspector(false)
        .run(async move {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let (done, stop) = create_future::<()>();
            let handle = get_running_loop().unwrap().handle();
            let client = thread::spawn(move || {
                let result = client(address);
                // Also dropped by a failing client's panic, which breaks the promise: a stop too.
                handle
                    .call_soon_threadsafe(move || done.set_result(()).unwrap())
                    .unwrap();
                result
            });
            app.until(
                listener,
                Box::pin(async move {
                    let _ = stop.await;
                }),
            )
            .await;
            client
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
        .unwrap()
}

type Stop = std::pin::Pin<Box<dyn Future<Output = ()>>>;

trait Served {
    fn until(self, listener: TcpListener, stop: Stop) -> impl Future<Output = ()>;
}

impl Served for Router {
    async fn until(self, listener: TcpListener, stop: Stop) {
        App::new(self).serve_until(listener, stop).await.unwrap();
    }
}

impl Served for Application {
    async fn until(self, listener: TcpListener, stop: Stop) {
        App::new(self).serve_until(listener, stop).await.unwrap();
    }
}

impl Served for App<Router> {
    async fn until(self, listener: TcpListener, stop: Stop) {
        self.serve_until(listener, stop).await.unwrap();
    }
}

impl Served for Words {
    async fn until(self, listener: TcpListener, stop: Stop) {
        App::new(self).serve_until(listener, stop).await.unwrap();
    }
}

async fn own_name() -> String {
    current_task().unwrap().info().unwrap().name().to_owned()
}

#[test]
fn a_request_is_a_task_named_after_its_method_and_route() {
    let names = with_server(
        || Router::new().route("/items/{id}", any(own_name)),
        |address| {
            let mut client = Client::new(address);
            let get = client.get("/items/7?x=1").body;
            client.send("POST", "/items/8");
            (get, client.answer().body)
        },
    );
    assert_eq!(
        names,
        ("GET /items/{id}".to_owned(), "POST /items/{id}".to_owned())
    );
}

#[test]
fn a_request_of_an_application_is_named_and_knows_its_peer() {
    let (name, peer) = with_server(
        || {
            let mut app = Application::new();
            app.router().add_get("/items/{id}", own_name).add_get(
                "/peer",
                async |request: web::Request| {
                    web::Response::text(request.remote().unwrap().ip().to_string())
                },
            );
            app
        },
        |address| {
            let mut client = Client::new(address);
            (client.get("/items/7").body, client.get("/peer").body)
        },
    );
    assert_eq!(name, "GET /items/{id}");
    assert_eq!(peer, "127.0.0.1");
}

#[test]
fn what_a_client_chooses_is_in_no_name() {
    let names = with_server(
        || {
            Router::new()
                .route("/known", any(own_name))
                .fallback(own_name)
        },
        |address| {
            let mut client = Client::new(address);
            let unknown = client.get("/../../etc").body;
            client.send("BREW", "/known");
            let known = client.answer().body;
            client.send("BREW", "/unknown");
            (unknown, known, client.answer().body)
        },
    );
    assert_eq!(names.0, "GET (unmatched)");
    assert_eq!(names.1, "(other method) /known");
    assert_eq!(names.2, "(other method) (unmatched)");
}

#[test]
fn a_nested_route_is_named_in_full() {
    let name = with_server(
        || Router::new().nest("/api", Router::new().route("/{kind}/all", get(own_name))),
        |address| Client::new(address).get("/api/cats/all").body,
    );
    assert_eq!(name, "GET /api/{kind}/all");
}

#[test]
fn names_can_be_turned_off() {
    let name = with_server(
        || App::new(Router::new().route("/", get(own_name))).names(false),
        |address| Client::new(address).get("/").body,
    );
    assert_eq!(name, "request");
}

#[test]
fn a_connection_is_a_task_named_after_its_peer() {
    async fn all_names() -> String {
        let all = all_tasks().unwrap();
        let names = all
            .iter()
            .filter_map(|task| Some(task.info()?.name().to_owned()));
        names.collect::<Vec<_>>().join("\n")
    }
    let (names, own) = with_server(
        || Router::new().route("/", get(all_names)),
        |address| {
            let mut client = Client::new(address);
            let own = client.0.get_ref().local_addr().unwrap();
            (client.get("/").body, own)
        },
    );
    let conn = format!("conn {own}");
    assert!(
        names.lines().any(|name| name == conn),
        "no `{conn}` in:\n{names}"
    );
}

#[test]
fn a_handler_learns_who_asks() {
    async fn whoami(ConnectInfo(peer): ConnectInfo) -> String {
        peer.to_string()
    }
    let (told, own) = with_server(
        || Router::new().route("/", get(whoami)),
        |address| {
            let mut client = Client::new(address);
            let own = client.0.get_ref().local_addr().unwrap().to_string();
            (client.get("/").body, own)
        },
    );
    assert_eq!(told, own);
}

#[test]
fn a_panicking_handler_is_a_500_and_its_connection_lives_on() {
    async fn panics() {
        panic!("on purpose");
    }
    let (first, second) = with_server(
        || {
            Router::new()
                .route("/", get(own_name))
                .route("/panic", get(panics))
        },
        |address| {
            let mut client = Client::new(address);
            (client.get("/panic"), client.get("/"))
        },
    );
    assert_eq!((first.status, first.closes), (500, false));
    assert_eq!((second.status, second.body.as_str()), (200, "GET /"));
}

/// Tells that it was dropped.
struct Told(mpsc::Sender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        // Nobody listens once the test is over.
        let _ = self.0.send("dropped");
    }
}

/// A route that says "began", waits for ever, and says "dropped".
fn endless(tell: mpsc::Sender<&'static str>) -> Router {
    let handler = async move || {
        let told = Told(tell.clone());
        told.0.send("began").unwrap();
        std::future::pending::<()>().await;
    };
    Router::new().route("/endless", get(handler)).route(
        "/names",
        get(async || {
            let all = all_tasks().unwrap();
            let names = all
                .iter()
                .filter_map(|task| Some(task.info()?.name().to_owned()));
            names.collect::<Vec<_>>().join("\n")
        }),
    )
}

#[test]
fn a_request_goes_when_its_connection_goes() {
    let (tell, told) = mpsc::channel();
    let names = with_server(
        move || endless(tell),
        move |address| {
            let mut client = Client::new(address);
            client.send("GET", "/endless");
            assert_eq!(told.recv_timeout(FAR), Ok("began"));
            drop(client);
            assert_eq!(told.recv_timeout(FAR), Ok("dropped"));
            Client::new(address).get("/names").body
        },
    );
    assert!(!names.contains("GET /endless"), "still there:\n{names}");
}

#[test]
fn a_stopping_server_lets_a_request_in_flight_end() {
    let (tell, told) = mpsc::channel::<()>();
    let (promise, future) = mpsc::channel();
    let answer = Builder::new()
        .inspector(false)
        .run(async move {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = create_future::<()>();
            let handle = get_running_loop().unwrap().handle();
            let handler = async move || {
                let (release, released) = create_future::<()>();
                promise.send(release).unwrap();
                released.await.unwrap();
                "to the end"
            };
            let app = Router::new()
                .route("/slow", get(handler))
                .route("/", get(async || "idle"));
            let client = thread::spawn(move || {
                let mut idle = Client::new(address);
                assert_eq!(idle.get("/").body, "idle");
                let mut slow = Client::new(address);
                slow.send("GET", "/slow");
                let release = future.recv_timeout(FAR).unwrap();
                handle
                    .call_soon_threadsafe(move || stop.set_result(()).unwrap())
                    .unwrap();
                assert_eq!(idle.rest(), "", "an idle connection is closed");
                let late = TcpStream::connect(address);
                handle
                    .call_soon_threadsafe(move || release.set_result(()).unwrap())
                    .unwrap();
                let answer = slow.answer();
                assert_eq!(slow.rest(), "");
                tell.send(()).unwrap();
                (answer, late.is_err())
            });
            App::new(app)
                .serve_until(listener, async move {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
            client.join().unwrap()
        })
        .unwrap();
    told.recv_timeout(FAR).unwrap();
    assert_eq!(
        (answer.0.status, answer.0.body.as_str()),
        (200, "to the end")
    );
    assert!(answer.0.closes, "the answer says that the connection ends");
    assert!(answer.1, "a stopping server accepts no more");
}

#[test]
fn what_is_left_when_the_limit_has_passed_is_cancelled() {
    let (tell, told) = mpsc::channel();
    let rest = with_server_stopped_early(
        App::new(endless(tell)).shutdown_limit(Duration::from_millis(1)),
        move |address, stop| {
            let mut client = Client::new(address);
            client.send("GET", "/endless");
            assert_eq!(told.recv_timeout(FAR), Ok("began"));
            stop();
            assert_eq!(told.recv_timeout(FAR), Ok("dropped"));
            client.rest()
        },
    );
    assert_eq!(rest, "", "no answer was made up");
}

/// As `with_server`; the client itself says when to stop.
fn with_server_stopped_early<R: Send + 'static>(
    app: App<Router>,
    client: impl FnOnce(SocketAddr, Box<dyn FnOnce()>) -> R + Send + 'static,
) -> R {
    Builder::new()
        .inspector(false)
        .run(async move {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let (done, stop) = create_future::<()>();
            let handle = get_running_loop().unwrap().handle();
            let client = thread::spawn(move || {
                client(
                    address,
                    Box::new(move || {
                        handle
                            .call_soon_threadsafe(move || done.set_result(()).unwrap())
                            .map(drop)
                            .unwrap()
                    }),
                )
            });
            app.serve_until(listener, async move {
                let _ = stop.await;
            })
            .await
            .unwrap();
            client
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
        .unwrap()
}

#[test]
fn an_address_in_use_is_told_with_the_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = App::new(Router::new())
        .addr(address)
        .run_with(Builder::new().inspector(false))
        .unwrap_err();
    assert!(matches!(error, ServeError::Bind { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&address.to_string()) && text.contains("in use"),
        "{text}"
    );
}

/// A tower service that is not axum's, and not `Send`: it counts in a cell.
#[derive(Clone, Default)]
struct Words(Rc<RefCell<u32>>);

impl tower_service::Service<Request<Incoming>> for Words {
    type Response = Response<Full<Bytes>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        *self.0.borrow_mut() += 1;
        ready(match request.uri().path() {
            "/fail" => Err("on purpose".into()),
            _ => Ok(Response::new(Full::from(self.0.borrow().to_string()))),
        })
    }
}

#[test]
fn any_tower_service_is_served_and_its_error_is_a_500() {
    let answers = with_server(Words::default, |address| {
        let mut client = Client::new(address);
        [client.get("/"), client.get("/fail"), client.get("/")]
    });
    assert_eq!(
        answers.each_ref().map(|answer| answer.status),
        [200, 500, 200]
    );
    assert_eq!(answers[2].body, "3");
}

#[test]
fn a_body_is_streamed_both_ways() {
    async fn reversed(body: Bytes) -> Result<Vec<u8>, Infallible> {
        Ok(body.iter().rev().copied().collect())
    }
    let sent: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    let expected: Vec<u8> = sent.iter().rev().copied().collect();
    let got = with_server(
        || Router::new().route("/", axum::routing::post(reversed)),
        move |address| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(FAR)).unwrap();
            write!(
                stream,
                "POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                sent.len()
            )
            .unwrap();
            stream.write_all(&sent).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            let head = answer
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap();
            answer.split_off(head + 4)
        },
    );
    assert_eq!(got.len(), expected.len());
    assert!(got == expected, "the bytes came back in another order");
}

#[test]
fn a_client_that_sends_half_a_head_is_cut_off() {
    // On a clock that jumps: hyper's half a minute passes as soon as nothing else can happen.
    let rest = TestLoop::new()
        .run(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let (done, stop) = create_future::<()>();
            let handle = get_running_loop().unwrap().handle();
            let client = thread::spawn(move || {
                let mut client = Client::new(address);
                client.0.get_mut().write_all(b"GET / HTT").unwrap();
                let rest = client.rest();
                handle
                    .call_soon_threadsafe(move || done.set_result(()).unwrap())
                    .unwrap();
                rest
            });
            let stop = async move {
                let _ = stop.await;
            };
            App::new(Router::new())
                .serve_until(listener, stop)
                .await
                .unwrap();
            client.join().unwrap()
        })
        .unwrap();
    assert_eq!(rest, "", "it got no answer to what it did not ask");
}

#[cfg(target_os = "linux")]
#[test]
fn an_app_on_two_loops_answers_on_both_and_both_stop_at_a_signal() {
    let app = Router::new().route("/", get(async || get_running_loop().unwrap().name()));
    let (told, address) = mpsc::channel();
    let client = thread::spawn(move || {
        let address = address.recv().unwrap();
        let mut names = std::collections::BTreeSet::new();
        // The kernel spreads by a hash: that one loop gets none of a thousand does not happen.
        for _ in 0..1_000 {
            names.insert(Client::new(address).get("/").body);
            if names.len() == 2 {
                break;
            }
        }
        // One that stays is seen out, on whichever loop it is.
        let mut stays = Client::new(address);
        stays.get("/");
        signal_hook::low_level::raise(loop_runtime::signal::Signal::TERM.number()).unwrap();
        stays.rest();
        names
    });
    App::new(app)
        .addr("127.0.0.1:0".parse().unwrap())
        .loops(2)
        .on_listening(move |address| told.send(address).unwrap())
        .run_with(Builder::new().inspector(false).name("shop"))
        .unwrap();
    let names: Vec<_> = client.join().unwrap().into_iter().collect();
    assert_eq!(names, ["shop", "shop-0"]);
}
