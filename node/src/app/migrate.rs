//! `migrate-store`: all of a node from the file in its directory to a server, or back, while it does not run.
//!
//! In this order, so that at no moment two databases can be opened as the node's: all is copied and proven; the one that it is moved from says that
//! it was left; the new one that all of it is there; the configuration names the new one; the new one lets itself be opened. Cut anywhere, the same
//! command goes on.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use danso_proto::refusal::{Reason, Refusal};
use serde_json::json;

use super::cli::Output;
use super::rebuild::hex;
use super::{Error, backup, clock, database, out, run, words};
use crate::clock::Clock as _;
use crate::config::{Config, Layout, Server};
use crate::files;
use crate::store::{self, Place, Proof, Store};

/// What stands for the file.
pub(super) const FILE: &str = "sqlite";
/// What a file that the node was moved away from is called when it makes room for a new one.
const BEFORE: &str = "before-migrate";

/// What `migrate-store` is told.
pub(super) struct Migrate<'a> {
    pub(super) data: &'a Path,
    /// The server; without one it is the file.
    pub(super) to: Option<Server>,
    pub(super) progress: Progress<'a>,
}

/// Hears the table and how many rows were copied.
type Progress<'a> = &'a mut dyn FnMut(&'static str, u64);

/// What `migrate-store` did.
pub(super) enum Done {
    /// The node is there now, or would be, if both held the same.
    Moved(Box<Moved>),
    /// All had been moved and proven by an earlier run; now the node can use it.
    Arrived,
    /// It was there already.
    There,
}

/// What was compared.
pub(super) struct Moved {
    pub(super) proof: Proof,
    /// Figures that people know, there and here.
    figures: [BTreeMap<String, i64>; 2],
    /// Where the node was.
    pub(super) from: String,
    /// What the file is called now that was in the new one's place.
    pub(super) aside: Option<PathBuf>,
}

impl Moved {
    /// Why the node was not moved.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let [from, to] = &self.figures;
        let figure = from.keys().find(|name| from.get(*name) != to.get(*name)).map(|name| format!("figure {name}"));
        let what = self.proof.difference().or(figure)?;
        let detail = format!("{what} is not the same in both databases; the node stays where it was ({})", self.from);
        Some(Refusal::new(Reason::StoreDamaged, detail))
    }
}

/// How a configuration's choice is named, for people and in the database that is left.
fn name(server: Option<&Server>) -> String {
    server.map_or(FILE.to_owned(), |server| server.address.to_string())
}

/// Moves the node.
pub(super) async fn migrate(what: Migrate<'_>) -> Result<Done, Error> {
    let layout = Layout::open(what.data)?;
    let _lock = layout.lock()?;
    run::is_whole(&layout)?;
    let config = Config::load(&layout.config())?;
    let (from, to) = (config.server.clone(), what.to);
    if name(from.as_ref()) == name(to.as_ref()) {
        return arrive(&layout, from.as_ref()).await;
    }
    let source = source(&layout, from.as_ref()).await?;
    let done = move_from(&source, &layout, config, to, what.progress).await;
    source.close_unsealed().await;
    done
}

async fn move_from(
    source: &Store,
    layout: &Layout,
    config: Config,
    to: Option<Server>,
    progress: Progress<'_>,
) -> Result<Done, Error> {
    let (node, is_left) = may_leave(source, &name(to.as_ref())).await?;
    let place = look(layout, to.as_ref()).await?;
    if is_left && matches!(&place, Place::Proven { node: there } if *there == node) {
        configure(layout, config, to.clone())?;
        return arrive(layout, to.as_ref()).await;
    }
    let aside = match (&place, &to) {
        (Place::Moved { node: left, .. }, None) if *left == node => Some(set_aside(layout).await?),
        _ => {
            let occupied = |error: store::Error| Refusal::new(Reason::StoreNotEmpty, error.to_string());
            place.is_for(&node).map_err(occupied)?;
            None
        }
    };
    let target = database::open_to_move(layout, to.as_ref()).await?;
    let moved = move_into(&target, source, layout, config, to, progress).await;
    target.close().await;
    Ok(Done::Moved(Box::new(Moved { aside, ..moved? })))
}

async fn move_into(
    target: &Store,
    source: &Store,
    layout: &Layout,
    config: Config,
    to: Option<Server>,
    progress: Progress<'_>,
) -> Result<Moved, Error> {
    let (proof, figures) = copied(source, target, progress).await?;
    let moved = Moved { proof, figures, from: name(config.server.as_ref()), aside: None };
    if moved.refusal().is_some() {
        // The next run copies all of it anew.
        target.set_proven(false).await?;
        return Ok(moved);
    }
    leave(layout, config.server.as_ref(), source, &name(to.as_ref())).await?;
    target.set_proven(true).await?;
    configure(layout, config, to)?;
    target.arrive().await?;
    Ok(moved)
}

/// What both databases say of the node.
type Both = (Proof, [BTreeMap<String, i64>; 2]);

async fn copied(source: &Store, target: &Store, progress: Progress<'_>) -> Result<Both, Error> {
    let mut from = source.read("migrate").await?;
    store::copy_node(&mut from, target, progress).await?;
    let mut to = target.read("migrate").await?;
    let proof = match store::prove(&mut from, &mut to).await {
        Ok(proof) => proof,
        Err(error) => {
            if error.is_damage() {
                target.set_proven(false).await?;
            }
            return Err(error.into());
        }
    };
    let figures = [backup::figures(&mut from).await?, backup::figures(&mut to).await?];
    Ok((proof, figures))
}

/// The database that the node is moved from. Nothing is written to a file that nobody can have changed since the node ended; else it is looked
/// at, and mended, as a start would.
async fn source(layout: &Layout, server: Option<&Server>) -> Result<Store, Error> {
    if server.is_some() {
        return checked(database::open_to_move(layout, server).await?).await;
    }
    let path = layout.database();
    let (store, says) = Store::open_to_look(&path).await?;
    if matches!(says, Ok(true)) && store.read("look").await?.is_current().await? {
        return Ok(store);
    }
    store.close_unsealed().await;
    // No stop is written down: it would make this another state of the node, and what was copied of it before would be copied anew.
    Store::open_to_move(&path).await?.close_unsealed().await;
    let (store, says) = Store::open_to_look(&path).await?;
    match says? {
        true => Ok(store),
        false => checked(store).await,
    }
}

async fn checked(store: Store) -> Result<Store, Error> {
    let check = async { store.read("check").await?.integrity_check().await };
    match check.await {
        Ok(()) => Ok(store),
        Err(error) => {
            store.close_unsealed().await;
            Err(error.into())
        }
    }
}

/// The node in the database that is moved from, if it may be moved to `to`, and whether an earlier run got as far as leaving it.
async fn may_leave(source: &Store, to: &str) -> Result<(String, bool), Error> {
    let place = source.read("migrate").await?.place().await?;
    match place {
        Place::Moved { node, to: left } if left == to => Ok((node, true)),
        Place::Moved { to, .. } => Err(store::Error::MovedAway { to }.into()),
        Place::Taken { node: Some(node) } => Ok((node, false)),
        Place::Copying { .. } | Place::Proven { .. } => Err(store::Error::HalfMoved.into()),
        Place::Empty | Place::Taken { node: None } => {
            Err(Refusal::new(Reason::NotFound, store::Error::NotANode.to_string()).into())
        }
    }
}

/// What is where the node shall be moved to. Nothing is written, and nobody else's writing taken over.
async fn look(layout: &Layout, server: Option<&Server>) -> Result<Place, Error> {
    let store = match server {
        None if layout.database().metadata().map_or(0, |meta| meta.len()) == 0 => return Ok(Place::Empty),
        None => Store::open_to_look(&layout.database()).await?.0,
        Some(server) => database::look_at(layout, server).await?,
    };
    let place = async { store.read("migrate").await?.place().await }.await;
    store.close_unsealed().await;
    Ok(place?)
}

/// Gives the file that the node was moved away from once another name: nothing that was a node's database is ever removed.
async fn set_aside(layout: &Layout) -> Result<PathBuf, Error> {
    let path = layout.database();
    // Folds its write-ahead log, so that the file alone is the database.
    Store::open_to_move(&path).await?.close().await;
    let named = |path: &Path, ending: &str| path.with_file_name(format!("danso.db{ending}"));
    let ending = format!(".{BEFORE}-{}", clock().now_ms());
    let aside = named(&path, &ending);
    let failed = |source| Error::Io { what: format!("cannot set {} aside", path.display()), source };
    let seal = named(&path, ".sha256");
    if seal.exists() {
        files::rename(&seal, &named(&path, &format!("{ending}.sha256"))).map_err(failed)?;
    }
    files::rename(&path, &aside).map_err(failed)?;
    Ok(aside)
}

/// From here on nobody opens the old database as a node's.
async fn leave(layout: &Layout, server: Option<&Server>, source: &Store, to: &str) -> Result<(), Error> {
    match server {
        Some(_) => source.leave(to).await?,
        None => {
            source.close_unsealed().await;
            let file = Store::open_to_move(&layout.database()).await?;
            let left = file.leave(to).await;
            file.close().await;
            left?;
        }
    }
    Ok(())
}

/// Names the new database in the configuration. What it was is kept beside it: it is written anew, and somebody's comments are in it.
fn configure(layout: &Layout, config: Config, server: Option<Server>) -> Result<(), Error> {
    let (from, to) = (layout.config(), layout.dir().join(format!("danso.toml.{BEFORE}")));
    let failed = |source| Error::Io { what: format!("cannot copy {} to {}", from.display(), to.display()), source };
    let text = std::fs::read(&from).map_err(failed)?;
    files::replace(&to, &text, 0o600).map_err(failed)?;
    Ok(Config { server, ..config }.write(&from)?)
}

/// The configuration names the database already: what an earlier run left of the move is done.
async fn arrive(layout: &Layout, server: Option<&Server>) -> Result<Done, Error> {
    let store = database::open_to_move(layout, server).await?;
    let place = async { store.read("migrate").await?.place().await }.await;
    let done = match place {
        Ok(Place::Proven { .. }) => store.arrive().await.map(|()| Done::Arrived),
        Ok(Place::Moved { to, .. }) => Err(store::Error::MovedAway { to }),
        Ok(Place::Copying { .. }) => Err(store::Error::HalfMoved),
        Ok(Place::Empty | Place::Taken { .. }) => Ok(Done::There),
        Err(error) => Err(error),
    };
    store.close().await;
    Ok(done?)
}

/// Moves the node, and says how far it is, what was compared and what to do next.
pub(super) async fn verb(data: &Path, to: Option<Server>, output: Output) -> anyhow::Result<()> {
    let (is_shown, mut copied) = (std::io::stderr().is_terminal(), ("", 0));
    let mut progress = |table: &'static str, rows: u64| {
        copied = (table, if copied.0 == table { copied.1 + rows } else { rows });
        if is_shown {
            out::progress(format_args!("{table}: {} rows          ", copied.1));
        }
    };
    let done = migrate(Migrate { data, to, progress: &mut progress }).await?;
    if is_shown {
        out::progress("");
    }
    if let Done::Moved(moved) = &done {
        out::print(shown(moved, output)?)?;
        if let Some(refusal) = moved.refusal() {
            return Err(Error::Refused(refusal).into());
        }
    }
    words::migrated(&done, data, words::lang()).iter().for_each(out::note);
    Ok(())
}

/// What was compared, for people or programs.
pub(super) fn shown(moved: &Moved, output: Output) -> Result<String, serde_json::Error> {
    let Moved { proof, figures: [from, to], .. } = moved;
    let figure = |of: &BTreeMap<String, i64>, name: &str| of.get(name).copied().unwrap_or_default();
    let logs = proof.from.logs.len();
    let entries: u64 = proof.from.logs.values().map(|(size, _)| size).sum();
    if output == Output::Json {
        let tables: Vec<_> = proof
            .tables()
            .map(|(from, to)| {
                json!({"table": from.table, "rows_from": from.rows, "rows_to": to.rows,
                       "sha256_from": hex(&from.sha256), "sha256_to": hex(&to.sha256)})
            })
            .collect();
        let logs: Vec<_> = proof
            .from
            .logs
            .iter()
            .map(|(log, (size, root))| {
                let (size_to, root_to) = proof.to.logs.get(log).copied().unwrap_or_default();
                json!({"log": log, "size_from": size, "size_to": size_to, "root_from": hex(root), "root_to": hex(&root_to)})
            })
            .collect();
        let value = json!({"same": moved.refusal().is_none(), "tables": tables, "logs": logs, "figures_from": from, "figures_to": to});
        return serde_json::to_string_pretty(&value);
    }
    let word = |same: bool| if same { "yes" } else { "no" };
    let mut text = format!("{:<14} {:>12} {:>12}  same\n", "table", "from", "to");
    for (from, to) in proof.tables() {
        text += &format!("{:<14} {:>12} {:>12}  {}\n", from.table, from.rows, to.rows, word(from == to));
    }
    text += &format!("\n{:<14} {:>12} {:>12}  same\n", "figure", "from", "to");
    for name in from.keys() {
        let (from, to) = (figure(from, name), figure(to, name));
        text += &format!("{name:<14} {from:>12} {to:>12}  {}\n", word(from == to));
    }
    let same = word(proof.from.logs == proof.to.logs);
    text += &format!("\n{logs} logs, {entries} entries; the roots that the entries make in both are the same: {same}");
    Ok(text)
}
