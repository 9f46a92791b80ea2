//! `evidence list`: the pairs of signed statements that cannot both be true.

use danso_proto::ids::LogId;
use danso_proto::pb::admin::v1::ListEvidenceRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column, detail, hex};

/// Which evidence.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only about this log [default: all]
    #[arg(value_name = "LOG")]
    log: Option<LogId>,
}

/// Prints a row for each.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let log = args.log.as_ref().map(ToString::to_string).unwrap_or_default();
    let answer = connect::within(ctx, PROMPT, node.list_evidence(ListEvidenceRequest { log })).await?;
    let mut sheet = Sheet::new([
        column("number", "Số", "Number"),
        column("log", "Sổ", "Log"),
        column("seen_at", "Phát hiện lúc", "Seen at"),
        column("kind", "Loại", "Kind"),
        column("ours_entries", "Mục tại đây", "Entries here"),
        column("theirs_entries", "Mục được trình", "Entries shown"),
        column("differ", "Khác nhau từ muộn nhất", "Differ at the latest at"),
        column("agree", "Giống nhau đến", "Agree up to"),
        column("shown_by", "Nút trình ra", "Shown by"),
        column("decided_by", "Đã quyết định bởi", "Decided by"),
        detail("digest"),
    ]);
    for kept in &answer.evidence {
        sheet.push([
            Field::Number(kept.number),
            Field::from(&*kept.log),
            Field::Time(kept.seen_at_ms),
            Field::from(&*kept.kind),
            Field::Count(kept.ours_entries),
            Field::Count(kept.theirs_entries),
            Field::Count(kept.differ),
            kept.agree.map_or_else(|| Field::from(""), Field::Count),
            Field::from(&*kept.shown_by),
            Field::from(&*kept.decided_by),
            Field::Text(hex(&kept.digest)),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}
