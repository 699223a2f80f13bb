//! What is logged on a thread while something runs there. Knows no case.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// What is logged: the message of each line and then its fields, with its level.
#[derive(Clone, Default)]
pub(super) struct Logged {
    lines: Arc<Mutex<Vec<(Level, String)>>>,
    panics: bool,
}

impl<S: tracing::Subscriber> Layer<S> for Logged {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.0 += &match field.name() {
                    "message" => format!("{value:?} "),
                    name => format!("{name}={value:?} "),
                };
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines
            .lock()
            .unwrap()
            .push((*event.metadata().level(), line.0));
        assert!(!self.panics, "a log that panics, as intended by the test");
    }
}

impl Logged {
    /// One that panics at each line.
    pub(super) fn that_panics() -> Self {
        Self {
            panics: true,
            ..Self::default()
        }
    }

    pub(super) fn during(&self, f: impl FnOnce()) {
        let subscriber = tracing_subscriber::registry().with(self.clone());
        tracing::subscriber::with_default(subscriber, f);
    }

    /// The lines that have `word` in them.
    pub(super) fn with(&self, word: &str) -> Vec<String> {
        self.that(|_, line| line.contains(word))
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.that(|level, _| level == Level::WARN)
    }

    fn that(&self, holds: impl Fn(Level, &str) -> bool) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let found = lines.iter().filter(|(level, line)| holds(*level, line));
        found.map(|(_, line)| line.clone()).collect()
    }
}
