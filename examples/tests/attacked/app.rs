//! The app that `attacked.rs` attacks: a web server, and by argument a crowd of short tasks, a TCP
//! endpoint, names that no terminal should get to see, or a filter of system calls. Prints where it listens, then what it
//! knows of its inspector.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use loop_examples::argument;
use loop_runtime::net::UnixListener;
use loop_runtime::web::App;
use loop_runtime::{
    Builder, EventLoop, Task, create_task, get_running_loop, run_in_executor, sleep,
};

/// Takes over a terminal's title, turns the text around and begins a new line.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{202e}evil\u{200b}\nrow";

/// Tasks without end to speak of: each lives for two polls.
async fn crowd() {
    loop {
        for _ in 0..200 {
            create_task(loop_runtime::yield_now()).detach();
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Carries [`HOSTILE`] wherever an app can put a text of its own.
fn misname(directory: &std::path::Path) {
    let named = || Task::<()>::builder().name(HOSTILE);
    named().spawn(std::future::pending::<()>()).detach();
    // Nobody reads the panic before the handle is gone.
    let panicked = named().spawn(async { panic!("{HOSTILE}") });
    create_task(async move {
        sleep(Duration::from_millis(10)).await;
        drop(panicked);
    })
    .detach();
    let path = directory.join(HOSTILE);
    create_task(async move {
        let listener = UnixListener::bind(&path).expect("a socket may have any name");
        let _ = listener.accept().await;
    })
    .detach();
    std::thread::Builder::new()
        .name("\u{1b}[31m\u{202e}t".to_owned())
        .spawn(|| {
            let second = EventLoop::new().expect("a second loop");
            // On purpose: one that could never go on would end.
            let _ = second.run_until_complete(loop_runtime::pending::<()>());
        })
        .expect("a thread may have any name");
}

/// A filter as a strict container has it.
#[cfg(target_os = "linux")]
fn forbid_what_was_asked() {
    use loop_runtime::testing::{Forbid, forbid};
    let what = match argument("--forbid", String::new()).as_str() {
        "" => return,
        "signals" => Forbid::Signals,
        "reads" => Forbid::Reads,
        "shared-maps" => Forbid::SharedMaps,
        other => panic!("nothing called {other} can be forbidden"),
    };
    forbid(what).expect("the kernel takes a filter");
}

#[cfg(not(target_os = "linux"))]
fn forbid_what_was_asked() {}

fn main() -> ExitCode {
    // First: threads that are there already would not be bound by it.
    forbid_what_was_asked();
    let crowded = argument("--crowd", false);
    let hostile = argument("--hostile", PathBuf::new());
    let address = argument("--addr", SocketAddr::from(([127, 0, 0, 1], 0)));
    let tcp = argument("--tcp", String::new());
    let routes = Router::new()
        .route("/", get(|| async { "here\n" }))
        .route(
            "/block",
            get(|| async {
                std::thread::sleep(Duration::from_secs(600));
                ""
            }),
        )
        .route(
            "/spin",
            get(|| async {
                while std::hint::black_box(true) {
                    std::hint::spin_loop();
                }
                ""
            }),
        )
        .route(
            "/job",
            get(|| async {
                let done = run_in_executor(|| "done\n").await;
                done.unwrap_or("no thread\n")
            }),
        );
    let app = App::new(routes).addr(address).on_listening(move |address| {
        println!("listening on http://{address}");
        let here = get_running_loop().expect("it is called on the loop");
        println!("{}", here.handle().inspector());
        if crowded {
            create_task(crowd()).detach();
        }
        if hostile.is_absolute() {
            misname(&hostile);
        }
    });
    let mut builder = Builder::new().name("attacked");
    if !tcp.is_empty() {
        builder = builder.inspector_tcp(tcp.parse().expect("an address"));
    }
    match app.run_with(builder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
