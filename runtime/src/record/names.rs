//! Interned names: an id in a row, the text here, for ever. Capped, and the overflow is counted.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Names a process may intern; more become `(other)`.
pub(crate) const CAP: usize = 16_384;
/// Bytes of a name that are kept.
pub(crate) const LONGEST: usize = 256;

/// An interned name; `NONE` where none was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct NameId(u32);

impl NameId {
    pub(crate) const NONE: NameId = NameId(0);
    /// What names beyond the cap become.
    pub(crate) const OTHER: NameId = NameId(1);

    pub(crate) fn raw(self) -> u32 {
        self.0
    }

    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The text; `None` for `NONE`.
    pub(crate) fn text(self) -> Option<&'static str> {
        match self {
            NameId::NONE => None,
            NameId::OTHER => Some("(other)"),
            NameId(id) => table()
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .texts
                .get(id as usize)
                .copied(),
        }
    }
}

/// A name and the number that tells it from others of that name, as the schema's `joint` says.
pub(crate) fn numbered(text: &str, number: u32) -> String {
    let joint = if text.ends_with([':', '-', '#', '/', ' ']) {
        ""
    } else {
        "-"
    };
    match number {
        0 => text.to_owned(),
        _ => format!("{text}{joint}{number}"),
    }
}

struct Table {
    ids: HashMap<&'static str, NameId>,
    texts: Vec<&'static str>,
}

static OVERFLOW: AtomicU64 = AtomicU64::new(0);

fn table() -> &'static Mutex<Table> {
    static TABLE: OnceLock<Mutex<Table>> = OnceLock::new();
    TABLE.get_or_init(|| {
        Mutex::new(Table {
            ids: HashMap::new(),
            texts: vec!["", "(other)"],
        })
    })
}

thread_local! {
    /// Names this thread has interned, so that only the first use takes the lock.
    static KNOWN: RefCell<HashMap<&'static str, NameId>> = RefCell::new(HashMap::new());
}

/// The id of `name`; takes a lock the first time a thread uses a name.
pub(crate) fn intern(name: &str) -> NameId {
    if name.is_empty() {
        return NameId::NONE;
    }
    KNOWN
        .try_with(|known| {
            if let Some(&id) = known.borrow().get(name) {
                return id;
            }
            let (text, id) = shared(name);
            if id != NameId::OTHER && text.len() == name.len() {
                known.borrow_mut().insert(text, id);
            }
            id
        })
        // The thread is ending and its cache is gone.
        .unwrap_or_else(|_| shared(name).1)
}

fn shared(name: &str) -> (&'static str, NameId) {
    let name = &name[..name.floor_char_boundary(LONGEST)];
    let mut table = table().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((&text, &id)) = table.ids.get_key_value(name) {
        return (text, id);
    }
    if table.texts.len() >= CAP {
        OVERFLOW.fetch_add(1, Ordering::Relaxed);
        return ("", NameId::OTHER);
    }
    let text: &'static str = Box::leak(name.into());
    let id = NameId(table.texts.len() as u32);
    table.texts.push(text);
    table.ids.insert(text, id);
    (text, id)
}

/// Names that found the table full.
pub(crate) fn overflow() -> u64 {
    OVERFLOW.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_id_on_all_threads() {
        let here = intern("names::one");
        let there = std::thread::spawn(|| intern("names::one")).join().unwrap();
        assert_eq!((here, here.text()), (there, Some("names::one")));
        assert_eq!(intern(""), NameId::NONE);
    }

    #[test]
    fn a_number_stands_behind_a_dash_or_the_names_own_sign() {
        assert_eq!(numbered("worker", 7), "worker-7");
        assert_eq!(numbered("conn 127.0.0.1:", 80), "conn 127.0.0.1:80");
        assert_eq!(numbered("worker", 0), "worker");
    }

    #[cfg(feature = "inspect")]
    #[test]
    fn the_schema_joins_names_and_numbers_alike() {
        for stem in ["worker", "conn 127.0.0.1:", "worker-", "no #", "a/", "b "] {
            let joint = loop_proto::row::joint(stem);
            assert_eq!(numbered(stem, 7), format!("{stem}{joint}7"));
        }
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let name = "é".repeat(LONGEST);
        let text = intern(&name).text().unwrap();
        assert!(text.len() <= LONGEST && name.starts_with(text));
        assert_eq!(intern(&name), intern(&name));
    }
}
