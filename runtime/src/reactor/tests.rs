//! The reactor over socket pairs and timeouts; no test waits for longer than it must.

use std::io::{Read, Write};
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use mio::net::UnixStream;

use super::*;
use crate::record::current::Entered;
use crate::record::source::{Address, Kind as SourceKind};

#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counted {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn counted() -> (Arc<Counted>, Waker) {
    let counted = Arc::new(Counted::default());
    (counted.clone(), counted.into())
}

fn reactor() -> (Reactor, Arc<LoopRecord>) {
    let record = LoopRecord::new("reactor", false, Location::caller());
    (Reactor::new(record.clone(), Rc::default()).unwrap(), record)
}

fn pair(reactor: &Reactor) -> (UnixStream, UnixStream, SourceKey) {
    let (mut here, there) = UnixStream::pair().unwrap();
    let registration = Registration {
        kind: SourceKind::Unix,
        fd: 0,
        local: Address::Unnamed,
        peer: Address::Unnamed,
        place: Some(Location::caller()),
    };
    let key = reactor
        .register(&mut here, Interests::CONNECTED, &registration)
        .unwrap();
    (here, there, key)
}

fn place() -> &'static Location<'static> {
    Location::caller()
}

/// Waits until a source's event is there, and serves it.
fn turn(reactor: &Reactor) {
    while reactor.wait(Wait::Forever).unwrap() == 0 {}
    reactor.serve();
}

/// Takes the events that a fresh registration brings.
fn settle(reactor: &Reactor, key: SourceKey) {
    turn(reactor);
    reactor.would_block(key, Direction::Read);
}

#[test]
fn readiness_wakes_the_reader_and_names_the_source_as_the_cause() {
    struct Cause2(std::sync::Mutex<Option<Cause>>);
    impl Wake for Cause2 {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() = record::current::here(LoopRecord::cause);
        }
    }
    let (reactor, record) = reactor();
    let _here = Entered::new(&record);
    let (mut here, mut there, key) = pair(&reactor);
    settle(&reactor, key);
    let seen = Arc::new(Cause2(std::sync::Mutex::default()));
    let waker = Waker::from(seen.clone());
    assert!(
        reactor
            .poll_ready(key, Direction::Read, &waker, place())
            .is_pending()
    );
    let facts = record.sources.live().next().unwrap().1.read().unwrap();
    assert_eq!(facts.interest, direction::READ);
    there.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!(*seen.0.lock().unwrap(), Some(Cause::Source(key.id())));
    assert!(
        reactor
            .poll_ready(key, Direction::Read, &waker, place())
            .is_ready()
    );
    assert_eq!(here.read(&mut [0; 8]).unwrap(), 1);
    let facts = record.sources.live().next().unwrap().1.read().unwrap();
    assert_eq!((facts.interest, facts.wakes), (0, 1));
}

#[test]
fn each_direction_has_its_own_waiter() {
    let (reactor, _) = reactor();
    let (_here, mut there, key) = pair(&reactor);
    settle(&reactor, key);
    reactor.would_block(key, Direction::Write);
    let ((reads, reader), (writes, writer)) = (counted(), counted());
    let _ = reactor.poll_ready(key, Direction::Read, &reader, place());
    let _ = reactor.poll_ready(key, Direction::Write, &writer, place());
    there.write_all(b"x").unwrap();
    turn(&reactor);
    // The kernel reports both directions with each event; what matters is that nobody is lost.
    assert_eq!(reads.count(), 1);
    assert!(writes.count() <= 1);
}

#[test]
fn a_forgotten_waiter_is_not_woken_and_holds_no_waker() {
    let (reactor, record) = reactor();
    let (_here, mut there, key) = pair(&reactor);
    settle(&reactor, key);
    let ((first, a), (second, b)) = (counted(), counted());
    let (mut ticket_a, mut ticket_b) = (Ticket::default(), Ticket::default());
    for (ticket, waker) in [(&mut ticket_a, &a), (&mut ticket_b, &b)] {
        let _ = reactor.poll_ready_among(key, Direction::Read, ticket, waker, place());
        let _ = reactor.poll_ready_among(key, Direction::Read, ticket, waker, place());
    }
    reactor.forget(key, Direction::Read, ticket_a);
    assert_eq!(Arc::strong_count(&first), 2, "the test's two only");
    there.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!((first.count(), second.count()), (0, 1));
    reactor.would_block(key, Direction::Read);
    let _ = reactor.poll_ready_among(key, Direction::Read, &mut ticket_a, &a, place());
    reactor.forget(key, Direction::Read, ticket_a);
    let facts = record.sources.live().next().unwrap().1.read().unwrap();
    assert_eq!((facts.interest, facts.reader), (0, 0));
}

#[test]
fn an_event_of_a_former_owner_does_not_reach_the_next_one_of_its_slot() {
    let (reactor, record) = reactor();
    let (mut old, mut there, key) = pair(&reactor);
    settle(&reactor, key);
    there.write_all(b"x").unwrap();
    while reactor.wait(Wait::Forever).unwrap() == 0 {}
    // Between collecting and serving, the source goes and another takes its slot.
    reactor.deregister(&mut old, key);
    let (_new, _there, fresh) = pair(&reactor);
    assert_eq!(fresh.slot, key.slot);
    reactor.would_block(fresh, Direction::Read);
    let (woken, waker) = counted();
    let _ = reactor.poll_ready(fresh, Direction::Read, &waker, place());
    reactor.serve();
    assert_eq!(woken.count(), 0);
    assert_eq!(record.sources.live().count(), 1);
}

#[test]
fn who_waits_for_a_source_that_goes_is_woken_and_finds_it_gone() {
    let (reactor, record) = reactor();
    let (mut here, _there, key) = pair(&reactor);
    settle(&reactor, key);
    let (woken, waker) = counted();
    let _ = reactor.poll_ready(key, Direction::Read, &waker, place());
    reactor.deregister(&mut here, key);
    assert_eq!(woken.count(), 1);
    let after = reactor.poll_ready(key, Direction::Read, &waker, place());
    assert!(
        matches!(after, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected)
    );
    assert_eq!(record.sources.live().count(), 0);
    assert_eq!(Arc::strong_count(&woken), 2);
}

#[test]
fn a_wake_after_which_the_call_blocks_counts_as_spurious() {
    let (reactor, record) = reactor();
    let (_here, mut there, key) = pair(&reactor);
    settle(&reactor, key);
    let before = record
        .sources
        .live()
        .next()
        .unwrap()
        .1
        .read()
        .unwrap()
        .spurious;
    there.write_all(b"x").unwrap();
    turn(&reactor);
    reactor.would_block(key, Direction::Read);
    reactor.would_block(key, Direction::Read);
    let facts = record.sources.live().next().unwrap().1.read().unwrap();
    assert_eq!(facts.spurious, before + 1);
}

#[test]
fn a_wait_never_ends_for_good_before_its_deadline() {
    let (reactor, _) = reactor();
    for delay in [100_000, 1_700_000] {
        let deadline = clock::mono() + delay;
        let mut waits = 0;
        // As the loop does it: look at the clock, wait again if it is not yet time.
        while clock::mono() < deadline {
            assert_eq!(reactor.wait(Wait::Until(deadline)).unwrap(), 0);
            waits += 1;
        }
        assert!(waits <= 3, "{waits} waits for one deadline");
    }
}

#[test]
fn a_deadline_in_the_past_ends_the_wait_at_once_and_an_earlier_one_replaces_a_later() {
    let (reactor, _) = reactor();
    let hour = clock::mono() + 3_600_000_000_000;
    let (_here, mut there, key) = pair(&reactor);
    settle(&reactor, key);
    there.write_all(b"x").unwrap();
    // Sets the alarm an hour ahead and returns for the byte.
    assert_eq!(reactor.wait(Wait::Until(hour)).unwrap(), 1);
    assert_eq!(reactor.wait(Wait::Until(1)).unwrap(), 0);
    assert_eq!(reactor.wait(Wait::Until(clock::mono() + 1_000)).unwrap(), 0);
}

#[test]
fn an_unpark_from_another_thread_ends_the_wait() {
    let (reactor, _) = reactor();
    let unpark = reactor.unparker();
    let thread = std::thread::spawn(unpark);
    assert_eq!(reactor.wait(Wait::Forever).unwrap(), 0);
    thread.join().unwrap();
}

#[test]
fn a_file_that_cannot_be_polled_is_refused_with_what_to_do() {
    use std::os::fd::AsRawFd;
    let (reactor, record) = reactor();
    let file = std::fs::File::open(env!("CARGO_MANIFEST_PATH")).unwrap();
    let registration = Registration {
        kind: SourceKind::Fd,
        fd: file.as_raw_fd().into(),
        local: Address::None,
        peer: Address::None,
        place: None,
    };
    let error = reactor
        .register(
            &mut mio::unix::SourceFd(&file.as_raw_fd()),
            Interests::READS,
            &registration,
        )
        .unwrap_err();
    assert!(error.to_string().contains("run_in_executor"), "{error}");
    assert_eq!(record.sources.live().count(), 0);
}
