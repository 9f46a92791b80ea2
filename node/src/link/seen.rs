//! What is seen of a session from outside while it runs. Knows nothing of frames.

use std::collections::BTreeMap;

use danso_proto::ids::{LogId, NodeId};
use danso_proto::refusal::Refusal;

/// What is seen of a session from outside while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Hello was exchanged.
    pub greeted: bool,
    /// Unix milliseconds of the last frame.
    pub heard_ms: i64,
    /// The peer's clock less ours, milliseconds.
    pub skew_ms: i64,
    /// Logs that the peer refuses.
    pub refused: Refused,
    /// Logs of which the peer, who wrote them, shows less than it was receipted for.
    pub shorter: BTreeMap<LogId, Shorter>,
    /// Logs that go up, of which the parent holds more than is here.
    pub ahead: BTreeMap<LogId, Ahead>,
}

/// A log that goes up, of which the parent holds more than this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Entries here.
    pub ours: u64,
    /// Entries at the parent.
    pub theirs: u64,
}

impl Ahead {
    /// For people: what it means, and what to do.
    pub fn in_words(&self, author: &NodeId) -> String {
        format!(
            "{} entries here, {} at the parent: this node was restored from an old copy; {author} sends them again when it connects; \
             where that does not come back, next: danso-node recover --data DIR here",
            self.ours, self.theirs
        )
    }
}

/// A log that is shorter at its author's than here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shorter {
    /// Entries that are durable here.
    pub ours: u64,
    /// Entries that the author showed.
    pub theirs: u64,
    /// Our clock when it did, Unix milliseconds.
    pub since_ms: i64,
}

impl Shorter {
    /// For people: what it means, and what to do.
    pub fn in_words(&self, author: &NodeId) -> String {
        format!(
            "{} entries were receipted, and {author} shows {}: it lost data, or was restored from an old copy; \
             next: danso-node recover --data DIR there",
            self.ours, self.theirs
        )
    }
}

/// The last refusal of each log that the peer refuses, until it acknowledges the log beyond the entry that it refused.
pub type Refused = BTreeMap<LogId, RefusedFrom>;

/// Where and why the peer refuses a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFrom {
    /// The entry.
    pub sequence: u64,
    /// Why.
    pub refusal: Refusal,
}

impl RefusedFrom {
    /// For people.
    pub fn in_words(&self) -> String {
        format!("the parent refuses it from entry {} on: {}", self.sequence, self.refusal.detail)
    }
}

impl Seen {
    /// The peer refuses `log` from entry `sequence` on.
    pub(super) fn refused(&mut self, log: LogId, sequence: u64, refusal: Refusal) {
        self.refused.insert(log, RefusedFrom { sequence, refusal });
    }

    /// The peer, who wrote `log`, shows less of it than is here.
    pub(super) fn shorter(&mut self, log: LogId, shorter: Shorter) {
        self.shorter.insert(log, shorter);
    }

    /// The parent holds more of `log` than is here.
    pub(super) fn ahead(&mut self, log: LogId, ahead: Ahead) {
        self.ahead.insert(log, ahead);
    }

    /// `size` entries of `log` are here now. Says whether this node has caught up with its parent.
    pub(super) fn grown(&mut self, log: &LogId, size: u64) -> bool {
        let caught_up = self.ahead.get(log).is_some_and(|ahead| ahead.theirs <= size);
        caught_up && self.ahead.remove(log).is_some()
    }

    /// The peer holds `size` entries of `log`. Says whether it refuses the log no longer.
    pub(super) fn acknowledged(&mut self, log: &LogId, size: u64) -> bool {
        let beyond = self.refused.get(log).is_some_and(|from| size > from.sequence);
        beyond && self.refused.remove(log).is_some()
    }
}

#[cfg(test)]
mod tests {
    use danso_proto::ids::{NodeId, Stream};
    use danso_proto::refusal::Reason;

    use super::*;

    #[test]
    fn a_refusal_is_seen_until_the_peer_holds_the_entry() {
        let node = NodeId::new(&"17065".parse().expect("unit code"), &[7; 32]);
        let (log, other) = (LogId::new(node.clone(), Stream::Records), LogId::new(node, Stream::Directory));
        let mut seen = Seen::default();
        seen.refused(log.clone(), 3, Refusal::new(Reason::TooLarge, "first"));
        seen.refused(log.clone(), 3, Refusal::new(Reason::OutOfScope, "last"));
        assert_eq!(seen.refused[&log].refusal.reason, Reason::OutOfScope, "the last one is what matters");
        assert!(!seen.acknowledged(&log, 3) && !seen.acknowledged(&other, 9), "entry 3 is not there yet");
        assert_eq!(seen.refused.len(), 1);
        assert!(seen.acknowledged(&log, 4) && seen.refused.is_empty());
    }

    #[test]
    fn what_only_the_parent_holds_is_seen_until_it_is_here() {
        let log = LogId::new(NodeId::new(&"17065".parse().expect("unit code"), &[7; 32]), Stream::Records);
        let mut seen = Seen::default();
        assert!(!seen.grown(&log, 9));
        seen.ahead(log.clone(), Ahead { ours: 2, theirs: 5 });
        assert!(!seen.grown(&log, 4) && seen.ahead.len() == 1);
        assert!(seen.grown(&log, 5) && seen.ahead.is_empty());
    }
}
