//! Register, cube and findings: all derived from the ledger.

use danso_core::calendar::Month;
use danso_core::cube::{CubeDelta, CubeKey, Measure};
use danso_core::forms::household_key;
use danso_core::register::{Household, HouseholdKey, PeriodEnd, Person};
use danso_proto::change::Sex;
use danso_proto::ids::{ChangeId, PersonId, UnitCode};
use danso_proto::refusal::Reason;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{Error, FindingKey, ROWS, Result, Tx, change_id, parsed, unsigned};

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

impl Tx {
    /// Persons with these ids, as far as they are here.
    pub async fn person_read(&mut self, ids: &[PersonId]) -> Result<Vec<Person>> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT data FROM person WHERE id IN (");
            let mut list = sql.separated(", ");
            for id in chunk {
                list.push_bind(id.as_bytes().to_vec());
            }
            sql.push(")");
            for row in sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)? {
                found.push(Person::from_bytes(row.get("data")).map_err(|e| Error::inconsistent("person", "data", e))?);
            }
        }
        Ok(found)
    }

    /// Writes persons; those that are here are replaced.
    pub async fn person_put(&mut self, persons: &[Person]) -> Result<()> {
        for chunk in persons.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO person (id, unit, reference, data) ");
            sql.push_values(chunk, |mut row, person| {
                row.push_bind(person.id().as_bytes().to_vec())
                    .push_bind(person.unit().map(UnitCode::to_string).unwrap_or_default())
                    .push_bind(person.reference().map(str::to_owned))
                    .push_bind(person.to_bytes());
            });
            sql.push(
                " ON CONFLICT (id) DO UPDATE SET unit = excluded.unit, reference = excluded.reference, data = excluded.data",
            );
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Households with these keys, as far as they are here.
    pub async fn household_read(&mut self, keys: &[HouseholdKey]) -> Result<Vec<Household>> {
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT data FROM household WHERE ");
            push_household_keys(&mut sql, chunk);
            for row in sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)? {
                let household = Household::from_bytes(row.get("data"));
                found.push(household.map_err(|e| Error::inconsistent("household", "data", e))?);
            }
        }
        Ok(found)
    }

    /// Writes households; those that are here are replaced.
    pub async fn household_put(&mut self, households: &[Household]) -> Result<()> {
        for chunk in households.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO household (id, unit, number, data) ");
            sql.push_values(chunk, |mut row, household| {
                row.push_bind(household.key().id.as_bytes().to_vec())
                    .push_bind(household.key().unit.to_string())
                    .push_bind(household.number().map(|number| household_key(number).to_owned()))
                    .push_bind(household.to_bytes());
            });
            sql.push(" ON CONFLICT (id, unit) DO UPDATE SET number = excluded.number, data = excluded.data");
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Forgets households that nobody ever lived in, by all that is known now.
    pub async fn household_remove(&mut self, keys: &[HouseholdKey]) -> Result<()> {
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM household WHERE ");
            push_household_keys(&mut sql, chunk);
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Adds to the cube; rows that come to nothing are dropped, so that the same register always makes the same rows.
    pub async fn cube_add(&mut self, delta: &CubeDelta) -> Result<()> {
        let rows: Vec<(&CubeKey, i64)> = delta.iter().collect();
        for chunk in rows.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO cube (unit, measure, month, recorded, sex, birth_month, detail, other, count) ",
            );
            sql.push_values(chunk, |mut row, (key, count)| {
                row.push_bind(key.unit.to_string())
                    .push_bind(i64::from(key.measure.code()))
                    .push_bind(i64::from(key.month.index()))
                    .push_bind(i64::from(key.recorded.index()))
                    .push_bind(sex_code(key.sex))
                    .push_bind(key.birth_month.map_or(-1, |month| i64::from(month.index())))
                    .push_bind(key.detail)
                    .push_bind(key.other.as_ref().map(UnitCode::to_string).unwrap_or_default())
                    .push_bind(*count);
            });
            sql.push(
                " ON CONFLICT (unit, measure, month, recorded, sex, birth_month, detail, other)
                  DO UPDATE SET count = count + excluded.count",
            );
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        // The partial index on zero counts makes this look-up free when there is nothing to drop.
        if !rows.is_empty() {
            let failed = self.failed();
            sqlx::query("DELETE FROM cube WHERE count = 0").execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Rows of the cube for a question, summed over the months in which they became known.
    pub async fn cube_read(&mut self, filter: &CubeFilter) -> Result<Vec<(CubeKey, i64)>> {
        let mut found = Vec::new();
        for units in filter.units.chunks(ROWS) {
            for (measure, from) in &filter.measures {
                let failed = self.failed();
                let mut sql = QueryBuilder::<Sqlite>::new(
                    "SELECT unit, month, sex, birth_month, detail, other, SUM(count) AS count FROM cube WHERE measure = ",
                );
                sql.push_bind(i64::from(measure.code()));
                sql.push(" AND month <= ").push_bind(i64::from(filter.to.index()));
                if let Some(from) = from {
                    sql.push(" AND month >= ").push_bind(i64::from(from.index()));
                }
                sql.push(" AND unit IN (");
                let mut list = sql.separated(", ");
                for unit in units {
                    list.push_bind(unit.to_string());
                }
                sql.push(") GROUP BY unit, month, sex, birth_month, detail, other");
                for row in sql.build().fetch_all(self.conn()).await.map_err(failed)? {
                    let month = |column| {
                        let index = i32::try_from(row.get::<i64, _>(column));
                        let month = index.ok().map(Month::from_index).and_then(Result::ok);
                        month.ok_or_else(|| Error::inconsistent("cube", column, "no month"))
                    };
                    let other: &str = row.get("other");
                    let key = CubeKey {
                        unit: parsed(row.get("unit"), "cube", "unit")?,
                        month: month("month")?,
                        recorded: filter.to,
                        measure: *measure,
                        sex: sex_from(row.get("sex"))?,
                        birth_month: (row.get::<i64, _>("birth_month") >= 0)
                            .then(|| month("birth_month"))
                            .transpose()?,
                        detail: row.get("detail"),
                        other: if other.is_empty() { None } else { Some(parsed(other, "cube", "other")?) },
                    };
                    found.push((key, row.get("count")));
                }
            }
        }
        Ok(found)
    }

    /// Forgets the findings about `persons`, and tells which there were.
    pub async fn finding_remove(&mut self, persons: &[PersonId]) -> Result<Vec<FindingKey>> {
        let mut forgotten = Vec::new();
        for chunk in persons.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM finding WHERE person IN (");
            let mut list = sql.separated(", ");
            for id in chunk {
                list.push_bind(id.as_bytes().to_vec());
            }
            sql.push(") RETURNING change, reason");
            for row in sql.build().persistent(chunk.len() == ROWS).fetch_all(self.write()?).await.map_err(failed)? {
                forgotten.push((change_id(row.get("change"), "finding", "change")?, row.get("reason")));
            }
        }
        Ok(forgotten)
    }

    /// Adds findings.
    pub async fn finding_add(&mut self, findings: &[FindingRow]) -> Result<()> {
        for chunk in findings.chunks(ROWS) {
            let failed = self.failed();
            let mut sql =
                QueryBuilder::<Sqlite>::new("INSERT INTO finding (change, person, log, sequence, unit, reason) ");
            sql.push_values(chunk, |mut row, finding| {
                row.push_bind(finding.change.as_bytes().to_vec())
                    .push_bind(finding.person.map(|person| person.as_bytes().to_vec()))
                    .push_bind(finding.log)
                    .push_bind(finding.sequence as i64)
                    .push_bind(finding.unit.to_string())
                    .push_bind(finding.reason.code());
            });
            sql.push(" ON CONFLICT (change, reason) DO NOTHING");
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// All findings.
    pub async fn finding_list(&mut self) -> Result<Vec<FindingRow>> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT change, person, log, sequence, unit, reason FROM finding ORDER BY log, sequence, change",
        )
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let person: Option<&[u8]> = row.get("person");
                let reason: &str = row.get("reason");
                Ok(FindingRow {
                    change: change_id(row.get("change"), "finding", "change")?,
                    person: person.map(|id| change_id(id, "finding", "person")).transpose()?,
                    log: row.get("log"),
                    sequence: unsigned(row.get("sequence"), "finding", "sequence")?,
                    unit: parsed(row.get("unit"), "finding", "unit")?,
                    reason: Reason::from_code(reason)
                        .ok_or_else(|| Error::inconsistent("finding", "reason", "no known reason"))?,
                })
            })
            .collect()
    }

    /// Notes which months were declared complete. Of several who say so the lowest id stays, so that it does not matter which came first.
    pub async fn period_put(&mut self, periods: &[PeriodEnd]) -> Result<()> {
        for chunk in periods.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO period (unit, month, change) ");
            sql.push_values(chunk, |mut row, period| {
                row.push_bind(period.unit.to_string())
                    .push_bind(i64::from(period.month.index()))
                    .push_bind(period.change.as_bytes().to_vec());
            });
            sql.push(" ON CONFLICT (unit, month) DO UPDATE SET change = excluded.change WHERE excluded.change < period.change");
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// How much is here: persons, waiting slips, findings.
    pub async fn counts(&mut self) -> Result<(u64, u64, u64)> {
        let failed = self.failed();
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM person), (SELECT COUNT(*) FROM waiting), (SELECT COUNT(*) FROM finding)",
        )
        .fetch_one(self.conn())
        .await
        .map_err(failed)?;
        let count = |i: usize| unsigned(row.get(i), "count", "count");
        Ok((count(0)?, count(1)?, count(2)?))
    }
}

fn push_household_keys(sql: &mut QueryBuilder<Sqlite>, keys: &[HouseholdKey]) {
    sql.push("(id, unit) IN (VALUES ");
    let mut list = sql.separated(", ");
    for key in keys {
        list.push("(").push_bind_unseparated(key.id.as_bytes().to_vec()).push_unseparated(", ");
        list.push_bind_unseparated(key.unit.to_string()).push_unseparated(")");
    }
    sql.push(")");
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
