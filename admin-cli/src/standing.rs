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
    /// Reason code, or [`UNKNOWN`].
    pub reason: String,
    /// What exactly was found, in English; why it is unknown, in words.
    pub detail: String,
}

/// Stands for the reason code when the node did not say.
pub const UNKNOWN: &str = "standing_unknown";

impl Standing {
    /// Asks the node. That it does not say is no failure of the verb that is run, but must not look as if all were well.
    pub async fn ask(ctx: &Context, node: &mut AdminServiceClient<Channel>) -> Self {
        match connect::within(ctx, PROMPT, node.get_status(GetStatusRequest {})).await {
            // What is here is all there is, also when nothing more goes in.
            Ok(status) if status.reason == Reason::DiskFull.code() => Self::default(),
            Ok(status) => Self { reason: status.reason, detail: status.detail },
            Err(failure) => Self { reason: UNKNOWN.into(), detail: say::failure(ctx.lang, &failure) },
        }
    }

    /// Tells people.
    pub fn note(&self, ctx: &mut Context) {
        let said = match &*self.reason {
            "" => return,
            UNKNOWN => {
                let unknown = ctx.lang.of(
                    "tình trạng của nút không rõ (standing unknown): nút có thể đã bị thu hồi hoặc bị dừng",
                    "standing unknown: the node may have been revoked or stopped",
                );
                format!("{unknown}. {}", self.detail)
            }
            reason => say::refusal(ctx.lang, reason, &self.detail),
        };
        ctx.note(format_args!("{}: {said}", ctx.lang.of("CHÚ Ý", "NOTE")));
    }
}
