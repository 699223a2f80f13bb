//! The sections of the program's file that hold debug information or symbols, copied.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Why something is not known, in words.
pub(crate) type Why = Cow<'static, str>;

/// More debug information than this is not read: it stays in memory while somebody looks.
const MOST: u64 = 1 << 30;

const COMPRESSED: u64 = 0x800;

/// Those that are wanted, by name.
pub(crate) struct Sections(Vec<(String, Vec<u8>)>);

impl Sections {
    /// The debug information of the program that runs here. Errors: there is none, in words.
    pub(crate) fn debug_info() -> Result<Self, Why> {
        Self::debug_info_of(&program()?)
    }

    fn debug_info_of(file: &File) -> Result<Self, Why> {
        let sections = Self::of(file, |name, _| name.starts_with(".debug_"))?;
        if sections.get(".debug_info").is_empty() {
            return Err(
                "no debug info in this build (`debug = true` in the profile puts it there, and \
                 `strip` takes it away)"
                    .into(),
            );
        }
        Ok(sections)
    }

    /// The section of that name in an object file; `None`: it has none. Where it lies, and not
    /// its bytes.
    pub(crate) fn range_of(file: &File, wanted: &str) -> Result<Option<Range<u64>>, Why> {
        let mut found = None;
        Self::of(file, |name, range| {
            if name == wanted {
                found = Some(range);
            }
            false
        })?;
        Ok(found)
    }

    /// Those sections of an object file.
    pub(crate) fn named(file: &File, wanted: &[&str]) -> Result<Self, Why> {
        Self::of(file, |name, _| wanted.contains(&name))
    }

    fn of(file: &File, mut wants: impl FnMut(&str, Range<u64>) -> bool) -> Result<Self, Why> {
        let not_elf = || Why::from("the program's file is no ELF file of 64 bits");
        let header = bytes(file, 0, 64)?;
        if header[..6] != *b"\x7fELF\x02\x01" {
            return Err(not_elf());
        }
        let (table, size) = (word(&header, 0x28), u64::from(half(&header, 0x3a)));
        let (count, strings) = (half(&header, 0x3c), half(&header, 0x3e));
        if size < 64 {
            return Err(not_elf());
        }
        let table = bytes(file, table, size * u64::from(count))?;
        let entries: Vec<&[u8]> = table.chunks_exact(size as usize).collect();
        let names = entries.get(usize::from(strings)).ok_or_else(not_elf)?;
        let names = bytes(file, word(names, 0x18), word(names, 0x20))?;
        let mut wanted = |entry: &&&[u8]| {
            let at = word(entry, 0x18);
            wants(
                name(&names, entry),
                at..at.saturating_add(word(entry, 0x20)),
            )
        };
        let wanted: Vec<&[u8]> = entries.iter().filter(&mut wanted).copied().collect();
        if wanted
            .iter()
            .any(|entry| word(entry, 0x08) & COMPRESSED != 0)
        {
            return Err("the debug info is compressed, which is not read".into());
        }
        let total: u64 = wanted.iter().map(|entry| word(entry, 0x20)).sum();
        if total > MOST {
            return Err(format!(
                "the debug info is {} MiB, which is more than is read ({} MiB)",
                total >> 20,
                MOST >> 20
            )
            .into());
        }
        let mut sections = Vec::new();
        for entry in wanted {
            let content = bytes(file, word(entry, 0x18), word(entry, 0x20))?;
            sections.push((name(&names, entry).to_owned(), content));
        }
        Ok(Self(sections))
    }

    /// Empty: there is no such section.
    pub(crate) fn get(&self, name: &str) -> &[u8] {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map_or(&[], |(_, content)| content)
    }
}

pub(crate) fn program() -> Result<File, Why> {
    // The file that runs, also if another one has its name by now.
    File::open("/proc/self/exe")
        .map_err(|why| format!("the program's file cannot be opened: {why}").into())
}

fn name<'a>(names: &'a [u8], entry: &[u8]) -> &'a str {
    let at = entry.get(..4).map_or(0, |bytes| {
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    });
    let rest = names.get(at as usize..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
    std::str::from_utf8(&rest[..end]).unwrap_or_default()
}

pub(crate) fn bytes(file: &File, at: u64, length: u64) -> Result<Vec<u8>, Why> {
    let unread = |why: &dyn std::fmt::Display| {
        Why::from(format!("the program's file cannot be read: {why}"))
    };
    let size = file.metadata().map_err(|why| unread(&why))?.len();
    if at.checked_add(length).is_none_or(|end| end > size) {
        return Err("the program's file is cut off".into());
    }
    let mut content = vec![0; length as usize];
    file.read_exact_at(&mut content, at)
        .map_err(|why| unread(&why))?;
    Ok(content)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    })
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(content: &[u8], name: &str) -> File {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        File::create(&path).unwrap().write_all(content).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    #[test]
    fn what_is_no_program_or_is_cut_off_is_said_so() {
        let why = |content: &[u8]| {
            Sections::debug_info_of(&file(content, "loop-sections"))
                .err()
                .unwrap()
        };
        assert!(why(&[7; 100]).contains("no ELF file"));
        assert!(why(b"short").contains("cut off"));
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[0x28] = 64;
        header[0x3a] = 64;
        header[0x3c] = 3;
        assert!(why(&header).contains("cut off"));
    }

    #[test]
    fn a_program_without_debug_information_says_what_puts_it_there() {
        // A file with one section, of no bytes, and no names.
        let mut content = vec![0; 128];
        content[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (content[0x28], content[0x3a], content[0x3c]) = (64, 64, 1);
        let why = Sections::debug_info_of(&file(&content, "loop-bare"))
            .err()
            .unwrap();
        assert!(why.contains("no debug info in this build"), "{why}");
    }
}
