//! The acceptance cases B01 to B72: what asyncio's own tests ask of a loop, one test or more each,
//! named after its number. One binary, so that the suite links once.

mod groups;
mod interrupt;
mod io;
mod life;
mod net;
mod processes;
mod signals;
mod sync;
mod tasks;
mod threads;
