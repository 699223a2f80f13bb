//! Tasks that can only be woken by each other. Knows only who holds whose wakers.

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

/// `deadlocked`, certain for joins, suspected for locks (a guard can be handed on): groups of
/// tasks that can only be woken by tasks of their own group or by tasks behind which nothing
/// moves.
///
/// A task can be woken if it can move, if one of its holders is no task, or if one of them is a
/// task that can be woken; a task that is not listed is taken to be able to move. Every unknown
/// thus makes a miss, never a false alarm. What is left cannot be woken. Groups are connected,
/// ascending by id; a task that simply has no holder (that is `stranded`) is only listed with
/// those behind it.
#[must_use]
pub fn deadlocked(tasks: &[Joined]) -> Vec<Vec<u64>> {
    let index: HashMap<u64, usize> = tasks
        .iter()
        .enumerate()
        .map(|(at, task)| (task.id, at))
        .collect();
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    let mut alive = vec![false; tasks.len()];
    let mut spread = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        let mut moves = task.can_move;
        for holder in &task.woken_by {
            match holder {
                Holder::Task(id) => match index.get(id) {
                    Some(holder) => behind[*holder].push(at),
                    None => moves = true,
                },
                Holder::Other => moves = true,
            }
        }
        if moves {
            alive[at] = true;
            spread.push(at);
        }
    }
    while let Some(at) = spread.pop() {
        for next in &behind[at] {
            if !alive[*next] {
                alive[*next] = true;
                spread.push(*next);
            }
        }
    }
    groups(tasks, &index, &behind, &alive)
}

fn groups(
    tasks: &[Joined],
    index: &HashMap<u64, usize>,
    behind: &[Vec<usize>],
    alive: &[bool],
) -> Vec<Vec<u64>> {
    let mut seen = alive.to_vec();
    let mut groups = Vec::new();
    for start in 0..tasks.len() {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut group = Vec::new();
        let mut todo = vec![start];
        while let Some(at) = todo.pop() {
            group.push(tasks[at].id);
            let holders = tasks[at].woken_by.iter().filter_map(|holder| match holder {
                Holder::Task(id) => index.get(id).copied(),
                Holder::Other => None,
            });
            for next in holders.chain(behind[at].iter().copied()) {
                if !std::mem::replace(&mut seen[next], true) {
                    todo.push(next);
                }
            }
        }
        let lone = tasks[start].woken_by.is_empty() && group.len() == 1;
        if !lone {
            group.sort_unstable();
            groups.push(group);
        }
    }
    groups
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
