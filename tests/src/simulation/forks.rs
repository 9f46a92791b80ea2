//! Two histories of one log: what can be shown of them to anybody.

use danso_proto::checkpoint::SignedNote;
use danso_proto::evidence::{self, Contradiction, Statement};
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
        let at = |from: u64, sequence: u64| usize::try_from(sequence.checked_sub(from)?).ok();
        let theirs = at(package.first, sequence).and_then(|at| package.entries.get(at));
        let ours = beside.and_then(|beside| self.node.store.log(&row.log).get(at(0, beside)?));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(false) };
        let (ours, theirs) = (Statement::Entry(ours.envelope.clone()), Statement::Entry(theirs.envelope.clone()));
        self.contradicted(row, Contradiction { ours, theirs, growth: None })
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
