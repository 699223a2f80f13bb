//! B61-B63: other threads.
