//! Solar months, the step in which everything is counted. Knows nothing of days.

use std::fmt;
use std::ops::Sub;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CalendarError, YEAR_MAX, YEAR_MIN, number};

/// A solar month, held as `year * 12 + (month - 1)`, so that ages and periods are plain subtraction.
///
/// What is read lies in [`YEAR_MIN`]..=[`YEAR_MAX`]; arithmetic may leave that range and stops at 0000-01 and 9999-12, so
/// that four digits always write the year. In serde it is the number ([`Month::index`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Month(i32);

const INDEX_MAX: i32 = 9999 * 12 + 11;

impl Month {
    /// The month `month` (1 to 12) of `year` ([`YEAR_MIN`]..=[`YEAR_MAX`]).
    pub fn new(year: i32, month: u8) -> Result<Self, CalendarError> {
        if !(YEAR_MIN..=YEAR_MAX).contains(&year) {
            return Err(CalendarError::YearOutOfRange { year: year.into() });
        }
        if !(1..=12).contains(&month) {
            return Err(CalendarError::NoSuchMonth { month: month.into() });
        }
        Ok(Self(year * 12 + i32::from(month) - 1))
    }

    /// From `yyyymm`. A month 00 is refused: [`super::PartialDate::from_ymm`] takes it.
    pub fn from_ymm(yyyymm: u32) -> Result<Self, CalendarError> {
        let (year, month) = (yyyymm / 100, yyyymm % 100);
        let year = i32::try_from(year).map_err(|_| CalendarError::YearOutOfRange { year: year.into() })?;
        Self::new(year, u8::try_from(month).map_err(|_| CalendarError::NoSuchMonth { month })?)
    }

    /// From `year * 12 + (month - 1)`, as stored; years 0 to 9999.
    pub fn from_index(index: i32) -> Result<Self, CalendarError> {
        if (0..=INDEX_MAX).contains(&index) {
            Ok(Self(index))
        } else {
            Err(CalendarError::YearOutOfRange { year: index.div_euclid(12).into() })
        }
    }

    /// `year * 12 + (month - 1)`: the form to store and to subtract.
    pub fn index(self) -> i32 {
        self.0
    }

    /// As `yyyymm`.
    pub fn ymm(self) -> u32 {
        self.year().unsigned_abs() * 100 + u32::from(self.month())
    }

    /// The year.
    pub fn year(self) -> i32 {
        self.0 / 12
    }

    /// The month in the year, 1 to 12.
    pub fn month(self) -> u8 {
        // The index is not negative, so the remainder is 0 to 11.
        (self.0 % 12) as u8 + 1
    }

    /// The month `months` later (earlier when negative); stops at 0000-01 and 9999-12.
    #[must_use]
    pub fn add_months(self, months: i32) -> Self {
        Self(self.0.saturating_add(months).clamp(0, INDEX_MAX))
    }

    /// The last month.
    pub const MAX: Self = Self(INDEX_MAX);

    /// December of a year; stops at 0000-12 and 9999-12.
    pub fn december(year: i32) -> Self {
        Self(year.clamp(0, 9999) * 12 + 11)
    }

    /// All months from this one to `last`, both included; none when `last` is earlier.
    pub fn through(self, last: Month) -> impl DoubleEndedIterator<Item = Month> + Clone {
        (self.0..=last.0).map(Month)
    }
}

impl Sub for Month {
    type Output = i32;
    /// How many months later `self` is; negative when earlier.
    fn sub(self, earlier: Self) -> i32 {
        self.0 - earlier.0
    }
}

impl TryFrom<i32> for Month {
    type Error = CalendarError;
    fn try_from(index: i32) -> Result<Self, CalendarError> {
        Self::from_index(index)
    }
}

impl From<Month> for i32 {
    fn from(month: Month) -> i32 {
        month.0
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

impl FromStr for Month {
    type Err = CalendarError;
    /// `YYYY-MM`; a month of one digit is taken, and white space around.
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let (year, month) = text.trim().split_once('-').ok_or(CalendarError::MonthUnreadable)?;
        match (number(year, 4, 4), number(month, 1, 2)) {
            (Some(year), Some(month)) => Self::from_ymm(year * 100 + month),
            _ => Err(CalendarError::MonthUnreadable),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_it_should_and_nothing_else() {
        assert_eq!("2025-07".parse(), Month::from_ymm(202_507));
        assert_eq!("2025-7".parse(), Month::new(2025, 7));
        assert_eq!(Month::from_ymm(202_500), Err(CalendarError::NoSuchMonth { month: 0 }));
        assert_eq!(Month::from_ymm(202_513), Err(CalendarError::NoSuchMonth { month: 13 }));
        assert_eq!(Month::from_ymm(179_912), Err(CalendarError::YearOutOfRange { year: 1799 }));
        assert!(Month::from_ymm(u32::MAX).is_err());
        for bad in ["", "2025", "2025-", "-07", "25-07", "2025-+7", "2025-007", "07/2025", "２025-07"] {
            assert_eq!(bad.parse::<Month>(), Err(CalendarError::MonthUnreadable), "{bad}");
        }
    }

    #[test]
    fn walks_over_the_end_of_the_year() {
        let december = Month::new(2024, 12).expect("a month");
        assert_eq!(december.add_months(1).to_string(), "2025-01");
        assert_eq!(december.add_months(-12).ymm(), 202_312);
        assert_eq!(
            december.through(december.add_months(2)).map(Month::ymm).collect::<Vec<_>>(),
            [202_412, 202_501, 202_502]
        );
        assert_eq!(december.through(december.add_months(-1)).count(), 0);
        assert_eq!(december.add_months(i32::MIN).to_string(), "0000-01");
        assert_eq!(december.add_months(i32::MAX).to_string(), "9999-12");
    }

    proptest! {
        #[test]
        fn every_form_reads_back(year in YEAR_MIN..=YEAR_MAX, month in 1u8..=12, by in -3000i32..3000) {
            let it = Month::new(year, month)?;
            prop_assert_eq!((it.year(), it.month()), (year, month));
            prop_assert_eq!(Month::from_ymm(it.ymm()), Ok(it));
            prop_assert_eq!(Month::from_index(it.index()), Ok(it));
            prop_assert_eq!(it.to_string().parse(), Ok(it));
            prop_assert_eq!(it.add_months(by) - it, by);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}", ymm: u32, index: i32) {
            let _ = (text.parse::<Month>(), Month::from_ymm(ymm), Month::from_index(index));
        }
    }
}
