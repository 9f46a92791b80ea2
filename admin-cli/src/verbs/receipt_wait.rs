//! `receipt wait`: until everything that was written here is durable at a higher node.

use std::time::Duration;

use danso_proto::pb::admin::v1::WaitReceiptRequest;
use danso_proto::refusal::Reason;

use crate::args;
use crate::connect;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::harmless;
use crate::say;
use crate::tables;

/// What to wait for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tier whose receipt is waited for [default: the parent's]
    #[arg(long, value_name = "TIER", value_parser = args::tier())]
    tier: Option<String>,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = args::duration)]
    timeout: Duration,
}

/// What a node may need beyond the time that it was asked to wait.
const GRACE: Duration = Duration::from_secs(10);

/// Waits; done when all own entries are receipted. Refused when the node was revoked or lost its place; not available when nobody can know, because the node is an
/// old copy or one of its logs is stopped.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = WaitReceiptRequest {
        tier: args.tier.clone().unwrap_or_default(),
        timeout_ms: u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX),
    };
    let limit = args.timeout.saturating_add(GRACE);
    let answer = connect::within(ctx, limit, node.wait_receipt(request)).await?;
    ctx.sheet(&tables::receipts(&answer.receipts))?;
    if answer.complete {
        return Ok(Exit::Done);
    }
    let reason = Reason::from_code(&answer.reason);
    let waited = humantime::format_duration(args.timeout);
    for receipt in answer.receipts.iter().filter(|receipt| receipt.size < receipt.log_size) {
        let (size, log_size, log, giver) = (receipt.size, receipt.log_size, &receipt.log, &receipt.giver);
        let giver = if giver.is_empty() { args.tier.as_deref().unwrap_or_default() } else { giver };
        ctx.note(match ctx.lang {
            Lang::Vi => format!("còn thiếu: {log}: {size} trong {log_size} mục được {giver} xác nhận"),
            Lang::En => format!("missing: {log}: {size} of {log_size} entries are receipted by {giver}"),
        });
    }
    // What ends only when somebody does something about it, here or above: waiting longer does not help.
    if let Some(
        Reason::KeyRevoked
        | Reason::KeyNotEnrolled
        | Reason::PlaceLost
        | Reason::ReadOnly
        | Reason::RootDiffers
        | Reason::LogQuarantined,
    ) = reason
    {
        let said = say::refusal(ctx.lang, &answer.reason, &answer.detail);
        ctx.note(said);
        let refused = matches!(reason, Some(Reason::KeyRevoked | Reason::PlaceLost));
        return Ok(if refused { Exit::Refused } else { Exit::Unavailable });
    }
    if !answer.reason.is_empty() {
        let (reason, detail) = (harmless(&answer.reason), harmless(&answer.detail));
        let refused = ctx.lang.of("cấp trên từ chối", "the parent refuses");
        ctx.note(format_args!("{refused} [{reason}]: {detail}"));
    }
    ctx.note(match ctx.lang {
        Lang::Vi => format!(
            "Sau {waited} vẫn chưa đủ biên nhận. Không mất gì: nút sẽ tiếp tục gửi. Xem liên kết: danso-admin status"
        ),
        Lang::En => format!(
            "After {waited} not everything is receipted. Nothing is lost: the node goes on sending. Look at the link: danso-admin status"
        ),
    });
    Ok(Exit::Unavailable)
}
