//! The black box of this process: a file with its last events and, twice over, a snapshot of its
//! tables, for who comes after its end or finds it wedged. `loop_proto::recording` is its form.
//!
//! The rings of events lie in the file itself, mapped, where it lies in memory: a store into a page
//! of a disk's file may have to wait for the disk, and the loop must not. Where there is only a
//! disk, each snapshot takes the new events along. Snapshots are written, never mapped: a full
//! file system is an error then, not the end of the process. Knows no loop's inside.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use loop_proto::endpoint::recording_path;
use loop_proto::pb;
use loop_proto::recording::{
    Directory, EVENT, End, Head, Kind, Moment, PAGE, RINGS, RingEntry, Writer, mark_end,
};

use super::endpoint;
use super::service::Inspect;
use super::shared::{Identity, Shared};
use crate::clock;
use crate::inspect::snapshot;
use crate::inspect::texts::Sent;
use crate::inspect::view::Answer;
use crate::os;
use crate::record::ring::supply::{self, Supply};
use crate::record::ring::words::Words;
use crate::record::ring::{CAPACITY, Ring, words_for};
use crate::record::{self, LoopRecord};
use crate::spawn::yield_now;
use crate::time::sleep;

#[cfg(test)]
mod tests;

/// Bytes that a snapshot may have, its header included.
pub(crate) const SNAPSHOT: usize = 4 << 20;
/// Where the first ring begins: behind the head and both snapshots, which are holes until written.
const RINGS_AT: u64 = (PAGE + 2 * SNAPSHOT) as u64;
/// The file never gets larger than this.
const LARGEST: u64 = 24 << 20;
/// Between two snapshots, if nothing happens that is worth one.
const BEAT: Duration = Duration::from_secs(1);
/// Between two snapshots in any case.
const SHORTEST: Duration = Duration::from_millis(100);
/// Composing them may take this share of a CPU.
const SHARE: u32 = 50;
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
    file: fs::File,
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
    /// What went wrong last. Empty: nothing.
    trouble: String,
}

/// A place for a ring.
struct Place {
    offset: u64,
    capacity: usize,
    loop_id: u32,
    /// Held by the words of the ring that is there.
    lease: Weak<()>,
    /// The loop's record, where its ring lies elsewhere and is copied; and up to where it was.
    copied: Option<(Weak<LoopRecord>, u64)>,
}

impl Place {
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
    pub(crate) fn begin(
        socket: &Path,
        start: u64,
        identity: &Identity,
    ) -> Result<Arc<Self>, String> {
        let made = Self::make(socket, start, identity);
        match &made {
            Ok(made) => supply::install(made.clone()),
            Err(_) => record_in_memory(),
        }
        made
    }

    fn make(socket: &Path, start: u64, identity: &Identity) -> Result<Arc<Self>, String> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
        if limit.current.is_some_and(|limit| limit < LARGEST) {
            return Err(format!(
                "files may not become larger than {LARGEST} bytes (ulimit -f)"
            ));
        }
        let beside = socket.parent().unwrap_or(Path::new("/"));
        let (file, path, mapped) = open(beside, socket)?;
        let directory = Directory {
            rings: Vec::new(),
            snapshots: [
                (PAGE as u64, SNAPSHOT as u64),
                ((PAGE + SNAPSHOT) as u64, SNAPSHOT as u64),
            ],
        };
        let head = Head {
            kind: Kind::BlackBox,
            pid: std::process::id(),
            start,
            instance: identity.instance,
            boot: boot(),
            began_unix_ns: identity.started_unix_ns,
            clock: now(),
            name: identity.name.clone(),
            reason: String::new(),
        };
        if let Err(error) = file.write_all_at(&head.page(&directory), 0) {
            let _ = fs::remove_file(&path);
            return Err(format!("{}: {error}", path.display()));
        }
        Ok(Arc::new(Self {
            file,
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

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What viewers are told of it.
    pub(crate) fn about(&self) -> pb::Recording {
        let parts = self.parts();
        let reasons = [
            self.mapped.as_ref().err().map_or("", String::as_str),
            &parts.trouble,
        ];
        let reasons: Vec<_> = reasons.into_iter().filter(|why| !why.is_empty()).collect();
        pb::Recording {
            path: self.path.display().to_string(),
            reason: reasons.join("; "),
            mapped: self.mapped.is_ok(),
            // What it takes, holes left out.
            bytes: self.file.metadata().map_or(0, |file| file.blocks() * 512),
            ring_capacity: parts.rings.iter().map(|ring| ring.capacity as u64).sum(),
            loops_left_out: parts.left_out,
            snapshots: parts.sequence,
            snapshot_bytes: parts.snapshot_bytes,
            snapshot_ns: parts.snapshot_ns,
            rows_left_out: parts.rows_left_out,
        }
    }

    /// Writes a snapshot over the older of the two. The header comes last, and proves the rest.
    fn write(&self, writer: Writer, at: &Moment, took: u64) {
        let mut parts = self.parts();
        let sequence = parts.sequence + 1;
        parts.rows_left_out = writer.rows_left_out();
        let bytes = writer.finish(sequence, at);
        let place = PAGE + (sequence % 2) as usize * SNAPSHOT;
        let (header, sections) = bytes.split_at(Writer::HEADER);
        let written = self
            .file
            .write_all_at(sections, (place + Writer::HEADER) as u64)
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
                match self.allocate(offset, bytes) {
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
                        parts.trouble = format!("no room for the ring of a loop: {error}");
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

    /// Space first: a store into a hole of a file system that is full ends the process.
    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.mapped.is_ok() {
            let flags = rustix::fs::FallocateFlags::empty();
            return Ok(rustix::fs::fallocate(&self.file, flags, offset, bytes)?);
        }
        let end = offset + bytes;
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

    /// The process ends by a panic of its main task: the file says so, and stays. Waits a little for
    /// a last snapshot.
    pub(crate) fn panicked(&self, shared: &Shared) {
        let before = self.parts().sequence;
        shared.record.raise();
        let until = clock::mono() + LAST.as_nanos() as u64;
        while self.parts().sequence == before && clock::mono() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let parts = self.parts();
        let place = (PAGE + (parts.sequence % 2) as usize * SNAPSHOT) as u64;
        let mut header = [0; Writer::HEADER];
        if self.file.read_exact_at(&mut header, place).is_ok()
            && let Some(header) = mark_end(&header, End::Panicked)
        {
            // What cannot be written now is said by nobody.
            let _ = self.file.write_all_at(&header, place);
        }
    }
}

impl Supply for BlackBox {
    fn ring(&self, record: &Arc<LoopRecord>) -> Option<Ring> {
        let mut parts = self.parts();
        let wanted = capacity(parts.rings.len());
        let Some(at) = self.place(&mut parts, wanted) else {
            parts.left_out += 1;
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
            let lease = Arc::new(());
            place.lease = Arc::downgrade(&lease);
            let words = Words::map(&self.file, place.offset, words_for(capacity), lease);
            match words {
                Ok(words) => {
                    let ring = Ring::within(words, record.id.get());
                    self.tell(&mut parts);
                    return Some(ring);
                }
                Err(error) => {
                    parts.trouble = format!("the ring of a loop could not be mapped: {error}");
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

/// The file, where it is, and whether rings can lie in it.
fn open(beside: &Path, socket: &Path) -> Result<(fs::File, PathBuf, Result<(), String>), String> {
    let name = recording_path(socket);
    let name = name.file_name().unwrap_or_default();
    let mut why = format!(
        "{} is on a disk, for which a loop could have to wait",
        beside.display()
    );
    if !is_memory(beside) {
        let memory = loop_proto::endpoint::memory(super::auth::own_uid());
        if cfg!(target_os = "linux") {
            match endpoint::ready(&memory).and_then(|()| create(&memory.join(name))) {
                Ok(file) if is_memory(&memory) => {
                    endpoint::sweep_recordings(&memory);
                    return Ok((file, memory.join(name), Ok(())));
                }
                Ok(_) => {
                    let _ = fs::remove_file(memory.join(name));
                    why = format!("{why}, and so is {}", memory.display());
                }
                Err(error) => why = format!("{why}; {}: {error}", memory.display()),
            }
        }
    }
    let path = beside.join(name);
    let file = create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    endpoint::sweep_recordings(beside);
    let mapped = if is_memory(beside) { Ok(()) } else { Err(why) };
    Ok((file, path, mapped))
}

/// Makes a file for this user alone, and locks it: it is a living process's as long as the lock is
/// held, whatever its pid means where one looks from.
fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // An earlier run of this very process: of another there is none with pid and start.
            fs::remove_file(path)?;
            options.open(path)?
        }
        made => made?,
    };
    // A file system without locks: its readers have to go by the pid.
    let _ = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    Ok(file)
}

/// Whether files there lie in memory, so that a store into one never waits for a disk.
fn is_memory(directory: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        const TMPFS: i64 = 0x0102_1994;
        const RAMFS: i64 = 0x8584_58F6;
        rustix::fs::statfs(directory)
            .is_ok_and(|found| matches!(i64::from(found.f_type), TMPFS | RAMFS))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        false
    }
}

/// This boot of the host; zero where the kernel does not tell.
fn boot() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    loop_proto::recording::boot_of(&text)
}

/// All clocks now.
fn now() -> Moment {
    let ns_per_tick = clock::ns_per_tick();
    Moment {
        mono_ns: clock::mono(),
        unix_ns: super::service::unix_ns(),
        ticks: clock::ticks(),
        ns_per_tick,
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn cpu() -> u64 {
    os::thread::cpu_time(os::thread_id()).unwrap_or(0)
}

/// Writes snapshots: one a second, and one whenever something is found or blocks.
pub(crate) async fn beat(shared: Arc<Shared>, black_box: Weak<BlackBox>) {
    loop {
        let Some(target) = black_box.upgrade() else {
            return;
        };
        let at = now();
        // What is wrong is to stand in it: somebody will want to know.
        shared.want_findings();
        let mut took = 0;
        let writer = compose(&shared, &mut took).await;
        let before = cpu();
        target.write(writer, &at, took);
        took += cpu().saturating_sub(before);
        shared.desk().recording = Some(target.about());
        drop(target);
        sleep(SHORTEST).await;
        let rest = BEAT.max(Duration::from_nanos(took) * SHARE) - SHORTEST;
        let mut pause = sleep(rest);
        std::future::poll_fn(|cx| {
            if shared.record.poll(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            std::pin::Pin::new(&mut pause).poll(cx)
        })
        .await;
        shared.record.take();
    }
}

/// Puts a snapshot together, with pauses in which others have their turn.
async fn compose(shared: &Arc<Shared>, took: &mut u64) -> Writer {
    let mut sent = Sent::default();
    let mut before = cpu();
    let mut writer = Writer::new(SNAPSHOT);
    let service = Inspect {
        shared: shared.clone(),
    };
    let mut tasks = std::collections::HashSet::new();
    writer.hello(&service.reply(super::auth::Role::Observe));
    let own = shared.feeds().own();
    let live = {
        let mut desk = shared.desk();
        let (batch, sites) = snapshot::story(own, &mut desk, &mut sent);
        writer.events(&batch);
        writer.sites(&sites);
        for detail in snapshot::details(&mut desk) {
            writer.task(&detail);
        }
        desk.overview(&crate::inspect::tables::Look::new(false))
            .tasks
    };
    for query in snapshot::queries(live) {
        let begun = Answer::begin(&query, None, &mut shared.desk());
        let Ok(mut answer) = begun else {
            continue;
        };
        while !answer.step(&mut shared.desk()) {
            *took += cpu().saturating_sub(before);
            yield_now().await;
            before = cpu();
        }
        let view = answer.finish(&mut shared.desk(), &mut sent);
        if query.target() == pb::Target::Tasks {
            tasks.extend(view.tasks.iter().map(|task| task.id));
        } else if !snapshot::is_history(query.target()) {
            writer.left_out(view.matched.saturating_sub(snapshot::rows_of(&view)));
        }
        writer.view(view);
        *took += cpu().saturating_sub(before);
        yield_now().await;
        before = cpu();
    }
    writer.left_out(live.saturating_sub(tasks.len() as u64));
    writer
}
