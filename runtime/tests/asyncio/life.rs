//! B01-B17, B72: the loop and its life.
