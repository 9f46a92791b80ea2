//! What may stand in an answer: the check of a cell that somebody else computed.

use super::age::AgeScale;
use super::{Asked, Cell, Dimension};

/// The largest figure that is believed: far more than the country's events in [`super::MONTHS_MAX`] months, and so small that the sum of
/// all nodes' answers cannot overflow.
pub const VALUE_MAX: i64 = 1_000_000_000_000;

impl Asked<'_> {
    /// Whether the question has room for this cell: a unit that it tells apart and that lies in what is counted, a figure and dimensions
    /// that it asks for, a value from 1 to [`VALUE_MAX`] (zeros are left out).
    pub fn admits(&self, cell: &Cell) -> bool {
        let question = self.question;
        let figure = cell.figure;
        let month = match cell.month {
            Some(month) => question.has(Dimension::Month) && (question.from..=question.to).contains(&month),
            None => !question.has(Dimension::Month),
        };
        month
            && question.figures.binary_search(&figure).is_ok()
            && cell.sex.is_some() == (figure.has_sex() && question.has(Dimension::Sex))
            && cell.sex.is_none_or(|sex| figure.only_sex().is_none_or(|only| only == sex))
            && match (self.ages(figure), cell.age_group) {
                (AgeScale::Whole, None) => true,
                (AgeScale::Fives, Some(group)) => !group.is_year(),
                (AgeScale::Years, Some(group)) => group.is_year(),
                _ => false,
            }
            && (1..=VALUE_MAX).contains(&cell.value)
            && self.targets.binary_search_by(|target| target.code.cmp(&cell.unit)).is_ok()
            && self
                .scope()
                .is_some_and(|scope| self.list.is_within(&cell.unit, scope) || self.list.is_within(scope, &cell.unit))
    }
}
