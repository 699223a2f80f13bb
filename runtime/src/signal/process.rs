//! What a signal does in the whole process: its default again once nobody listens any more.
//!
//! A handler of the kernel's stays once it was set, so the default is emulated: an action that is
//! registered before all others asks whether anybody listens. Knows no loops.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::FORBIDDEN;
use signal_hook::flag;

/// Listeners of one signal, in all loops.
struct Heard {
    /// Read by the signal's handler.
    by_nobody: Arc<AtomicBool>,
    listeners: usize,
}

static HEARD: Mutex<Option<HashMap<i32, Heard>>> = Mutex::new(None);

/// One listener of a signal; when the last one is dropped, the signal's default is back.
#[derive(Debug)]
pub(super) struct Listening {
    signal: i32,
}

impl Listening {
    /// Errors: a signal that cannot be caught, or that has no default known here.
    pub(super) fn new(signal: i32) -> io::Result<Self> {
        if FORBIDDEN.contains(&signal) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "signal {signal} cannot be handled: the kernel does not allow it, or the \
                     program cannot go on after it"
                ),
            ));
        }
        let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = heard.get_or_insert_default();
        let entry = match heard.entry(signal) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let by_nobody = Arc::new(AtomicBool::new(false));
                flag::register_conditional_default(signal, by_nobody.clone()).map_err(|error| {
                    io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("signal {signal} cannot be handled: {error}"),
                    )
                })?;
                entry.insert(Heard {
                    by_nobody,
                    listeners: 0,
                })
            }
        };
        entry.listeners += 1;
        entry.by_nobody.store(false, Ordering::SeqCst);
        Ok(Self { signal })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = heard.as_mut().and_then(|all| all.get_mut(&self.signal)) {
            entry.listeners -= 1;
            if entry.listeners == 0 {
                entry.by_nobody.store(true, Ordering::SeqCst);
            }
        }
    }
}
