//! Tasks that can only be woken by each other. Knows only who could wake whom.

use std::collections::HashMap;

/// Who holds the wakers of a waiting task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A task: it wakes this one by ending, or by letting go of what this one waits for.
    Task(u64),
    /// Anything else, or not known: a timer, a source, another thread, foreign code.
    Other,
}

/// A task as this rule sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its id.
    pub id: u64,
    /// It runs, is queued, or somebody outside any task has a handle and may cancel it.
    pub can_move: bool,
    /// Who could wake it. Empty: nobody.
    pub woken_by: Vec<Holder>,
}

/// In place of an id.
const THING: u64 = u64::MAX;

/// Who could wake whom, by number: tasks, and things between them such as a semaphore, whose
/// holders and waiters all could wake who waits for it. A few words a task, so that a million fit.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    ids: Vec<u64>,
    moves: Vec<bool>,
    /// Who waits, and who could wake it.
    edges: Vec<(u32, u32)>,
}

impl Waits {
    /// With room for so many tasks.
    #[must_use]
    pub fn for_tasks(tasks: usize) -> Self {
        Self {
            ids: Vec::with_capacity(tasks),
            moves: Vec::with_capacity(tasks),
            edges: Vec::with_capacity(tasks),
        }
    }

    /// Adds a task, and gives its number.
    pub fn task(&mut self, id: u64) -> u32 {
        let number = u32::try_from(self.ids.len()).expect("fewer than four billion tasks wait");
        self.ids.push(id);
        self.moves.push(false);
        number
    }

    /// Adds a thing, and gives its number.
    pub fn thing(&mut self) -> u32 {
        self.task(THING)
    }

    /// It can move, or not all is known of it.
    pub fn moves(&mut self, number: u32) {
        self.moves[number as usize] = true;
    }

    /// `by` could wake `waiter`.
    pub fn woken_by(&mut self, waiter: u32, by: u32) {
        self.edges.push((waiter, by));
    }

    /// Who can be woken, by number: whoever can move, and whoever could be woken by one who can be.
    #[must_use]
    pub fn alive(&self) -> Vec<bool> {
        self.spread().0
    }

    fn spread(&self) -> (Vec<bool>, Behind) {
        let mut alive = self.moves.clone();
        let behind = Behind::of(
            self.ids.len(),
            self.edges.iter().map(|edge| (edge.1, edge.0)),
        );
        let mut spread: Vec<u32> = (0..self.ids.len() as u32)
            .filter(|at| alive[*at as usize])
            .collect();
        while let Some(at) = spread.pop() {
            for next in behind.of_node(at) {
                if !std::mem::replace(&mut alive[*next as usize], true) {
                    spread.push(*next);
                }
            }
        }
        (alive, behind)
    }

    /// `deadlocked`: groups of tasks that can only be woken by tasks of their own group or by tasks
    /// behind which nothing moves.
    ///
    /// A task can be woken if it can move, or if anybody who could wake it can be woken. Every
    /// unknown is somebody who can move, so it makes a miss, never a false alarm. What is left cannot
    /// be woken. Groups are connected, ascending by id; a task that simply has nobody (that is
    /// `stranded`) is only listed with those behind it. Time and memory grow with tasks and edges.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<u64>> {
        if self.moves.iter().all(|moves| *moves) {
            return Vec::new();
        }
        let (alive, behind) = self.spread();
        if alive.iter().all(|alive| *alive) {
            return Vec::new();
        }
        self.connected(alive, &behind)
    }

    /// The groups among those that are not `seen`.
    fn connected(&self, mut seen: Vec<bool>, behind: &Behind) -> Vec<Vec<u64>> {
        let dead = |edge: &&(u32, u32)| !seen[edge.0 as usize] && !seen[edge.1 as usize];
        let edges: Vec<(u32, u32)> = self.edges.iter().filter(dead).copied().collect();
        let before = Behind::of(self.ids.len(), edges.into_iter());
        let (mut groups, mut todo) = (Vec::new(), Vec::new());
        for start in 0..self.ids.len() as u32 {
            if std::mem::replace(&mut seen[start as usize], true) {
                continue;
            }
            todo.push(start);
            let (mut group, mut members) = (Vec::new(), 0);
            while let Some(at) = todo.pop() {
                members += 1;
                group.extend(Some(self.ids[at as usize]).filter(|id| *id != THING));
                for next in before.of_node(at).iter().chain(behind.of_node(at)) {
                    if !std::mem::replace(&mut seen[*next as usize], true) {
                        todo.push(*next);
                    }
                }
            }
            let lone = members == 1 && before.of_node(start).is_empty();
            if !lone && !group.is_empty() {
                group.sort_unstable();
                groups.push(group);
            }
        }
        groups
    }
}

/// For each node those that an edge leads to, in one vector.
struct Behind {
    starts: Vec<u32>,
    nodes: Vec<u32>,
}

impl Behind {
    fn of(nodes: usize, edges: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0u32; nodes + 1];
        for (from, _) in edges.clone() {
            starts[from as usize + 1] += 1;
        }
        for at in 0..nodes {
            starts[at + 1] += starts[at];
        }
        let (mut next, mut to) = (starts.clone(), vec![0; starts[nodes] as usize]);
        for (from, other) in edges {
            let at = &mut next[from as usize];
            to[*at as usize] = other;
            *at += 1;
        }
        Self { starts, nodes: to }
    }

    fn of_node(&self, at: u32) -> &[u32] {
        let at = at as usize;
        &self.nodes[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// `Waits::groups` of tasks that name who could wake them by id; a task that is not listed is taken
/// to be able to move.
#[must_use]
pub fn deadlocked(tasks: &[Joined]) -> Vec<Vec<u64>> {
    let mut waits = Waits::for_tasks(tasks.len());
    let numbers: HashMap<u64, u32> = tasks
        .iter()
        .map(|task| (task.id, waits.task(task.id)))
        .collect();
    for task in tasks {
        let number = numbers[&task.id];
        if task.can_move {
            waits.moves(number);
        }
        for holder in &task.woken_by {
            match holder {
                Holder::Task(id) if numbers.contains_key(id) => {
                    waits.woken_by(number, numbers[id]);
                }
                Holder::Task(_) | Holder::Other => waits.moves(number),
            }
        }
    }
    waits.groups()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waits(id: u64, holders: &[u64]) -> Joined {
        Joined {
            id,
            can_move: false,
            woken_by: holders.iter().map(|id| Holder::Task(*id)).collect(),
        }
    }

    #[test]
    fn a_cycle_of_joins_is_found() {
        assert_eq!(deadlocked(&[waits(1, &[2]), waits(2, &[1])]), [[1, 2]]);
        assert_eq!(deadlocked(&[waits(1, &[1])]), [[1]]);
    }

    #[test]
    fn a_chain_behind_a_stranded_task_is_found_and_the_stranded_task_alone_is_not() {
        assert_eq!(
            deadlocked(&[waits(3, &[2]), waits(2, &[1]), waits(1, &[])]),
            [[1, 2, 3]]
        );
        assert_eq!(deadlocked(&[waits(1, &[])]), Vec::<Vec<u64>>::new());
    }

    #[test]
    fn one_way_out_frees_all_behind_it() {
        let mut out = waits(2, &[1]);
        out.woken_by.push(Holder::Other);
        assert!(deadlocked(&[waits(1, &[2]), out, waits(3, &[1])]).is_empty());
        assert!(
            deadlocked(&[
                waits(1, &[2]),
                Joined {
                    can_move: true,
                    ..waits(2, &[1])
                }
            ])
            .is_empty()
        );
        // Nothing is known of task 99, so it may move.
        assert!(deadlocked(&[waits(1, &[2]), waits(2, &[1, 99])]).is_empty());
    }

    #[test]
    fn groups_that_do_not_touch_are_apart() {
        let tasks = [
            waits(1, &[2]),
            waits(2, &[1]),
            waits(5, &[6]),
            waits(6, &[5]),
            waits(7, &[5]),
        ];
        assert_eq!(deadlocked(&tasks), [vec![1, 2], vec![5, 6, 7]]);
    }

    #[test]
    fn whoever_has_or_wants_a_permit_could_wake_who_wants_one() {
        let semaphore = |movers: &[usize]| {
            let mut waits = Waits::default();
            let pool = waits.thing();
            for id in 1..=3 {
                let task = waits.task(id);
                waits.woken_by(task, pool);
                waits.woken_by(pool, task);
            }
            for mover in movers {
                waits.moves(*mover as u32);
            }
            waits.groups()
        };
        assert_eq!(semaphore(&[]), [[1, 2, 3]]);
        assert!(semaphore(&[2]).is_empty());
        let mut alone = Waits::default();
        alone.thing();
        assert!(alone.groups().is_empty(), "a thing alone is nobody");
    }

    proptest! {
        #[test]
        fn nothing_in_a_group_has_a_way_out(edges in prop::collection::vec((0u64..20, 0u64..25), 0..60), movers in prop::collection::vec(0u64..20, 0..4)) {
            let tasks: Vec<Joined> = (0..20)
                .map(|id| {
                    let holders: Vec<u64> = edges.iter().filter(|edge| edge.0 == id).map(|edge| edge.1).collect();
                    Joined { can_move: movers.contains(&id), ..waits(id, &holders) }
                })
                .collect();
            let dead: Vec<u64> = deadlocked(&tasks).concat();
            for id in &dead {
                let task = &tasks[*id as usize];
                prop_assert!(!task.can_move);
                for holder in &task.woken_by {
                    prop_assert!(matches!(holder, Holder::Task(other) if dead.contains(other)));
                }
            }
            // And whoever is not in one has a way out, or nobody who holds it.
            let free = |holder: &Holder| match holder {
                Holder::Task(other) => !dead.contains(other),
                Holder::Other => true,
            };
            for task in tasks.iter().filter(|task| !dead.contains(&task.id)) {
                let excused = task.can_move || task.woken_by.is_empty() || task.woken_by.iter().any(free);
                prop_assert!(excused);
            }
        }
    }
}
