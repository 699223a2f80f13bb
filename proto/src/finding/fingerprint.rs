//! Names one fault across runs, machines and small edits. Knows no finding but its name.

use crate::pb::FindingName;

/// 16 hex digits that stay the same while the fault is in the same function of the same file:
/// no line numbers, ids, versions or folders above the crate go in.
///
/// `place` is `file:line:column`, `function` a demangled path or a task's name stem; either may
/// be empty.
#[must_use]
pub fn fingerprint(name: FindingName, place: &str, function: &str) -> String {
    let (krate, path) = crate_and_path(place);
    let mut hash = Fnv::new();
    for part in [name.word(), krate, path, &plain_function(function)] {
        hash.write(part.as_bytes());
        // A separator that no part contains: "ab" + "c" is not "a" + "bc".
        hash.write(&[0]);
    }
    format!("{:016x}", hash.0)
}

/// The crate, if the folder names it with its version, and the path from the crate's own folder
/// of sources on.
fn crate_and_path(place: &str) -> (&str, &str) {
    let file = without_line(place);
    let is_separator = |c| matches!(c, '/' | '\\');
    // The last folder of sources counts: `src/bin/src/x.rs` is rare, `…/src/crate-1/src/x.rs` is not.
    let root = ["src", "tests", "examples", "benches"]
        .iter()
        .filter_map(|root| {
            let at = file.rmatch_indices(root).find(|(at, _)| {
                let after = file[at + root.len()..].chars().next();
                (*at == 0 || file[..*at].ends_with(is_separator)) && after.is_some_and(is_separator)
            });
            at.map(|(at, _)| at)
        })
        .max();
    let Some(root) = root else { return ("", file) };
    let folder = file[..root]
        .trim_end_matches(is_separator)
        .rsplit(is_separator)
        .next()
        .unwrap_or("");
    // `crate-1.2.3`: a registry's folder. Any other folder is where somebody cloned to.
    let krate = match folder.rsplit_once('-') {
        Some((krate, version))
            if version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.') =>
        {
            krate
        }
        _ => "",
    };
    (krate, &file[root..])
}

fn without_line(place: &str) -> &str {
    let mut file = place;
    for _ in 0..2 {
        match file.rsplit_once(':') {
            Some((rest, digits))
                if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                file = rest
            }
            _ => break,
        }
    }
    file
}

/// Without the parts that compilers number: hashes and closures.
fn plain_function(function: &str) -> String {
    let is_hash = |part: &&str| {
        part.len() == 17
            && part.starts_with('h')
            && part[1..].bytes().all(|b| b.is_ascii_hexdigit())
    };
    let parts = function
        .split("::")
        .filter(|part| !part.starts_with('{') && !is_hash(part));
    parts.collect::<Vec<_>>().join("::")
}

/// FNV-1a, 64 bits: small, stable for ever, and no secret is at stake.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(place: &str, function: &str) -> String {
        fingerprint(FindingName::Blocked, place, function)
    }

    #[test]
    fn edits_above_and_another_machine_do_not_change_it() {
        let one = of("src/report.rs:88:5", "shop::report::render");
        assert_eq!(one, of("src/report.rs:91:9", "shop::report::render"));
        assert_eq!(
            one,
            of(
                "/home/ci/build-7/shop/src/report.rs:88:5",
                "shop::report::render::{{closure}}"
            )
        );
        assert_eq!(
            one,
            of(
                "C:\\shop\\src/report.rs:88:5",
                "shop::report::render::h0123456789abcdef"
            )
        );
        assert_eq!(one.len(), 16);
    }

    #[test]
    fn another_file_function_crate_or_name_changes_it() {
        let one = of("src/report.rs:88:5", "shop::report::render");
        assert_ne!(one, of("src/ws.rs:88:5", "shop::report::render"));
        assert_ne!(one, of("src/report.rs:88:5", "shop::report::other"));
        assert_ne!(
            one,
            of(
                "/r/deflate-1.0.0/src/report.rs:88:5",
                "shop::report::render"
            )
        );
        assert_ne!(
            one,
            fingerprint(
                FindingName::Stranded,
                "src/report.rs:88:5",
                "shop::report::render"
            )
        );
    }

    #[test]
    fn the_version_of_a_dependency_is_no_part_of_it() {
        assert_eq!(
            crate_and_path("/c/registry/src/index-1f/deflate-1.0.0/src/lz.rs:412:1"),
            ("deflate", "src/lz.rs")
        );
        assert_eq!(
            of("/c/deflate-1.0.0/src/lz.rs:4:1", ""),
            of("/d/deflate-1.0.1/src/lz.rs:5:1", "")
        );
        assert_eq!(crate_and_path("tests/a.rs:1:1"), ("", "tests/a.rs"));
        assert_eq!(crate_and_path("<anon>"), ("", "<anon>"));
    }
}
