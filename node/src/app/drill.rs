//! `backup drill`: a backup is proven by restoring it beside, and looking.

use std::path::Path;

use danso_proto::refusal::{Reason, Refusal};
use serde_json::json;

use super::Error;
use super::backup::tables;
use super::cli::Output;
use super::restore::{Check, chain, differs, examine, unpack};
use super::run::place;
use crate::archive::{Manifest, Reader, SecretString, Table};
use crate::config::Layout;
use crate::pipeline;
use crate::store::Store;

/// What a drill found.
pub(super) struct Drill {
    pub(super) manifest: Manifest,
    pub(super) checks: Vec<Check>,
}

impl Drill {
    /// What differs first.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.checks.iter().find(|check| !check.holds()).map(differs)
    }
}

/// Restores a backup into a temporary directory below `scratch` and compares what it says of itself with what is in it. Nothing is left.
pub(super) async fn drill(input: &Path, scratch: &Path, passphrase: Option<&SecretString>) -> Result<Drill, Error> {
    let reader = Reader::open(input, passphrase)?;
    let failed = |source| Error::Io { what: format!("cannot make a directory in {}", scratch.display()), source };
    // For its owner only, and short: the path of a unix socket, which nobody opens here, would have to fit.
    let dir = tempfile::Builder::new().prefix(".drill-").tempdir_in(scratch).map_err(failed)?;
    let layout = Layout::create(dir.path())?;
    let (manifest, _) = unpack(reader, &layout)?;
    let damaged = |error: &dyn std::error::Error| Refusal::new(Reason::BackupDamaged, chain(error));
    let store = Store::open_copy(&layout.database()).await.map_err(|error| damaged(&error))?;
    let mut checks = examine(&store, &manifest, &layout).await?;
    let (anchor, _) = place(&store).await?;
    let report = pipeline::rebuild(&store, anchor, &|_, _| {}).await.map_err(|error| damaged(&error))?;
    let mut tx = store.read("drill").await?;
    let one = |table: &Table| format!("{} rows {}", table.rows, table.sha256);
    // Other rules make other rows: then the rebuild shows that it works, and there is nothing to compare with.
    if pipeline::made_by(&mut tx).await? == manifest.rules {
        let made = tables(&mut tx).await?;
        for said in &manifest.derived {
            let made = made.iter().find(|made| made.table == said.table).map(one).unwrap_or_default();
            checks.push(Check::new(format!("rebuilt {}", said.table), one(said), made));
        }
    }
    let entries: u64 = manifest.logs.iter().map(|log| log.size).sum();
    checks.push(Check::new("entries rebuilt from", entries, report.rebuilt.entries));
    drop(tx);
    store.close().await;
    Ok(Drill { manifest, checks })
}

/// The checks, for people or programs.
pub(super) fn shown(drill: &Drill, output: Output) -> Result<String, serde_json::Error> {
    let checks = &drill.checks;
    if output == Output::Json {
        let rows: Vec<_> = checks
            .iter()
            .map(|check| json!({"what": check.what, "said": check.said, "found": check.found, "ok": check.holds()}))
            .collect();
        let value = json!({
            "ok": drill.refusal().is_none(),
            "node": drill.manifest.node,
            "software": drill.manifest.software,
            "taken_at_ms": drill.manifest.taken_at_ms,
            "keys": drill.manifest.keys,
            "checks": rows,
        });
        return Ok(serde_json::to_string_pretty(&value)? + "\n");
    }
    let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let found = match check.holds() {
            true => format!("ok     {}", short(&check.found)),
            false => format!("WRONG  said {}, found {}", check.said, check.found),
        };
        text += &format!("{:<width$}  {found}\n", check.what);
    }
    Ok(text)
}

/// Digests at a length that people compare.
fn short(text: &str) -> String {
    let words = text.split(' ').map(|word| if word.len() == 64 { &word[..12] } else { word });
    words.collect::<Vec<_>>().join(" ")
}
