//! A recording: one file with what a process looked like (snapshots) and what happened last (rings
//! of events), for who comes after its end or finds it wedged. Bytes in, bytes out: knows no file,
//! no mapping and no process.
//!
//! ```text
//! 0        head       who, since when, what a tick is worth, where rings and snapshots lie
//! …        ring*      a page (loop, tail, totals a kind), then slots of 32 bytes
//! …        snapshot*2 in turns: a header with sequence, length and checksum, then sections
//! ```
//!
//! Two kinds of file have this form: the black box that a process writes while it lives, and dumps
//! that are written at once. All numbers are little-endian. Within one major version things are
//! only ever added: sections and event kinds that a reader does not know are passed over.

mod head;
mod ring;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::pb;

pub use head::{Directory, End, Ending, Head, Kind, Moment, RingEntry};
pub use ring::{Ring, RingHead, Slot, event_kind, kind_number, ring_bytes, ring_head_of};
pub use snapshot::{Snapshot, SnapshotHead, Writer, rows_of};

/// The first bytes of every recording. Not text, so that nobody takes it for one.
pub const MAGIC: [u8; 8] = *b"\x89LOOPREC";
/// Another major version cannot be read; within one, things are only added.
pub const MAJOR: u16 = 1;
/// What was added.
pub const MINOR: u16 = 0;
/// How the file of a recording ends, beside its socket: `<pid>-<start>.rec`.
pub const EXTENSION: &str = "rec";

/// Bytes of the head, and of the page before the slots of a ring: rings can be mapped.
pub const PAGE: usize = 4096;
/// Rings that one file can have.
pub const RINGS: usize = 64;
/// Kinds of events that a ring can count.
pub const KINDS: usize = 32;
/// Bytes of one event in a ring.
pub const EVENT: usize = 32;
/// A reader refuses a file that is larger, in bytes.
pub const LARGEST: u64 = 64 << 20;

/// Why bytes are no recording that can be read. Each says so in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It does not begin as one.
    Foreign,
    /// It was written by a later version of the format.
    Newer {
        /// Its major version.
        major: u16,
        /// Its minor version.
        minor: u16,
    },
    /// It ends before its head does.
    Truncated {
        /// How many bytes there are.
        have: u64,
    },
    /// Its head contradicts itself.
    Damaged(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Foreign => f.write_str("it is no recording of this runtime"),
            Unreadable::Newer { major, minor } => write!(
                f,
                "it is a recording of format {major}.{minor}, and this console reads {MAJOR}.x"
            ),
            Unreadable::Truncated { have } => write!(
                f,
                "it ends after {have} bytes, before the head of a recording does"
            ),
            Unreadable::Damaged(what) => write!(f, "its head is damaged: {what}"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// A recording as it was read.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Who wrote it.
    pub head: Head,
    /// What the process said of its end. `None`: nothing. It lives, or it was ended from outside, or
    /// it left without ending its run.
    pub ending: Option<Ending>,
    /// The newest snapshot that is whole. `None`: there is none.
    pub snapshot: Option<Snapshot>,
    /// The rings of its loops, closed loops too as long as nobody took their place.
    pub rings: Vec<Ring>,
    /// What is missing or cannot be read, a sentence each. Empty: all is there.
    pub doubts: Vec<String>,
}

impl Recording {
    /// Reads the bytes of a file.
    ///
    /// Whatever they are, it does not panic; what cannot be read beyond the head is left out and
    /// told in `doubts`. Errors: there is no head that can be read.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let head = Head::read(bytes)?;
        let directory = Directory::read(bytes);
        let mut doubts = Vec::new();
        let mut rings = Vec::new();
        // Rings do not overlap; a file that says so would be read many times over.
        let mut room = bytes.len() as u64;
        for entry in &directory.rings {
            let Some(left) = room.checked_sub(entry.bytes) else {
                doubts.push("its rings are larger than the file: some are missing".to_owned());
                break;
            };
            room = left;
            match Ring::read(bytes, entry) {
                Ok(Some(ring)) => rings.push(ring),
                Ok(None) => {}
                Err(why) => doubts.push(why),
            }
        }
        let (snapshot, mut why) = Snapshot::newest(bytes, &directory);
        doubts.append(&mut why);
        Ok(Self {
            head,
            ending: Ending::read(bytes),
            snapshot,
            rings,
            doubts,
        })
    }

    /// What turns ticks into time: the newest reading there is.
    #[must_use]
    pub fn clock(&self) -> Moment {
        self.snapshot
            .as_ref()
            .map_or(self.head.clock, |snapshot| snapshot.head.at)
    }

    /// The events of all rings as messages, in the order of their time.
    #[must_use]
    pub fn events(&self) -> Vec<pb::Event> {
        let clock = self.clock();
        let mut all = Vec::new();
        for ring in &self.rings {
            let place = |site: u32| {
                let snapshot = self.snapshot.as_ref()?;
                snapshot.sites.get(&(ring.loop_id, site)).copied()
            };
            let events = ring.events.iter();
            all.extend(events.filter_map(|slot| slot.event(ring.loop_id, &clock, place)));
        }
        all.sort_by_key(|event| event.at_ns);
        all
    }

    /// The last moment of which the recording knows anything, on the process's monotonic clock.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        let clock = self.clock();
        let last = self.rings.iter().filter_map(|ring| ring.events.last());
        last.map(|slot| clock.mono_of(slot.ends_at()))
            .chain([clock.mono_ns])
            .max()
            .unwrap_or(0)
    }

    /// How many events were recorded, and how many of them are not there any more.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        // A damaged file may say anything.
        let sum = |count: fn(&Ring) -> u64| {
            let all = self.rings.iter().map(count);
            all.fold(0, u64::saturating_add)
        };
        let made = sum(|ring| ring.tail);
        let there = sum(|ring| ring.events.len() as u64);
        (made, made.saturating_sub(there))
    }

    /// The same, a kind: what was recorded less what is there.
    #[must_use]
    pub fn lost(&self) -> Vec<pb::Lost> {
        let mut lost = [0_u64; KINDS];
        for ring in &self.rings {
            for (sum, one) in lost.iter_mut().zip(ring.lost()) {
                *sum = sum.saturating_add(one);
            }
        }
        (0_u8..)
            .zip(lost)
            .filter(|(_, count)| *count > 0)
            .filter_map(|(number, count)| {
                Some(pb::Lost {
                    kind: event_kind(number)? as i32,
                    count,
                })
            })
            .collect()
    }
}

/// A whole file, for who writes one at once: `rings` as [`ring_bytes`] makes them, and the snapshot
/// that [`Writer::finish`] made.
#[must_use]
pub fn compose(head: &Head, rings: &[Vec<u8>], snapshot: &[u8]) -> Vec<u8> {
    let mut directory = Directory::default();
    let mut at = PAGE as u64;
    for ring in rings.iter().take(RINGS) {
        directory.rings.push(RingEntry {
            offset: at,
            bytes: ring.len() as u64,
        });
        at += ring.len().next_multiple_of(PAGE) as u64;
    }
    directory.snapshots[0] = (at, snapshot.len() as u64);
    let mut bytes = head.page(&directory);
    for ring in rings.iter().take(RINGS) {
        bytes.extend_from_slice(ring);
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    }
    bytes.extend_from_slice(snapshot);
    bytes
}

/// [`Head::boot`] from what the kernel says: the hex digits of a UUID. Zero: they are none.
#[must_use]
pub fn boot_of(text: &str) -> [u8; 16] {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let mut boot = [0; 16];
    if digits.len() == 32 {
        for (to, pair) in boot.iter_mut().zip(digits.chunks_exact(2)) {
            *to = pair[0] << 4 | pair[1];
        }
    }
    boot
}

/// A sum over bytes that a torn write does not keep.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xCBF2_9CE4_8422_2325 ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    let mut mix = |word: u64| {
        sum = (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        sum ^= sum >> 29;
    };
    for word in &mut words {
        mix(u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(u64::from_le_bytes(rest));
    sum
}

/// The number of 64 bits at `at`; `None` behind the end.
fn word(bytes: &[u8], at: u64) -> Option<u64> {
    Some(u64::from_le_bytes(part(bytes, at, 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: u64) -> Option<u32> {
    Some(u32::from_le_bytes(part(bytes, at, 4)?.try_into().ok()?))
}

/// `length` bytes from `at` on; `None`: not all of them are there.
fn part(bytes: &[u8], at: u64, length: u64) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    let end = at.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(at..end)
}
