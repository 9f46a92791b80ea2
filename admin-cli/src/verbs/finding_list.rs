//! `finding list`: records that are in a log and cannot be counted; who says so, and what to do.

use danso_proto::pb::admin::v1::{ListFindingsRequest, ListFindingsResponse};

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, detail};

/// Which findings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also those that were settled
    #[arg(long)]
    all: bool,
}

/// Prints a row for each finding and each node that says so.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ListFindingsRequest { lang: ctx.lang.code().into(), closed: args.all };
    let stream = connect::within(ctx, PROMPT, node.list_findings(request)).await?;
    let mut sheet = Sheet::new([
        column("slip_no", "Số phiếu", "Slip"),
        column("person_ref", "Mã người", "Person"),
        column("kind", "Loại", "Kind"),
        column("unit", "Đơn vị", "Unit"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
        detail("change_id"),
        column("said_by_unit", "Nơi phát hiện", "Found at"),
        detail("said_by"),
        column("since", "Từ lúc", "Since"),
        column("state", "Tình trạng", "State"),
        detail("closed_at"),
        column("reason", "Mã", "Reason"),
        column("message", "Nội dung và cách sửa", "What is wrong and what to do"),
    ]);
    for finding in connect::collect(ctx, stream).await? {
        let state = state(&finding, ctx);
        sheet.push([
            Field::Text(finding.slip_no),
            Field::Text(finding.person_ref),
            Field::Text(finding.kind),
            Field::Text(finding.unit),
            Field::Text(finding.log),
            Field::Number(finding.sequence),
            Field::Text(finding.change_id),
            Field::Text(finding.said_by_unit),
            Field::Text(finding.said_by),
            Field::Time(finding.since_ms),
            state,
            Field::Time(finding.closed_ms),
            Field::Text(finding.reason),
            Field::Text(finding.message),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}

/// The word: for programs always the same.
fn state(finding: &ListFindingsResponse, ctx: &Context) -> Field {
    let is_open = finding.closed_ms == 0;
    Field::from(match (is_open, ctx.format, ctx.lang) {
        (true, Format::Table, Lang::Vi) => "còn mở",
        (false, Format::Table, Lang::Vi) => "đã xong",
        (true, ..) => "open",
        (false, Format::Table, Lang::En) => "settled",
        (false, ..) => "closed",
    })
}
