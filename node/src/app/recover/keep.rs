//! What `recover` takes over from the old database: entries that only it has, by the same door as everybody's.

use std::collections::BTreeMap;

use danso_core::sync::rank;
use danso_proto::ids::{LogId, Stream};
use danso_proto::limits;
use danso_proto::merkle;
use danso_proto::package::{Package, SealedEntry};
use danso_proto::refusal::{Reason, Refusal};

use super::super::Error;
use super::{Recovered, passes};
use crate::pipeline::{self, Handle, Trouble};
use crate::store::{self, LogRow, Store, StoredEntry, Tx};

/// What became of a log of the old database.
#[derive(Debug, Default)]
struct Outcome {
    /// How many entries are known to be the same in both.
    shared: Option<u64>,
    /// From which entry on the old database holds another history.
    apart: Option<u64>,
    /// What was not taken over.
    unread: Vec<String>,
}

/// Takes over from the old database what goes on where the parent's logs end. Where it holds another history that stays behind, and is said.
/// Gives how many entries of each log are known to be the same in both then.
///
/// What can be read depends on the directory, and that grows with what is read: round after round, until one gains nothing.
pub(super) async fn keep(
    old: &Store,
    new: &Store,
    handle: &Handle,
    recovered: &mut Recovered,
) -> Result<Vec<(LogId, u64)>, Error> {
    let mut tx = old.read("recover").await?;
    let rows = match tx.log_list().await {
        Ok(rows) => rows,
        Err(error) if error.is_unreadable() => {
            recovered.unread.push(error.told());
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let mut keeping = Keeping { old: tx, new, handle, kept: 0, outcomes: BTreeMap::new() };
    let mut left: Vec<LogRow> = rows.iter().filter(|row| row.head.size() > 0).cloned().collect();
    loop {
        let before = keeping.kept;
        left = keeping.round(left).await?;
        if keeping.kept == before {
            break;
        }
    }
    let Keeping { kept, mut outcomes, .. } = keeping;
    for row in left.into_iter().filter(|row| !is_known(handle, row)) {
        outcomes.entry(row.log).or_default().unread.push("nobody enrols its author".into());
    }
    stay_stopped(old, handle, &rows, &outcomes, recovered.parent.is_none()).await?;
    recovered.kept += kept;
    for (log, outcome) in &outcomes {
        recovered.unread.extend(outcome.unread.iter().map(|why| format!("{log}: {why}")));
        if *log.node() == recovered.node {
            recovered.apart.extend(outcome.apart.map(|at| (log.clone(), at)));
        }
    }
    Ok(outcomes.into_iter().filter_map(|(log, outcome)| Some((log, outcome.shared?))).collect())
}

/// Whether the directory knows the author of a log by now.
fn is_known(handle: &Handle, row: &LogRow) -> bool {
    handle.snapshot().directory().node(row.log.node()).is_some()
}

/// Takes out the directory log that is read next: one whose author is known by now, from the root down.
fn next_directory(handle: &Handle, left: &mut Vec<LogRow>) -> Option<LogRow> {
    let directory = handle.snapshot().directory_arc();
    let known = left.iter().enumerate().filter(|(_, row)| directory.node(row.log.node()).is_some());
    let (next, _) = known.min_by_key(|(_, row)| rank(row.log.node(), &*directory))?;
    Some(left.remove(next))
}

/// A log that was stopped stays stopped, if it is the same log: what stopped it is still so. Not where a node above has decided since; nor
/// this node's own, where its parent gave them back: that is what it was recovered for.
async fn stay_stopped(
    old: &Store,
    handle: &Handle,
    rows: &[LogRow],
    outcomes: &BTreeMap<LogId, Outcome>,
    own: bool,
) -> Result<(), Error> {
    let snapshot = handle.snapshot();
    let mut decided_before = None;
    for row in rows.iter().filter(|row| own || row.log.node() != snapshot.me()) {
        let (Some((code, detail)), Some(here)) = (&row.trouble, snapshot.log(&row.log)) else { continue };
        if outcomes.get(&row.log).is_some_and(|outcome| outcome.apart.is_some()) || here.trouble.is_some() {
            continue;
        }
        let decided = snapshot.directory().fork_decisions(&row.log).count();
        if decided > 0 {
            if decided_before.is_none() {
                decided_before = pipeline::directory_to_look(old, snapshot.directory().anchor()).await.ok();
            }
            // Of a directory that cannot be read nobody knows: an operator can decide once more.
            let before = decided_before.as_ref().map(|(directory, _)| directory.fork_decisions(&row.log).count());
            if before.is_some_and(|before| before < decided) {
                continue;
            }
        }
        let reason = Reason::from_code(code).unwrap_or(Reason::LogQuarantined);
        let trouble = Trouble { refusal: Refusal::new(reason, detail.clone()) };
        handle.trouble(row.log.clone(), Some(trouble)).await?;
    }
    Ok(())
}

struct Keeping<'a> {
    old: Tx,
    new: &'a Store,
    handle: &'a Handle,
    /// Entries that were taken over.
    kept: u64,
    outcomes: BTreeMap<LogId, Outcome>,
}

/// How the old history of a log goes with the new one.
enum Histories {
    /// Both say the same as far as both go.
    Same,
    /// The same up to here.
    Apart(u64),
    /// What would tell cannot be read.
    Unknown,
}

impl Keeping<'_> {
    /// Takes over what can be read by now; gives the logs of which something is left.
    async fn round(&mut self, left: Vec<LogRow>) -> Result<Vec<LogRow>, Error> {
        let is_directory = |row: &LogRow| *row.log.stream() == Stream::Directory;
        let (mut directories, others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_directory);
        let mut again = Vec::new();
        while let Some(row) = next_directory(self.handle, &mut directories) {
            again.extend(self.log(row).await?);
        }
        again.append(&mut directories);
        for row in others {
            match is_known(self.handle, &row) {
                true => again.extend(self.log(row).await?),
                false => again.push(row),
            }
        }
        Ok(again)
    }

    /// Takes over what a log has more here; gives it back if something of it was not taken that may be read later.
    async fn log(&mut self, row: LogRow) -> Result<Option<LogRow>, Error> {
        let mut outcome = Outcome::default();
        self.take_log(&row, &mut outcome).await?;
        let is_done = outcome.unread.is_empty();
        let kept = self.outcomes.entry(row.log.clone()).or_default();
        outcome.shared = outcome.shared.max(kept.shared);
        *kept = outcome;
        Ok((!is_done).then_some(row))
    }

    async fn take_log(&mut self, row: &LogRow, outcome: &mut Outcome) -> Result<(), Error> {
        let here = self.handle.snapshot().log(&row.log).map(|row| (row.pk, row.head.size()));
        let (pk, size) = here.unwrap_or((0, 0));
        let histories = self.compare(row, pk, size, outcome).await?;
        if let Histories::Apart(at) = histories {
            // An entry whose bytes changed, or that is gone, is no other history.
            match self.read(row, at, 1).await {
                Ok(entries) if entries.is_empty() => outcome.unread.push(format!("entry {at} is missing")),
                Ok(_) => {
                    tracing::warn!(log = %row.log, at, "the old database holds another history of a log");
                    outcome.apart = Some(at);
                }
                Err(error) if error.is_unreadable() => unread(outcome, at, &error.told()),
                Err(error) => return Err(error.into()),
            }
            outcome.shared = Some(at);
            return Ok(());
        }
        let is_unknown = matches!(histories, Histories::Unknown);
        if is_unknown && row.log.node() == self.handle.me() && !self.goes_on(row, size).await? {
            outcome.apart = Some(size);
            return Ok(());
        }
        // Each entry names the one before it, so that a first one that fits tells that all before it are the same, too.
        let taken = self.take(row, size, outcome).await?;
        if is_unknown && taken > size {
            outcome.unread.remove(0);
        }
        outcome.shared = (!is_unknown || taken > size).then(|| taken.min(row.head.size()));
        Ok(())
    }

    /// Whether what the old database has from `from` on may follow what is here. This node's own other history is not even offered: as evidence
    /// it would stop the log that was just given back.
    async fn goes_on(&mut self, row: &LogRow, from: u64) -> Result<bool, Error> {
        let first = match self.read(row, from, 1).await {
            Ok(entries) => entries.into_iter().next(),
            Err(error) if error.is_unreadable() => None,
            Err(error) => return Err(error.into()),
        };
        let Some(first) = first else { return Ok(true) };
        let snapshot = self.handle.snapshot();
        let last = snapshot.log(&row.log).and_then(|row| row.head.last_leaf());
        let opened = snapshot.directory().open(first.envelope, None);
        Ok(opened.map_or(true, |opened| opened.change_set().previous == last))
    }

    async fn compare(&mut self, row: &LogRow, pk: i64, size: u64, outcome: &mut Outcome) -> Result<Histories, Error> {
        let shared = size.min(row.head.size());
        let ours = self.new.read("recover").await?.leaf_read(pk, 0..shared).await?;
        let is_all = row.head.size() == shared;
        if is_all && merkle::root(&ours) == row.head.root() {
            return Ok(Histories::Same);
        }
        let mut unknown = |why: String| {
            outcome.unread.push(why);
            Histories::Unknown
        };
        let theirs = match self.old.leaf_read(row.pk, 0..shared).await {
            Ok(theirs) => theirs,
            Err(error) if error.is_unreadable() => return Ok(unknown(error.told())),
            Err(error) => return Err(error.into()),
        };
        if theirs.len() != ours.len() {
            // Which are missing the leaves do not tell: behind them each would stand beside another.
            return Ok(unknown(format!("of {shared} entries {} are there", theirs.len())));
        }
        Ok(match theirs.iter().zip(&ours).position(|(old, new)| old != new) {
            Some(at) => Histories::Apart(at as u64),
            None if is_all => unknown("the entries do not make the kept root".into()),
            None => Histories::Same,
        })
    }

    /// Takes over the entries from `from` on, as far as they can be read and pass; the size of the log then.
    async fn take(&mut self, row: &LogRow, mut from: u64, outcome: &mut Outcome) -> Result<u64, Error> {
        while from < row.head.size() {
            let entries = match self.read(row, from, limits::PACKAGE_ENTRIES_MAX).await {
                Ok(entries) if entries.is_empty() => {
                    unread(outcome, from, "it is missing");
                    break;
                }
                Ok(entries) => entries,
                Err(error) if error.is_unreadable() => {
                    unread(outcome, from, &error.told());
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let count = entries.len() as u64;
            let sealed = entries.into_iter().map(|e| SealedEntry { envelope: e.envelope, parts: e.parts }).collect();
            let checkpoint = row.checkpoint.clone().filter(|_| from + count == row.head.size());
            let package = Package { log: row.log.clone(), first: from, entries: sealed, checkpoint };
            let received = self.handle.receive(package).await?.await?;
            self.kept += received.size.saturating_sub(from);
            if let Some((sequence, refusal)) = received.refused {
                if passes(&refusal) {
                    return Err(refusal.into());
                }
                tracing::warn!(log = %row.log, sequence, %refusal, "entries of the old database were not taken over");
                let other =
                    [Reason::ReplayDiffers, Reason::PreviousHashWrong, Reason::RootDiffers, Reason::SequenceGap];
                match other.contains(&refusal.reason) {
                    true => outcome.apart = Some(sequence),
                    false => unread(outcome, sequence, &refusal.to_string()),
                }
                break;
            }
            from += count;
        }
        Ok(self.handle.snapshot().log(&row.log).map_or(0, |row| row.head.size()))
    }

    /// Some entries of the old log, without a gap; one by one where one of them cannot be read, so that those before it are taken.
    async fn read(&mut self, row: &LogRow, from: u64, most: usize) -> Result<Vec<StoredEntry>, store::Error> {
        let mut entries = match self.old.entry_read(row.pk, from, most, limits::PACKAGE_BYTES_MAX).await {
            Err(error) if error.is_unreadable() => {
                self.old.entry_read(row.pk, from, 1, limits::PACKAGE_BYTES_MAX).await?
            }
            read => read?,
        };
        let whole = entries.iter().zip(from..).take_while(|(entry, at)| entry.sequence == *at).count();
        entries.truncate(whole);
        Ok(entries)
    }
}

fn unread(outcome: &mut Outcome, from: u64, why: &str) {
    outcome.unread.push(format!("from entry {from} on: {why}"));
}
