use proptest::prelude::*;

use super::*;
use crate::change::{Change, ForwardingPolicy, Genesis, NodeEnrolled, NodeRekeyed, PeriodClosed};
use crate::checkpoint::Checkpoint;
use crate::envelope::{CHANGE_SET_TYPE, Signer, SoftwareSigner};
use crate::ids::{ChangeId, UnitCode};

/// A node with its log, as small as can be.
struct Author {
    node: NodeId,
    unit: UnitCode,
    key: SoftwareSigner,
    entries: Vec<Envelope>,
}

impl Author {
    fn new(unit: &str, secret: u8) -> Self {
        let (key, unit) = (SoftwareSigner::from_secret(&[secret; 32]), unit.parse().expect("code"));
        Self { node: NodeId::new(&unit, key.public_key().as_bytes()), unit, key, entries: Vec::new() }
    }

    fn public(&self) -> [u8; 32] {
        *self.key.public_key().as_bytes()
    }

    fn log(&self, stream: &Stream) -> LogId {
        LogId::new(self.node.clone(), stream.clone())
    }

    fn write(&mut self, stream: &Stream, body: Body, signers: &[&dyn Signer]) {
        let sequence = self.entries.len() as u64;
        let change = Change {
            unit: self.unit.clone(),
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body,
        };
        let set = ChangeSet {
            log: self.log(stream),
            sequence,
            previous: self.entries.last().map(Envelope::leaf_hash),
            recorded_at_ms: 1_700_000_000_000,
            units_version: "vn-2024".into(),
            first_id: ChangeId::first(1_700_000_000_000 + sequence, [5; 6]),
            changes: vec![change],
        };
        let sealed = match signers {
            [] => Envelope::seal(CHANGE_SET_TYPE, &set.encode(), &[&self.key]),
            _ => Envelope::seal(CHANGE_SET_TYPE, &set.encode(), signers),
        };
        self.entries.push(sealed.expect("sealed"));
    }

    fn prove(&self, stream: &Stream, index: usize) -> ProvenEntry {
        self.prove_with(stream, index, &self.key)
    }

    fn prove_with(&self, stream: &Stream, index: usize, key: &SoftwareSigner) -> ProvenEntry {
        let leaves: Vec<Hash> = self.entries.iter().map(Envelope::leaf_hash).collect();
        let head = Checkpoint { log: self.log(stream), size: leaves.len() as u64, root: merkle::root(&leaves) };
        ProvenEntry {
            envelope: self.entries[index].bytes().clone(),
            sequence: index as u64,
            checkpoint: checkpoint::sign(&head, key).expect("signs"),
            inclusion: merkle::inclusion_proof(&leaves, index).expect("is there"),
        }
    }
}

fn enrolled(child: &Author) -> Body {
    Body::NodeEnrolled(NodeEnrolled {
        node: child.node.clone(),
        unit: child.unit.clone(),
        log_public_key: child.public(),
        policy: ForwardingPolicy::Full,
    })
}

const DIRECTORY: Stream = Stream::Directory;
const RECORDS: Stream = Stream::Records;

/// Central, province and commune, an entry of the commune, and receipts of the two above it and of a stranger.
fn case() -> (ProofFile, Fingerprint, [NodeId; 3]) {
    let (mut central, mut province, mut commune) =
        (Author::new("VN", 1), Author::new("40", 2), Author::new("17065", 3));
    let other = Author::new("38", 8);
    let genesis = Genesis {
        node: central.node.clone(),
        unit: central.unit.clone(),
        log_public_key: central.public(),
        trust_domain: "danso.vn".into(),
    };
    central.write(&DIRECTORY, Body::Genesis(genesis), &[]);
    central.write(&DIRECTORY, enrolled(&other), &[]);
    central.write(&DIRECTORY, enrolled(&province), &[]);
    province.write(&DIRECTORY, enrolled(&commune), &[]);
    for month in 1..=5 {
        commune.write(&RECORDS, Body::PeriodClosed(PeriodClosed { month: 202400 + month }), &[]);
    }
    let mut entry = commune.prove(&RECORDS, 3);
    for (giver, time) in [(&province, 1_700_000_010), (&central, 1_700_000_020), (&Author::new("36", 9), 7)] {
        let note = checkpoint::parse(&entry.checkpoint).expect("own note");
        entry.checkpoint = checkpoint::cosign(&note, &giver.node, &giver.key, time).expect("signs");
    }
    let chain = vec![central.prove(&DIRECTORY, 0), central.prove(&DIRECTORY, 2), province.prove(&DIRECTORY, 0)];
    let anchor = central.key.public_key().fingerprint();
    (ProofFile { chain, entry }, anchor, [central.node, province.node, commune.node])
}

fn reason(file: &ProofFile, anchor: &Fingerprint) -> Option<Reason> {
    check(&file.encode(), anchor).map_err(|r| r.reason).err()
}

#[test]
fn a_proof_says_what_it_proves() {
    let (file, anchor, [central, province, commune]) = case();
    assert_eq!(ProofFile::decode(&file.encode()), Ok(file.clone()));
    let proven = check(&file.encode(), &anchor).expect("holds");
    assert_eq!((proven.sequence, proven.size), (3, 5));
    assert_eq!(proven.log, LogId::new(commune.clone(), RECORDS));
    assert_eq!(proven.leaf_hash, merkle::leaf_hash(&file.entry.envelope));
    assert_eq!(proven.change_set.changes[0].body, Body::PeriodClosed(PeriodClosed { month: 202404 }));
    let mut receipts = vec![(central.clone(), 1_700_000_020), (province.clone(), 1_700_000_010)];
    receipts.sort();
    assert_eq!(proven.receipts, receipts);
    assert_eq!(proven.unchecked, [Author::new("36", 9).node]);
    assert_eq!(proven.chain, [central, province, commune]);
}

#[test]
fn each_broken_link_has_its_reason() {
    let (file, anchor, _) = case();
    let broken = |change: &dyn Fn(&mut ProofFile)| {
        let mut file = file.clone();
        change(&mut file);
        reason(&file, &anchor)
    };
    assert_eq!(broken(&|_| ()), None);
    assert_eq!(reason(&file, &Fingerprint([0; 32])), Some(Reason::AnchorMismatch));
    assert_eq!(broken(&|f| f.chain.clear()), Some(Reason::Malformed));
    assert_eq!(broken(&|f| f.chain = vec![f.chain[0].clone(); 17]), Some(Reason::Malformed));
    assert_eq!(broken(&|f| drop(f.chain.remove(0))), Some(Reason::AnchorMismatch));
    assert_eq!(broken(&|f| drop(f.chain.remove(1))), Some(Reason::KeyNotEnrolled));
    assert_eq!(broken(&|f| drop(f.chain.pop())), Some(Reason::KeyNotEnrolled));
    assert_eq!(broken(&|f| f.chain.push(f.entry.clone())), Some(Reason::Malformed));
    for at in [0, 1, 2, 3] {
        let on = |change: &dyn Fn(&mut ProvenEntry)| broken(&|f| change(f.chain.get_mut(at).unwrap_or(&mut f.entry)));
        let two = |e: &mut ProvenEntry| e.checkpoint = f(&e.checkpoint);
        fn f(note: &str) -> String {
            let (log, rest) = note.split_once('\n').expect("lines");
            let (_, rest) = rest.split_once('\n').expect("lines");
            format!("{log}\n4\n{rest}")
        }
        assert_eq!(on(&two), Some(Reason::CheckpointInvalid), "{at}");
        assert_eq!(on(&|e| e.sequence += 1), Some(Reason::CheckpointInvalid), "{at}");
        assert_eq!(on(&|e| e.inclusion.push([0; 32])), Some(Reason::CheckpointInvalid), "{at}");
        assert_eq!(on(&|e| e.inclusion = vec![[0; 32]; 66]), Some(Reason::TooLarge), "{at}");
        assert_eq!(on(&|e| e.checkpoint.clear()), Some(Reason::CheckpointInvalid), "{at}");
        assert_eq!(on(&|e| e.envelope = Bytes::new()), Some(Reason::Malformed), "{at}");
        let forge = |e: &mut ProvenEntry| {
            let mut bytes = e.envelope.to_vec();
            let in_signature = bytes.len() - 66 - 20;
            bytes[in_signature] ^= 1;
            e.envelope = bytes.into();
        };
        assert_eq!(on(&forge), Some(Reason::SignatureInvalid), "{at}");
    }
    // The checkpoint of another log.
    assert_eq!(broken(&|f| f.entry.checkpoint = f.chain[2].checkpoint.clone()), Some(Reason::CheckpointInvalid));
    // A receipt that was given for another size.
    let elsewhere = |f: &mut ProofFile| {
        let (_, lines) = f.entry.checkpoint.rsplit_once("\n\n").expect("note");
        let stolen = lines.lines().nth(1).expect("receipt").to_owned();
        let mut shorter = Author::new("17065", 3);
        for month in 1..=4 {
            shorter.write(&RECORDS, Body::PeriodClosed(PeriodClosed { month: 202400 + month }), &[]);
        }
        f.entry = shorter.prove(&RECORDS, 3);
        f.entry.checkpoint.push_str(&format!("{stolen}\n"));
    };
    assert_eq!(broken(&elsewhere), Some(Reason::ReceiptInvalid));
}

#[test]
fn an_enrolled_node_cannot_write_for_another() {
    let (mut file, anchor, _) = case();
    // The province signs an entry that claims to be in the commune's log.
    let mut forger = Author::new("17065", 3);
    let province = Author::new("40", 2);
    forger.write(&RECORDS, Body::PeriodClosed(PeriodClosed { month: 202401 }), &[&province.key]);
    file.entry = forger.prove_with(&RECORDS, 0, &province.key);
    assert_eq!(reason(&file, &anchor), Some(Reason::KeyNotEnrolled));
}

#[test]
fn a_node_that_changed_its_key_proves_with_the_new_one() {
    let (mut file, anchor, [central, province, commune]) = case();
    let mut author = Author::new("17065", 3);
    let next = SoftwareSigner::from_secret(&[33; 32]);
    let rekeyed =
        NodeRekeyed { node: author.node.clone(), log_public_key: *next.public_key().as_bytes(), from: vec![] };
    let old = SoftwareSigner::from_secret(&[3; 32]);
    author.write(&DIRECTORY, Body::NodeRekeyed(rekeyed), &[&old, &next]);
    file.chain.push(author.prove_with(&DIRECTORY, 0, &next));
    author.entries.clear();
    author.write(&RECORDS, Body::PeriodClosed(PeriodClosed { month: 202401 }), &[&next]);
    file.entry = author.prove_with(&RECORDS, 0, &next);
    assert_eq!(check(&file.encode(), &anchor).expect("holds").chain, [central, province, commune]);
    file.chain.pop();
    assert_eq!(reason(&file, &anchor), Some(Reason::KeyNotEnrolled));
}

#[test]
fn what_is_no_proof_file_is_refused() {
    let (file, anchor, _) = case();
    let bytes = file.encode();
    for bad in [&[][..], MAGIC, &bytes[..bytes.len() - 1], &bytes[1..]] {
        assert_eq!(check(bad, &anchor).map_err(|r| r.reason), Err(Reason::Malformed));
    }
    let large = vec![0; limits::PROOF_BYTES_MAX + 1];
    assert_eq!(check(&large, &anchor).map_err(|r| r.reason), Err(Reason::TooLarge));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&[MAGIC, &bytes].concat(), &Fingerprint([0; 32]));
    }
}
