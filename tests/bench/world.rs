//! A federation inside this process: a root that publishes the units and enrols everybody, a node a commune that imports its files
//! through the product's own pipeline, and what each of them would send up; and where a node keeps what it has. Knows nothing of figures.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use danso_core::calendar::{PartialDate, VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
use danso_core::forms::{Context, Form, Header, Outcome, Row, parse};
use danso_core::ledger::{Draft, Sealing, seal};
use danso_core::units::UnitList;
use danso_core::verify::Position;
use danso_node::clock::{Clock, SystemClock};
use danso_node::intake::RowReader;
use danso_node::pipeline::{Handle, ImportBatch, Outfit, found};
use danso_node::pki::TrustDomain;
use danso_node::store::Store;
use danso_proto::change::{Body, Change, ForwardingPolicy, Genesis, NodeEnrolled};
use danso_proto::envelope::{Envelope, Signer, SoftwareSigner};
use danso_proto::ids::{ChangeId, Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::limits;
use danso_proto::package::{Package, SealedEntry};

use crate::cluster::Cluster;
use crate::data::{Commune, Data, units_file};

const VERSION: &str = "vn-2024";
/// Rows that the node's admin service gives to the pipeline at a time.
const IMPORT_ROWS: usize = 2_000;

/// Where a node keeps what it has. It begins empty: what is there goes.
#[derive(Clone)]
pub enum Place<'a> {
    /// In a file.
    File(PathBuf),
    /// On a server; the path is one in the node's own directory.
    Server(&'a Cluster, PathBuf),
}

impl Place<'_> {
    /// Opens it as it is.
    pub async fn open(&self) -> anyhow::Result<Store> {
        match self {
            Self::File(path) => Ok(Store::open(path).await?),
            Self::Server(cluster, beside) => cluster.open(beside).await,
        }
    }

    fn clear(&self) -> anyhow::Result<()> {
        let beside = match self {
            Self::File(path) => {
                remove_database(path);
                path
            }
            Self::Server(cluster, beside) => {
                cluster.fresh()?;
                beside
            }
        };
        // What another one wrote that lay here is not missed.
        let _ = std::fs::remove_file(beside.with_file_name("heads"));
        Ok(())
    }

    /// What it is, for the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "SQLite",
            Self::Server(..) => "PostgreSQL",
        }
    }
}

/// A node's name and key.
pub struct Identity {
    pub id: NodeId,
    pub unit: UnitCode,
    pub signer: Arc<dyn Signer>,
}

impl Identity {
    fn new(unit: &str, seed: u16) -> anyhow::Result<Self> {
        let mut secret = [7; 32];
        secret[..2].copy_from_slice(&seed.to_le_bytes());
        let signer = Arc::new(SoftwareSigner::from_secret(&secret));
        let unit: UnitCode = unit.parse()?;
        Ok(Self { id: NodeId::new(&unit, signer.public_key().as_bytes()), unit, signer })
    }
}

/// What a commune's node sends up: the household book, then the slips.
#[derive(Debug, Default)]
pub struct Author {
    pub book: Vec<Package>,
    pub slips: Vec<Package>,
    pub book_changes: u64,
    pub slip_changes: u64,
}

/// The federation.
pub struct World {
    anchor: Fingerprint,
    genesis: Envelope,
    /// The root's directory log.
    directory: Vec<Package>,
    pub root: Identity,
    /// Who takes everything in: the node of the province.
    pub receiver: Identity,
    communes: Vec<Identity>,
    pub authors: Vec<Author>,
    pub clock: Arc<dyn Clock>,
    list: UnitList,
}

impl World {
    /// Sets it up in `dir`, and imports the files.
    pub async fn build(dir: &Path, data: &Data) -> anyhow::Result<Self> {
        let codes: Vec<&str> = data.communes.iter().map(|commune| &*commune.code).collect();
        let mut world = Self::of(dir, &codes).await?;
        for commune in &data.communes {
            let author = world.author(dir, commune).await?;
            world.authors.push(author);
        }
        Ok(world)
    }

    /// Sets it up in `dir` with nodes for these communes, which have nothing yet.
    pub async fn of(dir: &Path, codes: &[&str]) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let root = Identity::new("VN", 0)?;
        let receiver = Identity::new("40", 1)?;
        let communes = (2..).zip(codes).map(|(seed, code)| Identity::new(code, seed));
        let communes: Vec<Identity> = communes.collect::<Result<_, _>>()?;
        let public = *root.signer.public_key().as_bytes();
        let anchor = Fingerprint::of_key(&public);
        let genesis = Body::Genesis(Genesis {
            node: root.id.clone(),
            unit: root.unit.clone(),
            log_public_key: public,
            trust_domain: TrustDomain::of_anchor(&anchor).as_str().to_owned(),
        });
        let log = LogId::new(root.id.clone(), Stream::Directory);
        let sealing = Sealing {
            log: &log,
            position: Position::default(),
            recorded_at_ms: clock.now_ms(),
            units_version: VERSION,
            salt_seed: [0; 32],
            signer: &*root.signer,
        };
        let (genesis, _) = seal(draft(&root.unit, genesis, clock.now_ms()), &sealing)?;
        let list = units()?;
        let (directory, authors) = (Vec::new(), Vec::new());
        let mut world = Self { anchor, genesis, directory, root, receiver, communes, authors, clock, list };
        let (store, pipeline) = world.root(&Place::File(dir.join("root.db"))).await?;
        world.directory = packages(&store, &pipeline, &world.root.id, Stream::Directory, 0).await?;
        store.close().await;
        Ok(world)
    }

    /// Imports a commune's files; gives what its node sends up.
    pub async fn author(&self, dir: &Path, commune: &Commune) -> anyhow::Result<Author> {
        let node = self.communes.iter().find(|node| node.unit.as_str() == commune.code).context("a commune's node")?;
        let (store, pipeline) = self.node(&Place::File(dir.join("author.db")), node).await?;
        let book_changes = import(&pipeline, self.rows(Form::Households, &commune.households, node)?).await?;
        let book = packages(&store, &pipeline, &node.id, Stream::Records, 0).await?;
        let mut author = Author { book, book_changes, ..Author::default() };
        if let Some(changes) = &commune.changes {
            let from = author.book.last().map_or(0, |last| last.first + last.entries.len() as u64);
            author.slip_changes = import(&pipeline, self.rows(Form::Changes, changes, node)?).await?;
            author.slips = packages(&store, &pipeline, &node.id, Stream::Records, from).await?;
        }
        store.close().await;
        Ok(author)
    }

    /// A root node that publishes the units and enrols everybody.
    pub async fn root(&self, place: &Place<'_>) -> anyhow::Result<(Store, Handle)> {
        let (store, pipeline) = self.begin(place, &self.root).await?;
        let now_ms = self.clock.now_ms();
        let parts = self.list.split(limits::UNITS_PER_PART).into_iter();
        let mut drafts: Vec<Draft> =
            parts.map(|part| draft(&self.root.unit, Body::UnitsPublished(part), now_ms)).collect();
        drafts.extend(std::iter::once(&self.receiver).chain(&self.communes).map(|node| {
            let body = Body::NodeEnrolled(NodeEnrolled {
                node: node.id.clone(),
                unit: node.unit.clone(),
                log_public_key: *node.signer.public_key().as_bytes(),
                policy: ForwardingPolicy::Full,
                former: Vec::new(),
            });
            draft(&node.unit, body, now_ms)
        }));
        pipeline.write(Stream::Directory, drafts).await?;
        Ok((store, pipeline))
    }

    /// A new node's store and pipeline, with the directory as it is.
    pub async fn node(&self, place: &Place<'_>, node: &Identity) -> anyhow::Result<(Store, Handle)> {
        let (store, pipeline) = self.begin(place, node).await?;
        for package in &self.directory {
            let received = pipeline.receive(package.clone()).await?.await?;
            ensure!(received.refused.is_none(), "the directory is refused: {:?}", received.refused);
        }
        Ok((store, pipeline))
    }

    async fn begin(&self, place: &Place<'_>, node: &Identity) -> anyhow::Result<(Store, Handle)> {
        place.clear()?;
        let store = place.open().await?;
        found(&store, &node.id, self.genesis.clone(), self.anchor, self.clock.now_ms()).await?;
        let outfit = Outfit {
            store: store.clone(),
            signer: node.signer.clone(),
            clock: self.clock.clone(),
            anchor: self.anchor,
        };
        let pipeline = Handle::start(outfit).await?;
        Ok((store, pipeline))
    }

    fn rows(&self, form: Form, file: &Path, node: &Identity) -> anyhow::Result<Vec<Row>> {
        let today: PartialDate = civil_from_unix_ms(self.clock.now_ms(), VIET_NAM_OFFSET_MINUTES);
        let context = Context { units: &self.list, own_unit: &node.unit, today };
        let reader = RowReader::open(File::open(file)?, &std::env::temp_dir())?;
        let header = Header::parse(form, reader.titles())?;
        reader.map(|row| Ok(parse(&header, &row?, &context)?)).collect()
    }
}

/// Removes a database and what lies beside it.
pub fn remove_database(database: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        // Not there in the first round.
        let _ = std::fs::remove_file(path);
    }
}

fn draft(unit: &UnitCode, body: Body, now_ms: i64) -> Draft {
    let change = Change {
        unit: unit.clone(),
        hamlet: String::new(),
        event_date: None,
        reported_on: None,
        identity_commitment: None,
        body,
    };
    let first_id = ChangeId::first(now_ms.unsigned_abs(), danso_node::keys::random_bytes());
    Draft { first_id, changes: vec![change], parts: vec![None] }
}

pub fn units() -> anyhow::Result<UnitList> {
    let mut reader = csv::Reader::from_path(units_file())?;
    let headers = reader.headers()?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name).context("a column of the unit list");
    let columns = [column("code")?, column("name")?, column("tier")?, column("parent_code")?];
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        rows.push(columns.map(|at| record.get(at).unwrap_or_default().trim().to_owned()));
    }
    Ok(UnitList::from_rows(VERSION, None, rows)?)
}

async fn import(pipeline: &Handle, rows: Vec<Row>) -> anyhow::Result<u64> {
    let mut taken = 0;
    for rows in rows.chunks(IMPORT_ROWS) {
        let imported = pipeline.import(ImportBatch { rows: rows.to_vec(), dry_run: None }).await?;
        taken += imported.released;
        taken += imported.rows.iter().filter(|row| matches!(row.outcome, Outcome::Taken { .. })).count() as u64;
    }
    Ok(taken)
}

/// A log from `from` on, in the packages in which a link sends it.
async fn packages(
    store: &Store,
    pipeline: &Handle,
    node: &NodeId,
    stream: Stream,
    from: u64,
) -> anyhow::Result<Vec<Package>> {
    let snapshot = pipeline.snapshot();
    let log = LogId::new(node.clone(), stream);
    let row = snapshot.log(&log).with_context(|| format!("{log} has no entries"))?;
    let mut packages = Vec::new();
    let mut next = from;
    let mut tx = store.read("bench").await?;
    while next < row.head.size() {
        let entries = tx.entry_read(row.pk, next, limits::PACKAGE_ENTRIES_MAX, limits::PACKAGE_BYTES_MAX).await?;
        let entries: Vec<SealedEntry> =
            entries.into_iter().map(|entry| SealedEntry { envelope: entry.envelope, parts: entry.parts }).collect();
        let end = next + entries.len() as u64;
        let checkpoint = row.checkpoint.clone().filter(|_| end == row.head.size());
        packages.push(Package { log: log.clone(), first: next, entries, checkpoint });
        next = end;
    }
    Ok(packages)
}
