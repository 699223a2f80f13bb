//! The Leaks screen: findings about what lives on without use, and the evidence of the selected one.

use ratatui::layout::Rect;

use super::paint::{Painter, after, below};
use super::theme::Role;
use super::{columns, explain, fmt, glyph, has_preview, look, over, table};
use crate::model::{ListId, Model};
use crate::store::Finding;
use crate::update::pick;

pub(super) fn draw(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let store = model.shown();
    let mut rest = area;
    if has_preview(model, p.area().height)
        && area.height >= 10
        && let Some(finding) = pick::finding(model)
    {
        let width = usize::from(area.width.saturating_sub(3)).max(1);
        let lines = |text: &str| fmt::wrap(text, width).len();
        let fix = explain::of(&finding.name).map_or(0, |text| lines(text.fix));
        let facts: usize = finding.evidence.iter().map(|fact| lines(fact).min(2)).sum();
        let height = ((facts + fix) as u16 + 2).clamp(4, area.height * 3 / 5);
        let pane = below(area, area.height - height);
        rest = Rect {
            height: area.height - height,
            ..area
        };
        why(model, p, pane, finding);
    }
    let over = store.over().filter(|past| past.finding.is_leak()).count();
    if over > 0 && rest.height >= 8 {
        let height = (over as u16 + 1).min(rest.height / 3);
        let pane = below(rest, rest.height - height);
        rest = Rect {
            height: rest.height - height,
            ..rest
        };
        p.rule(
            pane,
            0,
            "Over by now",
            &over::note(model, |past| past.finding.is_leak()),
        );
        over::lines(model, p, below(pane, 1), |past| past.finding.is_leak());
    }
    let slots = store
        .leaks
        .rows
        .iter()
        .filter_map(|l| l.live.as_ref())
        .next();
    let over = slots.map_or_else(String::new, |s| {
        let slots = s.values.len().min(columns::LIVE_SLOTS) as u64;
        format!(
            " · growth over {}",
            fmt::window(s.slot_ns.saturating_mul(slots))
        )
    });
    let note = format!(
        "{}{over}",
        table::position(model, ListId::Leaks, &store.leaks)
    );
    p.rule(rest, 0, "Leaks", &note);
    table::draw(
        model,
        p,
        below(rest, 1),
        ListId::Leaks,
        columns::LEAKS,
        &store.leaks,
        |f| {
            Some(if f.is_problem() {
                (glyph::PROBLEM, Role::Problem)
            } else {
                (glyph::WARNING, Role::Warning)
            })
        },
    );
}

/// The facts that a finding rests on, and what to try.
fn why(model: &Model, p: &mut Painter<'_>, area: Rect, finding: &Finding) {
    let look = look(model);
    let about = columns::subject(finding);
    let title = format!(
        "Why {}: {}",
        finding.name,
        if about.is_empty() {
            fmt::place(&finding.place).into_owned()
        } else {
            about
        }
    );
    let note = format!(
        "{} for {} · d: what it means",
        finding.grade.word(),
        fmt::span(look.ago(finding.since_ns))
    );
    p.rule(area, 0, &p.clean(&title), &note);
    let body = after(below(area, 1), 1);
    let mut y = 0;
    for (i, fact) in finding.evidence.iter().enumerate() {
        if y + 1 >= body.height {
            break;
        }
        let x = p.text(body, 0, y, &format!("{}. ", i + 1), Role::Dim);
        y += p
            .wrapped(
                Rect {
                    height: 2.min(body.height.saturating_sub(y)),
                    ..below(after(body, x), y)
                },
                0,
                &p.clean(fact),
                Role::Plain,
            )
            .clamp(1, 2);
    }
    if finding.evidence.is_empty() {
        y += p
            .text(body, 0, y, "The app sent no evidence with it.", Role::Plain)
            .min(1);
    }
    if let Some(text) = explain::of(&finding.name) {
        p.wrapped(
            below(body, y),
            0,
            &format!("Try: {}", text.fix),
            Role::Plain,
        );
    }
}
