//! `receipt show`: where each change set of this node is durable, and since when; and one of them with its receipts as a file. Words of a
//! state come from receipts alone: what was sent and not receipted is nowhere.

use std::path::PathBuf;

use danso_core::tier::{Tier, TierPolicy};
use danso_proto::ids::{ChangeId, LogId};
use danso_proto::pb::admin::v1::show_receipts_request::Which;
use danso_proto::pb::admin::v1::{HeldAbove, ProveEntryRequest, ShowReceiptsRequest, ShowReceiptsResponse};
use serde_json::{Value, json};

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::lang::Lang;
use crate::output::{Column, Field, Format, Sheet, column, detail, harmless, rfc3339};
use crate::standing::Standing;

/// Which change sets.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One of the node's own logs [default: its records]
    #[arg(long, value_name = "LOG")]
    log: Option<LogId>,
    /// Only the change set at this position, from 0
    #[arg(long, value_name = "N", group = "which")]
    sequence: Option<u64>,
    /// So many from the end of the log [default: 20]
    #[arg(long, value_name = "N", group = "which")]
    last: Option<u64>,
    /// Only the change set that holds this change
    #[arg(long, value_name = "ID", group = "which")]
    change: Option<ChangeId>,
    /// Also write the change set with the first receipt of every node above into a file that anybody can check; needs --sequence or --change
    #[arg(long, value_name = "FILE", conflicts_with = "last", requires = "which")]
    out: Option<PathBuf>,
}

/// Change sets that are shown when nothing is chosen.
const LAST: u64 = 20;

/// Prints a row for each change set, with what every node above confirmed.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let which = match (args.sequence, &args.change) {
        (Some(sequence), _) => Which::Sequence(sequence),
        (None, Some(change)) => Which::Change(change.to_string()),
        (None, None) => Which::Last(args.last.unwrap_or(LAST)),
    };
    let log = args.log.as_ref().map(LogId::to_string).unwrap_or_default();
    let request = ShowReceiptsRequest { log, which: Some(which) };
    let stream = connect::within(ctx, PROMPT, node.show_receipts(request)).await?;
    let sets = connect::collect(ctx, stream).await?;
    match ctx.format {
        Format::Table => ctx.sheet(&table(&sets, ctx.lang))?,
        Format::Json => ctx.json(&Value::Array(sets.iter().map(object).collect()))?,
        Format::Csv => ctx.sheet(&flat(&sets))?,
    }
    Standing::ask(ctx, &mut node).await.note(ctx);
    let (Some(out), Some(set)) = (&args.out, sets.first()) else { return Ok(Exit::Done) };
    let request = ProveEntryRequest { log: set.log.clone(), sequence: set.sequence, receipts: true };
    let proof = connect::within(ctx, PROMPT, node.prove_entry(request)).await?;
    files::replace(out, &proof.file)?;
    let missing: Vec<&str> = set.above.iter().filter(|above| above.time_s == 0).map(|above| &*above.node).collect();
    if !missing.is_empty() {
        let missing = harmless(&missing.join(", "));
        ctx.note(match ctx.lang {
            Lang::Vi => format!("Tệp chưa có biên nhận của: {missing}. Có thể tạo lại tệp khi đã có."),
            Lang::En => format!("The file has no receipt yet of: {missing}. Make it again once there is one."),
        });
    }
    let name = out.display();
    ctx.note(match ctx.lang {
        Lang::Vi => {
            format!("Đã ghi {name}. Kiểm tra ở bất kỳ máy nào: danso-admin proof check TỆP --anchor DẤU_VÂN_TAY")
        }
        Lang::En => {
            format!("Wrote {name}. Check it on any machine: danso-admin proof check FILE --anchor FINGERPRINT")
        }
    });
    Ok(Exit::Done)
}

/// A row for each change set and a column for each node above.
fn table(sets: &[ShowReceiptsResponse], lang: Lang) -> Sheet {
    let mut columns = vec![
        column("sequence", "Mục", "Entry"),
        column("changes", "Số biến động", "Changes"),
        column("recorded_at", "Ghi lúc", "Recorded at"),
        column("reached", "Đã có ở", "Is durable"),
    ];
    let above = sets.first().map(|set| &set.above[..]).unwrap_or_default();
    columns.extend(above.iter().map(|above| heading(&above.tier)));
    let width = columns.len();
    let mut sheet = Sheet::new(columns);
    for set in sets {
        let mut row = vec![
            Field::Number(set.sequence),
            Field::Count(set.changes),
            Field::Time(set.recorded_at_ms),
            Field::Text(reached(set, lang)),
        ];
        row.extend(set.above.iter().map(|above| match time_ms(above) {
            0 => Field::from(lang.of("chưa có biên nhận", "not yet")),
            ms => Field::Time(ms),
        }));
        row.resize(width, Field::from(""));
        sheet.push(row);
    }
    sheet
}

fn heading(tier: &str) -> Column {
    match Tier::parse(tier) {
        Some(tier) => column(tier.name(), TierPolicy::of(tier).vietnamese_name(), tier.name()),
        None => column("above", "cấp trên", "above"),
    }
}

/// The highest place that a receipt names: here, at the district, at the province...
fn reached(set: &ShowReceiptsResponse, lang: Lang) -> String {
    let Some(above) = set.above.iter().rev().find(|above| above.time_s != 0) else {
        return lang.of("tại đây", "here").to_owned();
    };
    let tier = match (Tier::parse(&above.tier), lang) {
        (Some(tier), Lang::Vi) => TierPolicy::of(tier).vietnamese_name(),
        (Some(tier), Lang::En) => tier.name(),
        (None, _) => &above.unit,
    };
    match lang {
        Lang::Vi => format!("tại cấp {tier}"),
        Lang::En => format!("at the {tier}"),
    }
}

fn time_ms(above: &HeldAbove) -> i64 {
    above.time_s.saturating_mul(1_000)
}

/// The word for programs.
fn state(above: &HeldAbove) -> &'static str {
    if above.time_s == 0 { "not_yet" } else { "receipted" }
}

fn object(set: &ShowReceiptsResponse) -> Value {
    json!({
        "log": set.log,
        "sequence": set.sequence,
        "changes": set.changes,
        "recorded_at": rfc3339(set.recorded_at_ms),
        "here": true,
        "above": set.above.iter().map(|above| json!({
            "tier": above.tier,
            "unit": above.unit,
            "unit_name": above.unit_name,
            "node": above.node,
            "state": state(above),
            "receipted_at": (above.time_s != 0).then(|| rfc3339(time_ms(above))),
            "receipt_size": above.size,
        })).collect::<Vec<_>>(),
    })
}

/// A row for each change set and place, this node first.
fn flat(sets: &[ShowReceiptsResponse]) -> Sheet {
    let columns = ["log", "sequence", "changes", "recorded_at", "tier", "unit", "node", "state", "receipted_at"];
    let mut sheet = Sheet::new(columns.map(detail));
    for set in sets {
        let own = set.log.split('/').next().unwrap_or_default();
        let here = (&*set.tier, &*set.unit, own, "here", set.recorded_at_ms);
        let above = set.above.iter().map(|a| (&*a.tier, &*a.unit, &*a.node, state(a), time_ms(a)));
        for (tier, unit, node, state, ms) in std::iter::once(here).chain(above) {
            sheet.push([
                Field::from(&*set.log),
                Field::Number(set.sequence),
                Field::Count(set.changes),
                Field::Time(set.recorded_at_ms),
                Field::from(tier),
                Field::from(unit),
                Field::from(node),
                Field::from(state),
                Field::Time(ms),
            ]);
        }
    }
    sheet
}
