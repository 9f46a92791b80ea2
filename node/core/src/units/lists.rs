//! All unit lists that a node knows, by version and by date. Knows nothing of how a list arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use danso_proto::ids::UnitCode;

use super::{LISTS_MAX, UnitList, UnitsError};
use crate::calendar::PartialDate;

/// The unit lists that a node knows, at most [`LISTS_MAX`]. A list never changes once it is here.
#[derive(Debug, Clone, Default)]
pub struct UnitLists {
    by_version: BTreeMap<Box<str>, Arc<UnitList>>,
}

impl UnitLists {
    /// No lists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `list`; `false` when the same list is here already. Another list of the same version is refused.
    pub fn insert(&mut self, list: impl Into<Arc<UnitList>>) -> Result<bool, UnitsError> {
        let list = list.into();
        match self.by_version.get(list.version()) {
            Some(known) if *known == list => return Ok(false),
            Some(_) => return Err(UnitsError::VersionTaken { version: list.version().to_owned() }),
            None if self.by_version.len() >= LISTS_MAX => {
                return Err(UnitsError::TooManyLists { count: self.by_version.len() });
            }
            None => {}
        }
        self.by_version.insert(list.version().into(), list);
        Ok(true)
    }

    /// The list of this version.
    pub fn get(&self, version: &str) -> Option<&Arc<UnitList>> {
        self.by_version.get(version)
    }

    /// The list in force on `date`: the one that began last, of those that began by then. A date with unknown parts counts as
    /// its first day. Should two begin on one day, the version that sorts last is in force.
    pub fn in_force(&self, date: PartialDate) -> Option<&Arc<UnitList>> {
        let day = date.earliest();
        let begun = self.by_version.values().filter(|list| list.valid_from().is_none_or(|from| from <= day));
        begun.max_by_key(|list| list.valid_from())
    }

    /// Whether `above` is another unit that `unit` is part of in a list, or of what it is part of in another list: who serves it may be above a
    /// node of the unit.
    pub fn is_over(&self, above: &UnitCode, unit: &UnitCode) -> bool {
        let mut found = vec![unit];
        let mut next = 0;
        while let Some(code) = found.get(next).copied() {
            next += 1;
            for over in self.iter().flat_map(|list| list.ancestors(code)) {
                if !found.contains(&&over.code) {
                    found.push(&over.code);
                }
            }
        }
        above != unit && found.contains(&above)
    }

    /// All lists, by version.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<UnitList>> {
        self.by_version.values()
    }

    /// How many lists.
    pub fn len(&self) -> usize {
        self.by_version.len()
    }

    /// Is none known?
    pub fn is_empty(&self) -> bool {
        self.by_version.is_empty()
    }
}
