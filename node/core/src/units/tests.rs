//! Unit lists: the real ones of 2024 and 2025, made-up ones of any shape, and what is refused.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const LIST_2024: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/units/units-2024.csv"));
const LIST_2025: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/units/units-2025.csv"));

fn code(text: &str) -> UnitCode {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn tier(text: &str) -> Tier {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The lists hold no quotes, so that a line is its fields with commas between.
fn rows(csv: &'static str) -> impl Iterator<Item = [&'static str; 4]> {
    csv.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        assert!(fields.len() == 6 && !line.contains('"'), "{line}");
        [fields[0], fields[1], fields[2], fields[3]]
    })
}

fn vn_2024() -> UnitList {
    UnitList::from_rows("vn-2024", None, rows(LIST_2024)).expect("the list of 2024")
}

fn vn_2025() -> UnitList {
    let from = "2025-07-01".parse().expect("a date");
    UnitList::from_rows("vn-2025", Some(from), rows(LIST_2025)).expect("the list of 2025")
}

fn small(rows: &[[&str; 4]]) -> Result<UnitList, UnitsError> {
    UnitList::from_rows("test", None, rows.iter().copied())
}

fn codes<'a>(units: impl Iterator<Item = &'a Unit>) -> Vec<&'a str> {
    units.map(|unit| unit.code.as_str()).collect()
}

#[test]
fn the_list_of_2024_answers() {
    let list = vn_2024();
    assert_eq!((list.len(), list.root().code.as_str()), (10_795, "VN"));
    let count = |name| list.at_tier(&code("VN"), tier(name)).len();
    assert_eq!((count("central"), count("province"), count("district"), count("commune")), (1, 63, 696, 10_035));
    assert_eq!(list.get(&code("17065")).map(|unit| &*unit.name), Some("Xã Châu Quang"));
    assert_eq!(codes(list.ancestors(&code("17065"))), ["17065", "420", "40", "VN"]);
    assert_eq!(list.ancestor_at(&code("17065"), tier("province")).map(|unit| unit.code.as_str()), Some("40"));
    assert_eq!((list.children(&code("420")).count(), list.subtree(&code("420")).len()), (21, 22));
    assert_eq!((list.children(&code("40")).count(), list.at_tier(&code("40"), tier("commune")).len()), (20, 412));
    assert_eq!(list.children(&code("VN")).count(), 63);
    assert!(list.is_within(&code("17065"), &code("40")) && list.is_within(&code("40"), &code("40")));
    assert!(!list.is_within(&code("40"), &code("17065")) && !list.is_within(&code("17065"), &code("415")));
    assert!(list.iter().is_sorted_by_key(|unit| &unit.code));
    assert!(list.subtree(&code("40")).is_sorted_by_key(|unit| &unit.code));
}

#[test]
fn the_list_of_2025_has_no_districts() {
    let list = vn_2025();
    assert_eq!((list.len(), list.at_tier(&code("VN"), tier("district")).len()), (3_356, 0));
    assert_eq!(codes(list.ancestors(&code("17035"))), ["17035", "40", "VN"]);
    assert_eq!(list.ancestor_at(&code("17035"), tier("district")), None);
    assert_eq!(list.children(&code("40")).count(), 130);
    assert!(!list.contains(&code("17065")) && !list.is_within(&code("17065"), &code("VN")));
}

#[test]
fn what_is_unknown_has_no_answer_and_no_panic() {
    let (list, unknown) = (vn_2025(), code("99999999"));
    assert_eq!(list.get(&unknown), None);
    assert_eq!(list.ancestors(&unknown).count() + list.children(&unknown).count() + list.subtree(&unknown).len(), 0);
    assert!(!list.is_within(&unknown, &unknown));
    assert!("999999999".parse::<UnitCode>().is_err(), "a longer code does not fit a key");
}

#[test]
fn the_digest_is_of_the_canonical_form() {
    // Unsorted, and the name decomposed: both are brought to the canonical form.
    let list = small(&[
        ["01", "Hà Nội".nfd().collect::<String>().as_str(), "province", "VN"],
        ["VN", "Việt Nam", "central", ""],
    ]);
    let text = "danso-units-v1\ntest\n0\n01\tHà Nội\tprovince\tVN\nVN\tViệt Nam\tcentral\t\n";
    assert_eq!(list.map(|list| list.digest()), Ok(Sha256::digest(text).into()));
    let dated = UnitList::from_rows("test", "2025-07-01".parse().ok(), [["VN", "Việt Nam", "central", ""]]);
    let text = "danso-units-v1\ntest\n20250701\nVN\tViệt Nam\tcentral\t\n";
    assert_eq!(dated.map(|list| list.digest()), Ok(Sha256::digest(text).into()));
}

#[test]
fn what_is_no_list_is_refused_with_the_unit_named() {
    use UnitsError::*;
    const VN: [&str; 4] = ["VN", "Việt Nam", "central", ""];
    let long = "x".repeat(limits::TEXT_MAX + 1);
    for (rows, error) in [
        (vec![], Empty),
        (vec![VN, VN], CodeTwice { code: code("VN") }),
        (vec![VN, ["01", "A", "province", ""]], TwoRoots { first: code("01"), second: code("VN") }),
        (vec![VN, ["01", "A", "province", "02"]], ParentMissing { code: code("01"), parent: code("02") }),
        (vec![VN, ["01", "", "province", "VN"]], NameInvalid { code: code("01") }),
        (vec![VN, ["01", "A\tB", "province", "VN"]], NameInvalid { code: code("01") }),
        (vec![VN, ["01", &long, "province", "VN"]], NameInvalid { code: code("01") }),
        (vec![VN, ["01", "A", "hamlet", "VN"]], RowTier { row: 2, tier: "hamlet".into() }),
        (
            // Two that point at each other: whichever is met first stands too high.
            vec![VN, ["01", "A", "commune", "02"], ["02", "B", "commune", "01"]],
            TierOrder { code: code("01"), tier: tier("commune"), parent: code("02"), parent_tier: tier("commune") },
        ),
        (
            vec![["01", "A", "province", "01"]],
            TierOrder { code: code("01"), tier: tier("province"), parent: code("01"), parent_tier: tier("province") },
        ),
    ] {
        assert_eq!(small(&rows), Err(error));
    }
    assert!(matches!(small(&[["V N", "A", "central", ""]]), Err(RowCode { row: 1, .. })));
    assert!(matches!(small(&[VN, ["01", "A", "province", "V N"]]), Err(RowParent { row: 2, .. })));
    for bad in ["", "vn 2025", "vn\n2025", "ấ", "a-version-of-more-than-32-characters"] {
        assert_eq!(UnitList::from_rows(bad, None, [VN]), Err(VersionInvalid), "{bad}");
    }
    assert_eq!(UnitList::from_rows("test", "2025-07".parse().ok(), [VN]), Err(ValidFromPartial));
    let endless = std::iter::repeat(VN);
    assert_eq!(UnitList::from_rows("test", None, endless), Err(TooManyUnits { count: UNITS_MAX + 1 }));
}

#[test]
fn the_list_in_force_is_the_one_that_began_last() {
    let mut lists = UnitLists::new();
    let day = |text: &str| text.parse::<PartialDate>().expect("a date");
    assert!(lists.in_force(day("2025-07-01")).is_none() && lists.is_empty());
    assert_eq!(
        (lists.insert(vn_2025()), lists.insert(vn_2024()), lists.insert(vn_2025())),
        (Ok(true), Ok(true), Ok(false))
    );
    let in_force = |text| lists.in_force(day(text)).map(|list| list.version().to_owned());
    assert_eq!(in_force("2025-06-30").as_deref(), Some("vn-2024"));
    assert_eq!(in_force("2025-07-01").as_deref(), Some("vn-2025"));
    assert_eq!(in_force("2025").as_deref(), Some("vn-2024"));
    assert_eq!(lists.get("vn-2024").map(|list| list.len()), Some(10_795));
    let other = UnitList::from_rows("vn-2025", None, [["VN", "Việt Nam", "central", ""]]).expect("a list");
    assert_eq!(lists.insert(other), Err(UnitsError::VersionTaken { version: "vn-2025".into() }));
    for version in lists.len()..LISTS_MAX {
        let list =
            UnitList::from_rows(&version.to_string(), None, [["VN", "Việt Nam", "central", ""]]).expect("a list");
        assert_eq!(lists.insert(list), Ok(true));
    }
    let more = UnitList::from_rows("more", None, [["VN", "Việt Nam", "central", ""]]).expect("a list");
    assert_eq!(lists.insert(more), Err(UnitsError::TooManyLists { count: LISTS_MAX }));
}

#[test]
fn parts_assemble_in_any_order_and_more_than_once() {
    let list = vn_2024();
    let parts = list.split(1_000);
    assert_eq!((parts.len(), parts[10].units.len(), parts[10].part, parts[10].parts), (11, 795, 11, 11));
    let mut assembler = UnitListAssembler::new();
    for part in parts[1..].iter().rev() {
        assert_eq!((assembler.take(part), assembler.take(part)), (Ok(None), Ok(None)));
    }
    assert_eq!(assembler.waiting().collect::<Vec<_>>(), [("vn-2024", 10, 11)]);
    assert_eq!(assembler.take(&parts[0]), Ok(Some(vn_2024())));
    assert_eq!((assembler.take(&parts[0]), assembler.waiting().count()), (Ok(None), 0));
    let mut lists = UnitLists::new();
    lists.insert(list).expect("the first");
    assert_eq!(UnitListAssembler::knowing(&lists).take(&parts[3]), Ok(None));
}

#[test]
fn parts_that_do_not_fit_are_refused_and_the_others_kept() {
    use UnitsError::*;
    let parts = vn_2025().split(2_000);
    assert_eq!(parts.len(), 4, "a part has 1,000 units at most");
    let version = || "vn-2025".to_owned();
    let mut assembler = UnitListAssembler::new();
    let mut changed = |index: usize, change: fn(&mut UnitsPublished)| {
        let mut part = parts[index].clone();
        change(&mut part);
        assembler.take(&part)
    };
    assert_eq!(changed(0, |_| ()), Ok(None));
    assert_eq!(changed(1, |part| part.digest = [0; 32]), Err(VersionTaken { version: version() }));
    assert_eq!(changed(1, |part| part.parts = 5), Err(HeaderDiffers { version: version() }));
    assert_eq!(changed(1, |part| part.valid_from = None), Err(HeaderDiffers { version: version() }));
    assert_eq!(changed(1, |part| part.part = 0), Err(PartOutOfRange { part: 0, parts: 4 }));
    assert_eq!(changed(1, |part| part.part = 5), Err(PartOutOfRange { part: 5, parts: 4 }));
    assert_eq!(changed(1, |part| part.parts = 101), Err(TooManyParts { parts: 101 }));
    assert_eq!(changed(1, |part| part.units.clear()), Err(PartSize { units: 0 }));
    assert_eq!(changed(1, |part| part.units.extend(part.units.clone())), Err(PartSize { units: 2_000 }));
    assert_eq!(changed(1, |part| part.units[4].tier = "x".into()), Err(RowTier { row: 5, tier: "x".into() }));
    assert!(matches!(changed(1, |part| part.valid_from = Some(20_250_230)), Err(ValidFromInvalid(_))));
    assert_eq!(changed(0, |part| part.units[0].name = "x".into()), Err(PartDiffers { version: version(), part: 1 }));
    assert_eq!((changed(1, |_| ()), changed(2, |_| ())), (Ok(None), Ok(None)));
    assert_eq!(changed(3, |part| part.units[0].name = "x".into()), Err(DigestWrong { version: version() }));
    // The wrong list is gone, and the right one can follow.
    assert_eq!((changed(3, |_| ()), changed(2, |_| ()), changed(1, |_| ())), (Ok(None), Ok(None), Ok(None)));
    assert_eq!(changed(0, |_| ()), Ok(Some(vn_2025())));
    assert_eq!(changed(1, |part| part.digest = [0; 32]), Err(VersionTaken { version: version() }));
}

#[test]
fn a_list_is_split_into_no_more_parts_than_are_taken() {
    let list = vn_2024();
    assert_eq!((list.split(0).len(), list.split(1).len(), list.split(usize::MAX).len()), (100, 100, 11));
}

/// Any tree: for each unit but the root a tier below the top, and which of the earlier units of a higher tier is its parent.
fn trees() -> impl Strategy<Value = Vec<Unit>> {
    prop::collection::vec((1usize..Tier::ALL.len(), any::<prop::sample::Index>(), 0u32..100_000_000), 0..60).prop_map(
        |specs| {
            let root = Unit { code: code("VN"), name: "root".into(), tier: Tier::ALL[0], parent: None };
            let mut units = vec![root];
            for (rank, parent, number) in specs {
                let above: Vec<&Unit> =
                    units.iter().filter(|unit| TierPolicy::of(unit.tier).may_parent(Tier::ALL[rank])).collect();
                let parent = Some(parent.get(&above).code.clone());
                let code = code(&number.to_string());
                if units.iter().all(|unit| unit.code != code) {
                    units.push(Unit { name: format!("unit {code}").into(), code, tier: Tier::ALL[rank], parent });
                }
            }
            units
        },
    )
}

proptest! {
    #[test]
    fn any_tree_answers_as_following_the_parents_does(units in trees(), size in 1usize..20) {
        let list = UnitList::new("test", None, units.clone())?;
        let find = |code: &UnitCode| units.iter().find(|unit| unit.code == *code);
        let path = |unit: &Unit| -> Vec<UnitCode> {
            iter::successors(Some(unit.code.clone()), |code| find(code).and_then(|unit| unit.parent.clone())).collect()
        };
        for unit in &units {
            prop_assert_eq!(list.get(&unit.code), Some(unit));
            let above: Vec<UnitCode> = list.ancestors(&unit.code).map(|unit| unit.code.clone()).collect();
            prop_assert_eq!(&above, &path(unit));
            let below: BTreeSet<&UnitCode> = units.iter().filter(|it| path(it).contains(&unit.code)).map(|it| &it.code).collect();
            prop_assert!(list.subtree(&unit.code).map(|it| &it.code).eq(below.iter().copied()));
            let children: BTreeSet<&UnitCode> = units.iter().filter(|it| it.parent.as_ref() == Some(&unit.code)).map(|it| &it.code).collect();
            prop_assert!(list.children(&unit.code).map(|it| &it.code).eq(children));
            for other in &units {
                prop_assert_eq!(list.is_within(&other.code, &unit.code), below.contains(&other.code));
            }
        }
        let reversed = UnitList::new("test", None, units.iter().rev().cloned().collect())?;
        prop_assert_eq!(&reversed, &list);
        let mut assembler = UnitListAssembler::new();
        let parts = list.split(size);
        let built: Vec<UnitList> = parts.iter().rev().map(|part| assembler.take(part)).filter_map(Result::transpose).collect::<Result<_, _>>()?;
        prop_assert_eq!(built, [list]);
    }
}
