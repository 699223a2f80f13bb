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

/// The last minute of busy time in `cells` cells, the worst slot in each; blank ones while less is there.
pub fn minute(strip: &Strip, cells: usize) -> String {
    const MINUTE: u64 = 60_000_000_000;
    let slots = (MINUTE / strip.slot_ns.max(1)).max(1) as usize;
    let each = slots.div_ceil(cells.max(1)).max(1);
    let last = newest(&strip.values, slots);
    // Cut from the new end: the last cell is always the last seconds.
    let mut worst: Vec<u64> = last
        .rchunks(each)
        .map(|c| c.iter().copied().max().unwrap_or(0))
        .collect();
    worst.reverse();
    let drawn = busy(
        &Strip {
            values: worst,
            ..strip.clone()
        },
        cells,
    );
    // The newest is always at the right.
    format!("{drawn:>cells$}")
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

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_minute_keeps_its_worst_slot_and_says_no_more_than_there_is() {
        let mut values = vec![0; 60];
        values[59] = S;
        let full = minute(
            &Strip {
                slot_ns: S,
                end_ns: 0,
                values,
            },
            8,
        );
        assert_eq!(full, "▁▁▁▁▁▁▁█");
        let young = minute(
            &Strip {
                slot_ns: S,
                end_ns: 0,
                values: vec![S / 2; 12],
            },
            8,
        );
        assert_eq!(young, "      ▆▆");
        assert_eq!(minute(&Strip::default(), 8).trim(), "");
    }

    #[test]
    fn lag_is_on_a_fixed_scale() {
        let ms = |ms: u64| ms * 1_000_000;
        let s = Strip {
            slot_ns: S,
            end_ns: 0,
            values: vec![0, ms(1), ms(9), ms(100), ms(412), ms(1_000)],
        };
        assert_eq!(lag(&s, 80), "▁▁▂▅▇█");
        assert_eq!(lag(&s, 2), "▇█");
    }

    #[test]
    fn a_bar_never_passes_its_room_and_never_hides_something() {
        for room in 0..30 {
            for share in [0.0, 0.001, 0.3, 0.99, 1.0, 7.0, f64::NAN] {
                assert!(
                    super::super::fmt::width(&bar(share, room)) <= room,
                    "{share} in {room}"
                );
            }
        }
        assert_eq!(bar(0.001, 5), "▏");
    }
}
