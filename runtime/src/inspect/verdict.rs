//! What one run amounted to: judged on the spot, for the gate. Knows no connection.

use loop_proto::pb;

use super::desk::Desk;
use super::judge::Held;
use super::tables::Look;
use super::texts::Sent;
use super::view::CHUNKS;
use super::waits::Found;
use super::wire::Extras;
use crate::id::LoopId;
use crate::os::{self, SchedFile};

/// What the run itself knows of its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) loop_id: Option<LoopId>,
    /// The test's name. Empty: not a test.
    pub(crate) test: String,
    pub(crate) process: String,
    pub(crate) started_at_ns: u64,
    pub(crate) grace_ns: u64,
    /// No other loop of the app is open: the process may end after this.
    pub(crate) last: bool,
}

/// What takes two walks is left alone where one takes longer.
const DEAR_NS: u64 = 25_000_000;

/// Judges all that lives now on the calling thread, and again where that is cheap, for what takes two
/// walks. What was made and cleared meanwhile.
pub(crate) fn judge_now(desk: &mut Desk) -> Vec<Held> {
    let mut news = Vec::new();
    for _ in 0..2 {
        let began = crate::clock::mono();
        let blocks = desk.blocks.clone();
        let look = Look::new(false);
        desk.judge.at_once(look, blocks.as_deref(), CHUNKS);
        news.append(&mut desk.take_news());
        if crate::clock::mono().saturating_sub(began) > DEAR_NS {
            break;
        }
    }
    news
}

/// The verdict of a run, whole; who sends it cuts it.
pub(crate) fn verdict(run: &Run, sequence: u64, desk: &mut Desk, sent: &mut Sent) -> pb::Verdict {
    let look = Look::new(false);
    desk.texts.note();
    let overview = desk.overview(&look);
    let cost = desk.cost(&look);
    let of_run = |id: LoopId| run.loop_id.is_none_or(|of| of == id);
    let held: Vec<_> = desk
        .judge
        .holds()
        .chain(desk.judge.cleared())
        .filter(|held| held.user && of_run(held.loop_id))
        .cloned()
        .collect();
    let census = std::mem::take(&mut desk.census);
    let budget = desk.budget(&look);
    let found = Found::default();
    let mut wire = desk.wire(&look, &found, None, Extras::ALL);
    let findings = held.iter().map(|held| wire.finding(held)).collect();
    let mut blocks = wire.all_blocks(None);
    blocks.retain(|block| {
        run.loop_id
            .is_none_or(|of| block.loop_id == u64::from(of.get()))
    });
    blocks.sort_by_key(|block| std::cmp::Reverse(block.lower_ns.unwrap_or(block.wall_ns)));
    let loops = look.loops.iter().filter(|at| of_run(at.record.id));
    let loops = loops.map(|at| wire.loop_row(at, &census)).collect();
    desk.census = census;
    let blocks_total = desk.blocks.as_ref().map_or(0, |all| {
        let tallies = look.loops.iter().filter(|at| of_run(at.record.id));
        let tallies = tallies.map(|at| all.tally(at.record.id));
        tallies
            .map(|tally| tally.proven + tally.soft + tally.lost)
            .sum()
    });
    pb::Verdict {
        sequence,
        complete: true,
        last: run.last,
        test: run.test.clone(),
        process: run.process.clone(),
        pid: std::process::id(),
        started_at_ns: run.started_at_ns,
        ended_at_ns: look.now.mono,
        outcome: 0,
        error: String::new(),
        findings,
        blocks,
        blocks_total,
        loops,
        overview: Some(overview),
        block_budget_ns: budget,
        grace_ns: run.grace_ns,
        host_noise: noise(&look, run.started_at_ns),
        doubts: doubts(&cost),
        cost: Some(cost),
        interned: desk.texts.noted(sent),
    }
}

/// The share of the run that the calling thread, which ran it, was runnable and got no CPU.
fn noise(look: &Look, started_at_ns: u64) -> Option<f64> {
    let sched = SchedFile::open(os::thread_id()).ok()?.read()?;
    let wall = look.now.mono.saturating_sub(started_at_ns);
    (wall > 0).then(|| (sched.delay as f64 / wall as f64).min(1.0))
}

/// Why the verdict may not be relied on.
fn doubts(cost: &pb::Cost) -> Vec<String> {
    let mut doubts = Vec::new();
    if cost.interned_overflow > 0 {
        doubts.push(format!(
            "{} names found the table of names full and are shown as (other)",
            cost.interned_overflow
        ));
    }
    doubts
}
