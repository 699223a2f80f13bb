//! Blocks as messages.

use std::sync::Arc;

use loop_proto::finding as rules;
use loop_proto::pb;

use super::Wire;
use crate::clock;
use crate::inspect::blocks::Block;
use crate::inspect::cause::Kind as Cause;
use crate::inspect::live::task_kind;
use crate::inspect::stack::Stack;
use crate::inspect::stack::names::{Line, PlaceKind, Whose};
use crate::inspect::tables::Moment;
use crate::record::current::Doing;

impl Wire<'_> {
    /// Blocks of the loops that are looked at, the newest first, running ones included; only those
    /// of one task, if one is named.
    pub(crate) fn all_blocks(&mut self, of: Option<u64>) -> Vec<pb::BlockRow> {
        let Some(blocks) = self.blocks.clone() else {
            return Vec::new();
        };
        let mut all = blocks.all();
        let loops = self.look.loops.iter();
        all.extend(loops.filter_map(|at| blocks.now(at.record.id)));
        let wanted = |block: &Arc<Block>| {
            of.is_none_or(|task| block.task.is_some_and(|blamed| blamed.id == task))
        };
        all.iter()
            .rev()
            .filter(|block| wanted(block))
            .map(|block| self.block(block))
            .collect()
    }

    pub(crate) fn block(&mut self, block: &Block) -> pb::BlockRow {
        let now = self.look.now;
        let facts = facts(block, &now);
        let place_text = self.texts.own(&block.place.text);
        let task = block.task;
        let name = task.and_then(|task| {
            let (_, at) = self.look.of_loop(block.loop_id)?;
            Some(
                self.look
                    .task_name(at, task.name, task.number, task.kind, task.site),
            )
        });
        let shown = block.samples.shown();
        // What all have in common, with the lines at which the last of them saw it.
        let told = shown.iter().rfind(|one| one.common > 0).or(shown.last());
        let stack = told.map_or_else(Vec::new, |one| {
            let all = self.frames(one.stack, one.lines);
            let common = if one.common > 0 {
                one.common
            } else {
                all.len()
            };
            let inner = all.len().saturating_sub(common);
            all.into_iter().skip(inner).collect()
        });
        let samples = shown
            .iter()
            .map(|one| pb::StackSample {
                at_ns: now.mono_of(one.stack.at),
                frames: self.frames(one.stack, one.lines),
                common: one.common as u32,
            })
            .collect();
        let cause = &block.cause;
        // Where the kind says it all, the words would only say it again.
        let words = match cause.kind {
            Cause::Unknown | Cause::Cpu | Cause::Throttled => "",
            _ => cause.words.as_str(),
        };
        let words = [words, cause.because.as_str()];
        let reason: Vec<&str> = words.into_iter().filter(|text| !text.is_empty()).collect();
        let until = block.ended.unwrap_or(now.ticks);
        let waited = block.behind.map(|behind| behind.tasks);
        let running = block.ended.is_none();
        let quota = block
            .throttled
            .filter(|quota| quota.limit.is_some() || quota.ns > 0);
        let findings = rules::blocked(&facts).map(|verdict| verdict.name as i32);
        pb::BlockRow {
            id: block.id,
            loop_id: block.loop_id.get().into(),
            current: current(block.doing) as i32,
            task_id: task.map_or(0, |task| task.id),
            task_name: name.and_then(|name| self.name(name)),
            task_kind: task.map_or(0, |task| task_kind(task.kind) as i32),
            place_text,
            place_kind: place_kind(block.place.kind) as i32,
            function_text: self.texts.own(&block.place.function),
            started_at_ns: facts.started_at_ns,
            ended_at_ns: block.ended.map(|tick| now.mono_of(tick)),
            wall_ns: facts.wall_ns,
            lower_ns: facts.lower_ns,
            upper_ns: facts.upper_ns,
            budget_ns: block.budget_ns,
            cause: cause_kind(cause.kind) as i32,
            cause_reason: reason.join("; "),
            stack,
            stack_at_ns: told.map(|one| now.mono_of(one.stack.at)),
            stack_samples: shown.len() as u32,
            stack_missing: block.stack_missing.clone(),
            waited_behind: waited.filter(|_| !running),
            worst_wait_ns: block.behind.and_then(|behind| behind.worst(until)),
            vetoed: block.vetoed,
            waiting_for_cpu: block.waits_for_cpu(),
            spawn_place_text: self.texts.place(block.spawn_place),
            await_place_text: self.texts.place(task.and_then(|task| task.await_place)),
            cpu_ns: block.cpu_ns,
            run_delay_ns: block.delay_ns,
            findings: findings.into_iter().collect(),
            allowed_ns: facts.allowed_ns,
            allowed_reason: facts.allowed_reason.to_owned(),
            allowed_now: block.allowed.open,
            samples,
            call: cause.call.to_owned(),
            throttled_ns: quota.map(|quota| quota.ns.min(facts.wall_ns)),
            quota_cpus: quota.and_then(|quota| quota.limit),
            waiting_now: waited.filter(|_| running),
            stack_note: block.samples.note(),
        }
    }

    /// A stack in words where names were found, else in addresses that a console can look up.
    pub(crate) fn frames(&mut self, stack: &Stack, lines: Option<&[Line]>) -> Vec<pb::Frame> {
        let Some(lines) = lines else {
            let plain = stack.frames.iter().map(|frame| pb::Frame {
                module_text: self.texts.own(&frame.module),
                build_id_text: self.texts.own(&frame.build_id),
                offset: frame.offset,
                ..pb::Frame::default()
            });
            return plain.collect();
        };
        let mut frames = Vec::with_capacity(lines.len());
        for line in lines {
            let of = stack.frames.get(line.frame);
            frames.push(pb::Frame {
                module_text: of.map_or(0, |frame| self.texts.own(&frame.module)),
                build_id_text: of.map_or(0, |frame| self.texts.own(&frame.build_id)),
                offset: of.map_or(0, |frame| frame.offset),
                function_text: self.texts.own(&line.function),
                place_text: self.texts.own(&line.place),
                kind: match line.whose {
                    Whose::Unknown => pb::FrameKind::Unspecified,
                    Whose::App => pb::FrameKind::App,
                    Whose::Dependency => pb::FrameKind::Dependency,
                    Whose::Std => pb::FrameKind::Std,
                    Whose::Runtime => pb::FrameKind::Runtime,
                } as i32,
                inlined: line.inlined,
                culprit: line.culprit,
                awaited_by: line.awaited_by,
            });
        }
        frames
    }
}

/// What of `wall_ns` was allowed: a stretch that was open at the last look has gone on since, as far
/// as is known.
fn allowed_ns(block: &Block, wall_ns: u64) -> u64 {
    let since = match block.allowed.open {
        true => wall_ns.saturating_sub(block.wall_ns),
        false => 0,
    };
    clock::ticks_to_ns(block.allowed.ticks) + since
}

/// What the rule is told of a block.
pub(crate) fn facts(block: &Block, now: &Moment) -> rules::BlockFacts {
    let wall_ns = match block.ended {
        Some(_) => block.wall_ns,
        None => now.since(block.began).max(block.wall_ns),
    };
    rules::BlockFacts {
        started_at_ns: now.mono_of(block.began),
        wall_ns,
        lower_ns: block.bracket.map(|held| held.lower),
        upper_ns: block.bracket.map(|held| held.upper),
        budget_ns: block.budget_ns,
        vetoed: block.vetoed,
        waiting_for_cpu: block.waits_for_cpu(),
        allowed_ns: allowed_ns(block, wall_ns),
        allowed_reason: block
            .allowed
            .reason
            .and_then(|reason| reason.text())
            .unwrap_or_default(),
    }
}

fn current(doing: Doing) -> pb::CurrentKind {
    match doing {
        Doing::Polling => pb::CurrentKind::Poll,
        Doing::Dropping => pb::CurrentKind::Drop,
        Doing::Handling => pb::CurrentKind::Handler,
        Doing::Timers => pb::CurrentKind::Timers,
        Doing::Sources => pb::CurrentKind::Sources,
        _ => pb::CurrentKind::Unspecified,
    }
}

pub(crate) fn place_kind(kind: PlaceKind) -> pb::PlaceKind {
    match kind {
        PlaceKind::Unknown => pb::PlaceKind::Unspecified,
        PlaceKind::Culprit => pb::PlaceKind::Culprit,
        PlaceKind::Await => pb::PlaceKind::Await,
        PlaceKind::Spawn => pb::PlaceKind::Spawn,
    }
}

fn cause_kind(cause: Cause) -> pb::BlockCause {
    match cause {
        Cause::Unknown => pb::BlockCause::Unspecified,
        Cause::Cpu => pb::BlockCause::Cpu,
        Cause::Syscall => pb::BlockCause::Syscall,
        Cause::Lock => pb::BlockCause::Lock,
        Cause::PageIn => pb::BlockCause::PageIn,
        Cause::Host => pb::BlockCause::Host,
        Cause::Stopped => pb::BlockCause::Stopped,
        Cause::Throttled => pb::BlockCause::Throttled,
    }
}
