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

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Postgres, SqlStr, Transaction};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Backend, Condition, Error, Result, Store, error, moving};

/// How long one server is given to answer a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a reader waits for a connection when all are in use.
const ACQUIRE: Duration = Duration::from_secs(10);
/// Connections for reading.
const READERS: u32 = 8;
/// Where the database keeps who writes to it, and how often it did: `OPENING.TRANSACTION`.
pub(super) const META_FENCE: &str = "fence";

/// Where a database server is, by whom and how it is asked. Holds no password.
#[derive(Debug, Clone)]
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
        if user.contains(':') || path.contains("password=") {
            return Err(AddressError::Password);
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
                PgSslMode::VerifyFull | PgSslMode::VerifyCa => Ok(options),
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

/// A server, and the connections to it.
#[derive(Debug)]
pub(super) struct Server {
    address: Address,
    password: Option<String>,
    pools: RwLock<Pools>,
    /// What the mark must be before the next transaction.
    mark: Mutex<Mark>,
}

#[derive(Debug, Clone)]
struct Pools {
    writer: PgPool,
    readers: PgPool,
}

/// Which opening of the database this is, and how many transactions it has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    opening: u64,
    transaction: u64,
}

impl Mark {
    /// No opening leaves this one, so that nothing is written.
    const NONE: Self = Self { opening: 0, transaction: 0 };

    fn next(self) -> Self {
        Self { transaction: self.transaction + 1, ..self }
    }

    fn bytes(self) -> Vec<u8> {
        format!("{}.{}", self.opening, self.transaction).into_bytes()
    }

    fn opening_of(bytes: &[u8]) -> Option<u64> {
        std::str::from_utf8(bytes).ok()?.split_once('.')?.0.parse().ok()
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
}

impl Store {
    /// Opens the database of a node that does not run to look at it. Nothing is written, and writing is not taken over from anybody.
    ///
    /// # Errors
    /// When no server can be reached that lets itself be written to.
    pub async fn open_server_to_look(address: &Address, password: Option<String>, beside: &Path) -> Result<Self> {
        let pools = Pools::connect(address, password.as_deref()).await?;
        let server =
            Server { address: address.clone(), password, pools: RwLock::new(pools), mark: Mutex::new(Mark::NONE) };
        Ok(Self { backend: Backend::Postgres(Arc::new(server)), condition: Arc::new(Condition::new(beside)) })
    }
}

impl Server {
    async fn connect(address: Address, password: Option<String>, in_use: bool) -> Result<Self> {
        let pools = Pools::connect(&address, password.as_deref()).await?;
        let failed = |source| Error::Open { path: address.to_string(), source };
        migrator().run(&pools.writer).await.map_err(Error::Migrate)?;
        let mut tx = pools.writer.begin().await.map_err(failed)?;
        if in_use {
            moving::is_in_use_on_server(&mut tx).await.map_err(failed)??;
        }
        let before: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = $1 FOR UPDATE")
            .bind(META_FENCE)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        let opening = before.as_deref().and_then(Mark::opening_of).unwrap_or(0) + 1;
        let mark = Mark { opening, transaction: 0 };
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(META_FENCE)
        .bind(mark.bytes())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Self { address, password, pools: RwLock::new(pools), mark: Mutex::new(mark) })
    }

    fn pools(&self) -> Pools {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds the server that can be written to now.
    async fn reconnect(&self) -> Result<()> {
        let pools = Pools::connect(&self.address, self.password.as_deref()).await?;
        let before = std::mem::replace(&mut *self.pools.write().unwrap_or_else(PoisonError::into_inner), pools);
        tracing::warn!(address = %self.address, "connected to the database once more");
        // Readers that are still at work end by themselves.
        tokio::spawn(async move {
            before.writer.close().await;
            before.readers.close().await;
        });
        Ok(())
    }

    /// Begins to write, on another connection or server where this one does not answer.
    pub(super) async fn begin(&self, during: &'static str) -> Result<Transaction<'static, Postgres>> {
        match self.begin_once(during).await {
            Err(Error::Database { source, .. }) if error::is_passing(&source) => {
                tracing::warn!(error = %source, "the database does not answer");
                self.reconnect().await?;
                self.begin_once(during).await
            }
            done => done,
        }
    }

    async fn begin_once(&self, during: &'static str) -> Result<Transaction<'static, Postgres>> {
        let failed = |e| Error::database(during, e);
        let mut tx = begin(self.pools().writer, "BEGIN ISOLATION LEVEL REPEATABLE READ").await.map_err(failed)?;
        let mark = *self.mark.lock().await;
        let moved = sqlx::query("UPDATE meta SET value = $1 WHERE key = $2 AND value = $3")
            .bind(mark.next().bytes())
            .bind(META_FENCE)
            .bind(mark.bytes())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        match moved.rows_affected() {
            1 => Ok(tx),
            _ => Err(Error::NotOurs),
        }
    }

    /// Commits. When the connection is lost meanwhile, the mark says whether it did.
    ///
    /// # Errors
    /// When that cannot be found out: the node must be started again.
    pub(super) async fn commit(
        &self,
        during: &'static str,
        tx: Transaction<'static, Postgres>,
    ) -> Result<sqlx::Result<()>> {
        let mut mark = self.mark.lock().await;
        let next = mark.next();
        let done = tx.commit().await;
        let is_there = match &done {
            Ok(()) => true,
            Err(error) if error::is_passing(error) => {
                self.reconnect().await?;
                let kept: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM meta WHERE key = $1")
                    .bind(META_FENCE)
                    .fetch_optional(&self.pools().writer)
                    .await
                    .map_err(|e| Error::database(during, e))?;
                match kept {
                    Some(kept) if kept == next.bytes() => true,
                    Some(kept) if kept == mark.bytes() => false,
                    _ => return Err(Error::NotOurs),
                }
            }
            Err(_) => false,
        };
        if is_there {
            *mark = next;
            return Ok(Ok(()));
        }
        Ok(done)
    }

    /// Begins to read: one state of the database.
    pub(super) async fn view(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        match begin(self.pools().readers, sql).await {
            Err(error) if error::is_passing(&error) => {
                // The writer finds the server that is there now; a reader tries once more.
                begin(self.pools().readers, sql).await
            }
            done => done,
        }
    }

    pub(super) async fn close(&self) {
        let pools = self.pools();
        pools.readers.close().await;
        pools.writer.close().await;
    }
}

/// In a task of its own: sqlx hands a connection back with its transaction open when whoever waits for the beginning goes away.
async fn begin(pool: PgPool, sql: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
    let begun = tokio::spawn(async move { pool.begin_with(sql).await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

impl Pools {
    /// To the first of the servers that can be written to.
    async fn connect(address: &Address, password: Option<&str>) -> Result<Self> {
        let failed = |source| Error::Open { path: address.to_string(), source };
        let mut last = None;
        for server in &address.servers {
            let server = match password {
                Some(password) => server.clone().password(password),
                None => server.clone(),
            };
            let server = server.application_name("danso-node");
            match timeout(CONNECT, is_writable(&server)).await {
                Ok(Ok(true)) => return Ok(Self::lazily(server)),
                Ok(Ok(false)) => {
                    last =
                        Some(sqlx::Error::Configuration("the server can only be read: it follows another one".into()))
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(sqlx::Error::PoolTimedOut),
            }
        }
        Err(failed(last.unwrap_or(sqlx::Error::PoolClosed)))
    }

    fn lazily(server: PgConnectOptions) -> Self {
        let pool = |most| {
            PgPoolOptions::new().max_connections(most).acquire_timeout(ACQUIRE).after_connect(|connection, _| {
                Box::pin(async move {
                    // What is acknowledged is on the disk, whatever the server's default is; and plans fit how many rows are asked for.
                    connection.execute("SET synchronous_commit = on; SET plan_cache_mode = force_custom_plan").await?;
                    Ok(())
                })
            })
        };
        Self { writer: pool(1).connect_lazy_with(server.clone()), readers: pool(READERS).connect_lazy_with(server) }
    }
}

async fn is_writable(server: &PgConnectOptions) -> sqlx::Result<bool> {
    let mut connection = server.connect().await?;
    let read_only: String = sqlx::query_scalar("SHOW transaction_read_only").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(read_only == "off")
}

/// The steps that bring a database to this version. A step that was released is never changed: its checksum is in the databases.
fn migrator() -> Migrator {
    const STEPS: [(i64, &str, &str); 1] = [(1, "initial", include_str!("../../migrations/postgres/0001_initial.sql"))];
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(steps.to_vec())
}
