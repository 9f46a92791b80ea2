//! Rows of a form become entries: what they need is read in a few statements, the forms room decides, and what it drafts is sealed and
//! goes through the same door as everybody's entries. In the same transaction the store learns which rows came, so that a file can be
//! imported again, or its import be cut anywhere and begun anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danso_core::forms::{
    Drafter, Form, Known, KnownPerson, Missing, MissingWhat, Outcome, Row, RowProblem, Source, needed, resolve,
};
use danso_core::ledger::Draft;
use danso_proto::ids::{ChangeId, Stream, UnitCode};
use danso_proto::refusal::{Reason, Refusal};

use super::Error;
use super::batch::{Batch, units_version};
use crate::keys;
use crate::store::{SourceRow, WaitingSlip};

/// Rows of a form, in the order of the file.
#[derive(Debug, Clone)]
pub struct ImportBatch {
    /// The rows.
    pub rows: Vec<Row>,
    /// Set for a dry run: what its earlier batches would have made known.
    pub dry_run: Option<DryRun>,
}

impl ImportBatch {
    /// Nothing of it is kept.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.is_some()
    }
}

/// What a dry run carries from batch to batch, because nothing of it is kept in the store.
#[derive(Debug, Clone, Default)]
pub struct DryRun(Arc<Mutex<Carried>>);

#[derive(Debug, Default)]
struct Carried {
    known: Known,
    waiting: HashMap<(UnitCode, String), Vec<Row>>,
    /// Slips of which was told that they are refused.
    refused: HashSet<(UnitCode, String)>,
    /// What the batch at hand adds. It counts once its transaction is done: that can be tried more than once.
    next: Option<Next>,
}

/// What a batch of a dry run adds to what is carried.
#[derive(Debug)]
struct Next {
    known: Known,
    waits: Vec<(Key, Row)>,
    released: HashSet<Key>,
    refused: Vec<Key>,
}

/// What became of a row.
#[derive(Debug, Clone)]
pub struct ImportedRow {
    /// Line in the file.
    pub line: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a batch.
#[derive(Debug, Clone, Default)]
pub struct ImportedRows {
    /// The rows, in their order.
    pub rows: Vec<ImportedRow>,
    /// Slips that waited and were taken now.
    pub released: u64,
    /// Slips that waited, could have been taken now, and were refused: they are kept, with the reason. Each is told once for a reason.
    pub refused: Vec<RefusedSlip>,
    /// Change sets written.
    pub entries: u64,
}

/// A slip of an earlier batch that was refused when what it waited for came.
#[derive(Debug, Clone)]
pub struct RefusedSlip {
    /// The commune of the slip.
    pub unit: UnitCode,
    /// Its number.
    pub slip_no: String,
    /// Why.
    pub problem: RowProblem,
}

type Key = (UnitCode, String);

impl Batch<'_> {
    pub(super) async fn import(&mut self, batch: &ImportBatch) -> Result<ImportedRows, Error> {
        self.import_with(batch, Vec::new()).await
    }

    /// Takes slips that wait for what is known by now. Normally there are none; but what is known may have been made again, and whoever does
    /// that has no key to sign them with.
    pub(super) async fn release(&mut self) -> Result<(), Error> {
        let (known, waiting) = self.tx.waiting_known().await?;
        if waiting == 0 {
            return Ok(());
        }
        let imported = self.import_with(&ImportBatch { rows: Vec::new(), dry_run: None }, known).await?;
        let (released, refused) = (imported.released, imported.refused.len());
        tracing::info!(waiting, released, refused, "slips waited for what is known: they were looked at again");
        Ok(())
    }

    /// Takes in rows, and slips that wait for them or for what is `known`.
    async fn import_with(&mut self, batch: &ImportBatch, known: Vec<Key>) -> Result<ImportedRows, Error> {
        // What was imported before in this transaction must be found.
        self.flush().await?;
        let now_ms = self.outfit.clock.now_ms();
        units_version(self.directory(), &self.own_unit()?, now_ms)?;
        let mut run = Run {
            known: Known::new(),
            drafter: Drafter::new(move || {
                ChangeId::first(u64::try_from(now_ms).unwrap_or_default(), keys::random_bytes())
            }),
            sources: Vec::new(),
            now_known: known.into_iter().collect(),
            done: Vec::new(),
            refused: Vec::new(),
            waits: Vec::new(),
            released: HashSet::new(),
        };
        let dry_run = batch.dry_run.as_ref();
        self.prefetch(&batch.rows, dry_run, &mut run.known).await?;
        let mut imported = ImportedRows::default();
        for (at, row) in batch.rows.iter().enumerate() {
            imported.rows.push(ImportedRow { line: row.line(), outcome: run.take(row, Some(at))? });
        }
        // A slip that is released can make known what others wait for.
        while !run.now_known.is_empty() {
            let keys: Vec<Key> = run.now_known.drain().collect();
            let released = self.released(&keys, dry_run, &mut run).await?;
            self.prefetch(released.iter().map(|slip| &slip.row), dry_run, &mut run.known).await?;
            for slip in released {
                match (run.take(&slip.row, slip.at)?, slip.at) {
                    (Outcome::Taken { .. }, _) => imported.released += 1,
                    // It waits nowhere else: whoever imports it is told here, or never.
                    (refused @ Outcome::Refused(_), Some(at)) => {
                        if let Some(told) = imported.rows.get_mut(at) {
                            told.outcome = refused;
                        }
                    }
                    (Outcome::Refused(problem), None) => {
                        // Else every import that says something about this person would tell it again.
                        if slip.reason.as_deref() != Some(problem.reason.code()) {
                            let (unit, slip_no) = (slip.row.unit().clone(), slip.row.key().1.to_owned());
                            run.refused.push(RefusedSlip { unit, slip_no, problem });
                        }
                    }
                    (Outcome::Unchanged | Outcome::Doubted(_) | Outcome::Waits { .. }, _) => {}
                }
            }
        }
        let Run { known, mut drafter, sources, done, waits, refused, released, .. } = run;
        imported.refused = refused;
        // A slip can be tried more than once, and be taken once another was.
        let mut told: HashSet<Key> = done.iter().cloned().collect();
        imported.refused.retain(|slip| told.insert((slip.unit.clone(), slip.slip_no.clone())));
        let sets = drafter.finish();
        imported.entries = sets.len() as u64;
        let drafts: Vec<Draft> = sets
            .into_iter()
            .map(|set| Draft { first_id: set.first_id, changes: set.changes, parts: set.parts })
            .collect();
        if !drafts.is_empty() {
            self.write(&Stream::Records, drafts).await?;
        }
        if let Some(dry_run) = dry_run {
            dry_run.tell_once(&mut imported.refused);
            let refused = imported.refused.iter().map(|slip| (slip.unit.clone(), slip.slip_no.clone())).collect();
            let waits = waits.into_iter().map(|wait| (key(&wait.missing), wait.row)).collect();
            dry_run.carried().next = Some(Next { known, waits, released, refused });
            return Ok(imported);
        }
        self.tx.source_put(&sources).await?;
        self.tx.waiting_remove(&done).await?;
        for slip in &imported.refused {
            self.tx.waiting_refused(&slip.unit, &slip.slip_no, slip.problem.reason).await?;
        }
        let waits = waits.into_iter().map(|wait| waiting(&wait.missing, now_ms, &wait.row));
        self.tx.waiting_put(&waits.collect::<Result<Vec<_>, _>>()?).await?;
        Ok(imported)
    }

    /// Slips that wait for what has just become known, and where those of this batch stand in it.
    async fn released(
        &mut self,
        keys: &[Key],
        dry_run: Option<&DryRun>,
        run: &mut Run<impl FnMut() -> ChangeId>,
    ) -> Result<Vec<Released>, Error> {
        // Those of this very batch wait in memory. They come first: one slip can be in the store and, newer, in this batch.
        let (now, later): (Vec<Wait>, _) =
            std::mem::take(&mut run.waits).into_iter().partition(|wait| keys.contains(&key(&wait.missing)));
        run.waits = later;
        let of_batch = |wait: Wait| Released { row: wait.row, at: wait.at, reason: None };
        let mut rows: Vec<Released> = now.into_iter().map(of_batch).collect();
        for slip in self.tx.waiting_for(keys).await? {
            let row = postcard::from_bytes(&slip.slip).map_err(|e| crate::store::Error::Inconsistent {
                table: "waiting",
                column: "slip",
                why: e.to_string(),
            })?;
            rows.push(Released { row, at: None, reason: slip.reason });
        }
        if let Some(dry_run) = dry_run {
            let of_run = |row| Released { row, at: None, reason: None };
            rows.extend(dry_run.released(keys, &run.released).into_iter().map(of_run));
            run.released.extend(keys.iter().cloned());
        }
        let mut seen = HashSet::new();
        rows.retain(|slip| seen.insert((slip.row.unit().clone(), slip.row.key().1.to_owned())));
        Ok(rows)
    }

    /// Reads what the rows need to know into `known`.
    async fn prefetch(
        &mut self,
        rows: impl IntoIterator<Item = &Row>,
        dry_run: Option<&DryRun>,
        known: &mut Known,
    ) -> Result<(), Error> {
        let needed = needed(rows);
        if let Some(dry_run) = dry_run {
            known.look_up(&needed, &dry_run.carried().known);
        }
        let keys = |set: &std::collections::BTreeSet<(&UnitCode, &str)>| -> Vec<Key> {
            set.iter().map(|(unit, key)| ((*unit).clone(), (*key).to_owned())).collect()
        };
        let persons: Vec<Key> =
            keys(&needed.persons).into_iter().filter(|(u, r)| known.person(u, r).is_none()).collect();
        for ((unit, reference), person) in self.tx.person_by_reference(&persons).await? {
            if let Some(profile) = person.profile() {
                let person = KnownPerson {
                    id: person.id(),
                    sex: profile.sex,
                    birth_month: profile.birth_month,
                    household: Some(profile.household),
                };
                known.add_person(&unit, &reference, person);
            }
        }
        let households: Vec<Key> =
            keys(&needed.households).into_iter().filter(|(u, n)| known.household(u, n).is_none()).collect();
        for ((unit, number), household) in self.tx.household_by_number(&households).await? {
            known.add_household(&unit, &number, household);
        }
        for form in [Form::Households, Form::Changes] {
            let sources: Vec<Key> = needed
                .sources
                .iter()
                .filter(|(unit, of, key)| *of == form && known.source(unit, form, key).is_none())
                .map(|(unit, _, key)| ((*unit).clone(), (*key).to_owned()))
                .collect();
            for row in self.tx.source_read(form_code(form), &sources).await? {
                let source = Source { digest: row.digest, change: row.change, person: row.person, birth: row.birth };
                known.add_source(&row.unit, form, &row.key, source);
            }
            if form == Form::Changes {
                for slip in self.tx.waiting_read(&sources).await? {
                    known.add_waiting(&slip.unit, &slip.slip_no);
                }
            }
        }
        Ok(())
    }
}

/// A batch of rows under way.
struct Run<F> {
    known: Known,
    drafter: Drafter<F>,
    sources: Vec<SourceRow>,
    /// What has become known and not been looked for among the waiting slips.
    now_known: HashSet<Key>,
    /// Slips that were taken: they wait no longer, if they did.
    done: Vec<Key>,
    waits: Vec<Wait>,
    /// Slips of earlier batches that are refused, and were not for this reason before.
    refused: Vec<RefusedSlip>,
    /// What a dry run's earlier slips waited for and has come.
    released: HashSet<Key>,
}

/// A slip whose time has come.
struct Released {
    row: Row,
    /// Where it stands in this batch, if it is of it.
    at: Option<usize>,
    /// Why it was refused before.
    reason: Option<String>,
}

/// A slip that waits, and where it stands in this batch if it is of it.
struct Wait {
    missing: Missing,
    row: Row,
    at: Option<usize>,
}

impl<F: FnMut() -> ChangeId> Run<F> {
    /// `at`: where the row stands in the batch.
    fn take(&mut self, row: &Row, at: Option<usize>) -> Result<Outcome, Error> {
        let outcome = resolve(row, &mut self.known, &mut self.drafter);
        let (form, key) = row.key();
        let unit = row.unit();
        match &outcome {
            Outcome::Taken { .. } => {
                let source = self
                    .known
                    .source(unit, form, key)
                    .ok_or_else(|| Refusal::new(Reason::Internal, "a row was taken and is not known"))?;
                self.sources.push(SourceRow {
                    unit: unit.clone(),
                    form: form_code(form),
                    key: key.to_owned(),
                    digest: source.digest,
                    change: source.change,
                    person: source.person,
                    birth: source.birth,
                });
                self.now_known.insert((unit.clone(), format!("person:{}", row.person_ref())));
                if form == Form::Changes {
                    self.now_known.insert((unit.clone(), format!("slip:{key}")));
                    self.done.push((unit.clone(), key.to_owned()));
                }
            }
            Outcome::Waits { missing } => {
                self.known.add_waiting(unit, key);
                self.waits.push(Wait { missing: missing.clone(), row: row.clone(), at });
            }
            Outcome::Unchanged | Outcome::Doubted(_) | Outcome::Refused(_) => {}
        }
        Ok(outcome)
    }
}

impl DryRun {
    fn carried(&self) -> MutexGuard<'_, Carried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batch at hand is done: the next one knows what it added.
    pub(super) fn keep(&self) {
        let mut carried = self.carried();
        let Some(Next { known, waits, released, refused }) = carried.next.take() else { return };
        carried.known.extend(known);
        carried.refused.extend(refused);
        for key in &released {
            carried.waiting.remove(key);
        }
        for (key, row) in waits {
            carried.waiting.entry(key).or_default().push(row);
        }
    }

    /// Nothing of a dry run is kept, so that the store would have each batch tell the same.
    fn tell_once(&self, refused: &mut Vec<RefusedSlip>) {
        let carried = self.carried();
        refused.retain(|slip| !carried.refused.contains(&(slip.unit.clone(), slip.slip_no.clone())));
    }

    /// Slips of earlier batches that wait for `keys`, of which none was `released` before.
    fn released(&self, keys: &[Key], released: &HashSet<Key>) -> Vec<Row> {
        let carried = self.carried();
        let now = keys.iter().filter(|key| !released.contains(*key));
        now.filter_map(|key| carried.waiting.get(key)).flatten().cloned().collect()
    }
}

/// The store's number of a form.
pub(super) fn form_code(form: Form) -> u8 {
    match form {
        Form::Households => 1,
        Form::Changes => 2,
    }
}

fn key(missing: &Missing) -> Key {
    let what = match missing.what {
        MissingWhat::Person => "person",
        MissingWhat::Slip => "slip",
    };
    (missing.unit.clone(), format!("{what}:{}", missing.reference))
}

fn waiting(missing: &Missing, since_ms: i64, row: &Row) -> Result<WaitingSlip, Error> {
    let slip = postcard::to_allocvec(row)
        .map_err(|e| Refusal::new(Reason::Internal, format!("a slip could not be kept: {e}")))?;
    Ok(WaitingSlip {
        unit: row.unit().clone(),
        slip_no: row.key().1.to_owned(),
        missing: key(missing),
        kind: row.kind().to_owned(),
        slip,
        since_ms,
        reason: None,
    })
}
