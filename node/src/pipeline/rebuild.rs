//! Register and cube made again from the entries, in one transaction: whoever is killed in the middle has the old ones still.
//!
//! Entries are read and verified a few at a time, so that memory does not grow with the logs. What is written grows the write-ahead log by
//! about the size of the derived tables, until the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use danso_core::forms::remembered;
use danso_core::ledger::{Entry, LogHead, append};
use danso_core::register::Rules;
use danso_core::rules::Rulebooks;
use danso_core::units::UnitList;
use danso_core::verify::{Directory, Verified, verify_again};
use danso_proto::envelope::{Opened, PublicKey};
use danso_proto::identity::PartSet;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

use super::batch::Batch;
use super::compare::META_UNCOMPARED;
use super::import::form_code;
use super::state::{META_NODE, replay, replay_into};
use super::{Error, apply, rollup};
use crate::store::{self, Derived, LogRow, SourceRow, Store, StoredEntry, Tx};

/// Where the store keeps the number of the rules that made register and cube; without it, version 0.1.0 made them.
///
/// What is derived depends on more than the rules of the core: the store makes keepable what a database cannot keep (`store::sql::text`) and
/// leaves out what nobody is looked for by (`store::register::looked_for`). Who changes that changes derived rows, and gives the rules a new number.
const META_RULES: &str = "derived_version";
/// The rules of version 0.1.0.
const FIRST_RULES: u32 = 1;
/// Entries read at a time, and their bytes.
const CHUNK: (usize, usize) = (128, 2 * 1024 * 1024);

/// Changes that are written together, as many as a full pipeline writes in one transaction; and the bytes of their entries, because anybody can sign
/// changes that are large and say nothing.
const TOGETHER: (usize, usize) = (8_000, 8 * 1024 * 1024);

/// What a rebuild went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Logs.
    pub logs: u64,
    /// Entries.
    pub entries: u64,
    /// Changes that were applied.
    pub changes: u64,
    /// Entries that a revocation leaves out.
    pub left_out: u64,
}

/// Told how many entries are done, and of how many.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// Reads a log from its beginning, verifying every entry again.
pub struct LogReader<'a> {
    row: &'a LogRow,
    head: LogHead,
}

impl<'a> LogReader<'a> {
    /// At the beginning of a log.
    pub fn new(row: &'a LogRow) -> Self {
        Self { row, head: LogHead::default() }
    }

    /// The next entries; empty at the log's end, whose root then was found right. Not for directory logs.
    ///
    /// # Errors
    /// The reason why an entry is wrong; when entries are missing, or make another root than the kept one.
    pub async fn next(&mut self, tx: &mut Tx, directory: &Directory) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for stored in self.read(tx).await? {
            let opened = directory.open(stored.envelope, stored.parts);
            let verified = self.verified(opened, directory)?;
            entries.push(self.at_its_place(verified, &stored.leaf, &stored.set_id)?);
        }
        Ok(entries)
    }

    /// As [`Self::next`]; meanwhile, while the entries are being opened on another core, `work` is done.
    async fn next_beside(
        &mut self,
        tx: &mut Tx,
        directory: &Arc<Directory>,
        work: impl AsyncFnOnce(&mut Tx) -> Result<(), Error>,
    ) -> Result<Vec<Entry>, Error> {
        let stored = self.read(tx).await?;
        let opening = tokio::task::spawn_blocking({
            let directory = directory.clone();
            let open =
                move |stored: StoredEntry| (directory.open(stored.envelope, stored.parts), stored.leaf, stored.set_id);
            move || stored.into_iter().map(open).collect::<Vec<_>>()
        });
        work(tx).await?;
        let opened =
            opening.await.map_err(|error| Refusal::new(Reason::Internal, format!("opening entries broke: {error}")))?;
        let mut entries = Vec::with_capacity(opened.len());
        for (opened, leaf, set_id) in opened {
            let verified = self.verified(opened, directory)?;
            entries.push(self.at_its_place(verified, &leaf, &set_id)?);
        }
        Ok(entries)
    }

    /// The next entries of a directory log, which `directory` learns as they come.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_of_directory(&mut self, tx: &mut Tx, directory: &mut Directory) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for stored in self.read(tx).await? {
            let verified = self.verified(directory.open(stored.envelope, stored.parts), directory)?;
            directory.apply(&verified)?;
            entries.push(self.at_its_place(verified, &stored.leaf, &stored.set_id)?);
        }
        Ok(entries)
    }

    fn verified(&self, opened: Result<Opened, Refusal>, directory: &Directory) -> Result<Verified, Error> {
        let verified = opened.and_then(|opened| verify_again(opened, directory, &self.head.position()));
        verified.map_err(|refusal| match is_of_this_disk(refusal.reason) {
            true => store::Error::Damaged { what: format!("{}: {}", self.row.log, refusal.detail) }.into(),
            false => refusal.into(),
        })
    }

    async fn read(&self, tx: &mut Tx) -> Result<Vec<StoredEntry>, Error> {
        let log = &self.row.log;
        let left = self.row.head.size() - self.head.size();
        if left == 0 {
            if self.head.root() != self.row.head.root() {
                return Err(inconsistent("leaf", format!("{log}: the entries do not make the kept root")));
            }
            return Ok(Vec::new());
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK.0);
        let stored = tx.entry_read(self.row.pk, self.head.size(), most, CHUNK.1).await?;
        if stored.is_empty() {
            let why = format!("{log} ends at {}, not at {}", self.head.size(), self.row.head.size());
            return Err(inconsistent("sequence", why));
        }
        // A row that is gone is damage, and not an entry that does not fit.
        if let Some((_, at)) = stored.iter().zip(self.head.size()..).find(|(entry, at)| entry.sequence != *at) {
            return Err(inconsistent("sequence", format!("{log}: entry {at} is missing")));
        }
        Ok(stored)
    }

    fn at_its_place(&mut self, verified: Verified, leaf: &Hash, set: &[u8]) -> Result<Entry, Error> {
        let log = &self.row.log;
        if verified.change_set().log != *log {
            let why = format!("an entry of {} stands in {log}", verified.change_set().log);
            return Err(inconsistent("envelope", why));
        }
        let entry = append(&mut self.head, verified);
        if entry.leaf() != leaf {
            let why = format!("{log} entry {}: the kept leaf hash is not the entry's", entry.sequence());
            return Err(inconsistent("leaf", why));
        }
        if store::set_id(entry.change_set().first_id) != set {
            let why = format!("{log} entry {}: it is not found from its changes", entry.sequence());
            return Err(inconsistent("set_id", why));
        }
        Ok(entry)
    }
}

/// Whether an entry that was taken in is refused for what its bytes are. All of it was right then: it is this disk that changed it, not the author.
pub fn is_of_this_disk(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::CommitmentMismatch | Reason::SignatureInvalid | Reason::Malformed | Reason::PreviousHashWrong
    )
}

fn inconsistent(column: &'static str, why: String) -> Error {
    store::Error::Inconsistent { table: "entry", column, why }.into()
}

/// Entries on their way into register and cube a second time.
pub(super) struct Recount<'a> {
    logs: &'a BTreeMap<LogId, LogRow>,
    /// What counts of each log.
    directory: &'a Directory,
    rules: Rules,
    /// The unit lists that roll-ups are kept for.
    lists: Vec<&'a UnitList>,
    /// The rules of consistency, as they hold at the end.
    books: Rulebooks,
    progress: Progress<'a>,
    total: u64,
    done: Rebuilt,
}

impl Recount<'_> {
    pub(super) async fn take(&mut self, tx: &mut Tx, entries: Vec<Entry>) -> Result<(), Error> {
        let entries = self.counted(entries);
        self.apply(tx, &entries).await
    }

    /// Of entries that were read those that count.
    fn counted(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        self.done.entries += entries.len() as u64;
        let read = entries.len();
        entries.retain(|entry| {
            let author = self.directory.node(entry.log().node());
            author.and_then(|author| author.valid_size(entry.log())).is_none_or(|bound| entry.sequence() < bound)
        });
        self.done.left_out += (read - entries.len()) as u64;
        entries
    }

    async fn apply(&mut self, tx: &mut Tx, entries: &[Entry]) -> Result<(), Error> {
        self.done.changes += entries.iter().map(|entry| entry.change_set().changes.len() as u64).sum::<u64>();
        let by = apply::By { rules: self.rules, lists: &self.lists, books: &self.books };
        apply::apply(tx, self.logs, entries, by).await?;
        (self.progress)(self.done.entries, self.total);
        Ok(())
    }
}

/// Drops all that is derived and makes it again from `logs`. Entries at or beyond a revocation's bound stay in the ledger and are left out.
pub(super) async fn again(
    tx: &mut Tx,
    directory: &Arc<Directory>,
    logs: &BTreeMap<LogId, LogRow>,
    rules: Rules,
    progress: Progress<'_>,
) -> Result<Rebuilt, Error> {
    tx.derived_clear().await?;
    let lists = rollup::follow(tx, directory.units()).await?;
    let total = logs.values().map(|row| row.head.size()).sum();
    let done = Rebuilt { logs: logs.len() as u64, ..Rebuilt::default() };
    let mut count = Recount { logs, directory, rules, lists, books: Rulebooks::by(directory), progress, total, done };
    let rows: Vec<LogRow> = logs.values().cloned().collect();
    replay_into(tx, &rows, directory.anchor(), Some(&mut count)).await?;
    // Those of many small logs are written together, and while they are, the next ones are opened.
    let (mut waiting, mut changes, mut bytes) = (Vec::new(), 0, 0);
    for row in rows.iter().filter(|row| *row.log.stream() != Stream::Directory) {
        let mut reader = LogReader::new(row);
        loop {
            let is_full = changes >= TOGETHER.0 || bytes >= TOGETHER.1;
            let full = if is_full { std::mem::take(&mut waiting) } else { Vec::new() };
            if is_full {
                (changes, bytes) = (0, 0);
            }
            let entries = reader.next_beside(tx, directory, async |tx| count.apply(tx, &full).await).await?;
            if entries.is_empty() {
                break;
            }
            let entries = count.counted(entries);
            let size = |entry: &Entry| entry.envelope().len() + entry.parts().map_or(0, PartSet::encoded_len);
            bytes += entries.iter().map(size).sum::<usize>();
            changes += entries.iter().map(|entry| entry.change_set().changes.len()).sum::<usize>();
            waiting.extend(entries);
        }
    }
    count.apply(tx, &waiting).await?;
    mark(tx, rules).await?;
    Ok(count.done)
}

/// Remembers which rows of forms came before, told by this node's own records: a node that was recovered has its entries and not what was
/// typed. Rows that are remembered stay as they are. How many were not.
pub(super) async fn remember(tx: &mut Tx, directory: &Directory, me: &NodeId, logs: &[LogRow]) -> Result<u64, Error> {
    let own = LogId::new(me.clone(), Stream::Records);
    let mut forgotten = 0;
    let Some(row) = logs.iter().find(|row| row.log == own) else { return Ok(forgotten) };
    let mut reader = LogReader::new(row);
    loop {
        let entries = reader.next(tx, directory).await?;
        if entries.is_empty() {
            return Ok(forgotten);
        }
        let mut sources = Vec::new();
        for (id, change, part) in entries.iter().flat_map(Entry::said) {
            let Some((form, key, source)) = part.and_then(|part| remembered(id, change, &part)) else { continue };
            sources.push(SourceRow {
                unit: change.unit.clone(),
                form: form_code(form),
                key,
                digest: source.digest,
                change: source.change,
                person: source.person,
                birth: source.birth,
            });
        }
        forgotten += tx.source_remember(&sources).await?;
    }
}

impl Batch<'_> {
    /// Makes register and cube again inside this batch when a revocation in it leaves out what was counted. Says whether it did.
    ///
    /// # Errors
    /// When the store fails, or an entry of it does not verify.
    pub(super) async fn recount_what_was_cut(&mut self) -> Result<bool, Error> {
        let Some((before, after)) = self.directories() else { return Ok(false) };
        let logs = self.all_logs();
        let counts = |directory: &Directory, row: &LogRow| {
            let bound = directory.node(row.log.node()).and_then(|author| author.valid_size(&row.log));
            bound.unwrap_or(u64::MAX).min(row.head.size())
        };
        if !logs.values().any(|row| counts(&after, row) != counts(&before, row)) {
            return Ok(false);
        }
        let Rebuilt { left_out, .. } = again(self.tx, &after, &logs, self.rules, &tell()).await?;
        tracing::warn!(
            left_out,
            "a revocation leaves out entries that were counted: register and figures were made again"
        );
        Ok(true)
    }
}

/// What an offline rebuild found and made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it went through.
    pub rebuilt: Rebuilt,
    /// What was derived before.
    pub before: Derived,
    /// What is derived now.
    pub after: Derived,
    /// Slips that wait for what is known now: the node's next start takes them.
    pub released: u64,
}

/// Makes register and cube of a node that does not run again, and remembers which rows of forms came before.
///
/// # Errors
/// When the store fails, does not hold the anchor's log, or an entry of it does not verify: then nothing was changed.
pub async fn rebuild(store: &Store, anchor: Fingerprint, progress: Progress<'_>) -> Result<Report, Error> {
    let mut view = store.read("rebuild").await?;
    let me = node_of(&mut view).await?.ok_or_else(|| Refusal::new(Reason::NotFound, "no node was set up here"))?;
    // What is there before is read meanwhile; that something was read pins the view to it.
    let mut reading = Some(tokio::spawn(async move { view.derived().await }));
    let mut before = None;
    let (rebuilt, after, released) = store
        .run_tx("rebuild", async |tx| {
            let rows = tx.log_list().await?;
            let directory = Arc::new(replay(tx, &rows, anchor).await?);
            remember(tx, &directory, &me, &rows).await?;
            let logs = rows.into_iter().map(|row| (row.log.clone(), row)).collect();
            let rebuilt = again(tx, &directory, &logs, Rules::CURRENT, progress).await?;
            let after = tx.derived().await?;
            // What cannot be read is not replaced either. A second try has it already.
            if let Some(reading) = reading.take() {
                let read =
                    reading.await.map_err(|error| Refusal::new(Reason::Internal, format!("reading broke: {error}")));
                before = Some(read??);
            }
            Ok::<_, Error>((rebuilt, after, tx.waiting_known().await?.1))
        })
        .await?;
    let before = before.ok_or_else(|| Refusal::new(Reason::Internal, "nothing was read"))?;
    let report = Report { rebuilt, before, after, released };
    store.condition().set_uncompared(false);
    Ok(report)
}

/// The log key that the directory in a store names for the store's node; `None` when it does not name the node.
///
/// # Errors
/// When the store fails, does not hold the anchor's log, or an entry of it does not verify.
pub async fn named_key(store: &Store, anchor: Fingerprint) -> Result<Option<PublicKey>, Error> {
    let mut tx = store.read("named key").await?;
    let Some(me) = node_of(&mut tx).await? else { return Ok(None) };
    let rows = tx.log_list().await?;
    let directory = replay(&mut tx, &rows, anchor).await?;
    Ok(directory.node(&me).map(|me| *me.key()))
}

/// Remembers which rows of forms came before, for a node that got its logs back.
///
/// # Errors
/// As [`rebuild`].
pub async fn remember_rows(store: &Store, anchor: Fingerprint) -> Result<(), Error> {
    store
        .run_tx("remember", async |tx| {
            let Some(me) = node_of(tx).await? else { return Ok(()) };
            let rows = tx.log_list().await?;
            let directory = replay(tx, &rows, anchor).await?;
            remember(tx, &directory, &me, &rows).await.map(drop)
        })
        .await
}

/// Marks what is derived as made by `rules`, from the logs that are here.
pub(super) async fn mark(tx: &mut Tx, rules: Rules) -> Result<(), Error> {
    tx.meta_remove(META_UNCOMPARED).await?;
    Ok(tx.meta_put(META_RULES, rules.version().to_string().as_bytes()).await?)
}

/// Verifies every log from the anchor down; each log and its head.
///
/// # Errors
/// The first thing that is wrong.
pub async fn verify(store: &Store, anchor: Fingerprint) -> Result<Vec<(LogId, LogHead)>, Error> {
    let mut tx = store.read("verify").await?;
    let rows = tx.log_list().await?;
    let directory = replay(&mut tx, &rows, anchor).await?;
    for row in rows.iter().filter(|row| *row.log.stream() != Stream::Directory) {
        let mut reader = LogReader::new(row);
        while !reader.next(&mut tx, &directory).await?.is_empty() {}
    }
    Ok(rows.into_iter().map(|row| (row.log, row.head)).collect())
}

/// The node that a store is of; `None` when none was set up there.
///
/// # Errors
/// When the store fails.
pub async fn node_of(tx: &mut Tx) -> Result<Option<NodeId>, Error> {
    let node = tx.meta_get(META_NODE).await?;
    Ok(node.map(|node| String::from_utf8_lossy(&node).parse()).transpose().map_err(Refusal::from)?)
}

/// The number of the rules that made what is derived.
///
/// # Errors
/// When the store fails.
pub async fn made_by(tx: &mut Tx) -> Result<u32, Error> {
    let Some(text) = tx.meta_get(META_RULES).await? else { return Ok(FIRST_RULES) };
    let text = String::from_utf8_lossy(&text);
    let number = text.parse().map_err(|_| store::Error::Inconsistent {
        table: "meta",
        column: META_RULES,
        why: format!("{text:?} is no number"),
    });
    Ok(number?)
}

/// Says in the log how far it is, ten times.
pub fn tell() -> impl Fn(u64, u64) + Send + Sync {
    use std::sync::atomic::{AtomicU64, Ordering};
    let told = AtomicU64::new(0);
    move |done, of| {
        let tenths = done.saturating_mul(10).checked_div(of).unwrap_or(10);
        if told.fetch_max(tenths, Ordering::Relaxed) < tenths {
            tracing::info!(entries = done, of, "making register and figures again");
        }
    }
}
