//! Texts by number: each is sent once a stream. Knows no message's fields and no stream's fate.

use std::collections::{HashMap, HashSet};
use std::panic::Location;

use loop_proto::message;
use loop_proto::pb;

use crate::record::names::NameId;

/// What a text comes from; equal sources have equal texts.
#[derive(PartialEq, Eq, Hash)]
enum Source {
    Name(u32),
    Place(usize),
    Static(usize, usize),
    Own(Box<str>),
}

/// More texts of one's own than this are not told apart: names and places are bounded by the
/// program, but what a stack is put in words with need not be.
const MOST: usize = 1 << 17;

/// All texts of this process that a viewer was ever told of.
#[derive(Default)]
pub(crate) struct Texts {
    ids: HashMap<Source, u32>,
    /// As a receiver would keep them.
    all: message::Texts,
    /// The ids given out since `noting` began.
    used: Option<Vec<u32>>,
    bytes: usize,
}

impl Texts {
    fn id(&mut self, source: Source, text: impl FnOnce() -> String) -> u32 {
        let next = self.ids.len() as u32 + 1;
        let id = match self.ids.get(&source) {
            Some(&id) => id,
            None if self.ids.len() >= MOST => return 0,
            None => {
                let text = text();
                self.bytes += text.len() + 64;
                self.all.learn([pb::Interned { id: next, text }]);
                self.ids.insert(source, next);
                next
            }
        };
        if let Some(used) = &mut self.used {
            used.push(id);
        }
        id
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
        self.id(Source::Own(text.into()), || text.to_owned())
    }

    /// As a receiver keeps them: for rows that are messages.
    pub(crate) fn read(&self) -> &message::Texts {
        &self.all
    }

    /// From now on the ids given out are noted.
    pub(crate) fn note(&mut self) {
        self.used = Some(Vec::new());
    }

    /// Notes an id that was given out before.
    pub(crate) fn touch(&mut self, id: u32) {
        if let Some(used) = &mut self.used
            && id != 0
        {
            used.push(id);
        }
    }

    /// Takes what was noted out, for who goes on later.
    pub(crate) fn set_aside(&mut self) -> Vec<u32> {
        self.used.take().unwrap_or_default()
    }

    /// Puts back what was set aside.
    pub(crate) fn resume(&mut self, used: Vec<u32>) {
        self.used = Some(used);
    }

    /// What was noted and `sent` does not have yet, ready to be sent with it.
    pub(crate) fn noted(&mut self, sent: &mut Sent) -> Vec<pb::Interned> {
        let used = self.used.take().unwrap_or_default();
        used.into_iter()
            .filter(|id| sent.0.insert(*id))
            .map(|id| pb::Interned {
                id,
                text: self.all.get(id).to_owned(),
            })
            .collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The ids that a stream has carried.
#[derive(Default)]
pub(crate) struct Sent(HashSet<u32>);

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
