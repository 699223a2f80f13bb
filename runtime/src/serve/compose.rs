//! A dump as bytes: who the app is, what there is to see of it at this moment, and the last events
//! of each loop. Knows no file.

use std::sync::Arc;

use loop_proto::pb;
use loop_proto::recording::{self, Head, Kind, Moment, Writer};

use super::auth::Role;
use super::flight::story;
use super::service::{Inspect, unix_ns};
use super::shared::Shared;
use crate::clock;
use crate::inspect::texts::Sent;
use crate::inspect::view::Answer;
use crate::spawn::yield_now;

/// Bytes that the snapshot of a dump may have.
const SNAPSHOT: usize = 4 << 20;
/// Rows of one table.
const ROWS: u32 = 2_000;

/// All clocks now.
fn now() -> Moment {
    let ns_per_tick = clock::ns_per_tick();
    Moment {
        mono_ns: clock::mono(),
        unix_ns: unix_ns(),
        ticks: clock::ticks(),
        ns_per_tick,
    }
}

/// Composes one, with pauses in which others have their turn.
pub(super) async fn dump(shared: &Arc<Shared>, reason: &str) -> Vec<u8> {
    let at = now();
    let writer = snapshot(shared).await;
    let head = Head {
        kind: Kind::Dump,
        pid: std::process::id(),
        start: 0,
        instance: shared.identity.instance,
        boot: [0; 16],
        began_unix_ns: shared.identity.started_unix_ns,
        clock: at,
        name: shared.identity.name.clone(),
        reason: reason.to_owned(),
    };
    recording::compose(&head, &[], &writer.finish(1, &at))
}

async fn snapshot(shared: &Arc<Shared>) -> Writer {
    use pb::Target;
    let service = Inspect {
        shared: shared.clone(),
    };
    let mut writer = Writer::new(SNAPSHOT);
    writer.hello(&service.reply(Role::Observe));
    // What happened last comes before the tables, which may take all the room.
    writer.events(&story::last(shared));
    let mut sent = Sent::default();
    for target in [
        Target::Overview,
        Target::Cost,
        Target::Loops,
        Target::Findings,
        Target::Blocks,
        Target::Hour,
        Target::Places,
        Target::Resources,
        Target::Timers,
        Target::Io,
        Target::Tasks,
    ] {
        let query = pb::Query {
            slot: target as u32,
            target: target as i32,
            limit: ROWS,
            ..pb::Query::default()
        };
        let begun = Answer::begin(&query, None, &mut shared.desk());
        let Ok(mut answer) = begun else { continue };
        while !answer.step(&mut shared.desk()) {
            yield_now().await;
        }
        writer.view(answer.finish(&mut shared.desk(), &mut sent));
        yield_now().await;
    }
    writer
}
