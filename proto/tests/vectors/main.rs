//! Golden vectors: what every implementation of Danso's formats must make of given bytes.
//!
//! `write` makes the vectors again, from fixed keys, and compares them with `proto/vectors/` byte for byte; `DANSO_BLESS=1` writes
//! them. `read` checks the files as a second implementation would. The format is in `proto/vectors/README.md`.

mod format;
mod read;
mod sets;
mod world;
mod write;
mod write_evidence;
mod write_transport;
