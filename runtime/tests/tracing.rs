//! Feature `tracing`: a task's polls happen inside the span in which it was spawned.
#![cfg(feature = "tracing")]

use std::sync::{Arc, Mutex};

use loop_runtime::testing::TestLoop;
use loop_runtime::{create_task, yield_now};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
    fn on_event(&self, _: &tracing::Event<'_>, context: Context<'_, S>) {
        let name = context.lookup_current().map_or("none", |span| span.name());
        self.0.lock().unwrap().push(name.to_owned());
    }
}

#[test]
fn each_poll_of_a_task_is_inside_the_span_of_its_spawn() {
    let seen = Seen::default();
    let subscriber = tracing_subscriber::registry().with(seen.clone());
    tracing::subscriber::with_default(subscriber, || {
        TestLoop::new()
            .run(async {
                let child = async {
                    tracing::info!("first poll");
                    yield_now().await;
                    tracing::info!("second poll");
                };
                let task = tracing::info_span!("request").in_scope(|| create_task(child));
                tracing::info!("outside");
                task.await.unwrap();
            })
            .unwrap();
    });
    assert_eq!(*seen.0.lock().unwrap(), ["none", "request", "request"]);
}
