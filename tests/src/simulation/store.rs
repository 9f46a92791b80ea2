//! A node's disk: the tables of the real store, in memory, with transactions that a crash can end at any write. What was not committed is gone
//! after a crash, what was committed is there. It knows nothing of what the rows mean.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use danso_core::cube::{CubeDelta, CubeKey};
use danso_core::finding::FindingKind;
use danso_core::ledger::{Entry, LogHead};
use danso_core::register::{HouseholdKey, PeriodEnd};
use danso_proto::evidence::Contradiction;
use danso_proto::identity::PartSet;
use danso_proto::ids::{ChangeId, LogId, NodeId, PersonId, UnitCode};
use danso_proto::merkle::Hash;
use danso_proto::package::SealedEntry;
use danso_proto::refusal::Reason;

/// The process ended in the middle of something.
#[derive(Debug)]
pub struct Crashed;

/// Where a log stands.
#[derive(Debug, Clone)]
pub struct LogRow {
    pub log: LogId,
    pub head: LogHead,
    pub checkpoint: Option<String>,
    pub trouble: Option<Reason>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct Kept {
    pub envelope: Bytes,
    pub parts: Option<PartSet>,
    pub leaf: Hash,
    /// The entry as it went through the door, for those who watch; no node reads it.
    pub seen: Rc<Entry>,
}

impl Kept {
    pub fn sealed(&self) -> SealedEntry {
        SealedEntry { envelope: self.envelope.clone(), parts: self.parts.clone() }
    }
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRow {
    pub log: LogId,
    pub giver: NodeId,
    pub size: u64,
    pub note: String,
}

/// What does not count of a person, and why.
pub type FindingRow = (ChangeId, UnitCode, FindingKind);

enum Undo {
    Log(LogId, Option<LogRow>),
    Entry(LogId),
    Person(PersonId, Option<Rc<[u8]>>),
    Household(HouseholdKey, Option<Rc<[u8]>>),
    Cube(CubeKey, i64),
    Findings(PersonId, Option<Vec<FindingRow>>),
    Period(ChangeId),
    Unknown(ChangeId),
    Receipt((LogId, NodeId), Option<ReceiptRow>),
    Evidence,
}

/// The tables.
#[derive(Default)]
pub struct Store {
    pub logs: BTreeMap<LogId, LogRow>,
    pub entries: BTreeMap<LogId, Vec<Kept>>,
    pub persons: BTreeMap<PersonId, Rc<[u8]>>,
    pub households: BTreeMap<HouseholdKey, Rc<[u8]>>,
    pub cube: BTreeMap<CubeKey, i64>,
    pub findings: BTreeMap<PersonId, Vec<FindingRow>>,
    pub periods: BTreeMap<ChangeId, PeriodEnd>,
    pub unknown: BTreeSet<ChangeId>,
    pub receipts: BTreeMap<(LogId, NodeId), ReceiptRow>,
    /// Two statements about a log that cannot both be true.
    pub evidence: Vec<(LogId, Contradiction)>,
    /// The planted fault's second cursor: how far each log was sent to each peer.
    pub sent: BTreeMap<(NodeId, LogId), u64>,
    journal: Vec<Undo>,
    /// Writes until the process ends.
    writes_left: Option<u64>,
}

impl Store {
    /// A copy of what is committed, as a backup takes it.
    pub fn backup(&self) -> Self {
        assert!(self.journal.is_empty(), "a backup is taken between transactions");
        Self {
            logs: self.logs.clone(),
            entries: self.entries.clone(),
            persons: self.persons.clone(),
            households: self.households.clone(),
            cube: self.cube.clone(),
            findings: self.findings.clone(),
            periods: self.periods.clone(),
            unknown: self.unknown.clone(),
            receipts: self.receipts.clone(),
            evidence: self.evidence.clone(),
            sent: self.sent.clone(),
            journal: Vec::new(),
            writes_left: None,
        }
    }

    pub fn size(&self, log: &LogId) -> u64 {
        self.logs.get(log).map_or(0, |row| row.head.size())
    }

    /// The entries of a log; empty when there is none.
    pub fn log(&self, log: &LogId) -> &[Kept] {
        self.entries.get(log).map_or(&[], Vec::as_slice)
    }

    /// Begins a transaction. The process ends before its `crash_at`th write, if that is set.
    pub fn begin(&mut self, crash_at: Option<u64>) {
        debug_assert!(self.journal.is_empty());
        self.writes_left = crash_at;
    }

    /// Keeps what was written.
    pub fn commit(&mut self) {
        self.journal.clear();
        self.writes_left = None;
    }

    /// Takes back what was written and not committed: what a database does when it is opened after a crash.
    pub fn roll_back(&mut self) {
        self.writes_left = None;
        for undo in std::mem::take(&mut self.journal).into_iter().rev() {
            match undo {
                Undo::Log(log, old) => put_back(&mut self.logs, log, old),
                Undo::Entry(log) => {
                    if let Some(entries) = self.entries.get_mut(&log) {
                        entries.pop();
                    }
                }
                Undo::Person(id, old) => put_back(&mut self.persons, id, old),
                Undo::Household(key, old) => put_back(&mut self.households, key, old),
                Undo::Cube(key, count) => self.add(&key, -count),
                Undo::Findings(person, old) => put_back(&mut self.findings, person, old),
                Undo::Period(change) => {
                    self.periods.remove(&change);
                }
                Undo::Unknown(change) => {
                    self.unknown.remove(&change);
                }
                Undo::Receipt(key, old) => put_back(&mut self.receipts, key, old),
                Undo::Evidence => {
                    self.evidence.pop();
                }
            }
        }
    }

    /// Every write comes past here.
    fn write(&mut self, undo: Undo) -> Result<(), Crashed> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or(Crashed)?;
        }
        self.journal.push(undo);
        Ok(())
    }

    pub fn log_row(&mut self, row: LogRow) -> Result<(), Crashed> {
        self.write(Undo::Log(row.log.clone(), self.logs.get(&row.log).cloned()))?;
        self.logs.insert(row.log.clone(), row);
        Ok(())
    }

    pub fn entry(&mut self, kept: Kept) -> Result<(), Crashed> {
        let log = kept.seen.log().clone();
        self.write(Undo::Entry(log.clone()))?;
        self.entries.entry(log).or_default().push(kept);
        Ok(())
    }

    pub fn person(&mut self, id: PersonId, row: Vec<u8>) -> Result<(), Crashed> {
        self.write(Undo::Person(id, self.persons.get(&id).cloned()))?;
        self.persons.insert(id, row.into());
        Ok(())
    }

    pub fn household(&mut self, key: HouseholdKey, row: Option<Vec<u8>>) -> Result<(), Crashed> {
        self.write(Undo::Household(key.clone(), self.households.get(&key).cloned()))?;
        put_back(&mut self.households, key, row.map(Into::into));
        Ok(())
    }

    pub fn count(&mut self, delta: &CubeDelta) -> Result<(), Crashed> {
        for (key, count) in delta.iter() {
            self.write(Undo::Cube(key.clone(), count))?;
            self.add(key, count);
        }
        Ok(())
    }

    fn add(&mut self, key: &CubeKey, count: i64) {
        add(&mut self.cube, key, count);
    }

    pub fn finding(&mut self, person: PersonId, rows: Vec<FindingRow>) -> Result<(), Crashed> {
        let old = self.findings.get(&person).cloned();
        let new = Some(rows).filter(|rows| !rows.is_empty());
        if old != new {
            self.write(Undo::Findings(person, old))?;
            put_back(&mut self.findings, person, new);
        }
        Ok(())
    }

    pub fn period(&mut self, end: PeriodEnd) -> Result<(), Crashed> {
        if !self.periods.contains_key(&end.change) {
            self.write(Undo::Period(end.change))?;
            self.periods.insert(end.change, end);
        }
        Ok(())
    }

    pub fn unknown_kind(&mut self, change: ChangeId) -> Result<(), Crashed> {
        if !self.unknown.contains(&change) {
            self.write(Undo::Unknown(change))?;
            self.unknown.insert(change);
        }
        Ok(())
    }

    /// Keeps a receipt; one for a smaller size than is kept changes nothing.
    pub fn receipt(&mut self, row: &ReceiptRow) -> Result<(), Crashed> {
        let key = (row.log.clone(), row.giver.clone());
        let old = self.receipts.get(&key).cloned();
        if old.as_ref().is_none_or(|old| row.size > old.size) {
            self.write(Undo::Receipt(key.clone(), old))?;
            self.receipts.insert(key, row.clone());
        }
        Ok(())
    }

    pub fn proof_of_two(&mut self, log: LogId, contradiction: Contradiction) -> Result<(), Crashed> {
        let row = (log, contradiction);
        if !self.evidence.contains(&row) {
            self.write(Undo::Evidence)?;
            self.evidence.push(row);
        }
        Ok(())
    }
}

/// Adds to a row of a cube; a row of zero is none.
pub fn add(cube: &mut BTreeMap<CubeKey, i64>, key: &CubeKey, count: i64) {
    match cube.get_mut(key) {
        Some(held) if *held + count == 0 => {
            cube.remove(key);
        }
        Some(held) => *held += count,
        None => {
            cube.insert(key.clone(), count);
        }
    }
}

fn put_back<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => table.insert(key, value),
        None => table.remove(&key),
    };
}
