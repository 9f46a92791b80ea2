//! Backups with real processes: taken while a node works, proven, restored elsewhere; and what an old copy may not do.

use std::fs;
use std::path::{Path, PathBuf};

use danso_tests::federation::Federation;
use danso_tests::node::Node;
use danso_tests::process::{self, DONE, Ended, REFUSED, UNAVAILABLE, program, wait_for};
use danso_tests::truth::{Plan, Truth};
use serde_json::Value;

const COMMUNE: &str = "17065";
const PARENT: &str = "420";

fn danso<'a>(words: impl IntoIterator<Item = &'a str>) -> Ended {
    process::run(program("danso-node"), words)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the story's paths are UTF-8")
}

pub(crate) fn backup(node: &Node, out: &Path, more: &[&str]) -> Ended {
    danso(["backup", "--data", text(&node.data), "--out", text(out)].into_iter().chain(more.iter().copied()))
}

pub(crate) fn restore(input: &Path, node: &Node, more: &[&str]) -> Ended {
    danso(["restore", "--in", text(input), "--data", text(&node.data)].into_iter().chain(more.iter().copied()))
}

fn drill(input: &Path, more: &[&str]) -> (Ended, Value) {
    let ended =
        danso(["backup", "drill", "--in", text(input), "--output", "json"].into_iter().chain(more.iter().copied()));
    let said = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
    (ended, said)
}

/// Digest of register and figures of a node that does not run.
fn digest(node: &Node) -> (Value, Value) {
    let said = danso(["rebuild", "--data", text(&node.data), "--output", "json"]).printed();
    let said: Value = serde_json::from_str(&said).unwrap();
    (said["sha256_before"].clone(), said["sha256"].clone())
}

fn figures(node: &Node) -> String {
    let of =
        ["--unit", &node.unit, "--from", "2021-01", "--to", "2021-06", "--measure", "residents,births,deaths,arrivals"];
    node.admin(["aggregate", "pull", "--dimensions", "month,sex", "--output", "csv"].into_iter().chain(of)).printed()
}

/// Why the node writes nothing, as it says itself; empty when it writes.
fn read_only(node: &Node) -> String {
    let status = node.status();
    match status["reason"].as_str() {
        Some("read_only") => status["detail"].as_str().unwrap().to_owned(),
        _ => String::new(),
    }
}

/// All receipts that it has cover all that it has: that must not look as if everything had arrived.
#[track_caller]
fn says_that_it_may_lack_entries(node: &Node) {
    let waited = node.admin(["receipt", "wait", "--timeout", "1s"]).must(UNAVAILABLE);
    assert!(waited.stderr.contains("read_only") && !waited.stderr.contains("Nothing is lost"), "{}", waited.stderr);
    let pull = ["aggregate", "pull", "--unit", &node.unit, "--from", "2021-01", "--to", "2021-01", "--output", "json"];
    let pulled = node.admin(pull).must(DONE);
    assert!(pulled.stderr.contains("read_only"), "{}", pulled.stderr);
    let pulled: Value = serde_json::from_str(&pulled.stdout).unwrap();
    assert_eq!(pulled["header"]["reason"], "read_only");
}

/// A node in a new directory, with the address of the one that it takes the place of.
pub(crate) fn successor(of: &Node, dir: &Path, name: &str) -> Node {
    let mut node = Node::named(dir, name, &of.unit);
    node.listen.clone_from(&of.listen);
    node
}

pub(crate) fn book(dir: &Path, name: &str, rows: &[(&str, &str)]) -> PathBuf {
    let file = dir.join(name);
    let rows = rows.iter().map(|(reference, birth)| {
        let household = reference.split('.').next().unwrap();
        format!("{COMMUNE},{household},{reference},Vi Văn Nam,M,{birth}\n")
    });
    fs::write(
        &file,
        "unit_code,household_no,person_ref,full_name,sex,birth_date\n".to_owned() + &rows.collect::<String>(),
    )
    .unwrap();
    file
}

#[test]
fn a_backup_taken_while_a_node_imports_is_whole_and_everything_newer_comes_back() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(
        &federation.path("sim"),
        &Plan { communes: &[COMMUNE], households: 150, months: 6, ..Plan::default() },
    );
    let dir = federation.dir().to_owned();
    let node = federation.node(COMMUNE);
    node.import_all("households", &truth.households(COMMUNE));
    let importing = node.import_in_background("changes", &truth.changes(COMMUNE));
    let nowhere = backup(node, &dir.join("no/such/place"), &[]);
    assert!(nowhere.code == REFUSED && nowhere.stderr.contains("no/such/place"), "{}", nowhere.stderr);
    let out = dir.join("whole.danso");
    backup(node, &out, &["--with-keys"]).must(DONE);
    assert_eq!(importing.wait(), DONE);
    // The same name again: a backup replaces nothing.
    backup(node, &out, &["--with-keys"]).refused_with("directory_not_empty");
    let (ended, said) = drill(&out, &[]);
    ended.must(DONE);
    assert_eq!((&said["ok"], &said["keys"]), (&Value::Bool(true), &Value::Bool(true)), "{said}");

    // The disk dies. What was written after the backup is at the parent: the copy is behind, and says so instead of writing.
    federation.settle();
    federation.node_mut(COMMUNE).kill9();
    let mut back = successor(federation.node(COMMUNE), &dir, "back");
    restore(&out, &back, &[]).must(DONE);
    restore(&out, &back, &[]).refused_with("directory_not_empty");
    let before = digest(&back);
    assert_eq!(before.0, before.1);
    back.run();
    let own = back.status_text("node");
    let size = |node: &Node| -> u64 {
        let status = node.status();
        let logs = status["logs"].as_array().unwrap();
        let records = logs.iter().find(|log| log["log"] == format!("{own}/records").as_str());
        records.map_or(0, |log| log["entries"].as_u64().unwrap())
    };
    let above = federation.node(PARENT);
    let (here, there) = (size(&back), size(above));
    assert!(here <= there);
    if here < there {
        wait_for(
            || "it does not see that it is behind".into(),
            || read_only(&back).contains("at the parent").then_some(()),
        );
    } else {
        wait_for(|| "it is not let go on".into(), || read_only(&back).is_empty().then_some(()));
        // Files again: nothing twice.
        back.import_all("changes", &truth.changes(COMMUNE));
        back.receipt_wait("central").must(DONE);
        truth.holds_at(&back, COMMUNE, "local");
    }
    back.admin(["log", "verify"]).must(DONE);
    for unit in [PARENT, "40", "VN"] {
        truth.holds_at(federation.node(unit), unit, "local");
    }
}

#[test]
fn a_restored_node_that_is_not_behind_writes_again_once_its_parent_said_so() {
    let mut federation = Federation::over(&[COMMUNE]);
    let dir = federation.dir().to_owned();
    let node = federation.node(COMMUNE);
    let one = book(&dir, "one.csv", &[("001.1", "1980-05-04"), ("001.2", "1985-06-07")]);
    node.import_all("households", &one);
    node.receipt_wait("central").must(DONE);
    let asked = figures(node);
    let passphrase = dir.join("passphrase");
    fs::write(&passphrase, "nước chảy đá mòn\n").unwrap();
    let locked = ["--passphrase-file", text(&passphrase)];
    let out = dir.join("locked.danso");
    backup(node, &out, &locked).must(DONE);
    federation.node_mut(COMMUNE).kill9();
    // The parent is away: nobody can say whether the copy is the latest.
    assert_eq!(federation.node_mut(PARENT).stop(), DONE);

    let mut back = successor(federation.node(COMMUNE), &dir, "back");
    restore(&out, &back, &[]).refused_with("passphrase_wrong");
    assert!(!back.data.exists(), "nothing was made for a backup that cannot be read");
    restore(&out, &back, &locked).must(DONE);
    back.run();
    assert_eq!(figures(&back), asked, "figures as at the backup");
    assert!(read_only(&back).contains("restore confirm"), "{}", read_only(&back));
    says_that_it_may_lack_entries(&back);
    let two = book(&dir, "two.csv", &[("002.1", "1990-01-02")]);
    back.import("households", &two, &[]).refused_with("read_only");
    back.admin(["period", "close", "--unit", COMMUNE, "--month", "2021-01"]).refused_with("read_only");
    assert_eq!(figures(&back), asked, "and nothing was written");

    federation.node_mut(PARENT).run();
    wait_for(|| "the parent does not confirm it".into(), || read_only(&back).is_empty().then_some(()));
    assert_eq!(back.import_all("households", &two).taken, 1);
    assert_eq!(back.import_all("households", &one).unchanged, 2);
    back.receipt_wait("central").must(DONE);
    // The mark is gone for good.
    assert_eq!(back.stop(), DONE);
    back.run();
    assert_eq!(read_only(&back), "");
    for unit in [PARENT, "40", "VN"] {
        federation.node(unit).admin(["log", "verify"]).must(DONE);
    }
}

#[test]
fn an_old_copy_that_is_restored_writes_nothing_and_harms_nobody() {
    let mut federation = Federation::over(&[COMMUNE]);
    let dir = federation.dir().to_owned();
    let node = federation.node(COMMUNE);
    node.import_all("households", &book(&dir, "one.csv", &[("001.1", "1980-05-04")]));
    let out = dir.join("old.danso");
    backup(node, &out, &["--with-keys"]).must(DONE);
    node.import_all("households", &book(&dir, "two.csv", &[("002.1", "1990-01-02"), ("002.2", "1991-01-02")]));
    node.receipt_wait("central").must(DONE);
    federation.node_mut(COMMUNE).kill9();

    let mut back = successor(federation.node(COMMUNE), &dir, "back");
    restore(&out, &back, &[]).must(DONE);
    back.run();
    wait_for(
        || "it does not see that it is behind".into(),
        || read_only(&back).contains("at the parent").then_some(()),
    );
    says_that_it_may_lack_entries(&back);
    let three = book(&dir, "three.csv", &[("003.1", "1970-01-02")]);
    back.import("households", &three, &[]).refused_with("read_only");
    // Not in any other log of its own either: its next entry there could be a second history, too.
    back.admin(["period", "close", "--unit", COMMUNE, "--month", "2021-01"]).refused_with("read_only");
    // Nor on anybody's word, once it is known to be behind.
    assert_eq!(back.stop(), DONE);
    let confirm = danso(["restore", "confirm", "--data", text(&back.data)]).refused_with("read_only");
    assert!(confirm.stderr.contains("danso-node recover"), "{}", confirm.stderr);
    back.run();
    assert!(read_only(&back).contains("at the parent"), "after a restart too");
    let residents = |node: &Node| -> i64 {
        let of =
            ["--unit", COMMUNE, "--from", "2021-12", "--to", "2021-12", "--measure", "residents", "--output", "csv"];
        let said = node.admin(["aggregate", "pull"].into_iter().chain(of)).printed();
        danso_tests::truth::rows(&said).map(|row| row["value"].parse::<i64>().unwrap()).sum()
    };
    for unit in [PARENT, "40", "VN"] {
        assert_eq!(residents(federation.node(unit)), 3, "{unit}");
    }
    // The true one, should its disk turn up again, goes on as if nothing had been.
    assert_eq!(back.stop(), DONE);
    federation.node_mut(COMMUNE).run();
    assert_eq!(federation.node(COMMUNE).import_all("households", &three).taken, 1);
    federation.settle();
    assert_eq!(residents(federation.node("VN")), 4);
    federation.logs_verify();
}

#[test]
fn a_restored_district_says_what_only_the_province_holds_and_revokes_nobody_over_it() {
    let mut federation = Federation::over(&[COMMUNE]);
    let dir = federation.dir().to_owned();
    let commune = federation.node(COMMUNE);
    commune.import_all("households", &book(&dir, "one.csv", &[("001.1", "1980-05-04")]));
    commune.receipt_wait("central").must(DONE);
    let out = dir.join("old.danso");
    let gone = commune.status_text("node");
    let token = federation.node(PARENT).invite_lost(&gone);
    backup(federation.node(PARENT), &out, &["--with-keys"]).must(DONE);
    commune.import_all("households", &book(&dir, "two.csv", &[("002.1", "1990-01-02"), ("002.2", "1991-01-02")]));
    commune.receipt_wait("central").must(DONE);
    federation.node_mut(COMMUNE).kill9();
    federation.node_mut(PARENT).kill9();

    let mut back = successor(federation.node(PARENT), &dir, "back");
    restore(&out, &back, &[]).must(DONE);
    back.run();
    let log = format!("{gone}/records");
    let told = |node: &Node| {
        let logs = node.status()["logs"].as_array().unwrap().clone();
        logs.into_iter().find(|state| state["log"] == *log && state["reason"] == "log_shorter_than_receipt")
    };
    let state = wait_for(|| format!("it is not told: {}", back.status()), || told(&back));
    let detail = state["detail"].as_str().unwrap();
    assert!(detail.contains("at the parent") && detail.contains("danso-node recover"), "{detail}");
    wait_for(|| "nobody confirms it".into(), || read_only(&back).is_empty().then_some(()));
    let revoke = ["child", "revoke", &gone, "--reason", "its commune was dissolved", "--yes"];
    let refused = back.admin(revoke).refused_with("log_shorter_than_receipt");
    assert!(refused.stderr.contains("--size"), "{}", refused.stderr);
    // Nor does it give the place back, with less than stands above.
    back.admin(["child", "invite", "--node", &gone]).refused_with("log_shorter_than_receipt");
    // Also not for a token that was made when all was there, and that the backup knows.
    let lost = Node::named(&dir, "lost", COMMUNE);
    lost.recover(Some(&token)).refused_with("log_shorter_than_receipt");
    assert_eq!(back.stop(), DONE);
    back.recover(None).must(DONE);
    back.run();
    back.receipt_wait("central").must(DONE);
    assert_eq!(told(&back), None);
    back.admin(revoke).must(DONE);
    let held = |node: &Node| {
        let logs = node.status()["logs"].as_array().unwrap().clone();
        logs.into_iter().find(|state| state["log"] == *log).map(|state| state["size"].clone())
    };
    assert_eq!(held(&back), held(federation.node("40")), "all of it counts");
}

#[test]
fn the_root_is_let_go_on_by_its_operator() {
    let mut federation = Federation::central();
    let dir = federation.dir().to_owned();
    let out = dir.join("root.danso");
    // It does not run: a backup needs no node.
    assert_eq!(federation.node_mut("VN").stop(), DONE);
    backup(federation.node("VN"), &out, &["--with-keys"]).must(DONE);
    let mut back = successor(federation.node("VN"), &dir, "back");
    restore(&out, &back, &[]).must(DONE);
    back.run();
    back.admin(["child", "invite", "--unit", "40"]).refused_with("read_only");
    assert_eq!(back.stop(), DONE);
    danso(["restore", "confirm", "--data", text(&back.data)]).must(DONE);
    danso(["restore", "confirm", "--data", text(&back.data)]).refused_with("not_found");
    back.run();
    let node = Node::at(&dir, "40");
    node.join(&back);
    back.admin(["log", "verify"]).must(DONE);
}

#[test]
fn a_backup_that_was_damaged_anywhere_is_found_out_and_makes_no_node() {
    let mut federation = Federation::over(&["40"]);
    let dir = federation.dir().to_owned();
    let plain = dir.join("plain.danso");
    backup(federation.node("40"), &plain, &[]).must(DONE);
    let passphrase = dir.join("passphrase");
    fs::write(&passphrase, "một câu dài\n").unwrap();
    let locked = dir.join("locked.danso");
    backup(federation.node("40"), &locked, &["--passphrase-file", text(&passphrase)]).must(DONE);
    drill(&plain, &[]).0.must(DONE);
    drill(&locked, &["--passphrase-file", text(&passphrase)]).0.must(DONE);
    let wrong = dir.join("wrong");
    fs::write(&wrong, "một câu khác\n").unwrap();
    drill(&locked, &["--passphrase-file", text(&wrong)]).0.refused_with("passphrase_wrong");
    drill(&locked, &[]).0.refused_with("passphrase_wrong");
    let whole = fs::read(&plain).unwrap();
    let broken = dir.join("broken.danso");
    for at in [0, 20, 40, whole.len() / 3, whole.len() / 2, whole.len() - 40, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&broken, bytes).unwrap();
        drill(&broken, &[]).0.refused_with("backup_damaged");
    }
    fs::write(&broken, &whole[..whole.len() - 1]).unwrap();
    drill(&broken, &[]).0.refused_with("backup_damaged");
    let place = Node::named(&dir, "place", "40");
    restore(&broken, &place, &[]).refused_with("backup_damaged");
    assert!(!place.data.exists(), "no node, nor half of one");

    // Without keys it is a node that cannot speak, and says what it needs.
    let ended = restore(&plain, &place, &[]).must(DONE);
    assert!(ended.stderr.contains("recover") && ended.stderr.contains("--token-file"), "{}", ended.stderr);
    assert!(!place.data.join("keys/log.pem").exists());
    assert_eq!(federation.node_mut("40").stop(), DONE);
}

#[test]
fn a_rebuild_that_is_killed_leaves_the_old_figures() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(
        &federation.path("sim"),
        &Plan { communes: &[COMMUNE], households: 300, months: 6, ..Plan::default() },
    );
    let node = federation.node_mut(COMMUNE);
    node.import_all("households", &truth.households(COMMUNE));
    node.import_all("changes", &truth.changes(COMMUNE));
    assert_eq!(node.stop(), DONE);
    let data = text(&node.data).to_owned();
    let whole = digest(node);
    assert_eq!(whole.0, whole.1, "live arrival and rebuild are the same");
    for ms in [20, 60, 120, 200, 400] {
        let mut child = std::process::Command::new(program("danso-node"))
            .args(["rebuild", "--data", &data])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Not a wait for anything: the moment of the power cut.
        std::thread::sleep(std::time::Duration::from_millis(ms));
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(digest(node), whole, "killed after {ms} ms");
    }
    node.run();
    truth.holds_at(node, COMMUNE, "local");
}

#[test]
fn a_backup_or_a_restore_that_is_killed_leaves_nothing_half() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(
        &federation.path("sim"),
        &Plan { communes: &[COMMUNE], households: 300, months: 2, ..Plan::default() },
    );
    let dir = federation.dir().to_owned();
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    let out = dir.join("out.danso");
    let data = text(&federation.node(COMMUNE).data).to_owned();
    let killed_after = |words: &[&str], ms: u64| {
        let mut child = std::process::Command::new(program("danso-node"))
            .args(words)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Not a wait for anything: the moment of the power cut.
        std::thread::sleep(std::time::Duration::from_millis(ms));
        let _ = child.kill();
        child.wait().unwrap();
    };
    for ms in [10, 40, 90, 160, 250] {
        killed_after(&["backup", "--data", &data, "--out", text(&out), "--with-keys"], ms);
        if out.exists() {
            drill(&out, &[]).0.must(DONE);
            fs::remove_file(&out).unwrap();
        }
    }
    backup(federation.node(COMMUNE), &out, &["--with-keys"]).must(DONE);
    let left: Vec<_> = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".backup-"))
        .collect();
    assert!(left.is_empty(), "copies of the database were left: {left:?}");
    let beside = fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let left: Vec<_> = beside.filter(|name| name.starts_with(".danso-backup-")).collect();
    assert!(left.is_empty(), "halves of backups were left: {left:?}");
    federation.node_mut(COMMUNE).kill9();
    let mut back = successor(federation.node(COMMUNE), &dir, "back");
    for ms in [10, 30, 60, 100, 160] {
        killed_after(&["restore", "--in", text(&out), "--data", text(&back.data)], ms);
        if back.data.join("danso.toml").exists() {
            break;
        }
    }
    if !back.data.join("danso.toml").exists() {
        restore(&out, &back, &[]).must(DONE);
    }
    back.run();
    wait_for(|| "the parent does not confirm it".into(), || read_only(&back).is_empty().then_some(()));
    assert_eq!(back.import_all("households", &truth.households(COMMUNE)).taken, 0);
    back.import_all("changes", &truth.changes(COMMUNE));
    back.receipt_wait("central").must(DONE);
    truth.holds_at(&back, COMMUNE, "local");
}

#[test]
fn whoever_lost_keys_or_disk_gets_the_log_back_and_takes_no_row_twice() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(
        &federation.path("sim"),
        &Plan { communes: &[COMMUNE], households: 40, months: 4, ..Plan::default() },
    );
    let dir = federation.dir().to_owned();
    let node = federation.node(COMMUNE);
    node.import_all("households", &truth.households(COMMUNE));
    node.import_all("changes", &truth.changes(COMMUNE));
    federation.settle();
    let lost = federation.node(COMMUNE).status_text("node");
    let out = dir.join("plain.danso");
    backup(federation.node(COMMUNE), &out, &[]).must(DONE);
    federation.node_mut(COMMUNE).kill9();
    // First a backup without its keys, then nothing at all.
    for (name, backed_up) in [("keys", true), ("disk", false)] {
        let mut back = successor(federation.node(COMMUNE), &dir, name);
        if backed_up {
            restore(&out, &back, &[]).must(DONE);
        }
        let token = federation.node(PARENT).invite_lost(&lost);
        back.recover(Some(&token)).must(DONE);
        back.run();
        for (form, file) in [("households", truth.households(COMMUNE)), ("changes", truth.changes(COMMUNE))] {
            let again = back.import_all(form, &file);
            assert_eq!((again.taken, again.waiting, again.unchanged), (0, 0, again.rows), "{form}, lost: {name}");
        }
        back.receipt_wait("central").must(DONE);
        truth.holds_at(&back, COMMUNE, "local");
        back.kill9();
    }
    federation.node("VN").admin(["log", "verify"]).must(DONE);
}

#[test]
fn what_was_cut_says_how_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = |name: &str, left: &str| {
        let data = dir.path().join(name);
        fs::create_dir_all(data.join(left)).unwrap();
        data
    };
    let run = |data: &Path| danso(["run", "--data", text(data)]).refused_with("not_found").stderr;
    let (restoring, recovering) = (data("a", ".restoring"), data("b", "recovering"));
    assert!(run(&restoring).contains("danso-node restore --in FILE"));
    assert!(run(&recovering).contains("danso-node recover --data"));
    let (nothing, out) = (dir.path().join("nothing"), dir.path().join("out.danso"));
    let said = danso(["backup", "--data", text(&restoring), "--out", text(&out), "--passphrase-file", text(&nothing)]);
    assert!(said.refused_with("not_found").stderr.contains("first line is the passphrase"));
}
