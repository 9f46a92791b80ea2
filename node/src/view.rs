//! What the operator may look at: counts, waiting slips, findings, receipts, entries, and proofs made of them. Reads the store and never
//! writes; knows nothing of gRPC. Leaves out what identifies persons: of identity parts nothing comes out of here but, for own records, the
//! numbers and references under which the collaborator keeps the paper, and for one finding at a time what was written in its answers.

use std::sync::Arc;

use bytes::Bytes;
use danso_core::calendar::Month;
use danso_proto::ids::{LogId, NodeId, UnitCode};
use danso_proto::refusal::{Reason, Refusal};

use crate::store::{self, Store};

mod authors;
mod evidence;
mod findings;
mod held;
mod prove;

pub use crate::store::{Disk, Health, Level};
pub use authors::Shared;
use authors::Twice;
pub use evidence::Evidence;
pub use findings::{ANSWERS_SHOWN, Finding, FindingAnswered, FindingState, Record};
pub use held::{Held, HeldSince};
pub use prove::Receipts;

/// Why something could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not here, or may not be shown.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
}

impl Error {
    /// As a refusal with a reason code, for those who asked.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Store(error) if error.is_damage() => Refusal::new(Reason::StoreDamaged, error.to_string()),
            Self::Store(error) => {
                tracing::error!(%error, source = ?std::error::Error::source(error), "the store could not be read");
                Refusal::new(Reason::Internal, "the store could not be read")
            }
        }
    }
}

/// How much is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Changes in all logs.
    pub changes: u64,
    /// Persons in the register.
    pub persons: u64,
    /// Slips that wait.
    pub waiting: u64,
}

/// A slip that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The commune of the slip.
    pub unit: UnitCode,
    /// Its number.
    pub slip_no: String,
    /// What is missing: a person's reference, or the number of a slip.
    pub missing: String,
    /// Kind of change, as the form has it.
    pub kind: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// Reason code, when what it waited for came and it was refused all the same.
    pub reason: Option<String>,
}

/// The latest receipt of a giver for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The log.
    pub log: LogId,
    /// Who has the entries durable.
    pub giver: NodeId,
    /// How many.
    pub size: u64,
    /// Giver's clock, Unix seconds.
    pub time_s: u64,
    /// The signed note.
    pub note: String,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Position in the log.
    pub sequence: u64,
    /// The envelope, verbatim.
    pub envelope: Bytes,
}

/// A read-only view of the store.
#[derive(Debug, Clone)]
pub struct View {
    store: Store,
    twice: Arc<Twice>,
}

impl View {
    /// A view of `store`.
    pub fn new(store: Store) -> Self {
        Self { store, twice: Arc::default() }
    }

    /// How the store is: room on the disk, damage that was found.
    pub fn health(&self) -> Health {
        self.store.condition().health()
    }

    /// Why the database server can lose what it acknowledges, if it is set so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn risk(&self) -> Result<Option<Refusal>, Error> {
        Ok(self.store.risk().await?.map(|risk| Refusal::new(Reason::StoreUnsafe, risk)))
    }

    /// Of a damaged database nothing is shown that no hash protects, but how much is in it.
    fn sound(&self) -> Result<(), Error> {
        match self.health().damage {
            Some(damage) => Err(Refusal::new(Reason::StoreDamaged, damage).into()),
            None => Ok(()),
        }
    }

    /// How much is here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let mut tx = self.store.read("counts").await?;
        let (persons, waiting, _) = tx.counts().await?;
        Ok(Counts { changes: tx.change_count().await?, persons, waiting })
    }

    /// Slips that wait, by unit and number: at most `max` behind `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn waiting(&self, after: Option<&Waiting>, max: usize) -> Result<Vec<Waiting>, Error> {
        self.sound()?;
        let after = after.map(|slip| (&slip.unit, &*slip.slip_no));
        let slips = self.store.read("waiting").await?.waiting_page(after, max).await?;
        let waiting = slips.into_iter().map(|slip| {
            let (_, missing) = slip.missing.clone();
            // What is missing is kept with its kind before it: `person:` or `slip:`.
            let missing = missing.split_once(':').map(|(_, reference)| reference.to_owned()).unwrap_or(missing);
            let store::WaitingSlip { unit, slip_no, kind, since_ms, reason, .. } = slip;
            Waiting { unit, slip_no, missing, kind, since_ms, reason }
        });
        Ok(waiting.collect())
    }

    /// The latest receipt of each giver, for one log or for all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn receipts(&self, log: Option<&LogId>) -> Result<Vec<Receipt>, Error> {
        let rows = self.store.read("receipts").await?.receipt_list(log).await?;
        let receipt = |row: store::ReceiptRow| Receipt {
            log: row.log,
            giver: row.giver,
            size: row.size,
            time_s: row.time_s,
            note: row.note,
        };
        Ok(rows.into_iter().map(receipt).collect())
    }

    /// The statement that a unit's month is complete, if there is one: log and entry, and the author's clock, Unix milliseconds.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn closing(&self, unit: &UnitCode, month: Month) -> Result<Option<(LogId, u64, i64)>, Error> {
        let mut closings = self.store.read("closing").await?.closings(month).await?;
        Ok(closings.remove(unit).map(|row| (row.log, row.sequence, row.closing.recorded_at_ms)))
    }

    /// Entries of the log with this row number from `from` on: as many as fit `max_entries` and `max_bytes`, but one at least while there
    /// is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn entries(
        &self,
        log: i64,
        from: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, Error> {
        let entries = self.store.read("entries").await?.entry_read(log, from, max_entries, max_bytes).await?;
        let entry = |entry: store::StoredEntry| LogEntry { sequence: entry.sequence, envelope: entry.envelope };
        Ok(entries.into_iter().map(entry).collect())
    }
}
