//! `period close`: a signed statement that a unit's month is complete.

use danso_proto::pb::admin::v1::ClosePeriodRequest;

use crate::args;
use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column, detail};

/// What is complete.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Code of the unit
    #[arg(long, value_name = "CODE")]
    unit: String,
    /// The month
    #[arg(long, value_name = "YYYY-MM", value_parser = args::month)]
    month: u32,
}

/// Writes the statement, and prints where it stands.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ClosePeriodRequest { unit: args.unit.clone(), month: args.month };
    let answer = connect::within(ctx, PROMPT, node.close_period(request)).await?;
    let mut sheet = Sheet::new([
        column("unit", "Đơn vị", "Unit"),
        column("month", "Tháng", "Month"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
        column("closed_at", "Chốt lúc", "Closed"),
        detail("already"),
    ]);
    sheet.push([
        Field::from(&*args.unit),
        Field::Month(args.month),
        Field::Text(answer.log),
        Field::Number(answer.sequence),
        Field::Time(answer.closed_at_ms),
        Field::Flag(answer.already),
    ]);
    ctx.sheet(&sheet)?;
    if answer.already {
        ctx.note(ctx.lang.of(
            "Tháng này đã chốt từ trước; không ghi gì thêm. Phiếu nhập sau khi chốt vẫn được nhận và tính là muộn.",
            "The month was closed before; nothing was written. Slips that are imported after it are taken, and count as late.",
        ));
    }
    Ok(Exit::Done)
}
