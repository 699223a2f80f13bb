//! Texts by number: each is sent once a stream. Knows no message's fields and no stream's fate.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::panic::Location;

use loop_proto::message;
use loop_proto::pb;

use super::ids::IdSet;
use crate::id::map::IdHasher;
use crate::record::names::NameId;

/// What a text of the program comes from; equal sources have equal texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Name(u32),
    Place(usize),
    Static(usize, usize),
}

impl Hash for Source {
    /// Numbers and addresses that nobody outside chooses: one word says enough, and a walk asks for
    /// each of a million rows.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(match *self {
            Self::Name(number) => number.into(),
            Self::Place(at) => at as u64,
            Self::Static(at, length) => at as u64 ^ (length as u64) << 48,
        });
    }
}

/// More texts of one's own than this are not told apart: names and places are bounded by the
/// program, but what a stack is put in words with need not be.
const MOST: usize = 1 << 17;

/// All texts of this process that a viewer was ever told of.
#[derive(Default)]
pub(crate) struct Texts {
    ids: HashMap<Source, u32, BuildHasherDefault<IdHasher>>,
    /// Texts that the app or its debug information chose: by a hash that nobody can aim at.
    own: HashMap<Box<str>, u32>,
    /// As a receiver would keep them.
    all: message::Texts,
    /// The ids given out since `noting` began.
    used: Option<Vec<u32>>,
    /// In which noting an id was last noted, by its number: a walk gives out the same few.
    noted_in: Vec<u64>,
    noting: u64,
    bytes: usize,
}

impl Texts {
    fn id(&mut self, source: Source, text: impl FnOnce() -> String) -> u32 {
        let id = match self.ids.get(&source) {
            Some(&id) => id,
            None => {
                let Some(id) = self.learn(text) else { return 0 };
                self.ids.insert(source, id);
                id
            }
        };
        self.touch(id);
        id
    }

    /// The next id, for a new text. `None`: there are too many.
    fn learn(&mut self, text: impl FnOnce() -> String) -> Option<u32> {
        if self.len() >= MOST {
            return None;
        }
        let (id, text) = (self.len() as u32 + 1, text());
        self.bytes += text.len() + 64;
        self.all.learn([pb::Interned { id, text }]);
        Some(id)
    }

    /// An interned name. 0: none.
    pub(crate) fn name(&mut self, name: NameId, text: &'static str) -> u32 {
        if name == NameId::NONE {
            return 0;
        }
        self.id(Source::Name(name.raw()), || text.to_owned())
    }

    /// A place, `file:line:column`. 0: none.
    pub(crate) fn place(&mut self, place: Option<&'static Location<'static>>) -> u32 {
        place.map_or(0, |place| {
            let key = std::ptr::from_ref(place) as usize;
            self.id(Source::Place(key), || place.to_string())
        })
    }

    /// A text of the program. 0: empty.
    pub(crate) fn fixed(&mut self, text: &'static str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let key = Source::Static(text.as_ptr() as usize, text.len());
        self.id(key, || text.to_owned())
    }

    /// Any text. 0: empty, or there are too many.
    pub(crate) fn own(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let id = match self.own.get(text) {
            Some(&id) => id,
            None => {
                let Some(id) = self.learn(|| text.to_owned()) else {
                    return 0;
                };
                self.own.insert(text.into(), id);
                id
            }
        };
        self.touch(id);
        id
    }

    /// As a receiver keeps them: for rows that are messages.
    pub(crate) fn read(&self) -> &message::Texts {
        &self.all
    }

    /// From now on the ids given out are noted.
    pub(crate) fn note(&mut self) {
        self.resume(Vec::new());
    }

    /// Notes an id that was given out before.
    #[inline]
    pub(crate) fn touch(&mut self, id: u32) {
        let Some(used) = &mut self.used else { return };
        let at = id as usize;
        if id == 0 || self.noted_in.get(at) == Some(&self.noting) {
            return;
        }
        if self.noted_in.len() <= at {
            self.noted_in.resize(at + 1, 0);
        }
        self.noted_in[at] = self.noting;
        used.push(id);
    }

    /// Takes what was noted out, for who goes on later.
    pub(crate) fn set_aside(&mut self) -> Vec<u32> {
        self.used.take().unwrap_or_default()
    }

    /// Puts back what was set aside.
    pub(crate) fn resume(&mut self, used: Vec<u32>) {
        // A noting of its own: others may have noted since what is not in `used`.
        self.noting += 1;
        self.used = Some(used);
    }

    /// What was noted and `sent` does not have yet, ready to be sent with it.
    pub(crate) fn noted(&mut self, sent: &mut Sent) -> Vec<pb::Interned> {
        let used = self.used.take().unwrap_or_default();
        used.into_iter()
            .filter(|id| sent.0.insert((*id).into()))
            .map(|id| pb::Interned {
                id,
                text: self.all.get(id).to_owned(),
            })
            .collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ids.len() + self.own.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.noted_in.len() * size_of::<u64>()
    }
}

/// The ids that a stream has carried.
#[derive(Default)]
pub(crate) struct Sent(IdSet);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::names;

    #[test]
    fn a_text_is_sent_once_a_stream_with_the_message_that_first_uses_it() {
        let mut texts = Texts::default();
        let name = names::intern("texts::reader");
        let (mut one, mut other) = (Sent::default(), Sent::default());
        texts.note();
        let id = texts.name(name, "texts::reader");
        assert_eq!(texts.name(name, "texts::reader"), id);
        let sent = texts.noted(&mut one);
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].id, sent[0].text.as_str()), (id, "texts::reader"));
        texts.note();
        texts.name(name, "texts::reader");
        assert!(texts.noted(&mut one).is_empty());
        texts.note();
        texts.name(name, "texts::reader");
        assert_eq!(texts.noted(&mut other).len(), 1);
    }

    #[test]
    fn what_was_set_aside_goes_on_though_others_noted_the_same_text_meanwhile() {
        let mut texts = Texts::default();
        let (mut one, mut other) = (Sent::default(), Sent::default());
        texts.note();
        texts.own("first");
        let used = texts.set_aside();
        texts.note();
        texts.own("second");
        assert_eq!(texts.noted(&mut other).len(), 1);
        texts.resume(used);
        texts.own("second");
        texts.own("second");
        let sent: Vec<_> = texts
            .noted(&mut one)
            .into_iter()
            .map(|of| of.text)
            .collect();
        assert_eq!(sent, ["first", "second"]);
    }

    #[test]
    fn nothing_is_text_zero() {
        let mut texts = Texts::default();
        assert_eq!(
            (
                texts.name(NameId::NONE, ""),
                texts.place(None),
                texts.own(""),
                texts.fixed("")
            ),
            (0, 0, 0, 0)
        );
        assert_eq!(texts.len(), 0);
    }
}
