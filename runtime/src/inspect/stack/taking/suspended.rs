//! Where a task waits that is not polled: its futures' states, read in its memory and told by the
//! debug information.
//!
//! Memory is read through the kernel, so that what is freed meanwhile is an error and no fault, and
//! nothing counts unless the task was not polled from before to after. Only states and the
//! addresses of futures and their tables are looked at. Knows no viewer.

use super::capture::read_memory;
use super::dwarf::{Member, Reader, Scalar, Shape, Type, Why};
use crate::record::LoopRecord;
use crate::record::task::{State, TaskRow, work};

/// Futures of one task that are told.
const MOST: usize = 256;

/// Futures inside futures that are followed.
const DEEPEST: usize = 128;

/// Elements of a slice of futures that are looked at.
const ELEMENTS: u64 = 32;

/// Tries, where the task is polled meanwhile.
const TRIES: usize = 3;

/// One future of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) function: String,
    /// Of the await. Empty: it is none of an async function or block.
    pub(crate) file: String,
    pub(crate) line: u64,
    /// Index of the future that awaits this one.
    pub(crate) awaited_by: Option<usize>,
}

/// What was found of one task, its own future first.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) links: Vec<Link>,
    /// Polls of the task at that time.
    pub(crate) polls: u64,
    /// What is not told, in words. Empty: nothing.
    pub(crate) short: String,
}

/// Where the program was loaded, and which part of memory it is.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) bias: u64,
    pub(crate) range: std::ops::Range<u64>,
}

/// Reads where task `id` of `row` waits. `size` is its future's, if that is known.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    loaded: &Loaded,
    record: &LoopRecord,
    (slot, id): (u32, u64),
) -> Result<Chain, Why> {
    let gone = || Why::from("the task has ended meanwhile");
    let row = record.tasks.get(slot).ok_or_else(gone)?;
    for _ in 0..TRIES {
        let before = row.read().filter(|facts| facts.id == id).ok_or_else(gone)?;
        match before.state {
            State::Done => return Err(gone()),
            State::Run => {
                std::thread::yield_now();
                continue;
            }
            State::Ready | State::Wait => {}
        }
        if before.polls == 0 {
            return Err("it was not polled yet, so it waits nowhere".into());
        }
        let size = record.sites.get(before.site).map_or(0, |site| site.size());
        let read = from_row(reader, loaded, row, size as u64);
        std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
        let after = row.read().filter(|facts| facts.id == id).ok_or_else(gone)?;
        if after.polls != before.polls || matches!(after.state, State::Run | State::Done) {
            continue;
        }
        let mut walk = read?;
        walk.links.truncate(MOST);
        return Ok(Chain {
            links: walk.links,
            polls: before.polls,
            short: walk.short,
        });
    }
    Err("it was polled each time while it was read".into())
}

fn from_row<'r, 'a>(
    reader: &'r mut Reader<'a>,
    loaded: &'r Loaded,
    row: &TaskRow,
    size: u64,
) -> Result<Walk<'r, 'a>, Why> {
    let work = row.work.load(std::sync::atomic::Ordering::Acquire) as u64;
    let moved = || Why::from("its future is gone");
    let table = word(work + work::TABLE as u64).ok_or_else(moved)?;
    let offset = number(Scalar {
        at: work + work::FUTURE as u64,
        size: 2,
    })
    .ok_or_else(moved)?;
    let poll = word(table + work::POLL as u64).ok_or_else(moved)?;
    if !loaded.range.contains(&poll) {
        return Err("its code lies in a library, whose debug info is not read".into());
    }
    if offset == 0 {
        return Err("where its future lies is not known".into());
    }
    let of = reader.parameter_of(poll - loaded.bias)?;
    if size != 0 && reader.size(of)? != size {
        // Equal code of two types is put together by some compilers, and then one is told.
        return Err("the debug info tells another future for this code".into());
    }
    let mut walk = Walk {
        reader,
        loaded,
        links: Vec::new(),
        short: String::new(),
        passed: Vec::new(),
        leads: std::collections::HashMap::new(),
    };
    walk.future(work + offset, of, None, 0)?;
    Ok(walk)
}

struct Walk<'r, 'a> {
    reader: &'r mut Reader<'a>,
    loaded: &'r Loaded,
    links: Vec<Link>,
    short: String,
    /// Futures that were met: references may lead in circles.
    passed: Vec<(u64, Type)>,
    /// Whether a type holds futures.
    leads: std::collections::HashMap<Type, bool>,
}

impl Walk<'_, '_> {
    /// A future, awaited by that of link `by`: itself, or what it wraps.
    fn future(&mut self, at: u64, of: Type, by: Option<usize>, depth: usize) -> Result<(), Why> {
        if depth > DEEPEST || self.links.len() >= MOST {
            "more futures than are told".clone_into(&mut self.short);
            return Ok(());
        }
        if self.passed.contains(&(at, of)) {
            return Ok(());
        }
        self.passed.push((at, of));
        let shape = self.reader.shape(of)?;
        let Shape::Async { state, points } = &*shape else {
            return self.wrapped(at, of, by, depth);
        };
        let state = self.number(at, *state)?;
        let name = path(&self.reader.name(of));
        let Some(point) = points.iter().find(|point| point.state == state) else {
            return Err("a future is in no state that the debug info knows".into());
        };
        if point.name == "Returned" || point.name == "Panicked" {
            return Ok(());
        }
        let link = self.links.len();
        let waits = point.name.starts_with("Suspend");
        // The await of a macro stands in the macro's file; where the function itself does is told.
        let begins = points.iter().find(|point| point.name == "Unresumed");
        let macros = begins.filter(|begins| begins.file != point.file);
        let function = match (waits, macros) {
            (true, None) => name,
            (true, Some(_)) => format!("{name} (awaits in a macro)"),
            (false, _) => format!("{name} (not polled yet)"),
        };
        let place = macros.unwrap_or(point);
        self.links.push(Link {
            function,
            file: place.file.clone(),
            line: place.line,
            awaited_by: by,
        });
        let awaited = point.members.iter().find(|m| m.name == "__awaitee");
        if let (true, Some(awaited)) = (waits, awaited) {
            self.future(at + awaited.at, awaited.of, Some(link), depth + 1)?;
        }
        Ok(())
    }

    /// What is no async function or block: a box, a combinator, or a future at the very bottom.
    fn wrapped(&mut self, at: u64, of: Type, by: Option<usize>, depth: usize) -> Result<(), Why> {
        let name = self.reader.name(of);
        let by = if is_wrapper(&name) {
            by
        } else {
            self.links.push(Link {
                function: path(&name),
                file: String::new(),
                line: 0,
                awaited_by: by,
            });
            Some(self.links.len() - 1)
        };
        self.inside(at, of, by, depth + 1)
    }

    /// The futures inside a value that is none itself, or that wraps some.
    fn inside(&mut self, at: u64, of: Type, by: Option<usize>, depth: usize) -> Result<(), Why> {
        if depth > DEEPEST || !self.leads(of, 0)? {
            return Ok(());
        }
        let shape = self.reader.shape(of)?;
        match &*shape {
            Shape::Async { .. } => self.future(at, of, by, depth),
            Shape::Struct(members) => match fat(&self.reader.name(of)) {
                Some(Fat::Future) => self.behind_table(at, members, by, depth),
                Some(Fat::Slice) => self.elements(at, members, by, depth),
                None => self.members(at, members, by, depth),
            },
            Shape::Enum { which, variants } => {
                let number = match which {
                    Some(which) => Some(self.number(at, *which)?),
                    None => None,
                };
                let is = |variant: &&(Option<u64>, Vec<Member>)| match (variant.0, number, which) {
                    (Some(one), Some(number), Some(which)) => low(one, which.size) == number,
                    _ => false,
                };
                let found = variants.iter().find(is);
                let others = || variants.iter().find(|(one, _)| one.is_none());
                match found.or_else(others) {
                    Some((_, members)) => self.members(at, members, by, depth),
                    None => Ok(()),
                }
            }
            Shape::Pointer(to) => {
                let target = self.word(at)?;
                self.inside(target, *to, by, depth + 1)
            }
            Shape::Other => Ok(()),
        }
    }

    fn members(
        &mut self,
        at: u64,
        members: &[Member],
        by: Option<usize>,
        depth: usize,
    ) -> Result<(), Why> {
        for member in members {
            self.inside(at + member.at, member.of, by, depth + 1)?;
        }
        Ok(())
    }

    /// A `dyn Future`: its type is what its table is of.
    fn behind_table(
        &mut self,
        at: u64,
        members: &[Member],
        by: Option<usize>,
        depth: usize,
    ) -> Result<(), Why> {
        let place = |name| member(members, name);
        let (Some(data), Some(table)) = (place("pointer"), place("vtable")) else {
            return Ok(());
        };
        let (data, table) = (self.word(at + data.at)?, self.word(at + table.at)?);
        // Its head is drop, size and alignment; the only function of `Future` follows.
        let in_program = |address: u64| {
            let inside = self.loaded.range.contains(&address);
            if inside {
                address - self.loaded.bias
            } else {
                0
            }
        };
        let [drop, poll] = [0, 24].map(|offset| word(table + offset).map_or(0, in_program));
        match self.reader.behind(in_program(table), drop, poll) {
            Ok(of) => self.future(data, of, by, depth + 1),
            Err(why) => {
                self.links.push(Link {
                    function: "dyn Future".to_owned(),
                    file: String::new(),
                    line: 0,
                    awaited_by: by,
                });
                self.short = why.into_owned();
                Ok(())
            }
        }
    }

    /// A boxed slice, as `join_all` keeps.
    fn elements(
        &mut self,
        at: u64,
        members: &[Member],
        by: Option<usize>,
        depth: usize,
    ) -> Result<(), Why> {
        let place = |name| member(members, name);
        let (Some(data), Some(length)) = (place("data_ptr"), place("length")) else {
            return Ok(());
        };
        let (first, length) = (self.word(at + data.at)?, self.word(at + length.at)?);
        let Shape::Pointer(of) = *self.reader.shape(data.of)? else {
            return Ok(());
        };
        let size = self.reader.size(of)?;
        if length > ELEMENTS {
            self.short = format!("{} of {length} futures are told", ELEMENTS);
        }
        for index in 0..length.min(ELEMENTS) {
            self.inside(first + index * size, of, by, depth + 1)?;
        }
        Ok(())
    }

    /// Whether a value of the type may hold futures, so that it is worth looking inside.
    fn leads(&mut self, of: Type, depth: usize) -> Result<bool, Why> {
        if let Some(known) = self.leads.get(&of) {
            return Ok(*known);
        }
        if depth > 64 {
            return Ok(false);
        }
        // What refers to itself leads nowhere by that.
        self.leads.insert(of, false);
        let shape = self.reader.shape(of)?;
        let any = |walk: &mut Self, members: &[Member]| -> Result<bool, Why> {
            for member in members {
                if walk.leads(member.of, depth + 1)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let found = match &*shape {
            Shape::Async { .. } => true,
            Shape::Struct(members) => match fat(&self.reader.name(of)) {
                Some(Fat::Future) => true,
                Some(Fat::Slice) => match members.iter().find(|m| m.name == "data_ptr") {
                    Some(data) => match *self.reader.shape(data.of)? {
                        Shape::Pointer(to) => self.leads(to, depth + 1)?,
                        _ => false,
                    },
                    None => false,
                },
                None => any(self, members)?,
            },
            Shape::Enum { variants, .. } => {
                let mut found = false;
                for (_, members) in variants {
                    found |= any(self, members)?;
                }
                found
            }
            // Only what is owned or borrowed for the poll; a shared or raw pointer leads elsewhere.
            Shape::Pointer(to) => owns(&self.reader.name(of)) && self.leads(*to, depth + 1)?,
            Shape::Other => false,
        };
        self.leads.insert(of, found);
        Ok(found)
    }

    fn number(&self, at: u64, scalar: Scalar) -> Result<u64, Why> {
        number(Scalar {
            at: at + scalar.at,
            ..scalar
        })
        .ok_or_else(|| "a future's memory cannot be read".into())
    }

    fn word(&self, at: u64) -> Result<u64, Why> {
        word(at).ok_or_else(|| "a future's memory cannot be read".into())
    }
}

fn word(at: u64) -> Option<u64> {
    number(Scalar { at, size: 8 })
}

fn number(scalar: Scalar) -> Option<u64> {
    let size = usize::try_from(scalar.size)
        .ok()
        .filter(|size| *size <= 8)?;
    let mut bytes = [0; 8];
    (read_memory(scalar.at, &mut bytes[..size]) == size).then(|| u64::from_le_bytes(bytes))
}

/// The low bytes of a number that may have been told with a sign.
fn low(number: u64, size: u64) -> u64 {
    match size {
        0..8 => number & ((1 << (size * 8)) - 1),
        _ => number,
    }
}

enum Fat {
    Future,
    Slice,
}

/// The last word of a path, without what is in angle brackets.
fn last(name: &str) -> &str {
    let plain = name.split('<').next().unwrap_or(name);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// A pointer with a second word, by the name of its type.
fn fat(name: &str) -> Option<Fat> {
    let inner = name
        .strip_prefix("&mut ")
        .or_else(|| name.strip_prefix("alloc::boxed::Box<"))?;
    let is_future = |text: &str| text.contains("future::Future") || text.contains("Stream");
    if let Some(what) = inner.strip_prefix("dyn ").or(inner.strip_prefix("(dyn ")) {
        return is_future(what).then_some(Fat::Future);
    }
    inner.starts_with('[').then_some(Fat::Slice)
}

fn owns(name: &str) -> bool {
    name.starts_with("&mut ") || name.starts_with("alloc::boxed::Box<")
}

/// What only holds a future, and is not worth a line.
fn is_wrapper(name: &str) -> bool {
    owns(name)
        || matches!(
            last(name),
            "Pin" | "PollFn" | "MaybeDone" | "ManuallyDrop" | "AssertUnwindSafe" | "Option"
        )
}

/// The type of a future as a reader knows it: an async function by its path.
fn path(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('{') {
        let (before, word) = rest.split_at(at);
        path.push_str(before);
        let end = word.find('}').map_or(word.len(), |end| end + 1);
        let (word, after) = word.split_at(end);
        let kind = word.trim_matches(['{', '}']);
        let kind = kind.split('#').next().unwrap_or(kind);
        match kind.strip_suffix("_env") {
            Some("async_fn") => path.truncate(path.trim_end_matches("::").len()),
            Some("async_block") => path.push_str("{async block}"),
            Some("async_closure" | "async_closure_fn") => path.push_str("{async closure}"),
            _ if kind == "async_fn" || kind == "async_block" => {
                path.truncate(path.trim_end_matches("::").len());
            }
            Some(other) => path.push_str(&format!("{{{other}}}")),
            None => path.push_str(word),
        }
        rest = after;
    }
    path.push_str(rest);
    path
}

/// The member of that name.
fn member<'m>(members: &'m [Member], name: &str) -> Option<&'m Member> {
    members.iter().find(|member| member.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_async_function_is_told_by_its_path() {
        assert_eq!(path("app::handler::{async_fn_env#0}"), "app::handler");
        assert_eq!(path("app::get::{async_fn_env#0}<u8>"), "app::get<u8>");
        assert_eq!(
            path("app::main::{async_fn#0}::{async_block_env#1}"),
            "app::main::{async block}"
        );
        assert_eq!(path("core::option::Option<u8>"), "core::option::Option<u8>");
        assert_eq!(path("odd::{async_fn_env"), "odd");
    }

    #[test]
    fn only_what_is_owned_or_lent_for_the_poll_is_followed() {
        assert!(owns("&mut app::Future"));
        assert!(owns("alloc::boxed::Box<app::Future, alloc::alloc::Global>"));
        assert!(!owns("*const app::Future") && !owns("&app::Future"));
        let boxed = "alloc::boxed::Box<(dyn core::future::future::Future<Output=()> + Send), G>";
        assert!(matches!(fat(boxed), Some(Fat::Future)));
        assert!(fat("alloc::boxed::Box<dyn core::any::Any, G>").is_none());
        assert!(matches!(
            fat("alloc::boxed::Box<[app::X], G>"),
            Some(Fat::Slice)
        ));
    }

    #[test]
    fn a_number_with_a_sign_is_compared_by_its_bytes() {
        assert_eq!(low(-1_i64 as u64, 1), 0xff);
        assert_eq!(low(u64::MAX, 8), u64::MAX);
    }
}
