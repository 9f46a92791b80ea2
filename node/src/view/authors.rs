//! Who wrote about which unit, and people whom two authors took in. Knows no directory: which logs count is for the caller.

use std::collections::BTreeMap;

use danso_proto::ids::{LogId, Stream, UnitCode};

use super::{Error, View};

impl View {
    /// The logs of records that say something about each unit.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn authors(&self) -> Result<BTreeMap<UnitCode, Vec<LogId>>, Error> {
        let mut authors: BTreeMap<UnitCode, Vec<LogId>> = BTreeMap::new();
        for (log, unit) in self.store.read("authors").await?.log_unit_list().await? {
            if *log.stream() == Stream::Records {
                authors.entry(unit).or_default().push(log);
            }
        }
        Ok(authors)
    }

    /// Of each of these units, how many references of persons stand in the register more than once; units without any are left out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn taken_in_twice(&self, units: &[UnitCode]) -> Result<Vec<(UnitCode, u64)>, Error> {
        Ok(self.store.read("authors").await?.references_twice(units).await?)
    }

    /// Persons of a unit in the register, as far as their identity part is here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn persons_of(&self, unit: &UnitCode) -> Result<u64, Error> {
        Ok(self.store.read("authors").await?.reference_count(unit).await?)
    }
}
