//! What goes into a session and what comes out: the contract between the state machine and the link's driver.

use bytes::Bytes;
use danso_proto::ids::LogId;
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

use super::Package;
use super::frame::{ForwardedReceipt, Frame, Head, Question};

/// A head of ours, and where the log stands in the order of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Size, root, checkpoint.
    pub head: Head,
    /// For `directory`: steps from the author up to the root (0: the anchor's own). Lower ranks are sent, and durable at the peer,
    /// before higher ones: they say who may sign them. Without a meaning for other streams.
    pub rank: u32,
}

/// What happened. `now_ms` is milliseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub enum Event {
    /// The link is up. The first event, once.
    ///
    /// The heads must be read after every earlier session with this peer stopped sending and its commits were answered: a head of an
    /// own log that is smaller than what was sent before looks like a log that was cut.
    Start {
        /// Now.
        now_ms: i64,
        /// What is durable here of all logs that flow over the link, either way.
        heads: Vec<Held>,
    },
    /// The peer sent a frame.
    Frame {
        /// The frame.
        frame: Frame,
        /// Now.
        now_ms: i64,
    },
    /// Answer to [`Action::Load`]: at least one entry, beginning where it was asked to. Answer to [`Action::LoadProof`]: one entry.
    Loaded {
        /// The package.
        package: Package,
    },
    /// Answer to [`Action::Load`] or [`Action::LoadProof`]: there is nothing, or it could not be read.
    LoadedNothing {
        /// The log.
        log: LogId,
    },
    /// Answer to [`Action::Commit`]: durable. Each commit gets one `Committed` or `Refused`, per log in the order of the commits.
    Committed {
        /// The log.
        log: LogId,
        /// Its size now.
        size: u64,
        /// Its root now.
        root: Hash,
        /// The author's checkpoint for `size` with our cosignature.
        receipt: Option<String>,
    },
    /// Answer to [`Action::Commit`]: refused from `sequence` on. Entries of the package before it may be durable.
    Refused {
        /// The log.
        log: LogId,
        /// Its size now.
        size: u64,
        /// Its root now.
        root: Hash,
        /// First entry that is refused.
        sequence: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Answer to [`Action::CompareRoot`]: our root at that size; `None` when it could not be computed now.
    RootAt {
        /// The log.
        log: LogId,
        /// The size that was asked for.
        size: u64,
        /// Our root there.
        root: Option<Hash>,
    },
    /// A log that flows over the link is longer here: an own write, or entries that came over another link or in a bundle. Also when a
    /// log that is here begins to flow because a directory log now tells who its author is. What does not flow is ignored.
    Appended(Held),
    /// Parent: receipts for logs at or below the child are new here. Once right after the start with all that are here, our own
    /// among them: the answer that carried one may have been lost with the link.
    ReceiptsChanged(Vec<ForwardedReceipt>),
    /// Parent: ask the child.
    Ask(Question),
    /// Parent: nobody waits for this answer any longer.
    Forget {
        /// The question's.
        id: u64,
    },
    /// Child: the answer to [`Action::Answer`], an envelope of at most `limits::ANSWER_BYTES_MAX` bytes.
    Answered {
        /// The question's.
        id: u64,
        /// The encoded envelope, or why there is none.
        answer: Result<Bytes, Refusal>,
    },
    /// The carrier took one frame of [`Action::Send`]: there is room for another.
    Sent,
    /// Time goes on; every few seconds is enough.
    Tick {
        /// Now.
        now_ms: i64,
    },
}

/// What is to be done. Actions are carried out in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a frame; [`Event::Sent`] when the carrier took it.
    Send(Frame),
    /// Read a package from the store.
    Load {
        /// The log.
        log: LogId,
        /// First entry.
        from: u64,
        /// Bytes before compression; an entry that is larger travels alone.
        max_bytes: usize,
        /// Entries.
        max_entries: usize,
    },
    /// Read one entry among the first `size` of our own log, to be laid beside the one that the peer has there: see [`super::telling`].
    LoadProof {
        /// The log.
        log: LogId,
        /// Entries that both ends have.
        size: u64,
        /// Only if the peer may not know the key that signs our heads: else it can compare these.
        unless_known: bool,
    },
    /// Verify, write and commit. It may begin with entries that are here already.
    Commit(Package),
    /// The peer's hello fits. `skew_ms` is its clock less ours; `skewed`: worth a warning, never a reason to refuse.
    Greeted {
        /// The version that both speak.
        protocol: u32,
        /// The peer's software.
        software: String,
        /// The peer's clock less ours, milliseconds.
        skew_ms: i64,
        /// More than [`super::SKEW_WARN_MS`].
        skewed: bool,
    },
    /// The peer says that our entries are durable there. The receipt is not verified yet.
    Durable {
        /// The log.
        log: LogId,
        /// Entries.
        size: u64,
        /// The cosigned checkpoint.
        receipt: Option<String>,
    },
    /// The peer refuses a log from an entry on.
    RefusedByPeer {
        /// The log.
        log: LogId,
        /// The entry.
        sequence: u64,
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
        /// Whether this session sends it again by itself.
        again: bool,
    },
    /// Compute our root of the first `size` entries, to compare it with the peer's.
    CompareRoot {
        /// The log.
        log: LogId,
        /// The peer's size, at most ours.
        size: u64,
        /// The peer's root.
        root: Hash,
    },
    /// Two histories of one log: keep the evidence, stop the log until an operator decides, alarm. The peer was told.
    Quarantine {
        /// The log.
        log: LogId,
        /// [`Reason::RootDiffers`] or [`Reason::LogShorter`].
        reason: Reason,
        /// Our size, and our root at it or at the peer's size if that is smaller and was compared.
        ours: (u64, Hash),
        /// What the peer showed, with the author's checkpoint if it had it.
        theirs: Head,
    },
    /// The peer holds more of our own log than we do: we were restored from an old copy. Go read-only, offer to recover.
    Behind {
        /// The log.
        log: LogId,
        /// Our size.
        ours: u64,
        /// What the peer showed: only a checkpoint that we signed proves it.
        theirs: Head,
    },
    /// The peer holds nothing of our own logs that we do not hold, too. Once a session, after all heads came and were compared.
    OwnLogsAgree,
    /// The peer holds more of a log than we who relay it to it. No error: it catches up from the other side. For the record.
    PeerAhead {
        /// The log.
        log: LogId,
        /// Our size.
        ours: u64,
        /// The peer's.
        theirs: u64,
    },
    /// Child: receipts of the parent and of those above it. Not verified yet.
    Receipts(Vec<ForwardedReceipt>),
    /// Child: answer this, with [`Event::Answered`].
    Answer(Question),
    /// Parent: the answer is complete, or there will be none. The envelope is not verified yet.
    Replied {
        /// The question's.
        id: u64,
        /// The encoded envelope.
        answer: Result<Vec<u8>, Refusal>,
    },
    /// End the link and tell the peer why. The session does nothing more.
    Close(Refusal),
}
