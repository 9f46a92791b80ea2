//! By when a month has to be declared complete: a rule for all, for a tier, or for a unit and all below it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use danso_proto::ids::UnitCode;

use super::days::{DaysOff, working_day_after};
use crate::calendar::{Month, PartialDate, days_in_month};
use crate::tier::Tier;
use crate::units::UnitList;

/// Rules and days off that a node's deadlines may have, each: more than a province has communes.
pub const RULES_MAX: usize = 512;
/// The last day of the following month that a deadline may name: every month has it.
const DAY_MAX: u8 = 28;
/// Working days at most: six weeks.
const WORKING_DAYS_MAX: u8 = 30;

/// A rule: the last day on which a month is closed on time. Its text is what [`Deadline::from_str`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// A day of the month behind it. Where slips are handed in on several days of a month ("days 5, 25": Châu Quang), the first of them that comes when the
    /// month is over decides; of a briefing that takes some days ("days 1-3": the national draft) the last.
    Day(u8),
    /// So many working days after its end: five for a commune by Circular 01/2022.
    WorkingDays(u8),
}

/// The text is no deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a deadline: write \"day 5\", \"days 5, 25\", \"days 1-3\" (days of the next month, 1 to {DAY_MAX}) or \"5 working days\" (1 to {WORKING_DAYS_MAX})"
)]
pub struct DeadlineUnreadable;

impl Deadline {
    fn last_day(self, month: Month, off: &DaysOff) -> PartialDate {
        let end = PartialDate::full(month.year(), month.month(), days_in_month(month));
        let next = month.add_months(1);
        let day = match self {
            Self::Day(day) => PartialDate::full(next.year(), next.month(), day),
            Self::WorkingDays(count) => end.map(|end| working_day_after(end, count, off)),
        };
        // At the end of the calendar there is no next month.
        day.or(end).unwrap_or_else(|_| month_end_of_all())
    }
}

fn month_end_of_all() -> PartialDate {
    crate::calendar::civil_from_unix_ms(i64::MAX, 0)
}

impl FromStr for Deadline {
    type Err = DeadlineUnreadable;
    fn from_str(text: &str) -> Result<Self, DeadlineUnreadable> {
        let number = |text: &str, most: u8| {
            let number: u8 = text.trim().parse().map_err(|_| DeadlineUnreadable)?;
            if (1..=most).contains(&number) { Ok(number) } else { Err(DeadlineUnreadable) }
        };
        let text = text.trim().to_lowercase();
        if let Some(count) = text.strip_suffix("working days").or_else(|| text.strip_suffix("working day")) {
            return number(count, WORKING_DAYS_MAX).map(Self::WorkingDays);
        }
        let days = text.strip_prefix("days ").or_else(|| text.strip_prefix("day ")).ok_or(DeadlineUnreadable)?;
        if let Some((first, last)) = days.split_once('-') {
            let (first, last) = (number(first, DAY_MAX)?, number(last, DAY_MAX)?);
            return if first <= last { Ok(Self::Day(last)) } else { Err(DeadlineUnreadable) };
        }
        let days = days.split(',').map(|day| number(day, DAY_MAX)).collect::<Result<Vec<u8>, _>>()?;
        days.into_iter().min().map(Self::Day).ok_or(DeadlineUnreadable)
    }
}

impl fmt::Display for Deadline {
    /// The one form of each rule that goes over the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => write!(f, "day {day}"),
            Self::WorkingDays(count) => write!(f, "{count} working days"),
        }
    }
}

/// What a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All units that no other rule is for.
    All,
    /// Units of a tier.
    Tier(Tier),
    /// A unit, and the units below it that have no rule of their own or of one nearer.
    Unit(UnitCode),
}

impl FromStr for Scope {
    type Err = danso_proto::ids::IdError;
    /// Empty, a tier's name, or a unit's code.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, Tier::parse(text)) {
            ("", _) => Ok(Self::All),
            (_, Some(tier)) => Ok(Self::Tier(tier)),
            (code, None) => code.parse().map(Self::Unit),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Tier(tier) => tier.fmt(f),
            Self::Unit(code) => code.fmt(f),
        }
    }
}

/// All rules of one who judges, and the days off that are not computed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deadlines {
    rules: BTreeMap<Scope, Deadline>,
    off: DaysOff,
}

impl Deadlines {
    /// What holds where nothing is said: Circular 01/2022.
    pub const DEFAULT: Deadline = Deadline::WorkingDays(5);

    /// Rules, each scope once, and days off, full dates; [`RULES_MAX`] of each are kept.
    pub fn new(rules: impl IntoIterator<Item = (Scope, Deadline)>, off: impl IntoIterator<Item = PartialDate>) -> Self {
        let off = off.into_iter().filter_map(PartialDate::days).take(RULES_MAX).collect();
        Self { rules: rules.into_iter().take(RULES_MAX).collect(), off }
    }

    /// The rules, by scope.
    pub fn rules(&self) -> impl Iterator<Item = (&Scope, Deadline)> {
        self.rules.iter().map(|(scope, deadline)| (scope, *deadline))
    }

    /// The days off, in order.
    pub fn off(&self) -> impl Iterator<Item = PartialDate> {
        self.off.iter().filter_map(|day| PartialDate::from_days(*day).ok())
    }

    /// The rule for a unit of `list`: the nearest on its way up, else that of its tier, else that for all.
    pub fn rule(&self, list: &UnitList, unit: &UnitCode) -> Deadline {
        let mut near = list.ancestors(unit).filter_map(|above| self.rules.get(&Scope::Unit(above.code.clone())));
        let of_tier = || list.get(unit).and_then(|unit| self.rules.get(&Scope::Tier(unit.tier)));
        let rule = near.next().or_else(of_tier).or_else(|| self.rules.get(&Scope::All));
        rule.copied().unwrap_or(Self::DEFAULT)
    }

    /// The last day on which a unit closes `month` on time.
    pub fn last_day(&self, list: &UnitList, unit: &UnitCode, month: Month) -> PartialDate {
        self.last_day_by(self.rule(list, unit), month)
    }

    /// The last day on which `month` is closed on time by a rule. Holidays follow the moon, so that this is worth keeping for all units that a rule is for.
    pub fn last_day_by(&self, rule: Deadline, month: Month) -> PartialDate {
        rule.last_day(month, &self.off)
    }
}
