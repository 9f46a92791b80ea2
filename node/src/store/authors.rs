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
