//! A consistent copy of a database that somebody else may be writing to.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{Error, Result, Store, copy_to_file};

/// Copies the database `from` to the new file `to`, as it is at one moment.
///
/// The node may run meanwhile: this is one more reader of the database, in another process. Readers see one state of it and neither wait for
/// the writer nor hold it up (write-ahead log); SQLite's own locks keep the file from being changed under them, so that the directory's lock
/// is not needed. While it lasts, the write-ahead log is not folded beyond that state, and so grows by what is written meanwhile.
///
/// # Errors
/// When the database cannot be read, or there is no room for the copy.
pub async fn copy(from: &Path, to: &Path) -> Result<()> {
    let during = "copy";
    let failed = |source| Error::database(during, source);
    let options = SqliteConnectOptions::new().filename(from).read_only(true).busy_timeout(Duration::from_secs(10));
    let mut db: SqliteConnection =
        options.connect().await.map_err(|source| Error::Open { path: from.display().to_string(), source })?;
    let copied = copy_by(&mut db, to).await;
    // Closed in any case: a reader that stays would keep the write-ahead log from being folded.
    let closed = db.close().await.map_err(failed);
    copied.and(closed)
}

async fn copy_by(db: &mut SqliteConnection, to: &Path) -> Result<()> {
    let failed = |source| Error::database("copy", source);
    // For this user only: SQLite takes a file that is there and empty.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|source| failed(sqlx::Error::Io(source)))?;
    let to = to.to_str().ok_or_else(|| failed(sqlx::Error::Configuration("the path is not UTF-8".into())))?;
    sqlx::query("VACUUM INTO $1").bind(to).execute(db).await.map_err(failed)?;
    Ok(())
}

impl Store {
    /// As [`copy`], by a reader of this store: of a node that does not run, nothing is made beside its database.
    ///
    /// # Errors
    /// As [`copy`].
    pub async fn copy_to(&self, to: &Path) -> Result<()> {
        if !self.is_file() {
            return copy_to_file(&mut self.read("copy").await?, to).await;
        }
        let mut reader =
            self.file()?.readers.acquire().await.map_err(|e| self.condition.noted(Error::database("copy", e)))?;
        copy_by(&mut reader, to).await
    }
}
