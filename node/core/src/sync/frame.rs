//! The frames of a session, as the core sees them. Their protobuf form and the compression of packages are the carrier's.

use std::ops::RangeInclusive;

use bytes::Bytes;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

use super::Package;

/// One message of a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// First frame of each side.
    Hello(Hello),
    /// What the sender has of the logs that concern the link; at most `limits::HEADS_PER_FRAME`.
    Heads(Vec<Head>),
    /// Consecutive entries of one log.
    Package(Package),
    /// "These entries are durable here."
    Durable(Durable),
    /// A log is refused from an entry on; the link goes on.
    Refused(Refused),
    /// Receipts of the parent and of those above it; from the parent only.
    Receipts(Vec<ForwardedReceipt>),
    /// From the parent only.
    Question(Question),
    /// From the child only.
    Reply(Reply),
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Versions of the protocol that the sender speaks.
    pub protocol: RangeInclusive<u32>,
    /// Name and version of the sender's software, for people.
    pub software: String,
    /// The sender.
    pub node: NodeId,
    /// The sender's clock, milliseconds since the Unix epoch.
    pub clock_ms: i64,
    /// Number of heads that follow in [`Frame::Heads`].
    pub heads: u32,
}

/// A log's size and root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// Entries in it.
    pub size: u64,
    /// RFC 6962 root of them.
    pub root: Hash,
    /// The author's checkpoint for exactly this size, when the sender has it.
    pub checkpoint: Option<String>,
}

/// Entries up to `size` are durable at the sender. Cumulative, and the only cursor there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    /// The log.
    pub log: LogId,
    /// Entries that are durable.
    pub size: u64,
    /// The author's checkpoint for `size` with the sender's cosignature; upwards only, and only when the checkpoint was there.
    pub receipt: Option<String>,
}

/// A log is refused from an entry on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The log.
    pub log: LogId,
    /// The entry.
    pub sequence: u64,
    /// Why. A carrier that reads a code which it does not know gives [`Reason::Internal`] and puts the code into `detail`.
    pub reason: Reason,
    /// What was found, in English, for people.
    pub detail: String,
}

/// A cosigned checkpoint and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedReceipt {
    /// The log.
    pub log: LogId,
    /// Who gave it.
    pub giver: NodeId,
    /// The cosigned checkpoint.
    pub note: String,
}

/// The parent asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Chosen by the parent, unique within the session.
    pub id: u64,
    /// An encoded `danso.query.v1.Query`.
    pub query: Bytes,
    /// The answer repeats it.
    pub nonce: [u8; 16],
}

/// A part of the child's answer, or its refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The question's.
    pub id: u64,
    /// Next bytes of the answer's envelope, at most `limits::CHUNK_BYTES`; empty when refused.
    pub chunk: Bytes,
    /// More chunks follow.
    pub more: bool,
    /// Why there is no answer.
    pub refusal: Option<Refusal>,
}
