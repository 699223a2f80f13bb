//! The object files of this process, from `/proc/self/maps` and their own headers in memory.
//!
//! No lock of the loader is taken, and nothing of theirs is kept but copies, so that an object
//! may be unloaded at any moment. Knows ELF as far as unwinding needs it.

use std::ops::Range;
use std::sync::Arc;

use super::capture::read_memory;

/// More unwind information than this is not copied.
const MOST: usize = 64 << 20;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

/// One loaded object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) name: Arc<str>,
    pub(crate) build_id: Arc<str>,
    pub(crate) range: Range<u64>,
    /// What its own addresses are shifted by.
    pub(crate) bias: u64,
    functions: Functions,
}

/// Copies of its unwind sections, and where the file has them.
pub(crate) struct Sections {
    pub(crate) hdr: Vec<u8>,
    pub(crate) hdr_at: u64,
    pub(crate) frames: Vec<u8>,
    pub(crate) frames_at: u64,
}

/// The sorted starts of functions in `.eh_frame_hdr`.
#[derive(Debug, Default)]
struct Functions {
    starts: Vec<u64>,
}

impl Object {
    /// Where the function of `offset` begins.
    pub(crate) fn function(&self, offset: u64) -> Option<u64> {
        let after = self.functions.starts.partition_point(|&at| at <= offset);
        self.functions.starts.get(after.checked_sub(1)?).copied()
    }
}

/// A file's mappings: where the first begins and the last ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) range: Range<u64>,
    name: String,
}

/// The mapped files, each once.
pub(crate) fn mapped() -> Vec<Mapped> {
    std::fs::read_to_string("/proc/self/maps").map_or_else(|_| Vec::new(), |text| parse_maps(&text))
}

fn parse_maps(text: &str) -> Vec<Mapped> {
    let mut files: Vec<Mapped> = Vec::new();
    for line in text.lines() {
        // start-end perms offset dev inode path; the path is the rest and may hold spaces.
        let mut words = line.splitn(6, ' ');
        let (Some(span), Some(_), Some(offset), Some(_), Some(_), Some(name)) = (
            words.next(),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
        ) else {
            continue;
        };
        let name = name.trim_start();
        if !name.starts_with('/') && name != "[vdso]" {
            continue;
        }
        let hex = |word: &str| u64::from_str_radix(word, 16).ok();
        let Some((start, end)) = span
            .split_once('-')
            .and_then(|(start, end)| Some((hex(start)?, hex(end)?)))
        else {
            continue;
        };
        match files.last_mut() {
            Some(last) if last.name == name && hex(offset) != Some(0) => last.range.end = end,
            _ if hex(offset) == Some(0) => files.push(Mapped {
                range: start..end,
                name: name.to_owned(),
            }),
            _ => {}
        }
    }
    files
}

/// Reads what unwinding needs of a mapped file. `None`: it is no ELF object, or is gone.
pub(crate) fn load(mapped: &Mapped) -> Option<(Object, Option<Sections>)> {
    let start = mapped.range.start;
    let header = bytes(start, 64)?;
    if header[..5] != *b"\x7fELF\x02" {
        return None;
    }
    let table = start + word(&header, 0x20)?;
    let (size, count) = (half(&header, 0x36)? as usize, half(&header, 0x38)? as usize);
    let table = bytes(table, size.checked_mul(count)?.min(1 << 16))?;
    let segments: Vec<Segment> = table
        .chunks_exact(size.max(56))
        .map_while(segment)
        .collect();
    let first = segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .map(|segment| segment.at)
        .min()?;
    let bias = start.wrapping_sub(first & !0xfff);
    let sections = segments
        .iter()
        .find(|segment| segment.kind == PT_GNU_EH_FRAME)
        .and_then(|hdr| sections(bias, hdr, &segments));
    let object = Object {
        name: mapped.name.as_str().into(),
        build_id: segments
            .iter()
            .filter(|segment| segment.kind == PT_NOTE)
            .find_map(|note| build_id(&bytes(bias.wrapping_add(note.at), note.size.min(4096))?))
            .unwrap_or_default()
            .into(),
        range: mapped.range.clone(),
        bias,
        functions: sections.as_ref().map(functions).unwrap_or_default(),
    };
    Some((object, sections))
}

#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    at: u64,
    size: usize,
}

fn segment(entry: &[u8]) -> Option<Segment> {
    Some(Segment {
        kind: u32::from_le_bytes(entry.get(..4)?.try_into().ok()?),
        at: word(entry, 0x10)?,
        size: word(entry, 0x28)? as usize,
    })
}

fn sections(bias: u64, hdr: &Segment, segments: &[Segment]) -> Option<Sections> {
    let table = bytes(bias.wrapping_add(hdr.at), hdr.size.min(MOST))?;
    // Version 1; the pointer to .eh_frame is four bytes, relative to itself, as all linkers do.
    if table.get(..2)? != [1, 0x1b] {
        return None;
    }
    let relative = i32::from_le_bytes(table.get(4..8)?.try_into().ok()?);
    let frames_at = (hdr.at + 4).wrapping_add_signed(i64::from(relative));
    // Its size is in the section table only, which is not loaded: it ends with its segment at
    // the latest, and in itself by a terminator.
    let holder = segments.iter().find(|segment| {
        segment.kind == PT_LOAD
            && (segment.at..segment.at + segment.size as u64).contains(&frames_at)
    })?;
    let size = (holder.at + holder.size as u64 - frames_at) as usize;
    Some(Sections {
        hdr: table,
        hdr_at: hdr.at,
        frames: bytes(bias.wrapping_add(frames_at), size.min(MOST))?,
        frames_at,
    })
}

/// The search table, if it is of the one sort that linkers make: four bytes, relative to its start.
fn functions(sections: &Sections) -> Functions {
    let table = &sections.hdr;
    if table.get(2..4) != Some(&[0x03, 0x3b]) {
        return Functions::default();
    }
    let starts = table.get(12..).unwrap_or_default().chunks_exact(8);
    Functions {
        starts: starts
            .map(|entry| {
                let relative = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
                sections.hdr_at.wrapping_add_signed(i64::from(relative))
            })
            .collect(),
    }
}

/// The GNU build id among notes, in hex digits.
fn build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let field = |at: usize| {
            let bytes = notes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes) as usize)
        };
        let (name, size, kind) = (field(0)?, field(4)?, field(8)?);
        let content = 12 + name.next_multiple_of(4);
        let text = notes.get(content..content.checked_add(size)?)?;
        if kind == 3 && notes.get(12..12 + name)? == b"GNU\0" {
            return Some(text.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = notes.get(content + size.next_multiple_of(4)..)?;
    }
}

/// All or nothing.
fn bytes(address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    (read_memory(address, &mut bytes) == length).then_some(bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_one_file_are_one_range_and_others_are_left_out() {
        let maps = "\
1000-2000 r--p 00000000 fe:00 11 /bin/a b\n\
2000-3000 r-xp 00001000 fe:00 11 /bin/a b\n\
3000-4000 rw-p 00000000 00:00 0 \n\
5000-6000 rw-p 00000000 00:00 0 [heap]\n\
7000-8000 r-xp 00000000 00:00 0 [vdso]\n";
        let files = parse_maps(maps);
        assert_eq!(files.len(), 2);
        assert_eq!(
            (&files[0].range, files[0].name.as_str()),
            (&(0x1000..0x3000), "/bin/a b")
        );
        assert_eq!(files[1].name, "[vdso]");
    }

    #[test]
    fn a_build_id_is_found_behind_another_note() {
        let mut notes = Vec::new();
        for (kind, content) in [(1_u32, [1_u8, 2, 3, 4]), (3, [0xab, 0xcd, 0, 0xff])] {
            notes.extend(4_u32.to_le_bytes());
            notes.extend(4_u32.to_le_bytes());
            notes.extend(kind.to_le_bytes());
            notes.extend(b"GNU\0");
            notes.extend(content);
        }
        assert_eq!(build_id(&notes).as_deref(), Some("abcd00ff"));
        assert_eq!(build_id(&notes[..20]), None);
    }

    #[test]
    fn this_program_is_found_with_the_function_that_runs() {
        let here = this_program_is_found_with_the_function_that_runs as fn() as usize as u64;
        let files = mapped();
        let file = files
            .iter()
            .find(|file| file.range.contains(&here))
            .unwrap();
        let (object, sections) = load(file).unwrap();
        assert!(sections.is_some());
        assert_eq!(
            object.function(here - object.bias + 3),
            Some(here - object.bias)
        );
    }
}
