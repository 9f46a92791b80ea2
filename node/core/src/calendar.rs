//! Dates as people declare them: solar months, partly known solar dates, and Viet Nam's lunar dates.
//!
//! This room turns texts and numbers into dates that exist, or says which rule they break. It knows no clock (what day it is
//! today comes from the caller), no units and no persons; its errors never repeat the text that could not be read, because a
//! birth date, or a name in the wrong column, identifies somebody.

mod date;
mod lunar;
mod month;
mod sky;

pub use date::{PartialDate, civil_from_unix_ms, days_in_month};
pub use lunar::{LUNAR_FIRST, LUNAR_LAST, LunarDate, is_settled, leap_month, lunar_to_solar, solar_to_lunar};
pub use month::Month;

/// First year of a date that can be entered: the oldest resident of any book was born later.
pub const YEAR_MIN: i32 = 1800;
/// Last year of a date that can be entered: later is a slip of the pen for as long as this software may live.
pub const YEAR_MAX: i32 = 2199;
/// Viet Nam's time, minutes east of UTC: months and days of events are counted in it.
pub const VIET_NAM_OFFSET_MINUTES: i32 = 7 * 60;

/// Why something is not a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The text has none of the accepted forms of a solar date.
    #[error("not a date: write YYYY-MM-DD, DD/MM/YYYY, YYYY-MM, MM/YYYY or YYYY")]
    DateUnreadable,
    /// The text is not a month.
    #[error("not a month: write YYYY-MM")]
    MonthUnreadable,
    /// The text has none of the accepted forms of a lunar date.
    #[error("not a lunar date: write DD/MM/YYYY, or DD/MM+/YYYY in a leap month")]
    LunarUnreadable,
    /// The year is outside [`YEAR_MIN`]..=[`YEAR_MAX`].
    #[error("year {year} is outside {YEAR_MIN}-{YEAR_MAX}")]
    YearOutOfRange {
        /// The year as given.
        year: i64,
    },
    /// A year has months 1 to 12.
    #[error("there is no month {month}")]
    NoSuchMonth {
        /// The month as given.
        month: u32,
    },
    /// The solar month is shorter.
    #[error("there is no day {day} in {year:04}-{month:02}, which has {days} days")]
    NoSuchDay {
        /// Year of the month.
        year: i32,
        /// The month, 1 to 12.
        month: u8,
        /// The day as given.
        day: u32,
        /// How many days that month has.
        days: u8,
    },
    /// A day is given while its month is unknown.
    #[error("a day without its month is no date")]
    DayWithoutMonth,
    /// The day is needed here and is not known.
    #[error("the day is not known, and is needed here")]
    DayUnknown,
    /// Outside the years for which the lunar calendar is computed, see [`LUNAR_FIRST`] and [`LUNAR_LAST`].
    #[error("lunar dates are converted from {LUNAR_FIRST} to {LUNAR_LAST} only")]
    OutOfRange,
    /// A lunar month has days 1 to 29 or 30.
    #[error("there is no day {day} in lunar month {month}{} of {year}, which has {days} days", leap_sign(*.leap))]
    NoSuchLunarDay {
        /// Lunar year.
        year: i32,
        /// Lunar month, 1 to 12.
        month: u8,
        /// It is the leap month of that number.
        leap: bool,
        /// The day as given.
        day: u32,
        /// How many days that month has; 30, the most there are, when only the shape was looked at.
        days: u8,
    },
    /// That lunar year has no leap month.
    #[error("there is no leap month {month} in lunar year {year}, which has none")]
    NoLeapMonth {
        /// Lunar year.
        year: i32,
        /// The leap month as given.
        month: u8,
    },
    /// That lunar year has another leap month.
    #[error("there is no leap month {month} in lunar year {year}, which has leap month {actual}")]
    OtherLeapMonth {
        /// Lunar year.
        year: i32,
        /// The leap month as given.
        month: u8,
        /// The month that is doubled in that year.
        actual: u8,
    },
}

fn leap_sign(leap: bool) -> &'static str {
    if leap { "+" } else { "" }
}

/// The number that `text` writes in `min` to `max` ASCII digits.
fn number(text: &str, min: usize, max: usize) -> Option<u32> {
    // `parse` alone would take a sign and any length.
    let fits = (min..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}
