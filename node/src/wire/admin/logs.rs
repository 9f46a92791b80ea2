//! The entries of a log, verbatim, and proof files.

use danso_proto::checkpoint::{self, SignedNote};
use danso_proto::ids::{LogId, NodeId};
use danso_proto::limits;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::mpsc;

use super::{Parts, of_view};
use crate::pipeline::Snapshot;
use crate::view::Receipts;

/// Entries that wait for the caller; each is far below a gRPC message.
const AHEAD: usize = 4;
/// Entries read at a time.
const PAGE_ENTRIES: usize = limits::PACKAGE_ENTRIES_MAX;
/// Bytes read at a time.
const PAGE_BYTES: usize = limits::GRPC_MESSAGE_MAX;

impl Parts {
    pub(super) fn read_log(
        &self,
        request: pb::ReadLogRequest,
    ) -> Result<mpsc::Receiver<Result<pb::ReadLogResponse, Refusal>>, Refusal> {
        let log: LogId = log_id(&request.log)?;
        let row = self.pipeline.snapshot().log(&log).cloned();
        let row =
            row.ok_or_else(|| Refusal::new(Reason::NotFound, format!("{log} is not here; see the list of logs")))?;
        let size = row.head.size();
        if request.from > size {
            let detail = format!("{log} has {size} entries here, counted from 0; there is no entry {}", request.from);
            return Err(Refusal::new(Reason::NotFound, detail));
        }
        let to = if request.to == 0 { size } else { request.to.min(size) };
        let (out, entries) = mpsc::channel(AHEAD);
        let (view, mut next) = (self.view.clone(), request.from);
        let mut head = pb::ReadLogResponse {
            head_size: size,
            head_root: row.head.root().to_vec().into(),
            checkpoint: row.checkpoint.unwrap_or_default(),
            ..Default::default()
        };
        tokio::spawn(async move {
            while next < to {
                let max = usize::try_from(to - next).unwrap_or(usize::MAX).min(PAGE_ENTRIES);
                let page = match view.entries(row.pk, next, max, PAGE_BYTES).await {
                    Ok(page) if page.is_empty() => return,
                    Ok(page) => page,
                    Err(error) => {
                        // The caller may have gone.
                        let _ = out.send(Err(of_view(error))).await;
                        return;
                    }
                };
                for entry in page {
                    next = entry.sequence + 1;
                    let message = pb::ReadLogResponse {
                        sequence: entry.sequence,
                        envelope: entry.envelope,
                        // Kept for the log, not for each entry: known of the last one only.
                        committed_at_ms: if next == size { row.committed_at_ms } else { 0 },
                        // The head goes with the first.
                        ..std::mem::take(&mut head)
                    };
                    if out.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(entries)
    }

    pub(super) async fn prove(&self, request: pb::ProveEntryRequest) -> Result<pb::ProveEntryResponse, Refusal> {
        let log = log_id(&request.log)?;
        let snapshot = self.pipeline.snapshot();
        if request.receipts && log.node() != snapshot.me() {
            let detail = format!("{log} is of another node, which has its receipts");
            return Err(Refusal::new(Reason::RequestInvalid, detail));
        }
        let receipts = match request.receipts {
            true => Receipts::First,
            false => Receipts::Latest { own: self.own_receipt(&snapshot, &log) },
        };
        let file = self.view.proof(snapshot.directory(), &log, request.sequence, receipts).await.map_err(of_view)?;
        Ok(pb::ProveEntryResponse { file: file.into() })
    }

    /// This node's receipt for another's log.
    fn own_receipt(&self, snapshot: &Snapshot, log: &LogId) -> Option<(NodeId, SignedNote)> {
        let note = snapshot.log(log).filter(|row| row.log.node() != snapshot.me())?.checkpoint.as_deref()?;
        let note = self.pipeline.cosign(&checkpoint::parse(note).ok()?).ok()?;
        Some((snapshot.me().clone(), checkpoint::parse(&note).ok()?))
    }
}

/// A log as the operator typed it.
///
/// # Errors
/// `request_invalid`.
pub(super) fn log_id(text: &str) -> Result<LogId, Refusal> {
    text.trim().parse().map_err(|error| Refusal::new(Reason::RequestInvalid, format!("the log: {error}")))
}
