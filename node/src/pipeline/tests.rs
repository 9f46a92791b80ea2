//! What the pipeline takes and what it refuses, on a real store: each refusal with its own reason, nothing half written, everybody else
//! unharmed.

mod answers;
mod bed;
mod condition;
mod crash;
mod cut;
mod forks;
mod old_copy;
mod rebuild;
mod rules;
mod telling;
mod trust;
mod unclean;
mod waiting;

use bytes::Bytes;
use danso_core::finding::FindingKind;
use danso_proto::change::Body;
use danso_proto::checkpoint;
use danso_proto::envelope::{Envelope, Signer as _};
use danso_proto::ids::{LogId, Stream};
use danso_proto::limits;
use danso_proto::package::{Package, SealedEntry};
use danso_proto::refusal::Reason;
use futures_util::FutureExt as _;

use bed::{Author, Bed, enrolled};

/// Runs a pipeline test on its own runtime.
fn run(test: impl AsyncFnOnce(Bed)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async { test(Bed::new().await).await });
}

#[test]
fn entries_are_taken_counted_and_receipted() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let entry = a.entry(vec![enrolled("17065", 198_001), enrolled("17065", 199_005)]);
        let package = a.package(0, vec![entry], true);
        let received = bed.receive(package).await;
        assert_eq!((received.size, &received.refused), (1, &None));
        let receipt = received.receipt.expect("a receipt");
        let note = checkpoint::parse(&receipt).expect("a note");
        let giver = bed.handle.me();
        checkpoint::verify_cosignature(&note, giver, &bed.root_key()).expect("cosigned by the receiver");
        assert_eq!(bed.counts().await.0, 2, "two persons");
        assert_eq!(bed.residents("17065").await, 2);
    });
}

#[test]
fn sending_again_changes_nothing_and_a_longer_package_adds_the_rest() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        let two = a.entry(vec![enrolled("17065", 198_002)]);
        bed.receive(a.package(0, vec![one.clone()], false)).await;
        let again = bed.receive(a.package(0, vec![one.clone()], false)).await;
        assert_eq!((again.size, again.refused), (1, None));
        let longer = bed.receive(a.package(0, vec![one, two], true)).await;
        assert_eq!((longer.size, longer.refused.is_none(), longer.receipt.is_some()), (2, true, true));
        assert_eq!(bed.residents("17065").await, 2);
    });
}

/// Sends one bad entry after a good one: the good one stays, the bad one has its reason, and another log goes on.
async fn refused(bed: &Bed, a: &Author, good: SealedEntry, bad: SealedEntry, reason: Reason) {
    let received = bed.receive(a.package(0, vec![good, bad], false)).await;
    assert_eq!(received.size, 1, "the prefix is progress");
    let (sequence, refusal) = received.refused.expect("the bad entry is refused");
    assert_eq!((sequence, refusal.reason), (1, reason), "{}", refusal.detail);
    assert_eq!(bed.residents("17065").await, 1, "nothing of the bad entry counts");
    let mut b = bed.child("17035", 2).await;
    let entry = b.entry(vec![enrolled("17035", 198_001)]);
    assert_eq!(bed.receive(b.package(0, vec![entry], true)).await.size, 1, "another log goes on");
}

#[test]
fn a_wrong_signature() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        let mut bad = a.entry(vec![enrolled("17065", 198_002)]);
        let mut bytes = bad.envelope.to_vec();
        // The last bytes of the payload are a commitment: the shape stays right.
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        bad.envelope = Bytes::from(bytes);
        refused(&bed, &a, good, bad, Reason::SignatureInvalid).await;
    });
}

#[test]
fn a_key_that_is_not_enrolled() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        a.signer = bed::signer(99).into();
        let bad = a.entry(vec![enrolled("17065", 198_002)]);
        refused(&bed, &a, good, bad, Reason::KeyNotEnrolled).await;
    });
}

#[test]
fn another_enrolled_nodes_key() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        bed.child("16738", 3).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        a.signer = bed::signer(3).into();
        let bad = a.entry(vec![enrolled("17065", 198_002)]);
        refused(&bed, &a, good, bad, Reason::KeyNotEnrolled).await;
    });
}

#[test]
fn a_unit_outside_the_authors_subtree() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        let bad = a.entry(vec![enrolled("17035", 198_002)]);
        refused(&bed, &a, good, bad, Reason::OutOfScope).await;
    });
}

#[test]
fn a_unit_that_no_list_has() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        let bad = a.entry(vec![enrolled("99999", 198_002)]);
        refused(&bed, &a, good, bad, Reason::UnitUnknown).await;
    });
}

#[test]
fn an_entry_left_out() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        let _left_out = a.entry(vec![enrolled("17065", 198_002)]);
        let bad = a.entry(vec![enrolled("17065", 198_003)]);
        refused(&bed, &a, good, bad, Reason::SequenceGap).await;
    });
}

#[test]
fn a_package_that_begins_too_late() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let _first = a.entry(vec![enrolled("17065", 198_001)]);
        let second = a.entry(vec![enrolled("17065", 198_002)]);
        let received = bed.receive(a.package(1, vec![second], false)).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::SequenceGap));
    });
}

#[test]
fn another_root_for_the_same_size() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mut twin = a.clone();
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        let other = twin.entry(vec![enrolled("17065", 198_002)]);
        let mut package = a.package(0, vec![one], true);
        package.checkpoint = twin.package(0, vec![other], true).checkpoint;
        let received = bed.receive(package).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::RootDiffers));
        assert_eq!(received.size, 0, "entries under a checkpoint that denies them are not kept");
    });
}

#[test]
fn a_part_that_does_not_match_its_commitment() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        let mut bad = a.entry(vec![enrolled("17065", 198_002)]);
        let parts = bad.parts.as_mut().expect("parts");
        let other = danso_proto::identity::IdentityPart { full_name: "Ai khác".into(), ..Default::default() };
        parts.parts[0] = other.encode().expect("part");
        refused(&bed, &a, good, bad, Reason::CommitmentMismatch).await;
    });
}

#[test]
fn an_unknown_envelope_type() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        let envelope = Envelope::seal("application/x-other", b"payload", &[&*a.signer]).expect("sealed");
        let bad = SealedEntry { envelope: envelope.bytes().clone(), parts: None };
        refused(&bed, &a, good, bad, Reason::EnvelopeTypeUnknown).await;
    });
}

#[test]
fn bytes_that_are_no_envelope() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let good = a.entry(vec![enrolled("17065", 198_001)]);
        let bad = SealedEntry { envelope: Bytes::from_static(b"\xff\xff\xff"), parts: None };
        refused(&bed, &a, good, bad, Reason::Malformed).await;
    });
}

#[test]
fn a_record_in_another_authors_log() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mut b = bed.child("16738", 3).await;
        let entry = b.entry(vec![enrolled("16738", 198_001)]);
        let received = bed.receive(Package { entries: vec![entry], ..a.package(0, vec![], false) }).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::Malformed));
        let own = a.entry(vec![enrolled("17065", 198_001)]);
        assert_eq!(bed.receive(a.package(0, vec![own], true)).await.size, 1);
    });
}

#[test]
fn a_kind_of_the_future_is_kept_forwarded_and_listed() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mut strange = enrolled("17065", 198_001);
        strange.0.body = Body::Unknown;
        let entry = a.entry(vec![strange, enrolled("17065", 198_002)]);
        let bytes = entry.envelope.clone();
        let received = bed.receive(a.package(0, vec![entry], true)).await;
        assert_eq!((received.size, received.refused.is_none()), (1, true));
        assert_eq!(bed.stored(&a.log).await, vec![bytes], "verbatim");
        assert_eq!(bed.findings().await, vec![FindingKind::KindUnknown]);
        assert_eq!(bed.residents("17065").await, 1, "the known change beside it counts");
    });
}

#[test]
fn a_record_that_makes_no_sense_is_logged_and_listed_and_blocks_nothing() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let nobody = danso_proto::ids::ChangeId::first(5, [5; 6]);
        let death = bed::happened("17065", Body::Death(danso_proto::change::Death { person: nobody }), 20_210_105);
        let entry = a.entry(vec![death, enrolled("17065", 198_002)]);
        assert_eq!(bed.receive(a.package(0, vec![entry], true)).await.size, 1);
        assert_eq!(bed.findings().await, vec![FindingKind::PersonUnknown]);
        assert_eq!(bed.residents("17065").await, 1);
    });
}

#[test]
fn a_log_in_trouble_takes_nothing_until_it_is_cleared() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        bed.receive(a.package(0, vec![one], true)).await;
        let trouble = danso_proto::refusal::Refusal::new(Reason::RootDiffers, "two histories");
        bed.handle.trouble(a.log.clone(), Some(super::Trouble { refusal: trouble })).await.expect("noted");
        let two = a.entry(vec![enrolled("17065", 198_002)]);
        let package = a.package(1, vec![two], true);
        let received = bed.receive(package.clone()).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::LogQuarantined));
        bed.handle.trouble(a.log.clone(), None).await.expect("cleared");
        assert_eq!(bed.receive(package).await.size, 2);
    });
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        let before = bed.receive(a.package(0, vec![one], true)).await;
        let bed = bed.restarted().await;
        let snapshot = bed.handle.snapshot();
        let row = snapshot.log(&a.log).expect("the log");
        assert_eq!((row.head.size(), row.head.root()), (before.size, before.root));
        assert!(snapshot.directory().node(a.log.node()).is_some(), "the directory was replayed");
        assert_eq!(bed.residents("17065").await, 1);
    });
}

#[test]
fn a_revocation_refuses_what_comes_and_does_not_keep_the_node_from_starting() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        a.log = LogId::new(a.log.node().clone(), Stream::Directory);
        let mut strange = enrolled("17065", 198_001);
        strange.0.body = Body::Unknown;
        let one = a.entry(vec![strange.clone()]);
        assert_eq!(bed.receive(a.package(0, vec![one], true)).await.size, 1);
        let revoked =
            danso_proto::change::NodeRevoked { node: a.log.node().clone(), bounds: vec![], reason: String::new() };
        bed.handle
            .write(Stream::Directory, vec![bed::about("VN", Body::NodeRevoked(revoked), 77)])
            .await
            .expect("revoked");
        let bed = bed.restarted().await;
        let two = a.entry(vec![strange]);
        let received = bed.receive(a.package(1, vec![two], true)).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::KeyRevoked));
        assert_eq!(received.size, 1);
    });
}

#[test]
fn an_own_write_enters_by_the_same_door() {
    run(async |bed| {
        let outside = bed::draft(enrolled("17065", 198_001), 7);
        let written =
            bed.handle.write(Stream::Records, vec![outside]).await.expect("the root writes for anybody below");
        assert_eq!(written.size, 1);
        let nowhere = bed::draft(enrolled("99999", 198_001), 8);
        let error = bed.handle.write(Stream::Records, vec![nowhere]).await.expect_err("no such unit");
        assert_eq!(error.refusal().reason, Reason::UnitUnknown);
        let log = LogId::new(bed.handle.me().clone(), Stream::Records);
        let snapshot = bed.handle.snapshot();
        let row = snapshot.log(&log).expect("the log");
        assert_eq!(row.head.size(), 1, "nothing half written");
        let note = checkpoint::parse(row.checkpoint.as_deref().expect("a checkpoint")).expect("a note");
        assert_eq!(note.verify(bed.handle.me(), bed.root.public_key()).expect("own").size, 1);
    });
}

#[test]
fn packages_that_wait_take_a_bounded_room_and_others_are_heard_meanwhile() {
    run(async |bed| {
        let author = bed.child("17065", 1).await;
        let large = || {
            let envelope = vec![0; limits::PACKAGE_INFLATED_MAX - 1024].into();
            let entries = vec![SealedEntry { envelope, parts: None }];
            Package { log: author.log.clone(), first: 0, entries, checkpoint: None }
        };
        let (go_on, held) = tokio::sync::oneshot::channel::<()>();
        let (holding, holds) = tokio::sync::oneshot::channel::<()>();
        let mut what = Some((holding, held));
        let holder = bed.store.run_tx("held", async |_| {
            let Some((holding, held)) = what.take() else { return Ok(()) };
            let _ = holding.send(());
            let _ = held.await;
            Ok::<_, crate::store::Error>(())
        });
        let asker = async {
            holds.await.expect("it holds the database");
            let mut waiting = Vec::new();
            while let Some(queued) = bed.handle.receive(large()).now_or_never() {
                waiting.push(queued.expect("queued"));
                assert!(waiting.len() <= 8, "there is no bound");
            }
            assert_eq!(waiting.len(), 8);
            // There is a queue for what an operator asks meanwhile.
            let written = bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), 7)]);
            go_on.send(()).expect("it waits");
            let (received, written) = tokio::join!(bed.handle.receive(large()), written);
            written.expect("written");
            waiting.push(received.expect("there is room again"));
            for answer in waiting {
                assert!(answer.await.expect("answered").refused.is_some(), "zeros are no envelope");
            }
        };
        let (held, ()) = tokio::join!(holder, asker);
        held.expect("nothing was written");
    });
}
