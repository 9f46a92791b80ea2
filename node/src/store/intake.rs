//! What was typed here: which rows came before, and which slips wait.

use std::collections::BTreeMap;

use danso_core::register::Person;
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};
use danso_proto::refusal::Reason;

use super::sql::{Row, Value};
use super::{Error, Result, Tx, change_id, parsed, unsigned};

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

const WAITING: &str = "SELECT unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason FROM waiting";

fn pair((unit, key): &UnitKey) -> [Value; 2] {
    [unit.as_str().into(), key.into()]
}

impl Tx {
    /// The rows of a form that came before.
    pub async fn source_read(&mut self, form: u8, keys: &[UnitKey]) -> Result<Vec<SourceRow>> {
        let sql =
            "SELECT unit, key, digest, change, person, birth FROM source WHERE form = $1 AND (unit, key) IN ({rows})";
        let rows = self.rows_by(sql, [form.into()], keys.iter().map(pair)).await?;
        rows.iter().map(|row| source(form, row)).collect()
    }

    /// Keeps which rows became changes.
    pub async fn source_put(&mut self, rows: &[SourceRow]) -> Result<()> {
        self.source_insert(rows, "").await.map(drop)
    }

    pub(super) async fn source_insert(&mut self, rows: &[SourceRow], on_conflict: &'static str) -> Result<u64> {
        let sql = format!("INSERT INTO source (unit, form, key, digest, change, person, birth) {{rows}}{on_conflict}");
        let rows = rows.iter().map(|row| {
            [
                row.unit.as_str().into(),
                row.form.into(),
                (&row.key).into(),
                row.digest.map(|digest| digest.to_vec()).into(),
                row.change.as_bytes().into(),
                row.person.as_bytes().into(),
                row.birth.into(),
            ]
        });
        self.write_many(&sql, [], rows).await
    }

    /// Persons by the collaborator's reference: unit and reference, and the person.
    pub async fn person_by_reference(&mut self, keys: &[UnitKey]) -> Result<Vec<(UnitKey, Person)>> {
        // The newest first: whoever reads keeps the oldest, should two nodes have enrolled the same person.
        let sql = "SELECT unit, reference, data FROM person WHERE reference IS NOT NULL AND (unit, reference) IN ({rows}) ORDER BY id DESC";
        let rows = self.rows_by(sql, [], keys.iter().map(pair)).await?;
        let found = rows.iter().map(|row| {
            let key = (parsed(row.get("unit")?, "person", "unit")?, row.get("reference")?);
            let person = Person::from_bytes(row.get("data")?).map_err(|e| Error::inconsistent("person", "data", e))?;
            Ok((key, person))
        });
        found.collect()
    }

    /// Households by their number in the household book.
    pub async fn household_by_number(&mut self, keys: &[UnitKey]) -> Result<Vec<(UnitKey, HouseholdId)>> {
        let sql = "SELECT id, unit, number FROM household WHERE number IS NOT NULL AND (unit, number) IN ({rows}) ORDER BY id DESC";
        let rows = self.rows_by(sql, [], keys.iter().map(pair)).await?;
        let found = rows.iter().map(|row| {
            let key = (parsed(row.get("unit")?, "household", "unit")?, row.get("number")?);
            Ok((key, change_id(row.get("id")?, "household", "id")?))
        });
        found.collect()
    }

    /// Slips that wait for one of these persons or slips.
    pub async fn waiting_for(&mut self, keys: &[UnitKey]) -> Result<Vec<WaitingSlip>> {
        let sql = format!("{WAITING} WHERE (missing_unit, missing) IN ({{rows}}) ORDER BY unit, slip_no");
        self.rows_by(&sql, [], keys.iter().map(pair)).await?.iter().map(waiting).collect()
    }

    /// What slips wait for that is known here all the same, and how many slips those are: none, unless what is known was made again. A slip
    /// that was refused when its person came does not count.
    pub async fn waiting_known(&mut self) -> Result<(Vec<UnitKey>, u64)> {
        let sql = "SELECT missing_unit, missing, COUNT(*) AS slips FROM waiting WHERE reason IS NULL AND (
                       missing LIKE 'person:%'
                       AND EXISTS (SELECT 1 FROM person WHERE unit = missing_unit AND reference = substr(missing, 8))
                       OR missing LIKE 'slip:%'
                       AND EXISTS (SELECT 1 FROM source WHERE unit = missing_unit AND form = 2 AND key = substr(missing, 6))
                   ) GROUP BY missing_unit, missing ORDER BY missing_unit, missing";
        let rows = self.rows(sql, []).await?;
        let (mut known, mut slips) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            known.push((parsed(row.get("missing_unit")?, "waiting", "missing_unit")?, row.get("missing")?));
            slips += unsigned(row.get("slips")?, "waiting", "slips")?;
        }
        Ok((known, slips))
    }

    /// The waiting slips with these numbers.
    pub async fn waiting_read(&mut self, keys: &[UnitKey]) -> Result<Vec<WaitingSlip>> {
        let sql = format!("{WAITING} WHERE (unit, slip_no) IN ({{rows}})");
        self.rows_by(&sql, [], keys.iter().map(pair)).await?.iter().map(waiting).collect()
    }

    /// All slips that wait.
    pub async fn waiting_list(&mut self) -> Result<Vec<WaitingSlip>> {
        let sql = format!("{WAITING} ORDER BY unit, slip_no");
        self.rows(&sql, []).await?.iter().map(waiting).collect()
    }

    /// Slips that wait, by unit and number: at most `max` behind `after`.
    pub async fn waiting_page(&mut self, after: Option<(&UnitCode, &str)>, max: usize) -> Result<Vec<WaitingSlip>> {
        // Nothing sorts before two empty texts.
        let (unit, slip_no) = after.map_or(("", ""), |(unit, slip_no)| (unit.as_str(), slip_no));
        let sql = format!("{WAITING} WHERE (unit, slip_no) > ($1, $2) ORDER BY unit, slip_no LIMIT $3");
        self.rows(&sql, [unit.into(), slip_no.into(), max.into()]).await?.iter().map(waiting).collect()
    }

    /// Keeps slips that wait; one that waits already stays as it is, but for what it waits for and why it was refused.
    pub async fn waiting_put(&mut self, slips: &[WaitingSlip]) -> Result<()> {
        let sql = "INSERT INTO waiting (unit, slip_no, missing_unit, missing, kind, slip, since_ms, reason) {rows}
                   ON CONFLICT (unit, slip_no) DO UPDATE SET missing_unit = excluded.missing_unit, missing = excluded.missing,
                   slip = excluded.slip, reason = excluded.reason";
        // One row a statement for each key: PostgreSQL refuses to change a row twice in one.
        let last: BTreeMap<_, _> = slips.iter().map(|slip| ((&slip.unit, &slip.slip_no), slip)).collect();
        let rows = last.into_values().map(|slip| {
            [
                slip.unit.as_str().into(),
                (&slip.slip_no).into(),
                slip.missing.0.as_str().into(),
                (&slip.missing.1).into(),
                (&slip.kind).into(),
                slip.slip.clone().into(),
                slip.since_ms.into(),
                slip.reason.clone().into(),
            ]
        });
        self.write_many(sql, [], rows).await.map(drop)
    }

    /// Notes why a slip that waits was refused.
    pub async fn waiting_refused(&mut self, unit: &UnitCode, slip_no: &str, reason: Reason) -> Result<()> {
        let sql = "UPDATE waiting SET reason = $3 WHERE unit = $1 AND slip_no = $2";
        self.write(sql, [unit.as_str().into(), slip_no.into(), reason.code().into()]).await.map(drop)
    }

    /// Forgets slips that do not wait any longer.
    pub async fn waiting_remove(&mut self, keys: &[UnitKey]) -> Result<()> {
        let sql = "DELETE FROM waiting WHERE (unit, slip_no) IN ({rows})";
        self.write_many(sql, [], keys.iter().map(pair)).await.map(drop)
    }
}

fn source(form: u8, row: &Row) -> Result<SourceRow> {
    let digest: Option<&[u8]> = row.get("digest")?;
    let unfit = |_| Error::inconsistent("source", "digest", "not 16 bytes");
    Ok(SourceRow {
        unit: parsed(row.get("unit")?, "source", "unit")?,
        form,
        key: row.get("key")?,
        digest: digest.map(|digest| digest.try_into().map_err(unfit)).transpose()?,
        change: change_id(row.get("change")?, "source", "change")?,
        person: change_id(row.get("person")?, "source", "person")?,
        birth: row.flag("birth")?,
    })
}

fn waiting(row: &Row) -> Result<WaitingSlip> {
    Ok(WaitingSlip {
        unit: parsed(row.get("unit")?, "waiting", "unit")?,
        slip_no: row.get("slip_no")?,
        missing: (parsed(row.get("missing_unit")?, "waiting", "missing_unit")?, row.get("missing")?),
        kind: row.get("kind")?,
        slip: row.get("slip")?,
        since_ms: row.get("since_ms")?,
        reason: row.get("reason")?,
    })
}
