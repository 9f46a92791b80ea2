//! The sessions of the children: one a node, the newest wins.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use danso_core::sync::Role;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::session::{self, Ask, Ended, Inbound, Outbound, Setup};
use super::{Context, Seen, Shorter};

/// A child that is or was connected since this node started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The node.
    pub node: NodeId,
    /// Connected now.
    pub connected: bool,
    /// Unix milliseconds of its last frame; 0: never.
    pub heard_ms: i64,
    /// Its logs of which it showed less than is here, when it was connected last.
    pub shorter: BTreeMap<LogId, Shorter>,
}

struct Slot {
    stop: CancellationToken,
    questions: mpsc::Sender<Ask>,
    seen: watch::Receiver<Seen>,
    window: u32,
    /// Held by the session that runs: the next one waits until it has ended.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The children's sessions.
#[derive(Clone)]
pub struct Children {
    context: Context,
    slots: Arc<Mutex<HashMap<NodeId, Slot>>>,
    stop: CancellationToken,
}

/// Questions that wait for one child.
const QUESTIONS: usize = 16;
/// Time for a child to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

impl Children {
    /// No children yet. All sessions end when `stop` is cancelled.
    pub fn new(context: Context, stop: CancellationToken) -> Self {
        Self { context, slots: Arc::default(), stop }
    }

    /// Runs a child's session until it ends. That `peer` may have one was decided before: TLS proved who it is, the directory that it is
    /// a child. An earlier session of the same node is ended first.
    pub async fn serve(&self, peer: NodeId, inbound: Inbound, outbound: Outbound) -> Ended {
        let stop = self.stop.child_token();
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let (seen, seen_by_us) = watch::channel(Seen::default());
        let (turn, window) = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let before = slots.get(&peer);
            if let Some(before) = before {
                before.stop.cancel();
            }
            let turn = before.map_or_else(Arc::default, |slot| slot.turn.clone());
            let window = before.map_or(1, |slot| slot.window);
            let slot = Slot { stop: stop.clone(), questions, seen: seen_by_us, window, turn: turn.clone() };
            slots.insert(peer.clone(), slot);
            (turn, window)
        };
        let _turn = turn.lock().await;
        let setup =
            Setup { role: Role::Parent, peer: peer.clone(), window, inbound, outbound, questions: asked, seen, stop };
        let mut ended = session::run(self.context.clone(), setup).await;
        if self.stop.is_cancelled() {
            // The child must not look for a second copy of itself because its parent is restarted.
            ended.refusal = Refusal::new(Reason::ShuttingDown, "the node ends");
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(&peer) {
            slot.window = ended.window;
        }
        ended
    }

    /// The children that were seen since this node started.
    pub fn list(&self) -> Vec<Child> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut children: Vec<Child> = slots
            .iter()
            .map(|(node, slot)| {
                let seen = slot.seen.borrow();
                let connected = seen.greeted && slot.seen.has_changed().is_ok();
                Child { node: node.clone(), connected, heard_ms: seen.heard_ms, shorter: seen.shorter.clone() }
            })
            .collect();
        children.sort_by(|a, b| a.node.cmp(&b.node));
        children
    }

    /// Asks a child, and gives the envelope of its answer. It is not verified yet.
    ///
    /// # Errors
    /// `child_unavailable`, and what the child refuses.
    pub async fn ask(&self, node: &NodeId, query: bytes::Bytes, nonce: [u8; 16]) -> Result<Vec<u8>, Refusal> {
        let unavailable = |why: &str| Refusal::new(Reason::ChildUnavailable, format!("{node} {why}"));
        let questions = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.get(node).map(|slot| slot.questions.clone())
        };
        let questions = questions.ok_or_else(|| unavailable("is not connected"))?;
        let (reply, answer) = oneshot::channel();
        questions.send(Ask { query, nonce, reply }).await.map_err(|_| unavailable("is not connected"))?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unavailable("was cut off before it answered")),
            Err(_) => Err(unavailable("did not answer in time")),
        }
    }
}
