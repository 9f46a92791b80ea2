//! Receipts and invites.

use super::sql::Value;
use super::{Result, Tx, hash, parsed, unsigned};
use std::collections::BTreeMap;

use danso_proto::ids::{LogId, NodeId, UnitCode};

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

impl ReceiptRow {
    pub(super) fn values(&self) -> [Value; 5] {
        let (log, giver) = (self.log.to_string(), self.giver.to_string());
        [log.into(), giver.into(), self.size.into(), self.time_s.into(), self.note.as_str().into()]
    }
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
        let sql = "SELECT log, giver, size, time_s, note FROM receipt WHERE $1 IS NULL OR log = $1 ORDER BY log, giver";
        let rows = self.rows(sql, [log.map(LogId::to_string).into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(ReceiptRow {
                    log: parsed(row.get("log")?, "receipt", "log")?,
                    giver: parsed(row.get("giver")?, "receipt", "giver")?,
                    size: unsigned(row.get("size")?, "receipt", "size")?,
                    time_s: unsigned(row.get("time_s")?, "receipt", "time_s")?,
                    note: row.get("note")?,
                })
            })
            .collect()
    }

    /// Keeps receipts; one for a smaller size than is kept changes nothing.
    pub async fn receipt_put(&mut self, receipts: &[ReceiptRow]) -> Result<()> {
        let sql = "INSERT INTO receipt (log, giver, size, time_s, note) {rows}
                   ON CONFLICT (log, giver) DO UPDATE SET size = excluded.size, time_s = excluded.time_s, note = excluded.note
                   WHERE excluded.size > receipt.size";
        // One row a statement for each key: PostgreSQL refuses to change a row twice in one.
        let mut largest: BTreeMap<_, &ReceiptRow> = BTreeMap::new();
        for receipt in receipts {
            let kept = largest.entry((&receipt.log, &receipt.giver)).or_insert(receipt);
            if receipt.size > kept.size {
                *kept = receipt;
            }
        }
        self.write_many(sql, [], largest.into_values().map(ReceiptRow::values)).await.map(drop)
    }

    /// Keeps a new invite.
    pub async fn invite_add(&mut self, invite: &InviteRow) -> Result<()> {
        let sql = "INSERT INTO invite (secret_hash, unit, expires_at_ms, again, node) VALUES ($1, $2, $3, $4, $5)";
        let values = [
            (&invite.secret_hash).into(),
            invite.unit.as_str().into(),
            invite.expires_at_ms.into(),
            invite.again.into(),
            invite.node.as_ref().map(NodeId::to_string).into(),
        ];
        self.write(sql, values).await.map(drop)
    }

    /// The invite with this secret.
    pub async fn invite_get(&mut self, secret_hash: &[u8; 32]) -> Result<Option<InviteRow>> {
        let sql = "SELECT unit, expires_at_ms, used_by, log_public_key, again, node FROM invite WHERE secret_hash = $1";
        let row = self.row(sql, [secret_hash.into()]).await?;
        row.map(|row| {
            let used_by: Option<String> = row.get("used_by")?;
            let key: Option<Vec<u8>> = row.get("log_public_key")?;
            let used_by = match (used_by, key) {
                (Some(node), Some(key)) => {
                    Some((parsed(&node, "invite", "used_by")?, hash(&key, "invite", "log_public_key")?))
                }
                _ => None,
            };
            let node: Option<String> = row.get("node")?;
            Ok(InviteRow {
                node: node.map(|node| parsed(&node, "invite", "node")).transpose()?,
                secret_hash: *secret_hash,
                unit: parsed(row.get("unit")?, "invite", "unit")?,
                expires_at_ms: row.get("expires_at_ms")?,
                used_by,
                again: row.flag("again")?,
            })
        })
        .transpose()
    }

    /// Marks an invite as used.
    pub async fn invite_use(&mut self, secret_hash: &[u8; 32], node: &NodeId, log_public_key: &[u8; 32]) -> Result<()> {
        let sql = "UPDATE invite SET used_by = $2, log_public_key = $3 WHERE secret_hash = $1";
        self.write(sql, [secret_hash.into(), node.to_string().into(), log_public_key.into()]).await.map(drop)
    }
}
