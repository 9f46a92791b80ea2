//! What answers are made from: sums of the cube, sizes of logs, numbers of findings.

use super::register::sex_from;
use super::sql::{Row, Value};
use super::{Error, Result, Tx, parsed, unsigned};
use danso_core::calendar::Month;
use danso_core::question::{CubeRow, Read};
use danso_proto::ids::{LogId, UnitCode};

/// How far a log has grown, without its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSize {
    /// Row number.
    pub pk: i64,
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
        let column = |needed: bool, name: &str, nothing: &str| match needed {
            true => format!(", {name}"),
            false => format!(", {nothing} AS {name}"),
        };
        let columns = [
            column(read.sex, "sex", "CAST(0 AS BIGINT)"),
            column(read.birth_month, "birth_month", "CAST(-1 AS BIGINT)"),
            column(read.detail, "detail", "CAST(0 AS BIGINT)"),
            column(read.other, "other", "''"),
        ];
        let first = if read.first.is_some() { " AND month >= $4" } else { "" };
        let sql = format!(
            "SELECT unit, CASE WHEN month > $3 THEN month ELSE $3 END AS month{}, CAST(SUM(count) AS BIGINT) AS count
             FROM cube WHERE measure = $1 AND month <= $2{first} AND unit IN ({{rows}})
             GROUP BY 1, 2, 3, 4, 5, 6 HAVING SUM(count) <> 0",
            columns.concat()
        );
        let mut values: Vec<Value> =
            vec![read.measure.code().into(), read.last.index().into(), read.told_apart_from.index().into()];
        values.extend(read.first.map(|first| first.index().into()));
        let rows = self.rows_by(&sql, values, units.iter().map(|unit| [unit.as_str().into()])).await?;
        rows.iter().map(|row| cube_row(row, read)).collect()
    }

    /// All logs with entries on the stream `records`, by name.
    pub async fn record_logs(&mut self) -> Result<Vec<LogSize>> {
        let sql =
            "SELECT id, name, size, recorded_at_ms FROM log WHERE name LIKE '%/records' AND size > 0 ORDER BY name";
        let rows = self.rows(sql, []).await?;
        rows.iter()
            .map(|row| {
                Ok(LogSize {
                    pk: row.get("id")?,
                    log: parsed(row.get("name")?, "log", "name")?,
                    size: unsigned(row.get("size")?, "log", "size")?,
                    recorded_at_ms: row.get("recorded_at_ms")?,
                })
            })
            .collect()
    }

    /// All that was ever counted of a measure, in all units; for a stock: how many there are now.
    pub async fn cube_total(&mut self, measure: danso_core::cube::Measure) -> Result<i64> {
        let sql = "SELECT CAST(coalesce(SUM(count), 0) AS BIGINT) FROM cube WHERE measure = $1";
        self.number(sql, [measure.code().into()]).await
    }

    /// How many findings there are about each unit that has any, by unit.
    pub async fn finding_counts(&mut self) -> Result<Vec<(UnitCode, u64)>> {
        let rows = self.rows("SELECT unit, COUNT(*) AS findings FROM finding GROUP BY unit ORDER BY unit", []).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    parsed(row.get("unit")?, "finding", "unit")?,
                    unsigned(row.get("findings")?, "finding", "findings")?,
                ))
            })
            .collect()
    }
}

fn cube_row(row: &Row, read: &Read) -> Result<CubeRow> {
    let birth_month: i64 = row.get("birth_month")?;
    let other: &str = row.get("other")?;
    Ok(CubeRow {
        unit: parsed(row.get("unit")?, "cube", "unit")?,
        month: month(row.get("month")?, "month")?,
        measure: read.measure,
        sex: sex_from(row.get("sex")?)?,
        birth_month: (birth_month >= 0).then(|| month(birth_month, "birth_month")).transpose()?,
        detail: row.get("detail")?,
        other: if other.is_empty() { None } else { Some(parsed(other, "cube", "other")?) },
        count: row.get("count")?,
    })
}

pub(super) fn month(index: i64, column: &'static str) -> Result<Month> {
    let month = i32::try_from(index).ok().map(Month::from_index).and_then(std::result::Result::ok);
    month.ok_or_else(|| Error::inconsistent("cube", column, "no month"))
}
