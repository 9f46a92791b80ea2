//! How much of an area has declared a month complete. A function of the list, the deadlines and what is in the logs: no clock of anybody who
//! asks is in it.

use std::collections::{HashMap, HashSet};

use danso_proto::ids::UnitCode;

use super::{Closing, Deadlines, is_by};
use crate::calendar::Month;
use crate::tier::TierPolicy;
use crate::units::{Unit, UnitList};

/// The statements about some months, one a unit and month.
#[derive(Debug, Clone, Default)]
pub struct Closings(HashMap<Month, HashMap<UnitCode, i64>>);

impl FromIterator<Closing> for Closings {
    fn from_iter<T: IntoIterator<Item = Closing>>(closings: T) -> Self {
        let mut all = Self::default();
        for Closing { unit, month, recorded_at_ms } in closings {
            all.0.entry(month).or_default().insert(unit, recorded_at_ms);
        }
        all
    }
}

impl Closings {
    /// When a unit's month was closed, by its author's clock.
    pub fn closed_at(&self, unit: &UnitCode, month: Month) -> Option<i64> {
        self.0.get(&month)?.get(unit).copied()
    }
}

/// How complete a month is in an area. Those of disjoint areas add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// The month.
    pub month: Month,
    /// Units of the list that people live in.
    pub units: u64,
    /// Of those, units that some log speaks about.
    pub reporting: u64,
    /// Units whose month was declared complete.
    pub closed: u64,
    /// Of those, by the deadline; none where nobody judges.
    pub on_time: u64,
    /// Residents of all units, at the end of the last month asked about.
    pub residents: i64,
    /// Residents of the units that closed the month.
    pub residents_closed: i64,
}

impl Coverage {
    /// Adds that of another area.
    pub fn add(&mut self, other: &Self) {
        let sum = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        sum(&mut self.units, other.units);
        sum(&mut self.reporting, other.reporting);
        sum(&mut self.closed, other.closed);
        sum(&mut self.on_time, other.on_time);
        self.residents = self.residents.saturating_add(other.residents);
        self.residents_closed = self.residents_closed.saturating_add(other.residents_closed);
    }
}

/// The coverage of each of some months, for those of `units` (of `list`) that people live in. `spoken`: units that some log speaks about;
/// `residents`: how many live in each.
pub fn coverage<'a>(
    list: &UnitList,
    units: impl Iterator<Item = &'a Unit>,
    months: impl Iterator<Item = Month>,
    deadlines: Option<&Deadlines>,
    (closings, spoken, residents): (&Closings, &HashSet<UnitCode>, &HashMap<UnitCode, i64>),
) -> Vec<Coverage> {
    let homes: Vec<&UnitCode> =
        units.filter(|unit| TierPolicy::of(unit.tier).residents_live_here()).map(|unit| &unit.code).collect();
    let living = |unit: &UnitCode| residents.get(unit).copied().unwrap_or(0);
    let all: i64 = homes.iter().map(|unit| living(unit)).sum();
    let reporting = homes.iter().filter(|unit| spoken.contains(**unit)).count() as u64;
    let of_month = |month| {
        let mut found = Coverage {
            month,
            units: homes.len() as u64,
            reporting,
            closed: 0,
            on_time: 0,
            residents: all,
            residents_closed: 0,
        };
        for unit in &homes {
            let Some(closed_at_ms) = closings.closed_at(unit, month) else { continue };
            found.closed += 1;
            let last_day = deadlines.map(|deadlines| deadlines.last_day(list, unit, month));
            found.on_time += u64::from(last_day.is_some_and(|day| is_by(closed_at_ms, day)));
            found.residents_closed += living(unit);
        }
        found
    };
    months.map(of_month).collect()
}
