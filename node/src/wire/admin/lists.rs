//! Lists that may be long: they are streamed, and as fast as the caller takes them.

use danso_core::messages::{self, Args, Lang};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::Refusal;
use tokio::sync::mpsc;

use super::of_view;
use crate::view::View;

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

/// Records that cannot be counted, by log and position.
pub(super) fn findings(view: View, lang: Lang) -> mpsc::Receiver<Result<pb::ListFindingsResponse, Refusal>> {
    let (out, answers) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let findings = match view.findings().await {
            Ok(findings) => findings,
            Err(error) => {
                // The caller may have gone.
                let _ = out.send(Err(of_view(error))).await;
                return;
            }
        };
        for finding in findings {
            let row = pb::ListFindingsResponse {
                log: finding.log.to_string(),
                sequence: finding.sequence,
                change_id: finding.change.to_string(),
                unit: finding.unit.to_string(),
                reason: finding.reason.code().to_owned(),
                message: messages::text(finding.reason, lang, &Args::default()),
            };
            if out.send(Ok(row)).await.is_err() {
                return;
            }
        }
    });
    answers
}
