//! Blocking calls in words: which line of the app made them, and through what.
//!
//! Names are looked up where they are asked for, which takes milliseconds the first time: such calls
//! are only looked for in tests and CI. Knows no finding.

use std::cell::RefCell;

use super::stack::names::resolve::Resolver;
use super::stack::names::{Line, Place, Whose};
use super::stack::{Frame, How, Stack};
use crate::record::calls::Called;

/// Where a call was made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// The app's innermost line, else where the task waited before.
    pub(crate) place: Place,
    /// The functions between that line and the call: `std::thread::sleep`.
    pub(crate) through: Vec<String>,
}

thread_local! {
    /// Reading debug information is slow, so what was found is kept by whoever asks.
    static RESOLVER: RefCell<Option<Resolver>> = const { RefCell::new(None) };
}

/// Looks up where `called` was made.
pub(crate) fn told(called: &Called) -> Told {
    let stack = stack(called);
    let awaited = called.task.and_then(|task| task.await_place);
    let (lines, place) = RESOLVER.with_borrow_mut(|resolver| {
        let resolver = resolver.get_or_insert_with(Resolver::new);
        resolver.lines(&stack, [awaited, None])
    });
    Told {
        place: place.unwrap_or_else(|| Place::without_stack(awaited, None)),
        through: through(&lines),
    }
}

fn stack(called: &Called) -> Stack {
    let frame = |address: &usize| Frame {
        module: "".into(),
        build_id: "".into(),
        offset: 0,
        // A return address is one past the call, which may be the last thing in its line.
        address: (*address as u64).saturating_sub(1),
        function: None,
    };
    Stack {
        frames: called.frames.iter().map(frame).collect(),
        complete: false,
        at: called.first,
        how: How::Outside,
    }
}

/// The functions of others that the app called to get there, the app's own callee first.
fn through(lines: &[Line]) -> Vec<String> {
    let app = lines.iter().position(|line| line.culprit).unwrap_or(0);
    let theirs = |line: &&Line| {
        matches!(line.whose, Whose::Dependency | Whose::Std) && !line.function.is_empty()
    };
    let names = lines[..app].iter().filter(theirs).rev();
    names.map(|line| line.function.clone()).take(3).collect()
}

/// `task 7 called nanosleep (sleeps) in a poll, at src/x.rs:3:5`.
pub(crate) fn sentence(called: &Called) -> String {
    let who = called.task.map_or_else(
        || "the loop".to_owned(),
        |task| match task.is_callback() {
            true => format!("callback {}", task.id),
            false => format!("task {}", task.id),
        },
    );
    let place = told(called).place;
    let place = match place.text.is_empty() {
        true => "a place that is not known".to_owned(),
        false => place.text,
    };
    format!(
        "blocking-call: {who} called {} in a poll, at {place}",
        called.call.words()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_the_app_and_the_call_is_told_from_the_app_inwards() {
        let line = |whose, function: &str, culprit| Line {
            whose,
            function: function.to_owned(),
            culprit,
            ..Line::default()
        };
        let lines = [
            line(Whose::Runtime, "nanosleep", false),
            line(Whose::Std, "std::sys::sleep", false),
            line(Whose::Std, "std::thread::sleep", false),
            line(Whose::Dependency, "retry::wait", false),
            line(Whose::App, "app::work", true),
            line(Whose::Std, "core::poll", false),
        ];
        assert_eq!(
            through(&lines),
            ["retry::wait", "std::thread::sleep", "std::sys::sleep"]
        );
        assert!(
            through(&lines[..3]).is_empty(),
            "nobody of the app is there"
        );
    }
}
