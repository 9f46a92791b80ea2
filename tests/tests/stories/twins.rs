//! A node whose directory was copied, and both copies wrote: found out, proven, decided; all with real processes. Everybody else keeps
//! flowing, at every moment of it.

use std::fs;

use danso_proto::ids::LogId;
use danso_tests::federation::{Federation, ROOT};
use danso_tests::node::Node;
use danso_tests::process::{DONE, UNAVAILABLE, program, run, wait_for};

use crate::forks::{decide, evidence, is_proven_anywhere, quarantined, stops_nothing};
use crate::refusals_wire::{log_at, residents};

const COMMUNE: &str = "17065";
const NEIGHBOUR: &str = "17062";
const DISTRICT: &str = "420";
const PROVINCE: &str = "40";

/// Somebody new in a commune: one row, one entry.
#[track_caller]
fn enrol(federation: &Federation, node: &Node, number: u32) {
    let file = federation.path(&format!("{}-{number}.csv", node.unit));
    let header = "unit_code,household_no,person_ref,full_name,sex,birth_date";
    let row = format!("{},{number:03},{number:03}.1,Vi Văn Nam,M,1980-05-04", node.unit);
    fs::write(&file, format!("{header}\n{row}\n")).unwrap();
    assert_eq!(node.import_all("households", &file).taken, 1);
}

/// A node is copied, and does something before the copy does something else, of which nobody above hears yet: `parent`, the node above it, is
/// stopped. What the true one did is with everybody above. The copy has its own address and runs, the other does not.
fn parted(
    federation: &mut Federation,
    [unit, parent]: [&str; 2],
    ours: impl FnOnce(&mut Federation),
    theirs: impl FnOnce(&Federation, &Node),
) -> Node {
    assert_eq!(federation.node_mut(unit).stop(), DONE);
    let mut twin = federation.node(unit).copy(federation.dir(), "twin");
    let (listen, own) = (federation.node(unit).listen.clone(), twin.listen.clone());
    twin.readdress(&listen, &own);
    federation.node_mut(unit).run();
    ours(federation);
    federation.settle();
    assert_eq!(federation.node_mut(unit).stop(), DONE);
    // The copy writes before it hears of that.
    assert_eq!(federation.node_mut(parent).stop(), DONE);
    twin.run();
    theirs(federation, &twin);
    twin
}

/// The name of a log of a unit's node.
fn log_of(node: &Node, stream: &str) -> LogId {
    format!("{}/{stream}", node.status_text("node")).parse().unwrap()
}

/// A commune wrote, was copied, and both copies wrote one entry more.
fn two_histories(federation: &mut Federation) -> (Node, LogId) {
    for commune in [COMMUNE, NEIGHBOUR] {
        enrol(federation, federation.node(commune), 1);
    }
    federation.settle();
    let log = log_of(federation.node(COMMUNE), "records");
    let ours = |federation: &mut Federation| enrol(federation, federation.node(COMMUNE), 2);
    let twin = parted(federation, [COMMUNE, DISTRICT], ours, |federation, twin| enrol(federation, twin, 3));
    (twin, log)
}

fn rotate(node: &Node) {
    node.admin(["key", "rotate", "--yes"]).must(DONE);
}

/// The district is up again, and has seen both.
#[track_caller]
fn is_found_out(federation: &mut Federation, twin: &Node, log: &LogId) {
    federation.node_mut(DISTRICT).run();
    let at = |node: &Node| log_at(node, log).1;
    wait_for(
        || format!("the fork does not show: {:?}", federation.node(DISTRICT).logged()),
        || (at(federation.node(DISTRICT)) == "root_differs" && at(twin) == "root_differs").then_some(()),
    );
    // The copy says so itself, to whoever looks at it at all.
    let status = twin.status();
    assert!(["root_differs", "log_quarantined"].contains(&status["reason"].as_str().unwrap()), "{status}");
    let waited = twin.admin(["receipt", "wait", "--timeout", "1s"]).must(UNAVAILABLE);
    assert!(!waited.stderr.contains("Nothing is lost"), "{}", waited.stderr);
}

#[test]
fn after_forty_changes_of_keys_at_every_tier_everything_is_proven_still() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    for _ in 0..40 {
        for unit in [COMMUNE, DISTRICT, PROVINCE] {
            federation.node(unit).admin(["key", "rotate", "--yes"]).must(DONE);
        }
    }
    let (twin, log) = two_histories(&mut federation);
    is_found_out(&mut federation, &twin, &log);
    let name = log.to_string();
    let kept = evidence(federation.node(DISTRICT), &name);
    is_proven_anywhere(federation.node(DISTRICT), &kept[0]["number"], federation.dir());
    let anchor = federation.node(ROOT).status_text("anchor");
    let file = federation.path("old.proof").to_string_lossy().into_owned();
    let check = || {
        let words = ["proof", "check", &file, "--anchor", &anchor];
        let said = run(program("danso-admin"), words).must(DONE);
        std::fs::remove_file(&file).unwrap();
        said
    };
    federation.node(ROOT).admin(["log", "prove", &name, "0", "--out", &file]).must(DONE);
    check();
    twin.admin(["receipt", "show", "--sequence", "0", "--out", &file]).must(DONE);
    assert!(check().stdout.contains(PROVINCE));
}

/// Residents of the commune at every tier above it.
#[track_caller]
fn everybody_counts(federation: &Federation, expected: i64) {
    for unit in [DISTRICT, PROVINCE, ROOT] {
        assert_eq!(residents(federation.node(unit), COMMUNE), expected, "at {unit}");
    }
}

/// What the copy is told to do works: it gets back what is held above, three persons, and goes on from there in place of the other.
#[track_caller]
fn takes_its_place(federation: &mut Federation, twin: &mut Node) {
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    twin.recover(None).must(DONE);
    twin.run();
    enrol(federation, twin, 6);
    twin.receipt_wait("central").must(DONE);
    everybody_counts(federation, 4);
    // What it wrote as a copy was not taken over: the same row again is no repetition.
    enrol(federation, twin, 3);
    twin.receipt_wait("central").must(DONE);
    everybody_counts(federation, 5);
}

#[test]
fn of_a_commune_that_was_copied_the_history_that_is_held_above_stands() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    let (mut twin, log) = two_histories(&mut federation);
    is_found_out(&mut federation, &twin, &log);
    let name = log.to_string();

    // The neighbour's entries are receipted at the centre meanwhile.
    enrol(&federation, federation.node(NEIGHBOUR), 2);
    federation.node(NEIGHBOUR).receipt_wait("central").must(DONE);
    // The copy writes nothing more, and says what to do.
    assert!(quarantined(&twin, &name)["detail"].as_str().unwrap().contains("danso-node recover --data DIR"));
    let refused = federation.path("refused.csv");
    fs::write(
        &refused,
        "unit_code,household_no,person_ref,full_name,sex,birth_date\n17065,9,9.1,Vi Thị Mai,F,1990-01-02\n",
    )
    .unwrap();
    twin.import("households", &refused, &[]).refused_with("read_only");

    let district = federation.node(DISTRICT);
    let listed = quarantined(district, &name);
    assert_eq!((listed["entries"].as_u64(), &listed["evidence"]), (Some(2), &serde_json::json!("1")));
    assert!(listed["next"].as_str().unwrap().contains("quarantine accept"), "{listed}");
    let kept = evidence(district, &name);
    assert_eq!((kept.len(), kept[0]["kind"].as_str()), (1, Some("roots")));
    is_proven_anywhere(district, &kept[0]["number"], federation.dir());
    // Who may not decide is told who may.
    let said = decide(&twin, "accept", &name, &["--yes"]).refused_with("decided_elsewhere");
    assert!(said.stderr.contains(&district.status_text("node")), "{}", said.stderr);
    decide(federation.node(NEIGHBOUR), "accept", &name, &["--yes"]).refused_with("not_found");
    decide(federation.node(PROVINCE), "accept", &name, &["--yes"]).refused_with("not_quarantined");

    // Power cuts before and while it is decided: it is decided once.
    let directory: LogId = format!("{}/directory", district.status_text("node")).parse().unwrap();
    let (before, _) = log_at(district, &directory);
    federation.node_mut(DISTRICT).kill9();
    federation.node_mut(DISTRICT).run();
    assert_eq!(quarantined(federation.node(DISTRICT), &name)["reason"], "root_differs");
    let data = federation.node(DISTRICT).data.clone();
    let hurried = std::thread::spawn({
        let name = name.clone();
        move || {
            let words = ["quarantine", "accept", &name, "--reason", "asked the commune", "--yes", "--data"];
            run(program("danso-admin"), words.into_iter().map(Into::into).chain([data.into_os_string()]))
        }
    });
    federation.node_mut(DISTRICT).kill9();
    let _ = hurried.join().unwrap();
    federation.node_mut(DISTRICT).run();
    decide(federation.node(DISTRICT), "accept", &name, &["--yes"]).must(DONE);
    decide(federation.node(DISTRICT), "accept", &name, &["--yes"]).must(DONE);
    assert_eq!(log_at(federation.node(DISTRICT), &directory).0, before + 1);
    assert!(stops_nothing(federation.node(DISTRICT)));

    // The copy comes again: refused, without another alarm, and read-only still.
    let district = federation.node(DISTRICT);
    assert_eq!((log_at(district, &log), evidence(district, &name).len()), ((2, String::new()), 1));
    wait_for(
        || "the copy does not hear of the decision".into(),
        || quarantined(&twin, &name)["detail"].as_str().unwrap().contains("decided").then_some(()),
    );
    twin.import("households", &refused, &[]).refused_with("read_only");
    assert_eq!(twin.stop(), DONE);
    // The true history goes on, and the figures are right at every tier.
    federation.node_mut(COMMUNE).run();
    enrol(&federation, federation.node(COMMUNE), 4);
    federation.settle();
    everybody_counts(&federation, 3);
    assert_eq!(residents(federation.node(COMMUNE), COMMUNE), 3);
    assert!(federation.nodes().iter().all(stops_nothing));
    federation.logs_verify();

    takes_its_place(&mut federation, &mut twin);
}

#[test]
fn a_copy_that_wrote_more_than_its_parent_holds_is_proven_there_too() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    let (mut twin, log) = two_histories(&mut federation);
    // It holds more than anybody above, who could not compare.
    enrol(&federation, &twin, 5);
    is_found_out(&mut federation, &twin, &log);
    assert_eq!(twin.stop(), DONE);
    let (name, district) = (log.to_string(), federation.node(DISTRICT));
    let kept = evidence(district, &name);
    assert_eq!(kept.iter().map(|kept| kept["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["entries"]);
    is_proven_anywhere(district, &kept[0]["number"], federation.dir());
    decide(district, "accept", &name, &["--yes"]).must(DONE);
    federation.node_mut(COMMUNE).run();
    enrol(&federation, federation.node(COMMUNE), 4);
    federation.settle();
    everybody_counts(&federation, 3);
    assert!(federation.nodes().iter().all(stops_nothing));
    takes_its_place(&mut federation, &mut twin);
}

#[test]
fn of_a_commune_that_is_reset_the_beginning_and_its_new_node_count() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    let (mut twin, log) = two_histories(&mut federation);
    is_found_out(&mut federation, &twin, &log);
    assert_eq!(twin.stop(), DONE);
    let name = log.to_string();
    everybody_counts(&federation, 2);
    let district = federation.node(DISTRICT);
    decide(district, "reset", &name, &["--yes"]).refused_with("request_invalid");
    let said = decide(district, "reset", &name, &["--size", "1", "--yes"]).must(DONE);
    assert!(said.stderr.contains("child invite --unit 17065 --again"), "{}", said.stderr);
    decide(district, "reset", &name, &["--size", "1", "--yes"]).must(DONE);
    assert!(stops_nothing(district));
    wait_for(
        || "the figures above keep what was cut off".into(),
        || [DISTRICT, PROVINCE, ROOT].iter().all(|unit| residents(federation.node(unit), COMMUNE) == 1).then_some(()),
    );
    // The old node is not let in any more; a new one takes its place.
    federation.node_mut(COMMUNE).run();
    let mut new = Node::named(federation.dir(), "new", COMMUNE);
    let token = federation.node(DISTRICT).invite_with(COMMUNE, &["--again"]);
    new.join_with(&new.token_file(&token)).must(DONE);
    new.run();
    enrol(&federation, &new, 5);
    new.receipt_wait("central").must(DONE);
    everybody_counts(&federation, 2);
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    enrol(&federation, federation.node(NEIGHBOUR), 2);
    federation.node(NEIGHBOUR).receipt_wait("central").must(DONE);
    for unit in [DISTRICT, PROVINCE, ROOT] {
        federation.node_mut(unit).kill9();
        federation.node_mut(unit).run();
    }
    everybody_counts(&federation, 2);
}

#[test]
fn of_a_commune_that_is_reset_to_nothing_the_new_node_takes_in_the_whole_book() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    let (mut twin, log) = two_histories(&mut federation);
    is_found_out(&mut federation, &twin, &log);
    assert_eq!(twin.stop(), DONE);
    let district = federation.node(DISTRICT);
    let said = decide(district, "reset", &log.to_string(), &["--size", "0", "--yes"]).must(DONE);
    assert!(said.stderr.contains("must not import again what still counts"), "{}", said.stderr);
    wait_for(
        || "the figures above keep what was cut off".into(),
        || [DISTRICT, PROVINCE, ROOT].iter().all(|unit| residents(federation.node(unit), COMMUNE) == 0).then_some(()),
    );
    let mut new = Node::named(federation.dir(), "new", COMMUNE);
    let invite = ["child", "invite", "--unit", COMMUNE, "--address", &district.listen, "--again"];
    let invited = district.admin(invite).must(DONE);
    assert!(!invited.stderr.contains("counts twice"), "nothing of the old one counts: {}", invited.stderr);
    new.join_with(&new.token_file(invited.stdout.trim())).must(DONE);
    new.run();
    for number in [1, 2] {
        enrol(&federation, &new, number);
    }
    new.receipt_wait("central").must(DONE);
    everybody_counts(&federation, 2);
    assert_ne!(federation.node(DISTRICT).status()["reason"], "two_authors");
}

#[test]
fn a_parent_with_two_histories_is_found_out_by_its_child_which_goes_on_delivering() {
    let mut federation = Federation::over(&[COMMUNE]);
    let directory: LogId = format!("{}/directory", federation.node(DISTRICT).status_text("node")).parse().unwrap();
    enrol(&federation, federation.node(COMMUNE), 1);
    federation.settle();
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    let mut old = federation.node(DISTRICT).copy(federation.dir(), "old-420");
    federation.node_mut(DISTRICT).run();
    federation.add(NEIGHBOUR);
    let there = log_at(federation.node(DISTRICT), &directory);
    wait_for(
        || "the directory does not come down".into(),
        || (log_at(federation.node(COMMUNE), &directory) == there).then_some(()),
    );
    for unit in [COMMUNE, NEIGHBOUR, DISTRICT, PROVINCE] {
        assert_eq!(federation.node_mut(unit).stop(), DONE);
    }
    // The old copy stands where the district stood, and enrols somebody else.
    old.listen.clone_from(&federation.node(DISTRICT).listen);
    old.run();
    let other = Node::named(federation.dir(), "other", "17035");
    other.join(&old);
    federation.node_mut(COMMUNE).run();
    let commune = federation.node(COMMUNE);
    wait_for(
        || "the parent's fork does not show at the child".into(),
        || (log_at(commune, &directory).1 == "root_differs").then_some(()),
    );
    let name = directory.to_string();
    // The parent's refusal of what it is shown can be seen before the pair is weighed and kept.
    let kept = || Some(evidence(commune, &name)).filter(|kept| !kept.is_empty());
    let kept = wait_for(|| "nothing proves it".into(), kept);
    is_proven_anywhere(commune, &kept[0]["number"], federation.dir());
    let listed = quarantined(commune, &name);
    let province = federation.node(PROVINCE).data.clone();
    assert!(province.is_dir() && listed["deciders"].as_str().unwrap().starts_with(PROVINCE), "{listed}");
    decide(commune, "accept", &name, &["--yes"]).refused_with("decided_elsewhere");
    // Its own backlog is delivered all the same.
    enrol(&federation, commune, 2);
    commune.receipt_wait("").must(DONE);
    assert_eq!(residents(&old, COMMUNE), 2);
}

/// The district is up again and has proof of a copy which changed its key; the others are not held up.
#[track_caller]
fn is_proven(federation: &mut Federation, unit: &str, mut twin: Node, log: &LogId, kind: &str) -> Node {
    federation.node_mut(unit).run();
    wait_for(
        || format!("the fork does not show: {:?}", federation.node(unit).logged()),
        || (log_at(federation.node(unit), log).1 == "root_differs").then_some(()),
    );
    let name = log.to_string();
    let kept = evidence(federation.node(unit), &name);
    assert_eq!(kept.iter().map(|kept| kept["kind"].as_str().unwrap()).collect::<Vec<_>>(), [kind]);
    is_proven_anywhere(federation.node(unit), &kept[0]["number"], federation.dir());
    // The copy is told, and writes nothing more.
    let told =
        || ["root_differs", "log_quarantined", "read_only"].contains(&twin.status()["reason"].as_str()?).then_some(());
    wait_for(|| format!("the copy is not told: {}", twin.status()), told);
    twin.admin(["key", "rotate", "--yes"]).refused_with("read_only");
    assert!(twin.status()["detail"].as_str().unwrap().contains("danso-node recover --data DIR"), "{}", twin.status());
    assert_eq!(twin.stop(), DONE);
    twin
}

/// The copy that was decided against comes again, hears of it, and stays refused without another alarm.
#[track_caller]
fn stays_refused(federation: &Federation, twin: &mut Node, log: &LogId) {
    twin.run();
    wait_for(
        || "the copy does not hear of the decision".into(),
        || quarantined(twin, &log.to_string())["detail"].as_str()?.contains("decided").then_some(()),
    );
    assert!(stops_nothing(federation.node(DISTRICT)));
}

#[test]
fn a_copy_that_begins_with_a_change_of_keys_is_proven_by_the_change() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    for commune in [COMMUNE, NEIGHBOUR] {
        enrol(&federation, federation.node(commune), 1);
    }
    federation.settle();
    let (log, id) = (log_of(federation.node(COMMUNE), "directory"), federation.node(COMMUNE).status_text("node"));
    let ours = |federation: &mut Federation| {
        rotate(federation.node(COMMUNE));
        enrol(federation, federation.node(COMMUNE), 2);
    };
    let theirs = |federation: &Federation, twin: &Node| {
        rotate(twin);
        enrol(federation, twin, 3);
    };
    let twin = parted(&mut federation, [COMMUNE, DISTRICT], ours, theirs);
    let mut twin = is_proven(&mut federation, DISTRICT, twin, &log, "entries");
    enrol(&federation, federation.node(NEIGHBOUR), 2);
    federation.node(NEIGHBOUR).receipt_wait("central").must(DONE);
    twin.recover(None).refused_with("log_quarantined");
    decide(federation.node(DISTRICT), "accept", &log.to_string(), &["--yes"]).must(DONE);
    stays_refused(&federation, &mut twin, &log);
    assert_eq!(evidence(federation.node(DISTRICT), &log.to_string()).len(), 1);
    assert_eq!(twin.stop(), DONE);
    federation.node_mut(COMMUNE).run();
    rotate(federation.node(COMMUNE));
    enrol(&federation, federation.node(COMMUNE), 4);
    federation.settle();
    everybody_counts(&federation, 3);
    assert!(federation.nodes().iter().all(stops_nothing));
    federation.logs_verify();
    // It can take the other's place: with a token, for its key is nobody's.
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    let said = twin.recover(None).refused_with("key_not_enrolled");
    assert!(said.stderr.contains("another copy"), "{}", said.stderr);
    let token = federation.node(DISTRICT).invite_lost(&id);
    twin.recover(Some(&token)).must(DONE);
    twin.run();
    enrol(&federation, &twin, 6);
    twin.receipt_wait("central").must(DONE);
    everybody_counts(&federation, 4);
    twin.admin(["log", "verify"]).must(DONE);
}

#[test]
fn a_copy_of_a_district_that_changed_its_key_and_holds_less_is_proven_and_reset() {
    let mut federation = Federation::over(&[COMMUNE]);
    enrol(&federation, federation.node(COMMUNE), 1);
    federation.settle();
    let log = log_of(federation.node(DISTRICT), "directory");
    let (before, _) = log_at(federation.node(DISTRICT), &log);
    let ours = |federation: &mut Federation| {
        federation.add(NEIGHBOUR);
        federation.add("17035");
    };
    let twin = parted(&mut federation, [DISTRICT, PROVINCE], ours, |_, twin| rotate(twin));
    is_proven(&mut federation, PROVINCE, twin, &log, "entries");
    federation.node_mut(DISTRICT).run();
    let said = decide(federation.node(PROVINCE), "reset", &log.to_string(), &["--yes"]).must(DONE);
    assert!(said.stderr.contains("child invite --unit 420 --again"), "{}", said.stderr);
    let ended = federation.node(PROVINCE).admin(["log", "verify"]).must(DONE).stdout;
    assert!(ended.contains(&format!("{before}")), "{ended}");
    assert_eq!(residents(federation.node(ROOT), COMMUNE), 1);
}

#[test]
fn a_copy_whose_change_of_keys_leaves_out_what_the_node_wrote_does_not_take_its_place() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    for commune in [COMMUNE, NEIGHBOUR] {
        enrol(&federation, federation.node(commune), 1);
    }
    federation.settle();
    let log = log_of(federation.node(COMMUNE), "records");
    let ours = |federation: &mut Federation| enrol(federation, federation.node(COMMUNE), 2);
    let twin = parted(&mut federation, [COMMUNE, DISTRICT], ours, |federation, twin| {
        rotate(twin);
        enrol(federation, twin, 3);
    });
    let mut twin = is_proven(&mut federation, DISTRICT, twin, &log, "keys");
    decide(federation.node(DISTRICT), "accept", &log.to_string(), &["--yes"]).must(DONE);
    stays_refused(&federation, &mut twin, &log);
    assert_eq!(twin.stop(), DONE);
    // The node itself goes on with the key that it has.
    federation.node_mut(COMMUNE).run();
    enrol(&federation, federation.node(COMMUNE), 4);
    rotate(federation.node(COMMUNE));
    federation.settle();
    everybody_counts(&federation, 3);
    assert!(federation.nodes().iter().all(stops_nothing));
    federation.logs_verify();
    // The copy can take its place: without the change that was not taken, so that it changes its key again, and loses its disk, as anybody.
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    let id = log.node().to_string();
    for again in 5..7 {
        let token = federation.node(DISTRICT).invite_lost(&id);
        twin.recover(Some(&token)).must(DONE);
        twin.run();
        enrol(&federation, &twin, again);
        rotate(&twin);
        twin.receipt_wait("central").must(DONE);
        everybody_counts(&federation, i64::from(again) - 1);
        twin.admin(["log", "verify"]).must(DONE);
        assert_eq!(twin.stop(), DONE);
        fs::remove_dir_all(&twin.data).unwrap();
    }
}

#[test]
fn of_an_old_copy_that_was_put_back_and_changed_its_key_nothing_is_taken_that_ends_the_key_before_too_early() {
    let mut federation = Federation::over(&[COMMUNE]);
    enrol(&federation, federation.node(COMMUNE), 1);
    federation.settle();
    let log = log_of(federation.node(COMMUNE), "records");
    let ours = |federation: &mut Federation| enrol(federation, federation.node(COMMUNE), 2);
    // It wrote nothing but the change.
    let twin = parted(&mut federation, [COMMUNE, DISTRICT], ours, |_, twin| rotate(twin));
    is_proven(&mut federation, DISTRICT, twin, &log, "keys");
}
