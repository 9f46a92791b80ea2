//! Which sums a row of the cube belongs into, and what is left of it there.

use std::collections::BTreeMap;

use danso_proto::change::{MaritalStatus, Method, Sex};
use danso_proto::ids::UnitCode;

use super::{FIRST_YEAR, RollupKey, Run, Span, Sums};
use crate::calendar::Month;
use crate::cube::{BirthDetail, CubeDelta, CubeKey, Measure, ResidentDetail};
use crate::units::UnitList;

/// What to add to which sums: of single units, and of the units above by each of the `lists`.
pub fn spread(delta: &CubeDelta, lists: &[&UnitList]) -> BTreeMap<RollupKey, Sums> {
    let rows: Vec<(&CubeKey, i64)> = delta.iter().collect();
    let mut all = BTreeMap::new();
    for rows in rows.chunk_by(|(a, _), (b, _)| a.unit == b.unit) {
        let Some((first, _)) = rows.first() else { continue };
        let single = of_unit(rows);
        for list in lists {
            let above = Above::new(list, &first.unit);
            single.iter().for_each(|((stock, span), sums)| above.add(*stock, *span, sums, &mut all));
        }
        all.extend(single.into_iter().map(|((stock, span), sums)| {
            (RollupKey { list: Box::default(), unit: first.unit.clone(), stock, span }, sums)
        }));
    }
    all.retain(|_, sums| !sums.is_empty());
    all
}

/// Adds the sum of a single unit to the sums of the units above it by a list, as `all` collects them.
pub fn raise(list: &UnitList, key: &RollupKey, sums: &Sums, all: &mut BTreeMap<RollupKey, Sums>) {
    Above::new(list, &key.unit).add(key.stock, key.span, sums, all);
}

/// The sums of rows about one unit.
fn of_unit(rows: &[(&CubeKey, i64)]) -> BTreeMap<(bool, Span), Sums> {
    let mut items = Vec::with_capacity(rows.len() * 2);
    for (key, count) in rows {
        let stock = key.measure.is_stock();
        let (birth, detail) = told_apart(key);
        let mut add = |span| items.push((stock, span, key.measure, key.sex, detail, key.other.as_ref(), birth, *count));
        match (stock, key.month.year()) {
            (true, year) if year < FIRST_YEAR => add(Span::Before),
            (true, year) => {
                add(Span::Year(year));
                add(Span::Month(key.month));
            }
            (false, _) => add(Span::Month(key.month)),
        }
    }
    items.sort_unstable();
    let mut all: BTreeMap<(bool, Span), Sums> = BTreeMap::new();
    for alike in items.chunk_by(|a, b| (a.0, a.1, a.2, a.3, a.4, a.5) == (b.0, b.1, b.2, b.3, b.4, b.5)) {
        let Some((stock, span, measure, sex, detail, other, ..)) = alike.first().copied() else { continue };
        let births = alike.chunk_by(|a, b| a.6 == b.6).filter_map(|same| {
            let count = same.iter().map(|item| item.7).sum::<i64>();
            same.first().filter(|_| count != 0).map(|item| (item.6, count))
        });
        let run = Run { measure, sex, detail, other: other.cloned() };
        all.entry((stock, span)).or_default().add(run, births.collect());
    }
    all.retain(|_, sums| !sums.is_empty());
    all
}

/// What figures tell rows of a measure apart by: month of birth, and detail. Every figure comes out the same as from the row itself
/// (`question::tests`).
fn told_apart(key: &CubeKey) -> (Option<Month>, i64) {
    // So long before that the full years are the same.
    let aged = |birth: Option<Month>| {
        let years = birth.map(|birth| (key.month - birth).div_euclid(12)).filter(|years| *years >= 0);
        years.map(|years| key.month.add_months(-12 * years))
    };
    match key.measure {
        Measure::Residents => (key.birth_month, of_resident(key)),
        Measure::Households => (None, 0),
        // A newborn's age says nothing.
        Measure::Births => (None, of_birth(key)),
        Measure::Deaths
        | Measure::Marriages
        | Measure::Divorces
        | Measure::Arrivals
        | Measure::Departures
        | Measure::ContraceptionStarts => (aged(key.birth_month), 0),
    }
}

/// Of married women: whether a method is used, and whether it is a modern one.
fn of_resident(key: &CubeKey) -> i64 {
    let ResidentDetail { marital, method } = ResidentDetail::unpack(key.detail);
    if key.sex != Some(Sex::Female) || marital != Some(MaritalStatus::Married) {
        return 0;
    }
    let method = method.filter(|method| *method != Method::None);
    let method = method.map(|method| if method.is_modern() { Method::Iud } else { Method::Other });
    ResidentDetail { marital, method }.pack()
}

/// Whether it is a third child or a later one; the mother's month of birth where she was not 20 yet.
fn of_birth(key: &CubeKey) -> i64 {
    let BirthDetail { order, mother } = BirthDetail::unpack(key.detail);
    let mother = mother.filter(|mother| (0..240).contains(&(key.month - *mother)));
    BirthDetail { order: if order >= 3 { 3 } else { 0 }, mother }.pack()
}

/// A unit's way up in a list.
struct Above<'a> {
    list: &'a UnitList,
    /// From the unit itself to the root, if the list has the unit.
    way: Vec<&'a UnitCode>,
    /// Whether the sum of the unit itself is needed: what has no unit below it is a single unit's sum already.
    itself: bool,
}

impl<'a> Above<'a> {
    fn new(list: &'a UnitList, unit: &UnitCode) -> Self {
        let way = list.ancestors(unit).map(|unit| &unit.code).collect();
        Self { list, way, itself: list.children(unit).next().is_some() }
    }

    fn add(&self, stock: bool, span: Span, sums: &Sums, all: &mut BTreeMap<RollupKey, Sums>) {
        for (run, births) in sums.runs() {
            // Where both sides of a move meet: below that it leaves the unit, from there on it stays inside.
            let meet = run
                .other
                .as_ref()
                .and_then(|other| self.way.iter().position(|above| self.list.is_within(other, above)));
            let leaves = meet.unwrap_or(self.way.len());
            let other = meet.map(|meet| self.way[meet].clone());
            for unit in self.way.iter().take(leaves).skip(usize::from(!self.itself)) {
                let key = RollupKey { list: self.list.version().into(), unit: (*unit).clone(), stock, span };
                let run = Run { other: other.clone(), ..run.clone() };
                all.entry(key).or_default().add(run, births.to_vec());
            }
        }
    }
}
