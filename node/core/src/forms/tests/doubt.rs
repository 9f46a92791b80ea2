//! Rows that are taken, or known, and doubtful.

use super::*;
use crate::units::UnitLists;

#[test]
fn a_book_with_the_lunar_date_of_a_known_birth() {
    let known_by = |birth_month: u32| {
        let mut known = Known::new();
        let (unit, id) = ("17065".parse().expect("code"), ChangeId::first(1, [0; 6]));
        known.add_person(&unit, "040.2", KnownPerson { id, sex: Sex::Female, birth_month, household: None });
        known
    };
    let outcome = |birth_month, date| {
        let mut drafter = Drafter::new(|| ChangeId::first(9, [0; 6]));
        resolve(&person(&[("birth_date", date)]).expect("row"), &mut known_by(birth_month), &mut drafter)
    };
    // 15/12 of the lunar year 1990 is 30 January 1991.
    let Outcome::Doubted(problem) = outcome(199_101, "1990-12-15") else { panic!("doubted") };
    assert_eq!((problem.reason, problem.severity), (Reason::LunarDate, Severity::Warning));
    assert_eq!(problem.found, "15/12/1990 = 1991-01-30");
    assert!(matches!(outcome(199_012, "1991-01-30"), Outcome::Doubted(_)));
    assert!(matches!(outcome(199_101, "1991-12-15"), Outcome::Doubted(_)), "with the solar year");
    assert_eq!(outcome(199_101, "1991-01-30"), Outcome::Unchanged);
    assert_eq!(outcome(199_106, "1990-12-15"), Outcome::Unchanged, "another mistake");
    assert_eq!(outcome(199_100, "1990-12-15"), Outcome::Unchanged, "only the year is known");
}

#[test]
fn a_code_that_was_another_unit_on_the_day() {
    let list = |version: &str, from: Option<&str>, name: &str| {
        let rows = [
            ["VN", "Việt Nam", "central", ""],
            ["420", "Quỳ Hợp", "district", "VN"],
            ["17065", "Châu Quang", "commune", "420"],
            ["17035", name, "commune", "420"],
        ];
        UnitList::from_rows(version, from.map(|from| from.parse().expect("a date")), rows).expect("list")
    };
    let mut lists = UnitLists::new();
    lists.insert(list("vn-2024", None, "Thị trấn Quỳ Hợp")).expect("a list");
    lists.insert(list("vn-2025", Some("2021-07-01"), "Xã Quỳ Hợp")).expect("a list");
    let named = lists.get("vn-2025").expect("a list").clone();
    let left = |date| {
        slip("move_out", &[("other_unit_code", "17035"), ("event_date", date), ("reported_on", "2021-08-01")])
            .expect("slip")
    };
    let warning = left("2021-03-02").unit_warning(&named, &lists).expect("a warning");
    assert_eq!((warning.reason, warning.severity), (Reason::UnitOfOtherList, Severity::Warning));
    assert_eq!(warning.found, "17035: Thị trấn Quỳ Hợp / Xã Quỳ Hợp");
    assert_eq!(left("2021-07-02").unit_warning(&named, &lists), None);
}
