//! What other threads do to a loop: wakes, drops of references and errands, on one stack.
//!
//! ```text
//! a reference on another thread                  the loop's thread
//!   clone    counts up `refs_away`
//!   wake     marks the row WAKE ──┐
//!   drop     adds a DROP ─────────┤ first mark: push
//!                                 ▼
//!                             the stack ──take──► oldest first: clear the marks, enqueue, deduct
//! ```
//!
//! A foreign drop is never a decrement: the reference is handed to the loop, which deducts it. So
//! nobody touches a row after giving up its last reference, and a row can be reused as soon as the
//! loop finds its counts at zero. Clearing the marks is a `swap`: a plain store in its place would
//! lose a wake that comes between.
//!
//! A drop alone lets the loop sleep on. A wake that finds the row announced by a drop therefore
//! claims the sleeper itself, and the drop looks for such a wake after its push: one of the two
//! comes after both. For that one look the dropper keeps the row's memory by other means.
//!
//! Once closed the stack refuses, and what is refused is settled where it is: the counts were
//! folded into one, and who takes that to zero tells so. Loom test: `executor/model.rs`.

use crate::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// Bit of a row's marks: it is to be polled.
pub(crate) const WAKE: u32 = 1;
/// One reference given up on another thread; the marks count them from this bit on.
pub(crate) const DROP: u32 = 2;

/// Added to `refs_away` when the loop closes: the two counts are one from then on.
const CLOSED: i32 = 1 << 30;

/// The stack's head once its loop is closed.
const SHUT: usize = 2;
/// An errand's address has this bit; rows are aligned to 64 bytes.
const ERRAND: usize = 1;

/// The words of a row that other threads write.
pub(crate) trait Away {
    fn link(&self) -> &AtomicUsize;
    fn marks(&self) -> &AtomicU32;
    fn refs_away(&self) -> &AtomicI32;
}

/// What was taken from the stack.
pub(crate) enum Taken {
    Row(usize),
    Errand(usize),
}

/// The stack of one loop.
pub(crate) struct Stack {
    head: AtomicUsize,
    asleep: AtomicBool,
}

/// What a push came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pushed {
    /// The loop will see it by itself.
    Quietly,
    /// The loop sleeps: whoever pushed has to wake it.
    OntoSleeper,
    Refused,
}

impl Default for Stack {
    fn default() -> Self {
        Self {
            head: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
        }
    }
}

impl Stack {
    /// Pushes an address, storing the one below it with `link`.
    fn push(&self, address: usize, link: impl Fn(usize)) -> bool {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == SHUT {
                return false;
            }
            link(head);
            // AcqRel: what lies behind the address is seen by who takes it; and a push that comes
            // after the look of `prepare_sleep` sees the loop asleep.
            match self.head.compare_exchange_weak(
                head,
                address,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(other) => head = other,
            }
        }
    }

    /// Whether the loop sleeps; the first to ask has to wake it.
    fn claim_sleeper(&self) -> bool {
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }

    fn pushed(&self, done: bool) -> Pushed {
        match done {
            false => Pushed::Refused,
            true if self.claim_sleeper() => Pushed::OntoSleeper,
            true => Pushed::Quietly,
        }
    }

    /// Pushes an errand's address, whose link `link` sets.
    pub(crate) fn push_errand(&self, address: usize, link: impl Fn(usize)) -> Pushed {
        self.pushed(self.push(address | ERRAND, link))
    }

    /// The loop is about to sleep; false if something came.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        // A write of nothing, so that it has its place among the pushes: one before it is seen
        // here, one after it sees the mark.
        if self.head.fetch_or(0, Ordering::AcqRel) == 0 {
            return true;
        }
        self.asleep.store(false, Ordering::Relaxed);
        false
    }

    /// The loop is awake.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether anything waits to be taken.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.head.load(Ordering::Relaxed), 0 | SHUT)
    }

    pub(crate) fn is_shut(&self) -> bool {
        // Acquire: who sees it shut sees what the loop did before.
        self.head.load(Ordering::Acquire) == SHUT
    }

    /// Takes everything; the address of the newest. `next` finds what lies below one.
    pub(crate) fn take(&self) -> usize {
        match self.head.load(Ordering::Relaxed) {
            SHUT => 0,
            _ => self.head.swap(0, Ordering::Acquire),
        }
    }

    /// Refuses everything from now on; gives what was there.
    pub(crate) fn shut(&self) -> usize {
        match self.head.swap(SHUT, Ordering::AcqRel) {
            SHUT => 0,
            head => head,
        }
    }
}

/// What an address on the stack is.
pub(crate) fn kind_of(address: usize) -> Taken {
    if address & ERRAND != 0 {
        Taken::Errand(address & !ERRAND)
    } else {
        Taken::Row(address)
    }
}

/// What is left to do for whoever gave something up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Left {
    /// The loop sleeps and has to be woken.
    pub(crate) wake_loop: bool,
    /// This was the last reference of a row whose loop is closed: release its hold.
    pub(crate) release: bool,
}

/// Another thread takes a reference more. It has one, so the row stays.
pub(crate) fn clone(row: &impl Away) {
    row.refs_away().fetch_add(1, Ordering::Relaxed);
}

/// Another thread wakes the row and keeps its reference. True for the first wake since the last.
pub(crate) fn wake(stack: &Stack, row: &impl Away) -> (Left, bool) {
    // AcqRel: what the waker wrote before is seen by the poll that follows.
    let marks = row.marks().fetch_or(WAKE, Ordering::AcqRel);
    let left = match marks {
        0 => announce(stack, row, true),
        // Announced by a drop, which lets the loop sleep. Either the push is over, and the sleeper
        // is claimed here, or the drop sees this mark after its push.
        _ if marks & WAKE == 0 => Left {
            wake_loop: stack.claim_sleeper(),
            release: false,
        },
        _ => Left::default(),
    };
    (left, marks & WAKE == 0)
}

/// Another thread gives up a reference.
///
/// `keep` keeps the stack and the row's memory alive until what it gives is dropped, which is after
/// the caller has done what is left: a row that was announced may be anybody's.
pub(crate) fn give_up<K>(
    stack: &Stack,
    row: &impl Away,
    keep: impl FnOnce() -> K,
) -> (Left, Option<K>) {
    let mut marks = row.marks().load(Ordering::Relaxed);
    // Who finds marks leaves it to whoever set the first to announce the row.
    while marks != 0 {
        match row.marks().compare_exchange_weak(
            marks,
            marks + DROP,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            Ok(_) => return (Left::default(), None),
            Err(other) => marks = other,
        }
    }
    let keep = keep();
    let marks = row.marks().fetch_add(DROP, Ordering::AcqRel);
    let left = match marks {
        0 => announce(stack, row, false),
        _ => Left::default(),
    };
    (left, Some(keep))
}

/// Puts a row with fresh marks on the stack, or settles it here if the loop is closed.
fn announce(stack: &Stack, row: &impl Away, wake: bool) -> Left {
    let address = std::ptr::from_ref(row).cast::<()>() as usize;
    if stack.push(address, |below| row.link().store(below, Ordering::Relaxed)) {
        // A drop can wait until the loop turns for another reason, unless a wake came meanwhile and
        // took the row for announced. A write of nothing, so that one of the two sees the other.
        let wake = wake || row.marks().fetch_or(0, Ordering::AcqRel) & WAKE != 0;
        return Left {
            wake_loop: wake && stack.claim_sleeper(),
            release: false,
        };
    }
    Left {
        wake_loop: false,
        release: settle_closed(row),
    }
}

/// Takes the marks of a row and deducts the references that were given up. True for the last.
///
/// Looks at the row no more once its own reference is deducted. Marks that come after the swap
/// find none and are settled by whoever set them.
fn settle_closed(row: &impl Away) -> bool {
    let drops = (row.marks().swap(0, Ordering::AcqRel) / DROP) as i32;
    drops > 0 && row.refs_away().fetch_sub(drops, Ordering::AcqRel) - drops == CLOSED
}

/// The loop takes a row's marks: whether it was woken, and how many references were given up.
pub(crate) fn take_marks(row: &impl Away) -> (bool, i32) {
    let marks = row.marks().swap(0, Ordering::AcqRel);
    (marks & WAKE != 0, (marks / DROP) as i32)
}

/// The loop closes: its own count of a row joins the other. True if nothing refers to the row.
///
/// The caller has added a hold before, and takes it back if so.
pub(crate) fn fold(row: &impl Away, here: i32) -> bool {
    let away = row.refs_away().fetch_add(CLOSED + here, Ordering::AcqRel);
    away + here == 0
}
