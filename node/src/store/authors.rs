//! Which logs say something about which units.

use danso_proto::ids::{LogId, UnitCode};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{ROWS, Result, Tx, parsed};

impl Tx {
    /// Notes that logs (by row number) say something about units.
    pub async fn log_unit_add(&mut self, pairs: &[(i64, UnitCode)]) -> Result<()> {
        for chunk in pairs.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO log_unit (log, unit) ");
            sql.push_values(chunk, |mut row, (log, unit)| {
                row.push_bind(*log).push_bind(unit.to_string());
            });
            sql.push(" ON CONFLICT DO NOTHING");
            sql.build().execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Of each of these units, how many references stand in the register more than once: people whom two authors took in. Units without any are
    /// left out. Sees only persons whose identity part is here.
    pub async fn references_twice(&mut self, units: &[UnitCode]) -> Result<Vec<(UnitCode, u64)>> {
        let mut found = Vec::new();
        for chunk in units.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "SELECT unit, COUNT(*) FROM (SELECT unit FROM person WHERE reference IS NOT NULL AND unit IN (",
            );
            let mut list = sql.separated(", ");
            for unit in chunk {
                list.push_bind(unit.to_string());
            }
            sql.push(") GROUP BY unit, reference HAVING COUNT(*) > 1) GROUP BY unit ORDER BY unit");
            for row in sql.build().fetch_all(self.conn()).await.map_err(failed)? {
                found.push((parsed(row.get(0), "person", "unit")?, row.get::<i64, _>(1).unsigned_abs()));
            }
        }
        Ok(found)
    }

    /// Persons of a unit in the register, as far as their identity part is here.
    pub async fn reference_count(&mut self, unit: &UnitCode) -> Result<u64> {
        let failed = self.failed();
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM person WHERE reference IS NOT NULL AND unit = ?")
            .bind(unit.to_string())
            .fetch_one(self.conn())
            .await
            .map_err(failed)?;
        Ok(count.unsigned_abs())
    }

    /// All pairs of a log and a unit that it says something about.
    pub async fn log_unit_list(&mut self) -> Result<Vec<(LogId, UnitCode)>> {
        let failed = self.failed();
        let rows =
            sqlx::query("SELECT log.name, log_unit.unit FROM log_unit JOIN log ON log.id = log_unit.log ORDER BY 1, 2")
                .fetch_all(self.conn())
                .await
                .map_err(failed)?;
        rows.iter()
            .map(|row| Ok((parsed(row.get(0), "log", "name")?, parsed(row.get(1), "log_unit", "unit")?)))
            .collect()
    }
}
