//! The CPU quota of a thread's control group: what it allows, and what it has taken so far.
//!
//! Version 1 and 2, the group itself and each one above it. A file that cannot be read is an
//! absent field. Knows no loop and judges nothing.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

/// Readings that are kept, so that there is one from before a poll began.
const KEPT: usize = 16;
/// Groups above one another that are looked at.
const DEEPEST: usize = 32;

/// What the quotas say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Throttle {
    /// Time for which they kept the group from running, a sum over its CPUs. Nanoseconds.
    pub(crate) taken: u64,
    /// The smallest of them, in CPUs. `None`: there is none.
    pub(crate) limit: Option<f64>,
}

/// What they took of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throttled {
    pub(crate) ns: u64,
    pub(crate) limit: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

/// The quotas of this process, and what they said lately.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// What `/proc` said of the group when `groups` was found.
    of: String,
    groups: Vec<(Version, PathBuf)>,
    /// With the ticks at which they were read, the oldest first.
    readings: VecDeque<(u64, Throttle)>,
}

impl Quota {
    /// Whether there was a quota when it was last read.
    pub(crate) fn is_set(&self) -> bool {
        let last = self.readings.back();
        last.is_some_and(|(_, reading)| reading.limit.is_some())
    }

    /// Reads the quotas of thread `tid` (0: the process's first one) at tick `now`. `None`: this
    /// host has no groups, or does not tell of them.
    pub(crate) fn read(&mut self, tid: u64, now: u64) -> Option<Throttle> {
        let own = match tid {
            0 => fs::read_to_string("/proc/self/cgroup"),
            _ => fs::read_to_string(format!("/proc/self/task/{tid}/cgroup")),
        }
        .ok()?;
        if own != self.of {
            let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
            self.groups = groups(&own, &mounts);
            self.of = own;
            self.readings.clear();
        }
        let reading = sum(&self.groups)?;
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back((now, reading));
        Some(reading)
    }

    /// What was taken since tick `since`, as of the last reading: from the newest reading that is
    /// not younger, else from the oldest there is.
    pub(crate) fn since(&self, since: u64) -> Option<Throttled> {
        let (_, last) = self.readings.back()?;
        let before = self.readings.iter().rev().find(|(at, _)| *at <= since);
        let (_, first) = before.or(self.readings.front())?;
        Some(Throttled {
            ns: last.taken.saturating_sub(first.taken),
            limit: last.limit,
        })
    }
}

/// Sums over the groups. `None`: none of them tells.
fn sum(groups: &[(Version, PathBuf)]) -> Option<Throttle> {
    let mut all: Option<Throttle> = None;
    for (version, path) in groups {
        let file = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let Some(taken) = taken(*version, &file("cpu.stat")) else {
            continue;
        };
        let limit = match version {
            Version::Two => limit_of_two(&file("cpu.max")),
            Version::One => limit_of_one(&file("cpu.cfs_quota_us"), &file("cpu.cfs_period_us")),
        };
        let all = all.get_or_insert_default();
        all.taken += taken;
        all.limit = match (all.limit, limit) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    all
}

fn taken(version: Version, stat: &str) -> Option<u64> {
    let field = |name: &str| {
        let value = stat.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse::<u64>().ok()
    };
    match version {
        Version::Two => field("throttled_usec ").map(|usec| usec.saturating_mul(1000)),
        Version::One => field("throttled_time "),
    }
}

/// `max 100000` or `20000 100000`: microseconds, of how many.
fn limit_of_two(max: &str) -> Option<f64> {
    let mut words = max.split_ascii_whitespace();
    ratio(words.next()?, words.next()?)
}

/// `-1` is no quota.
fn limit_of_one(quota: &str, period: &str) -> Option<f64> {
    ratio(quota.trim(), period.trim())
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<i64>().ok()?, period.parse::<i64>().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// The folders of the group and of those above it, from what `cgroup` and `mountinfo` of `/proc`
/// say. Where the controller of CPUs is of version 1, that one counts; if it is not mounted, its quota
/// cannot be seen, and what version 2 says of the same thread is not about it.
fn groups(own: &str, mounts: &str) -> Vec<(Version, PathBuf)> {
    let line = |wanted: &str| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let fits = match wanted {
                "" => controllers.is_empty(),
                _ => controllers.split(',').any(|name| name == wanted),
            };
            fits.then_some(path)
        })
    };
    let found = match line("cpu") {
        Some(path) => mount(mounts, "cgroup", Some("cpu")).map(|mount| (Version::One, path, mount)),
        None => line("")
            .zip(mount(mounts, "cgroup2", None))
            .map(|(path, mount)| (Version::Two, path, mount)),
    };
    let Some((version, path, (root, point))) = found else {
        return Vec::new();
    };
    // Of a container the mount may show a part of the tree, or the path lead out of what it shows.
    let inside = Path::new(path)
        .strip_prefix(&root)
        .ok()
        .filter(|path| !path.components().any(|part| part.as_os_str() == ".."))
        .unwrap_or(Path::new(""));
    inside
        .ancestors()
        .take(DEEPEST)
        .map(|path| (version, point.join(path)))
        .collect()
}

/// Which folder of that file system is mounted, and where.
fn mount(mounts: &str, kind: &str, option: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        if after.next()? != kind {
            return None;
        }
        let options = after.nth(1)?;
        if option.is_some_and(|wanted| !options.split(',').any(|name| name == wanted)) {
            return None;
        }
        let mut before = before.split(' ').skip(3);
        Some((unescape(before.next()?), unescape(before.next()?)))
    })
}

/// The kernel writes a space as `\040`, and so on.
fn unescape(text: &str) -> PathBuf {
    let spelled = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let plain = spelled.iter().fold(text.to_owned(), |text, (from, to)| {
        if text.contains(from) {
            text.replace(from, to)
        } else {
            text
        }
    });
    PathBuf::from(plain)
}

#[cfg(test)]
mod tests;
