//! Lists that may be long: they are streamed, and as fast as the caller takes them.

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
