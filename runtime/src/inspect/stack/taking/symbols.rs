//! The symbols of this program, by address: what a function is called with its whole path.
//!
//! Debug information that has lines only calls an async function `{async_fn#0}`, without the path
//! that its symbol has. Knows neither stacks nor lines.

use super::sections::Sections;

/// Functions among the types of symbols.
const FUNCTION: u8 = 2;

/// Sorted by address; a name is where it begins in the table of names.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    functions: Vec<(u64, u64, u32)>,
    names: Vec<u8>,
}

impl Symbols {
    /// Of the program that runs here. Empty: it has none.
    pub(crate) fn of_this_program() -> Self {
        let Ok(sections) = Sections::symbols() else {
            return Self::default();
        };
        Self::of(sections.get(".symtab"), sections.get(".strtab"))
    }

    fn of(table: &[u8], names: &[u8]) -> Self {
        let word = |entry: &[u8], at: usize| {
            let bytes = entry[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        };
        let symbol = |entry: &[u8]| {
            let name = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let function = entry[4] & 0xf == FUNCTION;
            let (at, size) = (word(entry, 8), word(entry, 16));
            (function && at != 0 && size != 0).then_some((at, size, name))
        };
        let mut functions: Vec<_> = table.chunks_exact(24).filter_map(symbol).collect();
        functions.sort_unstable();
        Self {
            functions,
            names: names.to_vec(),
        }
    }

    /// The mangled name of the function that holds `offset`.
    pub(crate) fn at(&self, offset: u64) -> Option<&[u8]> {
        let after = self.functions.partition_point(|(at, ..)| *at <= offset);
        let (at, size, name) = self.functions.get(after.checked_sub(1)?)?;
        if offset - at >= *size {
            return None;
        }
        let rest = self.names.get(*name as usize..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(&rest[..end])
    }
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
    fn an_address_has_the_name_of_the_function_it_lies_in_and_none_between_two() {
        let table = [
            symbol(5, FUNCTION, 0x200, 0x10),
            symbol(1, FUNCTION, 0x100, 0x10),
            symbol(1, 1, 0x300, 0x10),
        ];
        let symbols = Symbols::of(&table.concat(), b"\0one\0two\0");
        assert_eq!(symbols.at(0x10f), Some(&b"one"[..]));
        assert_eq!(symbols.at(0x200), Some(&b"two"[..]));
        assert_eq!(symbols.at(0x110), None);
        assert_eq!(symbols.at(0x300), None, "no function");
        assert_eq!(symbols.at(0x10), None);
    }
}
