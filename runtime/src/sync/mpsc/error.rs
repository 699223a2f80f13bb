//! Why a channel does not take or give an item.

use std::fmt;

use crate::record::bound::WrongLoop;

const CLOSED: &str =
    "the channel is closed: its receiver is gone, called `close`, or its loop ended";

/// Nobody will receive it; gives it back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Why `try_send` did not send the item, which it gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room now.
    Full(T),
    /// Nobody will receive it.
    Closed(T),
    /// Whether there is room is known on the channel's own loop only.
    WrongLoop(T, WrongLoop),
}

impl<T> TrySendError<T> {
    /// What was to be sent.
    pub fn into_item(self) -> T {
        match self {
            TrySendError::Full(item)
            | TrySendError::Closed(item)
            | TrySendError::WrongLoop(item, _) => item,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full",
            TrySendError::Closed(_) => "Closed",
            TrySendError::WrongLoop(..) => "WrongLoop",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySendError::Full(_) => f.write_str("the channel is full; `send` waits for room"),
            TrySendError::Closed(_) => f.write_str(CLOSED),
            TrySendError::WrongLoop(_, wrong) => write!(
                f,
                "whether there is room is known on the channel's own loop only; use `send` or `blocking_send`: {wrong}"
            ),
        }
    }
}

impl<T> std::error::Error for TrySendError<T> {}

/// Why `try_recv` gave no item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// There is no item now.
    Empty,
    /// There will be none: no sender is left, or the channel is closed.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "the channel is empty; `recv` waits for an item",
            TryRecvError::Closed => "the channel is empty and no sender is left, or it is closed",
        })
    }
}

impl std::error::Error for TryRecvError {}
