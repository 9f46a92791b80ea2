//! What is committed, in memory: the directory and where each log stands.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use danso_core::verify::{Directory, verify, verify_again};
use danso_proto::checkpoint;
use danso_proto::envelope::Envelope;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::refusal::{Reason, Refusal};

use super::batch::Done;
use super::{Committed, Error, Grown, Outfit, heads};
use crate::store::{self, LogRow, ReceiptRow, Store, Tx};

/// Where the store keeps the node's id.
pub const META_NODE: &str = "node";

/// The directory and the logs as they are after some commit.
#[derive(Debug, Clone)]
pub struct Snapshot {
    me: NodeId,
    directory: Arc<Directory>,
    logs: Arc<BTreeMap<LogId, Arc<LogRow>>>,
}

impl Snapshot {
    /// The node's id.
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory, to keep.
    pub fn directory_arc(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// A log.
    pub fn log(&self, log: &LogId) -> Option<&LogRow> {
        self.logs.get(log).map(|row| &**row)
    }

    /// Why this node writes nothing more: its database is an old copy.
    pub fn read_only(&self) -> Option<Refusal> {
        heads::old_copy(self)
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
    current: RwLock<Snapshot>,
}

impl Shared {
    /// Reads the logs and replays the directory logs from the anchor down.
    pub(super) async fn load(outfit: &Outfit) -> Result<Self, Error> {
        let mut tx = outfit.store.read("load").await?;
        let me =
            tx.meta_get(META_NODE).await?.ok_or_else(|| Refusal::new(Reason::NotFound, "no node was set up here"))?;
        let me: NodeId = String::from_utf8_lossy(&me).parse().map_err(Refusal::from)?;
        let rows = tx.log_list().await?;
        heads::check_leaves(&mut tx, &rows).await?;
        let directory = replay(&mut tx, &rows, outfit.anchor).await?;
        let logs = rows.into_iter().map(|row| (row.log.clone(), Arc::new(row))).collect();
        let current = Snapshot { me: me.clone(), directory: Arc::new(directory), logs: Arc::new(logs) };
        Ok(Self { me, current: RwLock::new(current) })
    }

    pub(super) fn me(&self) -> &NodeId {
        &self.me
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

    /// Takes over what was committed, and says what is new.
    pub(super) fn commit(&self, done: Done) -> Vec<Committed> {
        let mut news = Vec::new();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = done.directory {
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

/// Entries read at a time while the directory is replayed.
const REPLAY_ENTRIES: usize = 256;

/// Verifies every directory log again, parents before children.
async fn replay(tx: &mut Tx, rows: &[LogRow], anchor: Fingerprint) -> Result<Directory, Error> {
    let directory_logs = || rows.iter().filter(|row| *row.log.stream() == Stream::Directory && row.head.size() > 0);
    let mut root = None;
    for row in directory_logs() {
        let Some(first) = tx.entry_read(row.pk, 0, 1, usize::MAX).await?.pop() else { continue };
        // Only the anchor's own log begins with an entry that opens as its genesis.
        if let Ok(directory) = Directory::found(Envelope::decode(first.envelope)?, anchor) {
            root = Some(directory);
            break;
        }
    }
    let mut directory =
        root.ok_or_else(|| Refusal::new(Reason::AnchorMismatch, "the anchor's log is not in the database"))?;
    let mut left: Vec<&LogRow> = directory_logs().collect();
    while !left.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|row| directory.node(row.log.node()).is_some());
        if ready.is_empty() {
            let why = format!("{} is in the database, but nobody enrols its author", later[0].log);
            return Err(store::Error::Inconsistent { table: "log", column: "name", why }.into());
        }
        for row in ready {
            replay_log(tx, row, &mut directory).await?;
        }
        left = later;
    }
    Ok(directory)
}

async fn replay_log(tx: &mut Tx, row: &LogRow, directory: &mut Directory) -> Result<(), Error> {
    let mut head = danso_core::ledger::LogHead::default();
    while head.size() < row.head.size() {
        let entries = tx.entry_read(row.pk, head.size(), REPLAY_ENTRIES, usize::MAX).await?;
        if entries.is_empty() {
            let why = format!("{} ends at {}, not at {}", row.log, head.size(), row.head.size());
            return Err(store::Error::Inconsistent { table: "entry", column: "sequence", why }.into());
        }
        for entry in entries {
            let opened = directory.open(entry.envelope, None)?;
            let verified = verify_again(opened, directory, &head.position())?;
            directory.apply(&verified)?;
            danso_core::ledger::append(&mut head, verified);
        }
    }
    if head.root() != row.head.root() {
        let why = format!("{}: the entries do not make the kept root", row.log);
        return Err(store::Error::Inconsistent { table: "log", column: "root", why }.into());
    }
    Ok(())
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
            Ok(())
        })
        .await
}
