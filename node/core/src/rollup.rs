//! Roll-ups: the cube summed up, so that a question about many people reads as little as one about few.
//!
//! Three things are summed over: the units below one, what became known when, and whatever no figure tells apart (an age in full years is enough
//! for an event, a woman's marriage and method only matter together). What stays apart is the month, and for stocks whole years, and
//! all that was before [`FIRST_YEAR`]: a stock is read from some tens of sums, however long ago the people came.
//!
//! Sums are a function of the cube's rows and of the unit list, so that any order of arrival makes the same. This room knows neither questions
//! nor where sums are kept.

mod spread;
mod sums;

use danso_proto::ids::UnitCode;

use crate::calendar::Month;
use crate::units::{UnitList, UnitLists};

pub use spread::{raise, spread};
pub use sums::{Run, Sums};

/// The first year whose months a stock is told apart by; what happened before is one sum. A question about a stock at the end of an earlier month
/// than the last one before it needs the rows of the cube.
pub const FIRST_YEAR: i32 = 2020;
/// Unit lists for which the units above are summed up, at most: those that begin last. Sums of single units serve all lists.
pub const LISTS: usize = 3;

/// What a sum is about. `Ord` is the order in which sums are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupKey {
    /// Version of the list by which the records of the units below are in it; empty: the records about the unit alone, whose moves name the other unit
    /// as it was said.
    pub list: Box<str>,
    /// The unit.
    pub unit: UnitCode,
    /// Whether steps of stocks are summed up, or flows.
    pub stock: bool,
    /// When they happened.
    pub span: Span,
}

/// The time that a sum is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// All time before [`FIRST_YEAR`]; of stocks only.
    Before,
    /// A year from [`FIRST_YEAR`] on; of stocks only.
    Year(i32),
    /// A month; of stocks from [`FIRST_YEAR`] on.
    Month(Month),
}

impl Span {
    /// As stored: 0, the year below zero, the month's index. Spans of stocks that lie before a year are a range then.
    pub fn code(self) -> i64 {
        match self {
            Self::Before => 0,
            Self::Year(year) => -i64::from(year),
            Self::Month(month) => month.index().into(),
        }
    }

    /// What is stored under this number.
    pub fn from_code(code: i64) -> Option<Self> {
        match i32::try_from(code).ok()? {
            0 => Some(Self::Before),
            year if year < 0 => Some(Self::Year(-year)),
            month => Month::from_index(month).ok().map(Self::Month),
        }
    }

    /// Its last month.
    pub fn last(self) -> Month {
        match self {
            Self::Before => Month::december(FIRST_YEAR - 1),
            Self::Year(year) => Month::december(year),
            Self::Month(month) => month,
        }
    }
}

/// The lists for which the units above are summed up: the [`LISTS`] that begin last. It is a function of the lists alone, so that everybody who
/// has read the same entries has the same sums.
pub fn rolled(lists: &UnitLists) -> Vec<&UnitList> {
    let mut all: Vec<&UnitList> = lists.iter().map(AsRef::as_ref).collect();
    all.sort_by_key(|list| (list.valid_from(), list.version()));
    all.split_off(all.len().saturating_sub(LISTS))
}

#[cfg(test)]
mod tests;
