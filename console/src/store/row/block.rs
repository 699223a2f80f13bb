//! Rows of blocks and the stacks that were taken of them. Knows no protobuf and no drawing.

/// One poll that held a loop longer than its budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockRow {
    pub id: u64,
    /// When the poll began.
    pub at_ns: u64,
    pub loop_id: u64,
    /// The lower bound where the host tells, else wall time.
    pub for_ns: u64,
    /// `for_ns` is wall time only: the host does not tell how much of it the thread got no CPU.
    pub wall_only: bool,
    /// By the clock on the wall, without what was allowed.
    pub wall_ns: u64,
    /// The upper bound, where the host tells.
    pub at_most_ns: Option<u64>,
    pub budget_ns: u64,
    /// It has not ended.
    pub running: bool,
    /// The thread waits for a CPU: the host's doing.
    pub waiting_for_cpu: bool,
    /// The watchdog overslept meanwhile, so the gate does not count it.
    pub vetoed: bool,
    /// Time in which the app allowed it to block, beside `for_ns`, and the app's reason.
    pub allowed_ns: u64,
    pub allowed: String,
    /// It is in such a stretch now.
    pub allowed_now: bool,
    /// What the loop did: `poll`, `drop`, `handler`, `timers`, `sources`.
    pub doing: String,
    pub task: Option<u64>,
    pub name: String,
    pub place: String,
    /// Which place this is: `stack`, `await`, `spawn`; empty when there is none.
    pub place_from: String,
    pub function: String,
    /// Tasks that were seen to wait behind it, of one that is over; and the longest of those waits.
    pub waited: Option<u64>,
    pub waited_worst_ns: Option<u64>,
    /// Tasks that wait behind it now, of one that runs.
    pub waiting_now: Option<u64>,
    /// `cpu`, `syscall`, `lock`, `page-in`, `host`, `throttled`, `stopped`, or empty: unknown.
    pub cause: String,
    /// The system call that it slept in.
    pub call: String,
    /// What to do about it.
    pub advice: &'static str,
    /// What a CPU quota took meanwhile, and the quota in CPUs.
    pub throttled_ns: Option<u64>,
    pub quota_cpus: Option<f64>,
    /// What the cause rests on, or why there is none.
    pub cause_reason: String,
    /// What all samples have in common.
    pub stack: Vec<Frame>,
    /// The stacks that were taken, the first first.
    pub samples: Vec<Sample>,
    /// Why there is no stack.
    pub no_stack: String,
    /// What is wanting in the stacks.
    pub stack_note: String,
    /// When the stack was taken.
    pub stack_at_ns: Option<u64>,
}

impl BlockRow {
    /// It is over its budget only because it was allowed to block.
    pub fn is_allowed(&self) -> bool {
        self.allowed_ns > 0 && self.for_ns <= self.budget_ns
    }
}

impl BlockRow {
    /// It is over, and was over its budget by the clock on the wall only: a quota or the host held it
    /// up, so it counts as nothing.
    pub fn is_uncounted(&self) -> bool {
        !self.running && !self.wall_only && !self.is_allowed() && self.for_ns <= self.budget_ns
    }

    /// Why there is no stack, in words that can stand alone. `None`: there is one.
    pub fn no_stack_words(&self) -> Option<String> {
        if !self.stack.is_empty() || !self.samples.is_empty() {
            return None;
        }
        Some(match (self.no_stack.trim_end_matches('.'), self.running) {
            ("", true) => "no stack yet".to_owned(),
            ("", false) => "no stack, and it is not told why".to_owned(),
            (why, _) => format!("no stack: {why}"),
        })
    }

    /// In how far its samples agree, in words; empty: there are none.
    pub fn agreement(&self) -> String {
        let samples: Vec<loop_proto::blocking::Sample<'_>> = self
            .samples
            .iter()
            .map(|sample| loop_proto::blocking::Sample {
                frames: sample
                    .frames
                    .iter()
                    .map(|frame| (frame.function.as_str(), frame.place.as_str()))
                    .collect(),
                common: sample.common,
            })
            .collect();
        loop_proto::blocking::agreement(&samples)
    }
}

/// One stack that was taken of a block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub at_ns: u64,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// So many of them, from the outermost, are the same in all samples; 0: not compared.
    pub common: usize,
}

impl Sample {
    /// The frames that not all samples have, innermost first.
    pub fn own(&self) -> &[Frame] {
        let own = self.frames.len().saturating_sub(self.common);
        &self.frames[..own]
    }
}

/// One frame of a stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub function: String,
    pub place: String,
    /// Whether it is the app's own code.
    pub yours: bool,
    /// The frame that is blamed.
    pub culprit: bool,
    /// `app`, `dependency`, `std`, `runtime`; empty when not resolved.
    pub kind: String,
    /// The object file and the address in it, for a frame without a name.
    pub module: String,
    pub offset: u64,
    /// In a stack of futures: the number, from 1, of the frame that awaits this one; 0: none does.
    pub awaited_by: usize,
}
