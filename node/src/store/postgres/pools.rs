//! The connections to a server, and which of an address's servers they go to. Knows nothing of the mark, nor of what is written.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::{Error, Result};
use super::{Address, Password};

/// How long one server is given to answer a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long anybody waits for a connection when all are in use.
pub(super) const ACQUIRE: Duration = Duration::from_secs(10);
/// Between two looks whether a server that is at work for us is still there, and how often it may not answer before it counts as lost.
const LOOK: Duration = Duration::from_secs(10);
const MISSED: u32 = 3;
/// Connections for reading.
pub(super) const READERS: u32 = 8;
/// The oldest server whose SQL is the one that is written here, as `server_version_num`.
const OLDEST: i32 = 15_00_00;
/// Said to each connection. What is acknowledged is on the disk, whatever the server's default is; plans fit how many rows are asked for; a lock
/// that somebody else holds is not waited for without end, unless the role or the address says for how long; and the server notices within a minute that the
/// machine at this end is gone, so that what it had begun does not lock anybody out.
const SETTINGS: &str = "SET synchronous_commit = on; SET plan_cache_mode = force_custom_plan;
    SELECT set_config('lock_timeout', '10s', false) WHERE current_setting('lock_timeout') = '0';
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// Said with the first word of each connection, and asked for again: who stands between and shares connections does not hand it on, and what
/// is set for a session is lost then, or stands for somebody else.
const SESSION: &str = "danso.session";

/// The connections to one server. A writer is never kept waiting by readers: it has a connection of its own.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    /// How many there were before, so that who finds one broken knows whether somebody else has replaced it meanwhile.
    pub(super) number: u64,
    /// None while the server lets itself only be read.
    pub(super) writer: Option<PgPool>,
    pub(super) readers: PgPool,
    /// The server is not there any more, and does not say so: what is asked over these connections is not answered.
    pub(super) lost: CancellationToken,
    /// The store was closed, or nobody has it any more: nothing is connected to for it.
    pub(super) ended: CancellationToken,
}

impl Pools {
    /// To the first of the servers that can be written to.
    ///
    /// # Errors
    /// `Away` when there is none.
    pub(super) async fn connect(address: &Address, password: Option<&Password>) -> Result<Self> {
        let failed = |source| Error::Away { address: address.to_string(), source };
        let found = Found::first(address, password).await.map_err(failed)?;
        match found.is_writable {
            true => Ok(Self::to(&found, 0, CancellationToken::new())),
            false => Err(failed(read_only())),
        }
    }

    pub(super) fn to(found: &Found, number: u64, ended: CancellationToken) -> Self {
        let pool = |most| {
            // Connections do not end by age: the one for writing would have to be had anew from a server that may be full by then.
            let pool = PgPoolOptions::new().max_connections(most).acquire_timeout(ACQUIRE).max_lifetime(None);
            pool.after_connect(|connection, _| Box::pin(async move { connection.execute(SETTINGS).await.map(drop) }))
        };
        let server = &found.options;
        let pools = Self {
            number,
            writer: found.is_writable.then(|| pool(1).idle_timeout(None).connect_lazy_with(server.clone())),
            readers: pool(READERS).connect_lazy_with(server.clone()),
            lost: CancellationToken::new(),
            ended: ended.clone(),
        };
        let watch = pools.clone().watch(server.clone(), found.started.clone());
        // Who watches has the connections, too, and would keep them open for nobody.
        tokio::spawn(async move { ended.run_until_cancelled_owned(watch).await });
        pools
    }

    /// Looks whether the server is there for as long as these connections are open and one of them is in use.
    async fn watch(self, server: PgConnectOptions, started: String) {
        let mut missed = 0;
        while !self.readers.is_closed() {
            sleep(LOOK).await;
            if !self.is_in_use() {
                missed = 0;
                continue;
            }
            missed = match timeout(CONNECT, Found::at(server.clone())).await {
                Ok(Ok(found)) if found.started == started => 0,
                // It was started anew, and knows nothing of our connections.
                Ok(Ok(_)) => MISSED,
                // It answers, if only that it has no connection left.
                Ok(Err(sqlx::Error::Database(_))) => 0,
                Ok(Err(_)) | Err(_) => missed + 1,
            };
            if missed >= MISSED {
                tracing::warn!("the database server is gone, and has not said so");
                return self.lost.cancel();
            }
        }
    }

    fn is_in_use(&self) -> bool {
        let is_in_use = |pool: &PgPool| pool.num_idle() < pool.size() as usize;
        is_in_use(&self.readers) || self.writer.as_ref().is_some_and(is_in_use)
    }

    /// Whether somebody waits because all connections for reading are in use, not because the server does not answer.
    pub(super) fn is_dry(&self) -> bool {
        self.readers.size() >= READERS && self.readers.num_idle() == 0
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

/// What a server answers that cannot be written to now.
pub(super) fn read_only() -> sqlx::Error {
    sqlx::Error::Configuration(
        "the server lets itself only be read: it follows another one, or was told to (default_transaction_read_only)"
            .into(),
    )
}

/// A server that answers, and the connection over which it did.
pub(super) struct Found {
    options: PgConnectOptions,
    /// When it was started.
    started: String,
    pub(super) connection: PgConnection,
    pub(super) is_writable: bool,
}

impl Found {
    /// The first of the servers that can be written to; if there is none, the first that can be read.
    pub(super) async fn first(address: &Address, password: Option<&Password>) -> sqlx::Result<Self> {
        let (mut readable, mut why) = (None, sqlx::Error::PoolClosed);
        for server in &address.servers {
            let server = match password {
                Some(Password(password)) => server.clone().password(password),
                None => server.clone(),
            };
            let server = server.application_name("danso-node").options([(SESSION, "on")]);
            match timeout(CONNECT, Self::at(server)).await {
                Ok(Ok(found)) if found.is_writable => return Ok(found),
                Ok(Ok(found)) => readable = readable.or(Some(found)),
                Ok(Err(error)) => why = error,
                Err(_) => why = sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
            }
        }
        readable.ok_or(why)
    }

    async fn at(options: PgConnectOptions) -> sqlx::Result<Self> {
        let mut connection = options.connect().await?;
        connection.execute(SETTINGS).await?;
        let sql = "SELECT current_setting('server_version_num')::INT4, current_setting('server_encoding'),
                          current_setting('transaction_read_only') = 'off', pg_postmaster_start_time()::TEXT,
                          coalesce(current_setting($1, true), '') = 'on'";
        let (version, encoding, is_writable, started, is_own): (i32, String, bool, String, bool) =
            sqlx::query_as(sql).bind(SESSION).fetch_one(&mut connection).await?;
        match unfit(version, &encoding, is_own) {
            None => Ok(Self { options, started, connection, is_writable }),
            Some(why) => Err(sqlx::Error::Configuration(why.into())),
        }
    }
}

/// Why a server is none for a node, whatever is in its database.
fn unfit(version: i32, encoding: &str, is_own: bool) -> Option<String> {
    if version < OLDEST {
        let oldest = OLDEST / 10_000;
        return Some(format!(
            "the server is PostgreSQL {}.{}, and {oldest} is the oldest that a node can use: update it, or name another server",
            version / 10_000,
            version % 10_000
        ));
    }
    if encoding != "UTF8" {
        return Some(format!(
            "the database keeps text as {encoding}, in which not every name can be written: make one with CREATE DATABASE ... ENCODING 'UTF8' \
             TEMPLATE template0"
        ));
    }
    let pooled = "something between this node and the server shares connections (a pooler such as PgBouncer), so that what a node sets for its \
                  sessions does not hold: name the server itself";
    (!is_own).then(|| pooled.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_or_cannot_write_every_name_is_refused() {
        assert_eq!([unfit(15_00_00, "UTF8", true), unfit(17_00_04, "UTF8", true)], [None, None]);
        assert!(
            unfit(14_00_22, "UTF8", true)
                .is_some_and(|why| why.contains("PostgreSQL 14.22") && why.contains("15 is the oldest"))
        );
        assert!(
            unfit(15_00_03, "LATIN1", true)
                .is_some_and(|why| why.contains("LATIN1") && why.contains("ENCODING 'UTF8'"))
        );
    }
}
