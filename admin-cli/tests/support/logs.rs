//! Real logs, signed with keys made of a number: the centre's directory with its unit list and one commune enrolled, and the commune's
//! records.

use bytes::Bytes;
use danso_core::ledger::{Draft, LogHead, Sealing, append, seal};
use danso_core::units::{Unit, UnitList};
use danso_core::verify::{Directory, verify};
use danso_proto::change::*;
use danso_proto::checkpoint;
use danso_proto::envelope::{Envelope, PublicKey, Signer as _, SoftwareSigner};
use danso_proto::ids::{ChangeId, Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::merkle;
use danso_proto::pb::admin::v1::{LogState, ReadLogResponse};
use danso_proto::proof::{ProofFile, ProvenEntry};

/// A log as a node would hand it out.
#[derive(Clone)]
pub struct FakeLog {
    pub log: LogId,
    pub entries: Vec<Bytes>,
    pub root: [u8; 32],
    pub checkpoint: String,
}

impl FakeLog {
    pub fn state(&self) -> LogState {
        LogState {
            log: self.log.to_string(),
            size: self.entries.len() as u64,
            root: Bytes::copy_from_slice(&self.root),
            unit: self.log.node().unit().to_string(),
            committed_at_ms: 1,
            ..Default::default()
        }
    }

    pub fn read(&self, from: u64, to: u64) -> Vec<ReadLogResponse> {
        let to = if to == 0 { u64::MAX } else { to };
        let entries = (0..).zip(&self.entries).filter(|(i, _)| (from..to).contains(i));
        entries
            .map(|(sequence, envelope)| ReadLogResponse {
                sequence,
                envelope: envelope.clone(),
                head_size: if sequence == from { self.entries.len() as u64 } else { 0 },
                checkpoint: if sequence == from { self.checkpoint.clone() } else { String::new() },
                ..Default::default()
            })
            .collect()
    }

    /// Flips a bit of an entry, and hands out the root that then fits, as somebody would who holds the disk and no key.
    pub fn tamper(&mut self, entry: usize) {
        let mut bytes = self.entries[entry].to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.entries[entry] = bytes.into();
        let leaves: Vec<_> = self.entries.iter().map(|entry| merkle::leaf_hash(entry)).collect();
        self.root = merkle::root(&leaves);
    }
}

/// A small federation.
pub struct World {
    pub anchor: Fingerprint,
    pub directory: FakeLog,
    pub records: FakeLog,
    pub proof: Vec<u8>,
}

struct Author<'a> {
    signer: &'a SoftwareSigner,
    head: LogHead,
    made: FakeLog,
}

impl<'a> Author<'a> {
    fn new(log: LogId, signer: &'a SoftwareSigner) -> Self {
        let made = FakeLog { log, entries: Vec::new(), root: merkle::empty_root(), checkpoint: String::new() };
        Self { signer, head: LogHead::default(), made }
    }

    fn sign(&self, bodies: Vec<(&UnitCode, Body)>) -> Envelope {
        let change = |(unit, body): (&UnitCode, Body)| Change {
            unit: unit.clone(),
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body,
        };
        let changes: Vec<_> = bodies.into_iter().map(change).collect();
        let parts = changes.iter().map(|_| None).collect();
        let first_id = ChangeId::first(1_609_459_200_000 + self.head.size(), [7; 6]);
        let sealing = Sealing {
            log: &self.made.log,
            position: self.head.position(),
            recorded_at_ms: 1_609_459_200_000,
            units_version: "vn-2024",
            salt_seed: [9; 32],
            signer: self.signer,
        };
        seal(Draft { first_id, changes, parts }, &sealing).expect("seals").0
    }

    fn take(&mut self, envelope: Envelope, directory: &mut Directory) {
        let bytes = envelope.bytes().clone();
        let opened = directory.open(bytes.clone(), None).expect("opens");
        let verified = verify(opened, directory, &self.head.position()).expect("verifies");
        directory.apply(&verified).expect("applies");
        append(&mut self.head, verified);
        self.made.entries.push(bytes);
        self.made.root = self.head.root();
        self.made.checkpoint = checkpoint::sign(&self.head.checkpoint(&self.made.log), self.signer).expect("signs");
    }

    fn proven(&self, entry: usize) -> ProvenEntry {
        let leaves: Vec<_> = self.made.entries.iter().map(|entry| merkle::leaf_hash(entry)).collect();
        ProvenEntry {
            envelope: self.made.entries[entry].clone(),
            sequence: entry as u64,
            checkpoint: self.made.checkpoint.clone(),
            inclusion: merkle::inclusion_proof(&leaves, entry).expect("in the log"),
        }
    }
}

/// Makes the federation. `seed` makes its keys: another seed is another federation.
pub fn world(seed: u8) -> World {
    let [central, commune] = [seed, seed + 1].map(|seed| SoftwareSigner::from_secret(&[seed; 32]));
    let key = |signer: &SoftwareSigner| -> PublicKey { *signer.public_key() };
    let (top, below): (UnitCode, UnitCode) = ("VN".parse().expect("code"), "17065".parse().expect("code"));
    let (root, node) = (NodeId::new(&top, key(&central).as_bytes()), NodeId::new(&below, key(&commune).as_bytes()));
    let [first, .., last] = danso_core::tier::Tier::ALL;
    let list = UnitList::new(
        "vn-2024",
        None,
        vec![
            Unit { code: top.clone(), name: "Việt Nam".into(), tier: first, parent: None },
            Unit { code: below.clone(), name: "Châu Quang".into(), tier: last, parent: Some(top.clone()) },
        ],
    )
    .expect("a list");

    let mut directory_log = Author::new(LogId::new(root.clone(), Stream::Directory), &central);
    let genesis = Body::Genesis(Genesis {
        node: root,
        unit: top.clone(),
        log_public_key: *key(&central).as_bytes(),
        trust_domain: "danso.example".into(),
    });
    let genesis = directory_log.sign(vec![(&top, genesis)]);
    let anchor = key(&central).fingerprint();
    let mut directory =
        Directory::found(Envelope::decode(genesis.bytes().clone()).expect("decodes"), anchor).expect("founds");
    directory_log.take(genesis, &mut directory);
    let published = list.split(1_000).into_iter().map(|part| (&top, Body::UnitsPublished(part))).collect();
    let published = directory_log.sign(published);
    directory_log.take(published, &mut directory);
    let enrolled = Body::NodeEnrolled(NodeEnrolled {
        node: node.clone(),
        unit: below.clone(),
        log_public_key: *key(&commune).as_bytes(),
        policy: ForwardingPolicy::Full,
        former: Vec::new(),
    });
    let enrolled = directory_log.sign(vec![(&top, enrolled)]);
    directory_log.take(enrolled, &mut directory);

    let mut records = Author::new(LogId::new(node, Stream::Records), &commune);
    for month in [202_101, 202_102, 202_103, 202_104] {
        let closed = records.sign(vec![(&below, Body::PeriodClosed(PeriodClosed { month }))]);
        records.take(closed, &mut directory);
    }
    let chain = vec![directory_log.proven(0), directory_log.proven(2)];
    let proof = ProofFile { chain, entry: records.proven(1), further: Vec::new() }.encode();
    World { anchor, directory: directory_log.made, records: records.made, proof }
}
