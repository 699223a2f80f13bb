//! A ring, its readers and its bytes.

#[cfg(target_os = "linux")]
use std::sync::Arc;

use super::super::event::Kind;
#[cfg(target_os = "linux")]
use super::words::Lease;
use super::*;

fn timer(id: u64) -> Event {
    Event::timer_cancelled(id, id, id & 0xFF)
}

#[test]
fn the_oldest_give_way_and_are_counted_by_kind() {
    let ring = Ring::new(4);
    for id in 0..6 {
        ring.push(timer(id));
    }
    ring.push(Event::task_blocked(9, 9, 9));
    let mut seen = Vec::new();
    ring.drain(|event| seen.push((event.kind, event.id)));
    // The fourth newest is not taken: the producer could be at its slot.
    assert_eq!(
        seen,
        [
            (Kind::TimerCancelled, 4),
            (Kind::TimerCancelled, 5),
            (Kind::TaskBlocked, 9)
        ]
    );
    let lost = ring.lost();
    assert_eq!(lost[Kind::TimerCancelled as usize], 4);
    assert_eq!(lost.iter().sum::<u64>(), 4);
    let (tail, totals) = ring.totals().unwrap();
    assert_eq!((tail, totals[Kind::TaskBlocked as usize]), (7, 1));
}

#[test]
fn what_came_before_somebody_attends_is_not_lost_to_him_and_still_there() {
    let ring = Ring::new(8);
    (0..20).for_each(|id| ring.push(timer(id)));
    ring.attend();
    ring.drain(|_| panic!("nothing was pushed since"));
    ring.push(timer(20));
    let mut seen = Vec::new();
    ring.drain(|event| seen.push(event.id));
    assert_eq!((seen.as_slice(), ring.lost()), (&[20][..], [0; KINDS]));
    let ids = |most| {
        ring.backlog(most)
            .iter()
            .map(|event| event.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(3), [18, 19, 20]);
    assert_eq!(ids(100), [14, 15, 16, 17, 18, 19, 20]);
    ring.push(timer(21));
    assert_eq!(ids(2), [19, 20], "the viewers will get the rest as news");
}

#[test]
fn two_readers_miss_each_their_own() {
    let ring = Ring::new(8);
    let (mut one, mut other) = (Reader::now(&ring), Reader::now(&ring));
    for id in 0..30 {
        ring.push(timer(id));
        if id % 4 == 0 {
            one.drain(&ring, |_| {});
        }
    }
    let mut last = 0;
    other.drain(&ring, |event| last = event.id);
    assert_eq!((one.skipped, one.lost().iter().sum::<u64>()), (0, 0));
    assert_eq!(last, 29);
    assert_eq!(other.lost()[Kind::TimerCancelled as usize], other.skipped);
    assert!(other.skipped >= 22, "{}", other.skipped);
}

#[test]
fn two_threads_lose_nothing_that_is_not_counted() {
    let ring = Ring::new(64);
    let total = 300_000_u64;
    let (mut seen, mut signals) = (0, 0);
    let mut reader = Reader::now(&ring);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for id in 0..total {
                match id % 3 {
                    0 => ring.push(Event::signal_received(id, 5)),
                    _ => ring.push(timer(id)),
                }
            }
        });
        let mut last = None;
        let mut drain = |reader: &mut Reader| {
            reader.drain(&ring, |event| {
                assert!(last.is_none_or(|last| event.at > last));
                last = Some(event.at);
                if event.kind == Kind::SignalReceived {
                    assert_eq!((event.id, event.at % 3), (5, 0));
                    signals += 1;
                } else {
                    assert_eq!((event.at, event.of), (event.id, event.id & 0xFF));
                }
                seen += 1;
            });
        };
        while !producer.is_finished() {
            drain(&mut reader);
        }
        drain(&mut reader);
    });
    let lost = reader.lost();
    assert_eq!(seen + lost.iter().sum::<u64>(), total);
    assert_eq!(signals + lost[Kind::SignalReceived as usize], total / 3);
    assert_eq!(reader.skipped, lost.iter().sum::<u64>());
}

#[cfg(target_os = "linux")]
#[test]
fn a_ring_in_a_file_is_read_from_the_file() {
    let path = std::env::temp_dir().join(format!("ring-{}", std::process::id()));
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    let bytes = words_for(64) * 8;
    file.set_len(bytes as u64).unwrap();
    let file = Arc::new(file);
    let lent = || Lease::new(file.clone(), 0, words_for(64));
    let words = Words::map(lent(), words_for(64)).unwrap();
    let ring = Ring::within(words, 3);
    assert!(ring.bytes().1);
    (1..=70).for_each(|id| ring.push(timer(id)));
    let read = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let word = |at: usize| u64::from_le_bytes(read[at * 8..at * 8 + 8].try_into().unwrap());
    assert_eq!((word(LOOP), word(TAIL)), (4, 70));
    assert_eq!(word(TOTALS + Kind::TimerCancelled as usize), 70);
    assert_eq!(word(PAGE + 69 % 64 * SLOT), 70);
    // Who takes its place begins anew, before anybody could take its events for its own.
    let again = Ring::within(Words::map(lent(), words_for(64)).unwrap(), 9);
    assert_eq!((again.tail(), again.fill()), (0, 0));
    drop(ring);
}

/// A file in memory with room for the first `room` of 64 slots, and the ring in it.
#[cfg(target_os = "linux")]
fn small(room: usize) -> (Arc<std::fs::File>, Ring) {
    use rustix::fs::{MemfdFlags, memfd_create};
    let file = memfd_create("ring", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    let file = Arc::new(std::fs::File::from(file));
    file.set_len(words_for(room) as u64 * 8).unwrap();
    let lease = Lease::new(file.clone(), 0, words_for(room));
    let ring = Ring::within(Words::map(lease, words_for(64)).unwrap(), 3);
    (file, ring)
}

#[cfg(target_os = "linux")]
fn ids(ring: &Ring, reader: &mut Reader) -> Vec<u64> {
    let mut seen = Vec::new();
    reader.drain(ring, |event| seen.push(event.id));
    seen
}

#[cfg(target_os = "linux")]
#[test]
fn a_ring_in_a_file_takes_more_of_it_as_events_come_and_none_moves() {
    let (file, ring) = small(8);
    let length = || file.metadata().unwrap().len() / 8;
    assert_eq!((ring.capacity(), length()), (64, words_for(8) as u64));
    let (mut late, mut keen) = (Reader::default(), Reader::default());
    for id in 0..64 {
        ring.push(timer(id));
        if id % 5 == 0 {
            ids(&ring, &mut keen);
        }
        let room = (id + 1).next_power_of_two().max(8);
        assert_eq!(length(), words_for(room as usize) as u64);
    }
    // The first one may be written over by the next.
    assert_eq!(ids(&ring, &mut late), (1..64).collect::<Vec<_>>());
    assert_eq!((late.skipped, ring.bytes().0), (1, words_for(64) * 8));
    (64..70).for_each(|id| ring.push(timer(id)));
    assert_eq!(ids(&ring, &mut keen), (61..70).collect::<Vec<_>>());
    assert_eq!(
        (keen.skipped, length(), ring.capacity()),
        (0, words_for(64) as u64, 64)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn room_that_somebody_makes_before_is_used() {
    let (file, ring) = small(8);
    ring.make_room();
    assert_eq!(ring.bytes().0, words_for(8) * 8, "nothing happens there");
    (0..5).for_each(|id| ring.push(timer(id)));
    ring.make_room();
    assert_eq!(ring.bytes().0, words_for(16) * 8);
    // No more can be had, and none is needed until then.
    rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::GROW).unwrap();
    (5..16).for_each(|id| ring.push(timer(id)));
    assert_eq!((ring.capacity(), ring.fill()), (64, 16));
}

#[cfg(target_os = "linux")]
#[test]
fn without_more_room_the_oldest_give_way_and_the_reason_is_kept() {
    let (file, ring) = small(8);
    rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::GROW).unwrap();
    let mut reader = Reader::default();
    (0..8).for_each(|id| ring.push(timer(id)));
    ring.make_room();
    assert!(
        ring.words.trouble().is_none(),
        "it was not needed until now"
    );
    (8..20).for_each(|id| ring.push(timer(id)));
    let error = ring.words.trouble().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!((ring.capacity(), ring.fill()), (8, 8));
    assert_eq!(ids(&ring, &mut reader), (13..20).collect::<Vec<_>>());
    assert_eq!(reader.lost()[Kind::TimerCancelled as usize], 13);
}

#[test]
fn an_image_brings_a_copy_up_to_date() {
    let ring = Ring::new(8);
    (1..=5).for_each(|id| ring.push(timer(id)));
    let image = ring.image(0);
    let indices = |image: &Image| image.slots.iter().map(|slot| slot.0).collect::<Vec<_>>();
    assert_eq!((image.tail, indices(&image)), (5, vec![0, 1, 2, 3, 4]));
    assert_eq!((image.page[TAIL], image.page[LOOP]), (5, 1));
    (6..=7).for_each(|id| ring.push(timer(id)));
    assert_eq!(indices(&ring.image(image.tail)), [5, 6]);
    // So much came that the copy begins anew; the oldest slot may be written at this moment.
    (8..=30).for_each(|id| ring.push(timer(id)));
    let image = ring.image(7);
    assert_eq!(indices(&image), (22..30).collect::<Vec<_>>());
    assert_eq!(Event::from_words(image.slots[0].1), None);
    assert_eq!(Event::from_words(image.slots[1].1).unwrap().id, 24);
}

/// The page is the one that `loop_proto::recording` reads.
#[cfg(feature = "inspect")]
#[test]
fn the_page_is_the_one_that_recordings_have() {
    use loop_proto::recording::{self, RingHead};
    assert_eq!(
        [PAGE * 8, MARK, LOOP, SLOTS, TAIL, TOTALS, SLOT * 8],
        [
            recording::PAGE,
            RingHead::MARK,
            RingHead::LOOP,
            RingHead::CAPACITY,
            RingHead::TAIL,
            RingHead::TOTALS,
            recording::EVENT
        ]
    );
    assert_eq!(recording::ring_head_of(4, 8), [MARK_OF_A_RING, 5, 8]);
    const { assert!(KINDS <= recording::KINDS) };
}
