//! A frame as an SVG picture, so that the docs show the screens as they are. Knows cells and colours, nothing of the console.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// One cell, in pixels of the picture.
const CELL: (u32, u32) = (8, 17);
/// The terminal's own colours, which a picture has to choose.
const INK: &str = "#d8dee9";
const PAPER: &str = "#14181f";

/// Draws a frame as SVG, one text for each run of cells that look alike.
pub fn svg(frame: &Buffer) -> String {
    let (width, height) = (
        u32::from(frame.area.width) * CELL.0,
        u32::from(frame.area.height) * CELL.1,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"13.3\" xml:space=\"preserve\">\n"
    );
    for y in 0..frame.area.height {
        let mut x = 0;
        while x < frame.area.width {
            let look = Look::of(&frame[(x, y)]);
            let from = x;
            let mut text = String::new();
            while x < frame.area.width && Look::of(&frame[(x, y)]) == look {
                text.push_str(frame[(x, y)].symbol());
                x += 1;
            }
            run(&mut out, (from, y), x - from, &text, look);
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// What tells two cells apart, their text aside.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    ink: &'static str,
    paper: Option<&'static str>,
    bold: bool,
    dim: bool,
    underlined: bool,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        let is = |modifier| cell.modifier.contains(modifier);
        let (mut ink, mut paper) = (colour(cell.fg).unwrap_or(INK), colour(cell.bg));
        if is(Modifier::REVERSED) {
            (ink, paper) = (paper.unwrap_or(PAPER), Some(ink));
        }
        Look {
            ink,
            paper,
            bold: is(Modifier::BOLD),
            dim: is(Modifier::DIM),
            underlined: is(Modifier::UNDERLINED),
        }
    }
}

/// `None`: the terminal's own.
fn colour(of: Color) -> Option<&'static str> {
    Some(match of {
        Color::Red => "#f07178",
        Color::Yellow => "#e6c35c",
        Color::Green => "#8fc46b",
        Color::Cyan => "#6fc3df",
        _ => return None,
    })
}

fn run(out: &mut String, (x, y): (u16, u16), cells: u16, text: &str, look: Look) {
    let (left, top) = (u32::from(x) * CELL.0, u32::from(y) * CELL.1);
    let width = u32::from(cells) * CELL.0;
    // Writing into a String cannot fail.
    if let Some(paper) = look.paper {
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{}\" fill=\"{paper}\"/>",
            CELL.1
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let bold = if look.bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let dim = if look.dim { " opacity=\"0.6\"" } else { "" };
    let line = if look.underlined {
        " text-decoration=\"underline\""
    } else {
        ""
    };
    let (ink, base) = (look.ink, top + 13);
    let text = escaped(text);
    // The length keeps columns in line, whatever font there is.
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{base}\" fill=\"{ink}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\"{bold}{dim}{line}>{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn a_picture_holds_the_text_and_its_colours_and_no_markup_of_the_app() {
        let mut frame = Buffer::empty(Rect::new(0, 0, 30, 2));
        frame.set_string(0, 0, "<script>&", Style::new().fg(Color::Red));
        frame.set_string(
            0,
            1,
            "chosen",
            Style::new().add_modifier(Modifier::REVERSED),
        );
        let svg = svg(&frame);
        assert!(svg.contains("&lt;script&gt;&amp;</text>") && !svg.contains("<script"));
        assert!(svg.contains("fill=\"#f07178\""));
        assert!(
            svg.contains(&format!("height=\"17\" fill=\"{INK}\"")),
            "reversed: {svg}"
        );
    }
}
