//! "Did you mean": the known word that is nearest to one that is not known. Knows no grammar.

/// The word of `known` nearest to `word`, if one is near enough to be meant: at most a third of
/// its letters differ, or `word` is its beginning. Case does not matter.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // Nobody types a known word of hundreds of letters; hostile input does not buy quadratic time.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .filter(|candidate| !candidate.is_empty())
        .map(|candidate| {
            let starts = word.len() >= 2 && candidate.starts_with(&word);
            (
                if starts {
                    0
                } else {
                    distance(&word, candidate)
                },
                candidate,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be added, removed, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, a_char) in a.chars().enumerate() {
        let mut now = vec![row + 1];
        for (at, b_char) in b.iter().enumerate() {
            let changed = last[at] + usize::from(a_char != *b_char);
            let mut best = changed.min(last[at + 1] + 1).min(now[at] + 1);
            if at > 0 && previous == Some(*b_char) && a_char == b[at - 1] {
                best = best.min(before_last[at - 1] + 1);
            }
            now.push(best);
        }
        previous = Some(a_char);
        before_last = std::mem::replace(&mut last, now);
    }
    last[b.len()]
}

/// A list in words: `a, b or c`.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_mended() {
        let known = ["state", "place", "polls", "busy"];
        assert_eq!(nearest("stat", known), Some("state"));
        assert_eq!(nearest("sttae", known), Some("state"));
        assert_eq!(nearest("PLACES", known), Some("place"));
        assert_eq!(nearest("bsuy", known), Some("busy"));
        assert_eq!(nearest("xyzzy", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(list(["a"]), "a");
        assert_eq!(list(["a", "b", "c"]), "a, b or c");
    }
}
