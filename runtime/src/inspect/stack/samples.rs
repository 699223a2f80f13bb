//! The stacks that were taken of one block, the first first, and what they have in common.
//!
//! Names come later and for all at once; until the newest stack has names, what is shown is what
//! was known before it. Knows no block.

use std::sync::Arc;

use super::names::Line;
use super::{Frame, Stack};

/// Stacks that are kept of one block.
pub(crate) const KEPT: usize = 3;

/// One stack in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) lines: Arc<[Line]>,
    /// Lines, counted from the outermost, that are the same in all; 0: it was not compared.
    pub(crate) common: usize,
}

/// The stacks of one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    stacks: Vec<Arc<Stack>>,
    /// Of the first ones, as far as names were found.
    named: Arc<[Named]>,
}

/// One stack as it can be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) lines: Option<&'a [Line]>,
    /// Of `lines`, or of the frames where there are no names.
    pub(crate) common: usize,
}

impl Samples {
    /// How many were taken.
    pub(crate) fn taken(&self) -> usize {
        self.stacks.len()
    }

    /// The one that was taken last.
    pub(crate) fn last(&self) -> Option<&Arc<Stack>> {
        self.stacks.last()
    }

    /// All of them.
    pub(crate) fn stacks(&self) -> &[Arc<Stack>] {
        &self.stacks
    }

    /// One more; past `KEPT` it takes the place of the last.
    pub(crate) fn push(&mut self, stack: Stack) {
        if self.stacks.len() == KEPT {
            self.stacks.pop();
        }
        self.stacks.push(Arc::new(stack));
    }

    /// Names were found for the first `named.len()` stacks.
    pub(crate) fn name(&mut self, named: Arc<[Named]>) {
        self.named = named;
    }

    /// Takes over the names that an earlier copy has been given meanwhile.
    pub(crate) fn names_of(&mut self, before: &Self) {
        if before.named.len() > self.named.len() {
            self.named = before.named.clone();
        }
    }

    /// Names were found for some of them.
    pub(crate) fn is_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// Some were taken whose names are on their way.
    pub(crate) fn wants_names(&self) -> bool {
        self.named.len() < self.stacks.len()
    }

    /// Bytes that they take, shared with a copy or not.
    pub(crate) fn bytes(&self) -> usize {
        let (frames, lines, text) = self.size();
        frames * size_of::<Frame>() + lines * size_of::<Line>() + text
    }

    /// Frames, lines, and bytes of text in those.
    fn size(&self) -> (usize, usize, usize) {
        let frames = self.stacks.iter().map(|stack| stack.frames.len()).sum();
        let lines = || self.named.iter().flat_map(|named| named.lines.iter());
        let text = lines().map(|line| line.function.len() + line.place.len());
        (frames, lines().count(), text.sum())
    }

    /// Whether all of them come to no more than so many frames, lines and bytes of text.
    pub(crate) fn fit(&self, most: usize, most_text: usize) -> bool {
        let (frames, lines, text) = self.size();
        frames.max(lines) <= most && text <= most_text
    }

    /// Cut to one that fits: what all have in common, from its inner end.
    pub(crate) fn shorten(&mut self, most: usize, most_text: usize) {
        let shown = self.shown();
        let Some(told) = shown.iter().rfind(|one| one.common > 0).or(shown.last()) else {
            return;
        };
        let all = told.lines.map_or(told.stack.frames.len(), <[Line]>::len);
        let inner = if told.common == 0 {
            0
        } else {
            all - told.common
        };
        let mut room = most_text;
        let fits = |line: &&Line| {
            let needs = line.function.len() + line.place.len();
            let fits = needs <= room;
            room = room.saturating_sub(needs);
            fits
        };
        let lines = told.lines.map(|lines| &lines[inner..]).unwrap_or_default();
        let lines: Vec<&Line> = lines.iter().take(most).take_while(fits).collect();
        // The frame that the innermost kept line is of is the first that is kept.
        let first = lines.first().map_or(inner, |line| line.frame);
        let first = first.min(told.stack.frames.len());
        let kept = told.stack.frames[first..].iter().take(most).cloned();
        let stack = Stack {
            frames: kept.collect(),
            ..told.stack.clone()
        };
        let lines: Arc<[Line]> = lines
            .into_iter()
            .map(|line| Line {
                frame: line.frame - first,
                ..line.clone()
            })
            .collect();
        let named = Named {
            common: lines.len(),
            lines,
        };
        let is_named = told.lines.is_some();
        self.stacks = vec![Arc::new(stack)];
        self.named = is_named.then_some(named).into_iter().collect();
    }

    /// What is wanting in them, and why: names, or frames. Empty: nothing is, or names are on their
    /// way.
    pub(crate) fn note(&self) -> String {
        let mut notes = Vec::new();
        if let Some(named) = self
            .named
            .last()
            .zip(self.stacks.get(self.named.len().wrapping_sub(1)))
        {
            notes.extend(nameless(named.1, &named.0.lines));
        }
        if let Some(cut) = self.stacks.iter().find(|stack| !stack.complete) {
            let whole = self.stacks.iter().filter(|stack| stack.complete).count();
            let last = cut.frames.last();
            let module = last.map_or("", |frame| file_of(&frame.module));
            let at = last.map_or(0, |frame| frame.offset);
            let why = match module {
                "" => "a caller lies in no object file".to_owned(),
                module => format!("{module} does not tell who called {at:#x}"),
            };
            let rest = match whole {
                0 => "the frames further out are missing",
                _ => "the others are whole",
            };
            notes.push(format!("one of the stacks ends early: {why}; {rest}"));
        }
        notes.join("; ")
    }

    /// What can be shown: those that have names, or all of them while none has.
    pub(crate) fn shown(&self) -> Vec<Shown<'_>> {
        if self.is_named() {
            let both = self.stacks.iter().zip(self.named.iter());
            return both
                .map(|(stack, named)| Shown {
                    stack,
                    lines: Some(&named.lines),
                    common: named.common,
                })
                .collect();
        }
        let commons = commons(
            &self.stacks,
            |stack| stack.frames.len(),
            |a, b, back| {
                let (a, b) = (from_outermost(a, back)?, from_outermost(b, back)?);
                Some((a.same_function(b), a.offset == b.offset))
            },
        );
        let both = self.stacks.iter().zip(commons);
        both.map(|(stack, common)| Shown {
            stack,
            lines: None,
            common,
        })
        .collect()
    }
}

/// The last part of a path.
fn file_of(module: &str) -> &str {
    module.rsplit('/').next().unwrap_or(module)
}

/// Why the frames of the app's own file have no names, where none of them has.
fn nameless(stack: &Stack, lines: &[Line]) -> Option<String> {
    // The outermost frame is the one that polls: it lies in the program, or in its own library.
    let own = &stack.frames.last().filter(|_| stack.complete)?.module;
    let mut of_own = lines.iter().filter(|line| {
        let frame = stack.frames.get(line.frame);
        frame.is_some_and(|frame| frame.module == *own)
    });
    let stripped = of_own.all(|line| line.function.is_empty());
    let unplaced = lines.iter().all(|line| line.place.is_empty());
    match (stripped, unplaced) {
        (true, _) => Some(format!(
            "{} is stripped: its frames are told as offsets",
            file_of(own)
        )),
        (false, true) => Some(format!(
            "{} has no debug information: its frames have names and no lines",
            file_of(own)
        )),
        (false, false) => None,
    }
}

fn from_outermost(stack: &Stack, back: usize) -> Option<&Frame> {
    let at = stack.frames.len().checked_sub(back + 1)?;
    stack.frames.get(at)
}

/// How much of each stack is common to all, counted from the outermost. `compare` tells, of the
/// things so far from the outermost, whether they are of one function and at one place of it.
///
/// One that does not reach the frame that polls cannot be compared with one that does; where none
/// does, the last stands for itself.
fn commons<T>(
    stacks: &[T],
    length: impl Fn(&T) -> usize,
    compare: impl Fn(&T, &T, usize) -> Option<(bool, bool)>,
) -> Vec<usize>
where
    T: AsRef<Stack>,
{
    let whole = |stack: &T| stack.as_ref().complete;
    let any = stacks.iter().any(whole);
    let last = stacks.len().saturating_sub(1);
    let compared: Vec<&T> = stacks
        .iter()
        .enumerate()
        .filter(|(at, stack)| if any { whole(stack) } else { *at == last })
        .map(|(_, stack)| stack)
        .collect();
    let shortest = compared.iter().map(|stack| length(stack)).min();
    let mut common = 0;
    while common < shortest.unwrap_or(0) {
        let pairs = compared.iter().skip(1);
        let told: Option<Vec<_>> = pairs
            .map(|stack| compare(compared[0], stack, common))
            .collect();
        let told = told.unwrap_or_default();
        if told.len() + 1 < compared.len() || told.iter().any(|(function, _)| !function) {
            break;
        }
        common += 1;
        // They part inside this function: what either called from there is not common.
        if told.iter().any(|(_, place)| !place) {
            break;
        }
    }
    let is_compared = |at: usize, stack: &T| if any { whole(stack) } else { at == last };
    let each = stacks.iter().enumerate();
    each.map(|(at, stack)| if is_compared(at, stack) { common } else { 0 })
        .collect()
}

/// A stack with its lines, for `commons`.
struct InWords<'a>(&'a Stack, &'a [Line]);

impl AsRef<Stack> for InWords<'_> {
    fn as_ref(&self) -> &Stack {
        self.0
    }
}

/// How many lines of each stack are common to all.
pub(crate) fn common_lines(stacks: &[(&Stack, &[Line])]) -> Vec<usize> {
    let words: Vec<InWords<'_>> = stacks
        .iter()
        .map(|(stack, lines)| InWords(stack, lines))
        .collect();
    commons(
        &words,
        |one| one.1.len(),
        |a, b, back| {
            let line = |one: &InWords<'_>| one.1.len().checked_sub(back + 1);
            let (one, two) = (&a.1[line(a)?], &b.1[line(b)?]);
            let (x, y) = (a.0.frames.get(one.frame)?, b.0.frames.get(two.frame)?);
            let named = !one.function.is_empty() && !two.function.is_empty();
            let function = if named {
                one.function == two.function
            } else {
                x.same_function(y)
            };
            let place = if one.place.is_empty() && two.place.is_empty() {
                x.offset == y.offset
            } else {
                one.place == two.place
            };
            Some((function, place))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::stack::How;

    /// Frames as (function, offset), innermost first.
    fn stack(frames: &[(u64, u64)], complete: bool) -> Stack {
        let frame = |&(function, offset): &(u64, u64)| Frame {
            module: "app".into(),
            build_id: "".into(),
            offset,
            address: offset,
            function: Some(function),
        };
        Stack {
            frames: frames.iter().map(frame).collect(),
            complete,
            at: 1,
            how: How::Signal,
        }
    }

    fn common(stacks: &[Stack]) -> Vec<usize> {
        let mut samples = Samples::default();
        for stack in stacks {
            samples.push(stack.clone());
        }
        samples.shown().iter().map(|shown| shown.common).collect()
    }

    #[test]
    fn a_function_that_spins_is_common_with_all_around_it() {
        let one = stack(&[(50, 51), (30, 31), (10, 11)], true);
        let two = stack(&[(50, 57), (30, 31), (10, 11)], true);
        assert_eq!(common(&[one.clone(), two]), [3, 3]);
        assert_eq!(common(&[one.clone(), one]), [3, 3]);
    }

    #[test]
    fn what_lies_inside_the_parting_frame_is_not_common() {
        // The same function, at another line: what either called is no longer common.
        let one = stack(&[(50, 51), (30, 31), (10, 11)], true);
        let two = stack(&[(60, 61), (30, 35), (10, 11)], true);
        assert_eq!(common(&[one.clone(), two.clone()]), [2, 2]);
        let three = stack(&[(60, 61), (10, 11)], true);
        assert_eq!(common(&[one.clone(), two, three]), [1, 1, 1]);
        assert_eq!(common(&[one.clone(), stack(&[(90, 91)], true)]), [0, 0]);
        assert_eq!(common(&[one]), [3], "one stack is all that is known");
    }

    #[test]
    fn a_stack_that_was_cut_is_not_compared_with_whole_ones() {
        let whole = stack(&[(50, 51), (10, 11)], true);
        let cut = stack(&[(50, 51)], false);
        assert_eq!(common(&[whole.clone(), cut.clone(), whole]), [2, 0, 2]);
        assert_eq!(
            common(&[cut.clone(), cut]),
            [0, 1],
            "the last stands for itself"
        );
    }

    #[test]
    fn lines_are_compared_by_name_and_then_by_place() {
        let stack = stack(&[(50, 51), (10, 11)], true);
        let line = |frame, function: &str, place: &str| Line {
            frame,
            function: function.to_owned(),
            place: place.to_owned(),
            ..Line::default()
        };
        // `mul` was put into `row` by the compiler.
        let one = [
            line(0, "mul", "m:1"),
            line(0, "row", "r:9"),
            line(1, "run", "r:1"),
        ];
        let two = [
            line(0, "add", "m:2"),
            line(0, "row", "r:12"),
            line(1, "run", "r:1"),
        ];
        let of = |one: &[Line], two: &[Line]| common_lines(&[(&stack, one), (&stack, two)]);
        assert_eq!(of(&one, &two), [2, 2]);
        assert_eq!(of(&one, &one), [3, 3]);
        let unnamed = [line(0, "", ""), line(1, "run", "r:1")];
        assert_eq!(of(&unnamed, &unnamed), [2, 2], "by their addresses");
    }

    #[test]
    fn what_is_wanting_in_a_stack_is_said_with_its_reason() {
        let named = |function: &str, place: &str| {
            let line = |frame| Line {
                frame,
                function: function.to_owned(),
                place: place.to_owned(),
                ..Line::default()
            };
            Arc::from([Named {
                lines: Arc::from([line(0), line(1)]),
                common: 2,
            }])
        };
        let mut samples = Samples::default();
        samples.push(stack(&[(50, 51), (10, 11)], true));
        assert_eq!(samples.note(), "", "names are on their way");
        samples.name(named("run", "r.rs:1"));
        assert_eq!(samples.note(), "");
        samples.name(named("", ""));
        assert_eq!(
            samples.note(),
            "app is stripped: its frames are told as offsets"
        );
        samples.name(named("run", ""));
        assert!(samples.note().contains("no debug information"));
        let mut cut = Samples::default();
        cut.push(stack(&[(50, 0x51)], false));
        assert_eq!(
            cut.note(),
            "one of the stacks ends early: app does not tell who called 0x51; the frames further out are missing"
        );
    }

    #[test]
    fn until_the_newest_stack_has_names_the_older_ones_are_shown() {
        let mut samples = Samples::default();
        assert!(samples.shown().is_empty() && !samples.wants_names());
        samples.push(stack(&[(10, 11)], true));
        assert!(samples.wants_names() && samples.shown()[0].lines.is_none());
        let named = Named {
            lines: Arc::from([Line::default()]),
            common: 1,
        };
        let mut table = samples.clone();
        table.name(Arc::from([named]));
        samples.push(stack(&[(10, 12)], true));
        samples.names_of(&table);
        assert_eq!((samples.taken(), samples.shown().len()), (2, 1));
        assert!(samples.wants_names() && samples.is_named());
        for _ in 0..KEPT {
            samples.push(stack(&[(10, 13)], true));
        }
        assert_eq!(samples.taken(), KEPT);
    }
}
