//! What a node says of itself that whoever looks at its figures or receipts has to be told: that it was revoked, that its database is behind,
//! that a log of it is stopped. It may not know which verb is run.

use danso_proto::pb::admin::v1::GetStatusRequest;
use danso_proto::pb::admin::v1::admin_service_client::AdminServiceClient;
use danso_proto::refusal::Reason;
use tonic::transport::Channel;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::say;

/// Why figures and receipts of a node are not what they seem; empty while all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Reason code.
    pub reason: String,
    /// What exactly was found, in English.
    pub detail: String,
}

impl Standing {
    /// Asks the node. That it does not say is no failure of the verb that is run.
    pub async fn ask(ctx: &Context, node: &mut AdminServiceClient<Channel>) -> Self {
        match connect::within(ctx, PROMPT, node.get_status(GetStatusRequest {})).await {
            // What is here is all there is, also when nothing more goes in.
            Ok(status) if status.reason != Reason::DiskFull.code() => {
                Self { reason: status.reason, detail: status.detail }
            }
            _ => Self::default(),
        }
    }

    /// Tells people.
    pub fn note(&self, ctx: &mut Context) {
        if !self.reason.is_empty() {
            let said = say::refusal(ctx.lang, &self.reason, &self.detail);
            ctx.note(format_args!("{}: {said}", ctx.lang.of("CHÚ Ý", "NOTE")));
        }
    }
}
