//! How the store fails, told apart by what is to be done about it: no room, damage, everything else. Knows SQLite's codes, and nothing
//! of reasons and people.

use std::io;
use std::path::Path;

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be opened or brought to this version.
    #[error("the database {path} cannot be opened")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The migrations did not run.
    #[error("the database cannot be brought to this version")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("the database failed in {during}")]
    Database {
        /// The name of the transaction.
        during: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// It is on a server, and what was asked for can be done with a file only.
    #[error("the database is on a server, and this can be done with a database in a file only")]
    NotAFile,
    /// Somebody else has opened the database on the server since, or the server lost what was committed.
    #[error(
        "the database on the server is not what this node left: another process has opened it since, or it went back to an earlier state; stop this node, see that no other uses the database, and start it again"
    )]
    NotOurs,
    /// The node of this database is in another one.
    #[error("this database is not the node's any more: the node was moved to {to}")]
    MovedAway {
        /// Where to: an address, or `sqlite`.
        to: String,
    },
    /// A node is being moved into this database, and that did not come to its end.
    #[error("a node was being moved into this database, and that was cut")]
    HalfMoved,
    /// There is no node in this database.
    #[error("there is no node in this database")]
    NotANode,
    /// A node cannot be moved into this database.
    #[error("the database to move to is not empty: it holds {by}")]
    Occupied {
        /// What is there.
        by: String,
    },
    /// No server answers that does what is to be done.
    #[error("no database server of {address} does now what is to be done")]
    Away {
        /// Where they are.
        address: String,
        /// What the last one answered, if it did.
        source: sqlx::Error,
    },
    /// The connection was lost while something was committed, and no server says whether it was.
    #[error(
        "the connection to the database server was lost while {during} was being kept, and nothing answers since that could say whether it was: ask again what is there"
    )]
    InDoubt {
        /// The name of the transaction.
        during: &'static str,
    },
    /// What had been in doubt was kept, and this process has gone on without it.
    #[error(
        "what was being kept when the connection to the database server was lost is there, and this process does not know of it: the node must be started again, and loses nothing"
    )]
    WasKept,
    /// All connections for reading are in use.
    #[error(
        "all {most} connections to the database server for reading are in use: ask again when less is asked at a time"
    )]
    Busy {
        /// How many there are.
        most: u32,
    },
    /// Somebody else of this process writes for longer than is waited for.
    #[error("something that takes long is being written to the database: ask again later; nothing of this was kept")]
    Writing,
    /// A statement failed on the server, and what it was part of went on: the server keeps nothing of such a transaction.
    #[error("the database server has broken off {during}")]
    BrokenOff {
        /// The name of the transaction.
        during: &'static str,
    },
    /// An earlier version of this program made the database, and it was only looked at.
    #[error(
        "the database is as an earlier version of this program left it: start the node once with this one, then try again"
    )]
    Earlier,
    /// No room on the disk.
    #[error("no room on the disk for {during}")]
    DiskFull {
        /// The name of the transaction.
        during: &'static str,
    },
    /// The database does not hold what was written to it.
    #[error("the database is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// A row is there but does not read: the database was damaged or changed by hand.
    #[error("{table}.{column} does not read: {why}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Why a process must write nothing more to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// As [`Error::NotOurs`].
    NotOurs,
    /// As [`Error::WasKept`].
    WasKept,
}

impl From<Over> for Error {
    fn from(over: Over) -> Self {
        match over {
            Over::NotOurs => Self::NotOurs,
            Over::WasKept => Self::WasKept,
        }
    }
}

impl Error {
    pub(super) fn inconsistent(table: &'static str, column: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Inconsistent { table, column, why: why.to_string() }
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(super) fn database(during: &'static str, source: sqlx::Error) -> Self {
        match Kind::of(&source) {
            Kind::Full => Self::DiskFull { during },
            Kind::Damaged => Self::damaged(format!("{source}, in {during}")),
            Kind::Other => Self::Database { during, source },
        }
    }

    pub(super) fn open(path: &Path, source: sqlx::Error) -> Self {
        match Kind::of(&source) {
            Kind::Full => Self::DiskFull { during: "opening the database" },
            Kind::Damaged => Self::damaged(format!("{source}, in {}", path.display())),
            Kind::Other => Self::Open { path: path.display().to_string(), source },
        }
    }

    pub(super) fn migrate(path: &Path, source: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match source {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)
                if !matches!(Kind::of(&source), Kind::Other) =>
            {
                Self::open(path, source)
            }
            source => Self::Migrate(source),
        }
    }

    /// The database does not hold what was written to it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Inconsistent { .. })
    }

    /// What an old database does not give: it is damaged, or of a version that has no such table or column.
    pub fn is_unreadable(&self) -> bool {
        /// SQLITE_ERROR, the bare one: the statement does not fit the tables.
        const NO_SUCH: &str = "1";
        let unfit = |error: &dyn sqlx::error::DatabaseError| error.code().as_deref() == Some(NO_SUCH);
        match self {
            Self::Database { source: sqlx::Error::Database(error), .. } => unfit(&**error),
            error => error.is_damage(),
        }
    }

    /// The error with what the database said.
    pub fn told(&self) -> String {
        use std::error::Error as _;
        self.source().map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }

    /// The node is not in this database, or not yet.
    pub fn is_moved(&self) -> bool {
        matches!(self, Self::MovedAway { .. } | Self::HalfMoved)
    }

    /// No server does what was asked, but one may later: by itself, or when its operator has seen to it.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Away { .. } | Self::InDoubt { .. } => true,
            Self::Database { source, .. } => is_passing(source),
            _ => false,
        }
    }

    /// Why this process must write nothing more to the database, if it must not.
    pub fn over(&self) -> Option<Over> {
        match self {
            Self::NotOurs => Some(Over::NotOurs),
            Self::WasKept => Some(Over::WasKept),
            _ => None,
        }
    }

    /// There is no room on the disk.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }
}

/// What is to be done about a database error.
enum Kind {
    Full,
    Damaged,
    Other,
}

impl Kind {
    fn of(error: &sqlx::Error) -> Self {
        /// SQLITE_CORRUPT, SQLITE_NOTADB.
        const DAMAGED: [u32; 2] = [11, 26];
        /// SQLITE_FULL.
        const FULL: u32 = 13;
        /// SQLITE_IOERR_SHMSIZE: the shared memory of the write-ahead log did not get its room.
        const NO_ROOM_FOR_SHM: u32 = 4874;
        match error {
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => Self::Full,
            // PostgreSQL: disk_full; data_corrupted, index_corrupted.
            sqlx::Error::Database(error) if error.code().as_deref() == Some("53100") => Self::Full,
            sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("XX001" | "XX002")) => Self::Damaged,
            // SQLite's codes have at most four digits.
            sqlx::Error::Database(error) => {
                match error.code().filter(|code| code.len() < 5).and_then(|code| code.parse::<u32>().ok()) {
                    Some(NO_ROOM_FOR_SHM) => Self::Full,
                    // The low byte is the code, what is above it the finer kind.
                    Some(code) if code & 0xff == FULL => Self::Full,
                    Some(code) if DAMAGED.contains(&(code & 0xff)) => Self::Damaged,
                    _ => Self::Other,
                }
            }
            // What sqlx cannot decode is no value that was ever written.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged,
            _ => Self::Other,
        }
    }
}

/// Whether a server says, or shows, that the same may succeed once more, on this connection or on another one: it could not put transactions
/// in an order, it stops, it only follows another server now, or the connection is gone.
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    /// serialization_failure, deadlock_detected, lock_not_available; read_only_sql_transaction; idle_in_transaction_session_timeout,
    /// idle_session_timeout, query_canceled; too_many_connections; admin_shutdown, crash_shutdown, cannot_connect_now.
    const PASSING: [&str; 11] =
        ["40001", "40P01", "55P03", "25006", "25P03", "57P05", "57014", "53300", "57P01", "57P02", "57P03"];
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            // Class 08: connection exceptions.
            error.code().is_some_and(|code| PASSING.contains(&&*code) || code.starts_with("08") && code.len() == 5)
        }
        _ => false,
    }
}
