//! What a finding's name means, from the schema's crate, where the rule itself is.

/// A finding's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub name: &'static str,
    /// When it is said.
    pub condition: &'static str,
    pub cause: &'static str,
    pub example: &'static str,
    pub fix: &'static str,
}

/// The names that can be explained.
pub fn names() -> Vec<&'static str> {
    loop_proto::table::FINDINGS
        .iter()
        .copied()
        .filter(|n| !n.is_empty())
        .collect()
}

/// The text of a name.
pub fn of(name: &str) -> Option<Explanation> {
    let text = loop_proto::pb::FindingName::from_word(name)?.explain();
    Some(Explanation {
        name: text.name,
        condition: text.condition,
        cause: text.cause,
        example: text.example,
        fix: text.fix,
    })
}
