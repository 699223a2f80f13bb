//! The black box of this process: a file with its last events and, twice over, a snapshot of its
//! tables, for who comes after its end or finds it wedged. `loop_proto::recording` is its form.
//!
//! The rings of events lie in the file itself, mapped, where it lies in memory: a store into a page
//! of a disk's file may have to wait for the disk, and the loop must not. Where there is only a
//! disk, each snapshot takes the new events along. Snapshots are written, never mapped: a full
//! file system is an error then, not the end of the process. Knows no loop's inside.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use loop_proto::pb;
use loop_proto::recording::{
    Directory, EVENT, End, Ending, Moment, PAGE, RINGS, RingEntry, Writer,
};

use super::compose::{SNAPSHOT, head, now};
use super::shared::{Identity, Shared};
use crate::clock;
use crate::record::ring::supply::{self, Supply};
use crate::record::ring::words::{Lease, Words};
use crate::record::ring::{CAPACITY, FIRST, Ring, capacity_of, words_for};
use crate::record::{self, LoopRecord};

mod beat;
mod file;
mod old;
#[cfg(test)]
mod tests;

pub(crate) use beat::beat;
use file::{LARGEST, Made, may_grow, open};

/// Where the first ring begins: behind the head and both snapshots, which are holes until written.
const RINGS_AT: u64 = (PAGE + 2 * SNAPSHOT) as u64;
/// How long the end of a process waits for its last snapshot.
const LAST: Duration = Duration::from_millis(100);

/// Events that the ring of the loop has that is the `nth` with a place: the first ones have
/// 2 MiB, the last ones 64 KiB.
fn capacity(nth: usize) -> usize {
    match nth {
        0..4 => CAPACITY,
        4..16 => CAPACITY / 8,
        _ => CAPACITY / 32,
    }
}

pub(crate) struct BlackBox {
    file: Arc<fs::File>,
    path: PathBuf,
    /// Rings lie in the file itself. Else why not.
    mapped: Result<(), String>,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    directory: Directory,
    rings: Vec<Place>,
    /// Where the next ring begins.
    end: u64,
    sequence: u64,
    /// Loops whose ring is not in the file.
    left_out: u32,
    snapshot_bytes: u64,
    snapshot_ns: u64,
    rows_left_out: u64,
    /// From the last snapshot to the next, if nothing happens.
    interval: Duration,
    /// Why loops have no ring in the file. Empty: they have.
    no_ring: String,
    /// What went wrong with the last snapshot. Empty: nothing.
    trouble: String,
    /// The process has said how it ended.
    ended: bool,
}

/// A place for a ring.
struct Place {
    offset: u64,
    capacity: usize,
    loop_id: u32,
    /// Held by the words of the ring that is there.
    lease: Weak<Lease>,
    /// The loop's record, where its ring lies elsewhere and is copied; and up to where it was.
    copied: Option<(Weak<LoopRecord>, u64)>,
}

impl Place {
    /// Events that the ring there can have.
    fn events(&self) -> u64 {
        let lease = self.lease.upgrade();
        let stunted = lease.filter(|lease| lease.trouble().is_some());
        stunted.map_or(self.capacity, |lease| capacity_of(lease.room())) as u64
    }

    /// Why the ring there is smaller than it should be. `None`: it is not.
    fn trouble(&self) -> Option<String> {
        let lease = self.lease.upgrade()?;
        let error = lease.trouble()?;
        let of = self.loop_id;
        Some(format!("no room for more events of loop {of}: {error}"))
    }

    /// Nobody writes there any more.
    fn is_free(&self) -> bool {
        match &self.copied {
            Some((record, _)) => record.strong_count() == 0,
            None => self.lease.strong_count() == 0,
        }
    }
}

/// Rings where there is no file: in memory, for viewers that want to know what was before.
struct InMemory;

impl Supply for InMemory {
    fn ring(&self, _: &Arc<LoopRecord>) -> Option<Ring> {
        let loops = record::loops().len();
        Some(Ring::new(capacity(loops.saturating_sub(1))))
    }
}

/// Has loops record from now on, though there is no file.
pub(crate) fn record_in_memory() {
    supply::install(Arc::new(InMemory));
}

impl BlackBox {
    /// Makes the file of this process, beside `socket` or where memory is, and has all loops record
    /// into it.
    ///
    /// Errors: a sentence; loops record into memory then.
    pub(crate) fn begin(socket: &Path, identity: &Identity) -> Result<Arc<Self>, String> {
        let made = Self::make(socket, identity);
        match &made {
            Ok(made) => supply::install(made.clone()),
            Err(_) => record_in_memory(),
        }
        made
    }

    fn make(socket: &Path, identity: &Identity) -> Result<Arc<Self>, String> {
        let Made { file, path, mapped } = open(socket)?;
        let directory = Directory {
            rings: Vec::new(),
            snapshots: [
                (PAGE as u64, SNAPSHOT as u64),
                ((PAGE + SNAPSHOT) as u64, SNAPSHOT as u64),
            ],
        };
        let head = head(identity, None);
        if let Err(error) = file.write_all_at(&head.page(&directory), 0) {
            let _ = fs::remove_file(&path);
            return Err(format!("{}: {error}", path.display()));
        }
        Ok(Arc::new(Self {
            file: Arc::new(file),
            path,
            mapped,
            parts: Mutex::new(Parts {
                directory,
                end: RINGS_AT,
                ..Parts::default()
            }),
        }))
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn path(&self) -> &Path {
        &self.path
    }

    /// What viewers are told of it.
    pub(crate) fn about(&self) -> pb::Recording {
        let parts = self.parts();
        let small = parts.rings.iter().find_map(Place::trouble);
        let reasons = [
            self.mapped.as_ref().err().map_or("", String::as_str),
            &parts.no_ring,
            small.as_deref().unwrap_or_default(),
            &parts.trouble,
        ];
        let reasons: Vec<_> = reasons.into_iter().filter(|why| !why.is_empty()).collect();
        pb::Recording {
            path: self.path.display().to_string(),
            reason: reasons.join("; "),
            mapped: self.mapped.is_ok(),
            // What it takes, holes left out.
            bytes: self.file.metadata().map_or(0, |file| file.blocks() * 512),
            ring_capacity: parts.rings.iter().map(Place::events).sum(),
            loops_left_out: parts.left_out,
            snapshots: parts.sequence,
            snapshot_bytes: parts.snapshot_bytes,
            snapshot_ns: parts.snapshot_ns,
            rows_left_out: parts.rows_left_out,
            snapshot_interval_ms: parts.interval.as_millis() as u64,
        }
    }

    /// States when the next snapshot is due.
    fn pace(&self, interval: Duration) {
        self.parts().interval = interval;
    }

    /// Writes a snapshot over the older of the two. The header comes last, and proves the rest.
    fn write(&self, writer: Writer, at: &Moment, took: u64) {
        let mut parts = self.parts();
        let sequence = parts.sequence + 1;
        parts.rows_left_out = writer.rows_left_out();
        let bytes = writer.finish(sequence, at);
        let place = PAGE + (sequence % 2) as usize * SNAPSHOT;
        let (header, sections) = bytes.split_at(Writer::HEADER);
        // The limit may have been set since.
        let written = may_grow()
            .map_err(io::Error::other)
            .and_then(|()| {
                let at = (place + Writer::HEADER) as u64;
                self.file.write_all_at(sections, at)
            })
            .and_then(|()| self.file.write_all_at(header, place as u64));
        match written {
            Ok(()) => {
                parts.sequence = sequence;
                parts.snapshot_bytes = bytes.len() as u64;
                parts.snapshot_ns = took;
                parts.trouble.clear();
            }
            Err(error) => parts.trouble = format!("the last snapshot was not written: {error}"),
        }
        if self.mapped.is_err() {
            self.copy_rings(&mut parts);
        }
    }

    /// Takes along what loops recorded since the last time, where their rings lie elsewhere.
    fn copy_rings(&self, parts: &mut Parts) {
        let mut trouble = None;
        for place in &mut parts.rings {
            let Some((record, next)) = &mut place.copied else {
                continue;
            };
            let Some(record) = record.upgrade() else {
                continue;
            };
            let Some(ring) = record.ring() else { continue };
            let image = ring.image(*next);
            let slots = place.offset + PAGE as u64;
            let mut written = Ok(());
            for (index, words) in image.slots {
                let at = slots + index % place.capacity as u64 * EVENT as u64;
                written = written.and_then(|()| self.file.write_all_at(&bytes_of(&words), at));
            }
            // The page last: it says up to where there are events.
            written =
                written.and_then(|()| self.file.write_all_at(&bytes_of(&image.page), place.offset));
            match written {
                Ok(()) => *next = image.tail,
                Err(error) => trouble = Some(format!("events were not written: {error}")),
            }
        }
        if let Some(trouble) = trouble {
            parts.trouble = trouble;
        }
    }

    /// A place for a loop's ring: a new one, or one whose loop is gone.
    fn place(&self, parts: &mut Parts, wanted: usize) -> Option<usize> {
        if parts.rings.len() < RINGS {
            let bytes = (words_for(wanted) * size_of::<u64>()) as u64;
            let offset = parts.end;
            if offset + bytes <= LARGEST {
                match self.allocate(offset, wanted) {
                    Ok(()) => {
                        parts.end += bytes;
                        parts.directory.rings.push(RingEntry { offset, bytes });
                        parts.rings.push(Place {
                            offset,
                            capacity: wanted,
                            loop_id: 0,
                            lease: Weak::new(),
                            copied: None,
                        });
                        return Some(parts.rings.len() - 1);
                    }
                    Err(error) => {
                        parts.no_ring = format!("no room for the ring of a loop: {error}");
                    }
                }
            }
        }
        // The one that ended first: ids only grow.
        let free = parts
            .rings
            .iter()
            .enumerate()
            .filter(|(_, place)| place.is_free());
        free.min_by_key(|(_, place)| place.loop_id)
            .map(|(at, _)| at)
    }

    /// Space for a ring of `wanted` events, or for its first ones if it can take more by and by.
    fn allocate(&self, offset: u64, wanted: usize) -> io::Result<()> {
        may_grow().map_err(io::Error::other)?;
        let bytes = |events: usize| (words_for(events) * size_of::<u64>()) as u64;
        #[cfg(target_os = "linux")]
        if self.mapped.is_ok() {
            let flags = rustix::fs::FallocateFlags::empty();
            let bytes = bytes(wanted.min(FIRST));
            return Ok(rustix::fs::fallocate(&self.file, flags, offset, bytes)?);
        }
        let end = offset + bytes(wanted);
        if self.file.metadata()?.len() < end {
            self.file.set_len(end)?;
        }
        Ok(())
    }

    /// Writes where the parts lie.
    fn tell(&self, parts: &mut Parts) {
        let bytes = parts.directory.bytes();
        if let Err(error) = self.file.write_all_at(&bytes, Directory::OFFSET) {
            parts.trouble = format!("{}: {error}", self.path.display());
        }
    }

    /// The process ends by a panic of its main task: the file says so. Waits a little for a last
    /// snapshot.
    pub(crate) fn panicked(&self, shared: &Shared) {
        let before = self.parts().sequence;
        shared.record.raise();
        let until = clock::mono() + LAST.as_nanos() as u64;
        while self.parts().sequence == before && clock::mono() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        self.ended(End::Panicked);
    }

    /// The last word of the process, of which only the first counts.
    pub(crate) fn ended(&self, end: End) {
        let mut parts = self.parts();
        if std::mem::replace(&mut parts.ended, true) {
            return;
        }
        let at = now();
        let ending = Ending {
            end,
            mono_ns: at.mono_ns,
            unix_ns: at.unix_ns,
        };
        // What cannot be written now is said by nobody.
        let _ = self.file.write_all_at(&ending.bytes(), Ending::OFFSET);
    }
}

impl Supply for BlackBox {
    fn ring(&self, record: &Arc<LoopRecord>) -> Option<Ring> {
        let mut parts = self.parts();
        let wanted = capacity(parts.rings.len());
        let Some(at) = self.place(&mut parts, wanted) else {
            parts.left_out += 1;
            if parts.no_ring.is_empty() {
                parts.no_ring = "more loops than the file has rings for".to_owned();
            }
            return Some(Ring::new(wanted));
        };
        let place = &mut parts.rings[at];
        place.loop_id = record.id.get();
        let capacity = place.capacity;
        if self.mapped.is_err() {
            place.copied = Some((Arc::downgrade(record), 0));
            self.tell(&mut parts);
            return Some(Ring::within(
                Words::zeroed(words_for(capacity)),
                record.id.get(),
            ));
        }
        #[cfg(target_os = "linux")]
        {
            let room = words_for(capacity.min(FIRST));
            let lease = Lease::new(self.file.clone(), place.offset, room);
            place.lease = Arc::downgrade(&lease);
            match Words::map(lease, words_for(capacity)) {
                Ok(words) => {
                    let ring = Ring::within(words, record.id.get());
                    self.tell(&mut parts);
                    return Some(ring);
                }
                Err(error) => {
                    parts.no_ring = format!("the ring of a loop could not be mapped: {error}");
                }
            }
        }
        parts.left_out += 1;
        Some(Ring::new(capacity))
    }
}

impl Drop for BlackBox {
    fn drop(&mut self) {
        // Whoever held it last: the file, if it still is there, is for who comes after.
        rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock).ok();
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
