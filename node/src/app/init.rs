//! `init`: the central node of a new federation. Its first log key is the trust anchor.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use danso_core::calendar::PartialDate;
use danso_core::ledger::{Draft, Sealing, seal};
use danso_core::units::{UnitList, UnitsError};
use danso_core::verify::Position;
use danso_proto::change::{Body, Genesis, PolicyPublished};
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};

use super::{Error, META_ANCHOR, clock, database, log_key, public_bytes};
use crate::clock::Clock as _;
use crate::config::{Address, Config, Layout, Server};
use crate::keys;
use crate::pipeline::{self, Handle, Outfit, directory_draft};
use crate::pki::{Ca, TrustDomain};
use crate::store::Store;

/// Why a unit list file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnitsFileError {
    /// It cannot be read as CSV.
    #[error("cannot be read as CSV")]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("has no column {0:?}; it needs code, name, tier, parent_code")]
    Column(&'static str),
    /// The units make no tree.
    #[error("makes no unit list")]
    Units(#[from] UnitsError),
}

/// What `init` is told.
pub(super) struct Init<'a> {
    pub(super) data: &'a Path,
    pub(super) unit: UnitCode,
    pub(super) units: &'a Path,
    pub(super) units_version: &'a str,
    pub(super) valid_from: Option<PartialDate>,
    pub(super) listen: Address,
    pub(super) advertise: Option<Address>,
    /// The server that the database is on; without one it is a file.
    pub(super) server: Option<Server>,
}

/// What `init` made.
pub(super) struct Made {
    pub(super) node: NodeId,
    pub(super) anchor: Fingerprint,
    pub(super) units: usize,
}

/// Sets up the root of a federation. Run again after it was cut, it goes on where it stopped.
pub(super) async fn init(what: Init<'_>) -> Result<Made, Error> {
    // The list first: nothing is made on disk for a list that cannot be used.
    let list = read_units(what.units, what.units_version, what.valid_from)
        .map_err(|source| Error::Units { path: what.units.display().to_string(), source })?;
    if list.root().code != what.unit {
        let detail = format!("the root of the list is {}, not {}", list.root().code, what.unit);
        return Err(Refusal::new(Reason::UnitUnknown, detail).into());
    }
    let layout = Layout::create(what.data)?;
    let _lock = layout.lock()?;
    if layout.config().exists() {
        let detail = format!("{} holds a node already", what.data.display());
        return Err(Refusal::new(Reason::AlreadyJoined, detail).into());
    }
    let clock = clock();
    let key = log_key(&layout)?;
    keys::LinkKey::load_or_create(&layout.link_key())?;
    let public = public_bytes(&key);
    let node = NodeId::new(&what.unit, &public);
    let anchor = Fingerprint::of_key(&public);
    let domain = TrustDomain::of_anchor(&anchor);
    database::is_free(&layout, what.server.as_ref(), &node).await?;
    Ca::create(&layout.ca_key(), &layout.ca_certificate(), &node, &domain)?;
    let store = database::open(&layout, what.server.as_ref()).await?;
    let log = LogId::new(node.clone(), Stream::Directory);
    let genesis = Body::Genesis(Genesis {
        node: node.clone(),
        unit: what.unit.clone(),
        log_public_key: public,
        trust_domain: domain.as_str().to_owned(),
    });
    let sealing = Sealing {
        log: &log,
        position: Position::default(),
        recorded_at_ms: clock.now_ms(),
        units_version: what.units_version,
        salt_seed: keys::random_bytes(),
        signer: &*key,
    };
    let (envelope, _) =
        seal(directory_draft(what.unit.clone(), genesis, clock.now_ms()), &sealing).map_err(pipeline::Error::from)?;
    pipeline::found(&store, &node, envelope, anchor, clock.now_ms()).await?;
    store.run_tx("init", async |tx| tx.meta_put(META_ANCHOR, &anchor.0).await).await?;
    publish(&store, &key, &clock, anchor, &what.unit, &list).await?;
    store.close().await;
    // The configuration last: a directory without it was not set up to the end.
    let mut config = Config::new(what.unit, what.listen);
    config.advertise = what.advertise;
    config.server = what.server;
    config.write(&layout.config())?;
    Ok(Made { node, anchor, units: list.len() })
}

/// Writes the unit list into the directory, unless an earlier attempt did.
async fn publish(
    store: &Store,
    key: &Arc<keys::LogKey>,
    clock: &Arc<crate::clock::SystemClock>,
    anchor: Fingerprint,
    unit: &UnitCode,
    list: &UnitList,
) -> Result<(), Error> {
    let outfit = Outfit { store: store.clone(), signer: key.clone(), clock: clock.clone(), anchor };
    let pipeline = Handle::start(outfit).await?;
    let published = publish_by(&pipeline, clock.now_ms(), unit, list).await;
    pipeline.end().await;
    published
}

async fn publish_by(pipeline: &Handle, now_ms: i64, unit: &UnitCode, list: &UnitList) -> Result<(), Error> {
    if pipeline.snapshot().directory().units().get(list.version()).is_none() {
        let mut drafts: Vec<Draft> = list
            .split(limits::UNITS_PER_PART)
            .into_iter()
            .map(|part| directory_draft(unit.clone(), Body::UnitsPublished(part), now_ms))
            .collect();
        drafts.push(directory_draft(
            unit.clone(),
            Body::PolicyPublished(PolicyPublished { min_version: String::new() }),
            now_ms,
        ));
        pipeline.write(Stream::Directory, drafts).await?;
    }
    Ok(())
}

/// Reads a unit list: CSV with at least the columns code, name, tier, parent_code.
fn read_units(path: &Path, version: &str, valid_from: Option<PartialDate>) -> Result<UnitList, UnitsFileError> {
    let file = File::open(path).map_err(csv::Error::from)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(file);
    let headers = reader.headers()?.clone();
    let column = |name: &'static str| {
        let found = headers.iter().position(|header| header.trim_start_matches('\u{feff}').trim() == name);
        found.ok_or(UnitsFileError::Column(name))
    };
    let columns = [column("code")?, column("name")?, column("tier")?, column("parent_code")?];
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        rows.push(columns.map(|at| record.get(at).unwrap_or_default().trim().to_owned()));
    }
    Ok(UnitList::from_rows(version, valid_from, rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_lists_are_read() {
        for (file, units) in [("units-2024.csv", 10_795), ("units-2025.csv", 3_356)] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/units").join(file);
            assert_eq!(read_units(&path, "vn", None).expect(file).len(), units);
        }
    }

    #[test]
    fn a_file_that_is_no_list_is_refused_with_what_it_lacks() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/units/succession-2025.csv");
        let error = read_units(&path, "vn", None).expect_err("not a unit list");
        assert!(matches!(error, UnitsFileError::Column("code")), "{error}");
    }
}
