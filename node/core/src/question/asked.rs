//! A question put to one unit list: which units it is about, and what has to be read for it.

use danso_proto::ids::UnitCode;
use danso_proto::refusal::{Reason, Refusal};

use super::age::AgeScale;
use super::{CELLS_MAX, Dimension, Figure, Question, invalid};
use crate::calendar::Month;
use crate::cube::Measure;
use crate::rollup::{FIRST_YEAR, Span};
use crate::units::{Unit, UnitList};

/// A question and the list that its codes belong to. Made by [`Question::on`] only.
#[derive(Clone)]
pub struct Asked<'a> {
    pub(super) question: &'a Question,
    pub(super) list: &'a UnitList,
    pub(super) targets: Vec<&'a Unit>,
    scope: Option<&'a UnitCode>,
}

/// Rows of one measure to read. Where a column is not needed, rows may come summed over it, with nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The measure.
    pub measure: Measure,
    /// The first month of a flow; `None` for a stock, of which all rows up to `last` count.
    pub first: Option<Month>,
    /// Rows of this month and later ones have to be told apart by month. Earlier ones may come summed, under this month.
    pub told_apart_from: Month,
    /// The last month.
    pub last: Month,
    /// Whether sex is needed.
    pub sex: bool,
    /// Whether the birth month is needed.
    pub birth_month: bool,
    /// Whether the detail is needed.
    pub detail: bool,
    /// Whether the other unit is needed.
    pub other: bool,
}

/// Roll-ups to read: of each unit of [`Asked::sources`], or else of each unit in it by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupRead {
    /// The month from whose end on stocks are needed, if they are; not before that of [`Span::Before`].
    stocks: Option<Month>,
    /// The first month of flows, if they are needed.
    flows: Option<Month>,
    last: Month,
}

impl RollupRead {
    /// How many sums there are of a unit, at most.
    pub fn spans(&self) -> usize {
        let months = |from: Month| usize::try_from(self.last - from + 1).unwrap_or(0);
        let years = |from: Month| usize::try_from(from.year() - FIRST_YEAR).unwrap_or(0);
        // Before all years, whole years, and the months of the first year that is not whole.
        let stocks = self.stocks.map_or(0, |from| 1 + years(from) + 11 + months(from));
        stocks + self.flows.map_or(0, months)
    }

    /// What is read, as ranges of [`Span::code`]: whether of stocks, first and last.
    pub fn ranges(&self) -> impl Iterator<Item = (bool, i64, i64)> {
        let last = Span::Month(self.last).code();
        let stocks = self.stocks.into_iter().flat_map(move |from| {
            let january = Span::Month(Month::december(from.year() - 1).add_months(1)).code();
            [(true, Span::Year(from.year() - 1).code(), Span::Before.code()), (true, january, last)]
        });
        stocks.chain(self.flows.map(|from| (false, Span::Month(from).code(), last)))
    }
}

impl Question {
    /// Puts the question to `list`.
    ///
    /// # Errors
    /// `unit_unknown` for a unit that is not in the list; `query_invalid` when no unit of the tier asked for is there;
    /// `too_large` when the answer could have more than [`CELLS_MAX`] cells.
    pub fn on<'a>(&'a self, list: &'a UnitList) -> Result<Asked<'a>, Refusal> {
        let known = |code: &UnitCode| {
            list.get(code).ok_or_else(|| Refusal::new(Reason::UnitUnknown, format!("{code} in {}", list.version())))
        };
        let unit = known(&self.unit)?;
        let within = self.within.as_ref().map(known).transpose()?;
        let targets: Vec<&Unit> = match self.by {
            None => vec![unit],
            Some(tier) => list.at_tier(&self.unit, tier).collect(),
        };
        if let (Some(tier), true) = (self.by, targets.is_empty()) {
            return Err(invalid(format!("{} has no unit of the tier {tier} in {}", self.unit, list.version())));
        }
        let scope = match within {
            None => Some(unit),
            Some(within) if list.is_within(&within.code, &unit.code) => Some(within),
            Some(within) if list.is_within(&unit.code, &within.code) => Some(unit),
            Some(_) => None,
        };
        let asked = Asked { question: self, list, targets, scope: scope.map(|unit| &unit.code) };
        match asked.cells_each().checked_mul(asked.targets.len()) {
            Some(cells) if cells <= CELLS_MAX => Ok(asked),
            _ => Err(Refusal::new(
                Reason::TooLarge,
                format!(
                    "{} units with {} cells each; at most {CELLS_MAX} in all",
                    asked.targets.len(),
                    asked.cells_each()
                ),
            )),
        }
    }
}

impl<'a> Asked<'a> {
    /// The question.
    pub fn question(&self) -> &'a Question {
        self.question
    }

    /// The list that it is put to.
    pub fn list(&self) -> &'a UnitList {
        self.list
    }

    /// The units that the answer tells apart, in the order of the list.
    pub fn targets(&self) -> &[&'a Unit] {
        &self.targets
    }

    /// The unit whose records, with those of the units below it, have to be read; `None`: there is nothing to read.
    pub fn scope(&self) -> Option<&'a UnitCode> {
        self.scope
    }

    /// The units whose records have to be read, by code.
    pub fn units(&self) -> impl Iterator<Item = &'a Unit> {
        let list = self.list;
        self.scope.into_iter().flat_map(move |scope| list.subtree(scope))
    }

    /// The units whose roll-ups make the answer: no two of them have a record in common.
    pub fn sources(&self) -> Vec<&'a Unit> {
        let Some(scope) = self.scope else { return Vec::new() };
        let inside = self.targets.iter().filter(|target| self.list.is_within(&target.code, scope)).copied();
        match self.targets.iter().any(|target| self.list.is_within(scope, &target.code)) {
            true => self.list.get(scope).into_iter().collect(),
            false => inside.collect(),
        }
    }

    /// Which roll-ups have to be read; `None` where they do not tell the time apart that is asked about.
    pub fn rollups(&self) -> Option<RollupRead> {
        let plan = self.plan();
        let first = |stock| plan.iter().filter(move |read| read.measure.is_stock() == stock);
        let stocks = first(true).map(|read| read.told_apart_from).min();
        let flows = first(false).filter_map(|read| read.first).min();
        let is_told_apart = stocks.is_none_or(|from| from >= Span::Before.last());
        is_told_apart.then_some(RollupRead { stocks, flows, last: self.question.to })
    }

    /// What has to be read, by measure.
    pub fn plan(&self) -> Vec<Read> {
        let q = self.question;
        let read = |measure: Measure| {
            let of_measure = || q.figures.iter().filter(move |figure| figure.measure() == measure);
            of_measure().next()?;
            let ages = of_measure().any(|figure| figure.ages().is_some() || self.ages(*figure) != AgeScale::Whole);
            let mother = q.figures.contains(&Figure::BirthsMotherUnder20) && measure == Measure::Births;
            let told_apart_from = match (measure.is_stock(), q.has(Dimension::Month)) {
                (true, true) => q.from,
                (true, false) => q.to,
                // An event's age needs its month.
                (false, months) if months || ages || mother => q.from,
                (false, _) => q.to,
            };
            Some(Read {
                measure,
                first: (!measure.is_stock()).then_some(q.from),
                told_apart_from,
                last: q.to,
                sex: of_measure()
                    .any(|figure| figure.only_sex().is_some() || (figure.has_sex() && q.has(Dimension::Sex))),
                birth_month: ages,
                detail: of_measure().any(|figure| figure.needs_detail()),
                other: matches!(measure, Measure::Arrivals | Measure::Departures),
            })
        };
        Measure::ALL.into_iter().filter_map(read).collect()
    }

    /// Months that a figure's cells are told apart by.
    pub fn months(&self) -> usize {
        if self.question.has(Dimension::Month) {
            (self.question.to - self.question.from).unsigned_abs() as usize + 1
        } else {
            1
        }
    }

    /// Sexes that a figure's cells are told apart by.
    pub(super) fn sexes(&self, figure: Figure) -> usize {
        if figure.has_sex() && self.question.has(Dimension::Sex) { 2 } else { 1 }
    }

    /// How a figure's cells are told apart by age.
    pub(super) fn ages(&self, figure: Figure) -> AgeScale {
        match figure.has_age_group() {
            true if self.question.has(Dimension::Age) => AgeScale::Years,
            true if self.question.has(Dimension::AgeGroup) => AgeScale::Fives,
            _ => AgeScale::Whole,
        }
    }

    /// Cells of one unit, if none were empty: at most 20 figures, 600 months, 2 sexes, 101 ages. [`Self::evaluate`] takes 8 bytes for each,
    /// in every target of which it is given rows.
    pub fn cells_each(&self) -> usize {
        self.question.figures.iter().map(|figure| self.months() * self.sexes(*figure) * self.ages(*figure).len()).sum()
    }
}
