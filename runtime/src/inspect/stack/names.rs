//! A stack in words: whose code each frame is, and which one is the place of the block.
//!
//! Pure, apart from `resolve`, which asks the debug information on a thread of its own. What it
//! yields comes from the app and its files: hostile text to whoever shows it.

use std::panic::Location;

pub(crate) mod resolve;

/// Whose code a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Whose {
    #[default]
    Unknown,
    App,
    /// From a registry or a git checkout.
    Dependency,
    /// The standard library, the C library, the kernel's vdso.
    Std,
    Runtime,
}

/// One line of a stack in words. Inlined functions have lines of their own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Line {
    /// Index into `Stack::frames`.
    pub(crate) frame: usize,
    /// Demangled. Empty: no symbol.
    pub(crate) function: String,
    /// `file:line:column`. Empty: no debug information.
    pub(crate) place: String,
    pub(crate) whose: Whose,
    /// The compiler put it into the next line's function.
    pub(crate) inlined: bool,
    /// The block is blamed on it.
    pub(crate) culprit: bool,
    /// Of a future: the number, from 1, of the line of the one that awaits it; else 0.
    pub(crate) awaited_by: u32,
}

/// What the word before a place says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum PlaceKind {
    #[default]
    Unknown,
    /// The innermost frame of the app's own code.
    Culprit,
    /// Where the task waited before the poll that blocks.
    Await,
    Spawn,
}

/// The place to look at.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) kind: PlaceKind,
    /// `file:line:column`.
    pub(crate) text: String,
    /// Empty: not known.
    pub(crate) function: String,
}

impl Place {
    /// The best place that is known without a stack.
    pub(crate) fn without_stack(
        awaited: Option<&'static Location<'static>>,
        spawned: Option<&'static Location<'static>>,
    ) -> Self {
        let place = |kind, at: &Location<'_>| Self {
            kind,
            text: at.to_string(),
            function: String::new(),
        };
        match (awaited, spawned) {
            (Some(at), _) => place(PlaceKind::Await, at),
            (None, Some(at)) => place(PlaceKind::Spawn, at),
            (None, None) => Self::default(),
        }
    }

    /// The innermost line of the app's own code, marked in `lines`. `None`: there is none.
    pub(crate) fn in_stack(lines: &mut [Line]) -> Option<Self> {
        let line = lines
            .iter_mut()
            .find(|line| line.whose == Whose::App && !line.place.is_empty())?;
        line.culprit = true;
        Some(Self {
            kind: PlaceKind::Culprit,
            text: line.place.clone(),
            function: line.function.clone(),
        })
    }
}

/// Whose code a function is, by the file it stands in, else by its name, else by its module.
///
/// `runtime` is this crate's own folder as the debug information spells it.
pub(crate) fn whose(file: &str, function: &str, module: &str, runtime: Option<&str>) -> Whose {
    let file = file.replace('\\', "/");
    if runtime.is_some_and(|folder| file.starts_with(folder)) {
        return Whose::Runtime;
    }
    if file.starts_with("/rustc/") || file.contains("/lib/rustlib/src/rust/library/") {
        return Whose::Std;
    }
    let from_elsewhere = ["/registry/src/", "/git/checkouts/"];
    if from_elsewhere.iter().any(|part| file.contains(part)) {
        return Whose::Dependency;
    }
    match crate_of(function) {
        Some("std" | "core" | "alloc" | "backtrace" | "gimli" | "addr2line")
            if file.is_empty() || file.starts_with("/rust/deps/") =>
        {
            Whose::Std
        }
        Some("loop_runtime") if file.is_empty() => Whose::Runtime,
        _ if !file.is_empty() && !is_system(module) => Whose::App,
        _ if is_system(module) => Whose::Std,
        // A name without a file: the app's or a dependency's, nothing tells which.
        _ => Whose::Unknown,
    }
}

/// The crate a demangled path begins with: of `<a::B as c::D>::e` it is `a`.
fn crate_of(function: &str) -> Option<&str> {
    let inner = function.trim_start_matches(['<', '&', '*', '(']);
    let inner = inner.strip_prefix("mut ").unwrap_or(inner);
    let end = inner.find("::")?;
    Some(&inner[..end])
}

/// Objects of the system, which carry no Rust code of anybody.
pub(crate) fn is_system(module: &str) -> bool {
    let file = module.rsplit('/').next().unwrap_or(module);
    [
        "libc.",
        "libc-",
        "ld-",
        "ld.",
        "libm.",
        "libm-",
        "libpthread",
        "libgcc_s",
        "librt.",
        "[vdso]",
    ]
    .iter()
    .any(|start| file.starts_with(start))
}

/// `path` as the compiler was told it, if it lies under one of the folders it was told from; the
/// first that fits.
pub(crate) fn short<'a>(path: &'a str, roots: &[String]) -> &'a str {
    roots
        .iter()
        .find_map(|root| path.strip_prefix(root.as_str()))
        .map_or(path, |rest| rest.trim_start_matches('/'))
}

/// The folder that `relative` was told from, if `absolute` is the same file.
pub(crate) fn root(absolute: &str, relative: &str) -> Option<String> {
    let root = absolute.strip_suffix(relative)?;
    (root.len() > 1 && root.ends_with('/') && !relative.starts_with('/')).then(|| root.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNTIME: Option<&str> = Some("/build/runtime/src/");

    #[test]
    fn a_frame_belongs_to_whom_its_file_says() {
        let of = |file: &str, function: &str, module: &str| whose(file, function, module, RUNTIME);
        let exe = "/app/bin";
        assert_eq!(of("/build/runtime/src/x.rs", "a", exe), Whose::Runtime);
        assert_eq!(of("/build/runtime2/src/x.rs", "a", exe), Whose::App);
        assert_eq!(
            of("/rustc/9f/library/core/src/ops.rs", "f", exe),
            Whose::Std
        );
        let registry = "/home/u/.cargo/registry/src/index-1/serde-1.0/src/de.rs";
        assert_eq!(of(registry, "serde::de", exe), Whose::Dependency);
        assert_eq!(
            of("/home/u/app/src/main.rs", "{async_fn#0}", exe),
            Whose::App
        );
        assert_eq!(of("", "core::ptr::drop_in_place", exe), Whose::Std);
        assert_eq!(of("", "<loop_runtime::A as B>::f", exe), Whose::Runtime);
        assert_eq!(of("", "app::parse", exe), Whose::Unknown);
        assert_eq!(of("", "", "/lib/x86_64-linux-gnu/libc.so.6"), Whose::Std);
        assert_eq!(of("", "clock_gettime", "[vdso]"), Whose::Std);
    }

    #[test]
    fn the_place_is_the_innermost_line_of_the_app() {
        let line = |whose, place: &str| Line {
            whose,
            place: place.to_owned(),
            function: format!("f at {place}"),
            ..Line::default()
        };
        let mut lines = [
            line(Whose::Std, "std.rs:1:1"),
            line(Whose::Dependency, "dep.rs:2:2"),
            line(Whose::App, "app.rs:3:3"),
            line(Whose::App, "main.rs:4:4"),
        ];
        let place = Place::in_stack(&mut lines).unwrap();
        assert_eq!(
            (place.kind, place.text.as_str()),
            (PlaceKind::Culprit, "app.rs:3:3")
        );
        assert_eq!(lines.map(|line| line.culprit), [false, false, true, false]);
        assert_eq!(Place::in_stack(&mut [line(Whose::Std, "s.rs:1:1")]), None);
    }

    #[test]
    fn without_a_stack_the_await_goes_before_the_spawn_and_nothing_is_unknown() {
        let here = Location::caller();
        assert_eq!(
            Place::without_stack(Some(here), Some(here)).kind,
            PlaceKind::Await
        );
        assert_eq!(
            Place::without_stack(None, Some(here)).kind,
            PlaceKind::Spawn
        );
        assert_eq!(Place::without_stack(None, None), Place::default());
    }

    #[test]
    fn paths_are_shown_as_the_compiler_was_told_them() {
        let roots = vec![root("/home/u/app/src/main.rs", "src/main.rs").unwrap()];
        assert_eq!(short("/home/u/app/src/db.rs", &roots), "src/db.rs");
        assert_eq!(short("/elsewhere/db.rs", &roots), "/elsewhere/db.rs");
        assert_eq!(root("/home/u/app/src/main.rs", "main2.rs"), None);
        assert_eq!(root("src/main.rs", "src/main.rs"), None);
    }
}
