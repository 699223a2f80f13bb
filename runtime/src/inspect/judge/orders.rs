//! Locks that tasks took in orders which could end in a circle. Knows no lock and no wait.

use loop_proto::finding::{LockOrder, Verdict, lock_circles, span};
use loop_proto::pb::{FindingName, Grade};

use super::{About, Note, Subject};
use crate::inspect::ids::IdSet;
use crate::inspect::waits::{Found, Wanted};
use crate::record::order::{LockFacts, OrderFacts};

/// The orders of the loop of `note`.
pub(super) fn judge(note: &mut Note<'_>) {
    let record = &note.at.record;
    let mut orders = record.orders.read();
    if orders.len() < 2 {
        return;
    }
    // The table keeps them by what they are of; told are those that were met first.
    orders.sort_by_key(|order| (order.first, order.before.id, order.after.id));
    let plain: Vec<LockOrder> = orders.iter().map(plain).collect();
    let circles = lock_circles(&plain);
    if circles.is_empty() {
        return;
    }
    let told = circles.iter().flatten().map(|at| orders[*at].task);
    let wanted = Wanted {
        tasks: told.collect::<IdSet>(),
        ..Wanted::default()
    };
    let names = Found::of(note.look, &wanted);
    let forgotten = record.orders.forgotten();
    for circle in &circles {
        let of: Vec<&OrderFacts> = circle.iter().map(|at| &orders[*at]).collect();
        add(note, &of, forgotten, &names);
    }
}

fn plain(order: &OrderFacts) -> LockOrder {
    LockOrder {
        before: order.before.id,
        after: order.after.id,
        task: order.task,
        by_others: order.by_others,
        gates: order.gates.into_iter().filter(|gate| *gate != 0).collect(),
        more_gates: order.more_gates,
    }
}

fn add(note: &mut Note<'_>, circle: &[&OrderFacts], forgotten: u64, names: &Found) {
    let (Some(first), now) = (circle.first(), note.look.now) else {
        return;
    };
    let mut evidence = vec![match circle.len() {
        2 => "two locks are taken in opposite orders".to_owned(),
        count => format!("{count} locks are taken in orders that form a circle"),
    }];
    evidence.extend(circle.iter().map(|order| line(note, order, names)));
    evidence.push("no further lock was held each time, which would keep them apart".to_owned());
    if forgotten > 0 {
        evidence.push(format!(
            "orders that were forgotten for want of room: {forgotten}"
        ));
    }
    // It has been possible since the last of them was met for the first time.
    let met = circle.iter().map(|order| order.first).max().unwrap_or(0);
    let verdict = Verdict {
        name: FindingName::LockOrder,
        grade: Grade::Suspect,
        evidence,
        since_ns: now.mono_of(met),
        measured_ns: None,
        limit_ns: None,
    };
    let about = About {
        subject: Subject::Resource,
        id: first.after.id,
        name: None,
        place: first.after.taken,
        function: String::new(),
        user: !note.at.record.facts.internal,
        awaits: None,
    };
    note.add(verdict, &about);
}

fn line(note: &Note<'_>, order: &OrderFacts, names: &Found) -> String {
    let task = match names.tasks.get(&order.task) {
        Some(name) if name.number != 0 => format!("{} {} {}", order.task, name.text, name.number),
        Some(name) => format!("{} {}", order.task, name.text),
        None => order.task.to_string(),
    };
    let others = if order.by_others { " and others" } else { "" };
    let times = match order.times {
        1 => "once".to_owned(),
        times => format!("{times} times, last"),
    };
    format!(
        "task {task}{others} took {} while it had {}; {times} {} ago",
        lock(note, &order.after),
        lock(note, &order.before),
        span(note.look.now.since(order.last)),
    )
}

fn lock(note: &Note<'_>, lock: &LockFacts) -> String {
    let place = |place: Option<_>| {
        place.map_or_else(
            || "?".to_owned(),
            |place: &std::panic::Location| place.to_string(),
        )
    };
    let name = match note.look.names.text(lock.name) {
        "" => format!("{}", lock.id),
        name => name.to_owned(),
    };
    format!(
        "the lock {name} at {} (made at {})",
        place(lock.taken),
        place(lock.made)
    )
}
