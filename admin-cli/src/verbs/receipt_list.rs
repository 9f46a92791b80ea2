//! `receipt list`: what other nodes confirmed to hold.

use danso_proto::ids::LogId;
use danso_proto::pb::admin::v1::ListReceiptsRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::tables;

/// Which receipts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only about this log [default: the node's own logs]
    #[arg(long, value_name = "LOG")]
    log: Option<LogId>,
}

/// Prints the latest receipt of each giver for each log.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ListReceiptsRequest { log: args.log.as_ref().map(LogId::to_string).unwrap_or_default() };
    let answer = connect::within(ctx, PROMPT, node.list_receipts(request)).await?;
    ctx.sheet(&tables::receipts(&answer.receipts))?;
    Ok(Exit::Done)
}
