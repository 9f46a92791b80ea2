//! How the cube's rows are added to.

use std::collections::{HashMap, HashSet};

use danso_core::cube::{CubeDelta, CubeKey};
use danso_proto::ids::UnitCode;

use super::register::sex_code;
use super::sql::{Row, Value};
use super::{Result, Tx};

/// The columns that name a row.
const KEY: &str = "unit, measure, month, recorded, sex, birth_month, detail, other";
/// So many rows of one unit, measure, month and month of record are worth asking for as one.
const GROUP_MIN: usize = 3;

/// Rows that are remembered at most: some 16 MiB.
const KNOWN_MAX: usize = 250_000;

/// A row on its way: its key, and what is added.
type Added<'a> = (&'a CubeKey, i64);
/// Unit; measure, month and month of record.
type Group = (String, [i64; 3]);
/// What else names a row: sex, month of birth, detail, other unit.
type Rest = (i64, i64, i64, String);

/// Which rows of the cube a server has, of groups of which it had none when this process first wrote some: a household book comes in many
/// transactions, and what a server is told to be new costs it half. A transaction has it for itself, and only one that was kept gives it back.
#[derive(Debug, Default)]
pub(super) struct Known {
    groups: HashMap<Group, HashSet<Rest>>,
    rows: usize,
}

impl Known {
    /// Whether the row is new, as far as that is known; it is there from now on.
    fn is_new(rows: Option<&mut HashSet<Rest>>, key: &CubeKey) -> bool {
        rows.is_some_and(|rows| {
            let birth_month = key.birth_month.map_or(-1, |month| month.index().into());
            let other = key.other.as_ref().map_or("", UnitCode::as_str).to_owned();
            rows.insert((sex_code(key.sex), birth_month, key.detail, other))
        })
    }

    fn forget(&mut self, row: &Row) -> Result<()> {
        if let Some(rows) = self.groups.get_mut(&group_of(row)?) {
            rows.remove(&(row.get("sex")?, row.get("birth_month")?, row.get("detail")?, row.get("other")?));
        }
        Ok(())
    }
}

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

fn group_name(key: &CubeKey) -> Group {
    (key.unit.as_str().to_owned(), [key.measure.code().into(), key.month.index().into(), key.recorded.index().into()])
}

/// What a row tells of its group.
fn group_of(row: &Row) -> Result<Group> {
    Ok((row.get("unit")?, [row.get("measure")?, row.get("month")?, row.get("recorded")?]))
}

impl Tx {
    /// Adds to the cube; rows that come to nothing are dropped, so that the same register always makes the same rows.
    pub async fn cube_add(&mut self, delta: &CubeDelta) -> Result<()> {
        let upsert = format!(
            "INSERT INTO cube ({KEY}, count) {{rows}}
             ON CONFLICT ({KEY}) DO UPDATE SET count = cube.count + excluded.count"
        );
        let Some(known) = self.known() else {
            // The partial index on zero counts makes this look-up free when there is nothing to drop.
            return match self.write_many(&upsert, [], delta.iter().map(|row| values(&row))).await? {
                0 => Ok(()),
                _ => self.write("DELETE FROM cube WHERE count = 0", []).await.map(drop),
            };
        };
        // When something fails it is gone with the transaction.
        let mut known = std::mem::take(known);
        let rows: Vec<Added<'_>> = delta.iter().collect();
        let (new, others) = self.cube_new(&rows, &mut known).await?;
        self.add_many("cube", &format!("{KEY}, count"), new.into_iter().map(values)).await?;
        // An index on what changes would have to be written with each change; here the rows say themselves that nothing is left of them.
        let sql = format!(
            "WITH done AS ({upsert} RETURNING {KEY}, cube.count AS count) SELECT {KEY} FROM done WHERE count = 0"
        );
        let emptied = self.write_returning(&sql, [], others.into_iter().map(values)).await?;
        emptied.iter().try_for_each(|row| known.forget(row))?;
        if let Some(kept) = self.known() {
            *kept = known;
        }
        let emptied: Result<Vec<Vec<Value>>> =
            emptied.iter().map(|row| (0..row.len()).map(|column| row.value(column)).collect()).collect();
        let sql = format!("DELETE FROM cube WHERE ({KEY}) IN ({{rows}})");
        self.write_many(&sql, [], emptied?).await.map(drop)
    }

    /// Rows that are new, and those of which that is not known. Groups of several rows are asked for when they first come: what a month brings is mostly
    /// new together.
    async fn cube_new<'r, 'k>(
        &mut self,
        rows: &'r [Added<'k>],
        known: &mut Known,
    ) -> Result<(Vec<&'r Added<'k>>, Vec<&'r Added<'k>>)> {
        if known.rows > KNOWN_MAX {
            *known = Known::default();
        }
        let groups: Vec<(Group, &[Added<'_>])> =
            rows.chunk_by(is_one_group).map(|rows| (group_name(rows[0].0), rows)).collect();
        let asked = groups.iter().filter(|(group, rows)| rows.len() >= GROUP_MIN && !known.groups.contains_key(group));
        let sql = "WITH given (unit, measure, month, recorded) AS ({rows})
                   SELECT unit, measure, month, recorded FROM given
                   WHERE (SELECT cube.unit FROM cube WHERE cube.unit = given.unit AND cube.measure = given.measure
                          AND cube.month = given.month AND cube.recorded = given.recorded LIMIT 1) IS NULL";
        let fresh = self.rows_by(sql, [], asked.map(|(_, rows)| group(rows[0].0))).await?;
        for row in &fresh {
            known.groups.insert(group_of(row)?, HashSet::new());
        }
        let (mut new, mut others) = (Vec::with_capacity(rows.len()), Vec::new());
        for (group, rows) in &groups {
            let mut in_group = known.groups.get_mut(group);
            for row in *rows {
                match Known::is_new(in_group.as_deref_mut(), row.0) {
                    true => new.push(row),
                    false => others.push(row),
                }
            }
        }
        known.rows += new.len();
        Ok((new, others))
    }
}
