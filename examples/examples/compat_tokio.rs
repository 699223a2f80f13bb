//! reqwest and sqlx, which need tokio, on this loop.
//!
//! Try:  cargo run -p loop-examples --features compat --example compat_tokio
//! or    RUSTFLAGS="--cfg tokio_unstable" … the same, to have tokio's tasks listed one by one
//!
//! The console shows two loops: ours, with the tasks `fetch` and `store`, and `tokio`, where the
//! connections of reqwest's pool and sqlx's are driven: as tasks with place and parent if tokio
//! tells of them, else as a number beside its name. With `--for SECONDS` it stays that long.
#![forbid(unsafe_code)]

use std::time::Duration;

use loop_examples::argument;
use loop_runtime::web::{App, Application, Request, Response};
use loop_runtime::{Builder, Task, create_future, net::TcpListener, sleep};
use sqlx::Row;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A small server of ours, to have something to fetch.
async fn serve(listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let mut app = Application::new();
    app.router()
        .add_get("/users/{name}", async |request: Request| {
            Response::text(request.match_info("name").unwrap_or("?"))
        });
    App::new(app).serve_until(listener, stop).await
}

async fn fetch(url: String) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.get(url).timeout(Duration::from_secs(10)).send();
    Ok(answer.await?.error_for_status()?.text().await?)
}

async fn store(name: String) -> Result<i64> {
    let pool = sqlx::SqlitePool::connect("sqlite::memory:").await?;
    let mut connection = pool.acquire().await?;
    sqlx::query("CREATE TABLE users (name TEXT)")
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO users VALUES (?)")
        .bind(name)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT count(*) FROM users WHERE name = 'ada'")
        .fetch_one(&mut *connection)
        .await?;
    Ok(row.get(0))
}

async fn both(stay: u64) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    let url = format!("http://{}/users/ada", listener.local_addr()?);
    let (promise, stop) = create_future::<()>();
    let server = Task::<()>::builder()
        .name("server")
        .spawn(serve(listener, async {
            let _ = stop.await;
        }));
    let name = Task::<()>::builder().name("fetch").spawn(fetch(url));
    let name = name.await??;
    println!("reqwest fetched {name}");
    let stored = Task::<()>::builder().name("store").spawn(store(name));
    println!("sqlx counts {}", stored.await??);
    sleep(Duration::from_secs(stay)).await;
    let _ = promise.set_result(());
    server.await??;
    Ok(())
}

fn main() -> Result<()> {
    let stay = argument("--for", 0);
    Builder::new()
        .name("app")
        .compat_tokio(true)
        .run(both(stay))?
}
