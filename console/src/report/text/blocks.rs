//! The blocks of the last hour: of each place the worst with its stack, the others counted.

use super::page::Page;
use crate::print::safe;
use crate::report::WIDTH;
use crate::store::{BlockRow, Frame, Hour};
use crate::view::fmt;

/// Blocks with their stacks, and frames of each: a page has an end, JSON has none.
const BLOCKS: usize = 12;
const FRAMES: usize = 10;

impl Page<'_> {
    pub(super) fn blocks(&mut self, hour: &Hour) {
        let note = format!("{} in the last hour", fmt::count(hour.blocks_total));
        self.head("Blocks", &note);
        if hour.blocks.is_empty() {
            self.line("No poll passed its budget.");
            return;
        }
        let mut worst: Vec<&BlockRow> = hour.blocks.iter().collect();
        worst.sort_by_key(|block| std::cmp::Reverse((block.running, block.for_ns)));
        // Of one place the worst is told with its stack, the others are counted.
        let mut places: Vec<Vec<&BlockRow>> = Vec::new();
        for block in worst {
            let alike = |group: &&mut Vec<&BlockRow>| {
                let first = group[0];
                !first.place.is_empty()
                    && (first.loop_id, &first.place, &first.cause, first.running)
                        == (block.loop_id, &block.place, &block.cause, block.running)
            };
            match places.iter_mut().find(alike) {
                Some(group) => group.push(block),
                None => places.push(vec![block]),
            }
        }
        for group in places.iter().take(BLOCKS) {
            self.one_block(group[0]);
            self.others(&group[1..]);
        }
        self.rest(places.len(), BLOCKS);
    }

    /// The other blocks of a place, in a line.
    pub(super) fn others(&mut self, others: &[&BlockRow]) {
        let ends = |of: fn(&BlockRow) -> u64| {
            let all = || others.iter().map(|block| of(block));
            all().min().zip(all().max())
        };
        let (Some(held), Some(at)) = (ends(|block| block.for_ns), ends(|block| block.at_ns)) else {
            return;
        };
        self.wrapped(
            4,
            &format!(
                "and {} more there, {} to {}, between {} and {}",
                fmt::count(others.len() as u64),
                fmt::span(held.0),
                fmt::span(held.1),
                self.look.time(at.0),
                self.look.time(at.1)
            ),
        );
    }

    pub(super) fn one_block(&mut self, block: &BlockRow) {
        let held = if block.running {
            "holds it for"
        } else {
            "held it"
        };
        let most = match (block.wall_only, block.at_most_ns) {
            (true, _) => " by the clock on the wall".to_owned(),
            (_, Some(most)) => format!(" to {}", fmt::span(most)),
            _ => String::new(),
        };
        self.hanging(
            "",
            2,
            &format!(
                "{} loop {}: {} {held} {}{most}, budget {}",
                self.look.time(block.at_ns),
                block.loop_id,
                doer(block),
                fmt::span(block.for_ns),
                fmt::span(block.budget_ns)
            ),
        );
        let from = match block.place_from.as_str() {
            "" => String::new(),
            from => format!(" (from its {from})"),
        };
        if !block.place.is_empty() {
            self.wrapped(4, &format!("at {}{from}", fmt::place(&block.place)));
        }
        let cause = match block.cause.as_str() {
            "" => "cause unknown".to_owned(),
            cause => format!("cause {cause}"),
        };
        let reason = match block.cause_reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        self.wrapped(4, &format!("{cause}{reason}"));
        if !block.advice.is_empty() && !block.is_allowed() {
            self.wrapped(4, block.advice);
        }
        if !block.stack_note.is_empty() {
            self.wrapped(4, &block.stack_note);
        }
        if block.samples.len() > 1 {
            self.wrapped(4, &format!("stacks: {}", block.agreement()));
        }
        for frame in shown(&block.stack) {
            match frame {
                Ok((number, frame)) => self.frame(number, frame),
                Err(left_out) => self.line(&format!("         … {left_out} more frames")),
            }
        }
        if block.stack.is_empty() && !block.no_stack.is_empty() {
            self.wrapped(4, &format!("no stack: {}", block.no_stack));
        }
    }

    pub(super) fn frame(&mut self, number: usize, frame: &Frame) {
        let function = if frame.function.is_empty() {
            format!("{}+{:#x}", frame.module, frame.offset)
        } else {
            frame.function.clone()
        };
        let mark = if frame.culprit { " ◄" } else { "" };
        let place = fmt::place(&frame.place).into_owned();
        let text = safe(&function, self.ascii).into_owned();
        let place = safe(&place, self.ascii).into_owned();
        let room = WIDTH - 11 - fmt::width(mark);
        let for_place = fmt::width(&place).min(room / 2);
        let function = fmt::cut_middle(&text, room.saturating_sub(for_place + 1)).into_owned();
        let place = fmt::cut_middle(&place, for_place).into_owned();
        self.line(&format!("    {number:>4}  {function} {place}{mark}"));
    }
}

/// Who blocked: a task, or the loop's own work.
pub(super) fn doer(block: &BlockRow) -> String {
    match block.task {
        Some(id) => format!("task {id} {}", block.name).trim_end().to_owned(),
        None => format!("its own work ({})", block.doing),
    }
}

/// The frames that a page has room for: the innermost, the blamed one, and how many are left out between them.
fn shown(stack: &[Frame]) -> Vec<Result<(usize, &Frame), usize>> {
    let mut out: Vec<_> = stack.iter().enumerate().take(FRAMES).map(Ok).collect();
    let blamed = stack.iter().position(|frame| frame.culprit);
    let mut next = FRAMES;
    if let Some(at) = blamed.filter(|at| *at >= FRAMES) {
        if at > FRAMES {
            out.push(Err(at - FRAMES));
        }
        out.push(Ok((at, &stack[at])));
        next = at + 1;
    }
    if stack.len() > next {
        out.push(Err(stack.len() - next));
    }
    out
}
