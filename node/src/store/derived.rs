//! All that is derived from the entries, as a whole: dropped before it is made again, and summed up in one digest.

use sha2::{Digest as _, Sha256};

use super::sql::{Transaction, Value};
use super::{Result, SourceRow, Tx, unsigned};

/// The tables that a rebuild makes again, each with its rows in an order that depends on nothing but their content. Row numbers are left out,
/// logs stand by their names: the same entries give the same bytes at every node.
const TABLES: [(&str, &str); 12] = [
    ("person", "SELECT id, unit, reference, data FROM person ORDER BY id"),
    ("household", "SELECT id, unit, number, data FROM household ORDER BY id, unit"),
    ("cube", "SELECT unit, measure, month, data FROM cube ORDER BY unit, measure, month"),
    ("rollup", "SELECT list, unit, stock, span, data FROM rollup ORDER BY list, unit, stock, span"),
    ("population", "SELECT unit, span, residents FROM population ORDER BY unit, span"),
    (
        "finding",
        "SELECT change, person, log.name, sequence, unit, finding.reason, severity, other, seen
         FROM finding JOIN log ON log.id = finding.log ORDER BY change, finding.reason",
    ),
    (
        "finding_answer",
        "SELECT log.name, sequence, answer, change, finding_answer.reason, unit, withdraws
         FROM finding_answer JOIN log ON log.id = finding_answer.log ORDER BY 1, 2, 3",
    ),
    ("kin", "SELECT mother, child FROM kin ORDER BY mother, child"),
    ("unnamed", "SELECT person, change, unit, due FROM unnamed ORDER BY person"),
    ("period", "SELECT unit, month, change FROM period ORDER BY unit, month"),
    // By itself: backups of earlier versions say what the others hold, and nothing of this.
    ("period_recorded", "SELECT unit, month, recorded_at_ms FROM period ORDER BY unit, month"),
    ("log_unit", "SELECT log.name, unit FROM log_unit JOIN log ON log.id = log_unit.log ORDER BY 1, 2"),
];

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest {
    /// Its name.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over the rows, one after the other: each column as its length, 4 bytes, big-endian, and its bytes (numbers in decimal); NULL as
    /// `ffffffff`.
    pub sha256: [u8; 32],
}

/// What all derived tables hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The tables, always the same ones in the same order.
    pub tables: Vec<TableDigest>,
}

impl Derived {
    /// One digest for all of them: SHA-256 over `danso-derived-v1` LF and the digests of the tables.
    pub fn sha256(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(b"danso-derived-v1\n");
        self.tables.iter().for_each(|table| digest.update(table.sha256));
        digest.finalize().into()
    }

    /// Rows of a table.
    pub fn rows(&self, table: &str) -> u64 {
        self.tables.iter().find(|of| of.table == table).map_or(0, |of| of.rows)
    }
}

impl Tx {
    /// What the derived tables hold. Reads every row once, a few at a time.
    pub async fn derived(&mut self) -> Result<Derived> {
        let mut tables = Vec::with_capacity(TABLES.len());
        for (table, sql) in TABLES {
            tables.push(self.digest(table, sql).await?);
        }
        Ok(Derived { tables })
    }

    /// The rows that a statement reads, in its order.
    pub(super) async fn digest(&mut self, table: &'static str, sql: &str) -> Result<TableDigest> {
        let mut digest = Sha256::new();
        let mut rows = 0;
        self.each(sql, |row| {
            rows += 1;
            match row.len() {
                1 => match row.get::<Option<&str>>(0)? {
                    Some(row) => row.split('|').for_each(|column| put(&mut digest, Some(column.as_bytes()))),
                    None => put(&mut digest, None),
                },
                columns => {
                    (0..columns).try_for_each(|column| row.value(column).map(|value| add(&mut digest, value)))?
                }
            }
            Ok(())
        })
        .await?;
        Ok(TableDigest { table, rows, sha256: digest.finalize().into() })
    }

    /// Drops all that is derived.
    pub async fn derived_clear(&mut self) -> Result<()> {
        // Without a condition SQLite gives whole pages back and does not look at the rows.
        for sql in [
            "DELETE FROM person",
            "DELETE FROM household",
            "DELETE FROM cube",
            "DELETE FROM rollup",
            "DELETE FROM population",
            "DELETE FROM finding",
            "DELETE FROM finding_answer",
            "DELETE FROM kin",
            "DELETE FROM unnamed",
            "DELETE FROM period",
            "DELETE FROM log_unit",
        ] {
            self.write(sql, []).await?;
        }
        Ok(())
    }

    /// Keeps which rows became changes, for those of which it is not known any more; how many those were.
    pub async fn source_remember(&mut self, rows: &[SourceRow]) -> Result<u64> {
        self.source_insert(rows, " ON CONFLICT (unit, form, key) DO NOTHING").await
    }

    /// Bytes that the database takes, with its indices.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bytes(&mut self) -> Result<u64> {
        let sql = match self.inner {
            Transaction::Sqlite(_) => "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            Transaction::Postgres(_) => {
                "SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS BIGINT) FROM pg_class
                 WHERE relnamespace = to_regnamespace(current_schema()::TEXT) AND relkind = 'r'"
            }
        };
        unsigned(self.number(sql, []).await?, "database", "bytes")
    }

    /// Forgets what was kept under `key`.
    pub async fn meta_remove(&mut self, key: &str) -> Result<()> {
        self.write("DELETE FROM meta WHERE key = $1", [key.into()]).await.map(drop)
    }
}

/// Adds a column to a digest.
pub(super) fn add(digest: &mut Sha256, value: Value) {
    match value {
        Value::Int(number) => put(digest, number.map(|number| number.to_string()).as_ref().map(String::as_bytes)),
        Value::Text(text) => put(digest, text.as_ref().map(String::as_bytes)),
        Value::Blob(bytes) => put(digest, bytes.as_deref()),
    }
}

fn put(digest: &mut Sha256, column: Option<&[u8]>) {
    match column {
        Some(bytes) => {
            // What a database keeps in one place is far below 4 GiB.
            digest.update((bytes.len() as u32).to_be_bytes());
            digest.update(bytes);
        }
        None => digest.update([0xff; 4]),
    }
}
