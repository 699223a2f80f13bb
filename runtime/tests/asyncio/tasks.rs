//! B27-B41: tasks, cancel, uncancel, contexts.
