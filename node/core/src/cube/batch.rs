//! What a batch of changes does to register and cube, in three stages, so that the shell reads the rows it needs in a few statements:
//! [`Batch`] names the persons, [`WithPersons`] the households, [`Outcome`] is what to write.

use std::collections::BTreeMap;

use danso_proto::change::Sex;
use danso_proto::ids::{HouseholdId, PersonId};

use super::delta::{Row, UnitTable, fold};
use super::measure::method_code;
use super::{BirthDetail, CubeDelta, Measure, ResidentDetail};
use crate::calendar::Month;
use crate::finding::Finding;
use crate::register::{Event, Fact, Household, HouseholdKey, Label, Person, Presence, RegisterChange, Step, walk};

/// Changes on their way into the register, sorted by person.
#[derive(Debug)]
pub struct Batch {
    changes: Vec<RegisterChange>,
    persons: Vec<PersonId>,
}

impl Batch {
    /// A batch of changes, in any order.
    pub fn new(mut changes: Vec<RegisterChange>) -> Self {
        changes.sort_unstable_by(|a, b| (a.person(), a.fact()).cmp(&(b.person(), b.fact())));
        let mut persons: Vec<PersonId> = changes.iter().map(RegisterChange::person).collect();
        persons.dedup();
        Self { changes, persons }
    }

    /// The persons to load, sorted; some or all may be new.
    pub fn person_ids(&self) -> &[PersonId] {
        &self.persons
    }

    /// Goes on with the persons of [`Self::person_ids`] that the register holds; others are passed over.
    pub fn with_persons(self, loaded: impl IntoIterator<Item = Person>) -> WithPersons {
        let mut loaded: Vec<Person> = loaded.into_iter().collect();
        loaded.sort_unstable_by_key(Person::id);
        let mut loaded = loaded.into_iter().peekable();
        let mut tally = Tally { rows: Vec::with_capacity(self.changes.len()), ..Tally::default() };
        let mut labels = Vec::new();
        let mut persons = Vec::with_capacity(self.persons.len());
        let mut counts = Counts::default();
        let mut fresh = Vec::new();
        let mut changes = self.changes.into_iter().peekable();
        for id in self.persons {
            while loaded.next_if(|person| person.id() < id).is_some() {}
            let mut person = match loaded.next_if(|person| person.id() == id) {
                Some(person) => person,
                None => {
                    counts.persons_new += 1;
                    Person::new(id)
                }
            };
            let (mut since, mut labelled) = (None, false);
            while let Some(mut change) = changes.next_if(|change| change.person() == id) {
                if let Some((household, label)) = change.take_household_label() {
                    labels.push((household, tally.units.number(change.fact().unit()), label));
                }
                labelled |= change.take_person_ref().is_some_and(|label| person.label(label));
                labelled |= change.take_said().is_some_and(|said| person.say(said));
                if person.has(change.fact()) || fresh.last() == Some(change.fact()) {
                    counts.repeated += 1;
                    continue;
                }
                let recorded = change.fact().recorded();
                since = Some(since.map_or(recorded, |earliest| recorded.min(earliest)));
                fresh.push(change.into_fact());
            }
            counts.added += fresh.len();
            if let Some(since) = since {
                tally.person(&person, since, -1);
                fresh.drain(..).for_each(|fact| person.add(fact));
                tally.person(&person, since, 1);
                persons.push(person);
            } else if labelled {
                // All findings about the persons of an outcome belong into it.
                tally.findings(&person);
                persons.push(person);
            }
        }
        WithPersons::new(persons, tally, labels, counts)
    }
}

/// How much a batch brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Facts that are new.
    pub added: usize,
    /// Facts that were here already.
    pub repeated: usize,
    /// Persons that the register did not hold.
    pub persons_new: usize,
}

/// A batch whose persons are done.
#[derive(Debug)]
pub struct WithPersons {
    persons: Vec<Person>,
    tally: Tally,
    members: Vec<Membership>,
    labels: Vec<(HouseholdKey, Label)>,
    keys: Vec<HouseholdKey>,
    counts: Counts,
}

impl WithPersons {
    fn new(persons: Vec<Person>, mut tally: Tally, mut labels: Vec<(HouseholdId, u32, Label)>, counts: Counts) -> Self {
        let mut members = std::mem::take(&mut tally.members);
        members.sort_unstable_by_key(|m| (m.household, m.unit, m.step.recorded, m.step.month));
        members.dedup_by(|next, kept| {
            let same = next.same_step(kept);
            if same {
                kept.step.delta += next.step.delta;
            }
            same
        });
        members.retain(|m| m.step.delta != 0);
        // Of the labels for one household the best is enough.
        labels.sort_unstable_by(|(a, a_unit, a_label), (b, b_unit, b_label)| {
            (a, a_unit, a_label.rank(*a)).cmp(&(b, b_unit, b_label.rank(*b)))
        });
        labels.dedup_by_key(|(household, unit, _)| (*household, *unit));
        let named = |(id, unit, label)| (HouseholdKey { unit: tally.units.code(unit).clone(), id }, label);
        let mut labels: Vec<(HouseholdKey, Label)> = labels.into_iter().map(named).collect();
        labels.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let stepped = members.chunk_by(Membership::same_household).filter_map(|same| same.first());
        let mut keys: Vec<HouseholdKey> = stepped.map(|m| tally.key(m)).collect();
        keys.extend(labels.iter().map(|(key, _)| key.clone()));
        keys.sort_unstable();
        keys.dedup();
        Self { persons, tally, members, labels, keys, counts }
    }

    /// The households to load, sorted; some or all may be new.
    pub fn household_keys(&self) -> &[HouseholdKey] {
        &self.keys
    }

    /// Households as they were before this batch, told by how those of `keys` are with it; of one that is not held nothing was left.
    pub(super) fn households_before(
        &self,
        keys: &[HouseholdKey],
        after: impl IntoIterator<Item = Household>,
    ) -> BTreeMap<HouseholdKey, Household> {
        let mut held: BTreeMap<HouseholdKey, Household> =
            after.into_iter().map(|household| (household.key().clone(), household)).collect();
        let steps: BTreeMap<HouseholdKey, &[Membership]> =
            self.members.chunk_by(Membership::same_household).map(|same| (self.tally.key(&same[0]), same)).collect();
        let before = |key: &HouseholdKey| {
            let mut household = held.remove(key).unwrap_or_else(|| Household::new(key.clone()));
            let steps = steps.get(key).copied().unwrap_or_default();
            household.add(steps.iter().map(|m| Presence { delta: -m.step.delta, ..m.step }));
            (key.clone(), household)
        };
        keys.iter().map(before).collect()
    }

    /// Ends with the households of [`Self::household_keys`] that the register holds; others are passed over.
    pub fn with_households(self, loaded: impl IntoIterator<Item = Household>) -> Outcome {
        let Self { persons, mut tally, members, labels, keys, counts } = self;
        let mut loaded: Vec<Household> = loaded.into_iter().collect();
        loaded.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        let mut loaded = loaded.into_iter().peekable();
        let mut members: Vec<(HouseholdKey, &[Membership])> =
            members.chunk_by(Membership::same_household).map(|same| (tally.key(&same[0]), same)).collect();
        members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut members = members.into_iter().peekable();
        let mut labels = labels.into_iter().peekable();
        let mut households = Vec::with_capacity(keys.len());
        let mut emptied = Vec::new();
        for key in keys {
            while loaded.next_if(|household| *household.key() < key).is_some() {}
            let steps = members.next_if(|(of, _)| *of == key).map_or(&[][..], |(_, steps)| steps);
            let held = loaded.next_if(|household| *household.key() == key);
            let stored = held.is_some();
            let mut household = held.unwrap_or_else(|| Household::new(key));
            let mut changed = false;
            if let Some((_, label)) = labels.next_if(|(of, _)| of == household.key()) {
                changed |= household.label(label);
            }
            if let Some(since) = steps.iter().map(|m| m.step.recorded).min() {
                tally.household(&household, since, -1);
                household.add(steps.iter().map(|m| m.step));
                tally.household(&household, since, 1);
                changed = true;
            }
            match household.is_empty() {
                // As if it had never been: otherwise the rows would depend on the order of arrival.
                true if stored => emptied.push(household.key().clone()),
                false if changed => households.push(household),
                _ => {}
            }
        }
        let Tally { units, rows, mut findings, .. } = tally;
        findings.sort_unstable();
        findings.dedup();
        Outcome { persons, households, emptied, delta: fold(rows, &units), findings, counts }
    }
}

/// What to write. Lists are sorted by key.
#[derive(Debug)]
pub struct Outcome {
    /// Persons that changed or are new.
    pub persons: Vec<Person>,
    /// Households that changed or are new.
    pub households: Vec<Household>,
    /// Households of which nothing is left: their rows are to be deleted.
    pub emptied: Vec<HouseholdKey>,
    /// What to add to the cube.
    pub delta: CubeDelta,
    /// All findings about [`Self::persons`]: they replace those that are stored about these persons.
    pub findings: Vec<Finding>,
    /// How much it was.
    pub counts: Counts,
}

/// A step of a household's membership.
#[derive(Debug, Clone, Copy)]
struct Membership {
    unit: u32,
    household: HouseholdId,
    step: Presence,
}

impl Membership {
    fn same_household(&self, other: &Self) -> bool {
        (self.household, self.unit) == (other.household, other.unit)
    }

    fn same_step(&self, other: &Self) -> bool {
        self.same_household(other) && (self.step.recorded, self.step.month) == (other.step.recorded, other.step.month)
    }
}

/// What comes together while persons and households are gone through.
#[derive(Debug, Default)]
struct Tally {
    units: UnitTable,
    rows: Vec<(Row, i64)>,
    members: Vec<Membership>,
    findings: Vec<Finding>,
    /// Room to work in.
    months: Vec<Month>,
}

impl Tally {
    fn key(&self, m: &Membership) -> HouseholdKey {
        HouseholdKey { unit: self.units.code(m.unit).clone(), id: m.household }
    }

    /// Adds, `sign` times, what the person's facts count, told apart by when it became known: what the facts known by then say,
    /// less what those known before said. Only what became known in `since` or later, since nothing else can have changed.
    fn person(&mut self, person: &Person, since: Month, sign: i8) {
        let mut months = std::mem::take(&mut self.months);
        months.clear();
        months.extend(person.facts().iter().map(Fact::recorded));
        months.sort_unstable();
        months.dedup();
        for (i, month) in months.iter().enumerate() {
            let here = (*month >= since).then_some((*month, sign));
            let next = months.get(i + 1).filter(|next| **next >= since).map(|next| (*next, -sign));
            if here.is_none() && next.is_none() {
                continue;
            }
            // The last time all facts are known.
            let all = i + 1 == months.len();
            let known = person.facts().iter().filter(|fact| all || fact.recorded() <= *month);
            walk(person.id(), known, &mut |step| match step {
                Step::Finding { change, unit, kind, about } if all && sign > 0 => {
                    self.findings.push(about.finding(person.id(), change, unit, kind));
                }
                step => {
                    for (recorded, sign) in [here, next].into_iter().flatten() {
                        self.step(step, recorded, sign);
                    }
                }
            });
        }
        self.months = months;
    }

    fn findings(&mut self, person: &Person) {
        walk(person.id(), person.facts().iter(), &mut |step| {
            if let Step::Finding { change, unit, kind, about } = step {
                self.findings.push(about.finding(person.id(), change, unit, kind));
            }
        });
    }

    fn household(&mut self, household: &Household, since: Month, sign: i64) {
        let unit = self.units.number(&household.key().unit);
        household.occupied(since, |recorded, month, count| {
            let row = row(unit, (month, recorded), Measure::Households, (None, None));
            self.rows.push((row, count * sign));
        });
    }

    fn step(&mut self, step: Step<'_>, recorded: Month, sign: i8) {
        match step {
            Step::Resident { unit, month, sex, birth_month, state, delta } => {
                let detail = ResidentDetail { marital: state.marital, method: state.method }.pack();
                let whose = (Some(sex), Some(birth_month));
                let row = row(self.units.number(unit), (month, recorded), Measure::Residents, whose);
                self.rows.push((Row { detail, ..row }, delta * i64::from(sign)));
            }
            Step::Member { unit, household, month, delta } => {
                let step = Presence { recorded, month, delta: delta * i32::from(sign) };
                self.members.push(Membership { unit: self.units.number(unit), household, step });
            }
            Step::Event { unit, month, sex, birth_month, event, .. } => {
                let (measure, detail, other) = match event {
                    Event::Birth { order, mother, .. } => (Measure::Births, BirthDetail { order, mother }.pack(), None),
                    Event::Death => (Measure::Deaths, 0, None),
                    Event::Marriage => (Measure::Marriages, 0, None),
                    Event::Divorce => (Measure::Divorces, 0, None),
                    Event::Arrival { other } => (Measure::Arrivals, 0, other),
                    Event::Departure { other } => (Measure::Departures, 0, other),
                    Event::ContraceptionStart { method } => (Measure::ContraceptionStarts, method_code(method), None),
                    Event::Said => return,
                };
                let other = other.map(|other| self.units.number(other));
                let row = row(self.units.number(unit), (month, recorded), measure, (Some(sex), Some(birth_month)));
                self.rows.push((Row { detail, other, ..row }, sign.into()));
            }
            Step::Finding { .. } => {}
        }
    }
}

fn row(
    unit: u32,
    (month, recorded): (Month, Month),
    measure: Measure,
    (sex, birth_month): (Option<Sex>, Option<Month>),
) -> Row {
    Row { unit, month, recorded, measure, sex, birth_month, detail: 0, other: None }
}
