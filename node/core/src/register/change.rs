//! The door of the register: what entries say about persons, and what they say that no person is touched by.

use danso_proto::change::{Body, Change, ChangeSet};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};

use super::stored::Label;
use super::{Fact, Rules, Said};
use crate::calendar::{Month, VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
use crate::finding::FindingAnswer;
use crate::ledger::Entry;

/// One fact on its way into the register: about whom, what, and the labels that came with it. Made by [`Intake::take`] only.
#[derive(Debug, Clone)]
pub struct RegisterChange {
    person: PersonId,
    fact: Fact,
    person_ref: Option<Label>,
    household_no: Option<Label>,
    said: Option<Said>,
}

impl RegisterChange {
    fn new(id: ChangeId, change: &Change, recorded_at_ms: i64, part: Option<IdentityPart>) -> Option<Self> {
        let (person, fact) = Fact::of(id, change, recorded_at_ms)?;
        let said = part.as_ref().and_then(|part| Said::of(person, id, part));
        let label = |text: String| (!text.is_empty()).then(|| Label { from: id, text: text.into() });
        let (person_ref, household_no) =
            part.map_or((None, None), |part| (label(part.person_ref), label(part.household_no)));
        Some(Self { person, fact, person_ref, household_no, said })
    }

    /// The person that it is about.
    pub fn person(&self) -> PersonId {
        self.person
    }

    /// What it says.
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// Id of the change.
    pub fn id(&self) -> ChangeId {
        self.fact.id()
    }

    /// The household that it names, if any.
    pub fn household(&self) -> Option<HouseholdId> {
        self.fact.household()
    }

    /// The person's reference, to be kept with the person.
    pub(crate) fn take_person_ref(&mut self) -> Option<Label> {
        self.person_ref.take()
    }

    /// The number of the household that it names, to be kept with the household.
    pub(crate) fn take_household_label(&mut self) -> Option<(HouseholdId, Label)> {
        Some((self.fact.household()?, self.household_no.take()?))
    }

    /// What doubts can rest on, to be kept with the person.
    pub(crate) fn take_said(&mut self) -> Option<Said> {
        self.said.take()
    }

    pub(crate) fn into_fact(self) -> Fact {
        self.fact
    }
}

/// A unit's month was declared complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodEnd {
    /// Id of the change that says so.
    pub change: ChangeId,
    /// The unit.
    pub unit: UnitCode,
    /// The month.
    pub month: Month,
    /// The author's clock at the change set that says so, Unix milliseconds.
    pub recorded_at_ms: i64,
}

/// A change of a kind that this version does not know: to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind {
    /// Its id.
    pub change: ChangeId,
    /// The unit that it is about.
    pub unit: UnitCode,
}

/// What entries hold for the register.
#[derive(Debug, Default)]
pub struct Intake {
    /// Facts about persons.
    pub changes: Vec<RegisterChange>,
    /// Months declared complete. One whose month does not exist, or was not over yet by its author's clock, is left out.
    pub closed: Vec<PeriodEnd>,
    /// Changes of unknown kinds.
    pub unknown: Vec<UnknownKind>,
    /// Answers to findings.
    pub answers: Vec<FindingAnswer>,
    rules: Rules,
}

impl Intake {
    /// Nothing yet, by these rules.
    pub fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes what one entry says. Changes of other streams than `records` say nothing about persons and are passed over.
    pub fn take(&mut self, entry: &Entry) {
        for (id, change, part) in entry.said() {
            self.take_change(id, change, entry.change_set().recorded_at_ms, part);
        }
    }

    /// Takes again what a change set says that was taken in before: to explain figures, not to count. Without identity parts.
    pub fn recall(&mut self, set: &ChangeSet) {
        set.ids().for_each(|(id, change)| self.take_change(id, change, set.recorded_at_ms, None));
    }

    fn take_change(&mut self, id: ChangeId, change: &Change, recorded_at_ms: i64, part: Option<IdentityPart>) {
        match &change.body {
            body if !self.rules.know(body) => {
                self.unknown.push(UnknownKind { change: id, unit: change.unit.clone() });
            }
            Body::PeriodClosed(m) => {
                // Nobody can say that a month is complete before it is over.
                let today = civil_from_unix_ms(recorded_at_ms, VIET_NAM_OFFSET_MINUTES);
                let ended = Month::from_ymm(m.month).ok().filter(|month| *month < today.month());
                let end = |month| PeriodEnd { change: id, unit: change.unit.clone(), month, recorded_at_ms };
                self.closed.extend(ended.map(end));
            }
            Body::FindingAnswered(m) => self.answers.push(FindingAnswer {
                id,
                unit: change.unit.clone(),
                change: m.change,
                code: m.code.clone(),
                verdict: m.verdict,
            }),
            _ => self.changes.extend(RegisterChange::new(id, change, recorded_at_ms, part)),
        }
    }
}

#[cfg(test)]
pub(crate) fn taken(id: ChangeId, change: &Change, part: Option<IdentityPart>) -> Intake {
    let mut intake = Intake::default();
    intake.take_change(id, change, super::samples::RECORDED_AT_MS, part);
    intake
}

#[cfg(test)]
mod tests {
    use danso_proto::change::PeriodClosed;

    use super::*;
    use crate::register::samples::{RECORDED_AT_MS, id, month, unit};

    #[test]
    fn a_month_is_closed_by_who_says_so_when_it_is_over() {
        let change = Change {
            unit: unit("17065"),
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body: Body::PeriodClosed(PeriodClosed { month: 202_110 }),
        };
        // 1 November 2021, 00:00 in Viet Nam.
        let over = RECORDED_AT_MS + (304 * 24 - 7) * 3_600_000;
        let mut intake = Intake::default();
        // On the 20th, and in the last moment.
        intake.take_change(id(1), &change, over - 12 * 86_400_000, None);
        intake.take_change(id(2), &change, over - 1, None);
        assert!(intake.closed.is_empty() && intake.unknown.is_empty(), "{intake:?}");
        intake.take_change(id(3), &change, over, None);
        let end = PeriodEnd { change: id(3), unit: unit("17065"), month: month(202_110), recorded_at_ms: over };
        assert_eq!(intake.closed, [end], "said again, it counts");
    }
}
