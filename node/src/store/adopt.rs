//! What one database takes over from another of the same node: the tables that are not made from logs.

use std::path::Path;

use danso_proto::ids::LogId;
use sqlx::{Connection as _, SqliteConnection};

use super::{Error, Result, Store};

/// What happened at the old database's node alone, and still holds here. Everything else is made from logs, or points at rows of them.
///
/// A row of a form counts as imported only if its change is here: it may stand in entries that were not taken over, and must then be
/// importable again. A receipt counts only as far as both have the same history of its log.
///
/// Columns by name: a database of an older version that could not be brought to this one has others. The numbers of evidence are given anew,
/// because what was found meanwhile has taken some.
const STILL_HOLDS: [(&str, &str, &str); 6] = [
    (
        "source",
        "unit, form, key, digest, change, person, birth",
        "WHERE EXISTS (SELECT 1 FROM main.entry WHERE set_id = substr(source.change, 1, 12))",
    ),
    ("waiting", "unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason", ""),
    (
        "receipt",
        "log, giver, size, time_s, note",
        "JOIN (SELECT value ->> 0 AS log, value ->> 1 AS size FROM json_each($1)) AS shared
                 ON shared.log = receipt.log AND shared.size >= receipt.size",
    ),
    (
        "receipt_step",
        "log, giver, size, time_s, note",
        "JOIN (SELECT value ->> 0 AS log, value ->> 1 AS size FROM json_each($1)) AS shared
                      ON shared.log = receipt_step.log AND shared.size >= receipt_step.size",
    ),
    ("invite", "secret_hash, unit, expires_at_ms, used_by, log_public_key, again, node", ""),
    ("evidence", "log, at_ms, shown_by, entries, ours, theirs, root, proof", "ORDER BY evidence.id"),
];

impl Store {
    /// Takes over what happened at this node alone from the database `old`, which must be closed, and of whose logs so many
    /// entries are the same here. Rows that are here already stay as they are, so that it can be done again. Gives what cannot be read of
    /// the old database: a table of which any part cannot be read is left out.
    ///
    /// # Errors
    /// When this database fails, or the old one otherwise than by damage or its version.
    pub async fn adopt(&self, old: &Path, shared: &[(LogId, u64)]) -> Result<Vec<String>> {
        let mut connection = self.file()?.writer.acquire().await.map_err(failed)?;
        let path = old.to_str().ok_or_else(|| Error::inconsistent("meta", "path", "the path is not UTF-8"))?;
        let shared: Vec<(String, u64)> = shared.iter().map(|(log, size)| (log.to_string(), *size)).collect();
        let shared = serde_json::to_string(&shared).map_err(|error| Error::inconsistent("receipt", "log", error))?;
        let mut unread = Vec::new();
        // Outside transactions: SQLite attaches and detaches only there.
        let attached = sqlx::query("ATTACH DATABASE $1 AS old").bind(path).execute(&mut *connection).await;
        if let Err(error) = attached.map_err(failed) {
            return if error.is_unreadable() { Ok(vec![error.to_string()]) } else { Err(error) };
        }
        let mut copied = Ok(());
        for table in STILL_HOLDS {
            match adopt_table(&mut connection, table, &shared).await {
                Err(error) if error.is_unreadable() => unread.push(format!("{}: {}", table.0, error.told())),
                Ok(()) => {}
                error => copied = copied.and(error),
            }
        }
        let detached = sqlx::query("DETACH DATABASE old").execute(&mut *connection).await.map_err(failed);
        copied.and(detached).map(|_| unread)
    }
}

fn failed(source: sqlx::Error) -> Error {
    Error::database("adopt", source)
}

/// One table, in a transaction of its own.
async fn adopt_table(
    connection: &mut SqliteConnection,
    (table, columns, holds): (&str, &str, &str),
    shared: &str,
) -> Result<()> {
    let mut tx = connection.begin().await.map_err(failed)?;
    let from = columns.split(", ").map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ");
    let sql =
        format!("INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {from} FROM old.{table} AS {table} {holds}");
    let statement = sqlx::query(sqlx::AssertSqlSafe(sql));
    let statement = if holds.contains("$1") { statement.bind(shared) } else { statement };
    statement.execute(&mut *tx).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}
