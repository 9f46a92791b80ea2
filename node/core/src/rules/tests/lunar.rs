//! Lunar and solar statements of one birth.

use danso_proto::change::{Body, Sex};
use danso_proto::identity::IdentityPart;
use proptest::prelude::*;

use super::*;
use crate::calendar::{lunar_to_solar, solar_to_lunar};
use crate::register::samples::{born, enrolled, labelled, update};

fn full(packed: u32) -> PartialDate {
    PartialDate::from_packed(packed).expect("a date")
}

fn part(birth_date: u32) -> Option<IdentityPart> {
    Some(IdentityPart { birth_date, ..Default::default() })
}

fn lunar_of(changes: Vec<RegisterChange>) -> Vec<(ChangeId, Option<ChangeId>, String, u32, bool)> {
    let found = judged(changes, &Rulebooks::default()).into_iter();
    found
        .filter_map(|suspicion| match suspicion.seen {
            Seen::Lunar { lunar, solar, counts_solar } => {
                let sights = suspicion.clone().into_finding().seen;
                assert!(sights.signed.is_empty() && sights.of_parts.len() == 2, "a full date of birth is not signed");
                Some((suspicion.change, suspicion.other, lunar.to_string(), solar.packed(), counts_solar))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_slip_and_its_correction() {
    // 15/12 of the lunar year 1990 is 30 January 1991: the year changes at Tết.
    let written = || labelled(0, "A", 0, 20_200_101, enrolled(None, Sex::Female, 199_012), part(19_901_215));
    let said = |date: u32| {
        let update = PersonUpdated { birth_month: Some(date / 100), ..update(id(0), None) };
        labelled(1, "A", 20_200_201, 20_200_201, Body::PersonUpdated(update), part(date))
    };
    let expected = (id(0), Some(id(1)), "15/12/1990".to_owned(), 19_910_130, true);
    assert_eq!(lunar_of(vec![written(), said(19_910_130)]), [expected]);
    let [suspicion] = &judged(vec![written(), said(19_910_130)], &Rulebooks::default())[..] else {
        panic!("one suspicion")
    };
    assert_eq!(suspicion.severity(), Severity::Notice, "it was set right");
    // A day more or less is another mistake.
    assert_eq!(lunar_of(vec![written(), said(19_910_131)]), []);
    // The correction was withdrawn: the record says one thing again.
    let withdrawn = fact(2, "A", 20_200_301, 20_200_301, retracted(id(0), id(1)));
    assert_eq!(lunar_of(vec![written(), said(19_910_130), withdrawn]), []);
    // The other way round, what counts is the lunar date.
    let solar = labelled(0, "A", 0, 20_200_101, enrolled(None, Sex::Female, 199_101), part(19_910_130));
    let found = judged(vec![solar, said(19_901_215)], &Rulebooks::default());
    assert_eq!(found.iter().map(|s| (s.change, s.severity())).collect::<Vec<_>>(), [(id(1), Severity::Warning)]);
}

#[test]
fn what_nobody_may_say_of_the_person_is_no_statement() {
    let written = labelled(0, "A", 0, 20_200_101, enrolled(None, Sex::Female, 199_012), part(19_901_215));
    let update = PersonUpdated { birth_month: Some(199_101), ..update(id(0), None) };
    let elsewhere = labelled(1, "B", 20_200_201, 20_200_201, Body::PersonUpdated(update), part(19_910_130));
    assert_eq!(lunar_of(vec![written, elsewhere]), []);
}

#[test]
fn one_slip_with_both_dates() {
    // Declared as lunar, and converted; the birth date beside it was copied as it was told.
    let both = Some(IdentityPart { birth_date: 20_210_402, event_date: 20_210_513, ..Default::default() });
    let birth = labelled(0, "A", 20_210_500, 20_210_601, born(None, Sex::Male, 202_105, 1, None), both);
    assert_eq!(lunar_of(vec![birth]), [(id(0), None, "02/04/2021".to_owned(), 20_210_513, true)]);
}

#[test]
fn the_solar_year_with_a_lunar_day() {
    // 15/12 of the lunar year 1990, told with the year of the certificate.
    let reading = read_as_lunar(full(19_911_215), full(19_910_130)).expect("a reading");
    assert_eq!((reading.lunar.to_string(), reading.solar), ("15/12/1990".to_owned(), full(19_910_130)));
}

#[test]
fn a_leap_month_without_its_sign() {
    // In 2020 month 4 came twice; the second began on 23 May.
    let reading = read_as_lunar(full(20_200_410), full(20_200_601)).expect("a reading");
    assert_eq!(reading.lunar.to_string(), "10/04+/2020");
    let reading = read_as_lunar(full(20_200_410), full(20_200_502)).expect("a reading");
    assert_eq!(reading.lunar.to_string(), "10/04/2020");
}

fn by_number(birth_date: u32, year: u32) -> RegisterChange {
    let part = IdentityPart { birth_date, national_id: format!("0401{year:02}123456"), ..Default::default() };
    labelled(0, "A", 0, 20_200_101, enrolled(None, Sex::Female, birth_date / 100), Some(part))
}

#[test]
fn the_year_in_the_number() {
    // The book has the lunar date, the number the solar year.
    assert_eq!(lunar_of(vec![by_number(19_901_215, 91)]), [(id(0), None, "15/12/1990".to_owned(), 19_910_130, false)]);
    // The number has the lunar year of the solar date.
    assert_eq!(lunar_of(vec![by_number(19_910_130, 90)]), [(id(0), None, "15/12/1990".to_owned(), 19_910_130, true)]);
    // The first day of the lunar year 1991 was 15 February.
    assert_eq!(codes(vec![by_number(19_910_214, 90)]), [("lunar_date", id(0))]);
    assert_eq!(codes(vec![by_number(19_910_215, 90)]), [("number_birth_year", id(0))]);
    assert_eq!(codes(vec![by_number(19_900_615, 91)]), [("number_birth_year", id(0))]);
    assert_eq!(codes(vec![by_number(19_901_215, 90)]), NONE);
}

proptest! {
    #[test]
    fn every_lunar_date_is_found(days in -25_400i32..40_000, solar_year in any::<bool>()) {
        let solar = PartialDate::from_days(days).expect("a date");
        let lunar = solar_to_lunar(solar).expect("a lunar date");
        let year = if solar_year { solar.year() } else { lunar.year() };
        // Some lunar dates are no dates of the solar calendar (30/02): these were refused when they were typed.
        prop_assume!(PartialDate::full(year, lunar.month(), lunar.day()).is_ok());
        let written = PartialDate::full(year, lunar.month(), lunar.day()).expect("looked at");
        prop_assume!(written != solar);
        let reading = read_as_lunar(written, solar).expect("it is the lunar date of that day");
        prop_assert_eq!(reading.solar, solar);
        prop_assert_eq!(lunar_to_solar(reading.lunar).ok(), Some(solar));
        prop_assert_eq!((reading.lunar.month(), reading.lunar.day()), (lunar.month(), lunar.day()));
        prop_assert_eq!(read_as_lunar(solar, written), None, "never in both directions");
        if lunar.year() != solar.year() && !lunar.leap() && !solar_year {
            prop_assert_eq!(read_by_year(written, solar.year()).map(|reading| reading.solar), Some(solar));
            prop_assert_eq!(read_by_year(solar, lunar.year()).map(|reading| reading.lunar), Some(lunar));
        }
    }

    #[test]
    fn a_month_alone_is_enough_for_a_hint(days in -25_400i32..40_000) {
        let solar = PartialDate::from_days(days).expect("a date");
        let lunar = solar_to_lunar(solar).expect("a lunar date");
        prop_assume!(PartialDate::full(lunar.year(), lunar.month(), lunar.day()).is_ok());
        let written = PartialDate::full(lunar.year(), lunar.month(), lunar.day()).expect("looked at");
        prop_assume!(written.month() != solar.month());
        // Known by its solar month, and the book has the lunar date; and the other way round.
        prop_assert!(read_by_month(written, solar.month()).is_some());
        prop_assert!(read_by_month(solar, written.month()).is_some());
        prop_assert_eq!(read_by_month(solar, solar.month()), None);
        prop_assert_eq!(read_by_month(solar, solar.month().add_months(5)), None);
    }

    #[test]
    fn other_days_are_not(days in -25_400i32..40_000, off in prop::sample::select(vec![-9i32, -2, -1, 1, 2, 5, 14])) {
        let solar = PartialDate::from_days(days).expect("a date");
        let lunar = solar_to_lunar(solar).expect("a lunar date");
        prop_assume!(PartialDate::full(lunar.year(), lunar.month(), lunar.day()).is_ok());
        let written = PartialDate::full(lunar.year(), lunar.month(), lunar.day()).expect("looked at");
        let other = PartialDate::from_days(days + off).expect("a date");
        prop_assert_eq!(read_as_lunar(written, other), None);
    }
}
