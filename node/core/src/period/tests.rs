//! Deadlines and states, by example and as rules that hold for all.

use std::collections::{HashMap, HashSet};

use danso_proto::ids::UnitCode;
use proptest::prelude::*;

use super::*;
use crate::units::UnitList;

const DAY_MS: i64 = 86_400_000;

fn month(ymm: u32) -> Month {
    Month::from_ymm(ymm).expect("a month")
}

fn unit(code: &str) -> UnitCode {
    code.parse().expect("a code")
}

fn list() -> UnitList {
    let rows = [
        ["VN", "Việt Nam", "central", ""],
        ["40", "Nghệ An", "province", "VN"],
        ["420", "Quỳ Hợp", "district", "40"],
        ["415", "Quế Phong", "district", "40"],
        ["17065", "Châu Quang", "commune", "420"],
        ["17062", "Châu Tiến", "commune", "420"],
        ["16738", "Kim Sơn", "commune", "415"],
    ];
    UnitList::from_rows("vn-test", None, rows).expect("a list")
}

fn deadlines(rules: &[(&str, &str)]) -> Deadlines {
    let read = |(scope, rule): &(&str, &str)| (scope.parse().expect("a scope"), rule.parse().expect("a rule"));
    Deadlines::new(rules.iter().map(read), [])
}

/// Noon of a day in Viet Nam.
fn noon(day: PartialDate) -> i64 {
    i64::from(day.days().expect("a day")) * DAY_MS + 5 * 3_600_000
}

#[test]
fn rules_are_read_as_people_write_them() {
    for (text, rule) in [
        ("day 5", Deadline::Day(5)),
        ("days 5, 25", Deadline::Day(5)),
        ("days 25,5", Deadline::Day(5)),
        ("Days 1-3", Deadline::Day(3)),
        ("5 working days", Deadline::WorkingDays(5)),
        (" 1 working day ", Deadline::WorkingDays(1)),
    ] {
        assert_eq!(text.parse(), Ok(rule), "{text}");
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }
    for bad in ["", "5", "day", "day 0", "day 29", "days 3-1", "days 5,", "0 working days", "31 working days", "day -5"]
    {
        assert_eq!(bad.parse::<Deadline>(), Err(DeadlineUnreadable), "{bad}");
    }
}

#[test]
fn the_nearest_rule_holds() {
    let list = list();
    let some =
        deadlines(&[("", "day 20"), ("commune", "days 1-3"), ("420", "5 working days"), ("17065", "days 5, 25")]);
    let last = |code: &str| some.last_day(&list, &unit(code), month(202_610)).packed();
    assert_eq!(last("17065"), 20_261_105, "its own");
    assert_eq!(last("17062"), 20_261_106, "its district's; October 2026 ends on a Saturday");
    assert_eq!(last("16738"), 20_261_103, "its tier's");
    assert_eq!(last("415"), 20_261_120, "the one for all");
    assert_eq!(
        Deadlines::default().last_day(&list, &unit("17065"), month(202_610)).packed(),
        20_261_106,
        "the Circular's"
    );
    assert_eq!(last("17065"), some.last_day(&list, &unit("17065"), month(202_610)).packed());
}

#[test]
fn the_authors_clock_is_judged_in_viet_nam() {
    let deadline = PartialDate::full(2026, 11, 5).expect("a day");
    let midnight = noon(deadline) + 12 * 3_600_000;
    let at = |closed_at_ms, heard_at_ms, now| Reported { closed_at_ms, deadline, heard_at_ms }.state(now, 14 * DAY_MS);
    assert_eq!(at(Some(midnight - 1), None, midnight + 100 * DAY_MS), State::OnTime, "it may arrive whenever it can");
    assert_eq!(at(Some(midnight), None, midnight), State::Late);
    assert_eq!(at(None, None, midnight - 1), State::Open);
    assert_eq!(at(None, Some(midnight), midnight), State::Missing);
    assert_eq!(at(None, Some(midnight), midnight + 15 * DAY_MS), State::Silent);
    assert_eq!(at(None, None, midnight), State::Silent, "never heard of");
    assert!(
        !is_over(month(202_610), noon(deadline) - 5 * DAY_MS) && is_over(month(202_610), noon(deadline) - 4 * DAY_MS)
    );
    assert!(State::ALL.iter().all(|state| State::from_word(state.word()) == Some(*state)));
}

#[test]
fn coverage_counts_homes_and_their_people() {
    let (list, october) = (list(), month(202_610));
    let rules = deadlines(&[("", "day 5")]);
    let by = |code: &str, day| Closing {
        unit: unit(code),
        month: october,
        recorded_at_ms: noon(PartialDate::from_packed(day).expect("a day")),
    };
    let closings: Closings = [by("17065", 20_261_104), by("17062", 20_261_106)].into_iter().collect();
    let spoken = HashSet::from([unit("17065"), unit("17062"), unit("420")]);
    let residents = HashMap::from([(unit("17065"), 70), (unit("17062"), 20), (unit("16738"), 10)]);
    let of = |scope: &str| {
        let months = [october, month(202_611)].into_iter();
        coverage(&list, list.subtree(&unit(scope)), months, Some(&rules), (&closings, &spoken, &residents))
    };
    let all = of("40");
    let expected = Coverage {
        month: october,
        units: 3,
        reporting: 2,
        closed: 2,
        on_time: 1,
        residents: 100,
        residents_closed: 90,
    };
    assert_eq!(all[0], expected);
    assert_eq!((all[1].closed, all[1].residents_closed, all[1].units), (0, 0, 3), "nobody has closed November");
    let mut parts = of("420");
    parts.iter_mut().zip(of("415")).for_each(|(sum, other)| sum.add(&other));
    assert_eq!(parts, all, "parts add up");
}

proptest! {
    #[test]
    fn a_deadline_lies_behind_its_month_and_never_goes_back(
        (index, day, count) in (2022i32 * 12..2099 * 12, 1u8..=28, 1u8..=30),
        off in proptest::collection::btree_set(0i32..60, 0..5),
    ) {
        let (list, commune) = (list(), unit("17065"));
        let at = Month::from_index(index).expect("a month");
        let end = PartialDate::full(at.year(), at.month(), crate::calendar::days_in_month(at)).expect("a day");
        let off: Vec<PartialDate> =
            off.iter().map(|later| PartialDate::from_days(end.days().expect("a day") + later).expect("a day")).collect();
        let last = |rule, off: &[PartialDate], month| {
            Deadlines::new([(Scope::All, rule)], off.iter().copied()).last_day(&list, &commune, month)
        };
        for rule in [Deadline::Day(day), Deadline::WorkingDays(count)] {
            prop_assert!(last(rule, &off, at) > end);
            prop_assert!(last(rule, &off, at) <= last(rule, &off, at.add_months(1)));
            prop_assert_eq!(rule.to_string().parse::<Deadline>(), Ok(rule));
        }
        let working = last(Deadline::WorkingDays(count), &off, at);
        prop_assert!(is_working_day(working) && !off.contains(&working));
        prop_assert!(last(Deadline::WorkingDays(count), &[], at) <= working, "a day off gives time, and takes none");
        prop_assert!(count == 30 || working < last(Deadline::WorkingDays(count + 1), &off, at));
        // So many working days, one by one.
        let between = (end.days().expect("a day") + 1..=working.days().expect("a day"))
            .filter_map(|day| PartialDate::from_days(day).ok())
            .filter(|day| is_working_day(*day) && !off.contains(day));
        prop_assert_eq!(between.count(), usize::from(count));
    }

    #[test]
    fn nothing_but_the_own_clock_makes_an_author_late(
        (closed, heard, now) in (0i64..4_000_000_000_000, proptest::option::of(0i64..4_000_000_000_000), 0i64..4_000_000_000_000),
        days in 10_000i32..40_000,
    ) {
        let deadline = PartialDate::from_days(days).expect("a day");
        let state = Reported { closed_at_ms: Some(closed), deadline, heard_at_ms: heard }.state(now, DAY_MS);
        prop_assert_eq!(state == State::OnTime, is_by(closed, deadline));
        prop_assert!(matches!(state, State::OnTime | State::Late));
        let open = Reported { closed_at_ms: None, deadline, heard_at_ms: heard }.state(now, DAY_MS);
        prop_assert_eq!(open == State::Open, is_by(now, deadline));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,24}") {
        let _ = (text.parse::<Deadline>(), text.parse::<Scope>());
    }
}
