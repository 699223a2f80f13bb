//! What the environment can do to an endpoint: no descriptors, no directory, a port in use, files
//! of processes that are gone, other users.

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::*;

/// Makes a socket as old as can be: one that is young is swept by nobody.
fn grow_old(socket: &Path) {
    let then = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: then,
        last_modification: then,
    };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, socket, &times, flags).expect("its times are ours");
}

fn mode(path: &Path) -> u32 {
    let facts = fs::symlink_metadata(path).expect("it is there");
    facts.permissions().mode() & 0o777
}

#[test]
fn without_descriptors_the_app_goes_on_and_the_inspector_comes_back() {
    let world = World::new("nofile");
    let app = world.app(&[]);
    let mut visitor = app.visitor();
    visitor.served(10);
    // What the inspector opens for the first console it may keep; its end of the connection it
    // closes a moment after the console is gone.
    world.answered(&["tasks", &app.target()]);
    let mut free = app.free_descriptor();
    let mut same = 0;
    while same < 20 {
        std::thread::sleep(Duration::from_millis(50));
        let now = app.free_descriptor();
        same = if now == free { same + 1 } else { 0 };
        free = now;
    }
    let had = getrlimit(Resource::Nofile);
    let limit = |current: Option<u64>| {
        let wanted = Rlimit { current, ..had };
        prlimit(Some(app.pid()), Resource::Nofile, wanted).expect("our own child");
    };
    limit(Some(free));
    let said = world.console(&["tasks", &app.target(), "--timeout", "1s"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("no answer within 1s"), "{said:?}");
    visitor.served(1000);
    limit(had.current);
    world.answered(&["tasks", &app.target()]);
    visitor.served(100);
}

#[test]
fn an_app_that_may_not_write_where_it_was_told_runs_with_the_last_resort() {
    let world = World::new("nowhere");
    let file = world.0.join("file");
    fs::write(&file, "").expect("a file");
    let long = world.0.join("x".repeat(120));
    // A file, what would lie below one, and what no socket's address can hold: for root too.
    for directory in [file.clone(), file.join("below"), long] {
        let mut command = world.command(&program("examples/attacked_app"));
        let app = App::start(command.env("LOOP_CONSOLE_DIR", &directory));
        app.visitor().served(10);
        let last = "listening at /tmp/loop-console-";
        assert!(app.inspector.starts_with(last), "{}", app.inspector);
        world.answered(&["tasks", &app.target()]);
    }
}

#[test]
fn a_directory_of_another_user_or_one_that_others_may_enter_is_named_with_the_reason() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make another user's directory");
        return;
    }
    let world = World::new("theirs");
    let theirs = world.0.join("theirs");
    fs::create_dir(&theirs).expect("a directory");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o500)).expect("its mode");
    let user = 65_531;
    // The only other place for that user is taken by root, who is not that user.
    let last = PathBuf::from(format!("/tmp/loop-console-{user}"));
    let _ = fs::remove_dir_all(&last);
    fs::create_dir(&last).expect("a directory");
    fs::set_permissions(&world.0, fs::Permissions::from_mode(0o755)).expect("its mode");
    let copy = world.0.join("attacked_app");
    fs::copy(program("examples/attacked_app"), &copy).expect("a copy that the user may run");
    let mut command = world.command(Path::new("setpriv"));
    command
        .args(["--reuid", &user.to_string(), "--regid", &user.to_string()])
        .arg("--clear-groups")
        .arg(&copy)
        .env("LOOP_CONSOLE_DIR", &theirs);
    let app = App::start(&mut command);
    app.visitor().served(10);
    let _ = fs::remove_dir_all(&last);
    assert!(
        app.inspector.starts_with("no inspector: "),
        "{}",
        app.inspector
    );
    for part in [
        &format!("{}: it belongs to another user", theirs.display())[..],
        &format!("{}: it belongs to another user", last.display()),
    ] {
        assert!(app.inspector.contains(part), "{}", app.inspector);
    }
}

#[test]
fn over_tcp_only_the_right_token_is_let_in_and_its_file_is_private() {
    let world = World::new("tcp");
    let app = world.app(&["--tcp", "127.0.0.1:0"]);
    let (_, rest) = app.inspector.split_once(" and at ").expect("a TCP address");
    let (address, file) = rest.split_once(", token in ").expect("a token's file");
    assert_eq!(mode(Path::new(file)), 0o600);
    let token = fs::read_to_string(file).expect("it is ours");
    let target = format!("http://{address}");
    let with = |variable: &str, value: &str| {
        let mut command = world.console_command();
        command.args(["tasks", &target, "--json=id"]);
        Said::of(command.env(variable, value))
    };
    for right in [
        with("LOOP_CONSOLE_TOKEN", &token),
        with("LOOP_CONSOLE_TOKEN_FILE", file),
    ] {
        assert_eq!(right.code, Some(0), "{right:?}");
        assert_eq!(right.json()["app"]["pid"], app.child.id());
    }
    for wrong in ["", "0", &"0".repeat(64), &token[..63], &format!("{token}0")] {
        let refused = with("LOOP_CONSOLE_TOKEN", wrong);
        assert_eq!(refused.code, Some(3), "{wrong}: {refused:?}");
        assert!(refused.err.contains("token"), "{refused:?}");
        assert_eq!(refused.out, "");
    }
    let gone = with("LOOP_CONSOLE_TOKEN_FILE", "/nowhere/token");
    assert_eq!(gone.code, Some(3), "{gone:?}");
    assert!(gone.err.contains("/nowhere/token"), "{gone:?}");
    app.visitor().served(10);
}

#[test]
fn a_port_in_use_and_an_address_that_others_reach_are_refused_and_the_socket_stays() {
    let world = World::new("port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").to_string();
    for (address, why) in [
        (&port[..], "in use"),
        ("0.0.0.0:0", "other machines could reach it"),
        ("[::]:0", "other machines could reach it"),
    ] {
        let app = world.app(&["--tcp", address]);
        let (_, said) = app
            .inspector
            .split_once("; not on TCP: ")
            .unwrap_or_default();
        assert!(said.contains(why), "{address}: {}", app.inspector);
        let socket = app.inspector.split(';').next().unwrap_or_default();
        let target = socket.replace("listening at ", "unix:");
        world.answered(&["tasks", &target]);
        app.visitor().served(10);
    }
    // The app's own port is an error that names it, and the app ends.
    let mut command = world.command(&program("examples/attacked_app"));
    let said = Said::of(command.args(["--addr", &port]));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains(&port) && said.err.contains("in use"),
        "{said:?}"
    );
}

#[test]
fn an_app_that_is_killed_while_it_is_looked_at_is_a_reason_and_its_socket_is_swept() {
    let world = World::new("killed");
    let mut app = world.app(&[]);
    let target = app.target();
    let socket = app.socket();
    let child = world
        .console_command()
        .args(["tasks", &target, "--json", "--watch", "20ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut looking = Ends(child.expect("the console can be started"));
    let mut out = BufReader::new(looking.0.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a first list");
    app.kill();
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    let mut err = String::new();
    let said = looking.0.stderr.take().expect("piped");
    BufReader::new(said).read_to_string(&mut err).expect("text");
    assert_eq!(looking.0.wait().expect("its end").code(), Some(3), "{err}");
    assert!(!err.trim().is_empty(), "it says why");
    let gone = world.console(&["tasks", &target]);
    assert_eq!(gone.code, Some(3), "{gone:?}");
    assert!(
        gone.err.contains("nobody listens there any more"),
        "{gone:?}"
    );
    assert!(socket.exists(), "a killed app cannot clean up");
    let note = socket.with_extension("json");
    assert!(note.exists());
    // The next app sweeps what the killed one left.
    grow_old(&socket);
    let next = world.app(&[]);
    assert!(!socket.exists() && !note.exists());
    let found = world.answered(&["tasks", "--json=id"]);
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["app"]["pid"], next.child.id());
}

#[test]
fn notes_that_lie_are_no_app_and_hurt_no_list() {
    let world = World::new("notes");
    let app = world.app(&[]);
    let hostile = "{\"name\":\"\\u001b]0;owned\\u0007\\u202eevil\",\"pid\":1}";
    for (name, text) in [
        ("1-1.json", hostile),
        ("2-2.json", "not json"),
        ("3-3.json", ""),
        ("4-4.sock", "no socket"),
        ("\u{1b}[31m-\u{202e}.sock", ""),
    ] {
        fs::write(world.0.join(name), text).expect("a file");
    }
    // Sockets on which nobody listens: of a process that lives, of an earlier one with a pid that is
    // used again, and of one that cannot be.
    let own = fs::read_to_string("/proc/self/stat").expect("it is there");
    let start = loop_proto::endpoint::read_start(&own).expect("it tells");
    let lives = format!("{}-{start}.sock", std::process::id());
    for name in [&lives, "1-1.sock", "99999999-1.sock"] {
        let socket = world.0.join(name);
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
        grow_old(&socket);
    }
    fs::write(world.0.join("99999999-1.json"), hostile).expect("a file");
    fs::write(world.0.join("99999999-1.token"), "").expect("a file");
    let listed = world.console(&["ps"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(
        listed.out.contains(&app.child.id().to_string()),
        "{listed:?}"
    );
    for text in [&listed.out, &listed.err] {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text:?}");
    }
    assert_eq!(
        world.console(&["tasks"]).code,
        Some(0),
        "the only one that lives is meant"
    );
    for (name, stays) in [
        ("99999999-1.sock", false),
        ("99999999-1.json", false),
        ("99999999-1.token", false),
        ("1-1.sock", false),
        (&lives, true),
        ("4-4.sock", true),
    ] {
        assert_eq!(world.0.join(name).exists(), stays, "{name}");
    }
}

#[test]
fn another_user_is_refused_where_the_files_would_let_it_in() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let world = World::new("uid");
    let app = world.app(&[]);
    fs::set_permissions(&world.0, fs::Permissions::from_mode(0o755)).expect("its mode");
    fs::set_permissions(app.socket(), fs::Permissions::from_mode(0o666)).expect("its mode");
    let copy = world.0.join("loop-console");
    fs::copy(program("loop-console"), &copy).expect("a copy that the user may run");
    let mut command = world.command(Path::new("setpriv"));
    command
        .args(["--reuid", "65530", "--regid", "65530", "--clear-groups"])
        .arg(&copy)
        .args(["tasks", &app.target()]);
    let refused = Said::of(&mut command);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert_eq!(refused.out, "");
    assert!(refused.err.contains("Cannot connect"), "{refused:?}");
    world.answered(&["tasks", &app.target()]);
    app.visitor().served(10);
}
