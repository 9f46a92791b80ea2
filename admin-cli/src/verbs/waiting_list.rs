//! `waiting list`: slips about persons who are not known yet.

use danso_proto::pb::admin::v1::ListWaitingRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints a row for each slip.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ListWaitingRequest { lang: ctx.lang.code().into() };
    let stream = connect::within(ctx, PROMPT, node.list_waiting(request)).await?;
    let mut sheet = Sheet::new([
        column("unit", "Đơn vị", "Unit"),
        column("slip_no", "Số phiếu", "Slip"),
        column("person_ref", "Chờ người", "Waits for person"),
        column("change_type", "Loại", "Type"),
        column("since", "Từ lúc", "Since"),
        column("reason", "Bị từ chối vì", "Refused for"),
    ]);
    for slip in connect::collect(ctx, stream).await? {
        sheet.push([
            Field::Text(slip.unit),
            Field::Text(slip.slip_no),
            Field::Text(slip.person_ref),
            Field::Text(slip.change_type),
            Field::Time(slip.since_ms),
            Field::Text(slip.reason),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}
