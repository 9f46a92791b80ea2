//! Whom the directory trusts: the node's own log key changes, a node below is revoked.

use danso_proto::envelope::Signer as _;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::logs::log_id;
use super::{Parts, of_pipeline};
use crate::keys::KeyError;
use crate::pipeline::Revocation;

impl Parts {
    /// Replaces the log key. Cut anywhere, it is either not begun or finished at the next start.
    pub(super) async fn rotate_key(&self) -> Result<pb::RotateKeyResponse, Refusal> {
        // One after the other: two changes at once would share the file of the next key.
        let _turn = self.rotation.turn().await;
        let old = self.pipeline.signing().current();
        let next = self.rotation.begin().map_err(of_key)?;
        let new_key = next.public_key().fingerprint();
        let written = self.pipeline.rekey(next).await.map_err(of_pipeline)?;
        self.rotation.finish().map_err(of_key)?;
        tracing::info!(old = %old.public_key().fingerprint(), new = %new_key, "the log key was replaced");
        Ok(pb::RotateKeyResponse {
            old_key: old.public_key().fingerprint().to_string(),
            new_key: new_key.to_string(),
            log: written.log.to_string(),
            sequence: written.size.saturating_sub(1),
        })
    }

    /// Who would lose their place with a revocation.
    pub(super) fn plan_revocation(
        &self,
        request: &pb::PlanRevocationRequest,
    ) -> Result<pb::PlanRevocationResponse, Refusal> {
        let (node, bounds) = bounded(&request.node, &request.bounds)?;
        let directory = LogId::new(node.clone(), Stream::Directory);
        let snapshot = self.pipeline.snapshot();
        let held = snapshot.log(&directory).map_or(0, |row| row.head.size());
        let end = bounds.iter().find(|(log, _)| *log == directory).map_or(held, |(_, size)| *size);
        let losing_place = snapshot.directory().losing_place(&node, end).iter().map(ToString::to_string).collect();
        Ok(pb::PlanRevocationResponse { losing_place })
    }

    /// Revokes a node below this one.
    pub(super) async fn revoke_child(
        &self,
        request: pb::RevokeChildRequest,
    ) -> Result<pb::RevokeChildResponse, Refusal> {
        let (node, bounds) = bounded(&request.node, &request.bounds)?;
        if request.reason.trim().is_empty() || request.reason.len() > limits::NOTE_MAX {
            let detail =
                format!("a reason of 1 to {} bytes is needed: it stands in the directory for ever", limits::NOTE_MAX);
            return Err(Refusal::new(Reason::RequestInvalid, detail));
        }
        for (log, ahead) in self.ahead() {
            // What is above and not counted in the bound would count no more, and nobody could bring it back.
            if *log.node() == node && !bounds.iter().any(|(bounded, _)| *bounded == log) {
                let detail =
                    format!("{log}: {}; or say yourself up to where it counts, with --size", ahead.in_words(&node));
                return Err(Refusal::new(Reason::LogShorter, detail));
            }
        }
        let reason = request.reason.trim().to_owned();
        let written =
            self.pipeline.revoke(Revocation { node: node.clone(), bounds, reason }).await.map_err(of_pipeline)?;
        tracing::warn!(%node, "a node was revoked");
        let snapshot = self.pipeline.snapshot();
        let revoked = snapshot.directory().node(&node);
        let logs = snapshot.logs().map(|row| &row.log).filter(|log| *log.node() == node);
        let bound = |log: &LogId| {
            let size = revoked.and_then(|node| node.valid_size(log)).unwrap_or(0);
            pb::LogBound { log: log.to_string(), size }
        };
        let bounds = logs.map(bound).collect();
        let sequence = written.size.saturating_sub(1);
        Ok(pb::RevokeChildResponse { log: written.log.to_string(), sequence, bounds })
    }
}

/// Whom to revoke, and how much of its logs counts.
fn bounded(node: &str, bounds: &[pb::LogBound]) -> Result<(NodeId, Vec<(LogId, u64)>), Refusal> {
    let node: NodeId = node.trim().parse().map_err(|error| {
        Refusal::new(Reason::RequestInvalid, format!("the node: {error}; see the list of children"))
    })?;
    let bounds = bounds.iter().map(|bound| Ok((log_id(&bound.log)?, bound.size)));
    Ok((node, bounds.collect::<Result<_, Refusal>>()?))
}

fn of_key(error: KeyError) -> Refusal {
    Refusal::new(Reason::Internal, error.to_string())
}
