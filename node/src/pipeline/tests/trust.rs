//! Keys, places and revocations: what changes them, and who may not.

use std::sync::Arc;

use danso_proto::change::{Body, Change, ForkDecided, ForwardingPolicy, NodeEnrolled, NodeRekeyed};
use danso_proto::envelope::Signer as _;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::refusal::Reason;

use super::bed::{self, Author, Bed, enrolled};
use super::run;
use crate::pipeline::{InviteRow, Recovery, Revocation};

/// A child whose place can be given back with the secret hash 3.
async fn lost(bed: &Bed) -> Author {
    let author = bed.child("17065", 1).await;
    bed.handle.invite(invite(&author, 3)).await.expect("kept");
    author
}

fn invite(author: &Author, secret: u8) -> InviteRow {
    InviteRow {
        secret_hash: [secret; 32],
        unit: bed::code("17065"),
        expires_at_ms: i64::MAX,
        used_by: None,
        again: true,
        node: Some(author.log.node().clone()),
    }
}

fn recovery(author: &Author, key: u8) -> Recovery {
    let log_public_key = *bed::signer(key).public_key().as_bytes();
    Recovery {
        secret_hash: Some([3; 32]),
        node: author.log.node().clone(),
        log_public_key,
        keys: Vec::new(),
        ends: None,
    }
}

#[test]
fn from_the_entry_after_the_announcement_on_only_the_new_key_signs() {
    run(async |bed| {
        let before = bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_001), 7)]).await;
        before.expect("written with the old key");
        let next = Arc::new(bed::signer(201));
        let announced = bed.handle.rekey(next.clone()).await.expect("announced");
        let after = bed.handle.write(Stream::Records, vec![bed::draft(enrolled("17065", 198_002), 8)]).await;
        assert_eq!(after.expect("written with the new key").size, 2);
        let snapshot = bed.handle.snapshot();
        let me = snapshot.directory().node(bed.handle.me()).expect("enrolled");
        assert_eq!(me.key(), next.public_key());
        let records = LogId::new(bed.handle.me().clone(), Stream::Records);
        assert_eq!((me.keys().at(&records, 0), me.keys().at(&records, 1)), (&bed.root_key(), next.public_key()));
        // The head that an earlier receipt was for still holds, and the new one is the new key's.
        let note = snapshot.log(&announced.log).and_then(|row| row.checkpoint.clone()).expect("a checkpoint");
        let note = danso_proto::checkpoint::parse(&note).expect("a note");
        note.verify(bed.handle.me(), next.public_key()).expect("signed by the new key");
        assert!(bed.handle.rekey(next).await.is_err(), "a key does not follow itself");
    });
}

#[test]
fn a_lost_key_signs_nothing_more_and_the_one_that_is_vouched_for_goes_on() {
    run(async |bed| {
        let mut author = lost(&bed).await;
        let one = author.entry(vec![enrolled("17065", 198_001)]);
        assert_eq!(bed.receive(author.package(0, vec![one.clone()], true)).await.size, 1);
        let mut thief = author.clone();
        bed.handle.recover(recovery(&author, 9)).await.expect("given back");
        bed.handle.recover(recovery(&author, 9)).await.expect("the answer was lost: the same key again");
        let other = bed.handle.recover(recovery(&author, 10)).await.expect_err("used");
        assert_eq!(other.refusal().reason, Reason::TokenUsed);
        let stolen = thief.entry(vec![enrolled("17065", 198_002)]);
        let received = bed.receive(thief.package(1, vec![stolen], true)).await;
        assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::KeyNotEnrolled));
        author.signer = Arc::new(bed::signer(9));
        let two = author.entry(vec![enrolled("17065", 198_003)]);
        let received = bed.receive(author.package(0, vec![one, two], true)).await;
        assert_eq!((received.size, received.refused.is_none(), received.receipt.is_some()), (2, true, true));
        // Who has the token and a key that was replaced since gets nothing.
        bed.handle.invite(invite(&author, 4)).await.expect("kept");
        let fresh = Recovery { secret_hash: Some([4; 32]), ..recovery(&author, 11) };
        bed.handle.recover(fresh).await.expect("another disk was lost");
        let old = bed.handle.recover(recovery(&author, 9)).await.expect_err("replaced");
        assert_eq!(old.refusal().reason, Reason::TokenUsed);
        // A key is vouched for once, whatever ends its node names after that.
        let directory = LogId::new(bed.handle.me().clone(), Stream::Directory);
        let entries = async || bed.stored(&directory).await.len();
        let before = entries().await;
        for end in [7, 3, 0] {
            let ends = Some([(author.log.clone(), end)].into());
            let asked = Recovery { secret_hash: None, ends, ..recovery(&author, 11) };
            bed.handle.recover(asked).await.expect("given back");
        }
        assert_eq!(entries().await, before);
        let bed = bed.restarted().await;
        assert_eq!(bed.residents("17065").await, 2);
    });
}

#[test]
fn what_a_former_parent_vouched_for_and_the_node_does_not_know_is_not_said_again() {
    run(async |bed| {
        let mut province = bed.child("40", 1).await;
        province.log = LogId::new(province.log.node().clone(), Stream::Directory);
        let key = *bed::signer(2).public_key().as_bytes();
        let node = NodeId::new(&bed::code("17065"), &key);
        let enrolled = NodeEnrolled {
            node: node.clone(),
            unit: bed::code("17065"),
            log_public_key: key,
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        };
        let stated = |secret| {
            let log_public_key = *bed::signer(secret).public_key().as_bytes();
            NodeRekeyed { node: node.clone(), log_public_key, from: Vec::new() }
        };
        let entries = [Body::NodeEnrolled(enrolled), Body::NodeRekeyed(stated(66))].map(|body| {
            let (change, part) = bed::happened("17065", body, 20_210_101);
            province.entry(vec![(Change { event_date: None, reported_on: None, ..change }, part)])
        });
        assert_eq!(bed.receive(province.package(0, entries.to_vec(), true)).await.refused, None);
        let author = Author::new(node.clone(), 2);
        bed.handle.invite(invite(&author, 3)).await.expect("kept");
        // It has its first key, and says so; with that the parent can tell the other one from a key that was forgotten.
        let asked = Recovery { keys: vec![stated(2)], ..recovery(&author, 2) };
        bed.handle.recover(asked).await.expect("given back");
        let snapshot = bed.handle.snapshot();
        let known = snapshot.directory().node(&node).expect("enrolled");
        assert_eq!((known.parent(), known.key().as_bytes()), (Some(bed.handle.me()), &key));
        let directory = LogId::new(bed.handle.me().clone(), Stream::Directory);
        let forged = *bed::signer(66).public_key().as_bytes();
        let says = |entry: &bytes::Bytes| entry.windows(forged.len()).any(|bytes| bytes == forged);
        assert!(!bed.stored(&directory).await.iter().any(says), "the root never said so");
    });
}

#[test]
fn without_a_token_only_the_key_that_the_directory_names_gets_its_logs_back() {
    run(async |bed| {
        let author = bed.child("17065", 1).await;
        let asked = |key| Recovery { secret_hash: None, ..recovery(&author, key) };
        bed.handle.recover(asked(1)).await.expect("its own key");
        let other = bed.handle.recover(asked(9)).await.expect_err("another key");
        assert_eq!(other.refusal().reason, Reason::KeyNotEnrolled);
        let unknown = bed.handle.recover(recovery(&author, 9)).await.expect_err("no such token");
        assert_eq!(unknown.refusal().reason, Reason::TokenUnknown);
    });
}

#[test]
fn nobody_changes_the_keys_of_others_or_announces_a_key_that_did_not_sign() {
    run(async |bed| {
        let mut author = bed.child("17065", 1).await;
        let sibling = bed.child("17035", 2).await;
        author.log = LogId::new(author.log.node().clone(), Stream::Directory);
        let key = *bed::signer(9).public_key().as_bytes();
        let own = author.log.node().clone();
        let rekeyed = |node, from| Body::NodeRekeyed(NodeRekeyed { node, log_public_key: key, from });
        let decided =
            ForkDecided { log: sibling.log.clone(), size: 1, root: [0; 32], evidence: None, reason: "mine".into() };
        let bad = [
            ("a sibling's key", rekeyed(sibling.log.node().clone(), vec![])),
            ("a key that did not sign", rekeyed(own.clone(), vec![(author.log.clone(), 1)])),
            ("a key that counts from somewhere else", rekeyed(own, vec![(author.log.clone(), 7)])),
            ("a sibling's fork", Body::ForkDecided(decided)),
        ];
        for (what, body) in bad {
            let mut change = enrolled("17065", 198_001);
            change.0.body = body;
            change.0.identity_commitment = None;
            let entry = author.clone().entry(vec![(change.0, None)]);
            let received = bed.receive(author.package(0, vec![entry], false)).await;
            assert_eq!(received.refused.map(|(_, refusal)| refusal.reason), Some(Reason::OutOfScope), "{what}");
        }
    });
}

#[test]
fn a_revocation_bounds_what_counts_and_is_refused_beyond_what_is_here() {
    run(async |bed| {
        let mut author = bed.child("17065", 1).await;
        let one = author.entry(vec![enrolled("17065", 198_001)]);
        bed.receive(author.package(0, vec![one], true)).await;
        let revocation = |bounds| Revocation { node: author.log.node().clone(), bounds, reason: "stolen".into() };
        let beyond = bed.handle.revoke(revocation(vec![(author.log.clone(), 2)])).await.expect_err("not here");
        assert_eq!(beyond.refusal().reason, Reason::RequestInvalid);
        bed.handle.revoke(revocation(vec![])).await.expect("revoked");
        let snapshot = bed.handle.snapshot();
        let revoked = snapshot.directory().node(author.log.node()).expect("known");
        assert_eq!(revoked.valid_size(&author.log), Some(1));
        let given = bed.handle.recover(Recovery { secret_hash: None, ..recovery(&author, 1) }).await;
        assert_eq!(given.expect_err("revoked is revoked").refusal().reason, Reason::KeyRevoked);
        assert_eq!(bed.residents("17065").await, 1, "what counts still counts");
    });
}

#[test]
fn a_revocation_behind_what_was_counted_leaves_it_out_and_keeps_it_in_the_log() {
    run(async |bed| {
        let mut author = bed.child("17065", 1).await;
        let one = author.entry(vec![enrolled("17065", 198_001)]);
        let two = author.entry(vec![enrolled("17065", 198_002), enrolled("17065", 198_003)]);
        bed.receive(author.package(0, vec![one, two], true)).await;
        assert_eq!(bed.residents("17065").await, 3);
        let (node, bounds) = (author.log.node().clone(), vec![(author.log.clone(), 1)]);
        bed.handle.revoke(Revocation { node, bounds, reason: "stolen after the first".into() }).await.expect("revoked");
        assert_eq!(bed.residents("17065").await, 1);
        assert_eq!(bed.stored(&author.log).await.len(), 2, "nothing is deleted");
        let bed = bed.restarted().await;
        assert_eq!((bed.residents("17065").await, bed.counts().await.0), (1, 1));
    });
}

#[test]
fn a_child_makes_its_parent_vouch_a_few_times_and_then_it_takes_the_operator() {
    run(async |bed| {
        let mut author = bed.child("17065", 1).await;
        let (records, directory) = (author.log.clone(), LogId::new(author.log.node().clone(), Stream::Directory));
        author.log = directory.clone();
        let size = async || bed.stored(&LogId::new(bed.handle.me().clone(), Stream::Directory)).await.len();
        let before = size().await;
        for n in 1..=limits::VOUCHES_ASKED_MAX as u8 + 1 {
            // A key that is said to sign from behind entries that nobody has seen.
            let next = bed::signer(100 + n);
            let from = vec![(directory.clone(), u64::from(n)), (records.clone(), 1_000)];
            let log_public_key = *next.public_key().as_bytes();
            let (node, log) = (author.log.node().clone(), author.log.clone());
            let rekeyed = Body::NodeRekeyed(NodeRekeyed { node, log_public_key, from });
            let mut change = enrolled("17065", 198_001);
            (change.0.body, change.0.identity_commitment) = (rekeyed, None);
            (change.0.event_date, change.0.reported_on) = (None, None);
            let entry = author.entry_by_both(vec![(change.0, None)], &next);
            author.signer = Arc::new(next);
            let received = bed.receive(author.package(u64::from(n) - 1, vec![entry], false)).await;
            assert_eq!((received.refused, received.log), (None, log));
            let ends = Some([(records.clone(), 0)].into());
            let asked = Recovery { secret_hash: None, ends, ..recovery(&author, 100 + n) };
            let vouched = bed.handle.recover(asked).await;
            match usize::from(n) > limits::VOUCHES_ASKED_MAX {
                false => vouched.expect("vouched for"),
                true => assert_eq!(vouched.expect_err("too often").refusal().reason, Reason::TooLarge),
            }
        }
        assert_eq!(size().await, before + limits::VOUCHES_ASKED_MAX);
        bed.handle.invite(invite(&author, 3)).await.expect("kept");
        bed.handle.recover(recovery(&author, 250)).await.expect("the operator said so");
    });
}

#[test]
fn who_lost_its_place_with_its_parent_gets_one_from_the_node_above() {
    run(async |bed| {
        let mut province = bed.child("40", 1).await;
        province.log = LogId::new(province.log.node().clone(), Stream::Directory);
        let key = *bed::signer(2).public_key().as_bytes();
        let node = NodeId::new(&bed::code("17065"), &key);
        let enrolled = Body::NodeEnrolled(NodeEnrolled {
            node: node.clone(),
            unit: bed::code("17065"),
            log_public_key: key,
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        });
        let (change, part) = bed::happened("17065", enrolled, 20_210_101);
        let entry = province.entry(vec![(Change { event_date: None, reported_on: None, ..change }, part)]);
        assert_eq!(bed.receive(province.package(0, vec![entry], true)).await.refused, None);
        let (stolen, bounds) = (province.log.node().clone(), vec![(province.log.clone(), 0)]);
        bed.handle.revoke(Revocation { node: stolen, bounds, reason: "stolen".into() }).await.expect("revoked");
        let has_place = || bed.handle.snapshot().directory().node(&node).map(danso_core::verify::Node::has_place);
        assert_eq!(has_place(), Some(false));
        let author = Author::new(node.clone(), 2);
        bed.handle.invite(invite(&author, 3)).await.expect("kept");
        bed.handle.recover(recovery(&author, 2)).await.expect("given a place");
        let snapshot = bed.handle.snapshot();
        let known = snapshot.directory().node(&node).expect("enrolled");
        assert_eq!((known.parent(), known.is_revoked(), has_place()), (Some(bed.handle.me()), false, Some(true)));
    });
}

/// A commune of a province that vouched for its key 5 and was then revoked up to before that. One entry is signed with the commune's first
/// key, 2, the second one with key 5.
async fn below_a_revoked_province(bed: &Bed) -> Author {
    let mut province = bed.child("40", 1).await;
    province.log = LogId::new(province.log.node().clone(), Stream::Directory);
    let key = *bed::signer(2).public_key().as_bytes();
    let node = NodeId::new(&bed::code("17065"), &key);
    let mut author = Author::new(node.clone(), 2);
    let child = NodeEnrolled {
        node: node.clone(),
        unit: bed::code("17065"),
        log_public_key: key,
        policy: ForwardingPolicy::Full,
        former: Vec::new(),
    };
    let vouched = NodeRekeyed {
        node,
        log_public_key: *bed::signer(5).public_key().as_bytes(),
        from: vec![(author.log.clone(), 1)],
    };
    let said = [Body::NodeEnrolled(child), Body::NodeRekeyed(vouched)].map(|body| {
        let (change, part) = bed::happened("17065", body, 20_210_101);
        province.entry(vec![(Change { event_date: None, reported_on: None, ..change }, part)])
    });
    assert_eq!(bed.receive(province.package(0, said.to_vec(), true)).await.refused, None);
    let one = author.entry(vec![enrolled("17065", 198_001)]);
    author.signer = Arc::new(bed::signer(5));
    let two = author.entry(vec![enrolled("17065", 198_002)]);
    assert_eq!(bed.receive(author.package(0, vec![one, two], true)).await.refused, None);
    let (stolen, bounds) = (province.log.node().clone(), vec![(province.log.clone(), 0)]);
    bed.handle.revoke(Revocation { node: stolen, bounds, reason: "stolen".into() }).await.expect("revoked");
    assert_eq!(bed.residents("17065").await, 0);
    bed.handle.invite(invite(&author, 3)).await.expect("kept");
    author
}

#[test]
fn what_a_node_wrote_with_a_key_of_its_revoked_parent_comes_back_with_its_place() {
    run(async |bed| {
        let mut author = below_a_revoked_province(&bed).await;
        bed.handle.recover(recovery(&author, 5)).await.expect("given a place");
        let snapshot = bed.handle.snapshot();
        let keys = snapshot.directory().node(author.log.node()).expect("enrolled").keys().clone();
        let signer = |secret: u8| *bed::signer(secret).public_key();
        assert_eq!([0, 1, 2].map(|at| *keys.at(&author.log, at)), [signer(2), signer(5), signer(5)]);
        assert_eq!((*keys.current(), bed.residents("17065").await), (signer(5), 2));
        let three = author.entry(vec![enrolled("17065", 198_003)]);
        assert_eq!(bed.receive(author.package(2, vec![three], true)).await.refused, None);
    });
}

#[test]
fn a_node_whose_entries_nobody_could_read_gets_no_place_and_its_token_is_not_used_up() {
    run(async |bed| {
        let author = below_a_revoked_province(&bed).await;
        let directory = LogId::new(bed.handle.me().clone(), Stream::Directory);
        let before = bed.stored(&directory).await.len();
        // It has forgotten key 5, and shows a new one. Or it shows its first key and knows 5, with which somebody wrote after it.
        let known = NodeRekeyed {
            node: author.log.node().clone(),
            log_public_key: *bed::signer(5).public_key().as_bytes(),
            from: Vec::new(),
        };
        let forgotten = bed.handle.recover(recovery(&author, 9)).await.expect_err("entry 1 would be unreadable");
        let older = Recovery { keys: vec![known], ..recovery(&author, 2) };
        let older = bed.handle.recover(older).await.expect_err("key 5 would be the last one");
        for (error, says) in [(forgotten, format!("--size {}=1", author.log)), (older, "shows an older key".into())] {
            let refusal = error.refusal();
            assert_eq!(refusal.reason, Reason::KeyNotEnrolled);
            assert!(refusal.detail.contains(&says), "{}", refusal.detail);
        }
        assert_eq!(bed.stored(&directory).await.len(), before);
        // As the refusal says. After that the node is not enrolled once more for nothing either.
        let (node, bounds) = (author.log.node().clone(), vec![(author.log.clone(), 1)]);
        bed.handle.revoke(Revocation { node, bounds, reason: "stolen".into() }).await.expect("revoked");
        for key in [2, 5, 9] {
            let refused = bed.handle.recover(recovery(&author, key)).await.expect_err("revoked");
            assert_eq!(refused.refusal().reason, Reason::KeyRevoked);
        }
        assert_eq!(bed.stored(&directory).await.len(), before + 1);
    });
}

/// A change of keys of the author's node, to be said in its directory log.
fn change_to(author: &Author, next: u8, from: Vec<(LogId, u64)>) -> Vec<bed::Said> {
    let rekeyed = Body::NodeRekeyed(NodeRekeyed {
        node: author.log.node().clone(),
        log_public_key: *bed::signer(next).public_key().as_bytes(),
        from,
    });
    let (change, part) = bed::happened("17065", rekeyed, 20_210_101);
    vec![(Change { event_date: None, reported_on: None, ..change }, part)]
}

#[test]
fn a_change_of_keys_that_makes_what_is_here_unreadable_is_not_taken_however_it_is_said() {
    for how in 0..4 {
        run(async |bed| {
            let mut records = bed.child("17065", 1).await;
            let mut directory = records.clone();
            directory.log = LogId::new(records.log.node().clone(), Stream::Directory);
            let (dir, log) = (directory.log.clone(), records.log.clone());
            let zero = records.entry(vec![enrolled("17065", 198_001)]);
            assert_eq!(bed.receive(records.package(0, vec![zero], true)).await.refused, None);
            let said = change_to(&records, 2, vec![(dir.clone(), 1), (log.clone(), 1)]);
            let first = directory.entry_by_both(said, &bed::signer(2));
            assert_eq!(bed.receive(directory.package(0, vec![first], false)).await.refused, None);
            (directory.signer, records.signer) = (Arc::new(bed::signer(2)), Arc::new(bed::signer(2)));
            let one = records.entry(vec![enrolled("17065", 198_002)]);
            assert_eq!(bed.receive(records.package(1, vec![one], true)).await.refused, None);
            let change = |from| change_to(&records, 3, vec![(dir.clone(), 2), (log.clone(), from)]);
            let said = match how {
                // From where an older key signed on, and from where the key before did.
                0 => change(0),
                1 => change(1),
                // Said twice in one entry, or twice about one log: what is said last rules.
                2 => [change(2), change(1)].concat(),
                _ => change_to(&records, 3, vec![(dir.clone(), 2), (log.clone(), 2), (log.clone(), 1)]),
            };
            let second = directory.entry_by_both(said, &bed::signer(3));
            let received = bed.receive(directory.package(1, vec![second], false)).await;
            assert_eq!((received.size, received.refused.map(|(at, _)| at)), (1, Some(1)), "{how}");
            let kept = bed.evidence().await.len();
            assert_eq!(kept, usize::from(how > 0), "{how}: by the key that it ends, it is evidence");
        });
    }
}

#[test]
fn what_stands_before_a_change_of_keys_that_is_not_taken_is_kept() {
    run(async |bed| {
        let mut records = bed.child("40", 1).await;
        let mut directory = records.clone();
        directory.log = LogId::new(records.log.node().clone(), Stream::Directory);
        let zero = records.entry(vec![enrolled("17065", 198_001)]);
        assert_eq!(bed.receive(records.package(0, vec![zero], true)).await.refused, None);
        let key = *bed::signer(7).public_key().as_bytes();
        let child = Body::NodeEnrolled(NodeEnrolled {
            node: NodeId::new(&bed::code("17065"), &key),
            unit: bed::code("17065"),
            log_public_key: key,
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        });
        let (change, part) = bed::happened("17065", child, 20_210_101);
        let good = directory.entry(vec![(Change { event_date: None, reported_on: None, ..change }, part)]);
        let said = change_to(&records, 2, vec![(directory.log.clone(), 2), (records.log.clone(), 0)]);
        let bad = directory.entry_by_both(said, &bed::signer(2));
        let received = bed.receive(directory.package(0, vec![good, bad], false)).await;
        assert_eq!((received.size, received.refused.map(|(at, _)| at)), (1, Some(1)));
    });
}

#[test]
fn no_node_goes_back_to_a_key_that_was_replaced() {
    run(async |bed| {
        let mut records = lost(&bed).await;
        let mut directory = records.clone();
        directory.log = LogId::new(records.log.node().clone(), Stream::Directory);
        let zero = records.entry(vec![enrolled("17065", 198_001)]);
        assert_eq!(bed.receive(records.package(0, vec![zero], true)).await.refused, None);
        let said = change_to(&records, 2, vec![(directory.log.clone(), 1), (records.log.clone(), 1)]);
        let change = directory.entry_by_both(said, &bed::signer(2));
        assert_eq!(bed.receive(directory.package(0, vec![change], false)).await.refused, None);
        // What it wrote with it behind the change would be evidence against it for anybody.
        let refused = bed.handle.recover(recovery(&records, 1)).await.expect_err("replaced");
        assert_eq!(refused.refusal().reason, Reason::KeyNotEnrolled);
        bed.handle.recover(recovery(&records, 9)).await.expect("the token is not used up");
    });
}
