//! What the gate judges: one run, scope or test of one process, as plain values. Knows no budget and no connection.

use loop_proto::pb;

use crate::store::decode::{self, Decoder};
use crate::store::{BlockRow, Finding};

/// All that was seen of one run, scope, test, or of one running app in the window it was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    pub process: String,
    pub pid: u32,
    /// The test's name; empty: not a test.
    pub test: String,
    /// How long it was looked at.
    pub wall_ns: u64,
    /// How its run ended, as the app says; `None`: it is still running.
    pub outcome: Option<pb::RunOutcome>,
    /// Its error or panic message.
    pub error: String,
    pub findings: Vec<Finding>,
    pub blocks: Vec<BlockRow>,
    /// How many blocks there were; more than `blocks` when some are no longer kept.
    pub blocks_total: u64,
    /// From which length on the app records a poll as a block.
    pub recorded_from_ns: u64,
    pub lag: Option<pb::Histogram>,
    pub poll: Option<pb::Histogram>,
    pub late: Option<pb::Histogram>,
    pub scheduled: Option<pb::Histogram>,
    /// Events lost: they make suspects and histories worth less, definite verdicts not.
    pub lost: u64,
    /// The share of the time that its threads were runnable and got no CPU; `None`: the host does not tell.
    pub host_noise: Option<f64>,
    /// Why this may not be relied on, a reason each.
    pub doubts: Vec<String>,
}

impl Evidence {
    /// How it is called in reports: the test, else the process.
    pub fn label(&self) -> String {
        if self.test.is_empty() {
            format!("{} (pid {})", self.process, self.pid)
        } else {
            format!("test {} in {} (pid {})", self.test, self.process, self.pid)
        }
    }

    /// Polls that were over their budget by the clock on the wall only, since a CPU quota held them up: no blocks.
    pub fn throttled(&self) -> impl Iterator<Item = &BlockRow> {
        self.blocks.iter().filter(|b| b.cause == "throttled")
    }
}

/// Puts verdicts together that came in parts, and reads them. One for each connection.
#[derive(Debug, Default)]
pub struct Verdicts {
    decoder: Decoder,
    begun: Option<Evidence>,
}

impl Verdicts {
    /// Takes in one message. The evidence once its verdict is complete, with its number for the receipt, and whether it was the
    /// last of its process.
    pub fn take(&mut self, v: pb::Verdict) -> Option<(Evidence, u64, bool)> {
        let outcome = v.outcome();
        self.decoder.learn(v.interned);
        let evidence = self.begun.get_or_insert_default();
        for (to, from) in [
            (&mut evidence.test, v.test),
            (&mut evidence.process, v.process),
            (&mut evidence.error, v.error),
        ] {
            if !from.is_empty() {
                *to = from;
            }
        }
        if v.pid != 0 {
            evidence.pid = v.pid;
        }
        if v.ended_at_ns != 0 {
            evidence.wall_ns = v.ended_at_ns.saturating_sub(v.started_at_ns);
        }
        if outcome != pb::RunOutcome::Unspecified {
            evidence.outcome = Some(outcome);
        }
        evidence
            .findings
            .extend(v.findings.into_iter().map(|f| self.decoder.finding(f)));
        evidence
            .blocks
            .extend(v.blocks.into_iter().map(|b| self.decoder.block(b)));
        evidence.blocks_total = evidence.blocks_total.max(v.blocks_total);
        evidence.recorded_from_ns = evidence.recorded_from_ns.max(v.block_budget_ns);
        evidence.host_noise = v.host_noise.or(evidence.host_noise);
        evidence.doubts.extend(v.doubts);
        for l in v.loops.iter().filter(|l| !l.internal) {
            merge(&mut evidence.lag, l.lag.as_ref());
            merge(&mut evidence.poll, l.poll.as_ref());
            merge(&mut evidence.late, l.timer_late.as_ref());
            merge(&mut evidence.scheduled, l.scheduled.as_ref());
        }
        if let Some(o) = &v.overview {
            totals(evidence, o);
        }
        if let Some(c) = v.cost {
            evidence.lost = c.lost.iter().map(|l| l.count).sum();
        }
        if !v.complete {
            return None;
        }
        let done = self.begun.take().expect("begun above");
        Some((done, v.sequence, v.last))
    }
}

/// The distributions of a whole app, where its loops did not tell theirs.
pub fn totals(evidence: &mut Evidence, o: &pb::Overview) {
    for (to, from) in [
        (&mut evidence.lag, &o.lag),
        (&mut evidence.poll, &o.poll),
        (&mut evidence.late, &o.timer_late),
        (&mut evidence.scheduled, &o.scheduled),
    ] {
        if to.is_none() {
            to.clone_from(from);
        }
    }
}

fn merge(to: &mut Option<pb::Histogram>, from: Option<&pb::Histogram>) {
    if let Some(from) = from {
        to.get_or_insert_default().merge(from);
    }
}

/// Who answered, for evidence of a running app.
pub fn of_app(hello: &pb::HelloReply) -> Evidence {
    let hello = decode::hello(hello.clone());
    Evidence {
        process: hello.name,
        pid: hello.pid,
        recorded_from_ns: hello.block_budget_ns,
        ..Evidence::default()
    }
}
