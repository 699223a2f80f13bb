//! Finds names for frames, from the program's own symbols and debug information.
//!
//! On a thread of its own, `loop-names`, made when the first stack comes: reading debug
//! information takes milliseconds and the loader's lock, which the watchdog never does. Without
//! the feature `stacks` there are no stacks to name.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::thread;

use super::{Line, Place, root, short, whose};
use crate::inspect::blocks::{Block, Blocks};
use crate::inspect::stack::samples::{Named, common_lines};
use crate::inspect::stack::{Frame, Stack};

/// Addresses whose names are remembered.
const KNOWN: usize = 4096;

/// Hands stacks to the thread that names them.
pub(crate) struct Names {
    blocks: Arc<Blocks>,
    jobs: Option<Sender<Job>>,
}

struct Job {
    block: u64,
    stacks: Vec<Arc<Stack>>,
    places: [Option<&'static Location<'static>>; 2],
}

impl Names {
    pub(crate) fn new(blocks: Arc<Blocks>) -> Self {
        Self { blocks, jobs: None }
    }

    /// Asks for the names of the stacks of `block`; they come into the table. Never waits.
    pub(crate) fn ask(&mut self, block: &Block) {
        let job = Job {
            block: block.id,
            stacks: block.samples.stacks().to_vec(),
            places: [
                block.spawn_place,
                block.task.and_then(|task| task.await_place),
            ],
        };
        if self.jobs.is_none() {
            let (sender, receiver) = mpsc::channel();
            let table = Arc::downgrade(&self.blocks);
            let made = thread::Builder::new()
                .name("loop-names".to_owned())
                .spawn(move || run(&receiver, &table));
            // No thread, no names: addresses are shown, and the console may know the file.
            self.jobs = made.is_ok().then_some(sender);
        }
        if let Some(jobs) = &self.jobs {
            // The thread ends only when the sender goes, or by a panic, which was printed.
            let _ = jobs.send(job);
        }
    }
}

fn run(jobs: &Receiver<Job>, table: &Weak<Blocks>) {
    let mut resolver = Resolver::new();
    for job in jobs {
        let (named, place) = resolver.samples(&job.stacks, job.places);
        let Some(table) = table.upgrade() else { return };
        table.name(job.block, &named, place.as_ref());
    }
}

/// What is known of one address, innermost inlined function first.
type Found = Arc<[Symbol]>;

#[derive(Clone, Debug, Default)]
struct Symbol {
    function: String,
    file: String,
    line: u32,
    column: u32,
}

/// Names addresses of this process, and remembers.
pub(crate) struct Resolver {
    known: HashMap<u64, Found>,
    paths: Paths,
    /// This crate's folder, and the folders that the compiler was told paths from.
    runtime: Option<String>,
    roots: Vec<String>,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        let own = symbols(own_address());
        let suffix = "inspect/stack/names/resolve.rs";
        let own = own.iter().find(|symbol| symbol.file.ends_with(suffix));
        let here = std::env::current_dir()
            .ok()
            .and_then(|folder| Some(format!("{}/", folder.to_str()?)));
        let told = own.and_then(|symbol| root(&symbol.file, file!()));
        Self {
            known: HashMap::new(),
            paths: Paths::default(),
            runtime: own
                .and_then(|symbol| symbol.file.strip_suffix(suffix))
                .map(str::to_owned),
            roots: told.into_iter().chain(here).collect(),
        }
    }

    /// The stacks of one block in words, and the place that is to blame: the innermost line of the
    /// app in what all of them have in common.
    pub(crate) fn samples(
        &mut self,
        stacks: &[Arc<Stack>],
        places: [Option<&'static Location<'static>>; 2],
    ) -> (Arc<[Named]>, Option<Place>) {
        let mut lines: Vec<Vec<Line>> = stacks
            .iter()
            .map(|stack| self.lines(stack, places).0)
            .collect();
        let both: Vec<(&Stack, &[Line])> = stacks
            .iter()
            .zip(&lines)
            .map(|(stack, lines)| (&**stack, lines.as_slice()))
            .collect();
        let commons = common_lines(&both);
        let mut place = None;
        for (lines, &common) in lines.iter_mut().zip(&commons) {
            for line in &mut *lines {
                line.culprit = false;
            }
            let inner = lines.len() - common;
            // The last of them tells the line at which it was seen last.
            place = Place::in_stack(&mut lines[inner..]).or(place);
        }
        let named = lines.into_iter().zip(commons);
        let named = named.map(|(lines, common)| Named {
            lines: lines.into(),
            common,
        });
        (named.collect(), place)
    }

    /// The stack in words, and the place in it that is to blame.
    pub(crate) fn lines(
        &mut self,
        stack: &Stack,
        places: [Option<&'static Location<'static>>; 2],
    ) -> (Vec<Line>, Option<Place>) {
        let found: Vec<Found> = stack.frames.iter().map(|frame| self.found(frame)).collect();
        // Where a frame stands in the file of a known place, it tells the folder that the
        // compiler was told such paths from.
        for place in places.into_iter().flatten() {
            let told = found
                .iter()
                .flat_map(|symbols| symbols.iter())
                .find_map(|symbol| root(&symbol.file, place.file()));
            if let Some(told) = told
                && !self.roots.contains(&told)
            {
                // Before the current directory, which is only likely to be such a folder.
                self.roots.insert(0, told);
            }
        }
        let mut lines = Vec::new();
        for (at, (frame, symbols)) in stack.frames.iter().zip(&found).enumerate() {
            if symbols.is_empty() {
                lines.push(Line {
                    frame: at,
                    whose: whose("", "", &frame.module, None),
                    ..Line::default()
                });
            }
            for (depth, symbol) in symbols.iter().enumerate() {
                lines.push(Line {
                    frame: at,
                    function: symbol.function.clone(),
                    place: self.place(symbol),
                    whose: whose(
                        &symbol.file,
                        &symbol.function,
                        &frame.module,
                        self.runtime.as_deref(),
                    ),
                    inlined: depth + 1 < symbols.len(),
                    culprit: false,
                    awaited_by: 0,
                });
            }
        }
        let place = Place::in_stack(&mut lines);
        (lines, place)
    }

    /// The place of an await that debug information told: a line without a column.
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))]
    pub(crate) fn place_of(&self, file: &str, line: u64) -> String {
        if file.is_empty() || line == 0 {
            return String::new();
        }
        format!("{}:{line}", short(file, &self.roots))
    }

    /// Whose code a future is, by the file of its await, else by its name.
    #[cfg_attr(not(feature = "stacks"), allow(dead_code))]
    pub(crate) fn whose(&self, file: &str, function: &str) -> super::Whose {
        whose(file, function, "", self.runtime.as_deref())
    }

    fn place(&self, symbol: &Symbol) -> String {
        if symbol.file.is_empty() || symbol.line == 0 {
            return String::new();
        }
        let file = short(&symbol.file, &self.roots);
        format!("{file}:{}:{}", symbol.line, symbol.column)
    }

    fn found(&mut self, frame: &Frame) -> Found {
        let address = frame.address;
        if let Some(found) = self.known.get(&address) {
            return found.clone();
        }
        if self.known.len() == KNOWN {
            self.known.clear();
        }
        let mut found = symbols(address);
        if let Some(outermost) = found.last_mut()
            && !outermost.function.contains("::")
            && let Some(path) = self.paths.of(frame)
        {
            outermost.function = path;
        }
        let found: Found = found.into();
        self.known.insert(address, found.clone());
        found
    }
}

/// The names of functions with their paths, which not every debug information has. Read from the
/// program's file when first needed.
#[derive(Default)]
struct Paths {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    of_program: Option<(String, crate::inspect::stack::taking::symbols::Symbols)>,
}

impl Paths {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    fn of(&mut self, frame: &Frame) -> Option<String> {
        use crate::inspect::stack::taking::symbols::Symbols;
        let (program, symbols) = self.of_program.get_or_insert_with(|| {
            let path = std::fs::read_link("/proc/self/exe");
            let path = path
                .ok()
                .and_then(|path| path.into_os_string().into_string().ok());
            (path.unwrap_or_default(), Symbols::of_this_program())
        });
        if *frame.module != **program {
            return None;
        }
        let name = backtrace::SymbolName::new(symbols.at(frame.offset)?);
        Some(format!("{name:#}"))
    }

    #[cfg(not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    fn of(&mut self, _: &Frame) -> Option<String> {
        None
    }
}

#[inline(never)]
fn own_address() -> u64 {
    own_address as fn() -> u64 as usize as u64
}

/// Asks the debug information. Empty: it does not know the address.
fn symbols(address: u64) -> Vec<Symbol> {
    #[cfg(feature = "stacks")]
    {
        let mut found = Vec::new();
        // It takes return addresses and looks one byte before; ours were moved already.
        let after = (address as usize + 1) as *mut std::ffi::c_void;
        backtrace::resolve(after, |symbol| {
            found.push(Symbol {
                function: symbol
                    .name()
                    .map_or_else(String::new, |name| format!("{name:#}")),
                file: symbol
                    .filename()
                    .and_then(|file| file.to_str())
                    .unwrap_or("")
                    .to_owned(),
                line: symbol.lineno().unwrap_or(0),
                column: symbol.colno().unwrap_or(0),
            });
        });
        found
    }
    #[cfg(not(feature = "stacks"))]
    {
        let _ = address;
        Vec::new()
    }
}

#[cfg(all(test, feature = "stacks"))]
mod tests {
    use super::super::Whose;
    use super::*;

    #[test]
    fn an_own_function_has_name_file_and_owner() {
        let mut resolver = Resolver::new();
        let found = resolver.found(&Frame {
            module: "".into(),
            build_id: "".into(),
            offset: 0,
            address: own_address(),
            function: None,
        });
        let symbol = found.last().unwrap();
        assert!(
            symbol.function.ends_with("resolve::own_address"),
            "{symbol:?}"
        );
        assert!(symbol.file.ends_with("inspect/stack/names/resolve.rs"));
        let runtime = resolver.runtime.as_deref();
        assert_eq!(
            whose(&symbol.file, &symbol.function, "", runtime),
            Whose::Runtime
        );
        assert!(
            resolver.place(symbol).starts_with(file!()),
            "{}",
            resolver.place(symbol)
        );
    }
}
