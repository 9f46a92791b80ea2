//! `proof check`: a proof file against the trust anchor's fingerprint, with no node and no data directory.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use danso_proto::envelope::Envelope;
use danso_proto::ids::Fingerprint;
use danso_proto::limits::PROOF_BYTES_MAX;
use danso_proto::proof::{self, ProofFile, Proven};
use danso_proto::refusal::{Reason, Refusal};
use serde_json::{Value, json};

use crate::context::Context;
use crate::decode;
use crate::exit::{Exit, Failure};
use crate::lang::Lang;
use crate::output::{Field, Format, Sheet, column, detail, hex, rfc3339};

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The proof file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Fingerprint of the trust anchor, 64 hex digits, from a source that you trust
    #[arg(long, value_name = "FINGERPRINT")]
    anchor: Fingerprint,
}

/// Checks the file, and prints what it proves.
pub fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let file = read(&args.file)?;
    let proven = proof::check(&file, &args.anchor)?;
    if ctx.format == Format::Json {
        ctx.json(&object(&file, &proven)?)?;
    } else {
        let receipts = proven.receipts.iter().map(|(giver, _)| giver.to_string()).collect::<Vec<_>>();
        let times = proven.receipts.iter().map(|(_, time_s)| rfc3339(time_ms(*time_s)).unwrap_or_default());
        let times = times.collect::<Vec<_>>();
        let chain = proven.chain.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut sheet = Sheet::new([
            column("log", "Sổ", "Log"),
            column("sequence", "Mục", "Entry"),
            column("leaf", "Mã băm", "Leaf hash"),
            column("log_size", "Cỡ sổ", "Log size"),
            column("recorded_at", "Ghi lúc", "Recorded at"),
            column("changes", "Số biến động", "Changes"),
            column("chain", "Chuỗi tin cậy", "Chain of trust"),
            detail("receipts"),
            detail("receipted_at"),
        ]);
        let leaf = hex(&proven.leaf_hash);
        sheet.push([
            Field::Text(proven.log.to_string()),
            Field::Number(proven.sequence),
            Field::Text(if ctx.format == Format::Table { leaf[..12].to_owned() } else { leaf }),
            Field::Count(proven.size),
            Field::Time(proven.change_set.recorded_at_ms),
            Field::Count(proven.change_set.changes.len() as u64),
            Field::Text(chain.join(" > ")),
            Field::Text(receipts.join(" ")),
            Field::Text(times.join(" ")),
        ]);
        match ctx.format {
            Format::Table => {
                ctx.print(sheet.to_upright_table(ctx.look()))?;
                ctx.print("\n")?;
                ctx.sheet(&above(&proven, ctx.lang))?;
            }
            _ => ctx.sheet(&sheet)?,
        }
    }
    if !proven.unchecked.is_empty() {
        let givers = proven.unchecked.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        ctx.note(match ctx.lang {
            Lang::Vi => format!("Biên nhận không kiểm được (tệp không có khóa của nút): {givers}"),
            Lang::En => format!("Receipts that could not be checked (the file has no key of the giver): {givers}"),
        });
    }
    ctx.note(ctx.lang.of(
        "Đúng: mục này nằm trong sổ đã ký, và chuỗi chữ ký dẫn về gốc tin cậy.",
        "Proven: the entry is in the signed log, and the chain of signatures leads to the trust anchor.",
    ));
    Ok(Exit::Done)
}

/// A row for each node above the author, the nearest first: what it confirmed, and when.
fn above(proven: &Proven, lang: Lang) -> Sheet {
    let mut sheet = Sheet::new([
        column("unit", "Đơn vị", "Unit"),
        column("node", "Nút", "Node"),
        column("receipted_at", "Xác nhận đã có lúc", "Confirmed to hold it at"),
    ]);
    for node in proven.chain.iter().rev().skip(1) {
        let receipt = proven.receipts.iter().find(|(giver, _)| giver == node);
        sheet.push([
            Field::Text(node.unit().to_string()),
            Field::Text(node.to_string()),
            match receipt {
                Some((_, time_s)) => Field::Time(time_ms(*time_s)),
                None => Field::from(lang.of("không có biên nhận trong tệp", "no receipt in this file")),
            },
        ]);
    }
    sheet
}

fn time_ms(time_s: u64) -> i64 {
    i64::try_from(time_s).unwrap_or(0).saturating_mul(1_000)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |e: std::io::Error| Failure::Usage(format!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    let bound = PROOF_BYTES_MAX as u64 + 1;
    File::open(path).map_err(unreadable)?.take(bound).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > PROOF_BYTES_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("more than {PROOF_BYTES_MAX} bytes")).into());
    }
    Ok(bytes)
}

fn object(file: &[u8], proven: &Proven) -> Result<Value, Failure> {
    let envelope = Envelope::decode(ProofFile::decode(file)?.entry.envelope)?;
    Ok(json!({
        "log": proven.log.to_string(),
        "sequence": proven.sequence,
        "leaf": hex(&proven.leaf_hash),
        "log_size": proven.size,
        "root": hex(&proven.root),
        "chain": proven.chain.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "receipts": proven.receipts.iter().map(|(giver, time_s)| json!({
            "giver": giver.to_string(),
            "receipted_at": rfc3339(time_ms(*time_s)),
        })).collect::<Vec<_>>(),
        "unchecked_receipts": proven.unchecked.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "change_set": decode::change_set(envelope.payload())?,
    }))
}
