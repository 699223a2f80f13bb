//! A recording of the made-up shop answers as the shop does, says what it does not have, and is never made to panic by bytes.
