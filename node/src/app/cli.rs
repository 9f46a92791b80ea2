//! The command line of `danso-node`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use danso_core::calendar::PartialDate;
use danso_core::messages::{self, Lang};
use danso_proto::ids::UnitCode;
use danso_proto::refusal::{Class, Reason, Refusal};

use super::{backup, demo, doctor, drill, init, join, migrate, out, rebuild, recover, restore, run, words};
use crate::config::{Address, LayoutError, Server};
use crate::pki::PkiError;
use crate::token::Token;

/// Danso: the population data node, one binary for every tier.
///
/// Exit codes: 0 done, 1 fault of ours, 2 wrong usage, 3 refused (bad input, not allowed), 4 node or link unavailable.
#[derive(Debug, Parser)]
#[command(name = "danso-node", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Set up the root of a new federation. Its key becomes the trust anchor of everybody below.
    Init {
        /// Directory for the node's keys, configuration and database; made when it is not there.
        #[arg(long)]
        data: PathBuf,
        /// Unit that the node serves: the root of the unit list.
        #[arg(long)]
        unit: UnitCode,
        /// Unit list: CSV with the columns code, name, tier, parent_code.
        #[arg(long)]
        units: PathBuf,
        /// Name of this version of the list, for example vn-2024.
        #[arg(long)]
        units_version: String,
        /// Day from which the list is in force, YYYY-MM-DD; left out: always.
        #[arg(long)]
        valid_from: Option<PartialDate>,
        /// Where children's connections are accepted, HOST:PORT.
        #[arg(long)]
        listen: Address,
        /// Address that invites name, when children cannot dial --listen as it stands.
        #[arg(long)]
        advertise: Option<Address>,
        #[command(flatten)]
        store: Store,
    },
    /// Join a federation with the token that the parent's `danso-admin child invite` printed.
    Join {
        /// Directory for the node's keys, configuration and database; made when it is not there.
        #[arg(long)]
        data: PathBuf,
        /// File that holds the token; `-` reads it from standard input.
        #[arg(long)]
        token_file: PathBuf,
        /// Where this node accepts its own children's connections, HOST:PORT.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: Address,
        /// Address that this node's own invites name.
        #[arg(long)]
        advertise: Option<Address>,
        #[command(flatten)]
        store: Store,
    },
    /// Get back from the parent what this node wrote: after a lost disk, a damaged or old database, or when it moves below another node.
    Recover {
        /// The node's directory; made when it is not there and there is a token.
        #[arg(long)]
        data: PathBuf,
        /// File that holds the token of the parent's `danso-admin child invite --node`; `-` reads it from standard input. Needed when the
        /// keys or the database are lost, or when the parent is another one.
        #[arg(long)]
        token_file: Option<PathBuf>,
        /// Where this node accepts its own children's connections, HOST:PORT; left out: as configured.
        #[arg(long)]
        listen: Option<Address>,
        /// Address that this node's own invites name; left out: as configured.
        #[arg(long)]
        advertise: Option<Address>,
    },
    /// Show a whole federation on this machine: from communes' slips to the ministry's table, in under two minutes.
    Demo {
        /// Stay up afterwards and print commands to try.
        #[arg(long)]
        keep: bool,
        /// Empty directory for the nodes; left out: a temporary one that is removed at the end.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Language: vi or en; left out: from LANG.
        #[arg(long)]
        lang: Option<Lang>,
    },
    /// Write a backup: a consistent copy of the node in one file, whether the node runs or not.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Backup {
        /// Prove a backup instead of making one.
        #[command(subcommand)]
        proof: Option<BackupVerb>,
        /// The node's directory.
        #[arg(long, required = true)]
        data: Option<PathBuf>,
        /// The file to write. It must not exist.
        #[arg(long, value_name = "FILE", required = true)]
        out: Option<PathBuf>,
        /// Encrypt it with the passphrase in the first line of this file. Private keys are in the backup then.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Put the private keys in although the backup is not encrypted. Whoever has the file can then speak as this node.
        #[arg(long)]
        with_keys: bool,
    },
    /// Make a node from a backup, in a new directory. It writes nothing until it is known that it is not behind its own logs.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Restore {
        /// Say that a restored node is not behind.
        #[command(subcommand)]
        word: Option<RestoreVerb>,
        /// The backup.
        #[arg(long = "in", value_name = "FILE", required = true)]
        input: Option<PathBuf>,
        /// The node's new directory: empty, or not there.
        #[arg(long, required = true)]
        data: Option<PathBuf>,
        /// File with the passphrase in its first line.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Make register, figures and findings again from the logs. The node must not run. Whatever ends it, the old ones are there until the
    /// new ones are complete.
    Rebuild {
        /// The node's directory.
        #[arg(long)]
        data: PathBuf,
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Move the node from the file in its directory to a PostgreSQL server, or back, and prove that both hold the same. The node must not run.
    ///
    /// Until the end the node stays where it is; cut anywhere, run again it goes on. The configuration names the new database then, and the old one
    /// cannot be run any more. Exit code 3 when anything differs.
    MigrateStore {
        /// The node's directory.
        #[arg(long)]
        data: PathBuf,
        /// Where to: postgres://USER@HOST:5432/DATABASE without a password (several as HOST1,HOST2), or `sqlite` for the file in the directory.
        #[arg(long, value_name = "URL")]
        // As for --store.
        to: String,
        /// File with the password for --to in its first line.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Look at the files of a node that does not run: what is damaged, and what to do. Exit code 3 when something is wrong.
    ///
    /// A running node is looked over by `danso-admin doctor`.
    Doctor {
        /// The node's directory.
        #[arg(long)]
        data: PathBuf,
        /// How the lines are printed; for programs an object a line.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
        /// Language: vi or en; left out: from LANG.
        #[arg(long)]
        lang: Option<Lang>,
    },
    /// Run the node until it is told to stop (SIGTERM, SIGINT).
    Run {
        /// The node's directory.
        #[arg(long)]
        data: PathBuf,
        /// Configuration file in place of danso.toml in the directory.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

/// Where a new node keeps its database.
#[derive(Debug, clap::Args)]
struct Store {
    /// PostgreSQL server for the database, postgres://USER@HOST:5432/DATABASE without a password; several as HOST1,HOST2. Left out: a file in
    /// the directory.
    // Read later: a value that is refused here is printed, and there may be a password in it.
    #[arg(long = "store", value_name = "URL")]
    address: Option<String>,
    /// File with the password for --store in its first line.
    #[arg(long = "store-password-file", value_name = "FILE", requires = "address")]
    password_file: Option<PathBuf>,
}

impl Store {
    fn server(self) -> anyhow::Result<Option<Server>> {
        let address = match (self.address, &self.password_file) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                let why =
                    "a password is for a server, and the database shall be a file: leave it out, or name the server";
                return Err(Refusal::new(Reason::RequestInvalid, why).into());
            }
            (Some(address), _) => address.parse().map_err(super::Error::from)?,
        };
        // As it is seen from here; the node may be started elsewhere.
        let password_file = self.password_file.map(std::path::absolute).transpose();
        Ok(Some(Server {
            address,
            password_file: password_file.context("cannot tell where --store-password-file is")?,
        }))
    }
}

#[derive(Debug, Subcommand)]
enum BackupVerb {
    /// Prove a backup: restore it beside, verify every log from the anchor, make register and figures again, and compare. Exit code 3 when
    /// anything differs.
    Drill {
        /// The backup.
        #[arg(long = "in", value_name = "FILE")]
        input: PathBuf,
        /// File with the passphrase in its first line.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Directory below which the backup is restored for the drill; nothing stays there. Left out: the system's for temporary files.
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum RestoreVerb {
    /// Let a restored node write again although no parent confirmed that it is not behind: for the root, or without a link. The node must not
    /// run. If entries were written after the backup and anybody holds them, this makes a second history of the log, and everybody will
    /// refuse it.
    Confirm {
        /// The node's directory.
        #[arg(long)]
        data: PathBuf,
    },
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Runs `danso-node` with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(act(cli.verb)),
        Err(error) => Err(anyhow::Error::new(error).context("the runtime could not be started")),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            out::note(format_args!("danso-node: {}", words::chain(&error)));
            if let Some(refusal) = refusal_in(&error) {
                out::note(format_args!("{}: {}", refusal.reason, messages::next_step(refusal.reason, words::lang())));
            }
            ExitCode::from(code(&error))
        }
    }
}

/// Links and services wait most of the time; the pipeline and the store have threads of their own.
const WORKERS: usize = 2;

async fn act(verb: Verb) -> anyhow::Result<ExitCode> {
    if let Verb::Doctor { data, output, lang } = verb {
        let lang = lang.unwrap_or_else(words::lang);
        let well = doctor::doctor(&data, output == Output::Json, lang).await?;
        return Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(3) });
    }
    done(verb).await.map(|()| ExitCode::SUCCESS)
}

async fn done(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Doctor { .. } => Ok(()),
        Verb::Init { data, unit, units, units_version, valid_from, listen, advertise, store } => {
            let what = init::Init {
                data: &data,
                unit,
                units: &units,
                units_version: &units_version,
                valid_from,
                listen,
                advertise,
                server: store.server()?,
            };
            let made = init::init(what).await?;
            out::note(format_args!("Node {} is set up with {} units ({units_version}).", made.node, made.units));
            out::note("Trust anchor: write it down, everybody who checks proofs needs it:");
            out::print(made.anchor)?;
            out::note(format_args!("Next: danso-node run --data {}", data.display()));
            Ok(())
        }
        Verb::Join { data, token_file, listen, advertise, store } => {
            let token = read_token(&token_file)?;
            let joined = join::join(&data, token, (listen, advertise), store.server()?).await?;
            out::print(&joined.node)?;
            out::note(format_args!("Joined as {} ({}) below {}.", joined.unit_name, joined.unit, joined.parent));
            out::note(format_args!("Next: danso-node run --data {}", data.display()));
            Ok(())
        }
        Verb::Recover { data, token_file, listen, advertise } => {
            let token = token_file.as_deref().map(read_token).transpose()?;
            let shown = std::io::stderr().is_terminal();
            let mut progress = |entries: u64| {
                if shown && entries.is_multiple_of(50) {
                    out::progress(format_args!("{entries} entries "));
                }
            };
            let what = recover::Recover { data: &data, token, listen, advertise, progress: &mut progress };
            let done = recover::recover(what).await?;
            if shown {
                out::progress("");
            }
            out::print(&done.node)?;
            say(&words::recovered(&done, &data, words::lang()));
            Ok(())
        }
        Verb::Demo { keep, data, lang } => {
            let lang = lang.unwrap_or_else(words::lang);
            demo::demo(demo::Demo { keep, data, lang }).await
        }
        Verb::Backup { proof: Some(BackupVerb::Drill { input, passphrase_file, scratch, output }), .. } => {
            let passphrase = backup::passphrase(passphrase_file.as_ref())?;
            let scratch = scratch.unwrap_or_else(std::env::temp_dir);
            let drill = drill::drill(&input, &scratch, passphrase.as_ref()).await?;
            out::print(drill::shown(&drill, output)?.trim_end())?;
            match drill.refusal() {
                Some(refusal) => Err(super::Error::Refused(refusal).into()),
                None => {
                    out::note(words::drilled(words::lang()));
                    Ok(())
                }
            }
        }
        Verb::Backup { proof: None, data, out, passphrase_file, with_keys } => {
            let (data, out) = (data.unwrap_or_default(), out.unwrap_or_default());
            let passphrase = backup::passphrase(passphrase_file.as_ref())?;
            let what = backup::Backup { data: &data, out: &out, passphrase: passphrase.as_ref(), with_keys };
            let made = backup::backup(what).await?;
            out::print(out.display())?;
            say(&words::backed_up(&made, &data, &out, passphrase.is_some(), words::lang()));
            Ok(())
        }
        Verb::Restore { word: Some(RestoreVerb::Confirm { data }), .. } => confirm(&data).await,
        Verb::Restore { word: None, input, data, passphrase_file } => {
            let (input, data) = (input.unwrap_or_default(), data.unwrap_or_default());
            let passphrase = backup::passphrase(passphrase_file.as_ref())?;
            let restored = restore::restore(&input, &data, passphrase.as_ref()).await?;
            out::print(&restored.manifest.node)?;
            say(&words::restored(&restored, &data, words::lang()));
            Ok(())
        }
        Verb::Rebuild { data, output } => {
            let made = rebuild::rebuild(&data).await?;
            out::print(rebuild::shown(&made, output)?.trim_end())?;
            if output == Output::Table {
                words::rebuilt(&made, words::lang()).iter().try_for_each(out::print)?;
            }
            Ok(())
        }
        Verb::MigrateStore { data, to, password_file, output } => {
            let address = Some(to).filter(|to| to != migrate::FILE);
            let store = Store { address, password_file }.server()?;
            migrate::verb(&data, store, output).await
        }
        Verb::Run { data, config } => Ok(run::run(&data, config.as_deref()).await?),
    }
}

/// The operator's word that a restored node is not behind.
async fn confirm(data: &Path) -> anyhow::Result<()> {
    match restore::confirm(data).await? {
        Some(refusal) => Err(super::Error::Refused(refusal).into()),
        None => {
            out::note(words::confirmed(words::lang()));
            Ok(())
        }
    }
}

fn say(lines: &[String]) {
    lines.iter().for_each(out::note);
}

fn read_token(file: &Path) -> anyhow::Result<Token> {
    let text = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()).context("cannot read the token from standard input")?,
        _ => std::fs::read_to_string(file).with_context(|| format!("cannot read the token file {}", file.display()))?,
    };
    Ok(text.parse::<Token>()?)
}

/// The exit code for an error: that of the refusal in it; what the operator must set right before another try is wrong usage or refused,
/// so that nothing starts the node again and again (see `RestartPreventExitStatus` in the systemd unit); else 1.
fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<super::Error>() {
        Some(
            super::Error::Config(_)
            | super::Error::Address(_)
            | super::Error::Layout(LayoutError::Missing(_) | LayoutError::PathTooLong(_)),
        ) => {
            return 2;
        }
        Some(
            super::Error::Units { .. }
            | super::Error::Key(_)
            | super::Error::Pki(PkiError::Key(_) | PkiError::NotACertificate { .. }),
        ) => return 3,
        Some(super::Error::Pki(PkiError::Io { source, .. })) if is_wrong_place(source.kind()) => return 3,
        // A place that was named and is none.
        Some(super::Error::Io { source, .. }) if is_wrong_place(source.kind()) => return 3,
        // It may be about to end.
        Some(super::Error::Layout(LayoutError::Busy { .. })) => return 4,
        _ => {}
    }
    match refusal_in(error).map(|refusal| refusal.reason.class()) {
        Some(Class::Unavailable) => 4,
        Some(Class::Internal) | None => 1,
        Some(_) => 3,
    }
}

fn is_wrong_place(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(kind, IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem)
}

/// The refusal that an error is, or has in it.
fn refusal_in(error: &anyhow::Error) -> Option<Refusal> {
    error.chain().find_map(|cause| cause.downcast_ref::<Refusal>().cloned()).or_else(|| {
        // Errors that are a refusal themselves hide it from the chain.
        match error.downcast_ref::<super::Error>()? {
            super::Error::Refused(refusal) => Some(refusal.clone()),
            super::Error::Pipeline(error) => Some(error.refusal()),
            super::Error::Store(error) if error.is_damage() => {
                Some(Refusal::new(Reason::StoreDamaged, error.to_string()))
            }
            super::Error::Store(error) if error.is_away() || error.over().is_some() => {
                Some(crate::pipeline::Error::refusal_of(error))
            }
            super::Error::Store(error) if error.is_full() => Some(Refusal::new(Reason::DiskFull, error.to_string())),
            super::Error::Store(error) if error.is_moved() => Some(Refusal::new(Reason::StoreMoved, error.to_string())),
            _ => {
                let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
                causes.find(|cause| cause.kind() == std::io::ErrorKind::StorageFull)?;
                let detail = format!("{}; make room on that disk, or name a place on another one", words::chain(error));
                Some(Refusal::new(Reason::DiskFull, detail))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn a_node_whose_database_is_anothers_is_not_started_again_and_one_that_missed_a_commit_is() {
        let ended = |error: store::Error| code(&anyhow::Error::from(super::super::Error::Store(error)));
        // What deploy/systemd does not restart after.
        assert_eq!(ended(store::Error::NotOurs), 3);
        assert_eq!(ended(store::Error::WasKept), 4);
    }

    #[test]
    fn a_password_for_a_database_that_is_a_file_is_refused_and_not_passed_over() {
        let error = Store { address: None, password_file: Some("f".into()) }.server().expect_err("refused");
        assert_eq!(refusal_in(&error).map(|refusal| refusal.reason), Some(Reason::RequestInvalid), "{error}");
        assert_eq!(code(&error), 3);
    }
}
