//! Strips: one cell a slot, on fixed scales, so that two of them compare. Never scaled to their own highest value.

use crate::store::Strip;

use super::glyph;

/// The upper ends, in milliseconds, of the first seven steps of a lag or block.
const LAG_MS: [u64; 7] = [1, 10, 25, 50, 100, 250, 500];

/// What the steps of [`lag`] mean, for the title of a panel.
pub const LAG_SCALE: &str = "height: 1 10 25 50 100 250 500 ms";

/// A strip of spans, the newest `room` slots.
pub fn lag(strip: &Strip, room: usize) -> String {
    newest(&strip.values, room)
        .iter()
        .map(|ns| {
            glyph::step(
                LAG_MS
                    .iter()
                    .position(|ms| *ns <= ms * 1_000_000)
                    .unwrap_or(LAG_MS.len()),
            )
        })
        .collect()
}

/// A strip of busy time per slot: a step is an eighth of the slot, and the first is up to 1 %.
pub fn busy(strip: &Strip, room: usize) -> String {
    newest(&strip.values, room)
        .iter()
        .map(|ns| {
            let percent = u128::from(*ns) * 100 / u128::from(strip.slot_ns.max(1));
            glyph::step(match percent {
                0..=1 => 0,
                2..=5 => 1,
                6..=10 => 2,
                11..=20 => 3,
                21..=40 => 4,
                41..=60 => 5,
                61..=80 => 6,
                _ => 7,
            })
        })
        .collect()
}

/// A strip of counts against the highest of them, which the caller must write beside it.
pub fn counts(values: &[u64], room: usize) -> String {
    let values = newest(values, room);
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    values
        .iter()
        .map(|v| glyph::step((u128::from(*v) * 7 / u128::from(top)) as usize))
        .collect()
}

fn newest(values: &[u64], room: usize) -> &[u64] {
    &values[values.len().saturating_sub(room)..]
}

/// A bar of `share` of `room` cells, in eighths.
pub fn bar(share: f64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * room as f64 * 8.0).round() as usize;
    let mut out = "█".repeat(eighths / 8);
    out.push_str(EIGHTHS[eighths % 8]);
    // Something that is there must be seen.
    if out.is_empty() && share > 0.0 && room > 0 {
        out.push('▏');
    }
    out
}
