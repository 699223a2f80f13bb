//! Locks that are taken in orders which could end in a circle. Knows only which lock was had when
//! which was taken.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// A lock was taken by a task that had another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockOrder {
    /// The lock that the task had.
    pub before: u64,
    /// The lock that it took, and would have waited for.
    pub after: u64,
    /// The task that was first seen to do it.
    pub task: u64,
    /// Other tasks did it too.
    pub by_others: bool,
    /// Further locks that were had each time.
    pub gates: Vec<u64>,
    /// More were had than `gates` tells.
    pub more_gates: bool,
}

/// A circle of more locks than this is not looked for.
const LONGEST: usize = 8;
/// So many circles are told.
const MOST: usize = 64;

/// `lock-order`: circles in which orders meet, as indices into `orders`, each beginning with its
/// lowest; the shortest through each order.
///
/// Tasks that take the locks of a circle at the same time may each get one and wait for the next for
/// ever. No circle is one that a single task made, since it cannot wait for itself, nor one all of
/// whose orders were taken under one further lock, which lets only one of them be under way.
#[must_use]
pub fn lock_circles(orders: &[LockOrder]) -> Vec<Vec<usize>> {
    let mut from: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, order) in orders.iter().enumerate() {
        from.entry(order.before).or_default().push(at);
    }
    let (mut seen, mut circles) = (BTreeSet::new(), Vec::new());
    for start in 0..orders.len() {
        let Some(mut circle) = shortest(orders, &from, start) else {
            continue;
        };
        let lowest = (0..circle.len()).min_by_key(|at| circle[*at]).unwrap_or(0);
        circle.rotate_left(lowest);
        if circles.len() < MOST && could_lock(orders, &circle) && seen.insert(circle.clone()) {
            circles.push(circle);
        }
    }
    circles
}

/// The fewest orders that lead back to the lock that `start` begins with.
fn shortest(
    orders: &[LockOrder],
    from: &HashMap<u64, Vec<usize>>,
    start: usize,
) -> Option<Vec<usize>> {
    let mut came: HashMap<u64, usize> = HashMap::from([(orders[start].after, start)]);
    let mut todo = VecDeque::from([(orders[start].after, 1)]);
    while let Some((lock, length)) = todo.pop_front() {
        if lock == orders[start].before {
            let mut circle = vec![came[&lock]];
            while circle[circle.len() - 1] != start {
                let before = orders[circle[circle.len() - 1]].before;
                circle.push(came[&before]);
            }
            circle.reverse();
            return Some(circle);
        }
        if length == LONGEST {
            continue;
        }
        for next in from.get(&lock).into_iter().flatten() {
            let after = orders[*next].after;
            if let Entry::Vacant(vacant) = came.entry(after) {
                vacant.insert(*next);
                todo.push_back((after, length + 1));
            }
        }
    }
    None
}

/// Whether tasks could take these at once.
fn could_lock(orders: &[LockOrder], circle: &[usize]) -> bool {
    let of = || circle.iter().map(|at| &orders[*at]);
    // What is not known of the gates makes a miss.
    if of().any(|order| order.more_gates) {
        return false;
    }
    let mut gates = of().next().map_or_else(Vec::new, |one| one.gates.clone());
    gates.retain(|gate| of().all(|order| order.gates.contains(gate)));
    let alone: Vec<u64> = of()
        .filter(|order| !order.by_others)
        .map(|order| order.task)
        .collect();
    let tasks: BTreeSet<u64> = alone.iter().copied().collect();
    gates.is_empty() && tasks.len() == alone.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(before: u64, after: u64, task: u64) -> LockOrder {
        LockOrder {
            before,
            after,
            task,
            ..LockOrder::default()
        }
    }

    #[test]
    fn two_orders_that_meet_are_a_circle_and_one_order_is_none() {
        let opposite = [order(1, 2, 10), order(2, 1, 11)];
        assert_eq!(lock_circles(&opposite), [[0, 1]]);
        let same = [order(1, 2, 10), order(1, 2, 11), order(2, 3, 12)];
        assert!(lock_circles(&same).is_empty());
    }

    #[test]
    fn a_circle_of_three_is_told_once_beside_one_of_two() {
        let three = [
            order(1, 2, 10),
            order(2, 3, 11),
            order(3, 1, 12),
            order(8, 9, 13),
            order(9, 8, 14),
        ];
        assert_eq!(lock_circles(&three), [vec![0, 1, 2], vec![3, 4]]);
    }

    #[test]
    fn one_task_alone_makes_no_circle_and_two_tasks_do() {
        let mut one = [order(1, 2, 10), order(2, 1, 10)];
        assert!(lock_circles(&one).is_empty());
        one[0].by_others = true;
        assert_eq!(lock_circles(&one), [[0, 1]]);
    }

    #[test]
    fn a_third_lock_that_is_had_each_time_keeps_them_apart() {
        let mut guarded = [order(1, 2, 10), order(2, 1, 11)];
        guarded[0].gates = vec![5, 7];
        guarded[1].gates = vec![6, 7];
        assert!(lock_circles(&guarded).is_empty());
        guarded[1].gates = vec![6];
        assert_eq!(lock_circles(&guarded), [[0, 1]]);
        guarded[1].more_gates = true;
        assert!(lock_circles(&guarded).is_empty(), "one of them may be 7");
    }

    #[test]
    fn circles_longer_than_is_looked_for_are_missed() {
        let ring = |locks: u64| -> Vec<LockOrder> {
            let next = |lock| (lock + 1) % locks;
            (0..locks)
                .map(|lock| order(lock, next(lock), lock))
                .collect()
        };
        assert_eq!(lock_circles(&ring(8)).len(), 1);
        assert!(lock_circles(&ring(9)).is_empty());
    }
}
