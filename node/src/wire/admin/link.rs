//! The link to the parent, as an operator moves it: dial now.

use std::time::Duration;

use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::Parts;
use crate::link::{LinkState, LinkStatus};

/// Time for an attempt to have an outcome: longer than its own deadlines.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(150);

impl Parts {
    /// What a node writes that was revoked counts nowhere: that must not look as if it did.
    ///
    /// # Errors
    /// `key_revoked`, when the parent said so when it was dialled last, or the directory does.
    pub(super) fn not_revoked(&self) -> Result<(), Refusal> {
        let snapshot = self.pipeline.snapshot();
        let known = snapshot.directory().node(snapshot.me()).is_some_and(danso_core::verify::Node::is_revoked);
        let told = self.link.as_ref().is_some_and(|link| {
            link.borrow().trouble.as_ref().is_some_and(|trouble| trouble.reason == Reason::KeyRevoked)
        });
        if !known && !told {
            return Ok(());
        }
        let detail = format!(
            "{} was revoked by a node above it: nothing new is written here, because it would count nowhere; what was written is kept. \
             Ask the operator of the parent; for a new node of this unit: danso-admin child invite --unit {} --again there",
            snapshot.me(),
            snapshot.me().unit()
        );
        Err(Refusal::new(Reason::KeyRevoked, detail))
    }

    /// Ends the wait between two attempts, and waits for what comes of it. A link that is up is left alone.
    pub(super) async fn retry_link(&self) -> Result<pb::RetryLinkResponse, Refusal> {
        let Some(link) = &self.link else {
            return Err(Refusal::new(
                Reason::NotFound,
                "this node is the root of its federation: it has no parent to dial",
            ));
        };
        let mut link = link.clone();
        let before = link.borrow().ended;
        if link.borrow().state == LinkState::Waiting {
            self.retry.now();
        }
        let over = |link: &LinkStatus| link.state == LinkState::Connected || link.ended > before;
        // Gone or late: what is known then is told.
        let _ = tokio::time::timeout(OUTCOME_TIMEOUT, link.wait_for(over)).await;
        let link = link.borrow();
        let reason = link.reason(&*self.clock);
        Ok(pb::RetryLinkResponse {
            link: state(Some(link.state)).into(),
            link_reason: reason.as_ref().map(|reason| reason.reason.code().to_owned()).unwrap_or_default(),
            link_detail: reason.map(|reason| reason.detail).unwrap_or_default(),
        })
    }
}

/// A link's state on the wire.
pub(super) fn state(state: Option<LinkState>) -> pb::LinkState {
    match state {
        None => pb::LinkState::None,
        Some(LinkState::Connected) => pb::LinkState::Connected,
        Some(LinkState::Connecting) => pb::LinkState::Connecting,
        Some(LinkState::Waiting) => pb::LinkState::Waiting,
    }
}
