//! One fact about one person, reduced to what figures need. Knows nothing of other facts.

use danso_proto::change::{Body, Change, MaritalStatus, Method, NewHousehold, PersonUpdated, Sex};
use danso_proto::ids::{ChangeId, HouseholdId, PersonId, UnitCode};
use serde::{Deserialize, Serialize};

use crate::calendar::{CalendarError, Month, PartialDate, VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};

/// A fact about a person: what a change says, without what identifies. Made from changes of entries only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fact {
    // First, so that facts sort by id.
    pub(super) id: ChangeId,
    pub(super) unit: UnitCode,
    pub(super) recorded: Month,
    pub(super) date: Option<PartialDate>,
    pub(super) kind: Kind,
}

/// Stored by position: add kinds at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Kind {
    /// The fact's date is `resident_since`.
    Enrolled {
        start: Start,
        marital: Option<MaritalStatus>,
        method: Option<Method>,
    },
    Birth {
        start: Start,
        order: u32,
        mother: Option<PartialDate>,
        mother_id: Option<PersonId>,
    },
    MovedIn {
        start: Start,
        other: Option<UnitCode>,
    },
    MovedOut {
        other: Option<UnitCode>,
    },
    Death,
    Marriage,
    Divorce,
    Contraception {
        method: Method,
    },
    Updated(Box<Update>),
    Retraction {
        refers_to: ChangeId,
    },
    /// A date in it does not exist.
    Unreadable,
}

/// What every beginning of a residence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) household: HouseholdId,
    pub(super) sex: Sex,
    pub(super) birth_month: PartialDate,
}

/// What an update sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Update {
    pub(super) refers_to: Option<ChangeId>,
    pub(super) sex: Option<Sex>,
    pub(super) birth_month: Option<PartialDate>,
    pub(super) marital: Option<MaritalStatus>,
    pub(super) method: Option<Method>,
    pub(super) household: Option<HouseholdId>,
    pub(super) order: Option<u32>,
    pub(super) mother: Option<PartialDate>,
    pub(super) other: Option<Option<UnitCode>>,
}

impl Fact {
    /// What the fact says when it is an update.
    pub(super) fn update(&self) -> Option<&Update> {
        match &self.kind {
            Kind::Updated(update) => Some(update),
            _ => None,
        }
    }

    /// The person and the fact in `change`; `None` when the change is not about a person.
    pub(super) fn of(id: ChangeId, change: &Change, recorded_at_ms: i64) -> Option<(PersonId, Fact)> {
        let person = person_of(id, &change.body)?;
        let recorded = recorded_month(change, recorded_at_ms);
        let (date, kind) = match (date(change), kind(id, &change.body)) {
            (Ok(date), Ok(kind)) => (date, kind),
            _ => (None, Kind::Unreadable),
        };
        Some((person, Fact { id, unit: change.unit.clone(), recorded, date, kind }))
    }

    /// Id of the change that it came with.
    pub fn id(&self) -> ChangeId {
        self.id
    }

    /// The unit that it is about.
    pub fn unit(&self) -> &UnitCode {
        &self.unit
    }

    /// The month in which it became known.
    pub fn recorded(&self) -> Month {
        self.recorded
    }

    pub(super) fn start(&self) -> Option<&Start> {
        match &self.kind {
            Kind::Enrolled { start, .. } | Kind::Birth { start, .. } | Kind::MovedIn { start, .. } => Some(start),
            _ => None,
        }
    }

    /// The mother that a birth names.
    pub fn mother(&self) -> Option<PersonId> {
        match &self.kind {
            Kind::Birth { mother_id, .. } => *mother_id,
            _ => None,
        }
    }

    /// The change that it corrects or withdraws.
    pub(super) fn refers_to(&self) -> Option<ChangeId> {
        match &self.kind {
            Kind::Updated(update) => update.refers_to,
            Kind::Retraction { refers_to } => Some(*refers_to),
            _ => None,
        }
    }

    /// Whether it says that somebody becomes a resident.
    pub(crate) fn begins_stay(&self) -> bool {
        self.start().is_some()
    }

    /// Whether it is one that withdraws another.
    pub(super) fn is_retraction(&self) -> bool {
        matches!(self.kind, Kind::Retraction { .. })
    }

    /// The household that it names.
    pub(super) fn household(&self) -> Option<HouseholdId> {
        match &self.kind {
            Kind::Updated(update) => update.household,
            _ => self.start().map(|start| start.household),
        }
    }
}

/// The person that change `id` is about; `None` when it is not about one.
pub fn person_of(id: ChangeId, body: &Body) -> Option<PersonId> {
    Some(match body {
        Body::PersonEnrolled(_) | Body::Birth(_) => id,
        Body::MovedIn(m) => m.person.unwrap_or(id),
        Body::Death(m) => m.person,
        Body::Marriage(m) => m.person,
        Body::Divorce(m) => m.person,
        Body::MovedOut(m) => m.person,
        Body::ContraceptionChanged(m) => m.person,
        Body::PersonUpdated(m) => m.person,
        Body::Retraction(m) => m.person,
        _ => return None,
    })
}

/// Month of `reported_on` when that is said and exists, else of the author's clock.
fn recorded_month(change: &Change, recorded_at_ms: i64) -> Month {
    let reported = change.reported_on.and_then(|packed| PartialDate::from_packed(packed).ok());
    match reported {
        Some(date) if date.known_month().is_some() => date.month(),
        _ => civil_from_unix_ms(recorded_at_ms, VIET_NAM_OFFSET_MINUTES).month(),
    }
}

fn date(change: &Change) -> Result<Option<PartialDate>, CalendarError> {
    let packed = match &change.body {
        Body::PersonEnrolled(m) => m.resident_since,
        _ => change.event_date.map(|date| date.solar),
    };
    packed.map(PartialDate::from_packed).transpose()
}

fn kind(id: ChangeId, body: &Body) -> Result<Kind, CalendarError> {
    let start = |household: Option<HouseholdId>, sex, birth_month| {
        Ok(Start { household: household.unwrap_or(id), sex, birth_month: PartialDate::from_ymm(birth_month)? })
    };
    Ok(match body {
        Body::PersonEnrolled(m) => Kind::Enrolled {
            start: start(m.household, m.sex, m.birth_month)?,
            marital: m.marital_status,
            method: m.method,
        },
        Body::Birth(m) => Kind::Birth {
            start: start(m.household, m.sex, m.birth_month)?,
            order: m.birth_order,
            mother: m.mother_birth_month.map(PartialDate::from_ymm).transpose()?,
            mother_id: m.mother,
        },
        Body::MovedIn(m) => {
            Kind::MovedIn { start: start(m.household, m.sex, m.birth_month)?, other: m.other_unit.clone() }
        }
        Body::MovedOut(m) => Kind::MovedOut { other: m.other_unit.clone() },
        Body::Death(_) => Kind::Death,
        Body::Marriage(_) => Kind::Marriage,
        Body::Divorce(_) => Kind::Divorce,
        Body::ContraceptionChanged(m) => Kind::Contraception { method: m.method },
        Body::PersonUpdated(m) => Kind::Updated(Box::new(update(id, m)?)),
        Body::Retraction(m) => Kind::Retraction { refers_to: m.refers_to },
        // `of` lets only the kinds above through.
        _ => Kind::Unreadable,
    })
}

fn update(id: ChangeId, m: &PersonUpdated) -> Result<Update, CalendarError> {
    Ok(Update {
        refers_to: m.refers_to,
        sex: m.sex,
        birth_month: m.birth_month.map(PartialDate::from_ymm).transpose()?,
        marital: m.marital_status,
        method: m.method,
        household: m.household.map(|household| match household {
            NewHousehold::Existing(household) => household,
            NewHousehold::Begun => id,
        }),
        order: m.birth_order,
        mother: m.mother_birth_month.map(PartialDate::from_ymm).transpose()?,
        other: m.other_unit.clone(),
    })
}
