//! The link to the parent, as an operator moves it: dial now.

use std::time::Duration;

use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::Parts;
use crate::link::{LinkState, LinkStatus};

/// Time for an attempt to have an outcome: longer than its own deadlines.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(150);

impl Parts {
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
