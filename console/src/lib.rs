//! The console as a library, so that its screens can be driven without a terminal: `main.rs` only calls it.
//!
//! Reading order: [`store`] (what is known of one app), `model` (that, and what the user is doing with it), [`update`]
//! (what a message changes), `view` (the model as cells), [`run`] (the loop around them).

pub mod run;
pub mod store;
pub mod update;
