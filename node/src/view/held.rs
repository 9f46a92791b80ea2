//! Which nodes above hold each change set of this node, and since when: from receipts alone.

use danso_proto::change::ChangeSet;
use danso_proto::envelope::Envelope;
use danso_proto::ids::{ChangeId, LogId, NodeId};

use super::{Error, View};
use crate::store::{ReceiptRow, set_id};

/// A change set of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Position in its log.
    pub sequence: u64,
    /// Changes in it.
    pub changes: u64,
    /// This node's clock when it was written, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// For each giver that was asked for, its first receipt that covers the entry.
    pub above: Vec<Option<HeldSince>>,
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldSince {
    /// Giver's clock, Unix seconds.
    pub time_s: u64,
    /// Entries that the receipt covers.
    pub size: u64,
}

/// Bytes of envelopes read at a time.
const BYTES: usize = danso_proto::limits::PACKAGE_INFLATED_MAX;

impl View {
    /// Change sets of an own log (`pk` is its row number) from `from` on, at most `max`, one at least while there is one: who of `givers`
    /// holds each.
    ///
    /// # Errors
    /// When the store fails or an entry does not read.
    pub async fn held(
        &self,
        log: &LogId,
        pk: i64,
        givers: &[NodeId],
        from: u64,
        max: usize,
    ) -> Result<Vec<Held>, Error> {
        let mut tx = self.store.read("held").await?;
        let entries = tx.entry_read(pk, from, max, BYTES).await?;
        let mut steps = Vec::with_capacity(givers.len());
        for giver in givers {
            // Each entry can have a receipt of its own, and the last may share one with entries behind it.
            steps.push(tx.receipt_steps(log, giver, from, entries.len()).await?);
        }
        let mut held = Vec::with_capacity(entries.len());
        for entry in entries {
            let set = ChangeSet::decode(Envelope::decode(entry.envelope)?.payload())?;
            held.push(Held {
                sequence: entry.sequence,
                changes: set.changes.len() as u64,
                recorded_at_ms: set.recorded_at_ms,
                above: steps.iter().map(|steps| first_over(steps, entry.sequence)).collect(),
            });
        }
        Ok(held)
    }

    /// Where the change set stands that holds a change: row number of its log, and its position there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn place_of(&self, change: ChangeId) -> Result<Option<(i64, u64)>, Error> {
        let set = set_id(change);
        Ok(self.store.read("place").await?.entry_find(&[set]).await?.remove(&set))
    }
}

/// The first of `steps`, which are sorted by size, that covers the entry.
fn first_over(steps: &[ReceiptRow], sequence: u64) -> Option<HeldSince> {
    let at = steps.partition_point(|step| step.size <= sequence);
    steps.get(at).map(|step| HeldSince { time_s: step.time_s, size: step.size })
}
