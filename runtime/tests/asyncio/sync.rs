//! B59-B60: locks and queues.
