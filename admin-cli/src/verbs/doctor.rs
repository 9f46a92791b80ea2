//! `doctor`: the node looked over, thing by thing, and what to do.

use danso_proto::pb::admin::v1::{DoctorRequest, DoctorState};

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints a row for each thing; refused when something is wrong.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = DoctorRequest { lang: ctx.lang.code().into() };
    let stream = connect::within(ctx, PROMPT, node.doctor(request)).await?;
    let mut sheet = Sheet::new([
        column("state", "Tình trạng", "State"),
        column("check", "Mục kiểm tra", "Check"),
        column("detail", "Kết quả", "Found"),
        column("reason", "Mã", "Reason"),
        column("next_step", "Việc cần làm", "Next step"),
    ]);
    let mut exit = Exit::Done;
    for line in connect::collect(ctx, stream).await? {
        if line.state() == DoctorState::Fail {
            exit = Exit::Refused;
        }
        sheet.push([
            Field::from(word(line.state())),
            Field::Text(line.check),
            Field::Text(line.detail),
            Field::Text(line.reason),
            Field::Text(line.next_step),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(exit)
}

fn word(state: DoctorState) -> &'static str {
    match state {
        DoctorState::Unspecified => "",
        DoctorState::Ok => "ok",
        DoctorState::Warn => "warn",
        DoctorState::Fail => "fail",
    }
}
