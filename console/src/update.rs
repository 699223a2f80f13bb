//! What a message does to the model, and what the screens then ask of the world. Pure: time comes in as `now`, and every
//! deed goes out as an [`Effect`]. Knows neither sockets nor the terminal.

use crate::store::Query;
use crate::store::Slot;

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
    /// Ask this from now on; it replaces the slot's former question, and must be asked anew by the transport itself after a
    /// reconnect to the same run.
    Watch(Query),
    /// The slot's answers are no longer wanted.
    Unwatch(Slot),
    /// Send `Update::Events` from now on, or stop.
    Events(bool),
    /// Leave what is attached, if anything, and attach to this: an `App::target`.
    Connect(String),
    /// Try again now instead of at the end of the countdown.
    Retry,
    /// Send `Update::Apps` now and whenever the list changes, until `Connect` or `Apps(false)`.
    Apps(bool),
}
