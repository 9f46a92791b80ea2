//! Viet Nam's lunar dates. Many families know a birth or a death by its lunar date only.
//!
//! The rules, as Hồ Ngọc Đức states them: a month begins on the day of the new moon; the winter solstice is always
//! in month 11; when there are 13 months from one month 11 to the next, the first one in which the sun enters no new twelfth of
//! its way is a leap month and bears the number of the month before it. Days begin at midnight of UTC+7 since 1968, of UTC+8 before. Computed anew
//! for every question, nothing is kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::sky::{last_new_moon, new_moon_day, solar_sector};
use super::{CalendarError, PartialDate, number};

/// First day that is converted: the lunar new year 1900.
pub const LUNAR_FIRST: &str = "1900-01-31";
/// Last day that is converted.
pub const LUNAR_LAST: &str = "2100-12-31";

/// [`LUNAR_FIRST`] and [`LUNAR_LAST`] in days from 1970-01-01.
const DAYS: std::ops::RangeInclusive<i32> = -25_537..=47_846;
/// Lunar years that these days touch.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2100;
/// Days on which published tables and independent computations all agree: from the lunar new year 1968, the first that was counted at UTC+7, to the end of 2053.
///
/// Before it the printed almanacs are followed, which counted at UTC+8; the tables of Hồ Ngọc Đức have other days in some months of 1906, 1914, 1916 and 1920, whose
/// new moons fall within minutes of midnight, and in the first of 1925. (The North decreed UTC+7 in 1967, the South followed after 1975: southern dates until then may differ
/// by a day.) In May 2054, December 2072 and November 2077 a new moon falls within two minutes of midnight, and computations differ.
const SETTLED: std::ops::RangeInclusive<i32> = super::sky::UTC_7_FROM..=30_680;

/// Whether nobody computes another lunar date for this day, which is a full date: other computations may differ by a day, and rarely by a month, before 1968 and
/// after 2053.
pub fn is_settled(date: PartialDate) -> bool {
    date.days().is_some_and(|days| SETTLED.contains(&days))
}

/// A day of the lunar calendar as declared: month 1 to 12, day 1 to 30. Whether that year has it says [`lunar_to_solar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(i32, u8, bool, u8)", into = "(i32, u8, bool, u8)")]
pub struct LunarDate {
    // In this order, because a leap month follows the month of its number.
    year: i32,
    month: u8,
    leap: bool,
    day: u8,
}

impl LunarDate {
    /// `month` 1 to 12, `day` 1 to 30; `leap`: the second of two months of that number.
    pub fn new(year: i32, month: u8, day: u8, leap: bool) -> Result<Self, CalendarError> {
        if !YEARS.contains(&year) {
            return Err(CalendarError::OutOfRange);
        }
        if !(1..=12).contains(&month) {
            return Err(CalendarError::NoSuchMonth { month: month.into() });
        }
        if !(1..=30).contains(&day) {
            return Err(CalendarError::NoSuchLunarDay { year, month, leap, day: day.into(), days: 30 });
        }
        Ok(Self { year, month, leap, day })
    }

    /// From the number `yyyymmdd`.
    pub fn from_packed(yyyymmdd: u32, leap: bool) -> Result<Self, CalendarError> {
        let year = i32::try_from(yyyymmdd / 10_000).map_err(|_| CalendarError::OutOfRange)?;
        // Both are remainders of 100.
        Self::new(year, (yyyymmdd / 100 % 100) as u8, (yyyymmdd % 100) as u8, leap)
    }

    /// The number `yyyymmdd`; the leap month is said by [`LunarDate::leap`].
    pub fn packed(self) -> u32 {
        self.year.unsigned_abs() * 10_000 + u32::from(self.month) * 100 + u32::from(self.day)
    }

    /// The lunar year, named by the solar year in which it begins.
    pub fn year(self) -> i32 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day, 1 to 30.
    pub fn day(self) -> u8 {
        self.day
    }

    /// Is it in the leap month of that number?
    pub fn leap(self) -> bool {
        self.leap
    }
}

/// The solar day (a full date) of a lunar one.
pub fn lunar_to_solar(date: LunarDate) -> Result<PartialDate, CalendarError> {
    let LunarDate { year, month, leap, day } = date;
    let cycle = if month >= 11 { Cycle::from_solstice(year) } else { Cycle::from_solstice(year - 1) };
    if leap && cycle.leap_month() != Some(month) {
        return Err(match leap_month(year)? {
            Some(actual) => CalendarError::OtherLeapMonth { year, month, actual },
            None => CalendarError::NoLeapMonth { year, month },
        });
    }
    let k = cycle.first + cycle.index_of(month, leap);
    let (start, end) = (new_moon_day(k), new_moon_day(k + 1));
    let solar = start + i32::from(day) - 1;
    if solar >= end {
        // A lunar month has 29 or 30 days.
        return Err(CalendarError::NoSuchLunarDay { year, month, leap, day: day.into(), days: (end - start) as u8 });
    }
    if !DAYS.contains(&solar) {
        return Err(CalendarError::OutOfRange);
    }
    PartialDate::from_days(solar)
}

/// The lunar day of a full solar date.
pub fn solar_to_lunar(date: PartialDate) -> Result<LunarDate, CalendarError> {
    let solar = date.days().ok_or(CalendarError::DayUnknown)?;
    if !DAYS.contains(&solar) {
        return Err(CalendarError::OutOfRange);
    }
    let k = last_new_moon(solar);
    let mut cycle = Cycle::from_solstice(date.year());
    if k < cycle.first {
        cycle = Cycle::from_solstice(date.year() - 1);
    }
    let (year, month, leap) = cycle.month_at(k - cycle.first);
    // A day is at most 30 days behind its new moon.
    LunarDate::new(year, month, (solar - new_moon_day(k) + 1) as u8, leap)
}

/// The month that comes twice in that lunar year, if one does.
pub fn leap_month(year: i32) -> Result<Option<u8>, CalendarError> {
    if !YEARS.contains(&year) {
        return Err(CalendarError::OutOfRange);
    }
    let early = Cycle::from_solstice(year - 1).leap_month().filter(|month| *month < 11);
    Ok(early.or_else(|| Cycle::from_solstice(year).leap_month().filter(|month| *month >= 11)))
}

/// The 12 or 13 months from one month 11 to the next.
struct Cycle {
    /// The lunar year of its first two months.
    year: i32,
    /// The new moon of its month 11.
    first: i32,
    /// Which of its months, counted from 0, is the leap month.
    leap: Option<i32>,
}

impl Cycle {
    /// The cycle that begins with month 11 of lunar year `year`.
    fn from_solstice(year: i32) -> Self {
        let (first, next) = (month_11(year), month_11(year + 1));
        let leap = (next - first == 13).then(|| {
            let mut sector = solar_sector(new_moon_day(first + 1));
            let stays = |index: &i32| {
                let before = std::mem::replace(&mut sector, solar_sector(new_moon_day(first + index + 1)));
                before == sector
            };
            // 13 months share 12 entries of the sun and the first has one, so that one of the others is without.
            (1..13).find(stays).unwrap_or(12)
        });
        Self { year, first, leap }
    }

    /// Lunar year, month, and whether it is a leap month, of the month `index` from 0.
    fn month_at(&self, index: i32) -> (i32, u8, bool) {
        let number = 11 + index - i32::from(self.leap.is_some_and(|leap| index >= leap));
        let (year, month) = if number > 12 { (self.year + 1, number - 12) } else { (self.year, number) };
        // An index below 13 gives a month of 1 to 12.
        (year, month as u8, self.leap == Some(index))
    }

    /// Which month of the cycle, counted from 0, bears this number.
    fn index_of(&self, month: u8, leap: bool) -> i32 {
        let plain = (i32::from(month) + 1) % 12;
        plain + i32::from(leap || self.leap.is_some_and(|leap| plain >= leap))
    }

    /// The number of the leap month.
    fn leap_month(&self) -> Option<u8> {
        self.leap.map(|index| self.month_at(index).1)
    }
}

/// The new moon that begins month 11 of lunar year `year`: the last one whose day is not after the winter solstice's.
fn month_11(year: i32) -> i32 {
    // Days from 1970-01-01 to 31 December, if every fourth year were a leap year. So it is of the years asked for, within 1899..=2101, but for 1900 and 2100: a day
    // more or less, ten days behind the solstice, makes no difference.
    let december_31 = (year - 1969) * 365 + (year - 1968).div_euclid(4) - 1;
    let k = last_new_moon(december_31);
    // When the sun has turned before that day began, the solstice was in the month before.
    if solar_sector(new_moon_day(k)) >= 9 { k - 1 } else { k }
}

impl TryFrom<(i32, u8, bool, u8)> for LunarDate {
    type Error = CalendarError;
    fn try_from((year, month, leap, day): (i32, u8, bool, u8)) -> Result<Self, CalendarError> {
        Self::new(year, month, day, leap)
    }
}

impl From<LunarDate> for (i32, u8, bool, u8) {
    fn from(date: LunarDate) -> Self {
        (date.year, date.month, date.leap, date.day)
    }
}

impl fmt::Display for LunarDate {
    /// `DD/MM/YYYY`, in a leap month `DD/MM+/YYYY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leap = if self.leap { "+" } else { "" };
        write!(f, "{:02}/{:02}{leap}/{:04}", self.day, self.month, self.year)
    }
}

impl FromStr for LunarDate {
    type Err = CalendarError;
    /// `DD/MM/YYYY`, `DD/MM+/YYYY` for a leap month, or `YYYY-MM-DD`. Four digits of the year; a day or month of one digit is
    /// taken, and white space around.
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        const UNREADABLE: CalendarError = CalendarError::LunarUnreadable;
        let slashes: Vec<&str> = text.trim().splitn(4, '/').collect();
        let hyphens: Vec<&str> = text.trim().splitn(4, '-').collect();
        let (day, month, year, leap) = match (&slashes[..], &hyphens[..]) {
            ([day, month, year], _) => match month.strip_suffix('+') {
                Some(month) => (*day, month, *year, true),
                None => (*day, *month, *year, false),
            },
            (_, [year, month, day]) => (*day, *month, *year, false),
            _ => return Err(UNREADABLE),
        };
        let part = |text: &str| number(text, 1, 2).map(|n| n as u8).ok_or(UNREADABLE);
        Self::new(number(year, 4, 4).ok_or(UNREADABLE)? as i32, part(month)?, part(day)?, leap)
    }
}

#[cfg(test)]
mod tests;
