//! What identity parts say that doubts can rest on, in as few bytes as that takes: dates of birth, three digits of a personal number, and marks.
//! No name and no number is kept here. Knows nothing of what is doubted.

use std::fmt;

use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, PersonId};
use serde::{Deserialize, Serialize};

use crate::calendar::PartialDate;

/// What one identity part says of its person. A part says it, so that it is here only where parts are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Said {
    /// `None`: the change that made the person known.
    from: Option<ChangeId>,
    /// The full date of birth.
    born: Option<PartialDate>,
    /// By a birth slip, the day of the event where that is another one.
    event: Option<PartialDate>,
    /// Digits 4 to 6 of a personal number: century and sex, year.
    digits: Option<u16>,
    marks: u8,
}

/// A name is given.
const NAMED: u8 = 1;
/// What stands for the name says that there is none yet.
const UNNAMED: u8 = 2;
/// The personal number has no form of one.
const NUMBER_ODD: u8 = 4;
/// The insurance number has no form of one.
const INSURANCE_ODD: u8 = 8;
/// The insurance number is a personal number, and another one.
const NUMBERS_DIFFER: u8 = 16;
/// There is a personal number, right or not.
const NUMBER: u8 = 32;
/// There is an insurance number, right or not.
const INSURANCE: u8 = 64;

/// What is written for a newborn that has no name yet (import-format.md, and what else is in use).
const PLACEHOLDERS: [&str; 8] =
    ["trai", "gái", "bé trai", "bé gái", "con trai", "con gái", "chưa đặt tên", "chưa có tên"];

impl Said {
    /// What `part` of change `id` says about `person`; `None` when it says nothing of all this.
    pub(super) fn of(person: PersonId, id: ChangeId, part: &IdentityPart) -> Option<Self> {
        let full = |packed: u32| PartialDate::from_packed(packed).ok().filter(|date| date.is_full());
        let (born, event) = (full(part.birth_date), full(part.event_date));
        let (born, event) = (born.or(event), event.filter(|event| born.is_some_and(|born| born != *event)));
        let digits = personal_digits(&part.national_id);
        let mut marks = match part.full_name.as_str() {
            "" => 0,
            name if is_placeholder(name) => UNNAMED,
            _ => NAMED,
        };
        let (number, insurance) = (part.national_id.as_str(), part.health_insurance_no.as_str());
        let is_nine = number.len() == 9 && number.bytes().all(|b| b.is_ascii_digit());
        if !number.is_empty() {
            marks |= NUMBER;
            marks |= if digits.is_none() && !is_nine { NUMBER_ODD } else { 0 };
        }
        if !insurance.is_empty() {
            marks |= INSURANCE;
            marks |= if is_insurance_number(insurance) { 0 } else { INSURANCE_ODD };
        }
        if digits.is_some() && insurance.len() == 12 && insurance != number {
            marks |= NUMBERS_DIFFER;
        }
        let says = born.is_some() || marks != 0;
        says.then(|| Self { from: (id != person).then_some(id), born, event, digits, marks })
    }

    /// The change that it came with.
    pub fn from(&self, person: PersonId) -> ChangeId {
        self.from.unwrap_or(person)
    }

    /// The full dates of birth that it states: one, or two that differ.
    pub fn dates(&self) -> impl Iterator<Item = PartialDate> {
        self.born.into_iter().chain(self.event)
    }

    /// Century, sex and year by the personal number: whether of a male, and the year.
    pub(crate) fn number(&self) -> Option<(bool, i32)> {
        let digits = i32::from(self.digits?);
        let century = digits / 100;
        Some((century % 2 == 0, 1900 + century / 2 * 100 + digits % 100))
    }

    /// Whether a name is given (`Some(true)`), or that there is none yet.
    pub(crate) fn is_named(&self) -> Option<bool> {
        match self.marks & (NAMED | UNNAMED) {
            0 => None,
            marks => Some(marks & NAMED != 0),
        }
    }

    /// Whether it speaks of the personal number: a right one ends the doubt about an earlier one.
    pub(crate) fn has_number(&self) -> bool {
        self.marks & NUMBER != 0
    }

    /// Whether it speaks of the insurance number.
    pub(crate) fn has_insurance(&self) -> bool {
        self.marks & INSURANCE != 0
    }

    /// Whether the personal number has no form of one.
    pub(crate) fn is_number_odd(&self) -> bool {
        self.marks & NUMBER_ODD != 0
    }

    /// Whether the insurance number has no form of one.
    pub(crate) fn is_insurance_odd(&self) -> bool {
        self.marks & INSURANCE_ODD != 0
    }

    /// Whether personal and insurance number are two different personal numbers.
    pub(crate) fn do_numbers_differ(&self) -> bool {
        self.marks & NUMBERS_DIFFER != 0
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said(redacted)")
    }
}

/// Whether a name stands for one that is not given yet.
fn is_placeholder(name: &str) -> bool {
    // Longer than any of them, in bytes of NFC.
    name.len() <= 24
        && PLACEHOLDERS.iter().any(|word| name.trim().chars().flat_map(char::to_lowercase).eq(word.chars()))
}

/// Digits 4 to 6 of a number of 12 digits (domain.md 2.1).
fn personal_digits(number: &str) -> Option<u16> {
    let is_personal = number.len() == 12 && number.bytes().all(|b| b.is_ascii_digit());
    is_personal.then(|| number.get(3..6)?.parse().ok()).flatten()
}

/// 10 digits; the 12 of a personal number; or the 15 characters of a card before 2021: group, level 1 to 5, province, 10 digits (domain.md 2.2).
fn is_insurance_number(number: &str) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    match number.as_bytes() {
        all if matches!(all.len(), 10 | 12) => digits(all),
        [a, b, level, rest @ ..] if rest.len() == 12 => {
            a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && (b'1'..=b'5').contains(level) && digits(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(part: IdentityPart) -> Option<Said> {
        Said::of(ChangeId::first(1, [0; 6]), ChangeId::first(2, [0; 6]), &part)
    }

    fn named(name: &str) -> Option<bool> {
        said(IdentityPart { full_name: name.into(), ..Default::default() })?.is_named()
    }

    #[test]
    fn a_placeholder_is_no_name() {
        for name in ["Trai", "GÁI", " bé gái ", "Chưa đặt tên"] {
            assert_eq!(named(name), Some(false), "{name}");
        }
        for name in ["Lô Thị Gái", "Vi Văn Trai", "Nguyễn Gái"] {
            assert_eq!(named(name), Some(true), "{name}");
        }
        assert_eq!(named(""), None);
    }

    #[test]
    fn numbers_have_forms() {
        let odd = |insurance: &str| {
            let part = IdentityPart { health_insurance_no: insurance.into(), ..Default::default() };
            said(part).is_some_and(|said| said.is_insurance_odd())
        };
        for right in ["", "4012345678", "040090123456", "TE1404012345678", "HN5404012345678"] {
            assert!(!odd(right), "{right}");
        }
        for wrong in ["401234567", "TE9404012345678", "1E1404012345678", "TE1X04012345678", "Đ0123456789"] {
            assert!(odd(wrong), "{wrong}");
        }
        let number = |number: &str| said(IdentityPart { national_id: number.into(), ..Default::default() });
        assert_eq!(number("040309152372").and_then(|said| said.number()), Some((false, 2009)));
        assert_eq!(number("040086152372").and_then(|said| said.number()), Some((true, 1986)));
        assert!(number("04008615237").is_some_and(|said| said.is_number_odd()));
        let nine = number("186152372").expect("a right number speaks, too");
        assert!(nine.has_number() && !nine.is_number_odd() && !nine.has_insurance() && nine.number().is_none());
        let card = said(IdentityPart { health_insurance_no: "4012345678".into(), ..Default::default() });
        assert!(card.is_some_and(|card| card.has_insurance() && !card.is_insurance_odd() && !card.has_number()));
        let two = |insurance: &str| {
            let part = IdentityPart {
                national_id: "040086152372".into(),
                health_insurance_no: insurance.into(),
                ..Default::default()
            };
            said(part).is_some_and(|said| said.do_numbers_differ())
        };
        assert!(two("040086152373") && !two("040086152372") && !two("4012345678"));
    }

    #[test]
    fn only_full_dates_are_kept_and_two_only_when_they_differ() {
        let dates = |birth_date, event_date| {
            let said = said(IdentityPart { birth_date, event_date, ..Default::default() });
            said.iter().flat_map(Said::dates).map(PartialDate::packed).collect::<Vec<_>>()
        };
        assert_eq!(dates(19_901_200, 0), [0u32; 0]);
        assert_eq!(dates(19_901_215, 0), [19_901_215]);
        assert_eq!(dates(0, 19_901_215), [19_901_215]);
        assert_eq!(dates(19_901_215, 19_901_215), [19_901_215]);
        assert_eq!(dates(19_901_215, 19_910_130), [19_901_215, 19_910_130]);
    }
}
