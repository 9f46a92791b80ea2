//! `finding list`: records that are in a log and do not count or are doubtful; who says so, and what to do.

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::findings::{self, Wanted};
use crate::output::{Field, Sheet, column, detail};

/// Which findings.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
}

/// Prints a row for each finding and each node that says so.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let stream = connect::within(ctx, PROMPT, node.list_findings(args.wanted.request(ctx))).await?;
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
        column("severity", "Mức độ", "Severity"),
        column("state", "Tình trạng", "State"),
        detail("closed_at"),
        column("reason", "Mã", "Code"),
        column("seen", "Đã thấy", "Seen"),
        detail("other_id"),
        column("message", "Nội dung và cách sửa", "What is wrong and what to do"),
    ]);
    for finding in connect::collect(ctx, stream).await? {
        let (state, severity) = (findings::state(&finding, ctx), findings::severity(&finding.severity, ctx));
        let seen = findings::seen(&finding);
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
            severity,
            state,
            Field::Time(finding.closed_ms),
            Field::Text(finding.reason),
            Field::Text(seen),
            Field::Text(finding.other_id),
            Field::Text(finding.message),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}
