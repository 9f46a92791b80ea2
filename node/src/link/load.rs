//! What a session reads of a log: packages and roots. What is damaged does not get out of here. Knows nothing of sessions.

use danso_core::sync::Package;
use danso_core::verify::Directory;
use danso_proto::ids::LogId;
use danso_proto::package::SealedEntry;
use danso_proto::refusal::Reason;
use danso_proto::{limits, merkle};

use super::Context;
use crate::store::{self, StoredEntry};

/// Reads a package of a log from `from` on; `None` when there is nothing.
///
/// # Errors
/// When the store fails.
pub async fn load(
    context: &Context,
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
    let checkpoint = row.checkpoint.clone().filter(|_| end == row.head.size());
    Ok(Some(Package { log: log.clone(), first: from, entries, checkpoint }))
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
pub(super) async fn root_at(context: &Context, log: &LogId, size: u64) -> Result<Option<merkle::Hash>, store::Error> {
    let snapshot = context.pipeline.snapshot();
    let Some(row) = snapshot.log(log) else { return Ok(None) };
    if row.head.size() == size {
        return Ok(Some(row.head.root()));
    }
    if row.head.size() < size {
        return Ok(None);
    }
    let mut tree = merkle::CompactTree::default();
    let mut tx = context.store.read("root").await?;
    while tree.size() < size {
        let to = size.min(tree.size() + limits::HEADS_MAX as u64);
        let leaves = tx.leaf_read(row.pk, tree.size()..to).await?;
        if leaves.is_empty() {
            return Ok(None);
        }
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
    }
    Ok(Some(tree.root()))
}
