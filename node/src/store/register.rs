//! Register and cube: all derived from the ledger.

use std::collections::HashSet;

use danso_core::forms::household_key;
use danso_core::register::{Household, HouseholdKey, Person};
use danso_proto::ids::{PersonId, UnitCode};
use danso_proto::limits;

use super::sql::{Row, Value};
use super::{Error, Result, Tx, unsigned};

/// So many ids of one change set are worth asking for as one.
const SET_MIN: usize = 8;

/// A reference or number by which somebody can be looked for. One that is longer than any form takes finds nobody, and no index of a server holds
/// it; others can sign one, and must not stop anybody with it. It stands in derived rows: another bound is a new number of the rules
/// (`register::Rules`).
fn looked_for(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.len() <= limits::TEXT_MAX)
}

impl Tx {
    /// Persons with these ids, as far as they are here.
    pub async fn person_read(&mut self, ids: &[PersonId]) -> Result<Vec<Person>> {
        let ids = self.not_all_new(("person", "id"), ids, |id| id.as_bytes()).await?;
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
    /// a row. What is left may be there or not. `column` comes first in an index.
    pub(super) async fn not_all_new<'k, K>(
        &mut self,
        (table, column): (&str, &str),
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
             SELECT first FROM span WHERE (SELECT {column} FROM {table} WHERE {column} >= first AND {column} <= last ORDER BY {column} LIMIT 1) IS NOT NULL"
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
        let keys = self.not_all_new(("household", "id"), keys, |key| key.id.as_bytes()).await?;
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
