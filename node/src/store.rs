//! What is kept: logs, register, cube, peers. SQLite through sqlx; every write goes through one door, [`Store::run_tx`].
//!
//! Knows types of `danso-core`, and nothing of gRPC, links or files. Many rows a statement: a statement costs 16 to 55 microseconds
//! whatever it does, so nothing in here runs one a row.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlStr, Sqlite, SqliteConnection, Transaction};

use crate::faults::{self, Point};

mod adopt;
mod authors;
mod condition;
mod copy;
mod derived;
mod error;
mod evidence;
mod examine;
mod figures;
mod findings;
mod intake;
mod ledger;
mod peers;
mod receipts;
mod register;

pub use condition::{Condition, Disk, Health, Level, free};
pub use copy::copy;
pub use derived::{Derived, TableDigest};
pub use error::Error;
pub use evidence::EvidenceRow;
pub use examine::{DIFFERS, META_UNCOMPARED, ended_unclean};
pub use figures::LogSize;
pub use findings::{FindingDue, FindingKey, FindingTime, Said};
pub use intake::{SourceRow, WaitingSlip};
pub use ledger::{LogRow, StoredEntry, set_id};
pub use peers::{InviteRow, ReceiptRow};
pub use register::{CubeFilter, FindingRow};

type Result<T, E = Error> = std::result::Result<T, E>;

/// A node's database.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    condition: Arc<Condition>,
}

/// An open transaction; what is read in it is one state of the store. Dropping it undoes what was written.
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    name: &'static str,
    condition: Arc<Condition>,
}

impl Store {
    /// Opens the database, makes it when it is not there, and brings it to this version. Damage is looked for before anything is read.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or holds a database of a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let before = examine::before_opening(path)?;
        let store = Self::open_unexamined(path).await?;
        if let Err(error) = examine::after_opening(&store, before).await {
            store.close_unsealed().await;
            return Err(error);
        }
        Ok(store)
    }

    /// Opens a copy that this program has just made, or that a backup holds and sums up: that nobody sealed it says nothing against it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_copy(path: &Path) -> Result<Self> {
        let store = Self::open_unexamined(path).await?;
        if let Err(error) = examine::of_copy(&store).await {
            store.close_unsealed().await;
            return Err(error);
        }
        Ok(store)
    }

    /// Opens the database of a node that does not run to look at it, whatever the files say; that is given beside it: whether the seal of the
    /// last clean stop is there and holds. Nothing is written: neither the seal nor the traces of an unclean end go.
    ///
    /// # Errors
    /// When there is no database, or it cannot be opened at all.
    pub async fn open_to_look(path: &Path) -> Result<(Self, Result<bool>)> {
        let says = examine::before_opening(path);
        // Without a write-ahead log the file alone is the database, and SQLite need not make files beside it.
        let options = Self::pragmas(path).read_only(true).immutable(!examine::has_wal(path));
        let store = Self::connect(path, options).await?;
        let says = match says {
            Ok(before) => examine::seal_holds(&store, &before).await,
            Err(error) => Err(error),
        };
        Ok((store, says))
    }

    async fn open_unexamined(path: &Path) -> Result<Self> {
        let failed = |source| Error::open(path, source);
        // Names and identifiers of persons are in it: for the node's user only, whatever the directory was made with. SQLite gives the
        // files beside it the same mode.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| failed(sqlx::Error::Io(source)))?;
        let store = Self::connect(path, Self::options(path)).await?;
        migrator().run(&store.writer).await.map_err(|source| Error::migrate(path, source))?;
        Ok(store)
    }

    fn options(path: &Path) -> SqliteConnectOptions {
        Self::pragmas(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A receipt promises durability: a commit is on the disk before anybody is told.
            .synchronous(SqliteSynchronous::Full)
    }

    fn pragmas(path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("cache_size", "-8192")
            .pragma("temp_store", "memory")
            .pragma("journal_size_limit", "67108864")
            .statement_cache_capacity(64)
    }

    async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Self> {
        let failed = |source| Error::open(path, source);
        // When the disk is full SQLite undoes a transaction by itself, and sqlx goes on counting it: such a connection would refuse to begin
        // another one until the node is started again. It is closed, and the next one is a new one.
        let writer = SqlitePoolOptions::new()
            .before_acquire(|conn, _| Box::pin(async { Ok(!conn.is_in_transaction()) }))
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await
            .map_err(failed)?;
        // The first reader connects when it is needed: the migrations come before it.
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(options.read_only(true).pragma("cache_size", "-4096"));
        Ok(Self { writer, readers, condition: Arc::new(Condition::new(path)) })
    }

    /// How the store is: room on the disk, damage that was found.
    pub fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }

    /// Runs `f` in one write transaction and commits when it succeeds. `f` may run again when the database asks for it, so it must
    /// not have effects of its own: effects come after this returns.
    ///
    /// # Errors
    /// What `f` returns; nothing is kept then.
    pub async fn run_tx<T, E: From<Error>>(
        &self,
        name: &'static str,
        mut f: impl AsyncFnMut(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let failed = |e| self.condition.noted(Error::database(name, e));
        let pass = |point| faults::pass(self.condition.path(), point).map_err(|e| failed(sqlx::Error::Io(e)));
        pass(Point::Begin)?;
        let inner = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let mut tx = Tx { inner, name, condition: self.condition.clone() };
        match f(&mut tx).await {
            Ok(value) => {
                pass(Point::Commit)?;
                tx.inner.commit().await.map_err(failed)?;
                pass(Point::Committed)?;
                Ok(value)
            }
            Err(error) => {
                if let Err(undo) = tx.inner.rollback().await {
                    tracing::warn!(tx = name, error = %undo, "the transaction could not be undone; it is dropped");
                }
                Err(error)
            }
        }
    }

    /// A view of the store as it is now, for reading.
    ///
    /// # Errors
    /// When no connection can be had.
    pub async fn read(&self, name: &'static str) -> Result<Tx> {
        let inner = self.readers.begin().await.map_err(|e| self.condition.noted(Error::database(name, e)))?;
        Ok(Tx { inner, name, condition: self.condition.clone() })
    }

    /// Ends all connections; the write-ahead log is folded into the database, and what the file holds now is written down, so that the
    /// next start knows whether the disk kept it. A database in which damage was found is not sealed: the next start looks at it.
    pub async fn close(&self) {
        let stop = self.mark_stop().await;
        self.readers.close().await;
        self.writer.close().await;
        let sealed = match stop {
            Ok(_) if self.condition.health().damage.is_some() => Err("it is damaged".to_owned()),
            Ok(stop) => examine::seal(self.condition.path(), &stop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sealed {
            tracing::warn!(error, "the database could not be sealed; the next start looks at it instead");
        }
    }
}

impl Store {
    /// Ends all connections and leaves the seal as it is: after looking at a database that may be damaged.
    pub async fn close_unsealed(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl Tx {
    /// For statements that read.
    fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }

    /// For statements that write: each passes a point at which tests let the disk fail.
    fn write(&mut self) -> Result<&mut SqliteConnection> {
        let passed = faults::pass(self.condition.path(), Point::Statement);
        passed.map_err(|e| self.condition.noted(Error::database(self.name, sqlx::Error::Io(e))))?;
        Ok(&mut self.inner)
    }

    fn failed(&self) -> impl Fn(sqlx::Error) -> Error + 'static {
        let (name, condition) = (self.name, self.condition.clone());
        move |e| condition.noted(Error::database(name, e))
    }

    /// Undoes everything; for a dry run.
    pub async fn undo(self) -> Result<()> {
        let name = self.name;
        self.inner.rollback().await.map_err(|e| Error::database(name, e))
    }

    /// A value that was kept under `key`.
    pub async fn meta_get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let failed = self.failed();
        sqlx::query_scalar("SELECT value FROM meta WHERE key = $1")
            .bind(key)
            .fetch_optional(self.conn())
            .await
            .map_err(failed)
    }

    /// Keeps a value under `key`.
    pub async fn meta_put(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let failed = self.failed();
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(self.write()?)
        .await
        .map_err(failed)?;
        Ok(())
    }
}

/// The steps that bring a database to this version. A step that was released is never changed: its checksum is in the databases.
fn migrator() -> Migrator {
    const STEPS: [(i64, &str, &str); 5] = [
        (1, "initial", include_str!("../migrations/sqlite/0001_initial.sql")),
        (2, "receipts", include_str!("../migrations/sqlite/0002_receipts.sql")),
        (3, "findings", include_str!("../migrations/sqlite/0003_findings.sql")),
        (4, "evidence", include_str!("../migrations/sqlite/0004_evidence.sql")),
        (8, "recover", include_str!("../migrations/sqlite/0008_recover.sql")),
    ];
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(steps.to_vec())
}

/// Rows a statement: where the measured rate of multi-row inserts is flat, and well below SQLite's 32,766 variables. Statements of just
/// so many rows are kept prepared; those for the rest of a batch are of any length, and would fill the cache and drive the others out.
const ROWS: usize = 400;

fn hash(bytes: &[u8], table: &'static str, column: &'static str) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| Error::inconsistent(table, column, format!("{} bytes, not 32", bytes.len())))
}

fn unsigned(value: i64, table: &'static str, column: &'static str) -> Result<u64> {
    value.try_into().map_err(|_| Error::inconsistent(table, column, value))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    table: &'static str,
    column: &'static str,
) -> Result<T> {
    text.parse().map_err(|e| Error::inconsistent(table, column, e))
}

fn change_id(bytes: &[u8], table: &'static str, column: &'static str) -> Result<danso_proto::ids::ChangeId> {
    danso_proto::ids::ChangeId::try_from(bytes).map_err(|e| Error::inconsistent(table, column, e))
}

#[cfg(test)]
mod tests;
