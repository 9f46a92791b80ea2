//! All of a node from one database into another one, whatever they are: in chunks, so that it goes on where it was cut, and with a proof that
//! both hold the same. Knows nothing of configurations, of which database is the node's, and of people.
//!
//! Until the end the source stays as it is, and nobody can open the target as a node's store: it says so itself (`moving`), as a database that
//! a node was moved away from does (`moved`). Two databases of one node that are both written to would be two histories of its logs.

use std::collections::BTreeMap;
use std::path::Path;

use danso_proto::merkle::{CompactTree, Hash, leaf_hash};
use sha2::{Digest as _, Sha256};

use super::derived::{self, TableDigest};
use super::examine::{META_STOP, META_UNCHECKED, META_UNCOMPARED};
use super::ledger::sealed;
use super::postgres::META_FENCE;
use super::sql::{Row, Transaction, Value};
use super::tables::{Chunk, TABLES};
use super::{Error, Result, Store, Tx, hash, unsigned};

/// Where a database keeps the id of its node.
pub const META_NODE: &str = "node";
/// There while a node is moved into this database.
pub(super) const META_MOVING: &str = "moving";
/// There in a database that its node was moved away from: where to.
pub(super) const META_MOVED: &str = "moved";
/// What is about the database itself, and not about its node. That pages were not checked is about the pages.
const OWN: [&str; 5] = [META_FENCE, META_STOP, META_UNCHECKED, META_MOVING, META_MOVED];
/// Rows and bytes that are in memory at a time, some three times over.
const CHUNK: Chunk = Chunk { rows: 4_000, bytes: 4 * 1024 * 1024 };
/// Where sqlx keeps which steps have brought the database to its version.
const STEPS: &str = "_sqlx_migrations";
/// No source is in this state: what was copied is not gone on with.
const NONE: &str = "-";

/// What a database is, for a node that shall be moved into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing is in it.
    Empty,
    /// This node is being moved into it.
    Copying {
        /// The node.
        node: String,
        /// What its source was then.
        source: String,
    },
    /// This node was moved into it: it was proven that all of it is there, and the other database was left.
    Proven {
        /// The node.
        node: String,
    },
    /// This node was moved away from it.
    Moved {
        /// The node.
        node: String,
        /// Where to.
        to: String,
    },
    /// It is a node's, or somebody else's.
    Taken {
        /// The node, if it says which.
        node: Option<String>,
    },
}

impl Place {
    /// Whether a node may be moved into it.
    ///
    /// # Errors
    /// `Occupied`.
    pub fn is_for(&self, me: &str) -> Result<()> {
        match self {
            Self::Empty => Ok(()),
            Self::Copying { node, .. } | Self::Proven { node } if node == me => Ok(()),
            Self::Copying { node, .. } | Self::Proven { node } => Err(Error::Occupied { by: format!("node {node}") }),
            Self::Moved { node, to } => {
                Err(Error::Occupied { by: format!("node {node} as it was before it was moved to {to}") })
            }
            Self::Taken { node: Some(node) } => Err(Error::Occupied { by: format!("node {node}") }),
            Self::Taken { node: None } => Err(Error::Occupied { by: "something else".into() }),
        }
    }

    fn of(text: &str) -> Option<Self> {
        let mut words = text.split(' ').map(str::to_owned);
        match (words.next()?.as_str(), words.next()?, words.next()) {
            ("copying", node, Some(source)) => Some(Self::Copying { node, source }),
            ("proven", node, None) => Some(Self::Proven { node }),
            _ => None,
        }
    }
}

/// What a database holds: digests of all tables, and the roots that the entries make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// All tables; those that are derived as [`Tx::derived`] has them.
    pub tables: Vec<TableDigest>,
    /// For each log how many entries there are, and the root that their very bytes make.
    pub logs: BTreeMap<String, (u64, Hash)>,
}

/// What two databases hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The one that was moved from.
    pub from: Held,
    /// The one that was moved into.
    pub to: Held,
}

impl Proof {
    /// The tables of both.
    pub fn tables(&self) -> impl Iterator<Item = (&TableDigest, &TableDigest)> {
        self.from.tables.iter().zip(&self.to.tables)
    }

    /// The first thing that is not the same.
    pub fn difference(&self) -> Option<String> {
        let logs = self.from.logs.keys().chain(self.to.logs.keys());
        let log = logs.into_iter().find(|log| self.from.logs.get(*log) != self.to.logs.get(*log));
        let table = self.tables().find(|(from, to)| from != to).map(|(from, _)| format!("table {}", from.table));
        log.map(|log| format!("log {log}")).or(table)
    }
}

/// Copies all of a node, or what is missing of it after it was cut. `tell` hears the table and how many rows were written.
///
/// # Errors
/// `Occupied`: something else is in the target, which stays as it is; `NotANode`; when one of the databases fails.
pub async fn copy_node(from: &mut Tx, to: &Store, tell: &mut dyn FnMut(&'static str, u64)) -> Result<()> {
    copy_by(from, to, CHUNK, tell).await
}

pub(super) async fn copy_by(
    from: &mut Tx,
    to: &Store,
    chunk: Chunk,
    tell: &mut dyn FnMut(&'static str, u64),
) -> Result<()> {
    let node = from.node().await?.ok_or(Error::NotANode)?;
    if !from.is_current().await? {
        return Err(Error::Earlier);
    }
    let source = from.state().await?;
    let is_left = from.meta_get(META_MOVED).await?.is_some();
    to.run_tx("moving", async |tx| tx.begin_move(&node, &source, is_left).await).await?;
    for table in &TABLES {
        let mut last = to.read("moving").await?.table_last(table).await?;
        let mut rows = from.table_rows(table, last.as_deref(), chunk).await?;
        while !rows.is_empty() {
            last = rows.last().map(|row| row[..table.key].to_vec());
            // The next ones are read while these are written.
            let write = to.run_tx("moving", async |tx| tx.table_add(table, rows.clone()).await);
            let ((), next) = tokio::try_join!(write, from.table_rows(table, last.as_deref(), chunk))?;
            tell(table.name, rows.len() as u64);
            rows = next;
        }
    }
    let meta = from.meta_rows().await?;
    to.run_tx("moving", async |tx| {
        tx.meta_replace(&meta).await?;
        tx.number_on().await
    })
    .await
}

/// Copies all of the node that a view shows into a new file, as it is at one moment, and proves it. The node may run meanwhile.
///
/// # Errors
/// `Damaged`, when the copy is not the same; when one of the databases fails.
pub async fn copy_to_file(from: &mut Tx, to: &Path) -> Result<()> {
    let store = Store::open_to_move(to).await?;
    let copied = async {
        copy_node(from, &store, &mut |_, _| {}).await?;
        let proof = prove(from, &mut store.read("prove").await?).await?;
        if let Some(what) = proof.difference() {
            return Err(Error::damaged(format!("{what} is not the same in the copy")));
        }
        store.set_proven(true).await?;
        store.arrive().await
    };
    let copied = copied.await;
    store.close().await;
    copied
}

/// What both hold, each read to the end and hashed.
///
/// # Errors
/// `Damaged`: entries do not make the root that their log has; when one of the databases fails.
pub async fn prove(from: &mut Tx, to: &mut Tx) -> Result<Proof> {
    let (from, to) = tokio::try_join!(from.held(), to.held())?;
    Ok(Proof { from, to })
}

impl Store {
    /// Writes down what came of the proof: all of the node is here, or what was copied is not gone on with.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_proven(&self, is_proven: bool) -> Result<()> {
        self.run_tx("proven", async |tx| match (tx.place().await?, is_proven) {
            (Place::Copying { node, .. } | Place::Proven { node }, true) => tx.set_moving("proven", &node).await,
            (Place::Copying { node, .. } | Place::Proven { node }, false) => {
                tx.set_moving("copying", &format!("{node} {NONE}")).await
            }
            _ => Err(Error::HalfMoved),
        })
        .await?;
        // What was said of a file that a process died with does not hold any more: all of it was read.
        self.recall().await
    }

    /// Makes this database, into which a node was moved and proven, the node's.
    ///
    /// # Errors
    /// `HalfMoved`, unless it was proven; when the store fails.
    pub async fn arrive(&self) -> Result<()> {
        self.run_tx("arrive", async |tx| match tx.place().await? {
            Place::Proven { .. } => tx.meta_remove(META_MOVING).await,
            _ => Err(Error::HalfMoved),
        })
        .await
    }

    /// Writes down that the node is in another database from now on: this one is not opened as a store any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leave(&self, to: &str) -> Result<()> {
        self.run_tx("leave", async |tx| tx.meta_put(META_MOVED, to.as_bytes()).await).await
    }

    /// Whether a node's store may be what this database is.
    ///
    /// # Errors
    /// `MovedAway`, `HalfMoved`; when the store fails.
    pub async fn is_in_use(&self) -> Result<()> {
        let mut tx = self.read("place").await?;
        in_use(tx.meta_get(META_MOVED).await?, tx.meta_get(META_MOVING).await?)
    }
}

/// Whether a database of a node has a table of this name.
fn is_ours(table: &str) -> bool {
    ["meta", STEPS, "evidence_0001", "sqlite_sequence"].contains(&table) || TABLES.iter().any(|of| of.name == table)
}

/// What the marks say about a database that shall be a node's store.
pub(super) fn in_use(moved: Option<Vec<u8>>, moving: Option<Vec<u8>>) -> Result<()> {
    match (moved, moving) {
        (Some(to), _) => Err(Error::MovedAway { to: String::from_utf8_lossy(&to).into_owned() }),
        (None, Some(_)) => Err(Error::HalfMoved),
        (None, None) => Ok(()),
    }
}

impl Tx {
    /// What the database is, for a node that shall be moved into it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn place(&mut self) -> Result<Place> {
        let (ours, others): (Vec<String>, Vec<String>) =
            self.tables_there().await?.into_iter().partition(|table| is_ours(table));
        // sqlx begins with a table of its own.
        if !ours.iter().any(|table| table == "meta") {
            let is_empty = others.is_empty() && ours.iter().all(|table| table == STEPS);
            return Ok(if is_empty { Place::Empty } else { Place::Taken { node: None } });
        }
        if !ours.iter().any(|table| table == STEPS) {
            return Ok(Place::Taken { node: None });
        }
        let text = |value: Option<Vec<u8>>| value.map(|value| String::from_utf8_lossy(&value).into_owned());
        let node = self.node().await?;
        if let Some(to) = text(self.meta_get(META_MOVED).await?) {
            return Ok(Place::Moved { node: node.unwrap_or_default(), to });
        }
        if let Some(moving) = text(self.meta_get(META_MOVING).await?) {
            let unfit = || Error::inconsistent("meta", META_MOVING, format!("{moving:?} says nothing"));
            return Place::of(&moving).ok_or_else(unfit);
        }
        // Who opens a file that a process died with marks it.
        let mark = Value::from(META_UNCOMPARED);
        let is_empty = others.is_empty()
            && self.meta_rows().await?.iter().all(|[key, _]| *key == mark)
            && self.number("SELECT COUNT(*) FROM log", []).await? == 0;
        Ok(if is_empty { Place::Empty } else { Place::Taken { node } })
    }

    /// The tables and views that are there, without those of extensions, which a server's operator may put into every database.
    async fn tables_there(&mut self) -> Result<Vec<String>> {
        let sql = match self.inner {
            Transaction::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')",
            Transaction::Postgres(_) => {
                "SELECT relname::TEXT AS name FROM pg_class
                 WHERE relnamespace = to_regnamespace(current_schema()::TEXT) AND relkind IN ('r', 'p', 'f', 'v', 'm')
                   AND NOT EXISTS (SELECT FROM pg_depend
                                   WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')"
            }
        };
        self.rows(sql, []).await?.iter().map(|row| row.get("name")).collect()
    }

    /// The node that the database is of.
    async fn node(&mut self) -> Result<Option<String>> {
        Ok(self.meta_get(META_NODE).await?.map(|node| String::from_utf8_lossy(&node).into_owned()))
    }

    async fn set_moving(&mut self, how: &str, what: &str) -> Result<()> {
        self.meta_put(META_MOVING, format!("{how} {what}").as_bytes()).await
    }

    /// What is moved, in short: another run of the node between two attempts makes it another one. What no log and no stop shows is found by the
    /// proof.
    async fn state(&mut self) -> Result<String> {
        let mut digest = Sha256::new();
        for row in self.rows("SELECT key, value FROM meta ORDER BY key", []).await? {
            let (key, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            // Whoever opens a database on a server moves its mark, and who opens a file marks that nobody sealed it.
            if ![META_FENCE, META_MOVED, META_UNCHECKED, META_UNCOMPARED].contains(&&*key) {
                derived::add(&mut digest, key.into());
                derived::add(&mut digest, value.into());
            }
        }
        for row in self.rows("SELECT name, size, root FROM log ORDER BY name", []).await? {
            (0..row.len()).try_for_each(|at| row.value(at).map(|value| derived::add(&mut digest, value)))?;
        }
        let digest: [u8; 32] = digest.finalize().into();
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Marks this database as one that the node is moved into. What was copied from another state of the source goes; but a source that was left
    /// nobody has run since, and what is not all of it the proof finds.
    async fn begin_move(&mut self, node: &str, source: &str, is_left: bool) -> Result<()> {
        let place = self.place().await?;
        place.is_for(node)?;
        match &place {
            Place::Copying { source: before, .. } if before == source || is_left && before != NONE => return Ok(()),
            Place::Empty => {}
            _ => {
                for table in TABLES.iter().rev() {
                    self.write(&format!("DELETE FROM {}", table.name), []).await?;
                }
                self.meta_replace(&[]).await?;
            }
        }
        self.set_moving("copying", &format!("{node} {source}")).await
    }

    /// What `meta` holds about the node.
    async fn meta_rows(&mut self) -> Result<Vec<[Value; 2]>> {
        let rows = self.rows("SELECT key, value FROM meta ORDER BY key", []).await?;
        let rows = rows.iter().map(|row| Ok((row.get::<String>(0)?, row.get::<Vec<u8>>(1)?)));
        let rows: Result<Vec<_>> = rows.collect();
        let about_the_node = rows?.into_iter().filter(|(key, _)| !OWN.contains(&&**key));
        Ok(about_the_node.map(|(key, value)| [key.into(), value.into()]).collect())
    }

    async fn meta_replace(&mut self, rows: &[[Value; 2]]) -> Result<()> {
        let own = OWN.map(|key| format!("'{key}'")).join(", ");
        self.write(&format!("DELETE FROM meta WHERE key NOT IN ({own})"), []).await?;
        self.write_many("INSERT INTO meta (key, value) {rows}", [], rows.iter().cloned()).await.map(drop)
    }

    /// The numbers that a server gives next are behind those that are there; a file sees to that by itself.
    async fn number_on(&mut self) -> Result<()> {
        if matches!(self.inner, Transaction::Sqlite(_)) {
            return Ok(());
        }
        for table in TABLES.iter().filter(|table| table.is_numbered) {
            let (name, key) = (table.name, table.key_names());
            let next = format!("(SELECT coalesce(max({key}), 0) + 1 FROM {name})");
            let sql = format!("SELECT setval(pg_get_serial_sequence('{name}', '{key}'), {next}, false)");
            self.write(&sql, []).await?;
        }
        Ok(())
    }

    /// What the database holds. Reads all of it, a few rows at a time.
    ///
    /// # Errors
    /// `Damaged`: entries do not make the root that their log has; when the store fails.
    pub async fn held(&mut self) -> Result<Held> {
        let (entry, logs) = self.entries_held().await?;
        let mut tables = vec![entry];
        let derived = self.derived().await?.tables;
        for table in TABLES.iter().filter(|table| table.name != "entry") {
            // What is derived has a column of `period` in a digest of its own.
            match derived.iter().find(|of| of.table == table.name && of.table != "period") {
                Some(digest) => tables.push(digest.clone()),
                None => {
                    let sql = format!("SELECT {} FROM {} ORDER BY {}", table.names(), table.name, table.key_names());
                    tables.push(self.digest(table.name, &sql).await?);
                }
            }
        }
        let mut meta = Sha256::new();
        let rows = self.meta_rows().await?;
        let count = rows.len() as u64;
        rows.into_iter().flatten().for_each(|value| derived::add(&mut meta, value));
        tables.push(TableDigest { table: "meta", rows: count, sha256: meta.finalize().into() });
        Ok(Held { tables, logs })
    }

    /// The entries, and for each log how many there are and the root that they make.
    async fn entries_held(&mut self) -> Result<(TableDigest, BTreeMap<String, (u64, Hash)>)> {
        let sql = "SELECT log, sequence, envelope, leaf, set_id, changes, parts FROM entry ORDER BY log, sequence";
        let (mut digest, mut count) = (Sha256::new(), 0);
        let mut trees: BTreeMap<i64, CompactTree> = BTreeMap::new();
        self.each(sql, |row| {
            count += 1;
            (0..row.len()).try_for_each(|at| row.value(at).map(|value| derived::add(&mut digest, value)))?;
            let tree = trees.entry(row.get(0)?).or_default();
            match next_leaf(row, tree.size())? {
                Some(leaf) => {
                    tree.push(leaf);
                    Ok(())
                }
                None => {
                    let (log, sequence): (i64, i64) = (row.get(0)?, row.get(1)?);
                    let what = format!("entry {sequence} of the log with row number {log} is not what was taken in");
                    Err(Error::damaged(what))
                }
            }
        })
        .await?;
        let mut logs = BTreeMap::new();
        for row in self.rows("SELECT id, name, size, root FROM log ORDER BY name", []).await? {
            let (name, tree) = (row.get::<String>(1)?, trees.remove(&row.get(0)?).unwrap_or_default());
            let (size, root) = (unsigned(row.get(2)?, "log", "size")?, hash(row.get(3)?, "log", "root")?);
            if (tree.size(), tree.root()) != (size, root) {
                return Err(Error::damaged(format!("the entries of {name} do not make the kept root")));
            }
            logs.insert(name, (size, root));
        }
        Ok((TableDigest { table: "entry", rows: count, sha256: digest.finalize().into() }, logs))
    }
}

/// The leaf that an entry's bytes make, if it is the one that is kept, and the entry stands where it should.
fn next_leaf(row: &Row, place: u64) -> Result<Option<Hash>> {
    let leaf = leaf_hash(&sealed(row.get(2)?, row.get(6)?)?.envelope);
    let is_kept = hash(row.get(3)?, "entry", "leaf")? == leaf && unsigned(row.get(1)?, "entry", "sequence")? == place;
    Ok(is_kept.then_some(leaf))
}
