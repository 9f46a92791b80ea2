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

    /// A checkpoint at an earlier size, with receipts, and the place of an entry in its tree.
    fn head(&self, stream: &Stream, index: usize, size: usize, givers: &[(&Author, u64)]) -> ProvenHead {
        let leaves: Vec<Hash> = self.entries[..size].iter().map(Envelope::leaf_hash).collect();
        let head = Checkpoint { log: self.log(stream), size: size as u64, root: merkle::root(&leaves) };
        let mut checkpoint = checkpoint::sign(&head, &self.key).expect("signs");
        for (giver, time) in givers {
            let note = checkpoint::parse(&checkpoint).expect("own note");
            checkpoint = checkpoint::cosign(&note, &giver.node, &giver.key, *time).expect("signs");
        }
        ProvenHead { checkpoint, inclusion: merkle::inclusion_proof(&leaves, index).expect("is there") }
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
        former: Vec::new(),
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
    (ProofFile { chain, entry, further: Vec::new() }, anchor, [central.node, province.node, commune.node])
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
    let long = vec![file.chain[0].clone(); limits::PROOF_CHAIN_MAX + 1];
    assert_eq!(broken(&|f| f.chain.clone_from(&long)), Some(Reason::TooLarge));
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
fn a_node_that_changed_its_key_for_a_lifetime_still_proves() {
    let (mut file, anchor, _) = case();
    let mut author = Author::new("17065", 3);
    let key = |at: usize| {
        let mut secret = [3; 32];
        if at > 0 {
            secret[..8].copy_from_slice(&(at as u64).to_be_bytes());
        }
        SoftwareSigner::from_secret(&secret)
    };
    // As many as a file can hold, three entries less: the genesis and two enrolments.
    let changes = limits::PROOF_CHAIN_MAX - file.chain.len();
    for at in 0..changes {
        let (old, next) = (key(at), key(at + 1));
        let log_public_key = *next.public_key().as_bytes();
        let rekeyed = NodeRekeyed { node: author.node.clone(), log_public_key, from: vec![] };
        author.write(&DIRECTORY, Body::NodeRekeyed(rekeyed), &[&old, &next]);
    }
    let last = key(changes);
    let leaves: Vec<Hash> = author.entries.iter().map(Envelope::leaf_hash).collect();
    let head = Checkpoint { log: author.log(&DIRECTORY), size: leaves.len() as u64, root: merkle::root(&leaves) };
    let checkpoint = checkpoint::sign(&head, &last).expect("signs");
    file.chain.extend(author.entries.iter().enumerate().map(|(at, envelope)| ProvenEntry {
        envelope: envelope.bytes().clone(),
        sequence: at as u64,
        checkpoint: checkpoint.clone(),
        inclusion: merkle::inclusion_proof(&leaves, at).expect("is there"),
    }));
    author.entries.clear();
    author.write(&RECORDS, Body::PeriodClosed(PeriodClosed { month: 202401 }), &[&last]);
    file.entry = author.prove_with(&RECORDS, 0, &last);
    let bytes = file.encode();
    assert!(bytes.len() < limits::PROOF_BYTES_MAX / 4, "{} bytes", bytes.len());
    assert_eq!(check(&bytes, &anchor).expect("holds").chain.len(), 3);
    file.chain.remove(500);
    assert_eq!(reason(&file, &anchor), Some(Reason::KeyNotEnrolled), "none can be left out");
}

/// The entry of [`case`] with receipts that the two above its author gave at other sizes of the log.
fn receipted() -> (ProofFile, Fingerprint, [NodeId; 3]) {
    let (mut file, anchor, nodes) = case();
    let (central, province, mut commune) = (Author::new("VN", 1), Author::new("40", 2), Author::new("17065", 3));
    for month in 1..=5 {
        commune.write(&RECORDS, Body::PeriodClosed(PeriodClosed { month: 202400 + month }), &[]);
    }
    file.entry = commune.prove(&RECORDS, 3);
    file.further = vec![
        commune.head(&RECORDS, 3, 4, &[(&province, 1_700_000_011)]),
        commune.head(&RECORDS, 3, 5, &[(&central, 1_700_000_022)]),
    ];
    (file, anchor, nodes)
}

#[test]
fn receipts_of_every_tier_stand_in_one_file() {
    let (file, anchor, [central, province, _]) = receipted();
    assert_eq!(ProofFile::decode(&file.encode()), Ok(file.clone()));
    let proven = check(&file.encode(), &anchor).expect("holds");
    let mut receipts = vec![(central, 1_700_000_022), (province, 1_700_000_011)];
    receipts.sort();
    assert_eq!((proven.receipts, proven.unchecked), (receipts, vec![]));
}

#[test]
fn a_further_checkpoint_holds_nothing_that_is_not_checked() {
    let (file, anchor, _) = receipted();
    let (province, mut commune) = (Author::new("40", 2), Author::new("17065", 3));
    for month in 1..=5 {
        commune.write(&RECORDS, Body::PeriodClosed(PeriodClosed { month: 202400 + month }), &[]);
    }
    let broken = |change: &dyn Fn(&mut ProofFile)| {
        let mut file = file.clone();
        change(&mut file);
        reason(&file, &anchor)
    };
    assert_eq!(broken(&|_| ()), None);
    let stranger = Author::new("36", 9);
    let head = |givers: &[(&Author, u64)]| commune.head(&RECORDS, 3, 4, givers);
    assert_eq!(broken(&|f| f.further[0] = head(&[])), Some(Reason::Malformed));
    assert_eq!(broken(&|f| f.further[0] = head(&[(&stranger, 1)])), Some(Reason::ReceiptInvalid));
    assert_eq!(broken(&|f| f.further[0] = head(&[(&province, 1), (&stranger, 1)])), Some(Reason::ReceiptInvalid));
    assert_eq!(broken(&|f| f.further.push(head(&[(&province, 1)]))), Some(Reason::ReceiptInvalid), "one giver twice");
    let odd_line = |f: &mut ProofFile| f.further[0].checkpoint.push_str("— somebody AAAAAAA=\n");
    assert_eq!(broken(&odd_line), Some(Reason::ReceiptInvalid));
    assert_eq!(broken(&|f| f.further[0].inclusion[0][0] ^= 1), Some(Reason::CheckpointInvalid));
    assert_eq!(broken(&|f| f.further[0].inclusion = vec![[0; 32]; 66]), Some(Reason::TooLarge));
    assert_eq!(broken(&|f| f.further = vec![f.further[0].clone(); 17]), Some(Reason::TooLarge));
    // Before the entry was there.
    let early = commune.head(&RECORDS, 2, 3, &[(&province, 1)]);
    assert_eq!(broken(&|f| f.further[0] = early.clone()), Some(Reason::CheckpointInvalid));
    // A receipt for another log of the author.
    let other = commune.head(&DIRECTORY, 3, 4, &[(&province, 1)]);
    assert_eq!(broken(&|f| f.further[0] = other.clone()), Some(Reason::CheckpointInvalid));
}

#[test]
fn one_flipped_bit_anywhere_in_a_receipt_file_is_refused() {
    let (file, anchor, _) = receipted();
    let bytes = file.encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(check(&changed, &anchor).is_err(), "byte {at} of {}", bytes.len());
    }
    let more = [&bytes[..], &[0xf8, 0x07, 1]].concat(); // field 127, varint 1
    assert_eq!(check(&more, &anchor).map_err(|r| r.reason), Err(Reason::Malformed), "nothing beside what is checked");
}

#[test]
fn keys_that_changed_since_do_not_undo_what_they_signed() {
    let (file, anchor, [_, province_id, _]) = receipted();
    let (central, mut province, commune) = (Author::new("VN", 1), Author::new("40", 2), Author::new("17065", 3));
    let next = |secret: u8| SoftwareSigner::from_secret(&[secret; 32]);
    let rekeyed = |author: &Author, secret: u8| {
        let log_public_key = *next(secret).public_key().as_bytes();
        Body::NodeRekeyed(NodeRekeyed { node: author.node.clone(), log_public_key, from: Vec::new() })
    };
    // The province enrolled the commune, changed its key twice, and vouches for a new key of the commune, whose disk was lost. Its receipt was
    // given with its first key, and every checkpoint of its directory is now signed with its third.
    province.write(&DIRECTORY, enrolled(&commune), &[]);
    province.write(&DIRECTORY, rekeyed(&Author::new("40", 2), 22), &[&next(2), &next(22)]);
    province.write(&DIRECTORY, rekeyed(&Author::new("40", 2), 23), &[&next(22), &next(23)]);
    province.write(&DIRECTORY, rekeyed(&commune, 33), &[&next(23)]);
    let proven = |at| province.prove_with(&DIRECTORY, at, &next(23));
    let mut file = ProofFile { chain: file.chain[..2].to_vec(), ..file };
    // All the commune's checkpoints are signed anew with the key that was vouched for.
    for checkpoint in std::iter::once(&mut file.entry.checkpoint) {
        let head = checkpoint::parse(checkpoint).expect("own note").unverified().clone();
        *checkpoint = checkpoint::sign(&head, &next(33)).expect("signs");
    }
    file.chain.extend([1, 2, 0, 3].map(proven));
    let proven = check(&file.encode(), &anchor).expect("holds");
    assert!(proven.receipts.iter().any(|(giver, _)| *giver == province_id), "by a key that it had");
    // Without the announcement nobody knows the key.
    let without = |at| {
        let mut file = file.clone();
        file.chain.remove(at);
        reason(&file, &anchor)
    };
    assert_eq!(
        [2, 3, 5].map(without),
        [Some(Reason::KeyNotEnrolled), Some(Reason::KeyNotEnrolled), Some(Reason::CheckpointInvalid)]
    );
    // A node that is not above vouches for nobody: the commune's own entry cannot name another's key.
    let mut sister = Author::new("40", 2);
    sister.write(&DIRECTORY, enrolled(&commune), &[]);
    sister.write(&DIRECTORY, rekeyed(&central, 44), &[]);
    let mut file = ProofFile { chain: file.chain[..2].to_vec(), ..file };
    file.chain.extend([0, 1].map(|at| sister.prove(&DIRECTORY, at)));
    file.chain[0].checkpoint = {
        let head = checkpoint::parse(&file.chain[0].checkpoint).expect("note").unverified().clone();
        checkpoint::sign(&head, &next(44)).expect("signs")
    };
    assert_eq!(reason(&file, &anchor), Some(Reason::CheckpointInvalid));
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
