//! Records that cannot be counted: who says so, since when, and what is needed to find the paper. The slip's number and the
//! person's reference are shown for this node's own records only, as waiting slips are; nothing else of an identity part comes out.

use std::collections::HashMap;

use danso_core::calendar::{PartialDate, VIET_NAM_OFFSET_MINUTES};
use danso_core::finding::FindingKind;
use danso_proto::change::ChangeSet;
use danso_proto::envelope::Envelope;
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, LogId, NodeId, UnitCode};

use super::{Error, View};
use crate::store::{FindingTime, StoredEntry, What, set_id};

/// A record that cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The change.
    pub change: ChangeId,
    /// Why: a reason code, which may be of a newer version when another node says it.
    pub reason: String,
    /// Who says so; `None`: this node.
    pub giver: Option<NodeId>,
    /// Since when, Unix milliseconds; `None` where only its end is known.
    pub opened_at_ms: Option<i64>,
    /// Until when; `None` while it is open.
    pub closed_at_ms: Option<i64>,
    /// How bad it is, and what it is about.
    pub what: What,
    /// The record, when it is here.
    pub record: Option<Record>,
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
    /// Number of its slip, for an own record.
    pub slip_no: String,
    /// The collaborator's reference of the person, for an own record.
    pub person_ref: String,
}

impl View {
    /// All findings, this node's and those that nodes above told of, by change; those that are closed too, if wanted. Without their records.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn findings(&self, closed_too: bool, today: PartialDate) -> Result<Vec<Finding>, Error> {
        self.sound()?;
        let mut tx = self.store.read("findings").await?;
        let times = tx.finding_times(closed_too).await?;
        let finding = |time: FindingTime| Finding {
            change: time.key.0,
            reason: time.key.1,
            giver: time.giver,
            opened_at_ms: time.opened_at_ms,
            closed_at_ms: time.closed_at_ms,
            what: time.what,
            record: None,
        };
        let mut findings: Vec<Finding> = times.into_iter().map(finding).collect();
        // Whether a name is overdue depends on the day, and not on the logs alone: it is asked here.
        let kind = FindingKind::Unnamed;
        findings.extend(tx.unnamed_due(today).await?.into_iter().map(|row| Finding {
            change: row.change,
            reason: kind.code().to_owned(),
            giver: None,
            opened_at_ms: Some(i64::from(row.due) * 86_400_000 - i64::from(VIET_NAM_OFFSET_MINUTES) * 60_000),
            closed_at_ms: None,
            what: What { severity: Some(kind.severity()), ..What::default() },
            record: None,
        }));
        findings.sort_by(|a, b| (a.change, &a.reason).cmp(&(b.change, &b.reason)));
        Ok(findings)
    }

    /// Fills in the records of some findings. `me` is this node.
    ///
    /// # Errors
    /// When the store fails or an entry does not read.
    pub async fn find_records(&self, me: &NodeId, findings: &mut [Finding]) -> Result<(), Error> {
        let mut tx = self.store.read("records").await?;
        let mut sets: Vec<[u8; 12]> = findings.iter().map(|finding| set_id(finding.change)).collect();
        sets.dedup();
        let places = tx.entry_find(&sets).await?;
        let logs: HashMap<i64, LogId> = tx.log_list().await?.into_iter().map(|row| (row.pk, row.log)).collect();
        // Findings come by change, so that those about one entry stand together.
        let mut last: Option<([u8; 12], HashMap<ChangeId, Record>)> = None;
        for finding in findings {
            let set = set_id(finding.change);
            let Some((pk, sequence)) = places.get(&set).copied() else { continue };
            if last.as_ref().is_none_or(|(of, _)| *of != set) {
                let entry = tx.entry_read(pk, sequence, 1, usize::MAX).await?.pop();
                let (Some(entry), Some(log)) = (entry, logs.get(&pk)) else { continue };
                last = Some((set, records(log, log.node() == me, &entry)?));
            }
            finding.record = last.as_ref().and_then(|(_, records)| records.get(&finding.change).cloned());
        }
        Ok(())
    }
}

/// The records of an entry.
fn records(log: &LogId, own: bool, entry: &StoredEntry) -> Result<HashMap<ChangeId, Record>, Error> {
    let set = ChangeSet::decode(Envelope::decode(entry.envelope.clone())?.payload())?;
    let mut parts = entry.parts.as_ref().map(|set| set.parts.iter());
    let mut records = HashMap::with_capacity(set.changes.len());
    for (id, change) in set.ids() {
        // Parts stand in the order of the commitments. One that is withheld or erased tells nothing.
        let part = change.identity_commitment.and_then(|_| parts.as_mut()?.next());
        let part = part.filter(|_| own).and_then(|bytes| IdentityPart::decode(bytes).ok());
        let (slip_no, person_ref) = part.map(|part| (part.slip_no, part.person_ref)).unwrap_or_default();
        let (log, unit, kind) = (log.clone(), change.unit.clone(), change.body.kind());
        records.insert(id, Record { log, sequence: entry.sequence, unit, kind, slip_no, person_ref });
    }
    Ok(records)
}
