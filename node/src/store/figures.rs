//! What answers are made from: sums of the cube, sizes of logs, numbers of findings.

use danso_core::calendar::Month;
use danso_core::question::{CubeRow, Read};
use danso_proto::ids::{LogId, UnitCode};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::register::sex_from;
use super::{Error, ROWS, Result, Tx, parsed, unsigned};

/// How far a log has grown, without its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSize {
    /// The log.
    pub log: LogId,
    /// Entries.
    pub size: u64,
    /// Author's clock at the last entry, Unix milliseconds.
    pub recorded_at_ms: i64,
}

impl Tx {
    /// Rows of the cube about `units`, summed over when they became known and over everything that `read` says may be left out, so that
    /// the database hands over no more rows than the question needs. In no particular order.
    pub async fn cube_sum(&mut self, units: &[UnitCode], read: &Read) -> Result<Vec<CubeRow>> {
        let mut found = Vec::new();
        for chunk in units.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT unit, MAX(month, ");
            sql.push_bind(i64::from(read.told_apart_from.index())).push(") AS month");
            let mut column = |needed: bool, name: &str, nothing: &str| {
                sql.push(format!(", {} AS {name}", if needed { name } else { nothing }));
            };
            column(read.sex, "sex", "0");
            column(read.birth_month, "birth_month", "-1");
            column(read.detail, "detail", "0");
            column(read.other, "other", "''");
            sql.push(", SUM(count) AS count FROM cube WHERE measure = ").push_bind(i64::from(read.measure.code()));
            sql.push(" AND month <= ").push_bind(i64::from(read.last.index()));
            if let Some(first) = read.first {
                sql.push(" AND month >= ").push_bind(i64::from(first.index()));
            }
            sql.push(" AND unit IN (");
            let mut list = sql.separated(", ");
            for unit in chunk {
                list.push_bind(unit.as_str());
            }
            sql.push(") GROUP BY 1, 2, 3, 4, 5, 6 HAVING SUM(count) <> 0");
            for row in sql.build().fetch_all(self.conn()).await.map_err(failed)? {
                let month = |column| {
                    let index = i32::try_from(row.get::<i64, _>(column));
                    let month = index.ok().map(Month::from_index).and_then(std::result::Result::ok);
                    month.ok_or_else(|| Error::inconsistent("cube", column, "no month"))
                };
                let other: &str = row.get("other");
                found.push(CubeRow {
                    unit: parsed(row.get("unit"), "cube", "unit")?,
                    month: month("month")?,
                    measure: read.measure,
                    sex: sex_from(row.get("sex"))?,
                    birth_month: (row.get::<i64, _>("birth_month") >= 0).then(|| month("birth_month")).transpose()?,
                    detail: row.get("detail"),
                    other: if other.is_empty() { None } else { Some(parsed(other, "cube", "other")?) },
                    count: row.get("count"),
                });
            }
        }
        Ok(found)
    }

    /// All logs with entries on the stream `records`, by name.
    pub async fn record_logs(&mut self) -> Result<Vec<LogSize>> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT name, size, recorded_at_ms FROM log WHERE name LIKE '%/records' AND size > 0 ORDER BY name",
        )
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(LogSize {
                    log: parsed(row.get("name"), "log", "name")?,
                    size: unsigned(row.get("size"), "log", "size")?,
                    recorded_at_ms: row.get("recorded_at_ms"),
                })
            })
            .collect()
    }

    /// All that was ever counted of a measure, in all units; for a stock: how many there are now.
    pub async fn cube_total(&mut self, measure: danso_core::cube::Measure) -> Result<i64> {
        let failed = self.failed();
        sqlx::query_scalar("SELECT coalesce(sum(count), 0) FROM cube WHERE measure = $1")
            .bind(i64::from(measure.code()))
            .fetch_one(self.conn())
            .await
            .map_err(failed)
    }

    /// How many findings there are about each unit that has any, by unit.
    pub async fn finding_counts(&mut self) -> Result<Vec<(UnitCode, u64)>> {
        let failed = self.failed();
        let rows = sqlx::query("SELECT unit, COUNT(*) AS findings FROM finding GROUP BY unit ORDER BY unit")
            .fetch_all(self.conn())
            .await
            .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok((parsed(row.get("unit"), "finding", "unit")?, unsigned(row.get("findings"), "finding", "findings")?))
            })
            .collect()
    }
}
