//! Findings: records that do not count or are doubtful; who says so, since when, what was answered, and what is needed to find the paper. The
//! slip's number and the person's reference are shown for this node's own records only, as waiting slips are; what was written in an answer, and
//! what was read from identity parts to find it, is shown with one finding, where the part is; nothing else of an identity part comes out.

use std::collections::{BTreeMap, HashMap, HashSet};

use danso_core::calendar::{PartialDate, VIET_NAM_OFFSET_MINUTES};
use danso_core::finding::FindingKind;
use danso_core::register::{Person, person_of};
use danso_proto::change::{ChangeSet, Severity, Verdict};
use danso_proto::envelope::Envelope;
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, LogId, NodeId, PersonId, UnitCode};

use super::{Error, View};
use crate::store::{AnswerRow, FindingKey, FindingTime, StoredEntry, Tx, What, set_id};

/// How far a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingState {
    /// Nobody has done anything about it.
    Open,
    /// It was answered or corrected here, and who says so has not closed it yet.
    Answered,
    /// It was settled.
    Closed,
}

impl FindingState {
    /// All.
    pub const ALL: [Self; 3] = [Self::Open, Self::Answered, Self::Closed];

    /// The word in listings, files and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Closed => "closed",
        }
    }
}

/// A finding, by one of those who say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The change.
    pub change: ChangeId,
    /// Its code, which may be of a newer version when another node says it.
    pub reason: String,
    /// Who says so; `None`: this node.
    pub giver: Option<NodeId>,
    /// Since when, Unix milliseconds; `None` where only its end is known.
    pub opened_at_ms: Option<i64>,
    /// Until when; `None` while it is open.
    pub closed_at_ms: Option<i64>,
    /// How far it is; filled in with the record.
    pub state: FindingState,
    /// How bad it is, and what it is about.
    pub what: What,
    /// The record, when it is here.
    pub record: Option<Record>,
    /// The other record that it is about, when that is here.
    pub other: Option<Record>,
    /// What was answered.
    pub answers: Vec<FindingAnswered>,
}

/// An answer to a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingAnswered {
    /// The change that says so.
    pub id: ChangeId,
    /// Where it stands.
    pub log: LogId,
    /// Its entry.
    pub sequence: u64,
    /// In whose name.
    pub unit: UnitCode,
    /// What is said.
    pub verdict: Verdict,
    /// It was not withdrawn, and is about a record of its unit.
    pub stands: bool,
    /// Author's clock, Unix milliseconds; where it was looked for.
    pub answered_at_ms: Option<i64>,
    /// What was written, where it was looked for and the part is here.
    pub note: String,
}

/// A record, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub log: LogId,
    /// Its entry.
    pub sequence: u64,
    /// The unit that it is about.
    pub unit: UnitCode,
    /// Kind of change.
    pub kind: &'static str,
    /// The person that it is about.
    pub person: Option<PersonId>,
    /// Number of its slip, for an own record.
    pub slip_no: String,
    /// The collaborator's reference of the person, for an own record.
    pub person_ref: String,
}

impl Finding {
    fn key(&self) -> FindingKey {
        (self.change, self.reason.clone())
    }

    /// How bad it is: the worst, where nobody says.
    pub fn severity(&self) -> Severity {
        self.what.severity.unwrap_or_else(|| {
            danso_core::finding::FindingKind::from_code(&self.reason).map_or(Severity::Error, |kind| kind.severity())
        })
    }

    /// The answers that say that the record is right and were not withdrawn.
    pub fn standing(&self) -> impl Iterator<Item = &FindingAnswered> {
        self.answers.iter().filter(|answer| answer.stands)
    }
}

impl From<FindingTime> for Finding {
    fn from(time: FindingTime) -> Self {
        let (change, reason) = time.key;
        Self {
            change,
            reason,
            giver: time.giver,
            opened_at_ms: time.opened_at_ms,
            closed_at_ms: time.closed_at_ms,
            state: if time.closed_at_ms.is_some() { FindingState::Closed } else { FindingState::Open },
            what: time.what,
            record: None,
            other: None,
            answers: Vec::new(),
        }
    }
}

impl View {
    /// All findings, this node's and those that nodes above told of, by change; those that are closed too, if wanted; only about one change,
    /// if one is named. Without their records.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn findings(
        &self,
        closed_too: bool,
        of: Option<ChangeId>,
        today: PartialDate,
    ) -> Result<Vec<Finding>, Error> {
        self.sound()?;
        let mut tx = self.store.read("findings").await?;
        let times = tx.finding_times(closed_too, of).await?;
        let mut findings: Vec<Finding> = times.into_iter().map(Finding::from).collect();
        // Whether a name is overdue depends on the day, and not on the logs alone: it is asked here.
        let kind = FindingKind::Unnamed;
        let due = tx.unnamed_due(today).await?.into_iter().filter(|row| of.is_none_or(|of| of == row.change));
        findings.extend(due.map(|row| {
            Finding::from(FindingTime {
                key: (row.change, kind.code().to_owned()),
                opened_at_ms: Some(i64::from(row.due) * 86_400_000 - i64::from(VIET_NAM_OFFSET_MINUTES) * 60_000),
                closed_at_ms: None,
                giver: None,
                what: What { severity: Some(kind.severity()), ..What::default() },
            })
        }));
        findings.sort_by(|a, b| (a.change, &a.reason).cmp(&(b.change, &b.reason)));
        Ok(findings)
    }

    /// Fills in the records of some findings, what was answered, and so how far each is. `me` is this node. With `notes`, also what was
    /// written in the answers.
    ///
    /// # Errors
    /// When the store fails or an entry does not read.
    pub async fn find_records(&self, me: &NodeId, findings: &mut [Finding], notes: bool) -> Result<(), Error> {
        let mut tx = self.store.read("records").await?;
        let names: HashMap<i64, LogId> = tx.log_list().await?.into_iter().map(|row| (row.pk, row.log)).collect();
        let mut wanted: Vec<ChangeId> =
            findings.iter().flat_map(|finding| [Some(finding.change), finding.what.other]).flatten().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let records = records_of(&mut tx, me, &names, &wanted).await?;
        let keys: Vec<FindingKey> = findings.iter().map(Finding::key).collect();
        let mut answers: BTreeMap<FindingKey, Vec<AnswerRow>> = BTreeMap::new();
        for row in tx.finding_answers(&keys).await? {
            answers.entry((row.answer.change, row.answer.code.clone())).or_default().push(row);
        }
        let own = tx.finding_own(&keys).await?;
        for finding in findings.iter_mut() {
            finding.record = records.get(&finding.change).cloned();
            finding.other = finding.what.other.and_then(|other| records.get(&other).cloned());
            let rows = answers.get(&finding.key()).map(Vec::as_slice).unwrap_or_default();
            finding.answers = answered(rows, finding.record.as_ref(), &names);
            if notes {
                for answer in finding.answers.iter_mut().rev().take(ANSWERS_SHOWN) {
                    read_note(&mut tx, &names, answer).await?;
                }
            }
        }
        // What nodes above found is answered once it is settled here; what only they can see, once it was answered or corrected.
        let is_asked = |finding: &Finding| finding.giver.is_some() && finding.state == FindingState::Open;
        let alone = findings.iter().filter(|finding| is_asked(finding) && !own.contains_key(&finding.key()));
        let mut persons: Vec<PersonId> = alone.filter_map(|finding| finding.record.as_ref()?.person).collect();
        persons.sort_unstable();
        persons.dedup();
        let persons: HashMap<PersonId, Person> =
            tx.person_read(&persons).await?.into_iter().map(|person| (person.id(), person)).collect();
        for finding in findings.iter_mut().filter(|finding| is_asked(finding)) {
            let person = finding.record.as_ref().and_then(|record| persons.get(&record.person?));
            let is_answered = match own.get(&finding.key()) {
                Some(settled) => *settled,
                None => {
                    let is_right = finding.severity() != Severity::Error && finding.standing().next().is_some();
                    is_right || person.is_some_and(|person| person.is_corrected(finding.change))
                }
            };
            if is_answered {
                finding.state = FindingState::Answered;
            }
        }
        Ok(())
    }

    /// How many findings are open or answered, by how bad they are. One that several say is counted once.
    ///
    /// # Errors
    /// When the store fails or an entry does not read.
    pub async fn finding_tally(&self, me: &NodeId) -> Result<BTreeMap<(Severity, FindingState), u64>, Error> {
        let mut tally = BTreeMap::new();
        let mut tx = self.store.read("tally").await?;
        for (severity, count) in tx.finding_open().await? {
            *tally.entry((severity, FindingState::Open)).or_default() += count;
        }
        for (severity, count) in tx.finding_said_settled().await? {
            *tally.entry((severity, FindingState::Answered)).or_default() += count;
        }
        let mut alone: Vec<Finding> = tx.finding_said_alone().await?.into_iter().map(Finding::from).collect();
        drop(tx);
        self.find_records(me, &mut alone, false).await?;
        // Of several who say it, one that is still open decides.
        let mut each: BTreeMap<FindingKey, (Severity, FindingState)> = BTreeMap::new();
        for finding in &alone {
            let said = (finding.severity(), finding.state);
            let kept = each.entry(finding.key()).or_insert(said);
            *kept = (kept.0.min(said.0), kept.1.min(said.1));
        }
        for said in each.into_values() {
            *tally.entry(said).or_default() += 1;
        }
        Ok(tally)
    }
}

/// So many answers to a finding are shown, the last ones: there is no bound to how many somebody signs.
pub const ANSWERS_SHOWN: usize = 20;

/// The answers in `rows`, in the order of their logs, and which of them stand.
fn answered(rows: &[AnswerRow], record: Option<&Record>, names: &HashMap<i64, LogId>) -> Vec<FindingAnswered> {
    let withdrawn: HashSet<(ChangeId, &UnitCode)> = rows
        .iter()
        .filter_map(|row| match row.answer.verdict {
            Verdict::Withdrawn(id) => Some((id, &row.answer.unit)),
            Verdict::Right => None,
        })
        .collect();
    let mut answers: Vec<FindingAnswered> = rows
        .iter()
        .filter_map(|row| {
            let AnswerRow { log, sequence, answer } = row;
            let is_of_record = record.is_some_and(|record| record.unit == answer.unit);
            Some(FindingAnswered {
                id: answer.id,
                log: names.get(log)?.clone(),
                sequence: *sequence,
                unit: answer.unit.clone(),
                verdict: answer.verdict,
                stands: answer.verdict == Verdict::Right
                    && is_of_record
                    && !withdrawn.contains(&(answer.id, &answer.unit)),
                answered_at_ms: None,
                note: String::new(),
            })
        })
        .collect();
    answers.sort_by(|a, b| (&a.log, a.sequence, a.id).cmp(&(&b.log, b.sequence, b.id)));
    answers
}

/// When an answer was written, and what is in its part.
async fn read_note(tx: &mut Tx, names: &HashMap<i64, LogId>, answer: &mut FindingAnswered) -> Result<(), Error> {
    let Some((pk, _)) = names.iter().find(|(_, log)| **log == answer.log) else { return Ok(()) };
    let Some(entry) = tx.entry_read(*pk, answer.sequence, 1, usize::MAX).await?.pop() else { return Ok(()) };
    let set = ChangeSet::decode(Envelope::decode(entry.envelope.clone())?.payload())?;
    answer.answered_at_ms = Some(set.recorded_at_ms);
    if let Some((_, _, Some(part))) = said(&set, &entry).into_iter().find(|(id, ..)| *id == answer.id) {
        answer.note = part.note;
    }
    Ok(())
}

/// The records behind some changes, which are sorted, so that those of one entry stand together.
async fn records_of(
    tx: &mut Tx,
    me: &NodeId,
    names: &HashMap<i64, LogId>,
    changes: &[ChangeId],
) -> Result<HashMap<ChangeId, Record>, Error> {
    let mut sets: Vec<[u8; 12]> = changes.iter().map(|change| set_id(*change)).collect();
    sets.dedup();
    let places = tx.entry_find(&sets).await?;
    let mut found = HashMap::with_capacity(changes.len());
    for set in &sets {
        let Some((pk, sequence)) = places.get(set).copied() else { continue };
        let entry = tx.entry_read(pk, sequence, 1, usize::MAX).await?.pop();
        let (Some(entry), Some(log)) = (entry, names.get(&pk)) else { continue };
        let all = records(log, log.node() == me, &entry)?;
        found.extend(all.into_iter().filter(|(id, _)| changes.binary_search(id).is_ok()));
    }
    Ok(found)
}

/// The changes of an entry, each with its part. One that is withheld or erased tells nothing.
fn said<'a>(
    set: &'a ChangeSet,
    entry: &StoredEntry,
) -> Vec<(ChangeId, &'a danso_proto::change::Change, Option<IdentityPart>)> {
    let mut parts = entry.parts.as_ref().map(|set| set.parts.iter());
    // Parts stand in the order of the commitments.
    set.ids()
        .map(|(id, change)| {
            let part = change.identity_commitment.and_then(|_| parts.as_mut()?.next());
            (id, change, part.and_then(|bytes| IdentityPart::decode(bytes).ok()))
        })
        .collect()
}

/// The records of an entry.
fn records(log: &LogId, own: bool, entry: &StoredEntry) -> Result<HashMap<ChangeId, Record>, Error> {
    let set = ChangeSet::decode(Envelope::decode(entry.envelope.clone())?.payload())?;
    let record = |(id, change, part): (ChangeId, &danso_proto::change::Change, Option<IdentityPart>)| {
        let part = part.filter(|_| own);
        let (slip_no, person_ref) = part.map(|part| (part.slip_no, part.person_ref)).unwrap_or_default();
        let (log, unit, kind) = (log.clone(), change.unit.clone(), change.body.kind());
        let person = person_of(id, &change.body);
        (id, Record { log, sequence: entry.sequence, unit, kind, person, slip_no, person_ref })
    };
    Ok(said(&set, entry).into_iter().map(record).collect())
}
