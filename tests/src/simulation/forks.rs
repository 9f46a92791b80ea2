//! Two histories of one log: what can be shown of them to anybody.

use danso_core::ledger::Entry;
use danso_proto::change::Body;
use danso_proto::checkpoint::SignedNote;
use danso_proto::evidence::{self, Contradiction, Statement};
use danso_proto::ids::LogId;
use danso_proto::merkle;
use danso_proto::package::Package;
use danso_proto::refusal::{Reason, Refusal};

use super::pipeline::Batch;
use super::store::{Crashed, LogRow, ReceiptRow};

impl Batch<'_, '_> {
    /// Weighs a checkpoint that a peer showed against what is here.
    pub(super) fn shown(&mut self, row: &LogRow, theirs: &str) -> Result<bool, Crashed> {
        self.flush()?;
        let Some(author) = self.directory.node(row.log.node()) else { return Ok(false) };
        let bare = |note: &str| author.keys().bare(author.id(), note);
        let Some(theirs) = bare(theirs) else { return Ok(false) };
        let leaves: Vec<merkle::Hash> = self.node.store.log(&row.log).iter().map(|kept| kept.leaf).collect();
        let tree = |size: u64| leaves.get(..usize::try_from(size).ok()?);
        let head = theirs.unverified();
        let receipts = self.node.store.receipts.values().filter(|receipt| receipt.log == row.log);
        let notes = row.checkpoint.iter().chain(receipts.map(|receipt| &receipt.note));
        let ours = notes.filter_map(|note| bare(note)).filter(|note| {
            let ours = note.unverified();
            ours.size >= head.size && tree(ours.size).is_some_and(|leaves| merkle::root(leaves) == ours.root)
        });
        let Some(ours) = ours.min_by_key(|note| note.unverified().size) else { return Ok(false) };
        let growth = tree(head.size).zip(tree(ours.unverified().size)).filter(|(less, more)| less.len() < more.len());
        let growth =
            growth.and_then(|(less, more)| Some((merkle::root(less), merkle::consistency_proof(more, less.len())?)));
        let statement = |note: &SignedNote| Statement::Checkpoint(note.text().to_owned());
        self.contradicted(row, Contradiction { ours: statement(&ours), theirs: statement(&theirs), growth })
    }

    /// A receipt for an own log counts if it is about the history that is here; if it is about another, it is evidence.
    pub(super) fn is_of_our_history(&mut self, receipt: &ReceiptRow) -> Result<bool, Crashed> {
        if *receipt.log.node() != self.node.id {
            return Ok(true);
        }
        self.flush()?;
        let theirs = danso_proto::checkpoint::parse(&receipt.note).map(|note| note.unverified().root);
        let Some(ours) = self.node.root_at(&receipt.log, receipt.size) else { return Ok(false) };
        if theirs.is_ok_and(|theirs| theirs == ours) {
            return Ok(true);
        }
        let mut row = self.row(&receipt.log);
        if self.shown(&row, &receipt.note)? {
            row.trouble = Some(Reason::RootDiffers);
            self.logs.insert(row.log.clone(), row);
        }
        Ok(false)
    }

    /// Weighs an entry that was refused beside the one that is here.
    pub(super) fn other_entry(
        &mut self,
        row: &LogRow,
        package: &Package,
        (sequence, refusal): (u64, &Refusal),
    ) -> Result<bool, Crashed> {
        let beside = match refusal.reason {
            Reason::ReplayDiffers => Some(sequence),
            Reason::PreviousHashWrong => sequence.checked_sub(1),
            _ => None,
        };
        self.flush()?;
        if !self.is_by_its_author(package, sequence) {
            return Ok(false);
        }
        let at = |from: u64, sequence: u64| usize::try_from(sequence.checked_sub(from)?).ok();
        let theirs = at(package.first, sequence).and_then(|at| package.entries.get(at));
        let ours = beside.and_then(|beside| self.node.store.log(&row.log).get(at(0, beside)?));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(false) };
        let (ours, theirs) = (Statement::Entry(ours.envelope.clone()), Statement::Entry(theirs.envelope.clone()));
        self.contradicted(row, Contradiction { ours, theirs, growth: None })
    }

    /// The first change of keys among these entries that ends the key before where that key signed what is here.
    pub(super) fn given_up(&mut self, entries: &[Entry]) -> Result<Option<(u64, Refusal)>, Crashed> {
        let mut before = (*self.directory).clone();
        for entry in entries {
            let set = entry.change_set();
            let node = set.log.node().clone();
            let bodies: Vec<Body> = set.changes.iter().map(|change| change.body.clone()).collect();
            let is_change =
                bodies.iter().any(|body| matches!(body, Body::NodeRekeyed(rekeyed) if rekeyed.node == node));
            let Ok(after) = before.after(&node, set.sequence, &bodies) else { return Ok(None) };
            let keys = before.node(&node).zip(after.node(&node)).map(|(held, taken)| (held.keys(), taken.keys()));
            if let Some((held, taken)) = keys.filter(|_| is_change) {
                let logs: Vec<LogId> = self.node.store.logs.keys().chain(self.logs.keys()).cloned().collect();
                let other = |log: &LogId| held.first_other(taken, log, self.row(log).head.size());
                let mut own = logs.into_iter().filter(|log| *log.node() == node && *log != set.log);
                if let Some((log, at)) = own.find_map(|log| Some((log.clone(), other(&log)?))) {
                    if node != self.node.id {
                        self.ends_too_early(entry, log, at)?;
                    }
                    let refusal = Refusal::new(Reason::ReplayDiffers, "it ends the key before too early");
                    return Ok(Some((set.sequence, refusal)));
                }
            }
            before = after;
        }
        Ok(None)
    }

    fn ends_too_early(&mut self, change: &Entry, log: LogId, at: u64) -> Result<(), Crashed> {
        self.flush()?;
        let Some(ours) = usize::try_from(at).ok().and_then(|at| self.node.store.log(&log).get(at)) else {
            return Ok(());
        };
        let (ours, theirs) = (Statement::Entry(ours.envelope.clone()), Statement::Entry(change.envelope().clone()));
        let mut row = self.row(&log);
        if self.contradicted(&row, Contradiction { ours, theirs, growth: None })? {
            row.trouble = Some(Reason::RootDiffers);
            self.logs.insert(log, row);
        }
        Ok(())
    }

    /// Whether the key that counts there signed what a package has at this place: one that was replaced, perhaps because it leaked, says nothing.
    fn is_by_its_author(&self, package: &Package, sequence: u64) -> bool {
        let at = sequence.checked_sub(package.first).and_then(|at| package.entries.get(usize::try_from(at).ok()?));
        let (Some(entry), Some(author)) = (at, self.directory.node(package.log.node())) else { return false };
        let key = author.keys().at(&package.log, sequence).fingerprint();
        self.directory.open(entry.envelope.clone(), None).is_ok_and(|opened| opened.signers().contains(&key))
    }

    /// Keeps two statements that cannot both be true, when they can be shown to anybody.
    fn contradicted(&mut self, row: &LogRow, contradiction: Contradiction) -> Result<bool, Crashed> {
        if evidence::weigh(&contradiction, &*self.directory).is_err() {
            return Ok(false);
        }
        self.node.store.proof_of_two(row.log.clone(), contradiction)?;
        Ok(true)
    }
}
