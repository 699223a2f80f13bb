//! What is written is read back as who comes after would read it.

use std::panic::Location;

use loop_proto::recording::{self, End, Recording, Slot};

use super::file::is_memory;
use super::*;
use crate::inspect::live::wake_cause;
use crate::inspect::wire::ended::outcome;
use crate::inspect::wire::sums::event_kind;
use crate::record::event::{Event, Kind as EventKind};
use crate::record::task::Outcome;
use crate::record::wake::Cause;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let below = if is_memory(memory) {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let path = below.join(format!("box-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn black_box(&self, mapped: bool) -> Arc<BlackBox> {
        let identity = Identity {
            name: "shop".to_owned(),
            version: String::new(),
            instance: [3; 16],
            executable: String::new(),
            started_unix_ns: 5,
        };
        let mut made = BlackBox::make(&self.0.join("7-42.sock"), &identity).unwrap();
        if !mapped {
            Arc::get_mut(&mut made).unwrap().mapped = Err("so that it is copied".to_owned());
        }
        made
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn record() -> Arc<LoopRecord> {
    LoopRecord::new("", false, Location::caller())
}

fn equipped(black_box: &BlackBox) -> Arc<LoopRecord> {
    let record = record();
    record.equip(|| black_box.ring(&record));
    record.keep(supply::ALWAYS);
    record
}

fn read(black_box: &BlackBox) -> Recording {
    Recording::read(&fs::read(black_box.path()).unwrap()).unwrap()
}

fn spawn(record: &LoopRecord, id: u64) {
    record.emit(EventKind::TaskSpawned, || {
        Event::task_spawned(clock::ticks(), id, 1, 2)
    });
}

fn snapshot() -> Writer {
    let mut writer = Writer::new(SNAPSHOT);
    writer.hello(&pb::HelloReply::default());
    writer
}

#[test]
fn events_are_in_the_file_before_any_snapshot_and_the_file_is_for_its_user_alone() {
    let scratch = Scratch::new("events");
    let black_box = scratch.black_box(true);
    if black_box.mapped.is_err() {
        // No memory to map here: the next test has what happens then.
        return;
    }
    let record = equipped(&black_box);
    spawn(&record, 11);
    spawn(&record, 12);
    let recording = read(&black_box);
    let ids = |recording: &Recording| -> Vec<u64> {
        recording
            .events()
            .iter()
            .map(|event| event.task_id)
            .collect()
    };
    assert_eq!(ids(&recording), [11, 12]);
    assert_eq!(recording.rings[0].loop_id, record.id.get());
    assert_eq!(
        (recording.head.pid, recording.head.start),
        (
            std::process::id(),
            crate::serve::endpoint::start_of_process()
        )
    );
    assert_eq!(recording.head.name, "shop");
    assert_eq!(
        fs::metadata(black_box.path()).unwrap().mode() & 0o777,
        0o600
    );
    // It is somebody's: a sweep would leave it.
    assert_ne!(recording.head.clock.ns_per_tick, 0.0);
    black_box.write(snapshot(), &now(), 9);
    black_box.write(snapshot(), &now(), 9);
    let recording = read(&black_box);
    assert_eq!(recording.snapshot.unwrap().head.sequence, 2);
    assert_eq!(black_box.about().snapshots, 2);
    assert_eq!(ids(&read(&black_box)), [11, 12]);
}

#[test]
fn where_a_file_lies_on_a_disk_each_snapshot_takes_the_events_along() {
    let scratch = Scratch::new("copied");
    let black_box = scratch.black_box(false);
    let record = equipped(&black_box);
    spawn(&record, 11);
    assert_eq!(read(&black_box).events().len(), 0);
    black_box.write(snapshot(), &now(), 0);
    spawn(&record, 12);
    black_box.write(snapshot(), &now(), 0);
    let recording = read(&black_box);
    let ids: Vec<_> = recording
        .events()
        .iter()
        .map(|event| event.task_id)
        .collect();
    assert_eq!(ids, [11, 12]);
    assert!(recording.rings[0].is_consistent());
    assert!(black_box.about().reason.contains("copied"));
    // More than fits, since the last one.
    (0..CAPACITY as u64 + 9).for_each(|id| spawn(&record, 100 + id));
    black_box.write(snapshot(), &now(), 0);
    let recording = read(&black_box);
    assert_eq!(recording.rings[0].tail, CAPACITY as u64 + 11);
    assert_eq!(
        recording.events().last().unwrap().task_id,
        100 + CAPACITY as u64 + 8
    );
}

#[test]
fn a_loop_that_is_gone_makes_room_and_what_has_none_is_counted() {
    let scratch = Scratch::new("room");
    let black_box = scratch.black_box(true);
    let mut records: Vec<_> = (0..RINGS).map(|_| equipped(&black_box)).collect();
    spawn(&records[0], 5);
    let over = equipped(&black_box);
    spawn(&over, 6);
    assert_eq!(black_box.about().loops_left_out, 1);
    assert!(black_box.file.metadata().unwrap().len() <= LARGEST);
    let gone = records.swap_remove(3).id.get();
    assert!(
        read(&black_box)
            .rings
            .iter()
            .any(|ring| ring.loop_id == gone),
        "it stays until its place is needed"
    );
    let next = equipped(&black_box);
    let loops: Vec<_> = read(&black_box)
        .rings
        .iter()
        .map(|ring| ring.loop_id)
        .collect();
    assert!(
        loops.contains(&next.id.get()) && !loops.contains(&gone),
        "{loops:?}"
    );
    assert_eq!(loops.len(), RINGS);
}

#[test]
fn the_end_by_a_panic_stands_in_the_file() {
    let scratch = Scratch::new("panic");
    let black_box = scratch.black_box(true);
    black_box.write(snapshot(), &now(), 0);
    let identity = Identity {
        name: String::new(),
        version: String::new(),
        instance: [0; 16],
        executable: String::new(),
        started_unix_ns: 0,
    };
    let dumps = Arc::default();
    black_box.panicked(&Shared::new(identity, |_, _, _| Ok(()), dumps));
    let ending = read(&black_box).ending.unwrap();
    assert_eq!(ending.end, End::Panicked);
    assert!(ending.mono_ns > 0 && ending.unix_ns > ending.mono_ns);
    // The run that is over takes nothing of it back.
    black_box.ended(End::Clean);
    assert_eq!(read(&black_box).ending, Some(ending));
}

/// A full file system, as the kernel's calls tell it: a file that cannot grow, nor be written.
#[cfg(target_os = "linux")]
#[test]
fn without_space_the_ring_is_the_apps_own_memory_and_the_reason_is_told() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let scratch = Scratch::new("full");
    let mut black_box = scratch.black_box(true);
    let full = memfd_create("full", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    let full = fs::File::from(full);
    full.set_len(RINGS_AT).unwrap();
    fcntl_add_seals(&full, SealFlags::GROW).unwrap();
    {
        let it = Arc::get_mut(&mut black_box).unwrap();
        (it.file, it.mapped) = (Arc::new(full), Ok(()));
    }
    let record = equipped(&black_box);
    spawn(&record, 11);
    let ring = record.ring().unwrap();
    assert_eq!((ring.tail(), ring.bytes().1), (1, false));
    let about = black_box.about();
    assert_eq!((about.loops_left_out, about.ring_capacity), (1, 0));
    let no_room = "no room for the ring of a loop: ";
    assert!(about.reason.contains(no_room), "{}", about.reason);
    // What is there can still be written, and a snapshot says nothing of the ring.
    black_box.write(snapshot(), &now(), 0);
    assert_eq!(black_box.about().snapshots, 1);
    assert!(black_box.about().reason.contains(no_room), "it is so still");
    fcntl_add_seals(&black_box.file, SealFlags::WRITE).unwrap();
    black_box.write(snapshot(), &now(), 0);
    let about = black_box.about();
    assert_eq!(about.snapshots, 1);
    assert!(
        about.reason.contains("the last snapshot"),
        "{}",
        about.reason
    );
}

/// As above, but there is space for a ring's first events.
#[cfg(target_os = "linux")]
#[test]
fn a_ring_that_cannot_grow_keeps_the_newest_and_the_reason_is_told() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let scratch = Scratch::new("stunted");
    let mut black_box = scratch.black_box(true);
    let path = black_box.path().to_owned();
    let full = memfd_create("full", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    let full = Arc::new(fs::File::from(full));
    let first = words_for(FIRST) * size_of::<u64>();
    full.set_len(RINGS_AT + first as u64).unwrap();
    full.write_all_at(&fs::read(path).unwrap(), 0).unwrap();
    fcntl_add_seals(&full, SealFlags::GROW).unwrap();
    {
        let it = Arc::get_mut(&mut black_box).unwrap();
        (it.file, it.mapped) = (full, Ok(()));
    }
    let record = equipped(&black_box);
    let events = FIRST as u64 + 10;
    (0..FIRST as u64).for_each(|id| spawn(&record, id));
    let about = black_box.about();
    assert_eq!(about.reason, "", "nothing is amiss yet");
    assert_eq!(about.ring_capacity, CAPACITY as u64);
    (FIRST as u64..events).for_each(|id| spawn(&record, id));
    let about = black_box.about();
    let reason = about.reason;
    assert_eq!(about.ring_capacity, FIRST as u64);
    let of = format!("no room for more events of loop {}: ", record.id.get());
    assert!(reason.starts_with(&of), "{reason}");
    let mut bytes = vec![0; (RINGS_AT as usize) + first];
    black_box.file.read_exact_at(&mut bytes, 0).unwrap();
    let recording = Recording::read(&bytes).unwrap();
    let ring = &recording.rings[0];
    assert_eq!((ring.capacity, ring.tail), (FIRST as u64, events));
    let ids = recording.events();
    assert_eq!(ids.first().unwrap().task_id, 11);
    assert_eq!(ids.last().unwrap().task_id, events - 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_has_room_for_the_events_that_came_and_not_for_all_that_could() {
    let scratch = Scratch::new("grows");
    let black_box = scratch.black_box(true);
    if black_box.mapped.is_err() {
        return;
    }
    let record = equipped(&black_box);
    let small = black_box.about();
    assert!(small.bytes < 256 << 10, "{}", small.bytes);
    assert_eq!(small.ring_capacity, CAPACITY as u64);
    (0..CAPACITY as u64 + 5).for_each(|id| spawn(&record, id));
    let events = read(&black_box).events();
    assert_eq!(events.first().unwrap().task_id, 6);
    assert_eq!(events.len(), CAPACITY - 1);
    assert!(black_box.about().bytes > 2 << 20);
    assert_eq!(black_box.about().reason, "");
}

#[test]
fn a_reader_without_the_process_reads_events_as_the_inspector_does() {
    for kind in EventKind::all() {
        let known = recording::event_kind(kind as u8);
        assert_eq!(known, Some(event_kind(kind)), "{kind:?}");
    }
    let clock = now();
    let event = |event: Event| {
        let slot = Slot::from_words(event.words());
        slot.event(0, &clock, |_| Some(1)).unwrap()
    };
    for ended in [
        Outcome::Returned,
        Outcome::Failed,
        Outcome::Panicked,
        Outcome::Cancelled,
        Outcome::Dropped,
    ] {
        let read = event(Event::task_finished(1, 2, ended as u8, 3));
        assert_eq!(read.outcome, outcome(ended) as i32, "{ended:?}");
    }
    for cause in [
        Cause::Spawn,
        Cause::Task(7),
        Cause::Task(2),
        Cause::Timer(1),
        Cause::Source(9),
        Cause::Thread(3),
        Cause::Loop,
        Cause::Signal(2),
    ] {
        let read = event(Event::task_polled(1, 2, cause.raw(), 3));
        let (kind, id) = wake_cause(cause, 2);
        assert_eq!((read.cause, read.by_id), (kind as i32, id), "{cause:?}");
    }
}
