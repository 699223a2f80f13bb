//! Recordings: whole, cut, and anything else.

use proptest::prelude::*;

use super::*;
use crate::pb;

fn head() -> Head {
    Head {
        pid: 7,
        start: 42,
        instance: [9; 16],
        clock: clock(0),
        name: "shop".to_owned(),
        ..Head::default()
    }
}

/// A clock whose tick is half a nanosecond, `seconds` after it was set.
fn clock(seconds: u64) -> Moment {
    let ns = seconds * 1_000_000_000;
    Moment {
        mono_ns: 50_000_000_000 + ns,
        unix_ns: 1_700_000_000_000_000_000 + ns,
        ticks: 1_000 + 2 * ns,
        ns_per_tick: 0.5,
    }
}

fn spawned(at: u64, id: u64) -> [u64; 4] {
    [at, 3, id, 5]
}

fn view(target: pb::Target, tasks: u64) -> pb::View {
    pb::View {
        slot: target as u32,
        complete: true,
        tasks: (1..=tasks)
            .map(|id| pb::TaskRow {
                id,
                error: "e".repeat(50),
                ..pb::TaskRow::default()
            })
            .collect(),
        ..pb::View::default()
    }
}

fn snapshot(sequence: u64, tasks: u64, most: usize) -> Vec<u8> {
    let mut writer = Writer::new(most);
    writer.hello(&pb::HelloReply {
        app_name: "shop".to_owned(),
        ..pb::HelloReply::default()
    });
    writer.sites(&[(0, 5, 77)]);
    writer.view(view(pb::Target::Tasks, tasks));
    writer.finish(sequence, &clock(sequence))
}

fn file() -> Vec<u8> {
    let events: Vec<_> = (1..=10).map(|id| spawned(1_000 + id * 2, id)).collect();
    let mut totals = [0; KINDS];
    totals[0] = 25;
    let ring = ring_bytes(0, 25, &totals, &events);
    compose(&head(), &[ring], &snapshot(1, 3, 1 << 20))
}

#[test]
fn what_was_written_is_read_back() {
    let recording = Recording::read(&file()).unwrap();
    assert_eq!(recording.head, head());
    assert_eq!(recording.doubts, Vec::<String>::new());
    let snapshot = recording.snapshot.as_ref().unwrap();
    assert_eq!(snapshot.hello.as_ref().unwrap().app_name, "shop");
    assert_eq!(snapshot.views[0].tasks.len(), 3);
    assert_eq!(snapshot.head.at, clock(1));
    let events = recording.events();
    assert_eq!(events.len(), 10);
    assert_eq!(
        (events[0].task_id, events[0].by_id, events[0].place_text),
        (1, 3, 77)
    );
    // Two ticks are a nanosecond; the snapshot's clock is a second later and says the same.
    assert_eq!(events[0].at_ns, 50_000_000_001);
    assert_eq!(recording.counts(), (25, 15));
    assert_eq!(
        recording.lost(),
        [pb::Lost {
            kind: pb::EventKind::TaskSpawned as i32,
            count: 15
        }]
    );
    assert!(recording.rings[0].is_consistent());
}

#[test]
fn of_two_snapshots_the_newest_whole_one_is_taken() {
    let (old, new) = (snapshot(1, 1, 1 << 20), snapshot(2, 2, 1 << 20));
    let directory = Directory {
        snapshots: [
            (PAGE as u64, old.len() as u64),
            ((PAGE + old.len()) as u64, new.len() as u64),
        ],
        ..Directory::default()
    };
    let mut bytes = head().page(&directory);
    bytes.extend_from_slice(&old);
    bytes.extend_from_slice(&new);
    let sequence = |bytes: &[u8]| {
        let recording = Recording::read(bytes).unwrap();
        recording.snapshot.map(|snapshot| snapshot.head.sequence)
    };
    assert_eq!(sequence(&bytes), Some(2));
    // The new one was being written: any byte of it that is not there yet costs all of it.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(sequence(&bytes), Some(1));
    bytes[PAGE + 8] ^= 1;
    assert_eq!(sequence(&bytes), None);
    let doubts = Recording::read(&bytes).unwrap().doubts;
    assert!(doubts[0].contains("no snapshot is whole"), "{doubts:?}");
}

#[test]
fn rows_that_find_no_room_are_counted_and_the_first_ones_stay() {
    let bytes = snapshot(1, 1_000, 20_000);
    assert!(bytes.len() <= 20_000);
    let recording = Recording::read(&compose(&head(), &[], &bytes)).unwrap();
    let snapshot = recording.snapshot.unwrap();
    let kept = snapshot.views[0].tasks.len() as u64;
    assert!(kept > 200, "{kept}");
    assert_eq!(snapshot.head.left_out, 1_000 - kept);
    assert_eq!(snapshot.views[0].tasks[0].id, 1);
    assert!(
        recording
            .doubts
            .iter()
            .any(|doubt| doubt.contains("no room"))
    );
}

#[test]
fn what_may_have_been_written_over_while_it_was_read_is_let_go_of() {
    let mut ring = Ring {
        capacity: 8,
        tail: 20,
        first: 13,
        events: (13..20)
            .map(|id| Slot {
                id,
                ..Slot::default()
            })
            .collect(),
        ..Ring::default()
    };
    ring.settle(20);
    assert_eq!(ring.events.len(), 7, "nothing was pushed meanwhile");
    ring.settle(23);
    // 23 may be under way, in the slot that 15 had.
    assert_eq!((ring.first, ring.events[0].id), (16, 16));
    ring.settle(1_000);
    assert!(ring.events.is_empty());
}

#[test]
fn a_snapshot_with_more_fields_than_are_ever_written_is_not_taken_in() {
    let rows = |count: usize| {
        let mut writer = Writer::new(4 << 20);
        writer.view(pb::View {
            slot: 1,
            // Two bytes each in the file.
            tasks: vec![pb::TaskRow::default(); count],
            ..pb::View::default()
        });
        compose(&head(), &[], &writer.finish(1, &clock(0)))
    };
    let few = Recording::read(&rows(1_000)).unwrap();
    assert_eq!(few.snapshot.unwrap().views[0].tasks.len(), 1_000);
    let many = Recording::read(&rows(300_000)).unwrap();
    assert!(many.snapshot.unwrap().views.is_empty());
    assert_eq!(many.doubts, ["1 parts of the snapshot cannot be read"]);
}

#[test]
fn counts_of_damaged_rings_do_not_overflow() {
    let ring = |id| ring_bytes(id, u64::MAX, &[u64::MAX; 32], &[spawned(1, 1)]);
    let bytes = compose(&head(), &[ring(1), ring(2)], &snapshot(1, 1, 1 << 20));
    let recording = Recording::read(&bytes).unwrap();
    let (made, gone) = recording.counts();
    assert_eq!(made, u64::MAX);
    assert_eq!(made - gone, recording.events().len() as u64);
    assert!(
        recording
            .lost()
            .iter()
            .all(|lost| lost.count > u64::MAX / 2)
    );
}

#[test]
fn each_way_of_being_no_recording_has_its_sentence() {
    let whole = file();
    let error = |bytes: &[u8]| Recording::read(bytes).unwrap_err();
    assert_eq!(error(b""), Unreadable::Foreign);
    assert_eq!(error(b"#!/bin/sh\n"), Unreadable::Foreign);
    assert!(matches!(
        error(&whole[..100]),
        Unreadable::Truncated { have: 100 }
    ));
    let mut newer = whole.clone();
    newer[8] = 2;
    assert_eq!(error(&newer), Unreadable::Newer { major: 2, minor: 0 });
    let mut damaged = whole;
    damaged[20] ^= 4;
    damaged[17] ^= 4;
    assert!(matches!(error(&damaged), Unreadable::Damaged(_)));
    for error in [
        Unreadable::Foreign,
        Unreadable::Newer { major: 2, minor: 1 },
        Unreadable::Truncated { have: 3 },
        Unreadable::Damaged("x"),
    ] {
        assert!(error.to_string().starts_with("it"), "{error}");
    }
}

#[test]
fn what_a_process_says_of_its_end_stands_beside_its_rings() {
    let mut bytes = compose(&head(), &[], &snapshot(1, 2, 1 << 20));
    assert_eq!(Recording::read(&bytes).unwrap().ending, None);
    let at = Ending::OFFSET as usize;
    for end in [End::Clean, End::Panicked] {
        let ending = Ending {
            end,
            mono_ns: 5,
            unix_ns: 6,
        };
        bytes[at..at + Ending::BYTES].copy_from_slice(&ending.bytes());
        // A ring that is added later does not take it back.
        let directory = Directory::read(&bytes).bytes();
        let from = Directory::OFFSET as usize;
        bytes[from..from + directory.len()].copy_from_slice(&directory);
        let read = Recording::read(&bytes).unwrap();
        assert_eq!(read.ending, Some(ending));
        assert!(read.snapshot.is_some(), "the rest is as it was");
    }
    // Half of it written: it is not said.
    bytes[at + 8] ^= 1;
    assert_eq!(Recording::read(&bytes).unwrap().ending, None);
}

#[test]
fn a_boot_is_read_from_the_kernels_words() {
    let boot = boot_of("12345678-9abc-def0-1234-56789abcdef0\n");
    assert_eq!(boot[..3], [0x12, 0x34, 0x56]);
    assert_eq!(boot_of("none"), [0; 16]);
}

#[test]
fn kinds_and_their_numbers_are_each_others() {
    for number in 0..=u8::MAX {
        if let Some(kind) = event_kind(number) {
            assert_eq!(kind_number(kind), Some(number));
        }
    }
    assert_eq!(kind_number(pb::EventKind::FindingMade), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_the_reader_panic(
        cut in 0usize..40_000,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..12),
        mended in any::<bool>(),
    ) {
        let mut bytes = file();
        bytes.truncate(cut.max(8));
        for (at, bit) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if mended && bytes.len() >= PAGE {
            // As an attacker would: the sum fits what was changed.
            let sum = checksum(&bytes[..504]);
            bytes[504..512].copy_from_slice(&sum.to_le_bytes());
        }
        if let Ok(mut recording) = Recording::read(&bytes) {
            let _ = (recording.events(), recording.counts(), recording.lost(), recording.last_ns());
            for ring in &mut recording.rings {
                let _ = ring.is_consistent();
                ring.settle(u64::MAX);
            }
        }
    }

    #[test]
    fn any_directory_is_read_without_harm(words in prop::collection::vec(any::<u64>(), 448)) {
        let mut bytes = file();
        for (at, word) in words.iter().enumerate() {
            // Small numbers mostly, which lie inside the file.
            let word = if at % 3 == 0 { *word } else { word % 40_000 };
            bytes[512 + at * 8..520 + at * 8].copy_from_slice(&word.to_le_bytes());
        }
        let recording = Recording::read(&bytes).unwrap();
        let _ = (recording.events(), recording.lost());
    }
}
