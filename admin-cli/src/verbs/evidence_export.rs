//! `evidence export`: a self-contained file of two signed statements that cannot both be true.

use std::path::PathBuf;

use danso_proto::pb::admin::v1::ExportEvidenceRequest;

use crate::connect::{self, PROMPT};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::{Field, Sheet, column};

/// What to export.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of the evidence, as `evidence list` shows it
    #[arg(value_name = "NUMBER")]
    number: u64,
    /// The evidence file to write; a file of that name is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the file. It may hold the signed side of two entries: personal data, so it is for the owner's eyes only.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let request = ExportEvidenceRequest { number: args.number };
    let evidence = connect::within(ctx, PROMPT, node.export_evidence(request)).await?;
    files::replace(&args.out, &evidence.file)?;
    let mut sheet = Sheet::new([
        column("file", "Tệp", "File"),
        column("number", "Chứng cứ số", "Evidence"),
        column("bytes", "Số byte", "Bytes"),
    ]);
    sheet.push([
        Field::Text(args.out.display().to_string()),
        Field::Number(args.number),
        Field::Count(evidence.file.len() as u64),
    ]);
    ctx.sheet(&sheet)?;
    ctx.note(ctx.lang.of(
        "Kiểm tra ở bất kỳ máy nào: danso-admin evidence check TỆP --anchor DẤU_VÂN_TAY",
        "Check it on any machine: danso-admin evidence check FILE --anchor FINGERPRINT",
    ));
    Ok(Exit::Done)
}
