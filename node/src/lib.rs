//! Danso's node. Rooms and who may import whom (each arrow points down; `tests` keeps it so):
//!
//! ```text
//! 5  main -> app -> everything
//! 4  wire -> link, pipeline::Handle, answer, view, intake     link -> pipeline::Handle, core::sync, store (read only)
//! 3  pipeline -> core, store, intake, keys, clock    answer, view -> core, store (read only)
//! 2  store -> core types    intake    keys    config    clock    telemetry    token    pki    archive
//! ```

pub mod answer;
pub mod app;
pub mod archive;
pub mod clock;
pub mod config;
pub mod doctor;
mod faults;
mod files;
pub mod intake;
pub mod keys;
pub mod link;
pub mod pipeline;
pub mod pki;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod view;
pub mod wire;
