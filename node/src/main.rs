//! `danso-node`: see `danso_node::app::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    danso_node::app::cli::main()
}
