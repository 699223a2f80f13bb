//! The acceptance cases B01 to B72: what asyncio's own tests ask of a loop, one test or more each,
//! named after its number. One binary, so that the suite links once.

mod groups;
mod interrupt;
mod io;
mod life;
mod logged;
mod net;
mod processes;
#[cfg(unix)]
#[path = "../scratch/mod.rs"]
mod scratch;
mod signals;
mod sync;
mod tasks;
mod threads;

/// The cases, and the files that hold their tests.
const CASES: std::ops::RangeInclusive<u32> = 1..=72;

/// Every `.rs` file below `folder`, with its text.
fn sources(folder: &std::path::Path, all: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("the folder of the tests can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file is text");
            all.push((path.display().to_string(), text));
        }
    }
}

/// The case that a line's function is about: `fn b07_…`.
fn case_of(line: &str) -> Option<u32> {
    let name = line.trim_start().strip_prefix("fn b")?;
    let (number, rest) = name.split_at_checked(2)?;
    rest.starts_with('_').then(|| number.parse().ok())?
}

/// What the type system keeps from compiling is a case too: a `compile_fail` example says its number,
/// as in `// B64`.
fn refused(text: &str, found: &mut std::collections::BTreeSet<u32>) {
    for example in text.split("```compile_fail").skip(1) {
        let example = example.split("```").next().unwrap_or("");
        for (at, _) in example.match_indices("// B") {
            let number = example[at + 4..].get(..2).and_then(|two| two.parse().ok());
            found.extend::<Option<u32>>(number);
        }
    }
}

#[test]
fn every_case_has_a_test() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut tests, mut library) = (Vec::new(), Vec::new());
    sources(&here.join("tests"), &mut tests);
    sources(&here.join("src"), &mut library);
    let (mut found, mut idle) = (std::collections::BTreeSet::new(), Vec::new());
    for (file, text) in &tests {
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(case) = case_of(line) else { continue };
            // Fork's checks have no harness; they are listed by name.
            let listed = lines[..at]
                .iter()
                .rev()
                .take(4)
                .any(|line| line.contains("#[test]"))
                || text
                    .matches(
                        line.trim()
                            .trim_start_matches("fn ")
                            .trim_end_matches("() {"),
                    )
                    .count()
                    > 1;
            match listed {
                true => drop(found.insert(case)),
                false => idle.push(format!("{file}: {}", line.trim())),
            }
        }
    }
    library
        .iter()
        .for_each(|(_, text)| refused(text, &mut found));
    assert!(idle.is_empty(), "named as tests, but not run: {idle:#?}");
    let missing: Vec<_> = CASES.filter(|case| !found.contains(case)).collect();
    assert!(missing.is_empty(), "cases without a test: {missing:?}");
}
