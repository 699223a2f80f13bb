//! B42-B58: task groups, timeouts, gather, wait, shield.
