//! A log that was cut, and a log with two histories: it stops alone, for good only when its author's own signature says so, until an operator
//! decides; everybody else keeps flowing.

use std::fs;
use std::path::Path;

use danso_proto::ids::Stream;
use danso_tests::node::Node;
use danso_tests::peer::person;
use danso_tests::process::{DONE, Ended, REFUSED, USAGE, program, run, wait_for};

use crate::refusals_wire::{BAD, Stage, log_at, residents};

/// What `quarantine list` says about a log.
#[track_caller]
pub(crate) fn quarantined(node: &Node, log: &str) -> serde_json::Value {
    let said = node.admin(["quarantine", "list", "--output", "json"]).printed();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    rows.into_iter().find(|row| row["log"] == log).unwrap_or_else(|| panic!("{log} is not listed: {said}"))
}

/// Whether any log is stopped at a node.
pub(crate) fn stops_nothing(node: &Node) -> bool {
    node.admin(["quarantine", "list", "--output", "json"]).printed().trim() == "[]"
}

/// Evidence about a log, as a node lists it.
pub(crate) fn evidence(node: &Node, log: &str) -> Vec<serde_json::Value> {
    let said = node.admin(["evidence", "list", log, "--output", "json"]).printed();
    serde_json::from_str(&said).unwrap()
}

/// The operator decides about a log.
pub(crate) fn decide(node: &Node, verb: &str, log: &str, more: &[&str]) -> Ended {
    let words = ["quarantine", verb, log, "--reason", "asked the commune"];
    node.admin(words.into_iter().chain(more.iter().copied()))
}

/// A node exports evidence, and it is checked in an empty directory, with nothing but the anchor's fingerprint.
#[track_caller]
pub(crate) fn is_proven_anywhere(node: &Node, number: &serde_json::Value, dir: &Path) -> String {
    let file = dir.join("fork.evidence");
    let path = file.to_string_lossy().into_owned();
    node.admin(["evidence", "export", &number.to_string(), "--out", &path]).must(DONE);
    let empty = tempfile::tempdir().unwrap();
    let moved = empty.path().join("fork.evidence");
    fs::rename(&file, &moved).unwrap();
    let anchor = node.status_text("anchor");
    let check = |anchor: &str| {
        let args = ["evidence".as_ref(), "check".as_ref(), moved.as_os_str(), "--anchor".as_ref(), anchor.as_ref()];
        run(program("danso-admin"), args)
    };
    let said = check(&anchor).must(DONE);
    assert!(said.stderr.contains("signed two histories") && said.stderr.contains("Not proven"), "{}", said.stderr);
    let other: String = anchor.chars().rev().collect();
    check(&other).must(REFUSED);
    let mut bytes = fs::read(&moved).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&moved, bytes).unwrap();
    check(&anchor).must(REFUSED);
    said.stdout
}

#[test]
fn a_log_that_was_cut_or_has_another_history_stops_alone() {
    let stage = Stage::below_root();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let mut directory = peer.author(Stream::Directory);
    let name = log.log.to_string();
    let before = log.clone();
    let first = log.entry(vec![person(BAD, 198_001)]);
    let short = log.clone();
    let second = log.entry(vec![person(BAD, 198_002)]);
    let mut line = peer.session(&[]);
    line.send(&log.package(0, vec![first.clone(), second], true));
    line.durable(&log.log, 2);

    // Shorter than its receipt. The peer's other log is taken meanwhile.
    let mut line = peer.session(&[&short]);
    assert_eq!(line.refused(), (name.clone(), 1, "log_shorter_than_receipt".into()));
    let entry = directory.entry_of_the_future(BAD);
    line.send(&directory.package(0, vec![entry], true));
    line.durable(&directory.log, 1);
    let mut line = peer.session(&[&directory]);
    assert_eq!(line.refused(), (name.clone(), 0, "log_shorter_than_receipt".into()), "not even named");
    wait_for(
        || "a shorter log does not show".into(),
        || (log_at(stage.parent(), &log.log) == (2, "log_shorter_than_receipt".into())).then_some(()),
    );
    let listed = quarantined(stage.parent(), &name);
    assert_eq!(listed["reason"], "log_shorter_than_receipt");
    assert!(listed["next"].as_str().unwrap().contains("danso-node recover --data DIR"), "{listed}");
    decide(stage.parent(), "accept", &name, &["--yes"]).refused_with("not_quarantined");
    let mut line = peer.session(&[&log, &directory]);
    wait_for(
        || "made whole again, it does not go on".into(),
        || (log_at(stage.parent(), &log.log) == (2, String::new())).then_some(()),
    );
    let third = log.entry(vec![person(BAD, 198_003)]);
    line.send(&log.package(2, vec![third], true));
    line.durable(&log.log, 3);

    // As long as the receipt says, and not the same.
    let mut twin = before;
    for month in [197_001, 197_002, 197_003] {
        twin.entry(vec![person(BAD, month)]);
    }
    // What a peer only says stops the log for its session: nobody can stop another's log for good without its author's signature.
    let mut unsigned = twin.head();
    unsigned.checkpoint = String::new();
    let mut line = peer.session_with(vec![unsigned, directory.head()]);
    assert_eq!(line.refused(), (name.clone(), 3, "root_differs".into()));
    let entry = directory.entry_of_the_future(BAD);
    line.send(&directory.package(1, vec![entry], true));
    line.durable(&directory.log, 2);
    assert_eq!(log_at(stage.parent(), &log.log), (3, String::new()), "not proven");
    let mut line = peer.session(&[&twin, &directory]);
    assert_eq!(line.refused(), (name.clone(), 3, "root_differs".into()));
    let entry = directory.entry_of_the_future(BAD);
    line.send(&directory.package(2, vec![entry], true));
    line.durable(&directory.log, 3);
    wait_for(
        || "the fork does not show".into(),
        || (log_at(stage.parent(), &log.log) == (3, "root_differs".into())).then_some(()),
    );
    let kept = evidence(stage.parent(), &name);
    assert_eq!((kept.len(), kept[0]["kind"].as_str().unwrap()), (1, "roots"));
    let said = is_proven_anywhere(stage.parent(), &kept[0]["number"], stage.dir());
    assert!(said.contains(&name), "{said}");
    // Until an operator decides, its true history is stopped, too.
    let mut line = peer.session(&[&log, &directory]);
    let fourth = log.entry(vec![person(BAD, 198_004)]);
    line.send(&log.package(3, vec![fourth.clone()], true));
    assert_eq!(line.refused(), (name.clone(), 3, "log_quarantined".into()));
    assert_eq!(log_at(stage.parent(), &log.log), (3, "root_differs".into()));
    assert_eq!(log_at(stage.parent(), &directory.log), (3, String::new()));
    assert_eq!(residents(stage.parent(), BAD), 3);
    stage.others_go_on();

    // Refused with a reason: nobody to ask, a log that is not here, one that is well, one of a node that is not below.
    decide(stage.parent(), "accept", &name, &[]).must(USAGE);
    decide(stage.parent(), "accept", &format!("{}/mail/{}", log.log.node(), log.log.node()), &["--yes"])
        .refused_with("not_found");
    decide(stage.parent(), "accept", &directory.log.to_string(), &["--yes"]).refused_with("not_quarantined");
    let own = format!("{}/directory", stage.parent().status_text("node"));
    decide(stage.parent(), "accept", &own, &["--yes"]).refused_with("decided_elsewhere");
    let said = decide(stage.parent(), "accept", &name, &["--yes"]).must(DONE);
    assert!(said.stderr.contains("What will happen"), "{}", said.stderr);
    assert!(stops_nothing(stage.parent()));
    // The session that was refused hears of it: a directory log moved, and the log goes again.
    let mut line = peer.session(&[&log, &directory]);
    line.send(&log.package(3, vec![fourth], true));
    line.durable(&log.log, 4);
    // What was decided against stays refused, and alarms nobody again.
    let mut line = peer.session(&[&twin, &directory]);
    assert_eq!(line.refused(), (name.clone(), 3, "log_shorter_than_receipt".into()));
    assert_eq!(evidence(stage.parent(), &name).len(), 1);
    peer.session(&[&log, &directory]);
    wait_for(
        || "it is stopped again".into(),
        || (log_at(stage.parent(), &log.log) == (4, String::new())).then_some(()),
    );
    assert_eq!(residents(stage.parent(), BAD), 4);
    decide(stage.parent(), "accept", &name, &["--yes"]).must(DONE);
}

#[test]
fn a_fork_that_only_entries_show_is_proven_too() {
    let stage = Stage::below_middle();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let name = log.log.to_string();
    let mut twin = log.clone();
    let first = log.entry(vec![person(BAD, 198_001)]);
    let second = log.entry(vec![person(BAD, 198_002)]);
    let mut line = peer.session(&[]);
    line.send(&log.package(0, vec![first, second], true));
    line.durable(&log.log, 2);
    // Another entry at a place that is taken.
    let other = twin.entry(vec![person(BAD, 197_001)]);
    line.send(&twin.package(0, vec![other], false));
    assert_eq!(line.refused(), (name.clone(), 0, "replay_differs".into()));
    assert_eq!(log_at(stage.parent(), &log.log), (2, "root_differs".into()));
    let kept = evidence(stage.parent(), &name);
    assert_eq!((kept[0]["kind"].as_str(), kept[0]["agree"].as_u64()), (Some("entries"), Some(0)));
    is_proven_anywhere(stage.parent(), &kept[0]["number"], stage.dir());
    stage.others_go_on();
    decide(stage.parent(), "accept", &name, &["--yes"]).must(DONE);
    let third = log.entry(vec![person(BAD, 198_003)]);
    let mut line = peer.session(&[&log]);
    line.send(&log.package(2, vec![third], true));
    line.durable(&log.log, 3);
    // An entry that names another before it than the one that its author signed there, beyond what was decided.
    let mut late = log.clone();
    late.position.last_leaf = Some([7; 32]);
    let strange = late.entry(vec![person(BAD, 197_002)]);
    line.send(&late.package(3, vec![strange], false));
    assert_eq!(line.refused(), (name.clone(), 3, "previous_hash_wrong".into()));
    assert_eq!(log_at(stage.parent(), &log.log), (3, "root_differs".into()));
    let kept = evidence(stage.parent(), &name);
    assert_eq!((kept.len(), kept[1]["kind"].as_str()), (2, Some("links")));
    is_proven_anywhere(stage.parent(), &kept[1]["number"], stage.dir());
    assert_eq!(residents(stage.parent(), BAD), 3);
}

#[test]
fn entries_without_their_authors_word_are_proven_by_one_that_is_laid_beside() {
    let stage = Stage::below_middle();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let name = log.log.to_string();
    let mut twin = log.clone();
    // Half a backlog came, from a program that says nothing where it was cut.
    let mut line = peer.session(&[]);
    let two = (1..3).map(|month| log.entry(vec![person(BAD, 198_000 + month)])).collect();
    line.send(&log.package(0, two, false));
    line.durable(&log.log, 2);
    drop(line);
    // The other copy holds as much, and shows its head; nothing that is signed contradicts it.
    let theirs: Vec<_> = (1..3).map(|month| twin.entry(vec![person(BAD, 197_000 + month)])).collect();
    let mut line = peer.session(&[&twin]);
    assert_eq!(line.refused(), (name.clone(), 2, "root_differs".into()));
    assert!(evidence(stage.parent(), &name).is_empty());
    // Two entries are not weighed, one is.
    line.send(&twin.package(0, theirs.clone(), false));
    line.send(&twin.package(1, theirs[1..].to_vec(), false));
    assert_eq!(line.refused(), (name.clone(), 1, "replay_differs".into()));
    assert_eq!(log_at(stage.parent(), &log.log), (2, "root_differs".into()));
    let kept = evidence(stage.parent(), &name);
    assert_eq!((kept.len(), kept[0]["kind"].as_str()), (1, Some("entries")));
    is_proven_anywhere(stage.parent(), &kept[0]["number"], stage.dir());
    assert_eq!(residents(stage.parent(), BAD), 2);
    stage.others_go_on();
}
