//! What tells a row that came before from one that says something else. This room may not know where digests are kept.

use danso_proto::change::{BirthPlace, MaritalStatus, Method, Sex};
use sha2::{Digest as _, Sha256};

use super::{Column, Form, HouseholdRow, Relation, Row, Slip};
use crate::calendar::PartialDate;

/// The first 16 bytes of SHA-256 over the form and all fields that say something, each as column, length and normalised value.
/// The line does not count, nor does the spelling of a date or a word, nor an empty field: a column that a later version adds
/// leaves the digests of rows without it as they are.
pub fn digest(row: &Row) -> [u8; 16] {
    let mut bytes = Bytes(Vec::with_capacity(384));
    match row {
        Row::Household(row) => household(&mut bytes, row),
        Row::Slip(slip) => self::slip(&mut bytes, slip),
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(&bytes.0)[..16]);
    digest
}

struct Bytes(Vec<u8>);

impl Bytes {
    fn text(&mut self, column: Column, text: &str) {
        if !text.is_empty() {
            self.0.push(code(column));
            // Fields are bounded far below 2^32.
            self.0.extend_from_slice(&(text.len() as u32).to_be_bytes());
            self.0.extend_from_slice(text.as_bytes());
        }
    }

    fn number(&mut self, column: Column, number: Option<u32>) {
        if let Some(number) = number {
            self.0.extend_from_slice(&[code(column), 0, 0, 0, 4]);
            self.0.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn date(&mut self, column: Column, date: Option<PartialDate>) {
        self.number(column, date.map(PartialDate::packed));
    }
}

fn household(bytes: &mut Bytes, row: &HouseholdRow) {
    bytes.0.push(form_code(Form::Households));
    bytes.text(Column::UnitCode, row.unit.as_str());
    bytes.text(Column::Hamlet, &row.hamlet);
    bytes.text(Column::HouseholdNo, &row.household_no);
    bytes.text(Column::PersonRef, &row.person_ref);
    bytes.text(Column::FullName, &row.full_name);
    bytes.text(Column::Sex, row.sex.as_str());
    bytes.date(Column::BirthDate, Some(row.birth_date));
    bytes.text(Column::RelationToHead, row.relation_to_head.map_or("", Relation::as_str));
    bytes.text(Column::NationalId, &row.national_id);
    bytes.text(Column::HealthInsuranceNo, &row.health_insurance_no);
    bytes.text(Column::Ethnicity, &row.ethnicity);
    bytes.text(Column::MaritalStatus, row.marital_status.map_or("", MaritalStatus::as_str));
    bytes.text(Column::Method, row.method.map_or("", Method::as_str));
    bytes.date(Column::ResidentSince, row.resident_since);
}

fn slip(bytes: &mut Bytes, slip: &Slip) {
    bytes.0.push(form_code(Form::Changes));
    bytes.text(Column::SlipNo, &slip.slip_no);
    bytes.text(Column::UnitCode, slip.unit.as_str());
    bytes.text(Column::Hamlet, &slip.hamlet);
    bytes.text(Column::HouseholdNo, &slip.household_no);
    bytes.text(Column::ChangeType, slip.kind.as_str());
    bytes.date(Column::EventDate, Some(slip.event.solar));
    // The calendar that was declared, and what was declared in it.
    bytes.number(Column::Calendar, slip.event.lunar.map(|(packed, leap)| packed * 2 + u32::from(leap)));
    bytes.date(Column::ReportedOn, Some(slip.reported_on));
    bytes.text(Column::PersonRef, &slip.person_ref);
    bytes.text(Column::FullName, &slip.about.full_name);
    bytes.text(Column::Sex, slip.about.sex.map_or("", Sex::as_str));
    bytes.date(Column::BirthDate, slip.about.birth_date);
    bytes.text(Column::NationalId, &slip.about.national_id);
    bytes.text(Column::HealthInsuranceNo, &slip.about.health_insurance_no);
    bytes.text(Column::Ethnicity, &slip.about.ethnicity);
    bytes.text(Column::MaritalStatus, slip.about.marital_status.map_or("", MaritalStatus::as_str));
    bytes.text(Column::MotherRef, &slip.mother_ref);
    bytes.number(Column::BirthOrder, slip.birth_order);
    bytes.number(Column::BirthWeight, slip.birth_weight_g);
    bytes.text(Column::BirthPlace, slip.birth_place.map_or("", BirthPlace::as_str));
    bytes.text(Column::SpouseRef, &slip.spouse_ref);
    bytes.text(Column::SpouseName, &slip.spouse_name);
    bytes.text(Column::OtherUnit, slip.other_unit.as_ref().map_or("", |unit| unit.as_str()));
    bytes.text(Column::Method, slip.method.map_or("", Method::as_str));
    bytes.date(Column::MethodSince, slip.method_since);
    bytes.text(Column::Cause, &slip.cause);
    bytes.text(Column::RefersTo, &slip.refers_to);
    bytes.text(Column::Note, &slip.note);
}

fn form_code(form: Form) -> u8 {
    match form {
        Form::Households => 1,
        Form::Changes => 2,
    }
}

/// The column in a digest. Digests are stored, so these numbers are added to, never changed.
fn code(column: Column) -> u8 {
    match column {
        Column::SlipNo => 1,
        Column::UnitCode => 2,
        Column::Hamlet => 3,
        Column::HouseholdNo => 4,
        Column::ChangeType => 5,
        Column::EventDate => 6,
        Column::Calendar => 7,
        Column::ReportedOn => 8,
        Column::PersonRef => 9,
        Column::FullName => 10,
        Column::Sex => 11,
        Column::BirthDate => 12,
        Column::RelationToHead => 13,
        Column::NationalId => 14,
        Column::HealthInsuranceNo => 15,
        Column::Ethnicity => 16,
        Column::MaritalStatus => 17,
        Column::Method => 18,
        Column::ResidentSince => 19,
        Column::MotherRef => 20,
        Column::BirthOrder => 21,
        Column::BirthWeight => 22,
        Column::BirthPlace => 23,
        Column::SpouseRef => 24,
        Column::SpouseName => 25,
        Column::OtherUnit => 26,
        Column::MethodSince => 27,
        Column::Cause => 28,
        Column::RefersTo => 29,
        Column::Note => 30,
    }
}
