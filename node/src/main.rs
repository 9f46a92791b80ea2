//! `danso-node`: see `danso_node::app::cli`.

use std::process::ExitCode;

/// A fifth of what taking in entries costs is memory asked for and given back (tests/bench/README.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    danso_node::app::cli::main()
}
