//! `log show`: entries of a log, decoded. Names and identifiers are not in here: they are never sent.

use std::collections::BTreeMap;

use danso_proto::change::ChangeSet;
use danso_proto::ids::LogId;
use danso_proto::merkle;
use danso_proto::pb::admin::v1::{ReadLogRequest, ReadLogResponse};
use danso_proto::pb::exchange::v1::Envelope;
use prost::Message as _;
use serde_json::{Value, json};

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::decode;
use crate::exit::{Exit, Failure};
use crate::output::{Field, Format, Sheet, column, detail, hex, rfc3339};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log
    #[arg(value_name = "LOG")]
    log: LogId,
    /// First position
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// How many entries at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// Prints the entries. They are shown as they are stored, and not checked: that is `log verify`.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let to = args.from.saturating_add(args.limit);
    let request = ReadLogRequest { log: args.log.to_string(), from: args.from, to };
    let mut stream = connect::within(ctx, PROMPT, node.read_log(request)).await?;
    let mut sheet = Sheet::new([
        column("sequence", "Mục", "Entry"),
        column("leaf", "Mã băm", "Leaf hash"),
        column("recorded_at", "Ghi lúc", "Recorded at"),
        column("units_version", "Danh mục", "Unit list"),
        column("changes", "Số biến động", "Changes"),
        column("kinds", "Gồm", "Kinds"),
        detail("committed_at"),
    ]);
    let (mut objects, mut next, mut head_size) = (Vec::new(), args.from, None);
    while let Some(entry) = connect::next(ctx, &mut stream).await? {
        next = entry.sequence.saturating_add(1);
        head_size = head_size.or(Some(entry.head_size)).filter(|size| *size > 0);
        match ctx.format {
            Format::Json => objects.push(object(&entry)),
            Format::Table | Format::Csv => sheet.push(row(&entry, ctx)),
        }
    }
    match ctx.format {
        Format::Json => ctx.json(&Value::Array(objects))?,
        Format::Table | Format::Csv => ctx.sheet(&sheet)?,
    }
    if let Some(size) = head_size.filter(|size| next < *size) {
        let more = ctx.lang.of("còn nữa: thêm --from", "there is more: add --from");
        ctx.note(format!("… {more} {next} ({size})"));
    }
    Ok(Exit::Done)
}

fn row(entry: &ReadLogResponse, ctx: &Context) -> Vec<Field> {
    let leaf = hex(&merkle::leaf_hash(&entry.envelope));
    let leaf = if ctx.format == Format::Table { leaf[..12].to_owned() } else { leaf };
    let set =
        Envelope::decode(entry.envelope.clone()).ok().and_then(|envelope| ChangeSet::decode(&envelope.payload).ok());
    let (recorded, version, count, kinds) = match set {
        None => (0, String::new(), 0, ctx.lang.of("không đọc được", "cannot be read").to_owned()),
        Some(set) => {
            let mut kinds = BTreeMap::<_, u64>::new();
            for change in &set.changes {
                *kinds.entry(change.body.kind()).or_default() += 1;
            }
            let kinds = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ");
            (set.recorded_at_ms, set.units_version, set.changes.len() as u64, kinds)
        }
    };
    vec![
        Field::Number(entry.sequence),
        Field::Text(leaf),
        Field::Time(recorded),
        Field::Text(version),
        Field::Count(count),
        Field::Text(kinds),
        Field::Time(entry.committed_at_ms),
    ]
}

fn object(entry: &ReadLogResponse) -> Value {
    let mut object = json!({
        "sequence": entry.sequence,
        "leaf": hex(&merkle::leaf_hash(&entry.envelope)),
        "committed_at": rfc3339(entry.committed_at_ms),
    });
    match Envelope::decode(entry.envelope.clone()) {
        Err(error) => object["error"] = json!(error.to_string()),
        Ok(envelope) => {
            object["payload_type"] = json!(envelope.payload_type);
            object["signed_by"] = json!(envelope.signatures.iter().map(|s| &s.keyid).collect::<Vec<_>>());
            match decode::change_set(&envelope.payload) {
                Ok(set) => object["change_set"] = set,
                Err(error) => object["error"] = json!(error.to_string()),
            }
        }
    }
    object
}
