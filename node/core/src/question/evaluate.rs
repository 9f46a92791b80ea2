//! From rows of the cube to cells.

use std::collections::HashMap;

use danso_proto::change::Sex;
use danso_proto::ids::UnitCode;

use super::age::full_years;
use super::figure::{Class, Traits};
use super::{AgeGroup, Asked, Dimension, Figure};
use crate::calendar::Month;
use crate::cube::{CubeKey, Measure};
use crate::rollup::{Run, Span, Sums};

/// A row of the cube, summed over when it became known. See [`super::Read`] for what may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CubeRow {
    /// Where it is counted.
    pub unit: UnitCode,
    /// When it happened.
    pub month: Month,
    /// What is counted.
    pub measure: Measure,
    /// Whose.
    pub sex: Option<Sex>,
    /// Whose.
    pub birth_month: Option<Month>,
    /// See [`Measure`].
    pub detail: i64,
    /// The other unit of a move.
    pub other: Option<UnitCode>,
    /// How many.
    pub count: i64,
}

impl From<(&CubeKey, i64)> for CubeRow {
    fn from((key, count): (&CubeKey, i64)) -> Self {
        Self {
            unit: key.unit.clone(),
            month: key.month,
            measure: key.measure,
            sex: key.sex,
            birth_month: key.birth_month,
            detail: key.detail,
            other: key.other.clone(),
            count,
        }
    }
}

/// One figure. A dimension that was not asked for, or that the figure does not have, is `None`. `Ord` is the canonical order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The unit.
    pub unit: UnitCode,
    /// What is counted.
    pub figure: Figure,
    /// The month.
    pub month: Option<Month>,
    /// The sex.
    pub sex: Option<Sex>,
    /// The age group.
    pub age_group: Option<AgeGroup>,
    /// How many.
    pub value: i64,
}

/// Adds up cells of answers to one question for disjoint parts ([`super::Question::restricted_to`]): the answer for the whole.
pub fn add_up(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.sort_unstable();
    cells.dedup_by(|next, kept| {
        let same = (&next.unit, next.figure, next.month, next.sex, next.age_group)
            == (&kept.unit, kept.figure, kept.month, kept.sex, kept.age_group);
        if same {
            kept.value = kept.value.saturating_add(next.value);
        }
        same
    });
    cells.retain(|cell| cell.value != 0);
    cells
}

/// Steps of a stock that count alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Alike {
    target: usize,
    measure: Measure,
    sex: Option<Sex>,
    class: Class,
}

/// Steps by month of birth.
type Steps = Vec<(Option<Month>, i64)>;

/// What has been given of what an answer is made from.
pub struct Tally<'a> {
    asked: &'a Asked<'a>,
    grid: Grid<'a>,
    /// By place of the month.
    stocks: HashMap<Alike, Vec<Steps>>,
    /// The last unit, and its target.
    last: Option<(UnitCode, Option<usize>)>,
    len: usize,
}

impl<'a> Tally<'a> {
    /// Adds a row of the cube.
    pub fn row(&mut self, row: &CubeRow) {
        let run = Run { measure: row.measure, sex: row.sex, detail: row.detail, other: row.other.clone() };
        self.run(&row.unit, row.month, &run, &[(row.birth_month, row.count)]);
    }

    /// Adds a sum. Its `unit` is one of the targets or lies in one, and no other sum that is given counts the same.
    pub fn sums(&mut self, unit: &UnitCode, span: Span, sums: &Sums) {
        sums.runs().for_each(|(run, births)| self.run(unit, span.last(), run, births));
    }

    /// How many counts it holds, each some 24 bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The cells, in canonical order, without zeros.
    pub fn cells(mut self) -> Vec<Cell> {
        for (alike, steps) in std::mem::take(&mut self.stocks) {
            self.stock(alike, &steps);
        }
        self.grid.cells()
    }

    fn run(&mut self, unit: &UnitCode, month: Month, run: &Run, births: &[(Option<Month>, i64)]) {
        let asked = self.asked;
        if month > asked.question.to {
            return;
        }
        let target = match &self.last {
            Some((last, target)) if last == unit => *target,
            _ => {
                let target = asked.target(unit);
                self.last = Some((unit.clone(), target));
                target
            }
        };
        let Some(target) = target else { return };
        self.len += births.len();
        if run.measure.is_stock() {
            let class = match run.measure {
                Measure::Residents => Class::of_resident(run.detail),
                _ => Class::default(),
            };
            let alike = Alike { target, measure: run.measure, sex: run.sex, class };
            let steps = self.stocks.entry(alike).or_insert_with(|| vec![Vec::new(); asked.months()]);
            steps[asked.month_place(month)].extend_from_slice(births);
        } else if month >= asked.question.from {
            self.flow(target, month, run, births);
        }
    }

    fn flow(&mut self, target: usize, month: Month, run: &Run, births: &[(Option<Month>, i64)]) {
        let asked = self.asked;
        if let Some(other) = &run.other
            && asked.list.is_within(other, &asked.targets[target].code)
        {
            return;
        }
        for (place, figure) in asked.figures_of(run.measure) {
            let mother_age = |mother| full_years(mother, month);
            if run.measure == Measure::Births && !figure.counts_birth(run.detail, mother_age) {
                continue;
            }
            for (birth, count) in births {
                let age = birth.and_then(|birth| full_years(birth, month));
                let traits = Traits { sex: run.sex, age, class: Class::default() };
                if figure.counts(traits) {
                    self.grid.add(target, place, asked.month_place(month), traits, *count);
                }
            }
        }
    }

    /// Goes through the months with those who are there, by month of birth, and counts them by age.
    fn stock(&mut self, alike: Alike, steps: &[Steps]) {
        let asked = self.asked;
        let births = || steps.iter().flatten().filter_map(|(birth, _)| *birth);
        let (first_birth, last_birth) = (births().min(), births().max());
        let span = first_birth.zip(last_birth).map_or(0, |(first, last)| (last - first).unsigned_abs() as usize + 1);
        let (mut there, mut unknown) = (vec![0i64; span], 0);
        let mut ages: Vec<i64> = Vec::new();
        let first = if asked.question.has(Dimension::Month) { asked.question.from } else { asked.question.to };
        for (place, (month, steps)) in first.through(asked.question.to).zip(steps).enumerate() {
            for (birth, step) in steps {
                match birth.zip(first_birth) {
                    Some((birth, first)) => there[(birth - first).unsigned_abs() as usize] += step,
                    None => unknown += step,
                }
            }
            ages.clear();
            let mut ageless = unknown;
            for (birth, count) in first_birth.into_iter().flat_map(|first| first.through(Month::MAX)).zip(&there) {
                // Who is there before birth has no age.
                match full_years(birth, month).map(|years| years as usize) {
                    Some(years) => {
                        if ages.len() <= years {
                            ages.resize(years + 1, 0);
                        }
                        ages[years] += count;
                    }
                    None => ageless += count,
                }
            }
            let aged = (0u32..).map(Some).zip(ages.iter().copied());
            for (age, count) in aged.chain([(None, ageless)]).filter(|(_, count)| *count != 0) {
                let traits = Traits { sex: alike.sex, age, class: alike.class };
                for (at, figure) in asked.figures_of(alike.measure) {
                    if figure.counts(traits) {
                        self.grid.add(alike.target, at, place, traits, count);
                    }
                }
            }
        }
    }
}

impl<'a> Asked<'a> {
    /// An empty tally.
    pub fn tally(&'a self) -> Tally<'a> {
        Tally { asked: self, grid: Grid::new(self), stocks: HashMap::new(), last: None, len: 0 }
    }

    /// The cells that `rows` give, in canonical order, without zeros. Rows that do not belong to the question are passed over; their
    /// order does not matter.
    pub fn evaluate(&self, rows: impl IntoIterator<Item = CubeRow>) -> Vec<Cell> {
        let mut tally = self.tally();
        rows.into_iter().for_each(|row| tally.row(&row));
        tally.cells()
    }

    /// The figures that are made from a measure, with their places among those asked for.
    fn figures_of(&self, measure: Measure) -> impl Iterator<Item = (usize, Figure)> + use<'a> {
        let figures = self.question.figures.iter().copied().enumerate();
        figures.filter(move |(_, figure)| figure.measure() == measure)
    }

    /// The place of the unit whose answer a row about `unit` belongs to.
    fn target(&self, unit: &UnitCode) -> Option<usize> {
        if !self.list.is_within(unit, self.scope()?) {
            return None;
        }
        // Units of one tier are disjoint.
        let code = match self.question.by {
            None => &self.question.unit,
            Some(tier) => &self.list.ancestor_at(unit, tier)?.code,
        };
        self.targets.binary_search_by(|target| target.code.cmp(code)).ok()
    }

    /// The place of a month among those that cells are told apart by; what is earlier counts from the first on.
    fn month_place(&self, month: Month) -> usize {
        if self.question.has(Dimension::Month) { usize::try_from(month - self.question.from).unwrap_or(0) } else { 0 }
    }
}

/// All cells of an answer, empty ones too, in canonical order.
struct Grid<'a> {
    asked: &'a Asked<'a>,
    /// By place of the figure: where its cells begin among those of a unit.
    offsets: Vec<usize>,
    cells_each: usize,
    /// By place of the unit; empty until something is counted there.
    values: Vec<Vec<i64>>,
}

impl<'a> Grid<'a> {
    fn new(asked: &'a Asked<'a>) -> Self {
        let mut end = 0;
        let offset = |figure: &Figure| {
            let start = end;
            end += asked.months() * asked.sexes(*figure) * asked.ages(*figure).len();
            start
        };
        let offsets = asked.question.figures.iter().map(offset).collect();
        let cells_each = asked.cells_each();
        // Who gives the rows gives those of few units at a time when a unit has many cells.
        Self { asked, offsets, cells_each, values: vec![Vec::new(); asked.targets.len()] }
    }

    fn add(&mut self, target: usize, figure_place: usize, month_place: usize, traits: Traits, count: i64) {
        let figure = self.asked.question.figures[figure_place];
        let (sexes, ages) = (self.asked.sexes(figure), self.asked.ages(figure));
        let sex = match traits.sex {
            _ if sexes == 1 => 0,
            Some(Sex::Male) => 0,
            Some(Sex::Female) => 1,
            // A person's row without a sex is no row of the cube.
            None => return,
        };
        let Some(age) = ages.place(traits.age) else { return };
        let values = &mut self.values[target];
        if values.is_empty() {
            values.resize(self.cells_each, 0);
        }
        let value = &mut values[self.offsets[figure_place] + (month_place * sexes + sex) * ages.len() + age];
        *value = value.saturating_add(count);
    }

    fn cells(self) -> Vec<Cell> {
        let question = self.asked.question;
        let mut cells = Vec::new();
        for (target, values) in self.asked.targets.iter().zip(&self.values).filter(|(_, values)| !values.is_empty()) {
            let mut values = values.iter().copied();
            for figure in &question.figures {
                let (sexes, ages) = (self.asked.sexes(*figure), self.asked.ages(*figure));
                for month in question.from.through(question.to).take(self.asked.months()) {
                    for sex in [Sex::Male, Sex::Female].into_iter().take(sexes) {
                        for age_group in ages.groups() {
                            let Some(value) = values.next().filter(|value| *value != 0) else { continue };
                            cells.push(Cell {
                                unit: target.code.clone(),
                                figure: *figure,
                                month: question.has(Dimension::Month).then_some(month),
                                sex: (sexes > 1).then_some(sex),
                                age_group,
                                value,
                            });
                        }
                    }
                }
            }
        }
        cells
    }
}
