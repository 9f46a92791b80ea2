//! Rules of consistency: what a record says that can hardly be so. A rule is a piece of data: the finding that it makes, and numbers, which a signed policy
//! switches and tunes by unit ([`Rulebooks`]).
//!
//! What breaks a rule is doubted and counts all the same: it may be true, and who wrote it answers. What cannot be counted is no rule's business: it is a
//! finding of the register ([`COVERED`]). All here are functions of the set of facts and of what identity parts say beside them, so that the order of
//! arrival makes no difference; a rule that needs parts is silent where they are withheld. This room may not know storage, time and how doubts are told.

mod alone;
mod book;
mod family;
mod lunar;
mod place;
mod rule;

pub use alone::{Unnamed, alone, unnamed};
pub use book::{PolicyError, Rulebook, Rulebooks, Setting, Tuned, check_settings};
pub use family::{Family, family};
pub use lunar::{LunarReading, read_as_lunar, read_by_month, read_by_year};
pub use place::{HamletDoubt, UnitDoubt, hamlet, other_unit};
pub use rule::{COVERED, Parameter, Rule};

use danso_proto::change::{SeenValue, Severity};
use danso_proto::ids::{ChangeId, PersonId, UnitCode};

use crate::calendar::{LunarDate, PartialDate};
use crate::finding::{Finding, Sights, name};

/// A change that breaks a rule. It counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suspicion {
    /// The person.
    pub person: PersonId,
    /// The change to look at first: a correction would name it.
    pub change: ChangeId,
    /// The unit that the change is about.
    pub unit: UnitCode,
    /// The rule.
    pub rule: Rule,
    /// The other change that it does not go with.
    pub other: Option<ChangeId>,
    /// What was seen.
    pub seen: Seen,
}

impl Suspicion {
    /// How bad it is: a date that was corrected from the lunar to the solar one only wants a look.
    pub fn severity(&self) -> Severity {
        match self.seen {
            Seen::Lunar { counts_solar: true, .. } => Severity::Notice,
            _ => self.rule.severity(),
        }
    }

    /// As a finding.
    pub fn into_finding(self) -> Finding {
        let severity = self.severity();
        let Self { person, change, unit, rule, other, seen } = self;
        Finding { person, change, unit, kind: rule.kind(), severity, other, seen: seen.sights() }
    }
}

/// What a rule saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// Nothing that the rule's text does not say.
    Plain,
    /// Full years of age, and the bound.
    Age {
        /// Full years.
        years: u32,
        /// The least or the greatest that is expected.
        bound: u32,
    },
    /// Months between two events, and the bound.
    Months {
        /// Months.
        months: u32,
        /// The least that is expected.
        bound: u32,
    },
    /// Birth order, and that of the birth before.
    Order {
        /// What the birth says.
        order: u32,
        /// What the birth before says.
        before: u32,
    },
    /// Years of birth: by the personal number, and as recorded.
    Years {
        /// By the number.
        number: i32,
        /// As recorded.
        recorded: i32,
    },
    /// The two readings of one birth. They are a full date of birth: they belong where identity parts are, and into nothing that is signed for good.
    Lunar {
        /// What was written, read as a lunar date.
        lunar: LunarDate,
        /// The solar day of it.
        solar: PartialDate,
        /// Whether the solar day is what counts now.
        counts_solar: bool,
    },
}

impl Seen {
    fn sights(self) -> Sights {
        let number = |number: u32| SeenValue::Number(number.into());
        let of_part = |name: &str, value| danso_proto::change::Seen { name: name.into(), value };
        match self {
            Self::Plain => Sights::default(),
            Self::Age { years, bound } => Sights::signed([(name::AGE, number(years)), (name::BOUND, number(bound))]),
            Self::Months { months, bound } => {
                Sights::signed([(name::MONTHS_BETWEEN, number(months)), (name::BOUND, number(bound))])
            }
            Self::Order { order, before } => {
                Sights::signed([(name::BIRTH_ORDER, number(order)), (name::BIRTH_ORDER_BEFORE, number(before))])
            }
            Self::Years { number, recorded } => Sights {
                of_parts: vec![of_part(name::YEAR_BY_NUMBER, SeenValue::Number(number.into()))],
                ..Sights::signed([(name::YEAR_RECORDED, SeenValue::Number(recorded.into()))])
            },
            // A full date of birth.
            Self::Lunar { lunar, solar, .. } => Sights {
                signed: Vec::new(),
                of_parts: vec![
                    of_part(name::LUNAR_DATE, SeenValue::Lunar(lunar.packed(), lunar.leap())),
                    of_part(name::SOLAR_DATE, SeenValue::Date(solar.packed())),
                ],
            },
        }
    }
}

#[cfg(test)]
mod tests;
