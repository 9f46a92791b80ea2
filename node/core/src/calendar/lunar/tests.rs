//! The lunar calendar against published pairs, against itself on every day, and against what does not exist.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

const PAIRS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/calendar/vietnamese-lunar.csv"));

fn lunar(text: &str) -> LunarDate {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn solar(text: &str) -> PartialDate {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_published_pair_comes_out_both_ways() {
    let mut rows = 0;
    for line in PAIRS.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [day, year, month, lunar_day, leap] = fields[..] else { panic!("{line}") };
        let parse = |text: &str| text.parse::<u8>().unwrap_or_else(|error| panic!("{line}: {error}"));
        let year = year.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        let expected = LunarDate::new(year, parse(month), parse(lunar_day), parse(leap) == 1);
        assert_eq!(solar_to_lunar(solar(day)), expected, "{line}");
        assert_eq!(expected.and_then(lunar_to_solar), Ok(solar(day)), "{line}");
        rows += 1;
    }
    assert_eq!(rows, 298);
}

#[test]
fn every_day_has_one_lunar_date_and_comes_back() {
    assert_eq!((solar(LUNAR_FIRST).days(), solar(LUNAR_LAST).days()), (Some(*DAYS.start()), Some(*DAYS.end())));
    let mut before: Option<LunarDate> = None;
    let (mut settled, mut all) = (Sha256::new(), Sha256::new());
    for days in DAYS {
        let day = PartialDate::from_days(days).expect("in range");
        let it = solar_to_lunar(day).expect("in range");
        assert_eq!(lunar_to_solar(it), Ok(day), "{it}");
        assert!(before < Some(it), "{day}");
        assert!(it.day() == 1 || before.is_some_and(|before| before.day() + 1 == it.day()), "{day}");
        before = Some(it);
        let line = format!("{day},{},{},{},{}\n", it.year(), it.month(), it.day(), u8::from(it.leap()));
        all.update(&line);
        if is_settled(day) {
            settled.update(&line);
        }
    }
    // Compared once with the tables of Hồ Ngọc Đức in PyPI vnlunar 1.0.5: equal on each of the 31,384 settled days; of all 73,384 days 180 differ, in the lunar
    // months that begin in April 1906, November 1914, February 1916, November 1920, January 1925 and May 2054.
    let digest = |table: Sha256| danso_proto::ids::Fingerprint(table.finalize().into()).to_string();
    assert_eq!(digest(settled), "a8023654c163d80ddbcdc62be21c57d79bea1c70ec884eec91c6457b552eb32c");
    assert_eq!(digest(all), "6e733026f82a0079b4ba6c1cc900830b4de978d3832354f945ccd5a18dde6edf");
}

#[test]
fn what_differs_from_china_is_viet_nams() {
    // New year's days, and the leap months of 1985 and 1987.
    for (new_year, day) in [
        (1968, "1968-01-29"),
        (1969, "1969-02-16"),
        (1985, "1985-01-21"),
        (2007, "2007-02-17"),
        (2030, "2030-02-02"),
        (2053, "2053-02-18"),
    ] {
        assert_eq!(LunarDate::new(new_year, 1, 1, false).and_then(lunar_to_solar), Ok(solar(day)));
    }
    assert_eq!((leap_month(1984), leap_month(1985), leap_month(1987)), (Ok(None), Ok(Some(2)), Ok(Some(7))));
    assert_eq!((leap_month(2023), leap_month(2025), leap_month(2033)), (Ok(Some(2)), Ok(Some(6)), Ok(Some(11))));
}

#[test]
fn before_1968_the_almanacs_of_the_time_are_followed() {
    for (lunar_date, day) in [
        ("01/01/1900", "1900-01-31"),
        ("01/01/1945", "1945-02-13"),
        // At UTC+7 the new moon of 1954-06-01 was on the evening before, at 23:03.
        ("01/05/1954", "1954-06-01"),
        ("29/12/1967", "1968-01-28"),
        ("01/01/1968", "1968-01-29"),
    ] {
        assert_eq!(lunar_to_solar(lunar(lunar_date)), Ok(solar(day)), "{lunar_date}");
        assert_eq!(is_settled(solar(day)), day > "1968-01-28", "{day}");
    }
    assert!(is_settled(solar("2053-12-31")) && !is_settled(solar("2054-01-01")) && !is_settled(solar("1990")));
}

#[test]
fn what_does_not_exist_is_said() {
    use CalendarError::*;
    for (text, error) in [
        ("30/01/2024", NoSuchLunarDay { year: 2024, month: 1, leap: false, day: 30, days: 29 }),
        ("30/02+/2023", NoSuchLunarDay { year: 2023, month: 2, leap: true, day: 30, days: 29 }),
        ("01/04+/2024", NoLeapMonth { year: 2024, month: 4 }),
        ("01/03+/2023", OtherLeapMonth { year: 2023, month: 3, actual: 2 }),
        ("01/12+/2033", OtherLeapMonth { year: 2033, month: 12, actual: 11 }),
        ("29/12/2100", OutOfRange),
    ] {
        assert_eq!(lunar_to_solar(lunar(text)), Err(error), "{text}");
    }
    for (text, error) in [
        ("31/01/2024", NoSuchLunarDay { year: 2024, month: 1, leap: false, day: 31, days: 30 }),
        ("00/01/2024", NoSuchLunarDay { year: 2024, month: 1, leap: false, day: 0, days: 30 }),
        ("01/13/2024", NoSuchMonth { month: 13 }),
        ("01/01/1899", OutOfRange),
        ("01/01/2101", OutOfRange),
    ] {
        assert_eq!(text.parse::<LunarDate>(), Err(error), "{text}");
    }
    for bad in [
        "",
        "15/8",
        "15/8+",
        "15/8/24",
        "+15/8/2024",
        "15/8++/2024",
        "15+/8/2024",
        "2024-08+-15",
        "1/2/3/2024",
        "2024/08/15",
    ] {
        assert_eq!(bad.parse::<LunarDate>(), Err(LunarUnreadable), "{bad}");
    }
    assert_eq!(solar_to_lunar(solar("1900-01-30")), Err(OutOfRange));
    assert_eq!(solar_to_lunar(solar("2101-01-01")), Err(OutOfRange));
    assert_eq!(solar_to_lunar(solar("2024-05")), Err(DayUnknown));
    assert_eq!(leap_month(2101), Err(OutOfRange));
}

#[test]
fn every_form_is_read() {
    assert_eq!(lunar("15/8/2024"), lunar("2024-08-15"));
    assert_eq!(lunar(" 1/2+/2023 ").to_string(), "01/02+/2023");
    assert!(lunar("29/02/2023") < lunar("01/02+/2023") && lunar("29/02+/2023") < lunar("01/03/2023"));
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(year in YEARS, month in 1u8..=12, day in 1u8..=30, leap: bool) {
        let it = LunarDate::new(year, month, day, leap)?;
        prop_assert_eq!(it.to_string().parse(), Ok(it));
        prop_assert_eq!(LunarDate::from_packed(it.packed(), leap), Ok(it));
        if let Ok(solar) = lunar_to_solar(it) {
            prop_assert_eq!(solar_to_lunar(solar), Ok(it));
        }
    }

    #[test]
    fn nothing_panics(text in "[0-9/+ -]{0,14}|\\PC{0,14}", packed: u32, leap: bool, days: i32) {
        let _ = (text.parse::<LunarDate>(), LunarDate::from_packed(packed, leap).and_then(lunar_to_solar));
        let _ = (PartialDate::from_days(days).and_then(solar_to_lunar), leap_month(days));
    }
}
