//! What answers are made from: sums of the cube, sizes of logs, numbers of findings.

use std::collections::HashMap;

use super::{Error, Result, Tx, parsed, unsigned};
use danso_core::calendar::Month;
use danso_core::cube::CubeKey;
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
    /// no more rows are handed over than the question needs. In no particular order.
    pub async fn cube_sum(&mut self, units: &[UnitCode], read: &Read) -> Result<Vec<CubeRow>> {
        let mut sums: HashMap<CubeRow, i64> = HashMap::new();
        let take = |key: CubeKey, count| {
            let row = CubeRow {
                unit: key.unit,
                month: key.month.max(read.told_apart_from),
                measure: key.measure,
                sex: key.sex.filter(|_| read.sex),
                birth_month: key.birth_month.filter(|_| read.birth_month),
                detail: if read.detail { key.detail } else { 0 },
                other: key.other.filter(|_| read.other),
                count: 0,
            };
            *sums.entry(row).or_default() += count;
        };
        self.cube_read(units, read.measure, read.first, read.last, take).await?;
        Ok(sums.into_iter().filter(|(_, count)| *count != 0).map(|(row, count)| CubeRow { count, ..row }).collect())
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

    /// How many records of each unit are not counted, of those that have any, by unit.
    pub async fn finding_counts(&mut self) -> Result<Vec<(UnitCode, u64)>> {
        let sql = "SELECT unit, COUNT(DISTINCT change) AS findings FROM finding WHERE severity = 1 GROUP BY unit ORDER BY unit";
        let rows = self.rows(sql, []).await?;
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

pub(super) fn month(index: i64) -> Result<Month> {
    let month = i32::try_from(index).ok().map(Month::from_index).and_then(std::result::Result::ok);
    month.ok_or_else(|| Error::inconsistent("cube", "month", "no month"))
}
