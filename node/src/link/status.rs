//! How the link to the parent is, as others see it. Knows nothing of how it is kept up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use danso_core::sync::SKEW_WARN_MS;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::Notify;

use super::{Ahead, Refused, Shorter};
use crate::clock::Clock;
use crate::pipeline::Snapshot;
use crate::telemetry;

/// How the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Frames flow.
    Connected,
    /// Being set up.
    Connecting,
    /// Between two attempts.
    Waiting,
}

/// How the link is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// How it is.
    pub state: LinkState,
    /// What ended the last attempt; `None` while all is well.
    pub trouble: Option<Refusal>,
    /// That the parent let this node go because it was revoked, or lost its place. Kept while the parent is away: it does not change its mind by that.
    pub revoked: Option<Refusal>,
    /// The parent's clock at the last hello or renewal.
    pub parent_clock: Option<ParentClock>,
    /// Unix milliseconds of the last frame from the parent; 0: never since the start.
    pub heard_ms: i64,
    /// Our logs that the parent refuses. Kept while the link is down: the parent does not change its mind by that.
    pub refused: Refused,
    /// Logs of the parent of which it shows less than is here. Kept while the link is down, too.
    pub shorter: BTreeMap<LogId, Shorter>,
    /// Logs of which the parent holds more than is here. Kept while the link is down, too.
    pub ahead: BTreeMap<LogId, Ahead>,
    /// Sessions that began since the start: one more with every cut.
    pub sessions: u64,
    /// Attempts, sessions among them, that ended since the start.
    pub ended: u64,
    /// End of our certificate, Unix milliseconds by the parent's clock; 0: there is none.
    pub certificate_ends_ms: i64,
    /// The last attempt to renew it.
    pub renewal: Option<Renewal>,
}

/// An attempt to renew the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Why it failed.
    pub trouble: Option<Refusal>,
}

impl Default for LinkStatus {
    fn default() -> Self {
        Self {
            state: LinkState::Connecting,
            trouble: None,
            revoked: None,
            parent_clock: None,
            heard_ms: 0,
            refused: Refused::new(),
            shorter: BTreeMap::new(),
            ahead: BTreeMap::new(),
            sessions: 0,
            ended: 0,
            certificate_ends_ms: 0,
            renewal: None,
        }
    }
}

impl LinkStatus {
    /// Logs of which the parent holds more than is here, as it said when it was connected last.
    pub fn ahead_of(&self, snapshot: &Snapshot) -> BTreeMap<LogId, Ahead> {
        let mut ahead = self.ahead.clone();
        // What counts nowhere is not missed.
        let due = |log: &LogId, size: u64| size.min(snapshot.valid_size(log).unwrap_or(u64::MAX));
        ahead.retain(|log, ahead| snapshot.log(log).map_or(0, |row| row.head.size()) < due(log, ahead.theirs));
        ahead
    }

    /// Whether all is here that the parent holds of a node below: else its place cannot be given back here.
    ///
    /// # Errors
    /// `log_shorter_than_receipt`.
    pub fn all_here_of(&self, node: &NodeId, snapshot: &Snapshot) -> Result<(), Refusal> {
        match self.ahead_of(snapshot).into_iter().find(|(log, _)| log.node() == node) {
            None => Ok(()),
            Some((log, ahead)) => {
                let detail = format!(
                    "the node above, {}, lacks entries of {log} itself; its operator must bring it up first, only then can {node} get its \
                     place back. To do there: {}",
                    snapshot.me(),
                    ahead.in_words(node)
                );
                Err(Refusal::new(Reason::LogShorter, detail))
            }
        }
    }

    /// The parent's clock less ours, milliseconds: as compared last, and as ours has been set since. 0 when it was never compared.
    pub fn skew_ms(&self, clock: &dyn Clock) -> i64 {
        self.parent_clock.map_or(0, |parent| parent.skew_ms(clock))
    }

    /// What to tell of the link: what ended the last attempt, else that the clocks differ, for as long as they do.
    pub fn reason(&self, clock: &dyn Clock) -> Option<Refusal> {
        self.trouble.clone().or_else(|| self.parent_clock.and_then(|parent| parent.trouble(clock)))
    }
}

/// What the parent's clock said, and when by a clock of ours that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentClock {
    said_ms: i64,
    at: Duration,
}

impl ParentClock {
    /// The parent has just said that it is `said_ms` (Unix milliseconds).
    pub fn heard(said_ms: i64, clock: &dyn Clock) -> Self {
        Self { said_ms, at: clock.monotonic() }
    }

    /// What the parent's clock says now, Unix milliseconds, unless it was set since.
    pub fn now_ms(&self, clock: &dyn Clock) -> i64 {
        let since = clock.monotonic().saturating_sub(self.at);
        self.said_ms.saturating_add(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn skew_ms(&self, clock: &dyn Clock) -> i64 {
        self.now_ms(clock).saturating_sub(clock.now_ms())
    }

    /// Says in words that the clocks differ, when they do.
    pub(super) fn trouble(&self, clock: &dyn Clock) -> Option<Refusal> {
        let skew_ms = self.skew_ms(clock);
        (skew_ms.unsigned_abs() > SKEW_WARN_MS).then(|| {
            let by = humantime::format_duration(Duration::from_secs(skew_ms.unsigned_abs() / 1_000));
            let way = if skew_ms > 0 { "ahead of" } else { "behind" };
            Refusal::new(Reason::ClockSkew, format!("the parent's clock is {by} {way} this machine's"))
        })
    }

    pub(super) fn gauge(&self, clock: &dyn Clock) {
        metrics::gauge!(telemetry::CLOCK_SKEW).set(self.skew_ms(clock) as f64 / 1000.0);
    }
}

/// Lets an operator have the parent dialled now.
#[derive(Debug, Clone, Default)]
pub struct Retry(Arc<Notify>);

impl Retry {
    /// Ends the wait between two attempts.
    pub fn now(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody wants that.
    pub(super) async fn wanted(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn skew_is_said_while_it_lasts_and_no_longer() {
        let clock = ManualClock::new(NOW);
        let mut status = LinkStatus::default();
        assert_eq!((status.skew_ms(&clock), status.reason(&clock)), (0, None), "never compared");
        status.parent_clock = Some(ParentClock::heard(NOW + 3 * 3_600_000, &clock));
        clock.advance(Duration::from_secs(600));
        assert_eq!(status.skew_ms(&clock), 3 * 3_600_000, "both clocks went on");
        let reason = status.reason(&clock).expect("said");
        assert_eq!(
            (reason.reason, &*reason.detail),
            (Reason::ClockSkew, "the parent's clock is 3h ahead of this machine's")
        );
        clock.set_ms(NOW + 3 * 3_600_000 + 600_000);
        assert_eq!((status.skew_ms(&clock), status.reason(&clock)), (0, None), "the operator set this machine's clock");
        clock.set_ms(NOW + 365 * 24 * 3_600_000);
        assert!(status.reason(&clock).expect("said").detail.contains("behind"));
        status.trouble = Some(Refusal::new(Reason::LinkDown, "cut"));
        assert_eq!(status.reason(&clock).expect("said").reason, Reason::LinkDown, "what stands in the way goes first");
    }
}
