//! What the node knows, as far as the rows at hand need it: persons, households, earlier rows and waiting slips, by what the
//! collaborator calls them. The shell fetches it in a few statements for many rows; it grows as rows are taken. This room may not
//! know where it is kept.

use std::collections::{BTreeSet, HashMap, HashSet};

use danso_proto::change::Sex;
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};

use super::{Form, Row};

/// A person as far as rows need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPerson {
    /// The person.
    pub id: PersonId,
    /// Recorded sex.
    pub sex: Sex,
    /// Recorded month of birth, yyyymm; mm is 00 where unknown.
    pub birth_month: u32,
    /// Household, where known.
    pub household: Option<HouseholdId>,
}

/// An earlier row that became a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Digest of the row; `None` where it is not known any more (a node that was recovered): then every row with this key is the same.
    pub digest: Option<[u8; 16]>,
    /// The change.
    pub change: ChangeId,
    /// Whom it is about.
    pub person: PersonId,
    /// The change is a birth: its day is identity, also in a correction.
    pub birth: bool,
}

/// What is known. Everything is by unit first.
#[derive(Debug, Default)]
pub struct Known {
    units: HashMap<UnitCode, UnitKnown>,
}

#[derive(Debug, Default)]
struct UnitKnown {
    persons: HashMap<Box<str>, KnownPerson>,
    households: HashMap<Box<str>, HouseholdId>,
    book: HashMap<Box<str>, Source>,
    slips: HashMap<Box<str>, Source>,
    waiting: HashSet<Box<str>>,
}

impl UnitKnown {
    fn sources(&mut self, form: Form) -> &mut HashMap<Box<str>, Source> {
        match form {
            Form::Households => &mut self.book,
            Form::Changes => &mut self.slips,
        }
    }
}

impl Known {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    fn unit(&mut self, unit: &UnitCode) -> &mut UnitKnown {
        self.units.entry(unit.clone()).or_default()
    }

    /// Adds or replaces a person.
    pub fn add_person(&mut self, unit: &UnitCode, person_ref: &str, person: KnownPerson) {
        self.unit(unit).persons.insert(person_ref.into(), person);
    }

    /// Adds a household by its key, see [`household_key`].
    pub fn add_household(&mut self, unit: &UnitCode, key: &str, household: HouseholdId) {
        self.unit(unit).households.insert(key.into(), household);
    }

    /// Adds a row that became a change.
    pub fn add_source(&mut self, unit: &UnitCode, form: Form, key: &str, source: Source) {
        self.unit(unit).sources(form).insert(key.into(), source);
    }

    /// Adds a slip that waits.
    pub fn add_waiting(&mut self, unit: &UnitCode, slip_no: &str) {
        self.unit(unit).waiting.insert(slip_no.into());
    }

    /// Forgets that a slip waits; `true` when it did.
    pub fn remove_waiting(&mut self, unit: &UnitCode, slip_no: &str) -> bool {
        self.units.get_mut(unit).is_some_and(|known| known.waiting.remove(slip_no))
    }

    /// Takes in what became known later.
    pub fn extend(&mut self, later: Known) {
        for (unit, later) in later.units {
            let known = self.unit(&unit);
            for taken in later.slips.keys() {
                known.waiting.remove(taken);
            }
            known.persons.extend(later.persons);
            known.households.extend(later.households);
            known.book.extend(later.book);
            known.slips.extend(later.slips);
            known.waiting.extend(later.waiting);
        }
    }

    /// Takes in what these rows need and what is known elsewhere, and not here.
    pub fn look_up(&mut self, needed: &Needed<'_>, elsewhere: &Known) {
        for (unit, reference) in &needed.persons {
            if let (None, Some(person)) = (self.person(unit, reference), elsewhere.person(unit, reference)) {
                self.add_person(unit, reference, person);
            }
        }
        for (unit, key) in &needed.households {
            if let (None, Some(household)) = (self.household(unit, key), elsewhere.household(unit, key)) {
                self.add_household(unit, key, household);
            }
        }
        for (unit, form, key) in &needed.sources {
            if self.source(unit, *form, key).is_some() {
                continue;
            }
            if let Some(source) = elsewhere.source(unit, *form, key) {
                self.add_source(unit, *form, key, source);
            } else if *form == Form::Changes && elsewhere.is_waiting(unit, key) {
                self.add_waiting(unit, key);
            }
        }
    }

    /// A person.
    pub fn person(&self, unit: &UnitCode, person_ref: &str) -> Option<KnownPerson> {
        self.units.get(unit)?.persons.get(person_ref).copied()
    }

    /// A household by its key.
    pub fn household(&self, unit: &UnitCode, key: &str) -> Option<HouseholdId> {
        self.units.get(unit)?.households.get(key).copied()
    }

    /// An earlier row.
    pub fn source(&self, unit: &UnitCode, form: Form, key: &str) -> Option<Source> {
        let known = self.units.get(unit)?;
        match form {
            Form::Households => known.book.get(key).copied(),
            Form::Changes => known.slips.get(key).copied(),
        }
    }

    /// Whether a slip waits.
    pub fn is_waiting(&self, unit: &UnitCode, slip_no: &str) -> bool {
        self.units.get(unit).is_some_and(|known| known.waiting.contains(slip_no))
    }
}

/// The household that a number names. `012.2` is the sheet of the second couple of household `012`: one household.
pub fn household_key(household_no: &str) -> &str {
    match household_no.split_once('.') {
        Some((household, couple)) if is_digits(household) && is_digits(couple) => household,
        _ => household_no,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What has to be in [`Known`] before some rows are resolved. Each thing once, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needed<'a> {
    /// Unit and person reference.
    pub persons: BTreeSet<(&'a UnitCode, &'a str)>,
    /// Unit and household key.
    pub households: BTreeSet<(&'a UnitCode, &'a str)>,
    /// Unit, form and key. Those of the form `Changes` are to be looked for among the waiting slips too.
    pub sources: BTreeSet<(&'a UnitCode, Form, &'a str)>,
}

/// What these rows need.
pub fn needed<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Needed<'a> {
    let mut needed = Needed::default();
    for row in rows {
        let unit = row.unit();
        let (form, key) = row.key();
        needed.sources.insert((unit, form, key));
        match row {
            Row::Household(row) => {
                needed.persons.insert((unit, &row.person_ref));
                needed.households.insert((unit, household_key(&row.household_no)));
            }
            Row::Slip(slip) => {
                let refs = [&slip.person_ref, &slip.mother_ref, &slip.spouse_ref];
                needed.persons.extend(refs.into_iter().filter(|r| !r.is_empty()).map(|r| (unit, r.as_str())));
                needed.households.insert((unit, household_key(&slip.household_no)));
                if !slip.refers_to.is_empty() {
                    needed.sources.insert((unit, Form::Changes, &slip.refers_to));
                    // Of the book it can be only the person's own row.
                    if slip.refers_to == slip.person_ref {
                        needed.sources.insert((unit, Form::Households, &slip.refers_to));
                    }
                }
            }
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_couple_is_of_the_same_household() {
        assert_eq!(household_key("012.2"), "012");
        for whole in ["012", "A.2", "012.", ".2", "012.b"] {
            assert_eq!(household_key(whole), whole);
        }
    }
}
