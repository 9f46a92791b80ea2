//! A node whose figures are not all of what its units reported: it was put back from an old copy, or a node below it is a child of another
//! now. Whoever looks at it, or asks the node above it, is told.

use std::fs;

use danso_tests::federation::Federation;
use danso_tests::node::Node;
use danso_tests::process::{DONE, wait_for};
use serde_json::{Value, json};

use crate::backups::{backup, book, restore, successor};

const COMMUNE: &str = "17065";
const DISTRICT: &str = "420";
const PROVINCE: &str = "40";

/// What `aggregate pull` says of who answered, and what it tells people.
#[track_caller]
fn pulled(node: &Node, unit: &str, source: &str) -> (Value, String) {
    let of = ["--unit", unit, "--from", "2021-01", "--to", "2021-01", "--source", source, "--output", "json"];
    let ended = node.admin(["aggregate", "pull"].into_iter().chain(of)).must(DONE);
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    (said["header"].clone(), ended.stderr)
}

/// The notes as pairs of who says so and why.
fn notes(header: &Value) -> Vec<(&str, &str)> {
    let notes = header["notes"].as_array().unwrap();
    notes.iter().map(|note| (note["node"].as_str().unwrap(), note["reason"].as_str().unwrap())).collect()
}

/// The former parent of a node knows, once its directory came down, to whom it went, and says so to whoever looks at its figures.
#[track_caller]
pub(crate) fn says_that_it_moved(former: &Node, child: &str, parent: &str) {
    let status = wait_for(
        || format!("it does not say that its child has moved: {}", former.status()),
        || Some(former.status()).filter(|status| !status["notes"].as_str().unwrap().is_empty()),
    );
    assert_eq!(status["reason"], "", "nothing is wrong with it: {status}");
    let me = status["node"].as_str().unwrap();
    let (header, told) = pulled(former, &former.unit, "local");
    assert_eq!(notes(&header), [(me, "moved_away")]);
    let detail = header["notes"][0]["detail"].as_str().unwrap();
    for said in [status["notes"].as_str().unwrap(), detail, &told] {
        assert!(said.contains(&format!("{child} is a child of {parent} now")), "{said}");
        assert!(said.contains("entries of its records are here and count, the last came on"), "{said}");
    }
}

#[test]
fn a_district_that_was_put_back_says_that_its_figures_are_too_low_until_its_commune_is_back() {
    let mut federation = Federation::over(&[COMMUNE]);
    let dir = federation.dir().to_owned();
    let commune = federation.node(COMMUNE);
    commune.import_all("households", &book(&dir, "one.csv", &[("001.1", "1980-05-04")]));
    commune.receipt_wait("central").must(DONE);
    let (out, gone) = (dir.join("old.danso"), commune.status_text("node"));
    let token = federation.node(DISTRICT).invite_lost(&gone);
    backup(federation.node(DISTRICT), &out, &["--with-keys"]).must(DONE);
    commune.import_all("households", &book(&dir, "two.csv", &[("002.1", "1990-01-02")]));
    commune.receipt_wait("central").must(DONE);
    for unit in [COMMUNE, DISTRICT, PROVINCE] {
        federation.node_mut(unit).kill9();
    }
    let mut back = successor(federation.node(DISTRICT), &dir, "back");
    restore(&out, &back, &[]).must(DONE);
    back.run();
    // Nobody confirms it yet: who is below it is told that it is the node above that has to be brought up.
    let (me, above) = (back.status_text("node"), format!("the node above, {}", back.status_text("node")));
    let refused = federation.node(COMMUNE).recover(None).refused_with("read_only");
    assert!(
        refused.stderr.contains(&above) && refused.stderr.contains("its operator brings it up first"),
        "{}",
        refused.stderr
    );
    assert_eq!(notes(&pulled(&back, DISTRICT, "local").0), [(&*me, "read_only")]);

    federation.node_mut(PROVINCE).run();
    let status = wait_for(
        || format!("it does not say what it lacks: {}", back.status()),
        || Some(back.status()).filter(|status| status["reason"] == "behind_below"),
    );
    let lacks = format!("{gone}/records (1 entries here, 2 at the parent)");
    assert!(status["detail"].as_str().unwrap().contains(&lacks), "{status}");
    back.admin(["doctor"]).refused_with("behind_below");
    let (header, told) = pulled(&back, DISTRICT, "local");
    assert_eq!((&header["reason"], notes(&header)), (&json!("behind_below"), vec![(&*me, "behind_below")]));
    assert!(header["notes"][0]["detail"].as_str().unwrap().contains(&lacks), "{header}");
    assert_eq!(told.matches("[behind_below: ").count(), 1, "{told}");
    // Who asks it is told as well.
    let (header, told) = pulled(federation.node(PROVINCE), PROVINCE, "children");
    assert_eq!((&header["reason"], notes(&header)), (&json!(""), vec![(&*me, "behind_below")]));
    assert!(told.contains(&format!("NOTE: {me}: ")) && told.contains(&lacks), "{told}");
    // The commune's place is not given back with less than stands above.
    let lost = Node::named(&dir, "lost", COMMUNE);
    let refused = lost.recover(Some(&token)).refused_with("log_shorter_than_receipt");
    assert!(refused.stderr.contains(&above), "{}", refused.stderr);

    federation.node_mut(COMMUNE).run();
    wait_for(|| "its entries do not come again".into(), || (back.status_text("reason").is_empty()).then_some(()));
    for (node, unit, source) in [(&back, DISTRICT, "local"), (federation.node(PROVINCE), PROVINCE, "children")] {
        assert_eq!(notes(&pulled(node, unit, source).0), [], "{source}");
    }
}

#[test]
fn a_commune_that_is_an_old_copy_says_so_in_its_parents_answer() {
    let mut federation = Federation::over(&[COMMUNE]);
    let dir = federation.dir().to_owned();
    let commune = federation.node(COMMUNE);
    commune.import_all("households", &book(&dir, "one.csv", &[("001.1", "1980-05-04")]));
    let out = dir.join("old.danso");
    backup(commune, &out, &["--with-keys"]).must(DONE);
    commune.import_all("households", &book(&dir, "two.csv", &[("002.1", "1990-01-02")]));
    commune.receipt_wait("central").must(DONE);
    let me = commune.status_text("node");
    federation.node_mut(COMMUNE).kill9();
    let mut back = successor(federation.node(COMMUNE), &dir, "back");
    restore(&out, &back, &[]).must(DONE);
    back.run();
    wait_for(
        || format!("it does not see that it is behind: {}", back.status()),
        || back.status_text("detail").contains("at the parent").then_some(()),
    );
    let (header, told) = pulled(federation.node(DISTRICT), DISTRICT, "children");
    assert_eq!(notes(&header), [(&*me, "read_only")]);
    assert!(told.contains(&format!("NOTE: {me}: ")) && told.contains("at the parent"), "{told}");
}

#[test]
fn a_commune_that_the_province_enrolled_itself_is_named_at_its_district() {
    let federation = Federation::over(&[DISTRICT]);
    let mut commune = Node::at(federation.dir(), COMMUNE);
    commune.join(federation.node(PROVINCE));
    commune.run();
    let child = commune.status_text("node");
    let district = federation.node(DISTRICT);
    let noted = wait_for(
        || format!("it does not say so: {}", district.status()),
        || Some(district.status_text("notes")).filter(|notes| !notes.is_empty()),
    );
    assert!(noted.contains(&child) && noted.contains("none of its records is here"), "{noted}");
    // Not where it is not asked about, and not above.
    assert_eq!(notes(&pulled(district, "17062", "local").0), []);
    assert_eq!(notes(&pulled(federation.node(PROVINCE), PROVINCE, "local").0), []);
    // Once the commune is that of nobody any longer, nothing is missing.
    let revoke = ["child", "revoke", &child, "--reason", "gone", "--yes"];
    federation.node(PROVINCE).admin(revoke).must(DONE);
    wait_for(|| "it is named still".into(), || district.status_text("notes").is_empty().then_some(()));
    assert_eq!(commune.stop(), DONE);
}

#[test]
fn a_new_district_says_who_can_give_a_commune_of_the_revoked_one_its_place() {
    let mut federation = Federation::over(&[COMMUNE]);
    let (child, gone) = (federation.node(COMMUNE).status_text("node"), federation.node(DISTRICT).status_text("node"));
    let province = federation.node(PROVINCE);
    let size = format!("{gone}/directory=0");
    let revoke = ["child", "revoke", &gone, "--reason", "stolen", "--yes", "--size", &size];
    province.admin(revoke).must(DONE);
    let mut new = Node::named(federation.dir(), "new", DISTRICT);
    let token = province.invite_with(DISTRICT, &["--again"]);
    new.join_with(&new.token_file(&token)).must(DONE);
    new.run();
    let refused = new.admin(["child", "invite", "--node", &child, "--address", &new.listen]).refused_with("not_found");
    let above = format!("{} above gives it the place", province.status_text("node"));
    assert!(refused.stderr.contains(&above), "{}", refused.stderr);
    let token = province.invite_lost(&child);
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    fs::remove_dir_all(&federation.node(COMMUNE).data).unwrap();
    federation.node(COMMUNE).recover(Some(&token)).must(DONE);
}
