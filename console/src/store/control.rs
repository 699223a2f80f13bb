//! What a viewer has an app do, and what became of it. Knows neither key nor socket.

use std::time::Duration;

use loop_proto::pb;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Cancel {
        task: u64,
    },
    Nudge {
        task: u64,
    },
    /// `None`: of every loop.
    Budget {
        loop_id: Option<u64>,
        block: Duration,
    },
    Record {
        what: String,
        on: bool,
    },
    /// Look for findings now.
    Find,
}

/// What became of a deed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Became {
    Done,
    /// Its loop is busy: it is carried out when the loop turns, and an event tells.
    Queued,
    #[default]
    Refused,
}

impl Became {
    pub fn word(self) -> &'static str {
        match self {
            Became::Done => "done",
            Became::Queued => "queued",
            Became::Refused => "refused",
        }
    }
}

/// The app's answer to a deed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub became: Became,
    /// Which task a nudge or cancel was about.
    pub task: Option<u64>,
    /// What was asked, and of what, in the app's words.
    pub did: String,
    /// Why it was refused or queued.
    pub reason: String,
    /// For how long the loop has been busy with one thing.
    pub busy_ns: Option<u64>,
    pub nudged: Option<Nudged>,
    /// The budget that was set before.
    pub before_ns: Option<u64>,
    /// How many loops have another budget now.
    pub loops: u64,
}

/// What a nudge showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nudged {
    /// `waits-on`, `went-on`, `ended`, `was-awake`, `not-polled`, `others-too`.
    pub verdict: String,
    pub says: String,
    pub polls_before: u64,
    pub polls_after: u64,
}

impl Nudged {
    /// It looks as if a wake was lost.
    pub fn is_lost_wake(&self) -> bool {
        matches!(self.verdict.as_str(), "went-on" | "ended")
    }
}

impl Deed {
    /// The message that asks for it.
    pub fn request(&self, serial: u64) -> pb::CommandRequest {
        use pb::command_request::Action;
        let action = match self {
            Deed::Cancel { task } => Action::Cancel(pb::CancelTask { task_id: *task }),
            Deed::Nudge { task } => Action::Nudge(pb::NudgeTask { task_id: *task }),
            Deed::Budget { loop_id, block } => Action::SetBudget(pb::SetBudget {
                loop_id: *loop_id,
                block_ns: u64::try_from(block.as_nanos()).unwrap_or(u64::MAX),
            }),
            Deed::Record { what, on } => Action::SetRecorded(pb::SetRecorded {
                what: what.clone(),
                on: *on,
            }),
            Deed::Find => Action::FindNow(pb::FindNow {}),
        };
        pb::CommandRequest {
            serial,
            action: Some(action),
        }
    }

    /// The task that it is about.
    pub fn task(&self) -> Option<u64> {
        match self {
            Deed::Cancel { task } | Deed::Nudge { task } => Some(*task),
            _ => None,
        }
    }

    /// What it is, for people.
    pub fn words(&self) -> String {
        match self {
            Deed::Cancel { task } => format!("cancel task {task}"),
            Deed::Nudge { task } => format!("nudge task {task}"),
            Deed::Budget { loop_id, block } => {
                let of = loop_id.map_or("every loop".to_owned(), |id| format!("loop {id}"));
                format!(
                    "set the budget of {of} to {}",
                    humantime::format_duration(*block)
                )
            }
            Deed::Record { what, on } => {
                format!("record {what} {}", if *on { "on" } else { "off" })
            }
            Deed::Find => "look for findings".to_owned(),
        }
    }
}

impl Answer {
    /// Reads an answer to `deed`.
    pub fn of(deed: &Deed, reply: pb::CommandReply) -> Self {
        let became = match reply.status() {
            pb::CommandStatus::Done => Became::Done,
            pb::CommandStatus::Queued => Became::Queued,
            _ => Became::Refused,
        };
        let nudged = reply.nudged.map(|n| Nudged {
            verdict: match n.verdict() {
                pb::NudgeVerdict::WaitsOn => "waits-on",
                pb::NudgeVerdict::WentOn => "went-on",
                pb::NudgeVerdict::Ended => "ended",
                pb::NudgeVerdict::WasAwake => "was-awake",
                pb::NudgeVerdict::NotPolled => "not-polled",
                pb::NudgeVerdict::OthersToo => "others-too",
                pb::NudgeVerdict::Unspecified => "unknown",
            }
            .to_owned(),
            says: n.says,
            polls_before: n.polls_before,
            polls_after: n.polls_after,
        });
        Answer {
            became,
            task: deed.task(),
            did: if reply.did.is_empty() {
                deed.words()
            } else {
                reply.did
            },
            reason: reply.reason,
            busy_ns: reply.busy_ns,
            nudged,
            before_ns: reply.before_ns,
            loops: reply.loops.into(),
        }
    }

    /// One that the app could not give: it is refused, and why.
    pub fn refused(deed: &Deed, reason: impl Into<String>) -> Self {
        Answer {
            task: deed.task(),
            did: deed.words(),
            reason: reason.into(),
            ..Answer::default()
        }
    }

    /// The answer as a sentence.
    pub fn sentence(&self) -> String {
        let mut out = format!("{}: {}", self.did, self.became.word());
        if !self.reason.is_empty() {
            out.push_str(", ");
            out.push_str(&self.reason);
        }
        if let Some(before) = self.before_ns {
            let before = humantime::format_duration(Duration::from_nanos(before));
            out.push_str(&format!(" (it was {before})"));
        }
        if let Some(nudged) = &self.nudged {
            out.push_str(". ");
            out.push_str(&nudged.says);
        }
        out
    }
}

/// Why a budget of that text cannot be; else the budget. The bounds are the app's own.
pub fn budget(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let limit = humantime::parse_duration(text)
        .map_err(|_| "write a number and a unit: 20ms, 1s".to_owned())?;
    let (least, most) = (Duration::from_micros(100), Duration::from_secs(3600));
    if !(least..=most).contains(&limit) {
        return Err("a budget is between 100us and 1h".to_owned());
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_sentence_with_what_why_and_what_it_showed() {
        let nudge = Deed::Nudge { task: 7 };
        let reply = pb::CommandReply {
            status: pb::CommandStatus::Done as i32,
            did: "nudge task 7 worker (src/a.rs:1:2)".to_owned(),
            nudged: Some(pb::Nudged {
                verdict: pb::NudgeVerdict::Ended as i32,
                says: "A wake was lost.".to_owned(),
                ..pb::Nudged::default()
            }),
            ..pb::CommandReply::default()
        };
        let answer = Answer::of(&nudge, reply);
        assert!(answer.nudged.as_ref().is_some_and(Nudged::is_lost_wake));
        assert_eq!(
            answer.sentence(),
            "nudge task 7 worker (src/a.rs:1:2): done. A wake was lost."
        );
        let refused = Answer::refused(&Deed::Cancel { task: 9 }, "it has ended");
        assert_eq!(refused.sentence(), "cancel task 9: refused, it has ended");
        let queued = pb::CommandReply {
            status: pb::CommandStatus::Queued as i32,
            reason: "loop 0 is busy".to_owned(),
            ..pb::CommandReply::default()
        };
        let queued = Answer::of(&Deed::Cancel { task: 9 }, queued);
        assert_eq!(queued.became, Became::Queued);
        assert_eq!(queued.sentence(), "cancel task 9: queued, loop 0 is busy");
    }

    #[test]
    fn a_budget_is_a_duration_within_the_bounds() {
        assert_eq!(budget(" 20ms "), Ok(Duration::from_millis(20)));
        for (text, words) in [
            ("20", "a number and a unit"),
            ("", "a number and a unit"),
            ("0s", "between 100us and 1h"),
            ("99us", "between 100us and 1h"),
            ("2h", "between 100us and 1h"),
        ] {
            let why = budget(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn every_deed_asks_for_what_it_says() {
        use pb::command_request::Action;
        let of = |deed: &Deed| deed.request(3).action.unwrap();
        let budget = Deed::Budget {
            loop_id: Some(2),
            block: Duration::from_millis(20),
        };
        assert_eq!(budget.words(), "set the budget of loop 2 to 20ms");
        let Action::SetBudget(set) = of(&budget) else {
            panic!("a budget");
        };
        assert_eq!((set.loop_id, set.block_ns), (Some(2), 20_000_000));
        let record = Deed::Record {
            what: "polls".to_owned(),
            on: true,
        };
        assert_eq!(record.words(), "record polls on");
        let Action::SetRecorded(set) = of(&record) else {
            panic!("a switch");
        };
        assert!(set.on && set.what == "polls");
    }
}
