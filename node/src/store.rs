//! What is kept: logs, register, cube, peers. SQLite through sqlx; every write goes through one door, [`Store::run_tx`].
//!
//! Knows types of `danso-core`, and nothing of gRPC, links or files. Many rows a statement: a statement costs 16 to 55 microseconds
//! whatever it does, so nothing in here runs one a row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use crate::faults::{self, Point};

mod adopt;
mod authors;
mod condition;
mod copy;
mod counted;
mod derived;
mod error;
mod evidence;
mod examine;
mod figures;
mod findings;
mod intake;
mod kin;
mod ledger;
mod moving;
mod peers;
mod periods;
mod postgres;
mod receipts;
mod register;
mod rollup;
mod sql;
mod sqlite;
mod tables;

pub use condition::{Condition, Disk, Health, Level, free};
pub use copy::copy;
pub use derived::{Derived, TableDigest};
pub use error::{Error, Over};
pub use evidence::EvidenceRow;
pub use examine::{DIFFERS, META_UNCOMPARED, ended_unclean};
pub use figures::LogSize;
pub use findings::{AnswerRow, FindingDue, FindingKey, FindingRow, FindingTime, Said, What};
pub use intake::{SourceRow, WaitingSlip};
pub use kin::UnnamedRow;
pub use ledger::{LogRow, StoredEntry, set_id};
pub use moving::{Held, META_NODE, Place, Proof, copy_node, copy_to_file, prove};
pub use peers::{InviteRow, ReceiptRow};
pub use periods::ClosingRow;
pub use postgres::{Address, AddressError};

use sql::Transaction;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A database that was opened to look at it, with what its file says, if it is one: whether the seal of the last clean stop is there and holds.
pub type OpenedToLook = Result<(Store, Option<Result<bool>>)>;

/// A node's database.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    condition: Arc<Condition>,
}

#[derive(Debug, Clone)]
enum Backend {
    Sqlite(sqlite::Pools),
    Postgres(Arc<postgres::Server>),
}

/// An open transaction; what is read in it is one state of the store. Dropping it undoes what was written.
pub struct Tx {
    inner: Transaction,
    name: &'static str,
    condition: Arc<Condition>,
    /// Whose turn it is to write to a server. Behind the transaction, so that it ends first.
    turn: Option<OwnedSemaphorePermit>,
    /// The database asks for the whole transaction once more.
    again: Arc<AtomicBool>,
    /// The server has broken it off: it says that it commits, and keeps nothing.
    broken: Arc<AtomicBool>,
}

/// How often a transaction is tried when the database asks for it once more.
const TRIES: usize = 5;

impl Store {
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
        for left in (0..TRIES).rev() {
            self.pass(name, Point::Begin)?;
            let (inner, turn) = self.begin(name).await?;
            let mut tx = Tx { turn, ..self.tx(inner, name) };
            let done = match f(&mut tx).await {
                Ok(_) if tx.broken.load(Ordering::Relaxed) => Err(Error::BrokenOff { during: name }.into()),
                done => done,
            };
            match done {
                Ok(value) => {
                    self.pass(name, Point::Commit)?;
                    match self.commit(tx, left).await? {
                        true => {
                            self.pass(name, Point::Committed)?;
                            return Ok(value);
                        }
                        false => continue,
                    }
                }
                Err(error) => {
                    let again = tx.again.load(Ordering::Relaxed) && left > 0;
                    if let Err(undo) = tx.inner.rollback().await {
                        tracing::warn!(tx = name, error = %undo, "the transaction could not be undone; it is dropped");
                    }
                    if !again {
                        return Err(error);
                    }
                }
            }
        }
        // The last try returns.
        Err(Error::database(name, sqlx::Error::WorkerCrashed).into())
    }

    fn pass(&self, name: &'static str, point: Point) -> Result<()> {
        let passed = faults::pass(self.condition.path(), point);
        passed.map_err(|e| self.condition.noted(Error::database(name, sqlx::Error::Io(e))))
    }

    fn tx(&self, inner: Transaction, name: &'static str) -> Tx {
        let condition = self.condition.clone();
        Tx { inner, name, condition, turn: None, again: Arc::default(), broken: Arc::default() }
    }

    /// Begins to write.
    async fn begin(&self, name: &'static str) -> Result<(Transaction, Option<OwnedSemaphorePermit>)> {
        let begun = match &self.backend {
            Backend::Sqlite(pools) => match pools.begin().await {
                Ok(tx) => Ok((Transaction::Sqlite(tx), None)),
                Err(error) => Err(Error::database(name, error)),
            },
            Backend::Postgres(server) => match server.turn().await {
                Ok(turn) => server.begin(name).await.map(|tx| (Transaction::Postgres(tx), Some(turn))),
                Err(error) => Err(error),
            },
        };
        if begun.is_ok() {
            self.condition.answers();
        }
        begun.map_err(|error| self.condition.noted(error))
    }

    /// Looks whether a server that could not be written to can be by now; asks nothing of one that can.
    pub async fn look_again(&self) {
        if let (Backend::Postgres(server), Some(_)) = (&self.backend, self.condition.health().away) {
            match server.look_again().await {
                Ok(()) => self.condition.answers(),
                Err(error) => self.condition.note(&error),
            }
        }
    }

    /// Whether it is committed; else the whole transaction is to be done once more.
    async fn commit(&self, tx: Tx, left: usize) -> Result<bool> {
        let (name, failed) = (tx.name, tx.failed());
        let error = match (tx.inner, &self.backend) {
            (Transaction::Postgres(served), Backend::Postgres(server)) => {
                match server.commit(name, served, tx.turn).await {
                    Ok(Ok(())) => return Ok(true),
                    Ok(Err(error)) => error,
                    Err(error) => return Err(self.condition.noted(error)),
                }
            }
            (tx, _) => match tx.commit().await {
                Ok(()) => return Ok(true),
                Err(error) => return Err(failed(error)),
            },
        };
        match left > 0 && error::is_passing(&error) {
            true => Ok(false),
            false => Err(failed(error)),
        }
    }

    /// A view of the store as it is now, for reading.
    ///
    /// # Errors
    /// When no connection can be had.
    pub async fn read(&self, name: &'static str) -> Result<Tx> {
        let begun = match &self.backend {
            Backend::Sqlite(pools) => {
                pools.readers.begin().await.map(Transaction::Sqlite).map_err(|e| Error::database(name, e))
            }
            Backend::Postgres(server) => server.view(name).await.map(Transaction::Postgres),
        };
        Ok(self.tx(begun.map_err(|error| self.condition.noted(error))?, name))
    }

    /// Whether the database is a file.
    pub fn is_file(&self) -> bool {
        matches!(self.backend, Backend::Sqlite(_))
    }

    /// The file's connections, for what only a file can do.
    fn file(&self) -> Result<&sqlite::Pools> {
        match &self.backend {
            Backend::Sqlite(pools) => Ok(pools),
            Backend::Postgres(_) => Err(Error::NotAFile),
        }
    }
}

impl Tx {
    /// Before every statement that writes: a point at which tests let the disk fail.
    fn pass(&self) -> Result<()> {
        let passed = faults::pass(self.condition.path(), Point::Statement);
        passed.map_err(|e| self.condition.noted(Error::database(self.name, sqlx::Error::Io(e))))
    }

    /// Whether all of this version's migrations were made in the database.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_current(&mut self) -> Result<bool> {
        let newest = if self.is_served() { postgres::newest() } else { sqlite::newest() };
        Ok(self.number("SELECT coalesce(MAX(version), 0) FROM _sqlx_migrations", []).await? >= newest)
    }

    /// Whether the database is a server.
    fn is_served(&self) -> bool {
        matches!(self.inner, Transaction::Postgres(_))
    }

    fn failed(&self) -> impl Fn(sqlx::Error) -> Error + use<> {
        let (name, condition) = (self.name, self.condition.clone());
        let (again, broken) = (self.again.clone(), self.broken.clone());
        let is_served = self.is_served();
        move |e| {
            again.fetch_or(is_served && error::is_passing(&e), Ordering::Relaxed);
            broken.fetch_or(is_served, Ordering::Relaxed);
            condition.noted(Error::database(name, e))
        }
    }

    /// Undoes everything; for a dry run.
    pub async fn undo(self) -> Result<()> {
        let name = self.name;
        self.inner.rollback().await.map_err(|e| Error::database(name, e))
    }

    /// A value that was kept under `key`.
    pub async fn meta_get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let row = self.row("SELECT value FROM meta WHERE key = $1", [key.into()]).await?;
        row.map(|row| row.get("value")).transpose()
    }

    /// Keeps a value under `key`.
    pub async fn meta_put(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let sql =
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.write(sql, [key.into(), value.into()]).await.map(drop)
    }
}

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
pub(crate) mod tests;
