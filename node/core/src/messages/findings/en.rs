//! Findings in English.

use super::FindingText;
use crate::finding::{FindingKind, name};

const NOT_COUNTED: &str =
    "As long as this stands the record is left out of every figure, here and at every node above.";

pub(super) fn text(kind: FindingKind) -> FindingText {
    let (what, why, next) = match kind {
        FindingKind::PersonUnknown => (
            "The record is about a person of whom nothing says when that person came to live here.",
            NOT_COUNTED,
            "Import the household book or the slip by which the person was born or arrived; if this record is wrong, withdraw it: `retract`, with its number in `refers_to`.",
        ),
        FindingKind::NotResident => (
            "By all other records the person did not live here at that time: not yet, no more, or not alive.",
            NOT_COUNTED,
            "If the date is wrong, correct it: `update`, with the number of this slip in `refers_to`. If this record is wrong, withdraw it: `retract`. If an earlier departure or death is wrong, withdraw that one instead.",
        ),
        FindingKind::AlreadyResident => (
            "By all other records the person lived here already when this arrival is said to be.",
            "The person would be counted twice; so the arrival is left out of every figure, here and at every node above.",
            "If it was reported twice, withdraw the wrong one: `retract`, with its number in `refers_to`. If the person had left in between, import the slip `move_out` that is missing.",
        ),
        FindingKind::CorrectsNothing => (
            "The correction names a record that is not about this person and unit.",
            "Nothing was corrected: the figures are as if this slip had never come.",
            "Import the correction again under a new number, with the right person and `refers_to`, and withdraw this one: `retract`.",
        ),
        FindingKind::DateInvalid => (
            "The record has a date that does not exist.",
            NOT_COUNTED,
            "Withdraw it: `retract`, with its number in `refers_to`; then import it under a new number with the right date.",
        ),
        FindingKind::EventAfterReport => (
            "The event is later than the month in which it was recorded.",
            NOT_COUNTED,
            "Correct the date: `update`, with the number of this slip in `refers_to` and the right `event_date`.",
        ),
        FindingKind::EventBeforeBirth => (
            "The event is before the person's month of birth.",
            NOT_COUNTED,
            "If its date is wrong, correct it: `update`, with the number of this slip in `refers_to`. If the date of birth is wrong, correct that: `update` without `refers_to`, with the right `birth_date`.",
        ),
        FindingKind::KindUnknown => (
            "The node that says so has an older version, which does not know this kind of record: it is kept, handed on and not counted there.",
            "The figures of that node, and of those above that are as old, lack this record until then.",
            "There is nothing to correct: the operator of that node updates its software, and the record then counts.",
        ),
        FindingKind::MonthUnknown => (
            "The record does not say in which month it happened.",
            "It counts, in a month that was chosen for it: the middle of the year, or the month in which it became known. Figures by month may be wrong.",
            "If the month is known, say it: `update`, with the number of this slip in `refers_to` and the right `event_date`.",
        ),
        // Those of rules have their texts in `messages::rules`.
        _ => return UNKNOWN,
    };
    FindingText { what, why, next }
}

pub(super) const UNKNOWN: FindingText = FindingText {
    what: "The node that says so found something about the record that this version does not know.",
    why: "Perhaps the record does not count at that node.",
    next: "Update the software of this node.",
};

/// What to add for a finding that an answer settles.
pub(super) const ANSWER: &str = "If the record is right as it is, say so and why: `danso-admin finding answer CHANGE_ID CODE --right --because TEXT`.";

pub(super) fn seen(of: &str) -> Option<&'static str> {
    Some(match of {
        name::EVENT_DATE => "date of the event",
        name::RECORDED => "recorded in",
        name::BIRTH_MONTH => "born in",
        name::RESIDENT_SINCE => "lives there since",
        name::LEFT => "left or died in",
        name::COUNTED_IN => "counted in",
        name::LIVES_IN => "lived then in unit",
        name::AGE => "full years of age",
        name::MONTHS_BETWEEN => "months between the two",
        name::BOUND => "expected bound",
        name::BIRTH_ORDER => "birth order",
        name::BIRTH_ORDER_BEFORE => "birth order of the birth before",
        name::YEAR_BY_NUMBER => "year of birth by the personal number",
        name::YEAR_RECORDED => "year of birth as recorded",
        name::LUNAR_DATE => "read as a lunar date",
        name::SOLAR_DATE => "its solar date",
        _ => return None,
    })
}
