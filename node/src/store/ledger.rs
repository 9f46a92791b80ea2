//! Logs and entries.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use danso_core::ledger::{Entry, LogHead};
use danso_proto::identity::PartSet;
use danso_proto::ids::{ChangeId, LogId};
use danso_proto::merkle::{Hash, leaf_hash};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{Error, ROWS, Result, Tx, hash, parsed, unsigned};

/// A log as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Row number, for the tables that point here.
    pub pk: i64,
    /// The log.
    pub log: LogId,
    /// How far it has grown.
    pub head: LogHead,
    /// The author's checkpoint for exactly this size.
    pub checkpoint: Option<String>,
    /// Author's clock at the last entry, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// Our clock at the last commit, Unix milliseconds.
    pub committed_at_ms: i64,
    /// Reason code and detail while the log is refused or quarantined.
    pub trouble: Option<(String, String)>,
}

impl LogRow {
    /// A log that nobody wrote to yet.
    pub fn new(log: LogId) -> Self {
        let head = LogHead::default();
        Self { pk: 0, log, head, checkpoint: None, recorded_at_ms: 0, committed_at_ms: 0, trouble: None }
    }
}

/// An entry as it is kept.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    /// Position in the log.
    pub sequence: u64,
    /// RFC 6962 leaf hash.
    pub leaf: Hash,
    /// By which it is found from its changes; no hash protects it.
    pub set_id: Vec<u8>,
    /// The envelope, verbatim.
    pub envelope: Bytes,
    /// The identity parts.
    pub parts: Option<PartSet>,
}

/// What the ids of one change set share: all but the counter.
pub fn set_id(id: ChangeId) -> [u8; 12] {
    let mut set = [0; 12];
    set.copy_from_slice(&id.as_bytes()[..12]);
    set
}

/// An entry from its row. Bytes that are not those that were taken in never leave the store: the cost is one SHA-256.
fn stored(log: i64, row: &SqliteRow) -> Result<StoredEntry> {
    let failed = |error| Error::database("entry", error);
    let sequence = unsigned(row.try_get("sequence").map_err(failed)?, "entry", "sequence")?;
    let leaf = hash(row.try_get("leaf").map_err(failed)?, "entry", "leaf")?;
    let envelope = Bytes::from(row.try_get::<Vec<u8>, _>("envelope").map_err(failed)?);
    if leaf_hash(&envelope) != leaf {
        let what = format!("entry {sequence} of the log with row number {log} has other bytes than were taken in");
        return Err(Error::damaged(what));
    }
    let parts: Option<Vec<u8>> = row.try_get("parts").map_err(failed)?;
    let parts = parts.map(|parts| PartSet::decode(parts.into())).transpose();
    let set_id = row.get("set_id");
    Ok(StoredEntry {
        sequence,
        leaf,
        set_id,
        envelope,
        parts: parts.map_err(|e| Error::inconsistent("entry", "parts", e))?,
    })
}

/// A log from its row.
fn log_row(row: &SqliteRow) -> Result<LogRow> {
    let failed = |error| Error::database("log", error);
    let size = unsigned(row.try_get("size").map_err(failed)?, "log", "size")?;
    let last_leaf: Option<&[u8]> = row.try_get("last_leaf").map_err(failed)?;
    let last_leaf = last_leaf.map(|leaf| hash(leaf, "log", "last_leaf")).transpose()?;
    let head = LogHead::restore(size, row.try_get("tree").map_err(failed)?, last_leaf)
        .map_err(|e| Error::inconsistent("log", "tree", e))?;
    if head.root()[..] != *row.try_get::<&[u8], _>("root").map_err(failed)? {
        return Err(Error::inconsistent("log", "root", "it is not the root of the kept tree"));
    }
    let reason: Option<String> = row.try_get("reason").map_err(failed)?;
    let detail: Option<String> = row.try_get("detail").map_err(failed)?;
    Ok(LogRow {
        pk: row.try_get("id").map_err(failed)?,
        log: parsed(row.try_get("name").map_err(failed)?, "log", "name")?,
        head,
        checkpoint: row.try_get("checkpoint").map_err(failed)?,
        recorded_at_ms: row.try_get("recorded_at_ms").map_err(failed)?,
        committed_at_ms: row.try_get("committed_at_ms").map_err(failed)?,
        trouble: reason.map(|reason| (reason, detail.unwrap_or_default())),
    })
}

impl Tx {
    /// All logs.
    pub async fn log_list(&mut self) -> Result<Vec<LogRow>> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT id, name, size, root, tree, last_leaf, checkpoint, recorded_at_ms, committed_at_ms, reason, detail
             FROM log ORDER BY name",
        )
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        let rows: Result<Vec<_>> = rows.iter().map(log_row).collect();
        rows.map_err(|error| self.condition.noted(error))
    }

    /// Writes where logs stand now; a log that is new gets a row. Returns the row numbers in the order given.
    pub async fn log_put(&mut self, logs: &[&LogRow]) -> Result<Vec<i64>> {
        let mut pks = Vec::with_capacity(logs.len());
        for chunk in logs.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO log (name, size, root, tree, last_leaf, checkpoint, recorded_at_ms, committed_at_ms, reason, detail) ",
            );
            sql.push_values(chunk, |mut row, log| {
                row.push_bind(log.log.to_string())
                    .push_bind(log.head.size() as i64)
                    .push_bind(log.head.root().to_vec())
                    .push_bind(log.head.tree_bytes())
                    .push_bind(log.head.last_leaf().map(|leaf| leaf.to_vec()))
                    .push_bind(log.checkpoint.clone())
                    .push_bind(log.recorded_at_ms)
                    .push_bind(log.committed_at_ms)
                    .push_bind(log.trouble.as_ref().map(|(reason, _)| reason.clone()))
                    .push_bind(log.trouble.as_ref().map(|(_, detail)| detail.clone()));
            });
            sql.push(
                " ON CONFLICT (name) DO UPDATE SET size = excluded.size, root = excluded.root, tree = excluded.tree,
                  last_leaf = excluded.last_leaf, checkpoint = excluded.checkpoint, recorded_at_ms = excluded.recorded_at_ms,
                  committed_at_ms = excluded.committed_at_ms, reason = excluded.reason, detail = excluded.detail
                  RETURNING id, name",
            );
            let rows = sql.build().persistent(chunk.len() == ROWS).fetch_all(self.write()?).await.map_err(failed)?;
            for log in chunk {
                // SQLite does not promise the order of RETURNING.
                let name = log.log.to_string();
                let row = rows.iter().find(|row| row.get::<&str, _>("name") == name);
                pks.push(
                    row.ok_or_else(|| Error::inconsistent("log", "name", "a row that was written is not there"))?
                        .get("id"),
                );
            }
        }
        Ok(pks)
    }

    /// Adds entries; `log` is the row number of each.
    pub async fn entry_append(&mut self, entries: &[(i64, Entry)]) -> Result<()> {
        for chunk in entries.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO entry (log, sequence, leaf, set_id, changes, envelope, parts) ",
            );
            sql.push_values(chunk, |mut row, (log, entry)| {
                row.push_bind(*log)
                    .push_bind(entry.sequence() as i64)
                    .push_bind(entry.leaf().to_vec())
                    .push_bind(set_id(entry.change_set().first_id).to_vec())
                    .push_bind(entry.change_set().changes.len() as i64)
                    .push_bind(entry.envelope().to_vec())
                    .push_bind(entry.parts().map(|parts| parts.encode().to_vec()));
            });
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Entries of a log from `from` on: as many as fit `max_entries` and `max_bytes` (envelopes and parts together), but one at least.
    pub async fn entry_read(
        &mut self,
        log: i64,
        from: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>> {
        let failed = self.failed();
        // The sizes first: an entry is up to a megabyte, and most callers want a package.
        let sizes = sqlx::query(
            "SELECT length(envelope) + coalesce(length(parts), 0) FROM entry WHERE log = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3",
        )
        .bind(log)
        .bind(from as i64)
        .bind(max_entries as i64)
        .fetch_all(self.conn())
        .await
        .map_err(&failed)?;
        let mut bytes = 0usize;
        let fitting = sizes.iter().take_while(|row| {
            let size = row.try_get::<i64, _>(0).ok().and_then(|size| usize::try_from(size).ok());
            bytes = bytes.saturating_add(size.unwrap_or(usize::MAX));
            bytes <= max_bytes
        });
        let count = fitting.count().max(1);
        let rows = sqlx::query(
            "SELECT sequence, leaf, set_id, envelope, parts FROM entry WHERE log = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3",
        )
        .bind(log)
        .bind(from as i64)
        .bind(count as i64)
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        let entries: Result<Vec<_>> = rows.iter().map(|row| stored(log, row)).collect();
        entries.map_err(|error| self.condition.noted(error))
    }

    /// Where changes stand: row number of the log and sequence, by what the ids of a change set share.
    pub async fn entry_find(&mut self, sets: &[[u8; 12]]) -> Result<HashMap<[u8; 12], (i64, u64)>> {
        let mut found = HashMap::with_capacity(sets.len());
        for chunk in sets.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT set_id, log, sequence FROM entry WHERE set_id IN (");
            let mut list = sql.separated(", ");
            for set in chunk {
                list.push_bind(set.to_vec());
            }
            sql.push(")");
            for row in sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)? {
                let set: &[u8] = row.get("set_id");
                let set = set.try_into().map_err(|_| Error::inconsistent("entry", "set_id", "not 12 bytes"))?;
                found.insert(set, (row.get("log"), unsigned(row.get("sequence"), "entry", "sequence")?));
            }
        }
        Ok(found)
    }

    /// Leaf hashes of a log, in order, for the sequences in `range`.
    pub async fn leaf_read(&mut self, log: i64, range: Range<u64>) -> Result<Vec<Hash>> {
        let failed = self.failed();
        let leaves: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT leaf FROM entry WHERE log = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence",
        )
        .bind(log)
        .bind(range.start as i64)
        .bind(range.end as i64)
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        leaves.iter().map(|leaf| hash(leaf, "entry", "leaf")).collect()
    }

    /// How many entries each log has, by its row number.
    pub async fn log_lengths(&mut self) -> Result<HashMap<i64, u64>> {
        let failed = self.failed();
        let rows = sqlx::query("SELECT log, COUNT(*) AS entries FROM entry GROUP BY log")
            .fetch_all(self.conn())
            .await
            .map_err(failed)?;
        rows.iter().map(|row| Ok((row.get("log"), unsigned(row.get("entries"), "entry", "log")?))).collect()
    }

    /// Changes in a log's entries from `from` on.
    pub async fn change_count_from(&mut self, log: i64, from: u64) -> Result<u64> {
        let failed = self.failed();
        let count: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(changes), 0) FROM entry WHERE log = $1 AND sequence >= $2")
                .bind(log)
                .bind(i64::try_from(from).unwrap_or(i64::MAX))
                .fetch_one(self.conn())
                .await
                .map_err(failed)?;
        unsigned(count, "entry", "changes")
    }

    /// Changes in all entries.
    pub async fn change_count(&mut self) -> Result<u64> {
        let failed = self.failed();
        let count: i64 = sqlx::query_scalar("SELECT coalesce(sum(changes), 0) FROM entry")
            .fetch_one(self.conn())
            .await
            .map_err(failed)?;
        unsigned(count, "entry", "changes")
    }
}
