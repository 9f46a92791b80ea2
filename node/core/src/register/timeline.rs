//! What the facts about one person say together: corrections first, then a walk through time. A pure function of the set of facts.

mod correct;
mod walk;

use danso_proto::change::{MaritalStatus, Method, SeenValue, Sex};
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};

use crate::calendar::{Month, PartialDate};
use crate::finding::{Finding, FindingKind, Sights};

pub(crate) use correct::withdrawn;
pub(crate) use walk::walk;

/// What a resident's record says and time changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// `None`: unknown.
    pub(crate) marital: Option<MaritalStatus>,
    /// `None`: unknown.
    pub(crate) method: Option<Method>,
}

/// What a household book says that was written in the month of an event or later: it may be what the event made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Later {
    pub(crate) marital: bool,
    pub(crate) method: bool,
}

/// Something that a timeline adds to what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Residents of this kind, from `month` on.
    Resident { unit: &'a UnitCode, month: Month, sex: Sex, birth_month: Month, state: State, delta: i64 },
    /// Members of the household, from `month` on.
    Member { unit: &'a UnitCode, household: HouseholdId, month: Month, delta: i32 },
    /// Something that happened to a resident, or was said of one, in `month`.
    Event { unit: &'a UnitCode, month: Month, sex: Sex, birth_month: Month, event: Event<'a>, more: More },
    /// A fact that does not count.
    Finding { change: ChangeId, unit: &'a UnitCode, kind: FindingKind, about: About<'a> },
}

/// What is not counted of an event, and what doubts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct More {
    /// The change that says it; corrections name it.
    pub(crate) change: ChangeId,
    /// What the record said before.
    pub(crate) before: State,
    /// What of that is only known from later.
    pub(crate) later: Later,
    /// What it says now.
    pub(crate) after: State,
    /// Whether the month of the event and the month of birth are known, and not only a year.
    pub(crate) exact: bool,
    /// Whether the month of birth is.
    pub(crate) birth_known: bool,
}

/// What is counted by period. The other unit of a move is `None` when it is abroad or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// `exact`: the month of the mother's birth is known, and not only the year.
    Birth {
        order: u32,
        mother: Option<Month>,
        exact: bool,
        mother_id: Option<PersonId>,
    },
    Death,
    Marriage,
    Divorce,
    Arrival {
        other: Option<&'a UnitCode>,
    },
    Departure {
        other: Option<&'a UnitCode>,
    },
    ContraceptionStart {
        method: Method,
    },
    /// Not counted: the household book, or an update, says something of the resident.
    Said,
}

/// What a finding saw, as small as a step has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct About<'a> {
    /// Another change.
    pub(crate) other: Option<ChangeId>,
    /// Named values.
    pub(crate) seen: [Option<(&'static str, Sight<'a>)>; 3],
}

/// A value that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight<'a> {
    Date(PartialDate),
    Month(Month),
    Unit(&'a UnitCode),
}

impl About<'_> {
    /// The finding of this kind about a change.
    pub(crate) fn finding(&self, person: PersonId, change: ChangeId, unit: &UnitCode, kind: FindingKind) -> Finding {
        let seen = self.seen.iter().flatten().map(|(name, sight)| {
            let value = match sight {
                Sight::Date(date) => SeenValue::Date(date.packed()),
                Sight::Month(month) => SeenValue::Date(month.ymm() * 100),
                Sight::Unit(unit) => SeenValue::Word(unit.to_string()),
            };
            (*name, value)
        });
        let (severity, other, seen) = (kind.severity(), self.other, Sights::signed(seen));
        Finding { person, change, unit: unit.clone(), kind, severity, other, seen }
    }
}
