//! Logs with two histories: evidence, what is stopped, and the operator's decision.

use std::collections::BTreeMap;

use danso_core::verify::Node;
use danso_proto::ids::LogId;
use danso_proto::limits;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::logs::log_id;
use super::{Parts, of_pipeline, of_view};
use crate::link::{Ahead, Shorter};
use crate::pipeline::{Decision, Keep, Snapshot};

impl Parts {
    pub(super) async fn list_evidence(
        &self,
        request: pb::ListEvidenceRequest,
    ) -> Result<pb::ListEvidenceResponse, Refusal> {
        let log = (!request.log.is_empty()).then(|| log_id(&request.log)).transpose()?;
        let snapshot = self.pipeline.snapshot();
        let directory = snapshot.directory();
        let kept = self.view.evidence(directory, log.as_ref()).await.map_err(of_view)?;
        let evidence = kept.into_iter().map(|kept| {
            let found = kept.contradicted.as_ref();
            pb::Evidence {
                number: kept.number,
                seen_at_ms: kept.seen_at_ms,
                shown_by: kept.shown_by.as_ref().map(ToString::to_string).unwrap_or_default(),
                kind: found.map(|found| found.kind.as_str().to_owned()).unwrap_or_default(),
                ours_entries: found.map(|found| found.ours.size).unwrap_or_default(),
                theirs_entries: found.map(|found| found.theirs.size).unwrap_or_default(),
                differ: found.map(|found| found.differ).unwrap_or_default(),
                agree: found.and_then(|found| found.agree),
                digest: kept.digest.to_vec().into(),
                decided_by: directory
                    .fork_decisions(&kept.log)
                    // One that was made before this was seen, about less than where they part here, does not settle it.
                    .filter(|(_, decided)| {
                        decided.evidence == Some(kept.digest) || found.is_some_and(|found| found.differ <= decided.size)
                    })
                    .last()
                    .map(|(by, _)| by.to_string())
                    .unwrap_or_default(),
                log: kept.log.to_string(),
            }
        });
        Ok(pb::ListEvidenceResponse { evidence: evidence.collect() })
    }

    pub(super) async fn export_evidence(
        &self,
        request: pb::ExportEvidenceRequest,
    ) -> Result<pb::ExportEvidenceResponse, Refusal> {
        let snapshot = self.pipeline.snapshot();
        let file = self.view.evidence_file(snapshot.directory(), request.number).await.map_err(of_view)?;
        Ok(pb::ExportEvidenceResponse { file: file.into() })
    }

    /// What is stopped here until somebody does something, and what only stops while it lasts.
    pub(super) async fn list_quarantine(&self) -> Result<pb::ListQuarantineResponse, Refusal> {
        let snapshot = self.pipeline.snapshot();
        let directory = snapshot.directory();
        let kept = self.view.evidence(directory, None).await.map_err(of_view)?;
        let mut logs = Vec::new();
        for row in snapshot.logs() {
            let Some((reason, detail)) = row.trouble.clone() else { continue };
            let about = kept.iter().filter(|kept| kept.log == row.log);
            let fork = reason == Reason::RootDiffers.code();
            let own = row.log.node() == snapshot.me();
            let deciders = directory.lineage(row.log.node()).skip(1).filter(|_| fork).map(ToString::to_string);
            logs.push(pb::Quarantined {
                log: row.log.to_string(),
                unit: unit_of(&snapshot, &row.log),
                reason,
                detail,
                // Nothing is committed to a log that is stopped: the last commit is the one that stopped it.
                since_ms: row.committed_at_ms,
                entries: row.head.size(),
                evidence: about.clone().map(|kept| kept.number).collect(),
                deciders: deciders.collect(),
                ours_to_decide: fork && directory.is_above(snapshot.me(), row.log.node()),
                agree: about.filter_map(|kept| kept.contradicted.as_ref()).find_map(|found| found.agree),
                own,
            });
        }
        logs.extend(self.shorter().into_iter().map(|(log, shorter)| pb::Quarantined {
            unit: unit_of(&snapshot, &log),
            reason: Reason::LogShorter.code().to_owned(),
            detail: shorter.in_words(log.node()),
            since_ms: shorter.since_ms,
            entries: shorter.ours,
            log: log.to_string(),
            ..Default::default()
        }));
        Ok(pb::ListQuarantineResponse { logs })
    }

    /// Logs that are shorter at their authors', the children and the parent, than here.
    pub(super) fn shorter(&self) -> Vec<(LogId, Shorter)> {
        let children = self.children.list().into_iter().flat_map(|child| child.shorter);
        let parent = self.link.as_ref().map(|link| link.borrow().shorter.clone()).unwrap_or_default();
        children.chain(parent).collect()
    }

    /// Logs of which the parent holds more than is here, as it said when it was connected last.
    pub(super) fn ahead(&self) -> BTreeMap<LogId, Ahead> {
        let snapshot = self.pipeline.snapshot();
        self.link.as_ref().map(|link| link.borrow().ahead_of(&snapshot)).unwrap_or_default()
    }

    pub(super) async fn decide_fork(&self, request: pb::DecideForkRequest) -> Result<pb::DecideForkResponse, Refusal> {
        let log = log_id(&request.log)?;
        let reason = request.reason.trim();
        if reason.is_empty() || reason.len() > limits::NOTE_MAX {
            let detail =
                format!("a decision needs a reason of at most {} bytes, for everybody to read", limits::NOTE_MAX);
            return Err(Refusal::new(Reason::RequestInvalid, detail));
        }
        let keep = match request.reset {
            true => Keep::First(request.size),
            false => Keep::All,
        };
        let decision = Decision { log: log.clone(), keep, reason: reason.to_owned(), dry_run: request.dry_run };
        let decided = self.pipeline.decide(decision).await.map_err(of_pipeline)?;
        if !request.dry_run && !decided.before {
            tracing::warn!(%log, entries = decided.size, reset = request.reset, reason, "the operator decided about a log with two histories");
        }
        let (evidence, digest) = decided.evidence.unzip();
        Ok(pb::DecideForkResponse {
            author_unit: unit_of(&self.pipeline.snapshot(), &log),
            log: log.to_string(),
            author: decided.author.to_string(),
            entries: decided.size,
            root: decided.root.to_vec().into(),
            held: decided.held,
            changes_left_out: decided.left_out,
            evidence: evidence.and_then(|number| number.try_into().ok()).unwrap_or_default(),
            evidence_digest: digest.map(|digest| digest.to_vec()).unwrap_or_default().into(),
            before: decided.before,
        })
    }
}

/// The unit that a log's author serves.
pub(super) fn unit_of(snapshot: &Snapshot, log: &LogId) -> String {
    let author = snapshot.directory().node(log.node());
    author.map(Node::unit).cloned().unwrap_or_else(|| log.node().unit()).to_string()
}
