//! Log keys change while nodes run; a node that is revoked writes no more, and nobody else notices.

use std::thread;
use std::time::Duration;

use danso_tests::federation::Federation;
use danso_tests::node::Node;
use danso_tests::process::{DONE, REFUSED, Random, UNAVAILABLE, wait_for};
use danso_tests::truth::{Plan, Truth};

use crate::refusals_wire::residents;

const COMMUNE: &str = "17065";
const NEIGHBOUR: &str = "17062";
const DISTRICT: &str = "420";
/// A commune of another district, which knows nothing of these.
const ELSEWHERE: &str = "16738";

#[test]
fn every_tier_changes_its_key_while_entries_flow() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    // Nobody is there who could answer a question.
    federation.node(COMMUNE).admin(["key", "rotate"]).must(2);
    for unit in [COMMUNE, DISTRICT, "40", "VN", COMMUNE] {
        let rotated = federation.node(unit).admin(["key", "rotate", "--yes", "--output", "json"]).printed();
        assert!(rotated.contains("new_key"), "{rotated}");
    }
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
    // The keys that the directory names are those in the files: everybody starts again, and goes on.
    for unit in ["VN", "40", DISTRICT, COMMUNE] {
        federation.node_mut(unit).kill9();
        federation.node_mut(unit).run();
    }
    federation.node(COMMUNE).admin(["period", "close", "--unit", COMMUNE, "--month", "2021-12"]).must(DONE);
    federation.settle();
    truth.holds_at(federation.node("VN"), "VN", "children");
    federation.logs_verify();
}

/// Paste the seed of a failure here.
const SEED: u64 = 20_211_001;

#[test]
fn a_power_cut_while_a_key_changes_leaves_the_old_key_or_the_new_one() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    let mut random = Random(SEED);
    for cut in 0..8 {
        let moment = Duration::from_millis(random.below(60));
        println!("seed {SEED}: power cut {cut} after {moment:?}");
        let rotating = federation.node(COMMUNE).admin_in_background(&["key", "rotate", "--yes"]);
        // Not a wait for anything: the random moment itself.
        thread::sleep(moment);
        federation.node_mut(COMMUNE).kill9();
        rotating.wait();
        federation.node_mut(COMMUNE).run();
        let node = federation.node(COMMUNE);
        node.admin(["period", "close", "--unit", COMMUNE, "--month", &format!("2021-{:02}", cut + 1)]).must(DONE);
    }
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.settle();
    federation.truth_holds(&truth);
    federation.logs_verify();
}

#[test]
fn a_revoked_node_is_let_go_and_its_unit_gets_another() {
    let mut federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    let communes = [COMMUNE, NEIGHBOUR];
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &communes, ..Plan::default() });
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    let stolen = federation.node(COMMUNE).status_text("node");
    let district = federation.node(DISTRICT);
    let revoke = |words: &[&str]| {
        let all = ["child", "revoke", &stolen, "--reason", "mất máy", "--yes"].into_iter().chain(words.iter().copied());
        district.admin(all)
    };
    revoke(&["--size", &format!("{stolen}/records=99999")]).refused_with("request_invalid");
    district.admin(["child", "revoke", "17059-0123456789abcdef", "--reason", "x", "--yes"]).refused_with("not_found");
    federation
        .node(NEIGHBOUR)
        .admin(["child", "revoke", &stolen, "--reason", "x", "--yes"])
        .refused_with("unit_not_below");
    revoke(&[]).must(DONE);
    let commune = federation.node(COMMUNE);
    wait_for(
        || format!("{}", commune.status()),
        || (commune.status_text("link_reason") == "key_revoked").then_some(()),
    );
    says_that_it_was_revoked(commune);
    // What it wrote now would go nowhere: it is refused, also in a dry run. Everybody else goes on.
    for more in [&[][..], &["--dry-run"]] {
        commune.import("changes", &truth.changes(COMMUNE), more).refused_with("key_revoked");
    }
    commune.admin(["period", "close", "--unit", COMMUNE, "--month", "2024-01"]).refused_with("key_revoked");
    federation.node(NEIGHBOUR).import_all("households", &truth.households(NEIGHBOUR));
    federation.node(NEIGHBOUR).import_all("changes", &truth.changes(NEIGHBOUR));
    federation.node(NEIGHBOUR).receipt_wait("central").must(DONE);
    truth.holds_at(federation.node(NEIGHBOUR), NEIGHBOUR, "local");
    // Not even with a token: revoked is revoked.
    federation
        .node(DISTRICT)
        .admin(["child", "invite", "--node", &stolen, "--address", "127.0.0.1:1"])
        .refused_with("key_revoked");
    // It does not forget because its parent is away.
    assert_eq!(federation.node_mut(DISTRICT).stop(), DONE);
    let commune = federation.node(COMMUNE);
    commune.admin(["link", "retry"]).must(UNAVAILABLE);
    says_that_it_was_revoked(commune);
    federation.node_mut(DISTRICT).run();
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    federation.node(COMMUNE).recover(None).refused_with("key_revoked");
}

#[test]
fn what_a_revocation_leaves_out_behind_a_change_of_keys_is_shown_as_not_counting_and_is_no_error() {
    // With what the new key wrote, and without.
    for bounds in [&["directory=0"][..], &["directory=0", "records=1"]] {
        let federation = Federation::over(&[COMMUNE]);
        let commune = federation.node(COMMUNE);
        let close = |month: &str| commune.admin(["period", "close", "--unit", COMMUNE, "--month", month]).must(DONE);
        close("2021-01");
        commune.admin(["key", "rotate", "--yes"]).must(DONE);
        close("2021-02");
        federation.settle();
        let stolen = commune.status_text("node");
        let district = federation.node(DISTRICT);
        let sizes: Vec<String> = bounds.iter().map(|bound| format!("--size={stolen}/{bound}")).collect();
        let words = ["child", "revoke", &stolen, "--reason", "mất máy", "--yes"];
        district.admin(words.into_iter().chain(sizes.iter().map(String::as_str))).must(DONE);
        district.receipt_wait("central").must(DONE);
        for unit in [DISTRICT, "40", "VN"] {
            let node = federation.node(unit);
            let verified = node.admin(["log", "verify", "--output", "json"]).must(DONE).stdout;
            let rows: serde_json::Value = serde_json::from_str(&verified).expect("JSON");
            let row = |stream: &str| {
                let log = format!("{stolen}/{stream}");
                rows.as_array().into_iter().flatten().find(|row| row["log"] == log).expect("the log")["detail"]
                    .to_string()
            };
            assert!(row("directory").contains("do not count"), "{rows}");
            assert!(row("records").contains("not count"), "{rows}");
            let doctor = node.admin(["doctor"]).must(DONE);
            assert!(doctor.stdout.contains("does not count"), "{}", doctor.stdout);
        }
    }
}

/// How many entries of a log a node holds.
fn held(node: &Node, log: &str) -> u64 {
    let list = node.admin(["log", "list", "--output", "json"]).printed();
    let list: serde_json::Value = serde_json::from_str(&list).expect("a list");
    let row = list.as_array().into_iter().flatten().find(|row| row["log"] == log);
    row.and_then(|row| row["entries"].as_u64()).unwrap_or(0)
}

#[test]
fn a_word_about_a_grandchild_stops_nobody_who_never_heard_of_it() {
    let mut federation = Federation::over(&[COMMUNE, ELSEWHERE]);
    let stolen = federation.node(COMMUNE).status_text("node");
    federation.node("VN").admin(["child", "revoke", &stolen, "--reason", "mất máy", "--yes"]).must(DONE);
    let directory = format!("{}/directory", federation.node("VN").status_text("node"));
    let size = held(federation.node("VN"), &directory);
    // The other branch reads on behind that entry, and so do those who start with it.
    for unit in [ELSEWHERE, "415", DISTRICT, "VN"] {
        let node = federation.node(unit);
        wait_for(|| format!("{}", node.status()), || (held(node, &directory) == size).then_some(()));
        federation.node_mut(unit).kill9();
        federation.node_mut(unit).run();
    }
    let elsewhere = federation.node(ELSEWHERE);
    elsewhere.admin(["period", "close", "--unit", ELSEWHERE, "--month", "2024-01"]).must(DONE);
    elsewhere.receipt_wait("central").must(DONE);
    federation.logs_verify();
}

/// A commune that its province enrolled itself, and whose book has arrived everywhere.
#[track_caller]
fn commune_below_its_province() -> (Federation, Node, Truth) {
    let mut federation = Federation::central();
    federation.add("40");
    let mut commune = Node::at(federation.dir(), COMMUNE);
    commune.join(federation.node("40"));
    commune.run();
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    commune.import_all("households", &truth.households(COMMUNE));
    commune.receipt_wait("central").must(DONE);
    (federation, commune, truth)
}

#[test]
fn a_commune_that_lost_its_place_with_its_province_gets_one_from_the_root_and_counts_again() {
    let (federation, mut commune, truth) = commune_below_its_province();
    let (province, root) = (federation.node("40").status_text("node"), federation.node("VN"));
    let (lost, once) = (commune.status_text("node"), residents(root, COMMUNE));
    assert!(once > 0);
    let size = format!("{province}/directory=0");
    let revoke = ["child", "revoke", &province, "--size", &size, "--reason", "mất khóa", "--yes"];
    let said = root.admin(revoke).must(DONE).stderr;
    assert!(said.contains(&lost) && said.contains("child invite --node"), "{said}");
    assert_eq!(residents(root, COMMUNE), 0);
    // It is not thrown away: neither by a second author, nor because it looks revoked.
    root.admin(["child", "invite", "--unit", COMMUNE, "--address", "127.0.0.1:1"]).refused_with("unit_has_node");
    let token = root.invite_lost(&lost);
    assert_eq!(commune.stop(), DONE);
    commune.recover(Some(&token)).must(DONE);
    commune.run();
    assert_eq!(commune.status_text("parent_node"), root.status_text("node"));
    commune.receipt_wait("central").must(DONE);
    assert_eq!(residents(root, COMMUNE), once);
    commune.import_all("changes", &truth.changes(COMMUNE));
    commune.receipt_wait("central").must(DONE);
    for node in [&commune, root] {
        assert_eq!(node.status()["reason"], "", "{}", node.status());
        truth.holds_at(node, COMMUNE, "local");
        node.admin(["log", "verify"]).must(DONE);
    }
}

#[test]
fn a_commune_whose_new_key_its_revoked_province_had_vouched_for_comes_back_with_all_that_it_wrote() {
    for rotates in [false, true] {
        let (federation, mut commune, truth) = commune_below_its_province();
        // The disk is lost, and the province vouches for the new key.
        let lost = commune.status_text("node");
        commune.kill9();
        std::fs::remove_dir_all(&commune.data).unwrap();
        let token = federation.node("40").invite_lost(&lost);
        commune.recover(Some(&token)).must(DONE);
        commune.run();
        commune.import_all("changes", &truth.changes(COMMUNE));
        if rotates {
            commune.admin(["key", "rotate", "--yes"]).must(DONE);
            commune.admin(["period", "close", "--unit", COMMUNE, "--month", "2021-12"]).must(DONE);
        }
        commune.receipt_wait("central").must(DONE);
        let (province, root) = (federation.node("40").status_text("node"), federation.node("VN"));
        let size = format!("{province}/directory=0");
        root.admin(["child", "revoke", &province, "--size", &size, "--reason", "mất khóa", "--yes"]).must(DONE);
        let token = root.invite_lost(&lost);
        assert_eq!(commune.stop(), DONE);
        commune.recover(Some(&token)).must(DONE);
        commune.run();
        commune.receipt_wait("central").must(DONE);
        commune.admin(["period", "close", "--unit", COMMUNE, "--month", "2022-01"]).must(DONE);
        commune.receipt_wait("central").must(DONE);
        for node in [&commune, root] {
            truth.holds_at(node, COMMUNE, "local");
            node.admin(["log", "verify"]).must(DONE);
        }
    }
}

/// Whoever looks is told, and from where on nothing counts.
#[track_caller]
fn says_that_it_was_revoked(commune: &Node) {
    let status = commune.status();
    assert_eq!(status["reason"], "key_revoked", "{status}");
    assert!(status["detail"].as_str().unwrap().contains("/records the first "), "{status}");
    let waited = commune.admin(["receipt", "wait", "--tier", "central"]).must(REFUSED);
    assert!(waited.stderr.contains("key_revoked") && !waited.stderr.contains("goes on sending"), "{}", waited.stderr);
    let shown = commune.admin(["receipt", "show"]).must(DONE);
    assert!(shown.stderr.contains("/records the first "), "{}", shown.stderr);
    let pull = ["aggregate", "pull", "--unit", COMMUNE, "--from", "2021-01", "--to", "2021-01", "--output", "json"];
    let pulled = commune.admin(pull).must(DONE);
    assert!(pulled.stderr.contains("key_revoked"), "{}", pulled.stderr);
    let pulled: serde_json::Value = serde_json::from_str(&pulled.stdout).unwrap();
    assert_eq!(pulled["header"]["reason"], "key_revoked");
    commune.admin(["doctor"]).refused_with("key_revoked");
}

#[test]
fn a_second_node_of_a_unit_that_takes_in_the_same_book_is_noticed_and_undone() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    let book = truth.households(COMMUNE);
    federation.node(COMMUNE).import_all("households", &book);
    federation.settle();
    let former = format!("{}/records", federation.node(COMMUNE).status_text("node"));
    federation.node_mut(COMMUNE).kill9();
    let district = federation.node(DISTRICT);
    let once = residents(district, COMMUNE);
    let mut new = Node::named(federation.dir(), "new", COMMUNE);
    let invite = ["child", "invite", "--unit", COMMUNE, "--address", &district.listen, "--again"];
    let invited = district.admin(invite).must(DONE);
    assert!(invited.stderr.contains(&former) && invited.stderr.contains("counts twice"), "{}", invited.stderr);
    new.join_with(&new.token_file(invited.stdout.trim())).must(DONE);
    new.run();
    // It knows of the other from the directory, and says so before it takes anything in.
    let warned = |more: &[&str]| new.import("households", &book, more).must(DONE).stderr.contains(&former);
    wait_for(|| "it does not warn".into(), || warned(&["--dry-run"]).then_some(()));
    assert!(warned(&[]));
    new.receipt_wait("").must(DONE);
    let status = district.status();
    assert_eq!(status["reason"], "two_authors", "{status}");
    assert!(status["detail"].as_str().unwrap().contains(&former), "{status}");
    assert_eq!(residents(district, COMMUNE), 2 * once);
    // What the texts advise undoes it.
    let (node, bound) = (former.split('/').next().unwrap(), format!("{former}=0"));
    district.admin(["child", "revoke", node, "--size", &bound, "--reason", "máy hỏng", "--yes"]).must(DONE);
    wait_for(|| format!("{}", district.status()), || (district.status()["reason"] == "").then_some(()));
    assert_eq!(residents(district, COMMUNE), once);
    wait_for(|| "it goes on warning".into(), || (!warned(&["--dry-run"])).then_some(()));
}
