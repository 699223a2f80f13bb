//! The head of a report: the app, its host, its totals and its loops.

use super::blocks::doer;
use super::page::Page;
use crate::print::safe;
use crate::store::{Histogram, LoopRow};
use crate::view::fmt;

impl Page<'_> {
    pub(super) fn who(&mut self) {
        let facts = self.facts;
        let hello = &facts.hello;
        let at = jiff::Timestamp::from_nanosecond(self.look.wall_zero_ns + i128::from(facts.at_ns));
        let at = at.map_or_else(|_| "at an unknown time".to_owned(), |at| second(&at));
        let title = format!("{} (pid {}), {at}", hello.name, hello.pid);
        self.wrapped(0, &title);
        if let (Some(file), Some(about)) = (facts.recording(), &hello.recording) {
            self.item("Read from", &file);
            let offset = self.look.utc_offset_s;
            let ended = about
                .ended_ns
                .map(|at| format!(", at {}", about.time(at, offset, true)));
            let how = format!("{}{}", about.stands.long(), ended.unwrap_or_default());
            self.item("Process", &how);
            let said = [about.age(offset, true), about.since()];
            let said: Vec<&str> = said
                .iter()
                .map(String::as_str)
                .filter(|text| !text.is_empty())
                .collect();
            self.item("Of", &said.join("; "));
            let last = about
                .last_event_ns
                .map(|at| format!("last at {}, ", about.time(at, offset, true)));
            self.item(
                "Events",
                &format!("{}{}", last.unwrap_or_default(), about.losses()),
            );
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

    pub(super) fn totals(&mut self) {
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

    pub(super) fn loops(&mut self) {
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

    pub(super) fn one_loop(&mut self, row: &LoopRow) {
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
