//! The way of the receipts for this node's own logs: which receipt was the first to cover an entry.

use danso_proto::ids::{LogId, NodeId};

use super::{ReceiptRow, Result, Tx, unsigned};

impl Tx {
    /// Keeps the receipts that cover more entries of their log than all earlier ones of their giver; of others nothing is kept. Only for
    /// this node's own logs: who asks when another's entries arrived asks that author.
    pub async fn receipt_step_add(&mut self, receipts: &[&ReceiptRow]) -> Result<()> {
        let sql = "INSERT INTO receipt_step (log, giver, size, time_s, note)
                   WITH shown (log, giver, size, time_s, note) AS ({rows})
                   SELECT log, giver, size, time_s, note FROM shown
                   WHERE NOT EXISTS (SELECT 1 FROM receipt_step AS held
                                     WHERE held.log = shown.log AND held.giver = shown.giver AND held.size >= shown.size)
                   ON CONFLICT DO NOTHING";
        self.write_many(sql, [], receipts.iter().map(|receipt| receipt.values())).await.map(drop)
    }

    /// The receipts of a giver that cover the entry at `sequence` of an own log, or the entries behind it: the first, and those by which it
    /// then covered more, by size and at most `max`.
    pub async fn receipt_steps(
        &mut self,
        log: &LogId,
        giver: &NodeId,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<ReceiptRow>> {
        let sql = "SELECT size, time_s, note FROM receipt_step WHERE log = $1 AND giver = $2 AND size > $3 ORDER BY size LIMIT $4";
        let values = [log.to_string().into(), giver.to_string().into(), sequence.into(), max.into()];
        let rows = self.rows(sql, values).await?;
        rows.iter()
            .map(|row| {
                Ok(ReceiptRow {
                    log: log.clone(),
                    giver: giver.clone(),
                    size: unsigned(row.get("size")?, "receipt_step", "size")?,
                    time_s: unsigned(row.get("time_s")?, "receipt_step", "time_s")?,
                    note: row.get("note")?,
                })
            })
            .collect()
    }
}
