//! Working days: Monday to Friday, without the holidays of the Labour Code (2019, article 112) and the days off in place of those that fall on a
//! weekend (article 111).
//!
//! Approximated, because the Government decides it anew each year: which five days Tết takes (here: the last two days of the lunar year and the
//! first three of the new one, which with the days in their place are the days off of 2022 to 2026), on which side of 2 September the second day is (here: the
//! day before, or the day behind where that is a Monday), and working days that are swapped with a Saturday. What is decided otherwise is
//! configured as days off.

use std::collections::BTreeSet;

use crate::calendar::{LunarDate, PartialDate, lunar_to_solar};

/// Days off beside those that are computed, as days from 1970-01-01.
pub(super) type DaysOff = BTreeSet<i32>;

/// Whether `date`, a full date, is a working day, going by the computed holidays alone.
pub fn is_working_day(date: PartialDate) -> bool {
    date.days().is_some_and(|day| !is_weekend(day) && !holidays(date.year()).contains(&day))
}

/// The last of the `count` working days (1 to 30) behind the day `end`.
pub(super) fn working_day_after(end: PartialDate, count: u8, off: &DaysOff) -> PartialDate {
    let Some(mut day) = end.days() else { return end };
    let mut holidays: Vec<i32> = [end.year(), end.year() + 1].into_iter().flat_map(holidays).collect();
    holidays.extend(off);
    let mut left = count;
    // Thirty working days with all that is off between are over in two months, unless somebody says that all days are off.
    for _ in 0..SEARCHED {
        day += 1;
        if !is_weekend(day) && !holidays.contains(&day) {
            left = left.saturating_sub(1);
            if left == 0 {
                break;
            }
        }
    }
    PartialDate::from_days(day).unwrap_or(end)
}

/// Days that are gone through at most.
const SEARCHED: u16 = 200;

/// 1 January 1970 was a Thursday.
fn is_weekend(day: i32) -> bool {
    matches!((day + 3).rem_euclid(7), 5 | 6)
}

fn is_monday(day: i32) -> bool {
    (day + 3).rem_euclid(7) == 0
}

/// The weekdays of a year that are holidays, or off in place of one.
fn holidays(year: i32) -> Vec<i32> {
    let solar = |month, day| PartialDate::full(year, month, day).ok().and_then(PartialDate::days);
    let lunar =
        |month, day| LunarDate::new(year, month, day, false).and_then(lunar_to_solar).ok().and_then(PartialDate::days);
    let mut days: Vec<i32> = [solar(1, 1), solar(4, 30), solar(5, 1), lunar(3, 10)].into_iter().flatten().collect();
    if let Some(national) = solar(9, 2) {
        days.extend([national, if is_monday(national) { national + 1 } else { national - 1 }]);
    }
    if let Some(tet) = lunar(1, 1) {
        days.extend(tet - 2..tet + 3);
    }
    days.sort_unstable();
    let mut off: Vec<i32> = days.clone();
    for day in days.iter().filter(|day| is_weekend(**day)) {
        let mut instead = day + 1;
        while is_weekend(instead) || off.contains(&instead) {
            instead += 1;
        }
        off.push(instead);
    }
    off.retain(|day| !is_weekend(*day));
    off
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(packed: u32) -> PartialDate {
        PartialDate::from_packed(packed).expect("a date")
    }

    /// Days off on weekdays as they were decided (from memory of the yearly announcements; swapped days left out).
    #[test]
    fn the_holidays_of_some_years_come_out() {
        let off = [
            &[20_220_103, 20_220_131, 20_220_201, 20_220_204, 20_220_411, 20_220_502, 20_220_503, 20_220_901][..],
            &[20_230_102, 20_230_120, 20_230_124, 20_230_126, 20_230_501, 20_230_502, 20_230_901, 20_230_904],
            &[20_240_101, 20_240_208, 20_240_214, 20_240_418, 20_240_430, 20_240_501, 20_240_902, 20_240_903],
            &[20_250_101, 20_250_127, 20_250_131, 20_250_407, 20_250_430, 20_250_901, 20_250_902],
            &[20_260_101, 20_260_216, 20_260_220, 20_260_427, 20_260_430, 20_260_501, 20_260_901, 20_260_902],
        ];
        for day in off.into_iter().flatten() {
            assert!(!is_working_day(date(*day)), "{day}");
        }
        let on = [20_220_104, 20_230_119, 20_230_127, 20_240_207, 20_240_215, 20_250_203, 20_260_213, 20_260_223];
        for day in on {
            assert!(is_working_day(date(day)), "{day}");
        }
        assert!(!is_working_day(date(20_261_128)) && !is_working_day(date(20_261_129)), "a weekend");
    }

    #[test]
    fn a_month_before_tet_has_more_time() {
        let after = |end, count| working_day_after(date(end), count, &DaysOff::new()).packed();
        // October 2026 ends on a Saturday.
        assert_eq!(after(20_261_031, 1), 20_261_102);
        assert_eq!(after(20_261_031, 5), 20_261_106);
        // 1 January 2026 is a Thursday.
        assert_eq!(after(20_251_231, 5), 20_260_108);
        // Tết 2025 ends on Sunday, 2 February.
        assert_eq!(after(20_250_131, 1), 20_250_203);
        let off = DaysOff::from([date(20_261_102).days().expect("a day")]);
        assert_eq!(working_day_after(date(20_261_031), 1, &off).packed(), 20_261_103);
    }
}
