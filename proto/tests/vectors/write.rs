//! Makes the vectors of what is signed. Every test here compares one file.

use danso_proto::checkpoint::{self, Checkpoint, SignedNote};
use danso_proto::envelope::{ANSWER_TYPE, CHANGE_SET_TYPE, Envelope, Signer, pae};
use danso_proto::ids::{ChangeId, Stream};
use danso_proto::limits;
use danso_proto::merkle::{self, CompactTree, Hash};
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::Reason;
use prost::Message as _;
use serde::Serialize;

use crate::format::*;
use crate::sets;
use crate::world::*;

pub fn golden<T: Serialize>(file: &str, vectors: &T) {
    let mut text = serde_json::to_string_pretty(vectors).expect("vectors are JSON");
    text.push('\n');
    if std::env::var_os("DANSO_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(path(file), &text).expect("vector file can be written");
    }
    let found = std::fs::read_to_string(path(file)).unwrap_or_default();
    assert!(found == text, "{file} differs from what the code makes; see proto/vectors/README.md before you bless it");
}

pub fn expect(reason: Option<Reason>) -> String {
    reason.map_or("ok", Reason::code).to_owned()
}

fn hexes<T: AsRef<[u8]>>(all: &[T]) -> Vec<Hex> {
    all.iter().map(Hex::from).collect()
}

#[test]
fn envelopes() {
    let pae =
        [("http://example.com/HelloWorld", &b"hello world"[..]), ("t", b""), (CHANGE_SET_TYPE, "dân số".as_bytes())]
            .map(|(payload_type, payload)| Pae {
                payload_type: payload_type.into(),
                payload: payload.into(),
                pae: pae(payload_type, payload).into(),
            })
            .to_vec();
    let (commune, next, stranger) = (commune(), Node::new("17065", 5), Node::new("38", 9));
    let set = set(commune.log(Stream::Records), 3, vec![change(&commune.unit, closed(1))]);
    let good = seal(&set, &[&commune.key]);
    let message = pb::Envelope::decode(good.bytes().clone()).expect("own bytes");
    let mut envelopes = Vec::new();
    let case = |name: &str, reason: Option<Reason>, open: &str, bytes: &[u8], nodes: &[&Node]| EnvelopeCase {
        name: name.into(),
        expect: expect(reason),
        open: open.into(),
        envelope: bytes.into(),
        keys: nodes.iter().map(|n| Hex::from(n.public())).collect(),
        ..Default::default()
    };
    let with = |mut case: EnvelopeCase, envelope: &Envelope, nodes: &[&Node]| {
        case.payload_type = envelope.payload_type().into();
        case.payload = envelope.payload().into();
        case.leaf_hash = envelope.leaf_hash().into();
        case.key_ids = envelope.keyids().iter().map(ToString::to_string).collect();
        case.secrets = nodes.iter().map(|n| Hex::from(n.secret)).collect();
        case
    };
    envelopes.push(with(case("a change set", None, "change_set", good.bytes(), &[&commune]), &good, &[&commune]));

    let rekeyed = sets::bodies().into_iter().find(|b| b.kind() == "node_rekeyed").expect("all kinds");
    let mut rekeying = set.clone();
    (rekeying.log, rekeying.changes[0].body) = (commune.log(Stream::Directory), rekeyed);
    let both = seal(&rekeying, &[&commune.key, &next.key]);
    let name = "two signatures: the old key hands over to the new one";
    envelopes.push(with(case(name, None, "change_set", both.bytes(), &[&commune]), &both, &[&commune, &next]));
    let other = seal(&rekeying, &[&commune.key, &stranger.key]);
    let name = "a second key that the set does not name";
    envelopes.push(case(name, Some(Reason::KeyNotEnrolled), "change_set", other.bytes(), &[&commune]));

    let (with_parts, parts) = set_with_parts(3);
    let sealed = seal(&with_parts, &[&commune.key]);
    let on_parts = |name: &str, reason: Option<Reason>, set: &danso_proto::identity::PartSet| {
        let mut case = case(name, reason, "change_set", sealed.bytes(), &[&commune]);
        case.parts = set.encode().into();
        if reason.is_none() { with(case, &sealed, &[&commune]) } else { case }
    };
    envelopes.push(on_parts("with all its identity parts", None, &parts));
    let mut erased = parts.clone();
    erased.erase(1);
    envelopes.push(on_parts("with an erased identity part", None, &erased));
    let mut changed = parts.clone();
    changed.parts[2] = part("Giàng A Pao", 20010000).encode().expect("part");
    let mismatch = Some(Reason::CommitmentMismatch);
    envelopes.push(on_parts("an identity part with another name", mismatch, &changed));
    let mut swapped = parts.clone();
    swapped.parts.swap(0, 2);
    envelopes.push(on_parts("identity parts in another order", mismatch, &swapped));
    let mut fewer = parts.clone();
    fewer.parts.pop();
    envelopes.push(on_parts("an identity part missing at the end", mismatch, &fewer));

    let central = central();
    let mut first = set.clone();
    (first.log, first.sequence, first.previous) = (central.log(Stream::Directory), 0, None);
    first.changes[0] = change(&central.unit, central.genesis());
    let genesis = seal(&first, &[&central.key]);
    let genesis_case = |name: &str, reason, bytes: &[u8], anchor: &Node| {
        let mut case = case(name, reason, "genesis", bytes, &[]);
        case.anchor = anchor.key.public_key().fingerprint().0.into();
        case
    };
    let case_of_genesis = genesis_case("the genesis", None, genesis.bytes(), &central);
    envelopes.push(with(case_of_genesis, &genesis, &[&central]));
    let other_anchor = Some(Reason::AnchorMismatch);
    envelopes.push(genesis_case("the genesis of another federation", other_anchor, genesis.bytes(), &stranger));
    envelopes.push(genesis_case("a first entry without genesis", other_anchor, good.bytes(), &commune));
    let mut claimed = first.clone();
    claimed.changes[0].body = stranger.genesis();
    let claimed = seal(&claimed, &[&central.key]);
    envelopes.push(genesis_case("a genesis with another key", other_anchor, claimed.bytes(), &central));
    let mut late = first;
    (late.sequence, late.previous) = (1, Some([0xaa; 32]));
    let late = seal(&late, &[&central.key]);
    envelopes.push(genesis_case(
        "a genesis that is not the first entry",
        Some(Reason::Malformed),
        late.bytes(),
        &central,
    ));

    let answer = Envelope::seal(ANSWER_TYPE, b"an encoded Answer", &[&commune.key]).expect("sealed");
    envelopes.push(with(case("an answer", None, "answer", answer.bytes(), &[&commune]), &answer, &[&commune]));
    let unknown = Some(Reason::EnvelopeTypeUnknown);
    envelopes.push(case(
        "an answer where a change set is expected",
        unknown,
        "change_set",
        answer.bytes(),
        &[&commune],
    ));
    envelopes.push(case("a change set where an answer is expected", unknown, "answer", good.bytes(), &[&commune]));

    let broken = |name: &str, reason: Reason, edit: &dyn Fn(&mut pb::Envelope)| {
        let mut message = message.clone();
        edit(&mut message);
        case(name, Some(reason), "change_set", &message.encode_to_vec(), &[&commune])
    };
    let sig = |m: &mut pb::Envelope, edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = m.signatures[0].sig.to_vec();
        edit(&mut bytes);
        m.signatures[0].sig = bytes.into();
    };
    let flip_payload = |m: &mut pb::Envelope| {
        let mut bytes = m.payload.to_vec();
        bytes[80] ^= 1;
        m.payload = bytes.into();
    };
    envelopes.extend([
        case("an unknown key", Some(Reason::KeyNotEnrolled), "change_set", good.bytes(), &[&stranger]),
        broken("another signature", Reason::SignatureInvalid, &|m| sig(m, &|s| s[0] ^= 1)),
        broken("another payload", Reason::SignatureInvalid, &flip_payload),
        broken("another type", Reason::SignatureInvalid, &|m| m.payload_type = ANSWER_TYPE.into()),
        // S + L fits the equation as S does; only the smaller one is a signature (RFC 8032, section 5.1.7).
        broken("a signature with S not reduced", Reason::SignatureInvalid, &|m| {
            sig(m, &|s| add_group_order(&mut s[32..]))
        }),
        broken("a signature of 63 bytes", Reason::Malformed, &|m| sig(m, &|s| s.truncate(63))),
        broken("an upper-case key id", Reason::Malformed, &|m| m.signatures[0].keyid.make_ascii_uppercase()),
        broken("no signature", Reason::Malformed, &|m| m.signatures.clear()),
        broken("the same signature twice", Reason::Malformed, &|m| m.signatures.push(m.signatures[0].clone())),
        broken("no payload type", Reason::Malformed, &|m| m.payload_type.clear()),
        broken("no payload", Reason::Malformed, &|m| m.payload.clear()),
    ]);
    let garbage = Envelope::seal(CHANGE_SET_TYPE, &[0xff; 9], &[&commune.key]).expect("sealed");
    let mut reversed = pb::Envelope::decode(both.bytes().clone()).expect("own bytes");
    reversed.signatures.reverse();
    let extra = [&good.bytes()[..], &[0x7a, 0]].concat();
    let long_length = [&[0x0a, good.bytes()[1], 0x81, 0x00][..], &good.bytes()[3..]].concat();
    let malformed = |name: &str, bytes: &[u8]| case(name, Some(Reason::Malformed), "change_set", bytes, &[&commune]);
    envelopes.extend([
        malformed("a signed payload that is no change set", garbage.bytes()),
        malformed("signatures in another order", &reversed.encode_to_vec()),
        malformed("a field that no envelope has", &extra),
        malformed("a length in more bytes than it needs", &long_length),
        malformed("cut short", &good.bytes()[..good.bytes().len() - 1]),
        malformed("nothing", &[]),
    ]);
    golden("envelope.json", &EnvelopeFile { pae, envelopes });
}

/// Adds L = 2^252 + 27742317777372353535851937790883648493, little-endian.
fn add_group_order(s: &mut [u8]) {
    const L: u128 = 27_742_317_777_372_353_535_851_937_790_883_648_493;
    let mut order = [0; 32];
    order[..16].copy_from_slice(&L.to_le_bytes());
    order[31] = 0x10;
    let mut carry = 0u16;
    for (byte, add) in s.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
}

#[test]
fn merkle_trees() {
    let leaves: Vec<Leaf> = [&b""[..], &[0], b"L123456", &[0xff; 64]]
        .map(|entry| Leaf { entry: entry.into(), leaf_hash: merkle::leaf_hash(entry).into() })
        .to_vec();
    let all: Vec<Hash> = (0u64..70).map(|i| merkle::leaf_hash(&i.to_be_bytes())).collect();
    let mut tree = CompactTree::default();
    let mut trees = vec![Tree { size: 0, frontier: tree.to_bytes().into(), root: tree.root().into() }];
    for leaf in &all {
        tree.push(*leaf);
        trees.push(Tree { size: tree.size(), frontier: tree.to_bytes().into(), root: tree.root().into() });
    }
    let included = |name: &str, size: usize, index: usize| Inclusion {
        name: name.into(),
        expect: "ok".into(),
        leaf_hash: all[index].into(),
        index: index as u64,
        size: size as u64,
        root: merkle::root(&all[..size]).into(),
        proof: hexes(&merkle::inclusion_proof(&all[..size], index).expect("leaf is there")),
    };
    let mut inclusion: Vec<_> =
        [(1, 0), (2, 1), (3, 2), (5, 0), (7, 3), (7, 6), (8, 7), (33, 32), (70, 0), (70, 41), (70, 69)]
            .map(|(size, index)| included(&format!("entry {index} of {size}"), size, index))
            .to_vec();
    let broken = |name: &str, edit: &dyn Fn(&mut Inclusion)| {
        let mut case = included(name, 7, 3);
        case.expect = "invalid".into();
        edit(&mut case);
        case
    };
    inclusion.extend([
        broken("another leaf", &|c| c.leaf_hash.0[31] ^= 1),
        broken("another root", &|c| c.root.0[0] ^= 0x80),
        broken("another index", &|c| c.index = 2),
        broken("an index outside", &|c| c.index = 7),
        broken("a size of another path", &|c| c.size = 4),
        broken("an empty tree", &|c| c.size = 0),
        broken("a flipped bit", &|c| c.proof[1].0[5] ^= 4),
        broken("two hashes swapped", &|c| c.proof.swap(0, 1)),
        broken("a hash missing", &|c| drop(c.proof.pop())),
        broken("a hash too many", &|c| c.proof.push(c.root.clone())),
    ]);
    let consistent = |name: &str, old: usize, new: usize| Consistency {
        name: name.into(),
        expect: "ok".into(),
        old_size: old as u64,
        old_root: merkle::root(&all[..old]).into(),
        new_size: new as u64,
        new_root: merkle::root(&all[..new]).into(),
        proof: hexes(&merkle::consistency_proof(&all[..new], old).expect("no more than there are")),
    };
    let pairs =
        [(0, 0), (0, 5), (1, 1), (1, 2), (2, 3), (3, 7), (4, 7), (6, 7), (7, 8), (8, 8), (32, 70), (41, 70), (64, 65)];
    let mut consistency: Vec<_> =
        pairs.map(|(old, new)| consistent(&format!("from {old} to {new}"), old, new)).to_vec();
    let broken = |name: &str, edit: &dyn Fn(&mut Consistency)| {
        let mut case = consistent(name, 3, 7);
        case.expect = "invalid".into();
        edit(&mut case);
        case
    };
    consistency.extend([
        broken("another old root", &|c| c.old_root.0[0] ^= 1),
        broken("another new root", &|c| c.new_root.0[0] ^= 1),
        broken("another old size", &|c| c.old_size = 2),
        broken("sizes the wrong way round", &|c| {
            (c.old_size, c.new_size) = (7, 3);
            std::mem::swap(&mut c.old_root, &mut c.new_root);
        }),
        broken("a flipped bit", &|c| c.proof[0].0[9] ^= 1),
        broken("no proof", &|c| c.proof.clear()),
        broken("a hash too many", &|c| c.proof.push(c.new_root.clone())),
        broken("from nothing, with another empty root", &|c| (c.old_size, c.proof) = (0, vec![])),
        broken("the same size with another root: a fork", &|c| (c.old_size, c.proof) = (7, vec![])),
    ]);
    golden("merkle.json", &MerkleFile { leaves, trees, inclusion, consistency });
}

fn note(text: &str) -> SignedNote {
    checkpoint::parse(text).expect("own note")
}

#[test]
fn checkpoints() {
    let (commune, district, province) = (commune(), district(), province());
    let log = commune.log(Stream::Records);
    let head = Checkpoint { log: log.clone(), size: 42, root: [0x77; 32] };
    let empty = Checkpoint { log: log.clone(), size: 0, root: merkle::empty_root() };
    let sign = |head: &Checkpoint, node: &Node| checkpoint::sign(head, &node.key).expect("signs");
    let good = sign(&head, &commune);
    let case = |name: &str, head: Option<&Checkpoint>, note: &str, signer: &Node| CheckpointCase {
        name: name.into(),
        expect: expect(head.is_none().then_some(Reason::CheckpointInvalid)),
        note: note.into(),
        signer: signer.id.to_string(),
        key: signer.public().into(),
        log: head.map(|h| h.log.to_string()).unwrap_or_default(),
        size: head.map_or(0, |h| h.size),
        root: head.map(|h| Hex::from(h.root)).unwrap_or_default(),
    };
    let cosigned =
        |text: &str, giver: &Node, time| checkpoint::cosign(&note(text), &giver.id, &giver.key, time).expect("signs");
    let one = cosigned(&good, &district, 1_767_225_601);
    let two = cosigned(&one, &province, 1_767_225_602);
    let edited = |old: &str, new: &str| {
        let text = good.replacen(old, new, 1);
        assert_ne!(text, good, "{old}");
        text
    };
    let root = head.body().lines().nth(2).expect("root").to_owned();
    let mut checkpoints = vec![
        case("a checkpoint", Some(&head), &good, &commune),
        case("of an empty log", Some(&empty), &sign(&empty, &commune), &commune),
        case("with receipts", Some(&head), &two, &commune),
        case("with a line of somebody unknown", Some(&head), &format!("{good}— example.com/x AAAAAAAA\n"), &commune),
        case("signed by another node", None, &sign(&head, &district), &commune),
        case("signed by another node in its own name", None, &sign(&head, &district), &district),
        case(
            "of an empty log with another root",
            None,
            &sign(&Checkpoint { root: [0; 32], ..empty }, &commune),
            &commune,
        ),
        case("without signature", None, &format!("{}\n", head.body()), &commune),
        case("without the last newline", None, &good[..good.len() - 1], &commune),
    ];
    let edits = [
        ("another size", "\n42\n", "\n43\n"),
        ("another log", "/records", "/directory"),
        ("a size with a leading zero", "\n42\n", "\n042\n"),
        ("a size with a sign", "\n42\n", "\n+42\n"),
        ("an origin of somebody else", "danso/", "other/"),
        ("a root of 30 bytes", &root, &root[4..]),
        ("a root in URL-safe base64", &root, "____________________________________________"),
        ("a control character", "\n42\n", "\n42\r\n"),
        ("a hyphen for the dash", "— ", "- "),
        ("two spaces before the signature", &format!("{} ", commune.id), &format!("{}  ", commune.id)),
    ];
    checkpoints.extend(edits.map(|(name, old, new)| case(name, None, &edited(old, new), &commune)));
    let mut large = good.clone();
    while large.len() <= limits::NOTE_BYTES_MAX {
        large.push_str("— example.com/x AAAAAAAA\n");
    }
    let mut over = case("8 KiB and more", None, &large, &commune);
    over.expect = expect(Some(Reason::TooLarge));
    checkpoints.push(over);

    let receipt = |name: &str, time_s: Option<u64>, note: &str, giver: &Node| ReceiptCase {
        name: name.into(),
        expect: expect(time_s.is_none().then_some(Reason::ReceiptInvalid)),
        note: note.into(),
        giver: giver.id.to_string(),
        key: giver.public().into(),
        time_s: time_s.unwrap_or_default(),
    };
    let again = cosigned(&two, &district, 1_767_225_900);
    let second = |text: &str| text.lines().rfind(|l| l.starts_with('—')).expect("a line").to_owned();
    let receipts = vec![
        receipt("one receipt", Some(1_767_225_601), &one, &district),
        receipt("the first of two", Some(1_767_225_601), &two, &district),
        receipt("the second of two", Some(1_767_225_602), &two, &province),
        receipt("a later one replaces the earlier", Some(1_767_225_900), &again, &district),
        receipt("no receipt", None, &good, &district),
        receipt("of another giver", None, &one, &province),
        receipt("for another size", None, &one.replacen("\n42\n", "\n41\n", 1), &district),
        receipt(
            "two of the same giver",
            None,
            &format!("{one}{}\n", second(&cosigned(&good, &district, 5))),
            &district,
        ),
        receipt(
            "signed with another key",
            None,
            &{
                let forged = Node { id: district.id.clone(), ..Node::new("420", 9) };
                cosigned(&good, &forged, 1)
            },
            &district,
        ),
    ];
    golden("checkpoint.json", &CheckpointFile { checkpoints, receipts });
}

#[test]
fn change_sets() {
    let change_sets = sets::cases()
        .into_iter()
        .map(|(name, payload, reason)| {
            let mut case =
                ChangeSetCase { name, expect: expect(reason), payload: payload.clone().into(), ..Default::default() };
            if reason.is_none() {
                let set = danso_proto::change::ChangeSet::decode(&payload).expect("good set");
                case.ids = set.ids().map(|(id, _): (ChangeId, _)| id.to_string()).collect();
                case.kinds = set.changes.iter().map(|c| c.body.kind().to_owned()).collect();
                case.commitments = set.changes.iter().filter_map(|c| c.identity_commitment).map(Hex::from).collect();
                case.previous = set.previous.map(Hex::from).unwrap_or_default();
                (case.log, case.sequence) = (set.log.to_string(), set.sequence);
                (case.recorded_at_ms, case.units_version) = (set.recorded_at_ms, set.units_version);
            }
            case
        })
        .collect();
    golden("change_set.json", &ChangeSetFile { change_sets });
}
