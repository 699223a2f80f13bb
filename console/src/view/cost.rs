//! What being watched costs, and what was lost by it, as lines: of the screen and of the command `cost`.
//! Knows neither the screen's size nor the stream.

use super::theme::Role;
use super::{fmt, wanted};
use crate::model::Model;
use crate::recorded::About;
use crate::store::{Cost, Hello, Kept, Loss};

/// What the lines are made from.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub now: &'a Cost,
    /// The answer before it, and how long before, ns.
    pub before: Option<(u64, &'a Cost)>,
    pub up_ns: u64,
    /// Live tasks, where they are known.
    pub tasks: Option<u64>,
    pub hello: Option<&'a Hello>,
}

impl Shown<'_> {
    /// How much a count grew a second, between the two answers.
    fn rate(&self, count: fn(&Cost) -> u64) -> Option<f64> {
        let (span, before) = self.before.filter(|(span, _)| *span > 0)?;
        Some(count(self.now).saturating_sub(count(before)) as f64 * 1e9 / span as f64)
    }

    /// CPU time of a thread: of now, of all time, and in all.
    fn thread(&self, ns: fn(&Cost) -> u64) -> String {
        let all = ns(self.now);
        let ever = if self.up_ns > 0 {
            format!(
                ", {} since the start",
                percent(all as f64 / self.up_ns as f64)
            )
        } else {
            String::new()
        };
        match self.rate(ns) {
            // Nanoseconds a second are billionths of one core.
            Some(rate) => format!(
                "{} of one core now{ever}, {} in all",
                percent(rate / 1e9),
                fmt::span(all)
            ),
            None => format!("{} in all{ever} of one core", fmt::span(all)),
        }
    }
}

/// Small shares are the usual ones here: two digits below one percent.
fn percent(share: f64) -> String {
    if share < 0.01 {
        format!("{:.2}%", share * 100.0)
    } else {
        fmt::percent(share)
    }
}

/// One line: its head, its text, and how it is marked.
pub type Line = (String, String, Role);

/// What is known of the recording that is looked at, and what is missing in it.
fn of_recording(about: &About, out: &mut Vec<Line>) {
    let line = |head: &str, text: String| (head.to_owned(), text, Role::Plain);
    out.push(line("recording", about.file.clone()));
    if !about.reason.is_empty() {
        out.push(line("written for", about.reason.clone()));
    }
    out.push(line("process", about.stands.long().to_owned()));
    out.push(line(
        "its rings",
        format!(
            "{} events recorded, {}",
            fmt::count(about.events),
            about.losses()
        ),
    ));
    for doubt in &about.doubts {
        out.push(("! missing".to_owned(), doubt.clone(), Role::Warning));
    }
}

/// All that is known of the cost.
pub fn lines(shown: &Shown<'_>) -> Vec<Line> {
    let mut out = Vec::new();
    let about = shown.hello.and_then(|hello| hello.recording.as_ref());
    if let Some(about) = about {
        of_recording(about, &mut out);
    }
    out.extend(of_cost(shown));
    out
}

fn of_cost(shown: &Shown<'_>) -> Vec<Line> {
    let c = shown.now;
    let line = |head: &str, text: String| (head.to_owned(), text, Role::Plain);
    let warns = |head: &str, count: u64, text: String| {
        let role = if count > 0 {
            Role::Warning
        } else {
            Role::Plain
        };
        let mark = if count > 0 { "! " } else { "" };
        (format!("{mark}{head}"), text, role)
    };
    let a_second = |rate: Option<f64>, of: fn(u64) -> String| {
        rate.map_or_else(String::new, |rate| format!(", {}/s now", of(rate as u64)))
    };
    let mut out = vec![
        line("inspector's thread", shown.thread(|c| c.inspector_cpu_ns)),
        line("watchdog's thread", shown.thread(|c| c.watchdog_cpu_ns)),
        line(
            "recorder",
            format!(
                "{}: {} grow with what lives, rings {}, histograms {}, texts and memory {}",
                fmt::bytes(c.recorder_bytes),
                fmt::bytes(c.live_bytes),
                fmt::bytes(c.ring_bytes),
                fmt::bytes(c.histogram_bytes),
                fmt::bytes(c.text_bytes)
            ),
        ),
        line("a live task", a_task(shown)),
        line(
            "event rings",
            if c.ring_capacity == 0 {
                "none yet: nobody has asked for events".to_owned()
            } else {
                let full = c.ring_fill as f64 / c.ring_capacity as f64;
                format!(
                    "{} of {} places filled ({})",
                    fmt::count(c.ring_fill),
                    fmt::count(c.ring_capacity),
                    fmt::percent(full)
                )
            },
        ),
        line(
            "events recorded",
            format!(
                "{}{}, for {}",
                fmt::count(c.events),
                a_second(shown.rate(|c| c.events), fmt::count),
                fmt::many(c.feeds, "stream")
            ),
        ),
    ];
    lost(&mut out, &c.losses, "the ring was full");
    lost(
        &mut out,
        &c.lost_to_viewers,
        "a viewer took them too slowly, others did not lose them",
    );
    if c.losses
        .iter()
        .chain(&c.lost_to_viewers)
        .all(|l| l.count == 0)
    {
        out.push(line("lost", "0 events".to_owned()));
    }
    out.push(line(
        "viewers",
        format!("{} of at most {}", c.viewers, c.viewers_limit),
    ));
    for (who, controls) in &c.attached {
        let may = if *controls { ", may command" } else { "" };
        out.push(line("", format!("{who}{may}")));
    }
    out.extend([
        line(
            "sent to viewers",
            format!(
                "{}{}",
                fmt::bytes(c.bytes_sent),
                a_second(shown.rate(|c| c.bytes_sent), fmt::bytes)
            ),
        ),
        warns(
            "names kept",
            c.interned_overflow,
            format!(
                "{} of at most {}, {} became (other)",
                fmt::count(c.interned),
                fmt::count(c.interned_limit),
                fmt::count(c.interned_overflow)
            ),
        ),
        line(
            "last walk",
            if c.last_walk_ns == 0 {
                "none yet".to_owned()
            } else {
                format!(
                    "{} of CPU for {}",
                    fmt::span(c.last_walk_ns),
                    fmt::many(c.last_walk_rows, "row")
                )
            },
        ),
        line(
            "stacks",
            format!(
                "{} taken, {} did not come",
                fmt::count(c.stacks_taken),
                fmt::count(c.stacks_missed)
            ),
        ),
        line(
            "watchdog overslept",
            format!(
                "{}: the host ran nobody here then",
                fmt::many(c.watchdog_oversleeps, "time")
            ),
        ),
        line(
            "ended rows",
            format!(
                "{} overwritten: not in the history",
                fmt::count(c.finished_overwritten)
            ),
        ),
        line(
            "last hour",
            match c.hour_limit_bytes {
                0 => "not kept by this app".to_owned(),
                most => format!(
                    "{} of at most {}, {} let go",
                    fmt::bytes(c.hour_bytes),
                    fmt::bytes(most),
                    fmt::many(c.hour_dropped, "finding")
                ),
            },
        ),
        line("dumps", dumps(c)),
    ]);
    // Asked for each time, the newest answer tells; before the first one, who the app is.
    let kept = c.kept.as_ref();
    if let Some(kept) = kept.or_else(|| shown.hello.and_then(|hello| hello.kept.as_ref())) {
        out.extend(of_kept(kept));
    }
    out.extend([
        warns(
            "rows without place",
            c.unrecorded,
            format!(
                "{} found their table full: in no list, judged by nothing",
                fmt::count(c.unrecorded)
            ),
        ),
        warns(
            "not remembered",
            c.unremembered,
            format!(
                "{} from walk to walk: not judged by what they did lately",
                fmt::many(c.unremembered, "task")
            ),
        ),
    ]);
    if let Some(hello) = shown.hello {
        out.push(line("clock of durations", hello.tick_source.clone()));
        if hello.debug_build {
            let text = "with debug assertions: not a release's numbers".to_owned();
            out.push(line("build", text));
        }
        for what in &hello.recorded {
            let on = if what.on { "recorded" } else { "not recorded" };
            if !what.detail.is_empty() {
                out.push(line(on, format!("{}: {}", what.what, what.detail)));
            }
        }
    }
    out
}

/// What would be left of the process if it were killed now, and what keeping that costs.
fn of_kept(kept: &Kept) -> Vec<Line> {
    let mut out = Vec::new();
    if let Some(why) = kept.trouble() {
        out.push(("! left if killed".to_owned(), why, Role::Warning));
    }
    if kept.path.is_empty() {
        return out;
    }
    let rows = match kept.rows_left_out {
        0 => String::new(),
        rows => format!(", {} rows without room", fmt::count(rows)),
    };
    let each = match kept.interval_ns {
        0 => "now and then".to_owned(),
        1_000_000_000 => "each second".to_owned(),
        ns => format!("every {} s", (ns + 500_000_000) / 1_000_000_000),
    };
    let text = format!(
        "{} of the last {} events and a snapshot of {} {each} ({} of CPU{rows}): {}",
        fmt::bytes(kept.bytes),
        fmt::count(kept.ring_capacity),
        fmt::bytes(kept.snapshot_bytes),
        fmt::span(kept.snapshot_ns),
        kept.path
    );
    out.push(("left if killed".to_owned(), text, Role::Plain));
    out
}

/// What the flight recorder wrote, or could not.
fn dumps(c: &Cost) -> String {
    match &c.dumps {
        None => "none was asked for".to_owned(),
        Some(d) if !d.trouble.is_empty() => format!(
            "{} written, {} failed: {}",
            fmt::count(d.written),
            fmt::count(d.failed),
            d.trouble
        ),
        Some(d) => format!(
            "{} written, {} held back, {} of {} in {}",
            fmt::count(d.written),
            fmt::count(d.suppressed),
            fmt::bytes(d.bytes),
            fmt::bytes(d.limit_bytes),
            d.directory
        ),
    }
}

fn lost(out: &mut Vec<Line>, losses: &[Loss], why: &str) {
    for loss in losses.iter().filter(|l| l.count > 0) {
        out.push((
            "! lost".to_owned(),
            format!("{} events: {} ({why})", fmt::count(loss.count), loss.kind),
            Role::Warning,
        ));
    }
}

/// What one live task takes.
fn a_task(shown: &Shown<'_>) -> String {
    let row = format!("a row of {}", fmt::bytes(shown.now.row_bytes));
    match shown.tasks {
        // Tables grow by chunks, so that of a few tasks each seems to take much.
        Some(tasks) if tasks >= 1_000 => format!(
            "{row}; {} with timers, sources and all that lives, over {}",
            fmt::bytes(shown.now.live_bytes / tasks),
            fmt::many(tasks, "task")
        ),
        _ => row,
    }
}

/// The lines of the screen.
pub(super) fn of_model(model: &Model) -> Vec<Line> {
    let store = model.shown();
    let Some(now) = &store.cost else {
        let text = "The app has not told yet.".to_owned();
        return vec![(String::new(), text, Role::Plain)];
    };
    let before = store
        .cost_before
        .as_ref()
        .map(|(at, before)| (store.cost_at_ns.saturating_sub(*at), before));
    let mut out = lines(&Shown {
        now,
        before,
        up_ns: u64::try_from(store.up().as_nanos()).unwrap_or(u64::MAX),
        tasks: store.overview.as_ref().map(|overview| overview.tasks),
        hello: store.hello.as_ref(),
    });
    let frame = model
        .ui
        .frame
        .map_or_else(|| "-".to_owned(), |d| fmt::span(d.as_nanos() as u64));
    out.push((
        "this console".to_owned(),
        format!(
            "{frame} for the last frame, an answer every {}",
            fmt::span(wanted::EVERY.as_nanos() as u64)
        ),
        Role::Plain,
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(shown: &Shown<'_>) -> String {
        let all = lines(shown).into_iter();
        all.map(|(head, text, _)| format!("{head}: {text}\n"))
            .collect()
    }

    #[test]
    fn how_old_the_tables_of_a_recording_may_be_is_told() {
        let told = |interval_ns| {
            let kept = Kept {
                path: "/run/7-42.rec".to_owned(),
                mapped: true,
                snapshot_bytes: 1 << 20,
                snapshot_ns: 212_000_000,
                interval_ns,
                ..Kept::default()
            };
            let (head, text, _) = of_kept(&kept).remove(0);
            format!("{head}: {text}")
        };
        let all = [1_000_000_000, 10_600_000_000, 0].map(told);
        for (said, each) in all
            .iter()
            .zip(["each second", "every 11 s", "now and then"])
        {
            let whole = format!("a snapshot of 1.0 MiB {each} (212ms of CPU): /run/7-42.rec");
            assert!(said.ends_with(&whole), "{said}");
        }
    }

    #[test]
    fn rates_are_between_two_answers_and_shares_are_of_one_core() {
        let before = Cost {
            inspector_cpu_ns: 1_000_000_000,
            bytes_sent: 1_000,
            events: 10,
            ..Cost::default()
        };
        let now = Cost {
            inspector_cpu_ns: 1_050_000_000,
            bytes_sent: 1_000 + 2 * 4_096,
            events: 400_010,
            ring_capacity: 100,
            ring_fill: 25,
            ..Cost::default()
        };
        let shown = Shown {
            now: &now,
            before: Some((2_000_000_000, &before)),
            up_ns: 105_000_000_000,
            tasks: None,
            hello: None,
        };
        let said = text(&shown);
        assert!(
            said.contains("2.5% of one core now, 1.0% since the start, 1s in all"),
            "{said}"
        );
        assert!(said.contains("400,010, 200,000/s now"), "{said}");
        assert!(said.contains("25 of 100 places filled (25.0%)"), "{said}");
        assert!(said.contains("lost: 0 events"), "{said}");
        let once = text(&Shown {
            before: None,
            ..shown
        });
        assert!(!once.contains("now"), "no rate from one answer: {once}");
    }

    #[test]
    fn what_was_lost_is_said_with_where_and_marked() {
        let loss = |kind: &str, count| Loss {
            kind: kind.to_owned(),
            count,
        };
        let now = Cost {
            losses: vec![loss("polled", 7), loss("woken", 0)],
            lost_to_viewers: vec![loss("polled", 5)],
            interned_overflow: 2,
            unrecorded: 1,
            ..Cost::default()
        };
        let shown = Shown {
            now: &now,
            before: None,
            up_ns: 0,
            tasks: None,
            hello: None,
        };
        let marked: Vec<Line> = lines(&shown)
            .into_iter()
            .filter(|(_, _, role)| *role == Role::Warning)
            .collect();
        let heads: Vec<&str> = marked.iter().map(|(head, ..)| head.as_str()).collect();
        assert_eq!(
            heads,
            ["! lost", "! lost", "! names kept", "! rows without place"]
        );
        assert!(
            marked[0].1.contains("7 events: polled (the ring"),
            "{marked:?}"
        );
        assert!(marked[1].1.contains("others did not lose"), "{marked:?}");
    }
}
