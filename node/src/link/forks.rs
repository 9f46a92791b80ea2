//! What a session does when the other end shows another history, or less of one than was receipted: the pipeline weighs it, and people
//! are told. Knows nothing of frames.

use danso_core::sync::Head;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::watch;

use super::session::Outcome;
use super::{Seen, Shorter};
use crate::pipeline::{Handle, Shown, Trouble, Verdict};
use crate::telemetry;

/// What the other end shows.
pub(super) struct Shows {
    pub(super) log: LogId,
    pub(super) by: NodeId,
    pub(super) reason: Reason,
    /// Entries here.
    pub(super) ours: u64,
    /// What it showed, with the author's checkpoint if it had it.
    pub(super) theirs: Head,
    /// The parent shows it of a log of this node.
    pub(super) is_of_parent: bool,
    /// It wrote the log itself, and shows less than it was receipted for.
    pub(super) shorter: Option<Shorter>,
}

/// Has it weighed, and says what it is.
pub(super) async fn weigh(pipeline: Handle, seen: watch::Sender<Seen>, shows: Shows) -> Outcome {
    let Shows { log, by, reason, ours, theirs: Head { size, checkpoint, .. }, is_of_parent, shorter } = shows;
    let verdict = match checkpoint {
        None => Verdict::Unproven,
        Some(checkpoint) => match pipeline.shown(Shown { log: log.clone(), by: by.clone(), checkpoint }).await {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::error!(%log, %by, %error, "link: what was shown could not be weighed");
                Verdict::Unproven
            }
        },
    };
    let alarm = |reason: Reason| metrics::counter!(telemetry::FORKS, "reason" => reason.code()).increment(1);
    match (verdict, shorter) {
        (Verdict::Stopped(evidence), _) => {
            tracing::error!(%log, %by, ours, theirs = size, evidence,
                "ALARM: two histories of one log, both signed by its author; it is stopped; see danso-admin quarantine list");
            alarm(Reason::RootDiffers);
        }
        (Verdict::Known, _) => {
            tracing::warn!(%log, %by, ours, theirs = size, "link: another history of a log that is stopped");
        }
        (Verdict::Settled, _) => {
            tracing::info!(%log, %by, ours, theirs = size, "link: a history that an operator decided against is refused");
        }
        (Verdict::Unproven, Some(shorter)) => {
            let detail = shorter.in_words(&by);
            tracing::error!(%log, %reason, %detail, "ALARM: a log is shorter at its author's than its receipt");
            alarm(reason);
            seen.send_modify(|seen| seen.shorter(log, shorter));
        }
        // As its word that it holds more of our log: what would prove it may be signed by a key that this node does not know, because it is the
        // copy and the key was changed at the other, and the parent could refuse our entries as well.
        (Verdict::Unproven, None) if is_of_parent => {
            let detail = format!(
                "{by}, the parent, holds another history of this node's own log ({size} entries there, {ours} here) and shows no proof that this \
                 node can read: a copy of this node wrote too, or this is the copy; nothing more is written here; next: danso-node recover \
                 --data DIR"
            );
            tracing::error!(%log, %detail, "ALARM: this node writes nothing more");
            alarm(reason);
            let trouble = Trouble { refusal: Refusal::new(Reason::ReadOnly, detail) };
            if let Err(error) = pipeline.trouble(log.clone(), Some(trouble)).await {
                tracing::error!(%log, %error, "link: the log's trouble could not be noted");
            }
        }
        (Verdict::Unproven, None) => {
            tracing::error!(%log, %by, %reason, ours, theirs = size,
                "ALARM: a peer says that a log has another history, and cannot prove it; the log stops for this session");
            alarm(reason);
        }
    }
    Outcome::Nothing
}
