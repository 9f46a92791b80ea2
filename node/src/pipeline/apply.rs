//! From entries to register and cube, in a handful of statements a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use danso_core::cube::Batch;
use danso_core::finding::{Finding, FindingAnswer, FindingKind, Sights};
use danso_core::ledger::Entry;
use danso_core::register::{HouseholdKey, Intake, Person, Rules};
use danso_core::rollup::spread;
use danso_core::rules::{Rulebooks, Suspicion};
use danso_core::units::UnitList;
use danso_proto::ids::{LogId, PersonId, Stream};

use super::Error;
use super::judge::{Judged, judge};
use crate::store::{AnswerRow, FindingKey, FindingRow, LogRow, Tx, set_id};

/// What entries are counted and judged by.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    /// How entries become register and cube.
    pub(super) rules: Rules,
    /// The unit lists that roll-ups are kept for.
    pub(super) lists: &'a [&'a UnitList],
    /// The rules of consistency.
    pub(super) books: &'a Rulebooks,
}

/// Counts what verified entries say, and names the findings that came, went or were answered. The entries' logs have their rows already.
pub(super) async fn apply(
    tx: &mut Tx,
    logs: &BTreeMap<LogId, LogRow>,
    entries: &[Entry],
    by: By<'_>,
) -> Result<Vec<FindingKey>, Error> {
    let mut changed = Vec::new();
    let mut intake = Intake::new(by.rules);
    for entry in entries {
        intake.take(entry);
    }
    note_units(tx, logs, entries).await?;
    // A finding says where its change stands; most are about changes of this batch.
    let mut places: HashMap<[u8; 12], (i64, u64)> = HashMap::with_capacity(entries.len());
    for entry in entries {
        let pk = logs.get(entry.log()).map_or(0, |row| row.pk);
        places.insert(set_id(entry.change_set().first_id), (pk, entry.sequence()));
    }
    if !intake.unknown.is_empty() {
        let rows: Vec<FindingRow> = intake
            .unknown
            .iter()
            .filter_map(|unknown| {
                let (log, sequence) = *places.get(&set_id(unknown.change))?;
                Some(FindingRow {
                    change: unknown.change,
                    person: None,
                    log,
                    sequence,
                    unit: unknown.unit.clone(),
                    kind: FindingKind::KindUnknown,
                    severity: FindingKind::KindUnknown.severity(),
                    other: None,
                    seen: Sights::default(),
                })
            })
            .collect();
        tx.finding_add(&rows).await?;
        changed.extend(rows.iter().map(key));
    }
    if !intake.answers.is_empty() {
        changed.extend(intake.answers.iter().map(|answer| (answer.change, answer.code.clone())));
        let place = |answer: FindingAnswer| {
            let (log, sequence) = *places.get(&set_id(answer.id))?;
            Some(AnswerRow { log, sequence, answer })
        };
        let answers: Vec<AnswerRow> = std::mem::take(&mut intake.answers).into_iter().filter_map(place).collect();
        tx.finding_answer_add(&answers).await?;
    }
    tx.period_put(&intake.closed).await?;
    if intake.changes.is_empty() {
        return Ok(changed);
    }
    let batch = Batch::new(intake.changes);
    let persons = tx.person_read(batch.person_ids()).await?;
    let known: HashSet<PersonId> = persons.iter().map(Person::id).collect();
    let batch = batch.with_persons(persons);
    let households = tx.household_read(batch.household_keys()).await?;
    let known_households: HashSet<HouseholdKey> = households.iter().map(|household| household.key().clone()).collect();
    let outcome = batch.with_households(households);
    tx.person_put(&outcome.persons, &known).await?;
    tx.household_put(&outcome.households, &known_households).await?;
    tx.household_remove(&outcome.emptied).await?;
    tx.cube_add(&outcome.delta).await?;
    tx.rollup_add(spread(&outcome.delta, by.lists)).await?;
    // Only a person that was here before can have old findings, and only whom the outcome names gets them again.
    let old: Vec<PersonId> = outcome.persons.iter().map(Person::id).filter(|id| known.contains(id)).collect();
    changed.extend(tx.finding_remove(&old).await?);
    let Judged { forgotten, suspicions } = judge(tx, &outcome.persons, |id| known.contains(&id), by.books).await?;
    changed.extend(forgotten);
    let mut findings = outcome.findings;
    findings.extend(suspicions.into_iter().map(Suspicion::into_finding));
    changed.extend(add(tx, places, findings).await?);
    Ok(changed)
}

/// Adds findings, and names them. `places` says where change sets stand, as far as that is at hand.
pub(super) async fn add(
    tx: &mut Tx,
    mut places: HashMap<[u8; 12], (i64, u64)>,
    findings: Vec<Finding>,
) -> Result<Vec<FindingKey>, Error> {
    let far: Vec<[u8; 12]> =
        findings.iter().map(|f| set_id(f.change)).filter(|set| !places.contains_key(set)).collect();
    places.extend(tx.entry_find(&far).await?);
    let findings: Vec<FindingRow> = findings
        .into_iter()
        .filter_map(|finding| {
            let (log, sequence) = *places.get(&set_id(finding.change))?;
            let Finding { person, change, unit, kind, severity, other, seen } = finding;
            Some(FindingRow { change, person: Some(person), log, sequence, unit, kind, severity, other, seen })
        })
        .collect();
    tx.finding_add(&findings).await?;
    Ok(findings.iter().map(key).collect())
}

fn key(row: &FindingRow) -> FindingKey {
    (row.change, row.kind.code().to_owned())
}

/// Notes which logs speak about which units.
async fn note_units(tx: &mut Tx, logs: &BTreeMap<LogId, LogRow>, entries: &[Entry]) -> Result<(), Error> {
    let mut pairs = BTreeSet::new();
    for entry in entries.iter().filter(|entry| *entry.log().stream() == Stream::Records) {
        let pk = logs.get(entry.log()).map_or(0, |row| row.pk);
        // Most sets are about one unit.
        let mut last = None;
        for change in &entry.change_set().changes {
            if last != Some(&change.unit) {
                pairs.insert((pk, change.unit.clone()));
                last = Some(&change.unit);
            }
        }
    }
    let pairs: Vec<_> = pairs.into_iter().collect();
    tx.log_unit_add(&pairs).await?;
    Ok(())
}
