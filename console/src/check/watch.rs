//! Looks at a running app: keeps the latest of what its inspector says of findings, blocks, totals and losses, so that there is
//! evidence whenever somebody asks, also of a process that is killed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use loop_proto::pb;

use crate::check::child::Interrupts;
use crate::check::evidence::{self, Evidence};
use crate::exit::{Exit, Failure};
use crate::store::decode::Decoder;
use crate::store::{BlockRow, Body, Finding, Table};
use crate::transport::session::{Session, refused};

const FINDINGS: u32 = 1;
const BLOCKS: u32 = 2;
const OVERVIEW: u32 = 3;
const COST: u32 = 4;

/// How often the app is asked. Findings and blocks are pushed besides.
const EVERY_MS: u32 = 250;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    base: Evidence,
    /// The app's clock when looking began: what was over before that is not judged.
    from_ns: u64,
    at_ns: u64,
    findings: BTreeMap<u64, Finding>,
    blocks: BTreeMap<u64, BlockRow>,
    overview: Option<pb::Overview>,
    lost: u64,
    /// Slots that have answered.
    answered: u32,
    /// Why looking ended before its time.
    broken: Option<String>,
}

impl Seen {
    /// Everything asked for was answered at least once.
    fn complete(&self) -> bool {
        self.answered == (1 << FINDINGS | 1 << BLOCKS | 1 << OVERVIEW | 1 << COST)
    }

    /// As evidence, of what held or happened since looking began.
    pub fn evidence(&self) -> Evidence {
        let mut e = self.base.clone();
        e.wall_ns = self.at_ns.saturating_sub(self.from_ns);
        // A block that began before is judged by all of its length, for it was seen to go on.
        let since = |b: &&BlockRow| b.running || b.at_ns.saturating_add(b.for_ns) >= self.from_ns;
        e.blocks = self.blocks.values().filter(since).cloned().collect();
        e.blocks.sort_by_key(|b| std::cmp::Reverse(b.for_ns));
        e.blocks_total = e.blocks.len() as u64;
        e.findings = self
            .findings
            .values()
            // A block is over when it is over, though its finding is still listed.
            .filter(|f| f.last_seen_ns >= self.from_ns || !f.cleared && f.name != "blocked")
            .cloned()
            .collect();
        if let Some(o) = &self.overview {
            evidence::totals(&mut e, o);
        }
        e.lost = self.lost;
        if let Some(why) = &self.broken {
            e.doubts.push(format!(
                "the connection ended while it was looked at: {why}"
            ));
        } else if !self.complete() {
            e.doubts
                .push("it did not answer everything it was asked".to_owned());
        }
        e
    }
}

/// Begins to look; the task ends with the stream. What it sees is in the cell at any time.
pub fn begin(session: &Session) -> (Rc<RefCell<Seen>>, loop_runtime::Task<()>) {
    let seen = Rc::new(RefCell::new(Seen {
        base: evidence::of_app(&session.hello),
        from_ns: session.hello.anchor_monotonic_ns,
        at_ns: session.hello.anchor_monotonic_ns,
        ..Seen::default()
    }));
    let (session, into) = (session.clone(), seen.clone());
    let task = loop_runtime::create_task(async move {
        let why = look(&session, &into).await;
        into.borrow_mut().broken = Some(why);
    });
    (seen, task)
}

async fn look(session: &Session, seen: &RefCell<Seen>) -> String {
    let query = |slot: u32, target: pb::Target| pb::Query {
        slot,
        serial: u64::from(slot),
        target: target as i32,
        limit: 10_000,
        interval_ms: EVERY_MS,
        ..pb::Query::default()
    };
    let first = [
        query(FINDINGS, pb::Target::Findings),
        query(BLOCKS, pb::Target::Blocks),
        query(OVERVIEW, pb::Target::Overview),
        query(COST, pb::Target::Cost),
    ];
    // The sender is kept: its end would end the stream.
    let (_asks, mut views) = match session.watch_with(first).await {
        Ok(both) => both,
        Err(status) => return refused(&status),
    };
    let mut decoder = Decoder::new();
    loop {
        let view = match views.message().await {
            Ok(Some(view)) => view,
            Ok(None) => return "the app closed the stream".to_owned(),
            Err(status) => return refused(&status),
        };
        let (slot, overview) = (view.slot, view.overview.clone());
        let table = match slot {
            FINDINGS => Table::Findings,
            BLOCKS => Table::Blocks,
            OVERVIEW => Table::Overview,
            _ => Table::Cost,
        };
        let Some(view) = decoder.view(view, table) else {
            continue;
        };
        let mut seen = seen.borrow_mut();
        seen.at_ns = seen.at_ns.max(view.at_ns);
        seen.answered |= 1u32.checked_shl(slot).unwrap_or(0);
        match view.body {
            Body::Findings(rows) => {
                // What is no longer listed was cleared; it stays as it was last seen.
                let now: Vec<u64> = rows.rows.iter().map(|f| f.id).collect();
                for (id, finding) in &mut seen.findings {
                    finding.cleared |= !now.contains(id);
                }
                seen.findings
                    .extend(rows.rows.into_iter().map(|f| (f.id, f)));
            }
            Body::Blocks(rows) => seen.blocks.extend(rows.rows.into_iter().map(|b| (b.id, b))),
            Body::Overview(_) => seen.overview = overview,
            Body::Cost(cost) => seen.lost = cost.lost(),
            _ => {}
        }
    }
}

/// Looks for `time`, or until Ctrl-C. Second: Ctrl-C ended it.
///
/// Errors: the app said nothing at all.
pub async fn for_a_while(
    session: &Session,
    time: Duration,
    mut interrupts: Interrupts,
) -> Result<(Evidence, bool), Failure> {
    let (seen, mut task) = begin(session);
    let first = async {
        loop_runtime::select! {
            _ = interrupts.next() => true,
            // The app is gone: nothing more will be seen of it.
            _ = &mut task => false,
        }
    };
    let interrupted = matches!(loop_runtime::timeout(time, first).await, Ok(true));
    // The first answers may take longer than a very short --for.
    let mut left = 100;
    while !interrupted && left > 0 && !seen.borrow().complete() && seen.borrow().broken.is_none() {
        loop_runtime::sleep(Duration::from_millis(50)).await;
        left -= 1;
    }
    task.cancel();
    let seen = seen.borrow();
    match &seen.broken {
        Some(why) if seen.answered == 0 => Err(Failure::new(
            Exit::NoApp,
            format!("The app did not answer: {why}."),
            "Is it still running? `loop-console ps`",
        )),
        _ => Ok((seen.evidence(), interrupted)),
    }
}
