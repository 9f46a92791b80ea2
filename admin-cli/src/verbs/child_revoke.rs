//! `child revoke`: a node below this one writes no more, and its logs count up to a size.

use danso_proto::ids::LogId;
use danso_proto::pb::admin::v1::{LogBound, PlanRevocationRequest, RevokeChildRequest};

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
    let mut client = connect::admin(ctx).await?;
    let (bounds, reason) = (args.sizes.clone(), args.reason.clone());
    let asked = PlanRevocationRequest { node: node.clone(), bounds: bounds.clone() };
    let plan = connect::within(ctx, connect::PROMPT, client.plan_revocation(asked)).await?;
    ctx.confirm(args.yes, &question(node, &plan.losing_place, ctx.lang))?;
    let request = RevokeChildRequest { node: node.clone(), bounds, reason };
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

fn question(node: &str, losing_place: &[String], lang: Lang) -> String {
    let mut question = match lang {
        Lang::Vi => format!(
            "Thu hồi {node}: nút này sẽ không ghi thêm được gì và không kết nối được nữa. Không hoàn tác được; đơn vị cần một nút mới (child invite --again)."
        ),
        Lang::En => format!(
            "Revoke {node}: it writes nothing more and connects no more. This cannot be undone; its unit then needs a new node (child invite --again)."
        ),
    };
    if !losing_place.is_empty() {
        let nodes = losing_place.join(", ");
        question.push_str(&match lang {
            Lang::Vi => format!(
                " Các nút sau mất chỗ, vì được kết nạp sau mục đó của sổ danh bạ, và những gì chúng đã ghi không được tính nữa: {nodes}. \
                 Nếu không định như vậy, hãy cho biết số mục của sổ danh bạ với --size. Nếu đúng, hãy cấp chỗ cho từng nút đáng tin: child invite \
                 --node NODE tại đây, rồi danso-node recover --token-file tại nút đó."
            ),
            Lang::En => format!(
                " These nodes lose their place, because they were enrolled behind that entry of its directory, and what they wrote counts no \
                 more: {nodes}. If that is not meant, say with --size how many entries of its directory count. If it is, give those that are \
                 to be trusted a place: child invite --node NODE here, then danso-node recover --token-file there."
            ),
        });
    }
    question
}
