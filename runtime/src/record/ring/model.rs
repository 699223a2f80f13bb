//! Loom: every event is either taken once, whole and in order, or counted as lost.

use loom::sync::Arc;
use loom::thread;

use super::*;

#[test]
fn a_taken_event_is_whole_and_a_missing_one_is_counted() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let producer = thread::spawn({
            let ring = ring.clone();
            move || {
                for id in 1..=3 {
                    ring.push(Event::timer_cancelled(id, id, id));
                    ring.publish();
                }
            }
        });
        let mut seen = Vec::new();
        let take = |seen: &mut Vec<u64>| {
            ring.drain(|event| {
                assert_eq!(
                    (event.at, event.of),
                    (event.id, event.id),
                    "an event of two writings"
                );
                seen.push(event.id);
            });
        };
        take(&mut seen);
        producer.join().expect("the producer does not panic");
        take(&mut seen);
        assert!(seen.is_sorted());
        assert_eq!(seen.len() as u64 + ring.lost().iter().sum::<u64>(), 3);
    });
}
