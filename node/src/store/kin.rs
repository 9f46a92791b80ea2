//! What rules look at beside single persons: who is whose mother, newborns without a name, and persons page by page.

use danso_core::calendar::PartialDate;
use danso_core::register::Person;
use danso_core::rules::{Rule, Unnamed};
use danso_proto::ids::{ChangeId, PersonId, UnitCode};

use super::sql::Value;
use super::{Error, FindingKey, Result, Tx, change_id, parsed};

/// A newborn whose name is overdue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnnamedRow {
    /// The person.
    pub person: PersonId,
    /// The change that says that there is no name.
    pub change: ChangeId,
    /// The unit of the birth.
    pub unit: UnitCode,
    /// Days from 1970-01-01 to the day from which on it is doubtful.
    pub due: i32,
}

impl Tx {
    /// Notes who is a mother of whom; what is noted already stays.
    pub async fn kin_add(&mut self, pairs: &[(PersonId, PersonId)]) -> Result<()> {
        let sql = "INSERT INTO kin (mother, child) {rows} ON CONFLICT DO NOTHING";
        let rows = pairs.iter().map(|(mother, child)| [mother.as_bytes().into(), child.as_bytes().into()]);
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// The children of these persons, as far as they have any: of each at most `most` and one, those with the lowest ids. `ids` are sorted.
    pub async fn kin_read(&mut self, ids: &[PersonId], most: usize) -> Result<Vec<(PersonId, PersonId)>> {
        let asked = self.not_all_new(("kin", "mother"), ids, |id| id.as_bytes()).await?;
        let sql = "WITH asked (mother) AS ({rows})
                   SELECT kin.mother AS mother, kin.child AS child FROM asked JOIN kin ON kin.mother = asked.mother AND kin.child <= coalesce(
                       (SELECT more.child FROM kin AS more WHERE more.mother = asked.mother ORDER BY more.child LIMIT 1 OFFSET $2), $1)";
        let last = [0xff_u8; 16];
        let keys = asked.into_iter().map(|id| [id.as_bytes().into()]);
        let rows = self.rows_by(sql, [Value::from(&last), most.into()], keys).await?;
        let id = |row: &super::sql::Row, column| change_id(row.get(column)?, "kin", column);
        rows.iter().map(|row| Ok((id(row, "mother")?, id(row, "child")?))).collect()
    }

    /// Of the children of `mother` those about whom there are findings of these codes.
    pub async fn kin_doubted(&mut self, mother: PersonId, codes: &[&str]) -> Result<Vec<PersonId>> {
        let sql = "SELECT DISTINCT person FROM finding WHERE reason IN ({rows})
                   AND person IN (SELECT child FROM kin WHERE mother = $1)";
        let rows = self.rows_by(sql, [mother.as_bytes().into()], codes.iter().map(|code| [(*code).into()])).await?;
        rows.iter().map(|row| change_id(row.get("person")?, "finding", "person")).collect()
    }

    /// Forgets the findings of these codes about `persons`, and tells which there were.
    pub async fn finding_remove_of(&mut self, persons: &[PersonId], codes: &[&str]) -> Result<Vec<FindingKey>> {
        let mut removed = Vec::new();
        for code in codes {
            let sql = "DELETE FROM finding WHERE reason = $1 AND person IN ({rows}) RETURNING change, reason";
            let persons = persons.iter().map(|id| [id.as_bytes().into()]);
            let rows = self.write_returning(sql, [(*code).into()], persons).await?;
            for row in &rows {
                removed.push((change_id(row.get("change")?, "finding", "change")?, row.get("reason")?));
            }
        }
        Ok(removed)
    }

    /// Notes which of `persons` are newborns without a name; those that are not named as such are no more.
    pub async fn unnamed_put(&mut self, persons: &[PersonId], unnamed: &[Unnamed]) -> Result<()> {
        let sql = "DELETE FROM unnamed WHERE person IN ({rows})";
        self.write_many(sql, [], persons.iter().map(|id| [id.as_bytes().into()])).await?;
        let rows = unnamed.iter().filter_map(|unnamed| {
            let suspicion = &unnamed.suspicion;
            let due = i64::from(unnamed.due.days()?);
            let (person, change) = (suspicion.person.as_bytes().into(), suspicion.change.as_bytes().into());
            Some([person, change, suspicion.unit.as_str().into(), due.into()])
        });
        self.add_many("unnamed", "person, change, unit, due", rows).await
    }

    /// Whether any newborn is without a name.
    pub async fn unnamed_any(&mut self) -> Result<bool> {
        Ok(self.row("SELECT person FROM unnamed LIMIT 1", []).await?.is_some())
    }

    /// Newborns who have no name although it was due by `today`, by change; without those of whom somebody answered that it is right so.
    pub async fn unnamed_due(&mut self, today: PartialDate) -> Result<Vec<UnnamedRow>> {
        let today = i64::from(today.days().unwrap_or(i32::MIN));
        let sql = "SELECT person, change, unit, due FROM unnamed WHERE due <= $1 AND NOT EXISTS
                   (SELECT 1 FROM finding_answer AS a WHERE a.change = unnamed.change AND a.reason = $2 AND a.unit = unnamed.unit
                    AND a.withdraws IS NULL AND NOT EXISTS
                    (SELECT 1 FROM finding_answer AS w WHERE w.change = a.change AND w.reason = a.reason AND w.unit = a.unit
                     AND w.withdraws = a.answer))
                   ORDER BY change";
        let rows = self.rows(sql, [today.into(), Rule::Unnamed.code().into()]);
        let rows = rows.await?;
        rows.iter()
            .map(|row| {
                let due: i64 = row.get("due")?;
                Ok(UnnamedRow {
                    person: change_id(row.get("person")?, "unnamed", "person")?,
                    change: change_id(row.get("change")?, "unnamed", "change")?,
                    unit: parsed(row.get("unit")?, "unnamed", "unit")?,
                    due: i32::try_from(due).map_err(|e| Error::inconsistent("unnamed", "due", e))?,
                })
            })
            .collect()
    }

    /// Persons behind `after`, by id, at most `most`.
    pub async fn person_page(&mut self, after: Option<PersonId>, most: usize) -> Result<Vec<Person>> {
        let after: Value = after.map_or_else(|| Vec::new().into(), |id| id.as_bytes().into());
        let sql = "SELECT data FROM person WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.rows(sql, [after, most.into()]).await?;
        let person = |row: &super::sql::Row| {
            Person::from_bytes(row.get("data")?).map_err(|e| Error::inconsistent("person", "data", e))
        };
        rows.iter().map(person).collect()
    }
}
