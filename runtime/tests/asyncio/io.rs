//! B18-B26: registered descriptors and raw sockets.
