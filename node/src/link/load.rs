//! What a session reads from the store: packages, and roots of logs as they were. Knows nothing of the session.

use danso_core::sync::Package;
use danso_proto::ids::LogId;
use danso_proto::limits;
use danso_proto::merkle;
use danso_proto::package::SealedEntry;

use super::Context;
use crate::store;

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
    let end = from + entries.len() as u64;
    if entries.is_empty() {
        return Ok(None);
    }
    let entries =
        entries.into_iter().map(|entry| SealedEntry { envelope: entry.envelope, parts: entry.parts }).collect();
    let checkpoint = row.checkpoint.clone().filter(|_| end == row.head.size());
    Ok(Some(Package { log: log.clone(), first: from, entries, checkpoint }))
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
