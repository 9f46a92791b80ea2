//! Where sums come from and how they are kept. That figures come out the same is tested where there are figures (`question::tests`).

use std::collections::BTreeMap;

use danso_proto::change::Sex;
use proptest::prelude::*;

use super::*;
use crate::calendar::PartialDate;
use crate::cube::{CubeDelta, CubeKey, Measure};
use crate::register::samples::{month, unit};
use crate::tier::Tier;

fn list(version: &str, from: Option<u32>, communes_of: &str) -> UnitList {
    let tiers = Tier::ALL.map(Tier::name);
    let rows = [
        ["VN", "Việt Nam", tiers[0], ""],
        ["1", "Một", tiers[1], "VN"],
        ["11", "Một một", tiers[2], "1"],
        ["111", "A", tiers[3], communes_of],
        ["112", "B", tiers[3], communes_of],
        ["113", "C", tiers[3], "1"],
    ];
    let from = from.map(|ymd| PartialDate::from_packed(ymd).expect("a date"));
    UnitList::from_rows(version, from, rows).expect("a list")
}

fn row(at: &str, ymm: u32, measure: Measure, birth: i32, other: Option<&str>, count: i64) -> (CubeKey, i64) {
    let month = month(ymm);
    let key = CubeKey {
        unit: unit(at),
        month,
        recorded: month,
        measure,
        sex: Some(Sex::Female),
        birth_month: Some(month.add_months(-birth)),
        detail: 0,
        other: other.map(unit),
    };
    (key, count)
}

/// The sum's one count; what it is about.
fn counts(
    all: &BTreeMap<RollupKey, Sums>,
    list: &str,
    at: &str,
    stock: bool,
    span: Span,
) -> Vec<(Option<UnitCode>, i64)> {
    let key = RollupKey { list: list.into(), unit: unit(at), stock, span };
    let sums = all.get(&key).map(|sums| sums.runs().map(|(run, births)| (run.other.clone(), births[0].1)).collect());
    sums.unwrap_or_default()
}

#[test]
fn a_step_of_a_stock_is_in_its_month_and_its_year_or_in_what_was_before() {
    let list = list("t", None, "11");
    let steps =
        [row("111", 201_912, Measure::Residents, 400, None, 1), row("111", 202_005, Measure::Residents, 400, None, 2)];
    let all = spread(&steps.into_iter().collect(), &[&list]);
    for (version, at) in [("", "111"), ("t", "11"), ("t", "1"), ("t", "VN")] {
        let of = |span| counts(&all, version, at, true, span);
        assert_eq!(of(Span::Before), [(None, 1)], "{at}");
        assert_eq!(of(Span::Year(2020)), [(None, 2)], "{at}");
        assert_eq!(of(Span::Month(month(202_005))), [(None, 2)], "{at}");
    }
    assert_eq!(all.len(), 12, "nothing else, and nothing twice: {:?}", all.keys());
}

#[test]
fn a_move_is_where_it_leaves_the_unit_and_says_where_both_sides_meet() {
    let list = list("t", None, "11");
    let moves = |other| -> BTreeMap<RollupKey, Sums> {
        spread(&[row("111", 202_005, Measure::Departures, 400, other, 1)].into_iter().collect(), &[&list])
    };
    let at = Span::Month(month(202_005));
    let inside = moves(Some("112"));
    assert_eq!(counts(&inside, "", "111", false, at), [(Some(unit("112")), 1)], "as it was said");
    assert_eq!(inside.len(), 1, "it stays in the district");
    let further = moves(Some("113"));
    assert_eq!(counts(&further, "t", "11", false, at), [(Some(unit("1")), 1)]);
    assert_eq!(further.len(), 2, "it stays in the province");
    for away in [moves(None), moves(Some("999"))] {
        for at_unit in ["11", "1", "VN"] {
            assert_eq!(
                counts(&away, "t", at_unit, false, at),
                [(None, 1)],
                "the list does not know where: outside of it"
            );
        }
    }
}

#[test]
fn sums_that_come_to_nothing_are_none() {
    let list = list("t", None, "11");
    let came = row("111", 202_005, Measure::Residents, 400, None, 1);
    let gone = (CubeKey { recorded: month(202_101), ..came.0.clone() }, -1);
    assert_eq!(spread(&[came.clone(), gone.clone()].into_iter().collect(), &[&list]), BTreeMap::new());
    let mut all = spread(&[came].into_iter().collect(), &[&list]);
    for (key, sums) in spread(&[gone].into_iter().collect(), &[&list]) {
        all.get_mut(&key).expect("the same sums").add_all(&sums);
    }
    assert!(all.values().all(Sums::is_empty));
}

#[test]
fn the_lists_that_begin_last_are_rolled_up() {
    let mut lists = UnitLists::new();
    let versions = |lists: &UnitLists| rolled(lists).iter().map(|list| list.version().to_owned()).collect::<Vec<_>>();
    assert_eq!(versions(&lists), [""; 0]);
    for (version, from, then) in [
        ("c", Some(20_250_701), &["c"][..]),
        ("z", None, &["z", "c"]),
        ("b", Some(20_240_101), &["z", "b", "c"]),
        ("a", Some(20_240_101), &["a", "b", "c"]),
        ("d", Some(20_250_701), &["b", "c", "d"]),
    ] {
        lists.insert(list(version, from, "11")).expect("a new list");
        assert_eq!(versions(&lists), then);
    }
}

#[test]
fn broken_sums_are_refused() {
    let rows = [row("111", 202_005, Measure::Departures, 400, Some("112"), 1)];
    let whole = spread(&rows.into_iter().collect(), &[]);
    let bytes = whole.values().next().expect("a sum").to_bytes();
    assert_eq!(Sums::from_bytes(&bytes).as_ref(), Ok(whole.values().next().expect("a sum")));
    for length in 0..bytes.len() {
        assert!(Sums::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        for flip in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << flip;
            // No panic, whatever it says.
            let _ = Sums::from_bytes(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn sums_of_units_make_those_above(
        rows in proptest::collection::vec((0usize..4, 0usize..40, 0usize..4, 0i32..999, 0usize..6, -2i64..3), 0..40),
    ) {
        let units = ["111", "112", "113", "11"];
        let measures = [Measure::Residents, Measure::Births, Measure::Arrivals, Measure::Deaths];
        let delta: CubeDelta = rows
            .into_iter()
            .map(|(at, ago, measure, birth, other, count)| {
                let other = if measure == 2 { units.get(other).copied() } else { None };
                let ymm = month(202_112).add_months(-(ago as i32)).ymm();
                row(units[at], ymm, measures[measure], birth, other, count)
            })
            .collect();
        for list in [list("t", None, "11"), list("t", None, "1")] {
            let all = spread(&delta, &[&list]);
            let mut above = BTreeMap::new();
            let single = spread(&delta, &[]);
            single.iter().for_each(|(key, sums)| raise(&list, key, sums, &mut above));
            above.retain(|_, sums| !sums.is_empty());
            prop_assert!(above.iter().all(|(key, sums)| all.get(key) == Some(sums)));
            prop_assert_eq!(all.len(), above.len() + single.len());
        }
    }
}
