//! Solar dates of which the day, or day and month, may be unknown; and the way from instants and day numbers to them.
//! Knows the Gregorian rules, no clock and no lunar calendar.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CalendarError, Month, YEAR_MAX, YEAR_MIN, number};

/// A solar date in [`YEAR_MIN`]..=[`YEAR_MAX`] of which the day, or day and month, may be unknown.
///
/// Held and stored as the number `yyyymmdd` with 00 for what is unknown ([`PartialDate::packed`]); in serde it is that number.
/// `Ord` is the order of these numbers: total, fit for keys and stable lists, and *no* statement about time (2020 sorts before
/// 2020-01-01, and may be after it). For statements about time there are [`PartialDate::earliest`], [`PartialDate::latest`],
/// [`PartialDate::certainly_before`] and [`PartialDate::certainly_after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartialDate(u32);

impl PartialDate {
    /// A day: `month` 1 to 12, `day` 1 to the length of that month.
    pub fn full(year: i32, month: u8, day: u8) -> Result<Self, CalendarError> {
        let month = Month::new(year, month)?;
        let days = days_in_month(month);
        if !(1..=days).contains(&day) {
            return Err(CalendarError::NoSuchDay { year, month: month.month(), day: day.into(), days });
        }
        Ok(Self(month.ymm() * 100 + u32::from(day)))
    }

    /// Some day of the month `month`, 1 to 12.
    pub fn of_month(year: i32, month: u8) -> Result<Self, CalendarError> {
        Ok(Self(Month::new(year, month)?.ymm() * 100))
    }

    /// Some day of the year.
    pub fn of_year(year: i32) -> Result<Self, CalendarError> {
        Ok(Self(Month::new(year, 1)?.year().unsigned_abs() * 10_000))
    }

    /// From `yyyymmdd`; `dd` is 00 where the day, `mmdd` is 0000 where the month is unknown. 0 is refused: "no date" is the
    /// caller's `Option`.
    pub fn from_packed(yyyymmdd: u32) -> Result<Self, CalendarError> {
        let (yyyy, month, day) = (yyyymmdd / 10_000, yyyymmdd / 100 % 100, yyyymmdd % 100);
        let year = i32::try_from(yyyy).map_err(|_| CalendarError::YearOutOfRange { year: yyyy.into() })?;
        // Both are remainders of 100.
        match (month as u8, day as u8) {
            (0, 0) => Self::of_year(year),
            (0, _) => Err(CalendarError::DayWithoutMonth),
            (month, 0) => Self::of_month(year, month),
            (month, day) => Self::full(year, month, day),
        }
    }

    /// From `yyyymm`; `mm` is 00 where the month is unknown.
    pub fn from_ymm(yyyymm: u32) -> Result<Self, CalendarError> {
        let packed = yyyymm.checked_mul(100).ok_or(CalendarError::YearOutOfRange { year: (yyyymm / 100).into() })?;
        Self::from_packed(packed)
    }

    /// The day `days` after 1970-01-01 (before it when negative).
    pub fn from_days(days: i32) -> Result<Self, CalendarError> {
        // Counted in years from 1 March and eras of 400 years (146,097 days), so that the leap day is the last of its year.
        let shifted = i64::from(days) + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let small = i32::try_from(year).map_err(|_| CalendarError::YearOutOfRange { year })?;
        Self::full(small, month as u8, day as u8)
    }

    /// The number `yyyymmdd`, 00 for what is unknown.
    pub fn packed(self) -> u32 {
        self.0
    }

    /// The year.
    pub fn year(self) -> i32 {
        // At most YEAR_MAX.
        (self.0 / 10_000) as i32
    }

    /// The month in which the date is counted. An unknown month counts as July, the middle of the year, so that ages computed
    /// from a year alone are wrong by half a year at most; whether it is known says [`PartialDate::known_month`].
    pub fn month(self) -> Month {
        let month = self.known_month().unwrap_or(7);
        Month::new(self.year(), month).expect("a PartialDate's year is in range and its month is 1 to 12")
    }

    /// The month in the year, 1 to 12, when known.
    pub fn known_month(self) -> Option<u8> {
        Some((self.0 / 100 % 100) as u8).filter(|month| *month != 0)
    }

    /// The day in the month, 1 to 31, when known.
    pub fn day(self) -> Option<u8> {
        Some((self.0 % 100) as u8).filter(|day| *day != 0)
    }

    /// Is the day known?
    pub fn is_full(self) -> bool {
        self.day().is_some()
    }

    /// The same date as far as its month (a year stays a year): what may stand on the signed side.
    #[must_use]
    pub fn without_day(self) -> Self {
        Self(self.0 / 100 * 100)
    }

    /// The first day that it can mean.
    #[must_use]
    pub fn earliest(self) -> Self {
        let month = self.known_month().unwrap_or(1);
        let day = self.day().unwrap_or(1);
        Self(self.0 / 10_000 * 10_000 + u32::from(month) * 100 + u32::from(day))
    }

    /// The last day that it can mean.
    #[must_use]
    pub fn latest(self) -> Self {
        match (self.known_month(), self.day()) {
            (_, Some(_)) => self,
            (Some(_), None) => Self(self.0 + u32::from(days_in_month(self.month()))),
            (None, None) => Self(self.0 + 1231),
        }
    }

    /// Whatever the unknown parts are, this date is before `other`.
    pub fn certainly_before(self, other: Self) -> bool {
        self.latest() < other.earliest()
    }

    /// Whatever the unknown parts are, this date is after `other`.
    pub fn certainly_after(self, other: Self) -> bool {
        other.certainly_before(self)
    }

    /// Days from 1970-01-01, negative before it; `None` when the day is not known.
    pub fn days(self) -> Option<i32> {
        let day = i32::from(self.day()?);
        let month = i32::from(self.known_month()?);
        // See `from_days`.
        let year = self.year() - i32::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(era * 146_097 + day_of_era - 719_468)
    }
}

/// How many days `month` has.
pub fn days_in_month(month: Month) -> u8 {
    let year = month.year();
    match month.month() {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day on which the instant `ms` (milliseconds since the Unix epoch) falls, `offset_minutes` east of UTC.
///
/// Total, because a foreign clock may say anything and must not stop a record: what is outside [`YEAR_MIN`]..=[`YEAR_MAX`]
/// becomes the first or the last day of that range.
pub fn civil_from_unix_ms(ms: i64, offset_minutes: i32) -> PartialDate {
    const MS_PER_DAY: i64 = 86_400_000;
    let local = ms.saturating_add(i64::from(offset_minutes) * 60_000);
    let bound = if local < 0 {
        PartialDate(YEAR_MIN as u32 * 10_000 + 101)
    } else {
        PartialDate(YEAR_MAX as u32 * 10_000 + 1231)
    };
    let days = i32::try_from(local.div_euclid(MS_PER_DAY)).ok();
    days.and_then(|days| PartialDate::from_days(days).ok()).unwrap_or(bound)
}

impl TryFrom<u32> for PartialDate {
    type Error = CalendarError;
    fn try_from(packed: u32) -> Result<Self, CalendarError> {
        Self::from_packed(packed)
    }
}

impl From<PartialDate> for u32 {
    fn from(date: PartialDate) -> u32 {
        date.0
    }
}

impl fmt::Display for PartialDate {
    /// `YYYY-MM-DD`, `YYYY-MM` or `YYYY`: as much as is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year())?;
        self.known_month().map_or(Ok(()), |month| write!(f, "-{month:02}"))?;
        self.day().map_or(Ok(()), |day| write!(f, "-{day:02}"))
    }
}

impl FromStr for PartialDate {
    type Err = CalendarError;
    /// `YYYY-MM-DD`, `DD/MM/YYYY`, `YYYY-MM`, `MM/YYYY` or `YYYY`. Four digits of the year; a day or month of one digit is
    /// taken, and white space around. 00 for an unknown part is not: leave the part out.
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        const UNREADABLE: CalendarError = CalendarError::DateUnreadable;
        let text = text.trim();
        let mut parts: Vec<&str> = Vec::with_capacity(3);
        if text.contains('/') {
            parts.extend(text.splitn(4, '/'));
            parts.reverse();
        } else {
            parts.extend(text.splitn(4, '-'));
        }
        let year = number(parts[0], 4, 4).ok_or(UNREADABLE)? as i32;
        let part = |text: &str| number(text, 1, 2).map(|n| n as u8).ok_or(UNREADABLE);
        match parts[..] {
            [_] => Self::of_year(year),
            [_, month] => Self::of_month(year, part(month)?),
            [_, month, day] => Self::full(year, part(month)?, part(day)?),
            _ => Err(UNREADABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(text: &str) -> PartialDate {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn reads_every_accepted_form() {
        for (text, packed) in [
            ("2024-02-29", 20240229),
            ("2024-2-9", 20240209),
            ("29/02/2024", 20240229),
            ("9/2/2024", 20240209),
            (" 2024-02 ", 20240200),
            ("2/2024", 20240200),
            ("1950", 19500000),
        ] {
            assert_eq!(text.parse(), PartialDate::from_packed(packed), "{text}");
        }
        assert_eq!(date("9/2/2024").to_string(), "2024-02-09");
        assert_eq!(date("02/2024").to_string(), "2024-02");
        assert_eq!(date("1950").to_string(), "1950");
    }

    #[test]
    fn refuses_what_is_no_date_and_says_why() {
        use CalendarError::*;
        let day = |year, month, day, days| NoSuchDay { year, month, day, days };
        for (text, error) in [
            ("2023-02-29", day(2023, 2, 29, 28)),
            ("29/02/1900", day(1900, 2, 29, 28)),
            ("31/04/2024", day(2024, 4, 31, 30)),
            ("2024-04-00", day(2024, 4, 0, 30)),
            ("2024-13-01", NoSuchMonth { month: 13 }),
            ("00/2024", NoSuchMonth { month: 0 }),
            ("1799", YearOutOfRange { year: 1799 }),
            ("01/01/2200", YearOutOfRange { year: 2200 }),
        ] {
            assert_eq!(text.parse::<PartialDate>(), Err(error), "{text}");
        }
        for bad in [
            "",
            "/",
            "-",
            "24-02-29",
            "29/02/24",
            "2024/02/29",
            "29-02-2024",
            "2024-02-29-1",
            "1/1/1/2024",
            "20240229",
            "+024",
            "2024-02-",
            "Trai",
        ] {
            assert_eq!(bad.parse::<PartialDate>(), Err(DateUnreadable), "{bad}");
        }
        assert_eq!(PartialDate::from_packed(20240005), Err(DayWithoutMonth));
        assert!(PartialDate::from_packed(0).is_err());
        assert_eq!(PartialDate::from_ymm(195_000), PartialDate::of_year(1950));
        assert!(PartialDate::from_ymm(u32::MAX).is_err());
    }

    #[test]
    fn is_honest_about_what_it_does_not_know() {
        assert_eq!(date("1950").month().ymm(), 195_007);
        assert_eq!(date("1950").known_month(), None);
        assert_eq!((date("2024-02").earliest(), date("2024-02").latest()), (date("2024-02-01"), date("2024-02-29")));
        assert_eq!((date("2024").earliest(), date("2024").latest()), (date("2024-01-01"), date("2024-12-31")));
        assert!(!date("2024").certainly_before(date("2024-02-01")));
        assert!(date("2024-01").certainly_before(date("2024-02-01")));
        assert!(date("2025").certainly_after(date("2024-12")));
        assert_eq!(date("2024-02-29").without_day(), date("2024-02"));
        assert_eq!(date("2024").without_day(), date("2024"));
    }

    #[test]
    fn days_are_counted_from_the_epoch() {
        for (text, days) in [("1970-01-01", 0), ("1969-12-31", -1), ("2000-03-01", 11_017), ("1899-12-30", -25_569)] {
            assert_eq!(date(text).days(), Some(days), "{text}");
            assert_eq!(PartialDate::from_days(days), Ok(date(text)));
        }
        assert_eq!(date("2000-03").days(), None);
    }

    #[test]
    fn every_day_has_one_number() {
        let (first, last) = (date("1800-01-01").days(), date("2199-12-31").days());
        let (first, last) = (first.expect("full"), last.expect("full"));
        let mut before = None;
        for days in first..=last {
            let it = PartialDate::from_days(days).expect("in range");
            assert_eq!(it.days(), Some(days));
            assert!(before < Some(it), "{it}");
            before = Some(it);
        }
        assert!(PartialDate::from_days(first - 1).is_err() && PartialDate::from_days(last + 1).is_err());
    }

    #[test]
    fn the_day_begins_at_midnight_in_viet_nam() {
        let at = |ms| civil_from_unix_ms(ms, super::super::VIET_NAM_OFFSET_MINUTES).to_string();
        // 2025-06-30 16:59:59.999 UTC and the millisecond after it.
        assert_eq!(at(1_751_302_799_999), "2025-06-30");
        assert_eq!(at(1_751_302_800_000), "2025-07-01");
        assert_eq!(at(-25_200_001), "1969-12-31");
        assert_eq!((at(i64::MIN), at(i64::MAX)), ("1800-01-01".into(), "2199-12-31".into()));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(year in YEAR_MIN..=YEAR_MAX, month in 0u32..=12, day in 0u32..=31) {
            let packed = year as u32 * 10_000 + month * 100 + day;
            if let Ok(it) = PartialDate::from_packed(packed) {
                prop_assert_eq!(it.packed(), packed);
                prop_assert_eq!(it.to_string().parse(), Ok(it));
                prop_assert!(it.earliest() <= it.latest());
                prop_assert!(it.earliest().is_full() && it.latest().is_full());
                prop_assert!(PartialDate::from_packed(it.latest().packed()).is_ok());
                prop_assert!(it.earliest().month() <= it.month() && it.month() <= it.latest().month());
            }
        }

        #[test]
        fn nothing_panics(text in "[0-9/ -]{0,12}|\\PC{0,12}", number: u32, days: i32, ms: i64, offset: i32) {
            let _ = (text.parse::<PartialDate>(), PartialDate::from_packed(number), PartialDate::from_ymm(number));
            let _ = (PartialDate::from_days(days), civil_from_unix_ms(ms, offset));
        }
    }
}
