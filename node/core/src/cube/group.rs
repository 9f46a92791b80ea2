//! Rows of the cube as they are kept: those of a unit, a measure and a time together, some bytes each. As rows of a table they were what a database did
//! most of for a change.
//!
//! What is kept is a function of the rows, so that any order of arrival makes the same bytes.

use danso_proto::change::Sex;
use danso_proto::ids::UnitCode;

use super::{CubeDelta, CubeKey, Measure};
use crate::calendar::Month;
use crate::register::{StoredError, from_bytes, sex_code, sex_from, to_bytes};

/// From this year on the rows of each month are kept together, before that those of each year: a household book spreads its people over all years of their
/// births, and what comes after it changes some months.
const BY_MONTH_FROM: i32 = 2020;

/// Which rows are kept together. `Ord` is the order in which groups are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CubeGroup {
    /// Where it is counted.
    pub unit: UnitCode,
    /// What is counted.
    pub measure: Measure,
    /// The first month of those that are kept together.
    pub first: Month,
}

impl CubeGroup {
    /// The group that a row belongs to.
    pub fn of(key: &CubeKey) -> Self {
        Self { unit: key.unit.clone(), measure: key.measure, first: Self::first(key.month) }
    }

    /// The first month of those that this one is kept together with.
    pub fn first(month: Month) -> Month {
        match month.year() < BY_MONTH_FROM {
            true => Month::december(month.year()).add_months(-11),
            false => month,
        }
    }
}

/// What tells the rows of a group apart. `Ord` is the order in which they are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    month: Month,
    recorded: Month,
    sex: Option<Sex>,
    birth_month: Option<Month>,
    detail: i64,
    other: Option<UnitCode>,
}

/// The rows of one group, each once, in order, no zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRows {
    rows: Vec<(Cell, i64)>,
}

/// As stored, all months counted from the group's first: month, month of record, sex (0 none, 1 male, 2 female), month of birth, detail, other unit,
/// count.
type Stored<Code> = (u8, i32, u8, Option<i32>, i64, Option<Code>, i64);

impl GroupRows {
    /// Adds all of another list.
    pub fn add(&mut self, other: Self) {
        self.rows = merged(std::mem::take(&mut self.rows), other.rows);
    }

    /// Whether nothing is left: then it is not kept.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as the rows of a cube, in their order.
    pub fn of<'a>(&'a self, group: &'a CubeGroup) -> impl ExactSizeIterator<Item = (CubeKey, i64)> + 'a {
        self.rows.iter().map(|(cell, count)| {
            let key = CubeKey {
                unit: group.unit.clone(),
                month: cell.month,
                recorded: cell.recorded,
                measure: group.measure,
                sex: cell.sex,
                birth_month: cell.birth_month,
                detail: cell.detail,
                other: cell.other.clone(),
            };
            (key, *count)
        })
    }

    /// The counts of the rows, summed up.
    pub fn total(&self) -> i64 {
        self.rows.iter().map(|(_, count)| count).sum()
    }

    /// As stored.
    pub fn to_bytes(&self, first: Month) -> Vec<u8> {
        to_bytes::<Vec<Stored<&str>>>(&self.rows.iter().map(|(cell, count)| stored(first, cell, *count)).collect())
    }

    /// From what is stored.
    ///
    /// # Errors
    /// When another version wrote it, or it is not what was written.
    pub fn from_bytes(first: Month, bytes: &[u8]) -> Result<Self, StoredError> {
        let stored: Vec<Stored<String>> = from_bytes(bytes)?;
        let broken = StoredError::Broken;
        let month = |later: i32| {
            let index = first.index().checked_add(later).ok_or(broken)?;
            Month::from_index(index).map_err(|_| broken)
        };
        let row = |(at, recorded, sex, birth, detail, other, count): Stored<String>| {
            let cell = Cell {
                month: month(at.into())?,
                recorded: month(recorded)?,
                sex: sex_from(sex)?,
                birth_month: birth.map(month).transpose()?,
                detail,
                other: other.map(|code| code.parse()).transpose().map_err(|_| broken)?,
            };
            if count == 0 || CubeGroup::first(cell.month) != first { Err(broken) } else { Ok((cell, count)) }
        };
        let rows = stored.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        let sorted = rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if sorted { Ok(Self { rows }) } else { Err(broken) }
    }
}

impl CubeDelta {
    /// The rows by the groups that they are kept in, in the order of the groups.
    pub fn groups(&self) -> Vec<(CubeGroup, GroupRows)> {
        let mut rows: Vec<(&CubeKey, i64)> = self.iter().collect();
        let group = |key: &CubeKey| (key.measure, CubeGroup::first(key.month));
        // Within a group the canonical order is the order of its rows, and sorting leaves it.
        rows.sort_by(|(a, _), (b, _)| a.unit.cmp(&b.unit).then_with(|| group(a).cmp(&group(b))));
        let same = |(a, _): &(&CubeKey, i64), (b, _): &(&CubeKey, i64)| a.unit == b.unit && group(a) == group(b);
        let groups = rows.chunk_by(same).filter_map(|rows| {
            let (key, _) = rows.first()?;
            Some((
                CubeGroup::of(key),
                GroupRows { rows: rows.iter().map(|(key, count)| (cell(key), *count)).collect() },
            ))
        });
        groups.collect()
    }
}

fn stored(first: Month, cell: &Cell, count: i64) -> Stored<&str> {
    // A group is a year at most.
    let month = (cell.month - first) as u8;
    let birth = cell.birth_month.map(|birth| birth - first);
    (
        month,
        cell.recorded - first,
        sex_code(cell.sex),
        birth,
        cell.detail,
        cell.other.as_ref().map(UnitCode::as_str),
        count,
    )
}

fn cell(key: &CubeKey) -> Cell {
    Cell {
        month: key.month,
        recorded: key.recorded,
        sex: key.sex,
        birth_month: key.birth_month,
        detail: key.detail,
        other: key.other.clone(),
    }
}

/// Two sorted lists as one, without what comes to nothing.
pub(crate) fn merged<K: Ord>(a: Vec<(K, i64)>, b: Vec<(K, i64)>) -> Vec<(K, i64)> {
    let mut sum = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let Some(next) = match (a.peek(), b.peek()) {
        (Some((left, _)), Some((right, _))) if left == right => {
            a.next().zip(b.next()).map(|((key, x), (_, y))| (key, x + y))
        }
        (Some((left, _)), Some((right, _))) if left > right => b.next(),
        (Some(_), _) => a.next(),
        (None, _) => b.next(),
    } {
        if next.1 != 0 {
            sum.push(next);
        }
    }
    sum
}
