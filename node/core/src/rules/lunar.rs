//! Two statements of one day that differ exactly as its lunar and its solar date do. Pure arithmetic of the calendar.

use crate::calendar::{LunarDate, Month, PartialDate, lunar_to_solar, solar_to_lunar};

/// A day as a family tells it and as a certificate bears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LunarReading {
    /// What was written, read as a lunar date.
    pub lunar: LunarDate,
    /// Its solar day.
    pub solar: PartialDate,
}

/// Reads `written` as the lunar date of the day `other`, if it can be that. Both are full dates.
///
/// A family tells day and month; the year that is written with them is the lunar one, or the solar one in which the child was born, which is another one for
/// the weeks between the solar new year and Tết. The sign of a leap month is mostly lost, so that a month may be the leap month of its number.
pub fn read_as_lunar(written: PartialDate, other: PartialDate) -> Option<LunarReading> {
    let (day, other_days) = (written.day()?, other.days()?);
    let month = written.known_month()?;
    // A lunar date is written 17 to 52 days before its solar day, or, with the solar year, most of a year behind it.
    let apart = other_days - written.days()?;
    if !(10..=60).contains(&apart) && !(-360..=-300).contains(&apart) {
        return None;
    }
    let years = [written.year(), written.year() - 1];
    years.into_iter().flat_map(|year| [(year, false), (year, true)]).find_map(|(year, leap)| {
        let lunar = LunarDate::new(year, month, day, leap).ok()?;
        let solar = lunar_to_solar(lunar).ok()?;
        // The year before is meant only where the solar year was written.
        let fits = solar == other && (year == written.year() || solar.year() == written.year());
        fits.then_some(LunarReading { lunar, solar })
    })
}

/// What `date` and another statement of the same birth, of which the month alone is known, say of each other: that `date` is the lunar date of a day in
/// `month`, or that `month` is that of its lunar date.
pub fn read_by_month(date: PartialDate, month: Month) -> Option<LunarReading> {
    let (own, day) = (date.known_month()?, date.day()?);
    let years = [date.year(), date.year() - 1];
    let as_lunar = years.into_iter().flat_map(|year| [(year, false), (year, true)]).find_map(|(year, leap)| {
        let lunar = LunarDate::new(year, own, day, leap).ok()?;
        let solar = lunar_to_solar(lunar).ok()?;
        let fits = solar.month() == month && (year == date.year() || solar.year() == date.year());
        fits.then_some(LunarReading { lunar, solar })
    });
    as_lunar.filter(|_| date.month() != month).or_else(|| {
        let lunar = solar_to_lunar(date).ok()?;
        let is_of_month = |year| Month::new(year, lunar.month()).ok() == Some(month);
        let fits = date.month() != month && (is_of_month(lunar.year()) || is_of_month(date.year()));
        fits.then_some(LunarReading { lunar, solar: date })
    })
}

/// What the year of birth in a personal number says of a date of birth: that `written` is the lunar date of a day in `year`, or that it is a solar
/// day whose lunar year is `year`. In the second case the other reading is what the certificate behind the number may bear.
pub fn read_by_year(written: PartialDate, year: i32) -> Option<LunarReading> {
    if year == written.year() + 1 {
        let lunar = LunarDate::new(written.year(), written.known_month()?, written.day()?, false).ok()?;
        let solar = lunar_to_solar(lunar).ok().filter(|solar| solar.year() == year)?;
        return Some(LunarReading { lunar, solar });
    }
    if year + 1 == written.year() {
        let lunar = solar_to_lunar(written).ok().filter(|lunar| lunar.year() == year)?;
        return Some(LunarReading { lunar, solar: written });
    }
    None
}
