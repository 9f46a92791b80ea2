//! `aggregate explain`: which entries made a figure what it is, since an earlier answer or an earlier month.

use std::path::PathBuf;

use danso_proto::pb::query::v1::{ExplainAggregateRequest, ExplainHeader, ExplainStep, Query};
use serde_json::{Value, json};

use crate::args;
use crate::connect::{self, SILENCE_MAX};
use crate::context::Context;
use crate::earlier::Earlier;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, local_time, month_text, rfc3339};
use crate::standing::Standing;

/// Which figure, and what it is compared with.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Code of the unit
    #[arg(long, value_name = "CODE")]
    unit: String,
    /// The month
    #[arg(long, value_name = "YYYY-MM", value_parser = args::month)]
    month: u32,
    /// The measure
    #[arg(long, value_name = "NAME")]
    measure: String,
    /// An earlier answer that has this figure, as aggregate pull --output json printed it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["since", "as_of"])]
    earlier: Option<PathBuf>,
    /// Sizes of logs: any earlier answer, or its frontier alone
    #[arg(long, value_name = "FILE", conflicts_with = "as_of")]
    since: Option<PathBuf>,
    /// What was known by the end of this month
    #[arg(long, value_name = "YYYY-MM", value_parser = args::month)]
    as_of: Option<u32>,
    /// The revision: only what was recorded after the unit's month had been closed
    #[arg(long, conflicts_with_all = ["earlier", "since", "as_of"])]
    late: bool,
}

/// Prints a row for each entry and kind of change that contributed; without anything to compare with, from the beginning.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let file = args.earlier.as_ref().or(args.since.as_ref());
    let earlier = file.map(|path| Earlier::read(path, ctx.lang)).transpose()?;
    let told = match (&args.earlier, &earlier) {
        (Some(path), Some(earlier)) => {
            let told = earlier.figure(&args.unit, args.month, &args.measure);
            let month = month_text(args.month);
            Some(told.ok_or_else(|| {
                Failure::Usage(match ctx.lang {
                    Lang::Vi => format!(
                        "{}: không có chỉ tiêu {} của {} tháng {month}. Nếu chỉ cần so với thời điểm đó, hãy dùng --since",
                        path.display(), args.measure, args.unit
                    ),
                    Lang::En => format!(
                        "{}: it does not tell {} of {} in {month}. To compare with that time alone, use --since",
                        path.display(), args.measure, args.unit
                    ),
                })
            })?)
        }
        _ => None,
    };
    let standing = Standing::ask(ctx, &mut connect::admin(ctx).await?).await;
    let mut node = connect::query(ctx).await?;
    let request = ExplainAggregateRequest {
        query: Some(Query {
            unit: args.unit.clone(),
            from: args.month,
            to: args.month,
            measures: vec![args.measure.clone()],
            ..Query::default()
        }),
        since: earlier.map(|earlier| earlier.frontier()).unwrap_or_default(),
        as_of: args.as_of.unwrap_or(0),
        late: args.late,
    };
    let stream = connect::within(ctx, SILENCE_MAX, node.explain_aggregate(request)).await?;
    let (mut header, mut steps) = (ExplainHeader::default(), Vec::new());
    for message in connect::collect(ctx, stream).await? {
        header = message.header.unwrap_or(header);
        steps.extend(message.steps);
    }
    let unexplained = told.map(|told| header.then - told);
    let sheet = sheet(&steps, ctx);
    match ctx.format {
        Format::Json => {
            let header = header_json(&header, told, unexplained);
            ctx.json(&json!({ "header": header, "steps": sheet.to_json() }))?;
        }
        Format::Csv => ctx.sheet(&sheet)?,
        Format::Table => {
            ctx.sheet(&sheet)?;
            let text = footer(args, &header, &steps, ctx.lang);
            ctx.print(text)?;
        }
    }
    if let (Some(told), Some(rest)) = (told, unexplained.filter(|rest| *rest != 0)) {
        let then = header.then;
        ctx.note(match ctx.lang {
            Lang::Vi => format!(
                "CHÚ Ý: tệp cũ ghi {told}, còn theo các sổ khi đó là {then}: chênh {rest} không do các mục trên. Có thể do sổ của đơn vị khác nói về cùng người, nút bị thu hồi, hoặc phiên bản mới tính khác"
            ),
            Lang::En => format!(
                "NOTE: the earlier answer said {told}, the logs as they were then make {then}: {rest} is not explained by these entries. Logs of other units about the same people, a node that was revoked, or a newer version's rules can be the cause"
            ),
        });
    }
    standing.note(ctx);
    Ok(Exit::Done)
}

fn sheet(steps: &[ExplainStep], ctx: &Context) -> Sheet {
    let mut sheet = Sheet::new([
        column("recorded_at", "Ghi lúc", "Recorded"),
        column("arrived_at", "Đến đây lúc", "Arrived here"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
        column("unit", "Đơn vị", "Unit"),
        column("kind", "Loại", "Kind"),
        column("changes", "Số biến động", "Changes"),
        column("added", "Cộng", "Added"),
        column("removed", "Trừ", "Removed"),
        column("net", "Chênh lệch", "Net"),
        column("late", "Sau khi chốt", "After closing"),
        column("correction", "Sửa sai", "Correction"),
    ]);
    for step in steps {
        sheet.push([
            Field::Time(step.recorded_at_ms),
            Field::Time(step.arrived_at_ms),
            Field::from(&*step.log),
            Field::Number(step.sequence),
            Field::from(&*step.unit),
            Field::from(if ctx.format == Format::Table { kind(&step.kind, ctx.lang) } else { &*step.kind }),
            Field::Count(step.changes),
            Field::Figure(step.added),
            Field::Figure(step.removed),
            Field::Figure(step.added - step.removed),
            Field::Flag(step.late),
            Field::Flag(step.correction),
        ]);
    }
    sheet
}

/// A kind of change for people.
fn kind(word: &str, lang: Lang) -> &str {
    match word {
        "person_enrolled" => lang.of("ghi vào sổ hộ", "household book"),
        "birth" => lang.of("sinh", "birth"),
        "death" => lang.of("chết", "death"),
        "marriage" => lang.of("kết hôn", "marriage"),
        "divorce" => lang.of("ly hôn", "divorce"),
        "moved_out" => lang.of("chuyển đi", "move out"),
        "moved_in" => lang.of("chuyển đến", "move in"),
        "contraception_changed" => lang.of("tránh thai", "contraception"),
        "person_updated" => lang.of("sửa", "correction"),
        "retraction" => lang.of("rút lại", "retraction"),
        other => other,
    }
}

fn header_json(header: &ExplainHeader, told: Option<i64>, unexplained: Option<i64>) -> Value {
    let answer = header.answer.clone().unwrap_or_default();
    let query = answer.query.unwrap_or_default();
    json!({
        "unit": query.unit,
        "units_version": query.units_version,
        "month": month_text(query.from),
        "measure": query.measures.first(),
        "then": header.then,
        "now": header.now,
        "difference": header.now - header.then,
        "earlier": told,
        "unexplained": unexplained,
        "closed_at": rfc3339(header.closed_at_ms),
        "entries": header.entries,
        "changes": header.changes,
        "node": answer.node,
        "answered_at": rfc3339(answer.answered_at_ms),
        "frontier": answer.frontier.iter().map(|log| json!({
            "log": log.log,
            "size": log.size,
            "recorded_at": rfc3339(log.recorded_at_ms),
        })).collect::<Vec<_>>(),
    })
}

fn footer(args: &Args, header: &ExplainHeader, steps: &[ExplainStep], lang: Lang) -> String {
    let (then, now, month) = (header.then, header.now, month_text(args.month));
    let difference = now - then;
    let late: i64 = steps.iter().filter(|step| step.late).map(|step| step.added - step.removed).sum();
    let (entries, changes) = (header.entries, header.changes);
    // A unit above communes closes nothing itself; what is late is so by the closing of the unit that it is about.
    let closed = local_time(header.closed_at_ms);
    let is_late = steps.iter().any(|step| step.late);
    match lang {
        Lang::Vi => {
            let closed = match closed {
                Some(at) => format!(" Tháng chốt lúc {at}; ghi sau khi chốt: {late:+}."),
                None if is_late => format!(" Ghi sau khi các đơn vị đã chốt tháng: {late:+}."),
                None => String::new(),
            };
            format!(
                "\n{} của {}, {month}: trước {then}, nay {now}, chênh {difference:+}, đúng bằng tổng cột chênh lệch.{closed}\nĐã xét {changes} biến động trong {entries} mục.\n",
                args.measure, args.unit
            )
        }
        Lang::En => {
            let closed = match closed {
                Some(at) => format!(" The month was closed at {at}; recorded after that: {late:+}."),
                None if is_late => format!(" Recorded after the units had closed the month: {late:+}."),
                None => String::new(),
            };
            format!(
                "\n{} of {}, {month}: {then} then, {now} now, {difference:+}, which is the sum of the column Net.{closed}\n{changes} changes in {entries} entries were gone through.\n",
                args.measure, args.unit
            )
        }
    }
}
