//! `child list`: the nodes below this one.

use danso_proto::pb::admin::v1::ListChildrenRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::tables;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints a row for each child.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let answer = connect::within(ctx, PROMPT, node.list_children(ListChildrenRequest {})).await?;
    ctx.sheet(&tables::children(&answer.children))?;
    Ok(Exit::Done)
}
