//! Entries that were opened before their turn: taken only as the very bytes that were checked, and judged as if they had not been.

use danso_proto::package::{Package, SealedEntry};

use super::*;
use crate::ledger::{Ahead, Judged};

/// The enrolment of the commune by its district, as a package.
fn package(tiers: &Tiers) -> Package {
    let envelope = tiers.district.seal(tiers.commune.enrolled()).bytes().clone();
    let entries = vec![SealedEntry { envelope, parts: None }];
    Package { log: tiers.district.log(), first: 0, entries, checkpoint: None }
}

fn judge(tiers: &Tiers, package: &Package, ahead: &Ahead) -> (usize, Option<Reason>) {
    let trial = Trial::new(tiers.top.directory.clone(), LogHead::default());
    let Judged { trial, refused, .. } = trial.judge(package, &[], ahead);
    (trial.entries.len(), refused.map(|(_, refusal)| refusal.reason))
}

#[test]
fn what_was_opened_ahead_is_taken_once_and_without_it_all_is_the_same() {
    let tiers = Tiers::begun();
    let package = package(&tiers);
    let ahead = Ahead::open(&package, 0, &tiers.top.directory);
    // The second time it is opened anew.
    for ahead in [&ahead, &ahead, &Ahead::default()] {
        assert_eq!(judge(&tiers, &package, ahead), (1, None));
    }
}

#[test]
fn a_signature_that_was_checked_stands_for_no_other_bytes() {
    let tiers = Tiers::begun();
    let good = package(&tiers);
    let ahead = || Ahead::open(&good, 0, &tiers.top.directory);
    let length = good.entries[0].envelope.len();
    // One bit of what is signed, and one of the signature, which stands before its key id.
    for at in [60, length - 100] {
        let mut bytes = good.entries[0].envelope.to_vec();
        bytes[at] ^= 1;
        let entries = vec![SealedEntry { envelope: bytes.into(), parts: None }];
        let forged = Package { entries, ..good.clone() };
        let alone = judge(&tiers, &forged, &Ahead::default());
        assert!(alone.0 == 0 && alone.1.is_some(), "{alone:?}");
        assert_eq!(judge(&tiers, &forged, &ahead()), alone, "checked as something else");
        assert_eq!(judge(&tiers, &forged, &Ahead::open(&forged, 0, &tiers.top.directory)), alone);
        assert_eq!(
            judge(&tiers, &good, &Ahead::open(&forged, 0, &tiers.top.directory)),
            (1, None),
            "nothing is spoilt"
        );
    }
}

#[test]
fn whose_key_ended_meanwhile_is_refused_although_its_signature_was_checked() {
    let mut tiers = Tiers::begun();
    let package = package(&tiers);
    let ahead = Ahead::open(&package, 0, &tiers.top.directory);
    let revoked = NodeRevoked { node: tiers.district.id.clone(), bounds: Vec::new(), reason: "stolen".into() };
    let Tiers { top, province, .. } = &mut tiers;
    province.write(&mut top.directory, Body::NodeRevoked(revoked));
    assert_eq!(judge(&tiers, &package, &ahead), (0, Some(Reason::KeyRevoked)));
}

#[test]
fn whose_key_was_not_known_yet_is_opened_when_its_turn_comes() {
    let tiers = Tiers::begun();
    let package = package(&tiers);
    let too_early = Ahead::open(&package, 0, &Top::new().directory);
    assert_eq!(judge(&tiers, &package, &too_early), (1, None));
}
