//! The cube: groups of rows, added to and read.

use danso_core::calendar::Month;
use danso_core::cube::{CubeDelta, CubeGroup, CubeKey, GroupRows, Measure};
use danso_proto::ids::UnitCode;

use super::sql::{Row, Value};
use super::{Error, Result, Tx, parsed};

/// Groups whose rows are in memory together, as stored and as read.
const GROUPS_AT_ONCE: usize = 1_000;
/// The columns that name a group.
const KEY: &str = "unit, measure, month";

impl Tx {
    /// Adds to the cube; groups of which nothing is left are dropped, so that the same register always makes the same rows.
    pub async fn cube_add(&mut self, delta: &CubeDelta) -> Result<()> {
        let mut groups = delta.groups().into_iter().peekable();
        while groups.peek().is_some() {
            self.add_groups(groups.by_ref().take(GROUPS_AT_ONCE).map(|(group, rows)| (group, rows, false)).collect())
                .await?;
        }
        Ok(())
    }

    async fn add_groups(&mut self, mut groups: Vec<(CubeGroup, GroupRows, bool)>) -> Result<()> {
        let sql = format!("SELECT {KEY}, data FROM cube WHERE ({KEY}) IN ({{rows}})");
        for row in &self.rows_by(&sql, [], groups.iter().map(|(group, ..)| name(group))).await? {
            let group = group(row)?;
            let before = rows(&group, row)?;
            if let Ok(at) = groups.binary_search_by(|(other, ..)| other.cmp(&group)) {
                groups[at].1.add(before);
                groups[at].2 = true;
            }
        }
        let values = |(group, rows, _): &(CubeGroup, GroupRows, bool)| {
            let [unit, measure, month] = name(group);
            [unit, measure, month, rows.to_bytes(group.first).into()]
        };
        let (emptied, kept): (Vec<_>, Vec<_>) = groups.iter().partition(|(_, rows, _)| rows.is_empty());
        let (old, new): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(.., was_there)| *was_there);
        self.add_many("cube", &format!("{KEY}, data"), new.into_iter().map(values)).await?;
        let sql =
            format!("INSERT INTO cube ({KEY}, data) {{rows}} ON CONFLICT ({KEY}) DO UPDATE SET data = excluded.data");
        self.write_many(&sql, [], old.into_iter().map(values)).await?;
        let sql = format!("DELETE FROM cube WHERE ({KEY}) IN ({{rows}})");
        self.write_many(&sql, [], emptied.into_iter().map(|(group, ..)| name(group))).await.map(drop)
    }

    /// Gives the rows of the cube about `units` of a measure, from one month to another. In no particular order.
    pub async fn cube_read(
        &mut self,
        units: &[UnitCode],
        measure: Measure,
        first: Option<Month>,
        last: Month,
        mut take: impl FnMut(CubeKey, i64),
    ) -> Result<()> {
        let from = first.map(|first| i64::from(CubeGroup::first(first).index()));
        let values = [measure.code().into(), from.unwrap_or(i64::MIN).into(), last.index().into()];
        let sql = format!(
            "SELECT {KEY}, data FROM cube WHERE measure = $1 AND month BETWEEN $2 AND $3 AND unit IN ({{rows}})"
        );
        for row in &self.rows_by(&sql, values, units.iter().map(|unit| [unit.as_str().into()])).await? {
            let group = group(row)?;
            for (key, count) in rows(&group, row)?.of(&group) {
                if key.month <= last && first.is_none_or(|first| key.month >= first) {
                    take(key, count);
                }
            }
        }
        Ok(())
    }

    /// All that was ever counted of a measure, in all units; for a stock: how many there are now.
    pub async fn cube_total(&mut self, measure: Measure) -> Result<i64> {
        let mut total = 0;
        let sql = format!("SELECT {KEY}, data FROM cube WHERE measure = {}", measure.code());
        self.each(&sql, |row| {
            let group = group(row)?;
            total += rows(&group, row)?.total();
            Ok(())
        })
        .await?;
        Ok(total)
    }
}

fn name(group: &CubeGroup) -> [Value; 3] {
    [group.unit.as_str().into(), group.measure.code().into(), group.first.index().into()]
}

fn group(row: &Row) -> Result<CubeGroup> {
    let (measure, month) = (row.get("measure")?, row.get("month")?);
    Ok(CubeGroup {
        unit: parsed(row.get("unit")?, "cube", "unit")?,
        measure: Measure::from_code(measure).ok_or_else(|| Error::inconsistent("cube", "measure", measure))?,
        first: super::figures::month(month)?,
    })
}

fn rows(group: &CubeGroup, row: &Row) -> Result<GroupRows> {
    GroupRows::from_bytes(group.first, row.get("data")?).map_err(|error| Error::inconsistent("cube", "data", error))
}
