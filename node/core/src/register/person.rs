//! A person: the facts about it, and its stored form. What the facts mean together is `timeline`'s business.

use danso_proto::change::Sex;
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};
use serde::{Deserialize, Serialize};

use super::stored::{self, Label, StoredError};
use super::timeline::withdrawn;
use super::{Fact, Said};

/// A person as the register holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    id: PersonId,
    reference: Option<Label>,
    // Sorted and without repetition, so that the bytes do not depend on the order of arrival.
    facts: Vec<Fact>,
    // As the facts.
    said: Vec<Said>,
}

/// See [`Person::profile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Sex.
    pub sex: Sex,
    /// yyyymm.
    pub birth_month: u32,
    /// The household that the person lives in, or lived in last.
    pub household: HouseholdId,
}

impl Person {
    /// A person of whom nothing is known yet.
    pub(crate) fn new(id: PersonId) -> Self {
        Self { id, reference: None, facts: Vec::with_capacity(1), said: Vec::new() }
    }

    /// Id: that of the change which made the person known.
    pub fn id(&self) -> PersonId {
        self.id
    }

    /// The unit that made the person known; while that fact is not here, that of the fact with the lowest id.
    pub fn unit(&self) -> Option<&UnitCode> {
        let origin = self.facts.iter().find(|fact| fact.id() == self.id);
        origin.or(self.facts.first()).map(Fact::unit)
    }

    /// The collaborator's own reference (`person_ref`), when an identity part told it.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_ref().map(|label| &*label.text)
    }

    /// The facts, by id.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// What identity parts say of it that doubts can rest on.
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    /// The mothers that births of it name: one, unless somebody is wrong.
    pub fn mothers(&self) -> impl Iterator<Item = PersonId> {
        self.facts.iter().filter_map(Fact::mother)
    }

    /// What identity parts say that came with changes which were not withdrawn.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Said> {
        // In the order of the facts, which is that of the ids.
        let withdrawn: Vec<ChangeId> = match self.facts.iter().any(Fact::is_retraction) {
            true => withdrawn(self.facts.iter()).collect(),
            false => Vec::new(),
        };
        self.said.iter().filter(move |said| withdrawn.binary_search(&said.from(self.id)).is_err())
    }

    /// What a form needs to know of the person: sex, month of birth (yyyymm, mm 00 where unknown) and household, by the facts with the
    /// highest ids; `None` while nothing has made the person known.
    pub fn profile(&self) -> Option<Profile> {
        let mut profile: Option<Profile> = None;
        for fact in &self.facts {
            if let Some(start) = fact.start() {
                let birth_month = start.birth_month.packed() / 100;
                profile = Some(Profile { sex: start.sex, birth_month, household: start.household });
            } else if let (Some(update), Some(profile)) = (fact.update(), &mut profile) {
                profile.sex = update.sex.unwrap_or(profile.sex);
                profile.birth_month = update.birth_month.map_or(profile.birth_month, |month| month.packed() / 100);
                profile.household = update.household.unwrap_or(profile.household);
            }
        }
        profile
    }

    /// Whether something that was said of the person since corrects or withdraws a change.
    pub fn is_corrected(&self, change: ChangeId) -> bool {
        self.facts.iter().any(|fact| fact.refers_to() == Some(change))
    }

    /// Takes a label; says whether anything changed.
    pub(crate) fn label(&mut self, reference: Label) -> bool {
        Label::offer(&mut self.reference, reference, self.id)
    }

    /// Takes what a part says; says whether it is new.
    pub(crate) fn say(&mut self, said: Said) -> bool {
        let place = self.said.binary_search(&said).err();
        if let Some(place) = place {
            self.said.insert(place, said);
        }
        place.is_some()
    }

    /// Whether the fact is here. The whole fact is compared: the same id with another content is another author's.
    pub(crate) fn has(&self, fact: &Fact) -> bool {
        self.facts.binary_search(fact).is_ok()
    }

    /// Adds a fact; one that is here already changes nothing.
    pub(crate) fn add(&mut self, fact: Fact) {
        if let Err(place) = self.facts.binary_search(&fact) {
            self.facts.insert(place, fact);
        }
    }

    /// The person without some facts, which are sorted.
    #[must_use]
    pub(crate) fn without(mut self, facts: &[&Fact]) -> Self {
        self.facts.retain(|fact| facts.binary_search(&fact).is_err());
        self
    }

    /// The stored form: a version byte, then postcard.
    pub fn to_bytes(&self) -> Vec<u8> {
        stored::to_bytes(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When another version wrote it or it is broken: the register is derived, and is then rebuilt.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let person: Self = stored::from_bytes(bytes)?;
        let sorted = person.facts.windows(2).all(|pair| pair[0] < pair[1])
            && person.said.windows(2).all(|pair| pair[0] < pair[1]);
        if sorted { Ok(person) } else { Err(StoredError::Broken) }
    }
}
