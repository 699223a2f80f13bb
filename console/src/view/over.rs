//! What was wrong within the last hour and is over, also before this console came. Knows no place on any screen.

use ratatui::layout::Rect;

use super::paint::{Painter, below, top};
use super::theme::Role;
use super::{columns, fmt, look};
use crate::model::Model;
use crate::store::PastFinding;

/// How many of `height` lines what is over gets, beside `holds` that hold.
pub(super) fn room(over: usize, holds: u64, height: u16) -> u16 {
    let left = u64::from(height).saturating_sub(holds);
    u16::try_from(left.min(over as u64).min(3)).unwrap_or(0)
}

/// How many there are, and how many of them were before this console came.
pub(super) fn note(model: &Model, of: impl Fn(&PastFinding) -> bool) -> String {
    let store = model.shown();
    let over: Vec<&PastFinding> = store.over().filter(|past| of(past)).collect();
    let before = over
        .iter()
        .filter(|past| past.cleared_ns.is_some_and(|ns| store.before_us(ns)))
        .count();
    let reach = store
        .hour
        .as_ref()
        .map_or(0, |hour| look(model).at_ns.saturating_sub(hour.from_ns));
    let before = match before {
        0 => String::new(),
        before => format!(", {before} before you came"),
    };
    format!("{} in the last {}{before}", over.len(), fmt::window(reach))
}

/// A line each, the latest first, as many as fit.
pub(super) fn lines(
    model: &Model,
    p: &mut Painter<'_>,
    area: Rect,
    of: impl Fn(&PastFinding) -> bool,
) {
    let over = model.shown().over().filter(|past| of(past));
    for (y, past) in over.take(area.height.into()).enumerate() {
        line(model, p, top(below(area, y as u16), 1), past);
    }
}

fn line(model: &Model, p: &mut Painter<'_>, area: Rect, past: &PastFinding) {
    let look = look(model);
    let finding = &past.finding;
    let cleared = past.cleared_ns.unwrap_or(look.at_ns);
    let mut when = format!("over {} ago", fmt::span(look.ago(cleared)));
    if past.times > 1 {
        when.push_str(&format!(", {} times", fmt::count(past.times)));
    }
    if model.shown().before_us(cleared) {
        when.push_str(", before you came");
    }
    let name = finding.name.to_uppercase();
    let room = usize::from(area.width.saturating_sub(4));
    let when = fmt::cut_end(&when, room).into_owned();
    let left = room.saturating_sub(fmt::width(&when) + 3);
    let place = fmt::place(&finding.place).into_owned();
    let what = [columns::subject(finding), p.clean(&place).into_owned()];
    let what: Vec<String> = what.into_iter().filter(|part| !part.is_empty()).collect();
    let text = format!("{name} {}", what.join(" · "));
    let text = fmt::cut_middle(&p.clean(&text), left).into_owned();
    p.text(area, 3, 0, &format!("{text} · {when}"), Role::Dim);
}

/// For the title of the list of blocks: what is not in it, and what was before this console came.
pub(super) fn blocks_note(model: &Model) -> String {
    let store = model.shown();
    let page = &store.blocks;
    let mut parts = Vec::new();
    let uncounted = page
        .rows
        .iter()
        .filter(|block| block.is_uncounted())
        .count();
    if uncounted > 0 {
        parts.push(format!("{uncounted} not counted"));
    }
    let Some(hour) = &store.hour else {
        return parts.concat();
    };
    let since = || {
        let rows = page.rows.iter();
        rows.filter(|block| !store.before_us(block.at_ns))
    };
    // Where more began since than the list has at hand, how many were before is not known.
    let known = since().count() < page.rows.len() || page.rows.len() as u64 == page.len();
    // What does not count is not in the hour's sum.
    let since = since().filter(|block| !block.is_uncounted()).count() as u64;
    let before = match known {
        true => hour.blocks_total.saturating_sub(since),
        false => 0,
    };
    if before > 0 {
        parts.push(format!("{} before you came", fmt::count(before)));
    }
    let worst = hour.blocks.iter().max_by_key(|block| block.for_ns);
    if let Some(worst) = worst.filter(|_| hour.blocks_total > 1) {
        parts.push(format!(
            "worst of the hour {} at {}",
            fmt::span(worst.for_ns),
            look(model).time(worst.at_ns)
        ));
    }
    parts.join(", ")
}
