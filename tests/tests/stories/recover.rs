//! A node whose disk is lost, whose database is an old copy, or that moves below another node, gets back what it wrote and goes on.

use std::fs;
use std::thread;
use std::time::Duration;

use danso_tests::federation::{Federation, UNITS_VERSION};
use danso_tests::node::{Node, free_address};
use danso_tests::process::{self, DONE, Random, program, wait_for};
use danso_tests::truth::{Plan, Truth, units_file};

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
fn a_root_that_is_behind_says_to_restore_a_backup_whoever_is_asked() {
    let mut federation = Federation::over(&[PROVINCE]);
    let database = federation.node("VN").data.join("danso.db");
    let old = federation.path("old.db");
    assert_eq!(federation.node_mut("VN").stop(), DONE);
    fs::copy(&database, &old).unwrap();
    federation.node_mut("VN").run();
    federation.add("38");
    federation.node(PROVINCE).admin(["link", "retry"]);
    let log = format!("{}/directory", federation.node("VN").status_text("node"));
    let held = |node: &Node| {
        let logs = node.status()["logs"].as_array().unwrap().clone();
        logs.into_iter().find(|state| state["log"] == *log).map(|state| state["entries"].clone())
    };
    let whole = held(federation.node("VN"));
    let province = federation.node(PROVINCE);
    wait_for(|| format!("it does not come down: {}", province.status()), || (held(province) == whole).then_some(()));
    let says = |said: &str| {
        assert!(said.contains("danso-node restore`") && said.contains("lost"), "{said}");
        assert!(!said.contains("danso-node recover --data") && !said.contains("at the parent"), "{said}");
    };
    // The file `heads` tells it, and without it a child, which holds what the root signed.
    for by_heads in [true, false] {
        assert_eq!(federation.node_mut("VN").stop(), DONE);
        fs::copy(&old, &database).unwrap();
        if !by_heads {
            fs::remove_file(federation.node("VN").data.join("heads")).unwrap();
        }
        federation.node_mut("VN").run();
        let root = federation.node("VN");
        for child in [PROVINCE, "38"] {
            federation.node(child).admin(["link", "retry"]);
        }
        wait_for(
            || format!("it does not notice: {}", root.status()),
            || (root.status_text("reason") == "read_only").then_some(()),
        );
        let detail = root.status_text("detail");
        says(&detail);
        // Whoever finds it first; a child finds it, too.
        let of_child = detail.contains("at the child ");
        assert!(of_child || by_heads && detail.contains("by the file `heads`"), "{detail}");
        let out = federation.path(if by_heads { "a.danso" } else { "b.danso" });
        let danso = |words: &[&str]| process::run(program("danso-node"), words);
        let data = root.data.to_str().unwrap().to_owned();
        let said = danso(&["backup", "--data", &data, "--out", out.to_str().unwrap(), "--with-keys"]).must(DONE).stderr;
        assert!(said.contains("a node that is behind"), "{said}");
        assert_eq!(federation.node_mut("VN").stop(), DONE);
        // What comes behind it is what is to be done with any node.
        let confirm = danso(&["restore", "confirm", "--data", &data]).refused_with("read_only").stderr;
        says(confirm.lines().next().unwrap());
        says(&federation.node("VN").recover(None).refused_with("not_found").stderr);
        federation.node_mut("VN").run();
    }
}

#[test]
fn an_old_backup_that_is_restored_a_second_time_says_what_to_do() {
    let (mut federation, truth) = stage(&[COMMUNE]);
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    let out = federation.path("old.danso");
    let danso = |words: &[&str]| process::run(program("danso-node"), words);
    let commune = federation.node(COMMUNE);
    let me = commune.status_text("node");
    danso(&["backup", "--data", commune.data.to_str().unwrap(), "--out", out.to_str().unwrap(), "--with-keys"])
        .must(DONE);
    let lose = |federation: &mut Federation| {
        federation.node_mut(COMMUNE).kill9();
        fs::remove_dir_all(&federation.node(COMMUNE).data).unwrap();
    };
    // The disk is lost, and with it the key; a new one is given. Then that disk is lost, too, and the backup is all there is.
    lose(&mut federation);
    let token = federation.node(DISTRICT).invite_lost(&me);
    federation.node(COMMUNE).recover(Some(&token)).must(DONE);
    federation.node_mut(COMMUNE).run();
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.settle();
    lose(&mut federation);
    let data = federation.node(COMMUNE).data.to_str().unwrap().to_owned();
    danso(&["restore", "--in", out.to_str().unwrap(), "--data", &data]).must(DONE);
    federation.node_mut(COMMUNE).run();
    let commune = federation.node(COMMUNE);
    let says = |said: &str| said.contains("into an empty directory") && said.contains("child invite --node");
    wait_for(
        || format!("it does not say: {}", commune.status()),
        || says(&commune.status_text("detail")).then_some(()),
    );
    assert_eq!(commune.status_text("reason"), "key_not_enrolled");
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    let ended = danso(&["run", "--data", &data]).refused_with("key_not_enrolled").stderr;
    assert!(says(&ended), "{ended}");
    lose(&mut federation);
    let token = federation.node(DISTRICT).invite_lost(&me);
    federation.node(COMMUNE).recover(Some(&token)).must(DONE);
    federation.node_mut(COMMUNE).run();
    federation.settle();
    federation.truth_holds(&truth);
}

#[test]
fn a_node_that_cannot_serve_ends_in_order() {
    let mut federation = Federation::central();
    let other = Node::named(federation.dir(), "other", "VN");
    other.init(&units_file(), UNITS_VERSION).must(DONE);
    // Its address is taken; its key is another node's.
    let busy = federation.node("VN").listen.clone();
    let taken = Node::named(federation.dir(), "taken", "VN");
    taken.init(&units_file(), UNITS_VERSION).must(DONE);
    let toml = fs::read_to_string(taken.data.join("danso.toml")).unwrap();
    fs::write(taken.data.join("danso.toml"), toml.replace(&taken.listen, &busy)).unwrap();
    let run = |node: &Node| process::run(program("danso-node"), ["run", "--data", node.data.to_str().unwrap()]);
    for _ in 0..10 {
        let ended = run(&taken);
        assert!(ended.code != DONE && ended.stderr.contains("cannot listen"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
    assert_eq!(federation.node_mut("VN").stop(), DONE);
    fs::copy(other.data.join("keys/log.pem"), federation.node("VN").data.join("keys/log.pem")).unwrap();
    for _ in 0..10 {
        let ended = run(federation.node("VN")).refused_with("key_not_enrolled");
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
    for node in [&taken, federation.node("VN")] {
        assert!(node.data.join("danso.db.sha256").exists(), "it was closed");
    }
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
