//! Which policy counts where.

use danso_proto::change::RuleSetting;
use danso_proto::ids::NodeId;
use proptest::prelude::*;

use super::*;
use crate::register::samples::unit;
use crate::units::{UnitList, UnitLists};

/// A country: province 40, districts 420 and 421, communes 17065, 17035 and 16738.
fn list(version: &str, valid_from: Option<u32>, town: &str) -> UnitList {
    let rows = [
        ["0", "Việt Nam", "central", ""],
        ["40", "Nghệ An", "province", "0"],
        ["420", "Quỳ Hợp", "district", "40"],
        ["421", "Quế Phong", "district", "40"],
        ["17065", "Châu Quang", "commune", "420"],
        ["17035", town, "commune", "420"],
        ["16738", "Kim Sơn", "commune", "421"],
    ];
    let from = valid_from.map(|date| PartialDate::from_packed(date).expect("a date"));
    UnitList::from_rows(version, from, rows).expect("a list")
}

fn node(code: &str) -> NodeId {
    NodeId::new(&unit(code), &[7; 32])
}

fn setting(code: &str, state: Option<bool>, values: &[(&str, u32)]) -> RuleSetting {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    RuleSetting { unit: unit(code), rule: "mother_young".into(), state, values }
}

/// What a rule's first number is in a unit, by settings of author, its depth, sequence.
fn years(said: &[(&str, usize, u64, RuleSetting)], of: &str) -> Option<u32> {
    let (list, authors): (UnitList, Vec<NodeId>) =
        (list("vn-2024", None, "Thị trấn"), said.iter().map(|(by, ..)| node(by)).collect());
    let settings = said.iter().zip(&authors).map(|((_, depth, at, setting), author)| Setting {
        setting,
        list: &list,
        author,
        depth: *depth,
        at: (*at, 0),
    });
    Rulebooks::new(settings).of(&unit(of)).tuned(Rule::MotherYoung).map(|tuned| tuned.values[0])
}

#[test]
fn the_nearest_setting_counts() {
    let said = [
        ("0", 1, 5, setting("40", Some(true), &[("years", 13)])),
        ("40", 2, 5, setting("420", Some(true), &[("years", 14)])),
        ("420", 3, 5, setting("17065", Some(false), &[])),
    ];
    assert_eq!(years(&said, "17065"), None);
    assert_eq!(years(&said, "17035"), Some(14));
    assert_eq!(years(&said, "16738"), Some(13));
    assert_eq!(years(&said, "0"), Some(12));
    assert_eq!(years(&[], "17065"), Some(12));
}

#[test]
fn of_one_unit_the_node_nearest_the_root_and_its_last_word() {
    let said = [
        ("0", 1, 5, setting("420", Some(true), &[("years", 13)])),
        ("0", 1, 6, setting("420", Some(true), &[("years", 15)])),
        ("40", 2, 9, setting("420", Some(true), &[("years", 14)])),
    ];
    assert_eq!(years(&said, "17065"), Some(15));
    let taken_back = [said[0].clone(), said[1].clone(), said[2].clone(), ("0", 1, 7, setting("420", None, &[]))];
    assert_eq!(years(&taken_back, "17065"), Some(14));
}

#[test]
fn what_is_not_named_is_what_the_product_says() {
    assert_eq!(years(&[("0", 1, 5, setting("40", Some(true), &[("later", 3)]))], "17065"), Some(12));
    assert_eq!(years(&[("0", 1, 5, setting("40", Some(true), &[("years", 4_000_000)]))], "17065"), Some(30));
    let unknown = RuleSetting { rule: "of_a_newer_version".into(), ..setting("40", Some(false), &[]) };
    assert_eq!(years(&[("0", 1, 5, unknown.clone())], "17065"), Some(12));
    assert!(matches!(check_settings(&[unknown]), Err(PolicyError::RuleUnknown { .. })));
    let wrong = setting("40", Some(true), &[("later", 3)]);
    assert!(matches!(check_settings(&[wrong]), Err(PolicyError::ParameterUnknown { .. })));
    let large = setting("40", Some(true), &[("years", 31)]);
    assert!(matches!(check_settings(&[large]), Err(PolicyError::TooLarge { max: 30, .. })));
    assert_eq!(check_settings(&[setting("40", Some(true), &[("years", 30)])]), Ok(()));
}

#[test]
fn a_rule_is_switched_and_tuned() {
    let list = list("vn-2024", None, "Thị trấn");
    let root = node("0");
    let books = |setting: &RuleSetting| {
        let placed = Setting { setting, list: &list, author: &root, depth: 1, at: (3, 0) };
        Rulebooks::new([placed].into_iter())
    };
    let birth = || vec![fact(0, "17065", 20_210_500, 20_210_601, born(None, Sex::Male, 202_105, 1, Some(200_906)))];
    assert_eq!(judged(birth(), &Rulebooks::default()).len(), 1);
    assert_eq!(judged(birth(), &books(&setting("420", Some(false), &[]))), []);
    assert_eq!(judged(birth(), &books(&setting("420", Some(true), &[("years", 11)]))), []);
    assert_eq!(judged(birth(), &books(&setting("421", Some(false), &[]))).len(), 1);
    let changed = books(&setting("420", Some(false), &[]));
    assert_eq!(changed.differ(&Rulebooks::default()), ["17035", "17065", "420"].map(unit));
    assert_eq!(changed.differ(&changed), []);
}

#[test]
fn a_code_of_another_list() {
    let mut lists = UnitLists::new();
    lists.insert(list("vn-2024", None, "Thị trấn Quỳ Hợp")).expect("a list");
    lists.insert(list("vn-2025", Some(20_250_701), "Xã Quỳ Hợp")).expect("a list");
    let (old, new) = (lists.get("vn-2024").expect("old"), lists.get("vn-2025").expect("new"));
    let date = |packed| PartialDate::from_packed(packed).expect("a date");
    let town = unit("17035");
    assert!(matches!(
        other_unit(&town, date(20_250_630), new, &lists),
        Some(UnitDoubt::Other { then, named, .. }) if &*then.name == "Thị trấn Quỳ Hợp" && &*named.name == "Xã Quỳ Hợp"
    ));
    assert_eq!(other_unit(&town, date(20_250_701), new, &lists), None);
    assert_eq!(other_unit(&town, date(20_250_700), new, &lists), None, "some day of July");
    assert_eq!(other_unit(&town, date(20_250_630), old, &lists), None);
    assert!(other_unit(&town, date(20_250_701), old, &lists).is_some(), "an old list was used for too long");
    assert_eq!(other_unit(&unit("17065"), date(20_250_630), new, &lists), None, "same code, same name");
    assert_eq!(other_unit(&unit("99999"), date(20_250_630), new, &lists), None);
}

proptest! {
    #[test]
    fn the_order_of_arrival_of_policies_makes_no_difference(
        said in prop::collection::vec((0usize..3, 0u64..6, 0usize..4, prop::option::of(any::<bool>()), 10u32..20), 0..12).prop_shuffle(),
        rotate in 0usize..12,
    ) {
        let list = list("vn-2024", None, "Thị trấn");
        let authors = ["0", "40", "420"].map(node);
        let all: Vec<RuleSetting> = said
            .iter()
            .map(|(_, _, at, state, years)| setting(["420", "17065", "17035", "40"][*at], *state, &[("years", *years)]))
            .collect();
        let place = |(n, (by, at, ..)): (usize, &(usize, u64, usize, Option<bool>, u32))| Setting {
            setting: &all[n],
            list: &list,
            author: &authors[*by],
            depth: by + 1,
            at: (*at, n),
        };
        let mut placed: Vec<Setting<'_>> = said.iter().enumerate().map(place).collect();
        let books = Rulebooks::new(placed.clone().into_iter());
        let places = placed.len().max(1);
        placed.rotate_left(rotate % places);
        prop_assert_eq!(&Rulebooks::new(placed.clone().into_iter()), &books);
        placed.reverse();
        prop_assert_eq!(&Rulebooks::new(placed.into_iter()), &books);
    }
}
