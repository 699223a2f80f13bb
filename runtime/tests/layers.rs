//! The layers of the runtime, as a test: who may import whom, and which files may be unsafe.
// Its tables have paths with slashes; what they say of the source holds wherever it is built.
#![cfg(not(windows))]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module at the top of `runtime/src`, and what it may import beside itself.
const LAYERS: &[(&str, &[&str])] = &[
    // Vocabulary: imports nothing of ours.
    ("atomic", &[]),
    ("id", &[]),
    ("clock", &[]),
    ("os", &[]),
    // What happened.
    ("record", VOCABULARY),
    // Siblings: none imports another.
    ("executor", &["atomic", "id", "clock", "os", "record"]),
    ("timers", &["atomic", "id", "clock", "os", "record"]),
    ("reactor", &["atomic", "id", "clock", "os", "record"]),
    ("blocking", &["atomic", "id", "clock", "os", "record"]),
    ("inspect", &["atomic", "id", "clock", "os", "record"]),
    // The loop from a task, and from a thread.
    ("context", ORGANS),
    (
        "handle",
        &[
            "id", "clock", "os", "record", "executor", "timers", "reactor", "blocking", "context",
            "spawn", "time",
        ],
    ),
    // What a task may say of itself.
    ("allow", &["clock", "record"]),
    // What tasks await.
    ("spawn", AWAITED),
    ("time", AWAITED),
    ("sync", AWAITED),
    ("group", AWAITED),
    ("io", AWAITED),
    ("net", AWAITED),
    ("signal", AWAITED),
    ("threads", AWAITED),
    ("process", AWAITED),
    ("fs", AWAITED),
    // The other runtime's thread, for crates that need it.
    ("compat", &["clock", "record"]),
    // What the feature `tracing` puts around polls.
    ("trace", &["clock", "record", "executor"]),
    // Joins the organs.
    (
        "event_loop",
        &[
            "trace", "id", "clock", "os", "record", "executor", "timers", "reactor", "blocking",
            "context", "handle", "spawn",
        ],
    ),
    // Meets blocking calls; the inspector's names put them into words.
    ("intercept", &["clock", "os", "record", "inspect"]),
    // The inspector's thread: our loop, hyper and tonic; calls `inspect`.
    ("serve", BELOW_SERVE),
    // May start the inspector.
    ("run", TOP),
    ("web", TOP),
    ("testing", TOP),
];

const VOCABULARY: &[&str] = &["atomic", "id", "clock", "os"];
const ORGANS: &[&str] = &[
    "id", "clock", "os", "record", "executor", "timers", "reactor", "blocking",
];
const AWAITED: &[&str] = &[
    "id", "clock", "os", "record", "executor", "timers", "reactor", "blocking", "context",
    "handle", "spawn", "time", "sync", "io", "net", "signal", "threads",
];
const BELOW_SERVE: &[&str] = &[
    "compat",
    "id",
    "clock",
    "os",
    "record",
    "executor",
    "timers",
    "reactor",
    "blocking",
    "inspect",
    "context",
    "handle",
    "spawn",
    "time",
    "sync",
    "io",
    "net",
    "signal",
    "event_loop",
];
/// The top row: all that `serve` may import, and the row itself.
const TOP: &[&str] = &["intercept", "serve", "run", "web", "testing"];

/// Whether `module` may import `import`, by the table.
fn may_import(module: &str, allowed: &[&str], import: &str) -> bool {
    import == module || allowed.contains(&import) || allowed == TOP && BELOW_SERVE.contains(&import)
}

/// Files that may contain `unsafe`; a folder stands for all files in it.
const UNSAFE: &[&str] = &[
    "atomic.rs",
    "clock.rs",
    "os.rs",
    "os/thread.rs",
    "os/filter.rs",
    "record/slab.rs",
    "record/memory.rs",
    "record/ring/words.rs",
    "record/place.rs",
    "record/current.rs",
    "record/bound.rs",
    "executor/raw.rs",
    "executor/waker.rs",
    "context.rs",
    "inspect/stack/taking/capture.rs",
    "inspect/stack/taking/here.rs",
    "inspect/stack/taking/snap.rs",
    "process/kernel.rs",
    "intercept/symbols.rs",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

/// Every source file, by its path below `src`, without comments.
fn sources() -> Vec<(String, String)> {
    let mut all = Vec::new();
    files(&source(), &mut all);
    all.sort();
    let relative = |path: &Path| {
        path.strip_prefix(source())
            .expect("below src")
            .to_string_lossy()
            .into_owned()
    };
    all.iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("a source file is text");
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or(""))
                .collect::<Vec<_>>()
                .join("\n");
            (relative(path), code)
        })
        .collect()
}

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().expect("a file has a name")
}

/// The top modules that `code` names behind `crate::`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let list = list.split('}').next().unwrap_or("");
            let names = list
                .split(',')
                .map(|item| item.trim().split(':').next().unwrap_or("").to_owned());
            found.extend(names.filter(|name| !name.is_empty()));
        } else {
            found.insert(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found
}

#[test]
fn a_file_imports_only_from_the_layers_below_it() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!(
                "{file}: the module `{module}` is in no layer; add it to the table"
            ));
            continue;
        };
        // A test may build what it needs from any layer.
        let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
        if file.ends_with("/tests.rs") || file.contains("/tests/") {
            continue;
        }
        for import in imports(code) {
            let known = LAYERS.iter().any(|(name, _)| *name == import);
            if known && !may_import(module, allowed, &import) {
                wrong.push(format!(
                    "{file}: imports `{import}`, which is not below `{module}`"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_only_in_the_files_listed() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (file, code) in sources() {
        let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        if !words.into_iter().any(|word| word == "unsafe") {
            continue;
        }
        match UNSAFE
            .iter()
            .find(|listed| file == **listed || listed.ends_with('/') && file.starts_with(**listed))
        {
            Some(listed) => {
                used.insert(*listed);
            }
            None => wrong.push(file),
        }
    }
    assert!(wrong.is_empty(), "unsafe outside the list: {wrong:?}");
    let idle: Vec<_> = UNSAFE
        .iter()
        .filter(|listed| !used.contains(*listed))
        .collect();
    assert!(idle.is_empty(), "listed, but not unsafe any more: {idle:?}");
}

#[test]
fn every_file_says_first_what_it_is() {
    let mut all = Vec::new();
    files(&source(), &mut all);
    let silent: Vec<_> = all
        .iter()
        .filter(|path| !fs::read_to_string(path).expect("text").starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "no `//!` on the first line: {silent:?}");
}

#[test]
fn the_other_crates_forbid_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in [
        "proto/src/lib.rs",
        "console/src/lib.rs",
        "console/src/main.rs",
        "examples/src/lib.rs",
    ] {
        let text =
            fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{file} does not forbid unsafe code"
        );
    }
}
