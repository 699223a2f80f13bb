//! The console's only loop: messages in, model updated, screen drawn, effects carried out. Knows neither what is on the
//! screens nor how an app is reached.

use std::sync::mpsc::Sender;

use crate::store::Update;
use crate::update::Ask;

/// Where the transport puts what it learns; any number of clones, from any thread.
#[derive(Clone, Debug)]
pub struct Inbox(Sender<Update>);

impl Inbox {
    /// An inbox that puts into `sender`; tests read the other end.
    pub fn new(sender: Sender<Update>) -> Self {
        Inbox(sender)
    }

    /// Hands an update to the screens, without waiting. `false`: the screens are gone, stop.
    pub fn send(&self, update: Update) -> bool {
        self.0.send(update).is_ok()
    }
}

/// The other side: finds apps, talks to one, and answers into the [`Inbox`] it was made with.
pub trait Transport {
    /// Takes a wish. Must return at once: the caller is the thread that draws.
    fn ask(&mut self, ask: Ask);
}
