//! `link retry`: have the parent dialled now.

use std::time::Duration;

use danso_proto::pb::admin::v1::RetryLinkRequest;

use crate::connect;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column};
use crate::tables;

/// Longer than the node itself waits for an outcome.
const PATIENCE: Duration = Duration::from_secs(180);

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints how the link is then: exit 0 when it is up, 4 when it is not.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let answer = connect::within(ctx, PATIENCE, node.retry_link(RetryLinkRequest {})).await?;
    let mut sheet = Sheet::new([
        column("link", "Liên kết", "Link"),
        column("link_reason", "Lỗi liên kết", "Link error"),
        column("link_detail", "Chi tiết lỗi", "Link error detail"),
    ]);
    let state = tables::link(answer.link());
    sheet.push([Field::from(state), Field::from(&*answer.link_reason), Field::from(&*answer.link_detail)]);
    ctx.sheet(&sheet)?;
    Ok(if state == tables::CONNECTED { Exit::Done } else { Exit::Unavailable })
}
