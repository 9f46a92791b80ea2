//! What changes did to the cube, one by one: they are taken out of the register as it is, and put in again. It is the very code that counts
//! them, so that the steps add up to what they changed together, in whatever order they are put in.

use std::collections::BTreeMap;

use danso_proto::ids::PersonId;

use super::batch::{Batch, WithPersons};
use super::delta::CubeDelta;
use crate::register::{Fact, Household, HouseholdKey, Person, RegisterChange};

/// Persons without some changes about them.
#[derive(Debug)]
pub struct Undone {
    persons: BTreeMap<PersonId, Person>,
    batch: WithPersons,
    keys: Vec<HouseholdKey>,
}

impl Undone {
    /// Takes `changes` out, which are in the order in which they will be put in again. `persons`: as the register holds those that
    /// [`Batch::person_ids`] names for these changes.
    pub fn new(changes: &[RegisterChange], persons: impl IntoIterator<Item = Person>) -> Self {
        let mut facts: BTreeMap<PersonId, Vec<&Fact>> = BTreeMap::new();
        for change in changes {
            facts.entry(change.person()).or_default().push(change.fact());
        }
        let without = |person: Person| {
            let mut undone = facts.remove(&person.id()).unwrap_or_default();
            undone.sort_unstable();
            person.without(&undone)
        };
        let persons: BTreeMap<PersonId, Person> =
            persons.into_iter().map(without).map(|person| (person.id(), person)).collect();
        let batch = Batch::new(changes.to_vec()).with_persons(persons.values().cloned());
        // One that somebody enters with one change and leaves with the next is touched, too.
        let mut tried = Redo { persons: persons.clone(), households: BTreeMap::new() };
        let mut keys: Vec<HouseholdKey> = changes.iter().flat_map(|change| tried.put(change.clone()).0).collect();
        keys.sort_unstable();
        keys.dedup();
        Self { persons, batch, keys }
    }

    /// The households to load, sorted.
    pub fn household_keys(&self) -> &[HouseholdKey] {
        &self.keys
    }

    /// Goes on with those households as the register holds them, as far as it does; others are passed over.
    pub fn with_households(self, households: impl IntoIterator<Item = Household>) -> Redo {
        let households = self.batch.households_before(&self.keys, households);
        Redo { persons: self.persons, households }
    }
}

/// The register, as far as it is touched, at some point between without and with the changes.
#[derive(Debug)]
pub struct Redo {
    persons: BTreeMap<PersonId, Person>,
    households: BTreeMap<HouseholdKey, Household>,
}

impl Redo {
    /// Puts one of the changes in, and says what that does.
    pub fn step(&mut self, change: RegisterChange) -> CubeDelta {
        self.put(change).1
    }

    /// Also gives the households that were touched.
    fn put(&mut self, change: RegisterChange) -> (Vec<HouseholdKey>, CubeDelta) {
        let batch = Batch::new(vec![change]);
        let held: Vec<Person> = batch.person_ids().iter().filter_map(|id| self.persons.get(id)).cloned().collect();
        let batch = batch.with_persons(held);
        let keys = batch.household_keys().to_vec();
        let held: Vec<Household> = keys.iter().filter_map(|key| self.households.get(key)).cloned().collect();
        let outcome = batch.with_households(held);
        self.persons.extend(outcome.persons.into_iter().map(|person| (person.id(), person)));
        for key in &outcome.emptied {
            self.households.remove(key);
        }
        self.households.extend(outcome.households.into_iter().map(|household| (household.key().clone(), household)));
        (keys, outcome.delta)
    }
}
