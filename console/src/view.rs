//! The model as cells: `view(&Model, &mut Buffer)`, nothing kept. One screen a file below; this one holds the frame around
//! them: header, tabs, filter line, footer. Knows no terminal.

mod chrome;
pub mod columns;
mod control;
pub mod cost;
pub mod detail;
pub mod explain;
pub mod fmt;
pub mod glyph;
pub mod histogram;
mod leaks;
mod loops;
mod over;
mod overlay;
mod overview;
mod paint;
mod splash;
pub mod strip;
mod table;
mod tasks;
pub mod theme;
pub mod things;

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keys::Action;
use crate::model::{ListId, Model, Screen};
use crate::store::{Link, is_problem_name};
use crate::update::wanted;

use columns::Look;
use paint::{Painter, below, top};
use theme::Role;

/// What lies where, and how many rows each list has room for: what `update` must know of the last frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    pub size: (u16, u16),
    pub hits: Vec<(Rect, Hit)>,
    pub rows: BTreeMap<ListId, u16>,
}

/// What a click on an area means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    Do(Action),
    /// The row at this place of the list.
    Row(ListId, u64),
    /// The head of this column.
    Head(ListId, usize),
    /// A panel of the opened task.
    Panel(usize),
    /// A line of the layer on top.
    Choice(usize),
}

/// A width from which there is room for words.
const WIDE: u16 = 100;

/// Draws everything.
pub fn view(model: &Model, buffer: &mut Buffer) -> Drawn {
    let colours = model.ui.colours;
    let mut painter = Painter::new(buffer, colours);
    let area = painter.area();
    if area.width < 40 || area.height < 10 {
        too_small(&mut painter, area);
    } else {
        frame(model, &mut painter, area);
    }
    let drawn = painter.finish();
    if model.ui.ascii {
        glyph::to_ascii(buffer);
    }
    drawn
}

fn too_small(p: &mut Painter<'_>, area: Rect) {
    let text = ["make me larger", "40x10 at least", "q quits"];
    let y = (area.height / 2).saturating_sub(1);
    for (i, line) in text.iter().enumerate() {
        let x = area.width.saturating_sub(fmt::width(line) as u16) / 2;
        p.text(area, x, y + i as u16, line, Role::Plain);
    }
}

fn frame(model: &Model, p: &mut Painter<'_>, area: Rect) {
    chrome::header(model, p, top(area, 1));
    let footer_area = below(area, area.height - 1);
    let body = Rect {
        y: area.y + 1,
        height: area.height - 2,
        ..area
    };
    let body = chrome::recording(model, p, body);
    if !model.has_data() || matches!(model.store.link, Some(Link::VersionGap(_))) {
        splash::draw(model, p, body);
    } else {
        chrome::tabs(model, p, top(body, 1));
        screen(model, p, below(body, 1));
    }
    chrome::footer(model, p, footer_area);
    overlay::draw(model, p, body);
    chrome::toast(model, p, footer_area);
}

fn screen(model: &Model, p: &mut Painter<'_>, area: Rect) {
    let mut area = area;
    if model.ui.detail.is_none() {
        area = chrome::filter_line(model, p, area);
    }
    match (&model.ui.detail, model.ui.screen) {
        (Some(open), _) => detail::draw(model, open, p, area),
        (None, Screen::Overview) => overview::draw(model, p, area),
        (None, Screen::Tasks) => tasks::draw(model, p, area),
        (None, Screen::Loops) => loops::draw(model, p, area),
        (None, Screen::Timers) => tasks::timers(model, p, area),
        (None, Screen::Io) => tasks::io(model, p, area),
        (None, Screen::Leaks) => leaks::draw(model, p, area),
        (None, Screen::Resources | Screen::Jobs | Screen::Children) => {
            things::draw(model, p, area);
        }
    }
    // What is shown is of a moment that has passed.
    if !model.store.is_live() && model.ui.frozen.is_none() {
        p.dim(area);
    }
}

/// What cells need to know of the data on show.
pub fn look(model: &Model) -> Look {
    let store = model.shown();
    Look {
        at_ns: store.at_ns,
        wall_zero_ns: store
            .hello
            .as_ref()
            .map_or(0, |h| i128::from(h.now_unix_ns) - i128::from(h.now_ns)),
        utc_offset_s: model.ui.utc_offset_s,
        lossy: store.cost.as_ref().is_some_and(|c| c.lost() > 0),
    }
}

/// Whether the pane that follows the selection is shown on a screen of so many lines.
pub fn has_preview(model: &Model, height: u16) -> bool {
    let by_itself = model.ui.screen != Screen::Tasks || height >= 30;
    model.ui.preview.unwrap_or(by_itself)
}

/// The mark of a row with these findings, and its role.
fn mark_of(findings: &[String]) -> Option<(&'static str, Role)> {
    if findings.iter().any(|f| is_problem_name(f)) {
        Some((glyph::PROBLEM, Role::Problem))
    } else if findings.is_empty() {
        None
    } else {
        Some((glyph::WARNING, Role::Warning))
    }
}
