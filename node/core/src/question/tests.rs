//! Answers against a plain count, and the law that answers for disjoint parts add up to the answer for the whole.

use std::collections::BTreeMap;

use danso_proto::change::{MaritalStatus, Method, Sex};
use danso_proto::refusal::Reason;
use proptest::prelude::*;

use super::*;
use crate::cube::{BirthDetail, CubeDelta, CubeKey, Measure, ResidentDetail};
use crate::register::samples::{month, unit};
use crate::rollup::{RollupKey, Sums, spread};
use crate::units::UnitList;

/// The words of the tiers, from the top down.
fn tiers() -> [&'static str; 4] {
    Tier::ALL.map(Tier::name)
}

/// A root over two units, of which one has a tier between it and the lowest, and the other has not.
fn list() -> UnitList {
    let rows = [
        ["VN", "Việt Nam", tiers()[0], ""],
        ["1", "Một", tiers()[1], "VN"],
        ["2", "Hai", tiers()[1], "VN"],
        ["11", "Một một", tiers()[2], "1"],
        ["12", "Một hai", tiers()[2], "1"],
        ["111", "A", tiers()[3], "11"],
        ["112", "B", tiers()[3], "11"],
        ["121", "C", tiers()[3], "12"],
        ["201", "D", tiers()[3], "2"],
        ["202", "E", tiers()[3], "2"],
    ];
    UnitList::from_rows("t", None, rows).expect("a list")
}

const COMMUNES: [&str; 5] = ["111", "112", "121", "201", "202"];
/// Units that records are about: a unit with others below it, too.
const SPOKEN: [&str; 7] = ["111", "112", "121", "201", "202", "12", "2"];

fn ask(about: &str, by: Option<Tier>, span: (u32, u32), figures: &[&str], dimensions: &[&str]) -> Question {
    Question::new(unit(about), by, (month(span.0), month(span.1)), figures, dimensions, None).expect("a question")
}

fn any_row() -> impl Strategy<Value = CubeRow> {
    let details = (0usize..6, 0usize..16, 0u32..5, 0i32..40);
    (0usize..7, -30i32..24, 0usize..9, any::<bool>(), -2i32..1300, details, 0usize..9, -1i64..4).prop_map(
        |(at, when, measure, woman, age, (marital, method, order, mother), other, count)| {
            let when = month(202_001).add_months(when);
            let measure = Measure::ALL[measure];
            let person = measure != Measure::Households;
            let (marital, method) = (MaritalStatus::ALL.get(marital).copied(), Method::ALL.get(method).copied());
            CubeRow {
                unit: unit(SPOKEN[at]),
                month: when,
                measure,
                sex: person.then_some(if woman { Sex::Female } else { Sex::Male }),
                birth_month: person.then_some(if measure == Measure::Births { when } else { when.add_months(-age) }),
                detail: match measure {
                    Measure::Residents => ResidentDetail { marital, method }.pack(),
                    Measure::Births => {
                        BirthDetail { order, mother: (mother > 0).then(|| when.add_months(-mother * 12)) }.pack()
                    }
                    _ => 0,
                },
                other: match measure {
                    Measure::Arrivals | Measure::Departures => SPOKEN.get(other).map(|code| unit(code)),
                    _ => None,
                },
                count,
            }
        },
    )
}

fn any_question() -> impl Strategy<Value = Question> {
    let words = (
        proptest::sample::subsequence(Figure::ALL.to_vec(), 0..=Figure::ALL.len()),
        proptest::sample::subsequence(Dimension::ALL.to_vec(), 0..=Dimension::ALL.len()),
    );
    (0usize..4, -3i32..18, 0i32..15, words).prop_map(|(about, from, span, (figures, mut dimensions))| {
        if dimensions.contains(&Dimension::Age) {
            dimensions.retain(|dimension| *dimension != Dimension::AgeGroup);
        }
        let (about, by) =
            [("VN", Some(Tier::ALL[1])), ("VN", None), ("1", Some(Tier::ALL[2])), ("2", Some(Tier::ALL[3]))][about];
        let from = month(202_001).add_months(from);
        let words: Vec<&str> = figures.iter().map(|figure| figure.word()).collect();
        let dimensions: Vec<&str> = dimensions.iter().map(|dimension| dimension.word()).collect();
        Question::new(unit(about), by, (from, from.add_months(span)), &words, &dimensions, None).expect("a question")
    })
}

/// The answer counted row by row, cell by cell.
fn plain(question: &Question, list: &UnitList, rows: &[CubeRow]) -> Vec<Cell> {
    let asked = question.on(list).expect("known units");
    let mut cells: BTreeMap<_, i64> = BTreeMap::new();
    for target in asked.targets() {
        for figure in question.figures() {
            for row in
                rows.iter().filter(|row| row.measure == figure.measure() && list.is_within(&row.unit, &target.code))
            {
                let months: Vec<Month> = match (row.measure.is_stock(), question.has(Dimension::Month)) {
                    (true, true) => question.from().through(question.to()).filter(|at| row.month <= *at).collect(),
                    (true, false) => [question.to()].into_iter().filter(|at| row.month <= *at).collect(),
                    (false, _) => question.from().through(question.to()).filter(|at| row.month == *at).collect(),
                };
                for at in months {
                    let years = row.birth_month.map(|birth| (at - birth).div_euclid(12));
                    let woman = row.sex == Some(Sex::Female);
                    let aged = |first, end| years.is_some_and(|years| (first..end).contains(&years));
                    let resident = ResidentDetail::unpack(row.detail);
                    let married = woman && aged(15, 50) && resident.marital == Some(MaritalStatus::Married);
                    let birth = BirthDetail::unpack(row.detail);
                    let counts = match figure.word() {
                        "residents_under_15" => aged(0, 15),
                        "residents_15_64" => aged(15, 65),
                        "residents_60_over" => aged(60, 999),
                        "residents_65_over" => aged(65, 999),
                        "women_15_49" => woman && aged(15, 50),
                        "married_women_15_49" => married,
                        "contraception_any" => married && resident.method.is_some_and(|method| method != Method::None),
                        "contraception_modern" => married && resident.method.is_some_and(Method::is_modern),
                        "births_order3" => birth.order >= 3,
                        "births_mother_under20" => birth.mother.is_some_and(|mother| at - mother < 240),
                        "deaths_under1" => aged(0, 1),
                        "contraception_starts" => woman,
                        "arrivals" | "departures" => {
                            row.other.as_ref().is_none_or(|other| !list.is_within(other, &target.code))
                        }
                        _ => true,
                    };
                    if counts {
                        let month = question.has(Dimension::Month).then_some(at);
                        let sex = row.sex.filter(|_| question.has(Dimension::Sex));
                        let by_age = |dimension| question.has(dimension) && figure.has_age_group();
                        let years = years.filter(|years| *years >= 0).map(i32::unsigned_abs);
                        let group = match (by_age(Dimension::AgeGroup), by_age(Dimension::Age)) {
                            (false, false) => None,
                            // Who has no age is in no group.
                            (fives, _) => match years {
                                Some(years) if fives => Some(AgeGroup::of(years)),
                                Some(years) => Some(AgeGroup::year(years)),
                                None => continue,
                            },
                        };
                        *cells.entry((target.code.clone(), *figure, month, sex, group)).or_default() += row.count;
                    }
                }
            }
        }
    }
    let cell = |((unit, figure, month, sex, age_group), value)| Cell { unit, figure, month, sex, age_group, value };
    cells.into_iter().filter(|(_, value)| *value != 0).map(cell).collect()
}

/// The answer from roll-ups as a store keeps them, which the rows came into in two goes.
fn rolled_up(asked: &Asked<'_>, rows: &[CubeRow], lists: &[&UnitList]) -> Option<Vec<Cell>> {
    let read = asked.rollups()?;
    let delta = |rows: &[CubeRow]| -> CubeDelta {
        rows.iter()
            .map(|row| {
                let CubeRow { unit, month, measure, sex, birth_month, detail, other, count } = row.clone();
                (CubeKey { unit, month, recorded: month, measure, sex, birth_month, detail, other }, count)
            })
            .collect()
    };
    let mut kept: BTreeMap<RollupKey, Sums> = BTreeMap::new();
    let (some, others) = rows.split_at(rows.len() / 2);
    for (key, sums) in [some, others].into_iter().flat_map(|rows| spread(&delta(rows), lists)) {
        kept.entry(key).or_default().add_all(&sums);
    }
    assert_eq!(kept.iter().filter(|(_, sums)| !sums.is_empty()).count(), {
        let whole = spread(&delta(rows), lists);
        whole.iter().for_each(|(key, sums)| assert_eq!(kept.get(key), Some(sums), "in two goes or in one"));
        whole.len()
    });
    let list = asked.list;
    let by_list = lists.iter().any(|kept| kept.version() == list.version());
    let of = |unit: &UnitCode| match by_list && list.children(unit).next().is_some() {
        true => list.version(),
        false => "",
    };
    let units = asked.sources().into_iter().flat_map(|unit| match by_list {
        true => vec![&unit.code],
        false => list.subtree(&unit.code).map(|unit| &unit.code).collect(),
    });
    let units: Vec<&UnitCode> = units.collect();
    let mut tally = asked.tally();
    for (stock, first, last) in read.ranges() {
        let spans = |key: &&RollupKey| key.stock == stock && (first..=last).contains(&key.span.code());
        for key in kept.keys().filter(spans).filter(|key| units.contains(&&key.unit) && *key.list == *of(&key.unit)) {
            let sums = Sums::from_bytes(&kept[key].to_bytes()).expect("as stored");
            tally.sums(&key.unit, key.span, &sums);
        }
    }
    Some(tally.cells())
}

/// What a shell may give that reads no more than the plan asks for: summed over what is not needed.
fn as_planned(asked: &Asked<'_>, rows: &[CubeRow]) -> Vec<CubeRow> {
    let mut summed: Vec<CubeRow> = Vec::new();
    for read in asked.plan() {
        for row in rows.iter().filter(|row| row.measure == read.measure && row.month <= read.last) {
            if read.first.is_some_and(|first| row.month < first) {
                continue;
            }
            let row = CubeRow {
                month: row.month.max(read.told_apart_from),
                sex: row.sex.filter(|_| read.sex),
                birth_month: row.birth_month.filter(|_| read.birth_month),
                detail: if read.detail { row.detail } else { 0 },
                other: row.other.clone().filter(|_| read.other),
                ..row.clone()
            };
            match summed.iter_mut().find(|kept| CubeRow { count: row.count, ..(**kept).clone() } == row) {
                Some(kept) => kept.count += row.count,
                None => summed.push(row),
            }
        }
    }
    summed
}

proptest! {
    #[test]
    fn an_answer_is_what_a_plain_count_gives(question in any_question(), rows in proptest::collection::vec(any_row(), 0..60)) {
        let list = list();
        let asked = question.on(&list).expect("known units");
        let cells = asked.evaluate(rows.clone());
        prop_assert_eq!(&cells, &plain(&question, &list, &rows));
        prop_assert!(cells.is_sorted());
        let reversed = rows.iter().rev().cloned();
        prop_assert_eq!(&cells, &asked.evaluate(reversed));
        prop_assert_eq!(&cells, &asked.evaluate(as_planned(&asked, &rows)));
    }

    #[test]
    fn roll_ups_give_what_the_rows_give(
        question in any_question(),
        within in proptest::sample::select(vec!["VN", "1", "2", "11", "12", "111"]),
        rows in proptest::collection::vec(any_row(), 0..60),
    ) {
        let (list, other) = (list(), UnitList::from_rows("u", None, [["VN", "Việt Nam", tiers()[0], ""]]).expect("a list"));
        for question in [question.restricted_to(unit(within)), question] {
            let asked = question.on(&list).expect("known units");
            let cells = asked.evaluate(rows.clone());
            let early = question.from() < month(201_912);
            for lists in [&[&list, &other][..], &[&list], &[]] {
                match rolled_up(&asked, &rows, lists) {
                    Some(rolled) => prop_assert_eq!(&rolled, &cells),
                    None => prop_assert!(early),
                }
            }
        }
    }

    #[test]
    fn answers_for_disjoint_parts_add_up(question in any_question(), rows in proptest::collection::vec(any_row(), 0..60)) {
        let list = list();
        // The parts below have every commune in them, and not what is said about a unit above.
        let rows: Vec<CubeRow> = rows.into_iter().filter(|row| COMMUNES.contains(&row.unit.as_str())).collect();
        let whole = question.on(&list).expect("known units").evaluate(rows.clone());
        for parts in [&["1", "2"][..], &["11", "12", "201", "202"], &COMMUNES] {
            let mut cells = Vec::new();
            for part in parts {
                let part = question.restricted_to(unit(part));
                cells.extend(part.on(&list).expect("known units").evaluate(rows.clone()));
            }
            prop_assert_eq!(&add_up(cells), &whole);
        }
    }
}

#[test]
fn a_question_has_one_form() {
    let a = ask("VN", None, (202_101, 202_112), &["deaths", "births", "deaths"], &["sex", "month"]);
    let b = ask("VN", None, (202_101, 202_112), &["births", "deaths"], &["month", "sex", "sex"]);
    assert_eq!(a, b);
    assert_eq!(ask("VN", None, (202_101, 202_101), &[], &[]).figures(), Figure::ALL);
}

#[test]
fn what_cannot_be_understood_is_refused_with_the_words_that_can() {
    let ask = |span: (u32, u32), figures: &[&str], dimensions: &[&str]| {
        Question::new(unit("VN"), None, (month(span.0), month(span.1)), figures, dimensions, None).expect_err("refused")
    };
    let year = (202_101, 202_112);
    let figure = ask(year, &["brith"], &[]);
    assert_eq!(figure.reason, Reason::QueryInvalid);
    assert!(figure.detail.contains("\"brith\"") && figure.detail.contains("births_order3"));
    let dimension = ask(year, &[], &["year"]);
    assert_eq!(ask(year, &[], &["age", "age_group"]).reason, Reason::QueryInvalid);
    assert!(dimension.detail.contains("age, age_group, month, sex"), "{dimension}");
    assert_eq!(ask((202_112, 202_101), &[], &[]).reason, Reason::QueryInvalid);
    assert_eq!(ask((195_001, 200_001), &[], &[]).reason, Reason::QueryInvalid);
}

#[test]
fn a_question_is_refused_where_its_units_are_not() {
    let list = list();
    let refused = |question: Question| question.on(&list).map(|_| ()).expect_err("refused").reason;
    let year = (202_101, 202_112);
    assert_eq!(refused(ask("9", None, year, &[], &[])), Reason::UnitUnknown);
    assert_eq!(refused(ask("1", None, year, &[], &[]).restricted_to(unit("9"))), Reason::UnitUnknown);
    assert_eq!(refused(ask("111", Some(Tier::ALL[1]), year, &[], &[])), Reason::QueryInvalid);
    assert_eq!(refused(ask("2", Some(Tier::ALL[2]), year, &[], &[])), Reason::QueryInvalid);
    let elsewhere = ask("1", None, year, &[], &[]).restricted_to(unit("2"));
    let asked = elsewhere.on(&list).expect("known units");
    assert_eq!((asked.scope(), asked.units().count()), (None, 0));
}

#[test]
fn a_question_that_is_absurd_is_refused_before_it_is_computed_and_a_large_one_is_not() {
    let communes = (0..3_321).map(|n| [format!("{n:05}"), "X".into(), tiers()[3].into(), "VN".into()]);
    let root = ["VN".to_string(), "Việt Nam".into(), tiers()[0].into(), String::new()];
    let list = UnitList::from_rows("t", None, communes.chain([root])).expect("a list");
    let all = ["month", "sex", "age_group"];
    let refused = ask("VN", Some(Tier::ALL[3]), (200_001, 204_912), &[], &all);
    assert_eq!(refused.on(&list).map(|_| ()).map_err(|refusal| refusal.reason), Err(Reason::TooLarge));
    for (to, dimensions) in [(202_106, &all[..]), (202_112, &["month", "sex"]), (202_512, &all)] {
        assert!(ask("VN", Some(Tier::ALL[3]), (202_101, to), &[], dimensions).on(&list).is_ok(), "{to}");
    }
}
