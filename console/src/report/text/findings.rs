//! What is wrong now and what was within the last hour, each with its evidence; what a name means is said once.

use std::collections::HashSet;

use super::page::Page;
use crate::store::{Finding, Hour, PastFinding};
use crate::view::{columns, explain, fmt};

/// Findings with their evidence: a page has an end, JSON has none.
const FINDINGS: usize = 40;

impl Page<'_> {
    pub(super) fn findings(&mut self) {
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

    pub(super) fn one_finding(&mut self, finding: &Finding, when: &str, explained: bool) {
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
    pub(super) fn holding(&mut self, hour: &Hour) {
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

    pub(super) fn dumped(&mut self, past: &PastFinding) {
        if !past.dump.is_empty() {
            self.hanging("    File   ", 11, &past.dump);
        }
    }

    pub(super) fn when(&self, past: &PastFinding) -> String {
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

    pub(super) fn hour(&mut self, hour: &Hour) {
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
}
