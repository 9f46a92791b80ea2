//! `key rotate`: the node's next log key takes over from the present one.

use danso_proto::pb::admin::v1::RotateKeyRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Sheet, column};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Rotates, and prints both keys.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let question = ctx.lang.of(
        "Thay khóa ký của nút: khóa cũ bị xóa sau khi cả hai đã ký; hãy sao lưu lại ngay sau đó.",
        "Replace the node's log key: the old one is gone once both have signed; make a new backup right after it.",
    );
    ctx.confirm(args.yes, question)?;
    let mut node = connect::admin(ctx).await?;
    let answer = connect::within(ctx, PROMPT, node.rotate_key(RotateKeyRequest {})).await?;
    let mut sheet = Sheet::new([
        column("old_key", "Khóa cũ", "Old key"),
        column("new_key", "Khóa mới", "New key"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
    ]);
    sheet.push([
        Field::Text(answer.old_key),
        Field::Text(answer.new_key),
        Field::Text(answer.log),
        Field::Number(answer.sequence),
    ]);
    ctx.sheet(&sheet)?;
    ctx.note(match ctx.lang {
        Lang::Vi => "Khóa mới đang ký. Bản sao lưu cũ chứa khóa cũ: hãy sao lưu lại.",
        Lang::En => "The new key signs. Older backups hold the old key: make a new one.",
    });
    Ok(Exit::Done)
}
