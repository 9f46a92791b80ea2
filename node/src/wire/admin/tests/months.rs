//! Months on real pipelines and stores: how they stand at each tier, and why figures are not what they were.

use std::collections::BTreeMap;
use std::time::Duration;

use danso_core::ledger::Draft;
use danso_core::period::{Deadline, Deadlines, Scope, State};
use danso_core::question::Figure;
use danso_proto::change::{
    Birth, Body, Change, ContraceptionChanged, Death, EventDate, MaritalStatus, Marriage, Method, MovedIn, MovedOut,
    NewHousehold, PersonEnrolled, PersonUpdated, Retraction, Sex,
};
use danso_proto::ids::{ChangeId, LogId, Stream};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::pb::query::v1 as query;
use danso_proto::refusal::Reason;

use super::bed::{Bed, NOW_MS, code, reason, run};
use crate::answer::{Answer, Answers, Explained, Query, Since, Step};
use crate::clock::Clock as _;

const DAY: Duration = Duration::from_secs(86_400);

impl Bed {
    fn answers(&self) -> Answers {
        let (store, signing) = (self.store.clone(), self.pipeline.signing());
        let rules = [(Scope::All, Deadline::Day(5))];
        Answers::new(store, signing, self.pipeline.me().clone(), self.clock.clone())
            .judging(Deadlines::new(rules, []), 14 * DAY)
    }

    fn query(&self, asked: &query::Query) -> Query {
        self.answers().query(self.pipeline.snapshot().directory(), asked).expect("a query")
    }

    async fn answer(&self, asked: &query::Query) -> Answer {
        let query = self.query(asked);
        self.answers().local(self.pipeline.snapshot().directory(), &query).await.expect("an answer")
    }

    async fn explain(&self, asked: &query::Query, since: &Since) -> Explained {
        let query = self.query(asked);
        self.answers().explain(self.pipeline.snapshot().directory(), &query, since).await.expect("explained")
    }

    /// Unit, state and residents, and whether the statement's arrival is known.
    async fn standing(&self, month: u32) -> Vec<(String, State, i64, bool)> {
        let found = self.answers().completeness(self.pipeline.snapshot().directory(), ("", month), &|_| None).await;
        let units = found.expect("it is told").units;
        units
            .into_iter()
            .map(|of| (of.unit.to_string(), of.state, of.residents, of.closed.is_some_and(|closed| closed.2.is_some())))
            .collect()
    }
}

/// Changes that are made up; the same number makes the same ones.
struct Author {
    seed: u64,
    sets: u8,
    persons: Vec<ChangeId>,
    others: Vec<ChangeId>,
}

impl Author {
    fn any(&mut self, below: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % below.max(1)
    }

    fn pick(&mut self, from: &[ChangeId]) -> ChangeId {
        from[self.any(from.len())]
    }

    /// A set of changes about a commune in the months up to `month`.
    fn set(&mut self, now_ms: i64, month: u32, changes: usize) -> Draft {
        self.sets += 1;
        let first_id = ChangeId::first(now_ms.unsigned_abs(), [self.sets; 6]);
        let mut draft = Draft { first_id, changes: Vec::new(), parts: vec![None; changes] };
        for n in 0..changes {
            let id = first_id.at(u32::try_from(n).expect("few")).expect("an id");
            let month = if self.any(3) == 0 { 202_110 } else { month };
            let date = month * 100 + 1 + u32::try_from(self.any(28)).expect("a day");
            let sex = [Sex::Male, Sex::Female][self.any(2)];
            let (persons, others) = (self.persons.clone(), self.others.clone());
            let kind = if persons.len() < 3 { 0 } else { self.any(11) };
            let household = persons.first().copied().filter(|_| kind % 2 == 1);
            let body = match kind {
                0 | 1 => Body::PersonEnrolled(PersonEnrolled {
                    household,
                    sex,
                    birth_month: 198_503,
                    marital_status: MaritalStatus::ALL.get(self.any(3)).copied(),
                    method: None,
                    resident_since: Some(20_210_101),
                }),
                2 | 3 => Body::Birth(Birth {
                    household,
                    sex,
                    birth_month: month,
                    mother: None,
                    mother_birth_month: Some(200_301),
                    birth_order: 3,
                    birth_weight_g: 3_000,
                    birth_place: None,
                }),
                4 => Body::Death(Death { person: self.pick(&persons) }),
                5 => Body::MovedOut(MovedOut { person: self.pick(&persons), other_unit: Some(code("17035")) }),
                6 => Body::MovedIn(MovedIn {
                    person: None,
                    household: None,
                    sex,
                    birth_month: 199_912,
                    other_unit: Some(code("17035")),
                }),
                7 => Body::Marriage(Marriage { person: self.pick(&persons), spouse: None }),
                8 => Body::ContraceptionChanged(ContraceptionChanged {
                    person: self.pick(&persons),
                    method: Method::Iud,
                    method_since: None,
                }),
                9 if !others.is_empty() => Body::Retraction(Retraction {
                    person: self.pick(&persons),
                    refers_to: self.pick(&others),
                    reason: String::new(),
                }),
                _ => Body::PersonUpdated(PersonUpdated {
                    person: self.pick(&persons),
                    refers_to: None,
                    sex: (self.any(3) == 0).then_some(sex),
                    birth_month: None,
                    marital_status: Some(MaritalStatus::Married),
                    method: Some(Method::Condom),
                    household: Some(NewHousehold::Begun),
                    birth_order: None,
                    mother_birth_month: None,
                    other_unit: None,
                    reason: "wrong".into(),
                }),
            };
            match body {
                Body::PersonEnrolled(_) | Body::Birth(_) | Body::MovedIn(_) => self.persons.push(id),
                _ => {}
            }
            self.others.push(id);
            let dated = !matches!(body, Body::PersonEnrolled(_) | Body::Retraction(_));
            draft.changes.push(Change {
                unit: code("17065"),
                hamlet: String::new(),
                event_date: dated.then(|| EventDate::solar(date)),
                reported_on: None,
                identity_commitment: None,
                body,
            });
        }
        draft
    }
}

fn of(figure: Figure, month: u32) -> query::Query {
    query::Query {
        unit: "17065".into(),
        from: month,
        to: month,
        measures: vec![figure.word().into()],
        ..Default::default()
    }
}

/// All figures of some months, and the logs that they were counted from.
struct Earlier {
    month: u32,
    sizes: BTreeMap<LogId, u64>,
    values: BTreeMap<(Figure, u32), i64>,
}

const MONTHS: [u32; 3] = [202_110, 202_201, 202_203];

async fn earlier(bed: &Bed) -> Earlier {
    let mut values = BTreeMap::new();
    let mut sizes = BTreeMap::new();
    for month in MONTHS {
        let asked = query::Query { measures: Vec::new(), ..of(Figure::Births, month) };
        let answer = bed.answer(&asked).await;
        sizes = answer.frontier.iter().map(|entry| (entry.log.clone(), entry.size)).collect();
        values.extend(Figure::ALL.iter().map(|figure| ((*figure, month), 0)));
        values.extend(answer.cells.iter().map(|cell| ((cell.figure, month), cell.value)));
    }
    let today = danso_core::calendar::civil_from_unix_ms(bed.clock.now_ms(), 7 * 60);
    Earlier { month: today.month().ymm(), sizes, values }
}

fn net(steps: &[Step]) -> i64 {
    steps.iter().map(|step| step.contribution.net()).sum()
}

#[test]
fn the_steps_since_any_earlier_answer_are_the_difference_to_it() {
    run(async || {
        for seed in [1, 2_026] {
            let root = Bed::root().await;
            let commune = root.child("17065", 1).await;
            let mut author = Author { seed, sets: 0, persons: Vec::new(), others: Vec::new() };
            let mut states = vec![earlier(&commune).await];
            for month in [202_112, 202_201, 202_202, 202_203] {
                for changes in [9, 5] {
                    let draft = author.set(commune.clock.now_ms(), month, changes);
                    commune.pipeline.write(Stream::Records, vec![draft]).await.expect("written");
                }
                states.push(earlier(&commune).await);
                commune.clock.advance(31 * DAY);
            }
            let now = states.last().expect("the last").values.clone();
            assert!(now.values().filter(|value| **value != 0).count() > 20, "the story has figures: {now:?}");
            let mut moved = 0;
            for (at, state) in states.iter().enumerate() {
                for ((figure, month), then) in &state.values {
                    let since = Since::Frontier(state.sizes.clone());
                    let found = commune.explain(&of(*figure, *month), &since).await;
                    let what = format!("seed {seed}, state {at}, {figure} in {month}");
                    assert_eq!((found.then, found.now), (*then, now[&(*figure, *month)]), "{what}");
                    assert_eq!(net(&found.steps), found.now - found.then, "{what}");
                    moved += usize::from(found.now != found.then);
                    if at > 0 && *month == 202_201 {
                        let known = Since::read([], state.month, false).expect("a month");
                        assert_eq!(commune.explain(&of(*figure, *month), &known).await.then, *then, "{what}, as known");
                    }
                }
            }
            assert!(moved > 50, "{moved} figures have moved");
        }
    });
}

#[test]
fn what_came_after_closing_counts_and_is_marked_late() {
    run(async || {
        let root = Bed::root().await;
        let mut commune = root.child("17065", 1).await;
        let mut author = Author { seed: 3, sets: 0, persons: Vec::new(), others: Vec::new() };
        let draft = author.set(commune.clock.now_ms(), 202_112, 6);
        commune.pipeline.write(Stream::Records, vec![draft]).await.expect("written");
        let close = pb::ClosePeriodRequest { unit: "17065".into(), month: 202_112 };
        commune.admin.close_period(close).await.expect("closed");
        let asked = of(Figure::Residents, 202_112);
        let before = commune.answer(&asked).await;
        let coverage = before.coverage.as_ref().expect("it is told")[0];
        assert_eq!((coverage.units, coverage.reporting, coverage.closed, coverage.on_time), (1, 1, 1, 1));
        assert_eq!(coverage.residents, coverage.residents_closed);
        assert_eq!(coverage.residents, before.cells.iter().map(|cell| cell.value).sum::<i64>());

        commune.clock.advance(DAY);
        let draft = author.set(commune.clock.now_ms(), 202_112, 12);
        commune.pipeline.write(Stream::Records, vec![draft]).await.expect("it is taken");
        let sizes = before.frontier.iter().map(|entry| (entry.log.to_string(), entry.size));
        let found = commune.explain(&asked, &Since::read(sizes, 0, false).expect("logs")).await;
        assert!(!found.steps.is_empty() && found.steps.iter().all(|step| step.late), "{:?}", found.steps);
        assert_eq!(found.closed_at_ms, Some(NOW_MS));
        let step = &found.steps[0];
        assert_eq!((step.sequence, step.recorded_at_ms, &*step.unit.to_string()), (2, NOW_MS + 86_400_000, "17065"));
        assert_eq!(step.arrived_at_ms, Some(step.recorded_at_ms), "the clock shows full minutes here");
        assert_eq!(commune.explain(&asked, &Since::Closed).await.steps, found.steps, "the closing itself is a state");
        let all = commune.explain(&asked, &Since::Frontier(BTreeMap::new())).await;
        assert_eq!((all.then, all.now), (0, found.now));
        assert!(all.steps.iter().any(|step| !step.late), "what came before was in time");

        let ahead = Since::Frontier(BTreeMap::from([(commune.log(Stream::Records), 9)]));
        let query = commune.query(&asked);
        let refused = commune.answers().explain(commune.pipeline.snapshot().directory(), &query, &ahead).await;
        assert_eq!(refused.expect_err("that is more than there is").refusal().reason, Reason::QueryInvalid);
        let two = query::Query { measures: vec!["births".into(), "deaths".into()], ..asked };
        let query = commune.query(&two);
        let since = Since::Frontier(BTreeMap::new());
        let refused = commune.answers().explain(commune.pipeline.snapshot().directory(), &query, &since).await;
        assert_eq!(refused.expect_err("one at a time").refusal().reason, Reason::QueryInvalid);
    });
}

#[test]
fn a_month_stands_at_the_root_as_its_communes_left_it() {
    run(async || {
        let root = Bed::root().await;
        let mut prompt = root.child("17065", 1).await;
        // Today is 1 January 2022.
        let close = |unit: &str, month| pb::ClosePeriodRequest { unit: unit.into(), month };
        prompt.clock.advance(3 * DAY);
        prompt.admin.close_period(close("17065", 202_112)).await.expect("an empty month, on the 4th");
        assert_eq!(root.standing(202_112).await, [("17065".into(), State::Open, 0, false)]);
        // It comes on the 20th, over a bad link: that makes it no later.
        root.clock.advance(19 * DAY);
        prompt.deliver(&prompt.log(Stream::Records), &root).await;
        let mut late = root.child("17035", 2).await;
        late.clock.advance(19 * DAY);
        assert_eq!(
            root.standing(202_112).await,
            [("17035".into(), State::Silent, 0, false), ("17065".into(), State::OnTime, 0, true)]
        );
        late.admin.close_period(close("17035", 202_112)).await.expect("on the 20th");
        late.deliver(&late.log(Stream::Records), &root).await;
        assert_eq!(
            root.standing(202_112).await,
            [("17035".into(), State::Late, 0, true), ("17065".into(), State::OnTime, 0, true)]
        );
        // Of January nobody has said anything: open, then missing, then silent.
        let january = async |days: u32| {
            root.clock.advance(days * DAY);
            root.standing(202_201).await.into_iter().map(|of| of.1).collect::<Vec<_>>()
        };
        assert_eq!(january(12).await, [State::Open; 2]);
        assert_eq!(january(5).await, [State::Silent; 2], "17 days without a word");
        let draft = Author { seed: 3, sets: 40, persons: Vec::new(), others: Vec::new() }.set(NOW_MS, 202_201, 4);
        prompt.pipeline.write(Stream::Records, vec![draft]).await.expect("written");
        prompt.deliver(&prompt.log(Stream::Records), &root).await;
        let now = root.standing(202_201).await;
        assert_eq!((now[0].1, now[1].1), (State::Silent, State::Missing));
        assert!(now[1].2 > 0, "it has people by now");

        // The answer says the same, from the logs alone.
        let asked = query::Query { unit: "VN".into(), from: 202_112, to: 202_201, ..Default::default() };
        let coverage = root.answer(&asked).await.coverage.expect("it is told");
        let told = |at: usize| (coverage[at].units, coverage[at].reporting, coverage[at].closed, coverage[at].on_time);
        assert_eq!((told(0), told(1)), ((2, 2, 2, 1), (2, 2, 0, 0)));
        root.clock.advance(400 * DAY);
        assert_eq!(root.answer(&asked).await.coverage.expect("it is told"), coverage, "no clock is in it");
        assert_eq!(reason(prompt.admin.close_period(close("17065", 202_202)).await), "date_in_future");
    });
}
