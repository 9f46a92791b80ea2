//! How much each of some changes contributed to one figure.

use std::collections::BTreeMap;

use super::{Asked, CubeRow};
use crate::cube::{CubeDelta, Redo};
use crate::register::RegisterChange;

/// What changes that belong together contributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contribution {
    /// Changes that contributed something.
    pub changes: u64,
    /// What those that raised the figure added.
    pub added: i64,
    /// What those that lowered it took away, as a positive number.
    pub removed: i64,
}

impl Contribution {
    /// Both together.
    pub fn net(&self) -> i64 {
        self.added - self.removed
    }
}

impl Asked<'_> {
    /// What rows that are added to the cube add to all cells of the answer.
    fn worth(&self, delta: &CubeDelta) -> i64 {
        self.evaluate(delta.iter().map(CubeRow::from)).iter().map(|cell| cell.value).sum()
    }
}

/// Puts the changes in, one after the other, and gives what those that go by one name contributed to the figure; who contributed nothing is left out. What they contributed
/// is the difference that they make together; how it is shared among changes of one person depends on the order.
pub fn contributions<Name: Ord>(
    asked: &Asked<'_>,
    mut redo: Redo,
    changes: impl IntoIterator<Item = (Name, RegisterChange)>,
) -> BTreeMap<Name, Contribution> {
    let mut all: BTreeMap<Name, Contribution> = BTreeMap::new();
    for (name, change) in changes {
        let worth = asked.worth(&redo.step(change));
        if worth != 0 {
            let contribution = all.entry(name).or_default();
            contribution.changes += 1;
            contribution.added += worth.max(0);
            contribution.removed += worth.min(0).abs();
        }
    }
    all
}
