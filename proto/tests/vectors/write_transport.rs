//! Makes the vectors of what travels beside and around envelopes: identity parts, packages, proof files.

use bytes::Bytes;
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::envelope::Envelope;
use danso_proto::identity::{PartSet, Salts, commitment, derive_salt};
use danso_proto::ids::Stream;
use danso_proto::limits;
use danso_proto::merkle;
use danso_proto::package::SealedEntry;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::proof::{self, MAGIC, ProofFile, ProvenEntry, ProvenHead};
use danso_proto::refusal::Reason;
use prost::Message as _;

use crate::format::*;
use crate::sets;
use crate::world::*;
use crate::write::{expect, golden};

#[test]
fn identity() {
    let seeds = [[0; 32], [0x5e; 32], [0xff; 32]];
    let salts = seeds.iter().flat_map(|seed| {
        [0, 1, 999, u32::MAX].map(|index| Salt { seed: seed.into(), index, salt: derive_salt(seed, index).into() })
    });
    let commitments =
        [("Nguyễn Thị An", 19860204), ("Trai", 20250103), ("Giàng A Páo", 20010000)].map(|(name, birth_date)| {
            let (salt, part) = (derive_salt(&seeds[1], birth_date), part(name, birth_date).encode().expect("part"));
            Commitment {
                salt: salt.into(),
                part: (&part).into(),
                full_name: name.into(),
                birth_date,
                commitment: commitment(&salt, &part).into(),
            }
        });
    let good = |name: &str, set: &PartSet| SetCase {
        name: name.into(),
        expect: "ok".into(),
        set: set.encode().into(),
        commitments: set.commitments().into_iter().map(|c| c.map(Hex::from).unwrap_or_default()).collect(),
    };
    let whole = parts();
    let mut erased = parts();
    erased.erase(1);
    let mut all_erased = erased.clone();
    all_erased.erase(0);
    all_erased.erase(2);
    let each = PartSet { salts: Salts::Each(vec![[1; 32], [2; 32], [3; 32]]), ..parts() };
    let base = whole.encode();
    let broken = |name: &str, reason: Reason, edit: &dyn Fn(&mut pb::IdentityParts)| {
        let mut set = pb::IdentityParts::decode(base.clone()).expect("own bytes");
        edit(&mut set);
        SetCase {
            name: name.into(),
            expect: expect(Some(reason)),
            set: set.encode_to_vec().into(),
            ..Default::default()
        }
    };
    let salts_for = |n: usize| Bytes::from(vec![9; 32 * n]);
    let sets = vec![
        good("three parts from one seed", &whole),
        good("one of three erased", &erased),
        good("all erased", &all_erased),
        good("salts of their own", &each),
        broken("no parts", Reason::TooLarge, &|s| s.parts.clear()),
        broken("1,001 parts", Reason::Malformed, &|s| s.parts = vec![Bytes::from_static(b"a"); 1001]),
        broken("a part of 4 KiB and a byte", Reason::TooLarge, &|s| s.parts[0] = vec![7; 4097].into()),
        broken("a seed of 31 bytes", Reason::Malformed, &|s| s.seed = s.seed.slice(1..)),
        broken("no salts", Reason::Malformed, &|s| s.seed.clear()),
        broken("seed and salts", Reason::Malformed, &|s| s.salts = salts_for(3)),
        broken("a salt too few", Reason::Malformed, &|s| (s.seed, s.salts) = (Bytes::new(), salts_for(2))),
        broken("a part withheld and its seed given away", Reason::Malformed, &|s| s.parts[1].clear()),
        broken("a part withheld and its salt given away", Reason::Malformed, &|s| {
            (s.seed, s.salts) = (Bytes::new(), salts_for(3));
            s.parts[1].clear();
        }),
        broken("a part without its salt", Reason::Malformed, &|s| {
            let salts = [&[1; 32], &[0; 32], &[3; 32]].map(|s: &[u8; 32]| *s).concat();
            (s.seed, s.salts) = (Bytes::new(), salts.into());
        }),
    ];
    golden("identity.json", &IdentityFile { salts: salts.collect(), commitments: commitments.to_vec(), sets });
}

fn entry_pb(entry: &SealedEntry, commitments: Option<&[u8]>) -> pb::SealedEntry {
    let identity = entry.parts.as_ref().map(|p| pb::IdentityParts::decode(p.encode()).expect("own bytes"));
    let at = commitments.and_then(|run| entry.envelope.windows(run.len()).position(|w| w == run));
    let envelope = match (at, commitments) {
        (Some(at), Some(run)) => pb::sealed_entry::Envelope::Elided(pb::ElidedEnvelope {
            head: entry.envelope.slice(..at),
            tail: entry.envelope.slice(at + run.len()..),
        }),
        _ => pb::sealed_entry::Envelope::Verbatim(entry.envelope.clone()),
    };
    pb::SealedEntry { envelope: Some(envelope), identity }
}

#[test]
fn packages() {
    let commune = commune();
    let log = commune.log(Stream::Records);
    let (set, parts) = set_with_parts(7);
    let run: Vec<u8> = parts.commitments().into_iter().flatten().flatten().collect();
    let envelope = seal(&set, &[&commune.key]).bytes().clone();
    let whole = SealedEntry { envelope: envelope.clone(), parts: Some(parts.clone()) };
    let withheld = SealedEntry { envelope: envelope.clone(), parts: None };
    let mut erased = whole.clone();
    erased.parts.as_mut().expect("has parts").erase(2);
    let plain = set_at(8);
    let head = Checkpoint { log: log.clone(), size: 9, root: [0x77; 32] };
    let note = checkpoint::sign(&head, &commune.key).expect("signs");
    let message = |entries: Vec<pb::SealedEntry>| pb::Package {
        log: log.to_string(),
        first: 7,
        entries,
        checkpoint: note.clone(),
    };
    let good = |name: &str, message: pb::Package, declare: bool, entries: &[&SealedEntry]| PackageCase {
        name: name.into(),
        expect: "ok".into(),
        package: zstd_frame(&message.encode_to_vec(), 0, declare).into(),
        log: message.log,
        first: message.first,
        checkpoint: message.checkpoint,
        entries: entries
            .iter()
            .map(|e| EntryCase {
                envelope: (&e.envelope).into(),
                parts: e.parts.as_ref().map(|p| p.encode().into()).unwrap_or_default(),
            })
            .collect(),
    };
    let cut = entry_pb(&whole, Some(&run));
    let two = [&whole, &plain];
    let no_note = pb::Package { checkpoint: String::new(), ..message(vec![entry_pb(&plain, None)]) };
    let mut packages = vec![
        good("verbatim with parts", message(vec![entry_pb(&whole, None)]), true, &[&whole]),
        good("commitments cut out", message(vec![cut.clone()]), true, &[&whole]),
        good("without declared size", message(vec![cut.clone()]), false, &[&whole]),
        good("parts withheld", message(vec![entry_pb(&withheld, None)]), true, &[&withheld]),
        good("one part erased", message(vec![entry_pb(&erased, None)]), true, &[&erased]),
        good("two entries", message(vec![cut.clone(), entry_pb(&plain, None)]), true, &two),
        good("no checkpoint", no_note, true, &[&plain]),
    ];
    let raw = |name: &str, reason: Reason, bytes: &[u8]| PackageCase {
        name: name.into(),
        expect: expect(Some(reason)),
        package: bytes.into(),
        ..Default::default()
    };
    let broken = |name: &str, reason: Reason, edit: &dyn Fn(&mut pb::Package)| {
        let mut message = message(vec![cut.clone()]);
        edit(&mut message);
        raw(name, reason, &zstd_frame(&message.encode_to_vec(), 0, true))
    };
    const MAX: usize = limits::PACKAGE_INFLATED_MAX;
    let frame = zstd_frame(&message(vec![cut.clone()]).encode_to_vec(), 0, true);
    // Field 3 of the package, an entry, with field 1, an envelope of so many zero bytes: almost all of it in RLE blocks.
    let large = |field: &[u8], size: usize| {
        let mut length = Vec::new();
        prost::encode_length_delimiter(size, &mut length).expect("in memory");
        let inner = [&[0x0a][..], &length].concat();
        let mut outer = vec![0x1a];
        prost::encode_length_delimiter(inner.len() + size, &mut outer).expect("in memory");
        zstd_frame(&[field, &outer, &inner].concat(), size, true)
    };
    let log_field = pb::Package { log: log.to_string(), ..Default::default() }.encode_to_vec();
    let many_parts = pb::IdentityParts { parts: vec![Bytes::from_static(b"a"); 1001], ..Default::default() };
    packages.extend([
        raw("a bomb that says how far it inflates", Reason::InflatesTooFar, &zstd_frame(&[], MAX + 1, true)),
        raw("a bomb that does not say", Reason::InflatesTooFar, &zstd_frame(&[], MAX + 1, false)),
        raw("as far as it may, but no package", Reason::Malformed, &zstd_frame(&[], MAX, true)),
        raw("not zstd", Reason::Malformed, b"not a zstd frame"),
        raw("nothing", Reason::Malformed, &[]),
        raw("cut short", Reason::Malformed, &frame[..frame.len() - 1]),
        raw("a byte behind the frame", Reason::Malformed, &[&frame[..], &[0]].concat()),
        raw("two frames", Reason::Malformed, &[&frame[..], &frame].concat()),
        raw("a window over 4 MiB", Reason::Malformed, &{
            let mut frame = zstd_frame(&[1], 0, false);
            frame[5] = 13 << 3;
            frame
        }),
        raw("an envelope over its bound", Reason::TooLarge, &large(&log_field, limits::ENVELOPE_BYTES_MAX + 1)),
        broken("no entries", Reason::Malformed, &|m| m.entries.clear()),
        broken("257 entries", Reason::TooLarge, &|m| m.entries = vec![pb::SealedEntry::default(); 257]),
        broken("an entry without envelope", Reason::Malformed, &|m| m.entries[0].envelope = None),
        broken("1,001 parts", Reason::Malformed, &|m| m.entries[0].identity = Some(many_parts.clone())),
        broken("cut out without parts", Reason::Malformed, &|m| m.entries[0].identity = None),
        broken("cut out with a part missing", Reason::Malformed, &|m| {
            let erased = erased.parts.as_ref().expect("has parts").encode();
            m.entries[0].identity = Some(pb::IdentityParts::decode(erased).expect("own bytes"));
        }),
        raw("cut out, and over the bound once restored", Reason::TooLarge, &restored_over_bound(&log_field, &parts)),
        broken("no log", Reason::Malformed, &|m| m.log.clear()),
        broken("sequences overflow", Reason::Malformed, &|m| m.first = u64::MAX),
        broken("a checkpoint over its bound", Reason::TooLarge, &|m| {
            m.checkpoint = "x".repeat(limits::NOTE_BYTES_MAX + 1)
        }),
    ]);
    golden("package.json", &PackageFile { packages });
}

/// A package whose one entry has parts and a cut envelope: head of zeros, last on the wire so that the zeros are RLE blocks.
fn restored_over_bound(log_field: &[u8], parts: &PartSet) -> Vec<u8> {
    let head = limits::ENVELOPE_BYTES_MAX - 64;
    let nest = |tag: u8, before: &[u8], inner: &[u8], size: usize| {
        let mut out = [before, &[tag]].concat();
        prost::encode_length_delimiter(inner.len() + size, &mut out).expect("in memory");
        [&out[..], inner].concat()
    };
    let field = nest(0x0a, &[], &[], head);
    let identity = nest(0x1a, &[], &parts.encode(), 0);
    let entry = nest(0x12, &identity, &field, head);
    zstd_frame(&nest(0x1a, log_field, &entry, head), head, true)
}

fn set_at(sequence: u64) -> SealedEntry {
    let node = commune();
    let set = set(node.log(Stream::Records), sequence, vec![change(&node.unit, closed(2))]);
    SealedEntry { envelope: seal(&set, &[&node.key]).bytes().clone(), parts: None }
}

/// Central, province, district and commune; the commune's fourth of five entries, with receipts of three above and a stranger.
fn proof_case() -> ProofFile {
    let (central, province, district, commune) = (central(), province(), district(), commune());
    let mut top = Log::new(central.log(Stream::Directory));
    top.write(&central, central.genesis(), &[&central.key]);
    top.write(&central, Node::new("38", 9).enrolled(), &[&central.key]);
    top.write(&central, province.enrolled(), &[&central.key]);
    let mut middle = Log::new(province.log(Stream::Directory));
    middle.write(&province, district.enrolled(), &[&province.key]);
    let mut low = Log::new(district.log(Stream::Directory));
    low.write(&district, commune.enrolled(), &[&district.key]);
    let mut entry = commune_log(5).prove(3, &commune.key);
    for (giver, time) in [(&district, 1), (&province, 2), (&central, 3), (&Node::new("36", 10), 4)] {
        let note = checkpoint::parse(&entry.checkpoint).expect("own note");
        entry.checkpoint = checkpoint::cosign(&note, &giver.id, &giver.key, 1_767_225_600 + time).expect("signs");
    }
    let chain = vec![
        top.prove(0, &central.key),
        top.prove(2, &central.key),
        middle.prove(0, &province.key),
        low.prove(0, &district.key),
    ];
    ProofFile { chain, entry, further: Vec::new() }
}

/// The same with receipts of three tiers at three sizes of the log.
fn receipt_case() -> ProofFile {
    let (central, province, district, commune) = (central(), province(), district(), commune());
    let head = |size: u32, giver: &Node, time: u64| {
        let proven = commune_log(size).prove(2, &commune.key);
        let note = checkpoint::parse(&proven.checkpoint).expect("own note");
        let checkpoint = checkpoint::cosign(&note, &giver.id, &giver.key, 1_767_225_600 + time).expect("signs");
        ProvenHead { checkpoint, inclusion: proven.inclusion }
    };
    ProofFile {
        entry: commune_log(3).prove(2, &commune.key),
        further: vec![head(3, &district, 1), head(4, &province, 60), head(6, &central, 3_600)],
        ..proof_case()
    }
}

fn commune_log(months: u32) -> Log {
    let commune = commune();
    let mut log = Log::new(commune.log(Stream::Records));
    (1..=months).for_each(|month| log.write(&commune, closed(month), &[&commune.key]));
    log
}

#[test]
fn proofs() {
    let file = proof_case();
    let anchor = central().key.public_key_print();
    let good = |name: &str, file: &ProofFile| {
        let bytes = file.encode();
        let proven = proof::check(&bytes, &anchor).expect("holds");
        ProofCase {
            name: name.into(),
            expect: "ok".into(),
            file: bytes.into(),
            anchor: anchor.0.into(),
            log: proven.log.to_string(),
            sequence: proven.sequence,
            leaf_hash: proven.leaf_hash.into(),
            size: proven.size,
            root: proven.root.into(),
            receipts: proven.receipts.iter().map(|(g, t)| Receipt { giver: g.to_string(), time_s: *t }).collect(),
            unchecked: proven.unchecked.iter().map(ToString::to_string).collect(),
            chain: proven.chain.iter().map(ToString::to_string).collect(),
        }
    };
    let raw = |name: &str, reason: Reason, bytes: &[u8]| ProofCase {
        name: name.into(),
        expect: expect(Some(reason)),
        file: bytes.into(),
        anchor: anchor.0.into(),
        ..Default::default()
    };
    let broken = |name: &str, reason: Reason, edit: &dyn Fn(&mut ProofFile)| {
        let mut file = file.clone();
        edit(&mut file);
        raw(name, reason, &file.encode())
    };
    let receipts = receipt_case();
    let of_receipts = |name: &str, reason: Reason, edit: &dyn Fn(&mut ProofFile)| {
        let mut file = receipts.clone();
        edit(&mut file);
        raw(name, reason, &file.encode())
    };
    let no_receipts = ProofFile { entry: commune_log(5).prove(3, &commune().key), ..file.clone() };
    // The commune changes its key and goes on with the new one.
    let (old, next) = (commune(), Node::new("17065", 5));
    let rekeyed = sets::bodies().into_iter().find(|b| b.kind() == "node_rekeyed").expect("all kinds");
    let mut directory = Log::new(old.log(Stream::Directory));
    directory.write(&old, rekeyed, &[&old.key, &next.key]);
    let mut records = Log::new(old.log(Stream::Records));
    records.write(&old, closed(1), &[&next.key]);
    let mut after_rekey = ProofFile { entry: records.prove(0, &next.key), ..file.clone() };
    let without_rekey = after_rekey.clone();
    after_rekey.chain.push(directory.prove(0, &next.key));

    let mut forged = commune_log(0);
    forged.write(&old, closed(1), &[&district().key]);
    let forged = ProofFile { entry: forged.prove(0, &district().key), ..file.clone() };
    let stolen = {
        let receipt = file.entry.checkpoint.lines().find(|l| l.starts_with("— 420-")).expect("receipt").to_owned();
        let mut entry = commune_log(4).prove(3, &old.key);
        entry.checkpoint.push_str(&format!("{receipt}\n"));
        ProofFile { entry, ..file.clone() }
    };
    let flip = |entry: &mut ProvenEntry, from_end: usize| {
        let mut bytes = entry.envelope.to_vec();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        entry.envelope = bytes.into();
    };
    let other_tree = |e: &mut ProvenEntry| {
        let size = e.checkpoint.split('\n').nth(1).expect("size").to_owned();
        e.checkpoint = e.checkpoint.replacen(&format!("\n{size}\n"), "\n9\n", 1);
    };
    let bytes = file.encode();
    let mut other_anchor = raw("another anchor", Reason::AnchorMismatch, &bytes);
    other_anchor.anchor = province().key.public_key_print().0.into();
    let nothing =
        ProvenEntry { envelope: Vec::new().into(), sequence: 0, checkpoint: String::new(), inclusion: Vec::new() };
    let proofs = vec![
        good("four tiers with receipts", &file),
        good("without receipts", &no_receipts),
        good("after a change of keys", &after_rekey),
        other_anchor,
        broken("no chain", Reason::Malformed, &|f| f.chain.clear()),
        // Counted before any entry is read.
        broken("a chain of 1025", Reason::TooLarge, &|f| f.chain = vec![nothing.clone(); 1_025]),
        broken("the chain begins at the province", Reason::AnchorMismatch, &|f| drop(f.chain.remove(0))),
        broken("an enrolment missing", Reason::KeyNotEnrolled, &|f| drop(f.chain.remove(2))),
        broken("enrolments in another order", Reason::KeyNotEnrolled, &|f| f.chain.swap(1, 3)),
        broken("records in the chain", Reason::Malformed, &|f| f.chain.push(f.entry.clone())),
        raw("a change of keys missing", Reason::KeyNotEnrolled, &without_rekey.encode()),
        raw("an entry that the district signed", Reason::KeyNotEnrolled, &forged.encode()),
        broken("a signature flipped", Reason::SignatureInvalid, &|f| flip(&mut f.entry, 100)),
        broken("a signature flipped in the chain", Reason::SignatureInvalid, &|f| flip(&mut f.chain[2], 100)),
        broken("a hash flipped", Reason::CheckpointInvalid, &|f| f.entry.inclusion[1][3] ^= 1),
        broken("a hash missing", Reason::CheckpointInvalid, &|f| f.entry.inclusion.truncate(1)),
        broken("66 hashes", Reason::TooLarge, &|f| f.entry.inclusion = vec![[0; 32]; 66]),
        broken("another position", Reason::CheckpointInvalid, &|f| f.entry.sequence = 2),
        broken("another size in the checkpoint", Reason::CheckpointInvalid, &|f| other_tree(&mut f.entry)),
        broken("another size in the chain", Reason::CheckpointInvalid, &|f| other_tree(&mut f.chain[1])),
        broken("the checkpoint of another log", Reason::CheckpointInvalid, &|f| {
            f.entry.checkpoint = f.chain[3].checkpoint.clone()
        }),
        raw("a receipt for another size", Reason::ReceiptInvalid, &stolen.encode()),
        raw("no magic line", Reason::Malformed, &bytes[MAGIC.len()..]),
        raw("the magic line only", Reason::Malformed, MAGIC),
        raw("cut short", Reason::Malformed, &bytes[..bytes.len() - 1]),
        good("receipts of three tiers at three sizes", &receipts),
        of_receipts("a further checkpoint without receipt", Reason::Malformed, &|f| {
            f.further[0].checkpoint = f.entry.checkpoint.clone();
        }),
        of_receipts("a stranger's receipt in a further checkpoint", Reason::ReceiptInvalid, &|f| {
            let (note, stranger) =
                (checkpoint::parse(&f.further[0].checkpoint).expect("own note"), Node::new("36", 10));
            f.further[0].checkpoint = checkpoint::cosign(&note, &stranger.id, &stranger.key, 1).expect("signs");
        }),
        of_receipts("a giver twice", Reason::ReceiptInvalid, &|f| f.further.push(f.further[0].clone())),
        of_receipts("a further hash flipped", Reason::CheckpointInvalid, &|f| f.further[1].inclusion[0][3] ^= 1),
        raw("a field that no version knows", Reason::Malformed, &[&receipts.encode()[..], &[0xf8, 0x07, 1]].concat()),
    ];
    assert_eq!(
        merkle::leaf_hash(&file.entry.envelope),
        Envelope::decode(file.entry.envelope).expect("own bytes").leaf_hash()
    );
    golden("proof.json", &ProofFileFile { proofs });
}

trait Print {
    fn public_key_print(&self) -> danso_proto::ids::Fingerprint;
}

impl<T: danso_proto::envelope::Signer> Print for T {
    fn public_key_print(&self) -> danso_proto::ids::Fingerprint {
        self.public_key().fingerprint()
    }
}
