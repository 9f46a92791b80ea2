//! From rows of the cube to cells.

use std::collections::HashMap;

use danso_proto::change::Sex;
use danso_proto::ids::UnitCode;

use super::age::full_years;
use super::figure::{Class, Traits};
use super::{AgeGroup, Asked, Dimension, Figure};
use crate::calendar::Month;
use crate::cube::Measure;

/// A row of the cube, summed over when it became known. See [`super::Read`] for what may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Stock rows that count alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Alike {
    target: usize,
    measure: Measure,
    sex: Option<Sex>,
    birth_month: Option<Month>,
    class: Class,
}

impl Asked<'_> {
    /// The cells that `rows` give, in canonical order, without zeros. Rows that do not belong to the question are passed over; their
    /// order does not matter.
    pub fn evaluate(&self, rows: impl IntoIterator<Item = CubeRow>) -> Vec<Cell> {
        let mut grid = Grid::new(self);
        let mut stocks: HashMap<Alike, Vec<i64>> = HashMap::new();
        let mut last: Option<(UnitCode, Option<usize>)> = None;
        for row in rows {
            if row.month > self.question.to {
                continue;
            }
            let target = match &last {
                Some((unit, target)) if *unit == row.unit => *target,
                _ => {
                    let target = self.target(&row.unit);
                    last = Some((row.unit.clone(), target));
                    target
                }
            };
            let Some(target) = target else { continue };
            if row.measure.is_stock() {
                let class =
                    if row.measure == Measure::Residents { Class::of_resident(row.detail) } else { Class::default() };
                let alike = Alike { target, measure: row.measure, sex: row.sex, birth_month: row.birth_month, class };
                let steps = stocks.entry(alike).or_insert_with(|| vec![0; self.months()]);
                steps[self.month_place(row.month)] += row.count;
            } else if row.month >= self.question.from {
                self.flow(&mut grid, target, &row);
            }
        }
        for (alike, steps) in stocks {
            self.stock(&mut grid, alike, &steps);
        }
        grid.cells()
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

    fn flow(&self, grid: &mut Grid<'_>, target: usize, row: &CubeRow) {
        if let Some(other) = &row.other
            && self.list.is_within(other, &self.targets[target].code)
        {
            return;
        }
        let age = row.birth_month.and_then(|birth| full_years(birth, row.month));
        let traits = Traits { sex: row.sex, age, class: Class::default() };
        let of_row = |figure: &Figure| figure.measure() == row.measure && figure.counts(traits);
        let birth = |figure: &Figure| {
            row.measure != Measure::Births || figure.counts_birth(row.detail, |mother| full_years(mother, row.month))
        };
        for (place, figure) in self.question.figures.iter().enumerate() {
            if of_row(figure) && birth(figure) {
                grid.add(target, place, self.month_place(row.month), traits, row.count);
            }
        }
    }

    fn stock(&self, grid: &mut Grid<'_>, alike: Alike, steps: &[i64]) {
        let mut value = 0;
        let first = if self.question.has(Dimension::Month) { self.question.from } else { self.question.to };
        for (place, (month, step)) in first.through(self.question.to).zip(steps).enumerate() {
            value += step;
            if value == 0 {
                continue;
            }
            let age = alike.birth_month.and_then(|birth| full_years(birth, month));
            let traits = Traits { sex: alike.sex, age, class: alike.class };
            for (at, figure) in self.question.figures.iter().enumerate() {
                if figure.measure() == alike.measure && figure.counts(traits) {
                    grid.add(alike.target, at, place, traits, value);
                }
            }
        }
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
            end += asked.months() * asked.sexes(*figure) * asked.age_groups(*figure);
            start
        };
        let offsets = asked.question.figures.iter().map(offset).collect();
        let cells_each = asked.cells_each();
        // Who gives the rows gives those of few units at a time when a unit has many cells.
        Self { asked, offsets, cells_each, values: vec![Vec::new(); asked.targets.len()] }
    }

    fn add(&mut self, target: usize, figure_place: usize, month_place: usize, traits: Traits, count: i64) {
        let figure = self.asked.question.figures[figure_place];
        let (sexes, groups) = (self.asked.sexes(figure), self.asked.age_groups(figure));
        let sex = match traits.sex {
            _ if sexes == 1 => 0,
            Some(Sex::Male) => 0,
            Some(Sex::Female) => 1,
            // A person's row without a sex is no row of the cube.
            None => return,
        };
        let group = match traits.age {
            _ if groups == 1 => 0,
            Some(age) => AgeGroup::of(age).index(),
            None => return,
        };
        let values = &mut self.values[target];
        if values.is_empty() {
            values.resize(self.cells_each, 0);
        }
        let value = &mut values[self.offsets[figure_place] + (month_place * sexes + sex) * groups + group];
        *value = value.saturating_add(count);
    }

    fn cells(self) -> Vec<Cell> {
        let question = self.asked.question;
        let mut cells = Vec::new();
        for (target, values) in self.asked.targets.iter().zip(&self.values).filter(|(_, values)| !values.is_empty()) {
            let mut values = values.iter().copied();
            for figure in &question.figures {
                let (sexes, groups) = (self.asked.sexes(*figure), self.asked.age_groups(*figure));
                for month in question.from.through(question.to).take(self.asked.months()) {
                    for sex in [Sex::Male, Sex::Female].into_iter().take(sexes) {
                        for group in AgeGroup::all().take(groups) {
                            let Some(value) = values.next().filter(|value| *value != 0) else { continue };
                            cells.push(Cell {
                                unit: target.code.clone(),
                                figure: *figure,
                                month: question.has(Dimension::Month).then_some(month),
                                sex: (sexes > 1).then_some(sex),
                                age_group: (groups > 1).then_some(group),
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
