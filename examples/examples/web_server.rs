//! The textbook's web server, with a few routes that misbehave.
//!
//! Try:  cargo run --release -p loop-examples --example web_server
//! then  loop-console connect                        in another terminal
//! and   curl 'http://127.0.0.1:8080/block?ms=400'   in a third
//!
//! The console shows a task per connection and per request (`GET /slow`), the task `heartbeat`
//! that ticks ten times a second, and, while `/block` is served, an alarm that names the request,
//! the line that blocks and why. After `/leak` the screen of leaks lists a task that nothing can
//! wake any more.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use loop_examples::argument;
use loop_runtime::web::{App, ConnectInfo};
use loop_runtime::{Builder, Task, create_task, interval, run_in_executor, sleep};

type Arguments = Query<HashMap<String, String>>;

fn millis(arguments: &Arguments, default: u64) -> Duration {
    let given = arguments.get("ms").and_then(|ms| ms.parse().ok());
    Duration::from_millis(given.unwrap_or(default).min(60_000))
}

async fn hello(ConnectInfo(peer): ConnectInfo) -> String {
    format!("Hello, World! You are {peer}.\n")
}

/// Waits, and lets all others run meanwhile.
async fn slow(arguments: Arguments) -> String {
    let pause = millis(&arguments, 2_000);
    sleep(pause).await;
    format!("slept {pause:?}; nobody else noticed\n")
}

/// Does what no task may do: it keeps the thread, and so every other task waits.
async fn block(arguments: Arguments) -> String {
    let pause = millis(&arguments, 400);
    if arguments.get("how").is_some_and(|how| how == "cpu") {
        let end = Instant::now() + pause;
        let mut sum = 0u64;
        while Instant::now() < end {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        return format!("computed for {pause:?}; everybody else waited\n");
    }
    std::thread::sleep(pause);
    format!("blocked the loop for {pause:?}; everybody else waited\n")
}

/// The same work, where it belongs.
async fn offload(arguments: Arguments) -> String {
    let pause = millis(&arguments, 400);
    match run_in_executor(move || std::thread::sleep(pause)).await {
        Ok(()) => format!("blocked a thread of the executor for {pause:?}; nobody else noticed\n"),
        Err(error) => format!("{error}\n"),
    }
}

/// Starts a task that nothing will ever wake, and lets go of it.
async fn leak() -> &'static str {
    create_task(std::future::pending::<()>()).detach();
    "one more task that can never end\n"
}

async fn panics() {
    panic!("this handler panics on purpose");
}

async fn heartbeat() {
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
    }
}

fn main() -> ExitCode {
    let address = argument("--addr", SocketAddr::from(([127, 0, 0, 1], 8080)));
    let routes = Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
        .route("/block", get(block))
        .route("/offload", get(offload))
        .route("/leak", get(leak))
        .route("/panic", get(panics));
    let app = App::new(routes).addr(address).on_listening(|address| {
        println!("listening on http://{address}");
        Task::<()>::builder()
            .name("heartbeat")
            .allow_forever()
            .spawn(heartbeat())
            .detach();
    });
    match app.run_with(Builder::new().name("web")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
