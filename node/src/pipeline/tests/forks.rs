//! Two histories of a log: what proves them, what stops, and what a decision changes.

use danso_proto::change::{Body, ForkDecided};
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::evidence::{self, Kind};
use danso_proto::ids::{LogId, Stream};
use danso_proto::merkle::Hash;
use danso_proto::package::Package;
use danso_proto::refusal::{Reason, Refusal};

use super::bed::{Author, Bed, enrolled};
use super::run;
use crate::pipeline::{Decided, Decision, Error, Keep, Shown, Trouble, Verdict};
use crate::store::ReceiptRow;

/// Why a log is stopped, if it is.
fn stopped(bed: &Bed, log: &LogId) -> Option<String> {
    bed.handle.snapshot().log(log).expect("the log").trouble.clone().map(|(code, _)| code)
}

/// Why it is stopped, in words.
fn words(bed: &Bed, log: &LogId) -> String {
    bed.handle.snapshot().log(log).expect("the log").trouble.clone().unwrap_or_default().1
}

/// A log with two entries that are here, and another history of it that has the first one only in common.
pub(super) async fn forked(bed: &Bed) -> (Author, Author) {
    let mut a = bed.child("17065", 1).await;
    let one = a.entry(vec![enrolled("17065", 198_001)]);
    let mut twin = a.clone();
    let two = a.entry(vec![enrolled("17065", 198_002), enrolled("17065", 198_003)]);
    assert_eq!(bed.receive(a.package(0, vec![one, two], true)).await.size, 2);
    twin.entry(vec![enrolled("17065", 197_001)]);
    (a, twin)
}

/// What the author of this history shows of itself.
pub(super) fn shown(author: &Author) -> Shown {
    let checkpoint = author.package(0, vec![], true).checkpoint.expect("it is signed");
    Shown { log: author.log.clone(), by: author.log.node().clone(), checkpoint }
}

async fn weighed(bed: &Bed, shown: Shown) -> Verdict {
    bed.handle.shown(shown).await.expect("the store works")
}

pub(super) fn decision(log: &LogId, keep: Keep) -> Decision {
    Decision { log: log.clone(), keep, reason: "asked the commune".into(), dry_run: false }
}

async fn decided(bed: &Bed, decision: Decision) -> Result<Decided, Reason> {
    bed.handle.decide(decision).await.map_err(|error| match error {
        Error::Refused(refusal) => refusal.reason,
        other => panic!("{other}"),
    })
}

fn directory_size(bed: &Bed) -> u64 {
    let snapshot = bed.handle.snapshot();
    let log = LogId::new(snapshot.me().clone(), Stream::Directory);
    snapshot.log(&log).expect("the root writes one").head.size()
}

#[test]
fn two_roots_of_one_size_that_the_author_signed_stop_the_log_and_are_kept() {
    run(async |bed| {
        let (mut a, twin) = forked(&bed).await;
        let verdict = weighed(&bed, shown(&twin)).await;
        let [kept] = &bed.evidence().await[..] else { panic!("one piece of evidence") };
        assert_eq!(verdict, Verdict::Stopped(kept.id));
        let found = evidence::weigh(&kept.contradiction, bed.handle.snapshot().directory()).expect("it is proven");
        assert_eq!((found.kind, found.differ, &found.log), (Kind::Roots, 2, &a.log));
        assert_eq!(kept.shown_by.as_ref(), Some(a.log.node()));
        assert_eq!(stopped(&bed, &a.log).as_deref(), Some("root_differs"));
        assert_eq!(weighed(&bed, shown(&twin)).await, Verdict::Known);
        assert_eq!(bed.evidence().await.len(), 1, "kept once");
        let next = a.entry(vec![enrolled("17065", 198_004)]);
        let refused = bed.receive(a.package(2, vec![next], true)).await.refused;
        assert_eq!(refused.map(|(_, refusal)| refusal.reason), Some(Reason::LogQuarantined));
        let bed = bed.restarted().await;
        assert_eq!(stopped(&bed, &a.log).as_deref(), Some("root_differs"), "a restart changes nothing");
    });
}

#[test]
fn a_shorter_checkpoint_of_another_history_is_proven_by_our_leaves() {
    run(async |bed| {
        let (mut a, twin) = forked(&bed).await;
        let three = a.entry(vec![enrolled("17065", 198_004)]);
        bed.receive(a.package(2, vec![three], true)).await;
        assert!(matches!(weighed(&bed, shown(&twin)).await, Verdict::Stopped(_)));
        let kept = bed.evidence().await.remove(0);
        let found = evidence::weigh(&kept.contradiction, bed.handle.snapshot().directory()).expect("it is proven");
        assert_eq!((found.kind, found.ours.size, found.theirs.size), (Kind::Growth, 3, 2));
    });
}

#[test]
fn a_log_that_is_only_shorter_or_not_signed_by_its_author_proves_nothing() {
    run(async |bed| {
        let (a, twin) = forked(&bed).await;
        let mut short = bed.child("17035", 2).await;
        let one = short.entry(vec![enrolled("17035", 198_001)]);
        let before = shown(&short);
        let two = short.entry(vec![enrolled("17035", 198_002)]);
        bed.receive(short.package(0, vec![one, two], true)).await;
        assert_eq!(weighed(&bed, before).await, Verdict::Unproven, "less of the same history");
        let mut forged = twin.clone();
        forged.signer = super::bed::signer(2).into();
        assert_eq!(weighed(&bed, shown(&forged)).await, Verdict::Unproven, "another node's signature");
        let elsewhere = Shown { log: short.log.clone(), ..shown(&twin) };
        assert_eq!(weighed(&bed, elsewhere).await, Verdict::Unproven, "a checkpoint of another log");
        assert_eq!((stopped(&bed, &a.log), stopped(&bed, &short.log)), (None, None));
        assert!(bed.evidence().await.is_empty());
    });
}

#[test]
fn other_bytes_at_a_taken_place_stop_the_log_when_the_author_signed_both() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mut twin = a.clone();
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        // Without a checkpoint: the entries alone are proof enough.
        bed.receive(a.package(0, vec![one], false)).await;
        let other = twin.entry(vec![enrolled("17065", 198_002)]);
        let received = bed.receive(twin.package(0, vec![other], false)).await;
        assert_eq!(received.refused.map(|(at, refusal)| (at, refusal.reason)), Some((0, Reason::ReplayDiffers)));
        let kept = bed.evidence().await.remove(0);
        let found = evidence::weigh(&kept.contradiction, bed.handle.snapshot().directory()).expect("it is proven");
        assert_eq!((found.kind, found.agree), (Kind::Entries, Some(0)));
        assert_eq!(stopped(&bed, &a.log).as_deref(), Some("root_differs"));
        assert_eq!((received.size, bed.residents("17065").await), (1, 1));
        let mut b = bed.child("17035", 2).await;
        let entry = b.entry(vec![enrolled("17035", 198_001)]);
        assert_eq!(bed.receive(b.package(0, vec![entry], true)).await.size, 1, "another log goes on");
    });
}

#[test]
fn other_bytes_that_the_author_did_not_sign_are_refused_and_stop_nothing() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let mut twin = a.clone();
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        bed.receive(a.package(0, vec![one], true)).await;
        bed.child("17035", 2).await;
        twin.signer = super::bed::signer(2).into();
        let other = twin.entry(vec![enrolled("17065", 198_002)]);
        let received = bed.receive(twin.package(0, vec![other], false)).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::ReplayDiffers));
        assert_eq!((stopped(&bed, &a.log), bed.evidence().await.len()), (None, 0));
    });
}

#[test]
fn an_entry_that_names_another_before_it_stops_the_log() {
    run(async |bed| {
        let (a, mut twin) = forked(&bed).await;
        let third = twin.entry(vec![enrolled("17065", 197_002)]);
        let received = bed.receive(twin.package(2, vec![third], true)).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::PreviousHashWrong));
        let kept = bed.evidence().await.remove(0);
        let found = evidence::weigh(&kept.contradiction, bed.handle.snapshot().directory()).expect("it is proven");
        assert_eq!((found.kind, found.differ), (Kind::Links, 2));
        assert_eq!(stopped(&bed, &a.log).as_deref(), Some("root_differs"));
    });
}

#[test]
fn what_is_held_here_stands_when_it_is_decided_so_and_the_other_history_is_settled() {
    run(async |bed| {
        let (mut a, mut twin) = forked(&bed).await;
        weighed(&bed, shown(&twin)).await;
        let digest = bed.evidence().await[0].contradiction.digest();
        let before = directory_size(&bed);
        let plan = Decision { dry_run: true, ..decision(&a.log, Keep::All) };
        let planned = decided(&bed, plan).await.expect("it may be decided");
        assert_eq!((planned.size, planned.held, planned.left_out, planned.before), (2, 2, 0, false));
        assert_eq!(planned.evidence.map(|(_, digest)| digest), Some(digest));
        assert_eq!((directory_size(&bed), stopped(&bed, &a.log).is_some()), (before, true), "nothing was done yet");
        assert_eq!(decided(&bed, decision(&a.log, Keep::All)).await, Ok(planned.clone()));
        assert_eq!((directory_size(&bed), stopped(&bed, &a.log)), (before + 1, None));
        // Once more changes nothing, and says so.
        let again = decided(&bed, decision(&a.log, Keep::All)).await.expect("it is decided");
        assert!(again.before);
        assert_eq!(directory_size(&bed), before + 1);

        let next = a.entry(vec![enrolled("17065", 198_004)]);
        assert_eq!(bed.receive(a.package(2, vec![next], true)).await.size, 3, "its history goes on");
        assert_eq!(weighed(&bed, shown(&twin)).await, Verdict::Settled);
        let third = twin.entry(vec![enrolled("17065", 197_002)]);
        let received = bed.receive(twin.package(2, vec![third], true)).await;
        assert!(received.refused.is_some(), "the other one is refused");
        assert_eq!(bed.residents("17065").await, 4);
        let bed = bed.restarted().await;
        assert_eq!(
            weighed(&bed, shown(&twin)).await,
            Verdict::Stopped(2),
            "nothing shows that it parted within what was decided"
        );
    });
}

#[test]
fn a_decision_needs_something_to_decide_and_somebody_above() {
    run(async |bed| {
        let (a, twin) = forked(&bed).await;
        let nobody = LogId::new(a.log.node().clone(), Stream::Directory);
        assert_eq!(decided(&bed, decision(&nobody, Keep::All)).await, Err(Reason::NotFound));
        assert_eq!(decided(&bed, decision(&a.log, Keep::All)).await, Err(Reason::NotQuarantined));
        assert_eq!(decided(&bed, decision(&a.log, Keep::First(Some(1)))).await, Err(Reason::NotQuarantined));
        let own = LogId::new(bed.handle.me().clone(), Stream::Directory);
        assert_eq!(decided(&bed, decision(&own, Keep::All)).await, Err(Reason::DecidedElsewhere));
        weighed(&bed, shown(&twin)).await;
        assert_eq!(
            decided(&bed, decision(&a.log, Keep::First(Some(3)))).await,
            Err(Reason::RequestInvalid),
            "not here"
        );
        assert_eq!(
            decided(&bed, decision(&a.log, Keep::First(None))).await,
            Err(Reason::RequestInvalid),
            "checkpoints do not tell up to where the histories agree"
        );
        assert!(stopped(&bed, &a.log).is_some(), "a refused decision changes nothing");
    });
}

#[test]
fn a_log_that_is_reset_keeps_its_beginning_and_its_author_ends() {
    run(async |bed| {
        let (mut a, twin) = forked(&bed).await;
        weighed(&bed, shown(&twin)).await;
        let before = directory_size(&bed);
        let reset = decided(&bed, decision(&a.log, Keep::First(Some(1)))).await.expect("it may be decided");
        assert_eq!((reset.size, reset.held, reset.left_out), (1, 2, 2));
        assert_eq!((directory_size(&bed), stopped(&bed, &a.log)), (before + 1, None), "one entry says both");
        let snapshot = bed.handle.snapshot();
        let node = snapshot.directory().node(a.log.node()).expect("it stays known");
        assert_eq!((node.is_revoked(), node.valid_size(&a.log)), (true, Some(1)));
        assert_eq!(bed.residents("17065").await, 1, "figures are those of the first entry");
        let next = a.entry(vec![enrolled("17065", 198_004)]);
        let refused = bed.receive(a.package(2, vec![next], true)).await.refused;
        assert_eq!(refused.map(|(_, refusal)| refusal.reason), Some(Reason::KeyRevoked));
        let again = decided(&bed, decision(&a.log, Keep::First(Some(1)))).await.expect("it is decided");
        assert!(again.before && directory_size(&bed) == before + 1);
        assert_eq!(decided(&bed, decision(&a.log, Keep::First(Some(0)))).await, Err(Reason::NotQuarantined));
        assert_eq!(decided(&bed, decision(&a.log, Keep::All)).await, Err(Reason::NotQuarantined));
        let bed = bed.restarted().await;
        assert_eq!((bed.residents("17065").await, bed.stored(&a.log).await.len()), (1, 2), "the ledger keeps all");
    });
}

#[test]
fn as_far_as_both_histories_agree_when_the_evidence_tells() {
    run(async |bed| {
        let mut a = bed.child("17065", 1).await;
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        let mut twin = a.clone();
        let two = a.entry(vec![enrolled("17065", 198_002), enrolled("17065", 198_003)]);
        bed.receive(a.package(0, vec![one, two], true)).await;
        let other = twin.entry(vec![enrolled("17065", 197_001)]);
        bed.receive(twin.package(1, vec![other], true)).await;
        let reset = decided(&bed, decision(&a.log, Keep::First(None))).await.expect("the entries tell");
        assert_eq!((reset.size, reset.left_out), (1, 2));
    });
}

/// A node between the root and the commune, and its directory log, in which it decides.
async fn between(bed: &Bed) -> (Author, Author) {
    let province = bed.child("40", 9).await;
    let mut directory = province;
    directory.log = LogId::new(directory.log.node().clone(), Stream::Directory);
    let commune = super::bed::signer(1);
    let public = *danso_proto::envelope::Signer::public_key(&commune).as_bytes();
    let node = danso_proto::ids::NodeId::new(&super::bed::code("17065"), &public);
    let (mut enrolment, _) = enrolled("17065", 198_001);
    enrolment.body = Body::NodeEnrolled(danso_proto::change::NodeEnrolled {
        node: node.clone(),
        unit: super::bed::code("17065"),
        log_public_key: public,
        policy: danso_proto::change::ForwardingPolicy::Full,
        former: Vec::new(),
    });
    let entry = directory.entry(vec![(enrolment, None)]);
    assert_eq!(bed.receive(directory.package(0, vec![entry], true)).await.refused, None);
    (directory, Author::new(node, 1))
}

/// The node between decides that the history with this root stands.
async fn decides(bed: &Bed, directory: &mut Author, log: &LogId, (size, root): (u64, Hash)) {
    let at = directory.position.size;
    let (mut change, _) = enrolled("17065", 198_001);
    change.body = Body::ForkDecided(ForkDecided { log: log.clone(), size, root, evidence: None, reason: "x".into() });
    let entry = directory.entry(vec![(change, None)]);
    let package: Package = directory.package(at, vec![entry], true);
    assert_eq!(bed.receive(package).await.refused, None);
}

#[test]
fn a_decision_below_lifts_what_agrees_with_it_and_nothing_else() {
    run(async |bed| {
        let (mut directory, mut a) = between(&bed).await;
        let one = a.entry(vec![enrolled("17065", 198_001)]);
        let mut twin = a.clone();
        let two = a.entry(vec![enrolled("17065", 198_002)]);
        let received = bed.receive(a.package(0, vec![one, two], true)).await;
        twin.entry(vec![enrolled("17065", 197_001)]);
        weighed(&bed, shown(&twin)).await;
        assert!(stopped(&bed, &a.log).is_some());

        let other = danso_proto::checkpoint::parse(&shown(&twin).checkpoint).expect("a note").unverified().clone();
        decides(&bed, &mut directory, &a.log, (2, other.root)).await;
        assert_eq!(stopped(&bed, &a.log).as_deref(), Some("root_differs"), "another history than the one here");
        assert!(words(&bed, &a.log).contains(&directory.log.node().to_string()), "{}", words(&bed, &a.log));
        // What a peer says of it comes late, and says less.
        let before = words(&bed, &a.log);
        for reason in [Reason::RootDiffers, Reason::ReadOnly] {
            let said = Trouble { refusal: Refusal::new(reason, "by its word") };
            bed.handle.trouble(a.log.clone(), Some(said)).await.expect("heard");
            assert_eq!(words(&bed, &a.log), before);
        }

        decides(&bed, &mut directory, &a.log, (2, received.root)).await;
        assert_eq!(stopped(&bed, &a.log), None, "the last word of that node agrees");
        let three = a.entry(vec![enrolled("17065", 198_003)]);
        assert_eq!(bed.receive(a.package(2, vec![three], true)).await.size, 3);

        // A log that nobody stopped here stops when another history than the one here was decided to stand.
        decides(&bed, &mut directory, &a.log, (2, other.root)).await;
        assert_eq!(stopped(&bed, &a.log).as_deref(), Some("root_differs"));
        // The node nearer the root has the last word.
        assert_eq!(decided(&bed, decision(&a.log, Keep::All)).await.map(|decided| decided.size), Ok(3));
        assert_eq!(stopped(&bed, &a.log), None);
        decides(&bed, &mut directory, &a.log, (2, other.root)).await;
        assert_eq!(stopped(&bed, &a.log), None);
    });
}

#[test]
fn another_history_of_the_own_log_stops_everything_that_is_written_here() {
    run(async |bed| {
        let own = LogId::new(bed.handle.me().clone(), Stream::Directory);
        let row = bed.handle.snapshot().log(&own).cloned().expect("the root writes one");
        let other = danso_proto::checkpoint::Checkpoint { log: own.clone(), size: row.head.size(), root: [7; 32] };
        let checkpoint = danso_proto::checkpoint::sign(&other, &*bed.root).expect("signed");
        let shown = Shown { log: own.clone(), by: own.node().clone(), checkpoint };
        assert!(matches!(weighed(&bed, shown).await, Verdict::Stopped(_)));
        assert!(words(&bed, &own).contains("danso-node recover --data DIR"), "{}", words(&bed, &own));
        let draft = super::bed::draft(enrolled("17065", 198_001), 77);
        let written = bed.handle.write(Stream::Records, vec![draft]).await;
        let reason = written.map_err(|error| error.refusal().reason).map(|_| ());
        assert_eq!(reason, Err(Reason::ReadOnly), "the other logs of a node that was copied were copied, too");
    });
}

#[test]
fn a_receipt_for_another_history_of_an_own_log_is_evidence_and_no_receipt() {
    run(async |bed| {
        let me = bed.handle.me().clone();
        let log = LogId::new(me.clone(), Stream::Records);
        let mut roots = Vec::new();
        for year in [198_001, 198_002, 198_003] {
            bed.handle
                .write(Stream::Records, vec![super::bed::draft(enrolled("17065", year), 7)])
                .await
                .expect("written");
            roots.push(bed.handle.snapshot().log(&log).expect("the log").head.root());
        }
        let receipt = |size: u64, root: Hash| {
            let head = Checkpoint { log: log.clone(), size, root };
            let note = checkpoint::sign(&head, &*bed.root).expect("signed");
            let note = bed.handle.cosign(&checkpoint::parse(&note).expect("a note")).expect("cosigned");
            ReceiptRow { log: log.clone(), giver: me.clone(), size, time_s: 5, note }
        };
        let kept = async || bed.store.read("test").await.expect("read").receipt_list(Some(&log)).await.expect("list");
        // What is here counts, in whatever order it comes, and what a copy wrote behind our end does not.
        for size in [2, 1, 3] {
            bed.handle.receipts(vec![receipt(size, roots[size as usize - 1])]).await.expect("kept");
        }
        bed.handle.receipts(vec![receipt(4, [9; 32])]).await.expect("dropped");
        let sizes = async || kept().await.iter().map(|row| row.size).collect::<Vec<_>>();
        assert_eq!(sizes().await, [3]);
        assert_eq!(stopped(&bed, &log), None);
        bed.handle.receipts(vec![receipt(2, [9; 32])]).await.expect("weighed");
        assert_eq!(sizes().await, [3]);
        assert_eq!(stopped(&bed, &log).as_deref(), Some("root_differs"), "{}", words(&bed, &log));
        let [kept] = &bed.evidence().await[..] else { panic!("one piece of evidence") };
        assert_eq!((&kept.log, kept.shown_by.as_ref()), (&log, Some(&me)));
    });
}
