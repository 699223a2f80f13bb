//! Who is attached, in words. Knows nothing of what they may do.

use std::fmt::Write as _;

use crate::pb;

impl pb::Viewer {
    /// What it said that it is and what the kernel told of it: `loop-console 0.4.0 (uid 1000, pid 42)`.
    /// The client's own name is hostile: escape before a terminal sees it.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = match self.client.as_str() {
            "" => format!("viewer {}", self.number),
            client => client.to_owned(),
        };
        words.push_str(" (");
        match (self.uid, self.pid) {
            (Some(uid), Some(pid)) => _ = write!(words, "uid {uid}, pid {pid}"),
            (Some(uid), None) => _ = write!(words, "uid {uid}"),
            _ => words.push_str("user not known"),
        }
        if !self.address.is_empty() && self.address != "unix" {
            _ = write!(words, ", {}", self.address);
        }
        words.push(')');
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_a_viewer_is_said_so() {
        let mut viewer = pb::Viewer {
            number: 3,
            client: "loop-console 0.4.0".to_owned(),
            uid: Some(1000),
            pid: Some(42),
            address: "unix".to_owned(),
            controls: false,
        };
        assert_eq!(viewer.in_words(), "loop-console 0.4.0 (uid 1000, pid 42)");
        viewer.client.clear();
        (viewer.uid, viewer.pid) = (None, None);
        viewer.address = "127.0.0.1:5000".to_owned();
        assert_eq!(
            viewer.in_words(),
            "viewer 3 (user not known, 127.0.0.1:5000)"
        );
    }
}
