//! Register, cube and findings: all derived from the ledger.

use std::collections::HashSet;

use danso_core::calendar::Month;
use danso_core::cube::{CubeKey, Measure};
use danso_core::forms::household_key;
use danso_core::register::{Household, HouseholdKey, Person};
use danso_proto::change::Sex;
use danso_proto::ids::{ChangeId, PersonId, UnitCode};
use danso_proto::limits;
use danso_proto::refusal::Reason;

use super::figures::month;
use super::sql::{Row, Value};
use super::{Error, FindingKey, Result, Tx, change_id, parsed, unsigned};

/// Which rows of the cube a question needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CubeFilter {
    /// Units, one by one.
    pub units: Vec<UnitCode>,
    /// Measures and their first month; `None`: from the beginning.
    pub measures: Vec<(Measure, Option<Month>)>,
    /// Last month.
    pub to: Month,
}

/// So many ids of one change set are worth asking for as one.
const SET_MIN: usize = 8;

/// A record that cannot be counted, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    /// The change.
    pub change: ChangeId,
    /// The person; `None` for a change of an unknown kind.
    pub person: Option<PersonId>,
    /// Row number of the log.
    pub log: i64,
    /// Entry.
    pub sequence: u64,
    /// The unit that the change is about.
    pub unit: UnitCode,
    /// Why.
    pub reason: Reason,
}

/// A reference or number by which somebody can be looked for. One that is longer than any form takes finds nobody, and no index of a server holds
/// it; others can sign one, and must not stop anybody with it. It stands in derived rows: another bound is a new number of the rules
/// (`register::Rules`).
fn looked_for(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.len() <= limits::TEXT_MAX)
}

impl Tx {
    /// Persons with these ids, as far as they are here.
    pub async fn person_read(&mut self, ids: &[PersonId]) -> Result<Vec<Person>> {
        let ids = self.not_all_new("person", ids, |id| id.as_bytes()).await?;
        let rows = self.rows_by(
            "SELECT data FROM person WHERE id IN ({rows})",
            [],
            ids.into_iter().map(|id| [id.as_bytes().into()]),
        );
        let person =
            |row: &Row| Person::from_bytes(row.get("data")?).map_err(|e| Error::inconsistent("person", "data", e));
        rows.await?.iter().map(person).collect()
    }

    /// `keys` without those of change sets none of whose ids is in the table: most of a household book is new, and is asked for once a set and not once
    /// a row. What is left may be there or not.
    async fn not_all_new<'k, K>(
        &mut self,
        table: &str,
        keys: &'k [K],
        id: impl Fn(&K) -> &[u8; 16],
    ) -> Result<Vec<&'k K>> {
        let sets = keys.chunk_by(|a, b| id(a)[..12] == id(b)[..12]);
        let (large, mut asked): (Vec<&[K]>, Vec<&[K]>) = sets.partition(|set| set.len() >= SET_MIN);
        let span = |set: &&[K]| {
            let (mut first, mut last) = ([0; 16], [0xff; 16]);
            first[..12].copy_from_slice(&id(&set[0])[..12]);
            last[..12].copy_from_slice(&id(&set[0])[..12]);
            [Value::from(&first), Value::from(&last)]
        };
        let sql = format!(
            "WITH span (first, last) AS ({{rows}})
             SELECT first FROM span WHERE (SELECT id FROM {table} WHERE id >= first AND id <= last ORDER BY id LIMIT 1) IS NOT NULL"
        );
        let rows = self.rows_by(&sql, [], large.iter().map(span)).await?;
        let found: Result<HashSet<&[u8]>> = rows.iter().map(|row| Ok(&row.get::<&[u8]>("first")?[..12])).collect();
        let found = found?;
        asked.extend(large.into_iter().filter(|set| found.contains(&id(&set[0])[..12])));
        Ok(asked.into_iter().flatten().collect())
    }

    /// Writes persons: those that are in `known` are here and are replaced, the others are not.
    pub async fn person_put(&mut self, persons: &[Person], known: &HashSet<PersonId>) -> Result<()> {
        let row = |person: &Person| {
            let unit = person.unit().map_or("", UnitCode::as_str);
            [
                person.id().as_bytes().into(),
                unit.into(),
                looked_for(person.reference()).into(),
                person.to_bytes().into(),
            ]
        };
        let new = persons.iter().filter(|person| !known.contains(&person.id()));
        self.add_many("person", "id, unit, reference, data", new.map(row)).await?;
        let sql = "INSERT INTO person (id, unit, reference, data) {rows}
                   ON CONFLICT (id) DO UPDATE SET unit = excluded.unit, reference = excluded.reference, data = excluded.data";
        let changed = persons.iter().filter(|person| known.contains(&person.id()));
        self.write_many(sql, [], changed.map(row)).await.map(drop)
    }

    /// Households with these keys, as far as they are here.
    pub async fn household_read(&mut self, keys: &[HouseholdKey]) -> Result<Vec<Household>> {
        let keys = self.not_all_new("household", keys, |key| key.id.as_bytes()).await?;
        let sql = "SELECT data FROM household WHERE (id, unit) IN ({rows})";
        let rows = self.rows_by(sql, [], keys.into_iter().map(household_values)).await?;
        let household = |row: &Row| {
            Household::from_bytes(row.get("data")?).map_err(|e| Error::inconsistent("household", "data", e))
        };
        rows.iter().map(household).collect()
    }

    /// Writes households: those that are in `known` are here and are replaced, the others are not.
    pub async fn household_put(&mut self, households: &[Household], known: &HashSet<HouseholdKey>) -> Result<()> {
        let row = |household: &Household| {
            let [id, unit] = household_values(household.key());
            [id, unit, looked_for(household.number()).map(household_key).into(), household.to_bytes().into()]
        };
        let new = households.iter().filter(|household| !known.contains(household.key()));
        self.add_many("household", "id, unit, number, data", new.map(row)).await?;
        let sql = "INSERT INTO household (id, unit, number, data) {rows}
                   ON CONFLICT (id, unit) DO UPDATE SET number = excluded.number, data = excluded.data";
        let changed = households.iter().filter(|household| known.contains(household.key()));
        self.write_many(sql, [], changed.map(row)).await.map(drop)
    }

    /// Forgets households that nobody ever lived in, by all that is known now.
    pub async fn household_remove(&mut self, keys: &[HouseholdKey]) -> Result<()> {
        let sql = "DELETE FROM household WHERE (id, unit) IN ({rows})";
        self.write_many(sql, [], keys.iter().map(household_values)).await.map(drop)
    }

    /// Rows of the cube for a question, summed over the months in which they became known.
    pub async fn cube_read(&mut self, filter: &CubeFilter) -> Result<Vec<(CubeKey, i64)>> {
        let mut found = Vec::new();
        for (measure, from) in &filter.measures {
            let first = if from.is_some() { " AND month >= $3" } else { "" };
            let sql = format!(
                "SELECT unit, month, sex, birth_month, detail, other, CAST(SUM(count) AS BIGINT) AS count FROM cube
                 WHERE measure = $1 AND month <= $2{first} AND unit IN ({{rows}})
                 GROUP BY unit, month, sex, birth_month, detail, other"
            );
            let mut values: Vec<Value> = vec![measure.code().into(), filter.to.index().into()];
            values.extend(from.map(|from| from.index().into()));
            for row in self.rows_by(&sql, values, filter.units.iter().map(|unit| [unit.as_str().into()])).await? {
                let birth_month: i64 = row.get("birth_month")?;
                let other: &str = row.get("other")?;
                let key = CubeKey {
                    unit: parsed(row.get("unit")?, "cube", "unit")?,
                    month: month(row.get("month")?, "month")?,
                    recorded: filter.to,
                    measure: *measure,
                    sex: sex_from(row.get("sex")?)?,
                    birth_month: (birth_month >= 0).then(|| month(birth_month, "birth_month")).transpose()?,
                    detail: row.get("detail")?,
                    other: if other.is_empty() { None } else { Some(parsed(other, "cube", "other")?) },
                };
                found.push((key, row.get("count")?));
            }
        }
        Ok(found)
    }

    /// Forgets the findings about `persons`, and tells which there were.
    pub async fn finding_remove(&mut self, persons: &[PersonId]) -> Result<Vec<FindingKey>> {
        let sql = "DELETE FROM finding WHERE person IN ({rows}) RETURNING change, reason";
        let rows = self.write_returning(sql, [], persons.iter().map(|id| [id.as_bytes().into()])).await?;
        rows.iter().map(|row| Ok((change_id(row.get("change")?, "finding", "change")?, row.get("reason")?))).collect()
    }

    /// Adds findings.
    pub async fn finding_add(&mut self, findings: &[FindingRow]) -> Result<()> {
        let sql = "INSERT INTO finding (change, person, log, sequence, unit, reason) {rows} ON CONFLICT (change, reason) DO NOTHING";
        let rows = findings.iter().map(|finding| {
            [
                finding.change.as_bytes().into(),
                finding.person.map(|person| person.as_bytes().to_vec()).into(),
                finding.log.into(),
                finding.sequence.into(),
                finding.unit.as_str().into(),
                finding.reason.code().into(),
            ]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// All findings.
    pub async fn finding_list(&mut self) -> Result<Vec<FindingRow>> {
        let sql = "SELECT change, person, log, sequence, unit, reason FROM finding ORDER BY log, sequence, change";
        let rows = self.rows(sql, []).await?;
        rows.iter()
            .map(|row| {
                let person: Option<&[u8]> = row.get("person")?;
                let reason: &str = row.get("reason")?;
                Ok(FindingRow {
                    change: change_id(row.get("change")?, "finding", "change")?,
                    person: person.map(|id| change_id(id, "finding", "person")).transpose()?,
                    log: row.get("log")?,
                    sequence: unsigned(row.get("sequence")?, "finding", "sequence")?,
                    unit: parsed(row.get("unit")?, "finding", "unit")?,
                    reason: Reason::from_code(reason)
                        .ok_or_else(|| Error::inconsistent("finding", "reason", "no known reason"))?,
                })
            })
            .collect()
    }

    /// How much is here: persons, waiting slips, findings.
    pub async fn counts(&mut self) -> Result<(u64, u64, u64)> {
        let mut counts = [0; 3];
        for (table, count) in ["person", "waiting", "finding"].into_iter().zip(&mut counts) {
            *count = unsigned(self.number(&format!("SELECT COUNT(*) FROM {table}"), []).await?, table, "count")?;
        }
        Ok(counts.into())
    }
}

fn household_values(key: &HouseholdKey) -> [Value; 2] {
    [key.id.as_bytes().into(), key.unit.as_str().into()]
}

pub(super) fn sex_code(sex: Option<Sex>) -> i64 {
    match sex {
        None => 0,
        Some(Sex::Male) => 1,
        Some(Sex::Female) => 2,
    }
}

pub(super) fn sex_from(code: i64) -> Result<Option<Sex>> {
    match code {
        0 => Ok(None),
        1 => Ok(Some(Sex::Male)),
        2 => Ok(Some(Sex::Female)),
        _ => Err(Error::inconsistent("cube", "sex", code)),
    }
}
