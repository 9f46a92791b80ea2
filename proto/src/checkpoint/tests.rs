use proptest::prelude::*;

use super::*;
use crate::envelope::SoftwareSigner;
use crate::ids::{Stream, UnitCode};

fn node(unit: &str, n: u8) -> (NodeId, SoftwareSigner) {
    let signer = SoftwareSigner::from_secret(&[n; 32]);
    let unit: UnitCode = unit.parse().expect("code");
    (NodeId::new(&unit, signer.public_key().as_bytes()), signer)
}

fn checkpoint() -> Checkpoint {
    Checkpoint { log: LogId::new(node("17065", 1).0, Stream::Records), size: 7, root: [9; 32] }
}

fn signed() -> SignedNote {
    parse(&sign(&checkpoint(), &node("17065", 1).1).expect("signs")).expect("own note")
}

fn reason<T>(result: Result<T, Refusal>) -> Option<Reason> {
    result.map_err(|r| r.reason).err()
}

/// The example of c2sp.org/signed-note, section "Verifier keys": key id and signature as others make them.
#[test]
fn the_example_of_the_specification_verifies() {
    let vkey = STANDARD.decode("AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").expect("base64");
    let (kind, key) = vkey.split_first().expect("not empty");
    let key = PublicKey::try_from(key).expect("key");
    assert_eq!(key_id("example.com/foo", *kind, &key), [0x53, 0x0d, 0x90, 0x3a]);
    let line = Line::parse(
        "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=",
    )
    .expect("line");
    assert_eq!(line.key_id, [0x53, 0x0d, 0x90, 0x3a]);
    let signature = line.blob[..].try_into().expect("64 bytes");
    key.verify(b"This is an example message.\n", signature).expect("verifies");
}

#[test]
fn a_checkpoint_reads_back_and_verifies() {
    let (name, key) = node("17065", 1);
    let note = signed();
    assert_eq!(note.body(), format!("danso/{name}/records\n7\n{}\n", STANDARD.encode([9; 32])));
    assert_eq!(note.verify(&name, key.public_key()), Ok(checkpoint()));
    assert_eq!(note.unverified(), &checkpoint());
    assert!(note.givers().is_empty());
}

#[test]
fn another_key_name_or_text_does_not_verify() {
    let (name, key) = node("17065", 1);
    let (other_name, other_key) = node("420", 2);
    let note = signed();
    assert_eq!(reason(note.verify(&name, other_key.public_key())), Some(Reason::CheckpointInvalid));
    assert_eq!(reason(note.verify(&other_name, key.public_key())), Some(Reason::CheckpointInvalid));
    let larger = parse(&note.text().replace("\n7\n", "\n8\n")).expect("still a note");
    assert_eq!(reason(larger.verify(&name, key.public_key())), Some(Reason::CheckpointInvalid));
    // Somebody who signs a log that is another's.
    let claimed = sign(&checkpoint(), &other_key).expect("signs");
    assert_eq!(
        reason(parse(&claimed).expect("a note").verify(&other_name, other_key.public_key())),
        Some(Reason::CheckpointInvalid)
    );
}

#[test]
fn receipts_pile_up_by_giver_and_replace_their_own() {
    let (name, key) = node("17065", 1);
    let (district, district_key) = node("420", 2);
    let (province, province_key) = node("40", 3);
    let add = |note: &SignedNote, giver: &NodeId, key: &SoftwareSigner, time| {
        parse(&cosign(note, giver, key, time).expect("signs")).expect("own note")
    };
    let note = add(&signed(), &district, &district_key, 1_700_000_000);
    let note = add(&note, &province, &province_key, 1_700_000_100);
    assert_eq!(note.givers(), [district.clone(), province.clone()]);
    let again = add(&note, &district, &district_key, 1_700_000_200);
    assert_eq!(again.givers(), [province.clone(), district.clone()]);
    assert_eq!(again.text().len(), note.text().len());
    assert_eq!(again.verify(&name, key.public_key()), Ok(checkpoint()));
    assert_eq!(verify_cosignature(&again, &district, district_key.public_key()), Ok(1_700_000_200));
    assert_eq!(verify_cosignature(&again, &province, province_key.public_key()), Ok(1_700_000_100));
    for (giver, key) in [(&province, &district_key), (&district, &province_key), (&name, &key)] {
        assert_eq!(reason(verify_cosignature(&again, giver, key.public_key())), Some(Reason::ReceiptInvalid));
    }
    // The author's own receipt leaves its signature alone.
    let own = add(&again, &name, &key, 5);
    assert_eq!(own.verify(&name, key.public_key()), Ok(checkpoint()));
}

#[test]
fn a_receipt_is_bound_to_time_and_text() {
    let (district, key) = node("420", 2);
    let note = parse(&cosign(&signed(), &district, &key, 1_700_000_000).expect("signs")).expect("own note");
    let mut later = note.clone();
    later.lines[1].blob[7] ^= 1;
    assert_eq!(reason(verify_cosignature(&later, &district, key.public_key())), Some(Reason::ReceiptInvalid));
    let larger = parse(&note.text().replace("\n7\n", "\n8\n")).expect("still a note");
    assert_eq!(reason(verify_cosignature(&larger, &district, key.public_key())), Some(Reason::ReceiptInvalid));
    assert!(matches!(cosign(&note, &district, &key, u64::MAX), Err(CosignError::Time(_))));
}

#[test]
fn notes_have_bounds() {
    let (district, key) = node("420", 2);
    let mut text = signed().text().to_owned();
    while text.len() < limits::NOTE_BYTES_MAX - 130 {
        text.push_str(&line("example.com/other", [1; 4], &[2; 60]));
    }
    let note = parse(&text).expect("unknown signatures are ignored");
    assert!(matches!(cosign(&note, &district, &key, 1), Err(CosignError::Full)));
    text.push_str(&"x".repeat(200));
    assert_eq!(reason(parse(&text)), Some(Reason::TooLarge));
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let (name, key) = node("17065", 1);
    let good = signed().text().to_owned();
    let root = STANDARD.encode([9; 32]);
    for (old, new) in [
        ("danso/", "tanso/"),
        ("/records", "/other"),
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n+7\n"),
        ("\n7\n", "\n-7\n"),
        ("\n7\n", "\n0\n"),
        ("\n7\n", "\n99999999999999999999\n"),
        ("\n7\n", "\n7\r\n"),
        (&root, &root[4..]),
        (&root, "!"),
        ("=\n\n", "=\n"),
        ("=\n\n", "=\n\n\n"),
        ("— ", "- "),
        ("— ", "—  "),
        ("— ", "— a+b"),
    ] {
        let bad = good.replacen(old, new, 1);
        assert_ne!(bad, good);
        assert_eq!(reason(parse(&bad)), Some(Reason::CheckpointInvalid), "{bad:?}");
    }
    for bad in ["", "\n\n", "\n\n\n", &good[..good.len() - 1], &format!("{good}\n")] {
        assert_eq!(reason(parse(bad)), Some(Reason::CheckpointInvalid), "{bad:?}");
    }
    // Extension lines are signed and opaque.
    let body = format!("{}cái gì đó\n", checkpoint().body());
    let signature =
        line(name.as_str(), key_id(name.as_str(), 1, key.public_key()), &key.sign(body.as_bytes()).expect("signs"));
    let extended = parse(&format!("{body}\n{signature}")).expect("a note");
    assert_eq!(extended.verify(&name, key.public_key()), Ok(checkpoint()));
}

#[test]
fn an_empty_log_has_a_checkpoint() {
    let (name, key) = node("17065", 1);
    let empty = Checkpoint { size: 0, root: merkle::empty_root(), ..checkpoint() };
    let note = parse(&sign(&empty, &key).expect("signs")).expect("own note");
    assert_eq!(note.verify(&name, key.public_key()), Ok(empty));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(danso/|\n|— |[0-9a-zA-Z+/=]|\\PC){0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_changed_byte_is_noticed(at in any::<prop::sample::Index>(), to in 0x20u8..0x7f) {
        let (name, key) = node("17065", 1);
        let mut bytes = signed().text().as_bytes().to_vec();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let verified = String::from_utf8(bytes).ok().map(|text| parse(&text).and_then(|n| n.verify(&name, key.public_key())));
        prop_assert!(!matches!(verified, Some(Ok(_))));
    }
}
