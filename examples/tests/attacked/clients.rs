//! Clients that mean harm, or do not listen.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::wire::{self, frame, setting};
use crate::*;

/// What an attack may cost the app, in bytes; most of it is what an allocator keeps.
const COST: u64 = 96 << 20;

/// Runs `attack` again and again on a thread of its own while the app is asked by its own clients
/// and by a console that means well; then once more without it.
fn unharmed(name: &str, attack: impl Fn(&Path, &AtomicBool) + Send + Sync + 'static) {
    let world = World::new(name);
    let app = world.app(&[]);
    let mut visitor = app.visitor();
    visitor.served(100);
    world.answered(&["tasks", &app.target()]);
    let before = app.memory();
    let over = AtomicBool::new(false);
    let socket = app.socket();
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            loop {
                attack(&socket, &over);
                if over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        visitor.served(1000);
        let during = world.answered(&[
            "loops",
            &app.target(),
            "--json=id,state",
            "--timeout",
            "20s",
        ]);
        assert!(during.contains("\"id\""), "{during}");
        visitor.served(1000);
        over.store(true, Ordering::Relaxed);
        attacker.join().expect("the attack has no fault");
    });
    let grown = app.memory().saturating_sub(before);
    println!("{name}: the app grew by {} KiB", grown >> 10);
    assert!(grown < COST, "{name}: the app grew by {} MiB", grown >> 20);
    visitor.served(100);
    world.answered(&["tasks", &app.target()]);
}

/// Writes `bytes` until the app closes, or `most` times. False: the app took all.
fn pour(stream: &mut UnixStream, bytes: &[u8], most: usize, over: &AtomicBool) -> bool {
    for _ in 0..most {
        if stream.write_all(bytes).is_err() {
            return true;
        }
        if over.load(Ordering::Relaxed) {
            return true;
        }
    }
    false
}

#[test]
fn garbage_half_a_preface_and_silence_hold_nobody_up() {
    unharmed("garbage", |socket, _| {
        let mut held: Vec<UnixStream> = Vec::new();
        for hello in [
            &b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..],
            &[0; 4096],
            &[0xff; 4096],
            &wire::PREFACE[..12],
            wire::PREFACE,
            b"",
        ] {
            let mut stream = wire::connect(socket);
            let _ = stream.write_all(hello);
            held.push(stream);
        }
        held.push(wire::greeted(socket));
        std::thread::sleep(Duration::from_millis(20));
    });
}

#[test]
fn two_hundred_connections_at_once_leave_a_place_for_a_console() {
    unharmed("crowd", |socket, over| {
        let held: Vec<UnixStream> = (0..200).map(|_| wire::greeted(socket)).collect();
        // Held for as long as the console needs to find its way past them.
        for _ in 0..50 {
            if !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        drop(held);
    });
}

#[test]
fn an_endless_header_is_cut_off() {
    unharmed("header", |socket, over| {
        let mut stream = wire::greeted(socket);
        let part = [b'x'; 16_000];
        let first = frame(wire::HEADERS, 0, 1, &wire::call("Hello"));
        let more = frame(wire::CONTINUATION, 0, 1, &part);
        // Closed on the first write already where the app was quick.
        let cut = stream.write_all(&first).is_err() || pour(&mut stream, &more, 4096, over);
        assert!(cut, "64 MB of one header were taken");
    });
}

#[test]
fn frames_too_large_and_settings_without_end_are_cut_off_or_cost_nothing() {
    unharmed("settings", |socket, over| {
        let mut stream = wire::greeted(socket);
        // A frame that says it has 16 MiB, and has them.
        let _ = stream.write_all(&[0xff, 0xff, 0xff, wire::SETTINGS, 0, 0, 0, 0, 0]);
        assert!(pour(&mut stream, &[0; 16_000], 1100, over), "taken whole");
        let mut stream = wire::greeted(socket);
        // The largest table of headers and window that there are, over and over.
        let many: Vec<u8> = [setting(1, u32::MAX), setting(4, (1 << 31) - 1)].concat();
        let many = frame(wire::SETTINGS, 0, 0, &many.repeat(1000));
        pour(&mut stream, &many, 500, over);
    });
}

#[test]
fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    unharmed("resets", |socket, over| {
        let mut stream = wire::greeted(socket);
        let hello = wire::call("WatchEvents");
        let cut = (0..200_000_u32).any(|n| {
            let id = 2 * n + 1;
            let both = [
                frame(wire::HEADERS, wire::END_HEADERS, id, &hello),
                frame(wire::RESET, 0, id, &8_u32.to_be_bytes()),
            ];
            stream.write_all(&both.concat()).is_err() || over.load(Ordering::Relaxed)
        });
        assert!(cut, "200,000 resets were taken");
    });
}

#[test]
fn calls_that_are_made_and_reset_at_once_leave_nothing_behind() {
    unharmed("called", |socket, over| {
        let mut stream = wire::greeted(socket);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
        for n in 0..20_000_u32 {
            let id = 2 * n + 1;
            let both = [
                wire::ask(id, "WatchEvents", &[]),
                frame(wire::RESET, 0, id, &8_u32.to_be_bytes()),
            ];
            if stream.write_all(&both.concat()).is_err() || over.load(Ordering::Relaxed) {
                return;
            }
            // Reads along, so that only the calls themselves may be too many.
            if n % 64 == 0 {
                let _ = stream.read(&mut [0; 65_536]);
            }
        }
    });
}

#[test]
fn pings_and_frames_that_mean_nothing_leave_others_their_turn() {
    unharmed("pings", |socket, over| {
        for flood in [
            // Answered with as many; nobody reads them.
            frame(wire::PING, 0, 0, &[7; 8]),
            // Answered with nothing.
            frame(wire::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
            frame(0x77, 0, 0, &[0; 64]),
        ] {
            let mut stream = wire::greeted(socket);
            let _ = stream.set_write_timeout(Some(Duration::from_millis(500)));
            pour(&mut stream, &flood.repeat(1000), 5000, over);
        }
    });
}

#[test]
fn viewers_of_all_events_that_never_read_cost_a_bounded_sum() {
    let world = World::new("deaf");
    let app = world.app(&["--crowd", "true"]);
    let mut visitor = app.visitor();
    world.answered(&["tasks", &app.target()]);
    let before = app.memory();
    // Seven connections with sixteen streams each, all with the widest window there is.
    let all_kinds: Vec<u8> = (1..40).flat_map(|kind| [0x08, kind]).collect();
    let deaf: Vec<UnixStream> = (0..7)
        .map(|_| {
            let mut stream = wire::connect(&app.socket());
            let wide = frame(wire::SETTINGS, 0, 0, &setting(4, (1 << 31) - 1));
            let window = frame(wire::WINDOW, 0, 0, &((1_u32 << 30).to_be_bytes()));
            let mut bytes = [wire::PREFACE, &wide, &window].concat();
            for n in 0..16 {
                bytes.extend(wire::ask(2 * n + 1, "WatchEvents", &all_kinds));
            }
            stream.write_all(&bytes).expect("it is taken");
            stream
        })
        .collect();
    for _ in 0..10 {
        visitor.served(200);
        world.answered(&["loops", &app.target(), "--json=id", "--timeout", "20s"]);
    }
    let grown = app.memory().saturating_sub(before);
    println!("deaf: the app grew by {} KiB", grown >> 10);
    assert!(grown < 256 << 20, "grown by {} MiB", grown >> 20);
    drop(deaf);
    world.answered(&["tasks", &app.target()]);
    visitor.served(100);
}

#[test]
fn a_stopped_console_is_told_what_it_missed_and_holds_up_nobody() {
    let world = World::new("stopped");
    let app = world.app(&["--crowd", "true"]);
    let mut visitor = app.visitor();
    let target = app.target();
    let arguments = [
        "events",
        "-f",
        "--kind",
        "spawn,finish,poll,wake",
        "--json",
        &target,
    ];
    let child = world
        .console_command()
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn();
    let mut slow = Ends(child.expect("the console can be started"));
    let mut out = BufReader::new(slow.0.stdout.take().expect("its output is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a first batch");
    slow.signal(Signal::STOP);
    let before = app.memory();
    for _ in 0..5 {
        visitor.served(400);
        let loops = world.answered(&["loops", &target, "--json=id"]);
        assert!(loops.contains("\"id\""), "{loops}");
    }
    let grown = app.memory().saturating_sub(before);
    println!("stopped: the app grew by {} KiB", grown >> 10);
    assert!(grown < COST, "grown by {} MiB", grown >> 20);
    slow.signal(Signal::CONT);
    // Once it listens again, it is told; until then it prints what was on its way.
    let lost = |line: &str| {
        let document: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let lost = document["lost"].as_object().cloned().unwrap_or_default();
        lost.values()
            .filter_map(serde_json::Value::as_u64)
            .sum::<u64>()
    };
    let told = (0..2000).any(|_| {
        line.clear();
        out.read_line(&mut line).expect("it goes on");
        lost(&line) > 0
    });
    assert!(told, "the last line was {line}");
    println!("stopped: {} events were lost, and it says so", lost(&line));
    slow.signal(Signal::INT);
    std::io::copy(&mut out, &mut std::io::sink()).expect("the rest");
    assert_eq!(slow.0.wait().expect("its end").code(), Some(130));
    visitor.served(100);
}

#[test]
fn a_stopped_watcher_of_lists_holds_up_neither_the_app_nor_another() {
    let world = World::new("halted");
    let app = world.app(&["--crowd", "true"]);
    let mut visitor = app.visitor();
    let target = app.target();
    let child = world
        .console_command()
        .args(["tasks", &target, "--json", "--watch", "50ms"])
        .stdout(Stdio::piped())
        .spawn();
    let mut slow = Ends(child.expect("the console can be started"));
    let mut out = BufReader::new(slow.0.stdout.take().expect("its output is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a first list");
    slow.signal(Signal::STOP);
    visitor.served(1000);
    for word in ["tasks", "timers", "io", "leaks"] {
        world.answered(&[word, &target]);
    }
    slow.signal(Signal::CONT);
    for _ in 0..3 {
        line.clear();
        out.read_line(&mut line).expect("it goes on");
        assert!(line.contains("\"tasks\""), "{line}");
    }
}
