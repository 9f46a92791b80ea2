//! `finding show`: what is known of the findings of one change: what was seen, why it matters, what to do, and what was answered.

use danso_proto::ids::ChangeId;
use danso_proto::pb::admin::v1::{ListFindingsRequest, ListFindingsResponse};
use danso_proto::refusal::Reason;
use serde_json::{Value, json};

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::findings;
use crate::output::{Field, Format, Sheet, column, rfc3339};

/// Which findings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the change, as `finding list --output csv` has it
    #[arg(value_name = "CHANGE_ID")]
    change: ChangeId,
    /// Only the finding with this code
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Prints each finding of the change, with its answers. What was written in them is shown where the identity part is here.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ListFindingsRequest {
        lang: ctx.lang.code().into(),
        change_id: args.change.to_string(),
        codes: args.code.iter().cloned().collect(),
        ..ListFindingsRequest::default()
    };
    let stream = connect::within(ctx, PROMPT, node.list_findings(request)).await?;
    let found = connect::collect(ctx, stream).await?;
    if found.is_empty() {
        return Err(Failure::refused(Reason::FindingUnknown, args.change.to_string()));
    }
    match ctx.format {
        Format::Json => ctx.json(&Value::Array(found.iter().map(object).collect()))?,
        Format::Csv => ctx.sheet(&sheet(&found, ctx))?,
        Format::Table => {
            for (at, finding) in found.iter().enumerate() {
                if at > 0 {
                    ctx.print("\n")?;
                }
                let upright = sheet(std::slice::from_ref(finding), ctx).to_upright_table(ctx.look());
                ctx.print(upright)?;
                if !finding.answers.is_empty() {
                    ctx.print("\n")?;
                    ctx.sheet(&answers(finding))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

fn sheet(found: &[ListFindingsResponse], ctx: &Context) -> Sheet {
    let mut sheet = Sheet::new([
        column("slip_no", "Số phiếu", "Slip"),
        column("person_ref", "Mã người", "Person"),
        column("kind", "Loại", "Kind"),
        column("unit", "Đơn vị", "Unit"),
        column("change_id", "Mã bản ghi", "Change"),
        column("code", "Mã", "Code"),
        column("severity", "Mức độ", "Severity"),
        column("state", "Tình trạng", "State"),
        column("said_by_unit", "Nơi phát hiện", "Found at"),
        column("since", "Từ lúc", "Since"),
        column("closed_at", "Xong lúc", "Settled"),
        column("what", "Nội dung", "What is wrong"),
        column("seen", "Đã thấy", "Seen"),
        column("other", "Bản ghi liên quan", "The other record"),
        column("why", "Vì sao quan trọng", "Why it matters"),
        column("next", "Việc cần làm", "What to do"),
    ]);
    for finding in found {
        // Not "never" where it has not ended.
        let closed = if finding.closed_ms == 0 { Field::from("") } else { Field::Time(finding.closed_ms) };
        sheet.push([
            Field::from(&*finding.slip_no),
            Field::from(&*finding.person_ref),
            Field::from(&*finding.kind),
            Field::from(&*finding.unit),
            Field::from(&*finding.change_id),
            Field::from(&*finding.reason),
            findings::severity(&finding.severity, ctx),
            findings::state(finding, ctx),
            Field::from(&*finding.said_by_unit),
            Field::Time(finding.since_ms),
            closed,
            Field::from(&*finding.what),
            Field::Text(findings::seen(finding)),
            Field::Text(findings::other(finding)),
            Field::from(&*finding.why),
            Field::from(&*finding.next),
        ]);
    }
    sheet
}

fn answers(finding: &ListFindingsResponse) -> Sheet {
    let mut sheet = Sheet::new([
        column("by_unit", "Trả lời của", "Answered by"),
        column("verdict", "Trả lời", "Answer"),
        column("stands", "Còn hiệu lực", "Stands"),
        column("answered_at", "Lúc", "At"),
        column("note", "Lý do", "Why"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
    ]);
    for answer in &finding.answers {
        sheet.push([
            Field::from(&*answer.by_unit),
            Field::from(&*answer.verdict),
            Field::Flag(answer.stands),
            Field::Time(answer.answered_ms),
            Field::from(&*answer.note),
            Field::from(&*answer.log),
            Field::Number(answer.sequence),
        ]);
    }
    sheet
}

fn object(finding: &ListFindingsResponse) -> Value {
    let seen = finding.seen.iter().map(|seen| json!({ "name": seen.name, "words": seen.words, "value": seen.value }));
    let answers = finding.answers.iter().map(|answer| {
        json!({
            "answer_id": answer.answer_id, "log": answer.log, "sequence": answer.sequence, "by_unit": answer.by_unit,
            "verdict": answer.verdict, "stands": answer.stands, "answered_at": rfc3339(answer.answered_ms), "note": answer.note,
        })
    });
    json!({
        "change_id": finding.change_id, "code": finding.reason, "severity": finding.severity, "state": finding.state,
        "slip_no": finding.slip_no, "person_ref": finding.person_ref, "kind": finding.kind, "unit": finding.unit,
        "log": finding.log, "sequence": finding.sequence, "said_by": finding.said_by, "said_by_unit": finding.said_by_unit,
        "since": rfc3339(finding.since_ms), "closed_at": rfc3339(finding.closed_ms),
        "what": finding.what, "why": finding.why, "next": finding.next, "seen": seen.collect::<Vec<_>>(),
        "other": { "change_id": finding.other_id, "kind": finding.other_kind, "unit": finding.other_unit, "slip_no": finding.other_slip_no },
        "answers": answers.collect::<Vec<_>>(),
    })
}
