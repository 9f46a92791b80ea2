//! `finding export`: findings as a CSV file for the officer's spreadsheet, with headings in the officer's language.

use std::path::PathBuf;

use crate::connect::{self, PROMPT};
use crate::context::{Context, of_csv};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::findings::{self, Wanted};
use crate::lang::Lang;
use crate::output::local_time;

/// Which findings, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// The file; spreadsheets open it with its letters right. Without it: standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A spreadsheet takes a file for UTF-8 when it begins so.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Writes a line for each finding and each node that says so.
pub async fn run(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut node = connect::admin(ctx).await?;
    let stream = connect::within(ctx, PROMPT, node.list_findings(args.wanted.request(ctx))).await?;
    let found = connect::collect(ctx, stream).await?;
    let lang = ctx.lang;
    let mut csv = csv::Writer::from_writer(Vec::new());
    let headings = [
        ("Đơn vị", "Unit"),
        ("Số phiếu", "Slip"),
        ("Mã người", "Person"),
        ("Loại", "Kind"),
        ("Mức độ", "Severity"),
        ("Tình trạng", "State"),
        ("Mã phát hiện", "Code"),
        ("Nội dung", "What is wrong"),
        ("Đã thấy", "Seen"),
        ("Bản ghi liên quan", "The other record"),
        ("Vì sao quan trọng", "Why it matters"),
        ("Việc cần làm", "What to do"),
        ("Nơi phát hiện", "Found at"),
        ("Từ lúc", "Since"),
        ("Xong lúc", "Settled"),
        ("Mã bản ghi", "Change"),
    ];
    csv.write_record(headings.map(|(vi, en)| lang.of(vi, en))).map_err(of_csv)?;
    for finding in &found {
        let record = [
            finding.unit.clone(),
            finding.slip_no.clone(),
            finding.person_ref.clone(),
            finding.kind.clone(),
            findings::severity_for_people(&finding.severity, lang).to_owned(),
            findings::state_for_people(&finding.state, lang).to_owned(),
            finding.reason.clone(),
            finding.what.clone(),
            findings::seen(finding),
            findings::other(finding),
            finding.why.clone(),
            finding.next.clone(),
            finding.said_by_unit.clone(),
            local_time(finding.since_ms).unwrap_or_default(),
            local_time(finding.closed_ms).unwrap_or_default(),
            finding.change_id.clone(),
        ];
        csv.write_record(record.iter().map(|text| inert(text))).map_err(of_csv)?;
    }
    let lines = csv.into_inner().map_err(|error| Failure::Fault(anyhow::anyhow!("cannot write the CSV: {error}")))?;
    match &args.out {
        None => ctx.print(lines)?,
        Some(file) => {
            files::replace(file, &[BYTE_ORDER_MARK, &lines].concat())?;
            let (count, name) = (found.len(), file.display());
            ctx.note(match lang {
                Lang::Vi => format!("Đã ghi {count} dòng vào {name}."),
                Lang::En => format!("Wrote {count} lines to {name}."),
            });
        }
    }
    Ok(Exit::Done)
}

/// A spreadsheet takes what begins so for a formula: others wrote it, and it shall only be read.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn nothing_in_the_file_is_a_formula() {
        assert_eq!((&*inert("=1+1"), &*inert("-7"), &*inert("17065-00001")), ("'=1+1", "'-7", "17065-00001"));
    }
}
