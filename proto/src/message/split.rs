//! Cuts an answer that is too large for one message into parts. Knows only sizes.

use prost::Message;

use crate::pb::{Verdict, View};

/// What a list costs in a message besides its entries' own bytes: a tag and a length each.
const PER_ENTRY: usize = 8;

/// Takes from the end of `list` (which is reversed) as many entries as fit into `room`, but at
/// least one if `first`, and puts them into a new list.
fn take<M: Message>(list: &mut Vec<M>, room: &mut usize, first: &mut bool) -> Vec<M> {
    let mut taken = Vec::new();
    while let Some(entry) = list.last() {
        let size = entry.encoded_len() + PER_ENTRY;
        if size > *room && !*first {
            // Nothing that comes after may overtake what did not fit.
            *room = 0;
            break;
        }
        *first = false;
        *room = room.saturating_sub(size);
        taken.extend(list.pop());
    }
    taken
}

/// Defines a function that cuts a message of type `$message` at its lists `$list`, in that order.
macro_rules! splitter {
    ($(#[$doc:meta])* $name:ident, $message:ident, $($list:ident),*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut whole: $message, max: usize) -> Vec<$message> {
            if whole.encoded_len() <= max {
                return vec![whole];
            }
            // Reversed, so that taking from the front is cheap.
            $(
                let mut $list = std::mem::take(&mut whole.$list);
                $list.reverse();
            )*
            let head = $message { complete: false, ..whole.clone() };
            let base = head.encoded_len() + PER_ENTRY;
            let mut parts = Vec::new();
            while $(!$list.is_empty())||* {
                let mut room = max.saturating_sub(base);
                let mut first = true;
                parts.push($message {
                    $($list: take(&mut $list, &mut room, &mut first),)*
                    ..head.clone()
                });
            }
            match parts.last_mut() {
                Some(last) => last.complete = whole.complete,
                None => parts.push(whole),
            }
            parts
        }
    };
}

splitter! {
    /// `whole` in parts of at most `max` bytes, all but the last not `complete`; one part if it
    /// fits. Texts come first, so that each is there before the row that uses it. A row that is
    /// larger than `max` by itself makes a part that is: senders cut their texts before.
    split_view, View,
    interned, tasks, loops, timers, io, jobs, resources, children, signals, findings, blocks, places, series, past_findings
}

splitter! {
    /// As [`split_view`], for a verdict.
    split_verdict, Verdict, interned, findings, blocks, loops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;
    use proptest::prelude::*;

    fn view(sizes: &[usize]) -> pb::View {
        let text = |(id, size): (usize, &usize)| pb::Interned {
            id: id as u32 + 1,
            text: "x".repeat(*size),
        };
        let task = |(id, size): (usize, &usize)| pb::TaskRow {
            id: id as u64 + 1,
            error: "e".repeat(*size),
            ..Default::default()
        };
        pb::View {
            slot: 3,
            serial: 9,
            answer: 1,
            complete: true,
            matched: sizes.len() as u64,
            interned: sizes.iter().enumerate().map(text).collect(),
            tasks: sizes.iter().enumerate().map(task).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn what_fits_stays_whole() {
        let whole = view(&[10, 20]);
        assert_eq!(split_view(whole.clone(), 1 << 20), [whole]);
    }

    #[test]
    fn verdicts_are_cut_too() {
        let finding = |id| pb::Finding {
            id,
            evidence: vec!["e".repeat(100)],
            ..Default::default()
        };
        let whole = pb::Verdict {
            complete: true,
            last: true,
            findings: (1..50).map(finding).collect(),
            ..Default::default()
        };
        let parts = split_verdict(whole, 1_000);
        assert!(parts.len() > 4);
        assert!(
            parts
                .iter()
                .all(|part| part.last && part.encoded_len() <= 1_000)
        );
        assert_eq!(parts.iter().filter(|part| part.complete).count(), 1);
    }

    proptest! {
        #[test]
        fn parts_are_small_in_order_and_together_the_whole(sizes in prop::collection::vec(0usize..400, 0..80), max in 500usize..5_000) {
            let whole = view(&sizes);
            let parts = split_view(whole.clone(), max);
            let mut texts = 0;
            for (at, part) in parts.iter().enumerate() {
                prop_assert!(part.encoded_len() <= max);
                prop_assert_eq!(part.complete, at + 1 == parts.len());
                texts += part.interned.len();
                // No row comes before all texts are there.
                prop_assert!(part.tasks.is_empty() || texts == sizes.len());
            }
            let mut joined = pb::View { complete: true, ..parts[0].clone() };
            for part in &parts[1..] {
                joined.interned.extend(part.interned.iter().cloned());
                joined.tasks.extend(part.tasks.iter().cloned());
            }
            prop_assert_eq!(joined, whole);
        }
    }
}
