//! Register, cube and findings against the logs: they are made again in a copy of the database, and compared. The node goes on meanwhile.

use danso_proto::refusal::Reason;

use super::{Line, Patient, State};
use crate::pipeline::{self, Report};
use crate::store::Store;

/// Bytes of a database whose register is made again here: minutes of work. A larger one is for `danso-node backup drill`, on another disk.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

pub(super) async fn derived(patient: &Patient) -> Line {
    let unseen = |why: String| Line { check: "derived", state: State::Warn, reason: None, detail: why };
    let bytes = patient.layout.database().metadata().map(|meta| meta.len()).unwrap_or_default();
    if bytes > BYTES_MAX {
        return unseen("not compared: the database is too large; prove a backup with `danso-node backup drill`".into());
    }
    let disk = patient.store.condition().measure().disk;
    // The copy, and what its write-ahead log grows by.
    if disk.free < disk.floor.saturating_add(bytes.saturating_mul(2)) {
        return unseen("not compared: there is no room for a copy of the database".into());
    }
    match made_again(patient).await {
        Ok(report) => {
            let pairs = report.before.tables.iter().zip(&report.after.tables);
            let differ: Vec<&str> = pairs.filter(|(was, is)| was != is).map(|(was, _)| was.table).collect();
            let kept = match (patient.runs, differ.is_empty()) {
                (false, _) => Ok(()),
                (true, true) => pipeline::is_compared(&patient.store).await,
                (true, false) => pipeline::differs(&patient.store, &differ.join(", ")).await,
            };
            if let Err(error) = kept {
                tracing::warn!(%error, "it could not be remembered how register and figures compare with the logs");
            }
            match differ.is_empty() {
                true => Line::ok("derived", format!("{} entries give it again to the byte", report.rebuilt.entries)),
                false => Line::bad(
                    "derived",
                    State::Fail,
                    Reason::DerivedDiffers,
                    format!("other content: {}", differ.join(", ")),
                ),
            }
        }
        Err(error) => Line::fail("derived", error.refusal()),
    }
}

async fn made_again(patient: &Patient) -> Result<Report, pipeline::Error> {
    let place = tempfile::Builder::new().prefix(".doctor-").tempdir_in(patient.layout.dir());
    let place = place.map_err(|error| {
        danso_proto::refusal::Refusal::new(
            Reason::Internal,
            format!("no directory for a copy of the database: {error}"),
        )
    })?;
    let file = place.path().join("danso.db");
    patient.store.copy_to(&file).await?;
    let copy = Store::open_copy(&file).await?;
    let report = pipeline::rebuild(&copy, patient.snapshot.directory().anchor(), &|_, _| {}).await;
    copy.close_unsealed().await;
    report
}
