//! A node whose disk is lost, whose database is an old copy, or that moves below another node, gets back what it wrote and goes on.

use std::fs;
use std::thread;
use std::time::Duration;

use danso_tests::federation::Federation;
use danso_tests::node::{Node, free_address};
use danso_tests::process::{DONE, Random, wait_for};
use danso_tests::truth::{Plan, Truth};

use crate::below::says_that_it_moved;

const COMMUNE: &str = "17065";
const DISTRICT: &str = "420";
const PROVINCE: &str = "40";

fn stage(communes: &[&str]) -> (Federation, Truth) {
    let federation = Federation::over(communes);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes, ..Plan::default() });
    (federation, truth)
}

#[test]
fn a_lost_disk_comes_back_from_the_parent_and_writing_goes_on() {
    let (mut federation, truth) = stage(&[COMMUNE, "17062"]);
    for commune in [COMMUNE, "17062"] {
        federation.node(commune).import_all("households", &truth.households(commune));
    }
    federation.settle();
    let lost = federation.node(COMMUNE).status_text("node");
    federation.node_mut(COMMUNE).kill9();
    fs::remove_dir_all(&federation.node(COMMUNE).data).unwrap();
    let commune = federation.node(COMMUNE);
    commune.recover(None).must(2);
    let token = federation.node(DISTRICT).invite_lost(&lost);
    // A token that gives a place back makes no new node, and the other way round.
    commune.join_with(&commune.token_file(&token)).refused_with("token_wrong_unit");
    let fresh = federation.node(DISTRICT).invite_with("17059", &[]);
    commune.recover(Some(&fresh)).refused_with("token_wrong_unit");
    assert!(!commune.data.exists(), "where nothing was there is nothing");
    commune.recover(Some(&token)).must(DONE);
    federation.node_mut(COMMUNE).run();
    let commune = federation.node(COMMUNE);
    assert_eq!(commune.status_text("node"), lost, "the same node, with another key");
    for name in [COMMUNE, "17062"] {
        federation.node(name).import_all("changes", &truth.changes(name));
    }
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
    // Used once: a thief of the token gets nothing.
    let thief = Node::named(federation.dir(), "thief", COMMUNE);
    thief.recover(Some(&token)).refused_with("token_used");
    assert!(!thief.data.exists(), "where nothing was there is nothing");
}

/// A byte of the header that SQLite does not use: the seal of the last stop tells that the file changed, and every page is whole.
fn damage(node: &Node) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::options().write(true).open(node.data.join("danso.db")).unwrap();
    file.write_all_at(&[1], 72).unwrap();
}

#[test]
fn a_damaged_root_keeps_what_nodes_wrote_that_never_come_back() {
    let (mut federation, truth) = stage(&[COMMUNE, "17062"]);
    for commune in [COMMUNE, "17062"] {
        federation.node(commune).import_all("households", &truth.households(commune));
        federation.node(commune).import_all("changes", &truth.changes(commune));
    }
    federation.settle();
    for gone in [COMMUNE, "17062", DISTRICT, PROVINCE] {
        federation.node_mut(gone).kill9();
        fs::remove_dir_all(&federation.node(gone).data).unwrap();
    }
    assert_eq!(federation.node_mut("VN").stop(), DONE);
    damage(federation.node("VN"));
    let said = federation.node("VN").recover(None).must(DONE).stderr;
    assert!(said.contains("is damaged") && !said.contains("not taken over"), "{said}");
    federation.node_mut("VN").run();
    let root = federation.node("VN");
    for unit in [COMMUNE, "17062", DISTRICT, PROVINCE, "VN"] {
        truth.holds_at(root, unit, "local");
    }
    root.admin(["log", "verify"]).must(DONE);
    root.admin(["doctor"]).must(DONE);
}

#[test]
fn the_old_database_stays_as_it_was_to_the_byte() {
    let (mut federation, truth) = stage(&[COMMUNE]);
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.node_mut(COMMUNE).kill9();
    let commune = federation.node(COMMUNE);
    let files = |name: &str| ["", "-wal"].map(|ending| fs::read(commune.data.join(format!("{name}{ending}"))).unwrap());
    let before = files("danso.db");
    assert!(!before[1].is_empty(), "what it wrote last is in the write-ahead log");
    // The parent does not answer.
    assert_ne!(commune.recover(None).code, DONE);
    assert!(files("danso.db") == before, "a recovery that is refused writes nothing to it");
    assert!(!commune.data.join("recovering").exists(), "nor leaves anything");
    federation.node_mut(DISTRICT).run();
    let commune = federation.node(COMMUNE);
    let said = commune.recover(None).must(DONE).stderr;
    assert!(!said.contains(" 0 that only"), "what was in the write-ahead log is taken over: {said}");
    let names = fs::read_dir(&commune.data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut aside = names.filter(|name| {
        name.starts_with("danso.db.before-recover-") && !["-wal", "-shm"].iter().any(|end| name.ends_with(end))
    });
    let files = |name: &str| ["", "-wal"].map(|ending| fs::read(commune.data.join(format!("{name}{ending}"))).unwrap());
    assert!(files(&aside.next().unwrap()) == before, "set aside as it was");
    federation.node_mut(COMMUNE).run();
    federation.settle();
    federation.truth_holds(&truth);
}

#[test]
fn a_database_put_back_from_an_old_copy_writes_nothing_until_it_is_recovered() {
    let (mut federation, truth) = stage(&[COMMUNE]);
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    let old = federation.node(COMMUNE).copy(federation.dir(), "old");
    federation.node_mut(COMMUNE).run();
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.settle();
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    fs::copy(old.data.join("danso.db"), federation.node(COMMUNE).data.join("danso.db")).unwrap();
    federation.node_mut(COMMUNE).run();
    let commune = federation.node(COMMUNE);
    wait_for(
        || format!("it does not notice: {}", commune.status()),
        || commune.status().to_string().contains("read_only").then_some(()),
    );
    commune.import("changes", &truth.changes(COMMUNE), &[]).refused_with("read_only");
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    federation.node(COMMUNE).recover(None).must(DONE);
    federation.node_mut(COMMUNE).run();
    federation.truth_holds(&truth);
    let closed = federation.node(COMMUNE).admin(["period", "close", "--unit", COMMUNE, "--month", "2021-12"]);
    closed.must(DONE);
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
}

#[test]
fn what_the_parent_does_not_have_yet_is_kept() {
    let (mut federation, truth) = stage(&[COMMUNE]);
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    federation.node_mut(DISTRICT).run();
    let done = federation.node(COMMUNE).recover(None).must(DONE);
    assert!(!done.stderr.contains(" 0 that only"), "{}", done.stderr);
    federation.node_mut(COMMUNE).run();
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
    let again = federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    assert_eq!((again.taken, again.unchanged), (0, again.rows), "what was typed here is remembered");
}

#[test]
fn a_district_that_lost_everything_comes_back_and_its_communes_find_it_again() {
    let communes = [COMMUNE, "17062"];
    let (mut federation, truth) = stage(&communes);
    for commune in communes {
        federation.node(commune).import_all("households", &truth.households(commune));
    }
    federation.settle();
    let lost = federation.node(DISTRICT).status_text("node");
    federation.node_mut(DISTRICT).kill9();
    fs::remove_dir_all(&federation.node(DISTRICT).data).unwrap();
    for commune in communes {
        federation.node(commune).import_all("changes", &truth.changes(commune));
    }
    let token = federation.node(PROVINCE).invite_lost(&lost);
    federation.node(DISTRICT).recover(Some(&token)).must(DONE);
    federation.node_mut(DISTRICT).run();
    for commune in communes {
        // Its CA was lost with its disk: what the communes pin is another one, and they say so instead of talking to a stranger.
        wait_for(
            || format!("{}", federation.node(commune).status()),
            || (federation.node(commune).status_text("link_reason") == "anchor_mismatch").then_some(()),
        );
        let child = federation.node(commune).status_text("node");
        let token = federation.node(DISTRICT).invite_lost(&child);
        assert_eq!(federation.node_mut(commune).stop(), DONE);
        federation.node(commune).recover(Some(&token)).must(DONE);
        federation.node_mut(commune).run();
    }
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
}

/// Paste the seed of a failure here.
const SEED: u64 = 20_210_817;

#[test]
fn a_recovery_that_is_cut_again_and_again_goes_on_where_it_was_cut() {
    let communes = [COMMUNE, "17062"];
    let federation = &mut Federation::over(&communes);
    let plan = Plan { communes: &communes, households: 300, ..Plan::default() };
    let truth = Truth::simulate(&federation.path("sim"), &plan);
    for commune in communes {
        federation.node(commune).import_all("households", &truth.households(commune));
        federation.node(commune).import_all("changes", &truth.changes(commune));
    }
    federation.settle();
    let lost = federation.node(DISTRICT).status_text("node");
    federation.node_mut(DISTRICT).kill9();
    fs::remove_dir_all(&federation.node(DISTRICT).data).unwrap();
    let token = federation.node(PROVINCE).invite_lost(&lost);
    let mut random = Random(SEED);
    for cut in 0..12 {
        let moment = Duration::from_millis(random.below(900));
        println!("seed {SEED}: power cut {cut} after {moment:?}");
        let recovering = federation.node(DISTRICT).recover_in_background(&token);
        // Not a wait for anything: the random moment itself.
        thread::sleep(moment);
        match cut % 3 {
            // The parent is cut off instead.
            0 => {
                federation.node_mut(PROVINCE).kill9();
                recovering.wait();
                federation.node_mut(PROVINCE).run();
            }
            _ => recovering.kill9(),
        }
    }
    federation.node(DISTRICT).recover(Some(&token)).must(DONE);
    federation.node_mut(DISTRICT).run();
    federation.node(DISTRICT).receipt_wait("central").must(DONE);
    for unit in [DISTRICT, PROVINCE, "VN"] {
        truth.holds_at(federation.node(unit), unit, "local");
        federation.node(unit).admin(["log", "verify"]).must(DONE);
    }
}

#[test]
fn a_commune_goes_on_below_the_province_when_its_district_is_no_more() {
    let (mut federation, truth) = stage(&[COMMUNE]);
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    let child = federation.node(COMMUNE).status_text("node");
    let token = federation.node(PROVINCE).invite_lost(&child);
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    federation.node(COMMUNE).recover(Some(&token)).must(DONE);
    federation.node_mut(COMMUNE).run();
    let province = federation.node(PROVINCE).status_text("node");
    assert_eq!(federation.node(COMMUNE).status_text("parent_node"), province);
    says_that_it_moved(federation.node(DISTRICT), &child, &province);
    let gone = federation.node(DISTRICT).status_text("node");
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.node(COMMUNE).receipt_wait("central").must(DONE);
    // The district is revoked, and not even its enrolments count. Who gets its place back reads its log no further than it counts.
    let size = format!("{gone}/directory=0");
    let revoke = ["child", "revoke", &gone, "--reason", "it is no more", "--yes", "--size", &size];
    federation.node(PROVINCE).admin(revoke).must(DONE);
    federation.node_mut(COMMUNE).kill9();
    fs::remove_dir_all(&federation.node(COMMUNE).data).unwrap();
    let token = federation.node(PROVINCE).invite_lost(&child);
    federation.node(COMMUNE).recover(Some(&token)).must(DONE);
    federation.node_mut(COMMUNE).run();
    for unit in [COMMUNE, PROVINCE, "VN"] {
        truth.holds_at(federation.node(unit), unit, "local");
        federation.node(unit).admin(["log", "verify"]).must(DONE);
    }
    let said = federation.node(PROVINCE).admin(["log", "verify", &format!("{gone}/directory")]).must(DONE);
    assert!(said.stdout.contains("entries from 0 on do not count"), "{}", said.stdout);
}

#[test]
fn a_former_parent_that_speaks_of_its_child_gets_nothing() {
    let (mut federation, truth) = stage(&[COMMUNE]);
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    // The district's line is cut; the province takes the commune over, and the district does not hear of it.
    let (nowhere, above) = (free_address(), federation.node(PROVINCE).listen.clone());
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    federation.node_mut(DISTRICT).readdress(&above, &nowhere);
    federation.node_mut(DISTRICT).run();
    let child = federation.node(COMMUNE).status_text("node");
    let token = federation.node(PROVINCE).invite_lost(&child);
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    federation.node(COMMUNE).recover(Some(&token)).must(DONE);
    federation.node_mut(COMMUNE).run();
    // It vouches for a key that somebody else has, and then it hears, and is heard.
    let token = federation.node(DISTRICT).invite_lost(&child);
    let thief = Node::named(federation.dir(), "thief", COMMUNE);
    thief.recover(Some(&token)).must(DONE);
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    federation.node_mut(DISTRICT).readdress(&nowhere, &above);
    federation.node_mut(DISTRICT).run();
    federation.settle();
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.node(COMMUNE).receipt_wait("central").must(DONE);
    for unit in [COMMUNE, PROVINCE, "VN"] {
        truth.holds_at(federation.node(unit), unit, "local");
        federation.node(unit).admin(["log", "verify"]).must(DONE);
    }
}
