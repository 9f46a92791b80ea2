//! Logs and entries.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use danso_core::ledger::{Entry, LogHead};
use danso_proto::identity::PartSet;
use danso_proto::ids::{ChangeId, LogId};
use danso_proto::merkle::{Hash, leaf_hash};
use danso_proto::package::{self, Packer, SealedEntry, ZSTD_HEADER_MAX};

use super::sql::Row;
use super::{Error, Result, Tx, hash, parsed, unsigned};

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
fn stored(log: i64, row: &Row) -> Result<StoredEntry> {
    let sequence = unsigned(row.get("sequence")?, "entry", "sequence")?;
    let leaf = hash(row.get("leaf")?, "entry", "leaf")?;
    let SealedEntry { envelope, parts } = sealed(row.get("envelope")?, row.get("parts")?)?;
    if leaf_hash(&envelope) != leaf {
        let what = format!("entry {sequence} of the log with row number {log} has other bytes than were taken in");
        return Err(Error::damaged(what));
    }
    Ok(StoredEntry { sequence, leaf, set_id: row.get("set_id")?, envelope, parts })
}

/// What an entry takes in memory, about, by the beginning of its envelope's column and the length of both columns.
fn size_of(row: &Row) -> Result<u64> {
    let kept = unsigned(row.get(1)?, "entry", "envelope")?;
    let header: &[u8] = row.get(0)?;
    Ok(package::packed_size(header).filter(|_| package::is_packed(header)).unwrap_or(kept))
}

/// An entry from the columns `envelope` and `parts`: packed, or, as earlier versions kept it, each for itself.
pub(super) fn sealed(envelope: &[u8], parts: Option<&[u8]>) -> Result<SealedEntry> {
    match (package::is_packed(envelope), parts) {
        (true, None) => package::unpack(envelope).map_err(|e| Error::inconsistent("entry", "envelope", e)),
        (true, Some(_)) => Err(Error::inconsistent("entry", "parts", "they are in the envelope's column already")),
        (false, parts) => {
            let parts = parts.map(|parts| PartSet::decode(Bytes::copy_from_slice(parts))).transpose();
            let parts = parts.map_err(|e| Error::inconsistent("entry", "parts", e))?;
            Ok(SealedEntry { envelope: Bytes::copy_from_slice(envelope), parts })
        }
    }
}

/// A log from its row.
fn log_row(row: &Row) -> Result<LogRow> {
    let size = unsigned(row.get("size")?, "log", "size")?;
    let last_leaf: Option<&[u8]> = row.get("last_leaf")?;
    let last_leaf = last_leaf.map(|leaf| hash(leaf, "log", "last_leaf")).transpose()?;
    let head =
        LogHead::restore(size, row.get("tree")?, last_leaf).map_err(|e| Error::inconsistent("log", "tree", e))?;
    if head.root()[..] != *row.get::<&[u8]>("root")? {
        return Err(Error::inconsistent("log", "root", "it is not the root of the kept tree"));
    }
    let reason: Option<String> = row.get("reason")?;
    let detail: Option<String> = row.get("detail")?;
    Ok(LogRow {
        pk: row.get("id")?,
        log: parsed(row.get("name")?, "log", "name")?,
        head,
        checkpoint: row.get("checkpoint")?,
        recorded_at_ms: row.get("recorded_at_ms")?,
        committed_at_ms: row.get("committed_at_ms")?,
        trouble: reason.map(|reason| (reason, detail.unwrap_or_default())),
    })
}

impl Tx {
    /// All logs.
    pub async fn log_list(&mut self) -> Result<Vec<LogRow>> {
        let sql =
            "SELECT id, name, size, root, tree, last_leaf, checkpoint, recorded_at_ms, committed_at_ms, reason, detail
                   FROM log ORDER BY name";
        let rows = self.rows(sql, []).await?;
        let rows: Result<Vec<_>> = rows.iter().map(log_row).collect();
        rows.map_err(|error| self.condition.noted(error))
    }

    /// Writes where logs stand now; a log that is new gets a row. Returns the row numbers in the order given.
    pub async fn log_put(&mut self, logs: &[&LogRow]) -> Result<Vec<i64>> {
        let sql = "INSERT INTO log (name, size, root, tree, last_leaf, checkpoint, recorded_at_ms, committed_at_ms, reason, detail) {rows}
                   ON CONFLICT (name) DO UPDATE SET size = excluded.size, root = excluded.root, tree = excluded.tree,
                   last_leaf = excluded.last_leaf, checkpoint = excluded.checkpoint, recorded_at_ms = excluded.recorded_at_ms,
                   committed_at_ms = excluded.committed_at_ms, reason = excluded.reason, detail = excluded.detail
                   RETURNING id, name";
        let rows = logs.iter().map(|log| {
            [
                log.log.to_string().into(),
                log.head.size().into(),
                log.head.root()[..].into(),
                log.head.tree_bytes().into(),
                log.head.last_leaf().map(|leaf| leaf.to_vec()).into(),
                log.checkpoint.clone().into(),
                log.recorded_at_ms.into(),
                log.committed_at_ms.into(),
                log.trouble.as_ref().map(|(reason, _)| reason.clone()).into(),
                log.trouble.as_ref().map(|(_, detail)| detail.clone()).into(),
            ]
        });
        let written = self.write_returning(sql, [], rows).await?;
        let mut pks: HashMap<&str, i64> = HashMap::with_capacity(written.len());
        for row in &written {
            pks.insert(row.get("name")?, row.get("id")?);
        }
        let lost = || Error::inconsistent("log", "name", "a row that was written is not there");
        logs.iter().map(|log| pks.get(&*log.log.to_string()).copied().ok_or_else(lost)).collect()
    }

    /// Adds entries; `log` is the row number of each.
    pub async fn entry_append(&mut self, entries: &[(i64, Entry)]) -> Result<()> {
        let mut packer = Packer::new();
        let rows = entries.iter().map(|(log, entry)| {
            [
                (*log).into(),
                entry.sequence().into(),
                entry.leaf()[..].into(),
                (&set_id(entry.change_set().first_id)).into(),
                entry.change_set().changes.len().into(),
                packer.pack(entry.envelope(), entry.parts()).into(),
            ]
        });
        self.add_many("entry", "log, sequence, leaf, set_id, changes, envelope", rows).await
    }

    /// Entries of a log from `from` on: as many as fit `max_entries` and `max_bytes` (envelopes and parts together), but one at least.
    pub async fn entry_read(
        &mut self,
        log: i64,
        from: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>> {
        // The sizes first: an entry is up to a megabyte, and most callers want a package.
        let sql = format!(
            "SELECT substr(envelope, 1, {ZSTD_HEADER_MAX}), CAST(length(envelope) + coalesce(length(parts), 0) AS BIGINT) FROM entry
             WHERE log = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3"
        );
        let sizes = self.rows(&sql, [log.into(), from.into(), max_entries.into()]).await?;
        let mut bytes = 0usize;
        let fitting = sizes.iter().take_while(|row| {
            let size = size_of(row).ok().and_then(|size| usize::try_from(size).ok());
            bytes = bytes.saturating_add(size.unwrap_or(usize::MAX));
            bytes <= max_bytes
        });
        let count = fitting.count().max(1);
        let sql = "SELECT sequence, leaf, set_id, envelope, parts FROM entry WHERE log = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3";
        let rows = self.rows(sql, [log.into(), from.into(), count.into()]).await?;
        let entries: Result<Vec<_>> = rows.iter().map(|row| stored(log, row)).collect();
        entries.map_err(|error| self.condition.noted(error))
    }

    /// Where changes stand: row number of the log and sequence, by what the ids of a change set share.
    pub async fn entry_find(&mut self, sets: &[[u8; 12]]) -> Result<HashMap<[u8; 12], (i64, u64)>> {
        let sql = "SELECT set_id, log, sequence FROM entry WHERE set_id IN ({rows})";
        let mut found = HashMap::with_capacity(sets.len());
        for row in self.rows_by(sql, [], sets.iter().map(|set| [set.into()])).await? {
            let set: &[u8] = row.get("set_id")?;
            let set = set.try_into().map_err(|_| Error::inconsistent("entry", "set_id", "not 12 bytes"))?;
            found.insert(set, (row.get("log")?, unsigned(row.get("sequence")?, "entry", "sequence")?));
        }
        Ok(found)
    }

    /// Leaf hashes of a log, in order, for the sequences in `range`.
    pub async fn leaf_read(&mut self, log: i64, range: Range<u64>) -> Result<Vec<Hash>> {
        let sql = "SELECT leaf FROM entry WHERE log = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence";
        let leaves = self.rows(sql, [log.into(), range.start.into(), range.end.into()]).await?;
        leaves.iter().map(|row| hash(row.get(0)?, "entry", "leaf")).collect()
    }

    /// How many entries each log has, by its row number.
    pub async fn log_lengths(&mut self) -> Result<HashMap<i64, u64>> {
        let rows = self.rows("SELECT log, COUNT(*) AS entries FROM entry GROUP BY log", []).await?;
        rows.iter().map(|row| Ok((row.get("log")?, unsigned(row.get("entries")?, "entry", "log")?))).collect()
    }

    /// Changes in a log's entries from `from` on.
    pub async fn change_count_from(&mut self, log: i64, from: u64) -> Result<u64> {
        let sql = "SELECT CAST(coalesce(SUM(changes), 0) AS BIGINT) FROM entry WHERE log = $1 AND sequence >= $2";
        unsigned(self.number(sql, [log.into(), from.into()]).await?, "entry", "changes")
    }

    /// Changes in all entries.
    pub async fn change_count(&mut self) -> Result<u64> {
        let sql = "SELECT CAST(coalesce(SUM(changes), 0) AS BIGINT) FROM entry";
        unsigned(self.number(sql, []).await?, "entry", "changes")
    }
}
