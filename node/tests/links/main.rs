//! Links in one process, with real sockets, TLS, pipelines and stores, and clocks that the tests set: years pass, clocks are wrong, lines
//! fall silent. What needs real processes is in the stories of the crate `tests`.

#![expect(clippy::unwrap_used, reason = "all of this binary is test code, its helpers too")]

mod backlog;
mod bed;
mod clocks;
mod outage;
mod renewal;
mod unproven;
