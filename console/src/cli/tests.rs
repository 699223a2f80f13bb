//! What the command line understands, and how it says no.

use std::time::Duration;

use super::args::EXAMPLES;
use super::*;
use crate::exit::Exit;
use loop_proto::budget::{Budget, Limit};

fn read(line: &str) -> Result<Command, NotRun> {
    parse(std::iter::once("loop-console").chain(line.split_whitespace()))
        .map(|(_, command)| command)
}

fn command(line: &str) -> Command {
    read(line).unwrap_or_else(|error| panic!("{line}: {error:?}"))
}

fn wrong(line: &str) -> Failure {
    match read(line) {
        Err(NotRun::Wrong(failure)) => failure,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_target_alone_is_a_connect() {
    for line in ["", "connect"] {
        assert_eq!(command(line), Command::Connect { target: None }, "{line}");
    }
    for line in [
        "shop-api",
        "connect shop-api",
        "--ascii shop-api",
        "--ascii connect shop-api",
    ] {
        assert_eq!(
            command(line),
            Command::Connect {
                target: Some("shop-api".into())
            },
            "{line}"
        );
    }
    // An app may be called like a command.
    assert_eq!(
        command("connect tasks"),
        Command::Connect {
            target: Some("tasks".into())
        }
    );
}

#[test]
fn global_flags_stand_before_and_after_the_command() {
    for line in ["--ascii --via x tasks", "tasks --ascii --via x"] {
        let (global, command) =
            parse(std::iter::once("loop-console").chain(line.split_whitespace())).expect(line);
        assert!(global.ascii && global.via.as_deref() == Some("x"), "{line}");
        assert!(
            matches!(
                command,
                Command::List(List {
                    what: What::Tasks,
                    ..
                })
            ),
            "{line}"
        );
    }
}

#[test]
fn json_takes_fields_only_behind_an_equals_sign() {
    let json = |line: &str| match command(line) {
        Command::List(list) => (list.json, list.target),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        json("tasks --json shop-api"),
        (Some(vec![]), Some("shop-api".into()))
    );
    assert_eq!(
        json("tasks --json=id,name shop"),
        (Some(vec!["id".into(), "name".into()]), Some("shop".into()))
    );
    assert_eq!(json("tasks shop"), (None, Some("shop".into())));
}

#[test]
fn every_list_has_its_flags() {
    for (word, what) in [
        ("tasks", What::Tasks),
        ("loops", What::Loops),
        ("timers", What::Timers),
        ("io", What::Io),
        ("leaks", What::Leaks),
        ("resources", What::Resources),
        ("jobs", What::Jobs),
        ("children", What::Children),
        ("signals", What::Signals),
        ("blocks", What::Blocks),
    ] {
        assert_eq!(what.word(), word);
        let line = format!("{word} 48211 --filter id=7 --sort -id --watch 2s --limit 5 --json");
        let Command::List(list) = command(&line) else {
            panic!("{line}")
        };
        assert_eq!(
            list,
            List {
                what,
                target: Some("48211".into()),
                filter: "id=7".into(),
                sort: "-id".into(),
                columns: vec![],
                json: Some(vec![]),
                watch: Some(Duration::from_secs(2)),
                limit: Some(5),
            }
        );
    }
}

#[test]
fn a_check_has_a_target_or_a_command() {
    let check = |line: &str| match command(line) {
        Command::Check(check) => check,
        other => panic!("{other:?}"),
    };
    let default = check("check");
    assert_eq!(default.subject, Subject::Target(None));
    assert_eq!(default.budget, Budget::default());
    assert_eq!(
        check("check shop-api").subject,
        Subject::Target(Some("shop-api".into()))
    );
    let full = check(
        "check --for 30s --budget block=20ms,leak=1 --deny suspect,starved --junit a.xml --json b.json -- cargo test --all",
    );
    assert_eq!(
        full.subject,
        Subject::Command(["cargo", "test", "--all"].map(Into::into).to_vec())
    );
    assert_eq!(
        full.budget.limits,
        [Limit::Block(20_000_000), Limit::Leak(1)]
    );
    assert_eq!(
        full.deny,
        [
            Deny::Suspect,
            Deny::Name(loop_proto::pb::FindingName::Starved)
        ]
    );
    assert_eq!(full.time, Some(Duration::from_secs(30)));
    assert!(full.junit.is_some() && full.json.is_some());
    assert_eq!(wrong("check shop-api -- cargo test").exit, Exit::Usage);
}

#[test]
fn kinds_of_events_are_groups_or_names() {
    let kinds = |line: &str| match command(line) {
        Command::Events(events) => events.kinds,
        other => panic!("{other:?}"),
    };
    assert_eq!(kinds("events -f"), Vec::<i32>::new());
    assert_eq!(
        kinds("events -f --kind spawn,finish,timer,io,poll"),
        [1, 2, 3, 8, 9, 10, 11, 12, 13]
    );
    assert_eq!(kinds("events --kind poll,polled"), [3]);
}

#[test]
fn help_and_version_are_no_errors() {
    for line in ["--help", "-h", "--version", "tasks --help", "check -h"] {
        match read(line) {
            Err(NotRun::Said(plain, _)) => {
                assert!(plain.contains("loop-console"), "{line}: {plain}")
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn short_help_is_a_line_a_command_and_long_help_has_examples_and_codes() {
    use clap::CommandFactory;
    // Of one width, whatever terminal the test runs in.
    let mut command = Cli::command().term_width(100);
    let short = command.render_help().to_string();
    let entries = command.get_subcommands().count() + command.get_arguments().count();
    // Headings, usage and blank lines beside them.
    let lines = short.lines().count();
    assert!(lines <= entries + 16, "{lines} for {entries}");
    insta::assert_snapshot!("help_short", short);
    let Err(NotRun::Said(long, _)) = read("--help") else {
        panic!("help")
    };
    for part in [
        "Examples:",
        "Exit codes:",
        "LOOP_CONSOLE_TOKEN_FILE",
        "130 Ctrl-C",
    ] {
        assert!(long.contains(part), "{part}");
    }
}

#[test]
fn every_code_that_help_names_is_in_the_table() {
    for (_, code, _) in Exit::TABLE {
        assert!(EXAMPLES.contains(&format!("{code} ")), "{code}");
    }
}

#[test]
fn what_is_wrong_is_said_with_a_caret_and_code_2() {
    let mut all = String::new();
    for args in [
        &["tasks", "--filter", "sate=wait"][..],
        &["tasks", "--filter", "state=wait for>30"],
        &["loops", "--filter", "(busy>5%"],
        &["tasks", "--filter", "name=\u{1b}[2J wrong=1"],
        &["io", "--sort", "-pear"],
        &["tasks", "--columns", "id,nmae"],
        &["tasks", "--json=id,nmae"],
        &["events", "--kind", "spawn,finnish"],
        &["check", "--budget", "block=100ms,leek=0"],
        &["check", "--deny", "suspects"],
        &["tasks", "--bogus"],
        &["tasks", "--watch", "2"],
        &["tasks", "--watch", "0s"],
        &["shop-api", "tasks"],
        &["task", "seven"],
    ] {
        let Err(NotRun::Wrong(failure)) =
            parse(std::iter::once("loop-console").chain(args.iter().copied()))
        else {
            panic!("{args:?} was understood");
        };
        assert_eq!(failure.exit, Exit::Usage, "{args:?}");
        let text = failure.to_string();
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "{args:?}: {text:?}"
        );
        all.push_str(&format!(
            "$ loop-console {}\n{text}\n\n",
            args.join(" ").escape_default()
        ));
    }
    insta::assert_snapshot!("errors", all);
}

#[test]
fn a_misspelt_command_is_suggested() {
    assert_eq!(meant_command("taks").as_deref(), Some("tasks"));
    assert_eq!(meant_command("shop-api"), None);
}
