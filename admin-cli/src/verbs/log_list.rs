//! `log list`: the logs that are here.

use danso_proto::pb::admin::v1::ListLogsRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::tables;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints a row for each log.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let answer = connect::within(ctx, PROMPT, node.list_logs(ListLogsRequest {})).await?;
    ctx.sheet(&tables::logs(&answer.logs))?;
    Ok(Exit::Done)
}
