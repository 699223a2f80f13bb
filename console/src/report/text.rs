//! A report as text: 80 columns, no colours, every text of the app escaped. Knows not how anything was asked.

use std::collections::HashSet;

use super::WIDTH;
use super::facts::Facts;
use crate::print::{events, plain, safe};
use crate::store::{
    BlockRow, DumpFile, Finding, Frame, Histogram, Hour, LoopRow, PastFinding, SeriesRow, Strip,
};
use crate::view::columns::{self, Look};
use crate::view::glyph::ascii_of;
use crate::view::{explain, fmt, strip};

/// Findings with their evidence, blocks with their stacks, and frames of each: a page has an end, JSON has none.
const FINDINGS: usize = 40;
const BLOCKS: usize = 12;
const FRAMES: usize = 10;
/// Loops whose last hour is drawn.
const LOOPS: usize = 16;

/// Lines of at most 80 columns.
struct Page<'a> {
    text: String,
    facts: &'a Facts,
    look: Look,
    ascii: bool,
}

/// One page about everything.
pub fn report(facts: &Facts, utc_offset_s: i32, ascii: bool) -> String {
    let mut page = Page::new(facts, utc_offset_s, ascii);
    page.who();
    page.totals();
    page.loops();
    page.findings();
    if let Some(hour) = &facts.hour {
        page.hour(hour);
    }
    page.events();
    page.cost();
    page.unknown();
    page.text
}

/// The last hour alone.
pub fn history(facts: &Facts, utc_offset_s: i32, ascii: bool) -> String {
    let mut page = Page::new(facts, utc_offset_s, ascii);
    let hello = &facts.hello;
    page.wrapped(0, &format!("{} (pid {})", hello.name, hello.pid));
    if let Some(hour) = &facts.hour {
        page.holding(hour);
        page.hour(hour);
    }
    page.text
}

impl<'a> Page<'a> {
    fn new(facts: &'a Facts, utc_offset_s: i32, ascii: bool) -> Self {
        Page {
            text: String::new(),
            facts,
            look: plain::look(&facts.hello, facts.at_ns, utc_offset_s),
            ascii,
        }
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if self.ascii {
            // Texts of the app are ASCII by now; what is left are glyphs of ours.
            let stand_in = |glyph: char| match glyph {
                _ if glyph.is_ascii() => glyph,
                _ => ascii_of(glyph.encode_utf8(&mut [0; 4]))
                    .chars()
                    .next()
                    .unwrap_or('?'),
            };
            self.text.extend(line.chars().map(stand_in));
        } else {
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    fn head(&mut self, title: &str, note: &str) {
        self.line("");
        let rest = WIDTH.saturating_sub(fmt::width(title) + fmt::width(note) + 2);
        let rule = "─";
        let line = if note.is_empty() {
            format!("{title} {}", rule.repeat(rest + 1))
        } else {
            format!("{title} {} {note}", rule.repeat(rest))
        };
        self.line(&line);
    }

    /// A text of any length in lines that all begin at column `indent`.
    fn wrapped(&mut self, indent: usize, text: &str) {
        self.hanging("", indent, text);
    }

    /// The same, with a mark in the first line before that column.
    fn hanging(&mut self, mark: &str, indent: usize, text: &str) {
        let room = WIDTH.saturating_sub(indent).max(20);
        let mut first = true;
        let text = safe(text, self.ascii).into_owned();
        for line in wrap(&text, room) {
            let mark = if std::mem::take(&mut first) { mark } else { "" };
            let pad = " ".repeat(indent.saturating_sub(fmt::width(mark)));
            self.line(&format!("{mark}{pad}{line}"));
        }
    }

    fn item(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.hanging(name, 12, text);
        }
    }

    fn ago(&self, ns: u64) -> String {
        format!("{} ago", fmt::span(self.look.ago(ns)))
    }

    fn who(&mut self) {
        let facts = self.facts;
        let hello = &facts.hello;
        let at = jiff::Timestamp::from_nanosecond(
            self.look.wall_zero_ns + i128::from(facts.at_ns) / 1_000_000_000 * 1_000_000_000,
        );
        let at = at.map_or_else(|_| "at an unknown time".to_owned(), |at| second(&at));
        let title = format!("{} (pid {}), {at}", hello.name, hello.pid);
        self.wrapped(0, &title);
        if let Some(recording) = &facts.recording {
            self.item("Read from", recording);
        }
        let version = match hello.version.as_str() {
            "" => String::new(),
            version => format!(" {version}"),
        };
        let build = if hello.debug_build {
            ", debug build"
        } else {
            ""
        };
        let up = fmt::uptime(facts.up().as_secs());
        self.item("App", &format!("{}{version}, up {up}{build}", hello.name));
        self.item("Executable", &facts.executable);
        self.item(
            "Versions",
            &format!(
                "runtime {}, protocol {}, console {}",
                hello.runtime_version,
                hello.protocol,
                env!("CARGO_PKG_VERSION")
            ),
        );
        let host = facts.hour.as_ref().and_then(|hour| hour.host.as_ref());
        let kernel = host.map_or("", |host| host.kernel.as_str());
        let parts = [hello.hostname.as_str(), kernel, hello.platform.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        self.item("Host", &parts.join(", "));
        let mut cpus = Vec::new();
        if let Some(host) = host.filter(|host| host.cpus_online > 0) {
            cpus.push(format!("{} online", host.cpus_online));
        }
        if facts.cpus > 0 {
            cpus.push(format!("{} for this process", facts.cpus));
        }
        match host {
            Some(host) if host.cgroup_unknown.is_empty() => {
                cpus.push(host.cgroup_cpus.map_or("no cgroup quota".to_owned(), |of| {
                    format!("cgroup quota {of:.2}")
                }))
            }
            _ => cpus.push("cgroup quota not known".to_owned()),
        }
        self.item("CPUs", &cpus.join(", "));
        if let Some(host) = host.filter(|host| host.memory > 0) {
            let most = host.cgroup_memory.filter(|most| *most < host.memory);
            let most = most.map_or(String::new(), |most| {
                format!(", the cgroup may have {}", fmt::bytes(most))
            });
            self.item("Memory", &format!("{}{most}", fmt::bytes(host.memory)));
        }
        self.item("Clock", &format!("durations by {}", hello.tick_source));
    }

    fn totals(&mut self) {
        let Some(o) = &self.facts.overview else {
            return;
        };
        self.head("Totals", "since the start");
        let n = fmt::count;
        self.item(
            "Tasks",
            &format!(
                "{} live ({} run, {} ready, {} wait), {} spawned, {} ended",
                n(o.tasks),
                n(o.run),
                n(o.ready),
                n(o.wait),
                n(o.spawned),
                n(o.finished)
            ),
        );
        self.item(
            "Timers",
            &format!(
                "{} armed, {} fired, {} cancelled",
                n(o.timers),
                n(o.timers_fired),
                n(o.timers_cancelled)
            ),
        );
        let fds = match (o.fds_open, o.fds_limit) {
            (Some(open), Some(most)) => {
                format!("; {} of {} descriptors open", n(open), n(most))
            }
            _ => String::new(),
        };
        self.item(
            "I/O",
            &format!(
                "{} sources, {} ready, {} events{fds}",
                n(o.sources),
                n(o.sources_ready),
                n(o.io_events)
            ),
        );
        self.item(
            "Others",
            &format!(
                "{} jobs run, {} queued; {} children; {} resources",
                n(o.jobs_run),
                n(o.jobs_queued),
                n(o.children),
                n(o.resources)
            ),
        );
        for (name, of) in [
            ("Polls", &o.poll),
            ("Lag", &o.lag),
            ("Timer late", &o.timer_late),
        ] {
            self.item(name, &durations(of));
        }
        self.item(
            "Findings",
            &format!(
                "{} certain, {} left behind, {} suspect, {} warning hold now; {} over budget",
                n(o.certain),
                n(o.left_behind),
                n(o.suspect),
                n(o.warning),
                fmt::many(o.blocks, "block")
            ),
        );
    }

    fn loops(&mut self) {
        let facts = self.facts;
        self.head("Loops", "");
        if facts.loops.is_empty() {
            self.line("No loop is running.");
            return;
        }
        self.line(
            " # NAME       STATE     TASKS READY   BUSY LAG p99     max BLOCKS  WORST BUDGET",
        );
        for row in &facts.loops {
            self.one_loop(row);
        }
    }

    fn one_loop(&mut self, row: &LoopRow) {
        let span = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), fmt::span);
        let name = safe(&row.name, self.ascii).into_owned();
        let worst = (row.blocks > 0).then_some(row.worst_block_ns);
        self.line(&format!(
            "{:>2} {:<10} {:<8} {:>6} {:>5} {:>6} {:>7} {:>7} {:>6} {:>6} {:>6}",
            row.id,
            fmt::cut_end(&name, 10),
            fmt::cut_end(&row.state, 8),
            short(row.tasks),
            short(row.ready),
            row.busy.map_or_else(|| "-".to_owned(), fmt::percent),
            span(row.lag_p99_ns),
            span(row.lag_max_ns),
            short(row.blocks),
            span(worst),
            fmt::span(row.budget_ns),
        ));
        if let Some(block) = &row.blocked {
            let place = fmt::place(&block.place).into_owned();
            self.wrapped(
                4,
                &format!(
                    "BLOCKED now for {} by {} {place}",
                    fmt::span(block.for_ns),
                    doer(block)
                ),
            );
        }
    }

    fn findings(&mut self) {
        let facts = self.facts;
        self.head("Findings", "what holds now, worst first");
        if facts.findings.is_empty() {
            self.line("Nothing is wrong now.");
        }
        let mut explained = HashSet::new();
        for finding in facts.findings.iter().take(FINDINGS) {
            let since = format!("since {}", self.look.time(finding.since_ns));
            // What a name means and what to try is said once.
            self.one_finding(finding, &since, explained.insert(&finding.name));
        }
        self.rest(facts.findings.len(), FINDINGS);
    }

    fn rest(&mut self, all: usize, shown: usize) {
        let more = all.saturating_sub(shown) as u64;
        if more > 0 {
            self.line(&format!("{} more: --json has all.", fmt::count(more)));
        }
    }

    fn one_finding(&mut self, finding: &Finding, when: &str, explained: bool) {
        let times = match finding.count {
            0 | 1 => String::new(),
            count => format!(", {} times", fmt::count(count)),
        };
        let about = columns::subject(finding);
        let place = fmt::place(&finding.place);
        let at = if place.is_empty() {
            String::new()
        } else {
            format!(" at {place}")
        };
        let mark = if finding.is_problem() { "▲ " } else { "" };
        self.hanging(
            mark,
            2,
            &format!(
                "{} ({}): {}, {when}{times}",
                finding.name,
                finding.grade.word(),
                format!("{about}{at}").trim_start()
            ),
        );
        for fact in &finding.evidence {
            self.hanging("    - ", 6, fact);
        }
        if let Some(text) = explain::of(&finding.name).filter(|_| explained) {
            self.hanging("    Means  ", 11, text.condition);
            self.hanging("    Try    ", 11, text.fix);
        }
    }

    /// What holds now, of the memory of the hour.
    fn holding(&mut self, hour: &Hour) {
        self.head("Holds now", "");
        let holds: Vec<&PastFinding> = hour
            .findings
            .iter()
            .filter(|past| past.cleared_ns.is_none())
            .collect();
        if holds.is_empty() {
            self.line("Nothing is wrong now.");
        }
        for past in holds.iter().take(FINDINGS) {
            let when = self.when(past);
            self.one_finding(&past.finding, &when, false);
            self.dumped(past);
        }
        self.rest(holds.len(), FINDINGS);
    }

    fn dumped(&mut self, past: &PastFinding) {
        if !past.dump.is_empty() {
            self.hanging("    File   ", 11, &past.dump);
        }
    }

    fn when(&self, past: &PastFinding) -> String {
        let made = match past.times {
            1 => String::new(),
            times => format!(
                ", made {} times since {}",
                fmt::count(times),
                self.look.time(past.first_ns)
            ),
        };
        match past.cleared_ns {
            Some(cleared) => format!(
                "over {}, held {}{made}",
                self.ago(cleared),
                fmt::span(cleared.saturating_sub(past.made_ns))
            ),
            None => format!("since {}{made}", self.look.time(past.made_ns)),
        }
    }

    fn hour(&mut self, hour: &Hour) {
        let from = format!(
            "{} to {}",
            self.look.time(hour.from_ns),
            self.look.time(self.facts.at_ns)
        );
        self.head("Was wrong and is over", &from);
        let over: Vec<&PastFinding> = hour.over().collect();
        if over.is_empty() {
            self.line("Nothing that was noticed.");
        }
        for past in over.iter().take(FINDINGS) {
            let when = self.when(past);
            self.one_finding(&past.finding, &when, false);
            self.dumped(past);
        }
        self.rest(over.len(), FINDINGS);
        self.blocks(hour);
        self.strips(hour);
        self.dumps(&hour.dumps);
    }

    fn blocks(&mut self, hour: &Hour) {
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
    fn others(&mut self, others: &[&BlockRow]) {
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

    fn one_block(&mut self, block: &BlockRow) {
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

    fn frame(&mut self, number: usize, frame: &Frame) {
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

    fn strips(&mut self, hour: &Hour) {
        let coarsest = |id: u64| {
            let of = hour.series.iter().filter(|row| row.loop_id == id);
            of.filter(|row| !row.lag_max.values.is_empty())
                .max_by_key(|row| row.lag_max.slot_ns * row.lag_max.values.len() as u64)
        };
        self.head("The last hour of each loop", "the newest at the right");
        let mut any = false;
        for row in self.facts.loops.iter().take(LOOPS) {
            let Some(series) = coarsest(row.id) else {
                continue;
            };
            any = true;
            self.strip_lines(row, series);
        }
        if !any {
            self.line("Not yet: the first second has not passed, or no loop is running.");
        }
    }

    fn strip_lines(&mut self, row: &LoopRow, series: &SeriesRow) {
        let slots = series.lag_max.values.len() as u64;
        let name = safe(&row.name, self.ascii).into_owned();
        self.line(&format!(
            "loop {} {}: {}, {} a cell",
            row.id,
            fmt::cut_end(&name, 24),
            fmt::window(series.lag_max.slot_ns.saturating_mul(slots)),
            fmt::window(series.lag_max.slot_ns)
        ));
        let most = |of: &Strip| of.values.iter().copied().max().unwrap_or(0);
        let lines = [
            (
                "lag",
                strip::lag(&series.lag_max, 60),
                format!("to {}", fmt::span(most(&series.lag_max))),
            ),
            (
                "block",
                strip::lag(&series.block_max, 60),
                format!("to {}", fmt::span(most(&series.block_max))),
            ),
            (
                "busy",
                strip::busy(&series.busy, 60),
                format!(
                    "to {}",
                    fmt::percent(most(&series.busy) as f64 / series.busy.slot_ns.max(1) as f64)
                ),
            ),
            (
                "tasks",
                strip::counts(&series.tasks.values, 60),
                format!("to {}", fmt::count(most(&series.tasks))),
            ),
        ];
        for (what, drawn, top) in lines {
            self.line(&format!("  {what:<5} {drawn} {top}"));
        }
    }

    fn events(&mut self) {
        let facts = self.facts;
        if facts.events.is_empty() {
            return;
        }
        self.head("What happened last", "the newest at the end");
        for event in &facts.events {
            let text = events::text(event, &self.look, self.ascii);
            self.hanging("", 2, text.trim_end());
        }
    }

    fn dumps(&mut self, dumps: &[DumpFile]) {
        if dumps.is_empty() {
            return;
        }
        self.head("Recordings on disk", "loop-console report FILE");
        for file in dumps {
            let detail = match file.detail.as_str() {
                "" => String::new(),
                detail => format!(", {detail}"),
            };
            self.hanging(
                "",
                2,
                &format!(
                    "{} {}{detail}, {}",
                    self.look.time(file.at_ns),
                    file.cause,
                    fmt::bytes(file.bytes)
                ),
            );
            self.wrapped(4, &file.path);
        }
    }

    fn cost(&mut self) {
        let Some(cost) = &self.facts.cost else { return };
        let cost = cost.clone();
        self.head("What looking costs", "");
        let up = self.facts.up().as_nanos().max(1) as f64;
        let share = |ns: u64| fmt::percent(ns as f64 / up);
        self.item(
            "CPU",
            &format!(
                "inspector {} ({}), watchdog {} ({}) since the start",
                fmt::span(cost.inspector_cpu_ns),
                share(cost.inspector_cpu_ns),
                fmt::span(cost.watchdog_cpu_ns),
                share(cost.watchdog_cpu_ns)
            ),
        );
        let hour = match cost.hour_limit_bytes {
            0 => String::new(),
            most => format!(
                "; the last hour {} of at most {}",
                fmt::bytes(cost.hour_bytes),
                fmt::bytes(most)
            ),
        };
        self.item(
            "Memory",
            &format!(
                "{} fixed, {} by live tasks{hour}",
                fmt::bytes(cost.recorder_bytes.saturating_sub(cost.live_bytes)),
                fmt::bytes(cost.live_bytes)
            ),
        );
        self.item(
            "Lost",
            &if cost.lost() == 0 {
                "no event".to_owned()
            } else {
                fmt::many(cost.lost(), "event")
            },
        );
        self.item(
            "Viewers",
            &format!(
                "{} now, {} sent to all since the start",
                fmt::count(cost.viewers),
                fmt::bytes(cost.bytes_sent)
            ),
        );
        if let Some(dumps) = cost.dumps.filter(|dumps| !dumps.directory.is_empty()) {
            self.item(
                "Dumps",
                &format!(
                    "{} written, {} held back, {} removed, {} failed; {} of {} in {}",
                    fmt::count(dumps.written),
                    fmt::count(dumps.suppressed),
                    fmt::count(dumps.removed),
                    fmt::count(dumps.failed),
                    fmt::bytes(dumps.bytes),
                    fmt::bytes(dumps.limit_bytes),
                    dumps.directory
                ),
            );
        }
    }

    fn unknown(&mut self) {
        self.head("What is not known, and why", "");
        for line in self.facts.unknown() {
            self.hanging("- ", 2, &line);
        }
    }
}

/// Who blocked: a task, or the loop's own work.
fn doer(block: &BlockRow) -> String {
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

fn durations(h: &Histogram) -> String {
    if h.count == 0 {
        return String::new();
    }
    format!(
        "{}: p50 {}, p90 {}, p99 {}, max {}",
        fmt::count(h.count),
        fmt::span(h.p50_ns),
        fmt::span(h.p90_ns),
        fmt::span(h.p99_ns),
        fmt::span(h.max_ns)
    )
}

/// A count in at most five columns: `9,999`, `48k`, `3M`.
fn short(n: u64) -> String {
    match n {
        0..10_000 => fmt::count(n),
        10_000..1_000_000 => format!("{}k", n / 1_000),
        1_000_000..1_000_000_000 => format!("{}M", n / 1_000_000),
        _ => format!("{}G", n / 1_000_000_000),
    }
}

/// `2026-11-25 14:02:25 UTC`.
fn second(at: &jiff::Timestamp) -> String {
    format!("{} UTC", at.strftime("%Y-%m-%d %H:%M:%S"))
}

/// Words in lines of at most `room` columns; a word that is longer by itself is broken.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let wide = fmt::width(word);
        if used > 0 && used + 1 + wide > room {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            lines.last_mut().expect("there is one").push(' ');
            used += 1;
        }
        for letter in word.chars() {
            let wide = fmt::width(letter.encode_utf8(&mut [0; 4]));
            if used + wide > room {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().expect("there is one").push(letter);
            used += wide;
        }
    }
    lines
}
