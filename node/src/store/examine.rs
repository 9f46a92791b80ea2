//! Looks for damage: before the database is opened, after it was, and whenever an entry is read. Knows SQLite's file and our tables.
//!
//! What is bounded and why: the digest of the whole file reads all of it, so that it is made up to [`CHECKED_AT_START`] bytes, which takes
//! about a second. After an unclean stop `integrity_check` runs up to [`CHECKED_AFTER_CRASH`], and `danso-admin doctor` runs it at any size:
//! `quick_check` takes a third of its time (0.8 s and 2.3 s for a million changes), but does not see an index that lost a person.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::sql::Transaction;
use super::{Backend, Error, Result, Store, Tx};
use crate::{faults, files};

/// Bytes of a database that is checked at every start, and sealed with a digest when the node ends.
const CHECKED_AT_START: u64 = 256 * 1024 * 1024;
/// Bytes of a database that is checked after an unclean stop: some ten seconds.
const CHECKED_AFTER_CRASH: u64 = 2 * 1024 * 1024 * 1024;
/// Findings that a check lists: the first ones say where to look.
const FINDINGS: u32 = 5;

/// What the files say before anybody opens them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before {
    bytes: u64,
    /// It is too large to be sealed, and to be checked at every start.
    is_large: bool,
    /// The process before this one did not close the database.
    unclean: bool,
    /// What was written down at the last clean stop.
    seal: Option<Seal>,
}

/// What was written down at a clean stop.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seal {
    /// Which stop it was: the database says it, too, so that the seal of another copy is told from damage.
    stop: String,
    /// The file is what it was then.
    fits: bool,
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The seal's file: which stop it was, and the SHA-256 of the database then, in hex.
fn seal_path(path: &Path) -> PathBuf {
    beside(path, ".sha256")
}

/// Looks at the files: whether the database is as long as its header says, and whether it is what it was at the last clean stop.
///
/// # Errors
/// `Damaged`; when the files cannot be read.
pub(super) fn before_opening(path: &Path) -> Result<Before> {
    let failed = |source| Error::open(path, sqlx::Error::Io(source));
    let bytes = match path.metadata() {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(failed(error)),
    };
    // Pages in the write-ahead log are not in the digest; there are none after a clean stop.
    let unclean = has_wal(path);
    let mut before = Before { bytes, is_large: is_large(path, bytes), unclean, seal: None };
    if bytes == 0 {
        return Ok(before);
    }
    header(path, bytes, unclean)?;
    if let (false, Ok(seal)) = (unclean, std::fs::read_to_string(seal_path(path)))
        && let Some((stop, kept)) = seal.trim().split_once(' ')
    {
        let fits = digest(path).map_err(failed)? == kept;
        before.seal = Some(Seal { stop: stop.to_owned(), fits });
    }
    Ok(before)
}

/// Whether the seal of the last clean stop is there and holds.
///
/// # Errors
/// `Damaged`, when it is of this very database and does not hold.
pub(super) async fn seal_holds(store: &Store, before: &Before) -> Result<bool> {
    let Some(seal) = &before.seal else { return Ok(false) };
    if seal.fits {
        return Ok(true);
    }
    let stop = store.read("seal").await?.meta_get(META_STOP).await?;
    if stop.is_some_and(|stop| hex(&stop) == seal.stop) {
        let path = store.condition.path().display();
        let what = format!("{path} is not what it was when the node ended: the disk, or somebody, changed it");
        return Err(store.condition.noted(Error::damaged(what)));
    }
    tracing::warn!("the database is another copy than the one that was here when the node ended");
    Ok(false)
}

/// Looks at the database after it was opened, as far as what was found before makes that necessary. The seal is removed: it does not hold
/// any longer.
///
/// # Errors
/// `Damaged`.
pub(super) async fn after_opening(store: &Store, before: Before) -> Result<()> {
    let path = store.condition.path();
    let sealed = seal_holds(store, &before).await?;
    // One that is too large to be sealed is as it was, after a clean stop, for all that anybody can tell.
    match !sealed && before.bytes > 0 && before.is_suspect() {
        true => store.suspect().await?,
        false => store.recall().await?,
    }
    let unchecked = store.condition.health().unchecked;
    if unchecked && (before.bytes <= CHECKED_AFTER_CRASH || store.is_known_damaged().await?) {
        if store.mend().await? {
            tracing::error!("the disk had changed indices of the database: they were made again; look after this disk");
        }
        store.checked().await?;
    } else if unchecked || (!sealed && before.is_large) {
        tracing::warn!(bytes = before.bytes, "the database is too large to be checked now; run `danso-admin doctor`");
    }
    files::remove(&seal_path(path)).map_err(|source| Error::open(path, sqlx::Error::Io(source)))
}

/// Looks at a copy that this program has made, or that a backup holds and sums up: whether its pages hang together, and what it says of where
/// it came from.
///
/// # Errors
/// `Damaged`.
pub(super) async fn of_copy(store: &Store) -> Result<()> {
    let path = store.condition.path();
    let bytes = path.metadata().map_err(|source| Error::open(path, sqlx::Error::Io(source)))?.len();
    if !is_large(path, bytes) {
        store.read("quick_check").await?.quick_check().await?;
    }
    store.recall().await
}

/// Whether the database, which nobody has open, was not closed by the process before this one, as far as the files tell.
pub fn ended_unclean(path: &Path) -> bool {
    let bytes = path.metadata().map_or(0, |meta| meta.len());
    let before = Before { bytes, is_large: is_large(path, bytes), unclean: has_wal(path), seal: None };
    bytes > 0 && before.is_suspect() && !seal_path(path).exists()
}

fn is_large(path: &Path, bytes: u64) -> bool {
    bytes > faults::sealed_up_to(path, CHECKED_AT_START)
}

/// Whether there is something in the write-ahead log.
pub(super) fn has_wal(path: &Path) -> bool {
    beside(path, "-wal").metadata().is_ok_and(|wal| wal.len() > 0)
}

impl Before {
    /// Without a seal that holds, nobody knows that the file is what the process before this one wrote.
    fn is_suspect(&self) -> bool {
        self.unclean || !self.is_large
    }
}

/// Checks the first page's header (SQLite's file format, section 1.3).
fn header(path: &Path, bytes: u64, unclean: bool) -> Result<()> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut head = [0; 100];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_err() || !head.starts_with(MAGIC) {
        return Err(Error::damaged(format!("{} does not begin as a database", path.display())));
    }
    let page = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u64::from(u32::from_be_bytes([head[28], head[29], head[30], head[31]]));
    // While a write-ahead log is there, the last pages may be in it only.
    if !unclean && bytes < page.saturating_mul(pages) {
        let what = format!("{} has {bytes} bytes, and by its header {pages} pages of {page}", path.display());
        return Err(Error::damaged(what));
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the database keeps which stop was its last: a hash over the one before and where the logs stood.
pub(super) const META_STOP: &str = "stop";
/// There from an unclean end until what is derived was compared with the logs, or all was made again.
pub const META_UNCOMPARED: &str = "uncompared";
/// What stands there when something is known to be wrong: then a start compares, however long it takes.
pub const DIFFERS: &[u8] = b"differs";
/// There from an unclean end until all pages and indices were checked.
pub(super) const META_UNCHECKED: &str = "unchecked";
/// What stands there when damage was found: then the next start checks a database of any size.
const DAMAGED: &[u8] = b"damaged";

impl Store {
    /// Writes down at once that the disk may have changed what is here: whoever closes the database takes the traces of an unclean end away.
    pub async fn suspect(&self) -> Result<()> {
        self.condition.set_uncompared(true);
        self.condition.set_unchecked(true);
        match self.run_tx("suspect", async |tx| tx.suspect(true, true).await).await {
            // This run says so; what cannot be written down is not sealed.
            Err(error) if error.is_full() => Ok(()),
            done => done,
        }
    }

    /// Remembers what an earlier run has written down.
    pub(super) async fn recall(&self) -> Result<()> {
        let mut tx = self.read("recall").await?;
        self.condition.set_uncompared(tx.meta_get(META_UNCOMPARED).await?.is_some());
        self.condition.set_unchecked(tx.meta_get(META_UNCHECKED).await?.is_some());
        Ok(())
    }

    async fn is_known_damaged(&self) -> Result<bool> {
        Ok(self.read("damaged").await?.meta_get(META_UNCHECKED).await?.as_deref() == Some(DAMAGED))
    }

    /// Writes down that damage was found, so that the next start looks at it, however this run ends.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remember_damage(&self) -> Result<()> {
        self.run_tx("damaged", async |tx| {
            tx.suspect(true, false).await?;
            tx.meta_put(META_UNCHECKED, DAMAGED).await
        })
        .await
    }

    /// Looks at a database on a server as far as an earlier run has said that it must be: nothing beside it tells how that run ended.
    ///
    /// # Errors
    /// `Damaged`.
    pub(super) async fn examine_server(&self) -> Result<()> {
        self.recall().await?;
        if self.is_known_damaged().await? {
            self.mend().await?;
            self.checked().await?;
        }
        if let Some(risk) = self.risk().await? {
            tracing::error!(risk, "ALARM: the database server can lose what it acknowledges");
        }
        Ok(())
    }

    /// Why the database can lose what it acknowledges when its machine loses its power: a server can be set so, also while it runs.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn risk(&self) -> Result<Option<String>> {
        if self.is_file() {
            return Ok(None);
        }
        let sql = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name";
        let off = self.read("risk").await?.rows(sql, []).await?;
        let off: Result<Vec<String>> =
            off.iter().map(|row| Ok(format!("{} = off", row.get::<&str>("name")?))).collect();
        let off = off?.join(", ");
        Ok((!off.is_empty()).then(|| {
            format!("the server runs with {off}: a power cut there can take back entries for which receipts were given")
        }))
    }

    /// All pages and indices were checked.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn checked(&self) -> Result<()> {
        if self.read("checked").await?.meta_get(META_UNCHECKED).await?.is_some() {
            match self.run_tx("checked", async |tx| tx.meta_remove(META_UNCHECKED).await).await {
                // The next start checks it once more.
                Err(error) if !error.is_full() => return Err(error),
                _ => {}
            }
        }
        self.condition.set_unchecked(false);
        Ok(())
    }

    /// Looks for damage, and makes the indices again where they do not fit their tables: what is in an index is in its table, too. Says
    /// whether it did. It can have been the table that the disk changed: the comparison with the logs, which is due then at any size, finds it.
    ///
    /// # Errors
    /// `Damaged`, when that is not all that is wrong: then nothing was changed.
    pub async fn mend(&self) -> Result<bool> {
        let found = self.read("integrity_check").await?.findings().await?;
        if found.is_empty() {
            return Ok(false);
        }
        if matches!(self.backend, Backend::Postgres(_)) {
            return Err(self.condition.noted(Error::damaged(found.join("; "))));
        }
        let again = self.run_tx("reindex", async |tx| {
            tx.write("REINDEX", []).await?;
            // In the same transaction: a damaged index may have led into other trees.
            tx.integrity_check().await?;
            tx.meta_put(META_UNCOMPARED, DIFFERS).await
        });
        match again.await {
            Ok(()) => {
                self.condition.set_mended();
                self.condition.set_uncompared(true);
                Ok(true)
            }
            Err(error) if error.is_full() => Err(error),
            Err(_) => Err(self.condition.noted(Error::damaged(found.join("; ")))),
        }
    }

    /// Marks the end of a run, while the store is open; for [`seal`]. What nobody has looked at is marked too, so that no seal hides it.
    pub(super) async fn mark_stop(&self) -> Result<String> {
        self.run_tx("stop", async |tx| {
            let health = self.condition.health();
            let damaged = health.damage.is_some();
            tx.suspect(health.uncompared || damaged, health.unchecked).await?;
            if damaged {
                tx.meta_put(META_UNCHECKED, DAMAGED).await?;
            }
            let mut hash = Sha256::new();
            hash.update(tx.meta_get(META_STOP).await?.unwrap_or_default());
            for row in tx.rows("SELECT name, size, root FROM log ORDER BY name", []).await? {
                hash.update(row.get::<&str>("name")?);
                hash.update(row.get::<i64>("size")?.to_be_bytes());
                hash.update(row.get::<&[u8]>("root")?);
            }
            let stop = hash.finalize();
            tx.meta_put(META_STOP, &stop).await?;
            Ok(hex(&stop))
        })
        .await
    }
}

/// Writes down what the closed database holds, unless it is too large to read at every start.
pub(super) fn seal(path: &Path, stop: &str) -> io::Result<()> {
    if has_wal(path) || is_large(path, path.metadata()?.len()) {
        return Ok(());
    }
    files::replace(&seal_path(path), format!("{stop} {}\n", digest(path)?).as_bytes(), 0o600)
}

impl Tx {
    /// Whether all pages and trees of the database hang together (`PRAGMA quick_check`). Content is not looked at.
    ///
    /// # Errors
    /// `Damaged`.
    pub async fn quick_check(&mut self) -> Result<()> {
        let found = self.check("PRAGMA quick_check").await?;
        self.sound(found)
    }

    /// As [`Tx::quick_check`], and whether the indices fit their tables (`PRAGMA integrity_check`, `PRAGMA foreign_key_check`).
    ///
    /// # Errors
    /// `Damaged`.
    pub async fn integrity_check(&mut self) -> Result<()> {
        let found = self.findings().await?;
        self.sound(found)
    }

    /// What [`Tx::integrity_check`] finds.
    async fn findings(&mut self) -> Result<Vec<String>> {
        if matches!(self.inner, Transaction::Postgres(_)) {
            return self.findings_on_server().await;
        }
        let mut found = self.check("PRAGMA integrity_check").await?;
        let orphans = self.rows("PRAGMA foreign_key_check", []).await?;
        if !orphans.is_empty() {
            found.push(format!("{} rows point at rows that are not there", orphans.len()));
        }
        Ok(found)
    }

    /// A server checks its pages when it reads them, if its cluster has checksums, and counts what fails; its indices are checked with the
    /// extension `amcheck`, where the database has it and lets this role use it. References it keeps itself.
    async fn findings_on_server(&mut self) -> Result<Vec<String>> {
        let sql = "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()";
        let failures = self.number(sql, []).await?;
        let mut found = Vec::new();
        if failures > 0 {
            found.push(format!(
                "the server has read {failures} pages of the database whose checksum is wrong (pg_stat_database)"
            ));
        }
        // Its functions are for those only whom the server's operator lets use them.
        let sql = "SELECT coalesce(has_function_privilege(to_regprocedure('bt_index_check(regclass,boolean)')::oid, 'execute'), false)::int::bigint";
        if self.number(sql, []).await? == 0 {
            return Ok(found);
        }
        let sql = "SELECT CAST(c.oid AS BIGINT) AS oid, c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                   JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relnamespace = current_schema()::regnamespace";
        for index in self.rows(sql, []).await? {
            let (oid, name): (i64, String) = (index.get("oid")?, index.get("name")?);
            match self.rows("SELECT bt_index_check(CAST($1 AS oid), true)::text", [oid.into()]).await {
                Ok(_) => {}
                Err(Error::Damaged { what }) => {
                    // The transaction is at its end with it.
                    found.push(format!("index {name}: {what}"));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn check(&mut self, pragma: &'static str) -> Result<Vec<String>> {
        let found = self.rows(&format!("{pragma}({FINDINGS})"), []).await?;
        let found: Result<Vec<String>> = found.iter().map(|line| line.get(0)).collect();
        Ok(found?.into_iter().filter(|line| line != "ok").collect())
    }

    fn sound(&self, found: Vec<String>) -> Result<()> {
        match found.is_empty() {
            true => Ok(()),
            false => Err(self.condition.noted(Error::damaged(found.join("; ")))),
        }
    }

    /// Marks what was not compared and not checked. A mark that is there stays: it may say more.
    async fn suspect(&mut self, uncompared: bool, unchecked: bool) -> Result<()> {
        for (key, is_so) in [(META_UNCOMPARED, uncompared), (META_UNCHECKED, unchecked)] {
            if is_so && self.meta_get(key).await?.is_none() {
                self.meta_put(key, b"1").await?;
            }
        }
        Ok(())
    }
}
