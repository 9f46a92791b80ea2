//! A node's pipeline on a temporary store, and authors that seal entries by themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use danso_core::finding::FindingKind;
use danso_core::ledger::{Draft, LogHead, Sealing, seal, seal_by_both};
use danso_core::register::Rules;
use danso_core::units::UnitList;
use danso_core::verify::Position;
use danso_proto::change::{
    Body, Change, EventDate, ForwardingPolicy, Genesis, NodeEnrolled, PersonEnrolled, PersonUpdated, Sex,
};
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::envelope::{Envelope, PublicKey, Signer as _, SoftwareSigner};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, Fingerprint, LogId, NodeId, PersonId, Stream, UnitCode};
use danso_proto::merkle::CompactTree;
use danso_proto::package::{Package, SealedEntry};

use crate::clock::ManualClock;
use crate::faults::place::Place;
use crate::pipeline::{Error, Handle, Outfit, Received, found};
use crate::store::tests::cluster;
use crate::store::{EvidenceRow, Store};

const NOW_MS: i64 = 1_640_995_200_000;
const VERSION: &str = "vn-2024";

pub(super) fn signer(secret: u8) -> SoftwareSigner {
    SoftwareSigner::from_secret(&[secret; 32])
}

pub(super) fn code(unit: &str) -> UnitCode {
    unit.parse().expect("unit code")
}

/// A correction that sets nothing.
pub(super) fn update(person: PersonId, refers_to: Option<ChangeId>) -> PersonUpdated {
    PersonUpdated {
        person,
        refers_to,
        sex: None,
        birth_month: None,
        marital_status: None,
        method: None,
        household: None,
        birth_order: None,
        mother_birth_month: None,
        other_unit: None,
        reason: String::new(),
    }
}

/// A change with its identity part.
pub(super) type Said = (Change, Option<IdentityPart>);

/// Somebody enrolled from the household book.
pub(super) fn enrolled(unit: &str, birth_month: u32) -> Said {
    let body = Body::PersonEnrolled(PersonEnrolled {
        household: None,
        sex: Sex::Female,
        birth_month,
        marital_status: None,
        method: None,
        resident_since: None,
    });
    let change = Change {
        unit: code(unit),
        hamlet: String::new(),
        event_date: None,
        reported_on: None,
        identity_commitment: None,
        body,
    };
    (change, Some(IdentityPart { full_name: "Vi Thị Mai".into(), ..Default::default() }))
}

/// Something that happened on a day (yyyymmdd), without identity.
pub(super) fn happened(unit: &str, body: Body, day: u32) -> Said {
    let (mut change, _) = enrolled(unit, 198_001);
    change.body = body;
    change.event_date = Some(EventDate::solar(day));
    change.reported_on = Some(day);
    (change, None)
}

/// A draft of one change; `n` makes its id.
pub(super) fn draft((change, part): Said, n: u8) -> Draft {
    Draft { first_id: ChangeId::first(NOW_MS as u64, [n; 6]), changes: vec![change], parts: vec![part] }
}

/// Somebody who seals entries of one log, outside of any pipeline.
#[derive(Clone)]
pub(super) struct Author {
    pub(super) log: LogId,
    pub(super) signer: Arc<SoftwareSigner>,
    pub(super) position: Position,
    tree: CompactTree,
    n: u8,
    secret: u8,
}

impl Author {
    pub(super) fn new(node: NodeId, secret: u8) -> Self {
        let log = LogId::new(node, Stream::Records);
        Self {
            log,
            signer: Arc::new(signer(secret)),
            position: Position::default(),
            tree: CompactTree::default(),
            n: secret,
            secret,
        }
    }

    /// The id of the first change of entry `at`.
    pub(super) fn first_id_of(&self, at: u64) -> ChangeId {
        let n = self.secret.wrapping_add(16u8.wrapping_mul((at % 16) as u8 + 1));
        let mut random = [n; 6];
        random[0] = n.wrapping_add((at / 16) as u8);
        ChangeId::first(NOW_MS as u64, random)
    }

    /// The next entry.
    pub(super) fn entry(&mut self, said: Vec<Said>) -> SealedEntry {
        self.sealed(said, None)
    }

    /// The next entry, which announces the next key: both sign it.
    pub(super) fn entry_by_both(&mut self, said: Vec<Said>, next: &SoftwareSigner) -> SealedEntry {
        self.sealed(said, Some(next))
    }

    fn sealed(&mut self, said: Vec<Said>, next: Option<&SoftwareSigner>) -> SealedEntry {
        self.n = self.n.wrapping_add(16);
        let (changes, parts) = said.into_iter().unzip();
        let draft = Draft { first_id: self.first_id_of(self.position.size), changes, parts };
        let sealing = Sealing {
            log: &self.log,
            position: self.position,
            recorded_at_ms: NOW_MS,
            units_version: VERSION,
            salt_seed: [self.n; 32],
            signer: &*self.signer,
        };
        let sealed = match next {
            None => seal(draft, &sealing),
            Some(next) => seal_by_both(draft, &sealing, next),
        };
        let (envelope, parts) = sealed.expect("sealed");
        let leaf = envelope.leaf_hash();
        self.tree.push(leaf);
        self.position = Position { size: self.position.size + 1, last_leaf: Some(leaf) };
        SealedEntry { envelope: envelope.bytes().clone(), parts }
    }

    /// The first person that the last entry made known.
    pub(super) fn person(&self) -> ChangeId {
        self.first_id_of(self.position.size - 1)
    }

    /// A package; with the checkpoint for where the author stands now, if wanted.
    pub(super) fn package(&self, first: u64, entries: Vec<SealedEntry>, with_checkpoint: bool) -> Package {
        let head = Checkpoint { log: self.log.clone(), size: self.tree.size(), root: self.tree.root() };
        let checkpoint = with_checkpoint.then(|| checkpoint::sign(&head, &*self.signer).expect("signed"));
        Package { log: self.log.clone(), first, entries, checkpoint }
    }
}

/// The root's pipeline.
pub(super) struct Bed {
    pub(super) handle: Handle,
    pub(super) root: Arc<SoftwareSigner>,
    pub(super) store: Store,
    pub(super) dir: PathBuf,
    _keep: Option<Place>,
}

impl Bed {
    pub(super) async fn new() -> Self {
        let dir = Place::new();
        let store = cluster::open(&dir.path().join("danso.db")).await.expect("store");
        Self::on(dir, store).await
    }

    /// On a store that is empty.
    pub(super) async fn on(dir: Place, store: Store) -> Self {
        let root = Arc::new(signer(200));
        let public = *root.public_key().as_bytes();
        let node = NodeId::new(&code("VN"), &public);
        let body = Body::Genesis(Genesis {
            node: node.clone(),
            unit: code("VN"),
            log_public_key: public,
            trust_domain: "test".into(),
        });
        let log = LogId::new(node.clone(), Stream::Directory);
        let sealing = Sealing {
            log: &log,
            position: LogHead::default().position(),
            recorded_at_ms: NOW_MS,
            units_version: VERSION,
            salt_seed: [0; 32],
            signer: &*root,
        };
        let (genesis, _) = seal(about("VN", body, 1), &sealing).expect("genesis");
        found(&store, &node, genesis, Fingerprint::of_key(&public), NOW_MS).await.expect("founded");
        let path = dir.path().to_path_buf();
        let bed =
            Self { handle: start(&store, &root).await.expect("started"), root, store, dir: path, _keep: Some(dir) };
        let rows = [
            ["VN", "Việt Nam", "central", ""],
            ["40", "Nghệ An", "province", "VN"],
            ["17065", "Châu Quang", "commune", "40"],
            ["17035", "Quỳ Hợp", "commune", "40"],
            ["16738", "Kim Sơn", "commune", "40"],
        ];
        let list = UnitList::from_rows(VERSION, None, rows).expect("list");
        let parts = list.split(2).into_iter().zip(10..).map(|(part, n)| about("VN", Body::UnitsPublished(part), n));
        bed.handle.write(Stream::Directory, parts.collect()).await.expect("published");
        bed
    }

    /// Enrols a node for a unit.
    pub(super) async fn child(&self, unit: &str, secret: u8) -> Author {
        let public = *signer(secret).public_key().as_bytes();
        let node = NodeId::new(&code(unit), &public);
        let body = Body::NodeEnrolled(NodeEnrolled {
            node: node.clone(),
            unit: code(unit),
            log_public_key: public,
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        });
        self.handle.write(Stream::Directory, vec![about(unit, body, secret)]).await.expect("enrolled");
        Author::new(node, secret)
    }

    pub(super) async fn receive(&self, package: Package) -> Received {
        self.handle.receive(package).await.expect("queued").await.expect("the store works")
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn anchor(&self) -> Fingerprint {
        self.root.public_key().fingerprint()
    }

    pub(super) fn root_key(&self) -> PublicKey {
        *self.root.public_key()
    }

    /// Persons, waiting slips, findings.
    pub(super) async fn counts(&self) -> (u64, u64, u64) {
        self.store.read("test").await.expect("store").counts().await.expect("counts")
    }

    /// Residents of a unit by the cube, as of today.
    pub(super) async fn residents(&self, unit: &str) -> i64 {
        let today = danso_core::calendar::Month::from_ymm(202_112).expect("month");
        let mut tx = self.store.read("test").await.expect("store");
        let (mut residents, measure) = (0, danso_core::cube::Measure::Residents);
        tx.cube_read(&[code(unit)], measure, None, today, |_, count| residents += count).await.expect("cube");
        residents
    }

    pub(super) async fn findings(&self) -> Vec<FindingKind> {
        let findings = self.store.read("test").await.expect("store").finding_list().await.expect("findings");
        findings.into_iter().map(|finding| finding.kind).collect()
    }

    /// What is kept as evidence.
    pub(super) async fn evidence(&self) -> Vec<EvidenceRow> {
        self.store.read("test").await.expect("store").evidence_list(None).await.expect("evidence")
    }

    /// Findings with the logs of their records.
    pub(super) async fn finding_rows(&self) -> Vec<(LogId, ChangeId, FindingKind)> {
        let mut tx = self.store.read("test").await.expect("store");
        let logs: Vec<_> = tx.log_list().await.expect("logs");
        let log = |pk| logs.iter().find(|row| row.pk == pk).expect("its log").log.clone();
        let findings = tx.finding_list().await.expect("findings");
        findings.into_iter().map(|finding| (log(finding.log), finding.change, finding.kind)).collect()
    }

    /// The envelopes of a log.
    pub(super) async fn stored(&self, log: &LogId) -> Vec<Bytes> {
        let snapshot = self.handle.snapshot();
        let pk = snapshot.log(log).expect("the log").pk;
        let entries = self.store.read("test").await.expect("store").entry_read(pk, 0, 100, usize::MAX).await;
        entries.expect("entries").into_iter().map(|entry| entry.envelope).collect()
    }

    /// A new disk for the same node: it has its key, and gets its logs back from somebody who holds them.
    pub(super) async fn recovered(self) -> Self {
        let logs: Vec<Package> = {
            let mut tx = self.store.read("test").await.expect("store");
            let mut logs = Vec::new();
            for row in tx.log_list().await.expect("logs") {
                let entries = tx.entry_read(row.pk, 0, 100, usize::MAX).await.expect("entries");
                let entries =
                    entries.into_iter().map(|e| SealedEntry { envelope: e.envelope, parts: e.parts }).collect();
                logs.push(Package { log: row.log, first: 0, entries, checkpoint: row.checkpoint });
            }
            logs
        };
        let dir = Place::new();
        let store = cluster::open(&dir.path().join("danso.db")).await.expect("store");
        let genesis = Envelope::decode(logs[0].entries[0].envelope.clone()).expect("the root's directory sorts first");
        found(&store, self.handle.me(), genesis, self.anchor(), NOW_MS).await.expect("founded");
        let handle = start(&store, &self.root).await.expect("started");
        let (path, keep) = (dir.path().to_path_buf(), Some(dir));
        let bed = Self { handle, root: self.root, store, dir: path, _keep: keep };
        for package in logs {
            assert_eq!(bed.receive(package).await.refused, None);
        }
        bed
    }

    /// The same node after its process ended.
    pub(super) async fn restarted(self) -> Self {
        self.restarted_by(Rules::CURRENT).await
    }

    /// The same node after its process ended, with the program of another version.
    pub(super) async fn restarted_by(mut self, rules: Rules) -> Self {
        let keep = self._keep.take();
        let dir = self.dir.clone();
        self.ended().await;
        Self { _keep: keep, ..Self::at_by(&dir, rules).await.expect("started again") }
    }

    /// Keeps the directory beyond the node's end.
    pub(super) fn keep(&mut self) -> Option<Place> {
        self._keep.take()
    }

    /// The process ends in order.
    pub(super) async fn ended(self) {
        let Self { handle, store, .. } = self;
        drop(handle);
        store.close().await;
    }

    /// The root's node in a directory where it was before.
    pub(super) async fn at(dir: &Path) -> Result<Self, Error> {
        Self::at_by(dir, Rules::CURRENT).await
    }

    async fn at_by(dir: &Path, rules: Rules) -> Result<Self, Error> {
        let store = cluster::open(&dir.join("danso.db")).await?;
        Self::started(None, store, dir, rules).await
    }

    /// The root's node, with a store that was its own before.
    pub(super) async fn again(keep: Option<Place>, store: Store, dir: &Path) -> Result<Self, Error> {
        Self::started(keep, store, dir, Rules::CURRENT).await
    }

    async fn started(keep: Option<Place>, store: Store, dir: &Path, rules: Rules) -> Result<Self, Error> {
        let root = Arc::new(signer(200));
        match start_by(&store, &root, rules).await {
            Ok(handle) => Ok(Self { handle, root, store, dir: dir.to_path_buf(), _keep: keep }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }
}

async fn start(store: &Store, root: &Arc<SoftwareSigner>) -> Result<Handle, Error> {
    start_by(store, root, Rules::CURRENT).await
}

async fn start_by(store: &Store, root: &Arc<SoftwareSigner>, rules: Rules) -> Result<Handle, Error> {
    let outfit = Outfit {
        store: store.clone(),
        signer: root.clone(),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        anchor: root.public_key().fingerprint(),
    };
    Handle::start_by(outfit, rules).await
}

/// A draft for a directory log.
pub(super) fn about(unit: &str, body: Body, n: u8) -> Draft {
    let (mut change, _) = enrolled(unit, 198_001);
    change.body = body;
    draft((change, None), n)
}
