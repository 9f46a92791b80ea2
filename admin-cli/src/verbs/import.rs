//! `import households|changes`: files stream to the node; what it could not take comes back row by row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use danso_proto::pb::admin::v1::import_response::Body;
use danso_proto::pb::admin::v1::{Form, GetStatusRequest, ImportStart, ImportSummary, Severity};
use serde_json::{Value, json};

use crate::bar::Bar;
use crate::connect::{self, SILENCE_MAX};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, detail};

mod feed;
mod problems;
mod reject;

use feed::Feed;
use problems::Problems;
use reject::RejectFile;

/// What to import.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, CSV or XLSX, taken one after the other
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Report without writing anything
    #[arg(long)]
    dry_run: bool,
    /// Collect the refused rows here, to be corrected and imported again
    #[arg(long, value_name = "FILE")]
    reject_file: Option<PathBuf>,
}

/// What became of one file.
struct Outcome {
    file: String,
    summary: ImportSummary,
    refused_by_reason: BTreeMap<String, u64>,
}

/// Imports file by file. A refused row or file stops neither the other rows nor the other files; a node that is gone stops all, and
/// what was taken until then is said and safe: importing the same files again changes nothing about it.
pub async fn run(form: Form, args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    check_files(args, ctx.lang)?;
    let mut reject =
        args.reject_file.as_deref().map(|place| RejectFile::begin(place, args.files.len() > 1)).transpose()?;
    let mut outcomes = Vec::new();
    let mut stopped = None;
    for path in &args.files {
        match one(form, path, args.dry_run, reject.as_mut(), ctx).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(failure) => {
                ctx.note(format_args!("{}:", path.display()));
                stopped = Some(failure);
                break;
            }
        }
    }
    if let Some(reject) = reject {
        let left = reject.finish()?;
        let text = left.in_words(ctx.lang);
        ctx.note(text);
    }
    if !outcomes.is_empty() {
        print(&outcomes, ctx)?;
    }
    if !args.dry_run {
        tell_findings(ctx).await;
    }
    match stopped {
        Some(failure) => Err(failure),
        None if outcomes.iter().any(|o| has_refusal(&o.summary)) => Ok(Exit::Refused),
        None => Ok(Exit::Done),
    }
}

/// A record that was taken may still make no sense beside the others: who imports should not have to look for that.
async fn tell_findings(ctx: &mut Context) {
    let Ok(mut node) = connect::admin(ctx).await else { return };
    let status = connect::within(ctx, connect::PROMPT, node.get_status(GetStatusRequest {})).await;
    // The import is done, and has said how it went: what fails here is no failure of it.
    let findings = status.map(|status| status.findings).unwrap_or_default();
    if findings > 0 {
        ctx.note(match ctx.lang {
            Lang::Vi => {
                format!("Tại đây có {findings} bản ghi chưa tính được. Lý do và cách sửa: danso-admin finding list")
            }
            Lang::En => {
                format!("{findings} records here cannot be counted. Why, and what to do: danso-admin finding list")
            }
        });
    }
}

/// Something was refused: rows, slips that waited, or the file.
fn has_refusal(summary: &ImportSummary) -> bool {
    summary.refused > 0 || summary.slips_refused > 0 || !summary.reason.is_empty()
}

/// A file that is not there is found out before the first one is imported.
fn check_files(args: &Args, lang: Lang) -> Result<(), Failure> {
    let reject = args.reject_file.as_deref().and_then(|path| path.canonicalize().ok());
    for path in &args.files {
        let usage = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
        let real = path.canonicalize().map_err(|e| usage(e.to_string()))?;
        if real.is_dir() {
            return Err(usage(lang.of("đây là một thư mục", "a directory").into()));
        }
        if Some(&real) == reject.as_ref() {
            let same = lang.of(
                "tệp dòng bị từ chối trùng với một tệp cần nhập; hãy đặt tên khác",
                "the reject file is one of the files to import; give it another name",
            );
            return Err(usage(same.into()));
        }
    }
    Ok(())
}

async fn one(
    form: Form,
    path: &Path,
    dry_run: bool,
    mut reject: Option<&mut RejectFile>,
    ctx: &mut Context,
) -> Result<Outcome, Failure> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (file_name, lang) = (file.clone(), ctx.lang.code().into());
    let start = ImportStart { form: form.into(), file_name, dry_run, lang, file_bytes: 0 };
    let (feed, requests) = Feed::open(path, start).await?;
    let bar = Bar::new(&file, feed.file_bytes(), ctx.lang.of("dòng", "rows"), ctx);
    let mut problems = Problems::new();
    let mut node = connect::admin(ctx).await?;
    let mut responses = feed.watch(ctx, node.import(requests)).await??.into_inner();
    if let Some(reject) = &mut reject {
        reject.next_file(&file)?;
    }
    let mut confirmed = 0;
    let heard = async {
        loop {
            let Some(response) = feed.watch(ctx, responses.message()).await?? else {
                return Err(Failure::Unavailable(match ctx.lang {
                    Lang::Vi => "nút kết thúc mà không báo kết quả; hãy nhập lại tệp này".into(),
                    Lang::En => "the node ended without a result; import this file again".into(),
                }));
            };
            match response.body {
                None => {}
                Some(Body::Progress(progress)) => {
                    confirmed = progress.rows;
                    bar.at(progress.bytes, progress.rows);
                }
                Some(Body::Header(header)) => {
                    if !header.warning.is_empty() {
                        let warning = crate::output::harmless(&header.warning);
                        bar.aside(|| ctx.note(format_args!("{file}: {}: {warning}", ctx.lang.of("CHÚ Ý", "NOTE"))));
                    }
                    if !header.ignored.is_empty() {
                        let names = crate::output::harmless(&header.ignored.join(", "));
                        bar.aside(|| {
                            ctx.note(format_args!(
                                "{file}: {}: {names}",
                                ctx.lang.of("cột bị bỏ qua", "columns ignored")
                            ))
                        });
                    }
                    if let Some(reject) = &mut reject {
                        reject.header(&header)?;
                    }
                }
                Some(Body::Problem(problem)) => {
                    let refused = matches!(problem.severity(), Severity::Refused | Severity::Unspecified);
                    // Line 0 is no row of this file: a slip that waited, which the node keeps.
                    if let Some(reject) = reject.as_mut().filter(|_| refused && problem.line > 0) {
                        reject.row(&problem)?;
                    }
                    problems.push(problem);
                }
                Some(Body::Summary(summary)) => return Ok(summary),
            }
        }
    }
    .await;
    bar.finish();
    for text in problems.in_words(&file, ctx.lang, ctx.look_beside()) {
        ctx.note(text);
    }
    let summary = match heard {
        Ok(summary) => summary,
        Err(failure) => {
            if !dry_run && !matches!(failure, Failure::OutputClosed) {
                ctx.note(broken_off(&file, confirmed, ctx.lang));
            }
            return Err(failure);
        }
    };
    if !summary.reason.is_empty() {
        let (reason, message) = (&summary.reason, crate::output::harmless(&summary.message));
        let refused = ctx.lang.of("tệp bị từ chối", "the file is refused");
        ctx.note(format_args!("{file}: {refused} [{reason}]: {message}"));
    }
    Ok(Outcome { file, summary, refused_by_reason: problems.refused_by_reason() })
}

/// What an operator must know of an import that did not come to its end.
fn broken_off(file: &str, confirmed: u64, lang: Lang) -> String {
    match lang {
        Lang::Vi => format!(
            "{file}: nút đã trả lời về {confirmed} dòng; dòng nào đã nhận thì đã được lưu chắc chắn, và có thể nút đã nhận thêm một số dòng tiếp theo. \
             Khi nút hoạt động lại, hãy nhập lại chính tệp này: dòng đã nhận là “đã có”, không bị tính hai lần."
        ),
        Lang::En => format!(
            "{file}: the node answered for {confirmed} rows; what it took of them is durable, and it may have taken some of the next ones. \
             Import the same file again when the node is well: what was taken is unchanged then, and counts once."
        ),
    }
}

fn print(outcomes: &[Outcome], ctx: &mut Context) -> Result<(), Failure> {
    let mut sheet = Sheet::new([
        column("file", "Tệp", "File"),
        column("rows", "Số dòng", "Rows"),
        column("taken", "Đã nhận", "Taken"),
        column("unchanged", "Đã có", "Unchanged"),
        column("waiting", "Chờ", "Waiting"),
        column("refused", "Từ chối", "Refused"),
        column("released", "Hết chờ", "Released"),
        column("slips_refused", "Phiếu chờ bị từ chối", "Waiting slips refused"),
        detail("entries"),
        detail("dry_run"),
        detail("reason"),
        detail("message"),
    ]);
    for Outcome { file, summary, .. } in outcomes {
        sheet.push([
            Field::from(&**file),
            Field::Count(summary.rows),
            Field::Count(summary.taken),
            Field::Count(summary.unchanged),
            Field::Count(summary.waiting),
            Field::Count(summary.refused),
            Field::Count(summary.released),
            Field::Count(summary.slips_refused),
            Field::Count(summary.entries),
            Field::Flag(summary.dry_run),
            Field::from(&*summary.reason),
            Field::from(&*summary.message),
        ]);
    }
    if ctx.format == Format::Json {
        let mut rows = sheet.to_json();
        for (row, outcome) in rows.as_array_mut().into_iter().flatten().zip(outcomes) {
            row["refused_by_reason"] = json!(outcome.refused_by_reason);
        }
        return ctx.json(&Value::Array(rows.as_array().cloned().unwrap_or_default()));
    }
    ctx.sheet(&sheet)?;
    if outcomes.iter().any(|o| o.summary.dry_run) {
        ctx.note(ctx.lang.of("Chạy thử: chưa ghi gì.", "A dry run: nothing was written."));
    }
    Ok(())
}

/// How long a node may neither take bytes nor say anything.
const PATIENCE: Duration = SILENCE_MAX;
