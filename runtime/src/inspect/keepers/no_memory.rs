//! In place of `memory` where memory cannot be read: nothing is known.

#[derive(Default)]
pub(super) struct Memory;

pub(super) struct Parts;

impl Parts {
    pub(super) fn are_written(&self, _address: u64) -> bool {
        true
    }

    pub(super) fn in_a_stack(&self, _address: u64) -> bool {
        true
    }
}

impl Memory {
    pub(super) fn parts(&mut self) -> Option<Parts> {
        None
    }

    pub(super) fn words(&mut self, _at: u64, _count: usize) -> &[u64] {
        &[]
    }

    pub(super) fn read(&mut self, _parts: &Parts, _take: impl FnMut(u64, &[u64])) -> Option<()> {
        None
    }

    pub(super) fn bytes(&self) -> usize {
        0
    }
}
