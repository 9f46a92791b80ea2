//! The door: terminal, environment and exit code. Everything else is in the library.

use std::io::{BufWriter, IsTerminal as _, stderr, stdin, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use comfy_table::Table;
use danso_admin::cli::Cli;
use danso_admin::context::Context;
use danso_admin::exit::Exit;
use danso_admin::lang;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = |name| std::env::var(name).ok();
    let mut ctx = Context {
        data: None,
        format: cli.output,
        lang: lang::from_env(["LC_ALL", "LC_MESSAGES", "LANG"].map(env)),
        out: Box::new(BufWriter::new(stdout())),
        err: Box::new(stderr()),
        out_width: Table::new().width(),
        err_width: Table::new().use_stderr().width(),
        styled: env("NO_COLOR").is_none_or(|value| value.is_empty()),
        interactive: stdin().is_terminal() && stderr().is_terminal(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ctx.note(format_args!("danso-admin: cannot start: {error}"));
            return Exit::Fault.into();
        }
    };
    runtime.block_on(danso_admin::run(&cli, &mut ctx)).into()
}
