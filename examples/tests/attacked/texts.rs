//! Texts that an app chose, and what a user may type: both reach the terminal as text only. And the
//! way out while the app is blocked for ever.

use std::io::Write;

use crate::*;

/// What moves a cursor, hides or turns text around.
const HOSTILE: [char; 5] = ['\u{1b}', '\u{7}', '\u{202e}', '\u{200b}', '\u{9b}'];

#[test]
fn names_panics_threads_and_paths_with_escapes_are_shown_as_text() {
    let world = World::new("texts");
    let directory = world.0.to_str().expect("a path that is text").to_owned();
    let mut command = world.command(&program("examples/attacked_app"));
    let log = fs::File::create(world.0.join("log")).expect("a file");
    let app = App::start(command.args(["--hostile", &directory]).stderr(log));
    let target = app.target();
    let lists = [("tasks", "owned"), ("io", "owned"), ("loops", "[31m")];
    for (word, part) in lists {
        let mut table = String::new();
        // The panic is heard a moment after the app says that it listens.
        for _ in 0..100 {
            table = world.answered(&[word, &target]);
            if table.contains(part) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(table.contains(part), "{word}: {table}");
        let json = world.answered(&[word, &target, "--json"]);
        let always = world.answered(&[word, &target, "--color", "never"]);
        for text in [&table, &json, &always] {
            assert!(!text.contains(HOSTILE), "{word}: {text:?}");
        }
        assert!(table.contains("\\u{202e}"), "{word}: visible: {table}");
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert!(
            parsed.to_string().contains('\u{202e}'),
            "{word}: a parser reads the same text"
        );
    }
    for arguments in [&["leaks", &target][..], &["leaks", &target, "--json"]] {
        let leaks = world.answered(arguments);
        assert!(
            leaks.contains("app.rs:") && !leaks.contains(HOSTILE),
            "{leaks:?}"
        );
    }
    // The panic is Rust's to print; the line about a panic that nobody read is the runtime's.
    let log = fs::read_to_string(world.0.join("log")).expect("text");
    let line = log.lines().find(|line| line.starts_with("loop-runtime: "));
    let line = line.unwrap_or_else(|| panic!("no line in {log:?}"));
    assert!(
        line.contains("\\u{1b}]0;owned\\u{7}\\u{202e}evil\\u{200b}\\nrow"),
        "{line:?}"
    );
    assert!(!line.contains(HOSTILE), "{line:?}");
    let events = world.answered(&["events", &target]);
    assert!(!events.contains(HOSTILE), "{events:?}");
    let tasks = world.console(&["tasks", &target, "--json=id,name"]).json();
    let rows = tasks["tasks"].as_array().cloned().unwrap_or_default();
    let named =
        |row: &&serde_json::Value| row["name"].as_str().is_some_and(|n| n.contains("owned"));
    let id = rows.iter().find(named).expect("the task")["id"].to_string();
    let told = world.answered(&["task", &id, &target]);
    assert!(
        told.contains("owned") && !told.contains(HOSTILE),
        "{told:?}"
    );
}

#[test]
fn what_is_typed_wrongly_is_named_with_what_would_be_right() {
    let world = World::new("typed");
    let app = world.app(&[]);
    let target = app.target();
    for (line, parts) in [
        (&["tasks", "--frobnicate"][..], &["--frobnicate"][..]),
        (&["tasks", &target, "--filter", "colour=red"], &["colour"]),
        (&["tasks", &target, "--filter", "state=("], &["state=("]),
        (&["tasks", &target, "--sort", "-colour"], &["colour"]),
        (&["tasks", &target, "--json=colour"], &["colour"]),
        (
            &["events", &target, "--kind", "colour"],
            &["colour", "spawn"],
        ),
        (&["task", "none", &target], &["none"]),
        (&["tasks", &target, "--timeout", "soon"], &["soon"]),
        (&["check", "--budget", "colour=1", &target], &["colour"]),
        (&["tasks", "\u{1b}[31m\u{202e}"], &["\\u{1b}"]),
    ] {
        let said = world.console(line);
        assert!(matches!(said.code, Some(2 | 3)), "{line:?}: {said:?}");
        for part in parts {
            assert!(said.err.contains(part), "{line:?}: {said:?}");
        }
        assert!(!said.err.contains(HOSTILE), "{line:?}: {said:?}");
        assert_eq!(said.out, "", "{line:?}");
    }
}

/// The screens on a terminal of their own, which `script` makes.
fn screens(world: &World, target: &str) -> Ends {
    let console = program("loop-console");
    let line = format!(
        "stty rows 30 cols 100; exec '{}' '{target}'",
        console.display()
    );
    let child = world
        .command(Path::new("script"))
        .args(["-qefc", &line, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    Ends(child.expect("`script` is there"))
}

#[test]
fn ctrl_c_leaves_the_screens_of_an_app_that_is_blocked_for_ever() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: there is no `script` to make a terminal");
        return;
    }
    let world = World::new("blocked");
    let app = world.app(&["--hostile", world.0.to_str().expect("text")]);
    let mut stuck = TcpStream::connect(&app.address).expect("it listens");
    stuck
        .write_all(b"GET /block HTTP/1.1\r\nHost: here\r\n\r\n")
        .expect("it reads");
    let mut loops = String::new();
    for _ in 0..600 {
        loops = world.answered(&["loops", &app.target(), "--json"]);
        if loops.contains("GET /block") {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(loops.contains("GET /block"), "{loops}");
    let mut screen = screens(&world, &app.target());
    let mut shown = screen.0.stdout.take().expect("piped");
    // As soon as the block is on the screen, the key.
    let (mut seen, mut bytes) = (Vec::new(), [0; 65_536]);
    while !String::from_utf8_lossy(&seen).contains("/block") {
        let n = shown.read(&mut bytes).expect("a picture");
        assert!(n > 0, "it ended: {}", String::from_utf8_lossy(&seen));
        seen.extend(&bytes[..n]);
    }
    let mut keys = screen.0.stdin.take().expect("piped");
    keys.write_all(b"\x03").expect("a key");
    shown.read_to_end(&mut seen).expect("the rest");
    let ended = screen.0.wait().expect("its end");
    assert!(matches!(ended.code(), Some(0 | 130)), "{ended:?}");
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        !seen.contains(['\u{7}', '\u{202e}']) && !seen.contains("\u{1b}]0;owned"),
        "{seen:?}"
    );
}

#[test]
fn ctrl_c_ends_a_one_shot_that_waits_for_an_app_that_says_nothing() {
    let world = World::new("silent");
    let app = world.app(&[]);
    // Stopped, it takes connections and answers none.
    let target = app.target();
    rustix::process::kill_process(app.pid(), Signal::STOP).expect("it lives");
    let child = world
        .console_command()
        .args(["tasks", &target, "--timeout", "10m"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut waiting = Ends(child.expect("the console can be started"));
    // Not before it can hear: its handler shows in the kernel's list of caught signals.
    let status = format!("/proc/{}/status", waiting.0.id());
    let hears = || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let bits = caught.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        bits.is_some_and(|bits| bits & 2 != 0)
    };
    for _ in 0..600 {
        if hears() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    waiting.signal(Signal::INT);
    assert_eq!(waiting.0.wait().expect("its end").code(), Some(130));
    rustix::process::kill_process(app.pid(), Signal::CONT).expect("it lives");
    app.visitor().served(10);
}
