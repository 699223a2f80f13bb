//! The console as a library, so that its screens can be driven without a terminal: `main.rs` only calls it.
//!
//! Around the screens: [`cli`] (what arguments mean), [`commands`] (what prints and ends), [`transport`] (how an app is found and
//! asked), [`print`](mod@print), [`check`] (the gate), [`control`] (what has the app do something), [`exit`] (why the process ends as it does).
//!
//! The screens, in reading order: [`store`] (what is known of one app), [`model`] (that, and what the user is doing with it), [`keys`],
//! [`update`](mod@update) (what a message changes), [`view`](mod@view) (the model as cells), [`run`] (the loop around them).

#![forbid(unsafe_code)]

pub mod exit;

pub mod cli;
pub mod commands;

pub mod check;
pub mod control;
pub mod print;
pub mod recorded;
pub mod transport;

pub mod drive;
pub mod keys;
pub mod model;
pub mod picture;
pub mod report;
pub mod run;
pub mod store;
pub mod terminal;
pub mod update;
pub mod view;
