//! `finding list`: records that are in a log and cannot be counted.

use danso_proto::pb::admin::v1::ListFindingsRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column, detail};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints a row for each finding.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ListFindingsRequest { lang: ctx.lang.code().into() };
    let stream = connect::within(ctx, PROMPT, node.list_findings(request)).await?;
    let mut sheet = Sheet::new([
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
        column("unit", "Đơn vị", "Unit"),
        detail("change_id"),
        column("reason", "Mã", "Reason"),
        column("message", "Nội dung", "Message"),
    ]);
    for finding in connect::collect(ctx, stream).await? {
        sheet.push([
            Field::Text(finding.log),
            Field::Number(finding.sequence),
            Field::Text(finding.unit),
            Field::Text(finding.change_id),
            Field::Text(finding.reason),
            Field::Text(finding.message),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}
