//! The textbook's web server, line by line.
//!
//! Try:  cargo run --release -p loop-examples --example web_hello
//! then  loop-console connect        and        curl http://127.0.0.1:8080/
//!
//! The console shows a task per connection and one per request, named `GET /` after its route.
//! `web_server` is the same with routes that misbehave.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use loop_examples::argument;
use loop_runtime::web;

// aiohttp: async def handle(request): return web.Response(text="Hello, World!")
async fn handle(_request: web::Request) -> web::Response {
    web::Response::text("Hello, World!")
}

fn main() -> Result<(), web::ServeError> {
    // aiohttp: app = web.Application(); app.router.add_get('/', handle)
    let mut app = web::Application::new();
    app.router().add_get("/", handle);

    // aiohttp: web.run_app(app). With an address to choose, and to tell: `web::App`.
    let address = argument("--addr", SocketAddr::from(([127, 0, 0, 1], 8080)));
    web::App::new(app)
        .addr(address)
        .on_listening(|address| println!("listening on http://{address}"))
        .run()
}
