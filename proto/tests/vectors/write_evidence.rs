//! Makes the vectors of evidence files.

use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::envelope::{Envelope, Signer as _};
use danso_proto::evidence::{self, Contradiction, EvidenceFile, MAGIC, Statement};
use danso_proto::ids::{LogId, Stream};
use danso_proto::merkle::{self, Hash};
use danso_proto::refusal::Reason;

use crate::format::*;
use crate::world::*;
use crate::write::{expect, golden};

/// The commune's log: two months that both histories have, then others.
fn history(months: &[u32]) -> Log {
    let commune = commune();
    let mut log = Log::new(commune.log(Stream::Records));
    [1, 2].iter().chain(months).for_each(|month| log.write(&commune, closed(*month), &[&commune.key]));
    log
}

fn leaves(log: &Log) -> Vec<Hash> {
    log.entries.iter().map(Envelope::leaf_hash).collect()
}

fn note(log: &Log, size: usize, by: &Node) -> Statement {
    let head = Checkpoint { log: log.id.clone(), size: size as u64, root: merkle::root(&leaves(log)[..size]) };
    Statement::Checkpoint(checkpoint::sign(&head, &by.key).expect("signs"))
}

fn entry(log: &Log, at: usize) -> Statement {
    Statement::Entry(log.entries[at].bytes().clone())
}

fn between(ours: Statement, theirs: Statement) -> Contradiction {
    Contradiction { ours, theirs, growth: None }
}

fn growth(ours: &Log, theirs: &Log, size: usize) -> Contradiction {
    let all = leaves(ours);
    let proof = merkle::consistency_proof(&all, size).expect("no more than there are");
    Contradiction {
        ours: note(ours, all.len(), &commune()),
        theirs: note(theirs, size, &commune()),
        growth: Some((merkle::root(&all[..size]), proof)),
    }
}

#[test]
fn evidence_files() {
    let (central, province, district, commune) = (central(), province(), district(), commune());
    let mut top = Log::new(central.log(Stream::Directory));
    top.write(&central, central.genesis(), &[&central.key]);
    top.write(&central, province.enrolled(), &[&central.key]);
    let mut middle = Log::new(province.log(Stream::Directory));
    middle.write(&province, district.enrolled(), &[&province.key]);
    let mut low = Log::new(district.log(Stream::Directory));
    low.write(&district, commune.enrolled(), &[&district.key]);
    let chain = vec![
        top.prove(0, &central.key),
        top.prove(1, &central.key),
        middle.prove(0, &province.key),
        low.prove(0, &district.key),
    ];
    let anchor = central.key.public_key().fingerprint();
    let file = |contradiction: Contradiction| EvidenceFile { chain: chain.clone(), contradiction };
    let good = |name: &str, contradiction: Contradiction| {
        let bytes = file(contradiction).encode();
        let proven = evidence::check(&bytes, &anchor).expect("holds");
        let found = &proven.contradicted;
        EvidenceCase {
            name: name.into(),
            expect: "ok".into(),
            file: bytes.into(),
            anchor: anchor.0.into(),
            log: found.log.to_string(),
            kind: found.kind.as_str().into(),
            ours_size: found.ours.size,
            theirs_size: found.theirs.size,
            differ: found.differ,
            agree: found.agree,
            digest: proven.digest.into(),
            chain: proven.chain.iter().map(ToString::to_string).collect(),
        }
    };
    let raw = |name: &str, reason: Reason, bytes: &[u8]| EvidenceCase {
        name: name.into(),
        expect: expect(Some(reason)),
        file: bytes.into(),
        anchor: anchor.0.into(),
        ..Default::default()
    };
    let bad =
        |name: &str, reason: Reason, contradiction: Contradiction| raw(name, reason, &file(contradiction).encode());
    let (ours, theirs, longer) = (history(&[3, 4, 5]), history(&[7, 8]), history(&[7, 8, 9]));
    let roots = between(note(&ours, 5, &commune), note(&longer, 5, &commune));
    let edit = |edit: &dyn Fn(&mut EvidenceFile)| {
        let mut file = file(growth(&ours, &theirs, 3));
        edit(&mut file);
        file.encode()
    };
    let receipted = {
        let Statement::Checkpoint(text) = note(&ours, 5, &commune) else { unreachable!("a note is a checkpoint") };
        let note = checkpoint::parse(&text).expect("own note");
        Statement::Checkpoint(checkpoint::cosign(&note, &district.id, &district.key, 1).expect("signs"))
    };
    let elsewhere = {
        let directory: LogId = commune.log(Stream::Directory);
        let head = Checkpoint { log: directory, size: 5, root: [7; 32] };
        Statement::Checkpoint(checkpoint::sign(&head, &commune.key).expect("signs"))
    };
    let bytes = file(roots.clone()).encode();
    let mut other_anchor = raw("another anchor", Reason::AnchorMismatch, &bytes);
    other_anchor.anchor = province.key.public_key().fingerprint().0.into();
    let evidence = vec![
        good("two roots of one size", roots.clone()),
        good("a larger tree that did not grow out of the smaller", growth(&ours, &theirs, 3)),
        good("the same, to a power of two", growth(&ours, &theirs, 4)),
        good("two entries at one place", between(entry(&ours, 2), entry(&theirs, 2))),
        good("two entries at a later place", between(entry(&ours, 3), entry(&theirs, 3))),
        good("an entry that names another before it", between(entry(&ours, 2), entry(&theirs, 3))),
        good("the same, seen from the other side", between(entry(&theirs, 3), entry(&ours, 2))),
        other_anchor,
        bad(
            "the same checkpoint twice",
            Reason::NoContradiction,
            between(note(&ours, 5, &commune), note(&ours, 5, &commune)),
        ),
        bad(
            "two sizes and no proof",
            Reason::NoContradiction,
            between(note(&ours, 5, &commune), note(&theirs, 4, &commune)),
        ),
        bad("a tree that grew", Reason::NoContradiction, growth(&ours, &theirs, 2)),
        bad("the same entry twice", Reason::NoContradiction, between(entry(&ours, 1), entry(&theirs, 1))),
        bad("an entry that follows", Reason::NoContradiction, between(entry(&ours, 1), entry(&theirs, 2))),
        bad("entries far apart", Reason::NoContradiction, between(entry(&ours, 2), entry(&longer, 4))),
        bad("checkpoints of two logs", Reason::NoContradiction, between(note(&ours, 5, &commune), elsewhere)),
        bad(
            "signed by the district",
            Reason::CheckpointInvalid,
            between(note(&ours, 5, &commune), note(&longer, 5, &district)),
        ),
        bad("a receipt under a statement", Reason::Malformed, between(receipted, note(&longer, 5, &commune))),
        bad("a checkpoint beside an entry", Reason::Malformed, between(note(&ours, 5, &commune), entry(&theirs, 3))),
        raw("an enrolment missing", Reason::KeyNotEnrolled, &edit(&|file| drop(file.chain.pop()))),
        raw(
            "a hash of the proof flipped",
            Reason::CheckpointInvalid,
            &edit(&|file| {
                if let Some((_, proof)) = &mut file.contradiction.growth {
                    proof[1][3] ^= 1;
                }
            }),
        ),
        raw(
            "another root at the smaller size",
            Reason::CheckpointInvalid,
            &edit(&|file| {
                if let Some((root, _)) = &mut file.contradiction.growth {
                    root[0] ^= 1;
                }
            }),
        ),
        raw(
            "66 hashes",
            Reason::TooLarge,
            &edit(&|file| {
                if let Some((_, proof)) = &mut file.contradiction.growth {
                    *proof = vec![[0; 32]; 66];
                }
            }),
        ),
        raw("no magic line", Reason::Malformed, &bytes[MAGIC.len()..]),
        raw("the magic line only", Reason::Malformed, MAGIC),
        raw("cut short", Reason::Malformed, &bytes[..bytes.len() - 1]),
        raw("a field more", Reason::Malformed, &[&bytes[..], &[0x9a, 0x06, 1, b'x']].concat()),
    ];
    golden("evidence.json", &EvidenceFileFile { evidence });
}
