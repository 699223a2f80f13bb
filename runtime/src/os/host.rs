//! What the machine is and what its cgroup may use, for reports. Read when asked, never on a loop.
//!
//! Knows no process but this one.

use std::path::Path;

/// What a cgroup may use. `None`: not limited.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Limits {
    /// CPUs' worth of time.
    pub(crate) cpus: Option<f64>,
    /// Bytes.
    pub(crate) memory: Option<u64>,
}

/// The machine as it tells of itself; empty or 0 where it does not.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Host {
    pub(crate) kernel: String,
    pub(crate) cpus: u32,
    pub(crate) memory: u64,
    pub(crate) limits: Limits,
    /// Why the limits are not known. Empty: they are.
    pub(crate) unknown: String,
}

/// Reads it all.
pub(crate) fn read() -> Host {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let names = [
        text("/proc/sys/kernel/ostype"),
        text("/proc/sys/kernel/osrelease"),
    ];
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    let of_group = text("/proc/self/cgroup");
    let (limits, unknown) = if of_group.is_empty() {
        (
            Limits::default(),
            "this system has no /proc/self/cgroup to read".to_owned(),
        )
    } else {
        limits(&of_group, Path::new("/sys/fs/cgroup"))
    };
    Host {
        kernel: names.join(" ").trim().to_owned(),
        cpus: online(&text("/sys/devices/system/cpu/online")),
        memory: memory(&text("/proc/meminfo")),
        limits,
        unknown,
    }
}

/// How many of a list such as `0-3,6`.
fn online(list: &str) -> u32 {
    let one = |part: &str| -> Option<u32> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        to.checked_sub(from)?.checked_add(1)
    };
    let parts = list.trim().split(',');
    parts.map(one).sum::<Option<u32>>().unwrap_or(0)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes.saturating_mul(1024))
}

/// The tightest limits from the group that `/proc/self/cgroup` names up to the root, and why there
/// are none to be known.
fn limits(of_group: &str, mount: &Path) -> (Limits, String) {
    let mut found = Limits::default();
    let mut read = 0;
    for line in of_group.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let has = |name: &str| controllers.split(',').any(|one| one == name);
        let roots: &[&str] = match controllers {
            "" => &["", "unified"],
            _ if has("cpu") => &["cpu", "cpu,cpuacct"],
            _ if has("memory") => &["memory"],
            _ => continue,
        };
        for root in roots {
            let root = mount.join(root);
            let mut group = root.join(path.trim_start_matches('/'));
            // A container often sees only its own group, mounted where the root would be.
            loop {
                read += one(&group, &mut found);
                if group == root || !group.pop() {
                    break;
                }
            }
        }
    }
    let why = if read == 0 {
        format!(
            "no file of its cgroup's limits could be read under {}",
            mount.display()
        )
    } else {
        String::new()
    };
    (found, why)
}

/// What one group's files say, taken into `found`; how many could be read.
fn one(group: &Path, found: &mut Limits) -> usize {
    let text = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| text(name)?.trim().parse::<i64>().ok();
    let mut read = 0;
    let mut cpus = |quota: f64, period: f64| {
        if quota > 0.0 && period > 0.0 {
            let share = quota / period;
            found.cpus = Some(found.cpus.map_or(share, |known| known.min(share)));
        }
    };
    // Version 2: `max 100000` or `200000 100000`.
    if let Some(text) = text("cpu.max") {
        read += 1;
        let mut words = text.split_ascii_whitespace().map(str::parse::<f64>);
        if let (Some(Ok(quota)), Some(Ok(period))) = (words.next(), words.next()) {
            cpus(quota, period);
        }
    }
    if let Some(quota) = number("cpu.cfs_quota_us") {
        read += 1;
        let period = number("cpu.cfs_period_us").unwrap_or(0);
        cpus(quota as f64, period as f64);
    }
    for name in ["memory.max", "memory.limit_in_bytes"] {
        if let Some(text) = text(name) {
            read += 1;
            // Version 1 says "no limit" by a number near the largest.
            let limit = text.trim().parse().ok().filter(|limit| *limit < 1 << 60);
            if let Some(limit) = limit {
                found.memory = Some(found.memory.map_or(limit, |known| known.min(limit)));
            }
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("lr-host-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_quota_on_the_way_to_the_root_counts() {
        let root = tree(
            "v2",
            &[
                ("a/b/cpu.max", "max 100000\n"),
                ("a/cpu.max", "150000 100000\n"),
                ("a/b/memory.max", "max\n"),
                ("a/memory.max", "1048576\n"),
            ],
        );
        let (found, why) = limits("0::/a/b\n", &root);
        assert_eq!((found.cpus, found.memory), (Some(1.5), Some(1 << 20)));
        assert_eq!(why, "");
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn version_one_says_no_limit_by_minus_one_and_by_a_large_number() {
        let root = tree(
            "v1",
            &[
                ("cpu/x/cpu.cfs_quota_us", "50000\n"),
                ("cpu/x/cpu.cfs_period_us", "100000\n"),
                ("cpu/cpu.cfs_quota_us", "-1\n"),
                ("memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
            ],
        );
        let (found, why) = limits("4:memory:/x\n1:cpu,cpuacct:/x\n", &root);
        assert_eq!((found.cpus, found.memory), (Some(0.5), None));
        assert_eq!(why, "");
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn limits_that_cannot_be_read_are_not_taken_for_none() {
        let (found, why) = limits("0::/a\nnonsense\n", Path::new("/nowhere"));
        assert_eq!(found, Limits::default());
        assert!(why.contains("/nowhere"), "{why}");
    }

    #[test]
    fn what_the_kernel_writes_is_read_and_nonsense_is_nothing() {
        assert_eq!(online("0-3,6\n"), 5);
        assert_eq!((online("0\n"), online(""), online("3-1")), (1, 0, 0));
        assert_eq!(memory("MemTotal:  16 kB\nMemFree: 1 kB\n"), 16_384);
        assert_eq!(memory("none"), 0);
    }
}
