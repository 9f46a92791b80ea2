//! What one database takes over from another of the same node: the tables that are not made from logs.

use std::path::Path;

use danso_proto::ids::LogId;

use super::{Error, Result, Store};

/// What happened at the old database's node alone, and still holds here. Everything else is made from logs, or points at rows of them.
///
/// A row of a form counts as imported only if its change is here: it may stand in entries that were not taken over, and must then be
/// importable again. A receipt counts only as far as both have the same history of its log.
const STILL_HOLDS: [(&str, &str); 6] = [
    ("source", "WHERE EXISTS (SELECT 1 FROM main.entry WHERE set_id = substr(source.change, 1, 12))"),
    ("waiting", ""),
    (
        "receipt",
        "JOIN (SELECT value ->> 0 AS log, value ->> 1 AS size FROM json_each($1)) AS shared
                 ON shared.log = receipt.log AND shared.size >= receipt.size",
    ),
    (
        "receipt_step",
        "JOIN (SELECT value ->> 0 AS log, value ->> 1 AS size FROM json_each($1)) AS shared
                      ON shared.log = receipt_step.log AND shared.size >= receipt_step.size",
    ),
    ("invite", ""),
    ("evidence", ""),
];

impl Store {
    /// Takes over what happened at this node alone from the database `old`, which must be closed and of this version, and of whose logs so many
    /// entries are the same here. Rows that are here already stay as they are.
    ///
    /// # Errors
    /// When either database fails; nothing is taken over then.
    pub async fn adopt(&self, old: &Path, shared: &[(LogId, u64)]) -> Result<()> {
        const DURING: &str = "adopt";
        let failed = |source| Error::database(DURING, source);
        let mut connection = self.writer.acquire().await.map_err(failed)?;
        let path = old.to_str().ok_or_else(|| Error::inconsistent("meta", "path", "the path is not UTF-8"))?;
        let shared: Vec<(String, u64)> = shared.iter().map(|(log, size)| (log.to_string(), *size)).collect();
        let shared = serde_json::to_string(&shared).map_err(|error| Error::inconsistent("receipt", "log", error))?;
        // Outside the transaction: SQLite attaches and detaches only there.
        sqlx::query("ATTACH DATABASE $1 AS old").bind(path).execute(&mut *connection).await.map_err(failed)?;
        let copied = async {
            let mut tx = sqlx::Connection::begin(&mut *connection).await?;
            for (table, holds) in STILL_HOLDS {
                let sql =
                    format!("INSERT OR IGNORE INTO main.{table} SELECT {table}.* FROM old.{table} AS {table} {holds}");
                let statement = sqlx::query(sqlx::AssertSqlSafe(sql));
                let statement = if holds.contains("$1") { statement.bind(shared.as_str()) } else { statement };
                statement.execute(&mut *tx).await?;
            }
            tx.commit().await
        };
        let copied = copied.await.map_err(failed);
        let detached = sqlx::query("DETACH DATABASE old").execute(&mut *connection).await.map_err(failed);
        copied?;
        detached?;
        Ok(())
    }
}
