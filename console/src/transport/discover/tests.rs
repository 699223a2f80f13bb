//! Directories made for the test, with sockets that nobody serves: looking opens none.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::SystemTime;

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lc-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    fn directory(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        path
    }

    fn places(&self, directories: &[&PathBuf]) -> Places {
        Places {
            directories: directories.iter().map(|d| (*d).clone()).collect(),
            proc: None,
            everywhere: true,
            uid: rustix::process::geteuid().as_raw(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn sockets_are_found_with_what_their_notes_say_and_nothing_else_is() {
    let scratch = Scratch::new("found");
    let dir = scratch.directory("a", 0o700);
    let _socket = UnixListener::bind(dir.join("48211-77.sock")).expect("a socket");
    fs::write(
        dir.join("48211-77.json"),
        r#"{"name":"shop","started_unix_ns":5}"#,
    )
    .expect("a note");
    let _other = UnixListener::bind(dir.join("other.sock")).expect("a socket");
    fs::write(dir.join("7-7.sock"), "no socket").expect("a file");
    let found = look(&scratch.places(&[&dir]));
    assert_eq!(found.candidates.len(), 1, "{found:?}");
    let candidate = &found.candidates[0];
    assert_eq!(
        (
            candidate.pid,
            candidate.note.name.as_str(),
            candidate.note.started_unix_ns
        ),
        (48211, "shop", Some(5))
    );
    assert_eq!(found.looked[0].found, "1 socket");
}

#[test]
fn a_broken_note_is_no_note() {
    let scratch = Scratch::new("note");
    let dir = scratch.directory("a", 0o700);
    let _socket = UnixListener::bind(dir.join("1-1.sock")).expect("a socket");
    for text in ["", "{", "[1,2]", "{\"name\":7}"] {
        fs::write(dir.join("1-1.json"), text).expect("a note");
        assert_eq!(
            look(&scratch.places(&[&dir])).candidates[0].note,
            Note::default(),
            "{text}"
        );
    }
}

#[test]
fn each_place_says_why_nothing_came_from_it() {
    let scratch = Scratch::new("why");
    let open = scratch.directory("open", 0o777);
    let _socket = UnixListener::bind(open.join("1-1.sock")).expect("a socket");
    let none = scratch.0.join("none");
    let file = scratch.0.join("file");
    fs::write(&file, "").expect("a file");
    let link = scratch.0.join("link");
    std::os::unix::fs::symlink(scratch.directory("real", 0o700), &link).expect("a link");
    let found = look(&scratch.places(&[&open, &none, &file, &link]));
    assert!(found.candidates.is_empty());
    let said: Vec<&str> = found.looked.iter().map(|l| l.found.as_str()).collect();
    assert_eq!(
        said,
        [
            "others may write there: not looked at",
            "no such directory",
            "not a directory",
            "not a directory"
        ]
    );
}

#[test]
fn a_directory_named_twice_is_listed_once() {
    let scratch = Scratch::new("twice");
    let dir = scratch.directory("a", 0o700);
    let _socket = UnixListener::bind(dir.join("1-1.sock")).expect("a socket");
    let again = scratch.0.join("./a");
    let found = look(&scratch.places(&[&dir, &dir, &again]));
    assert_eq!(found.candidates.len(), 1);
}

#[test]
fn a_process_in_another_mount_namespace_is_reached_through_its_root_and_by_its_outer_pid() {
    let scratch = Scratch::new("proc");
    let uid = rustix::process::geteuid().as_raw();
    let proc = scratch.directory("proc", 0o755);
    for (pid, namespace) in [("self", "mnt:[1]"), ("300", "mnt:[2]"), ("301", "mnt:[1]")] {
        let home = proc.join(pid);
        fs::create_dir_all(home.join("ns")).expect("a process");
        std::os::unix::fs::symlink(namespace, home.join("ns/mnt")).expect("a namespace");
        fs::write(
            home.join("status"),
            format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nNSpid:\t{pid}\t12\n"),
        )
        .expect("a status");
        fs::write(home.join("environ"), "A=1\0LOOP_CONSOLE_DIR=/hidden\0").expect("an environment");
    }
    let hidden = proc.join("300").join("root").join("hidden");
    fs::create_dir_all(&hidden).expect("its root");
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).expect("its mode");
    let _socket = UnixListener::bind(hidden.join("12-9.sock")).expect("a socket");
    let mut found = look(&Places {
        directories: vec![],
        proc: Some(proc.clone()),
        everywhere: true,
        uid,
    });
    // The process of our own namespace leads to the machine's real directories.
    found.candidates.retain(|c| c.socket.starts_with(&proc));
    assert_eq!(found.candidates.len(), 1, "{found:?}");
    assert_eq!(
        found.candidates[0].pid, 300,
        "not the 12 that it knows itself by"
    );
    assert!(found.candidates[0].socket.starts_with(hidden));
}

#[test]
fn only_what_is_surely_stale_is_swept() {
    let scratch = Scratch::new("sweep");
    let dir = scratch.directory("a", 0o700);
    let proc = scratch.directory("proc", 0o755);
    // One lives, of one the pid is used again.
    for (pid, start) in [(300, 1), (302, 7)] {
        let stat = format!("{pid} (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 {start} 0");
        fs::create_dir_all(proc.join(pid.to_string())).expect("a process");
        fs::write(proc.join(format!("{pid}/stat")), stat).expect("its state");
    }
    for name in ["300-1", "301-1", "302-1"] {
        drop(UnixListener::bind(dir.join(format!("{name}.sock"))).expect("a socket"));
        fs::write(dir.join(format!("{name}.json")), "{}").expect("a note");
    }
    let places = Places {
        proc: Some(proc),
        ..scratch.places(&[&dir])
    };
    let sweep_all = |now| {
        for candidate in look(&places).candidates {
            sweep(&candidate, &places, now);
        }
        let left = look(&places).candidates;
        left.iter().map(|c| c.pid).collect::<Vec<u32>>()
    };
    assert_eq!(sweep_all(SystemTime::now()).len(), 3, "they are young");
    assert_eq!(
        sweep_all(SystemTime::now() + 2 * YOUNG),
        [300],
        "its process lives, so it may be about to listen"
    );
    assert!(!dir.join("301-1.json").exists() && !dir.join("302-1.json").exists());
}
