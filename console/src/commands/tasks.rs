//! The commands about tasks one by one: all about one, and who waits for whom.

use std::collections::HashSet;
use std::time::Duration;

use super::{
    leave_on_interrupt, not_answered, open, options, said, stopped, tell_recording, utc_offset,
};
use crate::cli::{Global, Tree};
use crate::exit::{Exit, Failure};
use crate::print::{Out, plain, task, tree};
use crate::store::decode::Decoder;
use crate::store::{Body, Table, TaskDetail};
use crate::transport::address::Target;
use crate::transport::connect::Connector;
use crate::transport::discover::Places;
use crate::transport::on_loop;
use crate::transport::pages::{self, Question, Reader};
use crate::transport::session::{Session, refused};

/// Trees that one print reads, at most: each is a question of its own.
const TREES: usize = 200;

/// How often an app that is finding something out is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// How often in all, for a task that may wait anew soon, and where debug information is being read.
const TRIES: u32 = 10;
const READING: u32 = 400;
/// And for names, which are looked up in the debug information too.
const NAMES: u32 = 100;

/// All about a task, with where it waits, if the app finds that out in time.
async fn read_with_stack(session: &Session, id: u64) -> Result<Option<TaskDetail>, Failure> {
    let mut tries = 0;
    loop {
        let Some(detail) = read(session, id, true).await? else {
            return Ok(None);
        };
        tries += 1;
        let awaiting = &detail.awaiting;
        let most = match (awaiting.reading, awaiting.asked) {
            (true, _) => READING,
            (_, true) => TRIES,
            _ => 0,
        };
        let unnamed = (detail.spawn_stack.first()).is_some_and(|frame| frame.function.is_empty());
        // A recording tells all that it knows at once.
        if session.recording().is_some()
            || tries >= most.max(if unnamed { NAMES } else { 0 })
            || !awaiting.stack.is_empty() && !unnamed
        {
            return Ok(Some(detail));
        }
        loop_runtime::sleep(AGAIN).await;
    }
}

async fn read(
    session: &Session,
    id: u64,
    await_stack: bool,
) -> Result<Option<TaskDetail>, Failure> {
    let detail = session.task(id, await_stack).await;
    let detail = detail.map_err(|status| stopped(&refused(&status)))?;
    Ok(detail.map(Decoder::task_detail))
}

fn gone(id: u64) -> Failure {
    Failure::usage(
        format!("There is no task {id}: it never was, or it ended too long ago."),
        "`loop-console tasks` lists those that live.",
    )
}

fn not_recorded(id: u64) -> Failure {
    Failure::usage(
        format!(
            "The recording does not know task {id}: it never was, ended too long ago, or its row found no room."
        ),
        "`loop-console events` may still tell of it.",
    )
}

pub(super) fn print_one(
    global: &Global,
    id: u64,
    word: Option<&str>,
    json: bool,
    out: Out,
) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let target = Target::read(word)?;
    let (options, global) = (options(global), global.clone());
    let text = on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        let detail = read_with_stack(&session, id).await?;
        let detail = detail.ok_or_else(|| match session.recording() {
            Some(_) => not_recorded(id),
            None => gone(id),
        })?;
        let hello = pages::hello(&session);
        if !json {
            tell_recording(&global, &hello);
        }
        let look = plain::look(&hello, detail.at_ns, utc_offset());
        Ok::<_, Failure>(if json {
            task::json(&detail, &hello)
        } else {
            task::text(&detail, &look, out)
        })
    })??;
    said(text)
}

pub(super) fn print_trees(global: &Global, wanted: Tree, out: Out) -> Result<Exit, Failure> {
    leave_on_interrupt()?;
    let target = Target::read(wanted.target.as_deref())?;
    let (options, global) = (options(global), global.clone());
    let text = on_loop(async move {
        let connector = Connector::new(options, Places::here());
        let session = open(&connector, &target).await?;
        let (details, left) = match wanted.of {
            Some(id) => (
                vec![read(&session, id, false).await?.ok_or_else(|| gone(id))?],
                0,
            ),
            None => roots(&session, &wanted.filter).await?,
        };
        let hello = pages::hello(&session);
        if !wanted.json {
            tell_recording(&global, &hello);
        }
        let at_ns = details.last().map_or(hello.now_ns, |detail| detail.at_ns);
        let look = plain::look(&hello, at_ns, utc_offset());
        Ok::<_, Failure>(if wanted.json {
            tree::json(&details, left, &hello)
        } else {
            tree::trees(&details, left, &look, out)
        })
    })??;
    said(text)
}

/// The trees of all tasks that match: those nobody waits for first, so that what waits is told
/// once, below who waits for it. And how many tasks were not read.
async fn roots(session: &Session, filter: &str) -> Result<(Vec<TaskDetail>, u64), Failure> {
    let question = Question {
        table: Table::Tasks,
        filter: filter.to_owned(),
        sort: "id".to_owned(),
        columns: Vec::new(),
        limit: None,
    };
    let first = Reader::begin(session, &question).await;
    let (_, whole) = first.map_err(|why| not_answered(filter, "", why))?;
    let Body::Tasks(rows) = whole.body else {
        return Ok((Vec::new(), 0));
    };
    let awaited: HashSet<u64> = (rows.rows.iter())
        .filter_map(|row| row.wait.as_ref())
        .filter_map(|wait| wait.awaited())
        .collect();
    let (inner, outer): (Vec<u64>, Vec<u64>) =
        (rows.rows.iter().map(|row| row.id)).partition(|id| awaited.contains(id));
    let mut told: HashSet<u64> = HashSet::new();
    let mut details = Vec::new();
    let mut left = 0;
    for id in outer.into_iter().chain(inner) {
        if told.contains(&id) {
            continue;
        }
        if details.len() == TREES {
            left += 1;
            continue;
        }
        // One that ended meanwhile has no tree.
        if let Some(mut detail) = read(session, id, false)
            .await?
            .filter(|d| d.row.ended.is_none())
        {
            told.insert(id);
            told.extend(detail.awaits.iter().filter_map(|step| step.on));
            // Whoever waits for it has a tree above, or is in a ring with it.
            detail.awaited_by.clear();
            detail.awaited_by_cut = 0;
            details.push(detail);
        }
    }
    Ok((details, left))
}
