//! Values that have a grammar of their own (filters, sort keys, budgets, lists of names), read once, so that a wrong one is
//! refused before anything is connected.

use loop_proto::budget::Budget;
use loop_proto::filter::{Filter, ParseError};
use loop_proto::sort::Sort;
use loop_proto::table::Table;

use super::args::{CheckArgs, EventsArgs, ListArgs, SetArgs};
use super::{Check, Command, Deny, Do, Events, List, Subject, What, pointed};
use crate::exit::Failure;
use crate::store::control::Deed;

/// `set block=20ms`, `set polls=on`, or `set [TARGET]` to see what there is.
pub(super) fn set(args: SetArgs) -> Result<Command, Failure> {
    let (what, target) = match (args.what, args.target) {
        (Some(what), target) if what.contains('=') => (Some(what), target),
        // Without a `=` it can only be the app.
        (target, None) => (None, target),
        (what, target) => (what, target),
    };
    let Some(what) = what else {
        return Ok(Command::Recorded {
            target,
            json: args.json,
        });
    };
    Ok(Command::Do(Do {
        deed: setting(&what, args.loop_id)?,
        target,
        json: args.json,
    }))
}

/// `block=20ms`, or the name of a recording and on or off.
fn setting(text: &str, loop_id: Option<u64>) -> Result<Deed, Failure> {
    let wrong = |offset: usize, message: String| {
        let error = ParseError {
            offset,
            length: text.len() - offset,
            message,
            suggestion: None,
        };
        Err(pointed("set", text, &error))
    };
    let Some((key, value)) = text.split_once('=') else {
        return wrong(
            0,
            "Write block=20ms, or the name of a recording with =on or =off.".to_owned(),
        );
    };
    let (key, at) = (key.trim(), key.len() + 1);
    if key == "block" {
        return match crate::store::control::budget(value) {
            Ok(block) => Ok(Deed::Budget { loop_id, block }),
            Err(why) => wrong(at, format!("This is no budget: {why}.")),
        };
    }
    if loop_id.is_some() {
        return wrong(
            0,
            "--loop goes with block=…; a recording is of every loop.".to_owned(),
        );
    }
    let on = match value.trim() {
        "on" => true,
        "off" => false,
        _ => {
            let key = loop_proto::escape::escape(key, 64);
            return wrong(
                at,
                format!("Write {key}=on or {key}=off; only block=… takes a duration."),
            );
        }
    };
    Ok(Deed::Record {
        what: key.to_owned(),
        on,
    })
}

pub(super) fn list(what: What, args: ListArgs) -> Result<Command, Failure> {
    let table = what.table();
    Filter::parse(table, &args.filter)
        .map_err(|error| pointed("--filter", &args.filter, &error))?;
    let sort = args.sort.unwrap_or_default();
    Sort::parse(table, &sort).map_err(|error| pointed("--sort", &sort, &error))?;
    crate::print::columns::check(what, &args.columns)?;
    if args.watch.is_some_and(|every| every.is_zero()) {
        return Err(Failure::usage(
            "--watch 0s would never rest.",
            "Write --watch 1s.",
        ));
    }
    Ok(Command::List(List {
        what,
        target: args.target,
        filter: args.filter,
        sort,
        columns: args.columns,
        json: fields(args.json, crate::print::json::fields(what), what.word())?,
        watch: args.watch,
        limit: args.limit,
    }))
}

/// The fields of `--json=a,b`; a name that is none of the known ones is refused.
pub(super) fn fields(
    json: Option<String>,
    known: &[&str],
    command: &str,
) -> Result<Option<Vec<String>>, Failure> {
    let Some(text) = json else { return Ok(None) };
    let mut offset = 0;
    let mut out = Vec::new();
    for name in text.split(',').filter(|_| !text.is_empty()) {
        if !known.contains(&name.trim()) {
            let error = ParseError {
                offset,
                length: name.len(),
                message: format!(
                    "`{command}` has no such field; it has {}.",
                    known.join(", ")
                ),
                suggestion: loop_proto::suggest::nearest(name.trim(), known.iter().copied())
                    .map(str::to_owned),
            };
            return Err(pointed("--json", &text, &error));
        }
        out.push(name.trim().to_owned());
        offset += name.len() + 1;
    }
    Ok(Some(out))
}

pub(super) fn events(args: EventsArgs) -> Result<Command, Failure> {
    Filter::parse(Table::Events, &args.filter)
        .map_err(|error| pointed("--filter", &args.filter, &error))?;
    let mut kinds = Vec::new();
    let text = args.kind.join(",");
    let mut offset = 0;
    for word in &args.kind {
        let meant = crate::print::events::kinds(word.trim());
        if meant.is_empty() {
            let known: Vec<&str> = crate::print::events::words().collect();
            let error = ParseError {
                offset,
                length: word.len(),
                message: format!(
                    "There is no such kind of event; there are {}.",
                    known.join(", ")
                ),
                suggestion: loop_proto::suggest::nearest(word.trim(), known.iter().copied())
                    .map(str::to_owned),
            };
            return Err(pointed("--kind", &text, &error));
        }
        kinds.extend(meant);
        offset += word.len() + 1;
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Command::Events(Events {
        target: args.target,
        follow: args.follow,
        kinds,
        filter: args.filter,
        json: args.json,
    }))
}

pub(super) fn check(args: CheckArgs) -> Result<Command, Failure> {
    let budget =
        Budget::parse(&args.budget).map_err(|error| pointed("--budget", &args.budget, &error))?;
    let mut deny = Vec::new();
    let text = args.deny.join(",");
    let mut offset = 0;
    for word in &args.deny {
        let name = word.trim();
        deny.push(match name {
            "suspect" => Deny::Suspect,
            "warning" => Deny::Warning,
            _ => match loop_proto::pb::FindingName::from_word(name) {
                Some(name) => Deny::Name(name),
                None => {
                    let known: Vec<&str> = ["suspect", "warning"]
                        .into_iter()
                        .chain(loop_proto::pb::FindingName::ALL.map(|n| n.word()))
                        .collect();
                    let error = ParseError {
                        offset,
                        length: word.len(),
                        message: format!(
                            "Neither a grade nor a finding: there are {}.",
                            known.join(", ")
                        ),
                        suggestion: loop_proto::suggest::nearest(name, known.iter().copied())
                            .map(str::to_owned),
                    };
                    return Err(pointed("--deny", &text, &error));
                }
            },
        });
        offset += word.len() + 1;
    }
    let subject = if args.command.is_empty() {
        Subject::Target(args.target)
    } else {
        Subject::Command(args.command)
    };
    Ok(Command::Check(Check {
        subject,
        time: args.time,
        budget,
        deny,
        grace: args.grace,
        junit: args.junit,
        dumps: args.dumps,
        json: args.json,
        format: args.format,
    }))
}
