//! Maps and sets by id: ids are made by this process, one after the other, so a cheap hash does.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Spreads ids that follow each other over the whole range.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    #[inline]
    fn write_u64(&mut self, id: u64) {
        // The high bits of the product choose the group, and tables look at them and at the low
        // ones: both halves have to depend on all of the id.
        let mixed = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

pub(crate) type IdMap<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;
#[cfg_attr(not(feature = "inspect"), allow(dead_code))]
pub(crate) type IdSet = HashSet<u64, BuildHasherDefault<IdHasher>>;
