//! Who wrote about which unit, and people whom two authors took in. Knows no directory: which logs count is for the caller.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use danso_proto::ids::{LogId, Stream, UnitCode};

use super::{Error, View};

/// Units with several authors, and how far each of their logs counts.
pub type Shared = BTreeMap<UnitCode, Vec<(LogId, u64)>>;

/// What was counted last: it reads all persons of a unit, and is counted again only when a log about the unit has grown.
#[derive(Debug, Default)]
pub(super) struct Twice {
    /// Held while somebody counts.
    turn: tokio::sync::Mutex<()>,
    counted: Mutex<BTreeMap<UnitCode, Counted>>,
}

/// References of a unit that stand twice, and from which logs they were counted.
#[derive(Debug)]
struct Counted {
    of: Vec<(LogId, u64)>,
    twice: u64,
}

impl Twice {
    fn counted(&self) -> MutexGuard<'_, BTreeMap<UnitCode, Counted>> {
        // Each change of it is whole.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

    /// Counts, of each of these units, how many references of persons stand in the register more than once, as far as a log has grown since
    /// they were counted last. Returns at once when somebody counts already.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn count_twice(&self, shared: &Shared) -> Result<(), Error> {
        let Ok(_turn) = self.twice.turn.try_lock() else { return Ok(()) };
        let grown: Vec<UnitCode> = {
            let counted = self.twice.counted();
            let is_same = |unit: &UnitCode, of: &[(LogId, u64)]| counted.get(unit).is_some_and(|last| last.of == of);
            shared.iter().filter(|(unit, of)| !is_same(unit, of)).map(|(unit, _)| unit.clone()).collect()
        };
        if grown.is_empty() {
            return Ok(());
        }
        let found: BTreeMap<_, _> =
            self.store.read("authors").await?.references_twice(&grown).await?.into_iter().collect();
        let counts = grown.into_iter().map(|unit| {
            let of = shared.get(&unit).cloned().unwrap_or_default();
            let twice = found.get(&unit).copied().unwrap_or(0);
            (unit, Counted { of, twice })
        });
        self.twice.counted().extend(counts);
        Ok(())
    }

    /// What was counted last; units without any are left out.
    pub fn taken_in_twice(&self) -> Vec<(UnitCode, u64)> {
        let counted = self.twice.counted();
        let twice = counted.iter().filter(|(_, counted)| counted.twice > 0);
        twice.map(|(unit, counted)| (unit.clone(), counted.twice)).collect()
    }

    /// Persons of a unit in the register, as far as their identity part is here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn persons_of(&self, unit: &UnitCode) -> Result<u64, Error> {
        Ok(self.store.read("authors").await?.reference_count(unit).await?)
    }
}
