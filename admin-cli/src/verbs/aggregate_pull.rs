//! `aggregate pull`: figures, and what they were made from.

use std::collections::BTreeSet;

use danso_proto::pb::query::v1::{AnswerHeader, Cell, MonthCoverage, Note, PullAggregateRequest, Query, Source};
use serde_json::{Value, json};

use crate::args;
use crate::connect::{self, SILENCE_MAX};
use crate::context::{Context, of_csv};
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Column, Field, Format, Sheet, column, harmless, local_time, month_text, rfc3339, share};
use crate::say;
use crate::standing::Standing;

/// What to ask.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Code of the unit asked about
    #[arg(long, value_name = "CODE")]
    unit: String,
    /// Tier to break down by [default: the unit itself]
    #[arg(long, value_name = "TIER", value_parser = args::tier())]
    by: Option<String>,
    /// First month
    #[arg(long, value_name = "YYYY-MM", value_parser = args::month)]
    from: u32,
    /// Last month
    #[arg(long, value_name = "YYYY-MM", value_parser = args::month)]
    to: u32,
    /// Measures, comma-separated [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    measure: Vec<String>,
    /// Dimensions to break down by, comma-separated; age: single years, in the column of age groups
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = ["month", "sex", "age_group", "age"])]
    dimensions: Vec<String>,
    /// Where the figures come from: this node's own, or its children, each for its subtree
    #[arg(long, value_enum, default_value_t = From::Local)]
    source: From,
}

/// Where the figures come from.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum From {
    /// This node's own figures.
    Local,
    /// Those of its children.
    Children,
}

const COLUMNS: [Column; 6] = [
    column("unit_code", "Đơn vị", "Unit"),
    column("month", "Tháng", "Month"),
    column("measure", "Chỉ tiêu", "Measure"),
    column("sex", "Giới tính", "Sex"),
    column("age_group", "Nhóm tuổi", "Age group"),
    column("value", "Giá trị", "Value"),
];

/// Asks, and prints the cells as they come (CSV) or when they are all here.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    if args.from > args.to {
        let (from, to) = (month_text(args.from), month_text(args.to));
        return Err(Failure::Usage(match ctx.lang {
            Lang::Vi => format!("--from {from} ở sau --to {to}"),
            Lang::En => format!("--from {from} is after --to {to}"),
        }));
    }
    let standing = Standing::ask(ctx, &mut connect::admin(ctx).await?).await;
    let mut node = connect::query(ctx).await?;
    let request = PullAggregateRequest {
        query: Some(query(args)),
        source: match args.source {
            From::Local => Source::Local,
            From::Children => Source::Children,
        }
        .into(),
    };
    let mut stream = connect::within(ctx, SILENCE_MAX, node.pull_aggregate(request)).await?;
    let mut header = AnswerHeader::default();
    let mut cells = Vec::new();
    // The first message is awaited before anything is written: a refusal leaves standard output empty.
    let mut message = connect::next(ctx, &mut stream).await?;
    if ctx.format == Format::Csv {
        write_csv(&[], true, ctx)?;
    }
    while let Some(answer) = message {
        if let Some(first) = answer.header {
            header = first;
        }
        match ctx.format {
            Format::Csv => write_csv(&answer.cells, false, ctx)?,
            Format::Table | Format::Json => cells.extend(answer.cells),
        }
        message = connect::next(ctx, &mut stream).await?;
    }
    match ctx.format {
        Format::Csv => {
            let footer = footer(&header, ctx.lang);
            ctx.note(footer);
        }
        Format::Json => {
            let mut header = header_json(&header);
            header["reason"] = json!(standing.reason);
            header["detail"] = json!(standing.detail);
            ctx.json(&json!({ "header": header, "cells": sheet(&COLUMNS, &cells).to_json() }))?
        }
        Format::Table => {
            let asked: BTreeSet<&str> = args.dimensions.iter().map(String::as_str).collect();
            let shown: Vec<Column> = COLUMNS
                .into_iter()
                .filter(|column| match column.key {
                    "age_group" => asked.contains("age_group") || asked.contains("age"),
                    key => !matches!(key, "month" | "sex") || asked.contains(key),
                })
                .collect();
            let sheet = sheet(&shown, &cells);
            ctx.sheet(&sheet)?;
            ctx.print(format!("\n{}\n{}\n", period(args, ctx.lang), footer(&header, ctx.lang)))?;
        }
    }
    standing.note(ctx);
    note(&header, &standing, ctx);
    Ok(Exit::Done)
}

/// Tells people what those who answered say of themselves, unless this node's status has said it.
fn note(header: &AnswerHeader, standing: &Standing, ctx: &mut Context) {
    for Note { node, reason, detail } in &header.notes {
        let own = *node == header.node;
        if own && *reason == standing.reason {
            continue;
        }
        let by = if own { String::new() } else { format!("{}: ", harmless(node)) };
        let said = say::refusal(ctx.lang, reason, detail);
        ctx.note(format_args!("{}: {by}{said}", ctx.lang.of("CHÚ Ý", "NOTE")));
    }
}

fn query(args: &Args) -> Query {
    // The canonical form: sorted, nothing twice.
    let canonical = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    Query {
        units_version: String::new(),
        unit: args.unit.clone(),
        by: args.by.clone().unwrap_or_default(),
        from: args.from,
        to: args.to,
        measures: canonical(&args.measure),
        dimensions: canonical(&args.dimensions),
        within: String::new(),
        deadlines: None,
    }
}

fn field(column: &Column, cell: &Cell) -> Field {
    match column.key {
        "unit_code" => Field::from(&*cell.unit),
        "month" => Field::Month(cell.month),
        "measure" => Field::from(&*cell.measure),
        "sex" => Field::from(&*cell.sex),
        "age_group" => Field::from(&*cell.age_group),
        _ => Field::Figure(cell.value),
    }
}

fn sheet(columns: &[Column], cells: &[Cell]) -> Sheet {
    let mut sheet = Sheet::new(columns);
    for cell in cells {
        sheet.push(columns.iter().map(|column| field(column, cell)).collect::<Vec<_>>());
    }
    sheet
}

fn write_csv(cells: &[Cell], with_header: bool, ctx: &mut Context) -> Result<(), Failure> {
    let mut csv = csv::Writer::from_writer(&mut ctx.out);
    if with_header {
        csv.write_record(COLUMNS.map(|column| column.key)).map_err(of_csv)?;
    }
    for cell in cells {
        csv.write_record(COLUMNS.map(|column| field(&column, cell).for_csv())).map_err(of_csv)?;
    }
    csv.flush().map_err(crate::context::of_output)
}

/// Which months were asked about.
fn period(args: &Args, lang: Lang) -> String {
    let (from, to) = (month_text(args.from), month_text(args.to));
    match lang {
        Lang::Vi => format!("Kỳ số liệu: từ {from} đến {to}."),
        Lang::En => format!("Months: {from} to {to}."),
    }
}

/// How complete the months are: one by one where they are few, else the range.
fn coverage(months: &[MonthCoverage], lang: Lang) -> String {
    const ONE_BY_ONE: usize = 3;
    let line = |of: &MonthCoverage| {
        let (month, closed, units, late) =
            (month_text(of.month), of.closed, of.units, of.closed.saturating_sub(of.on_time));
        let people = share(of.residents_closed, of.residents);
        match lang {
            Lang::Vi => {
                let people = if people.is_empty() { people } else { format!(", {people} % nhân khẩu") };
                format!("Tháng {month}: {closed} trên {units} xã đã chốt ({late} muộn){people}.\n")
            }
            Lang::En => {
                let people = if people.is_empty() { people } else { format!(", {people} % of the residents") };
                format!("{month}: {closed} of {units} communes have closed it ({late} late){people}.\n")
            }
        }
    };
    if months.len() <= ONE_BY_ONE {
        return months.iter().map(line).collect();
    }
    let fewest = months.iter().min_by_key(|of| of.closed);
    let most = months.iter().max_by_key(|of| of.closed);
    fewest.into_iter().chain(most).map(line).collect()
}

/// What the figures were made from, in a few words.
fn footer(header: &AnswerHeader, lang: Lang) -> String {
    let logs = header.frontier.len();
    let newest = header.frontier.iter().map(|log| log.recorded_at_ms).max().and_then(local_time);
    let newest = newest.unwrap_or_else(|| lang.of("chưa có", "none").into());
    let answered = local_time(header.answered_at_ms).unwrap_or_default();
    let (node, findings, asked) = (&header.node, header.findings, header.asked.len());
    let oldest = header.frontier.iter().map(|log| log.recorded_at_ms).min().and_then(local_time);
    let oldest = oldest.unwrap_or_else(|| lang.of("chưa có", "none").into());
    let complete = coverage(&header.coverage, lang);
    match lang {
        Lang::Vi => {
            let by = if asked > 0 { format!(", hỏi {asked} nút cấp dưới") } else { String::new() };
            format!(
                "Lập từ {logs} sổ{by}; bản ghi mới nhất: {newest}; sổ cũ nhất dừng ở: {oldest}; bản ghi bị loại ra: {findings}.\n{complete}Nút {node} trả lời lúc {answered}."
            )
        }
        Lang::En => {
            let by = if asked > 0 { format!(", {asked} children asked") } else { String::new() };
            format!(
                "Made from {logs} logs{by}; newest record: {newest}; the oldest log ends at: {oldest}; findings left out: {findings}.\n{complete}Answered by {node} at {answered}."
            )
        }
    }
}

fn header_json(header: &AnswerHeader) -> Value {
    let query = header.query.clone().unwrap_or_default();
    json!({
        "query": {
            "units_version": query.units_version,
            "unit": query.unit,
            "by": query.by,
            "from": month_text(query.from),
            "to": month_text(query.to),
            "measures": query.measures,
            "dimensions": query.dimensions,
        },
        "node": header.node,
        "answered_at": rfc3339(header.answered_at_ms),
        "frontier": header.frontier.iter().map(|log| json!({
            "log": log.log,
            "size": log.size,
            "recorded_at": rfc3339(log.recorded_at_ms),
        })).collect::<Vec<_>>(),
        "coverage": header.coverage.iter().map(|of| json!({
            "month": month_text(of.month),
            "units": of.units,
            "reporting": of.reporting,
            "closed": of.closed,
            "on_time": of.on_time,
            "late": of.closed.saturating_sub(of.on_time),
            "residents": of.residents,
            "residents_closed": of.residents_closed,
        })).collect::<Vec<_>>(),
        "findings": header.findings,
        "asked": header.asked,
        "notes": header.notes.iter().map(|note| json!({
            "node": note.node,
            "reason": note.reason,
            "detail": note.detail,
        })).collect::<Vec<_>>(),
    })
}
