//! Single fields: text normalised once, words, numbers, dates and identifiers, each with the problem that its column would have.
//! This room may not know which columns a kind of row needs.

use std::borrow::Cow;

use danso_proto::change::Sex;
use danso_proto::ids::UnitCode;
use danso_proto::limits;
use danso_proto::refusal::Reason;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::slip::Declared;
use super::words::{Calendar, Word};
use super::{Column, Context, Header, RawRow, RowProblem, Severity};
use crate::calendar::{LunarDate, PartialDate, lunar_to_solar};
use crate::tier::TierPolicy;

/// The fields of one row, of the right number.
pub(super) struct Fields<'a> {
    header: &'a Header,
    row: &'a RawRow,
    context: &'a Context<'a>,
}

/// The columns in which `50.10` and `50.1` are two people, households or slips.
const REFERENCES: [Column; 6] =
    [Column::SlipNo, Column::HouseholdNo, Column::PersonRef, Column::MotherRef, Column::SpouseRef, Column::RefersTo];

type Field<T> = Result<T, RowProblem>;

impl<'a> Fields<'a> {
    pub(super) fn new(header: &'a Header, row: &'a RawRow, context: &'a Context<'a>) -> Field<Self> {
        if row.fields.len() != header.titles().len() {
            let found = format!("{} / {}", row.fields.len(), header.titles().len());
            return Err(RowProblem {
                line: row.line,
                column: None,
                reason: Reason::RowShape,
                found,
                severity: Severity::Refused,
            });
        }
        Ok(Self { header, row, context })
    }

    pub(super) fn line(&self) -> u64 {
        self.row.line
    }

    /// No reference was a number with a fraction: it could be somebody else's.
    pub(super) fn references_are_text(&self) -> Field<()> {
        let number = |column: &Column| {
            self.header.place(*column).is_some_and(|place| self.row.fractions.binary_search(&place).is_ok())
        };
        match REFERENCES.into_iter().find(number) {
            Some(column) => Err(self.wrong(column, Reason::CellIsNumber)),
            None => Ok(()),
        }
    }

    /// The field without space around it.
    fn raw(&self, column: Column) -> &'a str {
        self.header.get(&self.row.fields, column).trim()
    }

    pub(super) fn is_empty(&self, column: Column) -> bool {
        self.raw(column).is_empty()
    }

    pub(super) fn problem(&self, column: Column, reason: Reason, found: &str) -> RowProblem {
        RowProblem {
            line: self.row.line,
            column: Some(self.header.title(column).to_owned()),
            reason,
            found: found.chars().take(40).collect(),
            severity: Severity::Refused,
        }
    }

    /// A problem with the field as it stands. Not for names, identifiers and free text.
    pub(super) fn wrong(&self, column: Column, reason: Reason) -> RowProblem {
        self.problem(column, reason, self.raw(column))
    }

    pub(super) fn missing(&self, column: Column) -> RowProblem {
        self.problem(column, Reason::FieldMissing, "")
    }

    /// Free text of at most `max` bytes, NFC, without control characters.
    pub(super) fn text(&self, column: Column, max: usize) -> Field<String> {
        let raw = self.raw(column);
        if raw.is_empty() {
            return Ok(String::new());
        }
        // NFC makes a text at most three times as long or short; what is far over the bound is not normalised first.
        if raw.len() > 4 * max {
            return Err(self.too_long(column, raw));
        }
        let text = normal(raw);
        if text.len() > max {
            return Err(self.too_long(column, raw));
        }
        Ok(text.into_owned())
    }

    fn too_long(&self, column: Column, raw: &str) -> RowProblem {
        self.problem(column, Reason::FieldTooLong, &raw.chars().count().to_string())
    }

    /// Text that must be there.
    pub(super) fn required(&self, column: Column, max: usize) -> Field<String> {
        if self.is_empty(column) { Err(self.missing(column)) } else { self.text(column, max) }
    }

    /// One of a closed list of words; the reason is that of a word which is none of them.
    pub(super) fn word<W: Word>(&self, column: Column, reason: Reason) -> Field<Option<W>> {
        match self.raw(column) {
            "" => Ok(None),
            word => W::read(word).map(Some).ok_or_else(|| self.wrong(column, reason)),
        }
    }

    /// A whole number in a range.
    pub(super) fn number(&self, column: Column, range: std::ops::RangeInclusive<u32>) -> Field<Option<u32>> {
        match self.raw(column) {
            "" => Ok(None),
            text => {
                let number =
                    text.parse().ok().filter(|n| range.contains(n) && text.bytes().all(|b| b.is_ascii_digit()));
                number.map(Some).ok_or_else(|| self.wrong(column, Reason::NumberInvalid))
            }
        }
    }

    /// A solar date that is not in the future.
    pub(super) fn date(&self, column: Column) -> Field<Option<PartialDate>> {
        if self.is_empty(column) {
            return Ok(None);
        }
        let date = self.raw(column).parse().map_err(|_| self.wrong(column, Reason::DateInvalid))?;
        self.not_in_future(column, date).map(Some)
    }

    fn not_in_future(&self, column: Column, date: PartialDate) -> Field<PartialDate> {
        match date.certainly_after(self.context.today) {
            true => Err(self.wrong(column, Reason::DateInFuture)),
            false => Ok(date),
        }
    }

    /// The date of an event in the calendar that the row names. The lunar date that was declared is kept.
    pub(super) fn event_date(&self) -> Field<Declared> {
        const COLUMN: Column = Column::EventDate;
        let calendar = self.word(Column::Calendar, Reason::ValueUnknown)?.unwrap_or(Calendar::Solar);
        if self.is_empty(COLUMN) {
            return Err(self.missing(COLUMN));
        }
        if calendar == Calendar::Solar {
            return Ok(Declared { solar: self.date(COLUMN)?.ok_or_else(|| self.missing(COLUMN))?, lunar: None });
        }
        let invalid = || self.wrong(COLUMN, Reason::DateInvalid);
        let lunar = lunar_date(self.raw(COLUMN)).ok_or_else(invalid)?;
        let solar = self.not_in_future(COLUMN, lunar_to_solar(lunar).map_err(|_| invalid())?)?;
        Ok(Declared { solar, lunar: Some((lunar.packed(), lunar.leap())) })
    }

    /// A unit of the list, as a code.
    pub(super) fn unit_in_list(&self, column: Column) -> Field<Option<UnitCode>> {
        match self.raw(column) {
            "" => Ok(None),
            text => {
                let code = text.parse::<UnitCode>().ok().filter(|code| self.context.units.contains(code));
                code.map(Some).ok_or_else(|| self.wrong(column, Reason::UnitUnknown))
            }
        }
    }

    /// The unit that the row is about: in the list, ours or below ours, and one in which people live.
    pub(super) fn unit(&self) -> Field<UnitCode> {
        const COLUMN: Column = Column::UnitCode;
        let code = self.unit_in_list(COLUMN)?.ok_or_else(|| self.missing(COLUMN))?;
        if !self.context.units.is_within(&code, self.context.own_unit) {
            return Err(self.wrong(COLUMN, Reason::UnitNotOurs));
        }
        let tier = self.context.units.get(&code).map(|unit| unit.tier);
        match tier.is_some_and(|tier| TierPolicy::of(tier).residents_live_here()) {
            true => Ok(code),
            false => Err(self.wrong(COLUMN, Reason::UnitNotCommune)),
        }
    }

    /// The household's number. Spreadsheets drop the leading zeros of `001`, so digits before the point are filled up to three.
    pub(super) fn household_no(&self) -> Field<String> {
        let mut number = self.required(Column::HouseholdNo, limits::TEXT_MAX)?;
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        let rest = &number[digits..];
        if (1..3).contains(&digits)
            && (rest.is_empty() || rest.strip_prefix('.').is_some_and(|r| r.bytes().all(|b| b.is_ascii_digit())))
        {
            number.insert_str(0, &"00"[digits - 1..]);
        }
        Ok(number)
    }

    /// A personal number (12 digits) or the number of an old card (9 digits).
    pub(super) fn national_id(&self) -> Field<String> {
        let id = self.identifier(Column::NationalId);
        match (id.len(), id.bytes().all(|b| b.is_ascii_digit())) {
            (0, _) | (9 | 12, true) => Ok(id),
            _ => Err(self.identifier_problem(Column::NationalId, &id)),
        }
    }

    /// A health insurance number: 10 digits, the personal number (12 digits), or an old card's 15 characters, the last 10 digits.
    pub(super) fn health_insurance_no(&self) -> Field<String> {
        let mut id = self.identifier(Column::HealthInsuranceNo);
        id.make_ascii_uppercase();
        let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
        let right = match id.as_bytes() {
            [] => true,
            all if matches!(all.len(), 10 | 12) => digits(all),
            all if all.len() == 15 => {
                all[..2].iter().all(u8::is_ascii_alphabetic) && digits(&all[5..]) && all.is_ascii()
            }
            _ => false,
        };
        if right { Ok(id) } else { Err(self.identifier_problem(Column::HealthInsuranceNo, &id)) }
    }

    /// As it is printed on cards, without the spaces between its groups.
    fn identifier(&self, column: Column) -> String {
        let raw = self.raw(column);
        if raw.len() <= 64 && raw.contains(' ') { raw.chars().filter(|c| *c != ' ').collect() } else { raw.to_owned() }
    }

    fn identifier_problem(&self, column: Column, id: &str) -> RowProblem {
        self.problem(column, Reason::IdentifierInvalid, &id.chars().count().to_string())
    }
}

/// `DD/MM/YYYY` or `DD/MM+/YYYY`, and the same as `YYYY-MM-DD`, because that is what a date cell of a spreadsheet becomes.
fn lunar_date(text: &str) -> Option<LunarDate> {
    match text.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => format!("{day}/{month}/{year}").parse().ok(),
        _ => text.parse().ok(),
    }
}

/// NFC, control characters as spaces. Most texts are so already and are not copied twice.
fn normal(text: &str) -> Cow<'_, str> {
    let composed = match text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.nfc().collect::<String>()),
    };
    match composed.contains(char::is_control) {
        true => Cow::Owned(composed.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()),
        false => composed,
    }
}

/// Whether a personal number says another sex or year of birth. Digit 4 is century and sex, digits 5 and 6 are the year (domain.md 2.1).
pub(super) fn contradicts(national_id: &str, sex: Option<Sex>, birth: Option<PartialDate>) -> bool {
    let digits = national_id.as_bytes();
    if digits.len() != 12 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let digit = |i: usize| i32::from(digits[i] - b'0');
    let id_sex = if digit(3) % 2 == 0 { Sex::Male } else { Sex::Female };
    let id_year = 1900 + digit(3) / 2 * 100 + digit(4) * 10 + digit(5);
    sex.is_some_and(|sex| sex != id_sex) || birth.is_some_and(|birth| birth.year() != id_year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_composed_and_free_of_control_characters() {
        assert_eq!(normal("Nguye\u{302}\u{303}n"), "Nguyễn");
        assert_eq!(normal("a\u{0}b\nc"), "a b c");
        assert!(matches!(normal("Bản Nọc"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_personal_number_tells_sex_and_year() {
        let birth = |year| PartialDate::of_year(year).ok();
        assert!(!contradicts("040086152372", Some(Sex::Male), birth(1986)));
        assert!(!contradicts("040309152372", Some(Sex::Female), birth(2009)));
        assert!(contradicts("040086152372", Some(Sex::Female), birth(1986)));
        assert!(contradicts("040086152372", None, birth(1987)));
        assert!(!contradicts("040086152372", None, None));
        assert!(!contradicts("040086152", Some(Sex::Female), birth(1987)));
    }
}
