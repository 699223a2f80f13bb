//! A viewer that stops reading while polls go on: the loop goes on, little waits for the viewer, and
//! when it reads again it is told how many events it has missed.

use super::calls::alone;
use super::*;

/// Far more than may wait for one viewer: in its stream, its socket, its queue and the loop's ring.
const POLLS: u64 = 150_000;

/// A client that lets little be sent ahead of what it has read.
async fn narrow(inspected: &Inspected) -> Client {
    let stream = UnixStream::connect(&inspected.socket).await.unwrap();
    let (sender, connection) = http2::Builder::new(HyperExecutor)
        .timer(HyperTimer)
        .initial_stream_window_size(1 << 16)
        .handshake(HyperIo::new(stream))
        .await
        .unwrap();
    create_task(async move {
        let _ = connection.await;
    })
    .detach();
    let channel = Channel {
        sender,
        headers: Vec::new(),
    };
    let origin = format!("http://{AUTHORITY}").parse().unwrap();
    InspectClient::with_origin(channel, origin)
}

#[test]
fn a_viewer_that_stalls_is_told_when_it_reads_again_how_many_events_it_missed() {
    let _alone = alone();
    let inspected = Inspected::new("stalled");
    on_loop(|id| async move {
        let mut client = narrow(&inspected).await;
        let request = pb::EventsRequest {
            filter: format!("loop={id}"),
            kinds: vec![pb::EventKind::TaskPolled as i32],
            ..pb::EventsRequest::default()
        };
        let mut batches = client.watch_events(request).await.unwrap().into_inner();
        let began = batches.message().await.unwrap().unwrap();
        assert!(began.lost.is_empty(), "{began:?}");
        // It reads nothing until all of these are over, and holds none of them up.
        let polled = create_task(async {
            for _ in 1..POLLS {
                yield_now().await;
            }
        });
        let task = polled.id().get();
        polled.await.unwrap();
        let sent = inspected
            .shared
            .gauges
            .bytes_sent
            .load(std::sync::atomic::Ordering::Relaxed);
        assert!(
            sent < 1 << 20,
            "{sent} bytes went to one that reads nothing"
        );

        let (mut given, mut lost, mut quiet) = (0, 0, 0);
        // A stream that has nothing to tell says so now and then.
        while given + lost < POLLS && quiet < 5 {
            let batch = batches.message().await.unwrap().unwrap();
            quiet = if batch.events.is_empty() {
                quiet + 1
            } else {
                0
            };
            given += batch
                .events
                .iter()
                .filter(|event| event.task_id == task)
                .count() as u64;
            assert!(
                batch
                    .lost
                    .iter()
                    .all(|lost| lost.kind() == pb::EventKind::TaskPolled)
            );
            lost = batch.lost.iter().map(|lost| lost.count).sum();
        }
        assert!(given > 0 && lost > 0, "{given} given, {lost} lost");
        assert!(
            given + lost >= POLLS,
            "{given} given and {lost} lost of {POLLS}: some went without a word"
        );
    });
}
