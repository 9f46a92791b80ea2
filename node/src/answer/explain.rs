//! Why a figure is what it is: the changes that came since an earlier state of the logs, or of what was known, are taken out of the register and put in
//! again one by one, by the code that counted them. What each did to the figure is its contribution, and together they are the difference.

use std::collections::{BTreeMap, HashMap};

use danso_core::calendar::Month;
use danso_core::cube::{Batch, Measure, Undone};
use danso_core::question::{Contribution, contributions};
use danso_core::register::{Intake, RegisterChange, Rules};
use danso_core::verify::Directory;
use danso_proto::change::ChangeSet;
use danso_proto::envelope::Envelope;
use danso_proto::ids::{ChangeId, LogId, UnitCode};
use danso_proto::refusal::{Reason, Refusal};

use super::{Answer, Answers, Error, Part, Query, query};
use crate::store::{LogSize, Tx};

/// Changes that are gone through at most: some hundred MiB of memory, some ten seconds.
const CHANGES_MAX: usize = 300_000;
/// Entries read at once, and their bytes.
const CHUNK: (usize, usize) = (128, 2 * 1024 * 1024);

/// The earlier state that a figure is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// The logs at these sizes; what is not among them was empty.
    Frontier(BTreeMap<LogId, u64>),
    /// What was known by the end of a month.
    Known(Month),
    /// Without what was recorded after its unit's month had been closed: what that came to as a revision.
    Closed,
}

impl Since {
    /// What a request says: sizes of logs, a month (0: none), or the closing.
    ///
    /// # Errors
    /// `query_invalid`.
    pub fn read(sizes: impl IntoIterator<Item = (String, u64)>, as_of: u32, late: bool) -> Result<Self, Refusal> {
        match (as_of, late) {
            (0, false) => {}
            (0, true) => return Ok(Self::Closed),
            (month, false) => return query::month(month).map(Self::Known),
            (_, true) => return Err(query::invalid("a month and the closing are two states to compare with".into())),
        }
        let read = |(log, size): (String, u64)| match log.parse() {
            Ok(log) => Ok((log, size)),
            Err(_) => Err(query::invalid(format!("{:?} is no log", log.chars().take(64).collect::<String>()))),
        };
        sizes.into_iter().map(read).collect::<Result<_, _>>().map(Self::Frontier)
    }
}

/// A figure, and what made it another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The figure now, and what it was made from.
    pub answer: Answer,
    /// The figure now.
    pub now: i64,
    /// The figure in the earlier state.
    pub then: i64,
    /// When the unit's month was closed, by the author's clock.
    pub closed_at_ms: Option<i64>,
    /// Entries that were gone through.
    pub entries: u64,
    /// Changes that came since.
    pub changes: u64,
    /// What contributed, in the order in which it was recorded.
    pub steps: Vec<Step>,
}

/// What changes of one kind about one unit in one entry contributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The log.
    pub log: LogId,
    /// The entry.
    pub sequence: u64,
    /// Author's clock, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// When it was here, by our clock; `None`: it was here before that was kept.
    pub arrived_at_ms: Option<i64>,
    /// What the changes are about.
    pub unit: UnitCode,
    /// Their kind.
    pub kind: &'static str,
    /// What they did.
    pub contribution: Contribution,
    /// Recorded after the unit's month had been closed.
    pub late: bool,
    /// It corrects what was said before.
    pub correction: bool,
}

/// By what changes are told apart. `Ord` is the order in which they are put in: as they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    recorded_at_ms: i64,
    log: LogId,
    sequence: u64,
    unit: UnitCode,
    kind: &'static str,
}

/// What came since.
struct Came<'a> {
    since: &'a Since,
    /// When a unit's month was closed, by the author's clock.
    closed_at: &'a (dyn Fn(&UnitCode) -> Option<i64> + Sync),
    entries: u64,
    changes: Vec<(Name, RegisterChange)>,
}

impl Answers {
    /// Why the one figure that `query` asks for is not what it was.
    ///
    /// # Errors
    /// `query_invalid` for more than one figure, or a state that is ahead of what is here; `unit_not_ours`; `too_large` when too much came since; faults of the store.
    pub async fn explain(&self, directory: &Directory, query: &Query, since: &Since) -> Result<Explained, Error> {
        let (question, asked) = (query.question(), query.asked()?);
        let is_one = question.figures().len() == 1 && question.from() == question.to();
        if !is_one || question.by().is_some() || question.within().is_some() || !question.dimensions().is_empty() {
            return Err(query::invalid("one measure of one unit in one month is explained at a time".into()).into());
        }
        self.check_scope(directory, query.list(), question.unit())?;
        let mut tx = self.read("explain").await?;
        let answer = self.about_in(&mut tx, directory, query, &asked, &Part::Whole).await?;
        let logs: HashMap<LogId, LogSize> =
            tx.record_logs().await?.into_iter().map(|log| (log.log.clone(), log)).collect();
        let closings = tx.closings(question.to()).await?;
        let closed_at = |unit: &UnitCode| closings.get(unit).map(|row| row.closing.recorded_at_ms);
        let mut came = Came { since, closed_at: &closed_at, entries: 0, changes: Vec::new() };
        for entry in &answer.frontier {
            let Some(log) = logs.get(&entry.log) else { continue };
            came.read(&mut tx, directory, log).await?;
        }
        let Came { entries, mut changes, .. } = came;
        changes.sort_by(|(a, one), (b, other)| (a, one.id()).cmp(&(b, other.id())));
        let alone: Vec<RegisterChange> = changes.iter().map(|(_, change)| change.clone()).collect();
        let persons = tx.person_read(Batch::new(alone.clone()).person_ids()).await?;
        let undone = Undone::new(&alone, persons);
        // Other figures do not look at households.
        let households = match question.figures().iter().any(|figure| figure.measure() == Measure::Households) {
            true => tx.household_read(undone.household_keys()).await?,
            false => Vec::new(),
        };
        let count = changes.len() as u64;
        let (asking, redo) = (query.clone(), undone.with_households(households));
        let found = tokio::task::spawn_blocking(move || {
            let asked = asking.asked()?;
            Ok::<_, Refusal>(contributions(&asked, redo, changes))
        });
        let found = found.await??;
        let mut arrivals: HashMap<LogId, Vec<(u64, Option<i64>)>> = HashMap::new();
        for name in found.keys() {
            if let Some(log) = logs.get(&name.log)
                && !arrivals.contains_key(&name.log)
            {
                arrivals.insert(name.log.clone(), tx.arrivals(log.pk).await?);
            }
        }
        let step = |(name, contribution): (Name, Contribution)| {
            let arrived = arrivals.get(&name.log).and_then(|all| {
                all.get(all.partition_point(|(size, _)| *size <= name.sequence)).and_then(|(_, at_ms)| *at_ms)
            });
            Step {
                arrived_at_ms: arrived,
                late: closed_at(&name.unit).is_some_and(|closed| name.recorded_at_ms > closed),
                correction: matches!(name.kind, "person_updated" | "retraction"),
                log: name.log,
                sequence: name.sequence,
                recorded_at_ms: name.recorded_at_ms,
                unit: name.unit,
                kind: name.kind,
                contribution,
            }
        };
        let steps: Vec<Step> = found.into_iter().map(step).collect();
        let now: i64 = answer.cells.iter().map(|cell| cell.value).sum();
        let then = now - steps.iter().map(|step| step.contribution.net()).sum::<i64>();
        let closed_at_ms = closed_at(question.unit());
        Ok(Explained { answer, now, then, closed_at_ms, entries, changes: count, steps })
    }
}

impl Came<'_> {
    /// Reads what came of a log since then.
    async fn read(&mut self, tx: &mut Tx, directory: &Directory, log: &LogSize) -> Result<(), Error> {
        let bound = directory.node(log.log.node()).and_then(|author| author.valid_size(&log.log));
        let end = bound.unwrap_or(u64::MAX).min(log.size);
        let mut next = match self.since {
            Since::Frontier(sizes) => sizes.get(&log.log).copied().unwrap_or(0),
            Since::Known(_) | Since::Closed => 0,
        };
        if next > log.size {
            let why = format!(
                "the earlier answer counted {next} entries of {}, and {} are here: ask the node that gave it",
                log.log, log.size
            );
            return Err(query::invalid(why).into());
        }
        while next < end {
            let most = usize::try_from(end - next).unwrap_or(usize::MAX).min(CHUNK.0);
            let stored = tx.entry_read(log.pk, next, most, CHUNK.1).await?;
            if stored.is_empty() {
                break;
            }
            for entry in stored {
                next = entry.sequence + 1;
                self.entries += 1;
                self.take(&ChangeSet::decode(Envelope::decode(entry.envelope)?.payload())?);
            }
            if self.changes.len() > CHANGES_MAX {
                let why = format!(
                    "more than {CHANGES_MAX} changes came since then: compare with a later answer, or ask for a smaller unit"
                );
                return Err(Refusal::new(Reason::TooLarge, why).into());
            }
        }
        Ok(())
    }

    fn take(&mut self, set: &ChangeSet) {
        let kinds: HashMap<ChangeId, &'static str> = set.ids().map(|(id, change)| (id, change.body.kind())).collect();
        let mut intake = Intake::new(Rules::CURRENT);
        intake.recall(set);
        for change in intake.changes {
            let is_since = match self.since {
                Since::Frontier(_) => true,
                Since::Known(month) => change.fact().recorded() > *month,
                Since::Closed => (self.closed_at)(change.fact().unit()).is_some_and(|at| set.recorded_at_ms > at),
            };
            if !is_since {
                continue;
            }
            let name = Name {
                recorded_at_ms: set.recorded_at_ms,
                log: set.log.clone(),
                sequence: set.sequence,
                unit: change.fact().unit().clone(),
                kind: kinds.get(&change.id()).copied().unwrap_or_default(),
            };
            self.changes.push((name, change));
        }
    }
}
