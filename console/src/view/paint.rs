//! Putting text into cells: clipped to its area and escaped, always. The only file that writes into a buffer.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use loop_proto::escape::{LINE, escape};

use super::fmt;
use super::theme::{Colours, Role};
use super::{Drawn, Hit};
use crate::model::ListId;

/// A buffer to draw on, and the notes of what was drawn where.
#[derive(Debug)]
pub(super) struct Painter<'a> {
    buffer: &'a mut Buffer,
    colours: Colours,
    drawn: Drawn,
}

/// Some text in a role.
pub(super) type Piece<'a> = (&'a str, Role);

impl<'a> Painter<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, colours: Colours) -> Self {
        let size = (buffer.area.width, buffer.area.height);
        let drawn = Drawn {
            size,
            ..Drawn::default()
        };
        Painter {
            buffer,
            colours,
            drawn,
        }
    }

    pub(super) fn area(&self) -> Rect {
        self.buffer.area
    }

    pub(super) fn finish(self) -> Drawn {
        self.drawn
    }

    pub(super) fn style(&self, role: Role) -> Style {
        self.colours.style(role)
    }

    /// Text that an app chose, fit to be measured and cut. What is drawn is made so in any case.
    pub(super) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        escape(text, LINE)
    }

    /// Reverses some cells: a cursor.
    pub(super) fn reverse(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, self.style(Role::Selected));
    }

    /// Writes `text` on line `y` of `area`, from column `x` of it; returns the columns taken. What does not fit is left out.
    pub(super) fn text(&mut self, area: Rect, x: u16, y: u16, text: &str, role: Role) -> u16 {
        let area = area.intersection(self.buffer.area);
        if x >= area.width || y >= area.height {
            return 0;
        }
        let style = self.style(role);
        let (left, top) = (area.x + x, area.y + y);
        let (end, _) = self.buffer.set_stringn(
            left,
            top,
            escape(text, LINE),
            usize::from(area.width - x),
            style,
        );
        end - left
    }

    /// Like [`Painter::text`], its end at the right edge less `inset`.
    pub(super) fn right(&mut self, area: Rect, inset: u16, y: u16, text: &str, role: Role) -> u16 {
        let taken = u16::try_from(fmt::width(text)).unwrap_or(u16::MAX);
        let x = area.width.saturating_sub(inset).saturating_sub(taken);
        self.text(area, x, y, text, role);
        taken
    }

    /// Pieces one after another; returns the columns taken.
    pub(super) fn pieces(&mut self, area: Rect, x: u16, y: u16, pieces: &[Piece<'_>]) -> u16 {
        let mut at = x;
        for (text, role) in pieces {
            at = at.saturating_add(self.text(area, at, y, text, *role));
        }
        at - x
    }

    /// A titled line: `─ Loops ─────`.
    pub(super) fn rule(&mut self, area: Rect, y: u16, title: &str, note: &str) {
        if y >= area.height {
            return;
        }
        self.text(area, 0, y, &"─".repeat(usize::from(area.width)), Role::Dim);
        if title.is_empty() {
            return;
        }
        let room = usize::from(area.width).saturating_sub(4);
        let title = fmt::cut_end(title, room);
        let mut x = 1 + self.pieces(
            area,
            1,
            y,
            &[(" ", Role::Plain), (&title, Role::Head), (" ", Role::Plain)],
        );
        let left = usize::from(area.width.saturating_sub(x + 3));
        if !note.is_empty() && left > 12 {
            x += 2;
            self.pieces(
                area,
                x,
                y,
                &[
                    (" ", Role::Plain),
                    (&fmt::cut_end(note, left.saturating_sub(2)), Role::Dim),
                    (" ", Role::Plain),
                ],
            );
        }
    }

    /// Text over several lines, broken at spaces; returns the lines taken.
    pub(super) fn wrapped(&mut self, area: Rect, y: u16, text: &str, role: Role) -> u16 {
        let mut line = y;
        let room = usize::from(area.width);
        if room == 0 {
            return 0;
        }
        for paragraph in text.lines() {
            let mut row = String::new();
            for word in paragraph.split(' ') {
                if !row.is_empty() && fmt::width(&row) + 1 + fmt::width(word) > room {
                    self.text(area, 0, line, &row, role);
                    line = line.saturating_add(1);
                    row.clear();
                }
                if !row.is_empty() {
                    row.push(' ');
                }
                row.push_str(word);
            }
            self.text(area, 0, line, &row, role);
            line = line.saturating_add(1);
        }
        line - y
    }

    /// Empties an area, for what lies above something else.
    pub(super) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// Dims an area: its data is old.
    pub(super) fn dim(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        self.buffer
            .set_style(area, Style::new().add_modifier(Modifier::DIM));
    }

    /// Reverses one line: the selection. A role's colour would be a second background there, so it goes.
    pub(super) fn select(&mut self, area: Rect, y: u16) {
        let area = area.intersection(self.buffer.area);
        if y < area.height {
            let line = Rect {
                y: area.y + y,
                height: 1,
                ..area
            };
            let style = self.style(Role::Selected).remove_modifier(Modifier::DIM);
            self.buffer.set_style(line, style);
        }
    }

    /// A click on this area means `hit`; later ones lie above earlier ones.
    pub(super) fn hit(&mut self, area: Rect, hit: Hit) {
        let area = area.intersection(self.buffer.area);
        if area.area() > 0 {
            self.drawn.hits.push((area, hit));
        }
    }

    /// So many rows of a list fit.
    pub(super) fn rows(&mut self, list: ListId, rows: u16) {
        self.drawn.rows.insert(list, rows);
    }

    /// What is below takes no clicks.
    pub(super) fn cover(&mut self) {
        self.drawn.hits.clear();
    }
}

/// `area` without its first `n` lines.
pub(super) fn below(area: Rect, n: u16) -> Rect {
    let n = n.min(area.height);
    Rect {
        y: area.y + n,
        height: area.height - n,
        ..area
    }
}

/// The first `n` lines of `area`.
pub(super) fn top(area: Rect, n: u16) -> Rect {
    Rect {
        height: n.min(area.height),
        ..area
    }
}

/// `area` without its first `n` columns.
pub(super) fn after(area: Rect, n: u16) -> Rect {
    let n = n.min(area.width);
    Rect {
        x: area.x + n,
        width: area.width - n,
        ..area
    }
}

/// The first `n` columns of `area`.
pub(super) fn left(area: Rect, n: u16) -> Rect {
    Rect {
        width: n.min(area.width),
        ..area
    }
}

/// A box of at most `width` × `height` in the middle.
pub(super) fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}
