//! One task's page from a recording: the one that was written, or what its row and the rows of others tell. Knows no screen.

use std::collections::HashSet;

use loop_proto::pb::{self, Target};

use super::Answers;

/// Steps that an await tree has at most, and how deep it is: as an app cuts them.
const STEPS: usize = 256;
const DEEP: u32 = 32;
/// Children and resources on one page.
const MANY: usize = 1_000;

/// Why a page has less than an app's would.
const ROWS_ONLY: &str = "the recording has this task's row and those that name it, not its page: polls by duration, stacks and logs were not written";

impl Answers {
    /// All about one task. `None`: the recording does not know it.
    pub fn task(&self, id: u64) -> Option<pb::TaskDetail> {
        if let Some(detail) = self.details.get(&id) {
            return Some(detail.clone());
        }
        let task = self.row(id)?.clone();
        let rows = |target: Target| self.table(target);
        fn of<'a, M: Clone + 'a>(
            view: Option<&'a pb::View>,
            list: impl Fn(&'a pb::View) -> &'a Vec<M>,
            wanted: impl Fn(&M) -> bool,
        ) -> Vec<M> {
            let rows = view.into_iter().flat_map(list);
            rows.filter(|row| wanted(row)).take(MANY).cloned().collect()
        }
        let mut parents = Vec::new();
        let mut seen = HashSet::from([id]);
        let mut parent = task.parent_id;
        while let Some(row) = self.row(parent).filter(|row| seen.insert(row.id)) {
            parents.push(row.clone());
            parent = row.parent_id;
        }
        let live = rows(Target::Tasks);
        let children = of(
            live,
            |view| &view.tasks,
            |row| row.parent_id == id && row.ended_at_ns.is_none(),
        );
        let blocks = of(
            rows(Target::Blocks),
            |view| &view.blocks,
            |row| row.task_id == id,
        );
        let (blocking, blocks): (Vec<_>, Vec<_>) = blocks
            .into_iter()
            .partition(|block| block.ended_at_ns.is_none());
        let waits: Vec<pb::Wait> = task.waiting_on.iter().cloned().collect();
        let (awaits, awaits_cut) = self.awaits(&task);
        let joined_by = of(
            live,
            |view| &view.tasks,
            |row| {
                let wait = row.waiting_on.as_ref();
                wait.is_some_and(|wait| wait.kind() == pb::WaitKind::Task && wait.id == id)
            },
        );
        Some(pb::TaskDetail {
            at_ns: self.at(live),
            interned: self.interned.clone(),
            waits,
            parents,
            children_total: children.len() as u64,
            children,
            findings: of(
                rows(Target::Findings),
                |view| &view.findings,
                |row| row.subject_kind() == pb::Kind::Task && row.subject_id == id,
            ),
            blocking: blocking.into_iter().next(),
            blocks,
            timers: of(
                rows(Target::Timers),
                |view| &view.timers,
                |row| row.owner_id == id,
            ),
            io: of(rows(Target::Io), |view| &view.io, |row| row.task_id == id),
            jobs: of(
                rows(Target::Jobs),
                |view| &view.jobs,
                |row| row.task_id == id,
            ),
            resources: of(
                rows(Target::Resources),
                |view| &view.resources,
                |row| row.holder_task_id == Some(id) || row.owner_id == id,
            ),
            processes: of(
                rows(Target::Children),
                |view| &view.children,
                |row| row.task_id == id,
            ),
            joined_by: joined_by.iter().map(|row| row.id).collect(),
            busy: task.busy_strip.clone(),
            await_why: ROWS_ONLY.to_owned(),
            spawn_why: "the recording has the place alone".to_owned(),
            awaits,
            awaits_cut,
            task: Some(task),
            ..pb::TaskDetail::default()
        })
    }

    /// A task's row, alive or ended.
    fn row(&self, id: u64) -> Option<&pb::TaskRow> {
        let tables = [Target::Tasks, Target::History];
        let rows = tables
            .into_iter()
            .filter_map(|target| self.table(target))
            .flat_map(|view| &view.tasks);
        // A parent is 0 where there is none.
        rows.filter(|_| id != 0).find(|row| row.id == id)
    }

    /// What it waits for, and what the tasks behind that wait for, as far as rows tell: each the first thing it waits for.
    fn awaits(&self, task: &pb::TaskRow) -> (Vec<pb::AwaitStep>, u32) {
        let mut steps: Vec<pb::AwaitStep> = Vec::new();
        let mut met = HashSet::from([task.id]);
        let mut here = Some(task);
        while let Some(row) = here.take() {
            let Some(wait) = &row.waiting_on else { break };
            let depth = steps.len() as u32 + 1;
            if steps.len() == STEPS || depth > DEEP {
                return (steps, 1);
            }
            let on = match wait.kind() {
                pb::WaitKind::Task => wait.id,
                _ => wait.holder_task_id.unwrap_or(0),
            };
            let next = self.row(on);
            let ring = on != 0 && !met.insert(on);
            steps.push(pb::AwaitStep {
                depth,
                task_id: row.id,
                task_name: row.name.clone(),
                wait: Some(wait.clone()),
                on_task_id: on,
                on_task_name: next.and_then(|row| row.name.clone()),
                on_task_state: next.map_or(0, |row| row.state),
                ring,
            });
            here = next.filter(|_| !ring);
        }
        (steps, 0)
    }
}
