//! What the recorder has to say: the last events, its files on disk, what looking costs, and what is not known.

use super::page::Page;
use crate::print::events;
use crate::store::DumpFile;
use crate::view::fmt;

impl Page<'_> {
    pub(super) fn events(&mut self) {
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

    pub(super) fn dumps(&mut self, dumps: &[DumpFile]) {
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

    pub(super) fn cost(&mut self) {
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

    pub(super) fn unknown(&mut self) {
        self.head("What is not known, and why", "");
        for line in self.facts.unknown() {
            self.hanging("- ", 2, &line);
        }
    }
}
