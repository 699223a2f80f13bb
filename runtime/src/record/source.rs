//! The row of an I/O source: which fd, between whom, who waits for what since when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::Location;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::names::NameId;
use super::place::PlaceCell;
use super::slab::{self, Row};

/// What is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Tcp = 0,
    TcpListener = 1,
    Udp = 2,
    Unix = 3,
    UnixListener = 4,
    UnixDatagram = 5,
    Pipe = 6,
    /// An fd of the app's own: `add_reader`, `AsyncFd`.
    Fd = 7,
    Child = 8,
    /// The runtime's own: timerfd, signal pipe.
    Internal = 9,
}

impl Kind {
    pub(crate) fn from_raw(raw: u8) -> Self {
        use Kind::{
            Child, Fd, Internal, Pipe, Tcp, TcpListener, Udp, Unix, UnixDatagram, UnixListener,
        };
        [
            Tcp,
            TcpListener,
            Udp,
            Unix,
            UnixListener,
            UnixDatagram,
            Pipe,
            Fd,
            Child,
        ]
        .get(raw as usize)
        .copied()
        .unwrap_or(Internal)
    }
}

/// One end of a source, as it was when it was registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Address {
    #[default]
    None,
    Ip(SocketAddr),
    /// A path, interned.
    Path(NameId),
    /// A unix socket without a name.
    Unnamed,
}

/// An address in three words.
#[derive(Default)]
struct AddressCell([AtomicU64; 3]);

impl AddressCell {
    fn set(&self, address: Address) {
        let words = match address {
            Address::None => [0; 3],
            Address::Unnamed => [1, 0, 0],
            Address::Path(name) => [2, name.raw().into(), 0],
            Address::Ip(SocketAddr::V4(v4)) => {
                [3 | u64::from(v4.port()) << 8, u32::from(*v4.ip()).into(), 0]
            }
            Address::Ip(SocketAddr::V6(v6)) => {
                let bits = u128::from(*v6.ip());
                [
                    4 | u64::from(v6.port()) << 8,
                    bits as u64,
                    (bits >> 64) as u64,
                ]
            }
        };
        for (cell, word) in self.0.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
    }

    fn get(&self) -> Address {
        let [head, low, high] = std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed));
        let port = (head >> 8) as u16;
        match head & 0xFF {
            1 => Address::Unnamed,
            2 => Address::Path(NameId::from_raw(low as u32)),
            3 => Address::Ip((IpAddr::V4(Ipv4Addr::from(low as u32)), port).into()),
            4 => Address::Ip(
                (
                    IpAddr::V6(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low))),
                    port,
                )
                    .into(),
            ),
            _ => Address::None,
        }
    }
}

/// Bits of `interest` and `ready`.
pub(crate) mod direction {
    pub(crate) const READ: u8 = 1;
    pub(crate) const WRITE: u8 = 2;
    /// `ready` only: the peer closed, or an error waits.
    pub(crate) const CLOSED: u8 = 4;
}

#[derive(Default)]
pub(crate) struct SourceRow {
    id: AtomicU64,
    pub(crate) fd: AtomicI64,
    local: AddressCell,
    peer: AddressCell,
    /// The tasks that wait to read and to write; 0 for none.
    pub(crate) reader: AtomicU64,
    pub(crate) writer: AtomicU64,
    /// Who registered it.
    pub(crate) owner: AtomicU64,
    /// Who waited for it last, and how often another one did than before.
    user: AtomicU64,
    handed_on: AtomicU32,
    /// The child whose exit or pipe it is, by the id of its row; 0 for none.
    pub(crate) child: AtomicU64,
    /// Nanoseconds, loop's clock.
    pub(crate) since: AtomicU64,
    pub(crate) last_ready: AtomicU64,
    /// Readiness that woke somebody, and readiness that found nobody.
    pub(crate) wakes: AtomicU64,
    pub(crate) unclaimed: AtomicU64,
    /// Wakes after which the call would still have blocked.
    pub(crate) spurious: AtomicU64,
    /// Bytes that a writer holds and has not given to the kernel.
    pub(crate) queued: AtomicU64,
    pub(crate) backlog: AtomicU32,
    pub(crate) kind: AtomicU8,
    /// Directions somebody waits for.
    pub(crate) interest: AtomicU8,
    /// Directions known to be ready.
    pub(crate) ready: AtomicU8,
    /// Which of the child's streams it is: a bit of `child::pipe`; 0 for none.
    stream: AtomicU8,
    pub(crate) place: PlaceCell,
}

impl Row for SourceRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// A copy of one row. Times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct SourceFacts {
    pub(crate) id: u64,
    pub(crate) fd: i64,
    pub(crate) kind: Kind,
    pub(crate) local: Address,
    pub(crate) peer: Address,
    pub(crate) interest: u8,
    pub(crate) ready: u8,
    pub(crate) reader: u64,
    pub(crate) writer: u64,
    pub(crate) owner: u64,
    /// Who waited for it last; 0: nobody has.
    pub(crate) user: u64,
    /// How often one waited that had not done so before it.
    pub(crate) handed_on: u32,
    pub(crate) child: u64,
    pub(crate) stream: u8,
    pub(crate) since: u64,
    pub(crate) last_ready: u64,
    pub(crate) wakes: u64,
    pub(crate) unclaimed: u64,
    pub(crate) spurious: u64,
    pub(crate) queued: u64,
    pub(crate) place: Option<&'static Location<'static>>,
}

/// What is known of a source when it is registered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    pub(crate) kind: Kind,
    pub(crate) fd: i64,
    pub(crate) local: Address,
    pub(crate) peer: Address,
    pub(crate) place: Option<&'static Location<'static>>,
}

impl SourceRow {
    /// Fills a vacant row and publishes it.
    pub(crate) fn registered(&self, id: u64, owner: u64, now: u64, registration: &Registration) {
        let relaxed = Ordering::Relaxed;
        slab::vacate(&self.id);
        self.fd.store(registration.fd, relaxed);
        self.local.set(registration.local);
        self.peer.set(registration.peer);
        for word in [
            &self.reader,
            &self.writer,
            &self.user,
            &self.child,
            &self.last_ready,
            &self.wakes,
            &self.unclaimed,
            &self.spurious,
            &self.queued,
        ] {
            word.store(0, relaxed);
        }
        self.owner.store(owner, relaxed);
        self.since.store(now, relaxed);
        self.backlog.store(0, relaxed);
        self.handed_on.store(0, relaxed);
        self.kind.store(registration.kind as u8, relaxed);
        self.interest.store(0, relaxed);
        self.ready.store(0, relaxed);
        self.stream.store(0, relaxed);
        match registration.place {
            Some(place) => self.place.set(place),
            None => self.place.clear(),
        }
        self.id.store(id, Ordering::Release);
    }

    /// The row's identity on its own loop's thread.
    #[inline]
    pub(crate) fn source_id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// A task waits for it. The loop's thread.
    #[inline]
    pub(crate) fn used_by(&self, task: u64) {
        let before = self.user.load(Ordering::Relaxed);
        if before != task {
            self.user.store(task, Ordering::Relaxed);
            if before != 0 {
                let handed = self.handed_on.load(Ordering::Relaxed);
                self.handed_on
                    .store(handed.saturating_add(1), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn vacate(&self) {
        slab::vacate(&self.id);
    }

    /// A connect finished, or an accepted socket told its peer.
    pub(crate) fn set_addresses(&self, local: Address, peer: Address) {
        self.local.set(local);
        self.peer.set(peer);
    }

    /// It leads to `stream`, a bit of `child::pipe`, of the child whose row has that id.
    pub(crate) fn set_child(&self, child: u64, stream: u8) {
        self.stream.store(stream, Ordering::Relaxed);
        self.child.store(child, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Option<SourceFacts> {
        let relaxed = Ordering::Relaxed;
        slab::consistent(&self.id, |id| SourceFacts {
            id,
            fd: self.fd.load(relaxed),
            kind: Kind::from_raw(self.kind.load(relaxed)),
            local: self.local.get(),
            peer: self.peer.get(),
            interest: self.interest.load(relaxed),
            ready: self.ready.load(relaxed),
            reader: self.reader.load(relaxed),
            writer: self.writer.load(relaxed),
            owner: self.owner.load(relaxed),
            user: self.user.load(relaxed),
            handed_on: self.handed_on.load(relaxed),
            child: self.child.load(relaxed),
            stream: self.stream.load(relaxed),
            since: self.since.load(relaxed),
            last_ready: self.last_ready.load(relaxed),
            wakes: self.wakes.load(relaxed),
            unclaimed: self.unclaimed.load(relaxed),
            spurious: self.spurious.load(relaxed),
            queued: self.queued.load(relaxed),
            place: self.place.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_words() {
        let cell = AddressCell::default();
        for text in ["10.0.4.7:50012", "[2001:db8::7]:443", "[::]:0"] {
            let address = Address::Ip(text.parse().unwrap());
            cell.set(address);
            assert_eq!(cell.get(), address);
        }
        for address in [
            Address::None,
            Address::Unnamed,
            Address::Path(NameId::OTHER),
        ] {
            cell.set(address);
            assert_eq!(cell.get(), address);
        }
    }
}
