//! Who may listen, and what is said when nobody can be talked to.

use std::time::Duration;

use super::*;

#[test]
fn a_listener_is_us_or_root_or_for_root_the_sockets_owner() {
    for (peer, ours, owner, may) in [
        (1000, 1000, None, true),
        (0, 1000, None, true),
        (1001, 1000, Some(1001), false),
        (1001, 1000, Some(1000), false),
        (1001, 0, Some(1001), true),
        (1001, 0, Some(1002), false),
        (1001, 0, None, false),
    ] {
        assert_eq!(
            may_listen(peer, ours, owner),
            may,
            "{peer} {ours} {owner:?}"
        );
    }
}

#[test]
fn a_long_path_goes_through_its_directorys_descriptor() {
    let deep = std::env::temp_dir()
        .join(format!("lc-long-{}", std::process::id()))
        .join("d".repeat(120));
    std::fs::create_dir_all(&deep).expect("a deep directory");
    let path = deep.join("1-1.sock");
    assert!(path.as_os_str().len() > MAX_PATH);
    let short = Short::of(&path).expect("the directory opens");
    assert!(short.path().as_os_str().len() <= MAX_PATH);
    let _listener = std::os::unix::net::UnixListener::bind(short.path()).expect("it binds");
    assert!(is_socket(&path), "and it is the same file");
    let _ = std::fs::remove_dir_all(deep.parent().expect("a parent"));
}

fn hello(major: u32) -> pb::HelloReply {
    pb::HelloReply {
        protocol: Some(pb::Version { major, minor: 0 }),
        app_name: "shop-api\u{1b}[31m".into(),
        pid: 48211,
        runtime_version: "0.6.1".into(),
        executable: "/srv/bin/shop".into(),
        ..pb::HelloReply::default()
    }
}

#[test]
fn every_way_of_not_getting_there_has_its_words_and_its_code() {
    let looked = vec![
        Looked {
            place: "/run/user/1000/loop-console".into(),
            found: "0 sockets".into(),
        },
        Looked {
            place: "/tmp/loop-console-1000".into(),
            found: "no such directory".into(),
        },
    ];
    let app = |pid, name: &str| App {
        target: String::new(),
        pid,
        name: name.into(),
        up: None,
        loops: None,
        worst: None,
    };
    let gap = loop_proto::version::fit(hello(3).protocol).expect_err("another major");
    let mut all = String::new();
    for (target, not_there, code) in [
        (
            Target::Only,
            NotThere::Nobody {
                looked: looked.clone(),
            },
            3,
        ),
        (
            Target::Name("taks".into()),
            NotThere::Nobody { looked: vec![] },
            3,
        ),
        (Target::Pid(7), NotThere::Nobody { looked: vec![] }, 3),
        (
            Target::Only,
            NotThere::Several(vec![app(7, "a"), app(48211, "b\u{1b}c")]),
            2,
        ),
        (
            Target::Only,
            NotThere::Trouble(Trouble::Gap {
                hello: Box::new(hello(3)),
                gap,
            }),
            4,
        ),
        (
            Target::Socket("/x.sock".into()),
            NotThere::Trouble(Trouble::Unreachable(
                "/x.sock: nobody listens there any more (did it stop?)".into(),
            )),
            3,
        ),
        (
            Target::Name("shop".into()),
            NotThere::Trouble(Trouble::Silent(Duration::from_secs(5))),
            3,
        ),
    ] {
        let failure = failure(&target, not_there);
        assert_eq!(failure.exit.code(), code, "{failure}");
        all.push_str(&format!("{failure}\n\n"));
    }
    assert!(!all.contains('\u{1b}'));
    let console = format!("loop-console {}", env!("CARGO_PKG_VERSION"));
    insta::assert_snapshot!("not_there", all.replace(&console, "loop-console VERSION"));
}

#[test]
fn an_app_goes_by_pid_name_executable_and_its_path() {
    let candidate = Candidate {
        socket: "/s".into(),
        pid: 300,
        owner: 0,
        note: discover::Note::default(),
    };
    for (target, meant) in [
        (Target::Only, true),
        (Target::Pid(300), true),
        (Target::Pid(48211), true),
        (Target::Pid(1), false),
        (Target::Name("shop-api\u{1b}[31m".into()), true),
        (Target::Name("shop".into()), true),
        (Target::Name("sho".into()), false),
        (Target::Path("/srv/bin/shop".into()), true),
        (Target::Path("/srv/bin/other".into()), false),
    ] {
        assert_eq!(is_meant(&target, &candidate, &hello(1)), meant, "{target}");
    }
}
