//! What the stories in `tests/stories` are told with: real nodes, the simulator's truth, the structure rules, the proto lint.
//!
//! It starts the built programs and reads what they print. It may not use their code: a story sees what an operator sees. Only [`peer`]
//! does, because a peer that breaks one rule has to keep all others.

pub mod federation;
pub mod health;
pub mod node;
pub mod peer;
pub mod process;
pub mod proto_lint;
mod server;
pub mod simulation;
pub mod small_disk;
pub mod tidy;
pub mod truth;
