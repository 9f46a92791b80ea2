use proptest::prelude::*;

use super::*;
use crate::change::{Body, Change, ChangeSet, PeriodClosed};
use crate::envelope::{CHANGE_SET_TYPE, Envelope, Signer as _, SoftwareSigner};
use crate::identity::{IdentityPart, Salts};
use crate::ids::{ChangeId, NodeId, Stream, UnitCode};

fn log() -> LogId {
    let unit: UnitCode = "17065".parse().expect("code");
    LogId::new(NodeId::new(&unit, SoftwareSigner::from_secret(&[1; 32]).public_key().as_bytes()), Stream::Records)
}

fn entry(sequence: u64, persons: usize) -> SealedEntry {
    let part = |i| IdentityPart { full_name: format!("Nguyễn Văn {i}"), ..Default::default() }.encode().expect("part");
    let parts = PartSet { salts: Salts::Seed([sequence as u8; 32]), parts: (0..persons).map(part).collect() };
    let mut changes = vec![
        Change {
            unit: "17065".parse().expect("code"),
            hamlet: String::new(),
            event_date: None,
            reported_on: None,
            identity_commitment: None,
            body: Body::PeriodClosed(PeriodClosed { month: 202401 }),
        };
        persons.max(1)
    ];
    changes.iter_mut().zip(parts.commitments()).for_each(|(change, c)| change.identity_commitment = c);
    let set = ChangeSet {
        log: log(),
        sequence,
        previous: (sequence > 0).then_some([7; 32]),
        recorded_at_ms: 1_700_000_000_000,
        units_version: "vn-2024".into(),
        first_id: ChangeId::first(1_700_000_000_000 + sequence, [5; 6]),
        changes,
    };
    let envelope =
        Envelope::seal(CHANGE_SET_TYPE, &set.encode(), &[&SoftwareSigner::from_secret(&[1; 32])]).expect("sealed");
    SealedEntry { envelope: envelope.bytes().clone(), parts: Some(parts).filter(|p| !p.parts.is_empty()) }
}

fn package(entries: Vec<SealedEntry>) -> Package {
    Package { log: log(), first: 4, entries, checkpoint: Some("a note".into()) }
}

fn reason<T>(result: Result<T, Refusal>) -> Option<Reason> {
    result.map_err(|r| r.reason).err()
}

fn raw(message: &pb::Package) -> Vec<u8> {
    compress(&message.encode_to_vec(), 3)
}

#[test]
fn packages_read_back_with_and_without_parts() {
    let mut withheld = entry(5, 3);
    withheld.parts = None;
    let mut erased = entry(6, 3);
    erased.parts.as_mut().expect("has parts").erase(1);
    let entries = vec![entry(4, 3), withheld, erased, entry(7, 0), entry(8, 200)];
    let package = package(entries);
    assert_eq!(decode(&encode(&package, PACKAGE_ZSTD_LEVEL)), Ok(package));
}

#[test]
fn commitments_travel_only_when_they_must() {
    let cut = |entry: &SealedEntry| matches!(entry.to_pb().envelope, Some(pb::sealed_entry::Envelope::Elided(_)));
    let whole = entry(4, 10);
    assert!(cut(&whole));
    let size = whole.to_pb().encoded_len();
    assert!(size <= whole.size() && whole.size() <= size + 32, "{size} {}", whole.size());
    let mut erased = whole.clone();
    erased.parts.as_mut().expect("has parts").erase(9);
    assert!(!cut(&erased));
    // Parts that give other commitments than the envelope has: refused when it is opened, carried as it is until then.
    let other = SealedEntry { parts: entry(5, 10).parts, ..whole };
    assert!(!cut(&other));
    assert_eq!(SealedEntry::from_pb(other.to_pb()), Ok(other));
}

#[test]
fn a_bomb_is_refused_before_it_inflates() {
    let bomb = compress(&vec![0; limits::PACKAGE_INFLATED_MAX + 1], 3);
    assert!(bomb.len() < 1024);
    assert_eq!(reason(decode(&bomb)), Some(Reason::InflatesTooFar));
    // The same without saying how long it is.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("encoder");
    encoder.include_contentsize(false).expect("parameter");
    std::io::Write::write_all(&mut encoder, &vec![0; limits::PACKAGE_INFLATED_MAX + 1]).expect("in memory");
    assert_eq!(reason(decode(&encoder.finish().expect("in memory"))), Some(Reason::InflatesTooFar));
    assert_eq!(reason(decode(&vec![0; limits::PACKAGE_ZSTD_MAX + 1])), Some(Reason::TooLarge));
    // As far as it may, but no package.
    assert_eq!(reason(decode(&compress(&vec![0; limits::PACKAGE_INFLATED_MAX], 3))), Some(Reason::Malformed));
}

#[test]
fn what_is_no_package_is_refused() {
    let good = encode(&package(vec![entry(4, 2)]), 3);
    let mut behind = good.clone();
    behind.push(0);
    for bad in [&[][..], &[1, 2, 3], &good[..good.len() - 1], &behind, &[&good[..], &good].concat()] {
        assert_eq!(reason(decode(bad)), Some(Reason::Malformed));
    }
    let base =
        pb::Package { log: log().to_string(), first: 0, entries: vec![entry(4, 2).to_pb()], checkpoint: String::new() };
    let refused = |change: &dyn Fn(&mut pb::Package)| {
        let mut message = base.clone();
        change(&mut message);
        reason(decode(&raw(&message)))
    };
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(refused(&|m| m.entries.clear()), Some(Reason::Malformed));
    assert_eq!(refused(&|m| m.entries = vec![pb::SealedEntry::default(); 257]), Some(Reason::TooLarge));
    assert_eq!(refused(&|m| m.entries[0].envelope = None), Some(Reason::Malformed));
    assert_eq!(refused(&|m| m.entries[0].identity = None), Some(Reason::Malformed));
    assert_eq!(refused(&|m| m.first = u64::MAX), Some(Reason::Malformed));
    assert_eq!(refused(&|m| m.log = "x".into()), Some(Reason::Malformed));
    assert_eq!(refused(&|m| m.checkpoint = "x".repeat(limits::NOTE_BYTES_MAX + 1)), Some(Reason::TooLarge));
    let verbatim = |n: usize| Some(pb::sealed_entry::Envelope::Verbatim(vec![1; n].into()));
    assert_eq!(refused(&|m| m.entries[0].envelope = verbatim(limits::ENVELOPE_BYTES_MAX + 1)), Some(Reason::TooLarge));
    let elided = |n: usize| {
        let cut = pb::ElidedEnvelope { head: vec![1; n].into(), tail: Bytes::new() };
        Some(pb::sealed_entry::Envelope::Elided(cut))
    };
    assert_eq!(refused(&|m| m.entries[0].envelope = elided(limits::ENVELOPE_BYTES_MAX)), Some(Reason::TooLarge));
    let parts = |n: usize| pb::IdentityParts { parts: vec![Bytes::from_static(b"a"); n], ..Default::default() };
    assert_eq!(refused(&|m| m.entries[0].identity = Some(parts(1001))), Some(Reason::Malformed));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = decode(&compress(&bytes, 1));
    }

    #[test]
    fn every_package_reads_back(sizes in prop::collection::vec(0usize..6, 1..8), erase in any::<prop::sample::Index>()) {
        let mut entries: Vec<_> = sizes.iter().zip(4..).map(|(persons, sequence)| entry(sequence, *persons)).collect();
        let at = erase.index(entries.len());
        if let Some(parts) = &mut entries[at].parts {
            parts.erase(erase.index(parts.parts.len()));
        }
        let package = package(entries);
        prop_assert_eq!(decode(&encode(&package, 1)), Ok(package));
    }
}

#[test]
fn what_is_kept_is_the_very_entry_and_says_how_large_it_is() {
    let mut withheld = entry(5, 3);
    withheld.parts = None;
    let mut erased = entry(6, 3);
    erased.parts.as_mut().expect("has parts").erase(1);
    let mut packer = Packer::new();
    for kept in [entry(4, 0), entry(4, 1), entry(4, 200), withheld, erased] {
        let packed = packer.pack(&kept.envelope, kept.parts.as_ref());
        assert!(is_packed(&packed) && !is_packed(&kept.envelope));
        assert_eq!(unpack(&packed).expect("unpacked"), kept);
        let inside = packed_size(&packed[..packed.len().min(ZSTD_HEADER_MAX)]).expect("a size");
        assert!(inside.abs_diff(kept.size() as u64) <= 32, "{inside} and {}", kept.size());
        let cut = &packed[..packed.len() - 1];
        assert_eq!(reason(unpack(cut)), Some(Reason::Malformed));
        assert_eq!(reason(unpack(&[&packed[..], &[0]].concat())), Some(Reason::Malformed));
    }
    let many = entry(4, 200);
    let packed = packer.pack(&many.envelope, many.parts.as_ref());
    assert!(packed.len() * 4 < many.envelope.len(), "commitments are left out: {}", packed.len());
}
