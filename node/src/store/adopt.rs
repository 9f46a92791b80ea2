//! What one database takes over from another of the same node: the tables that are not made from logs.

use std::path::Path;

use super::{Error, Result, Store};

/// Tables of what happened at this node alone. Everything else is made from logs, or points at rows of them.
const LOCAL: [&str; 6] = ["source", "waiting", "receipt", "receipt_step", "invite", "evidence"];

impl Store {
    /// Takes over what happened at this node alone from the database `old`, which must be closed and of this version. Rows that are here
    /// already stay as they are.
    ///
    /// # Errors
    /// When either database fails; nothing is taken over then.
    pub async fn adopt(&self, old: &Path) -> Result<()> {
        const DURING: &str = "adopt";
        let failed = |source| Error::database(DURING, source);
        let mut connection = self.writer.acquire().await.map_err(failed)?;
        let path = old.to_str().ok_or_else(|| Error::inconsistent("meta", "path", "the path is not UTF-8"))?;
        // Outside the transaction: SQLite attaches and detaches only there.
        sqlx::query("ATTACH DATABASE $1 AS old").bind(path).execute(&mut *connection).await.map_err(failed)?;
        let copied = async {
            let mut tx = sqlx::Connection::begin(&mut *connection).await?;
            for table in LOCAL {
                let sql = format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM old.{table}");
                sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *tx).await?;
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
