//! Receipts for this node's own logs count when they are about the history that is here. A copy of the node may have written, too, and what was
//! receipted of that is not here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use danso_proto::checkpoint;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::limits;
use danso_proto::merkle::{CompactTree, Hash};

use super::Error;
use super::batch::Batch;
use super::fork::Shown;
use crate::store::ReceiptRow;

/// This node's own logs as far as they were hashed to compare each giver's receipts with them, so that a log is hashed once for each tier. Of an
/// own log nothing is ever taken away while a node runs.
#[derive(Debug, Default)]
pub(super) struct Compared(Mutex<BTreeMap<(LogId, NodeId), CompactTree>>);

impl Compared {
    fn take(&self, receipt: &ReceiptRow) -> CompactTree {
        let trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = trees.get(&(receipt.log.clone(), receipt.giver.clone()));
        // A tree does not shrink.
        tree.filter(|tree| tree.size() <= receipt.size).cloned().unwrap_or_default()
    }

    /// The largest is kept: an old receipt that comes again must not cost the next one all of the log.
    fn put(&self, receipt: &ReceiptRow, tree: CompactTree) {
        let key = (receipt.log.clone(), receipt.giver.clone());
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trees.get(&key).is_none_or(|held| held.size() < tree.size()) {
            trees.insert(key, tree);
        }
    }
}

impl Batch<'_> {
    /// Keeps receipts. One for another history of an own log is evidence instead; one for more than is here, as it comes to a node that was put
    /// back, waits for the next session.
    pub(super) async fn receipts(&mut self, receipts: &[ReceiptRow]) -> Result<(), Error> {
        let mut kept = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            if !self.is_own(&receipt.log) {
                kept.push(receipt.clone());
                continue;
            }
            let root = checkpoint::parse(&receipt.note)?.unverified().root;
            match self.own_root(receipt).await? {
                Some(ours) if ours == root => kept.push(receipt.clone()),
                Some(_) => {
                    let (log, by, checkpoint) = (receipt.log.clone(), receipt.giver.clone(), receipt.note.clone());
                    self.shown_aloud(&Shown { log, by, checkpoint }, receipt.size).await?;
                }
                None => {}
            }
        }
        self.tx.receipt_put(&kept).await?;
        let own: Vec<&ReceiptRow> = kept.iter().filter(|row| row.log.node() == self.me()).collect();
        self.tx.receipt_step_add(&own).await?;
        self.received(kept);
        Ok(())
    }

    /// Our root where the receipt stands; `None` when there is less of the log here.
    async fn own_root(&mut self, receipt: &ReceiptRow) -> Result<Option<Hash>, Error> {
        let Some((pk, head)) = self.committed(&receipt.log) else { return Ok(None) };
        if head.size() <= receipt.size {
            return Ok((head.size() == receipt.size).then(|| head.root()));
        }
        let compared = self.compared;
        let mut tree = compared.take(receipt);
        while tree.size() < receipt.size {
            let to = receipt.size.min(tree.size() + limits::HEADS_MAX as u64);
            let leaves = self.tx.leaf_read(pk, tree.size()..to).await?;
            if leaves.len() as u64 != to - tree.size() {
                let what = format!("{}: entries are missing before {to}", receipt.log);
                return Err(crate::store::Error::Damaged { what }.into());
            }
            leaves.into_iter().for_each(|leaf| tree.push(leaf));
        }
        let root = tree.root();
        compared.put(receipt, tree);
        Ok(Some(root))
    }
}
