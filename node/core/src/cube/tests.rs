//! The laws of the cube: neither order nor splitting matters, every past state of knowledge can be asked for, and what is
//! counted is what a plain recount of the truth gives.

use std::collections::BTreeMap;

use danso_proto::change::{Body, MaritalStatus, Method, NewHousehold, PersonUpdated, Sex};
use danso_proto::ids::{ChangeId, PersonId};
use proptest::prelude::*;

use super::*;
use crate::calendar::Month;
use crate::finding::{Finding, FindingKind};
use crate::register::samples::*;
use crate::register::{Household, HouseholdKey, Person, RegisterChange};

mod trace;

/// A store in memory: rows as bytes, as in a real one.
#[derive(Debug, Default, PartialEq, Eq)]
struct World {
    persons: BTreeMap<PersonId, Vec<u8>>,
    households: BTreeMap<HouseholdKey, Vec<u8>>,
    findings: BTreeMap<PersonId, Vec<Finding>>,
    cube: BTreeMap<CubeKey, i64>,
    groups: BTreeMap<CubeGroup, Vec<u8>>,
}

impl World {
    fn of(changes: &[RegisterChange]) -> Self {
        let mut world = Self::default();
        world.apply(changes.to_vec());
        world
    }

    fn apply(&mut self, changes: Vec<RegisterChange>) -> Counts {
        let batch = Batch::new(changes);
        let persons: Vec<Person> = batch.person_ids().iter().filter_map(|id| self.person(*id)).collect();
        let batch = batch.with_persons(persons);
        let held = batch.household_keys().iter().filter_map(|key| self.households.get(key));
        let households: Vec<Household> = held.map(|bytes| Household::from_bytes(bytes).expect("as written")).collect();
        let outcome = batch.with_households(households);
        for person in &outcome.persons {
            self.persons.insert(person.id(), person.to_bytes());
            self.findings.remove(&person.id());
        }
        for finding in outcome.findings {
            self.findings.entry(finding.person).or_default().push(finding);
        }
        for household in &outcome.households {
            self.households.insert(household.key().clone(), household.to_bytes());
        }
        for key in &outcome.emptied {
            self.households.remove(key).expect("stored");
        }
        for (key, count) in outcome.delta.iter() {
            *self.cube.entry(key.clone()).or_default() += count;
        }
        self.cube.retain(|_, count| *count != 0);
        for (group, mut rows) in outcome.delta.groups() {
            if let Some(bytes) = self.groups.remove(&group) {
                rows.add(GroupRows::from_bytes(group.first, &bytes).expect("as written"));
            }
            if !rows.is_empty() {
                self.groups.insert(group.clone(), rows.to_bytes(group.first));
            }
        }
        let kept: BTreeMap<CubeKey, i64> = self
            .groups
            .iter()
            .flat_map(|(group, bytes)| {
                let rows = GroupRows::from_bytes(group.first, bytes).expect("as written");
                rows.of(group).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(kept, self.cube, "groups hold the rows");
        outcome.counts
    }

    fn person(&self, id: PersonId) -> Option<Person> {
        self.persons.get(&id).map(|bytes| Person::from_bytes(bytes).expect("as written"))
    }

    fn reasons(&self) -> Vec<(ChangeId, FindingKind)> {
        self.findings.values().flatten().map(|finding| (finding.change, finding.kind)).collect()
    }

    /// The cube as known at the end of `recorded`, without telling when things became known.
    fn known(&self, recorded: Month) -> BTreeMap<CubeKey, i64> {
        let mut known: BTreeMap<CubeKey, i64> = BTreeMap::new();
        for (key, count) in self.cube.iter().filter(|(key, _)| key.recorded <= recorded) {
            *known.entry(CubeKey { recorded: month(180_001), ..key.clone() }).or_default() += count;
        }
        known.retain(|_, count| *count != 0);
        known
    }

    fn sum(&self, wanted: impl Fn(&CubeKey) -> bool) -> i64 {
        self.cube.iter().filter(|(key, _)| wanted(key)).map(|(_, count)| count).sum()
    }

    fn residents(&self, at: u32) -> i64 {
        self.sum(|key| key.measure == Measure::Residents && key.month <= month(at))
    }

    fn flow(&self, measure: Measure, at: u32) -> i64 {
        self.sum(|key| key.measure == measure && key.month == month(at))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn neither_order_nor_splits_nor_repetition_matter(
        (facts, shuffled) in any_facts().prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
        cuts in proptest::collection::vec(1usize..6, 24),
    ) {
        let whole = World::of(&facts);
        let mut parts = World::default();
        let (mut rest, mut added) = (&shuffled[..], 0);
        for cut in cuts {
            let (now, then) = rest.split_at(cut.min(rest.len()));
            added += parts.apply(now.to_vec()).added;
            rest = then;
        }
        prop_assert_eq!(added, facts.len());
        prop_assert!(parts == whole);
        let again = parts.apply(shuffled);
        prop_assert_eq!((again.added, again.repeated), (0, facts.len()));
        prop_assert!(parts == whole);
    }

    #[test]
    fn what_was_known_then_is_what_the_facts_known_then_say(facts in any_facts()) {
        let world = World::of(&facts);
        for at in month(202_001).through(month(202_304)) {
            let then: Vec<RegisterChange> = facts.iter().filter(|fact| fact.fact().recorded() <= at).cloned().collect();
            prop_assert_eq!(world.known(at), World::of(&then).known(month(219_912)));
        }
    }

    #[test]
    fn stocks_are_never_negative(facts in any_facts()) {
        let world = World::of(&facts);
        for at in month(197_901).through(month(202_304)) {
            let mut stocks: BTreeMap<_, i64> = BTreeMap::new();
            for (key, count) in world.cube.iter().filter(|(key, _)| key.measure.is_stock() && key.month <= at) {
                *stocks.entry((&key.unit, key.measure, key.sex, key.birth_month, key.detail)).or_default() += count;
            }
            prop_assert!(stocks.values().all(|count| *count >= 0));
        }
    }
}

// --- against a plain recount of a history whose truth is known

/// One thing that happened, how late it was reported, and how it was written down wrong at first.
type Happening = (u32, u8, u32, u32, u8);

/// The truth about a person at the end of some month, as long as it is a resident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Truth {
    household: ChangeId,
    marital: Option<MaritalStatus>,
    method: Option<Method>,
}

type Life = Vec<(Month, Option<Truth>)>;

#[derive(Debug, Default)]
struct Script {
    facts: Vec<RegisterChange>,
    /// By person: sex, birth month, and the truth from each month on.
    lives: Vec<(Sex, Month, Life)>,
    flows: BTreeMap<(Measure, Month), i64>,
    next: u32,
}

impl Script {
    fn write(&mut self, at: Month, delay: u32, body: Body) -> ChangeId {
        let (n, date) = (self.next, at.ymm() * 100 + 10);
        self.next += 1;
        self.facts.push(fact(n, "A", date, at.add_months(delay as i32).ymm() * 100 + 28, body));
        id(n)
    }

    fn live(&mut self, start: (u8, u32, bool), happenings: &[Happening]) {
        let (kind, offset, wrong_sex) = start;
        let mut at = month(202_001).add_months(offset as i32);
        let (sex, said) = if wrong_sex { (Sex::Female, Sex::Male) } else { (Sex::Female, Sex::Female) };
        let household = (offset % 2 == 0).then(|| id(0));
        let adult = at.add_months(-300);
        let (body, birth, marital) = match kind {
            0 => (enrolled(household, said, adult.ymm()), adult, Some(MaritalStatus::Single)),
            1 => (born(household, said, at.ymm(), 1, None), at, Some(MaritalStatus::Single)),
            _ => (moved_in(None, household, said, adult.ymm(), ""), adult, None),
        };
        let person = self.write(at, 0, body);
        match kind {
            0 => {}
            1 => *self.flows.entry((Measure::Births, at)).or_default() += 1,
            _ => *self.flows.entry((Measure::Arrivals, at)).or_default() += 1,
        }
        if wrong_sex {
            self.write(at, 3, Body::PersonUpdated(PersonUpdated { sex: Some(sex), ..update(person, None) }));
        }
        let mut now = Some(Truth { household: household.unwrap_or(person), marital, method: None });
        let mut life = vec![(if kind == 0 { adult } else { at }, now)];
        for (gap, what, delay, choice, mistake) in happenings {
            at = at.add_months(*gap as i32);
            if mistake % 4 == 1 {
                let body = if choice % 2 == 0 { died(person) } else { moved_out(person, "") };
                let bogus = self.write(at, *delay, body);
                self.write(at, delay + 1, retracted(person, bogus));
            }
            // A mistake about the date or the method is put right by a later update.
            let wrong_date = mistake % 4 == 2;
            let method = Method::ALL[*choice as usize % 6];
            let said = if mistake % 4 == 3 { Method::Other } else { method };
            let (body, measure, next) = match (what, now) {
                (0, Some(truth)) => (
                    married(person),
                    Some(Measure::Marriages),
                    Some(Truth { marital: Some(MaritalStatus::Married), ..truth }),
                ),
                (1, Some(truth)) => (
                    divorced(person),
                    Some(Measure::Divorces),
                    Some(Truth { marital: Some(MaritalStatus::Divorced), ..truth }),
                ),
                (2, Some(truth)) => {
                    let starts = (method != Method::None).then_some(Measure::ContraceptionStarts);
                    (uses(person, said), starts, Some(Truth { method: Some(method), ..truth }))
                }
                (3, Some(_)) => (moved_out(person, ""), Some(Measure::Departures), None),
                (4, Some(truth)) => {
                    let body = PersonUpdated {
                        household: Some(NewHousehold::Begun),
                        marital_status: Some(MaritalStatus::Widowed),
                        ..update(person, None)
                    };
                    (
                        Body::PersonUpdated(body),
                        None,
                        Some(Truth { household: id(self.next), marital: Some(MaritalStatus::Widowed), ..truth }),
                    )
                }
                (5, Some(_)) => (died(person), Some(Measure::Deaths), None),
                (_, None) => (
                    moved_in(Some(person), Some(id(0)), Sex::Male, 195_001, ""),
                    Some(Measure::Arrivals),
                    Some(Truth { household: id(0), marital: None, method: None }),
                ),
                _ => continue,
            };
            let written = if wrong_date { at.add_months(-1) } else { at };
            let fact = self.write(written, *delay + 1, body);
            if wrong_date {
                self.write(at, delay + 2, Body::PersonUpdated(update(person, Some(fact))));
            } else if said != method && *what == 2 && now.is_some() {
                let right = PersonUpdated { method: Some(method), ..update(person, Some(fact)) };
                self.write(at, delay + 2, Body::PersonUpdated(right));
            }
            if let Some(measure) = measure {
                *self.flows.entry((measure, at)).or_default() += 1;
            }
            now = next;
            life.push((at, now));
            if *what == 5 {
                break;
            }
        }
        self.lives.push((sex, birth, life));
    }
}

fn histories() -> impl Strategy<Value = Script> {
    let happening = (1u32..4, 0u8..6, 0u32..3, 0u32..12, 0u8..8);
    let life = ((0u8..3, 0u32..12, any::<bool>()), proptest::collection::vec(happening, 0..9));
    proptest::collection::vec(life, 1..5).prop_map(|lives| {
        let mut script = Script::default();
        lives.iter().for_each(|(start, happenings)| script.live(*start, happenings));
        script
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_cube_is_a_recount_of_the_truth(script in histories()) {
        let world = World::of(&script.facts);
        prop_assert_eq!(world.reasons(), []);
        for at in month(199_401).through(month(202_412)) {
            let mut residents: BTreeMap<_, i64> = BTreeMap::new();
            let mut households: Vec<ChangeId> = Vec::new();
            for (sex, birth, life) in &script.lives {
                let now = life.iter().take_while(|(from, _)| *from <= at).last();
                if let Some((_, Some(truth))) = now {
                    let detail = ResidentDetail { marital: truth.marital, method: truth.method };
                    *residents.entry((Some(*sex), Some(*birth), detail.pack())).or_default() += 1;
                    households.push(truth.household);
                }
            }
            households.sort_unstable();
            households.dedup();
            let mut counted: BTreeMap<_, i64> = BTreeMap::new();
            for (key, count) in world.cube.iter().filter(|(key, _)| key.measure == Measure::Residents && key.month <= at) {
                *counted.entry((key.sex, key.birth_month, key.detail)).or_default() += count;
            }
            counted.retain(|_, count| *count != 0);
            prop_assert_eq!(counted, residents, "{}", at);
            let occupied = world.sum(|key| key.measure == Measure::Households && key.month <= at);
            prop_assert_eq!(occupied, households.len() as i64, "{}", at);
            for measure in Measure::ALL.into_iter().filter(|measure| !measure.is_stock()) {
                let happened = script.flows.get(&(measure, at)).copied().unwrap_or(0);
                prop_assert_eq!(world.sum(|key| key.measure == measure && key.month == at), happened, "{:?} {}", measure, at);
            }
        }
    }
}

// --- single rules

#[test]
fn a_retraction_reaches_past_months_and_leaves_what_was_known() {
    let mut world = World::of(&[
        fact(0, "A", 0, 20210105, enrolled(None, Sex::Male, 195_001)),
        fact(1, "A", 20210210, 20210225, died(id(0))),
    ]);
    assert_eq!((world.residents(202_101), world.residents(202_106), world.flow(Measure::Deaths, 202_102)), (1, 0, 1));
    let before = world.known(month(202_103));
    world.apply(vec![fact(2, "A", 0, 20210405, retracted(id(0), id(1)))]);
    assert_eq!((world.residents(202_106), world.flow(Measure::Deaths, 202_102)), (1, 0));
    assert_eq!(world.known(month(202_103)), before);
    world.apply(vec![fact(3, "A", 0, 20210505, retracted(id(0), id(2)))]);
    assert_eq!((world.residents(202_106), world.flow(Measure::Deaths, 202_102)), (0, 1));
    assert_eq!(world.reasons(), []);
}

#[test]
fn the_latest_correction_of_a_field_wins_and_moves_the_event() {
    let date = |n, date, reported| fact(n, "A", date, reported, Body::PersonUpdated(update(id(0), Some(id(1)))));
    let world = World::of(&[
        fact(0, "A", 0, 20210105, enrolled(None, Sex::Male, 195_001)),
        fact(1, "A", 20210310, 20210325, died(id(0))),
        date(2, 20210110, 20210605),
        date(3, 20210210, 20210505),
    ]);
    assert_eq!([202_101, 202_102, 202_103].map(|at| world.flow(Measure::Deaths, at)), [1, 0, 0]);
    assert_eq!(
        world
            .known(month(202_105))
            .keys()
            .filter(|key| key.measure == Measure::Deaths)
            .map(|key| key.month.ymm())
            .collect::<Vec<_>>(),
        [202_102]
    );
}

#[test]
fn a_corrected_birth_moves_with_the_birth_month() {
    let world = World::of(&[
        fact(0, "A", 20210300, 20210325, born(None, Sex::Female, 202_103, 3, Some(200_001))),
        fact(
            1,
            "A",
            20210212,
            20210425,
            Body::PersonUpdated(PersonUpdated { birth_order: Some(2), ..update(id(0), Some(id(0))) }),
        ),
    ]);
    let births: Vec<_> =
        world.known(month(202_112)).into_iter().filter(|(key, _)| key.measure == Measure::Births).collect();
    let [(key, 1)] = &births[..] else { panic!("{births:?}") };
    assert_eq!((key.month, key.birth_month), (month(202_102), Some(month(202_102))));
    assert_eq!(BirthDetail::unpack(key.detail), BirthDetail { order: 2, mother: Some(month(200_001)) });
    assert_eq!((world.residents(202_101), world.residents(202_102)), (0, 1));
}

#[test]
fn what_makes_no_sense_is_a_finding_and_counts_nothing() {
    let start = fact(0, "A", 20210105, 20210105, moved_in(None, None, Sex::Female, 199_001, ""));
    for (body, unit, date, reason) in [
        (died(id(0)), "A", 20201231, FindingKind::NotResident),
        (died(id(0)), "B", 20210210, FindingKind::NotResident),
        (married(id(0)), "A", 20220101, FindingKind::EventAfterReport),
        (married(id(0)), "A", 20210231, FindingKind::DateInvalid),
        (moved_in(Some(id(0)), None, Sex::Female, 199_001, ""), "A", 20210310, FindingKind::AlreadyResident),
        (moved_in(Some(id(0)), None, Sex::Female, 199_001, ""), "B", 20200310, FindingKind::PersonUnknown),
        (moved_in(Some(id(0)), None, Sex::Female, 199_001, ""), "B", 19800310, FindingKind::EventBeforeBirth),
        (retracted(id(0), id(7)), "A", 0, FindingKind::CorrectsNothing),
        (retracted(id(0), id(0)), "B", 0, FindingKind::CorrectsNothing),
        (
            Body::PersonUpdated(PersonUpdated { sex: Some(Sex::Male), ..update(id(0), None) }),
            "B",
            0,
            FindingKind::NotResident,
        ),
    ] {
        let world = World::of(&[start.clone(), fact(1, unit, date, 20210405, body.clone())]);
        assert_eq!(world.reasons(), [(id(1), reason)], "{body:?}");
        assert_eq!(world.cube, World::of(std::slice::from_ref(&start)).cube, "{body:?}");
    }
    let unknown = World::of(&[fact(1, "A", 20210210, 20210225, died(id(0)))]);
    assert_eq!((unknown.reasons(), unknown.cube.len()), (vec![(id(1), FindingKind::PersonUnknown)], 0));
    let dead = World::of(&[
        start,
        fact(1, "A", 20210210, 20210225, died(id(0))),
        fact(2, "A", 20210310, 20210325, married(id(0))),
    ]);
    assert_eq!(dead.reasons(), [(id(2), FindingKind::NotResident)]);
}

#[test]
fn a_late_start_settles_what_was_a_finding() {
    let mut world = World::of(&[fact(1, "A", 20210210, 20210225, died(id(0)))]);
    world.apply(vec![fact(0, "A", 0, 20210305, enrolled(None, Sex::Male, 195_001))]);
    assert_eq!((world.reasons(), world.flow(Measure::Deaths, 202_102)), (vec![], 1));
}

#[test]
fn a_move_between_units_in_one_month_is_a_departure_and_an_arrival_whatever_the_days() {
    for (out, back) in
        [(20210310, 20210310), (20210300, 20210300), (20210310, 20210300), (20210300, 20210310), (20210309, 20210310)]
    {
        let world = World::of(&[
            fact(0, "A", 0, 20210105, enrolled(None, Sex::Male, 195_001)),
            fact(1, "A", out, 20210325, moved_out(id(0), "B")),
            fact(2, "B", back, 20210325, moved_in(Some(id(0)), None, Sex::Male, 195_001, "A")),
        ]);
        assert_eq!(world.reasons(), [], "{out} {back}");
        let at = |code| world.sum(|key| key.measure == Measure::Residents && key.unit == unit(code));
        assert_eq!((at("A"), at("B")), (0, 1));
        assert_eq!((world.flow(Measure::Departures, 202_103), world.flow(Measure::Arrivals, 202_103)), (1, 1));
    }
}

#[test]
fn a_newborn_who_dies_in_its_month_is_counted_in_both_flows_and_in_no_stock() {
    let world = World::of(&[
        fact(0, "A", 20210300, 20210325, born(None, Sex::Female, 202_103, 1, None)),
        fact(1, "A", 20210302, 20210325, died(id(0))),
    ]);
    assert_eq!((world.flow(Measure::Births, 202_103), world.flow(Measure::Deaths, 202_103)), (1, 1));
    assert_eq!(world.sum(|key| key.measure.is_stock()), 0);
    assert_eq!(world.reasons(), []);
}

#[test]
fn labels_come_from_identity_parts_and_the_first_fact_names_best() {
    let part = |reference: &str, number: &str| {
        Some(danso_proto::identity::IdentityPart {
            person_ref: reference.into(),
            household_no: number.into(),
            ..Default::default()
        })
    };
    let mut facts = [
        labelled(0, "A", 0, 20210105, enrolled(None, Sex::Male, 195_001), part("001.1", "001")),
        labelled(1, "A", 0, 20210105, enrolled(Some(id(0)), Sex::Male, 197_001), part("001.2", "001")),
        labelled(2, "A", 20210210, 20210225, died(id(0)), part("1.1", "1")),
    ];
    for _ in 0..3 {
        facts.rotate_left(1);
        let mut world = World::default();
        facts.iter().for_each(|fact| {
            world.apply(vec![fact.clone()]);
        });
        let person = world.person(id(0)).expect("there");
        assert_eq!((person.reference(), person.unit()), (Some("001.1"), Some(&unit("A"))));
        let households: Vec<Household> =
            world.households.values().filter_map(|bytes| Household::from_bytes(bytes).ok()).collect();
        let [household] = &households[..] else { panic!("{households:?}") };
        assert_eq!(
            (household.number(), household.members(month(202_101)), household.members(month(202_103))),
            (Some("001"), 2, 1)
        );
        assert!(!format!("{person:?} {household:?}").contains("001.1"));
    }
}

#[test]
fn stored_bytes_of_another_form_are_refused() {
    let world = World::of(&[fact(0, "A", 0, 20210105, enrolled(None, Sex::Male, 195_001))]);
    let mut bytes = world.persons[&id(0)].clone();
    assert!(bytes.len() <= 75, "{} bytes", bytes.len());
    bytes[0] = 9;
    assert!(Person::from_bytes(&bytes).is_err_and(|e| e.to_string().contains("form 9")));
    let (group, bytes_of) = world.groups.first_key_value().expect("counted");
    for cut in 0..bytes_of.len() {
        assert!(GroupRows::from_bytes(group.first, &bytes_of[..cut]).is_err());
    }
    assert!(GroupRows::from_bytes(group.first.add_months(1), bytes_of).is_err(), "rows of another time");
    for cut in 0..bytes.len() {
        assert!(Person::from_bytes(&world.persons[&id(0)][..cut]).is_err());
    }
}
