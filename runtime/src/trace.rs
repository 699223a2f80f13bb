//! Feature `tracing`: the span of a spawn is entered around every poll of the task, and the last
//! log lines of each task are on its page in the console.
//!
//! Knows spans and events; knows of tasks only their ids.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write};

use tracing::Span;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock;
use crate::executor::Around;
use crate::record;
use crate::record::logs::{self, LONGEST, Line};

/// The spans that were current when tasks were spawned.
#[derive(Default)]
pub(crate) struct Spans {
    tasks: RefCell<HashMap<u64, Span>>,
}

impl Spans {
    fn with(&self, task: u64, f: impl FnOnce(&tracing::span::Id, &tracing::Dispatch)) {
        let span = self.tasks.borrow().get(&task).cloned();
        // The borrow is over: what a subscriber does may spawn.
        if let Some(span) = span {
            span.with_subscriber(|(id, dispatch)| f(id, dispatch));
        }
    }
}

impl Around for Spans {
    fn spawned(&self, task: u64) {
        let span = Span::current();
        if !span.is_none() {
            self.tasks.borrow_mut().insert(task, span);
        }
    }

    fn enter(&self, task: u64) {
        self.with(task, |id, dispatch| dispatch.enter(id));
    }

    fn exit(&self, task: u64) {
        self.with(task, |id, dispatch| dispatch.exit(id));
    }

    fn ended(&self, task: u64) {
        let span = self.tasks.borrow_mut().remove(&task);
        drop(span);
    }
}

/// A layer that keeps the last 32 events of each task for its page in the console.
///
/// Events outside any task are left alone. Lines are cut at 256 bytes, and 16,384 are kept in
/// all. Add it beside the layers that write your log.
///
/// Records: log lines of tasks.
///
/// ```
/// use tracing_subscriber::prelude::*;
/// tracing_subscriber::registry().with(loop_runtime::trace::TaskLog::new()).init();
/// loop_runtime::run(async {
///     tracing::info!(answer = 42, "on the page of this task");
/// })
/// .unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskLog(());

impl TaskLog {
    /// The layer.
    pub fn new() -> Self {
        Self(())
    }
}

impl<S: tracing::Subscriber> Layer<S> for TaskLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let task = record::current_task();
        if task == 0 {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let line = Line {
            at: clock::mono(),
            level: metadata.level().as_str(),
            target: metadata.target(),
            text: text.0,
        };
        logs::push(task, line);
    }
}

/// `message field=value …`, no longer than a line is kept.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.add(format_args!("{value}"));
        } else {
            self.add(format_args!("{}={value}", field.name()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.add(format_args!("{value:?}"));
        } else {
            self.add(format_args!("{}={value:?}", field.name()));
        }
    }
}

impl Text {
    fn add(&mut self, part: fmt::Arguments<'_>) {
        if self.0.len() < LONGEST {
            let space = if self.0.is_empty() { "" } else { " " };
            // A String takes whatever is written.
            let _ = write!(self.0, "{space}{part}");
        }
    }
}
