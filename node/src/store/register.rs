//! Register, cube and findings: all derived from the ledger.

use std::collections::BTreeMap;

use danso_core::calendar::Month;
use danso_core::cube::{CubeDelta, CubeKey, Measure};
use danso_core::forms::household_key;
use danso_core::register::{Household, HouseholdKey, PeriodEnd, Person};
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
        let rows = self.rows_by(
            "SELECT data FROM person WHERE id IN ({rows})",
            [],
            ids.iter().map(|id| [id.as_bytes().into()]),
        );
        let person =
            |row: &Row| Person::from_bytes(row.get("data")?).map_err(|e| Error::inconsistent("person", "data", e));
        rows.await?.iter().map(person).collect()
    }

    /// Writes persons; those that are here are replaced.
    pub async fn person_put(&mut self, persons: &[Person]) -> Result<()> {
        let sql = "INSERT INTO person (id, unit, reference, data) {rows}
                   ON CONFLICT (id) DO UPDATE SET unit = excluded.unit, reference = excluded.reference, data = excluded.data";
        let rows = persons.iter().map(|person| {
            let unit = person.unit().map_or("", UnitCode::as_str);
            [
                person.id().as_bytes().into(),
                unit.into(),
                looked_for(person.reference()).into(),
                person.to_bytes().into(),
            ]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// Households with these keys, as far as they are here.
    pub async fn household_read(&mut self, keys: &[HouseholdKey]) -> Result<Vec<Household>> {
        let sql = "SELECT data FROM household WHERE (id, unit) IN ({rows})";
        let rows = self.rows_by(sql, [], keys.iter().map(household_values)).await?;
        let household = |row: &Row| {
            Household::from_bytes(row.get("data")?).map_err(|e| Error::inconsistent("household", "data", e))
        };
        rows.iter().map(household).collect()
    }

    /// Writes households; those that are here are replaced.
    pub async fn household_put(&mut self, households: &[Household]) -> Result<()> {
        let sql = "INSERT INTO household (id, unit, number, data) {rows}
                   ON CONFLICT (id, unit) DO UPDATE SET number = excluded.number, data = excluded.data";
        let rows = households.iter().map(|household| {
            let [id, unit] = household_values(household.key());
            [id, unit, looked_for(household.number()).map(household_key).into(), household.to_bytes().into()]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// Forgets households that nobody ever lived in, by all that is known now.
    pub async fn household_remove(&mut self, keys: &[HouseholdKey]) -> Result<()> {
        let sql = "DELETE FROM household WHERE (id, unit) IN ({rows})";
        self.write_many(sql, [], keys.iter().map(household_values)).await.map(drop)
    }

    /// Adds to the cube; rows that come to nothing are dropped, so that the same register always makes the same rows.
    pub async fn cube_add(&mut self, delta: &CubeDelta) -> Result<()> {
        let sql = "INSERT INTO cube (unit, measure, month, recorded, sex, birth_month, detail, other, count) {rows}
                   ON CONFLICT (unit, measure, month, recorded, sex, birth_month, detail, other)
                   DO UPDATE SET count = cube.count + excluded.count";
        let rows = delta.iter().map(|(key, count)| {
            [
                key.unit.as_str().into(),
                key.measure.code().into(),
                key.month.index().into(),
                key.recorded.index().into(),
                sex_code(key.sex).into(),
                key.birth_month.map_or(-1, |month| month.index()).into(),
                key.detail.into(),
                key.other.as_ref().map_or("", UnitCode::as_str).into(),
                count.into(),
            ]
        });
        // The partial index on zero counts makes this look-up free when there is nothing to drop.
        match self.write_many(sql, [], rows).await? {
            0 => Ok(()),
            _ => self.write("DELETE FROM cube WHERE count = 0", []).await.map(drop),
        }
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

    /// Notes which months were declared complete. Of several who say so the lowest id stays, so that it does not matter which came first.
    pub async fn period_put(&mut self, periods: &[PeriodEnd]) -> Result<()> {
        let sql = "INSERT INTO period (unit, month, change) {rows}
                   ON CONFLICT (unit, month) DO UPDATE SET change = excluded.change WHERE excluded.change < period.change";
        // One row a statement for each key: PostgreSQL refuses to change a row twice in one.
        let mut lowest: BTreeMap<_, &PeriodEnd> = BTreeMap::new();
        for period in periods {
            let kept = lowest.entry((&period.unit, period.month.index())).or_insert(period);
            if period.change.as_bytes() < kept.change.as_bytes() {
                *kept = period;
            }
        }
        let rows = lowest
            .into_values()
            .map(|period| [period.unit.as_str().into(), period.month.index().into(), period.change.as_bytes().into()]);
        self.write_many(sql, [], rows).await.map(drop)
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

fn sex_code(sex: Option<Sex>) -> i64 {
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
