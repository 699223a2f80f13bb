//! Finds names for frames, from the program's own symbols and debug information.
//!
//! On a thread of its own, `loop-names`, made when something first passes its budget: reading debug
//! information takes milliseconds and the loader's lock, which the watchdog never does. Tables that
//! are needed of any stack are read before there is one. Without the feature `stacks` there are no
//! stacks to name.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::thread;

use super::{Line, Place, is_system, root, short, whose};
use crate::inspect::blocks::{Block, Blocks};
use crate::inspect::stack::samples::{Named, common_lines};
use crate::inspect::stack::{Frame, Stack};
use of_files::{is_of_program, path_of, read_program};

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
        self.get_ready();
        let job = Job {
            block: block.id,
            stacks: block.samples.stacks().to_vec(),
            places: [
                block.spawn_place,
                block.task.and_then(|task| task.await_place),
            ],
        };
        // The thread ends only when the sender goes, or by a panic, which was printed.
        if (self.jobs.as_ref()).is_none_or(|jobs| jobs.send(job).is_err()) {
            self.blocks.names_fail();
        }
    }

    /// A stack may come soon: what is needed of any is read now. Never waits.
    pub(crate) fn get_ready(&mut self) {
        if self.jobs.is_none() {
            let (sender, receiver) = mpsc::channel();
            let table = Arc::downgrade(&self.blocks);
            let made = thread::Builder::new()
                .name("loop-names".to_owned())
                .spawn(move || {
                    let _helps = crate::inspect::helpers::Helps::enter();
                    run(&receiver, &table);
                });
            // No thread, no names: addresses are shown, and the console may know the file.
            self.jobs = made.is_ok().then_some(sender);
        }
    }
}

fn run(jobs: &Receiver<Job>, table: &Weak<Blocks>) {
    let mut resolver = Resolver::new();
    let mut next = jobs.recv().ok();
    while let Some(job) = next.take() {
        let (named, place) = resolver.samples(&job.stacks, job.places);
        let Some(here) = table.upgrade() else { return };
        here.name(job.block, &named, place.as_ref());
        drop(here);
        next = jobs.try_recv().ok();
        // What takes long and tells no place is found when nothing else is to be.
        if next.is_none() && resolver.knows_more_of(&job.stacks) {
            let (named, place) = resolver.samples(&job.stacks, job.places);
            let Some(here) = table.upgrade() else { return };
            here.name(job.block, &named, place.as_ref());
        }
        next = next.or_else(|| jobs.recv().ok());
    }
}

/// Somebody looks, who will want names at once: what is needed of any stack is read now, once a
/// process, by a thread that ends.
pub(crate) fn read_ahead() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if cfg!(feature = "stacks") {
        ONCE.call_once(|| {
            // Without the thread they are read when they are needed.
            let _ = thread::Builder::new()
                .name("loop-names".to_owned())
                .spawn(|| {
                    let _helps = crate::inspect::helpers::Helps::enter();
                    drop(Resolver::new());
                });
        });
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

impl Symbol {
    fn named(function: String) -> Self {
        Self {
            function,
            ..Self::default()
        }
    }
}

/// Names addresses of this process, and remembers.
pub(crate) struct Resolver {
    known: HashMap<u64, Found>,
    /// This crate's folder, and the folders that the compiler was told paths from.
    runtime: Option<String>,
    roots: Vec<String>,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        let own = symbols(own_address());
        read_program();
        let suffix = "inspect/stack/names/resolve.rs";
        let own = own.iter().find(|symbol| symbol.file.ends_with(suffix));
        let here = std::env::current_dir()
            .ok()
            .and_then(|folder| Some(format!("{}/", folder.to_str()?)));
        let told = own.and_then(|symbol| root(&symbol.file, file!()));
        Self {
            known: HashMap::new(),
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
        if is_system(&frame.module) && frame.module.starts_with('/') {
            let found: Found = path_of(frame).map(Symbol::named).into_iter().collect();
            if !found.is_empty() {
                self.remember(address, &found);
            }
            return found;
        }
        let mut found = symbols(address);
        if let Some(outermost) = found.last_mut()
            && !outermost.function.contains("::")
            && is_of_program(frame)
            && let Some(path) = path_of(frame)
        {
            outermost.function = path;
        }
        let found: Found = found.into();
        self.remember(address, &found);
        found
    }

    /// Asks the debug information of the system's objects for the frames that have no name without
    /// it. True: something became known.
    fn knows_more_of(&mut self, stacks: &[Arc<Stack>]) -> bool {
        let mut more = false;
        for frame in stacks.iter().flat_map(|stack| &stack.frames) {
            if is_system(&frame.module) && !self.known.contains_key(&frame.address) {
                let found: Found = symbols(frame.address).into();
                more |= !found.is_empty();
                self.remember(frame.address, &found);
            }
        }
        more
    }

    fn remember(&mut self, address: u64, found: &Found) {
        if self.known.len() == KNOWN {
            self.known.clear();
        }
        self.known.insert(address, found.clone());
    }
}

#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod of_files {
    use std::sync::OnceLock;

    use super::Frame;
    use crate::inspect::stack::taking::symbols::Symbols;

    fn program() -> &'static str {
        static PROGRAM: OnceLock<String> = OnceLock::new();
        PROGRAM.get_or_init(|| {
            let path = std::fs::read_link("/proc/self/exe").ok();
            let path = path.and_then(|path| path.into_os_string().into_string().ok());
            path.unwrap_or_default()
        })
    }

    pub(super) fn is_of_program(frame: &Frame) -> bool {
        *frame.module == *program()
    }

    /// The name of a frame's function with its path, which not every debug information has.
    pub(super) fn path_of(frame: &Frame) -> Option<String> {
        let symbols = match is_of_program(frame) {
            true => Symbols::of_this_program(),
            false => Symbols::of_file(&frame.module),
        };
        let name = symbols.at(frame.offset)?;
        Some(format!("{:#}", backtrace::SymbolName::new(&name)))
    }

    /// Reads what `path_of` needs of this program.
    pub(super) fn read_program() {
        let _ = Symbols::of_this_program();
    }
}

#[cfg(not(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod of_files {
    use super::Frame;

    pub(super) fn is_of_program(_: &Frame) -> bool {
        false
    }

    pub(super) fn path_of(_: &Frame) -> Option<String> {
        None
    }

    pub(super) fn read_program() {}
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

    /// Where its debug information is installed apart it is compressed, and unpacking it takes
    /// longer than all else: a verdict at the end of a program waits for the names.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_function_of_the_c_library_has_its_name_at_once_and_no_line() {
        use crate::inspect::stack::taking::modules::{load, mapped};
        let address = libc::getppid as *const () as usize as u64 + 1;
        let of = mapped().into_iter();
        let (object, _) = of
            .filter(|one| one.range.contains(&address))
            .find_map(|one| load(&one))
            .unwrap();
        let frame = |address: u64| Frame {
            module: object.name.clone(),
            build_id: "".into(),
            offset: address - object.bias,
            address,
            function: None,
        };
        let mut resolver = Resolver::new();
        let found = resolver.found(&frame(address));
        assert_eq!(found.last().unwrap().function, "getppid");
        assert_eq!(found.last().unwrap().file, "");
        // What has no symbol is nameless at first, and asked for when there is time.
        let nameless = frame(object.bias + 1);
        assert!(resolver.found(&nameless).is_empty());
        assert!(!resolver.known.contains_key(&nameless.address));
        let stack = Arc::new(Stack {
            frames: vec![nameless],
            complete: false,
            at: 0,
            how: crate::inspect::stack::How::Outside,
        });
        resolver.knows_more_of(std::slice::from_ref(&stack));
        assert!(resolver.known.contains_key(&stack.frames[0].address));
        assert!(!resolver.knows_more_of(&[stack]), "it is asked for once");
    }
}
