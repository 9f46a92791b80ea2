//! Register, cube and findings against the logs: they are made again in a copy of the database, and compared. The node goes on meanwhile.

use danso_core::register::Rules;
use danso_proto::refusal::Reason;

use super::{Line, Patient, State};
use crate::pipeline::{self, Report};
use crate::store::{self, Disk, Store};

/// Bytes of a database whose register is made again here: minutes of work. A larger one is for `danso-node backup drill`, on another disk.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

pub(super) async fn derived(patient: &Patient) -> Line {
    let unseen = |why: String| Line { check: "derived", state: State::Warn, reason: None, detail: why };
    let bytes = match size(&patient.store).await {
        Ok(bytes) => bytes,
        Err(error) => return Line::fail("derived", pipeline::Error::from(error).refusal()),
    };
    if let Some(why) = not_copied(bytes, patient.store.condition().measure().disk) {
        return unseen(why);
    }
    // A database that was not started since the program was replaced has no rows by the new rules yet.
    match is_by_these_rules(&patient.store).await {
        Ok(true) => {}
        Ok(false) => {
            return unseen(
                "not compared: an earlier version made register and figures; the node's next start makes them again"
                    .into(),
            );
        }
        Err(error) => return Line::fail("derived", error.refusal()),
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

async fn size(store: &Store) -> Result<u64, store::Error> {
    store.read("size").await?.bytes().await
}

async fn is_by_these_rules(store: &Store) -> Result<bool, pipeline::Error> {
    Ok(pipeline::made_by(&mut store.read("rules").await?).await? == Rules::CURRENT.version())
}

/// Why no copy is made here of a database of this size.
fn not_copied(bytes: u64, disk: Disk) -> Option<String> {
    if bytes > BYTES_MAX {
        return Some("not compared: the database is too large; prove a backup with `danso-node backup drill`".into());
    }
    // The copy, and what its write-ahead log grows by.
    let least = disk.floor.saturating_add(bytes.saturating_mul(2));
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    (disk.free < least).then(|| {
        format!(
            "not compared: there is no room for a copy of the database in the node's directory: {} MiB are free there, and {} MiB would have to be",
            mib(disk.free),
            mib(least)
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Level;

    #[test]
    fn no_copy_is_made_of_a_database_that_is_too_large_or_has_no_room() {
        const MIB: u64 = 1024 * 1024;
        let disk = |free: u64| Disk { level: Level::Room, free, floor: 64 * MIB };
        assert_eq!(not_copied(100 * MIB, disk(264 * MIB)), None);
        let why = not_copied(100 * MIB, disk(263 * MIB)).expect("no room");
        assert!(why.contains("263 MiB are free there, and 264 MiB"), "{why}");
        assert!(not_copied(BYTES_MAX + 1, disk(u64::MAX)).expect("too large").contains("backup drill"));
    }
}
