//! The database as a server: PostgreSQL 15 and newer, for nodes that outgrow a file.
//!
//! One node writes to it. Each of its transactions moves a mark, `fence`, from the value that the last one left: whoever opens the database takes
//! the mark over, and who had it before writes nothing more. A database that came back with less than was committed, after a fail-over to a
//! server that lagged behind, does not have the mark either. And when the connection is lost while a transaction commits, the mark says
//! whether it did.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnection, PgPool};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::sql::{Served, or_lost};
use super::{Backend, Condition, Error, Result, Store, error, moving};

mod address;
mod pools;

pub use address::{Address, AddressError};

use address::Password;
use pools::{ACQUIRE, Found, Pools, READERS, read_only};

/// How long it is tried to find out whether what was being committed is there, when the connection is lost meanwhile. Nobody is answered until then.
const FIND_OUT: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Where the database keeps who writes to it, and how often it did: `OPENING-WORD.TRANSACTION`.
pub(super) const META_FENCE: &str = "fence";

/// A server, and the connections to it.
pub(super) struct Server {
    address: Address,
    password: Option<Password>,
    pools: RwLock<Pools>,
    /// Held by who looks for a server, so that all others wait for what it finds.
    looking: Mutex<()>,
    /// What the mark must be before the next transaction.
    mark: Mutex<Mark>,
    /// Whose turn it is to write. Waited for here, so that who gets no connection knows that it is not because somebody else writes.
    turn: Arc<Semaphore>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}

/// Which opening of the database this is, and how many transactions it has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    opening: u64,
    /// Drawn by who opened it: of two servers that both lost the last opening, each could give the same number.
    word: u64,
    transaction: u64,
    /// The next transaction was being committed when the connection was lost, and may be there.
    is_in_doubt: bool,
}

impl Mark {
    /// No opening leaves this one, so that nothing is written.
    const NONE: Self = Self { opening: 0, word: 0, transaction: 0, is_in_doubt: false };

    fn next(self) -> Self {
        Self { transaction: self.transaction + 1, is_in_doubt: false, ..self }
    }

    fn bytes(self) -> Vec<u8> {
        format!("{}-{:016x}.{}", self.opening, self.word, self.transaction).into_bytes()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let (opening, transaction) = std::str::from_utf8(bytes).ok()?.split_once('.')?;
        // Without a word in databases that nobody has opened since there is one.
        let (opening, word) = opening.split_once('-').unwrap_or((opening, "0"));
        let word = u64::from_str_radix(word, 16).ok()?;
        Some(Self { opening: opening.parse().ok()?, word, transaction: transaction.parse().ok()?, is_in_doubt: false })
    }
}

impl Store {
    /// Opens the database of a node on a server, brings it to this version, and takes over writing from whoever had it open.
    ///
    /// `beside` is a path in the node's own directory: room on that disk is watched, too. `word` is drawn anew each time.
    ///
    /// # Errors
    /// When no server can be reached that lets itself be written to, or it holds a database of a newer version, or one in which an earlier run
    /// found damage that is still there; `MovedAway`, `HalfMoved`.
    pub async fn open_server(
        address: &Address,
        password: Option<String>,
        beside: &Path,
        word: [u8; 8],
    ) -> Result<Self> {
        let store = Self::served(Server::connect(address.clone(), password, word, true).await?, beside);
        match store.examine_server().await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close_unsealed().await;
                Err(error)
            }
        }
    }

    fn served(server: Server, beside: &Path) -> Self {
        Self { backend: Backend::Postgres(Arc::new(server)), condition: Arc::new(Condition::new(beside)) }
    }

    /// As [`Store::open_server`], also one that a node was moved away from, or that one is being moved into.
    ///
    /// # Errors
    /// As [`Store::open_server`].
    pub async fn open_server_to_move(
        address: &Address,
        password: Option<String>,
        beside: &Path,
        word: [u8; 8],
    ) -> Result<Self> {
        Ok(Self::served(Server::connect(address.clone(), password, word, false).await?, beside))
    }

    /// Opens the database of a node that does not run to look at it. Nothing is written, and writing is not taken over from anybody.
    ///
    /// # Errors
    /// When no server can be reached that lets itself be written to.
    pub async fn open_server_to_look(address: &Address, password: Option<String>, beside: &Path) -> Result<Self> {
        let password = password.map(Password);
        let pools = Pools::connect(address, password.as_ref()).await?;
        Ok(Self::served(Server::new(address.clone(), password, pools, Mark::NONE), beside))
    }
}

impl Server {
    async fn connect(address: Address, password: Option<String>, word: [u8; 8], in_use: bool) -> Result<Self> {
        let password = password.map(Password);
        let pools = Pools::connect(&address, password.as_ref()).await?;
        match Self::take_over(&pools, &address, u64::from_be_bytes(word), in_use).await {
            Ok(mark) => Ok(Self::new(address, password, pools, mark)),
            Err(error) => {
                pools.ended.cancel();
                pools.close().await;
                Err(error)
            }
        }
    }

    /// Brings the database to this version and takes over writing, unless the node is in another database.
    async fn take_over(pools: &Pools, address: &Address, word: u64, in_use: bool) -> Result<Mark> {
        let failed = |source| Error::Away { address: address.to_string(), source };
        let writer = pools.writer.clone().ok_or_else(|| failed(read_only()))?;
        migrator().run(&writer).await.map_err(Error::Migrate)?;
        let mut tx = writer.begin().await.map_err(failed)?;
        // First of all: who holds the fence can still leave this database, or be moved into it.
        let before = kept(&mut tx).await.map_err(failed)?;
        if in_use {
            let sql = "SELECT (SELECT value FROM meta WHERE key = $1), (SELECT value FROM meta WHERE key = $2)";
            let marks = sqlx::query_as(sql).bind(moving::META_MOVED).bind(moving::META_MOVING);
            let (moved, moving): (Option<Vec<u8>>, Option<Vec<u8>>) =
                marks.fetch_one(&mut *tx).await.map_err(failed)?;
            moving::in_use(moved, moving)?;
        }
        // By the server's clock, so that one that lost an opening does not give the same number to another.
        let now = sqlx::query_scalar("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)");
        let now: i64 = now.fetch_one(&mut *tx).await.map_err(failed)?;
        let last = before.as_deref().and_then(Mark::of).map_or(0, |mark| mark.opening);
        let opening = u64::try_from(now).unwrap_or_default().max(last + 1);
        let mark = Mark { opening, word, transaction: 0, is_in_doubt: false };
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(META_FENCE)
        .bind(mark.bytes())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(mark)
    }

    fn new(address: Address, password: Option<Password>, pools: Pools, mark: Mark) -> Self {
        Self {
            address,
            password,
            pools: RwLock::new(pools),
            looking: Mutex::default(),
            mark: Mutex::new(mark),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    fn pools(&self) -> Pools {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn away(&self, source: sqlx::Error) -> Error {
        Error::Away { address: self.address.to_string(), source }
    }

    async fn look(&self) -> Result<Found> {
        Found::first(&self.address, self.password.as_ref()).await.map_err(|error| self.away(error))
    }

    fn go_to(&self, found: &Found) {
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever closes the store closes the connections that it has now.
        if pools.ended.is_cancelled() {
            return;
        }
        let after = Pools::to(found, pools.number + 1, pools.ended.clone());
        let before = std::mem::replace(&mut *pools, after);
        tracing::warn!(address = %self.address, is_writable = found.is_writable, "connected to the database once more");
        // Readers that are still at work end by themselves.
        tokio::spawn(async move { before.close().await });
    }

    /// Finds the server that is there now, instead of the one that these connections led to.
    async fn reconnect(&self, instead_of: &Pools) -> Result<()> {
        let _alone = self.looking.lock().await;
        if instead_of.ended.is_cancelled() {
            return Err(self.away(sqlx::Error::PoolClosed));
        }
        if self.pools().number == instead_of.number {
            self.go_to(&self.look().await?);
        }
        Ok(())
    }

    /// Looks whether there is a server that can be written to, when there was none.
    ///
    /// # Errors
    /// `Away` when there is none yet.
    pub(super) async fn look_again(&self) -> Result<()> {
        self.reconnect(&self.pools()).await?;
        self.pools().writer.map(drop).ok_or_else(|| self.away(read_only()))
    }

    /// Waits until nobody else writes.
    ///
    /// # Errors
    /// `Writing`, when that takes too long: nothing is wrong with the server then.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = timeout(ACQUIRE, self.turn.clone().acquire_owned()).await;
        // Nobody closes it.
        turn.map_err(|_| Error::Writing)?.map_err(|_| self.away(sqlx::Error::PoolClosed))
    }

    /// Begins to write, on another connection or server where this one does not answer. Only whose turn it is may.
    pub(super) async fn begin(&self, during: &'static str) -> Result<Served> {
        let pools = self.pools();
        match self.begin_once(&pools, during).await {
            Err(error) if error.is_away() => {
                tracing::warn!(error = error.told(), "the database does not answer");
                self.reconnect(&pools).await?;
                self.begin_once(&self.pools(), during).await
            }
            done => done,
        }
    }

    async fn begin_once(&self, pools: &Pools, during: &'static str) -> Result<Served> {
        let failed = |e| Error::database(during, e);
        let writer = pools.writer.clone().ok_or_else(|| self.away(read_only()))?;
        let begun = begin(writer, &pools.lost, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
        let Served { mut tx, lost } = begun.map_err(failed)?;
        let mark = *self.mark.lock().await;
        let moved = sqlx::query("UPDATE meta SET value = $1 WHERE key = $2 AND value = $3")
            .bind(mark.next().bytes())
            .bind(META_FENCE)
            .bind(mark.bytes())
            .execute(&mut *tx);
        if or_lost(&lost, moved).await.map_err(failed)?.rows_affected() == 1 {
            return Ok(Served { tx, lost });
        }
        match or_lost(&lost, kept(&mut tx)).await.map_err(failed)? {
            Some(kept) if mark.is_in_doubt && kept == mark.next().bytes() => Err(Error::WasKept),
            _ => Err(Error::NotOurs),
        }
    }

    /// Commits. When the connection is lost meanwhile, the mark says whether it did.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub(super) async fn commit(
        &self,
        during: &'static str,
        Served { tx, lost }: Served,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<sqlx::Result<()>> {
        let mut mark = self.mark.lock().await;
        let done = or_lost(&lost, tx.commit()).await;
        // Who is next waits for the mark.
        drop(turn);
        let is_there = match &done {
            Ok(()) => true,
            Err(error) if error::is_passing(error) => match timeout(FIND_OUT, self.is_there(*mark)).await {
                Ok(is_there) => is_there?,
                Err(_) => {
                    mark.is_in_doubt = true;
                    return Err(Error::InDoubt { during });
                }
            },
            Err(_) => false,
        };
        if is_there {
            *mark = mark.next();
            return Ok(Ok(()));
        }
        Ok(done)
    }

    /// Whether the transaction behind `mark` was kept: asks until a server knows. Over a connection of its own, because the one for writing
    /// can be in the hands of somebody who waits for the mark.
    async fn is_there(&self, mark: Mark) -> Result<bool> {
        loop {
            let asked = async {
                let _alone = self.looking.lock().await;
                let mut found = self.look().await?;
                self.go_to(&found);
                if !found.is_writable {
                    return Err(self.away(read_only()));
                }
                kept(&mut found.connection).await.map_err(|error| self.away(error))
            };
            match asked.await {
                Ok(Some(kept)) if kept == mark.next().bytes() => return Ok(true),
                Ok(Some(kept)) if kept == mark.bytes() => return Ok(false),
                Ok(_) => return Err(Error::NotOurs),
                Err(error) => {
                    tracing::warn!(error = error.told(), "it is not known yet whether the last transaction was kept")
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Begins to read: one state of the database.
    pub(super) async fn view(&self, during: &'static str) -> Result<Served> {
        let pools = self.pools();
        match self.view_once(&pools, during).await {
            Err(Error::Database { source: sqlx::Error::PoolTimedOut, .. }) if pools.is_dry() => {
                Err(Error::Busy { most: READERS })
            }
            Err(error) if error.is_away() => {
                self.reconnect(&pools).await?;
                self.view_once(&self.pools(), during).await
            }
            done => done,
        }
    }

    async fn view_once(&self, pools: &Pools, during: &'static str) -> Result<Served> {
        let failed = |e| Error::database(during, e);
        let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let Served { mut tx, lost } = begin(pools.readers.clone(), &pools.lost, sql).await.map_err(failed)?;
        if pools.writer.is_none() || pools.number > 0 {
            // One that follows another server, or took over from it, can lag behind it: figures do not go back.
            let kept = sqlx::query_scalar::<_, Vec<u8>>("SELECT value FROM meta WHERE key = $1").bind(META_FENCE);
            let kept = or_lost(&lost, kept.fetch_optional(&mut *tx)).await.map_err(failed)?;
            let mark = *self.mark.lock().await;
            let is_ours = |kept: Mark| (kept.opening, kept.word) == (mark.opening, mark.word);
            let is_whole = |kept: Mark| is_ours(kept) && kept.transaction >= mark.transaction;
            if !kept.as_deref().and_then(Mark::of).is_some_and(is_whole) {
                let lags = "the server that can be read lacks what was written last: it lags behind, or lagged when it took over";
                return Err(self.away(sqlx::Error::Configuration(lags.into())));
            }
        }
        Ok(Served { tx, lost })
    }

    /// For good: what still uses the store connects to nothing more.
    pub(super) async fn close(&self) {
        let ended = self.pools().ended;
        ended.cancel();
        self.pools().close().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pools().ended.cancel();
    }
}

/// The mark that is in the database, once whoever moves it at this moment is done.
async fn kept(connection: &mut PgConnection) -> sqlx::Result<Option<Vec<u8>>> {
    let kept = sqlx::query_scalar("SELECT value FROM meta WHERE key = $1 FOR UPDATE");
    kept.bind(META_FENCE).fetch_optional(connection).await
}

/// In a task of its own: sqlx hands a connection back with its transaction open when whoever waits for the beginning goes away.
async fn begin(pool: PgPool, lost: &CancellationToken, sql: &'static str) -> sqlx::Result<Served> {
    let lost = lost.clone();
    let begun = tokio::spawn(async move {
        let tx = or_lost(&lost, pool.begin_with(sql)).await?;
        Ok(Served { tx, lost })
    });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// The version of the newest migration.
pub(super) fn newest() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The steps that bring a database to this version. A step that was released is never changed: its checksum is in the databases.
fn migrator() -> Migrator {
    const STEPS: [(i64, &str, &str); 7] = [
        (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
        (2, "write path", include_str!("../../migrations/postgres/0002_write_path.sql")),
        (3, "rollup", include_str!("../../migrations/postgres/0003_rollup.sql")),
        (4, "answers", include_str!("../../migrations/postgres/0004_answers.sql")),
        (5, "periods", include_str!("../../migrations/postgres/0005_periods.sql")),
        (6, "kin", include_str!("../../migrations/postgres/0006_kin.sql")),
        (7, "cube", include_str!("../../migrations/postgres/0007_cube.sql")),
    ];
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(steps.to_vec())
}
