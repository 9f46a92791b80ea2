//! The database as a server: PostgreSQL 15 and newer, for nodes that outgrow a file.
//!
//! One node writes to it. Each of its transactions moves a mark, `fence`, from the value that the last one left: whoever opens the database takes
//! the mark over, and who had it before writes nothing more. A database that came back with less than was committed, after a fail-over to a
//! server that lagged behind, does not have the mark either. And when the connection is lost while a transaction commits, the mark says
//! whether it did.

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgSslMode};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counted::Known;
use super::sql::{Served, or_lost};
use super::{Backend, Condition, Error, Result, Store, error, moving};

mod pools;

use pools::{Found, Pools, READERS, read_only};

/// How long it is tried to find out whether what was being committed is there, when the connection is lost meanwhile. Nobody is answered until then.
const FIND_OUT: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// What the query of an address can say.
const SETTINGS: [&str; 9] =
    ["host", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "options"];
/// Where the database keeps who writes to it, and how often it did: `OPENING.TRANSACTION`.
pub(super) const META_FENCE: &str = "fence";

/// Where a database server is, by whom and how it is asked. What its text says is no secret; what sqlx finds besides (`PGPASSWORD`, a
/// `.pgpass`) can be, so that nothing but the text is ever shown.
#[derive(Clone)]
pub struct Address {
    text: String,
    pub(super) servers: Vec<PgConnectOptions>,
}

/// Why a text is no address of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It begins otherwise.
    #[error("an address of a database begins with postgres://")]
    Scheme,
    /// The password is in it: it would stand in configurations, lists of processes and logs.
    #[error(
        "the password does not belong into the address: put it into a file that only the node's user can read (store.password_file)"
    )]
    Password,
    /// Something else is wrong.
    #[error("no address of a database, as postgres://USER@HOST:5432/DATABASE: {0}")]
    Unfit(String),
    /// The way to the server is open to others.
    #[error(
        "{0} is another machine: write sslmode=verify-full, and sslrootcert=FILE where its certificate is not from a public authority"
    )]
    Open(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or(AddressError::Scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        // A password may hold what ends an authority; nothing of it is said.
        if user.contains(':') || rest.rsplit_once('@').is_some_and(|(before, _)| before.contains(':')) {
            return Err(AddressError::Password);
        }
        for pair in path.split_once('?').map_or("", |(_, query)| query).split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').map_or(pair, |(key, _)| key) {
                "password" => return Err(AddressError::Password),
                key if SETTINGS.contains(&key) => {}
                // What is misspelt would be passed over, and with it what it should keep safe.
                key => return Err(AddressError::Unfit(format!("{key} is none of {}", SETTINGS.join(", ")))),
            }
        }
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let server = |host: &str| -> Result<PgConnectOptions, AddressError> {
            // An address with a user and without a host is none to the parser: the host can be a directory with a socket.
            let text = match host.is_empty() && !user.is_empty() {
                true => format!("postgres://{path}{}user={user}", if path.contains('?') { '&' } else { '?' }),
                false => format!("postgres://{at}{host}{path}"),
            };
            let options: Result<PgConnectOptions, _> = text.parse();
            let options = options.map_err(|error| AddressError::Unfit(error.to_string()))?;
            let is_here = options.get_socket().is_some() || is_this_machine(options.get_host());
            match options.get_ssl_mode() {
                PgSslMode::VerifyFull => Ok(options),
                _ if is_here => Ok(options),
                _ => Err(AddressError::Open(options.get_host().to_owned())),
            }
        };
        let servers: Result<Vec<_>, _> = hosts.split(',').map(server).collect();
        Ok(Self { text: text.to_owned(), servers: servers? })
    }
}

fn is_this_machine(host: &str) -> bool {
    host.starts_with('/') || host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Address {}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({self})")
    }
}

/// A password that nobody is shown.
#[derive(Clone)]
pub(super) struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

/// A server, and the connections to it.
pub(super) struct Server {
    address: Address,
    password: Option<Password>,
    pools: RwLock<Pools>,
    /// Held by who looks for a server, so that all others wait for what it finds.
    looking: Mutex<()>,
    /// What the mark must be before the next transaction.
    mark: Mutex<Mark>,
    /// What the last transaction that was kept left known of the cube. Who takes writing over begins with nothing.
    known: std::sync::Mutex<Known>,
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
    transaction: u64,
    /// The next transaction was being committed when the connection was lost, and may be there.
    is_in_doubt: bool,
}

impl Mark {
    /// No opening leaves this one, so that nothing is written.
    const NONE: Self = Self { opening: 0, transaction: 0, is_in_doubt: false };

    fn next(self) -> Self {
        Self { transaction: self.transaction + 1, is_in_doubt: false, ..self }
    }

    fn bytes(self) -> Vec<u8> {
        format!("{}.{}", self.opening, self.transaction).into_bytes()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let (opening, transaction) = std::str::from_utf8(bytes).ok()?.split_once('.')?;
        Some(Self { opening: opening.parse().ok()?, transaction: transaction.parse().ok()?, is_in_doubt: false })
    }
}

impl Store {
    /// Opens the database of a node on a server, brings it to this version, and takes over writing from whoever had it open.
    ///
    /// `beside` is a path in the node's own directory: room on that disk is watched, too.
    ///
    /// # Errors
    /// When no server can be reached that lets itself be written to, or it holds a database of a newer version; `MovedAway`, `HalfMoved`.
    pub async fn open_server(address: &Address, password: Option<String>, beside: &Path) -> Result<Self> {
        let server = Server::connect(address.clone(), password, true).await?;
        Ok(Self { backend: Backend::Postgres(Arc::new(server)), condition: Arc::new(Condition::new(beside)) })
    }

    /// As [`Store::open_server`], also one that a node was moved away from, or that one is being moved into.
    ///
    /// # Errors
    /// As [`Store::open_server`].
    pub async fn open_server_to_move(address: &Address, password: Option<String>, beside: &Path) -> Result<Self> {
        let server = Server::connect(address.clone(), password, false).await?;
        Ok(Self { backend: Backend::Postgres(Arc::new(server)), condition: Arc::new(Condition::new(beside)) })
    }

    /// Opens the database of a node that does not run to look at it. Nothing is written, and writing is not taken over from anybody.
    ///
    /// # Errors
    /// When no server can be reached that lets itself be written to.
    pub async fn open_server_to_look(address: &Address, password: Option<String>, beside: &Path) -> Result<Self> {
        let password = password.map(Password);
        let pools = Pools::connect(address, password.as_ref()).await?;
        let server = Server::new(address.clone(), password, pools, Mark::NONE);
        Ok(Self { backend: Backend::Postgres(Arc::new(server)), condition: Arc::new(Condition::new(beside)) })
    }
}

impl Server {
    async fn connect(address: Address, password: Option<String>, in_use: bool) -> Result<Self> {
        let password = password.map(Password);
        let pools = Pools::connect(&address, password.as_ref()).await?;
        match Self::take_over(&pools, &address, in_use).await {
            Ok(mark) => Ok(Self::new(address, password, pools, mark)),
            Err(error) => {
                pools.close().await;
                Err(error)
            }
        }
    }

    /// Brings the database to this version and takes over writing, unless the node is in another database.
    async fn take_over(pools: &Pools, address: &Address, in_use: bool) -> Result<Mark> {
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
        let mark = Mark { opening, transaction: 0, is_in_doubt: false };
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
            known: std::sync::Mutex::default(),
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
        let number = pools.number + 1;
        let before = std::mem::replace(&mut *pools, Pools::to(found, number));
        tracing::warn!(address = %self.address, is_writable = found.is_writable, "connected to the database once more");
        // Readers that are still at work end by themselves.
        tokio::spawn(async move { before.close().await });
    }

    /// Finds the server that is there now, instead of the one that these connections led to.
    async fn reconnect(&self, instead_of: &Pools) -> Result<()> {
        let _alone = self.looking.lock().await;
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

    /// Begins to write, on another connection or server where this one does not answer.
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
        let Served { mut tx, lost, .. } = begun.map_err(failed)?;
        let mark = *self.mark.lock().await;
        let moved = sqlx::query("UPDATE meta SET value = $1 WHERE key = $2 AND value = $3")
            .bind(mark.next().bytes())
            .bind(META_FENCE)
            .bind(mark.bytes())
            .execute(&mut *tx);
        if or_lost(&lost, moved).await.map_err(failed)?.rows_affected() == 1 {
            let known = std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
            return Ok(Served { tx, lost, known });
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
    pub(super) async fn commit(&self, during: &'static str, served: Served) -> Result<sqlx::Result<()>> {
        let Served { tx, lost, known } = served;
        let mut mark = self.mark.lock().await;
        let done = or_lost(&lost, tx.commit()).await;
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
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
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
        let Served { mut tx, lost, known } = begin(pools.readers.clone(), &pools.lost, sql).await.map_err(failed)?;
        if pools.writer.is_none() || pools.number > 0 {
            // One that follows another server, or took over from it, can lag behind it: figures do not go back.
            let kept = sqlx::query_scalar::<_, Vec<u8>>("SELECT value FROM meta WHERE key = $1").bind(META_FENCE);
            let kept = or_lost(&lost, kept.fetch_optional(&mut *tx)).await.map_err(failed)?;
            let mark = *self.mark.lock().await;
            let is_whole = |kept: Mark| kept.opening == mark.opening && kept.transaction >= mark.transaction;
            if !kept.as_deref().and_then(Mark::of).is_some_and(is_whole) {
                let lags = "the server that can be read lacks what was written last: it lags behind, or lagged when it took over";
                return Err(self.away(sqlx::Error::Configuration(lags.into())));
            }
        }
        Ok(Served { tx, lost, known })
    }

    pub(super) async fn close(&self) {
        self.pools().close().await;
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
        Ok(Served { tx, lost, known: Known::default() })
    });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// The steps that bring a database to this version. A step that was released is never changed: its checksum is in the databases.
fn migrator() -> Migrator {
    const STEPS: [(i64, &str, &str); 2] = [
        (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
        (2, "write path", include_str!("../../migrations/postgres/0002_write_path.sql")),
    ];
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(steps.to_vec())
}
