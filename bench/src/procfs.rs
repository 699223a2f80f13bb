//! CPU time of other threads and processes, as the kernel tells it. Linux; elsewhere nothing is known.

use std::path::Path;

/// The name of the thread that answers consoles.
pub const INSPECTOR: &str = "loop-inspect";

fn ran(task: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

fn tasks(process: &str) -> impl Iterator<Item = std::path::PathBuf> {
    let all = std::fs::read_dir(format!("/proc/{process}/task"));
    all.into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// Nanoseconds on a CPU of this process's threads of that name.
pub fn threads_named(name: &str) -> u64 {
    tasks("self")
        .filter(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|known| known.trim_end() == name)
        })
        .filter_map(|task| ran(&task))
        .sum()
}

/// Nanoseconds on a CPU of all threads of another process.
pub fn process(pid: u32) -> u64 {
    tasks(&pid.to_string()).filter_map(|task| ran(&task)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computed_is_found_by_its_name() {
        let computed = std::thread::Builder::new()
            .name("computes".into())
            .spawn(|| {
                let mut number = 1_u64;
                for _ in 0..50_000_000 {
                    number = std::hint::black_box(number).wrapping_mul(3);
                }
                (threads_named("computes"), process(std::process::id()))
            });
        let (own, all) = computed.unwrap().join().unwrap();
        assert!(own > 0 && all >= own, "{own} of {all}");
        assert_eq!(threads_named("no such thread"), 0);
    }
}
