//! What a session does when the other end shows another history, or less of one than was receipted: the pipeline weighs it, and people
//! are told. Knows nothing of frames.

use danso_core::sync::Head;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::refusal::Reason;
use tokio::sync::watch;

use super::session::Outcome;
use super::{Seen, Shorter};
use crate::pipeline::{Handle, Shown, Verdict};
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
    /// It wrote the log itself, and shows less than it was receipted for.
    pub(super) shorter: Option<Shorter>,
}

/// Has it weighed, and says what it is.
pub(super) async fn weigh(pipeline: Handle, seen: watch::Sender<Seen>, shows: Shows) -> Outcome {
    let Shows { log, by, reason, ours, theirs: Head { size, checkpoint, .. }, shorter } = shows;
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
        (Verdict::Unproven, None) => {
            tracing::error!(%log, %by, %reason, ours, theirs = size,
                "ALARM: a peer says that a log has another history, and cannot prove it; the log stops for this session");
            alarm(reason);
        }
    }
    Outcome::Nothing
}
