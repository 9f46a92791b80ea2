//! A household: how many live in it, month by month and by state of knowledge. Knows no persons, only their residence steps.

use std::ops::Range;

use danso_proto::ids::{HouseholdId, UnitCode};
use serde::{Deserialize, Serialize};

use super::stored::{self, Label, StoredError};
use crate::calendar::Month;

/// What names a household. Ids are chosen by authors, so the unit is part of the name: nobody fills another unit's household.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HouseholdKey {
    /// The unit where it is.
    pub unit: UnitCode,
    /// Id of the change that began it.
    pub id: HouseholdId,
}

/// A change of the number of members: from `month` on, as known from `recorded` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Presence {
    pub(crate) recorded: Month,
    pub(crate) month: Month,
    pub(crate) delta: i32,
}

/// A household as the register holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Household {
    key: HouseholdKey,
    number: Option<Label>,
    // Sorted by (recorded, month), one each, no zeros.
    steps: Vec<Presence>,
}

impl Household {
    /// A household in which nobody lives yet.
    pub(crate) fn new(key: HouseholdKey) -> Self {
        Self { key, number: None, steps: Vec::new() }
    }

    /// Unit and id.
    pub fn key(&self) -> &HouseholdKey {
        &self.key
    }

    /// The household number, when an identity part told it.
    pub fn number(&self) -> Option<&str> {
        self.number.as_ref().map(|label| &*label.text)
    }

    /// Members at the end of `month`, by all that is known.
    pub fn members(&self, month: Month) -> i64 {
        self.steps.iter().filter(|step| step.month <= month).map(|step| i64::from(step.delta)).sum()
    }

    /// Whether nothing is known about it.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.number.is_none()
    }

    pub(crate) fn label(&mut self, label: Label) -> bool {
        Label::offer(&mut self.number, label, self.key.id)
    }

    /// Adds steps, sorted by (recorded, month).
    pub(crate) fn add(&mut self, steps: impl IntoIterator<Item = Presence>) {
        self.steps.extend(steps);
        self.steps.sort_unstable_by_key(|step| (step.recorded, step.month));
        self.steps.dedup_by(|next, kept| {
            let same = (next.recorded, next.month) == (kept.recorded, kept.month);
            if same {
                kept.delta += next.delta;
            }
            same
        });
        self.steps.retain(|step| step.delta != 0);
    }

    /// Gives `out` the steps (recorded, month, count) of "somebody lives here" that became known in `since` or later.
    pub(crate) fn occupied(&self, since: Month, mut out: impl FnMut(Month, Month, i64)) {
        let mut known: Vec<(Month, i32)> = Vec::new();
        let mut before: Vec<(Month, i64)> = Vec::new();
        for range in self.by_recorded() {
            let recorded = self.steps[range.start].recorded;
            for step in &self.steps[range] {
                match known.binary_search_by_key(&step.month, |(month, _)| *month) {
                    Ok(at) => known[at].1 += step.delta,
                    Err(at) => known.insert(at, (step.month, step.delta)),
                }
            }
            let now = transitions(&known);
            if recorded >= since {
                before.iter().for_each(|(month, count)| out(recorded, *month, -count));
                now.iter().for_each(|(month, count)| out(recorded, *month, *count));
            }
            before = now;
        }
    }

    fn by_recorded(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        self.steps.chunk_by(|a, b| a.recorded == b.recorded).map(move |chunk| {
            let range = start..start + chunk.len();
            start = range.end;
            range
        })
    }

    /// The stored form: a version byte, then postcard.
    pub fn to_bytes(&self) -> Vec<u8> {
        stored::to_bytes(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When another version wrote it or it is broken: the register is derived, and is then rebuilt.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let household: Self = stored::from_bytes(bytes)?;
        let key = |step: &Presence| (step.recorded, step.month);
        let sorted = household.steps.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
        if sorted { Ok(household) } else { Err(StoredError::Broken) }
    }
}

/// When a running total rises above zero (+1) and falls back (-1).
fn transitions(deltas: &[(Month, i32)]) -> Vec<(Month, i64)> {
    let (mut members, mut occupied, mut steps) = (0i64, false, Vec::new());
    for (month, delta) in deltas {
        members += i64::from(*delta);
        if occupied != (members > 0) {
            occupied = members > 0;
            steps.push((*month, if occupied { 1 } else { -1 }));
        }
    }
    steps
}
