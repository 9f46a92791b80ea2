//! The whole way: household books and slips go in at communes, and every tier's table is the truth.

use std::fs;

use danso_tests::federation::{Federation, ROOT};
use danso_tests::node::Imported;
use danso_tests::process::DONE;
use danso_tests::truth::{Plan, Truth};

/// Two districts of one province, so that moves cross each kind of boundary.
const COMMUNES: [&str; 3] = ["17065", "17062", "16738"];

#[test]
fn every_tier_says_what_is_true() {
    let federation = Federation::over(&COMMUNES);
    let truth =
        Truth::simulate(&federation.path("sim"), &Plan { communes: &COMMUNES, households: 150, ..Plan::default() });
    for commune in COMMUNES {
        let node = federation.node(commune);
        node.import_all("households", &truth.households(commune));
        node.import_all("changes", &truth.changes(commune));
    }
    federation.settle();
    federation.truth_holds(&truth);
    for above in [ROOT, "40", "420", "415"] {
        truth.holds_at(federation.node(above), above, "children");
    }
    let central = federation.node(ROOT);
    truth.holds_by(central, ROOT, "province", &["40"]);
    truth.holds_by(central, "40", "district", &["415", "420"]);
    truth.holds_by(central, "40", "commune", &COMMUNES);
    truth.holds_by(federation.node("420"), "420", "commune", &["17062", "17065"]);
    federation.logs_verify();
}

#[test]
fn an_import_is_idempotent_and_takes_only_what_is_new() {
    let federation = Federation::over(&["17065"]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &["17065"], ..Plan::default() });
    let node = federation.node("17065");
    let (households, changes) = (truth.households("17065"), truth.changes("17065"));

    let before = node.status();
    let dry = Imported::of(&node.import("households", &households, &["--dry-run"]).printed());
    assert!(dry.rows > 0);
    assert_eq!((dry.taken, dry.refused), (dry.rows, 0), "a dry run says what would be taken");
    assert_eq!(node.status()["own_entries"], before["own_entries"], "a dry run writes nothing");

    let first = node.import_all("households", &households);
    assert_eq!(first, dry, "the import does what the dry run said");

    // A file cut off in the middle of the year, at a line's end.
    let text = fs::read_to_string(&changes).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let half = federation.path("half.csv");
    fs::write(&half, lines[..lines.len() / 2].concat()).unwrap();
    let early = node.import_all("changes", &half);
    assert_eq!((early.rows, early.unchanged), (lines.len() as u64 / 2 - 1, 0));
    let all = node.import_all("changes", &changes);
    assert_eq!(all.rows, lines.len() as u64 - 1);
    assert_eq!(all.unchanged + early.waiting, early.rows, "what came before is not taken again");

    let entries = node.status()["own_entries"].clone();
    for (form, file) in [("households", &households), ("changes", &changes)] {
        let again = node.import_all(form, file);
        assert_eq!((again.taken, again.unchanged), (0, again.rows), "{form}");
    }
    assert_eq!(node.status()["own_entries"], entries, "the same files again write nothing");
    federation.settle();
    federation.truth_holds(&truth);
}

#[test]
fn slips_that_come_before_their_people_wait_and_are_counted_later() {
    let federation = Federation::over(&["17065"]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &["17065"], seed: 11, ..Plan::default() });
    let node = federation.node("17065");
    let early = node.import_all("changes", &truth.changes("17065"));
    assert!(early.waiting > 0);
    assert_eq!(early.refused, 0);
    let list = node.admin(["waiting", "list", "--output", "csv"]).printed();
    assert_eq!(list.lines().count() as u64, early.waiting + 1, "each waiting slip is listed, under a header");
    node.import_all("households", &truth.households("17065"));
    assert_eq!(
        node.admin(["waiting", "list", "--output", "csv"]).printed().lines().count(),
        1,
        "nobody waits any more"
    );
    federation.settle();
    federation.truth_holds(&truth);
}

#[test]
fn no_name_and_no_identifier_is_in_what_is_shown_or_logged() {
    let mut federation = Federation::over(&["17065"]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &["17065"], ..Plan::default() });
    let book = fs::read_to_string(truth.households("17065")).unwrap();
    let node = federation.node("17065");
    node.import_all("households", &truth.households("17065"));
    node.import_all("changes", &truth.changes("17065"));
    federation.settle();
    let node_id = node.status_text("node");
    let shown = node.admin(["log", "show", &format!("{node_id}/records"), "--output", "json"]).must(DONE).stdout;
    assert!(shown.contains("17065"), "the log is shown");
    assert_eq!(federation.node_mut("17065").stop(), DONE, "a node that is asked to end ends well");
    let said = [shown, federation.nodes().iter().map(|n| n.logged()).collect::<String>()].concat();
    for row in danso_tests::truth::rows(&book) {
        for column in ["full_name", "national_id", "health_insurance_no"] {
            assert!(
                row[column].is_empty() || !said.contains(&row[column]),
                "{column} of a resident was shown or logged"
            );
        }
    }
}

#[test]
fn what_a_district_typed_for_a_commune_stays_in_the_figures_when_the_commune_gets_a_node() {
    let mut federation = Federation::over(&["17065"]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &["17065", "17062"], ..Plan::default() });
    // The district types the paper of a commune that has no computer.
    let district = federation.node("420");
    district.import_all("households", &truth.households("17062"));
    let commune = federation.node("17065");
    for form in ["households", "changes"] {
        let file = if form == "households" { truth.households("17065") } else { truth.changes("17065") };
        commune.import_all(form, &file);
    }
    district.import_all("changes", &truth.changes("17062"));
    federation.settle();
    truth.holds_at(federation.node("420"), "420", "children");
    let invite = ["child", "invite", "--unit", "17062"];
    federation.node("420").admin(invite).refused_with("unit_has_records");
    federation.add_again("17062");
    federation.node("420").admin(invite).refused_with("unit_has_node");
    federation.settle();
    truth.holds_at(federation.node("420"), "420", "local");
    truth.holds_at(federation.node(ROOT), "40", "children");
    // The new node does not hold what the district wrote: it is not asked, and nobody gets a figure that misses it.
    let question =
        ["aggregate", "pull", "--unit", "420", "--from", "2021-01", "--to", "2021-12", "--source", "children"];
    federation.node("420").admin(question).refused_with("child_incomplete");
}
