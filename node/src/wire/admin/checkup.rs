//! The node looked over: the doctor's lines, as they come. Never sees the store.

use danso_core::messages::{self, Lang};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::Refusal;
use tokio::sync::mpsc;

use super::Parts;
use crate::doctor::{Line, State};

/// Lines that wait for the caller.
const AHEAD: usize = 16;

impl Parts {
    /// Looks the node over as it is now.
    pub(super) fn checkup(&self, lang: Lang) -> mpsc::Receiver<Result<pb::DoctorResponse, Refusal>> {
        let (out, answers) = mpsc::channel(AHEAD);
        let skew_ms = self.link.as_ref().map(|link| link.borrow().skew_ms(&*self.clock));
        let snapshot = self.pipeline.snapshot();
        let standing = match self.standing(&snapshot) {
            None => Line::ok("standing", "this node was not revoked, and none of its own logs is stopped"),
            Some(refusal) => Line::fail("standing", refusal),
        };
        let patient = self.doctor.examined(snapshot, skew_ms);
        let (lines, mut found) = mpsc::channel(AHEAD);
        // Hashing and counting keep a core busy for long: not one that serves.
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(patient.examine(&lines)));
        tokio::spawn(async move {
            while let Some(line) = found.recv().await {
                if out.send(Ok(said(line, lang))).await.is_err() {
                    return;
                }
            }
            // The caller may have gone.
            let _ = out.send(Ok(said(standing, lang))).await;
        });
        answers
    }
}

fn said(line: Line, lang: Lang) -> pb::DoctorResponse {
    pb::DoctorResponse {
        check: line.check.to_owned(),
        state: match line.state {
            State::Ok => pb::DoctorState::Ok,
            State::Warn => pb::DoctorState::Warn,
            State::Fail => pb::DoctorState::Fail,
        }
        .into(),
        reason: line.reason.map(|reason| reason.code().to_owned()).unwrap_or_default(),
        detail: line.detail,
        next_step: line.reason.map(|reason| messages::next_step(reason, lang).to_owned()).unwrap_or_default(),
    }
}
