//! A disk that fills up under a district's node, on a small real file system: what can wait is refused first, nothing is lost, and when there is
//! room everything goes on by itself.
//!
//! Not here: a disk that fails (see `damage`), quotas.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use danso_tests::federation::{Federation, UNITS_VERSION};
use danso_tests::health::serves;
use danso_tests::node::Node;
use danso_tests::process::{self, DONE, REFUSED, program, wait_for};
use danso_tests::small_disk::{SmallDisk, inside};
use danso_tests::truth::{Plan, Truth, units_file};

const MIB: u64 = 1024 * 1024;
const EXCHANGE: &str = "danso.exchange.v1.ExchangeService";
const ADMIN: &str = "danso.admin.v1.AdminService";
const QUERY: &str = "danso.query.v1.QueryService";

fn is(node: &Node, level: &str) {
    wait_for(
        || format!("the disk of {} is not `{level}`: {}", node.unit, node.status()),
        || (node.status_text("disk") == level).then_some(()),
    );
}

#[test]
fn a_disk_that_fills_up_loses_nothing_and_goes_on_when_there_is_room() {
    if !inside("disk::a_disk_that_fills_up_loses_nothing_and_goes_on_when_there_is_room") {
        return;
    }
    let disk = SmallDisk::of_mib(160);
    let communes = ["17065", "17062"];
    let mut federation = Federation::over(&[]);
    federation.add("40");
    federation.add_in(disk.path(), "420", |node| {
        let path = node.data.join("danso.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(path, config.replace("[store]", "[store]\nmin_free_mib = 40")).unwrap();
    });
    federation.add("17065");
    let truth =
        Truth::simulate(&federation.path("sim"), &Plan { communes: &communes, households: 400, ..Plan::default() });
    let district = federation.node("420");
    is(district, "room");
    assert!([EXCHANGE, ADMIN, QUERY, ""].iter().all(|service| serves(district, service)));

    // Low: what others hold waits with them; what is new here is taken.
    disk.leave_free(30 * MIB);
    is(district, "low");
    assert_eq!(district.status_text("reason"), "disk_full");
    federation.node("17065").import_all("households", &truth.households("17065"));
    let commune = federation.node("17065");
    wait_for(
        || format!("the commune does not hear that its parent's disk is low: {}", commune.status()),
        || commune.admin(["log", "list", "--output", "json"]).printed().contains("disk_full").then_some(()),
    );
    assert_eq!([EXCHANGE, ADMIN, QUERY, ""].map(|service| serves(district, service)), [false, true, true, false]);
    district.import_all("households", &truth.households("17062"));

    // Full in the middle of an import.
    let importing = district.import_in_background("changes", &truth.changes("17062"));
    disk.leave_free(0);
    let code = importing.wait();
    assert!(matches!(code, DONE | REFUSED), "the import ended with {code}");
    is(district, "full");
    assert_eq!([EXCHANGE, ADMIN, QUERY, ""].map(|service| serves(district, service)), [false, false, true, false]);
    let again = district.import("changes", &truth.changes("17062"), &[]).refused_with("disk_full");
    assert!(again.stderr.contains("Make room"), "{}", again.stderr);
    assert!(again.stderr.contains("Import the same file again"), "{}", again.stderr);
    district.admin(["period", "close", "--unit", "17062", "--month", "2021-12"]).refused_with("disk_full");
    district.admin(["child", "invite", "--unit", "17062", "--again"]).refused_with("disk_full");
    let status = district.status();
    assert_eq!(status["reason"], "disk_full", "{status}");
    assert!(status["next_step"].as_str().unwrap().contains("Make room"), "{status}");
    assert!(status["disk_free_mib"].as_u64().unwrap() < 20, "{status}");
    // Reading, and handing on what is here, need no room.
    district.admin(["log", "verify"]).must(DONE);
    district.admin(["doctor"]).refused_with("disk_full");

    disk.make_room();
    is(district, "room");
    assert!([EXCHANGE, ADMIN, QUERY, ""].iter().all(|service| serves(district, service)));
    district.import_all("changes", &truth.changes("17062"));
    federation.node("17065").import_all("changes", &truth.changes("17065"));
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
    assert!(district.logged().contains("the disk is full: nothing new is taken"), "the alarm stands in the log");
    // A restart finds nothing half done.
    let district = federation.node_mut("420");
    assert_eq!(district.stop(), DONE);
    district.run();
    federation.truth_holds(&truth);
}

#[test]
fn a_recovery_for_which_there_is_no_room_says_so_and_touches_nothing() {
    if !inside("disk::a_recovery_for_which_there_is_no_room_says_so_and_touches_nothing") {
        return;
    }
    let disk = SmallDisk::of_mib(64);
    let mut root = Node::at(disk.path(), "VN");
    root.init(&units_file(), UNITS_VERSION).must(DONE);
    root.run();
    assert_eq!(root.stop(), DONE);
    let database = root.data.join("danso.db");
    // A byte that SQLite does not use: only the seal tells that it changed.
    fs::File::options().write(true).open(&database).unwrap().write_all_at(&[1], 72).unwrap();
    let before = fs::read(&database).unwrap();
    disk.leave_free(before.len() as u64 / 2);
    let said = root.recover(None).refused_with("disk_full").stderr;
    assert!(said.contains("stays as it is"), "{said}");
    assert!(fs::read(&database).unwrap() == before && !root.data.join("recovering").exists());
    disk.make_room();
    root.recover(None).must(DONE);
    root.run();
}

#[test]
fn a_backup_for_which_there_is_no_room_is_refused_as_everything_is() {
    if !inside("disk::a_backup_for_which_there_is_no_room_is_refused_as_everything_is") {
        return;
    }
    let (disk, other) = (SmallDisk::of_mib(160), SmallDisk::of_mib(1));
    let mut federation = Federation::over(&[]);
    federation.add("40");
    federation.add_in(disk.path(), "420", |_| {});
    let district = federation.node("420");
    let backup = |out: &Path| {
        let words =
            ["backup".as_ref(), "--data".as_ref(), district.data.as_os_str(), "--out".as_ref(), out.as_os_str()];
        process::run(program("danso-node"), words)
    };
    // Where it goes.
    other.leave_free(0);
    let said = backup(&other.path().join("a.danso")).refused_with("disk_full");
    assert!(said.stderr.contains("Make room"), "{}", said.stderr);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "nothing is left but what takes the room");
    // Where the copy is made.
    for free in [0, 64 * 1024, 256 * 1024] {
        disk.leave_free(free);
        backup(&federation.path("b.danso")).refused_with("disk_full");
        disk.make_room();
    }
    backup(&federation.path("b.danso")).must(DONE);
}

/// Says how much is to stay free under a node that does not run.
fn least(node: &Node, mib: u64) {
    let path = node.data.join("danso.toml");
    let config = fs::read_to_string(&path).unwrap();
    let lines = config.lines().filter(|line| !line.starts_with("min_free_mib"));
    let config = lines.map(|line| format!("{line}\n")).collect::<String>();
    fs::write(path, config.replace("[store]", &format!("[store]\nmin_free_mib = {mib}"))).unwrap();
}

#[test]
fn a_recovery_for_which_there_is_too_little_room_leaves_no_entry_behind() {
    if !inside("disk::a_recovery_for_which_there_is_too_little_room_leaves_no_entry_behind") {
        return;
    }
    let disk = SmallDisk::of_mib(120);
    let mut federation = Federation::over(&["420"]);
    federation.add_in(disk.path(), "17065", |node| least(node, 4));
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &["17065"], ..Plan::default() });
    assert_eq!(federation.node_mut("420").stop(), DONE);
    federation.node("17065").import_all("households", &truth.households("17065"));
    assert_eq!(federation.node_mut("17065").stop(), DONE);
    federation.node_mut("420").run();
    // The room is less than what is said first to be the least, and more than what is said then: both times less than when nothing is said.
    let commune = federation.node("17065");
    let database = fs::read(commune.data.join("danso.db")).unwrap();
    disk.leave_free(50 * MIB);
    least(commune, 100);
    let said = commune.recover(None).refused_with("disk_full").stderr;
    assert!(said.contains("100 MiB is the least"), "{said}");
    assert!(fs::read(commune.data.join("danso.db")).unwrap() == database, "the old database is in its place");
    least(commune, 4);
    let said = commune.recover(None).must(DONE).stderr;
    assert!(!said.contains(" 0 that only") && !said.contains("ATTENTION"), "{said}");
    disk.make_room();
    federation.node_mut("17065").run();
    federation.node("17065").import_all("changes", &truth.changes("17065"));
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
}
