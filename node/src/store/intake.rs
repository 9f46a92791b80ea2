//! What was typed here: which rows came before, and which slips wait.

use danso_core::register::Person;
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};
use danso_proto::refusal::Reason;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{Error, ROWS, Result, Tx, change_id, parsed, unsigned};

/// A row of a form that became a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// The commune.
    pub unit: UnitCode,
    /// The form's number.
    pub form: u8,
    /// Slip number, or person reference for the household book.
    pub key: String,
    /// Digest of the row's content; `None` when it is not known any more.
    pub digest: Option<[u8; 16]>,
    /// The change that it became.
    pub change: ChangeId,
    /// The person that it is about.
    pub person: PersonId,
    /// The change is a birth.
    pub birth: bool,
}

/// A slip that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingSlip {
    /// The commune of the slip.
    pub unit: UnitCode,
    /// Its number.
    pub slip_no: String,
    /// What is missing: the unit and the reference of a person, or the number of a slip.
    pub missing: (UnitCode, String),
    /// Kind of change, for people.
    pub kind: String,
    /// The slip, as the forms room encodes it.
    pub slip: Vec<u8>,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// Reason code, when what it waited for came and it was refused all the same.
    pub reason: Option<String>,
}

type UnitKey = (UnitCode, String);

/// Pushes `((c1, c2) IN (VALUES ...))`.
fn push_pairs(sql: &mut QueryBuilder<Sqlite>, columns: &str, pairs: &[UnitKey]) {
    sql.push("(").push(columns).push(") IN (VALUES ");
    let mut list = sql.separated(", ");
    for (unit, key) in pairs {
        list.push("(").push_bind_unseparated(unit.to_string()).push_unseparated(", ");
        list.push_bind_unseparated(key.clone()).push_unseparated(")");
    }
    sql.push(")");
}

impl Tx {
    /// The rows of a form that came before.
    pub async fn source_read(&mut self, form: u8, keys: &[UnitKey]) -> Result<Vec<SourceRow>> {
        let mut found = Vec::new();
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "SELECT unit, key, digest, change, person, birth FROM source WHERE form = ",
            );
            sql.push_bind(i64::from(form)).push(" AND ");
            push_pairs(&mut sql, "unit, key", chunk);
            for row in sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)? {
                let digest: Option<&[u8]> = row.get("digest");
                found.push(SourceRow {
                    unit: parsed(row.get("unit"), "source", "unit")?,
                    form,
                    key: row.get("key"),
                    digest: digest
                        .map(|digest| {
                            digest.try_into().map_err(|_| Error::inconsistent("source", "digest", "not 16 bytes"))
                        })
                        .transpose()?,
                    change: change_id(row.get("change"), "source", "change")?,
                    person: change_id(row.get("person"), "source", "person")?,
                    birth: row.get("birth"),
                });
            }
        }
        Ok(found)
    }

    /// Keeps which rows became changes.
    pub async fn source_put(&mut self, rows: &[SourceRow]) -> Result<()> {
        self.source_insert(rows, "").await.map(drop)
    }

    pub(super) async fn source_insert(&mut self, rows: &[SourceRow], on_conflict: &'static str) -> Result<u64> {
        let mut inserted = 0;
        for chunk in rows.chunks(ROWS) {
            let failed = self.failed();
            let mut sql =
                QueryBuilder::<Sqlite>::new("INSERT INTO source (unit, form, key, digest, change, person, birth) ");
            sql.push_values(chunk, |mut out, row| {
                out.push_bind(row.unit.to_string())
                    .push_bind(i64::from(row.form))
                    .push_bind(row.key.clone())
                    .push_bind(row.digest.map(|digest| digest.to_vec()))
                    .push_bind(row.change.as_bytes().to_vec())
                    .push_bind(row.person.as_bytes().to_vec())
                    .push_bind(row.birth);
            });
            sql.push(on_conflict);
            let done = sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
            inserted += done.rows_affected();
        }
        Ok(inserted)
    }

    /// Persons by the collaborator's reference: unit and reference, and the person.
    pub async fn person_by_reference(&mut self, keys: &[UnitKey]) -> Result<Vec<(UnitKey, Person)>> {
        let mut found = Vec::new();
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "SELECT unit, reference, data FROM person WHERE reference IS NOT NULL AND ",
            );
            push_pairs(&mut sql, "unit, reference", chunk);
            // The newest first: whoever reads keeps the oldest, should two nodes have enrolled the same person.
            sql.push(" ORDER BY id DESC");
            for row in sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)? {
                let key = (parsed(row.get("unit"), "person", "unit")?, row.get("reference"));
                let person =
                    Person::from_bytes(row.get("data")).map_err(|e| Error::inconsistent("person", "data", e))?;
                found.push((key, person));
            }
        }
        Ok(found)
    }

    /// Households by their number in the household book.
    pub async fn household_by_number(&mut self, keys: &[UnitKey]) -> Result<Vec<(UnitKey, HouseholdId)>> {
        let mut found = Vec::new();
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql =
                QueryBuilder::<Sqlite>::new("SELECT id, unit, number FROM household WHERE number IS NOT NULL AND ");
            push_pairs(&mut sql, "unit, number", chunk);
            sql.push(" ORDER BY id DESC");
            for row in sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)? {
                let key = (parsed(row.get("unit"), "household", "unit")?, row.get("number"));
                found.push((key, change_id(row.get("id"), "household", "id")?));
            }
        }
        Ok(found)
    }

    /// Slips that wait for one of these persons or slips.
    pub async fn waiting_for(&mut self, keys: &[UnitKey]) -> Result<Vec<WaitingSlip>> {
        let mut found = Vec::new();
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "SELECT unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason FROM waiting WHERE ",
            );
            push_pairs(&mut sql, "missing_unit, missing", chunk);
            sql.push(" ORDER BY unit, slip_no");
            let rows = sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)?;
            found.extend(rows.iter().map(waiting).collect::<Result<Vec<_>>>()?);
        }
        Ok(found)
    }

    /// What slips wait for that is known here all the same, and how many slips those are: none, unless what is known was made again. A slip
    /// that was refused when its person came does not count.
    pub async fn waiting_known(&mut self) -> Result<(Vec<UnitKey>, u64)> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT missing_unit, missing, COUNT(*) AS slips FROM waiting WHERE reason IS NULL AND (
                 missing LIKE 'person:%'
                 AND EXISTS (SELECT 1 FROM person WHERE unit = missing_unit AND reference = substr(missing, 8))
                 OR missing LIKE 'slip:%'
                 AND EXISTS (SELECT 1 FROM source WHERE unit = missing_unit AND form = 2 AND key = substr(missing, 6))
             ) GROUP BY missing_unit, missing ORDER BY missing_unit, missing",
        )
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        let (mut known, mut slips) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            known.push((parsed(row.get("missing_unit"), "waiting", "missing_unit")?, row.get("missing")));
            slips += unsigned(row.get("slips"), "waiting", "slips")?;
        }
        Ok((known, slips))
    }

    /// The waiting slips with these numbers.
    pub async fn waiting_read(&mut self, keys: &[UnitKey]) -> Result<Vec<WaitingSlip>> {
        let mut found = Vec::new();
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "SELECT unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason FROM waiting WHERE ",
            );
            push_pairs(&mut sql, "unit, slip_no", chunk);
            let rows = sql.build().persistent(chunk.len() == ROWS).fetch_all(self.conn()).await.map_err(failed)?;
            found.extend(rows.iter().map(waiting).collect::<Result<Vec<_>>>()?);
        }
        Ok(found)
    }

    /// All slips that wait.
    pub async fn waiting_list(&mut self) -> Result<Vec<WaitingSlip>> {
        let failed = self.failed();
        let rows = sqlx::query(
            "SELECT unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason FROM waiting ORDER BY unit, slip_no",
        )
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter().map(waiting).collect()
    }

    /// Slips that wait, by unit and number: at most `max` behind `after`.
    pub async fn waiting_page(&mut self, after: Option<(&UnitCode, &str)>, max: usize) -> Result<Vec<WaitingSlip>> {
        let failed = self.failed();
        // Nothing sorts before two empty texts.
        let (unit, slip_no) = after.map_or((String::new(), ""), |(unit, slip_no)| (unit.to_string(), slip_no));
        let rows = sqlx::query(
            "SELECT unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason FROM waiting
             WHERE (unit, slip_no) > ($1, $2) ORDER BY unit, slip_no LIMIT $3",
        )
        .bind(unit)
        .bind(slip_no.to_owned())
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .fetch_all(self.conn())
        .await
        .map_err(failed)?;
        rows.iter().map(waiting).collect()
    }

    /// Keeps slips that wait; one that waits already stays as it is, but for what it waits for and why it was refused.
    pub async fn waiting_put(&mut self, slips: &[WaitingSlip]) -> Result<()> {
        for chunk in slips.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new(
                "INSERT INTO waiting (unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason) ",
            );
            sql.push_values(chunk, |mut row, slip| {
                row.push_bind(slip.unit.to_string())
                    .push_bind(slip.slip_no.clone())
                    .push_bind(slip.missing.0.to_string())
                    .push_bind(slip.missing.1.clone())
                    .push_bind(slip.kind.clone())
                    .push_bind(slip.slip.clone())
                    .push_bind(slip.since_ms)
                    .push_bind(slip.reason.clone());
            });
            sql.push(
                " ON CONFLICT (unit, slip_no) DO UPDATE SET missing_unit = excluded.missing_unit, missing = excluded.missing,
                  slip = excluded.slip, reason = excluded.reason",
            );
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Notes why a slip that waits was refused.
    pub async fn waiting_refused(&mut self, unit: &UnitCode, slip_no: &str, reason: Reason) -> Result<()> {
        let failed = self.failed();
        sqlx::query("UPDATE waiting SET reason = $3 WHERE unit = $1 AND slip_no = $2")
            .bind(unit.to_string())
            .bind(slip_no.to_owned())
            .bind(reason.code())
            .execute(self.write()?)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Forgets slips that do not wait any longer.
    pub async fn waiting_remove(&mut self, keys: &[UnitKey]) -> Result<()> {
        for chunk in keys.chunks(ROWS) {
            let failed = self.failed();
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM waiting WHERE ");
            push_pairs(&mut sql, "unit, slip_no", chunk);
            sql.build().persistent(chunk.len() == ROWS).execute(self.write()?).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn waiting(row: &sqlx::sqlite::SqliteRow) -> Result<WaitingSlip> {
    Ok(WaitingSlip {
        unit: parsed(row.get("unit"), "waiting", "unit")?,
        slip_no: row.get("slip_no"),
        missing: (parsed(row.get("missing_unit"), "waiting", "missing_unit")?, row.get("missing")),
        kind: row.get("kind"),
        slip: row.get("slip"),
        since_ms: row.get("since_ms"),
        reason: row.get("reason"),
    })
}
