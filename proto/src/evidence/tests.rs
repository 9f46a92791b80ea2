use proptest::prelude::*;

use super::*;
use crate::change::{Body, Change, ChangeSet, ForwardingPolicy, Genesis, NodeEnrolled, NodeRekeyed, PeriodClosed};
use crate::envelope::{CHANGE_SET_TYPE, Signer as _, SoftwareSigner};
use crate::ids::{ChangeId, Stream, UnitCode};

/// One log of a node: a clone is another history of it.
#[derive(Clone)]
struct Author {
    unit: UnitCode,
    log: LogId,
    secret: u8,
    entries: Vec<Envelope>,
}

impl Author {
    fn new(unit: &str, stream: Stream, secret: u8) -> Self {
        let unit: UnitCode = unit.parse().expect("code");
        let node = NodeId::new(&unit, &public(secret));
        Self { unit, log: LogId::new(node, stream), secret, entries: Vec::new() }
    }

    fn key(&self) -> SoftwareSigner {
        SoftwareSigner::from_secret(&[self.secret; 32])
    }

    fn set(&self, body: Body) -> ChangeSet {
        let change = Change {
            unit: self.unit.clone(),
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body,
        };
        ChangeSet {
            log: self.log.clone(),
            sequence: self.entries.len() as u64,
            previous: self.entries.last().map(Envelope::leaf_hash),
            recorded_at_ms: 1_700_000_000_000,
            units_version: "vn-2024".into(),
            first_id: ChangeId::first(1_700_000_000_000, [5; 6]),
            changes: vec![change],
        }
    }

    fn write(&mut self, body: Body) -> &mut Self {
        let sealed = Envelope::seal(CHANGE_SET_TYPE, &self.set(body).encode(), &[&self.key()]);
        self.entries.push(sealed.expect("sealed"));
        self
    }

    fn months(&mut self, months: impl IntoIterator<Item = u32>) -> &mut Self {
        for month in months {
            self.write(Body::PeriodClosed(PeriodClosed { month: 202_400 + month }));
        }
        self
    }

    fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(Envelope::leaf_hash).collect()
    }

    fn checkpoint(&self, size: usize) -> String {
        let head = Checkpoint { log: self.log.clone(), size: size as u64, root: merkle::root(&self.leaves()[..size]) };
        checkpoint::sign(&head, &self.key()).expect("signs")
    }

    fn prove(&self, at: usize) -> ProvenEntry {
        ProvenEntry {
            envelope: self.entries[at].bytes().clone(),
            sequence: at as u64,
            checkpoint: self.checkpoint(self.entries.len()),
            inclusion: merkle::inclusion_proof(&self.leaves(), at).expect("is there"),
        }
    }

    fn entry(&self, at: usize) -> Statement {
        Statement::Entry(self.entries[at].bytes().clone())
    }
}

fn public(secret: u8) -> [u8; 32] {
    *SoftwareSigner::from_secret(&[secret; 32]).public_key().as_bytes()
}

/// The way of trust from the central node to the commune, and the anchor.
fn trust() -> (Vec<ProvenEntry>, Fingerprint) {
    let mut central = Author::new("VN", Stream::Directory, 1);
    let commune = Author::new("17065", Stream::Records, 3);
    let genesis = Genesis {
        node: central.log.node().clone(),
        unit: central.unit.clone(),
        log_public_key: public(1),
        trust_domain: "danso.vn".into(),
    };
    let enrolled = NodeEnrolled {
        node: commune.log.node().clone(),
        unit: commune.unit.clone(),
        log_public_key: public(3),
        policy: ForwardingPolicy::Full,
        former: Vec::new(),
    };
    central.write(Body::Genesis(genesis)).write(Body::NodeEnrolled(enrolled));
    (vec![central.prove(0), central.prove(1)], central.key().public_key().fingerprint())
}

/// Two histories that agree on their first `common` entries.
fn histories(common: u32, ours: u32, theirs: u32) -> (Author, Author) {
    let mut one = Author::new("17065", Stream::Records, 3);
    one.months(1..=common);
    let mut other = one.clone();
    one.months((1..=ours).map(|month| 100 + month));
    other.months((1..=theirs).map(|month| 500 + month));
    (one, other)
}

fn between(ours: Statement, theirs: Statement) -> Contradiction {
    Contradiction { ours, theirs, growth: None }
}

/// Our checkpoint of all entries against theirs of the first `size`.
fn growth(ours: &Author, theirs: &Author, size: usize) -> Contradiction {
    let leaves = ours.leaves();
    Contradiction {
        ours: Statement::Checkpoint(ours.checkpoint(leaves.len())),
        theirs: Statement::Checkpoint(theirs.checkpoint(size)),
        growth: Some((
            merkle::root(&leaves[..size]),
            merkle::consistency_proof(&leaves, size).expect("no more than there are"),
        )),
    }
}

fn file(contradiction: Contradiction) -> (Vec<u8>, Fingerprint) {
    let (chain, anchor) = trust();
    (EvidenceFile { chain, contradiction }.encode(), anchor)
}

fn checked(contradiction: Contradiction) -> Result<Proven, Reason> {
    let (file, anchor) = file(contradiction);
    check(&file, &anchor).map_err(|refusal| refusal.reason)
}

/// One contradiction of each kind, by histories that agree on two entries.
fn kinds() -> Vec<(Kind, Contradiction)> {
    let (ours, theirs) = histories(2, 3, 2);
    let same = theirs.clone().months([511]).clone();
    vec![
        (Kind::Roots, between(Statement::Checkpoint(ours.checkpoint(5)), Statement::Checkpoint(same.checkpoint(5)))),
        (Kind::Growth, growth(&ours, &theirs, 4)),
        (Kind::Entries, between(ours.entry(2), theirs.entry(2))),
        (Kind::Links, between(ours.entry(2), theirs.entry(3))),
    ]
}

#[test]
fn each_kind_of_contradiction_is_proven_from_the_anchor() {
    for (kind, contradiction) in kinds() {
        let digest = contradiction.digest();
        assert_eq!(Contradiction::decode(&contradiction.encode()).expect("reads back"), contradiction);
        let proven = checked(contradiction).expect("holds");
        assert_eq!(proven.contradicted.kind, kind);
        assert_eq!(proven.digest, digest);
        assert_eq!(proven.chain.iter().map(|node| node.unit().to_string()).collect::<Vec<_>>(), ["VN", "17065"]);
    }
    let (ours, theirs) = histories(2, 3, 2);
    let entries = checked(between(ours.entry(2), theirs.entry(2))).expect("holds").contradicted;
    assert_eq!((entries.differ, entries.agree), (3, Some(2)), "both name the same entry before them");
    let later = checked(between(ours.entry(3), theirs.entry(3))).expect("holds").contradicted;
    assert_eq!((later.differ, later.agree), (3, None), "they name different ones before them, and may differ earlier");
    // The order in which they were seen does not matter.
    let turned = checked(between(theirs.entry(3), ours.entry(2))).expect("holds").contradicted;
    assert_eq!((turned.kind, turned.ours.size, turned.theirs.size), (Kind::Links, 4, 3));
}

/// The directory entry with which the author of a log changes its key for that of `next`, from `from` entries of that log on.
fn change_of_keys(records: &Author, next: u8, from: u64, signers: &[u8]) -> Statement {
    let mut directory = Author::new("17065", Stream::Directory, records.secret);
    let own = (directory.log.clone(), 1);
    let rekeyed = Body::NodeRekeyed(NodeRekeyed {
        node: directory.log.node().clone(),
        log_public_key: public(next),
        from: vec![own, (records.log.clone(), from)],
    });
    let signers: Vec<SoftwareSigner> =
        signers.iter().map(|secret| SoftwareSigner::from_secret(&[*secret; 32])).collect();
    let signers: Vec<&dyn crate::envelope::Signer> = signers.iter().map(|signer| signer as _).collect();
    let sealed = Envelope::seal(CHANGE_SET_TYPE, &directory.set(rekeyed).encode(), &signers);
    directory.entries.push(sealed.expect("sealed"));
    directory.entry(0)
}

#[test]
fn a_key_that_signed_behind_the_end_that_it_signed_itself_contradicts_itself() {
    let (ours, _) = histories(2, 3, 2);
    let both = [ours.secret, 66];
    let change = || change_of_keys(&ours, 66, 3, &both);
    for contradiction in [between(ours.entry(4), change()), between(ours.entry(3), change())] {
        let found = checked(contradiction).expect("holds").contradicted;
        assert_eq!((found.kind, &found.log, found.theirs.size, found.agree), (Kind::Keys, &ours.log, 3, None));
        assert_eq!((found.differ, found.ours.size), (found.ours.size, found.differ));
    }
    let turned = checked(between(change(), ours.entry(3))).expect("holds").contradicted;
    assert_eq!((turned.ours.size, turned.theirs.size, turned.differ), (3, 4, 4));
    assert_eq!(checked(between(ours.entry(2), change())), Err(Reason::NoContradiction), "it stands before the change");
    // By the new key alone, it is not even announced.
    assert!(checked(between(ours.entry(3), change_of_keys(&ours, 66, 3, &[66]))).is_err());
    let alone = change_of_keys(&ours, 66, 3, &[ours.secret]);
    assert_eq!(checked(between(ours.entry(3), alone)), Err(Reason::NoContradiction), "the new key did not sign it");
}

#[test]
fn statements_that_can_both_be_true_are_no_evidence() {
    let (ours, theirs) = histories(3, 2, 2);
    let note = |author: &Author, size| Statement::Checkpoint(author.checkpoint(size));
    let none = Err(Reason::NoContradiction);
    let reason = |contradiction| checked(contradiction).map(|_| ());
    assert_eq!(reason(between(note(&ours, 5), note(&ours, 5))), none);
    assert_eq!(reason(between(note(&ours, 5), note(&theirs, 4))), none, "nothing shows that they differ");
    assert_eq!(reason(growth(&ours, &theirs, 3)), none, "the histories agree that far");
    assert_eq!(reason(growth(&ours, &ours, 4)), none);
    assert_eq!(reason(between(ours.entry(2), theirs.entry(2))), none, "the same entry");
    assert_eq!(reason(between(ours.entry(2), theirs.entry(3))), none, "it follows on both sides");
    assert_eq!(reason(between(ours.entry(3), theirs.entry(4))), Ok(()));
    assert_eq!(reason(between(ours.entry(2), theirs.entry(4))), none, "not beside each other");
    let mut other = Author::new("17065", Stream::Directory, 3);
    let next = NodeEnrolled {
        node: NodeId::new(&other.unit, &public(4)),
        unit: other.unit.clone(),
        log_public_key: public(4),
        policy: ForwardingPolicy::Full,
        former: Vec::new(),
    };
    other.write(Body::NodeEnrolled(next));
    assert_eq!(reason(between(ours.entry(0), other.entry(0))), none, "two logs");
    assert_eq!(reason(between(note(&ours, 1), note(&other, 1))), none, "two logs");
}

#[test]
fn a_statement_that_the_author_did_not_sign_is_no_evidence() {
    let (ours, theirs) = histories(2, 2, 2);
    let forged = Author { secret: 9, ..theirs.clone() };
    let note = |author: &Author| Statement::Checkpoint(author.checkpoint(4));
    assert_eq!(checked(between(note(&ours), note(&forged))).map(|_| ()), Err(Reason::CheckpointInvalid));
    let mut forged = Author { entries: theirs.entries[..2].to_vec(), ..forged };
    forged.months([701]);
    assert_eq!(checked(between(ours.entry(2), forged.entry(2))).map(|_| ()), Err(Reason::KeyNotEnrolled));
    // A node above, which is enrolled, cannot speak for the author either.
    let mut above = Author { secret: 1, entries: theirs.entries[..2].to_vec(), ..theirs.clone() };
    above.months([701]);
    assert_eq!(checked(between(ours.entry(2), above.entry(2))).map(|_| ()), Err(Reason::KeyNotEnrolled));
    let (bytes, _) = file(between(note(&ours), note(&theirs)));
    assert_eq!(check(&bytes, &Fingerprint([0; 32])).map_err(|r| r.reason).map(|_| ()), Err(Reason::AnchorMismatch));
}

#[test]
fn a_proof_of_growth_must_hold() {
    let (ours, theirs) = histories(2, 5, 3);
    type Growth = (Hash, Vec<Hash>);
    let broken = |edit: &dyn Fn(&mut Growth)| {
        let mut contradiction = growth(&ours, &theirs, 3);
        edit(contradiction.growth.as_mut().expect("of two sizes"));
        checked(contradiction).map(|proven| proven.contradicted.kind)
    };
    assert_eq!(broken(&|_| ()), Ok(Kind::Growth));
    assert_eq!(broken(&|growth| growth.0[0] ^= 1), Err(Reason::CheckpointInvalid));
    assert_eq!(broken(&|growth| growth.1[0][0] ^= 1), Err(Reason::CheckpointInvalid));
    assert_eq!(broken(&|growth| growth.1.truncate(1)), Err(Reason::CheckpointInvalid));
    assert_eq!(broken(&|growth| growth.1 = vec![[0; 32]; 66]), Err(Reason::TooLarge));
}

#[test]
fn what_was_not_checked_does_not_travel_as_evidence() {
    let (ours, theirs) = histories(2, 2, 2);
    let note = |author: &Author| author.checkpoint(4);
    let with_receipt = |text: &str| {
        let note = checkpoint::parse(text).expect("own note");
        let giver = Author::new("VN", Stream::Directory, 1);
        checkpoint::cosign(&note, giver.log.node(), &giver.key(), 7).expect("signs")
    };
    let receipted = between(Statement::Checkpoint(with_receipt(&note(&ours))), Statement::Checkpoint(note(&theirs)));
    assert_eq!(checked(receipted).map(|_| ()), Err(Reason::Malformed));
    let (mut chain, anchor) = trust();
    chain[1].checkpoint = with_receipt(&chain[1].checkpoint);
    let contradiction = between(Statement::Checkpoint(note(&ours)), Statement::Checkpoint(note(&theirs)));
    let bytes = EvidenceFile { chain, contradiction }.encode();
    assert_eq!(check(&bytes, &anchor).map_err(|r| r.reason).map(|_| ()), Err(Reason::Malformed));
    // Made bare again it is what it was.
    let bare = checkpoint::parse(&with_receipt(&note(&ours))).expect("own note");
    let bare = bare.bare(ours.log.node(), ours.key().public_key()).expect("the author signed");
    assert_eq!(bare.text(), note(&ours));
    assert!(bare.verify(ours.log.node(), ours.key().public_key()).is_ok());
}

#[test]
fn what_is_no_evidence_file_is_refused() {
    let (_, contradiction) = kinds().remove(0);
    let (bytes, anchor) = file(contradiction);
    let mut unknown = bytes.clone();
    unknown.extend_from_slice(&[0x9a, 0x06, 1, b'x']);
    for bad in [&[][..], MAGIC, &bytes[..bytes.len() - 1], &bytes[1..], &unknown] {
        assert_eq!(check(bad, &anchor).map_err(|r| r.reason).map(|_| ()), Err(Reason::Malformed));
    }
    let large = vec![0; limits::EVIDENCE_BYTES_MAX + 1];
    assert_eq!(check(&large, &anchor).map_err(|r| r.reason).map(|_| ()), Err(Reason::TooLarge));
}

#[test]
fn any_flipped_byte_is_refused() {
    for (kind, contradiction) in kinds() {
        let (bytes, anchor) = file(contradiction);
        assert!(check(&bytes, &anchor).is_ok());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(check(&flipped, &anchor).is_err(), "{kind:?}: byte {at} of {} does not matter", bytes.len());
        }
    }
}

proptest! {
    #[test]
    fn two_histories_are_proven_exactly_from_where_they_part(common in 1u32..6, ours in 1u32..6, theirs in 1u32..6, size in 1usize..12) {
        let (one, other) = histories(common, ours, theirs);
        let size = size.min(one.entries.len()).min(other.entries.len());
        let contradiction = match size == one.entries.len() {
            true => between(Statement::Checkpoint(one.checkpoint(size)), Statement::Checkpoint(other.checkpoint(size))),
            false => growth(&one, &other, size),
        };
        let found = checked(contradiction).map(|proven| proven.contradicted.differ);
        let expected = if size as u32 > common { Ok(size as u64) } else { Err(Reason::NoContradiction) };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_changed_are_refused(kind in 0usize..4, at: prop::sample::Index, bits in 1u8..) {
        let (_, contradiction) = kinds().remove(kind);
        let (mut bytes, anchor) = file(contradiction);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        prop_assert!(check(&bytes, &anchor).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&[MAGIC, &bytes].concat(), &Fingerprint([0; 32]));
        let _ = Contradiction::decode(&bytes);
    }
}
