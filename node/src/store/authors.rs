//! Which logs say something about which units.

use danso_proto::ids::{LogId, UnitCode};

use super::sql::Row;
use super::{Result, Tx, parsed};

impl Tx {
    /// Notes that logs (by row number) say something about units.
    pub async fn log_unit_add(&mut self, pairs: &[(i64, UnitCode)]) -> Result<()> {
        let sql = "INSERT INTO log_unit (log, unit) {rows} ON CONFLICT DO NOTHING";
        self.write_many(sql, [], pairs.iter().map(|(log, unit)| [(*log).into(), unit.as_str().into()])).await.map(drop)
    }

    /// Of each of these units, how many references stand in the register more than once: people whom two authors took in. Units without any are
    /// left out. Sees only persons whose identity part is here.
    pub async fn references_twice(&mut self, units: &[UnitCode]) -> Result<Vec<(UnitCode, u64)>> {
        let sql = "SELECT unit, COUNT(*) FROM (SELECT unit FROM person WHERE reference IS NOT NULL AND unit IN ({rows})
                   GROUP BY unit, reference HAVING COUNT(*) > 1) AS twice GROUP BY unit ORDER BY unit";
        let rows = self.rows_by(sql, [], units.iter().map(|unit| [unit.as_str().into()])).await?;
        let count = |row: &Row| Ok((parsed(row.get(0)?, "person", "unit")?, row.get::<i64>(1)?.unsigned_abs()));
        rows.iter().map(count).collect()
    }

    /// Persons of a unit in the register, as far as their identity part is here.
    pub async fn reference_count(&mut self, unit: &UnitCode) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM person WHERE reference IS NOT NULL AND unit = $1";
        Ok(self.number(sql, [unit.as_str().into()]).await?.unsigned_abs())
    }

    /// All pairs of a log and a unit that it says something about.
    pub async fn log_unit_list(&mut self) -> Result<Vec<(LogId, UnitCode)>> {
        let sql = "SELECT log.name, log_unit.unit FROM log_unit JOIN log ON log.id = log_unit.log ORDER BY 1, 2";
        let rows = self.rows(sql, []).await?;
        rows.iter()
            .map(|row| Ok((parsed(row.get(0)?, "log", "name")?, parsed(row.get(1)?, "log_unit", "unit")?)))
            .collect()
    }
}
