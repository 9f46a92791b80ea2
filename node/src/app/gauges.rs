//! What Prometheus sees of a node's state, read every few seconds while metrics are served.

use std::time::Duration;

use danso_proto::change::Severity;
use danso_proto::ids::NodeId;

use crate::link::Children;
use crate::pipeline::Handle;
use crate::telemetry;
use crate::view::{FindingState, View};

/// How often; a scrape comes every 15 to 60 seconds.
const EVERY: Duration = Duration::from_secs(10);

/// What the gauges are read from.
pub(super) struct Gauges {
    pub(super) pipeline: Handle,
    pub(super) view: View,
    pub(super) children: Children,
    pub(super) parent: Option<NodeId>,
}

impl Gauges {
    /// Sets the gauges for as long as it is polled.
    pub(super) async fn run(self) {
        metrics::gauge!(telemetry::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            self.set().await;
        }
    }

    async fn set(&self) {
        let snapshot = self.pipeline.snapshot();
        let stopped = snapshot.logs().filter(|row| row.trouble.is_some()).count();
        metrics::gauge!(telemetry::LOGS_QUARANTINED).set(stopped as f64);
        let connected = self.children.list().iter().filter(|child| child.connected).count();
        metrics::gauge!(telemetry::CHILDREN_CONNECTED).set(connected as f64);
        match self.view.counts().await {
            Ok(counts) => {
                metrics::gauge!(telemetry::SLIPS_WAITING).set(counts.waiting as f64);
            }
            Err(error) => tracing::warn!(%error, "the gauges could not be read"),
        }
        match self.view.finding_tally(snapshot.me()).await {
            Ok(tally) => {
                let count = |severity, state| tally.get(&(severity, state)).copied().unwrap_or_default();
                let open: u64 = Severity::ALL.into_iter().map(|severity| count(severity, FindingState::Open)).sum();
                metrics::gauge!(telemetry::FINDINGS_OPEN).set(open as f64);
                for severity in Severity::ALL {
                    for state in [FindingState::Open, FindingState::Answered] {
                        let labels = [("severity", severity.as_str()), ("state", state.as_str())];
                        metrics::gauge!(telemetry::FINDINGS, &labels).set(count(severity, state) as f64);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the findings could not be counted"),
        }
        let Some(parent) = &self.parent else { return };
        match self.view.receipts(None).await {
            Ok(receipts) => {
                let own = snapshot.logs().filter(|row| row.log.node() == snapshot.me());
                let waiting: u64 = own
                    .map(|row| {
                        let given = receipts.iter().find(|given| given.log == row.log && given.giver == *parent);
                        row.head.size().saturating_sub(given.map_or(0, |given| given.size))
                    })
                    .sum();
                metrics::gauge!(telemetry::ENTRIES_WAITING).set(waiting as f64);
            }
            Err(error) => tracing::warn!(%error, "the gauges could not be read"),
        }
    }
}
