//! A decision about a log with two histories: what will happen is said first, then it is asked for, then it is done. It may not know which
//! command wants it.

use danso_proto::pb::admin::v1::{DecideForkRequest, DecideForkResponse};

use crate::connect::{self, PROMPT, SILENCE_MAX};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Sheet, column, detail, hex};

/// Says what the decision will do, asks unless `yes`, and has it written.
pub async fn decide(request: DecideForkRequest, yes: bool, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let asked = DecideForkRequest { dry_run: true, ..request.clone() };
    let plan = connect::within(ctx, PROMPT, node.decide_fork(asked)).await?;
    if plan.before {
        print(&plan, ctx)?;
        ctx.note(ctx.lang.of(
            "Đã được quyết định như vậy từ trước; không ghi thêm gì.",
            "It was decided so before; nothing was written.",
        ));
        return Ok(Exit::Done);
    }
    let what = match request.reset {
        true => reset(&plan, ctx.lang),
        false => accept(&plan, ctx.lang),
    };
    ctx.confirm(yes, &what)?;
    // What was shown is what is done, whatever came in between.
    let request = DecideForkRequest { size: request.reset.then_some(plan.entries), ..request };
    // With a reset the figures are made again from the logs.
    let done = connect::within(ctx, SILENCE_MAX, node.decide_fork(request)).await?;
    print(&done, ctx)?;
    ctx.note(ctx.lang.of(
        "Quyết định đã được ký vào sổ danh bạ của nút này và sẽ đến mọi nút giữ sổ đó.",
        "The decision is signed into this node's directory log, and travels to every node that holds the log.",
    ));
    Ok(Exit::Done)
}

fn accept(plan: &DecideForkResponse, lang: Lang) -> String {
    let DecideForkResponse { log, author, entries, .. } = plan;
    match lang {
        Lang::Vi => format!(
            "Sẽ xảy ra: {entries} mục của {log} đang giữ tại đây được công nhận, vĩnh viễn. Sổ được nhận tiếp từ mục đó. Lịch sử khác bị \
             từ chối; bản sao của {author} đã ghi lịch sử khác phải dừng ghi và chạy `danso-node recover --data DIR`."
        ),
        Lang::En => format!(
            "What will happen: the {entries} entries of {log} that are held here stand, for good. The log is taken again from there on. The \
             other history is refused; the copy of {author} that wrote it writes nothing more until `danso-node recover --data DIR` \
             was run there."
        ),
    }
}

fn reset(plan: &DecideForkResponse, lang: Lang) -> String {
    let DecideForkResponse { log, author, author_unit, entries, held, changes_left_out, .. } = plan;
    match lang {
        Lang::Vi => format!(
            "Sẽ xảy ra: chỉ {entries} mục đầu trong {held} mục của {log} còn được tính, vĩnh viễn; {changes_left_out} biến động trong các mục sau \
             không còn trong số liệu, các mục vẫn được giữ làm chứng cứ. Nút {author} bị thu hồi và không ghi được nữa. Sau đó hãy mời nút mới: \
             danso-admin child invite --unit {author_unit} --again. Nút mới không được nhập lại những gì còn được tính, nếu không người dân bị \
             tính hai lần; muốn nhập lại cả sổ hộ thì chọn --size 0."
        ),
        Lang::En => format!(
            "What will happen: only the first {entries} of the {held} entries of {log} count any longer, for good; {changes_left_out} changes in \
             the entries behind them leave the figures, and the entries stay as evidence. The node {author} is revoked and writes nothing more. \
             Then invite a new one: danso-admin child invite --unit {author_unit} --again. It must not import again what still counts, or \
             people count twice; to import the whole book anew, reset to --size 0."
        ),
    }
}

fn print(decided: &DecideForkResponse, ctx: &mut Context) -> Result<(), Failure> {
    let mut sheet = Sheet::new([
        column("log", "Sổ", "Log"),
        column("author", "Nút ghi sổ", "Author"),
        column("author_unit", "Đơn vị", "Unit"),
        column("entries_stand", "Số mục được tính", "Entries that stand"),
        column("entries_held", "Số mục đang giữ", "Entries held"),
        column("changes_left_out", "Biến động không tính", "Changes left out"),
        column("evidence", "Chứng cứ số", "Evidence"),
        detail("root"),
        detail("evidence_digest"),
    ]);
    sheet.push([
        Field::from(&*decided.log),
        Field::from(&*decided.author),
        Field::from(&*decided.author_unit),
        Field::Count(decided.entries),
        Field::Count(decided.held),
        Field::Count(decided.changes_left_out),
        Field::Number(decided.evidence),
        Field::Text(hex(&decided.root)),
        Field::Text(hex(&decided.evidence_digest)),
    ]);
    ctx.sheet(&sheet)
}
