//! `log prove`: a self-contained proof file for one entry.

use std::path::PathBuf;

use danso_proto::ids::LogId;
use danso_proto::pb::admin::v1::ProveEntryRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::{Field, Sheet, column};

/// What to prove.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log
    #[arg(value_name = "LOG")]
    log: LogId,
    /// Position of the entry in the log, from 0
    #[arg(value_name = "SEQ")]
    sequence: u64,
    /// The proof file to write; a file of that name is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the file. It holds the signed side of the entry: personal data, so it is for the owner's eyes only.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ProveEntryRequest { log: args.log.to_string(), sequence: args.sequence, receipts: false };
    let proof = connect::within(ctx, PROMPT, node.prove_entry(request)).await?;
    files::replace(&args.out, &proof.file)?;
    let mut sheet = Sheet::new([
        column("file", "Tệp", "File"),
        column("log", "Sổ", "Log"),
        column("sequence", "Mục", "Entry"),
        column("bytes", "Số byte", "Bytes"),
    ]);
    sheet.push([
        Field::Text(args.out.display().to_string()),
        Field::from(&*args.log.to_string()),
        Field::Number(args.sequence),
        Field::Count(proof.file.len() as u64),
    ]);
    ctx.sheet(&sheet)?;
    ctx.note(ctx.lang.of(
        "Kiểm tra ở bất kỳ máy nào: danso-admin proof check TỆP --anchor DẤU_VÂN_TAY",
        "Check it on any machine: danso-admin proof check FILE --anchor FINGERPRINT",
    ));
    Ok(Exit::Done)
}
