//! A node's pipeline: jobs in, rows out, all in one transaction, answers only after the commit. The shell of the real one with the real rules
//! in it: [`Trial`] judges, [`Intake`] and [`Batch`] count.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use danso_core::cube::{self, Outcome};
use danso_core::ledger::{Ahead, Draft, Entry, Judged, LogHead, Sealing, Trial, repeated, seal};
use danso_core::register::{Household, Intake, Person};
use danso_core::sync::{Event, Package};
use danso_core::verify::Directory;
use danso_proto::change::{Body, ChangeSet, NodeRekeyed};
use danso_proto::checkpoint;
use danso_proto::envelope::{CHANGE_SET_TYPE, Envelope, Signer as _, SoftwareSigner};
use danso_proto::ids::{LogId, PersonId, Stream};
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

use super::cast::VERSION;
use super::node::{Crash, Node, is_stopped};
use super::planted::Bug;
use super::rng::Rng;
use super::store::{Crashed, Kept, LogRow, ReceiptRow, Store};

/// The session that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub link: usize,
    pub end: usize,
    pub generation: u64,
}

/// What is to be written.
pub enum Job {
    /// A package, from a session or from a bundle.
    Receive { package: Package, origin: Option<Origin> },
    /// Drafts at the end of an own log.
    Write { stream: Stream, drafts: Vec<Draft> },
    /// The node's next key takes over.
    Rotate,
    /// Receipts whose signatures were checked.
    Receipts(Vec<ReceiptRow>),
    /// A log is stopped.
    Trouble { log: LogId, reason: Reason, shown: Option<String> },
    /// What was lost comes back from the parent: own logs and the directory. The trouble of these logs ends with it.
    Recover(Vec<Package>),
}

/// What a commit brought.
#[derive(Default)]
pub struct Done {
    /// Answers for sessions.
    pub answers: Vec<(Origin, Event)>,
    /// Packages without a session that were refused.
    pub refused: Vec<(LogId, Refusal)>,
    /// Logs that grew, or whose checkpoint or trouble changed.
    pub logs: BTreeSet<LogId>,
    pub receipts: Vec<ReceiptRow>,
    /// Facts that were in the register already.
    pub repeated: usize,
    pub entries: usize,
    /// The process ended after the commit.
    pub crashed: bool,
}

/// Circumstances of a batch.
pub struct Around<'a> {
    pub now_ms: i64,
    pub rng: &'a mut Rng,
    pub bug: Option<Bug>,
}

impl Node {
    /// Does jobs in one transaction.
    ///
    /// # Errors
    /// When the process ended before the commit; nothing of it is there then.
    pub fn batch(&mut self, jobs: Vec<Job>, around: &mut Around<'_>) -> Result<Done, Crashed> {
        let Some(running) = &self.up else { return Err(Crashed) };
        let directory = running.directory.clone();
        let crash = self.crash.take();
        self.store.begin(match crash {
            Some(Crash::Write(n)) => Some(n),
            _ => None,
        });
        let mut batch = Batch {
            node: self,
            directory,
            logs: BTreeMap::new(),
            pending: Vec::new(),
            again: false,
            around,
            done: Done::default(),
        };
        let now_ms = batch.around.now_ms;
        let mut answers = Vec::new();
        let result = jobs.into_iter().try_for_each(|job| batch.job(job, &mut answers)).and_then(|()| batch.finish());
        let Batch { directory, mut done, .. } = batch;
        match (result, crash) {
            (Ok(()), Some(Crash::BeforeCommit | Crash::Write(_))) | (Err(Crashed), _) => return Err(Crashed),
            (Ok(()), _) => self.store.commit(),
        }
        if let Some(running) = &mut self.up {
            running.directory = directory;
        }
        self.take_next_key();
        done.crashed = crash == Some(Crash::AfterCommit);
        // Only now anybody is told: a receipt is given for what is durable.
        for (origin, answer) in answers {
            done.answers.push((origin, self.told(answer, now_ms)));
        }
        Ok(done)
    }

    fn told(&self, answer: Answer, now_ms: i64) -> Event {
        let Answer { log, size, root, note, refused } = answer;
        match refused {
            Some((sequence, refusal)) => Event::Refused { log, size, root, sequence, refusal },
            None => {
                let receipt = note.and_then(|note| self.cosign(&note, now_ms));
                Event::Committed { log, size, root, receipt }
            }
        }
    }

    /// The planted fault: what a package will do once it is committed, said before it is.
    pub fn answer_ahead(&self, package: &Package) -> Option<Event> {
        let directory = self.up.as_ref()?.directory.clone();
        let head = self.store.logs.get(&package.log).map(|row| row.head.clone()).unwrap_or_default();
        let known = repeated(head.size(), package).ok()?;
        let from = usize::try_from(package.first).ok()?;
        let kept: Vec<Hash> = self.store.log(&package.log)[from..from + known].iter().map(|kept| kept.leaf).collect();
        let Judged { trial, refused: None, .. } = Trial::new(directory, head).judge(package, &kept, &Ahead::default())
        else {
            return None;
        };
        let (size, root) = (trial.head.size(), trial.head.root());
        Some(Event::Committed { log: package.log.clone(), size, root, receipt: None })
    }
}

struct Answer {
    log: LogId,
    size: u64,
    root: Hash,
    note: Option<String>,
    refused: Option<(u64, Refusal)>,
}

pub(super) struct Batch<'a, 'b> {
    pub(super) node: &'a mut Node,
    pub(super) directory: Arc<Directory>,
    pub(super) logs: BTreeMap<LogId, LogRow>,
    pending: Vec<Entry>,
    /// A package came that was here already.
    again: bool,
    around: &'a mut Around<'b>,
    done: Done,
}

impl Batch<'_, '_> {
    fn job(&mut self, job: Job, answers: &mut Vec<(Origin, Answer)>) -> Result<(), Crashed> {
        match job {
            Job::Receive { package, origin } => {
                let answer = match origin.is_some() && *package.log.stream() == Stream::Records && self.is_old_copy() {
                    // It does not know who may sign by now; its sender has it still.
                    true => {
                        let refusal = Refusal::new(Reason::ReadOnly, "an old copy takes nothing in");
                        answer(&self.row(&package.log), Some((package.first, refusal)))
                    }
                    false => self.receive(&package)?,
                };
                // What nobody brought, an author who tries what it may not has made: that it is refused is all that is asked for.
                if origin.is_some() {
                    self.stop_other_history(&package, &answer)?;
                }
                match (origin, answer.refused) {
                    (Some(origin), refused) => answers.push((origin, Answer { refused, ..answer })),
                    (None, Some((_, refusal))) => self.done.refused.push((package.log, refusal)),
                    (None, None) => {}
                }
            }
            Job::Write { stream, drafts } => self.write(stream, drafts),
            Job::Rotate => self.rotate(),
            Job::Receipts(rows) => {
                for row in rows {
                    if self.is_of_our_history(&row)? {
                        self.node.store.receipt(&row)?;
                        self.done.receipts.push(row);
                    }
                }
            }
            Job::Trouble { log, reason, shown } => {
                let mut row = self.row(&log);
                let is_proven = shown.map(|shown| self.shown(&row, &shown)).transpose()?;
                // Somebody else's log is stopped by evidence alone: what is sent of it may be what proves it.
                if reason != Reason::RootDiffers || *log.node() == self.node.id || is_proven != Some(false) {
                    row.trouble = Some(reason);
                    self.logs.insert(log, row);
                }
            }
            Job::Recover(packages) => {
                for package in packages {
                    let mut row = self.row(&package.log);
                    row.trouble = None;
                    self.logs.insert(package.log.clone(), row);
                    if let Some((_, refusal)) = self.receive(&package)?.refused {
                        self.done.refused.push((package.log, refusal));
                    } else if *package.log.node() == self.node.id {
                        self.sign_head(&package.log);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn row(&self, log: &LogId) -> LogRow {
        let row = self.logs.get(log).or_else(|| self.node.store.logs.get(log)).cloned();
        row.unwrap_or_else(|| LogRow { log: log.clone(), head: LogHead::default(), checkpoint: None, trouble: None })
    }

    fn receive(&mut self, package: &Package) -> Result<Answer, Crashed> {
        let row = self.row(&package.log);
        if row.trouble.is_some() {
            let refusal = Refusal::new(Reason::LogQuarantined, format!("{} is stopped here", row.log));
            return Ok(answer(&row, Some((package.first, refusal))));
        }
        let known = match repeated(row.head.size(), package) {
            Ok(known) => known,
            Err(_) if Bug::SkippedSequenceCheck.is_in(self.around.bug) => {
                return Ok(self.append_unchecked(row, package));
            }
            Err(refused) => return Ok(answer(&row, Some(refused))),
        };
        self.again |= known > 0;
        if known > 0 {
            self.flush()?;
        }
        let first = usize::try_from(package.first).unwrap_or(usize::MAX);
        let kept: Vec<Hash> =
            self.node.store.log(&package.log).iter().skip(first).take(known).map(|kept| kept.leaf).collect();
        let trial = Trial::new(self.directory.clone(), row.head.clone());
        let Judged { trial, checkpoint, refused } = trial.judge(package, &kept, &Ahead::default());
        if let Some((sequence, refusal)) = self.given_up(&trial.entries)? {
            let fitting = usize::try_from(sequence.saturating_sub(package.first)).unwrap_or(0);
            let entries = package.entries.iter().take(fitting).cloned().collect();
            let before = Package { entries, checkpoint: None, ..package.clone() };
            let Judged { trial, checkpoint, .. } =
                Trial::new(self.directory.clone(), row.head.clone()).judge(&before, &kept, &Ahead::default());
            let row = self.keep(row, trial, checkpoint);
            return Ok(answer(&row, Some((sequence, refusal))));
        }
        let row = self.keep(row, trial, checkpoint);
        Ok(answer(&row, refused))
    }

    /// What is refused may be of another history, and prove it: then the log stops.
    fn stop_other_history(&mut self, package: &Package, answer: &Answer) -> Result<(), Crashed> {
        let Some(refused) = &answer.refused else { return Ok(()) };
        let mut row = self.row(&package.log);
        let proven = match &package.checkpoint {
            Some(theirs) if refused.1.reason == Reason::RootDiffers => self.shown(&row, theirs)?,
            _ => self.other_entry(&row, package, (refused.0, &refused.1))?,
        };
        if proven {
            row.trouble = Some(Reason::RootDiffers);
            self.logs.insert(row.log.clone(), row);
        }
        Ok(())
    }

    /// The planted fault: takes the package's word for where it belongs.
    fn append_unchecked(&mut self, row: LogRow, package: &Package) -> Answer {
        let before = package.entries.first().and_then(|first| {
            let opened = self.directory.open(first.envelope.clone(), None).ok()?;
            opened.change_set().previous
        });
        let tree = [0; 32].repeat(package.first.count_ones() as usize);
        let Ok(head) = LogHead::restore(package.first, &tree, before) else { return answer(&row, None) };
        let trial = Trial::new(self.directory.clone(), head);
        let package = Package { checkpoint: None, ..package.clone() };
        let Judged { trial, checkpoint, refused } = trial.judge(&package, &[], &Ahead::default());
        let row = self.keep(row, trial, checkpoint);
        answer(&row, refused)
    }

    fn keep(&mut self, mut row: LogRow, trial: Trial, note: Option<String>) -> LogRow {
        if trial.head.size() == row.head.size() && note.is_none() {
            return row;
        }
        row.checkpoint = note;
        row.head = trial.head;
        if *row.log.stream() == Stream::Directory && !trial.entries.is_empty() {
            self.directory = trial.directory;
        }
        self.pending.extend(trial.entries);
        self.logs.insert(row.log.clone(), row.clone());
        row
    }

    fn is_old_copy(&self) -> bool {
        let behind = |row: &LogRow| *row.log.node() == self.node.id && row.trouble == Some(Reason::ReadOnly);
        let rows = self.node.store.logs.values().filter(|row| !self.logs.contains_key(&row.log));
        self.node.unsure || rows.chain(self.logs.values()).any(behind)
    }

    fn may_not_write(&self) -> bool {
        let rows = self.node.store.logs.values().filter(|row| !self.logs.contains_key(&row.log));
        self.node.unsure || is_stopped(rows.chain(self.logs.values()), &self.node.id)
    }

    /// Seals drafts one after the other at the end of an own log. What the rules refuse is not written.
    fn write(&mut self, stream: Stream, drafts: Vec<Draft>) {
        let log = self.node.own(stream);
        let row = self.row(&log);
        if self.may_not_write() {
            return;
        }
        let mut trial = Trial::new(self.directory.clone(), row.head.clone());
        let signer = self.signer();
        for draft in drafts {
            let sealing = Sealing {
                log: &log,
                position: trial.head.position(),
                recorded_at_ms: self.around.now_ms,
                units_version: VERSION,
                salt_seed: self.around.rng.bytes(),
                signer: &*signer,
            };
            let Ok((envelope, parts)) = seal(draft, &sealing) else { return };
            if let Err(refusal) = trial.take(&log, envelope.bytes(), parts.as_ref()) {
                self.done.refused.push((log, refusal));
                return;
            }
        }
        let Ok(note) = checkpoint::sign(&trial.head.checkpoint(&log), &*signer) else { return };
        self.keep(row, trial, Some(note));
    }

    /// The author says anew where its log stands: who gave it back may hold no word of it for this size.
    fn sign_head(&mut self, log: &LogId) {
        let mut row = self.row(log);
        row.checkpoint = checkpoint::sign(&row.head.checkpoint(log), &*self.signer()).ok();
        self.logs.insert(log.clone(), row);
    }

    /// The key that counts by what this batch has in its directory.
    fn signer(&self) -> Rc<SoftwareSigner> {
        let current = self.directory.node(&self.node.id).map(|node| *node.key());
        let next = self.node.next_signer.as_ref().filter(|next| current == Some(*next.public_key()));
        next.unwrap_or(&self.node.signer).clone()
    }

    /// The change of keys, signed by both; the old one's last word.
    fn rotate(&mut self) {
        let log = self.node.own(Stream::Directory);
        let row = self.row(&log);
        let Some(next) = self.node.next_signer.clone().filter(|_| !self.may_not_write()) else {
            return;
        };
        let own = self.node.store.logs.keys().chain(self.logs.keys()).filter(|log| *log.node() == self.node.id);
        let mut from: BTreeMap<LogId, u64> = own.map(|log| (log.clone(), self.row(log).head.size())).collect();
        from.insert(log.clone(), row.head.size() + 1);
        let body = Body::NodeRekeyed(NodeRekeyed {
            node: self.node.id.clone(),
            log_public_key: *next.public_key().as_bytes(),
            from: from.into_iter().collect(),
        });
        let set = ChangeSet {
            log: log.clone(),
            sequence: row.head.size(),
            previous: row.head.last_leaf(),
            recorded_at_ms: self.around.now_ms,
            units_version: VERSION.to_owned(),
            first_id: Node::change_id(self.around.now_ms, self.around.rng.bytes()),
            changes: vec![super::author::change(self.node.id.unit(), body)],
        };
        let Ok(envelope) = Envelope::seal(CHANGE_SET_TYPE, &set.encode(), &[&*self.node.signer, &*next]) else {
            return;
        };
        let mut trial = Trial::new(self.directory.clone(), row.head.clone());
        if let Err(refusal) = trial.take(&log, envelope.bytes(), None) {
            self.done.refused.push((log, refusal));
            return;
        }
        let Ok(note) = checkpoint::sign(&trial.head.checkpoint(&log), &*next) else { return };
        self.keep(row, trial, Some(note));
    }

    fn finish(&mut self) -> Result<(), Crashed> {
        self.flush()?;
        for row in std::mem::take(&mut self.logs).into_values() {
            self.done.logs.insert(row.log.clone());
            self.node.store.log_row(row)?;
        }
        Ok(())
    }

    /// Writes the pending entries and counts them.
    pub(super) fn flush(&mut self) -> Result<(), Crashed> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let entries: Vec<Rc<Entry>> = std::mem::take(&mut self.pending).into_iter().map(Rc::new).collect();
        self.done.entries += entries.len();
        let mut intake = Intake::default();
        entries.iter().for_each(|entry| intake.take(entry));
        let store = &mut self.node.store;
        for unknown in &intake.unknown {
            store.unknown_kind(unknown.change)?;
        }
        for end in std::mem::take(&mut intake.closed) {
            store.period(end)?;
        }
        if !intake.changes.is_empty() {
            let outcome = counted(store, intake);
            self.done.repeated += outcome.counts.repeated;
            write_outcome(store, &outcome)?;
            if self.again && Bug::DoubleApply.is_in(self.around.bug) {
                store.count(&outcome.delta)?;
            }
        }
        for entry in entries {
            let kept = Kept {
                envelope: entry.envelope().clone(),
                parts: entry.parts().cloned(),
                leaf: *entry.leaf(),
                seen: entry,
            };
            self.node.store.entry(kept)?;
        }
        Ok(())
    }
}

fn answer(row: &LogRow, refused: Option<(u64, Refusal)>) -> Answer {
    Answer { log: row.log.clone(), size: row.head.size(), root: row.head.root(), note: row.checkpoint.clone(), refused }
}

/// What changes do to the register and the cube of a store.
fn counted(store: &Store, intake: Intake) -> Outcome {
    let batch = cube::Batch::new(intake.changes);
    let rows = batch.person_ids().iter().filter_map(|id| store.persons.get(id));
    let persons: Vec<Person> =
        rows.map(|row| Person::from_bytes(row).expect("the store gives back what it was given")).collect();
    let batch = batch.with_persons(persons);
    let rows = batch.household_keys().iter().filter_map(|key| store.households.get(key));
    let households: Vec<Household> =
        rows.map(|row| Household::from_bytes(row).expect("the store gives back what it was given")).collect();
    batch.with_households(households)
}

fn write_outcome(store: &mut Store, outcome: &Outcome) -> Result<(), Crashed> {
    for person in &outcome.persons {
        store.person(person.id(), person.to_bytes())?;
    }
    for household in &outcome.households {
        store.household(household.key().clone(), Some(household.to_bytes()))?;
    }
    for key in &outcome.emptied {
        store.household(key.clone(), None)?;
    }
    store.count(&outcome.delta)?;
    let mut findings: BTreeMap<PersonId, Vec<_>> = BTreeMap::new();
    for finding in &outcome.findings {
        findings.entry(finding.person).or_default().push((finding.change, finding.unit.clone(), finding.kind));
    }
    for person in &outcome.persons {
        store.finding(person.id(), findings.remove(&person.id()).unwrap_or_default())?;
    }
    Ok(())
}
