//! Tasks in the order of their descent: each below the one that spawned it. Knows only ids.

use std::collections::{HashMap, HashSet};

use super::{Below, Rows, TaskRow};

/// A tree as it was read, and which of its tasks stand for all that lies below them.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    whole: Rows<TaskRow>,
    folded: HashSet<u64>,
    /// The app's clock at that answer.
    pub at_ns: u64,
}

impl Tree {
    /// Takes an answer in. Who is gone is not remembered as folded.
    pub fn take(&mut self, rows: Rows<TaskRow>, at_ns: u64) {
        self.whole = grow(rows);
        self.at_ns = at_ns;
        if !self.folded.is_empty() {
            let here: HashSet<u64> = self.whole.rows.iter().map(|t| t.id).collect();
            self.folded.retain(|id| here.contains(id));
        }
    }

    /// Tasks that were read, folded ones included.
    pub fn read(&self) -> u64 {
        self.whole.rows.len() as u64
    }

    /// Folds what lies below task `id`; of one that has nothing to fold, what lies below its parent.
    /// Gives the task that stands for it then. `None`: there is nothing to fold.
    pub fn fold(&mut self, id: u64) -> Option<u64> {
        let at = self.whole.rows.iter().position(|t| t.id == id)?;
        let has_more = |t: &TaskRow| t.below.is_some_and(|below| below.tasks > 0);
        let depth = self.whole.rows[at].depth;
        let to = if has_more(&self.whole.rows[at]) && !self.folded.contains(&id) {
            id
        } else {
            // In a tree's order the parent is the last one before it that is less deep.
            self.whole.rows[..at].iter().rfind(|t| t.depth < depth)?.id
        };
        self.folded.insert(to);
        Some(to)
    }

    /// Unfolds task `id`; false if it is not folded.
    pub fn unfold(&mut self, id: u64) -> bool {
        self.folded.remove(&id)
    }

    /// What is to be seen of it.
    pub fn seen(&self) -> Rows<TaskRow> {
        let mut rows = Vec::new();
        let mut hidden_below = None;
        for task in &self.whole.rows {
            if hidden_below.is_some_and(|depth| task.depth > depth) {
                continue;
            }
            let folded = self.folded.contains(&task.id);
            hidden_below = folded.then_some(task.depth);
            rows.push(TaskRow {
                below: task.below.map(|below| Below { folded, ..below }),
                ..task.clone()
            });
        }
        Rows {
            matched: rows.len() as u64,
            offset: 0,
            rows,
            ..rows_head(self.whole.total, self.whole.torn)
        }
    }
}

/// Puts rows into tree order and says how deep each lies. One whose parent is not among them stands at the root.
///
/// `total` stays what the app counted; `matched` becomes what is here, since only that can be scrolled.
pub fn grow(rows: Rows<TaskRow>) -> Rows<TaskRow> {
    let here: HashSet<u64> = rows.rows.iter().map(|t| t.id).collect();
    let mut kids: HashMap<Option<u64>, Vec<usize>> = HashMap::new();
    for (index, task) in rows.rows.iter().enumerate() {
        let parent = task.parent.filter(|p| here.contains(p) && *p != task.id);
        kids.entry(parent).or_default().push(index);
    }
    let mut order: Vec<(usize, u16)> = Vec::with_capacity(rows.rows.len());
    // An app's ids are hostile too: a ring of parents has no root, and must not be walked for ever.
    let mut seen = vec![false; rows.rows.len()];
    let mut open: Vec<(usize, u16)> = Vec::new();
    let push = |open: &mut Vec<(usize, u16)>, of: Option<u64>, depth: u16| {
        open.extend(
            kids.get(&of)
                .into_iter()
                .flatten()
                .rev()
                .map(|i| (*i, depth)),
        );
    };
    push(&mut open, None, 0);
    loop {
        while let Some((index, depth)) = open.pop() {
            if !std::mem::replace(&mut seen[index], true) {
                order.push((index, depth));
                push(
                    &mut open,
                    Some(rows.rows[index].id),
                    depth.saturating_add(1),
                );
            }
        }
        match seen.iter().position(|s| !s) {
            Some(in_a_ring) => open.push((in_a_ring, 0)),
            None => break,
        }
    }
    let below = sums(&rows.rows, &order);
    let mut from: Vec<Option<TaskRow>> = rows.rows.into_iter().map(Some).collect();
    let grown: Vec<TaskRow> = order
        .into_iter()
        .zip(below)
        .filter_map(|((index, depth), below)| {
            let below = Some(below);
            from[index].take().map(|t| TaskRow { depth, below, ..t })
        })
        .collect();
    Rows {
        matched: grown.len() as u64,
        offset: 0,
        rows: grown,
        ..rows_head(rows.total, rows.torn)
    }
}

/// What lies below each row of a tree, in the tree's order.
fn sums(rows: &[TaskRow], order: &[(usize, u16)]) -> Vec<Below> {
    let mut all = vec![Below::default(); order.len()];
    // The rows whose subtree is still open, the deepest last.
    let mut open: Vec<usize> = Vec::new();
    for (at, (index, depth)) in order.iter().enumerate() {
        while open.last().is_some_and(|above| order[*above].1 >= *depth) {
            open.pop();
        }
        let row = &rows[*index];
        all[at].busy_ns = row.busy_ns;
        for above in &open {
            let above = &mut all[*above];
            above.tasks += 1;
            above.busy_ns = above.busy_ns.saturating_add(row.busy_ns);
            above.found += u64::from(!row.findings.is_empty());
        }
        open.push(at);
    }
    all
}

fn rows_head(total: u64, torn: bool) -> Rows<TaskRow> {
    Rows {
        total,
        torn,
        ..Rows::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(of: &[(u64, Option<u64>)]) -> Rows<TaskRow> {
        let rows = of
            .iter()
            .map(|(id, parent)| TaskRow {
                id: *id,
                parent: *parent,
                ..TaskRow::default()
            })
            .collect();
        Rows {
            total: 90,
            matched: 80,
            rows,
            ..Rows::default()
        }
    }

    fn grown(of: &[(u64, Option<u64>)]) -> Vec<(u64, u16)> {
        grow(tasks(of))
            .rows
            .iter()
            .map(|t| (t.id, t.depth))
            .collect()
    }

    #[test]
    fn children_follow_their_parent_in_their_order() {
        let of = [
            (1, None),
            (2, None),
            (3, Some(1)),
            (4, Some(2)),
            (5, Some(1)),
            (6, Some(3)),
        ];
        assert_eq!(grown(&of), [(1, 0), (3, 1), (6, 2), (5, 1), (2, 0), (4, 1)]);
    }

    #[test]
    fn one_whose_parent_is_elsewhere_is_a_root() {
        assert_eq!(grown(&[(5, Some(99)), (6, Some(5))]), [(5, 0), (6, 1)]);
    }

    #[test]
    fn each_row_sums_what_lies_below_it() {
        let mut rows = tasks(&[
            (1, None),
            (2, Some(1)),
            (3, Some(2)),
            (4, Some(1)),
            (5, None),
        ]);
        for row in &mut rows.rows {
            row.busy_ns = 10_u64.pow(row.id as u32 - 1);
        }
        rows.rows[2].findings = vec!["stranded".to_owned()];
        let below: Vec<_> = (grow(rows).rows.iter())
            .map(|t| t.below.map(|b| (t.id, b.tasks, b.busy_ns, b.found)))
            .collect();
        let expected = [
            (1, 3, 1_111, 1),
            (2, 1, 110, 1),
            (3, 0, 100, 0),
            (4, 0, 1_000, 0),
            (5, 0, 10_000, 0),
        ];
        assert_eq!(below, expected.map(Some));
    }

    #[test]
    fn a_folded_task_stands_for_all_below_it_until_it_is_unfolded() {
        let mut tree = Tree::default();
        let of = [
            (1, None),
            (2, Some(1)),
            (3, Some(2)),
            (4, Some(1)),
            (5, None),
        ];
        tree.take(tasks(&of), 9);
        let seen = |tree: &Tree| -> Vec<(u64, bool)> {
            let rows = tree.seen().rows;
            let is_folded = |t: &TaskRow| t.below.is_some_and(|below| below.folded);
            rows.iter().map(|t| (t.id, is_folded(t))).collect()
        };
        assert_eq!(tree.fold(2), Some(2));
        let one = [(1, false), (2, true), (4, false), (5, false)];
        assert_eq!(seen(&tree), one);
        assert_eq!((tree.read(), tree.seen().matched), (5, 4));
        // The sums are of all that lies below, seen or not.
        assert_eq!(tree.seen().rows[1].below.unwrap().tasks, 1);
        assert_eq!(
            tree.fold(4),
            Some(1),
            "it has nothing to fold: its parent has"
        );
        assert_eq!(seen(&tree), [(1, true), (5, false)]);
        assert_eq!(tree.fold(5), None, "it has neither");
        assert!(tree.unfold(1) && !tree.unfold(1));
        assert_eq!(seen(&tree), one, "what was folded below it still is");
        tree.take(tasks(&of[..1]), 10);
        tree.take(tasks(&of), 11);
        assert!(seen(&tree).iter().all(|(_, folded)| !folded), "it was gone");
    }

    #[test]
    fn a_ring_of_parents_ends_and_loses_nobody() {
        assert_eq!(grown(&[(1, Some(2)), (2, Some(1)), (3, Some(3))]).len(), 3);
    }

    #[test]
    fn what_can_be_scrolled_is_what_is_here() {
        let rows = grow(tasks(&[(1, None)]));
        assert_eq!((rows.total, rows.matched), (90, 1));
    }
}
