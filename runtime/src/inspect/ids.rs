//! Maps and sets by id, as the whole inspector uses them. Knows no table.

pub(crate) use crate::id::map::{IdMap, IdSet};
