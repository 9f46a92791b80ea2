//! Lists that may be long: they are streamed, and as fast as the caller takes them.

use std::sync::Arc;

use danso_core::messages::{self, Lang};
use danso_proto::change::Severity;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::Refusal;
use tokio::sync::mpsc;

use super::{Parts, of_view};
use crate::pipeline::Snapshot;
use crate::view::{Finding, Record, View};

/// Rows that wait for the caller.
const AHEAD: usize = 64;
/// Waiting slips read at a time.
const PAGE: usize = 500;

/// Slips that wait, by unit and number.
pub(super) fn waiting(view: View) -> mpsc::Receiver<Result<pb::ListWaitingResponse, Refusal>> {
    let (out, answers) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut last = None;
        loop {
            let page = match view.waiting(last.as_ref(), PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    // The caller may have gone.
                    let _ = out.send(Err(of_view(error))).await;
                    return;
                }
            };
            last = page.last().cloned();
            for slip in page {
                let row = pb::ListWaitingResponse {
                    unit: slip.unit.to_string(),
                    slip_no: slip.slip_no,
                    person_ref: slip.missing,
                    change_type: slip.kind,
                    since_ms: slip.since_ms,
                    reason: slip.reason.unwrap_or_default(),
                };
                if out.send(Ok(row)).await.is_err() {
                    return;
                }
            }
            if last.is_none() {
                return;
            }
        }
    });
    answers
}

/// Records that cannot be counted: what this node finds, and what those above told of its own. `wanted` says whether those that were
/// settled are shown too.
pub(super) fn findings(
    parts: &Arc<Parts>,
    wanted: &pb::ListFindingsRequest,
    lang: Lang,
) -> mpsc::Receiver<Result<pb::ListFindingsResponse, Refusal>> {
    let (out, answers) = mpsc::channel(AHEAD);
    let (parts, closed_too) = (parts.clone(), wanted.closed);
    tokio::spawn(async move {
        let findings = parts.view.findings(closed_too, parts.today()).await;
        let mut findings = match findings {
            Ok(findings) => findings,
            Err(error) => {
                // The caller may have gone.
                let _ = out.send(Err(of_view(error))).await;
                return;
            }
        };
        let snapshot = parts.pipeline.snapshot();
        for page in findings.chunks_mut(PAGE) {
            if let Err(error) = parts.view.find_records(snapshot.me(), page).await {
                let _ = out.send(Err(of_view(error))).await;
                return;
            }
            for finding in page {
                if out.send(Ok(parts.finding(&snapshot, finding, lang))).await.is_err() {
                    return;
                }
            }
        }
    });
    answers
}

impl Parts {
    fn finding(&self, snapshot: &Snapshot, finding: &Finding, lang: Lang) -> pb::ListFindingsResponse {
        let directory = snapshot.directory();
        let giver = finding.giver.as_ref().unwrap_or(snapshot.me());
        let unit = directory.node(giver).map_or_else(|| giver.unit(), |node| node.unit().clone());
        let record = finding.record.as_ref();
        let text = |of: fn(&Record) -> String| record.map(of).unwrap_or_default();
        pb::ListFindingsResponse {
            log: text(|record| record.log.to_string()),
            sequence: record.map(|record| record.sequence).unwrap_or_default(),
            change_id: finding.change.to_string(),
            unit: text(|record| record.unit.to_string()),
            reason: finding.reason.clone(),
            message: messages::finding(&finding.reason, finding.what.severity.unwrap_or(Severity::Error), lang),
            said_by: giver.to_string(),
            said_by_unit: unit.to_string(),
            said_by_tier: self.unit(directory, &unit).map(|unit| unit.tier.to_string()).unwrap_or_default(),
            since_ms: finding.opened_at_ms.unwrap_or_default(),
            closed_ms: finding.closed_at_ms.unwrap_or_default(),
            kind: text(|record| record.kind.to_owned()),
            slip_no: text(|record| record.slip_no.clone()),
            person_ref: text(|record| record.person_ref.clone()),
        }
    }
}
