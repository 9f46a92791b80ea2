//! `danso-admin`: the operator's command line. It speaks gRPC to the node over its unix socket, and checks logs and proofs by itself.
//!
//! Rooms, each importing only those before it: `lang`, `exit`, `args`; `output`, `files`; `tables`, `decode`; `context`; `connect`, `bar`, `say`, `audit`; `decision`, `standing`; `verbs`; `cli`. The
//! binary is a thin door to [`run`]; tests and the demo use [`capture`].

pub mod args;
pub mod audit;
pub mod bar;
pub mod cli;
pub mod connect;
pub mod context;
pub mod decision;
pub mod decode;
pub mod earlier;
pub mod exit;
pub mod files;
pub mod findings;
pub mod lang;
pub mod output;
pub mod say;
pub mod standing;
pub mod tables;
pub mod verbs;

use std::ffi::OsString;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser as _;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;

/// Does what the command line asks for, and says on `ctx.err` why not if not. The context's data directory, format and language are
/// set from the command line.
pub async fn run(cli: &Cli, ctx: &mut Context) -> Exit {
    ctx.data.clone_from(&cli.data);
    ctx.format = cli.output;
    ctx.lang = cli.lang.unwrap_or(ctx.lang);
    let done = cli.noun.run(ctx).await;
    let flushed = ctx.flush();
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            if !matches!(failure, Failure::OutputClosed) {
                let text = say::failure(ctx.lang, &failure);
                ctx.note(text);
            }
            failure.exit()
        }
    }
}

/// What a command left.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub exit: Exit,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command line (without the program's name) in this process, in English unless it says otherwise, and keeps what it writes.
pub async fn capture<T: Into<OsString>>(args: impl IntoIterator<Item = T>) -> Captured {
    let line = std::iter::once(OsString::from("danso-admin")).chain(args.into_iter().map(Into::into));
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            return match error.use_stderr() {
                true => Captured { exit: Exit::Usage, out: String::new(), err: text },
                false => Captured { exit: Exit::Done, out: text, err: String::new() },
            };
        }
    };
    let (out, err) = (Kept::default(), Kept::default());
    let mut ctx = Context {
        data: None,
        format: cli.output,
        lang: Lang::En,
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        out_width: None,
        err_width: None,
        styled: false,
        interactive: false,
    };
    let exit = run(&cli, &mut ctx).await;
    Captured { exit, out: out.text(), err: err.text() }
}

/// Keeps what is written.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
