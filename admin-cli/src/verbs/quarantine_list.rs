//! `quarantine list`: the logs that are stopped, why, and what to do.

use danso_core::messages;
use danso_proto::pb::admin::v1::{ListQuarantineRequest, Quarantined};
use danso_proto::refusal::Reason;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Sheet, column};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints a row for each log that is stopped.
pub async fn run(_: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let answer = connect::within(ctx, PROMPT, node.list_quarantine(ListQuarantineRequest {})).await?;
    let mut sheet = Sheet::new([
        column("log", "Sổ", "Log"),
        column("unit", "Đơn vị", "Unit"),
        column("since", "Từ lúc", "Since"),
        column("reason", "Lý do", "Reason"),
        column("entries", "Số mục", "Entries"),
        column("evidence", "Chứng cứ số", "Evidence"),
        column("deciders", "Nút quyết định", "Who decides"),
        column("detail", "Chi tiết", "Detail"),
        column("next", "Việc cần làm", "What to do"),
    ]);
    for log in &answer.logs {
        let numbers = log.evidence.iter().map(ToString::to_string).collect::<Vec<_>>();
        sheet.push([
            Field::from(&*log.log),
            Field::from(&*log.unit),
            Field::Time(log.since_ms),
            Field::from(&*log.reason),
            Field::Count(log.entries),
            Field::Text(numbers.join(" ")),
            Field::Text(log.deciders.join(" ")),
            Field::from(&*log.detail),
            Field::Text(next(log, ctx.lang)),
        ]);
    }
    ctx.sheet(&sheet)?;
    Ok(Exit::Done)
}

/// What to do about a log that is stopped.
fn next(log: &Quarantined, lang: Lang) -> String {
    let Quarantined { log: name, evidence, deciders, ours_to_decide, agree, own, reason, .. } = log;
    let number = evidence.last().map_or_else(|| "N".to_owned(), ToString::to_string);
    let size = match agree {
        Some(_) => String::new(),
        None => " --size N".to_owned(),
    };
    match (lang, Reason::from_code(reason)) {
        (Lang::Vi, Some(Reason::RootDiffers | Reason::ReadOnly)) if *own => {
            "danso-node recover --data DIR tại nút này, sau khi nút cấp trên quyết định".into()
        }
        (Lang::En, Some(Reason::RootDiffers | Reason::ReadOnly)) if *own => {
            "danso-node recover --data DIR at this node, once the node above has decided".into()
        }
        (Lang::Vi, Some(Reason::RootDiffers)) if *ours_to_decide => format!(
            "danso-admin evidence export {number} --out FILE; rồi danso-admin quarantine accept {name} --reason TEXT, hoặc danso-admin quarantine reset {name}{size} --reason TEXT"
        ),
        (Lang::En, Some(Reason::RootDiffers)) if *ours_to_decide => format!(
            "danso-admin evidence export {number} --out FILE; then danso-admin quarantine accept {name} --reason TEXT, or danso-admin quarantine reset {name}{size} --reason TEXT"
        ),
        (Lang::Vi, Some(Reason::RootDiffers)) => match deciders.first() {
            Some(decider) => {
                format!("danso-admin evidence export {number} --out FILE, gửi cho người vận hành của {decider}")
            }
            None => format!("danso-admin evidence export {number} --out FILE, gửi cho người vận hành của nút gốc"),
        },
        (Lang::En, Some(Reason::RootDiffers)) => match deciders.first() {
            Some(decider) => {
                format!("danso-admin evidence export {number} --out FILE, and send it to the operator of {decider}")
            }
            None => format!("danso-admin evidence export {number} --out FILE, and send it to the operator of the root"),
        },
        (Lang::Vi, Some(Reason::LogShorter)) => "danso-node recover --data DIR tại nút ghi sổ".into(),
        (Lang::En, Some(Reason::LogShorter)) => "danso-node recover --data DIR at the node that wrote the log".into(),
        (_, Some(reason)) => messages::next_step(reason, lang.into()).into(),
        (_, None) => lang.of("Hãy cập nhật danso-admin.", "Update danso-admin.").into(),
    }
}
