//! `rebuild`: register, figures and findings again, from the logs.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::cli::Output;
use super::run::place;
use super::{Error, database, out};
use crate::config::Layout;
use crate::pipeline::{self, Report};

/// What a rebuild made.
pub(super) struct Made {
    pub(super) report: Report,
    /// Indices did not fit their tables, and were made again.
    pub(super) indices: bool,
}

/// Makes what is derived again; nobody else may have the directory meanwhile.
pub(super) async fn rebuild(data: &Path) -> Result<Made, Error> {
    let layout = Layout::open(data)?;
    let _lock = layout.lock()?;
    let store = database::of(&layout).await?;
    // After an unclean end it is done already.
    store.mend().await?;
    let indices = store.condition().is_mended();
    let (anchor, _) = place(&store).await?;
    let told = AtomicU64::new(0);
    let report = pipeline::rebuild(&store, anchor, &|done, of| {
        let tenths = done.saturating_mul(10).checked_div(of).unwrap_or(10);
        if told.fetch_max(tenths, Ordering::Relaxed) < tenths {
            out::note(format_args!("{done} of {of} entries"));
        }
    })
    .await?;
    store.close().await;
    Ok(Made { report, indices })
}

/// The report, for people or programs.
pub(super) fn shown(made: &Made, output: Output) -> Result<String, serde_json::Error> {
    let Made { report, indices } = made;
    let same = report.before == report.after;
    let pairs = || report.before.tables.iter().zip(&report.after.tables);
    if output == Output::Json {
        let tables: Vec<_> = pairs()
            .map(|(before, after)| {
                let (was, is) = (hex(&before.sha256), hex(&after.sha256));
                json!({"table": after.table, "rows": after.rows, "rows_before": before.rows, "sha256": is, "sha256_before": was})
            })
            .collect();
        let value = json!({
            "same": same,
            "indices_made_again": indices,
            "slips_to_release": report.released,
            "sha256": hex(&report.after.sha256()),
            "sha256_before": hex(&report.before.sha256()),
            "logs": report.rebuilt.logs,
            "entries": report.rebuilt.entries,
            "changes": report.rebuilt.changes,
            "left_out": report.rebuilt.left_out,
            "tables": tables,
        });
        return Ok(serde_json::to_string_pretty(&value)? + "\n");
    }
    let mut text = format!("{:<10} {:>10} {:>10}  same\n", "table", "before", "after");
    for (before, after) in pairs() {
        let same = if before == after { "yes" } else { "no" };
        text += &format!("{:<10} {:>10} {:>10}  {same}\n", after.table, before.rows, after.rows);
    }
    text += &format!("sha256 {}\n", hex(&report.after.sha256()));
    Ok(text)
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
