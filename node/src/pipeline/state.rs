//! What is committed, in memory: the directory and where each log stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use danso_core::calendar::{VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
use danso_core::register::Rules;
use danso_core::rules::Rulebooks;
use danso_core::verify::{Directory, verify};
use danso_proto::checkpoint;
use danso_proto::envelope::Envelope;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::refusal::{Reason, Refusal};

use super::batch::Done;
use super::compare::bring_up_to_date;
use super::rebuild::{self, LogReader, Recount};
use super::receipts::Compared;
use super::tell::Telling;
use super::{Committed, Error, Grown, Outfit, heads};
use crate::store::{self, LogRow, ReceiptRow, Store, Tx};

/// Where the store keeps the node's id.
pub use crate::store::META_NODE;
/// Where the store keeps that it was restored from a backup, and of when (Unix milliseconds), until it is known not to be behind.
pub(super) const META_RESTORED: &str = "restored";

/// The directory and the logs as they are after some commit.
#[derive(Debug, Clone)]
pub struct Snapshot {
    me: NodeId,
    /// When the backup was taken that this was restored from, while nobody has said that it is not behind.
    restored: Option<i64>,
    directory: Arc<Directory>,
    /// Of the directory.
    books: Arc<Rulebooks>,
    logs: Arc<BTreeMap<LogId, Arc<LogRow>>>,
}

impl Snapshot {
    /// The node's id.
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// Whether this is the root of its federation: nobody is above it.
    pub fn is_root(&self) -> bool {
        self.me == *self.directory.root()
    }

    /// When the backup was taken that this node was restored from, Unix milliseconds; `None` once it is known not to be behind.
    pub fn restored(&self) -> Option<i64> {
        self.restored
    }

    /// Why this node writes nothing to any log of its own, if so. Being behind in one log, it is behind in all: its next entry in any of them
    /// could be a second history.
    pub fn read_only(&self) -> Option<Refusal> {
        heads::old_copy(self).or_else(|| {
            let day = civil_from_unix_ms(self.restored?, VIET_NAM_OFFSET_MINUTES);
            let by = match self.is_root() {
                true => "this is the root, and nobody above it can. If this is its newest backup: danso-node restore confirm".to_owned(),
                false => format!(
                    "the parent does so at the next connection. Where the parent refuses this node because it is a child of another node by now \
                     (not_a_child), nobody but that one can: a token from there (danso-admin child invite --node {}), then danso-node recover \
                     --data DIR --token-file FILE. Only where there is no parent: danso-node restore confirm",
                    self.me()
                ),
            };
            let detail = format!("restored from a backup of {day}, and nobody has confirmed yet that it is not behind: {by}");
            Some(Refusal::new(Reason::ReadOnly, detail))
        })
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory, to keep.
    pub fn directory_arc(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// The rules of consistency, by unit.
    pub fn rulebooks(&self) -> Arc<Rulebooks> {
        self.books.clone()
    }

    /// A log.
    pub fn log(&self, log: &LogId) -> Option<&LogRow> {
        self.logs.get(log).map(|row| &**row)
    }

    /// This node's own logs.
    pub fn own_logs(&self) -> impl Iterator<Item = &LogRow> {
        // All logs of a node stand together, for their ids begin with its id; its directory comes first.
        let first = LogId::new(self.me.clone(), Stream::Directory);
        self.logs.range(first..).map(|(_, row)| &**row).take_while(|row| *row.log.node() == self.me)
    }

    /// All logs, by id.
    pub fn logs(&self) -> impl Iterator<Item = &LogRow> {
        self.logs.values().map(|row| &**row)
    }

    /// The size up to which a log counts at most, where its author was revoked.
    pub fn valid_size(&self, log: &LogId) -> Option<u64> {
        self.directory.node(log.node())?.valid_size(log)
    }

    /// How many entries of a log are here and count.
    pub fn counted(&self, log: &LogId) -> u64 {
        let size = self.log(log).map_or(0, |row| row.head.size());
        size.min(self.valid_size(log).unwrap_or(u64::MAX))
    }

    /// Checks a receipt that a peer handed on: a note about one of our logs, signed by the log's author and cosigned by the giver, both nodes
    /// of the directory. The root in it is the author's word; that it is the root of what is here was checked where the log was taken in.
    ///
    /// # Errors
    /// `receipt_invalid`.
    pub fn check_receipt(&self, log: &LogId, giver: &NodeId, note: &str) -> Result<ReceiptRow, Refusal> {
        let invalid = |why: &str| Refusal::new(Reason::ReceiptInvalid, format!("receipt of {giver} for {log}: {why}"));
        let author = self.directory.node(log.node()).ok_or_else(|| invalid("the author is not enrolled"))?;
        let witness = self.directory.node(giver).ok_or_else(|| invalid("the giver is not enrolled"))?;
        let signed = checkpoint::parse(note)?;
        let checkpoint = author.keys().verify_checkpoint(author.id(), &signed)?;
        if checkpoint.log != *log {
            return Err(invalid("it is about another log"));
        }
        let time_s = witness.keys().verify_cosignature(giver, &signed)?;
        Ok(ReceiptRow { log: log.clone(), giver: giver.clone(), size: checkpoint.size, time_s, note: note.to_owned() })
    }
}

/// The committed state, shared by the pipeline (which changes it after each commit) and its readers.
#[derive(Debug)]
pub(super) struct Shared {
    me: NodeId,
    rules: Rules,
    current: RwLock<Snapshot>,
    telling: Mutex<Telling>,
    compared: Compared,
}

impl Shared {
    /// Reads the logs and replays the directory logs from the anchor down.
    pub(super) async fn load(outfit: &Outfit, rules: Rules) -> Result<Self, Error> {
        bring_up_to_date(outfit, rules).await?;
        Self::read(outfit, rules).await
    }

    /// As [`Self::load`], for those who only look: what older rules made stays.
    pub(super) async fn read(outfit: &Outfit, rules: Rules) -> Result<Self, Error> {
        let mut tx = outfit.store.read("load").await?;
        let me =
            tx.meta_get(META_NODE).await?.ok_or_else(|| Refusal::new(Reason::NotFound, "no node was set up here"))?;
        let me: NodeId = String::from_utf8_lossy(&me).parse().map_err(Refusal::from)?;
        let restored = restored(&mut tx).await?;
        let rows = tx.log_list().await?;
        heads::check_leaves(&mut tx, &rows).await?;
        let directory = replay(&mut tx, &rows, outfit.anchor).await?;
        let logs = rows.into_iter().map(|row| (row.log.clone(), Arc::new(row))).collect();
        let books = Arc::new(Rulebooks::by(&directory));
        let (directory, logs) = (Arc::new(directory), Arc::new(logs));
        let current = Snapshot { me: me.clone(), restored, directory, books, logs };
        Ok(Self {
            me,
            rules,
            current: RwLock::new(current),
            telling: Mutex::new(Telling::Fresh),
            compared: Compared::default(),
        })
    }

    pub(super) fn me(&self) -> &NodeId {
        &self.me
    }

    pub(super) fn compared(&self) -> &Compared {
        &self.compared
    }

    pub(super) fn rules(&self) -> Rules {
        self.rules
    }

    /// Takes over logs that were stopped, which is no news for anybody.
    pub(super) fn stopped(&self, rows: Vec<LogRow>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let logs = Arc::make_mut(&mut current.logs);
        logs.extend(rows.into_iter().map(|row| (row.log.clone(), Arc::new(row))));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is left to tell authors about their records.
    pub(super) fn telling(&self) -> Telling {
        *self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what was committed, and says what is new.
    pub(super) fn commit(&self, done: Done) -> Vec<Committed> {
        let mut news = Vec::new();
        *self.telling.lock().unwrap_or_else(PoisonError::into_inner) = done.telling;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if done.confirmed {
            current.restored = None;
        }
        if let Some(directory) = done.directory {
            current.books = Arc::new(Rulebooks::by(&directory));
            current.directory = directory;
        }
        if !done.logs.is_empty() {
            let grown = done.logs.iter().map(|row| Grown {
                log: row.log.clone(),
                size: row.head.size(),
                root: row.head.root(),
            });
            news.push(Committed::Grown(grown.collect()));
            // Readers hold the old map only for moments, so that this seldom copies, and then only pointers.
            let logs = Arc::make_mut(&mut current.logs);
            logs.extend(done.logs.into_iter().map(|row| (row.log.clone(), Arc::new(row))));
        }
        if !done.receipts.is_empty() {
            news.push(Committed::Receipts(done.receipts.into()));
        }
        news
    }
}

/// When the backup was taken that a store was restored from, Unix milliseconds, while nobody has said that it is not behind.
///
/// # Errors
/// When the store fails.
pub async fn restored(tx: &mut Tx) -> Result<Option<i64>, Error> {
    let Some(text) = tx.meta_get(META_RESTORED).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let why = format!("{text:?} is no time");
    let inconsistent = |_| store::Error::Inconsistent { table: "meta", column: META_RESTORED, why };
    Ok(Some(text.parse().map_err(inconsistent)?))
}

/// Marks a store as restored from a backup of that time: nothing is written to own logs until it is known that they are not behind.
///
/// # Errors
/// When the store fails.
pub async fn mark_restored(store: &Store, taken_at_ms: i64) -> Result<(), Error> {
    store.run_tx("restored", async |tx| Ok(tx.meta_put(META_RESTORED, taken_at_ms.to_string().as_bytes()).await?)).await
}

/// Takes the mark away; `None` when there was none, else the time of the backup.
///
/// # Errors
/// When the store fails.
pub async fn confirm_restored(store: &Store) -> Result<Option<i64>, Error> {
    store
        .run_tx("confirmed", async |tx| {
            let was = restored(tx).await?;
            tx.meta_remove(META_RESTORED).await?;
            Ok(was)
        })
        .await
}

/// Verifies every directory log again, parents before children.
pub(super) async fn replay(tx: &mut Tx, rows: &[LogRow], anchor: Fingerprint) -> Result<Directory, Error> {
    replay_into(tx, rows, anchor, None).await
}

/// As [`replay`], and counts the entries again. What may be written by whom changes with the directory, so that its logs can be verified in
/// this order only.
pub(super) async fn replay_into(
    tx: &mut Tx,
    rows: &[LogRow],
    anchor: Fingerprint,
    mut count: Option<&mut Recount<'_>>,
) -> Result<Directory, Error> {
    let (mut directory, mut left) = founded(tx, rows, anchor).await?;
    while let Some(next) = next_log(&directory, &mut left) {
        replay_log(tx, next, &mut directory, count.as_deref_mut()).await?;
    }
    if let Some(row) = left.first() {
        let why = format!("{} is in the database, but nobody enrols its author", row.log);
        return Err(store::Error::Inconsistent { table: "log", column: "name", why }.into());
    }
    Ok(directory)
}

/// The directory of a database that may be damaged, as far as it can be read, and what could not.
///
/// # Errors
/// When the list of logs cannot be read, or the anchor's genesis.
pub async fn directory_to_look(store: &Store, anchor: Fingerprint) -> Result<(Directory, Vec<String>), Error> {
    let mut tx = store.read("directory").await?;
    let rows = tx.log_list().await?;
    let (mut directory, mut left) = founded(&mut tx, &rows, anchor).await?;
    let mut unread = Vec::new();
    while let Some(next) = next_log(&directory, &mut left) {
        if let Err(error) = replay_log(&mut tx, next, &mut directory, None).await {
            unread.push(format!("{}: {error}", next.log));
        }
    }
    unread.extend(left.iter().map(|row| format!("{}: nobody enrols its author", row.log)));
    Ok((directory, unread))
}

/// What the anchor's genesis makes, and the directory logs that are to be read.
async fn founded<'a>(
    tx: &mut Tx,
    rows: &'a [LogRow],
    anchor: Fingerprint,
) -> Result<(Directory, Vec<&'a LogRow>), Error> {
    let directory_logs = rows.iter().filter(|row| *row.log.stream() == Stream::Directory && row.head.size() > 0);
    let left: Vec<&LogRow> = directory_logs.collect();
    for row in &left {
        let Some(first) = tx.entry_read(row.pk, 0, 1, usize::MAX).await?.pop() else { continue };
        // Only the anchor's own log begins with an entry that opens as its genesis.
        if let Ok(directory) = Directory::found(Envelope::decode(first.envelope)?, anchor) {
            return Ok((directory, left));
        }
    }
    Err(Refusal::new(Reason::AnchorMismatch, "the anchor's log is not in the database").into())
}

/// Takes out the log that is read next; `None` where nobody enrols the authors of those that are left.
fn next_log<'a>(directory: &Directory, left: &mut Vec<&'a LogRow>) -> Option<&'a LogRow> {
    let known = left.iter().enumerate().filter(|(_, row)| directory.node(row.log.node()).is_some());
    let (next, _) = known.min_by_key(|(_, row)| depth(directory, row.log.node()))?;
    Some(left.swap_remove(next))
}

/// How deep the unit of a node lies. Who enrols a node, or vouches for its key, is above it in some unit list, whoever is its parent now: read
/// from the top down, a log comes after everything that says who may have signed it.
fn depth(directory: &Directory, node: &NodeId) -> usize {
    let Some(unit) = directory.node(node).map(danso_core::verify::Node::unit) else { return usize::MAX };
    directory.units().iter().map(|list| list.ancestors(unit).count()).max().unwrap_or(0)
}

async fn replay_log(
    tx: &mut Tx,
    row: &LogRow,
    directory: &mut Directory,
    mut count: Option<&mut Recount<'_>>,
) -> Result<(), Error> {
    let mut reader = LogReader::new(row);
    loop {
        let entries = reader.next_of_directory(tx, directory).await?;
        if entries.is_empty() {
            return Ok(());
        }
        if let Some(count) = count.as_deref_mut() {
            count.take(tx, entries).await?;
        }
    }
}

/// Begins a new store: the node's id, and the genesis entry that makes the directory. Doing it twice changes nothing.
///
/// # Errors
/// `anchor_mismatch` when the genesis is not the anchor's; store faults.
pub async fn found(
    store: &Store,
    me: &NodeId,
    genesis: Envelope,
    anchor: Fingerprint,
    now_ms: i64,
) -> Result<(), Error> {
    let directory = Directory::found(genesis.clone(), anchor)?;
    store
        .run_tx("found", async |tx| {
            if let Some(kept) = tx.meta_get(META_NODE).await? {
                if kept != me.as_str().as_bytes() {
                    return Err(Refusal::new(Reason::AlreadyJoined, "another node was set up here").into());
                }
                if !tx.log_list().await?.is_empty() {
                    return Ok(());
                }
            }
            tx.meta_put(META_NODE, me.as_str().as_bytes()).await?;
            let opened = directory.open(genesis.bytes().clone(), None)?;
            let mut head = danso_core::ledger::LogHead::default();
            let verified = verify(opened, &directory, &head.position())?;
            let entry = danso_core::ledger::append(&mut head, verified);
            let row = LogRow {
                pk: 0,
                log: entry.log().clone(),
                recorded_at_ms: entry.change_set().recorded_at_ms,
                head,
                checkpoint: None,
                committed_at_ms: now_ms,
                trouble: None,
            };
            let pks = tx.log_put(&[&row]).await?;
            tx.entry_append(&[(pks[0], entry)]).await?;
            rebuild::mark(tx, Rules::CURRENT).await
        })
        .await
}
