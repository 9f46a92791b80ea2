//! Further checkpoints that cover a proven entry, each with the receipts that were given on it. Strict: nothing may stand in one that
//! is not checked, so that a changed byte is a refusal and not a receipt less.

use super::{Known, covers, hashes_from_pb, hashes_to_pb, malformed, receipts};
use crate::envelope::Opened;
use crate::ids::NodeId;
use crate::merkle::Hash;
use crate::pb::exchange::v1 as pb;
use crate::refusal::{Reason, Refusal};

/// A checkpoint that covers the proven entry, with receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenHead {
    /// A signed note: the author's signature, and receipts of nodes above it.
    pub checkpoint: String,
    /// Inclusion proof of the proven entry in the checkpoint's tree.
    pub inclusion: Vec<Hash>,
}

impl ProvenHead {
    pub(super) fn to_pb(&self) -> pb::ProvenHead {
        pb::ProvenHead { checkpoint: self.checkpoint.clone(), inclusion: hashes_to_pb(&self.inclusion) }
    }

    pub(super) fn from_pb(head: pb::ProvenHead) -> Result<Self, Refusal> {
        Ok(Self { inclusion: hashes_from_pb(&head.inclusion)?, checkpoint: head.checkpoint })
    }

    /// Its receipts, all of which hold.
    pub(super) fn check(
        &self,
        known: &Known,
        opened: &Opened,
        chain: &[NodeId],
    ) -> Result<Vec<(NodeId, u64)>, Refusal> {
        let note = covers(known, &self.checkpoint, &self.inclusion, opened)?;
        let author = opened.change_set().log.node();
        let (checked, unchecked) = receipts(known, &note, chain, author)?;
        if let Some(giver) = unchecked.first() {
            return Err(Refusal::new(Reason::ReceiptInvalid, format!("the file has no key for a receipt of {giver}")));
        }
        if checked.is_empty() {
            return Err(malformed("a further checkpoint without a receipt"));
        }
        // The author's line, and one for each receipt.
        if note.line_count() != 1 + checked.len() {
            return Err(Refusal::new(Reason::ReceiptInvalid, "a signature line that nobody can check"));
        }
        Ok(checked)
    }
}
