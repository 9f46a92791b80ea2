//! Receipts of our entries, and waiting for them.

use std::collections::HashMap;
use std::time::Duration;

use danso_core::tier::Tier;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::broadcast::error::RecvError;

use super::logs::log_id;
use super::overview::own_logs;
use super::{Parts, of_view};
use crate::pipeline::{Committed, Snapshot};
use crate::view::Receipt;

/// Longest wait for one call; who wants to wait longer calls again.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Between two looks at what no receipt tells: that this node was revoked, or is confirmed not to be behind.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Parts {
    pub(super) async fn list_receipts(
        &self,
        request: pb::ListReceiptsRequest,
    ) -> Result<pb::ListReceiptsResponse, Refusal> {
        let snapshot = self.pipeline.snapshot();
        let only = match &*request.log {
            "" => None,
            log => Some(log_id(log)?),
        };
        if let Some(log) = only.as_ref().filter(|log| snapshot.log(log).is_none()) {
            return Err(Refusal::new(Reason::NotFound, format!("{log} is not here; see the list of logs")));
        }
        let mut receipts = self.view.receipts(only.as_ref()).await.map_err(of_view)?;
        receipts.retain(|receipt| only.is_some() || receipt.log.node() == snapshot.me());
        let receipts = receipts.into_iter().map(|receipt| {
            let log_size = snapshot.log(&receipt.log).map(|row| row.head.size()).unwrap_or_default();
            self.receipt(&snapshot, receipt, log_size)
        });
        Ok(pb::ListReceiptsResponse { receipts: receipts.collect() })
    }

    pub(super) async fn wait_receipt(
        &self,
        request: pb::WaitReceiptRequest,
    ) -> Result<pb::WaitReceiptResponse, Refusal> {
        // Before anything is read, so that no receipt slips through between.
        let mut committed = self.pipeline.committed();
        let snapshot = self.pipeline.snapshot();
        let giver = self.giver(&snapshot, &request.tier)?;
        let wanted: Vec<(LogId, u64)> = own_logs(&snapshot).collect();
        let over = tokio::time::sleep(Duration::from_millis(request.timeout_ms).min(WAIT_MAX));
        tokio::pin!(over);
        loop {
            let given = self.given(&giver, &wanted).await?;
            let receipted =
                wanted.iter().all(|(log, size)| given.get(log).is_some_and(|receipt| receipt.size >= *size));
            // As it is now: a node that was restored is confirmed by its parent, and then all is known.
            let now = self.pipeline.snapshot();
            let doubt = self.doubt(&now);
            let complete = receipted && doubt.is_none();
            let in_vain = doubt.is_some() && now.restored().is_none();
            if complete || in_vain || over.is_elapsed() {
                return Ok(self.waited(&snapshot, doubt, complete, &giver, wanted, given));
            }
            let ours = |news: &Committed| match news {
                Committed::Receipts(rows) => {
                    rows.iter().any(|row| row.giver == giver && row.log.node() == snapshot.me())
                }
                Committed::Grown(_) => false,
            };
            let news = async {
                loop {
                    match committed.recv().await {
                        Ok(news) if ours(&news) => return Ok(()),
                        Ok(_) => {}
                        // Receipts may be among what was missed.
                        Err(RecvError::Lagged(_)) => return Ok(()),
                        Err(RecvError::Closed) => {
                            return Err(Refusal::new(Reason::ShuttingDown, "the node is shutting down"));
                        }
                    }
                }
            };
            tokio::select! {
                news = news => news?,
                () = &mut over => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Whose receipt is waited for: the parent's, or that of the node above us at a tier.
    fn giver(&self, snapshot: &Snapshot, tier: &str) -> Result<NodeId, Refusal> {
        let directory = snapshot.directory();
        let mut above = directory.lineage(snapshot.me()).skip(1).peekable();
        if above.peek().is_none() {
            return Err(Refusal::new(Reason::NotFound, "this node has nobody above it, who could give receipts"));
        }
        if tier.is_empty() {
            // Peeked above.
            return above.next().cloned().ok_or_else(|| Refusal::new(Reason::NotFound, "this node has no parent"));
        }
        let wanted: Tier =
            tier.parse().map_err(|error| Refusal::new(Reason::RequestInvalid, format!("the tier: {error}")))?;
        let mut tiers = Vec::new();
        for node in above {
            let unit = directory.node(node).and_then(|node| self.unit(directory, node.unit()));
            match unit.map(|unit| unit.tier) {
                Some(tier) if tier == wanted => return Ok(node.clone()),
                Some(tier) => tiers.push(tier.name()),
                None => {}
            }
        }
        let detail = format!("above this node there is none of tier {wanted}; there is: {}", tiers.join(", "));
        Err(Refusal::new(Reason::NotFound, detail))
    }

    /// The latest receipts of `giver` for these logs.
    async fn given(&self, giver: &NodeId, logs: &[(LogId, u64)]) -> Result<HashMap<LogId, Receipt>, Refusal> {
        let mut given = HashMap::new();
        for (log, _) in logs {
            let receipts = self.view.receipts(Some(log)).await.map_err(of_view)?;
            given.extend(
                receipts.into_iter().filter(|receipt| receipt.giver == *giver).map(|receipt| (log.clone(), receipt)),
            );
        }
        Ok(given)
    }

    /// What to say at the end of a wait: for each log its receipt, of size 0 where there is none, and the size that was waited for.
    fn waited(
        &self,
        snapshot: &Snapshot,
        doubt: Option<Refusal>,
        complete: bool,
        giver: &NodeId,
        wanted: Vec<(LogId, u64)>,
        mut given: HashMap<LogId, Receipt>,
    ) -> pb::WaitReceiptResponse {
        let refused = self.link.as_ref().filter(|_| !complete).map(|link| link.borrow().refused.clone());
        let refused = refused.unwrap_or_default();
        let refused = wanted.iter().find_map(|(log, _)| Some((log, refused.get(log)?)));
        let (reason, detail) = match (doubt, refused) {
            (Some(doubt), _) => (doubt.reason.code().to_owned(), doubt.detail),
            (None, Some((log, from))) => (from.refusal.reason.code().to_owned(), format!("{log}: {}", from.in_words())),
            (None, None) => Default::default(),
        };
        let receipts = wanted.into_iter().map(|(log, size)| {
            let none = || Receipt { log: log.clone(), giver: giver.clone(), size: 0, time_s: 0, note: String::new() };
            self.receipt(snapshot, given.remove(&log).unwrap_or_else(none), size)
        });
        pb::WaitReceiptResponse { complete, receipts: receipts.collect(), reason, detail }
    }

    fn receipt(&self, snapshot: &Snapshot, receipt: Receipt, log_size: u64) -> pb::Receipt {
        let directory = snapshot.directory();
        let giver_unit =
            directory.node(&receipt.giver).map_or_else(|| receipt.giver.unit(), |node| node.unit().clone());
        let tier = self.unit(directory, &giver_unit).map(|unit| unit.tier.to_string()).unwrap_or_default();
        pb::Receipt {
            log: receipt.log.to_string(),
            size: receipt.size,
            giver: receipt.giver.to_string(),
            giver_unit: giver_unit.to_string(),
            giver_tier: tier,
            time_s: i64::try_from(receipt.time_s).unwrap_or(i64::MAX),
            note: receipt.note,
            log_size,
        }
    }
}
