//! Changes of the cube: collected as a list, because sorting once is cheaper than looking every row up.

use std::collections::HashMap;

use danso_proto::change::Sex;
use danso_proto::ids::UnitCode;

use super::Measure;
use crate::calendar::Month;

/// Names a row of the cube. `Ord` is the canonical order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CubeKey {
    /// Where it is counted.
    pub unit: UnitCode,
    /// When it happened.
    pub month: Month,
    /// When it became known.
    pub recorded: Month,
    /// What is counted.
    pub measure: Measure,
    /// Whose; `None` where no person is counted.
    pub sex: Option<Sex>,
    /// Whose; `None` where no person is counted.
    pub birth_month: Option<Month>,
    /// See [`Measure`].
    pub detail: i64,
    /// The other unit of a move.
    pub other: Option<UnitCode>,
}

/// What is added to rows of the cube: each key once, in canonical order, no zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CubeDelta {
    rows: Vec<(CubeKey, i64)>,
}

impl CubeDelta {
    /// The rows in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&CubeKey, i64)> {
        self.rows.iter().map(|(key, count)| (key, *count))
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl FromIterator<(CubeKey, i64)> for CubeDelta {
    /// Sums up, in any order.
    fn from_iter<T: IntoIterator<Item = (CubeKey, i64)>>(rows: T) -> Self {
        let mut rows: Vec<(CubeKey, i64)> = rows.into_iter().collect();
        rows.sort_unstable();
        rows.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        rows.retain(|(_, count)| *count != 0);
        Self { rows }
    }
}

/// Unit codes as small numbers while a batch is worked on.
#[derive(Debug, Default)]
pub(super) struct UnitTable {
    codes: Vec<UnitCode>,
    index: HashMap<UnitCode, u32>,
    last: u32,
}

impl UnitTable {
    pub(super) fn number(&mut self, code: &UnitCode) -> u32 {
        // Neighbours in a batch are mostly of one unit.
        if self.codes.get(self.last as usize) == Some(code) {
            return self.last;
        }
        self.last = match self.index.get(code) {
            Some(number) => *number,
            None => {
                // A batch is far smaller than 2^32 changes, with two units each at most.
                let number = self.codes.len() as u32;
                self.codes.push(code.clone());
                self.index.insert(code.clone(), number);
                number
            }
        };
        self.last
    }

    pub(super) fn code(&self, number: u32) -> &UnitCode {
        &self.codes[number as usize]
    }

    /// The place of each number in the order of the codes.
    fn ranks(&self) -> Vec<u32> {
        let mut by_code: Vec<u32> = (0..self.codes.len() as u32).collect();
        by_code.sort_unstable_by_key(|number| self.code(*number));
        let mut ranks = vec![0; by_code.len()];
        for (rank, number) in (0..).zip(by_code) {
            ranks[number as usize] = rank;
        }
        ranks
    }
}

/// A row on its way into a delta. `Ord` is the canonical order once the units are ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) unit: u32,
    pub(super) month: Month,
    pub(super) recorded: Month,
    pub(super) measure: Measure,
    pub(super) sex: Option<Sex>,
    pub(super) birth_month: Option<Month>,
    pub(super) detail: i64,
    pub(super) other: Option<u32>,
}

/// Sums rows up.
pub(super) fn fold(mut rows: Vec<(Row, i64)>, units: &UnitTable) -> CubeDelta {
    let ranks = units.ranks();
    let mut by_rank = vec![0u32; ranks.len()];
    for (number, rank) in (0..).zip(&ranks) {
        by_rank[*rank as usize] = number;
    }
    for (row, _) in &mut rows {
        row.unit = ranks[row.unit as usize];
        row.other = row.other.map(|other| ranks[other as usize]);
    }
    rows.sort_unstable_by_key(|(row, _)| *row);
    let code = |rank: u32| units.code(by_rank[rank as usize]).clone();
    let folded = rows.chunk_by(|a, b| a.0 == b.0).filter_map(|same| {
        let count = same.iter().map(|(_, count)| count).sum::<i64>();
        let row = same.first()?.0;
        (count != 0).then(|| {
            let key = CubeKey {
                unit: code(row.unit),
                month: row.month,
                recorded: row.recorded,
                measure: row.measure,
                sex: row.sex,
                birth_month: row.birth_month,
                detail: row.detail,
                other: row.other.map(code),
            };
            (key, count)
        })
    });
    CubeDelta { rows: folded.collect() }
}
