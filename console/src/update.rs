//! What a message does to the model, and what the screens then ask of the world. Pure: time comes in as `now`, and every
//! deed goes out as an [`Effect`]. Knows neither sockets nor the terminal.

pub mod act;
pub mod control;
mod follow;
pub mod layer;
mod mouse;
pub mod pick;
pub mod wanted;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent};

use crate::keys::{self, Action};
use crate::model::{Layer, List, ListId, Model};
use crate::store::control::Deed;
use crate::store::{Link, Query, Slot, Update};
use crate::view::Drawn;

/// Everything that can happen to the console.
#[derive(Clone, Debug)]
pub enum Message {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Resize,
    /// Time passed.
    Tick,
    Update(Update),
    /// A frame was drawn: what lies where, and how long it took.
    Drawn(Drawn, Duration),
    /// We are back after Ctrl-Z, or the terminal was used by another program.
    Resumed,
    /// SIGTSTP from outside.
    Stopped,
    /// SIGTERM or SIGHUP, or the terminal is gone.
    Terminated,
}

/// What the screens want done. `run` does the terminal's part and hands every [`Ask`] to the transport.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Ask(Ask),
    /// Put this on the clipboard (OSC 52, so it works over SSH).
    Copy(String),
    /// Open `$EDITOR` at a `file:line:column`.
    Edit(String),
    /// Take the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Draw every cell anew.
    Redraw,
    /// Give the terminal back and stop, as Ctrl-Z does to a program that does not catch it.
    Suspend,
    Quit,
}

/// What the screens want from the transport, which must take it without waiting.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Ask this from now on; it replaces the slot's former question. After a reconnect the transport itself asks anew all
    /// that was asked and not taken back.
    Watch(Query),
    /// The slot's answers are no longer wanted.
    Unwatch(Slot),
    /// Send `Update::Events` from now on, or stop.
    Events(bool),
    /// Leave what is attached, if anything, and attach to this: an `App::target`.
    Connect(String),
    /// Try again now instead of at the end of the countdown.
    Retry,
    /// Have the app do this, and send `Update::Answer`.
    Command(Deed),
    /// Send `Update::Apps` now and whenever the list changes, until `Connect` or `Apps(false)`.
    Apps(bool),
}

/// Rows keep their places this long after they last changed them …
const RESORT_EVERY: Duration = Duration::from_secs(1);
/// … and this long after a key, so that nothing jumps away under a finger.
const RESORT_AFTER_KEY: Duration = Duration::from_millis(500);
/// How long a sentence stays in the footer.
const TOAST_STAYS: Duration = Duration::from_secs(4);

/// Does what a message asks. Nothing else changes the model.
pub fn update(model: &mut Model, message: Message, now: Duration) -> Vec<Effect> {
    model.ui.now = now;
    let mut effects = Vec::new();
    match message {
        Message::Key(event) if event.kind == KeyEventKind::Release => {}
        Message::Key(event) => {
            model.ui.last_key = Some(now);
            model.ui.dirty = true;
            effects = press(model, event);
        }
        Message::Mouse(event) => effects = mouse::mouse(model, event),
        Message::Paste(text) => {
            model.ui.dirty = true;
            layer::paste(model, &text);
        }
        Message::Resize => {
            model.ui.dirty = true;
        }
        Message::Resumed => {
            model.ui.dirty = true;
            effects.push(Effect::Redraw);
        }
        Message::Stopped => effects.push(Effect::Suspend),
        Message::Terminated => effects.push(Effect::Quit),
        Message::Tick => tick(model),
        Message::Drawn(drawn, took) => {
            model.ui.dirty = false;
            for (list, rows) in &drawn.rows {
                // What the selection's place on screen was reckoned with has changed: once more.
                if model.list(*list).rows != *rows {
                    model.list_mut(*list).rows = *rows;
                    model.ui.dirty = true;
                }
            }
            model.ui.drawn = drawn;
            model.ui.frame = Some(took);
        }
        Message::Update(update) => {
            model.ui.dirty = true;
            learn(model, update);
        }
    }
    follow::follow(model);
    wanted::ask(model, &mut effects);
    effects
}

/// When the next [`Message::Tick`] is due, after this one: soon while something on screen moves by itself.
pub fn tick_in(model: &Model) -> Duration {
    let held = ListId::ALL
        .iter()
        .any(|l| crate::model::page(&model.store, *l).is_held());
    let moving = !matches!(
        model.store.link,
        Some(Link::Live | Link::Ended { .. } | Link::VersionGap(_))
    );
    if held || moving || model.ui.toast.is_some() || model.ui.chord.is_some() {
        Duration::from_millis(100)
    } else {
        Duration::from_secs(1)
    }
}

fn press(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    let before = model.ui.chord.take();
    let at = model.at();
    if let Some(action) = keys::lookup(&event, at, before) {
        return act::act(model, action);
    }
    if let KeyCode::Char(c) = event.code {
        let plain = !event
            .modifiers
            .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        if plain && keys::begins_chord(c, at) {
            model.ui.chord = Some(c);
            return Vec::new();
        }
    }
    layer::typed(model, event);
    Vec::new()
}

/// Whether rows may change places now.
fn may_resort(model: &Model) -> bool {
    let since = |then: Option<Duration>| then.map(|t| model.ui.now.saturating_sub(t));
    since(model.ui.last_key).is_none_or(|d| d >= RESORT_AFTER_KEY)
        && since(model.ui.last_sort).is_none_or(|d| d >= RESORT_EVERY)
}

fn tick(model: &mut Model) {
    let now = model.ui.now;
    if model
        .ui
        .toast
        .as_ref()
        .is_some_and(|(_, at)| now.saturating_sub(*at) >= TOAST_STAYS)
    {
        model.ui.toast = None;
        model.ui.dirty = true;
    }
    if may_resort(model) {
        for list in ListId::ALL {
            let page = crate::model::page_mut(&mut model.store, list);
            if page.is_held() {
                page.settle(now);
                model.ui.last_sort = Some(now);
                model.ui.dirty = true;
            }
        }
    }
    // A spinner, a countdown, the age of a lost or frozen picture.
    if !model.store.is_live() || model.ui.frozen.is_some() || stale_since(model).is_some() {
        model.ui.dirty = true;
    }
}

/// How long nothing was heard, once that is longer than it should be.
pub fn stale_since(model: &Model) -> Option<Duration> {
    if model.store.recording().is_some() {
        // It says nothing as long as nothing is written, and the head says how old it is.
        return None;
    }
    let silence = model.ui.now.saturating_sub(model.store.heard_at?);
    (silence >= Duration::from_secs(3)).then_some(silence)
}

fn learn(model: &mut Model, update: Update) {
    let now = model.ui.now;
    let resort = may_resort(model);
    let is_view = matches!(update, Update::View(_));
    let run_before = model.store.hello.as_ref().map(|h| h.instance.clone());
    let choosing = matches!(update, Update::Link(Link::Choosing));
    if let Update::Answer(answer) = &update {
        control::answered(model, answer);
    }
    control::heard(model, &update);
    if let Some(said) = model.store.apply(update, now, resort) {
        model.ui.toast = Some((said, now));
    }
    if is_view
        && resort
        && ListId::ALL
            .iter()
            .all(|l| !crate::model::page(&model.store, *l).is_held())
    {
        model.ui.last_sort = Some(now);
    }
    if choosing
        && !model
            .ui
            .layers
            .iter()
            .any(|l| matches!(l, Layer::Apps { .. }))
    {
        model.ui.layers.push(Layer::Apps {
            input: Default::default(),
            cursor: 0,
        });
    }
    let run_now = model.store.hello.as_ref().map(|h| h.instance.clone());
    if run_before.is_some() && run_before != run_now {
        forget_run(model);
    }
}

/// Ids of another run mean nothing in this one; filters, sorts and columns stay.
fn forget_run(model: &mut Model) {
    for list in model.ui.lists.values_mut() {
        *list = List {
            rank: 0,
            id: None,
            top: 0,
            touched: false,
            find: None,
            ..std::mem::take(list)
        };
    }
    model.ui.detail = None;
    model.ui.awaits = None;
    // What was about to be done was about tasks of the other run.
    model
        .ui
        .layers
        .retain(|layer| !matches!(layer, Layer::Confirm { .. } | Layer::Budget { .. }));
    model.ui.crumbs.clear();
    model.ui.frozen = None;
    model.ui.zoom = false;
}

/// Says a sentence in the footer.
pub(crate) fn say(model: &mut Model, text: impl Into<String>) {
    model.ui.toast = Some((text.into(), model.ui.now));
    model.ui.dirty = true;
}

/// Whether an action would do anything now: the footer and the palette offer no others.
pub fn is_enabled(model: &Model, action: Action) -> bool {
    act::is_enabled(model, action)
}
