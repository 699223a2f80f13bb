//! A snapshot: messages of the schema, one after another, behind a header that proves them whole.
//! Two places take turns, so that an end at any moment leaves one. Knows no ring.

use std::collections::HashMap;

use prost::Message;

use super::head::{Directory, Moment};
use super::{checksum, half, part, word};
use crate::pb;

/// Bytes of the header.
const HEADER: usize = 96;
const MARK: u64 = u64::from_le_bytes(*b"LOOPSNAP");

/// Sections, by number. Unknown ones are passed over.
const HELLO: u32 = 1;
const VIEW: u32 = 2;
const EVENTS: u32 = 3;
const SITES: u32 = 4;
const TASK: u32 = 5;

/// Bytes of sections that a reader takes in: twice what is ever written.
const LARGEST: u64 = 8 << 20;
/// Rows, texts and other fields of all sections together that a reader takes in. An empty row takes
/// two bytes in a file and hundreds in memory, so that bytes alone are no bound.
const FIELDS: usize = 200_000;

/// What stands before the sections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SnapshotHead {
    /// Counts the snapshots of a file, from 1.
    pub sequence: u64,
    /// The moment it is of.
    pub at: Moment,
    /// Rows that found no room in it.
    pub left_out: u64,
}

/// A snapshot as it was read.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What stands before it.
    pub head: SnapshotHead,
    /// Who it is of.
    pub hello: Option<pb::HelloReply>,
    /// One or more answers for each target; `slot` is the target's number.
    pub views: Vec<pb::View>,
    /// Events of the inspector's own: findings, blocks, commands.
    pub events: Vec<pb::EventBatch>,
    /// Texts of spawn places by loop and number, as `TaskSpawned` in a ring has it.
    pub sites: HashMap<(u32, u32), u32>,
    /// All about some tasks.
    pub tasks: Vec<pb::TaskDetail>,
    /// Bytes of its sections.
    pub bytes: u64,
}

/// Puts a snapshot together, up to a size.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    most: usize,
    left_out: u64,
}

impl Writer {
    /// A snapshot of at most `most` bytes, its header included.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            bytes: vec![0; HEADER],
            most,
            left_out: 0,
        }
    }

    /// Adds a section; `false`: there is no room for it.
    fn section(&mut self, kind: u32, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if length > self.room() {
            return false;
        }
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
        write(&mut self.bytes);
        true
    }

    fn message(&mut self, kind: u32, message: &impl Message) -> bool {
        self.section(kind, message.encoded_len(), |out| {
            // A vector takes all that is encoded into it.
            message.encode_raw(out);
        })
    }

    /// Bytes that a further message may have.
    #[must_use]
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.bytes.len() + 8)
    }

    /// Who it is.
    pub fn hello(&mut self, hello: &pb::HelloReply) -> bool {
        self.message(HELLO, hello)
    }

    /// An answer; `slot` has to be the target's number. Rows that find no room are left out, the
    /// last ones first, and counted.
    pub fn view(&mut self, view: pb::View) -> bool {
        if self.message(VIEW, &view) {
            return true;
        }
        let rows = rows_of(&view);
        let room = self.room();
        let parts = crate::message::split_view(view, room.max(1));
        let mut kept = 0;
        if let Some(first) = parts.into_iter().next()
            && self.message(VIEW, &first)
        {
            kept = rows_of(&first);
        }
        self.left_out += rows.saturating_sub(kept);
        false
    }

    /// Rows that were left out before they came here.
    pub fn left_out(&mut self, rows: u64) {
        self.left_out += rows;
    }

    /// Rows that were left out so far.
    #[must_use]
    pub fn rows_left_out(&self) -> u64 {
        self.left_out
    }

    /// Events that are in no ring.
    pub fn events(&mut self, batch: &pb::EventBatch) -> bool {
        self.message(EVENTS, batch)
    }

    /// All about one task.
    pub fn task(&mut self, detail: &pb::TaskDetail) -> bool {
        self.message(TASK, detail)
    }

    /// Texts of spawn places: loop, number, text.
    pub fn sites(&mut self, sites: &[(u32, u32, u32)]) -> bool {
        self.section(SITES, sites.len() * 12, |out| {
            for (loop_id, site, text) in sites {
                for number in [loop_id, site, text] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
        })
    }

    /// The header and the sections, as they stand in the file. The header is to be written last,
    /// once all behind it is there: its first [`Writer::HEADER`] bytes.
    #[must_use]
    pub fn finish(mut self, sequence: u64, at: &Moment) -> Vec<u8> {
        let length = (self.bytes.len() - HEADER) as u64;
        let sum = checksum(&self.bytes[HEADER..]);
        let words = [MARK, sequence, length, sum, self.left_out];
        for (at, word) in words.into_iter().enumerate() {
            self.bytes[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        self.bytes[40..72].copy_from_slice(&at.encode());
        let own = checksum(&self.bytes[..HEADER - 8]);
        self.bytes[HEADER - 8..HEADER].copy_from_slice(&own.to_le_bytes());
        self.bytes
    }

    /// Bytes of the header.
    pub const HEADER: usize = HEADER;
}

/// How many rows an answer has.
#[must_use]
pub fn rows_of(view: &pb::View) -> u64 {
    let all = [
        view.tasks.len(),
        view.loops.len(),
        view.timers.len(),
        view.io.len(),
        view.jobs.len(),
        view.resources.len(),
        view.children.len(),
        view.signals.len(),
        view.findings.len(),
        view.blocks.len(),
        view.places.len(),
        view.series.len(),
        view.past_findings.len(),
    ];
    all.iter().sum::<usize>() as u64
}

impl Snapshot {
    /// The newest one that is whole, and what is wrong with others.
    pub(super) fn newest(bytes: &[u8], directory: &Directory) -> (Option<Self>, Vec<String>) {
        let mut doubts = Vec::new();
        let mut best: Option<(SnapshotHead, &[u8])> = None;
        let mut seen = 0;
        for (offset, room) in directory.snapshots {
            if room == 0 {
                continue;
            }
            seen += 1;
            if let Some(found) = header(bytes, offset, room)
                && best
                    .as_ref()
                    .is_none_or(|best| best.0.sequence < found.0.sequence)
            {
                best = Some(found);
            }
        }
        let Some((head, sections)) = best else {
            doubts.push(if seen == 0 {
                "no snapshot was written: only events are there".to_owned()
            } else {
                "no snapshot is whole: only events are there".to_owned()
            });
            return (None, doubts);
        };
        let mut snapshot = Self {
            head,
            bytes: sections.len() as u64,
            ..Self::default()
        };
        let unread = snapshot.take(sections);
        if unread > 0 {
            doubts.push(format!("{unread} parts of the snapshot cannot be read"));
        }
        if head.left_out > 0 {
            doubts.push(format!(
                "{} rows found no room in the snapshot",
                head.left_out
            ));
        }
        (Some(snapshot), doubts)
    }

    /// Takes the sections in; how many could not be read.
    fn take(&mut self, sections: &[u8]) -> u64 {
        let (mut at, mut unread, mut fields) = (0, 0, 0);
        while let (Some(kind), Some(length)) = (half(sections, at), half(sections, at + 4)) {
            let Some(body) = part(sections, at + 8, length.into()) else {
                return unread + 1;
            };
            at += 8 + u64::from(length);
            if kind != SITES {
                fields += fields_of(body);
            }
            if fields > FIELDS {
                return unread + 1;
            }
            let read = match kind {
                HELLO => pb::HelloReply::decode(body).map(|hello| self.hello = Some(hello)),
                VIEW => pb::View::decode(body).map(|view| self.views.push(view)),
                EVENTS => pb::EventBatch::decode(body).map(|batch| self.events.push(batch)),
                TASK => pb::TaskDetail::decode(body).map(|detail| self.tasks.push(detail)),
                SITES => {
                    for entry in body.chunks_exact(12) {
                        let number = |at| half(entry, at).unwrap_or_default();
                        self.sites.insert((number(0), number(4)), number(8));
                    }
                    Ok(())
                }
                _ => Ok(()),
            };
            unread += u64::from(read.is_err());
        }
        unread
    }
}

/// How many fields a message has, not looking into them.
fn fields_of(mut body: &[u8]) -> usize {
    let mut count = 0;
    while let Some((tag, rest)) = number(body) {
        count += 1;
        let skipped = match tag & 7 {
            0 => number(rest).map(|(_, rest)| rest),
            1 => rest.get(8..),
            2 => number(rest).and_then(|(length, rest)| rest.get(usize::try_from(length).ok()?..)),
            5 => rest.get(4..),
            // Decoding will refuse it.
            _ => None,
        };
        let Some(rest) = skipped else { break };
        body = rest;
    }
    count
}

/// A number of variable length, and what is behind it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// A header and the sections behind it, if both are whole.
fn header(bytes: &[u8], offset: u64, room: u64) -> Option<(SnapshotHead, &[u8])> {
    let raw = part(bytes, offset, HEADER as u64)?;
    let own = word(raw, HEADER as u64 - 8)?;
    if word(raw, 0)? != MARK || own != checksum(&raw[..HEADER - 8]) {
        return None;
    }
    let length = word(raw, 16)?;
    if length > room.checked_sub(HEADER as u64)? || length > LARGEST {
        return None;
    }
    let sections = part(bytes, offset.checked_add(HEADER as u64)?, length)?;
    if word(raw, 24)? != checksum(sections) {
        return None;
    }
    let head = SnapshotHead {
        sequence: word(raw, 8)?,
        left_out: word(raw, 32)?,
        at: Moment::read(raw, 40)?,
    };
    Some((head, sections))
}
