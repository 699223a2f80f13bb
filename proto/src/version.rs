//! Which versions of the protocol fit together. Knows nothing of how they are exchanged.

use std::fmt;

use crate::pb;

/// The protocol that this build speaks. The minor grows with every addition to the schema; the
/// major with every change that an older reader would misunderstand.
pub const PROTOCOL: pb::Version = pb::Version { major: 1, minor: 0 };

/// The other side speaks another major version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionGap {
    /// What this side speaks.
    pub ours: pb::Version,
    /// What the other side speaks; `0.0` when it did not say.
    pub theirs: pb::Version,
}

impl fmt::Display for VersionGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (self.ours, self.theirs);
        write!(
            f,
            "protocol versions do not fit: the other side speaks {}.{}, this side {}.{}; update {}",
            theirs.major,
            theirs.minor,
            ours.major,
            ours.minor,
            if theirs.major < ours.major {
                "the other side"
            } else {
                "this side"
            },
        )
    }
}

impl std::error::Error for VersionGap {}

/// What two sides of the same major have in common: the older minor. `theirs` is what the other
/// side's Hello said.
///
/// Errors: [`VersionGap`] when the majors differ, or when the other side named no version.
pub fn fit(theirs: Option<pb::Version>) -> Result<pb::Version, VersionGap> {
    common(PROTOCOL, theirs.unwrap_or_default())
}

fn common(ours: pb::Version, theirs: pb::Version) -> Result<pb::Version, VersionGap> {
    if theirs.major == ours.major {
        Ok(pb::Version {
            major: ours.major,
            minor: ours.minor.min(theirs.minor),
        })
    } else {
        Err(VersionGap { ours, theirs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_major_fits_at_the_older_minor() {
        let newer = pb::Version {
            major: PROTOCOL.major,
            minor: PROTOCOL.minor + 7,
        };
        assert_eq!(fit(Some(newer)), Ok(PROTOCOL));
        assert_eq!(fit(Some(PROTOCOL)), Ok(PROTOCOL));
        assert_eq!(common(newer, PROTOCOL), Ok(PROTOCOL));
    }

    #[test]
    fn another_major_is_refused_and_both_are_named() {
        let theirs = pb::Version {
            major: PROTOCOL.major + 1,
            minor: 3,
        };
        let gap = fit(Some(theirs)).expect_err("another major");
        let text = gap.to_string();
        assert!(text.contains(&format!("{}.3", theirs.major)), "{text}");
        assert!(
            text.contains(&format!("{}.{}", PROTOCOL.major, PROTOCOL.minor)),
            "{text}"
        );
    }

    #[test]
    fn a_side_that_names_no_version_is_refused() {
        assert!(fit(None).is_err());
    }
}
