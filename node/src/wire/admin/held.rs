//! What every node above confirmed about each change set of this node.

use danso_core::verify::Directory;
use danso_proto::ids::{ChangeId, LogId, NodeId, Stream};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::pb::admin::v1::show_receipts_request::Which;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::mpsc;

use super::logs::log_id;
use super::{Parts, of_view, own_unit};
use crate::view::HeldSince;

/// Change sets that wait for the caller.
const AHEAD: usize = 64;
/// Change sets read at a time.
const PAGE: usize = 256;

impl Parts {
    pub(super) async fn show_receipts(
        &self,
        request: pb::ShowReceiptsRequest,
    ) -> Result<mpsc::Receiver<Result<pb::ShowReceiptsResponse, Refusal>>, Refusal> {
        let snapshot = self.pipeline.snapshot();
        let log = match &*request.log {
            "" => LogId::new(snapshot.me().clone(), Stream::Records),
            log => log_id(log)?,
        };
        if log.node() != snapshot.me() {
            let detail = format!("{log} is of another node; ask there, or see the list of receipts");
            return Err(Refusal::new(Reason::RequestInvalid, detail));
        }
        let (pk, size) = snapshot.log(&log).map_or((0, 0), |row| (row.pk, row.head.size()));
        let range = match request.which {
            Some(Which::Sequence(sequence)) if sequence < size => sequence..sequence + 1,
            Some(Which::Sequence(sequence)) => {
                let detail = format!("{log} has {size} entries here, counted from 0; there is no entry {sequence}");
                return Err(Refusal::new(Reason::NotFound, detail));
            }
            Some(Which::Change(change)) => {
                let id: ChangeId = change
                    .trim()
                    .parse()
                    .map_err(|error| Refusal::new(Reason::RequestInvalid, format!("the change: {error}")))?;
                let place = self.view.place_of(id).await.map_err(of_view)?;
                let place = place.filter(|(of, sequence)| *of == pk && *sequence < size);
                let (_, sequence) =
                    place.ok_or_else(|| Refusal::new(Reason::NotFound, format!("{id} is not in {log}")))?;
                sequence..sequence + 1
            }
            Some(Which::Last(last)) => size.saturating_sub(last)..size,
            None => 0..size,
        };
        let directory = snapshot.directory();
        let givers: Vec<NodeId> = directory.lineage(snapshot.me()).skip(1).cloned().collect();
        let blank: Vec<pb::HeldAbove> = givers.iter().map(|giver| self.above(directory, giver)).collect();
        let own = own_unit(&snapshot)?;
        let start = pb::ShowReceiptsResponse {
            log: log.to_string(),
            unit: own.to_string(),
            tier: self.unit(directory, own).map(|unit| unit.tier.to_string()).unwrap_or_default(),
            ..Default::default()
        };
        let (out, answers) = mpsc::channel(AHEAD);
        let view = self.view.clone();
        tokio::spawn(async move {
            let mut next = range.start;
            while next < range.end {
                let max = usize::try_from(range.end - next).unwrap_or(usize::MAX).min(PAGE);
                let page = match view.held(&log, pk, &givers, next, max).await {
                    Ok(page) if page.is_empty() => return,
                    Ok(page) => page,
                    Err(error) => {
                        // The caller may have gone.
                        let _ = out.send(Err(of_view(error))).await;
                        return;
                    }
                };
                for held in page {
                    next = held.sequence + 1;
                    let row = pb::ShowReceiptsResponse {
                        sequence: held.sequence,
                        changes: held.changes,
                        recorded_at_ms: held.recorded_at_ms,
                        above: blank.iter().zip(held.above).map(|(above, since)| with(above, since)).collect(),
                        ..start.clone()
                    };
                    if out.send(Ok(row)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(answers)
    }

    /// A node above, of which no receipt is known yet.
    fn above(&self, directory: &Directory, giver: &NodeId) -> pb::HeldAbove {
        let unit = directory.node(giver).map_or_else(|| giver.unit(), |node| node.unit().clone());
        let known = self.unit(directory, &unit);
        pb::HeldAbove {
            node: giver.to_string(),
            unit: unit.to_string(),
            unit_name: known.map(|unit| unit.name.to_string()).unwrap_or_default(),
            tier: known.map(|unit| unit.tier.to_string()).unwrap_or_default(),
            time_s: 0,
            size: 0,
        }
    }
}

fn with(above: &pb::HeldAbove, since: Option<HeldSince>) -> pb::HeldAbove {
    let mut above = above.clone();
    if let Some(HeldSince { time_s, size }) = since {
        (above.time_s, above.size) = (i64::try_from(time_s).unwrap_or(i64::MAX), size);
    }
    above
}
