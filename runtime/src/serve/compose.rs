//! What a recording has of this process: who it is, a snapshot of all there is to see, and, in a dump,
//! the last events of each loop. Knows no file.

use std::sync::Arc;

use loop_proto::recording::{self, Head, Kind, Moment, Writer, rows_of};

use super::auth::Role;
use super::endpoint::start_of_process;
use super::service::{Inspect, unix_ns};
use super::shared::{Identity, Shared};
use crate::clock;
use crate::inspect::snapshot as wanted;
use crate::inspect::tables::Look;
use crate::inspect::texts::Sent;
use crate::inspect::view::Answer;
use crate::os;
use crate::record;
use crate::record::event::Event;
use crate::record::ring::Ring;
use crate::spawn::yield_now;

/// Bytes that a snapshot may have, its header included.
pub(super) const SNAPSHOT: usize = 4 << 20;
/// Events that a dump has, over all loops: 1 MiB.
const EVENTS: u64 = 32_768;

/// All clocks now.
pub(super) fn now() -> Moment {
    let ns_per_tick = clock::ns_per_tick();
    Moment {
        mono_ns: clock::mono(),
        unix_ns: unix_ns(),
        ticks: clock::ticks(),
        ns_per_tick,
    }
}

/// CPU time of this thread, nanoseconds.
pub(super) fn cpu() -> u64 {
    os::thread::cpu_time(os::thread_id()).unwrap_or(0)
}

/// Who writes a recording. `reason`: why, if it is a dump.
pub(super) fn head(identity: &Identity, reason: Option<&str>) -> Head {
    Head {
        kind: match reason {
            Some(_) => Kind::Dump,
            None => Kind::BlackBox,
        },
        pid: std::process::id(),
        start: start_of_process(),
        instance: identity.instance,
        boot: boot(),
        began_unix_ns: identity.started_unix_ns,
        clock: now(),
        name: identity.name.clone(),
        reason: reason.unwrap_or_default().to_owned(),
    }
}

/// This boot of the host; zero where the kernel does not tell.
fn boot() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    recording::boot_of(&text)
}

/// Composes a dump.
pub(super) async fn dump(shared: &Arc<Shared>, reason: &str) -> Vec<u8> {
    let head = head(&shared.identity, Some(reason));
    let writer = snapshot(shared, &mut 0).await;
    // After the tables: what they show has happened by then.
    let rings = rings();
    recording::compose(&head, &rings, &writer.finish(1, &head.clock))
}

/// The newest events of each loop that has a ring.
fn rings() -> Vec<Vec<u8>> {
    let loops = record::loops();
    let of_the_app = || loops.iter().filter(|record| !record.facts.internal);
    let rings = of_the_app().filter_map(|record| Some((record.id.get(), record.ring()?)));
    let most = EVENTS / of_the_app().count().max(1) as u64;
    rings.map(|(id, ring)| newest(id, ring, most)).collect()
}

fn newest(loop_id: u32, ring: &Ring, most: u64) -> Vec<u8> {
    let image = ring.image(ring.tail().saturating_sub(most));
    // What was written over while it was copied lies at the beginning.
    let events: Vec<[u64; 4]> = image.slots.into_iter().map(|slot| slot.1).collect();
    let lost = events
        .iter()
        .take_while(|it| Event::from_words(**it).is_none());
    let lost = lost.count();
    recording::ring_bytes(loop_id, image.tail, &image.totals, &events[lost..])
}

/// Puts a snapshot together, with pauses in which others have their turn; to `took` is added what
/// CPU time that was.
pub(super) async fn snapshot(shared: &Arc<Shared>, took: &mut u64) -> Writer {
    let mut sent = Sent::default();
    let mut before = cpu();
    let mut writer = Writer::new(SNAPSHOT);
    let service = Inspect {
        shared: shared.clone(),
    };
    writer.hello(&service.reply(Role::Observe));
    let own = shared.feeds().own();
    let live = {
        let mut desk = shared.desk();
        let (batch, sites) = wanted::story(own, &mut desk, &mut sent);
        writer.events(&batch);
        writer.sites(&sites);
        for detail in wanted::details(&mut desk) {
            writer.task(&detail);
        }
        desk.overview(&Look::new(false)).tasks
    };
    let tables = wanted::queries().into_iter().map(|query| vec![query]);
    for orders in tables.chain([wanted::tasks(live)]) {
        let [query, others @ ..] = orders.as_slice() else {
            continue;
        };
        let begun = Answer::of_orders(query, others, &mut shared.desk());
        let Ok(mut answer) = begun else {
            continue;
        };
        while !answer.step(&mut shared.desk()) {
            *took += cpu().saturating_sub(before);
            yield_now().await;
            before = cpu();
        }
        let view = answer.finish(&mut shared.desk(), &mut sent);
        if !wanted::is_history(query.target()) {
            // A row whose thing ended since it was chosen is not there, and found room all the same.
            let room = if others.is_empty() { query.limit } else { 0 };
            let had_room = rows_of(&view).max(room.into());
            writer.left_out(view.matched.saturating_sub(had_room));
        }
        writer.view(view);
        *took += cpu().saturating_sub(before);
        yield_now().await;
        before = cpu();
    }
    writer
}

#[cfg(test)]
mod tests {
    use super::*;
    use loop_proto::recording::Recording;

    #[test]
    fn a_dump_has_the_newest_events_of_a_ring_and_counts_the_others() {
        let ring = Ring::new(16);
        for id in 1..=40 {
            ring.push(Event::timer_cancelled(id, id, id));
        }
        let read = |most| {
            let bytes = recording::compose(&Head::default(), &[newest(3, &ring, most)], &[]);
            let ring = Recording::read(&bytes).unwrap().rings.remove(0);
            let ids: Vec<u64> = ring.events.iter().map(|slot| slot.id).collect();
            assert_eq!((ring.loop_id, ring.tail), (3, 40));
            assert_eq!(ring.lost().iter().sum::<u64>(), 40 - ids.len() as u64);
            ids
        };
        assert_eq!(read(4), [37, 38, 39, 40]);
        // The oldest slot could be being written: it is not taken for an event.
        assert_eq!(read(100), (26..=40).collect::<Vec<_>>());
    }
}
