//! Reads the vectors from disk and checks them. Hashes and encodings that a few lines can make are made here once more, so that
//! the vectors do not only say what the code under test says.

use std::collections::HashMap;

use danso_proto::change::ChangeSet;
use danso_proto::checkpoint;
use danso_proto::envelope::{self, CHANGE_SET_TYPE, Envelope, PublicKey, Signer as _, SoftwareSigner};
use danso_proto::identity::{self, IdentityPart, PartSet};
use danso_proto::ids::Fingerprint;
use danso_proto::merkle::{self, Hash};
use danso_proto::refusal::{Reason, Refusal};
use danso_proto::{evidence, package, proof};
use sha2::{Digest as _, Sha256};

use crate::format::*;

/// Compares an outcome with the reason that the vector names.
fn outcome<T>(name: &str, expect: &str, result: Result<T, Refusal>) -> Option<T> {
    let found = result.as_ref().map_or_else(|r| r.reason.code(), |_| "ok");
    let detail = result.as_ref().err().map(ToString::to_string);
    assert_eq!(found, expect, "{name}: {detail:?}");
    assert!(expect == "ok" || Reason::from_code(expect).is_some(), "{name}: {expect} is no reason");
    result.ok()
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

fn hashes(all: &[Hex]) -> Vec<Hash> {
    all.iter().map(Hex::array).collect()
}

#[test]
fn envelopes() {
    let file: EnvelopeFile = load("envelope.json");
    for case in &file.pae {
        let (kind, payload) = (case.payload_type.as_bytes(), &case.payload.0);
        let lengths = [kind.len().to_string(), payload.len().to_string()];
        let expected = [b"DSSEv1", lengths[0].as_bytes(), kind, lengths[1].as_bytes(), &payload[..]].join(&b' ');
        assert_eq!(case.pae.0, expected);
        assert_eq!(envelope::pae(&case.payload_type, payload), expected);
    }
    for case in &file.envelopes {
        let keys: HashMap<Fingerprint, PublicKey> = case
            .keys
            .iter()
            .map(|key| PublicKey::new(key.array()).expect("a key"))
            .map(|key| (key.fingerprint(), key))
            .collect();
        let open = || {
            let envelope = Envelope::decode(case.envelope.0.clone().into())?;
            let parts = match &case.parts.0[..] {
                [] => None,
                bytes => Some(PartSet::decode(bytes.to_vec().into())?),
            };
            match &case.open[..] {
                "genesis" => drop(envelope::open_genesis(envelope.clone(), Fingerprint(case.anchor.array()))?),
                "answer" => drop(envelope::open_answer(&envelope, keys.values().next().expect("one key"))?),
                "change_set" => drop(envelope::open(envelope.clone(), parts, &keys)?),
                other => panic!("{other} is no way to open"),
            }
            Ok(envelope)
        };
        let Some(envelope) = outcome(&case.name, &case.expect, open()) else { continue };
        assert_eq!(envelope.payload_type(), case.payload_type);
        assert_eq!(envelope.payload(), &case.payload.0);
        assert_eq!(envelope.bytes(), &case.envelope.0);
        assert_eq!(envelope.leaf_hash().to_vec(), case.leaf_hash.0);
        assert_eq!(sha256(&[&[0], &case.envelope.0]), case.leaf_hash.0);
        assert_eq!(envelope.keyids().iter().map(ToString::to_string).collect::<Vec<_>>(), case.key_ids);
        // Ed25519 is deterministic: whoever has the secrets makes the same envelope.
        let signers: Vec<_> = case.secrets.iter().map(|s| SoftwareSigner::from_secret(&s.array())).collect();
        let signers: Vec<_> = signers.iter().map(|s| s as &dyn envelope::Signer).collect();
        let sealed = Envelope::seal(&case.payload_type, &case.payload.0, &signers).expect("sealed");
        assert_eq!(sealed, envelope, "{}", case.name);
    }
}

#[test]
fn merkle_trees() {
    let file: MerkleFile = load("merkle.json");
    for leaf in &file.leaves {
        assert_eq!(sha256(&[&[0], &leaf.entry.0]), leaf.leaf_hash.0);
        assert_eq!(merkle::leaf_hash(&leaf.entry.0).to_vec(), leaf.leaf_hash.0);
    }
    let leaves: Vec<Hash> = (0u64..100).map(|i| merkle::leaf_hash(&i.to_be_bytes())).collect();
    for tree in &file.trees {
        assert_eq!(naive_root(&leaves[..tree.size as usize]), tree.root.0, "{}", tree.size);
        let compact = merkle::CompactTree::from_bytes(tree.size, &tree.frontier.0).expect("a frontier");
        assert_eq!(compact.root().to_vec(), tree.root.0);
    }
    let word = |holds: bool| if holds { "ok" } else { "invalid" };
    for c in &file.inclusion {
        let holds =
            merkle::verify_inclusion(c.leaf_hash.array(), c.index, c.size, &hashes(&c.proof), &c.root.array()).is_ok();
        assert_eq!(word(holds), c.expect, "{}", c.name);
    }
    for c in &file.consistency {
        let (old, new) = (c.old_root.array(), c.new_root.array());
        let holds = merkle::verify_consistency(c.old_size, &old, c.new_size, &new, &hashes(&c.proof)).is_ok();
        assert_eq!(word(holds), c.expect, "{}", c.name);
    }
}

fn naive_root(leaves: &[Hash]) -> Vec<u8> {
    match leaves {
        [] => sha256(&[]),
        [leaf] => leaf.to_vec(),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256(&[&[1], &naive_root(left), &naive_root(right)])
        }
    }
}

#[test]
fn checkpoints() {
    let file: CheckpointFile = load("checkpoint.json");
    for case in &file.checkpoints {
        let (signer, key) = (case.signer.parse().expect("node"), PublicKey::new(case.key.array()).expect("key"));
        let verified = checkpoint::parse(&case.note).and_then(|note| note.verify(&signer, &key));
        let Some(head) = outcome(&case.name, &case.expect, verified) else { continue };
        assert_eq!((head.log.to_string(), head.size), (case.log.clone(), case.size));
        assert_eq!(head.root.to_vec(), case.root.0);
    }
    for case in &file.receipts {
        let (giver, key) = (case.giver.parse().expect("node"), PublicKey::new(case.key.array()).expect("key"));
        let note = checkpoint::parse(&case.note).expect("a note");
        let verified = checkpoint::verify_cosignature(&note, &giver, &key);
        if let Some(time_s) = outcome(&case.name, &case.expect, verified) {
            assert_eq!(time_s, case.time_s, "{}", case.name);
        }
    }
}

#[test]
fn identity_parts() {
    let file: IdentityFile = load("identity.json");
    for case in &file.salts {
        let salt = sha256(&[b"danso/salt/v1", &case.seed.0, &case.index.to_be_bytes()]);
        assert_eq!(salt, case.salt.0);
        assert_eq!(identity::derive_salt(&case.seed.array(), case.index).to_vec(), case.salt.0);
    }
    for case in &file.commitments {
        assert_eq!(sha256(&[b"danso/identity/v1", &case.salt.0, &case.part.0]), case.commitment.0);
        assert_eq!(identity::commitment(&case.salt.array(), &case.part.0).to_vec(), case.commitment.0);
        let part = IdentityPart::decode(&case.part.0).expect("a part");
        assert_eq!((part.full_name, part.birth_date), (case.full_name.clone(), case.birth_date));
    }
    for case in &file.sets {
        let Some(set) = outcome(&case.name, &case.expect, PartSet::decode(case.set.0.clone().into())) else { continue };
        let found: Vec<Hex> = set.commitments().into_iter().map(|c| c.map(Hex::from).unwrap_or_default()).collect();
        assert_eq!(found, case.commitments, "{}", case.name);
        assert_eq!(set.encode(), case.set.0, "{}", case.name);
    }
}

#[test]
fn change_sets() {
    let file: ChangeSetFile = load("change_set.json");
    for case in &file.change_sets {
        let Some(set) = outcome(&case.name, &case.expect, ChangeSet::decode(&case.payload.0)) else { continue };
        assert_eq!(set.log.to_string(), case.log);
        assert_eq!((set.sequence, set.recorded_at_ms), (case.sequence, case.recorded_at_ms));
        assert_eq!(set.previous.map(Hex::from).unwrap_or_default(), case.previous);
        assert_eq!(set.units_version, case.units_version);
        assert_eq!(set.ids().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), case.ids);
        assert_eq!(set.changes.iter().map(|c| c.body.kind().to_owned()).collect::<Vec<_>>(), case.kinds);
        let commitments: Vec<Hex> = set.changes.iter().filter_map(|c| c.identity_commitment).map(Hex::from).collect();
        assert_eq!(commitments, case.commitments);
        if !case.name.contains("of the future") {
            assert_eq!(set.encode(), case.payload.0, "{}: authors write these very bytes", case.name);
        }
    }
}

#[test]
fn every_kind_has_a_vector() {
    let file: ChangeSetFile = load("change_set.json");
    for body in crate::sets::bodies() {
        assert!(
            file.change_sets.iter().any(|case| case.kinds.iter().any(|kind| kind == body.kind())),
            "{}",
            body.kind()
        );
    }
    // One more than the kinds: `unknown`.
    let kinds: std::collections::BTreeSet<_> = file.change_sets.iter().flat_map(|case| &case.kinds).collect();
    assert_eq!(kinds.len(), 25 + 1);
}

#[test]
fn packages() {
    let file: PackageFile = load("package.json");
    for case in &file.packages {
        let Some(package) = outcome(&case.name, &case.expect, package::decode(&case.package.0)) else { continue };
        assert_eq!((package.log.to_string(), package.first), (case.log.clone(), case.first));
        assert_eq!(package.checkpoint.clone().unwrap_or_default(), case.checkpoint);
        let entries: Vec<EntryCase> = package
            .entries
            .iter()
            .map(|e| EntryCase {
                envelope: (&e.envelope).into(),
                parts: e.parts.as_ref().map(|p| p.encode().into()).unwrap_or_default(),
            })
            .collect();
        assert_eq!(entries, case.entries, "{}", case.name);
        for level in [1, package::PACKAGE_ZSTD_LEVEL, 19] {
            assert_eq!(package::decode(&package::encode(&package, level)), Ok(package.clone()), "{}", case.name);
        }
    }
}

#[test]
fn proofs() {
    let file: ProofFileFile = load("proof.json");
    for case in &file.proofs {
        let checked = proof::check(&case.file.0, &Fingerprint(case.anchor.array()));
        let Some(proven) = outcome(&case.name, &case.expect, checked) else { continue };
        assert_eq!((proven.log.to_string(), proven.sequence), (case.log.clone(), case.sequence));
        assert_eq!((proven.size, proven.root.to_vec()), (case.size, case.root.0.clone()));
        assert_eq!(proven.leaf_hash.to_vec(), case.leaf_hash.0);
        let receipts = proven.receipts.iter().map(|(g, t)| Receipt { giver: g.to_string(), time_s: *t });
        assert_eq!(receipts.collect::<Vec<_>>(), case.receipts);
        assert_eq!(proven.unchecked.iter().map(ToString::to_string).collect::<Vec<_>>(), case.unchecked);
        assert_eq!(proven.chain.iter().map(ToString::to_string).collect::<Vec<_>>(), case.chain);
    }
}

#[test]
fn evidence_files() {
    let file: EvidenceFileFile = load("evidence.json");
    for case in &file.evidence {
        let checked = evidence::check(&case.file.0, &Fingerprint(case.anchor.array()));
        let Some(proven) = outcome(&case.name, &case.expect, checked) else { continue };
        let found = &proven.contradicted;
        assert_eq!((found.log.to_string(), found.kind.as_str().to_owned()), (case.log.clone(), case.kind.clone()));
        assert_eq!((found.ours.size, found.theirs.size), (case.ours_size, case.theirs_size), "{}", case.name);
        assert_eq!((found.differ, found.agree), (case.differ, case.agree), "{}", case.name);
        assert_eq!(proven.digest.to_vec(), case.digest.0, "{}", case.name);
        assert_eq!(proven.chain.iter().map(ToString::to_string).collect::<Vec<_>>(), case.chain);
        // The digest is that of the last field of the file, whose length and tag stand before it.
        let kept = evidence::EvidenceFile::decode(&case.file.0).expect("it was checked").contradiction.encode();
        assert!(case.file.0.ends_with(&kept) && sha256(&[&kept]) == case.digest.0, "{}", case.name);
    }
}

#[test]
fn the_keys_of_the_vectors_are_those_of_the_readme() {
    let key = SoftwareSigner::from_secret(&[1; 32]);
    let anchor = key.public_key().fingerprint().to_string();
    let readme = std::fs::read_to_string(path("README.md")).expect("README.md is there");
    assert!(readme.contains(&anchor), "{anchor}");
    assert!(readme.contains(CHANGE_SET_TYPE));
}
