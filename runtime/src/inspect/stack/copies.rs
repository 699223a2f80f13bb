//! Names for stacks that a loop's thread copied of itself: where a last waker was dropped.
//!
//! On a thread of its own, `loop-drops`, made when the first is asked for: reading debug
//! information takes milliseconds. Without the feature `stacks` there are no copies to name.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::names::{Line, Whose};
use crate::inspect::ids::IdMap;

/// Copies whose place is remembered.
const KNOWN: usize = 4096;

/// What is known of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Asked for, and not named yet.
    Soon,
    /// Where it was made, in words.
    Place(Arc<str>),
    /// It was overwritten, or no frame of it has a name.
    Unknown,
}

/// Asks for names and keeps them.
#[derive(Default)]
pub(crate) struct Copies {
    jobs: Option<Sender<u64>>,
    known: Arc<Mutex<IdMap<Known>>>,
}

fn lock(known: &Mutex<IdMap<Known>>) -> MutexGuard<'_, IdMap<Known>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Copies {
    /// Where the copy was made; asked for at the first call. Never waits.
    pub(crate) fn place(&mut self, copy: u64) -> Known {
        if copy == 0 {
            return Known::Unknown;
        }
        if let Some(known) = lock(&self.known).get(&copy) {
            return known.clone();
        }
        if self.jobs.is_none() {
            let (sender, receiver) = mpsc::channel();
            let table = Arc::downgrade(&self.known);
            let made = thread::Builder::new()
                .name("loop-drops".to_owned())
                .spawn(move || {
                    let _helps = crate::inspect::helpers::Helps::enter();
                    let mut namer = Namer::new();
                    for copy in receiver {
                        let known = namer.as_mut().map_or(Known::Unknown, |n| n.name(copy));
                        let Some(table) = table.upgrade() else { return };
                        lock(&table).insert(copy, known);
                    }
                });
            self.jobs = made.is_ok().then_some(sender);
        }
        // No thread, or it is gone by a panic, which was printed: no names.
        let asked = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(copy).is_ok());
        let known = if asked { Known::Soon } else { Known::Unknown };
        let mut table = lock(&self.known);
        if table.len() >= KNOWN {
            table.clear();
        }
        // It may have been named meanwhile.
        table.entry(copy).or_insert(known).clone()
    }

    /// Whether names are on their way.
    pub(crate) fn is_waiting(&self) -> bool {
        lock(&self.known)
            .values()
            .any(|known| *known == Known::Soon)
    }
}

#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
struct Namer {
    walker: super::taking::walk::Walker,
    resolver: super::names::resolve::Resolver,
}

#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
impl Namer {
    fn new() -> Option<Self> {
        Some(Self {
            walker: super::taking::walk::Walker::new(),
            resolver: super::names::resolve::Resolver::new(),
        })
    }

    fn name(&mut self, copy: u64) -> Known {
        let Some(copied) = super::taking::here::take(copy) else {
            return Known::Unknown;
        };
        self.walker.stack = copied.bytes;
        let (registers, base) = (copied.registers, copied.base);
        let stack = self.walker.walk(registers, base, super::How::Itself);
        let (lines, _) = self.resolver.lines(&stack, [None; 2]);
        words(&lines).map_or(Known::Unknown, |words| Known::Place(words.into()))
    }
}

#[cfg(not(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
struct Namer;

#[cfg(not(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
impl Namer {
    fn new() -> Option<Self> {
        None
    }

    fn name(&mut self, _: u64) -> Known {
        Known::Unknown
    }
}

/// Where a stack stands, innermost first: in a dependency, if one does it, and in the app.
#[cfg_attr(not(feature = "stacks"), allow(dead_code))]
fn words(lines: &[Line]) -> Option<String> {
    let told = |line: &Line| {
        let function = short(&line.function);
        match line.place.is_empty() {
            true => format!("in {function}"),
            false => format!("in {function} at {}", line.place),
        }
    };
    let theirs = |line: &&Line| matches!(line.whose, Whose::App | Whose::Dependency);
    let first = lines.iter().find(theirs)?;
    let app = lines.iter().find(|line| line.whose == Whose::App);
    Some(match app {
        Some(app) if first.whose == Whose::Dependency => {
            format!("{}, called {}", told(first), told(app))
        }
        _ => told(first),
    })
}

/// A function without what every async one has.
fn short(function: &str) -> &str {
    let mut name = function;
    while let Some(rest) = name
        .strip_suffix("::{{closure}}")
        .or_else(|| name.strip_suffix("::{closure#0}"))
        .or_else(|| name.strip_suffix("::{async_fn#0}"))
    {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(whose: Whose, function: &str, place: &str) -> Line {
        Line {
            whose,
            function: function.to_owned(),
            place: place.to_owned(),
            ..Line::default()
        }
    }

    #[test]
    fn a_drop_in_a_dependency_is_told_with_who_called_it() {
        let lines = [
            line(Whose::Runtime, "loop_runtime::wakers", "waker.rs:1:1"),
            line(Whose::Std, "core::ptr::drop_in_place", ""),
            line(Whose::Dependency, "hyper::body::drop", "body.rs:9:5"),
            line(Whose::App, "app::clean::{{closure}}", "src/x.rs:40:9"),
        ];
        assert_eq!(
            words(&lines).unwrap(),
            "in hyper::body::drop at body.rs:9:5, called in app::clean at src/x.rs:40:9"
        );
        assert_eq!(
            words(&lines[3..]).unwrap(),
            "in app::clean at src/x.rs:40:9"
        );
        assert_eq!(words(&lines[..2]), None, "nothing of theirs is on it");
    }
}
