//! `child revoke`: a node below this one writes no more, and its logs count up to a size.

use danso_proto::ids::LogId;
use danso_proto::pb::admin::v1::{LogBound, RevokeChildRequest};

use crate::connect;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Sheet, column};

/// Whom to revoke.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node; see: child list
    #[arg(value_name = "NODE")]
    node: String,
    /// How many entries of a log count; a log that is not named counts as far as it is here
    #[arg(long = "size", value_name = "LOG=N", value_parser = bound)]
    sizes: Vec<LogBound>,
    /// Why; it stands in the directory for ever
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

fn bound(text: &str) -> Result<LogBound, String> {
    let (log, size) = text.rsplit_once('=').ok_or("write LOG=N")?;
    let log: LogId = log.parse().map_err(|error| format!("{error}"))?;
    let size = size.parse().map_err(|_| format!("{size:?} is no number of entries"))?;
    Ok(LogBound { log: log.to_string(), size })
}

/// Writes the revocation, and prints what counts from now on.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let node = &args.node;
    let question = match ctx.lang {
        Lang::Vi => format!(
            "Thu hồi {node}: nút này sẽ không ghi thêm được gì và không kết nối được nữa. Không hoàn tác được; đơn vị cần một nút mới (child invite --again)."
        ),
        Lang::En => format!(
            "Revoke {node}: it writes nothing more and connects no more. This cannot be undone; its unit then needs a new node (child invite --again)."
        ),
    };
    ctx.confirm(args.yes, &question)?;
    let mut client = connect::admin(ctx).await?;
    let request = RevokeChildRequest { node: node.clone(), bounds: args.sizes.clone(), reason: args.reason.clone() };
    let answer = connect::within(ctx, connect::SILENCE_MAX, client.revoke_child(request)).await?;
    let mut sheet = Sheet::new([column("log", "Sổ", "Log"), column("size", "Số mục được tính", "Entries that count")]);
    for bound in &answer.bounds {
        sheet.push([Field::Text(bound.log.clone()), Field::Count(bound.size)]);
    }
    ctx.sheet(&sheet)?;
    ctx.note(match ctx.lang {
        Lang::Vi => format!("Đã thu hồi {node}: mục {} của {}.", answer.sequence, answer.log),
        Lang::En => format!("{node} is revoked: entry {} of {}.", answer.sequence, answer.log),
    });
    Ok(Exit::Done)
}
