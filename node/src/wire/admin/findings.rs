//! Findings: listing them with what an officer has to know, and answering them.

use std::sync::Arc;

use danso_core::finding::{Sights, written};
use danso_core::ledger::Draft;
use danso_core::messages::{self, Lang};
use danso_core::units::UnitList;
use danso_proto::change::{Body, Change, FindingAnswered, Seen, Severity, Verdict};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, Stream, UnitCode};
use danso_proto::limits;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::mpsc;

use super::{Parts, of_pipeline, of_view, own_unit, unit_code};
use crate::keys;
use crate::pipeline::Snapshot;
use crate::view::{ANSWERS_SHOWN, Finding, FindingState, Record};

/// Rows that wait for the caller.
const AHEAD: usize = 64;
/// Findings whose records are read at a time.
const PAGE: usize = 500;

/// Which findings are wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    lang: Lang,
    of: Option<ChangeId>,
    closed_too: bool,
    states: Vec<FindingState>,
    severities: Vec<Severity>,
    units: Vec<UnitCode>,
    codes: Vec<String>,
    list: Option<Arc<UnitList>>,
}

impl Wanted {
    fn takes(&self, finding: &Finding) -> bool {
        let any = |named: bool, fits: bool| !named || fits;
        let of_unit = |record: &Record| {
            self.units.iter().any(|unit| {
                record.unit == *unit || self.list.as_ref().is_some_and(|list| list.is_within(&record.unit, unit))
            })
        };
        any(!self.states.is_empty(), self.states.contains(&finding.state))
            && any(!self.severities.is_empty(), self.severities.contains(&finding.severity()))
            && any(!self.codes.is_empty(), self.codes.contains(&finding.reason))
            && any(!self.units.is_empty(), finding.record.as_ref().is_some_and(of_unit))
    }
}

impl Parts {
    /// Reads what is wanted.
    ///
    /// # Errors
    /// `request_invalid`, `unit_unknown`.
    pub(super) fn wanted_findings(&self, request: pb::ListFindingsRequest) -> Result<Wanted, Refusal> {
        let states = words(&request.states, "state", &FindingState::ALL, |state| state.as_str())?;
        let severities = words(&request.severities, "severity", &Severity::ALL, |severity| severity.as_str())?;
        let units = request.units.iter().map(|unit| unit_code(unit)).collect::<Result<_, _>>()?;
        let of = match &*request.change_id {
            "" => None,
            id => Some(change_id(id)?),
        };
        let snapshot = self.pipeline.snapshot();
        Ok(Wanted {
            lang: super::lang(&request.lang)?,
            closed_too: request.closed || of.is_some() || states.contains(&FindingState::Closed),
            of,
            states,
            severities,
            units,
            codes: request.codes,
            list: self.units(snapshot.directory()).ok(),
        })
    }

    /// Says that a record with a finding is right, or withdraws that.
    ///
    /// # Errors
    /// `finding_unknown`, `finding_needs_correction`, `unit_not_ours`, `field_missing`, `field_too_long`, and those of writing.
    pub(super) async fn answer_finding(
        &self,
        request: pb::AnswerFindingRequest,
    ) -> Result<pb::AnswerFindingResponse, Refusal> {
        self.not_revoked()?;
        let change = change_id(&request.change_id)?;
        let because = written(&request.because)?;
        if because.is_empty() && !request.withdraw {
            return Err(Refusal::new(
                Reason::FieldMissing,
                "say why the record is right: others have to understand it",
            ));
        }
        let snapshot = self.pipeline.snapshot();
        let mut findings = self.view.findings(true, Some(change), self.today()).await.map_err(of_view)?;
        findings.retain(|finding| finding.reason == request.code);
        self.view.find_records(snapshot.me(), &mut findings, false).await.map_err(of_view)?;
        let unknown = |detail: String| Refusal::new(Reason::FindingUnknown, detail);
        let name = format!("{change} {}", request.code);
        let Some((finding, record)) = findings.iter().find_map(|finding| Some((finding, finding.record.as_ref()?)))
        else {
            return Err(unknown(name));
        };
        let own = own_unit(&snapshot)?;
        if !self.units(snapshot.directory())?.is_within(&record.unit, own) {
            return Err(Refusal::new(Reason::UnitNotOurs, format!("{} is neither {own} nor below it", record.unit)));
        }
        let standing: Vec<ChangeId> = finding.standing().map(|answer| answer.id).collect();
        let verdicts: Vec<Verdict> = match request.withdraw {
            true if standing.is_empty() => return Err(unknown(format!("{name}: no answer stands"))),
            true => standing.iter().copied().map(Verdict::Withdrawn).take(limits::CHANGES_PER_SET_MAX).collect(),
            false => {
                if let Some(said) = finding.standing().next() {
                    return Ok(pb::AnswerFindingResponse {
                        log: said.log.to_string(),
                        sequence: said.sequence,
                        answer_ids: standing.iter().map(ChangeId::to_string).collect(),
                        repeated: true,
                    });
                }
                let mut asking = findings.iter().filter(|finding| finding.state != FindingState::Closed).peekable();
                if asking.peek().is_none() {
                    return Err(unknown(format!("{name}: it was settled")));
                }
                if asking.any(|finding| finding.severity() == Severity::Error) {
                    return Err(Refusal::new(Reason::FindingNeedsCorrection, name));
                }
                vec![Verdict::Right]
            }
        };
        let said = |verdict: &Verdict| Change {
            unit: record.unit.clone(),
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body: Body::FindingAnswered(FindingAnswered { change, code: request.code.clone(), verdict: *verdict }),
        };
        // People write names here: so it goes where names are.
        let part = (!because.is_empty()).then(|| IdentityPart { note: because, ..IdentityPart::default() });
        let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or_default();
        let draft = Draft {
            first_id: ChangeId::first(now_ms, keys::random_bytes()),
            changes: verdicts.iter().map(said).collect(),
            parts: vec![part; verdicts.len()],
        };
        let first_id = draft.first_id;
        let done = self.pipeline.write(Stream::Records, vec![draft]).await.map_err(of_pipeline)?;
        let ids = (0..verdicts.len()).filter_map(|at| first_id.at(u32::try_from(at).ok()?));
        Ok(pb::AnswerFindingResponse {
            log: done.log.to_string(),
            sequence: done.size.saturating_sub(1),
            answer_ids: ids.map(|id| id.to_string()).collect(),
            repeated: false,
        })
    }

    fn shown(
        &self,
        snapshot: &Snapshot,
        finding: &Finding,
        is_asked_for: bool,
        lang: Lang,
    ) -> pb::ListFindingsResponse {
        let directory = snapshot.directory();
        let giver = finding.giver.as_ref().unwrap_or(snapshot.me());
        let unit = directory.node(giver).map_or_else(|| giver.unit(), |node| node.unit().clone());
        let record = |of: fn(&Record) -> String| finding.record.as_ref().map(of).unwrap_or_default();
        let other = |of: fn(&Record) -> String| finding.other.as_ref().map(of).unwrap_or_default();
        let severity = finding.severity();
        let text = messages::finding_text(&finding.reason, lang);
        let is_own = finding.record.as_ref().is_some_and(|record| record.log.node() == snapshot.me());
        let seen = told_of(&finding.what.seen, is_asked_for || is_own).map(|seen| {
            let (words, value) = messages::seen(seen, lang);
            pb::SeenWords { name: seen.name.clone(), words, value }
        });
        let last = finding.answers.len().saturating_sub(ANSWERS_SHOWN);
        let answers = finding.answers.iter().skip(last).map(|answer| pb::FindingAnswerShown {
            answer_id: answer.id.to_string(),
            log: answer.log.to_string(),
            sequence: answer.sequence,
            by_unit: answer.log.node().unit().to_string(),
            verdict: match answer.verdict {
                Verdict::Right => "right".into(),
                Verdict::Withdrawn(_) => "withdrawn".into(),
            },
            stands: answer.stands,
            answered_ms: answer.answered_at_ms.unwrap_or_default(),
            note: answer.note.clone(),
        });
        pb::ListFindingsResponse {
            log: record(|record| record.log.to_string()),
            sequence: finding.record.as_ref().map(|record| record.sequence).unwrap_or_default(),
            change_id: finding.change.to_string(),
            unit: record(|record| record.unit.to_string()),
            reason: finding.reason.clone(),
            message: messages::finding(&finding.reason, severity, lang),
            said_by: giver.to_string(),
            said_by_unit: unit.to_string(),
            said_by_tier: self.unit(directory, &unit).map(|unit| unit.tier.to_string()).unwrap_or_default(),
            since_ms: finding.opened_at_ms.unwrap_or_default(),
            closed_ms: finding.closed_at_ms.unwrap_or_default(),
            kind: record(|record| record.kind.to_owned()),
            slip_no: record(|record| record.slip_no.clone()),
            person_ref: record(|record| record.person_ref.clone()),
            severity: severity.as_str().into(),
            state: finding.state.as_str().into(),
            what: text.what.into(),
            why: text.why.into(),
            next: messages::finding_next(&finding.reason, severity, lang),
            seen: seen.collect(),
            other_id: finding.what.other.map(|other| other.to_string()).unwrap_or_default(),
            other_kind: other(|record| record.kind.to_owned()),
            other_unit: other(|record| record.unit.to_string()),
            other_slip_no: other(|record| record.slip_no.clone()),
            answers: answers.collect(),
        }
    }
}

/// What is told of what was seen. What was read from identity parts, dates of birth, is for who asks about this one record, or wrote it; no list of
/// others' records has it.
fn told_of(seen: &Sights, with_parts: bool) -> impl Iterator<Item = &Seen> {
    seen.signed.iter().chain(seen.of_parts.iter().filter(move |_| with_parts))
}

/// Findings as they are wanted: what this node finds, and what those above told of its own records.
pub(super) fn findings(
    parts: &Arc<Parts>,
    wanted: Wanted,
) -> mpsc::Receiver<Result<pb::ListFindingsResponse, Refusal>> {
    let (out, answers) = mpsc::channel(AHEAD);
    let parts = parts.clone();
    tokio::spawn(async move {
        let mut findings = match parts.view.findings(wanted.closed_too, wanted.of, parts.today()).await {
            Ok(findings) => findings,
            Err(error) => {
                // The caller may have gone.
                let _ = out.send(Err(of_view(error))).await;
                return;
            }
        };
        let snapshot = parts.pipeline.snapshot();
        for page in findings.chunks_mut(PAGE) {
            if let Err(error) = parts.view.find_records(snapshot.me(), page, wanted.of.is_some()).await {
                let _ = out.send(Err(of_view(error))).await;
                return;
            }
            for finding in page.iter().filter(|finding| wanted.takes(finding)) {
                if out.send(Ok(parts.shown(&snapshot, finding, wanted.of.is_some(), wanted.lang))).await.is_err() {
                    return;
                }
            }
        }
    });
    answers
}

fn change_id(text: &str) -> Result<ChangeId, Refusal> {
    text.trim().parse().map_err(|error| Refusal::new(Reason::RequestInvalid, format!("change id: {error}")))
}

/// The values behind some words.
fn words<T: Copy>(
    words: &[String],
    what: &str,
    all: &[T],
    word: impl Fn(&T) -> &'static str,
) -> Result<Vec<T>, Refusal> {
    words
        .iter()
        .map(|given| {
            all.iter().find(|value| word(value) == given).copied().ok_or_else(|| {
                let known: Vec<&str> = all.iter().map(&word).collect();
                let given: String = given.chars().take(20).collect();
                Refusal::new(Reason::RequestInvalid, format!("{what} {given:?}; one of {}", known.join(", ")))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use danso_core::finding::name;
    use danso_proto::change::SeenValue;

    use super::*;

    #[test]
    fn dates_of_birth_stand_in_no_list_of_others_records() {
        let mut sights = Sights::signed([(name::BIRTH_MONTH, SeenValue::Date(19_910_100))]);
        sights.of_parts.push(Seen { name: "solar".into(), value: SeenValue::Date(19_910_130) });
        let told = |with_parts| told_of(&sights, with_parts).map(|seen| seen.value.clone()).collect::<Vec<_>>();
        assert_eq!(told(false), [SeenValue::Date(19_910_100)]);
        assert_eq!(told(true), [SeenValue::Date(19_910_100), SeenValue::Date(19_910_130)]);
    }
}
