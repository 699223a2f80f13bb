//! The first page of a recording: who wrote it, and where its parts lie. Knows nothing of what is
//! in them.

use super::{MAGIC, MAJOR, MINOR, PAGE, RINGS, Unreadable, checksum, half, part, word};

/// Where in the page things stand.
const SUM: usize = 504;
const RING_COUNT: usize = 512;
const SNAPSHOTS: usize = 520;
const RING_LIST: usize = 1024;
/// Where the list of rings, and with it the directory, ends.
const DIRECTORY_END: usize = RING_LIST + RINGS * 16;
const ENDING: usize = 2048;
const NAME: usize = 128;
const NAME_MOST: usize = 120;
const REASON: usize = 256;
const REASON_MOST: usize = 240;

/// What a file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Written all the time by a process that may end at any moment.
    #[default]
    BlackBox,
    /// Written at once, because something happened or somebody asked.
    Dump,
}

/// One moment on all clocks, and what a tick is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// CLOCK_MONOTONIC of the app's host.
    pub mono_ns: u64,
    /// Since the Unix epoch.
    pub unix_ns: u64,
    /// What events and rows were stamped with.
    pub ticks: u64,
    /// Nanoseconds a tick.
    pub ns_per_tick: f64,
}

impl Moment {
    /// When tick `at` was, on CLOCK_MONOTONIC.
    #[must_use]
    pub fn mono_of(&self, at: u64) -> u64 {
        if at > self.ticks {
            self.mono_ns.saturating_add(self.ns(at - self.ticks))
        } else {
            self.mono_ns.saturating_sub(self.ns(self.ticks - at))
        }
    }

    /// A duration in ticks, in nanoseconds.
    #[must_use]
    pub fn ns(&self, ticks: u64) -> u64 {
        // A rate from a damaged file may be anything; the cast saturates and takes NaN for 0.
        (ticks as f64 * self.ns_per_tick) as u64
    }

    /// The wall clock at a moment of CLOCK_MONOTONIC.
    #[must_use]
    pub fn unix_of(&self, mono_ns: u64) -> u64 {
        if mono_ns > self.mono_ns {
            self.unix_ns.saturating_add(mono_ns - self.mono_ns)
        } else {
            self.unix_ns.saturating_sub(self.mono_ns - mono_ns)
        }
    }

    pub(super) fn encode(&self) -> [u8; 32] {
        let words = [
            self.mono_ns,
            self.unix_ns,
            self.ticks,
            self.ns_per_tick.to_bits(),
        ];
        let mut out = [0; 32];
        for (to, word) in out.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    pub(super) fn read(bytes: &[u8], at: u64) -> Option<Self> {
        Some(Self {
            mono_ns: word(bytes, at)?,
            unix_ns: word(bytes, at + 8)?,
            ticks: word(bytes, at + 16)?,
            ns_per_tick: f64::from_bits(word(bytes, at + 24)?),
        })
    }
}

/// Who wrote a recording, and since when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// What the file is for.
    pub kind: Kind,
    /// The process, as it sees itself.
    pub pid: u32,
    /// What tells two processes of one pid apart, as in the file's name.
    pub start: u64,
    /// Hello.instance_id.
    pub instance: [u8; 16],
    /// The host's boot: pids and CLOCK_MONOTONIC mean something within one only. Zero: not known.
    pub boot: [u8; 16],
    /// When the process's first loop began, since the Unix epoch.
    pub began_unix_ns: u64,
    /// All clocks when the file was made. A snapshot has a later reading.
    pub clock: Moment,
    /// The app's name, cut at 120 bytes.
    pub name: String,
    /// Why a dump was written, cut at 240 bytes. Empty: no reason.
    pub reason: String,
}

/// Where a ring lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingEntry {
    /// Of its first page, from the start of the file.
    pub offset: u64,
    /// Of its first page and its slots together.
    pub bytes: u64,
}

/// Where the parts of a file lie. Written anew as parts are added, so the head's sum does not
/// cover it: each part proves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// At most [`RINGS`].
    pub rings: Vec<RingEntry>,
    /// Offset and bytes of the two places for snapshots; 0 bytes: there is none.
    pub snapshots: [(u64, u64); 2],
}

/// How a process ended, if it could say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its last run returned.
    Clean,
    /// Its main task panicked.
    Panicked,
}

/// The last words of a process. They stand in the first page, prove themselves, and are written once
/// at the end: a process that is killed says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub end: End,
    /// When, on CLOCK_MONOTONIC of the app's host.
    pub mono_ns: u64,
    /// The same, since the Unix epoch.
    pub unix_ns: u64,
}

impl Ending {
    /// Where in the file it stands.
    pub const OFFSET: u64 = ENDING as u64;
    /// Its bytes.
    pub const BYTES: usize = 32;

    /// The bytes that stand there.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let said = match self.end {
            End::Clean => 1,
            End::Panicked => 2,
        };
        let mut out = [0; Self::BYTES];
        for (to, word) in out
            .chunks_exact_mut(8)
            .zip([said, self.mono_ns, self.unix_ns])
        {
            to.copy_from_slice(&u64::to_le_bytes(word));
        }
        let sum = checksum(&out[..24]);
        out[24..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads it from the first page of a file. `None`: nothing is said, or nothing that is known.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let raw = part(bytes, Self::OFFSET, Self::BYTES as u64)?;
        if word(raw, 24)? != checksum(&raw[..24]) {
            return None;
        }
        Some(Self {
            end: match word(raw, 0)? {
                1 => End::Clean,
                2 => End::Panicked,
                _ => return None,
            },
            mono_ns: word(raw, 8)?,
            unix_ns: word(raw, 16)?,
        })
    }
}

/// The text, cut at a character, with its length before it.
fn put(page: &mut [u8], at: usize, text: &str, most: usize) {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    page[at..at + 4].copy_from_slice(&(end as u32).to_le_bytes());
    page[at + 4..at + 4 + end].copy_from_slice(&text.as_bytes()[..end]);
}

fn text(bytes: &[u8], at: usize, most: usize) -> Option<String> {
    let length = half(bytes, at as u64)? as usize;
    let raw = part(bytes, at as u64 + 4, length.min(most) as u64)?;
    Some(String::from_utf8_lossy(raw).into_owned())
}

impl Head {
    /// The first page of a file whose parts lie where `directory` says.
    #[must_use]
    pub fn page(&self, directory: &Directory) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..10].copy_from_slice(&MAJOR.to_le_bytes());
        page[10..12].copy_from_slice(&MINOR.to_le_bytes());
        let kind: u32 = match self.kind {
            Kind::BlackBox => 0,
            Kind::Dump => 1,
        };
        page[12..16].copy_from_slice(&kind.to_le_bytes());
        page[16..20].copy_from_slice(&self.pid.to_le_bytes());
        page[24..32].copy_from_slice(&self.start.to_le_bytes());
        page[32..48].copy_from_slice(&self.instance);
        page[48..64].copy_from_slice(&self.boot);
        page[64..72].copy_from_slice(&self.began_unix_ns.to_le_bytes());
        page[72..104].copy_from_slice(&self.clock.encode());
        put(&mut page, NAME, &self.name, NAME_MOST);
        put(&mut page, REASON, &self.reason, REASON_MOST);
        let sum = checksum(&page[..SUM]);
        page[SUM..SUM + 8].copy_from_slice(&sum.to_le_bytes());
        page[RING_COUNT..DIRECTORY_END].copy_from_slice(&directory.bytes());
        page
    }

    /// Reads it back.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let have = bytes.len() as u64;
        let truncated = Unreadable::Truncated { have };
        let magic = &bytes[..bytes.len().min(8)];
        if magic != &MAGIC[..magic.len()] || magic.is_empty() {
            return Err(Unreadable::Foreign);
        }
        let version = half(bytes, 8).ok_or(truncated.clone())?;
        let (major, minor) = (version as u16, (version >> 16) as u16);
        if major > MAJOR {
            return Err(Unreadable::Newer { major, minor });
        }
        if bytes.len() < PAGE {
            return Err(truncated);
        }
        if word(bytes, SUM as u64) != Some(checksum(&bytes[..SUM])) {
            return Err(Unreadable::Damaged("its checksum does not fit"));
        }
        let read = || {
            Some(Self {
                kind: match half(bytes, 12)? {
                    0 => Kind::BlackBox,
                    _ => Kind::Dump,
                },
                pid: half(bytes, 16)?,
                start: word(bytes, 24)?,
                instance: part(bytes, 32, 16)?.try_into().ok()?,
                boot: part(bytes, 48, 16)?.try_into().ok()?,
                began_unix_ns: word(bytes, 64)?,
                clock: Moment::read(bytes, 72)?,
                name: text(bytes, NAME, NAME_MOST)?,
                reason: text(bytes, REASON, REASON_MOST)?,
            })
        };
        read().ok_or(truncated)
    }
}

impl Directory {
    /// Where in the file it stands, for who writes it anew.
    pub const OFFSET: u64 = RING_COUNT as u64;

    /// The bytes that stand there.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut page = vec![0; DIRECTORY_END];
        let count = self.rings.len().min(RINGS);
        page[RING_COUNT..RING_COUNT + 4].copy_from_slice(&(count as u32).to_le_bytes());
        for (at, (offset, bytes)) in self.snapshots.iter().enumerate() {
            let at = SNAPSHOTS + at * 16;
            page[at..at + 8].copy_from_slice(&offset.to_le_bytes());
            page[at + 8..at + 16].copy_from_slice(&bytes.to_le_bytes());
        }
        for (at, ring) in self.rings.iter().take(count).enumerate() {
            let at = RING_LIST + at * 16;
            page[at..at + 8].copy_from_slice(&ring.offset.to_le_bytes());
            page[at + 8..at + 16].copy_from_slice(&ring.bytes.to_le_bytes());
        }
        page.split_off(RING_COUNT)
    }

    /// Reads it from the first page of a file; what is not there is left out.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let pair = |at: usize| {
            let at = at as u64;
            Some((word(bytes, at)?, word(bytes, at + 8)?))
        };
        let count = half(bytes, RING_COUNT as u64).map_or(0, |count| (count as usize).min(RINGS));
        let rings = (0..count).filter_map(|at| {
            let (offset, bytes) = pair(RING_LIST + at * 16)?;
            Some(RingEntry { offset, bytes })
        });
        Self {
            rings: rings.collect(),
            snapshots: [0, 1].map(|at| pair(SNAPSHOTS + at * 16).unwrap_or_default()),
        }
    }
}
