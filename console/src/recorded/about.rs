//! What is known of a recording itself: whose it is, how that process stands, of when its tables are, what it lost. In the words
//! that screens, one-shots and reports share. Knows no rows.

use loop_proto::recording::Kind;

use super::since::Since;
use crate::view::fmt;

/// A recording, as the screens know it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Where it lies.
    pub file: String,
    /// Written all the time, or at once.
    pub kind: Kind,
    /// Why a dump was written. Empty: nothing was said.
    pub reason: String,
    /// How the process stands.
    pub stands: Stands,
    /// It is read again as it grows.
    pub following: bool,
    /// The moment of the snapshot, on the app's clock. `None`: there is none.
    pub snapshot_ns: Option<u64>,
    /// The last event there is. `None`: there is none.
    pub last_event_ns: Option<u64>,
    /// When it said that it ends.
    pub ended_ns: Option<u64>,
    /// The wall clock at the app's zero, nanoseconds since 1970.
    pub wall_zero_ns: i128,
    /// Events ever recorded in its rings, and how many of them are not there any more.
    pub events: u64,
    pub overwritten: u64,
    /// Events of the inspector's own log, which no ring has.
    pub own_events: u64,
    /// What happened after the snapshot.
    pub since: Since,
    /// What is missing or cannot be read, a sentence each.
    pub doubts: Vec<String>,
}

/// How the process that wrote a recording stands, as far as it can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stands {
    /// A dump: it says nothing of what came after.
    #[default]
    Dumped,
    /// It is there.
    Runs,
    /// It is there and takes no step: stopped by a signal, or by a debugger.
    Stopped,
    /// It ended, and its parent has not heard of it.
    Zombie,
    /// It is not there any more, and did not say that it would go.
    Gone,
    /// It said that its main task panicked.
    Panicked,
    /// It said that its run returned, or took its recording away, as it does then.
    Ended,
    /// It was of another boot, or of another machine.
    Elsewhere,
}

impl Stands {
    /// In a few words.
    #[must_use]
    pub fn short(&self) -> &'static str {
        match self {
            Stands::Dumped => "a dump",
            Stands::Runs => "running",
            Stands::Stopped => "stopped by a signal",
            Stands::Zombie => "ended, not reaped",
            Stands::Gone => "killed or gone",
            Stands::Panicked => "main task panicked",
            Stands::Ended => "ended cleanly",
            Stands::Elsewhere => "of another boot",
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn long(&self) -> &'static str {
        match self {
            Stands::Dumped => "a dump, which says nothing of what came after it",
            Stands::Runs => "the process runs",
            Stands::Stopped => "the process is stopped, by a signal or a debugger",
            Stands::Zombie => "the process ended, and its parent has not reaped it yet",
            Stands::Gone => "the process is gone: killed, or it left without ending its run",
            Stands::Panicked => "the process ended by a panic of its main task",
            Stands::Ended => "the process ended cleanly: its run returned",
            Stands::Elsewhere => {
                "the process was of an earlier boot of this machine, or of another machine"
            }
        }
    }

    /// For scripts.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Stands::Dumped => "dump",
            Stands::Runs => "running",
            Stands::Stopped => "stopped",
            Stands::Zombie => "zombie",
            Stands::Gone => "gone",
            Stands::Panicked => "panicked",
            Stands::Ended => "ended",
            Stands::Elsewhere => "elsewhere",
        }
    }
}

impl About {
    /// The last moment of which anything is known.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.last_event_ns.max(self.snapshot_ns).unwrap_or(0)
    }

    /// A moment of the app's clock as `14:02:25.221` of the wall clock here, with its day where that is wanted.
    #[must_use]
    pub fn time(&self, app_ns: u64, utc_offset_s: i32, with_day: bool) -> String {
        let unix = self.wall_zero_ns + i128::from(app_ns);
        let local = unix + i128::from(utc_offset_s) * 1_000_000_000;
        let Ok(at) = jiff::Timestamp::from_nanosecond(local) else {
            return "an unknown time".to_owned();
        };
        let ms = local.rem_euclid(1_000_000_000) / 1_000_000;
        let form = if with_day {
            "%Y-%m-%d %H:%M:%S"
        } else {
            "%H:%M:%S"
        };
        format!("{}.{ms:03}", at.strftime(form))
    }

    /// `RECORDING of shop (pid 48211) · killed or gone · last event 14:02:25.221`.
    #[must_use]
    pub fn title(&self, name: &str, pid: u32, utc_offset_s: i32, with_day: bool) -> String {
        let last = match self.last_event_ns {
            Some(at) => format!("last event {}", self.time(at, utc_offset_s, with_day)),
            None => "no events".to_owned(),
        };
        // Whether it is followed is said where an app is said to be live.
        format!(
            "RECORDING of {name} (pid {pid}) · {} · {last}",
            self.stands.short()
        )
    }

    /// `tables as at 14:02:24.421, 0.8 s before the last event`.
    #[must_use]
    pub fn age(&self, utc_offset_s: i32, with_day: bool) -> String {
        let Some(at) = self.snapshot_ns else {
            return "no snapshot: only events are known".to_owned();
        };
        let time = self.time(at, utc_offset_s, with_day);
        match self.behind() {
            Some(span) => format!("tables as at {time}, {span} before the last event"),
            None => format!("tables as at {time}, after the last event"),
        }
    }

    /// `tables as at 14:02:24.421`.
    #[must_use]
    pub fn as_at(&self, utc_offset_s: i32) -> String {
        let at = self.snapshot_ns.unwrap_or_else(|| self.last_ns());
        format!("tables as at {}", self.time(at, utc_offset_s, false))
    }

    /// How much older the tables are than the last event. `None`: they are not, or there are none.
    #[must_use]
    pub fn behind(&self) -> Option<String> {
        let span = self.last_event_ns?.checked_sub(self.snapshot_ns?)?;
        (span > 0).then(|| fmt::span(span))
    }

    /// `since then 12 spawned, 9 ended`; empty: nothing of it.
    #[must_use]
    pub fn since(&self) -> String {
        let of =
            |count: u64, word: &str| (count > 0).then(|| format!("{} {word}", fmt::count(count)));
        let parts: Vec<String> = [
            of(self.since.spawned, "spawned"),
            of(self.since.ended, "ended"),
            of(self.since.blocks, "long polls"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            return String::new();
        }
        format!("since then {}", parts.join(", "))
    }

    /// `4,211 of 9,000 events overwritten`.
    #[must_use]
    pub fn losses(&self) -> String {
        match self.overwritten {
            0 => "0 events overwritten".to_owned(),
            gone => format!(
                "{} of {} events overwritten",
                fmt::count(gone),
                fmt::count(self.events)
            ),
        }
    }
}
