//! Answers to questions about figures: from the node's own cube, or put together from those of its children.
//!
//! Every answer says what it was made from. It is a function of the question and of the logs counted: the same question on the same log
//! sizes gives the same bytes, apart from `answered_at`. This room reads the store, and knows neither the pipeline, nor links, nor gRPC:
//! who carries a question to a child, and who may ask, is for others.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use danso_core::period::Deadlines;
use danso_core::question::Asked;
use danso_core::units::UnitList;
use danso_core::verify::Directory;
use danso_proto::envelope::{ANSWER_TYPE, Envelope, SealError};
use danso_proto::ids::{NodeId, UnitCode};
use danso_proto::pb::query::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use prost::Message as _;

use crate::clock::Clock;
use crate::keys::Signing;
use crate::store::{self, LogSize, Store, Tx};

mod cells;
mod check;
mod codec;
mod combine;
mod explain;
mod months;
mod query;

use cells::{Part, cells};
pub use check::check;
pub use codec::{Answer, FrontierEntry, Note};
pub use combine::{Split, combine};
pub use explain::{Explained, Since, Step};
pub use months::{Completeness, UnitMonth};
pub use query::Query;

/// Time without a word after which somebody is silent, when nothing is configured: two weeks.
const SILENT_MS: i64 = 14 * 86_400_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// The answer could not be signed.
    #[error("the answer could not be signed")]
    Seal(#[from] SealError),
    /// The work was broken off.
    #[error("the work on the answer was broken off")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// As a refusal with a reason code, for those who asked. What is behind a fault of ours goes to the node's log only.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Store(error) if error.is_damage() => Refusal::new(Reason::StoreDamaged, error.to_string()),
            error => {
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, source, "answer: failed");
                Refusal::new(Reason::Internal, error.to_string())
            }
        }
    }
}

/// Makes answers.
#[derive(Clone)]
pub struct Answers {
    store: Store,
    signing: Arc<Signing>,
    me: NodeId,
    clock: Arc<dyn Clock>,
    deadlines: Arc<Deadlines>,
    /// Who was not heard for so many milliseconds is silent.
    silent_ms: i64,
}

impl Answers {
    /// Answers of the node `me` from its `store`, signed with its log key.
    pub fn new(store: Store, signing: Arc<Signing>, me: NodeId, clock: Arc<dyn Clock>) -> Self {
        Self { store, signing, me, clock, deadlines: Arc::default(), silent_ms: SILENT_MS }
    }

    /// The same, with months judged by these deadlines, and silence by this time.
    #[must_use]
    pub fn judging(self, deadlines: Deadlines, silent_after: Duration) -> Self {
        let silent_ms = i64::try_from(silent_after.as_millis()).unwrap_or(i64::MAX);
        Self { deadlines: Arc::new(deadlines), silent_ms, ..self }
    }

    /// The node that answers.
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// Reads the operator's query; without a list version it is about the list in force today, and months are judged by this node's deadlines unless it names others.
    ///
    /// # Errors
    /// As [`Query::read`].
    pub fn query(&self, directory: &Directory, query: &pb::Query) -> Result<Query, Refusal> {
        Ok(Query::read(query, directory, self.clock.now_ms())?.judged_by(&self.deadlines))
    }

    /// The answer from the own cube to a question about the own unit or one below it.
    ///
    /// # Errors
    /// `unit_not_ours` for another unit, `too_large` for an answer over its bound, and faults of the store.
    pub async fn local(&self, directory: &Directory, query: &Query) -> Result<Answer, Error> {
        self.check_scope(directory, query.list(), query.question().unit())?;
        self.about(directory, query, &query.asked()?, &Part::Whole).await
    }

    /// The answer to a question of the parent, as an envelope signed with the log key. It is made from the own cube alone. `notes` says what whoever
    /// asks the question has to be told of this node.
    ///
    /// # Errors
    /// `query_invalid`, `units_version_unknown`, `unit_unknown`; `unit_not_ours` unless `within` is the own unit or one below it; `too_large`;
    /// `internal`.
    pub async fn sealed(
        &self,
        directory: &Directory,
        query: Bytes,
        nonce: [u8; 16],
        notes: &(dyn Fn(&Query) -> Vec<Note> + Sync),
    ) -> Result<Bytes, Refusal> {
        let query = pb::Query::decode(query).map_err(|_| Refusal::new(Reason::QueryInvalid, "not a query"))?;
        let query = Query::read(&query, directory, self.clock.now_ms())?;
        let notes = notes(&query);
        self.seal(directory, query, nonce, notes).await.map_err(Error::refusal)
    }

    async fn seal(
        &self,
        directory: &Directory,
        query: Query,
        nonce: [u8; 16],
        notes: Vec<Note>,
    ) -> Result<Bytes, Error> {
        let Some(within) = query.question().within() else {
            return Err(Refusal::new(Reason::QueryInvalid, "a parent asks within one of its child's units").into());
        };
        self.check_scope(directory, query.list(), within)?;
        let answer = Answer { notes, ..self.about(directory, &query, &query.asked()?, &Part::Whole).await? };
        let signer = self.signing.current();
        // Up to 64 MiB are encoded and hashed: not on a thread that carries links.
        tokio::task::spawn_blocking(move || {
            let payload = answer.encode(nonce)?;
            Ok(Envelope::seal(ANSWER_TYPE, &payload, &[&*signer])?.bytes().clone())
        })
        .await?
    }

    /// Which children a question concerns, and which units none of them covers.
    ///
    /// # Errors
    /// `unit_not_ours` for a question about a unit that is neither the own one nor below it; `unit_unknown` when a child serves a unit
    /// that is not in the list asked about, so that nobody can say what it covers.
    pub fn split(&self, directory: &Directory, query: &Query) -> Result<Split, Refusal> {
        self.check_scope(directory, query.list(), query.question().unit())?;
        combine::split(directory, &self.me, query)
    }

    /// The answer from the own cube for the units that no child covers: the own part of what [`combine()`] puts together.
    ///
    /// # Errors
    /// `child_incomplete` when other authors wrote about a unit that a child is asked for, so that its answer would miss their records;
    /// `too_large`; faults of the store.
    pub async fn rest(&self, directory: &Directory, query: &Query, split: &Split) -> Result<Answer, Error> {
        let said = self.store.read("answer").await?.log_unit_list().await?;
        combine::check_complete(directory, query.list(), split, &said)?;
        self.about(directory, query, &query.asked()?, &Part::Units(&split.rest)).await
    }

    /// The answer for a part, with what was in the store at one moment.
    async fn about(
        &self,
        directory: &Directory,
        query: &Query,
        asked: &Asked<'_>,
        part: &Part<'_>,
    ) -> Result<Answer, Error> {
        self.about_in(&mut self.read("answer").await?, directory, query, asked, part).await
    }

    /// What is in the store at one moment, unless it is damaged.
    async fn read(&self, name: &'static str) -> Result<Tx, Error> {
        match self.store.condition().health().damage {
            Some(damage) => Err(Refusal::new(Reason::StoreDamaged, damage).into()),
            None => Ok(self.store.read(name).await?),
        }
    }

    async fn about_in(
        &self,
        tx: &mut Tx,
        directory: &Directory,
        query: &Query,
        asked: &Asked<'_>,
        part: &Part<'_>,
    ) -> Result<Answer, Error> {
        let units = part.units(asked);
        let counted: HashSet<&UnitCode> = units.iter().collect();
        let findings = tx.finding_counts().await?;
        let findings = findings.iter().filter(|(unit, _)| counted.contains(unit)).map(|(_, count)| count).sum();
        let frontier = frontier(directory, query.list(), &units, tx.record_logs().await?);
        let coverage = months::coverage_of(tx, query, &units).await?;
        let cells = cells(tx, asked, part).await?;
        let answer = Answer {
            query: query.clone(),
            node: self.me.clone(),
            answered_at_ms: self.clock.now_ms(),
            frontier,
            findings,
            asked: Vec::new(),
            notes: Vec::new(),
            coverage: Some(coverage),
            cells,
        };
        answer.check_size()?;
        Ok(answer)
    }

    /// A node answers for its own unit and those below it.
    fn check_scope(&self, directory: &Directory, list: &UnitList, unit: &UnitCode) -> Result<(), Refusal> {
        let own = directory.node(&self.me).map_or_else(|| self.me.unit(), |node| node.unit().clone());
        if list.is_within(unit, &own) {
            return Ok(());
        }
        let detail = format!("{} serves {own}; {unit} is not in it in {}", self.me, list.version());
        Err(Refusal::new(Reason::UnitNotOurs, detail))
    }
}

/// The logs whose entries can be about `units`: of authors in one of them, or above.
fn frontier(directory: &Directory, list: &UnitList, units: &[UnitCode], logs: Vec<LogSize>) -> Vec<FrontierEntry> {
    let places: HashSet<&UnitCode> =
        units.iter().flat_map(|unit| list.ancestors(unit).map(|above| &above.code)).collect();
    let counts = |log: &LogSize| {
        // An author of a unit that this list does not have any more stands where the first author above it stands that has one: its
        // entries may be about units there.
        let mut lineage = directory.lineage(log.log.node()).filter_map(|node| directory.node(node));
        lineage.find(|node| list.contains(node.unit())).is_some_and(|node| places.contains(node.unit()))
    };
    let mut frontier: Vec<FrontierEntry> = logs
        .into_iter()
        .filter(counts)
        .map(|log| FrontierEntry { log: log.log, size: log.size, recorded_at_ms: log.recorded_at_ms })
        .collect();
    frontier.sort_unstable();
    frontier
}

#[cfg(test)]
pub(crate) mod tests;
