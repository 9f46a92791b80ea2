//! One batch: jobs in, rows out, all in one transaction. Works on copies of the committed state, which are thrown away when the
//! transaction is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use danso_core::ledger::{
    Ahead, Draft, Entry, Judged, LogHead, SealError, Sealing, Trial, repeated, seal, seal_by_both,
};
use danso_core::register::Rules;
use danso_core::verify::Directory;
use danso_proto::change::{Body, Change, NodeEnrolled};
use danso_proto::checkpoint;
use danso_proto::envelope::Signer;
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};
use danso_proto::merkle::Hash;
use danso_proto::package::Package;
use danso_proto::refusal::{Reason, Refusal};

use super::decide::Decided;
use super::fork::{Told, Verdict, is_fork};
use super::import::ImportedRows;
use super::receipts::Compared;
use super::state::{META_RESTORED, Shared};
use super::tell::Telling;
use super::{Cosigner, Enrolment, Error, Job, Outfit, Received, Snapshot};
use crate::keys;
use crate::store::{FindingKey, Health, InviteRow, LogRow, ReceiptRow, Tx};

mod finish;

/// What a job gets back once the transaction is kept.
pub(super) enum Answer {
    Received(Result<Taken, Error>),
    Imported(Result<ImportedRows, Error>),
    Enrolled(Result<NodeId, Error>),
    Invited(Result<(), Error>),
    Weighed(Verdict),
    Decided(Result<Decided, Error>),
    Done,
}

/// A package that was taken, and what is needed to give a receipt for it after the commit.
pub(super) struct Taken {
    pub(super) received: Received,
    note: Option<String>,
}

impl Taken {
    /// With our cosignature: "these entries are durable here". Called after the commit, never before.
    pub(super) fn cosigned(mut self, cosigner: &Cosigner) -> Received {
        if let Some(note) = self.note.and_then(|note| checkpoint::parse(&note).ok()) {
            match cosigner.cosign(&note) {
                Ok(receipt) => self.received.receipt = Some(receipt),
                // Without a receipt the entries are still durable; the child gets one with its next session.
                Err(error) => tracing::error!(log = %self.received.log, %error, "no receipt could be signed"),
            }
        }
        self.received
    }
}

/// What a batch leaves behind when it is kept.
pub(super) struct Done {
    pub(super) directory: Option<Arc<Directory>>,
    pub(super) logs: Vec<LogRow>,
    pub(super) receipts: Vec<ReceiptRow>,
    /// Who signs from now on, when the batch changed keys.
    pub(super) signer: Option<Arc<dyn Signer>>,
    /// The node is not behind, although it was restored.
    pub(super) confirmed: bool,
    pub(super) entries: u64,
    pub(super) changes: u64,
    /// What is left to tell authors about their records.
    pub(super) telling: Telling,
    /// All that is derived was made again.
    pub(super) recounted: bool,
    /// A dry run: nothing of it is kept.
    pub(super) undo: bool,
}

/// A batch under way.
pub(super) struct Batch<'a> {
    pub(super) outfit: &'a Outfit,
    pub(super) tx: &'a mut Tx,
    pub(super) me: NodeId,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) rekeyed: bool,
    pub(super) rules: Rules,
    base: Snapshot,
    pub(super) compared: &'a Compared,
    pub(super) directory: Arc<Directory>,
    directory_changed: bool,
    /// Logs that this batch touched.
    logs: BTreeMap<LogId, LogRow>,
    /// Entries that are verified and not yet written.
    pending: Vec<Entry>,
    receipts: Vec<ReceiptRow>,
    confirmed: bool,
    entries: u64,
    changes: u64,
    undo: bool,
    /// Findings that came, went or were answered.
    found: BTreeSet<FindingKey>,
    telling: Telling,
    /// How the store is, as this batch begins.
    pub(super) health: Health,
}

impl<'a> Batch<'a> {
    pub(super) fn new(outfit: &'a Outfit, signer: Arc<dyn Signer>, shared: &'a Shared, tx: &'a mut Tx) -> Self {
        let base = shared.snapshot();
        Self {
            outfit,
            tx,
            rules: shared.rules(),
            me: base.me().clone(),
            signer,
            rekeyed: false,
            directory: base.directory_arc(),
            compared: shared.compared(),
            base,
            directory_changed: false,
            logs: BTreeMap::new(),
            pending: Vec::new(),
            receipts: Vec::new(),
            confirmed: false,
            entries: 0,
            changes: 0,
            undo: false,
            found: BTreeSet::new(),
            telling: shared.telling(),
            health: outfit.store.condition().measure(),
        }
    }

    /// What is committed.
    pub(super) fn base(&self) -> &Snapshot {
        &self.base
    }

    /// Does one job. An error is a fault of the store or the key and undoes the batch; what is refused is in the answer.
    pub(super) async fn job(&mut self, job: &Job) -> Result<Answer, Error> {
        if let Some(answer) = self.turned_away(job) {
            return Ok(answer);
        }
        Ok(match job {
            Job::Receive { package, opening, by, .. } => {
                Answer::Received(Ok(self.receive(package, opening.ahead(), by.as_ref()).await?))
            }
            Job::Write { stream, drafts, .. } => {
                Answer::Received(refused_or(self.write(stream, drafts.clone()).await)?)
            }
            Job::Import { batch, .. } => {
                self.undo |= batch.is_dry_run();
                Answer::Imported(refused_or(self.import(batch).await)?)
            }
            Job::Enrol { enrolment, .. } => Answer::Enrolled(refused_or(self.enrol(enrolment).await)?),
            Job::Recover { recovery, .. } => Answer::Invited(refused_or(self.recover(recovery).await)?),
            Job::Rekey { next, .. } => Answer::Received(refused_or(self.rekey(next).await)?),
            Job::Revoke { revocation, .. } => Answer::Received(refused_or(self.revoke(revocation).await)?),
            Job::Invite { invite, .. } => Answer::Invited(refused_or(self.invite(invite).await)?),
            Job::Receipts { receipts, .. } => {
                self.receipts(receipts).await?;
                Answer::Done
            }
            Job::Confirm { .. } => {
                self.tx.meta_remove(META_RESTORED).await?;
                self.confirmed = true;
                Answer::Done
            }
            Job::Release => {
                if let Err(refusal) = refused_or(self.release().await)? {
                    tracing::warn!(%refusal, "slips that wait for what is known could not be taken");
                }
                Answer::Done
            }
            Job::Shown { shown, .. } => Answer::Weighed(self.shown(shown).await?),
            Job::Decide { decision, .. } => Answer::Decided(refused_or(self.decide(decision).await)?),
            Job::Trouble { log, trouble, .. } => {
                // An own log of which nothing is here can be behind, too: one that is noted stops them all.
                let is_lost = || self.is_own(log) && self.logs_of(&self.me).iter().all(|row| row.trouble.is_none());
                let lost = || (trouble.is_some() && is_lost()).then(|| LogRow::new(log.clone()));
                // That there are two histories, and what was decided about them, says more than a peer's word that comes later.
                let is_less = |row: &LogRow| trouble.is_some() && is_fork(row);
                if let Some(mut row) = self.log(log).or_else(lost).filter(|row| !is_less(row)) {
                    row.trouble =
                        trouble.as_ref().map(|t| (t.refusal.reason.code().to_owned(), t.refusal.detail.clone()));
                    self.put(row);
                }
                Answer::Done
            }
        })
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory before this batch and as it is now, if this batch changed it.
    pub(super) fn directories(&self) -> Option<(Arc<Directory>, Arc<Directory>)> {
        self.directory_changed.then(|| (self.base.directory_arc(), self.directory.clone()))
    }

    /// All logs as they stand in this batch.
    pub(super) fn all_logs(&self) -> BTreeMap<LogId, LogRow> {
        let mut logs: BTreeMap<_, _> = self.base.logs().map(|row| (row.log.clone(), row.clone())).collect();
        logs.extend(self.logs.iter().map(|(log, row)| (log.clone(), row.clone())));
        logs
    }

    /// The unit that this node serves.
    pub(super) fn own_unit(&self) -> Result<UnitCode, Refusal> {
        let me = self.directory.node(&self.me);
        Ok(me.ok_or_else(|| Refusal::new(Reason::KeyNotEnrolled, "this node is not in the directory"))?.unit().clone())
    }

    /// All logs of a node, and how many entries of each are here.
    pub(super) fn sizes_of(&self, node: &NodeId) -> BTreeMap<LogId, u64> {
        let rows = self.base.logs().chain(self.logs.values()).filter(|row| row.log.node() == node);
        rows.filter(|row| row.head.size() > 0).map(|row| (row.log.clone(), row.head.size())).collect()
    }

    /// Logs, with how far each is here.
    pub(super) fn read_so_far(&self, logs: Vec<LogId>) -> Vec<(LogId, u64)> {
        let size = |log: &LogId| self.log(log).map_or(0, |row| row.head.size());
        logs.into_iter().map(|log| (log.clone(), size(&log))).collect()
    }

    pub(super) fn me(&self) -> &NodeId {
        &self.me
    }

    /// What was committed of a log before this batch: its row in the store, and its head.
    pub(super) fn committed(&self, log: &LogId) -> Option<(i64, LogHead)> {
        self.base.log(log).map(|row| (row.pk, row.head.clone()))
    }

    /// Receipts that were kept, for those who wait for them.
    pub(super) fn received(&mut self, receipts: Vec<ReceiptRow>) {
        self.receipts.extend(receipts);
    }

    pub(super) fn is_own(&self, log: &LogId) -> bool {
        *log.node() == self.me
    }

    pub(super) fn log(&self, log: &LogId) -> Option<LogRow> {
        self.logs.get(log).or_else(|| self.base.log(log)).cloned()
    }

    /// All logs of a node.
    pub(super) fn logs_of(&self, node: &NodeId) -> Vec<LogRow> {
        let before = self.base.logs().filter(|row| !self.logs.contains_key(&row.log));
        before.chain(self.logs.values()).filter(|row| row.log.node() == node).cloned().collect()
    }

    pub(super) fn put(&mut self, row: LogRow) {
        self.logs.insert(row.log.clone(), row);
    }

    pub(super) fn log_or_new(&self, log: &LogId) -> LogRow {
        self.log(log).unwrap_or_else(|| LogRow::new(log.clone()))
    }

    pub(super) fn answer(&self, row: &LogRow, refused: Option<(u64, Refusal)>) -> Taken {
        Taken {
            received: Received {
                log: row.log.clone(),
                size: row.head.size(),
                root: row.head.root(),
                receipt: None,
                refused,
            },
            note: row.checkpoint.clone(),
        }
    }

    // --- entries of others

    async fn receive(&mut self, package: &Package, ahead: &Ahead, by: Option<&NodeId>) -> Result<Taken, Error> {
        let row = self.log_or_new(&package.log);
        if let Some((code, detail)) = &row.trouble {
            let detail = format!("{} is stopped here: {code}: {detail}", row.log);
            return Ok(self.answer(&row, Some((package.first, Refusal::new(Reason::LogQuarantined, detail)))));
        }
        let known = match repeated(row.head.size(), package) {
            Ok(known) => known,
            Err((sequence, refusal)) => return Ok(self.answer(&row, Some((sequence, refusal)))),
        };
        let kept = self.leaves_of(&row, package.first, known).await?;
        let Judged { trial, checkpoint, refused } = self.judge(&row, package, (&kept, ahead), by).await?;
        let told = Told::of(&trial.entries);
        let row = self.keep(row, trial, checkpoint);
        self.heed(told).await?;
        if let Some((sequence, refusal)) = &refused {
            self.other_history(&row, package, (*sequence, refusal), by).await?;
        }
        Ok(self.answer(&row, refused))
    }

    /// Leaf hashes of `count` entries that are here.
    async fn leaves_of(&mut self, row: &LogRow, first: u64, count: usize) -> Result<Vec<Hash>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        self.flush().await?;
        let pk = self.log(&row.log).map_or(row.pk, |row| row.pk);
        Ok(self.tx.leaf_read(pk, first..first + count as u64).await?)
    }

    fn keep(&mut self, mut row: LogRow, trial: Trial, note: Option<String>) -> LogRow {
        if trial.head.size() == row.head.size() && note.is_none() {
            return row;
        }
        // A checkpoint for a smaller size says nothing about where the log stands now.
        row.checkpoint = note;
        row.head = trial.head;
        if let Some(last) = trial.entries.last() {
            row.recorded_at_ms = last.change_set().recorded_at_ms;
            if *row.log.stream() == Stream::Directory {
                self.directory = trial.directory;
                self.directory_changed = true;
            }
        }
        self.pending.extend(trial.entries);
        self.logs.insert(row.log.clone(), row.clone());
        row
    }

    // --- own entries

    /// Seals drafts one after the other at the end of an own log. They go through the same door as everybody's entries.
    pub(super) async fn write(&mut self, stream: &Stream, drafts: Vec<Draft>) -> Result<Taken, Error> {
        self.write_with(stream, drafts, None).await
    }

    /// As [`Batch::write`]; with a `next` key, both sign, and the log's head is signed by the next one alone.
    pub(super) async fn write_with(
        &mut self,
        stream: &Stream,
        drafts: Vec<Draft>,
        next: Option<&dyn Signer>,
    ) -> Result<Taken, Error> {
        let log = LogId::new(self.me.clone(), stream.clone());
        let row = self.log_or_new(&log);
        // Whatever has happened to one of our logs has happened to the others.
        if let Some((log, (code, detail))) =
            self.logs_of(&self.me).into_iter().find_map(|row| Some((row.log, row.trouble?)))
        {
            return Err(Refusal::new(Reason::ReadOnly, format!("{log} is stopped: {code}: {detail}")).into());
        }
        if !self.confirmed
            && let Some(refusal) = self.base.read_only()
        {
            return Err(refusal.into());
        }
        let own_unit = self.own_unit()?;
        let mut trial = Trial::new(self.directory.clone(), row.head.clone());
        for draft in drafts {
            // Units are published in the list that they make; everything else is in the list in force.
            let version = match draft.changes.first().map(|change| &change.body) {
                Some(Body::UnitsPublished(part)) => part.version.clone(),
                _ => units_version(&trial.directory, &own_unit, self.outfit.clock.now_ms())?,
            };
            let sealing = Sealing {
                log: &log,
                position: trial.head.position(),
                recorded_at_ms: self.outfit.clock.now_ms(),
                units_version: &version,
                salt_seed: keys::random_bytes(),
                signer: &*self.signer,
            };
            let sealed = match next {
                None => seal(draft, &sealing),
                Some(next) => seal_by_both(draft, &sealing, next),
            };
            let (envelope, parts) = sealed.map_err(|error| match error {
                SealError::Refused(refusal) => Error::Refused(refusal),
                error @ SealError::Envelope(_) => Error::Seal(error),
            })?;
            trial.take(&log, envelope.bytes(), parts.as_ref())?;
        }
        let note = checkpoint::sign(&trial.head.checkpoint(&log), next.unwrap_or(&*self.signer))?;
        let told = Told::of(&trial.entries);
        let row = self.keep(row, trial, Some(note));
        self.heed(told).await?;
        Ok(self.answer(&row, None))
    }

    /// Keeps an invite, unless the new node would count people a second time.
    async fn invite(&mut self, invite: &InviteRow) -> Result<(), Error> {
        if !invite.again {
            self.check_unserved(&invite.unit)?;
            self.check_unwritten(&invite.unit).await?;
        }
        self.tx.invite_add(invite).await?;
        Ok(())
    }

    /// Refuses a unit that a node serves already: two authors would count its people twice.
    fn check_unserved(&self, unit: &UnitCode) -> Result<(), Refusal> {
        let of_unit = || self.directory.nodes().filter(|node| node.unit() == unit);
        if let Some(node) = of_unit().find(|node| !node.is_revoked()) {
            return Err(Refusal::new(Reason::UnitHasNode, format!("{} serves {unit}", node.id())));
        }
        match of_unit().find(|node| !node.has_place()) {
            Some(node) => {
                let detail = format!(
                    "{} of {unit} lost its place with who enrolled it; it gets one here, and what it wrote counts again, unless it is not \
                     to be trusted",
                    node.id()
                );
                Err(Refusal::new(Reason::UnitHasNode, detail))
            }
            None => Ok(()),
        }
    }

    /// Refuses a unit about which others wrote: its new node does not hold that, and could take the same people in again.
    async fn check_unwritten(&mut self, unit: &UnitCode) -> Result<(), Error> {
        self.flush().await?;
        let said = self.tx.log_unit_list().await?;
        let within = |code: &UnitCode| self.directory.units().iter().any(|list| list.is_within(code, unit));
        match said.iter().find(|(_, code)| within(code)) {
            Some((log, code)) => Err(Refusal::new(Reason::UnitHasRecords, format!("{log} speaks about {code}")).into()),
            None => Ok(()),
        }
    }

    async fn enrol(&mut self, enrolment: &Enrolment) -> Result<NodeId, Error> {
        let node = NodeId::new(&enrolment.unit, &enrolment.log_public_key);
        let invite = self.tx.invite_get(&enrolment.secret_hash).await?;
        let invite = invite.ok_or_else(|| Refusal::new(Reason::TokenUnknown, "no such invite was given out here"))?;
        if invite.unit != enrolment.unit {
            let detail = format!("the invite is for {}, not for {}", invite.unit, enrolment.unit);
            return Err(Refusal::new(Reason::TokenWrongUnit, detail).into());
        }
        if let Some(lost) = &invite.node {
            let detail = format!("the token gives {lost} its place back: use it with danso-node recover");
            return Err(Refusal::new(Reason::TokenWrongUnit, detail).into());
        }
        match &invite.used_by {
            // The answer to the first use was lost on the way: the same node with the same key gets it again.
            Some((_, key)) if *key == enrolment.log_public_key => return Ok(node),
            Some((by, _)) => return Err(Refusal::new(Reason::TokenUsed, format!("{by} used it")).into()),
            None => {}
        }
        if !invite.again {
            self.check_unserved(&enrolment.unit)?;
        }
        let now_ms = self.outfit.clock.now_ms();
        if now_ms >= invite.expires_at_ms {
            let ago = (now_ms - invite.expires_at_ms) / 1000;
            return Err(Refusal::new(Reason::TokenExpired, format!("it ended {ago} s ago")).into());
        }
        let body = Body::NodeEnrolled(NodeEnrolled {
            node: node.clone(),
            unit: enrolment.unit.clone(),
            log_public_key: enrolment.log_public_key,
            policy: enrolment.policy,
            former: Vec::new(),
        });
        let draft = directory_draft(enrolment.unit.clone(), body, now_ms);
        self.write(&Stream::Directory, vec![draft]).await?;
        self.tx.invite_use(&enrolment.secret_hash, &node, &enrolment.log_public_key).await?;
        Ok(node)
    }
}

/// A draft of one change of a directory log.
pub fn directory_draft(unit: UnitCode, body: Body, now_ms: i64) -> Draft {
    let change =
        Change { unit, hamlet: String::new(), event_date: None, reported_on: None, identity_commitment: None, body };
    let first_id = ChangeId::first(u64::try_from(now_ms).unwrap_or_default(), keys::random_bytes());
    Draft { first_id, changes: vec![change], parts: vec![None] }
}

/// The version of the unit list in force.
pub(super) fn units_version(directory: &Directory, own_unit: &UnitCode, now_ms: i64) -> Result<String, Refusal> {
    use danso_core::calendar::{VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
    let today = civil_from_unix_ms(now_ms, VIET_NAM_OFFSET_MINUTES);
    match directory.units().in_force(today) {
        Some(list) if list.contains(own_unit) => Ok(list.version().to_owned()),
        _ => Err(Refusal::new(Reason::UnitsVersionUnknown, "the unit list has not arrived yet; wait for the link")),
    }
}

/// A refusal is an answer; anything else undoes the batch.
fn refused_or<T>(result: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match result {
        Err(Error::Refused(refusal)) => Ok(Err(Error::Refused(refusal))),
        Err(error) => Err(error),
        Ok(value) => Ok(Ok(value)),
    }
}
