//! Rows of the household book (form A0). This room may not know who is known.

use std::fmt;

use danso_proto::change::{MaritalStatus, Method, Sex};
use danso_proto::ids::UnitCode;
use danso_proto::limits;
use danso_proto::refusal::Reason;
use serde::{Deserialize, Serialize};

use super::field::Fields;
use super::{Column, Relation, RowProblem};
use crate::calendar::PartialDate;

/// One resident as the household book has it. An empty text means: not said.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the columns of import-format.md")]
pub struct HouseholdRow {
    pub line: u64,
    pub unit: UnitCode,
    pub hamlet: String,
    pub household_no: String,
    pub person_ref: String,
    pub full_name: String,
    pub sex: Sex,
    pub birth_date: PartialDate,
    pub relation_to_head: Option<Relation>,
    pub national_id: String,
    pub health_insurance_no: String,
    pub ethnicity: String,
    pub marital_status: Option<MaritalStatus>,
    pub method: Option<Method>,
    pub resident_since: Option<PartialDate>,
}

impl fmt::Debug for HouseholdRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HouseholdRow(line {}, redacted)", self.line)
    }
}

pub(super) fn parse(fields: &Fields<'_>) -> Result<HouseholdRow, RowProblem> {
    let unit = fields.unit()?;
    if fields.is_empty(Column::PersonRef) {
        return Err(fields.problem(Column::PersonRef, Reason::PersonMissing, ""));
    }
    let household_no = fields.household_no()?;
    let person_ref = fields.text(Column::PersonRef, limits::TEXT_MAX)?;
    let full_name = fields.required(Column::FullName, limits::TEXT_MAX)?;
    let sex = fields.word(Column::Sex, Reason::ValueUnknown)?.ok_or_else(|| fields.missing(Column::Sex))?;
    let birth_date = fields.date(Column::BirthDate)?.ok_or_else(|| fields.missing(Column::BirthDate))?;
    let resident_since = fields.date(Column::ResidentSince)?;
    if resident_since.is_some_and(|since| since.certainly_before(birth_date)) {
        return Err(fields.wrong(Column::ResidentSince, Reason::EventBeforeBirth));
    }
    Ok(HouseholdRow {
        line: fields.line(),
        unit,
        hamlet: fields.text(Column::Hamlet, limits::HAMLET_MAX)?,
        household_no,
        person_ref,
        full_name,
        sex,
        birth_date,
        relation_to_head: fields.word(Column::RelationToHead, Reason::ValueUnknown)?,
        national_id: fields.national_id()?,
        health_insurance_no: fields.health_insurance_no()?,
        ethnicity: fields.text(Column::Ethnicity, limits::TEXT_MAX)?,
        marital_status: fields.word(Column::MaritalStatus, Reason::ValueUnknown)?,
        method: fields.word(Column::Method, Reason::ValueUnknown)?,
        resident_since,
    })
}
