//! When snapshots are made, and of what. Knows the inspector's desk, and no file.

use std::sync::{Arc, Weak};
use std::time::Duration;

use loop_proto::pb;
use loop_proto::recording::Writer;

use super::{BlackBox, SNAPSHOT, now};
use crate::inspect::snapshot;
use crate::inspect::texts::Sent;
use crate::inspect::view::Answer;
use crate::os;
use crate::serve::auth::Role;
use crate::serve::service::Inspect;
use crate::serve::shared::Shared;
use crate::spawn::yield_now;
use crate::time::sleep;

/// Between two snapshots, if nothing happens that is worth one.
const BEAT: Duration = Duration::from_secs(1);
/// Between two snapshots in any case.
const SHORTEST: Duration = Duration::from_millis(100);
/// Composing them may take this share of a CPU.
const SHARE: u32 = 50;

fn cpu() -> u64 {
    os::thread::cpu_time(os::thread_id()).unwrap_or(0)
}

/// Writes snapshots: one a second, and one whenever something is found or blocks.
pub(crate) async fn beat(shared: Arc<Shared>, black_box: Weak<BlackBox>) {
    loop {
        let Some(target) = black_box.upgrade() else {
            return;
        };
        let at = now();
        // What is wrong is to stand in it: somebody will want to know.
        shared.want_findings();
        let mut took = 0;
        let writer = compose(&shared, &mut took).await;
        let before = cpu();
        target.write(writer, &at, took);
        took += cpu().saturating_sub(before);
        shared.desk().recording = Some(target.about());
        drop(target);
        sleep(SHORTEST).await;
        let rest = BEAT.max(Duration::from_nanos(took) * SHARE) - SHORTEST;
        let mut pause = sleep(rest);
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

/// Puts a snapshot together, with pauses in which others have their turn.
async fn compose(shared: &Arc<Shared>, took: &mut u64) -> Writer {
    let mut sent = Sent::default();
    let mut before = cpu();
    let mut writer = Writer::new(SNAPSHOT);
    let service = Inspect {
        shared: shared.clone(),
    };
    let mut tasks = std::collections::HashSet::new();
    writer.hello(&service.reply(Role::Observe));
    let own = shared.feeds().own();
    let live = {
        let mut desk = shared.desk();
        let (batch, sites) = snapshot::story(own, &mut desk, &mut sent);
        writer.events(&batch);
        writer.sites(&sites);
        for detail in snapshot::details(&mut desk) {
            writer.task(&detail);
        }
        desk.overview(&crate::inspect::tables::Look::new(false))
            .tasks
    };
    for query in snapshot::queries(live) {
        let begun = Answer::begin(&query, None, &mut shared.desk());
        let Ok(mut answer) = begun else {
            continue;
        };
        while !answer.step(&mut shared.desk()) {
            *took += cpu().saturating_sub(before);
            yield_now().await;
            before = cpu();
        }
        let view = answer.finish(&mut shared.desk(), &mut sent);
        if query.target() == pb::Target::Tasks {
            tasks.extend(view.tasks.iter().map(|task| task.id));
        } else if !snapshot::is_history(query.target()) {
            writer.left_out(view.matched.saturating_sub(snapshot::rows_of(&view)));
        }
        writer.view(view);
        *took += cpu().saturating_sub(before);
        yield_now().await;
        before = cpu();
    }
    writer.left_out(live.saturating_sub(tasks.len() as u64));
    writer
}
