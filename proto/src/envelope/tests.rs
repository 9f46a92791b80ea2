use proptest::prelude::*;

use super::*;
use crate::change::{Body, Change, ChangeSet, Genesis, NodeRekeyed, PeriodClosed};
use crate::identity::{IdentityPart, PartSet, Salts};
use crate::ids::{ChangeId, LogId, NodeId, Stream, UnitCode};

fn signer(n: u8) -> SoftwareSigner {
    SoftwareSigner::from_secret(&[n; 32])
}

fn unit() -> UnitCode {
    "17065".parse().expect("code")
}

fn change(body: Body) -> Change {
    Change { unit: unit(), hamlet: String::new(), event_date: None, reported_on: None, identity_commitment: None, body }
}

fn set(stream: Stream, changes: Vec<Change>) -> ChangeSet {
    ChangeSet {
        log: LogId::new(NodeId::new(&unit(), signer(1).public_key().as_bytes()), stream),
        sequence: 0,
        previous: None,
        recorded_at_ms: 1_700_000_000_000,
        units_version: "vn-2024".into(),
        first_id: ChangeId::first(1_700_000_000_000, [5; 6]),
        changes,
    }
}

fn closed() -> ChangeSet {
    set(Stream::Records, vec![change(Body::PeriodClosed(PeriodClosed { month: 202401 }))])
}

fn seal(set: &ChangeSet, signers: &[&dyn Signer]) -> Envelope {
    Envelope::seal(CHANGE_SET_TYPE, &set.encode(), signers).expect("sealed")
}

fn with_parts() -> (ChangeSet, PartSet) {
    let part = |name: &str| IdentityPart { full_name: name.into(), ..Default::default() }.encode().expect("part");
    let parts = PartSet { salts: Salts::Seed([3; 32]), parts: vec![part("An"), part("Bình")] };
    let mut set = closed();
    set.changes = vec![set.changes[0].clone(); 3];
    set.changes[0].identity_commitment = parts.commitments()[0];
    set.changes[2].identity_commitment = parts.commitments()[1];
    (set, parts)
}

fn reason<T>(result: Result<T, Refusal>) -> Option<Reason> {
    result.map_err(|r| r.reason).err()
}

#[test]
fn pae_is_that_of_the_specification() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn what_is_sealed_reads_back_and_opens() {
    let set = closed();
    let sealed = seal(&set, &[&signer(1)]);
    let read = Envelope::decode(sealed.bytes().clone()).expect("own bytes");
    assert_eq!(read, sealed);
    assert_eq!(read.leaf_hash(), crate::merkle::leaf_hash(read.bytes()));
    // No copy: the payload lies in the envelope's memory.
    assert!(read.bytes().as_ptr_range().contains(&read.payload().as_ptr()));
    let opened = open(read, None, signer(1).public_key()).expect("opens");
    assert_eq!(opened.change_set(), &set);
    assert_eq!(opened.signers(), [signer(1).public_key().fingerprint()]);
    assert_eq!(opened.into_inner(), (sealed, set, None));
}

#[test]
fn unknown_keys_wrong_signatures_and_other_types_are_refused() {
    let sealed = seal(&closed(), &[&signer(1)]);
    assert_eq!(reason(open(sealed.clone(), None, signer(2).public_key())), Some(Reason::KeyNotEnrolled));
    let mut forged = sealed;
    forged.signatures[0].1[9] ^= 1;
    assert_eq!(reason(open(forged, None, signer(1).public_key())), Some(Reason::SignatureInvalid));
    let other = Envelope::seal("text/plain", b"xin chao", &[&signer(1)]).expect("sealed");
    assert_eq!(reason(open(other, None, signer(1).public_key())), Some(Reason::EnvelopeTypeUnknown));
    let noise = Envelope::seal(CHANGE_SET_TYPE, &[0xff; 8], &[&signer(1)]).expect("sealed");
    assert_eq!(reason(open(noise, None, signer(1).public_key())), Some(Reason::Malformed));
}

#[test]
fn a_second_key_passes_only_when_the_first_hands_over_to_it() {
    let node = closed().log.node().clone();
    let rekeyed = |key: &SoftwareSigner| {
        let log_public_key = *key.public_key().as_bytes();
        set(
            Stream::Directory,
            vec![change(Body::NodeRekeyed(NodeRekeyed { node: node.clone(), log_public_key, from: vec![] }))],
        )
    };
    let (old, next, stranger) = (signer(1), signer(2), signer(9));
    let good = seal(&rekeyed(&next), &[&old, &next]);
    assert!(good.keyids().is_sorted());
    assert_eq!(open(good.clone(), None, old.public_key()).expect("opens").signers(), good.keyids());
    assert_eq!(reason(open(good.clone(), None, stranger.public_key())), Some(Reason::KeyNotEnrolled));
    let unnamed = seal(&rekeyed(&next), &[&old, &stranger]);
    assert_eq!(reason(open(unnamed, None, old.public_key())), Some(Reason::KeyNotEnrolled));
    let alone = seal(&rekeyed(&next), &[&next]);
    assert_eq!(reason(open(alone, None, old.public_key())), Some(Reason::KeyNotEnrolled));
    let mut forged = good;
    let at = forged.signatures.iter().position(|(key, _)| *key == next.public_key().fingerprint()).expect("signed");
    forged.signatures[at].1[0] ^= 1;
    assert_eq!(reason(open(forged, None, old.public_key())), Some(Reason::SignatureInvalid));
}

#[test]
fn the_genesis_opens_with_its_anchor_only() {
    let genesis = |key: &SoftwareSigner| {
        let log_public_key = *key.public_key().as_bytes();
        let node = NodeId::new(&unit(), signer(1).public_key().as_bytes());
        let genesis = Genesis { node, unit: unit(), log_public_key, trust_domain: "danso.vn".into() };
        set(Stream::Directory, vec![change(Body::Genesis(genesis))])
    };
    let anchor = signer(1).public_key().fingerprint();
    let good = seal(&genesis(&signer(1)), &[&signer(1)]);
    assert_eq!(open_genesis(good.clone(), anchor).expect("opens").change_set(), &genesis(&signer(1)));
    let other = signer(2).public_key().fingerprint();
    assert_eq!(reason(open_genesis(good.clone(), other)), Some(Reason::AnchorMismatch));
    let mut forged = good;
    forged.signatures[0].1[0] ^= 1;
    assert_eq!(reason(open_genesis(forged, anchor)), Some(Reason::SignatureInvalid));
    let other_key = seal(&genesis(&signer(2)), &[&signer(1)]);
    assert_eq!(reason(open_genesis(other_key, anchor)), Some(Reason::AnchorMismatch));
    assert_eq!(reason(open_genesis(seal(&closed(), &[&signer(1)]), anchor)), Some(Reason::AnchorMismatch));
    let mut later = genesis(&signer(1));
    (later.sequence, later.previous) = (1, Some([1; 32]));
    assert_eq!(reason(open_genesis(seal(&later, &[&signer(1)]), anchor)), Some(Reason::Malformed));
}

#[test]
fn parts_are_held_against_their_commitments() {
    let (set, parts) = with_parts();
    let sealed = seal(&set, &[&signer(1)]);
    let check = |parts: &PartSet| reason(open(sealed.clone(), Some(parts.clone()), signer(1).public_key()));
    assert_eq!(check(&parts), None);
    let mut erased = parts.clone();
    erased.erase(0);
    assert_eq!(check(&erased), None);
    let mut swapped = parts.clone();
    swapped.parts.swap(0, 1);
    assert_eq!(check(&swapped), Some(Reason::CommitmentMismatch));
    let mut fewer = parts.clone();
    fewer.parts.pop();
    assert_eq!(check(&fewer), Some(Reason::CommitmentMismatch));
    let other_salt = PartSet { salts: Salts::Seed([4; 32]), ..parts.clone() };
    assert_eq!(check(&other_salt), Some(Reason::CommitmentMismatch));
    let no_salt = PartSet { salts: Salts::Each(vec![[0; 32]; 2]), ..parts };
    assert_eq!(check(&no_salt), Some(Reason::CommitmentMismatch));
}

#[test]
fn answers_open_with_the_key_that_is_asked_for() {
    let envelope = Envelope::seal(ANSWER_TYPE, b"figures", &[&signer(4)]).expect("sealed");
    let read = Envelope::decode_answer(envelope.bytes().clone()).expect("own bytes");
    assert_eq!(open_answer(&read, signer(4).public_key()).expect("opens"), "figures");
    assert_eq!(reason(open_answer(&read, signer(5).public_key())), Some(Reason::KeyNotEnrolled));
    assert_eq!(reason(open_payload(&read, CHANGE_SET_TYPE, signer(4).public_key())), Some(Reason::EnvelopeTypeUnknown));
    let two = Envelope::seal(ANSWER_TYPE, b"figures", &[&signer(4), &signer(5)]).expect("sealed");
    assert_eq!(reason(open_answer(&two, signer(4).public_key())), Some(Reason::Malformed));
}

#[test]
fn an_envelope_has_one_encoding() {
    let sealed = seal(&closed(), &[&signer(1), &signer(2)]);
    let message = pb::Envelope::decode(sealed.bytes().clone()).expect("own bytes");
    let refused = |bytes: Vec<u8>| reason(Envelope::decode(bytes.into()));
    assert_eq!(refused(message.encode_to_vec()), None);
    let mut unknown_field = message.encode_to_vec();
    unknown_field.extend_from_slice(&[0x7a, 0]);
    let mut reordered = message.clone();
    reordered.signatures.reverse();
    let mut twice = message.clone();
    twice.signatures[1] = twice.signatures[0].clone();
    let mut upper = message.clone();
    upper.signatures[0].keyid.make_ascii_uppercase();
    let mut short = message.clone();
    short.signatures[0].sig = Bytes::from_static(&[1; 63]);
    let mut none = message.clone();
    none.signatures.clear();
    let mut three = message.clone();
    three.signatures.push(message.signatures[0].clone());
    let mut no_type = message.clone();
    no_type.payload_type.clear();
    let mut type_first = Vec::new();
    type_first.extend(pb::Envelope { payload: Bytes::new(), ..message.clone() }.encode_to_vec());
    type_first.extend(pb::Envelope { payload: message.payload.clone(), ..Default::default() }.encode_to_vec());
    assert_eq!(refused(unknown_field), Some(Reason::Malformed));
    assert_eq!(refused(type_first), Some(Reason::Malformed));
    for (i, bad) in [reordered, twice, upper, short, none, three, no_type].into_iter().enumerate() {
        assert_eq!(refused(bad.encode_to_vec()), Some(Reason::Malformed), "{i}");
    }
    assert_eq!(refused(vec![0; limits::ENVELOPE_BYTES_MAX + 1]), Some(Reason::TooLarge));
    let large = pb::Envelope { payload: vec![0; limits::PAYLOAD_BYTES_MAX + 1].into(), ..message };
    assert_eq!(refused(large.encode_to_vec()), Some(Reason::TooLarge));
}

#[test]
fn what_cannot_be_sealed_says_why() {
    let one = signer(1);
    assert!(matches!(Envelope::seal("t", b"p", &[]), Err(SealError::Signers(0))));
    assert!(matches!(Envelope::seal("t", b"p", &[&one, &one]), Err(SealError::Signers(2))));
    assert!(matches!(Envelope::seal("t", b"", &[&one]), Err(SealError::TooLarge(0))));
    let large = vec![0; limits::PAYLOAD_BYTES_MAX + 1];
    assert!(matches!(Envelope::seal("t", &large, &[&one]), Err(SealError::TooLarge(_))));
    assert!(Envelope::seal(ANSWER_TYPE, &large, &[&one]).is_ok());
}

#[test]
fn keys_read_back_from_their_file_and_never_print() {
    let key = signer(7);
    let pem = key.to_pkcs8_pem().expect("pem");
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let read = SoftwareSigner::from_pkcs8_pem(&pem).expect("own file");
    assert_eq!(read.public_key(), key.public_key());
    assert!(matches!(SoftwareSigner::from_pkcs8_pem("-----"), Err(SignerError::KeyFile)));
    assert!(format!("{key:?}").starts_with("SoftwareSigner(secret of PublicKey("));
}

#[test]
fn points_that_are_no_good_keys_are_refused() {
    // The neutral element fits forged signatures; p + 1 is another way of writing it; y = 2 is on no curve point.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut unreduced = [0xff; 32];
    (unreduced[0], unreduced[31]) = (0xee, 0x7f);
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    for bad in [neutral, unreduced, off_curve] {
        assert_eq!(reason(PublicKey::new(bad)), Some(Reason::Malformed), "{bad:?}");
    }
    assert_eq!(reason(PublicKey::try_from(&[1u8; 31][..])), Some(Reason::Malformed));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Envelope::decode(bytes.clone().into());
        let _ = PartSet::decode(bytes.into());
    }

    #[test]
    fn any_flipped_bit_is_noticed(bit in any::<prop::sample::Index>()) {
        let (set, parts) = with_parts();
        let mut bytes = seal(&set, &[&signer(1)]).bytes().to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let opened = Envelope::decode(bytes.into()).and_then(|e| open(e, Some(parts), signer(1).public_key()));
        prop_assert!(opened.is_err());
    }
}
