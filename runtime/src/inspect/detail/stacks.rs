//! The stacks in a task's detail: where it waits, and where it was spawned.

use loop_proto::pb;

use crate::clock;
use crate::inspect::desk::Desk;
use crate::inspect::stack::depot::{AwaitHow, depot};
use crate::inspect::tables::{Look, Spot};
use crate::inspect::waits::Found;
use crate::inspect::wire::Extras;
use crate::record::task::{State, TaskFacts};

/// Where the live task waits, as far as that is known; with `ask` it is found out for the next time.
pub(super) fn awaits(
    look: &Look,
    desk: &mut Desk,
    (spot, facts): (Spot, &TaskFacts),
    ask: bool,
    detail: &mut pb::TaskDetail,
) {
    let Some(at) = look.at(spot) else { return };
    let answer = depot().awaits(&at.record, spot.slot, facts, ask);
    let found = Found::default();
    let mut wire = desk.wire(look, &found, None, Extras::ALL);
    if let Some((stack, lines, how)) = &answer.stack {
        detail.await_stack = wire.frames(stack, lines.as_deref());
        detail.await_stack_at_ns = look.now.mono_of(stack.at);
        detail.await_how = match how {
            AwaitHow::Pending => pb::AwaitHow::Pending,
            AwaitHow::DebugInfo => pb::AwaitHow::DebugInfo,
        } as i32;
    } else if facts.waiting_at.is_some() && facts.state == State::Wait {
        detail.await_how = pb::AwaitHow::Place as i32;
    }
    detail.await_why = answer.why;
    detail.await_asked = answer.asked;
    detail.await_reading = answer.reading;
    detail.await_took_ns = clock::ticks_to_ns(answer.took);
}

/// Where it was spawned, if that was sampled.
pub(super) fn spawned(look: &Look, desk: &mut Desk, id: u64, detail: &mut pb::TaskDetail) {
    match depot().spawn_of(id) {
        Err(why) => why.clone_into(&mut detail.spawn_why),
        Ok(found) => {
            let none = Found::default();
            let mut wire = desk.wire(look, &none, None, Extras::ALL);
            detail.spawn_stack = wire.frames(&found.stack, found.lines.get().map(|l| &**l));
        }
    }
}
