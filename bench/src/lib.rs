//! Measures an operation of ours beside a peer's: one process, one core, rounds that alternate.
//!
//! What is counted is the thread's CPU time, so that neighbours on the machine cost no figure;
//! what is shown are medians and the median of the ratios of each round. Knows no runtime.

use std::fmt::Write as _;

use rustix::time::{ClockId, clock_gettime};

pub mod load;
pub mod procfs;
pub mod viewer;

/// CPU time of this thread, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// CPU time of all threads of this process, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Makes runs comparable: keeps this thread on one core and the allocator from giving memory back.
///
/// glibc trims the heap when enough of it is free, which costs the one who happens to free; that
/// alone has faked a factor of two between runtimes.
pub fn settle() {
    let mut first = rustix::thread::CpuSet::new();
    let allowed =
        rustix::thread::sched_getaffinity(None).expect("the thread's own cores can be read");
    let core = (0..rustix::thread::CpuSet::MAX_CPU).find(|&core| allowed.is_set(core));
    first.set(core.expect("a thread that runs has a core"));
    rustix::thread::sched_setaffinity(None, &first)
        .expect("a core of the thread's own set is allowed");
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `mallopt` may be called at any time; no other thread allocates yet.
        unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX) };
        // SAFETY: as above.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX) };
    }
}

/// One contender: a name, and a run that gives the CPU nanoseconds one operation took.
pub struct Contender<'a> {
    name: &'a str,
    run: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Contender<'a> {
    /// `run` does `operations` operations each time it is called.
    pub fn new(name: &'a str, operations: u64, mut run: impl FnMut() + 'a) -> Self {
        let run = move || {
            let before = cpu_ns();
            run();
            (cpu_ns() - before) as f64 / operations as f64
        };
        Self {
            name,
            run: Box::new(run),
        }
    }

    /// As `new`, with the CPU time of all threads of the process.
    pub fn of_process(name: &'a str, operations: u64, mut run: impl FnMut() + 'a) -> Self {
        Self::measured(name, move || {
            let before = process_cpu_ns();
            run();
            (process_cpu_ns() - before) as f64 / operations as f64
        })
    }

    /// `run` itself gives what one operation took.
    pub fn measured(name: &'a str, run: impl FnMut() -> f64 + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
        }
    }
}

/// How many rounds are measured; `LOOP_BENCH_ROUNDS` overrides it.
pub fn rounds(default: usize) -> usize {
    std::env::var("LOOP_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Runs the contenders in turn, `rounds` times, and prints a table: the first is what the others
/// are compared to, as the median over the rounds of (its time / theirs).
///
/// `budget` is what the ratio of the first to the second may be; it is shown, never asserted.
pub fn compare(
    title: &str,
    unit: &str,
    rounds: usize,
    budget: Option<f64>,
    contenders: Vec<Contender<'_>>,
) {
    print!(
        "{}",
        table(title, unit, budget, &measure(rounds, contenders))
    );
}

/// A contender's name and its figure in each round.
type Figures = Vec<(String, Vec<f64>)>;

fn measure(rounds: usize, mut contenders: Vec<Contender<'_>>) -> Figures {
    let mut figures: Figures = contenders
        .iter()
        .map(|contender| (contender.name.to_owned(), Vec::new()))
        .collect();
    // For a profiler, which wants one of them alone.
    let only = std::env::var("LOOP_BENCH_ONLY").unwrap_or_default();
    for round in 0..=rounds {
        for (at, contender) in contenders.iter_mut().enumerate() {
            if !contender.name.contains(&only) {
                continue;
            }
            let figure = (contender.run)();
            // The first round warms caches and heap.
            if round > 0 {
                figures[at].1.push(figure);
            }
        }
    }
    figures
}

fn table(title: &str, unit: &str, budget: Option<f64>, figures: &Figures) -> String {
    let mut text = format!("\n{title}\n");
    let Some((_, ours)) = figures.first() else {
        return text;
    };
    for (at, (name, theirs)) in figures.iter().enumerate() {
        let _ = write!(text, "  {name:<40} {:>9.1} {unit}", median(theirs));
        if at > 0 {
            let ratio = median(
                &ours
                    .iter()
                    .zip(theirs)
                    .map(|(ours, theirs)| ours / theirs)
                    .collect::<Vec<_>>(),
            );
            let _ = write!(text, "   ours is {ratio:.2} of it");
            if let (1, Some(budget)) = (at, budget) {
                let _ = write!(
                    text,
                    " (budget {budget:.2}: {})",
                    if ratio <= budget { "met" } else { "missed" }
                );
            }
        }
        text.push('\n');
    }
    text
}

/// The middle value; the upper one of two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Where the middle half of the values lies: `-0.4 to +1.2`.
pub fn middle_half(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |of: usize| sorted.get(of).copied().unwrap_or(f64::NAN);
    let quarter = sorted.len() / 4;
    let last = sorted.len().saturating_sub(1);
    format!(
        "{:+.1} to {:+.1}",
        at(quarter),
        at(last - quarter.min(last))
    )
}

/// Resident memory of this process, in bytes. Linux; elsewhere unknown.
pub fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_no_mean() {
        assert_eq!(median(&[1.0, 100.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_middle_half_leaves_a_quarter_out_at_each_end() {
        let rounds = [9.0, -50.0, 1.0, 2.0, 3.0, 4.0, 5.0, 900.0];
        assert_eq!(middle_half(&rounds), "+2.0 to +5.0");
        assert_eq!(middle_half(&[1.0]), "+1.0 to +1.0");
        assert_eq!(middle_half(&[]), "NaN to NaN");
    }

    #[test]
    fn a_table_compares_the_first_with_each_other() {
        let figures = vec![
            ("ours".to_owned(), vec![10.0, 11.0, 12.0]),
            ("peer".to_owned(), vec![20.0, 20.0, 30.0]),
        ];
        let text = table("poll", "ns", Some(0.5), &figures);
        assert!(
            text.contains("ours is 0.50 of it (budget 0.50: met)"),
            "{text}"
        );
    }

    #[test]
    fn the_first_round_is_not_counted() {
        let mut runs = 0;
        let contender = Contender::new("counted", 1, || runs += 1);
        let figures = measure(3, vec![contender]);
        assert_eq!((figures[0].1.len(), runs), (3, 4));
    }
}
