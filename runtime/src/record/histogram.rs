//! Log-linear histogram of tick durations with one writer: 64 sub-buckets an octave.
//!
//! Short values (below `FLOOR`) are not counted here: whoever owns the histogram knows their
//! number as its total less what is counted. Knows neither time units nor what was measured.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Values below this share one bucket that is not stored: about 0.4 µs at 2.6 GHz.
pub(crate) const FLOOR: u64 = 1 << FLOOR_BITS;
const FLOOR_BITS: u32 = 10;
/// Sub-buckets per octave: a bucket is at most 1/64 of its value wide.
const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
/// Octaves above the floor; longer values go to the last bucket (more than an hour).
const OCTAVES: usize = 34;
/// Buckets of a histogram.
pub(crate) const BUCKETS: usize = OCTAVES * SUB;

/// Counts of values at least `FLOOR` ticks long.
pub(crate) struct Histogram {
    counts: Box<[AtomicU32; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts: Box<[AtomicU32]> = (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self {
            counts: counts
                .try_into()
                .unwrap_or_else(|_| unreachable!("BUCKETS were collected")),
        }
    }
}

/// The bucket of a value that is at least `FLOOR`.
#[inline]
pub(crate) fn bucket_of(ticks: u64) -> usize {
    let octave = 63 - (ticks | FLOOR).leading_zeros();
    let sub = (ticks >> (octave - SUB_BITS)) as usize & (SUB - 1);
    ((octave - FLOOR_BITS) as usize * SUB + sub).min(BUCKETS - 1)
}

/// The smallest value of a bucket.
pub(crate) fn lower(bucket: usize) -> u64 {
    let octave = FLOOR_BITS + (bucket / SUB) as u32;
    (1 << octave) + ((bucket % SUB) as u64) * (1 << (octave - SUB_BITS))
}

impl Histogram {
    /// Counts one value of at least `FLOOR`. The writer's thread only.
    #[inline]
    pub(crate) fn count(&self, ticks: u64) {
        self.add(bucket_of(ticks), 1);
    }

    /// Counts many values of at least `FLOOR`. Neighbours are often alike: what falls into one
    /// bucket in a row is added in one go. The writer's thread only.
    pub(crate) fn count_all(&self, values: &[AtomicU64]) {
        let (mut last, mut low, mut width, mut alike) = (0, u64::MAX, 0, 0);
        for value in values {
            let value = value.load(Ordering::Relaxed);
            // Cheaper than finding the bucket; also false below `low`, by wrapping.
            if value.wrapping_sub(low) >= width {
                self.add(last, alike);
                (last, alike) = (bucket_of(value), 0);
                low = lower(last);
                width = lower(last + 1) - low;
            }
            alike += 1;
        }
        self.add(last, alike);
    }

    /// Forgets all. Whoever calls this has seen to it that nobody counts meanwhile.
    pub(crate) fn clear(&self) {
        for count in self.counts.iter() {
            count.store(0, Ordering::Relaxed);
        }
    }

    #[inline]
    fn add(&self, bucket: usize, more: u32) {
        let cell = &self.counts[bucket];
        cell.store(
            cell.load(Ordering::Relaxed).saturating_add(more),
            Ordering::Relaxed,
        );
    }

    /// The buckets that are not empty, in order of their values.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (usize, u32)> {
        self.counts
            .iter()
            .enumerate()
            .filter_map(|(bucket, count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then_some((bucket, count))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_a_64th_of_its_value_wide_and_holds_its_lower_end() {
        for bucket in 0..BUCKETS - 1 {
            let (low, next) = (lower(bucket), lower(bucket + 1));
            assert_eq!(bucket_of(low), bucket);
            assert_eq!(bucket_of(next - 1), bucket);
            assert!(next - low <= low / 64);
        }
    }

    #[test]
    fn many_values_count_as_one_by_one() {
        let (one_by_one, at_once) = (Histogram::default(), Histogram::default());
        let values = [5000, 5001, 9000, 5000, 1 << 20, 1 << 20, FLOOR].map(AtomicU64::new);
        for value in &values {
            one_by_one.count(value.load(Ordering::Relaxed));
        }
        at_once.count_all(&values);
        at_once.count_all(&[]);
        assert!(one_by_one.filled().eq(at_once.filled()));
    }

    #[test]
    fn a_value_beyond_the_last_bucket_is_counted_in_it() {
        let histogram = Histogram::default();
        histogram.count(u64::MAX);
        assert_eq!(histogram.filled().collect::<Vec<_>>(), [(BUCKETS - 1, 1)]);
    }
}
