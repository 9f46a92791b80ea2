//! Links: the sessions over which nodes exchange logs, from both ends. The rules are in `core::sync`; this room carries its actions out.
//!
//! [`dial`] keeps the link to the parent; [`Children`] holds the sessions of the children, which always dial. Knows the pipeline, the store
//! (to read packages), and how to answer a parent's question. What a peer may do was decided before a session begins.

use std::sync::Arc;

use danso_core::sync::{Head, Held, Link, flows, rank};
use danso_core::verify::{Directory, Node};
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::watch;

use crate::answer::{Answers, Note, Query};
use crate::clock::Clock;
use crate::pipeline::{Handle, Snapshot};
use crate::store::{LogRow, Store};

mod children;
mod codec;
mod dial;
mod forks;
mod load;
mod own;
mod receipts;
mod renew;
mod seen;
mod session;
mod standing;
mod status;

pub use children::{Child, Children};
pub use codec::{from_pb, to_pb};
pub use dial::{Dial, Timing, dial, refusal_of};
pub use load::{OwnTrees, load};
pub use renew::{Credentials, Outfit as CredentialsOutfit, renew_statement};
pub use seen::{Ahead, Refused, RefusedFrom, Seen, Shorter};
pub use session::{Ended, Inbound, Outbound};
pub use standing::Standing;
pub use status::{LinkState, LinkStatus, ParentClock, Renewal, Retry};

/// Versions of the exchange protocol that this software speaks.
pub const PROTOCOL: std::ops::RangeInclusive<u32> = 1..=1;
/// What this software calls itself.
pub const SOFTWARE: &str = concat!("danso/", env!("CARGO_PKG_VERSION"));

/// What every session needs.
#[derive(Clone)]
pub struct Context {
    /// The pipeline.
    pub pipeline: Handle,
    /// The store, for reading.
    pub store: Store,
    /// Answers a parent's questions.
    pub answers: Answers,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How this node's own link to its parent is; `None` at the root.
    pub link: Option<watch::Receiver<LinkStatus>>,
}

impl Context {
    /// What whoever asks this question has to be told of this node.
    pub fn notes(&self, query: &Query) -> Vec<Note> {
        let snapshot = self.pipeline.snapshot();
        let link = self.link.as_ref().map(watch::Receiver::borrow);
        Standing::new(link.as_deref(), &snapshot).notes(query)
    }
}

/// A log's head, and where it stands in the order of sending.
fn held(directory: &Directory, row: &LogRow) -> Held {
    Held {
        head: Head {
            log: row.log.clone(),
            size: row.head.size(),
            root: row.head.root(),
            checkpoint: row.checkpoint.clone(),
        },
        rank: rank(row.log.node(), directory),
    }
}

/// The heads of all logs that flow over a link, either way.
fn heads(snapshot: &Snapshot, link: &Link) -> Vec<Held> {
    let directory = snapshot.directory();
    snapshot
        .logs()
        .filter(|row| row.head.size() > 0 && flows(&row.log, link, directory).is_some())
        .map(|row| held(directory, row))
        .collect()
}

/// Whether a log flows over the link, and its head if so.
fn flowing(snapshot: &Snapshot, link: &Link, log: &LogId) -> Option<Held> {
    flows(log, link, snapshot.directory())?;
    snapshot.log(log).map(|row| held(snapshot.directory(), row))
}

/// Whether `node` may hold a session with this node as its child: also asked while one runs, so that a child that is revoked, or taken
/// over by another node, is let go at once.
///
/// # Errors
/// `not_a_child`, `key_revoked`, `place_lost`.
pub fn check_child(snapshot: &Snapshot, node: &NodeId) -> Result<(), Refusal> {
    match snapshot.directory().node(node) {
        Some(known) if known.parent() != Some(snapshot.me()) => {
            let parent = known.parent().map_or_else(|| "another node".to_owned(), ToString::to_string);
            let detail = format!(
                "{node} is a child of {parent} now; if it does not know of that because it was restored from an old copy: a token from there \
                 (danso-admin child invite --node {node}), then danso-node recover --data DIR --token-file FILE"
            );
            Err(Refusal::new(Reason::NotAChild, detail))
        }
        Some(known) => ended(known).map_or(Ok(()), Err),
        None => Err(Refusal::new(Reason::NotAChild, format!("{node} is not enrolled here"))),
    }
}

/// Why what a node writes counts no more: `key_revoked`, or `place_lost` of one that was not revoked itself. In words, because the node may not
/// be told in its directory: it is let go at once.
pub fn ended(node: &Node) -> Option<Refusal> {
    let id = node.id();
    match (node.is_revoked(), node.has_place()) {
        (false, _) => None,
        (true, true) => Some(Refusal::new(Reason::KeyRevoked, format!("{id} was revoked: {}", what_counts(node)))),
        (true, false) => {
            let detail = format!(
                "who enrolled {id} was revoked, and the enrolment stands behind what counts of that node; nothing of {id} counts until a \
                 node above gives it a place"
            );
            Some(Refusal::new(Reason::PlaceLost, detail))
        }
    }
}

/// What still counts of a node that was revoked.
fn what_counts(node: &Node) -> String {
    let counts = [Stream::Records, Stream::Directory].map(|stream| {
        let log = LogId::new(node.id().clone(), stream);
        match node.valid_size(&log) {
            Some(0) => format!("nothing of {log}"),
            Some(size) => format!("of {log} the first {size} entries"),
            None => format!("all of {log}"),
        }
    });
    format!("{} counts", counts.join(", and "))
}

/// What a node signs with its log key that wants its place back: that it holds the key, for this invite and this certificate request.
pub fn recover_statement(node: &NodeId, secret: &[u8], csr: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mut statement = b"danso/recover/v1".to_vec();
    for part in [node.as_str().as_bytes(), secret, csr] {
        statement.extend_from_slice(&Sha256::digest(part));
    }
    statement
}

/// What a joining node signs with its log key: that it holds the key, for this invite and this certificate request.
pub fn join_statement(secret: &[u8; 32], csr: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mut statement = b"danso/join/v1".to_vec();
    statement.extend_from_slice(&Sha256::digest(secret));
    statement.extend_from_slice(&Sha256::digest(csr));
    statement
}
