//! The rules by themselves, and the disk in directories of the tests.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn wish(pairs: &[(&str, &str)]) -> Wish {
    Wish::read(&Wish::default(), |name| {
        let found = pairs.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    })
}

#[test]
fn nothing_is_written_that_nobody_asked_for() {
    let none = wish(&[]);
    assert_eq!(none, Wish::default());
    let automatic = Cause::ALL
        .into_iter()
        .filter(|cause| *cause != Cause::Asked);
    for cause in automatic {
        assert!(!none.causes.has(cause), "{cause:?}");
    }
    assert!(
        none.causes.has(Cause::Asked),
        "a command is its own permission"
    );
}

#[test]
fn a_directory_turns_on_all_but_the_signal_which_may_be_the_apps() {
    let named = wish(&[(DIRECTORY, "/var/dumps")]);
    assert_eq!(named.directory, Some("/var/dumps".into()));
    assert!(named.causes.has(Cause::Block) && named.causes.has(Cause::Test));
    assert!(!named.causes.has(Cause::Signal));
    assert_eq!(named.signal, None);
    assert!(
        wish(&[(DIRECTORY, "dumps")])
            .directory
            .unwrap()
            .is_absolute()
    );
}

#[test]
fn causes_are_chosen_by_name_and_what_is_not_understood_is_said() {
    let some = wish(&[(CAUSES, "block, signal=SIGUSR1")]);
    assert!(some.causes.has(Cause::Block) && some.causes.has(Cause::Signal));
    assert!(!some.causes.has(Cause::Leak));
    assert_eq!(some.signal.unwrap().name, "USR1");
    assert_eq!(some.trouble, "");
    assert_eq!(wish(&[(CAUSES, "signal")]).signal.unwrap().name, "USR2");
    let off = wish(&[(DIRECTORY, "/d"), (CAUSES, "off")]);
    assert!(!off.causes.has(Cause::Block));
    let wrong = wish(&[(CAUSES, "blocks,leak")]);
    assert!(wrong.causes.has(Cause::Leak), "the rest holds");
    assert!(
        wrong.trouble.contains("\"blocks\" is no cause"),
        "{}",
        wrong.trouble
    );
    let wrong = wish(&[(CAUSES, "signal=KILL")]);
    assert!(!wrong.causes.has(Cause::Signal));
    assert!(wrong.trouble.contains("\"KILL\""), "{}", wrong.trouble);
}

#[test]
fn what_the_builder_says_holds_until_the_environment_says_otherwise() {
    let mut built = Wish::default();
    built.want_in("/built".into());
    built.want_on(signal("USR2").unwrap());
    let read = Wish::read(&built, |_| None);
    assert!(read.causes.has(Cause::Signal) && read.causes.has(Cause::Leak));
    let read = Wish::read(&built, |name| (name == CAUSES).then(|| "off".into()));
    assert!(!read.causes.has(Cause::Signal) && !read.causes.has(Cause::Leak));
}

#[test]
fn a_cause_that_comes_again_within_a_minute_is_counted_and_no_dump() {
    let mut pace = Pace::default();
    let mut written = 0;
    // An hour in which everything blocks once a second, and one deadlock.
    for second in 0..3_600 {
        written += u32::from(pace.admit(Cause::Block, second * SECOND));
    }
    assert_eq!((written, pace.suppressed), (60, 3_540));
    assert!(
        pace.admit(Cause::Deadlock, 10),
        "each cause has its own pace"
    );
    assert!(pace.admit(Cause::Test, 20) && pace.admit(Cause::Test, 21));
}

#[test]
fn names_tell_who_when_and_why_and_are_safe_in_any_shell() {
    let at = 1_795_356_145 * SECOND + 123_456_789;
    let name = file_name("shop api/../x\u{1b}[2J", 48_211, at, Cause::Block);
    assert_eq!(
        name,
        "shop-api-..-x--2J-48211-20261122T140225.123Z-block.dump.rec"
    );
    assert_eq!(read_name(&name), Some("20261122T140225.123Z"));
    assert!(file_name("--rf", 1, 0, Cause::Leak).starts_with("rf-1-19700101T000000.000Z"));
    assert!(file_name("…", 1, 0, Cause::Leak).starts_with("app-1-"));
    for other in [
        "48211-99.rec",
        "notes.txt",
        "x-1-20261122T140225.123Z-other.dump.rec",
        "x-y-20261122T140225.123Z-block.dump.rec",
        "20261122T140225.123Z-block.dump.rec",
        "x-1-20261122T140225.123Z-block.dump.rec.part",
    ] {
        assert_eq!(read_name(other), None, "{other} is nobody's to remove");
    }
    assert_eq!(civil(0), (1970, 1, 1));
    assert_eq!(civil(19_782), (2024, 2, 29));
    assert_eq!(civil(20_820), (2027, 1, 2));
}

fn kept(second: u64, bytes: u64) -> Kept {
    Kept {
        // Names of two apps, so that the order is not that of the whole names.
        name: file_name(
            ["b", "a"][second as usize % 2],
            7,
            second * SECOND,
            Cause::Leak,
        ),
        bytes,
    }
}

#[test]
fn the_oldest_give_way_until_count_and_bytes_fit() {
    let limits = Limits {
        files: 4,
        bytes: 100,
    };
    let files: Vec<Kept> = (0..4).map(|second| kept(second, 10)).collect();
    assert_eq!(excess(&files, 10, limits), [files[0].name.as_str()]);
    assert_eq!(excess(&files, 75, limits), [&files[0].name, &files[1].name]);
    assert!(excess(&files[..2], 10, limits).is_empty());
    let mut with_others = files.clone();
    with_others.push(Kept {
        name: "holiday.jpg".to_owned(),
        bytes: 1 << 30,
    });
    assert_eq!(
        excess(&with_others, 10, limits).len(),
        1,
        "others' files are not counted"
    );
}

#[cfg(unix)]
mod on_disk {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::super::{Cause, LIMITS, Limits, disk, file_name};
    use super::SECOND;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lr-dumps-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_directory_never_holds_more_than_its_bound_and_is_its_owners_alone() {
        let directory = directory("bound");
        let limits = Limits {
            files: 3,
            bytes: 1 << 20,
        };
        let mut removed = 0;
        for second in 0..10 {
            let name = file_name("shop", 7, second * SECOND, Cause::Block);
            let written = disk::write(&directory, &name, &[1; 100], limits).unwrap();
            removed += written.removed;
            assert!(written.names.len() <= 3 && written.bytes <= 300);
            assert_eq!(mode(&written.path), 0o600);
        }
        assert_eq!((mode(&directory), removed), (0o700, 7));
        let left: Vec<_> = fs::read_dir(&directory).unwrap().collect();
        assert_eq!(left.len(), 3);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_full_disk_a_file_in_the_way_and_a_directory_of_others_are_sentences() {
        let name = file_name("shop", 7, SECOND, Cause::Block);
        let full = disk::write(std::path::Path::new("/dev/full/x"), &name, &[1], LIMITS);
        assert!(full.unwrap_err().contains("/dev/full/x: "));
        let place = directory("refused");
        fs::write(&place, "a file").unwrap();
        let why = disk::write(&place, &name, &[1], LIMITS).unwrap_err();
        assert!(why.contains("no directory"), "{why}");
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        let why = disk::write(&place, &name, &[1], LIMITS).unwrap_err();
        assert!(why.contains("other users may write there"), "{why}");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        let tight = Limits {
            files: 3,
            bytes: 10,
        };
        let why = disk::write(&place, &name, &[1; 11], tight).unwrap_err();
        assert!(why.contains("larger than all that may lie there"), "{why}");
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn a_link_where_the_file_would_be_is_not_followed() {
        let place = directory("link");
        fs::create_dir(&place).unwrap();
        let target = place.join("precious");
        fs::write(&target, "precious").unwrap();
        let name = file_name("shop", 7, SECOND, Cause::Block);
        symlink(&target, place.join(format!("{name}.part"))).unwrap();
        assert!(disk::write(&place, &name, &[1], LIMITS).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        fs::remove_dir_all(place).unwrap();
    }
}
