//! CPU quotas: one that holds polls up, one that only is there, and a block under either. Each program
//! puts itself into a control group of its own, which takes root or a delegated group, and leaves
//! it when it ends. Version 2, and version 1.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use loop_runtime::{create_task, sleep};

use super::{Program, ms, program};

/// What the names of the groups begin with.
const NAME: &str = "loop-faults-";
/// A step that the quota has to hold up, and for how long at least.
const STEP: Duration = ms(60);
const HELD_UP: Duration = ms(120);

pub(super) const PROGRAMS: [Program; 4] = [
    program(
        "throttled",
        "throttled",
        "A task computes for less than the budget, and a CPU quota makes it longer: no block.",
        || Box::pin(until_throttled(STEP, 3)),
    )
    .also("late-timer")
    .under_a_quota(20),
    program(
        "quota-not-reached",
        "healthy",
        "There is a CPU quota, of which nothing is used up.",
        || Box::pin(in_small_steps()),
    )
    .under_a_quota(190),
    program(
        "block-under-a-quota",
        "blocked",
        "There is a CPU quota, of which nothing is used up, and a task computes for long.",
        || Box::pin(one_long_step()),
    )
    .also("never-yields")
    .under_a_quota(190),
    program(
        "block-and-throttled",
        "blocked",
        "A task computes for longer than the budget, and a CPU quota makes it longer still.",
        || Box::pin(until_throttled(ms(200), 2)),
    )
    .also("never-yields,late-timer,throttled")
    .under_a_quota(50),
];

/// Why the quota did not do what the program is about, if it did not.
static MISSED: OnceLock<String> = OnceLock::new();

/// The group that this program is in.
static GROUP: OnceLock<(bool, PathBuf)> = OnceLock::new();

pub(super) fn missed() -> Option<String> {
    MISSED.get().cloned()
}

/// The program is in it until this is dropped.
pub(super) struct Group {
    path: PathBuf,
    /// Where it was before.
    before: PathBuf,
}

impl Group {
    /// Makes a group with that quota, and goes there with all threads.
    pub(super) fn enter(hundredths: u32) -> Result<Self, String> {
        let (two, own) = own_group()?;
        let parent = parent(two, &own)?;
        sweep(&parent);
        let path = parent.join(format!("{NAME}{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| {
            format!(
                "no control group can be made in {}: {error}",
                parent.display()
            )
        })?;
        let group = Self { path, before: own };
        let quota = u64::from(hundredths) * 1_000;
        let written = if two {
            fs::write(group.path.join("cpu.max"), format!("{quota} 100000"))
        } else {
            fs::write(group.path.join("cpu.cfs_period_us"), "100000")
                .and_then(|()| fs::write(group.path.join("cpu.cfs_quota_us"), quota.to_string()))
        };
        // Ahead of other programs, which would hold it up themselves before the quota does.
        let _ = match two {
            true => fs::write(group.path.join("cpu.weight"), "10000"),
            false => fs::write(group.path.join("cpu.shares"), "102400"),
        };
        let entered = written.and_then(|()| join(&group.path));
        entered.map_err(|error| format!("{} takes no quota: {error}", group.path.display()))?;
        let _ = GROUP.set((two, group.path.clone()));
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What cannot be left now is swept by the next program that makes one.
        if join(&self.before).is_ok() {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn join(group: &Path) -> std::io::Result<()> {
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())
}

/// Removes what programs left that were killed. A group with somebody in it cannot be removed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(NAME) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The group that this program is in, and whether the CPU's controller there is of version 2.
fn own_group() -> Result<(bool, PathBuf), String> {
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))
    };
    // As where there are none; for who tests what is said then.
    let hidden = std::env::var("LOOP_FAULTS_CGROUPS").is_ok_and(|told| told == "none");
    let own = match hidden {
        true => String::new(),
        false => read("/proc/self/cgroup")?,
    };
    let mounts = read("/proc/self/mountinfo")?;
    let of = |wanted: fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            wanted(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let point = |kind: &str, option: &str| {
        mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let fits = after.next()? == kind
                && (option.is_empty() || after.nth(1)?.split(',').any(|name| name == option));
            let place = before.split(' ').nth(4)?;
            fits.then(|| PathBuf::from(place))
        })
    };
    let one = of(|controllers| controllers.split(',').any(|name| name == "cpu"));
    let found = match one {
        Some(path) => point("cgroup", "cpu").map(|point| (false, point.join(path))),
        None => of(str::is_empty)
            .zip(point("cgroup2", ""))
            .map(|(path, point)| (true, point.join(path))),
    };
    found.ok_or_else(|| {
        "no hierarchy of control groups with the CPU's controller is mounted".to_owned()
    })
}

/// Where a group can be made whose quota counts: in version 2 the controller has to be switched on.
fn parent(two: bool, own: &Path) -> Result<PathBuf, String> {
    if !two {
        return Ok(own.to_owned());
    }
    let switched_on = |path: &&Path| {
        let told = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
        told.split_whitespace().any(|name| name == "cpu")
    };
    let found = own.ancestors().find(switched_on);
    found.map(Path::to_owned).ok_or_else(|| {
        format!(
            "neither {} nor a group above it hands the CPU's controller down",
            own.display()
        )
    })
}

/// For how long the quota has kept the group from running.
fn throttled() -> Duration {
    let (two, group) = GROUP.get().expect("the group was entered");
    let stat = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
    let field = |name: &str| -> u64 {
        let value = stat.lines().find_map(|line| line.strip_prefix(name));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0)
    };
    match two {
        true => Duration::from_micros(field("throttled_usec ")),
        false => Duration::from_nanos(field("throttled_time ")),
    }
}

/// CPU time that this thread has had.
fn ran() -> Option<Duration> {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns = told.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(ns))
}

/// Computes until this thread has had so much CPU time.
fn compute(time: Duration) {
    let (began, before) = (Instant::now(), ran());
    let mut number = 1_u64;
    loop {
        for _ in 0..20_000 {
            number = std::hint::black_box(number).wrapping_mul(6_364_136_223_846_793_005);
        }
        let used = match (before, ran()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => began.elapsed(),
        };
        if used >= time {
            return;
        }
    }
}

/// Steps of so much CPU time, until the quota alone has held up so many of them.
async fn until_throttled(step: Duration, times: u32) {
    let steps = async move {
        let (began, mut held_up) = (Instant::now(), 0);
        while held_up < times {
            if began.elapsed() > ms(15_000) {
                let _ = MISSED.set(format!(
                    "in 15 s the quota held up {held_up} of {times} steps: other programs took the CPU first"
                ));
                return;
            }
            let (before, start) = (throttled(), Instant::now());
            compute(step);
            let (took, wall) = (throttled() - before, start.elapsed());
            // Most of what the step took beyond its own time.
            let beyond = wall.saturating_sub(step);
            held_up += u32::from(took >= HELD_UP && took >= beyond / 4 * 3);
            sleep(ms(20)).await;
        }
    };
    create_task(steps).await.expect("it computes");
}

async fn in_small_steps() {
    let steps = async {
        for _ in 0..40 {
            compute(ms(10));
            sleep(ms(10)).await;
        }
        if !throttled().is_zero() {
            let _ = MISSED.set("a quota of 1.9 CPUs was used up".to_owned());
        }
    };
    create_task(steps).await.expect("it computes");
}

async fn one_long_step() {
    let long = async {
        sleep(ms(20)).await;
        compute(ms(250));
    };
    create_task(long).await.expect("it computes");
}
