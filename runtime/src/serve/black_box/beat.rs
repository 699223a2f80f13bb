//! When snapshots are written: often enough that an end loses little, seldom enough that nobody
//! notices. Knows not what stands in them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::BlackBox;
use crate::record;
use crate::serve::compose::{self, cpu, now};
use crate::serve::shared::Shared;
use crate::time::sleep;

/// Between two snapshots, if nothing happens that is worth one.
const BEAT: Duration = Duration::from_secs(1);
/// Between two snapshots in any case.
const SHORTEST: Duration = Duration::from_millis(100);
/// Composing them may take one such part of a CPU.
const SHARE: u32 = 50;
/// Between two snapshots at most, whatever they take: older tables say too little.
const LONGEST: Duration = Duration::from_secs(30);
/// Looks for findings that it asks for may take one such part of a CPU: of very many tasks the
/// tables are worth writing more often than they are worth judging.
const LOOKS: u64 = 100;
/// As `SHARE`, while things happen that are worth one.
const URGENT: u32 = 10;

/// Writes snapshots: one a second, and one whenever something is found or blocks.
pub(crate) async fn beat(shared: Arc<Shared>, black_box: Weak<BlackBox>) {
    loop {
        let Some(target) = black_box.upgrade() else {
            return;
        };
        let at = now();
        for ring in record::loops().iter().filter_map(|record| record.ring()) {
            ring.make_room();
        }
        // What is wrong is to stand in it: somebody will want to know.
        let (looked, cost) = {
            let desk = shared.desk();
            (desk.judge.at, desk.judge.took)
        };
        if at.mono_ns.saturating_sub(looked) >= cost.saturating_mul(LOOKS) {
            shared.want_findings();
        }
        let mut took = 0;
        let writer = compose::snapshot(&shared, &mut took).await;
        let before = cpu();
        target.write(writer, &at, took);
        took += cpu().saturating_sub(before);
        let took = Duration::from_nanos(took);
        let shortest = SHORTEST.max(took * URGENT);
        let interval = BEAT.max((took * SHARE).min(LONGEST)).max(shortest);
        target.pace(interval);
        shared.desk().recording = Some(target.about());
        drop(target);
        sleep(shortest).await;
        let mut pause = sleep(interval - shortest);
        std::future::poll_fn(|cx| {
            if shared.record.poll(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            std::pin::Pin::new(&mut pause).poll(cx)
        })
        .await;
        shared.record.take();
    }
}
