//! The register: who lives where, built from entries. A person is the set of facts about it; what the facts say together is read off
//! by walking them in the order in which they happened (`timeline`), so that it does not matter in which order they arrived.
//!
//! Lenient: a fact that makes no sense is kept, left out of what counts, and becomes a [`Finding`](crate::finding::Finding). Nobody speaks for others here either:
//! a fact counts only where its own unit is the unit of the residence, or of the fact that it corrects.
//! This room may not know how counts are kept (that is `cube`), units' tree, storage or time.

mod change;
mod fact;
mod household;
mod person;
mod rules;
mod said;
mod stored;
mod timeline;

pub use change::{Intake, PeriodEnd, RegisterChange, UnknownKind};
pub use fact::{Fact, person_of};
pub use household::{Household, HouseholdKey};
pub use person::{Person, Profile};
pub use rules::Rules;
pub use said::Said;
pub use stored::StoredError;

pub(crate) use household::Presence;
pub(crate) use stored::{Label, from_bytes, sex_code, sex_from, to_bytes};
pub(crate) use timeline::{Event, More, Step, walk};

#[cfg(test)]
pub(crate) mod samples;
