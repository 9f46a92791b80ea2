//! What a session reads of a log: packages and roots. What is damaged does not get out of here. Knows nothing of sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use danso_core::sync::{Package, telling};
use danso_core::verify::Directory;
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::merkle::{self, CompactTree};
use danso_proto::package::SealedEntry;
use danso_proto::refusal::Reason;

use super::Context;
use crate::pipeline::Snapshot;
use crate::store::{self, LogRow, StoredEntry};

/// This node's own logs as far as they were hashed for a session, so that a backlog is hashed once and not anew for each of its packages.
/// Nothing is ever taken from an own log while a node runs: what was hashed stays true as long as the session.
#[derive(Debug, Clone, Default)]
pub struct OwnTrees(Arc<Mutex<BTreeMap<LogId, CompactTree>>>);

impl OwnTrees {
    /// What is hashed of the log, if no more than `size` entries: a tree does not shrink.
    fn take(&self, log: &LogId, size: u64) -> CompactTree {
        let trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trees.get(log).filter(|tree| tree.size() <= size).cloned().unwrap_or_default()
    }

    fn put(&self, log: &LogId, tree: CompactTree) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(log.clone(), tree);
    }
}

/// Reads a package of a log from `from` on; `None` when there is nothing.
///
/// # Errors
/// When the store fails.
pub async fn load(
    context: &Context,
    trees: &OwnTrees,
    log: &LogId,
    from: u64,
    max_bytes: usize,
    max_entries: usize,
) -> Result<Option<Package>, store::Error> {
    let snapshot = context.pipeline.snapshot();
    let Some(row) = snapshot.log(log) else { return Ok(None) };
    let max = usize::try_from(row.head.size().saturating_sub(from)).unwrap_or(usize::MAX).min(max_entries);
    if max == 0 {
        return Ok(None);
    }
    let entries = context.store.read("load").await?.entry_read(row.pk, from, max, max_bytes).await?;
    for entry in &entries {
        whole(context, snapshot.directory(), entry)?;
    }
    let end = from + entries.len() as u64;
    if entries.is_empty() {
        return Ok(None);
    }
    let entries =
        entries.into_iter().map(|entry| SealedEntry { envelope: entry.envelope, parts: entry.parts }).collect();
    let checkpoint = match end == row.head.size() {
        true => row.checkpoint.clone(),
        false => sign_prefix(context, trees, &snapshot, row, end).await?,
    };
    Ok(Some(Package { log: log.clone(), first: from, entries, checkpoint }))
}

/// Reads the entry of an own log that is laid beside another history of its first `size` entries at `peer`, whose receipts say what both have.
/// `None` also where that is not needed: `unless_known`, and the peer knows the key that signs the heads.
///
/// # Errors
/// When the store fails.
pub async fn load_proof(
    context: &Context,
    trees: &OwnTrees,
    log: &LogId,
    size: u64,
    unless_known: bool,
    peer: &NodeId,
) -> Result<Option<Package>, store::Error> {
    let snapshot = context.pipeline.snapshot();
    let me = context.pipeline.me();
    let Some(known) = snapshot.directory().node(me) else { return Ok(None) };
    let mut tx = context.store.read("proof").await?;
    let mut receipted = async |log: &LogId| {
        let receipts = tx.receipt_list(Some(log)).await?;
        let given = receipts.into_iter().filter(|receipt| receipt.giver == *peer);
        Ok::<u64, store::Error>(given.map(|receipt| receipt.size).max().unwrap_or(0))
    };
    let directory = LogId::new(me.clone(), Stream::Directory);
    let signer = context.pipeline.signing().current();
    if unless_known && known.keys().at(&directory, receipted(&directory).await?) == signer.public_key() {
        return Ok(None);
    }
    let at = telling(|at| known.keys().at(log, at), receipted(log).await?, size);
    drop(tx);
    load(context, trees, log, at, limits::PACKAGE_BYTES_MAX, 1).await
}

/// As the author: its word for the first `size` entries of its log. Who holds no more than those, because the link was cut there or the
/// author never came back, can then prove what it holds, and give a receipt for it. `None` for the log of another node, and where this
/// node may not or cannot speak for itself.
async fn sign_prefix(
    context: &Context,
    trees: &OwnTrees,
    snapshot: &Snapshot,
    row: &LogRow,
    size: u64,
) -> Result<Option<String>, store::Error> {
    let me = context.pipeline.me();
    let may_sign = row.log.node() == me && row.trouble.is_none() && snapshot.read_only().is_none();
    let Some(known) = snapshot.directory().node(me).filter(|_| may_sign) else { return Ok(None) };
    let Some(root) = root_at(context, trees, &row.log, size).await? else { return Ok(None) };
    let head = Checkpoint { log: row.log.clone(), size, root };
    let note = match checkpoint::sign(&head, &*context.pipeline.signing().current()) {
        Ok(note) => note,
        Err(error) => {
            tracing::error!(log = %row.log, size, %error, "link: a package goes without its checkpoint");
            return Ok(None);
        }
    };
    // Entries from before a change of keys are vouched for by the key before: a note by today's would be refused, and the package with it.
    let counts = checkpoint::parse(&note).is_ok_and(|signed| known.keys().verify_checkpoint(me, &signed).is_ok());
    Ok(counts.then_some(note))
}

/// Whether an entry's identity parts are those that were signed. Its envelope was looked at when it was read.
///
/// # Errors
/// `Damaged`.
fn whole(context: &Context, directory: &Directory, entry: &StoredEntry) -> Result<(), store::Error> {
    let Some(parts) = entry.parts.clone() else { return Ok(()) };
    match directory.open(entry.envelope.clone(), Some(parts)) {
        Err(refusal) if refusal.reason == Reason::CommitmentMismatch => {
            let what = format!("entry {}: {}", entry.sequence, refusal.detail);
            Err(context.store.condition().noted(store::Error::Damaged { what }))
        }
        // Whether its author may still write it is not asked here: what was taken in is handed on.
        _ => Ok(()),
    }
}

/// Our root of the first `size` entries.
pub(super) async fn root_at(
    context: &Context,
    trees: &OwnTrees,
    log: &LogId,
    size: u64,
) -> Result<Option<merkle::Hash>, store::Error> {
    let snapshot = context.pipeline.snapshot();
    let Some(row) = snapshot.log(log) else { return Ok(None) };
    if row.head.size() == size {
        return Ok(Some(row.head.root()));
    }
    if row.head.size() < size {
        return Ok(None);
    }
    let is_own = log.node() == context.pipeline.me();
    // The log of another node may be cut here by a decision, and go on otherwise: its tree is made anew.
    let mut tree = if is_own { trees.take(log, size) } else { CompactTree::default() };
    let mut tx = context.store.read("root").await?;
    while tree.size() < size {
        let to = size.min(tree.size() + limits::HEADS_MAX as u64);
        let leaves = tx.leaf_read(row.pk, tree.size()..to).await?;
        if leaves.is_empty() {
            return Ok(None);
        }
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
    }
    let root = tree.root();
    if is_own {
        trees.put(log, tree);
    }
    Ok(Some(root))
}
