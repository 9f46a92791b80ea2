//! `finding answer`: says that a record with a finding is right as it is, signed and with the reason; or withdraws that.

use danso_proto::ids::ChangeId;
use danso_proto::pb::admin::v1::AnswerFindingRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Sheet, column, detail};

/// What is said of which finding.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the change, as `finding list --output csv` has it
    #[arg(value_name = "CHANGE_ID")]
    change: ChangeId,
    /// Code of the finding
    #[arg(value_name = "CODE")]
    code: String,
    /// The record is right as it is; a record that is wrong is corrected by a slip `update` or `retract` instead
    #[arg(long, required_unless_present = "withdraw", requires = "because")]
    right: bool,
    /// Withdraw the answers that were given
    #[arg(long, conflicts_with = "right")]
    withdraw: bool,
    /// Why. Nodes above read it where they hold names
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
}

/// Writes the answer, and prints where it stands.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = AnswerFindingRequest {
        change_id: args.change.to_string(),
        code: args.code.clone(),
        withdraw: args.withdraw,
        because: args.because.clone().unwrap_or_default(),
    };
    let answer = connect::within(ctx, PROMPT, node.answer_finding(request)).await?;
    if answer.repeated {
        ctx.note(ctx.lang.of(
            "Đã trả lời như vậy từ trước; không ghi thêm gì.",
            "It had been answered so before; nothing was written.",
        ));
    }
    let mut sheet = Sheet::new([
        column("change_id", "Mã bản ghi", "Change"),
        column("code", "Mã", "Code"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
        detail("answer_id"),
        column("repeated", "Đã có từ trước", "Said before"),
    ]);
    for id in answer.answer_ids {
        sheet.push([
            Field::Text(args.change.to_string()),
            Field::from(&*args.code),
            Field::from(&*answer.log),
            Field::Number(answer.sequence),
            Field::Text(id),
            Field::Flag(answer.repeated),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}
