//! Change slips (form P0). This room may not know who is known, and which slips came before.

use std::fmt;

use danso_proto::change::{BirthPlace, EventDate, MaritalStatus, Method, Sex};
use danso_proto::ids::UnitCode;
use danso_proto::limits;
use danso_proto::refusal::Reason;
use serde::{Deserialize, Serialize};

use super::field::Fields;
use super::{Column, RowProblem, SlipKind};
use crate::calendar::PartialDate;

/// Birth orders that can be meant: more is a slip of the pen.
const BIRTH_ORDER_MAX: u32 = 25;
/// Grams that a newborn can weigh.
const BIRTH_WEIGHT_G: std::ops::RangeInclusive<u32> = 200..=9_000;

/// A date of an event: solar, and the lunar date if it was declared so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The solar date.
    pub solar: PartialDate,
    /// The declared lunar date as yyyymmdd, and whether its month was a leap month.
    pub lunar: Option<(u32, bool)>,
}

impl Declared {
    /// As it stands on the signed side.
    pub fn signed(self) -> EventDate {
        EventDate { solar: self.solar.packed(), lunar: self.lunar }
    }

    /// The same without its day, for births: the day is identity, in either calendar.
    pub fn signed_month(self) -> EventDate {
        EventDate {
            solar: self.solar.without_day().packed(),
            lunar: self.lunar.map(|(packed, leap)| (packed / 100 * 100, leap)),
        }
    }
}

/// What a slip says about the person itself. An empty text means: not said.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the columns of import-format.md")]
pub struct Particulars {
    pub full_name: String,
    pub sex: Option<Sex>,
    pub birth_date: Option<PartialDate>,
    pub national_id: String,
    pub health_insurance_no: String,
    pub ethnicity: String,
    pub marital_status: Option<MaritalStatus>,
}

/// One change slip. Columns that its kind has no use for are left out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the columns of import-format.md")]
pub struct Slip {
    pub line: u64,
    pub slip_no: String,
    pub unit: UnitCode,
    pub hamlet: String,
    pub household_no: String,
    pub kind: SlipKind,
    pub event: Declared,
    pub reported_on: PartialDate,
    pub person_ref: String,
    pub about: Particulars,
    pub mother_ref: String,
    pub birth_order: Option<u32>,
    pub birth_weight_g: Option<u32>,
    pub birth_place: Option<BirthPlace>,
    pub spouse_ref: String,
    pub spouse_name: String,
    pub other_unit: Option<UnitCode>,
    pub method: Option<Method>,
    pub method_since: Option<PartialDate>,
    pub cause: String,
    pub refers_to: String,
    pub note: String,
}

impl fmt::Debug for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slip({} on line {}, redacted)", self.kind.as_str(), self.line)
    }
}

/// Checks in the order in which a person would read the slip: which one, where, what, who, when, and then what the kind asks for.
pub(super) fn parse(fields: &Fields<'_>) -> Result<Slip, RowProblem> {
    let slip_no = fields.required(Column::SlipNo, limits::TEXT_MAX)?;
    let unit = fields.unit()?;
    let kind = fields
        .word(Column::ChangeType, Reason::ChangeTypeUnknown)?
        .ok_or_else(|| fields.missing(Column::ChangeType))?;
    if fields.is_empty(Column::PersonRef) {
        return Err(fields.problem(Column::PersonRef, Reason::PersonMissing, ""));
    }
    let person_ref = fields.text(Column::PersonRef, limits::TEXT_MAX)?;
    let event = fields.event_date()?;
    let reported_on = fields.date(Column::ReportedOn)?.ok_or_else(|| fields.missing(Column::ReportedOn))?;
    // The month of the report is the month in which the change is counted as recorded.
    if reported_on.known_month().is_none() {
        return Err(fields.wrong(Column::ReportedOn, Reason::DateInvalid));
    }
    if event.solar.certainly_after(reported_on) {
        return Err(fields.wrong(Column::EventDate, Reason::EventAfterReport));
    }
    let mut slip = Slip {
        line: fields.line(),
        slip_no,
        unit,
        hamlet: fields.text(Column::Hamlet, limits::HAMLET_MAX)?,
        household_no: fields.household_no()?,
        kind,
        event,
        reported_on,
        person_ref,
        about: Particulars::default(),
        mother_ref: String::new(),
        birth_order: None,
        birth_weight_g: None,
        birth_place: None,
        spouse_ref: String::new(),
        spouse_name: String::new(),
        other_unit: None,
        method: None,
        method_since: None,
        cause: String::new(),
        refers_to: String::new(),
        note: fields.text(Column::Note, limits::NOTE_MAX)?,
    };
    match kind {
        SlipKind::Birth => {
            about(fields, &mut slip)?;
            for (empty, column) in
                [(slip.about.full_name.is_empty(), Column::FullName), (slip.about.sex.is_none(), Column::Sex)]
            {
                if empty {
                    return Err(fields.missing(column));
                }
            }
            birth(fields, &mut slip)?;
            if slip
                .about
                .birth_date
                .is_some_and(|date| date.certainly_before(event.solar) || date.certainly_after(event.solar))
            {
                return Err(fields.wrong(Column::BirthDate, Reason::BirthDateDiffers));
            }
        }
        SlipKind::MoveIn => {
            about(fields, &mut slip)?;
            other_unit(fields, &mut slip)?;
        }
        SlipKind::MoveOut => other_unit(fields, &mut slip)?,
        SlipKind::Marriage | SlipKind::Divorce => spouse(fields, &mut slip)?,
        SlipKind::Contraception => {
            method(fields, &mut slip)?;
            if slip.method.is_none() {
                return Err(fields.missing(Column::Method));
            }
        }
        SlipKind::Death => slip.cause = fields.text(Column::Cause, limits::TEXT_MAX)?,
        SlipKind::Update => {
            slip.refers_to = refers_to(fields, &slip.slip_no)?;
            about(fields, &mut slip)?;
            birth(fields, &mut slip)?;
            spouse(fields, &mut slip)?;
            other_unit(fields, &mut slip)?;
            method(fields, &mut slip)?;
            slip.cause = fields.text(Column::Cause, limits::TEXT_MAX)?;
        }
        SlipKind::Retract => {
            slip.refers_to = refers_to(fields, &slip.slip_no)?;
            if slip.refers_to.is_empty() {
                return Err(fields.missing(Column::RefersTo));
            }
        }
    }
    let born = slip.about.birth_date.filter(|_| kind != SlipKind::Update);
    if born.is_some_and(|born| event.solar.certainly_before(born)) {
        return Err(fields.wrong(Column::EventDate, Reason::EventBeforeBirth));
    }
    Ok(slip)
}

fn about(fields: &Fields<'_>, slip: &mut Slip) -> Result<(), RowProblem> {
    slip.about = Particulars {
        full_name: fields.text(Column::FullName, limits::TEXT_MAX)?,
        sex: fields.word(Column::Sex, Reason::ValueUnknown)?,
        birth_date: fields.date(Column::BirthDate)?,
        national_id: fields.national_id()?,
        health_insurance_no: fields.health_insurance_no()?,
        ethnicity: fields.text(Column::Ethnicity, limits::TEXT_MAX)?,
        // A birth and an arrival say nothing of it; for an update it is an optional column.
        marital_status: match slip.kind {
            SlipKind::Update => fields.word(Column::MaritalStatus, Reason::ValueUnknown)?,
            _ => None,
        },
    };
    Ok(())
}

fn birth(fields: &Fields<'_>, slip: &mut Slip) -> Result<(), RowProblem> {
    slip.mother_ref = fields.text(Column::MotherRef, limits::TEXT_MAX)?;
    // Nobody is her own mother, and such a slip would wait for itself.
    if slip.mother_ref == slip.person_ref {
        return Err(fields.wrong(Column::MotherRef, Reason::ValueUnknown));
    }
    slip.birth_order = fields.number(Column::BirthOrder, 1..=BIRTH_ORDER_MAX)?;
    slip.birth_weight_g = fields.number(Column::BirthWeight, BIRTH_WEIGHT_G)?;
    slip.birth_place = fields.word(Column::BirthPlace, Reason::ValueUnknown)?;
    Ok(())
}

fn spouse(fields: &Fields<'_>, slip: &mut Slip) -> Result<(), RowProblem> {
    slip.spouse_ref = fields.text(Column::SpouseRef, limits::TEXT_MAX)?;
    if slip.spouse_ref == slip.person_ref {
        return Err(fields.wrong(Column::SpouseRef, Reason::ValueUnknown));
    }
    slip.spouse_name = fields.text(Column::SpouseName, limits::TEXT_MAX)?;
    Ok(())
}

fn other_unit(fields: &Fields<'_>, slip: &mut Slip) -> Result<(), RowProblem> {
    slip.other_unit = fields.unit_in_list(Column::OtherUnit)?;
    if slip.other_unit.as_ref() == Some(&slip.unit) {
        return Err(fields.wrong(Column::OtherUnit, Reason::MoveInsideCommune));
    }
    Ok(())
}

fn method(fields: &Fields<'_>, slip: &mut Slip) -> Result<(), RowProblem> {
    slip.method = fields.word(Column::Method, Reason::ValueUnknown)?;
    slip.method_since = fields.date(Column::MethodSince)?;
    Ok(())
}

fn refers_to(fields: &Fields<'_>, slip_no: &str) -> Result<String, RowProblem> {
    let refers_to = fields.text(Column::RefersTo, limits::TEXT_MAX)?;
    // A slip that corrects itself would wait for itself.
    if refers_to == slip_no {
        return Err(fields.wrong(Column::RefersTo, Reason::SlipUnknown));
    }
    Ok(refers_to)
}
