//! Logs with two histories: what is kept as evidence, what stops, and what the decision of an operator changes.
//!
//! A log stops here when its author's own signatures prove that it has two histories, and goes on when a node above the author decided
//! that the history held here stands. Knows nothing of links: who shows what comes as a parameter.

use std::collections::BTreeSet;

use danso_core::ledger::{Ahead, Entry, Judged, Trial};
use danso_core::verify::Node;
use danso_proto::change::{Body, ForkDecided};
use danso_proto::checkpoint::SignedNote;
use danso_proto::evidence::{self, Contradicted, Contradiction, Statement};
use danso_proto::ids::{LogId, NodeId};
use danso_proto::merkle::{self, Hash};
use danso_proto::package::Package;
use danso_proto::refusal::{Reason, Refusal};

use super::Error;
use super::batch::Batch;
use crate::store::LogRow;
use crate::telemetry;

/// Pieces of evidence that are kept about one log: the first says all, and an author must not fill our disk with more.
const EVIDENCE_PER_LOG_MAX: u64 = 16;

/// A checkpoint that a peer showed, of a tree that is not the one here.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The log.
    pub log: LogId,
    /// The peer.
    pub by: NodeId,
    /// The checkpoint, as it came.
    pub checkpoint: String,
}

/// What follows from something that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It proves nothing: the author did not sign it, or nothing that it signed is here which contradicts it.
    Unproven,
    /// It is proven, and new: the log is stopped from now on. The number of the evidence.
    Stopped(i64),
    /// It is proven, and the log was stopped before.
    Known,
    /// It is proven, and an operator decided already that what is here stands.
    Settled,
}

/// What directory entries ask of the logs that are here.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Logs about whose histories somebody decided.
    decided: BTreeSet<LogId>,
}

impl Told {
    /// What these entries ask for.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let changes = entries.iter().flat_map(|entry| &entry.change_set().changes);
        let decided = changes.filter_map(|change| match &change.body {
            Body::ForkDecided(decided) => Some(decided.log.clone()),
            _ => None,
        });
        Self { decided: decided.collect() }
    }
}

fn alarm(verdict: Verdict, log: &LogId, by: &NodeId, sequence: u64) {
    let Verdict::Stopped(evidence) = verdict else { return };
    tracing::error!(%log, %by, sequence, evidence,
        "ALARM: two histories of one log, both signed by its author; it is stopped; see danso-admin quarantine list");
    metrics::counter!(telemetry::FORKS, "reason" => Reason::RootDiffers.code()).increment(1);
}

/// What stops a log that has two histories.
pub(super) fn is_fork(row: &LogRow) -> bool {
    row.trouble.as_ref().is_some_and(|(code, _)| code == Reason::RootDiffers.code())
}

impl Batch<'_> {
    /// Weighs a checkpoint that a peer showed against what is here.
    pub(super) async fn shown(&mut self, shown: &Shown) -> Result<Verdict, Error> {
        let Some(row) = self.log(&shown.log) else { return Ok(Verdict::Unproven) };
        let Some(author) = self.directory().node(shown.log.node()).cloned() else { return Ok(Verdict::Unproven) };
        let bare = |note: &str| author.keys().bare(author.id(), note);
        let Some(theirs) = bare(&shown.checkpoint) else { return Ok(Verdict::Unproven) };
        let head = theirs.unverified().clone();
        if head.log != shown.log || head.size > row.head.size() {
            return Ok(Verdict::Unproven);
        }
        let leaves = self.leaves(&row).await?;
        let tree = |size: u64| leaves.get(..usize::try_from(size).ok()?);
        let Some(root) = tree(head.size).map(merkle::root).filter(|root| *root != head.root) else {
            return Ok(Verdict::Unproven);
        };
        // What the author signed of the history that is here: for where the log stands, or under a receipt that came down. The
        // smallest that says enough makes the shortest proof.
        let mut notes: Vec<String> = row.checkpoint.iter().cloned().collect();
        notes.extend(self.tx.receipt_list(Some(&shown.log)).await?.into_iter().map(|receipt| receipt.note));
        let ours = notes.iter().filter_map(|note| bare(note)).filter(|note| {
            let ours = note.unverified();
            ours.size >= head.size && tree(ours.size).is_some_and(|leaves| merkle::root(leaves) == ours.root)
        });
        let Some(ours) = ours.min_by_key(|note| note.unverified().size) else { return Ok(Verdict::Unproven) };
        let larger = tree(ours.unverified().size).filter(|leaves| leaves.len() as u64 > head.size);
        let growth = larger
            .and_then(|leaves| merkle::consistency_proof(leaves, usize::try_from(head.size).ok()?))
            .map(|proof| (root, proof));
        let statement = |note: &SignedNote| Statement::Checkpoint(note.text().to_owned());
        let contradiction = Contradiction { ours: statement(&ours), theirs: statement(&theirs), growth };
        self.contradicted(&shown.by, contradiction).await
    }

    /// Weighs what was refused of a package: it may be of another history than the one here.
    pub(super) async fn other_history(
        &mut self,
        row: &LogRow,
        package: &Package,
        (sequence, refusal): (u64, &Refusal),
        by: Option<&NodeId>,
    ) -> Result<(), Error> {
        // Nobody in between is known for a package that came in a file.
        let by = by.unwrap_or_else(|| row.log.node()).clone();
        let verdict = match (refusal.reason, &package.checkpoint) {
            (Reason::RootDiffers, Some(checkpoint)) => {
                let (log, checkpoint) = (row.log.clone(), checkpoint.clone());
                self.shown(&Shown { log, by: by.clone(), checkpoint }).await?
            }
            _ => self.other_entry(row, package, (sequence, refusal), &by).await?,
        };
        alarm(verdict, &row.log, &by, sequence);
        Ok(())
    }

    /// As [`Self::shown`], for what nobody else raises an alarm about.
    pub(super) async fn shown_aloud(&mut self, shown: &Shown, size: u64) -> Result<(), Error> {
        let verdict = self.shown(shown).await?;
        alarm(verdict, &shown.log, &shown.by, size);
        Ok(())
    }

    /// Weighs an entry that does not fit what is here against the entry that is: other bytes at a place that is taken, or another
    /// entry before it than the one here.
    async fn other_entry(
        &mut self,
        row: &LogRow,
        package: &Package,
        (sequence, refusal): (u64, &Refusal),
        by: &NodeId,
    ) -> Result<Verdict, Error> {
        let beside = match refusal.reason {
            Reason::ReplayDiffers => Some(sequence),
            Reason::PreviousHashWrong => sequence.checked_sub(1),
            _ => None,
        };
        let at = sequence.checked_sub(package.first).and_then(|at| usize::try_from(at).ok());
        let theirs = at.and_then(|at| package.entries.get(at)).map(|entry| entry.envelope.clone());
        let (Some(beside), Some(theirs)) = (beside, theirs) else { return Ok(Verdict::Unproven) };
        if !self.is_by_its_author(&row.log, sequence, &theirs) {
            return Ok(Verdict::Unproven);
        }
        self.flush().await?;
        let pk = self.log(&row.log).map_or(row.pk, |row| row.pk);
        let Some(ours) = self.tx.entry_read(pk, beside, 1, usize::MAX).await?.pop() else {
            return Ok(Verdict::Unproven);
        };
        let (ours, theirs) = (Statement::Entry(ours.envelope), Statement::Entry(theirs));
        self.contradicted(by, Contradiction { ours, theirs, growth: None }).await
    }

    /// As [`Trial::judge`], and up to the first change of keys that ends the key before where that key signed what is here. Taken in, it would make
    /// that unreadable for whoever comes later, and a copy of a node could so take its key over.
    pub(super) async fn judge(
        &mut self,
        row: &LogRow,
        package: &Package,
        (kept, ahead): (&[Hash], &Ahead),
        by: Option<&NodeId>,
    ) -> Result<Judged, Error> {
        let judged = Trial::new(self.directory.clone(), row.head.clone()).judge(package, kept, ahead);
        let Some((sequence, refusal)) = self.given_up(&judged.trial.entries, by).await? else { return Ok(judged) };
        let fitting = usize::try_from(sequence.saturating_sub(package.first)).unwrap_or(0);
        let entries = package.entries.iter().take(fitting).cloned().collect();
        let before = Package { entries, checkpoint: None, ..package.clone() };
        let trial = Trial::new(self.directory.clone(), row.head.clone());
        Ok(Judged { refused: Some((sequence, refusal)), ..trial.judge(&before, kept, ahead) })
    }

    /// The first entry by which a node gives up a key where it signed what is here. The entry by that key is evidence beside it.
    async fn given_up(&mut self, entries: &[Entry], by: Option<&NodeId>) -> Result<Option<(u64, Refusal)>, Error> {
        let Some(node) = entries.first().map(|entry| entry.change_set().log.node()) else { return Ok(None) };
        let is_change = |entry: &Entry| {
            let mut bodies = entry.change_set().changes.iter().map(|change| &change.body);
            bodies.any(|body| matches!(body, Body::NodeRekeyed(rekeyed) if rekeyed.node == *node))
        };
        if !entries.iter().any(is_change) {
            return Ok(None);
        }
        let mut before = (*self.directory()).clone();
        for entry in entries {
            let set = entry.change_set();
            let bodies: Vec<Body> = set.changes.iter().map(|change| change.body.clone()).collect();
            let after = before.after(node, set.sequence, &bodies)?;
            let keys = before.node(node).map(Node::keys).zip(after.node(node).map(Node::keys));
            let Some((held, taken)) = keys.filter(|_| is_change(entry)) else {
                before = after;
                continue;
            };
            let logs = self.logs_of(node).into_iter().filter(|row| row.log != set.log);
            let sizes = logs.map(|row| (row.log, row.head.size())).chain([(set.log.clone(), set.sequence)]);
            let mut unreadable = sizes.filter_map(|(log, size)| Some((held.first_other(taken, &log, size)?, log)));
            if let Some((at, log)) = unreadable.next() {
                // One of its own comes with `recover`, from the database of a copy that was decided against: it stands beside what the parent gave back.
                if *node != self.me {
                    self.ends_too_early(entry, &log, at, by).await?;
                }
                let detail = format!(
                    "{} entry {}: it says that the key before signs {log} up to size {at}, and what that key signed behind it is here",
                    set.log, set.sequence
                );
                return Ok(Some((set.sequence, Refusal::new(Reason::ReplayDiffers, detail))));
            }
            before = after;
        }
        Ok(None)
    }

    /// Keeps a change of keys, and the entry that is here behind where it says that the key before ends, as evidence, if they show it to anybody.
    async fn ends_too_early(&mut self, change: &Entry, log: &LogId, at: u64, by: Option<&NodeId>) -> Result<(), Error> {
        self.flush().await?;
        let Some(row) = self.log(log) else { return Ok(()) };
        let Some(ours) = self.tx.entry_read(row.pk, at, 1, usize::MAX).await?.pop() else { return Ok(()) };
        let (ours, theirs) = (Statement::Entry(ours.envelope), Statement::Entry(change.envelope().clone()));
        let contradiction = Contradiction { ours, theirs, growth: None };
        if evidence::weigh(&contradiction, self.directory()).is_ok() {
            let by = by.unwrap_or(log.node());
            let verdict = self.contradicted(by, contradiction).await?;
            alarm(verdict, log, by, at);
        }
        Ok(())
    }

    /// Whether the key that counts there signed this as an entry of the log at this place.
    fn is_by_its_author(&self, log: &LogId, sequence: u64, envelope: &bytes::Bytes) -> bool {
        let Some(author) = self.directory().node(log.node()) else { return false };
        self.directory().open(envelope.clone(), None).is_ok_and(|opened| {
            let set = opened.change_set();
            let key = author.keys().at(log, sequence).fingerprint();
            set.log == *log && set.sequence == sequence && opened.signers().contains(&key)
        })
    }

    /// Keeps a contradiction and stops its log, unless an operator decided about it.
    async fn contradicted(&mut self, by: &NodeId, contradiction: Contradiction) -> Result<Verdict, Error> {
        let found = match evidence::weigh(&contradiction, self.directory()) {
            Ok(found) => found,
            Err(refusal) => {
                tracing::debug!(reason = %refusal.reason, detail = %refusal.detail, "no evidence");
                return Ok(Verdict::Unproven);
            }
        };
        let Some(mut row) = self.log(&found.log) else { return Ok(Verdict::Unproven) };
        if self.is_settled(&row, &found).await? {
            return Ok(Verdict::Settled);
        }
        let stopped = is_fork(&row);
        if stopped && self.tx.evidence_count(&row.log).await? >= EVIDENCE_PER_LOG_MAX {
            return Ok(Verdict::Known);
        }
        let now_ms = self.outfit.clock.now_ms();
        let (id, _) = self.tx.evidence_add(&row.log, now_ms, by, &contradiction).await?;
        if stopped {
            return Ok(Verdict::Known);
        }
        let detail = match self.is_own(&row.log) {
            true => format!(
                "{by} holds another history of this node's own log (evidence {id}): a copy of this node wrote too, or this is the copy; \
                 nothing more is written here; next: danso-node recover --data DIR"
            ),
            false => format!(
                "two histories, both signed by its author: {} entries here, another one of {} was shown by {by} (evidence {id}); \
                 an operator must decide: danso-admin quarantine list",
                row.head.size(),
                found.theirs.size
            ),
        };
        row.trouble = Some((Reason::RootDiffers.code().to_owned(), detail));
        self.put(row);
        Ok(Verdict::Stopped(id))
    }

    /// Whether the decision that rules covers this contradiction: the histories differ within what it lets stand, and that is here.
    async fn is_settled(&mut self, row: &LogRow, found: &Contradicted) -> Result<bool, Error> {
        match self.ruling(&row.log) {
            Some((_, decided)) if found.differ <= decided.size => Ok(self.agrees(row, &decided).await? == Some(true)),
            _ => Ok(false),
        }
    }

    /// The decision about a log that counts: that of the node nearest the root, and of several of its own the last.
    pub(super) fn ruling(&self, log: &LogId) -> Option<(NodeId, ForkDecided)> {
        let directory = self.directory();
        let steps = |node: &NodeId| directory.lineage(node).count();
        // Of equal ones `min_by_key` gives the first: hence from the end.
        let decisions: Vec<_> = directory.fork_decisions(log).collect();
        let ruling = decisions.into_iter().rev().min_by_key(|(by, _)| steps(by));
        ruling.map(|(by, decided)| (by.clone(), decided.clone()))
    }

    /// Whether what is here is the history that was decided for; `None` while less of it is here than was decided about.
    pub(super) async fn agrees(&mut self, row: &LogRow, decided: &ForkDecided) -> Result<Option<bool>, Error> {
        let root = self.root_at(row, decided.size).await?;
        Ok(root.map(|root| root == decided.root))
    }

    /// The root of a log's first `size` entries; `None` when there are fewer.
    pub(super) async fn root_at(&mut self, row: &LogRow, size: u64) -> Result<Option<Hash>, Error> {
        if row.head.size() == size {
            return Ok(Some(row.head.root()));
        }
        if row.head.size() < size {
            return Ok(None);
        }
        let leaves = self.leaves(row).await?;
        Ok(usize::try_from(size).ok().and_then(|size| leaves.get(..size)).map(merkle::root))
    }

    async fn leaves(&mut self, row: &LogRow) -> Result<Vec<Hash>, Error> {
        self.flush().await?;
        let pk = self.log(&row.log).map_or(row.pk, |row| row.pk);
        Ok(self.tx.leaf_read(pk, 0..row.head.size()).await?)
    }

    /// Does what the directory entries that were just taken in ask for.
    pub(super) async fn heed(&mut self, told: Told) -> Result<(), Error> {
        for log in &told.decided {
            self.obey(log).await?;
        }
        Ok(())
    }

    /// Lets go on, or stops, a log about which a decision came.
    async fn obey(&mut self, log: &LogId) -> Result<(), Error> {
        let (Some(mut row), Some((by, decided))) = (self.log(log), self.ruling(log)) else { return Ok(()) };
        let own = self.is_own(log);
        let trouble = match self.agrees(&row, &decided).await? {
            // Less is here than was decided about: what comes next must fit what is here, or it is refused.
            Some(true) | None if is_fork(&row) && (!own || row.head.size() >= decided.size) => None,
            Some(false) if own => Some(format!(
                "{by} decided that another history of this node's own log stands ({} entries there, {} here); nothing more is written \
                 here; next: danso-node recover --data DIR",
                decided.size,
                row.head.size()
            )),
            Some(false) => Some(format!(
                "{by} decided that another history stands than the one here ({} entries there, {} here); next: danso-node recover \
                 --data DIR, which takes the one that stands from the parent",
                decided.size,
                row.head.size()
            )),
            _ => return Ok(()),
        };
        match &trouble {
            None => {
                tracing::warn!(%log, %by, reason = decided.reason, "the log goes on: its history here was decided to stand")
            }
            Some(detail) => tracing::error!(%log, %detail, "ALARM: the log is stopped"),
        }
        row.trouble = trouble.map(|detail| (Reason::RootDiffers.code().to_owned(), detail));
        self.put(row);
        Ok(())
    }
}
