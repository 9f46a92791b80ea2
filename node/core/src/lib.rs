//! Danso's pure core: what the system knows, without any way to touch the world.
//!
//! Nothing in here does I/O, reads a clock or draws randomness; the manifest has no crate that could. Rooms, each importing only
//! those before it: `calendar`, `tier`, `units`; `period`; `verify`; `ledger`; `finding`; `register`; `rules`; `cube`; `rollup`; `question`; `forms`, `messages`; `sync` (on `ledger`).

pub mod calendar;
pub mod cube;
pub mod finding;
pub mod forms;
pub mod ledger;
pub mod messages;
pub mod period;
pub mod question;
pub mod register;
pub mod rollup;
pub mod rules;
pub mod sync;
pub mod tier;
pub mod units;
pub mod verify;
