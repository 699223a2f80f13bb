//! The mouse, by what was drawn under it.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{Effect, act, follow, layer, say};
use crate::keys::Action;
use crate::model::{Layer, Model};
use crate::view::{Hit, columns};

/// Rows that one notch of the wheel moves.
const NOTCH: i64 = 3;

pub(super) fn mouse(model: &mut Model, event: MouseEvent) -> Vec<Effect> {
    if !model.ui.mouse {
        return Vec::new();
    }
    match event.kind {
        MouseEventKind::ScrollUp => wheel(model, -NOTCH),
        MouseEventKind::ScrollDown => wheel(model, NOTCH),
        MouseEventKind::Down(MouseButton::Left) => {
            model.ui.dirty = true;
            model.ui.last_key = Some(model.ui.now);
            click(
                model,
                Position {
                    x: event.column,
                    y: event.row,
                },
            )
        }
        MouseEventKind::Drag(MouseButton::Left) if !model.ui.drag_hinted => {
            model.ui.drag_hinted = true;
            say(model, "hold Shift to select text, or m: mouse off");
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn wheel(model: &mut Model, by: i64) -> Vec<Effect> {
    model.ui.dirty = true;
    model.ui.last_key = Some(model.ui.now);
    if !model.ui.layers.is_empty() {
        let action = if by < 0 { Action::Up } else { Action::Down };
        for _ in 0..NOTCH {
            layer::act(model, action);
        }
    } else if let Some(list) = model.list_id() {
        follow::move_by(model, list, by);
    } else if let Some(open) = &mut model.ui.detail {
        open.scroll = open.scroll.saturating_add_signed(by as i16).min(2_000);
    }
    Vec::new()
}

fn click(model: &mut Model, at: Position) -> Vec<Effect> {
    let hit = model
        .ui
        .drawn
        .hits
        .iter()
        .rev()
        .find(|(area, _)| area.contains(at))
        .map(|(_, hit)| *hit);
    match hit {
        Some(Hit::Do(action)) => act::act(model, action),
        Some(Hit::Row(list, rank)) => {
            // A second click on the selected row opens it.
            let again = model.list(list).rank == rank && model.list(list).touched;
            follow::move_to(model, list, rank);
            if again {
                act::act(model, Action::Open)
            } else {
                Vec::new()
            }
        }
        Some(Hit::Head(list, index)) => {
            if let Some(head) = columns::heads(list).get(index) {
                act::sort_by(model, list, head);
            }
            Vec::new()
        }
        Some(Hit::Panel(panel)) => {
            if let Some(open) = &mut model.ui.detail {
                open.panel = panel;
                open.scroll = 0;
            }
            Vec::new()
        }
        Some(Hit::Choice(index)) => {
            if let Some(
                Layer::Sort { cursor }
                | Layer::Columns { cursor }
                | Layer::Recorded { cursor }
                | Layer::Palette { cursor, .. }
                | Layer::Apps { cursor, .. },
            ) = model.ui.layers.last_mut()
            {
                let again = *cursor == index;
                *cursor = index;
                if again {
                    let action = if matches!(model.ui.layers.last(), Some(Layer::Columns { .. })) {
                        Action::Toggle
                    } else {
                        Action::Accept
                    };
                    return act::act(model, action);
                }
            }
            Vec::new()
        }
        None => Vec::new(),
    }
}
