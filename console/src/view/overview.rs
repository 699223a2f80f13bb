//! The first screen: what is wrong in sentences, then each loop in a line, then totals and the newest events.

use ratatui::layout::Rect;

use super::paint::{Painter, after, below, left, top};
use super::theme::Role;
use super::{Hit, columns, fmt, glyph, histogram, look, strip};
use crate::model::{ListId, Model};
use crate::store::{Event, Finding, Kept, LoopRow, SeriesRow, Strip};

pub(super) fn draw(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let tall = area.height >= 22;
    let store = model.shown();
    let area = unkept(model, p, area);
    let totals = if tall { 5 } else { 2 };
    let events = if tall { 3 } else { 0 };
    let most = if tall { 8 } else { 5 };
    let rest = area.height.saturating_sub(totals + events + 2);
    let loops_wanted = store.loops.rows.len().max(1) as u16 + u16::from(tall);
    // What is over gets the lines that what holds now does not need.
    let over = store.over().count().min(if tall { 3 } else { 1 }) as u16;
    let found = (store.findings.len().max(1) as u16).clamp(1, most) + over;
    // Loops get what findings leave, and findings what loops do not need.
    let found = found.min(rest.saturating_sub(loops_wanted.min(rest / 2)).max(1));
    let loops = rest.saturating_sub(found).min(loops_wanted);
    findings(model, p, top(area, found + 1));
    let area = below(area, found + 1);
    loop_lines(model, p, top(area, loops + 1));
    let area = below(area, loops + 1);
    totals_panel(model, p, top(area, totals));
    // On a low screen they have what nobody else needs.
    if tall || area.height >= totals + 3 {
        newest(model, p, below(area, totals));
    }
}

/// A line about what would not be left of the app if it were killed; nothing where all would be. Returns what is left of the area.
fn unkept(model: &Model, p: &mut Painter<'_>, area: Rect) -> Rect {
    let store = model.shown();
    let hello = store.hello.as_ref();
    let kept = store.cost.as_ref().and_then(|cost| cost.kept.as_ref());
    let kept = kept.or_else(|| hello?.kept.as_ref());
    // Of what is read from a recording, one was left.
    let Some(why) = kept
        .and_then(Kept::trouble)
        .filter(|_| store.recording().is_none())
    else {
        return area;
    };
    let room = usize::from(area.width.saturating_sub(4));
    let text = p.clean(&why).into_owned();
    let x = 1 + p.text(area, 1, 0, glyph::WARNING, Role::Warning) + 1;
    p.text(area, x, 0, &fmt::cut_end(&text, room), Role::Warning);
    below(area, 1)
}

fn findings(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let page = &store.findings;
    let hidden = store.hidden.len();
    let note = match (page.len(), hidden) {
        (0, 0) if store.over().next().is_some() => {
            format!("over by now: {}", super::over::note(model, |_| true))
        }
        (0, 0) => String::new(),
        (_, 0) => "worst first; Enter opens, d explains, x hides".to_owned(),
        _ => format!("worst first; {hidden} hidden"),
    };
    p.rule(area, 0, "What needs attention", &note);
    let body = below(area, 1);
    let past = super::over::room(store.over().count(), page.len().max(1), body.height);
    super::over::lines(model, p, below(body, body.height - past), |_| true);
    let body = top(body, body.height - past);
    p.rows(ListId::Findings, body.height);
    if page.is_empty() {
        let text = match (page.loaded, &store.overview) {
            (false, _) => "reading findings …".to_owned(),
            (true, Some(o)) if o.lag.count > 0 => format!(
                "Nothing needs attention. Worst lag since the start: {}.",
                fmt::span(o.lag.max_ns)
            ),
            (true, _) => "Nothing needs attention.".to_owned(),
        };
        p.text(body, 1, 0, &text, Role::Plain);
        return;
    }
    let list = model.list(ListId::Findings);
    for line in 0..body.height {
        let rank = list.top + u64::from(line);
        let Some(finding) = page.at(rank) else { break };
        let row = top(below(body, line), 1);
        p.hit(row, Hit::Row(ListId::Findings, rank));
        sentence(model, p, row, finding);
        if rank == list.rank {
            p.text(row, 0, 0, glyph::BAR, Role::Plain);
            p.select(row, 0);
        }
    }
    let more = page.len().saturating_sub(list.top + u64::from(body.height));
    if more > 0 {
        p.right(area, 1, 0, &format!(" {more} more below "), Role::Dim);
    }
}

fn sentence(model: &Model, p: &mut Painter<'_>, area: Rect, finding: &Finding) {
    let look = look(model);
    let (sign, role) = if finding.is_problem() {
        (glyph::PROBLEM, Role::Problem)
    } else {
        (glyph::WARNING, Role::Warning)
    };
    p.text(area, 1, 0, sign, role);
    let name = finding.name.to_uppercase();
    let wide = area.width >= super::WIDE;
    let at = 3 + p.text(
        area,
        3,
        0,
        &if wide {
            format!("{name:<15} ")
        } else {
            format!("{name} ")
        },
        role,
    );
    let mut tail = vec![fmt::place(&finding.place).into_owned()];
    match (finding.count, wide) {
        (0 | 1, _) => {}
        (count, true) => tail.push(format!("{} times", fmt::count(count))),
        (count, false) => tail.push(format!("{}x", fmt::count(count))),
    }
    if area.width >= 70 {
        tail.push(format!("{} ago", fmt::span(look.ago(finding.since_ns))));
    }
    tail.retain(|t| !t.is_empty());
    let tail = tail.join(" · ");
    let what = [
        columns::subject(finding),
        finding.evidence.first().cloned().unwrap_or_default(),
    ];
    let what = what
        .iter()
        .filter(|t| !t.is_empty())
        .cloned()
        .collect::<Vec<_>>()
        .join(": ");
    let room = usize::from(area.width.saturating_sub(at + 1));
    // The place is what one needs to act; the sentence gives way to it, and it to the place's last third.
    let tail = fmt::cut_middle(&p.clean(&tail), room * 3 / 5).into_owned();
    let what =
        fmt::cut_end(&p.clean(&what), room.saturating_sub(fmt::width(&tail) + 3)).into_owned();
    let x = at + p.text(area, at, 0, &what, Role::Plain);
    let x = x + p.text(
        area,
        x,
        0,
        if what.is_empty() { "" } else { " · " },
        Role::Dim,
    );
    p.text(area, x, 0, &tail, Role::Plain);
}

/// The series with the finest slots of a loop.
pub(super) fn finest(series: &[SeriesRow], loop_id: u64) -> Option<&SeriesRow> {
    series
        .iter()
        .filter(|s| s.loop_id == loop_id)
        .min_by_key(|s| s.lag_max.slot_ns)
}

/// The loops to show when not all fit: those with trouble first, else in their order.
pub(super) fn worst_first(loops: &[LoopRow], room: usize) -> Vec<&LoopRow> {
    let mut all: Vec<&LoopRow> = loops.iter().collect();
    if all.len() > room {
        all.sort_by_key(|l| {
            (
                l.held().is_none(),
                std::cmp::Reverse(l.lag_p99_ns.unwrap_or(0)),
                l.id,
            )
        });
        all.truncate(room);
    }
    all
}

fn loop_lines(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let note = match store
        .series
        .iter()
        .map(|s| &s.lag_max)
        .min_by_key(|s| s.slot_ns)
    {
        Some(Strip {
            slot_ns, values, ..
        }) => format!(
            "lag in the last {}, 1 cell = {}, {}",
            fmt::window(slot_ns.saturating_mul(values.len() as u64)),
            fmt::window(*slot_ns),
            strip::LAG_SCALE
        ),
        None => String::new(),
    };
    p.rule(area, 0, "Loops", &note);
    let body = below(area, 1);
    if store.loops.rows.is_empty() {
        p.text(
            body,
            1,
            0,
            if store.loops.loaded {
                "No loop is running."
            } else {
                "reading loops …"
            },
            Role::Plain,
        );
        return;
    }
    let wide = area.width >= super::WIDE;
    let room = if wide {
        body.height.saturating_sub(1)
    } else {
        body.height
    };
    let loops = worst_first(&store.loops.rows, usize::from(room));
    if wide {
        p.text(
            body,
            1,
            0,
            &format!(
                "{:>3} {:<12} {:<15} {:>6} {:>7} {:>8} {:>8} {:>8}  LAG",
                "#", "NAME", "STATE", "READY", "TASKS", "LAG p50", "LAG p99", "LAG max"
            ),
            Role::Head,
        );
    }
    for (i, row) in loops.iter().enumerate() {
        let line = top(below(body, i as u16 + u16::from(wide)), 1);
        p.hit(line, Hit::Do(crate::keys::Action::Screen(2)));
        one_loop(model, p, line, row, wide);
    }
    let hidden = store.loops.total.saturating_sub(loops.len() as u64);
    if hidden > 0 {
        p.right(
            area,
            1,
            0,
            &format!(" {hidden} more loops, these are the worst "),
            Role::Dim,
        );
    }
}

fn one_loop(model: &Model, p: &mut Painter<'_>, area: Rect, row: &LoopRow, wide: bool) {
    let span = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), fmt::span);
    let over = row.held().is_some()
        || row
            .lag_p99_ns
            .is_some_and(|l| l > row.budget_ns && row.budget_ns > 0);
    let role = if over { Role::Problem } else { Role::Plain };
    let sign = if over { " ▲" } else { "" };
    let name = p.clean(&row.name).into_owned();
    let state = match &row.blocked {
        Some(block) => {
            let what = row.stuck().unwrap_or_default();
            // Its lower bound says nothing of one that is not shown to hold its loop.
            let time = match row.held() {
                Some(_) => block.for_ns,
                None => look(model).ago(block.at_ns),
            };
            format!("{what} {}", fmt::span(time))
        }
        None => row.state.clone(),
    };
    let text = if wide {
        format!("{:>3} {:<12} ", row.id, fmt::cut_end(&name, 12))
    } else {
        format!("{} {} ", row.id, fmt::cut_end(&name, 12))
    };
    let mut x = 1 + p.text(area, 1, 0, &text, Role::Plain);
    if wide {
        x += p.text(
            area,
            x,
            0,
            &format!("{:<15} ", fmt::cut_end(&format!("{state}{sign}"), 15)),
            role,
        );
        let text = format!(
            "{:>6} {:>7} {:>8} {:>8} {:>8}  ",
            fmt::count(row.ready),
            fmt::count(row.tasks),
            span(row.lag_p50_ns),
            span(row.lag_p99_ns),
            span(row.lag_max_ns)
        );
        x += p.text(area, x, 0, &text, Role::Plain);
    } else {
        let text = format!(
            "{state}{sign} ready {} lag {} ",
            fmt::count(row.ready),
            span(row.lag_p99_ns)
        );
        x += p.text(area, x, 0, &text, role);
    }
    if let Some(series) = finest(&model.shown().series, row.id) {
        let room = usize::from(area.width.saturating_sub(x + 1));
        p.text(area, x, 0, &strip::lag(&series.lag_max, room), Role::Plain);
    }
}

fn totals_panel(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let Some(o) = &store.overview else { return };
    let look = look(model);
    let tilde = if look.lossy { "~" } else { "" };
    let counts = format!(
        "live {} · run {} · ready {} · wait {}",
        fmt::count(o.tasks),
        fmt::count(o.run),
        fmt::count(o.ready),
        fmt::count(o.wait)
    );
    let rates = match (store.rate(|o| o.spawned), store.rate(|o| o.finished)) {
        (Some(s), Some(f)) => format!(
            "spawned {tilde}{} · ended {tilde}{} · drift {:+.1}/s",
            fmt::rate(s),
            fmt::rate(f),
            s - f
        ),
        _ => format!(
            "spawned {} · ended {} since the start",
            fmt::count(o.spawned),
            fmt::count(o.finished)
        ),
    };
    let queues = format!(
        "executor {}/{} busy, {} queued",
        fmt::count(o.jobs_run),
        fmt::count(o.workers),
        fmt::count(o.jobs_queued)
    );
    let next = o
        .next_due_ns
        .map_or_else(String::new, |due| match due.checked_sub(look.at_ns) {
            Some(left) => format!(", next {}", fmt::span(left)),
            None => ", next is late".to_owned(),
        });
    let timers = format!(
        "{}{next} · {}, {} ready",
        fmt::many(o.timers, "timer"),
        fmt::many(o.sources, "I/O source"),
        fmt::count(o.sources_ready)
    );
    if area.height < 4 {
        let room = usize::from(area.width.saturating_sub(2));
        for (y, text) in [
            format!("{counts} · {rates}"),
            format!("{queues} · {timers}"),
        ]
        .iter()
        .enumerate()
        {
            let parts: Vec<String> = text.split(" · ").map(str::to_owned).collect();
            p.text(area, 1, y as u16, &fmt::joined(&parts, room), Role::Plain);
        }
        return;
    }
    let half = area.width / 2;
    let (tasks, polls) = (left(area, half), after(area, half));
    p.rule(tasks, 0, "Tasks", "");
    for (y, text) in [counts, rates, queues, timers].iter().enumerate() {
        p.text(
            Rect {
                width: half.saturating_sub(1),
                ..tasks
            },
            1,
            y as u16 + 1,
            text,
            Role::Plain,
        );
    }
    p.rule(polls, 0, "Poll duration, all loops, since the start", "");
    histogram::line(p, below(polls, 1), &o.poll, o_budget(model));
}

fn o_budget(model: &Model) -> u64 {
    model
        .shown()
        .hello
        .as_ref()
        .map_or(0, |h| h.block_budget_ns)
}

fn newest(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    p.rule(area, 0, "Newest events", "e: more");
    let body = below(area, 1);
    if store.events.is_empty() {
        let text = match store.recording() {
            Some(_) => "None in the recording.",
            None => "None since this console attached.",
        };
        p.text(body, 1, 0, text, Role::Dim);
        return;
    }
    for (y, event) in store
        .events
        .iter()
        .rev()
        .filter(|e| is_news(e))
        .take(usize::from(body.height))
        .enumerate()
    {
        event_line(model, p, top(below(body, y as u16), 1), event);
    }
}

/// Events that a person would want to hear of; the rest are in the list behind `e`.
fn is_news(event: &Event) -> bool {
    !matches!(
        event.kind.as_str(),
        "polled"
            | "woken"
            | "io-ready"
            | "timer-armed"
            | "timer-fired"
            | "timer-cancelled"
            | "job-queued"
            | "job-started"
    )
}

/// One event as a sentence.
pub(super) fn event_line(model: &Model, p: &mut Painter<'_>, area: Rect, event: &Event) {
    let look = look(model);
    let mut text = look.time(event.at_ns);
    if let Some(id) = event.loop_id {
        text.push_str(&format!(" loop {id}"));
    }
    text.push_str(&format!(" {}", event.kind));
    // A finding tells itself what it is about.
    if let Some(task) = event.task.filter(|_| event.finding.is_none()) {
        text.push_str(format!(" task {task} {}", event.name).trim_end());
    }
    // A block is its task's, and has a screen of its own.
    if let Some(about) = event.about().filter(|about| !about.starts_with("block")) {
        text.push_str(&format!(" {about}"));
    }
    if let Some(ns) = event.duration_ns {
        text.push_str(&format!(" {}", fmt::span(ns)));
    }
    if let Some(finding) = &event.finding {
        text.push_str(&format!(" {} {}", finding.name, columns::subject(finding)));
    }
    if !event.place.is_empty() {
        text.push_str(&format!(" at {}", fmt::place(&event.place)));
    }
    if !event.detail.is_empty() {
        text.push_str(&format!(": {}", event.detail));
    }
    p.text(
        area,
        1,
        0,
        &fmt::cut_end(&p.clean(&text), usize::from(area.width.saturating_sub(2))),
        Role::Plain,
    );
}
