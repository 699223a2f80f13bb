//! What the kernel may refuse an app: signals for its own threads, files to read, memory shared with a
//! file. Filters as strict containers set them, on the app that is attacked.

use std::net::TcpStream;

use crate::*;

/// The app under a filter, with a request that keeps its loop busy for ever.
fn spinning(world: &World, forbidden: &str) -> (App, TcpStream) {
    let app = world.app(&["--forbid", forbidden]);
    app.visitor().served(10);
    let mut spins = TcpStream::connect(&app.address).expect("it listens where it says");
    let request = b"GET /spin HTTP/1.1\r\nHost: here\r\n\r\n";
    spins.write_all(request).expect("the app reads");
    (app, spins)
}

/// The first block that the console tells, once it has one.
fn block(world: &World, app: &App) -> serde_json::Value {
    for _ in 0..300 {
        let said = world.console(&["blocks", &app.target(), "--json"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let listed = said.json()["blocks"].as_array().cloned();
        // What a busy machine held up is listed too, and counts as nothing.
        let counted = |block: &serde_json::Value| block["counted"] == true;
        let first = listed.unwrap_or_default().into_iter().find(counted);
        let first = first.unwrap_or_default();
        // It is told before anybody tried to take its stack.
        if first["stack_missing"].is_string() || first["stack"].get(0).is_some() {
            return first;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no block is told");
}

#[test]
fn where_no_thread_may_be_signalled_a_block_is_told_without_its_stack_and_why() {
    let world = World::new("signals");
    let (app, _spins) = spinning(&world, "signals");
    let block = block(&world, &app);
    let why = block["stack_missing"].as_str().expect("it has none");
    assert!(
        why.contains("a seccomp filter forbids rt_tgsigqueueinfo"),
        "{why}"
    );
    assert_eq!(block["name"], "GET /spin");
    assert_eq!(block["place_from"], "spawn", "{block}");
}

#[test]
fn where_no_file_may_be_read_blocks_go_by_the_wall_and_say_so() {
    let world = World::new("reads");
    let (app, _spins) = spinning(&world, "reads");
    let block = block(&world, &app);
    assert_eq!(block["wall_only"], true, "no schedstat: {block}");
    assert!(block["stack_missing"].is_string(), "{block}");
    let report = world.answered(&["report", &app.target()]);
    let told = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("how long the thread waited for a CPU is not known on this host"),
        "{report}"
    );
}

#[test]
fn where_no_memory_may_be_shared_the_app_and_its_inspector_run() {
    let world = World::new("maps");
    let app = world.app(&["--forbid", "shared-maps"]);
    app.visitor().served(100);
    let said = world.answered(&["tasks", &app.target(), "--json"]);
    assert!(said.contains("\"tasks\""), "{said}");
}
