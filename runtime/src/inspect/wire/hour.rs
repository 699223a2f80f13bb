//! The last hour as a message: what was wrong, what blocked, and the strips. Knows not how any of
//! it is kept.

use std::sync::Arc;

use loop_proto::pb;

use super::{Extras, Wire};
use crate::inspect::blocks::Block;
use crate::inspect::desk::Desk;
use crate::inspect::history::HOUR;
use crate::inspect::history::blocks::held;
use crate::inspect::history::findings::Past;
use crate::inspect::tables::Look;
use crate::inspect::waits::Found;

impl Desk {
    /// The answer of TARGET_HOUR, with the `most` worst blocks; 0: with all that are kept.
    pub(crate) fn hour(&mut self, look: &Look, extras: Extras, most: usize) -> pb::View {
        let now = look.now.mono;
        let found = Found::default();
        let history = std::mem::take(&mut self.history);
        let kept: Vec<Past> = history.findings.rows().into_iter().cloned().collect();
        let fresh: Vec<Past> = kept
            .into_iter()
            .map(|past| self.as_it_holds(past))
            .collect();
        let (blocks, ended) = match &self.blocks {
            Some(blocks) => blocks.hour(now),
            None => (Vec::new(), 0),
        };
        let from_ns = history.since_ns.max(now.saturating_sub(HOUR));
        let from_ns = if history.since_ns == 0 { now } else { from_ns };
        let within = |block: &&Arc<Block>| {
            let ended = block.ended.map_or(now, |tick| look.now.mono_of(tick));
            look.of_loop(block.loop_id).is_some() && ended >= from_ns.min(now.saturating_sub(HOUR))
        };
        let mut listed: Vec<&Arc<Block>> = blocks.iter().rev().filter(within).collect();
        if most > 0 {
            listed.sort_by_key(|block| std::cmp::Reverse(held(block)));
            listed.truncate(most);
            listed.sort_by_key(|block| std::cmp::Reverse((block.ended, block.id)));
        }
        // What goes on first; the sort keeps the order of the others.
        listed.sort_by_key(|block| block.ended.is_some());
        let kept = listed.iter().filter(|block| block.ended.is_some()).count() as u64;
        let mut wire = self.wire(look, &found, None, extras);
        let past_findings: Vec<_> = fresh.iter().map(|past| wire.past(past)).collect();
        let rows: Vec<_> = listed.iter().map(|block| wire.block(block)).collect();
        let series = wire.series(&history);
        let hour = pb::Hour {
            from_ns,
            findings_dropped: history.findings.dropped(),
            blocks: ended.max(kept),
            blocks_dropped: ended.saturating_sub(kept),
            look_interval_ms: crate::inspect::history::UNASKED_MS,
            dumps: self.dumps.files(),
            host: Some(host()),
        };
        self.history = history;
        pb::View {
            total: past_findings.len() as u64,
            matched: past_findings.len() as u64,
            past_findings,
            blocks: rows,
            series,
            hour: Some(hour),
            ..pb::View::default()
        }
    }

    /// What still holds, with the evidence of now.
    fn as_it_holds(&self, mut past: Past) -> Past {
        if past.cleared_ns.is_none()
            && let Some(held) = self.judge.holds().find(|held| held.id == past.held.id)
        {
            past.held = held.clone();
        }
        past
    }
}

fn host() -> pb::Host {
    let host = crate::os::host::read();
    pb::Host {
        kernel: host.kernel,
        cpus_online: host.cpus,
        cgroup_cpus: host.limits.cpus,
        cgroup_memory: host.limits.memory,
        cgroup_unknown: host.unknown,
        memory: host.memory,
    }
}

impl Wire<'_> {
    fn past(&mut self, past: &Past) -> pb::PastFinding {
        pb::PastFinding {
            finding: Some(self.finding(&past.held)),
            first_at_ns: past.first_ns,
            made_at_ns: past.made_ns,
            cleared_at_ns: past.cleared_ns,
            times: past.times,
            dump: past.dump.as_deref().unwrap_or_default().to_owned(),
        }
    }
}
