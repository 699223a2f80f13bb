//! The symbols of an object file, by address: what a function is called with its whole path.
//!
//! Debug information that has lines only calls an async function `{async_fn#0}`, without the path
//! that its symbol has. Of the C library it is the quick way: where its debug information is
//! installed apart, and compressed, to unpack that takes as long as all the rest. What is kept of a
//! file is one entry a function; names are read from the file when they are asked for. Knows
//! neither stacks nor lines.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use super::sections::{Sections, bytes, program};

/// Functions among the types of symbols.
const FUNCTION: u8 = 2;
/// Of a name no more is read.
const LONGEST: u64 = 4096;
/// More functions than that are not kept of one file, nor files.
const FUNCTIONS: usize = 1 << 20;
const FILES: usize = 16;

/// Sorted by address; a name is where it begins in the file's table of names.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    functions: Vec<(u64, u32, u32)>,
    /// Where the table of names lies in the file.
    names: std::ops::Range<u64>,
    /// Which file: another one may have its name by now.
    file: Option<(u64, u64)>,
    /// Empty: the program that runs here.
    path: String,
}

/// One look into each file, for all who ask.
static KNOWN: Mutex<Option<HashMap<String, Arc<Symbols>>>> = Mutex::new(None);

impl Symbols {
    /// Of the program that runs here. Empty: it has none.
    pub(crate) fn of_this_program() -> Arc<Self> {
        Self::of_file("")
    }

    /// Of the object file at `path`. Empty: it has none, or cannot be read.
    pub(crate) fn of_file(path: &str) -> Arc<Self> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(symbols) = known.get(path) {
            return symbols.clone();
        }
        if known.len() >= FILES {
            known.clear();
        }
        let symbols = Arc::new(Self::read(path).unwrap_or_default());
        known.insert(path.to_owned(), symbols.clone());
        symbols
    }

    fn open(path: &str) -> Option<File> {
        match path {
            "" => program().ok(),
            path => File::open(path).ok(),
        }
    }

    fn read(path: &str) -> Option<Self> {
        let file = Self::open(path)?;
        let of = |table: &str, names: &str| {
            let sections = Sections::named(&file, &[table]).ok()?;
            let functions = functions(sections.get(table));
            let names = Sections::range_of(&file, names).ok()??;
            (!functions.is_empty()).then_some((functions, names))
        };
        // What is stripped has still the names by which others call it.
        let (functions, names) = of(".symtab", ".strtab").or_else(|| of(".dynsym", ".dynstr"))?;
        let about = file.metadata().ok()?;
        Some(Self {
            functions,
            names,
            file: Some((about.dev(), about.ino())),
            path: path.to_owned(),
        })
    }

    /// The mangled name of the function that holds `offset`.
    pub(crate) fn at(&self, offset: u64) -> Option<Vec<u8>> {
        let aliases = self.aliases(offset);
        let file = Self::open(&self.path).filter(|_| !aliases.is_empty())?;
        let about = file.metadata().ok()?;
        if self.file != Some((about.dev(), about.ino())) {
            return None;
        }
        let name = |(.., at): &(u64, u32, u32)| {
            let at = self.names.start.checked_add(u64::from(*at))?;
            let length = self.names.end.checked_sub(at)?.min(LONGEST);
            let mut name = bytes(&file, at, length).ok()?;
            name.truncate(name.iter().position(|byte| *byte == 0)?);
            (!name.is_empty()).then_some(name)
        };
        // `read` rather than `__read`.
        let names = aliases.iter().take(8).filter_map(name);
        names.min_by_key(|name| {
            (
                name.starts_with(b"_") && !name.starts_with(b"_Z"),
                name.len(),
            )
        })
    }

    /// The functions that begin where the innermost one around `offset` does, and hold it.
    fn aliases(&self, offset: u64) -> &[(u64, u32, u32)] {
        let after = self.functions.partition_point(|(at, ..)| *at <= offset);
        let before = &self.functions[..after];
        let Some((start, ..)) = before.last() else {
            return &[];
        };
        let first = before.partition_point(|(at, ..)| at < start);
        let holds = |(at, size, _): &(u64, u32, u32)| offset - at < u64::from(*size);
        let short = before[first..].iter().take_while(|one| !holds(one)).count();
        &before[first + short..]
    }
}

/// The functions of a table of symbols: address, size, where the name is.
fn functions(table: &[u8]) -> Vec<(u64, u32, u32)> {
    let word = |entry: &[u8], at: usize| {
        let bytes = entry[at..at + 8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    };
    let symbol = |entry: &[u8]| {
        let name = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
        let function = entry[4] & 0xf == FUNCTION;
        let (at, size) = (word(entry, 8), word(entry, 16));
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        (function && at != 0 && size != 0).then_some((at, size, name))
    };
    let mut functions: Vec<_> = table.chunks_exact(24).filter_map(symbol).collect();
    functions.truncate(FUNCTIONS);
    functions.shrink_to_fit();
    functions.sort_unstable();
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: u32, kind: u8, at: u64, size: u64) -> Vec<u8> {
        let mut entry = name.to_le_bytes().to_vec();
        entry.extend([kind, 0, 1, 0]);
        entry.extend(at.to_le_bytes());
        entry.extend(size.to_le_bytes());
        entry
    }

    #[test]
    fn an_address_lies_in_one_function_with_all_its_names_and_in_none_between_two() {
        let table = [
            symbol(5, FUNCTION, 0x200, 0x10),
            symbol(1, FUNCTION, 0x100, 0x10),
            symbol(9, FUNCTION, 0x100, 0x10),
            symbol(1, 1, 0x300, 0x10),
        ];
        let symbols = Symbols {
            functions: functions(&table.concat()),
            ..Symbols::default()
        };
        let names = |offset| {
            let aliases = symbols.aliases(offset).iter();
            aliases.map(|(.., name)| *name).collect::<Vec<_>>()
        };
        assert_eq!(names(0x10f), [1, 9]);
        assert_eq!(names(0x200), [5]);
        assert_eq!(names(0x110), [0_u32; 0], "between two");
        assert_eq!(names(0x300), [0_u32; 0], "no function");
        assert_eq!(names(0x10), [0_u32; 0]);
    }

    #[test]
    fn a_function_of_this_program_and_one_of_a_library_are_found_in_their_files() {
        use super::super::modules::{load, mapped};
        let name = |address: u64| {
            let of = mapped()
                .into_iter()
                .filter(|one| one.range.contains(&address));
            let (object, _) = of.filter_map(|one| load(&one)).next().unwrap();
            let name = Symbols::of_file(&object.name).at(address - object.bias);
            String::from_utf8(name.unwrap()).unwrap()
        };
        let own = functions as fn(&[u8]) -> Vec<(u64, u32, u32)> as usize as u64;
        assert!(name(own + 1).contains("functions"), "{}", name(own + 1));
        let theirs = libc::getppid as *const () as usize as u64;
        assert_eq!(name(theirs + 1), "getppid");
    }

    #[test]
    fn a_file_that_is_no_object_has_no_symbols() {
        assert!(Symbols::of_file("/proc/self/cmdline").at(0).is_none());
        assert!(Symbols::of_file("/no/such/file").at(0).is_none());
    }
}
