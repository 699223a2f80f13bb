//! From when on a task, timer or descriptor that rests is suspected of being leaked. Plain numbers;
//! knows no rule.

use std::time::Duration;

/// What the suspicions of a leak are measured with.
///
/// The defaults suit a server. Tests and short programs shorten them, so that a leak shows while
/// they last.
///
/// ```
/// use std::time::Duration;
/// let limits = loop_runtime::LeakLimits::default().idle(Duration::from_secs(5));
/// loop_runtime::Builder::new().leak_limits(limits).run(async {}).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeakLimits {
    pub(crate) idle: Duration,
    pub(crate) outlived: Duration,
    pub(crate) generation: Duration,
}

impl Default for LeakLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            outlived: Duration::from_secs(10),
            generation: Duration::from_secs(60),
        }
    }
}

impl LeakLimits {
    /// How long a detached task, a descriptor that nobody waits for, or a timer that nobody asks for
    /// may rest before it is suspected (`idle-orphan`, `abandoned-fd`, `orphan-timer`); the default is
    /// a minute.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// How long a detached task may live on when the one that spawned it has ended
    /// (`outlived-parent`); the default is 10 s.
    #[must_use]
    pub fn outlived(mut self, limit: Duration) -> Self {
        self.outlived = limit;
        self
    }

    /// The length of a generation: `growing` is said of a place when in 8 of 10 of them more
    /// generations of its tasks survive than in the one before; the default is a minute. Walks are
    /// made twice as often, once a second at least and 50 times at most.
    #[must_use]
    pub fn generation(mut self, length: Duration) -> Self {
        self.generation = length;
        self
    }
}
