//! What is recorded, as a table of switches: `Hello` tells it, and the command `SetRecorded` turns it.
//! Another part's switch is one more line here. Knows none of what the switches switch.

use loop_proto::pb;

use super::shared::Shared;
use crate::inspect::stack::depot::depot;

/// Turns one thing on or off. Errors: why it cannot be.
type Turn = fn(&Shared, bool) -> Result<(), String>;

/// One thing that can be recorded.
struct Recording {
    what: &'static str,
    /// Whether it is recorded now, and what it costs or why it is off.
    state: fn(&Shared) -> (bool, String),
    /// Turns it on or off. `None`: it is always as it is. Errors: why it cannot be turned.
    turn: Option<Turn>,
}

const fn always(what: &'static str) -> Recording {
    Recording {
        what,
        state: |_| (true, String::new()),
        turn: None,
    }
}

const TABLE: &[Recording] = &[
    always("tasks"),
    always("wakes"),
    always("timers"),
    always("io"),
    always("jobs"),
    Recording {
        what: "events",
        state: |shared| {
            let streams = shared.feeds().streams();
            let detail = match streams {
                0 => "on while a viewer watches events".to_owned(),
                n => format!("for {n} stream{} of events", if n == 1 { "" } else { "s" }),
            };
            (streams > 0, detail)
        },
        turn: None,
    },
    Recording {
        what: "polls",
        state: |shared| {
            let on = shared.feeds().keeps_polls();
            let detail = if on {
                "each poll is an event; the newest 8192 are kept for who asks later: about 15 ns a poll"
            } else {
                "each poll is counted; as events only for a viewer that asks, or after `loop-console set polls=on`"
            };
            (on, detail.to_owned())
        },
        turn: Some(|shared, on| {
            shared.feeds().keep_polls(on);
            shared.keeping.raise();
            Ok(())
        }),
    },
    #[cfg(unix)]
    Recording {
        what: "dumps",
        state: |shared| {
            let words = shared.flight.log.causes().words();
            let detail = if words.is_empty() {
                "no file is written unless a viewer asks (`dump`) or LOOP_CONSOLE_DUMP_DIR names a directory"
                    .to_owned()
            } else {
                format!(
                    "a file at each {}, at most one a minute and cause",
                    words.join(", ")
                )
            };
            (!words.is_empty(), detail)
        },
        turn: Some(|shared, on| {
            shared.flight.turn(on);
            Ok(())
        }),
    },
    Recording {
        what: "spawn-stacks",
        state: |_| depot().sampling(),
        turn: Some(|_, on| depot().sample_spawns(on.then_some(1))),
    },
];

/// The table as it stands.
pub(crate) fn all(shared: &Shared) -> Vec<pb::Recorded> {
    let told = |recording: &Recording| {
        let (on, detail) = (recording.state)(shared);
        pb::Recorded {
            what: recording.what.to_owned(),
            on,
            detail,
        }
    };
    TABLE.iter().map(told).collect()
}

/// Turns something on or off. Errors: why it is not, as a sentence.
pub(crate) fn turn(shared: &Shared, what: &str, on: bool) -> Result<(), String> {
    if let Some(rate) = what.strip_prefix("spawn-stacks/") {
        let rate = rate.parse().ok().filter(|rate| *rate > 0);
        let rate = rate.ok_or("`spawn-stacks/N` takes one spawn of N, and N is a number from 1")?;
        return depot().sample_spawns(on.then_some(rate));
    }
    let Some(recording) = TABLE.iter().find(|recording| recording.what == what) else {
        let words: Vec<_> = TABLE
            .iter()
            .filter(|recording| recording.turn.is_some())
            .map(|recording| recording.what)
            .collect();
        return Err(format!(
            "nothing is recorded under that name; what can be turned: {}",
            words.join(", ")
        ));
    };
    match recording.turn {
        Some(turn) => turn(shared, on),
        None => {
            let (is_on, detail) = (recording.state)(shared);
            let is = if is_on { "on" } else { "off" };
            let detail = match detail.as_str() {
                "" => "it is always recorded",
                detail => detail,
            };
            Err(format!(
                "{what} cannot be turned {}; it is {is}: {detail}",
                { if on { "on" } else { "off" } }
            ))
        }
    }
}
