//! The model that never failed: one register and one cube that take entries in the order in which authors wrote them.

use std::collections::BTreeMap;

use danso_core::cube::{Batch, CubeKey};
use danso_core::ledger::Entry;
use danso_core::register::{Household, HouseholdKey, Intake, Person};
use danso_proto::ids::PersonId;

use super::store::{FindingRow, Store, add};

/// Figures, and what they are made from.
#[derive(Default)]
pub struct Figures {
    persons: BTreeMap<PersonId, Person>,
    households: BTreeMap<HouseholdKey, Household>,
    findings: BTreeMap<PersonId, Vec<FindingRow>>,
    pub cube: BTreeMap<CubeKey, i64>,
}

impl Figures {
    /// Takes entries in; gives the rows of the cube that changed.
    pub fn take<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> Vec<CubeKey> {
        let mut intake = Intake::default();
        entries.for_each(|entry| intake.take(entry));
        if intake.changes.is_empty() {
            return Vec::new();
        }
        let batch = Batch::new(intake.changes);
        let persons: Vec<Person> = batch.person_ids().iter().filter_map(|id| self.persons.get(id).cloned()).collect();
        let batch = batch.with_persons(persons);
        let keys = batch.household_keys().iter();
        let households: Vec<Household> = keys.filter_map(|key| self.households.get(key).cloned()).collect();
        let outcome = batch.with_households(households);
        for person in &outcome.persons {
            self.findings.remove(&person.id());
        }
        for finding in outcome.findings {
            let row = (finding.change, finding.unit, finding.kind);
            self.findings.entry(finding.person).or_default().push(row);
        }
        self.persons.extend(outcome.persons.into_iter().map(|person| (person.id(), person)));
        self.households.extend(outcome.households.into_iter().map(|household| (household.key().clone(), household)));
        for key in &outcome.emptied {
            self.households.remove(key);
        }
        outcome
            .delta
            .iter()
            .map(|(key, count)| {
                add(&mut self.cube, key, count);
                key.clone()
            })
            .collect()
    }

    /// Whether a store has exactly this; else what differs.
    ///
    /// # Errors
    /// With the first difference.
    pub fn compare(&self, store: &Store) -> Result<(), String> {
        let row = self.cube.iter().find(|(key, count)| store.cube.get(key) != Some(count));
        if let Some((key, count)) = row {
            return Err(format!("{key:?} counts {:?}, and is {count}", store.cube.get(key)));
        }
        if store.cube.len() != self.cube.len() {
            let more = store.cube.iter().find(|(key, _)| !self.cube.contains_key(key));
            return Err(format!("a row that nothing makes: {more:?}"));
        }
        if store.persons.len() != self.persons.len()
            || self
                .persons
                .iter()
                .any(|(id, person)| store.persons.get(id).is_none_or(|row| **row != *person.to_bytes()))
        {
            return Err("the persons are others".into());
        }
        if store.households.len() != self.households.len()
            || self
                .households
                .iter()
                .any(|(key, household)| store.households.get(key).is_none_or(|row| **row != *household.to_bytes()))
        {
            return Err("the households are others".into());
        }
        if store.findings != self.findings {
            return Err("the findings are others".into());
        }
        Ok(())
    }
}
