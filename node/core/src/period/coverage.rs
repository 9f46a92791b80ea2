//! How much of an area has declared a month complete. A function of the list, the deadlines and what is in the logs: no clock of anybody who
//! asks is in it.

use std::collections::{BTreeMap, HashMap, HashSet};

use danso_proto::ids::UnitCode;

use super::{Closing, Deadline, Deadlines, is_by};
use crate::calendar::{Month, PartialDate};
use crate::tier::TierPolicy;
use crate::units::{Unit, UnitList};

/// The statements about some months, one a unit and month.
#[derive(Debug, Clone, Default)]
pub struct Closings(HashMap<UnitCode, BTreeMap<Month, i64>>);

impl FromIterator<Closing> for Closings {
    fn from_iter<T: IntoIterator<Item = Closing>>(closings: T) -> Self {
        let mut all = Self::default();
        closings.into_iter().for_each(|closing| all.add(closing));
        all
    }
}

impl Closings {
    /// Adds a statement.
    pub fn add(&mut self, Closing { unit, month, recorded_at_ms }: Closing) {
        self.0.entry(unit).or_default().insert(month, recorded_at_ms);
    }

    /// When a unit's month was closed, by its author's clock.
    pub fn closed_at(&self, unit: &UnitCode, month: Month) -> Option<i64> {
        self.0.get(unit)?.get(&month).copied()
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
    let judged = |unit: &UnitCode| deadlines.map(|deadlines| (deadlines, deadlines.rule(list, unit)));
    let homes: Vec<(&UnitCode, Option<(&Deadlines, Deadline)>)> = units
        .filter(|unit| TierPolicy::of(unit.tier).residents_live_here())
        .map(|unit| (&unit.code, judged(&unit.code)))
        .collect();
    let living = |unit: &UnitCode| residents.get(unit).copied().unwrap_or(0);
    let all: i64 = homes.iter().map(|(unit, _)| living(unit)).sum();
    let reporting = homes.iter().filter(|(unit, _)| spoken.contains(*unit)).count() as u64;
    // Ten thousand units have a few rules.
    let mut last_days: HashMap<(Deadline, Month), PartialDate> = HashMap::new();
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
        for (unit, judged) in &homes {
            let Some(closed_at_ms) = closings.closed_at(unit, month) else { continue };
            found.closed += 1;
            if let Some((deadlines, rule)) = judged {
                let last_day = *last_days.entry((*rule, month)).or_insert_with(|| deadlines.last_day_by(*rule, month));
                found.on_time += u64::from(is_by(closed_at_ms, last_day));
            }
            found.residents_closed += living(unit);
        }
        found
    };
    months.map(of_month).collect()
}
