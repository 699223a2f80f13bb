//! The words of this process's memory that the app can have written and may still read: its heap,
//! its statics, and of each stack what is in use. Knows no row.
//!
//! Memory is read through the kernel and copied, so that what is freed meanwhile is no fault. Linux.

use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::inspect::cause::InCall;
use crate::inspect::cause::proc::Probe;
use crate::inspect::stack::read_words;
use crate::os;

/// Words that are read at once.
const AT_ONCE: usize = 1 << 15;
const PAGE: u64 = 4096;
const PAGES_AT_ONCE: usize = AT_ONCE * 8 / PAGE as usize;
/// A leaf function may use so much below the top of its stack.
const RED_ZONE: u64 = 128;
/// Bits of an entry of the page map.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;

/// Reads all memory, again and again with the same buffer, which it does not read.
pub(super) struct Memory {
    buffer: Vec<u64>,
    /// Bytes that are read at most in one pass.
    pub(super) most: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            most: 256 << 20,
        }
    }
}

/// What is read in a pass.
pub(super) struct Parts {
    parts: Vec<Range<u64>>,
    /// All that may be written, by where it begins.
    mapped: Vec<Range<u64>>,
    stacks: Vec<Range<u64>>,
    pages: Option<std::fs::File>,
}

impl Parts {
    /// Whether the process may write there.
    pub(super) fn are_written(&self, address: u64) -> bool {
        let after = self.mapped.partition_point(|part| part.start <= address);
        let part = after.checked_sub(1).map(|at| &self.mapped[at]);
        part.is_some_and(|part| part.contains(&address))
    }

    /// Whether the address lies in the part of a stack that is in use.
    pub(super) fn in_a_stack(&self, address: u64) -> bool {
        self.stacks.iter().any(|stack| stack.contains(&address))
    }
}

impl Memory {
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.buffer[..])
    }

    /// What there is to read now. `None`: too much, or the kernel does not tell.
    pub(super) fn parts(&mut self) -> Option<Parts> {
        if resident()? > self.most {
            return None;
        }
        self.buffer.resize(AT_ONCE, 0);
        let own = self.buffer.as_ptr() as u64;
        let [low, size] = os::thread::here().stack.map(|word| word as u64);
        // What looks for words does not find them with itself.
        let mut without = vec![own..own + (AT_ONCE * 8) as u64, low..low + size];
        let tops = stack_tops();
        let text = std::fs::read_to_string("/proc/self/maps").ok()?;
        let mapped: Vec<Range<u64>> = text.lines().filter_map(writable).collect();
        let mut stacks = Vec::new();
        for top in tops {
            if let Some(part) = mapped.iter().find(|part| part.contains(&top)) {
                let top = top.saturating_sub(RED_ZONE).max(part.start);
                // Below is what calls left there that have returned.
                without.push(part.start..top);
                stacks.push(top..part.end);
            }
        }
        Some(Parts {
            parts: difference(mapped.clone(), without),
            mapped,
            stacks,
            pages: std::fs::File::open("/proc/self/pagemap").ok(),
        })
    }

    /// The words there, as many as can be read and are read at once.
    pub(super) fn words(&mut self, at: u64, count: usize) -> &[u64] {
        let count = count.min(self.buffer.len());
        let read = read_words(at, &mut self.buffer[..count]);
        &self.buffer[..read]
    }

    /// Calls `take` with runs of words and where the first of them lies. `None`: not all could be
    /// read; something is on disk, or there is too much.
    pub(super) fn read(&mut self, parts: &Parts, mut take: impl FnMut(u64, &[u64])) -> Option<()> {
        let mut left = self.most;
        for part in &parts.parts {
            let mut at = part.start.next_multiple_of(8);
            while at < part.end {
                // At most up to a page's end, so that the map of pages is asked of whole ones.
                let end = (at / PAGE * PAGE + (PAGES_AT_ONCE as u64 * PAGE)).min(part.end);
                let mut entries = [0; PAGES_AT_ONCE];
                let known = parts.pages.as_ref().map(|file| {
                    page_entries(file, at / PAGE, &mut entries);
                    &entries
                });
                let mut from = at;
                while from < end {
                    let (to, entry) = run(from, end, at / PAGE, known);
                    if entry & SWAPPED != 0 && entry & PRESENT == 0 {
                        return None;
                    }
                    if known.is_none() || entry & PRESENT != 0 {
                        let words = ((to - from) / 8) as usize;
                        left = left.checked_sub(to - from)?;
                        let read = read_words(from, &mut self.buffer[..words]);
                        take(from, &self.buffer[..read]);
                    }
                    from = to;
                }
                at = end;
            }
        }
        Some(())
    }
}

/// Bytes of this process that are in memory and are no file's.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (all, of_files) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(all.saturating_sub(of_files) * PAGE)
}

/// Pages from `from` on that are alike, up to where, and what is said of them.
fn run(from: u64, end: u64, first: u64, known: Option<&[u64; PAGES_AT_ONCE]>) -> (u64, u64) {
    let Some(entries) = known else {
        return (end, 0);
    };
    let bits = |page: u64| entries[(page - first) as usize] & (PRESENT | SWAPPED);
    let page = from / PAGE;
    let mut next = page + 1;
    while next * PAGE < end && bits(next) == bits(page) {
        next += 1;
    }
    ((next * PAGE).min(end), bits(page))
}

fn page_entries(file: &std::fs::File, first: u64, entries: &mut [u64; PAGES_AT_ONCE]) {
    let mut bytes = [0; PAGES_AT_ONCE * 8];
    let read = file.read_at(&mut bytes, first * 8).unwrap_or(0);
    for (at, entry) in entries.iter_mut().enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
        // What is not told is read.
        *entry = if (at + 1) * 8 <= read {
            u64::from_le_bytes(word)
        } else {
            PRESENT
        };
    }
}

/// The range of a line of the maps, if it is the process's own to write to.
fn writable(line: &str) -> Option<Range<u64>> {
    let mut words = line.split_ascii_whitespace();
    let (span, rights) = (words.next()?, words.next()?);
    let (start, end) = span.split_once('-')?;
    let hex = |word| u64::from_str_radix(word, 16).ok();
    rights.starts_with("rw-p").then_some(hex(start)?..hex(end)?)
}

/// Where the stacks of the other threads end that wait in the kernel; those that run are read whole.
fn stack_tops() -> Vec<u64> {
    let own = os::thread_id();
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let ids = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
    let top = |call: InCall| match call {
        InCall::Call { sp, .. } | InCall::Fault { sp, .. } => Some(sp),
        InCall::Running => None,
    };
    ids.filter(|id| *id != own)
        .filter_map(|id| Probe::new(id).call().and_then(top))
        .collect()
}

/// What of `parts` is in none of `without`.
fn difference(parts: Vec<Range<u64>>, mut without: Vec<Range<u64>>) -> Vec<Range<u64>> {
    without.sort_by_key(|range| range.start);
    let mut left = Vec::new();
    for part in parts {
        let mut start = part.start;
        for out in &without {
            if out.end <= start || out.start >= part.end {
                continue;
            }
            if start < out.start {
                left.push(start..out.start);
            }
            start = start.max(out.end);
        }
        if start < part.end {
            left.push(start..part.end);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_out_is_not_left() {
        let parts = vec![0..100, 200..300];
        let without = vec![250..260, 10..20, 90..210, 255..270];
        assert_eq!(
            difference(parts, without),
            [0..10, 20..90, 210..250, 270..300]
        );
        let all_of_it = std::iter::once(0..20).collect();
        assert_eq!(difference(std::iter::once(5..9).collect(), all_of_it), []);
    }

    #[test]
    fn only_what_the_process_may_write_alone_is_read() {
        let line = "7f01000-7f02000 rw-p 00000000 00:00 0    [heap]";
        assert_eq!(writable(line), Some(0x7f0_1000..0x7f0_2000));
        assert_eq!(writable("7f01000-7f02000 r--p 0 00:00 0"), None);
        assert_eq!(writable("7f01000-7f02000 rw-s 0 00:00 0"), None);
    }

    #[test]
    fn a_word_on_the_heap_is_found_and_the_own_stack_is_not_read() {
        let secret = 0x5eed_0000_1234_5678_u64 ^ u64::from(std::process::id());
        let there = Box::new(secret);
        let here = secret;
        let mut memory = Memory::default();
        let parts = memory.parts().expect("the kernel tells");
        let mut found = Vec::new();
        let whole = memory.read(&parts, |at, words| {
            let hit = |(nth, word): (usize, &u64)| (*word == secret).then_some(at + nth as u64 * 8);
            found.extend(words.iter().enumerate().filter_map(hit));
        });
        if whole.is_none() {
            // Another test of this process may have taken more memory than is read.
            return;
        }
        assert!(found.contains(&(std::ptr::from_ref(&*there) as u64)));
        assert!(!found.contains(&(std::ptr::from_ref(&here) as u64)));
    }
}
