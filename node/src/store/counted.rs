//! How the cube's rows are added to.

use std::collections::HashSet;

use danso_core::cube::{CubeDelta, CubeKey};
use danso_proto::ids::UnitCode;

use super::register::sex_code;
use super::sql::{Row, Value};
use super::{Result, Tx};

/// The columns that name a row.
const KEY: &str = "unit, measure, month, recorded, sex, birth_month, detail, other";
/// So many rows of one unit, measure, month and month of record are worth asking for as one.
const GROUP_MIN: usize = 3;

/// A row on its way: its key, and what is added.
type Added<'a> = (&'a CubeKey, i64);

fn is_one_group(a: &Added<'_>, b: &Added<'_>) -> bool {
    (a.0.month, a.0.recorded, a.0.measure) == (b.0.month, b.0.recorded, b.0.measure) && a.0.unit == b.0.unit
}

/// A row's columns, in the order of the table.
fn values(row: &Added<'_>) -> [Value; 9] {
    let (key, count) = row;
    let [unit, measure, month, recorded] = group(key);
    [
        unit,
        measure,
        month,
        recorded,
        sex_code(key.sex).into(),
        key.birth_month.map_or(-1, |month| month.index()).into(),
        key.detail.into(),
        key.other.as_ref().map_or("", UnitCode::as_str).into(),
        (*count).into(),
    ]
}

fn group(key: &CubeKey) -> [Value; 4] {
    [key.unit.as_str().into(), key.measure.code().into(), key.month.index().into(), key.recorded.index().into()]
}

/// What a row tells of the columns of a group.
fn group_of(row: &Row) -> Result<(String, [i64; 3])> {
    Ok((row.get("unit")?, [row.get("measure")?, row.get("month")?, row.get("recorded")?]))
}

impl Tx {
    /// Adds to the cube; rows that come to nothing are dropped, so that the same register always makes the same rows.
    pub async fn cube_add(&mut self, delta: &CubeDelta) -> Result<()> {
        let upsert = format!(
            "INSERT INTO cube ({KEY}, count) {{rows}}
             ON CONFLICT ({KEY}) DO UPDATE SET count = cube.count + excluded.count"
        );
        if !self.is_served() {
            // The partial index on zero counts makes this look-up free when there is nothing to drop.
            return match self.write_many(&upsert, [], delta.iter().map(|row| values(&row))).await? {
                0 => Ok(()),
                _ => self.write("DELETE FROM cube WHERE count = 0", []).await.map(drop),
            };
        }
        let rows: Vec<Added<'_>> = delta.iter().collect();
        let (new, others) = self.cube_new(&rows).await?;
        self.add_many("cube", &format!("{KEY}, count"), new.into_iter().map(values)).await?;
        // An index on what changes would have to be written with each change; here the rows say themselves that nothing is left of them.
        let sql = format!(
            "WITH done AS ({upsert} RETURNING {KEY}, cube.count AS count) SELECT {KEY} FROM done WHERE count = 0"
        );
        let emptied = self.write_returning(&sql, [], others.into_iter().map(values)).await?;
        let emptied: Result<Vec<Vec<Value>>> =
            emptied.iter().map(|row| (0..row.len()).map(|column| row.value(column)).collect()).collect();
        let sql = format!("DELETE FROM cube WHERE ({KEY}) IN ({{rows}})");
        self.write_many(&sql, [], emptied?).await.map(drop)
    }

    /// Rows of groups of which nothing is in the cube, and the others: what a month brings is mostly new together.
    async fn cube_new<'r, 'k>(&mut self, rows: &'r [Added<'k>]) -> Result<(Vec<&'r Added<'k>>, Vec<&'r Added<'k>>)> {
        let large = rows.chunk_by(is_one_group).filter(|rows| rows.len() >= GROUP_MIN);
        let sql = "WITH given (unit, measure, month, recorded) AS ({rows})
                   SELECT unit, measure, month, recorded FROM given
                   WHERE (SELECT cube.unit FROM cube WHERE cube.unit = given.unit AND cube.measure = given.measure
                          AND cube.month = given.month AND cube.recorded = given.recorded LIMIT 1) IS NULL";
        let fresh = self.rows_by(sql, [], large.map(|rows| group(rows[0].0))).await?;
        let fresh: HashSet<(String, [i64; 3])> = fresh.iter().map(group_of).collect::<Result<_>>()?;
        let (mut new, mut others) = (Vec::with_capacity(rows.len()), Vec::new());
        for rows in rows.chunk_by(is_one_group) {
            let key = rows[0].0;
            let numbers = [key.measure.code().into(), key.month.index().into(), key.recorded.index().into()];
            match fresh.contains(&(key.unit.as_str().to_owned(), numbers)) {
                true => new.extend(rows),
                false => others.extend(rows),
            }
        }
        Ok((new, others))
    }
}
