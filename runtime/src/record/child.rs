//! The row of a child process: pid, what was started, how it stands.

use std::panic::Location;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::names::NameId;
use super::place::PlaceCell;
use super::slab::{self, Row};

#[derive(Default)]
pub(crate) struct ChildRow {
    id: AtomicU64,
    pub(crate) pid: AtomicU64,
    pub(crate) owner: AtomicU64,
    /// Nanoseconds, loop's clock.
    pub(crate) since: AtomicU64,
    /// The exit status as the kernel gave it; -1 while it runs.
    pub(crate) status: AtomicI64,
    pub(crate) program: AtomicU32,
    /// Bits 0-2: stdin, stdout, stderr are pipes that are still open.
    pub(crate) pipes: AtomicU8,
    /// 1 if somebody else took the status, which is a stand-in then.
    pub(crate) lost: AtomicU8,
    /// Who awaits its exit.
    pub(crate) waiters: AtomicU32,
    /// When the loop heard of its exit; nanoseconds, loop's clock; 0 while it runs.
    pub(crate) ended: AtomicU64,
    pub(crate) place: PlaceCell,
}

/// Bits of `pipes`.
pub(crate) mod pipe {
    pub(crate) const STDIN: u8 = 1;
    pub(crate) const STDOUT: u8 = 2;
    pub(crate) const STDERR: u8 = 4;
}

impl Row for ChildRow {
    fn id(&self) -> &AtomicU64 {
        &self.id
    }
}

/// A copy of one row.
#[derive(Clone, Debug)]
pub(crate) struct ChildFacts {
    pub(crate) id: u64,
    pub(crate) pid: u64,
    pub(crate) owner: u64,
    pub(crate) since: u64,
    pub(crate) status: Option<i64>,
    pub(crate) program: NameId,
    pub(crate) pipes: u8,
    pub(crate) lost: bool,
    pub(crate) waiters: u32,
    pub(crate) ended: u64,
    pub(crate) place: Option<&'static Location<'static>>,
}

impl ChildRow {
    pub(crate) fn started(
        &self,
        id: u64,
        pid: u64,
        owner: u64,
        now: u64,
        program: NameId,
        place: &'static Location<'static>,
    ) {
        let relaxed = Ordering::Relaxed;
        slab::vacate(&self.id);
        self.pid.store(pid, relaxed);
        self.owner.store(owner, relaxed);
        self.since.store(now, relaxed);
        self.status.store(-1, relaxed);
        self.program.store(program.raw(), relaxed);
        self.pipes.store(0, relaxed);
        self.lost.store(0, relaxed);
        self.waiters.store(0, relaxed);
        self.ended.store(0, relaxed);
        self.place.set(place);
        self.id.store(id, Ordering::Release);
    }

    /// It exited with `status`, as the kernel gave it; `lost`: somebody else was given it.
    pub(crate) fn ended(&self, status: i64, lost: bool, now: u64) {
        self.lost.store(lost.into(), Ordering::Relaxed);
        self.ended.store(now, Ordering::Relaxed);
        self.status.store(status, Ordering::Relaxed);
    }

    /// A pipe to it was closed on this side, or opened.
    pub(crate) fn set_pipe(&self, bit: u8, open: bool) {
        let pipes = self.pipes.load(Ordering::Relaxed);
        let pipes = if open { pipes | bit } else { pipes & !bit };
        self.pipes.store(pipes, Ordering::Relaxed);
    }

    /// The row's identity on its own loop's thread.
    pub(crate) fn child_id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn vacate(&self) {
        slab::vacate(&self.id);
    }

    pub(crate) fn read(&self) -> Option<ChildFacts> {
        let relaxed = Ordering::Relaxed;
        slab::consistent(&self.id, |id| ChildFacts {
            id,
            pid: self.pid.load(relaxed),
            owner: self.owner.load(relaxed),
            since: self.since.load(relaxed),
            status: Some(self.status.load(relaxed)).filter(|&status| status >= 0),
            program: NameId::from_raw(self.program.load(relaxed)),
            pipes: self.pipes.load(relaxed),
            lost: self.lost.load(relaxed) != 0,
            waiters: self.waiters.load(relaxed),
            ended: self.ended.load(relaxed),
            place: self.place.get(),
        })
    }
}
