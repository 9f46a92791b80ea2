//! The way of the receipts for this node's own logs: which receipt was the first to cover an entry.

use danso_proto::ids::{LogId, NodeId};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{ROWS, ReceiptRow, Result, Tx, unsigned};

impl Tx {
    /// Keeps the receipts that cover more entries of their log than all earlier ones of their giver; of others nothing is kept. Only for
    /// this node's own logs: who asks when another's entries arrived asks that author.
    pub async fn receipt_step_add(&mut self, receipts: &[&ReceiptRow]) -> Result<()> {
        for chunk in receipts.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO receipt_step (log, giver, size, time_s, note) SELECT column1, column2, column3, column4, column5 FROM (",
            );
            sql.push_values(chunk, |mut row, receipt| {
                row.push_bind(receipt.log.to_string())
                    .push_bind(receipt.giver.to_string())
                    .push_bind(receipt.size as i64)
                    .push_bind(receipt.time_s as i64)
                    .push_bind(receipt.note.clone());
            });
            sql.push(
                ") WHERE NOT EXISTS (SELECT 1 FROM receipt_step AS held
                  WHERE held.log = column1 AND held.giver = column2 AND held.size >= column3)
                  ON CONFLICT DO NOTHING",
            );
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
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
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT size, time_s, note FROM receipt_step WHERE log = $1 AND giver = $2 AND size > $3 ORDER BY size LIMIT $4",
        )
        .bind(log.to_string())
        .bind(giver.to_string())
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(ReceiptRow {
                    log: log.clone(),
                    giver: giver.clone(),
                    size: unsigned(row.get("size"), "receipt_step", "size")?,
                    time_s: unsigned(row.get("time_s"), "receipt_step", "time_s")?,
                    note: row.get("note"),
                })
            })
            .collect()
    }
}
