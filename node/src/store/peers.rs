//! Receipts and invites.

use danso_proto::ids::{LogId, NodeId, UnitCode};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{ROWS, Result, Tx, hash, parsed, unsigned};

/// The latest receipt of a giver for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRow {
    /// The log.
    pub log: LogId,
    /// Who has the entries durable.
    pub giver: NodeId,
    /// How many.
    pub size: u64,
    /// Giver's clock, Unix seconds.
    pub time_s: u64,
    /// The signed note.
    pub note: String,
}

/// An invite that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRow {
    /// Hash of the secret: the secret itself is kept nowhere.
    pub secret_hash: [u8; 32],
    /// The unit that it is for.
    pub unit: UnitCode,
    /// When it ends, Unix milliseconds.
    pub expires_at_ms: i64,
    /// Who used it, and with which log key.
    pub used_by: Option<(NodeId, [u8; 32])>,
    /// The unit has a node or records already, and that is meant.
    pub again: bool,
    /// The node that gets its place back with it; `None`: it is for a new node.
    pub node: Option<NodeId>,
}

impl Tx {
    /// All receipts, or those for one log.
    pub async fn receipt_list(&mut self, log: Option<&LogId>) -> Result<Vec<ReceiptRow>> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT log, giver, size, time_s, note FROM receipt WHERE $1 IS NULL OR log = $1 ORDER BY log, giver",
        )
        .bind(log.map(LogId::to_string))
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(ReceiptRow {
                    log: parsed(row.get("log"), "receipt", "log")?,
                    giver: parsed(row.get("giver"), "receipt", "giver")?,
                    size: unsigned(row.get("size"), "receipt", "size")?,
                    time_s: unsigned(row.get("time_s"), "receipt", "time_s")?,
                    note: row.get("note"),
                })
            })
            .collect()
    }

    /// Keeps receipts; one for a smaller size than is kept changes nothing.
    pub async fn receipt_put(&mut self, receipts: &[ReceiptRow]) -> Result<()> {
        for chunk in receipts.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO receipt (log, giver, size, time_s, note) ");
            sql.push_values(chunk, |mut row, receipt| {
                row.push_bind(receipt.log.to_string())
                    .push_bind(receipt.giver.to_string())
                    .push_bind(receipt.size as i64)
                    .push_bind(receipt.time_s as i64)
                    .push_bind(receipt.note.clone());
            });
            sql.push(
                " ON CONFLICT (log, giver) DO UPDATE SET size = excluded.size, time_s = excluded.time_s, note = excluded.note
                  WHERE excluded.size > receipt.size",
            );
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Keeps a new invite.
    pub async fn invite_add(&mut self, invite: &InviteRow) -> Result<()> {
        let failed = self.failed();
        sqlx::query("INSERT INTO invite (secret_hash, unit, expires_at_ms, again, node) VALUES ($1, $2, $3, $4, $5)")
            .bind(invite.secret_hash.to_vec())
            .bind(invite.unit.to_string())
            .bind(invite.expires_at_ms)
            .bind(invite.again)
            .bind(invite.node.as_ref().map(NodeId::to_string))
            .execute(self.write()?)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// The invite with this secret.
    pub async fn invite_get(&mut self, secret_hash: &[u8; 32]) -> Result<Option<InviteRow>> {
        let failed = self.failed();
        let row = sqlx::query(
            "SELECT unit, expires_at_ms, used_by, log_public_key, again, node FROM invite WHERE secret_hash = $1",
        )
        .bind(secret_hash.to_vec())
        .fetch_optional(self.conn())
        .await
        .map_err(failed)?;
        row.map(|row| {
            let used_by: Option<String> = row.get("used_by");
            let key: Option<Vec<u8>> = row.get("log_public_key");
            let used_by = match (used_by, key) {
                (Some(node), Some(key)) => {
                    Some((parsed(&node, "invite", "used_by")?, hash(&key, "invite", "log_public_key")?))
                }
                _ => None,
            };
            let node: Option<String> = row.get("node");
            Ok(InviteRow {
                node: node.map(|node| parsed(&node, "invite", "node")).transpose()?,
                secret_hash: *secret_hash,
                unit: parsed(row.get("unit"), "invite", "unit")?,
                expires_at_ms: row.get("expires_at_ms"),
                used_by,
                again: row.get("again"),
            })
        })
        .transpose()
    }

    /// Marks an invite as used.
    pub async fn invite_use(&mut self, secret_hash: &[u8; 32], node: &NodeId, log_public_key: &[u8; 32]) -> Result<()> {
        let failed = self.failed();
        sqlx::query("UPDATE invite SET used_by = $2, log_public_key = $3 WHERE secret_hash = $1")
            .bind(secret_hash.to_vec())
            .bind(node.to_string())
            .bind(log_public_key.to_vec())
            .execute(self.write()?)
            .await
            .map_err(failed)?;
        Ok(())
    }
}
