//! `log verify`: a log, or all, from the trust anchor's fingerprint. The node only hands out bytes; everything is checked here.

use danso_proto::ids::{Fingerprint, LogId, Stream};
use danso_proto::pb::admin::v1::admin_service_client::AdminServiceClient;
use danso_proto::pb::admin::v1::{GetStatusRequest, ListLogsRequest, LogState, ReadLogRequest};
use danso_proto::refusal::{Reason, Refusal};
use tonic::transport::Channel;

use crate::audit::{Audit, Verdict};
use crate::bar::Bar;
use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, hex};

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log [default: all logs that are here]
    #[arg(value_name = "LOG")]
    log: Option<LogId>,
    /// Fingerprint of the trust anchor, 64 hex digits, from a source that you trust [default: what the node says]
    #[arg(long, value_name = "FINGERPRINT")]
    anchor: Option<Fingerprint>,
}

/// Checks, and prints a row for each log.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let anchor = match args.anchor {
        Some(anchor) => anchor,
        None => ask_anchor(&mut node, ctx).await?,
    };
    let stated = connect::within(ctx, PROMPT, node.list_logs(ListLogsRequest {})).await?.logs;
    let verdicts = audit_all(&mut node, anchor, &stated, args.log.as_ref(), ctx).await?;
    print(&verdicts, ctx)
}

async fn ask_anchor(node: &mut AdminServiceClient<Channel>, ctx: &mut Context) -> Result<Fingerprint, Failure> {
    let status = connect::within(ctx, PROMPT, node.get_status(GetStatusRequest {})).await?;
    let anchor = status.anchor.parse().map_err(|e| Failure::Fault(anyhow::anyhow!("the node's anchor: {e}")))?;
    ctx.note(match ctx.lang {
        Lang::Vi => format!(
            "Lưu ý: gốc tin cậy {anchor} lấy từ chính nút này. Để kiểm tra độc lập, hãy nêu --anchor từ nguồn đáng tin."
        ),
        Lang::En => format!(
            "Note: the trust anchor {anchor} was taken from the node itself. For an independent check give --anchor from a source that you trust."
        ),
    });
    Ok(anchor)
}

/// Checks the directory logs, and `only` that log or all others. In the order of the check; a log that cannot be checked comes last.
async fn audit_all(
    node: &mut AdminServiceClient<Channel>,
    anchor: Fingerprint,
    stated: &[LogState],
    only: Option<&LogId>,
    ctx: &mut Context,
) -> Result<Vec<(LogId, Verdict)>, Failure> {
    let mut states = Vec::new();
    for state in stated {
        let log: LogId =
            state.log.parse().map_err(|e| Failure::Fault(anyhow::anyhow!("the node's list of logs: {e}")))?;
        if *log.stream() == Stream::Directory || only.is_none_or(|only| *only == log) {
            states.push((log, state));
        }
    }
    if let Some(only) = only
        && !states.iter().any(|(log, _)| log == only)
    {
        return Err(Failure::refused(Reason::NotFound, format!("{only} is not here; see: danso-admin log list")));
    }
    let total = states.iter().map(|(_, state)| state.size).sum();
    let bar = Bar::new(ctx.lang.of("Kiểm tra", "Checking"), total, ctx.lang.of("mục", "entries"), ctx);
    let mut audit = Audit::new(anchor);
    let (mut verdicts, mut seen) = (Vec::new(), 0);
    let mut left: Vec<LogId> = states.iter().map(|(log, _)| log.clone()).collect();
    while let Some(log) = audit.next(&left).cloned() {
        left.retain(|other| *other != log);
        let Some((_, state)) = states.iter().find(|(other, _)| *other == log) else { continue };
        let verdict = audit_one(node, &mut audit, &log, state, (&bar, seen), ctx).await?;
        seen += state.size;
        verdicts.push((log, verdict));
    }
    for log in left {
        let refusal = match verdicts.is_empty() {
            true => Refusal::new(Reason::AnchorMismatch, "no log here begins at this anchor"),
            false => Refusal::new(
                Reason::KeyNotEnrolled,
                format!("{} is not enrolled in the logs that were checked", log.node()),
            ),
        };
        let verdict = audit.log(&log).finish(Some(refusal), 0, &[]);
        verdicts.push((log, verdict));
    }
    // Only now is every revocation known.
    for (log, verdict) in &mut verdicts {
        verdict.counted = audit.valid_size(log).filter(|size| *size < verdict.entries);
    }
    // Directory logs that are right go without saying when one log was asked for.
    verdicts.retain(|(log, verdict)| only.is_none_or(|only| only == log) || verdict.bad.is_some());
    Ok(verdicts)
}

async fn audit_one(
    node: &mut AdminServiceClient<Channel>,
    audit: &mut Audit,
    log: &LogId,
    state: &LogState,
    (bar, seen): (&Bar, u64),
    ctx: &Context,
) -> Result<Verdict, Failure> {
    let mut one = audit.log(log);
    if state.size == 0 {
        return Ok(one.finish(None, 0, &state.root));
    }
    let request = ReadLogRequest { log: log.to_string(), from: 0, to: state.size };
    let mut stream = connect::within(ctx, PROMPT, node.read_log(request)).await?;
    let mut wrong = None;
    while one.size() < state.size
        && let Some(entry) = connect::next(ctx, &mut stream).await?
    {
        let checked = one.checkpoint(&entry.checkpoint).and_then(|()| audit.entry(&mut one, entry.envelope));
        if let Err(refusal) = checked {
            wrong = Some(refusal);
            break;
        }
        bar.at(seen + one.size(), seen + one.size());
    }
    Ok(one.finish(wrong, state.size, &state.root))
}

fn print(verdicts: &[(LogId, Verdict)], ctx: &mut Context) -> Result<Exit, Failure> {
    let mut sheet = Sheet::new([
        column("log", "Sổ", "Log"),
        column("entries", "Mục đúng", "Entries right"),
        column("root", "Gốc băm", "Root"),
        column("ok", "Đúng", "OK"),
        column("first_bad", "Mục sai đầu tiên", "First bad entry"),
        column("reason", "Mã", "Reason"),
        column("detail", "Chi tiết", "Detail"),
    ]);
    for (log, verdict) in verdicts {
        let root = hex(&verdict.root);
        let beyond = verdict.counted.map(|size| match ctx.lang {
            Lang::Vi => format!("từ mục {size} trở đi không được tính: nút đã bị thu hồi"),
            Lang::En => format!("entries from {size} on do not count: the node was revoked"),
        });
        let unsigned = (!verdict.head_counts).then(|| match ctx.lang {
            Lang::Vi => {
                "chữ ký ở cuối sổ không được tính: việc thu hồi nút đã cắt bỏ mục công bố khóa của chữ ký đó".to_owned()
            }
            Lang::En => {
                "the signature at its end does not count: the revocation cut off the entry that announced its key"
                    .to_owned()
            }
        });
        let beyond = beyond.or(unsigned);
        let (first_bad, reason, detail) = match &verdict.bad {
            None => (Field::from(""), "", beyond.unwrap_or_default()),
            Some((at, refusal)) => (Field::Number(*at), refusal.reason.code(), refusal.detail.clone()),
        };
        sheet.push([
            Field::Text(log.to_string()),
            Field::Count(verdict.entries),
            Field::Text(if ctx.format == Format::Table { root[..12].to_owned() } else { root }),
            Field::Flag(verdict.bad.is_none()),
            first_bad,
            Field::from(reason),
            Field::Text(detail),
        ]);
    }
    ctx.sheet(&sheet)?;
    let bad = verdicts.iter().filter(|(_, verdict)| verdict.bad.is_some()).count();
    if bad == 0 {
        ctx.note(ctx.lang.of(
            "Đúng: mọi chữ ký, thứ tự và gốc băm đều khớp.",
            "All right: every signature, sequence, link and root fits.",
        ));
        return Ok(Exit::Done);
    }
    ctx.note(match ctx.lang {
        Lang::Vi => format!("Sai: {bad} sổ. Đừng dùng số liệu từ các sổ này; giữ nguyên thư mục dữ liệu làm bằng chứng và báo cấp trên."),
        Lang::En => format!(
            "Wrong: {bad} logs. Do not use figures made from them; keep the data directory as it is, as evidence, and report it."
        ),
    });
    Ok(Exit::Refused)
}
