//! B69-B71: servers and streams.
