//! The glyphs the screens use, and what stands for each where the locale has no UTF-8. Every one is one column wide in every
//! terminal and none is an emoji.

use ratatui::buffer::Buffer;

/// Beside every problem.
pub const PROBLEM: &str = "▲";
/// Beside every warning.
pub const WARNING: &str = "!";
/// Beside a row that came to be while we looked.
pub const NEW: &str = "+";
/// Before the selected row.
pub const BAR: &str = "▌";
/// Beside the head of an ascending column.
pub const UP: &str = "▲";
/// Beside the head of a descending column.
pub const DOWN: &str = "▼";
/// The steps of a strip, the lowest first.
pub const STEPS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Turns while something is waited for.
pub const SPINNER: [&str; 4] = ["|", "/", "-", "\\"];

/// Replaces what an ASCII terminal cannot show, one column by one column, after everything is drawn: so no screen needs to
/// know, and nothing is forgotten.
pub fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if !symbol.is_ascii() {
            let ascii = ascii_of(symbol);
            cell.set_symbol(ascii);
        }
    }
}

/// The one-column stand-in of a glyph; `?` for what is not ours, such as a task's name.
pub fn ascii_of(glyph: &str) -> &'static str {
    match glyph {
        "▲" => "^",
        "▼" | "↓" => "v",
        "↑" => "^",
        "←" => "<",
        "▌" | "›" | "→" | "◄" => ">",
        "‹" => "<",
        "●" => "*",
        "■" => "#",
        "○" => "o",
        "‖" => "=",
        "·" => "-",
        "…" => "~",
        "─" | "├" | "┤" | "┬" | "┴" | "┼" | "└" | "┌" | "┐" | "┘" => "-",
        "│" | "▏" => "|",
        "µ" => "u",
        "≤" | "≥" => "<",
        "Δ" => "d",
        "▁" => "_",
        "▂" => ".",
        "▃" => ":",
        "▄" => "-",
        "▅" => "=",
        "▆" => "+",
        "▇" => "*",
        "█" | "▉" | "▊" | "▋" => "#",
        "░" => ".",
        "▍" | "▎" => "|",
        _ => "?",
    }
}

/// Picks a step of a strip: 0 is an empty slot's baseline, and a value never looks empty.
pub fn step(level: usize) -> &'static str {
    STEPS[level.min(STEPS.len() - 1)]
}
