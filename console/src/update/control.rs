//! Keys that have the app do something: what they would do is shown first, with the task and what will
//! happen, and is done only after a second key. Who may only look sees the deed and why not.

use tui_input::Input;

use super::{Ask, Effect, pick, say};
use crate::keys::Action;
use crate::model::{Layer, Model};
use crate::store::control::{Answer, Became, Deed, budget};
use crate::store::{Recorded, Update};

/// Answers to nudges that are kept for the screens; older ones leave.
const NUDGES: usize = 64;

/// Why this viewer may not have the app do anything; empty: it may.
pub fn why_not(model: &Model) -> String {
    let store = &model.store;
    if !store.is_live() {
        return "no app is attached now".to_owned();
    }
    match &store.hello {
        Some(hello) if hello.role == "control" => String::new(),
        Some(hello) if !hello.role_reason.is_empty() => hello.role_reason.clone(),
        _ => "this viewer only looks: start it with --control".to_owned(),
    }
}

/// What an action would do here.
fn deed(model: &Model, action: Action) -> Option<Deed> {
    let task = pick::task(model).filter(|task| task.ended.is_none());
    match action {
        Action::Cancel => task.map(|task| Deed::Cancel { task: task.id }),
        Action::Nudge => task.map(|task| Deed::Nudge { task: task.id }),
        Action::FindNow => Some(Deed::Find),
        _ => None,
    }
}

/// Whether an action would show anything now.
pub(super) fn is_enabled(model: &Model, action: Action) -> bool {
    match action {
        Action::Budget => !model.shown().loops.rows.is_empty(),
        Action::Recorded => !switches(model).is_empty(),
        action => deed(model, action).is_some(),
    }
}

/// Shows what an action would do.
pub(super) fn open(model: &mut Model, action: Action) {
    let layer = match action {
        Action::Budget => {
            let of = pick::block(model).map(|block| block.loop_id);
            let rows = &model.shown().loops.rows;
            let of = of.or_else(|| (rows.len() == 1).then(|| rows[0].id));
            Layer::Budget {
                input: Input::default(),
                loop_id: of,
                wrong: String::new(),
            }
        }
        Action::Recorded => Layer::Recorded { cursor: 0 },
        action => match deed(model, action) {
            Some(deed) => Layer::Confirm { deed },
            None => return,
        },
    };
    model.ui.layers.push(layer);
}

/// What can be recorded, as the app told last.
pub fn switches(model: &Model) -> &[Recorded] {
    let hello = model.store.hello.as_ref();
    hello.map_or(&[], |hello| hello.recorded.as_slice())
}

/// The second key: does what the layer shows, if this viewer may.
pub(super) fn accept(model: &mut Model) -> Vec<Effect> {
    let why = why_not(model);
    let deed = match model.ui.layers.last_mut() {
        Some(Layer::Confirm { deed }) => deed.clone(),
        Some(Layer::Budget {
            input,
            loop_id,
            wrong,
        }) => match budget(input.value()) {
            Ok(block) => Deed::Budget {
                loop_id: *loop_id,
                block,
            },
            Err(error) => {
                *wrong = error;
                return Vec::new();
            }
        },
        Some(Layer::Recorded { cursor }) => {
            let cursor = *cursor;
            let Some(switch) = switches(model).get(cursor) else {
                return Vec::new();
            };
            let deed = Deed::Record {
                what: switch.what.clone(),
                on: !switch.on,
            };
            if !why.is_empty() {
                say(model, capital(&why));
                return Vec::new();
            }
            return vec![Effect::Ask(Ask::Command(deed))];
        }
        _ => return Vec::new(),
    };
    if !why.is_empty() {
        say(model, capital(&why));
        return Vec::new();
    }
    model.ui.layers.pop();
    vec![Effect::Ask(Ask::Command(deed))]
}

/// Of which loop the budget is: the next one, and after the last, all.
pub(super) fn next_loop(model: &mut Model) {
    let ids: Vec<u64> = model.shown().loops.rows.iter().map(|row| row.id).collect();
    if let Some(Layer::Budget { loop_id, .. }) = model.ui.layers.last_mut() {
        *loop_id = match *loop_id {
            None => ids.first().copied(),
            Some(now) => {
                let at = ids.iter().position(|id| *id == now);
                at.and_then(|at| ids.get(at + 1).copied())
            }
        };
    }
}

/// The app's answer: a sentence, and what a nudge showed is kept for the task's page.
pub(super) fn answered(model: &mut Model, answer: &Answer) {
    let said = answer.sentence();
    if answer.became == Became::Queued {
        model.ui.awaits = Some(model.store.at_ns);
    }
    if let (Some(task), Some(nudged)) = (answer.task, &answer.nudged) {
        let nudges = &mut model.store.nudges;
        nudges.retain(|(id, _)| *id != task);
        if nudges.len() == NUDGES {
            nudges.pop_front();
        }
        nudges.push_back((task, nudged.clone()));
    }
    say(model, said);
}

/// The event of a command that was queued and has been carried out is said too.
pub(super) fn heard(model: &mut Model, update: &Update) {
    let Update::Events(events) = update else {
        return;
    };
    let Some(since) = model.ui.awaits else {
        return;
    };
    // One that was queued tells how long that took; whose it was is in its words.
    let carried = events.iter().find(|event| {
        event.kind == "command-done" && event.duration_ns.is_some() && event.at_ns >= since
    });
    if let Some(event) = carried {
        model.ui.awaits = None;
        say(model, event.detail.clone());
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
