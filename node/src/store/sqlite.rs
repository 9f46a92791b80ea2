//! The database as a file: SQLite, the embedded default.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlStr, Sqlite};

use super::{Backend, Condition, Error, Result, Store, examine};

/// The connections to one file.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

impl Pools {
    /// Begins to write.
    pub(super) async fn begin(&self) -> sqlx::Result<sqlx::Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl Store {
    /// Opens the database, makes it when it is not there, and brings it to this version. Damage is looked for before anything is read.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or holds a database of a newer version; `MovedAway`, `HalfMoved`.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::open_examined(path, true).await
    }

    /// As [`Store::open`], also one that a node was moved away from, or that one is being moved into.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_to_move(path: &Path) -> Result<Self> {
        Self::open_examined(path, false).await
    }

    async fn open_examined(path: &Path, in_use: bool) -> Result<Self> {
        let before = examine::before_opening(path)?;
        let store = Self::open_unexamined(path).await?;
        let examined = async {
            if in_use {
                store.is_in_use().await?;
            }
            examine::after_opening(&store, before).await
        };
        if let Err(error) = examined.await {
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
        let examined = async {
            store.is_in_use().await?;
            examine::of_copy(&store).await
        };
        if let Err(error) = examined.await {
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
        migrator().run(&store.file()?.writer).await.map_err(|source| Error::migrate(path, source))?;
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
        Ok(Self { backend: Backend::Sqlite(Pools { writer, readers }), condition: Arc::new(Condition::new(path)) })
    }

    /// Ends all connections; the write-ahead log is folded into the database, and what the file holds now is written down, so that the
    /// next start knows whether the disk kept it. A database in which damage was found is not sealed: the next start looks at it.
    pub async fn close(&self) {
        let pools = match &self.backend {
            Backend::Sqlite(pools) => pools,
            Backend::Postgres(server) => {
                let is_damaged = self.condition.health().damage.is_some();
                if is_damaged && let Err(error) = self.remember_damage().await {
                    tracing::warn!(error = error.told(), "it could not be remembered that the database is damaged");
                }
                return server.close().await;
            }
        };
        let stop = self.mark_stop().await;
        pools.close().await;
        let sealed = match stop {
            Ok(_) if self.condition.health().damage.is_some() => Err("it is damaged".to_owned()),
            Ok(stop) => examine::seal(self.condition.path(), &stop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sealed {
            tracing::warn!(error, "the database could not be sealed; the next start looks at it instead");
        }
    }

    /// Ends all connections and leaves the seal as it is: after looking at a database that may be damaged.
    pub async fn close_unsealed(&self) {
        match &self.backend {
            Backend::Sqlite(pools) => pools.close().await,
            Backend::Postgres(server) => server.close().await,
        }
    }
}

/// The version of the newest migration.
pub(super) fn newest() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The steps that bring a database to this version. A step that was released is never changed: its checksum is in the databases.
pub(super) fn migrator() -> Migrator {
    const STEPS: [(i64, &str, &str); 11] = [
        (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
        (2, "receipts", include_str!("../../migrations/sqlite/0002_receipts.sql")),
        (3, "findings", include_str!("../../migrations/sqlite/0003_findings.sql")),
        (4, "evidence", include_str!("../../migrations/sqlite/0004_evidence.sql")),
        (8, "recover", include_str!("../../migrations/sqlite/0008_recover.sql")),
        (9, "rows", include_str!("../../migrations/sqlite/0009_rows.sql")),
        (10, "rollup", include_str!("../../migrations/sqlite/0010_rollup.sql")),
        (11, "answers", include_str!("../../migrations/sqlite/0011_answers.sql")),
        (12, "periods", include_str!("../../migrations/sqlite/0012_periods.sql")),
        (13, "kin", include_str!("../../migrations/sqlite/0013_kin.sql")),
        (14, "cube", include_str!("../../migrations/sqlite/0014_cube.sql")),
    ];
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(steps.to_vec())
}
