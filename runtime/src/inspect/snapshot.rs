//! What stands in a snapshot of a recording, and in which order: the little that says most first,
//! tables cut to their most telling rows last. Knows no file.

use loop_proto::pb;

use super::desk::Desk;
use super::detail::detail;
use super::tables::Look;
use super::texts::Sent;

/// Tasks that a snapshot has at most.
pub(crate) const TASKS: u32 = 10_000;
/// Rows of other tables.
const ROWS: u32 = 2_000;
/// Findings and blocks.
const FEW: u32 = 500;
/// Tasks of which all is told.
const DETAILS: usize = 64;

fn ask(target: pb::Target, sort: &str, limit: u32) -> pb::Query {
    pb::Query {
        slot: target as u32,
        target: target as i32,
        sort: sort.to_owned(),
        limit,
        ..pb::Query::default()
    }
}

/// What is asked for a snapshot, but for the tasks.
pub(crate) fn queries() -> Vec<pb::Query> {
    use pb::Target;
    vec![
        ask(Target::Overview, "", 1),
        ask(Target::Cost, "", 1),
        ask(Target::Loops, "", FEW),
        ask(Target::Findings, "", FEW),
        ask(Target::Blocks, "", FEW),
        ask(Target::Hour, "", FEW),
        ask(Target::Signals, "", FEW),
        ask(Target::Places, "", ROWS),
        ask(Target::Series, "", FEW),
        ask(Target::Children, "", FEW),
        ask(Target::Jobs, "", ROWS),
        ask(Target::Resources, "", ROWS),
        ask(Target::Timers, "", ROWS),
        ask(Target::Io, "", ROWS),
        ask(Target::History, "", ROWS),
    ]
}

/// Which tasks are asked for of `live` ones: one walk finds those of all orders.
pub(crate) fn tasks(live: u64) -> Vec<pb::Query> {
    let task = |sort, limit| ask(pb::Target::Tasks, sort, limit);
    if live <= TASKS.into() {
        return vec![task("", TASKS)];
    }
    // Those that wait longest, that worked most, and that came last.
    vec![
        task("-for", TASKS * 2 / 5),
        task("-busy-time", TASKS * 2 / 5),
        task("-id", TASKS / 5),
    ]
}

/// Whether a table is of what was: of it, less is no loss.
pub(crate) fn is_history(target: pb::Target) -> bool {
    use pb::Target;
    matches!(
        target,
        Target::History | Target::Hour | Target::Overview | Target::Cost | Target::Series
    )
}

/// Spawn places by loop and number, as events name them, and the texts that they and `own` use,
/// which are events of the inspector itself.
pub(crate) fn story(
    own: Vec<pb::Event>,
    desk: &mut Desk,
    sent: &mut Sent,
) -> (pb::EventBatch, Vec<(u32, u32, u32)>) {
    let look = Look::new(false);
    desk.texts.note();
    let mut sites = Vec::new();
    for at in &look.loops {
        for (number, row) in at.record.sites.all() {
            let text = desk.texts.place(row.place());
            if text != 0 {
                sites.push((at.record.id.get(), number, text));
            }
        }
    }
    super::events::touch(&own, &mut desk.texts);
    let batch = pb::EventBatch {
        interned: desk.texts.noted(sent),
        events: own,
        until_ns: look.now.mono,
        ..pb::EventBatch::default()
    };
    (batch, sites)
}

/// All about the tasks with which something is wrong, and those that block their loops.
pub(crate) fn details(desk: &mut Desk) -> Vec<pb::TaskDetail> {
    let mut ids: Vec<u64> = Look::new(false)
        .loops
        .iter()
        .filter_map(|at| desk.blocks.as_ref()?.now(at.record.id)?.task)
        .map(|task| task.id)
        .collect();
    let held = desk
        .judge
        .holds()
        .filter(|held| held.user && held.subject == pb::Kind::Task);
    ids.extend(held.map(|held| held.subject_id));
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(*id));
    ids.truncate(DETAILS);
    ids.into_iter()
        .filter_map(|id| detail(id, 0, false, desk))
        .collect()
}
