//! Receipts from every tier: a commune sees for each of its change sets where it is durable and since when, by receipts alone, and can
//! show them to anybody. Tiers are stopped and cut off here; nothing is simulated.

use std::fs;
use std::path::Path;

use danso_tests::federation::{Federation, ROOT};
use danso_tests::process::{DONE, Ended, REFUSED, USAGE, program, run, wait_for};
use danso_tests::truth::{Plan, Truth};
use serde_json::Value;

const COMMUNE: &str = "17065";
const DISTRICT: &str = "420";
const PROVINCE: &str = "40";

#[test]
fn nothing_claims_to_be_at_the_province_before_its_receipt_is_here() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    // The province is away: the district receipts, and nobody above it knows of anything.
    assert_eq!(federation.node_mut(PROVINCE).stop(), DONE);
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.node(COMMUNE).receipt_wait("district").must(DONE);
    let commune = federation.node(COMMUNE);
    for set in shown(&federation, &["--last", "1000"]) {
        assert_eq!(states(&set), [(DISTRICT, "receipted"), (PROVINCE, "not_yet"), (ROOT, "not_yet")], "{set}");
    }
    let early = shown(&federation, &["--sequence", "0"]).remove(0);
    let words = commune.admin(["receipt", "show"]).printed();
    assert!(words.contains("at the district") && !words.contains("at the province"), "{words}");
    assert!(words.contains("not yet") && !words.contains("at the central"), "{words}");
    let list = commune.admin(["receipt", "list", "--output", "csv"]).printed();
    assert!(!list.contains(",province,") && !list.contains(",central,"), "{list}");
    assert_ne!(commune.admin(["receipt", "wait", "--tier", "province", "--timeout", "200ms"]).code, DONE);

    federation.node_mut(PROVINCE).run();
    federation.settle();
    let late = shown(&federation, &["--sequence", "0"]).remove(0);
    assert_eq!(states(&late), [(DISTRICT, "receipted"), (PROVINCE, "receipted"), (ROOT, "receipted")], "{late}");
    assert_eq!(early["above"][0], late["above"][0], "the first receipt stays: it says since when");

    // More is written: what covers the new entries says nothing else about the old.
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.settle();
    assert_eq!(shown(&federation, &["--sequence", "0"]).remove(0), late);
    let all = shown(&federation, &["--last", "1000"]);
    let entries = federation.node(COMMUNE).status()["own_entries"].as_u64().unwrap();
    assert!(all.len() as u64 <= entries, "the directory's entries are not among them");
    for set in &all {
        for above in set["above"].as_array().unwrap() {
            assert!(above["receipt_size"].as_u64().unwrap() > set["sequence"].as_u64().unwrap(), "it covers it: {set}");
        }
    }
    let newest = all.last().unwrap()["sequence"].as_u64().unwrap();
    assert_eq!(shown(&federation, &[]).len() as u64, 20.min(newest + 1), "the last twenty when nothing is chosen");
}

#[test]
fn a_receipt_that_was_lost_with_a_cut_is_made_good() {
    let mut federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    // Power cuts while receipts are on their way, at each of the nodes that hand them down. Each cut comes right behind the writing, so that
    // entries are durable above and their receipts may not have come.
    let text = fs::read_to_string(truth.changes(COMMUNE)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (n, victim) in [DISTRICT, COMMUNE, PROVINCE, DISTRICT].into_iter().enumerate() {
        let part = federation.path(&format!("part-{n}.csv"));
        fs::write(&part, lines[..1 + (lines.len() - 1) * (n + 1) / 4].concat()).unwrap();
        federation.node(COMMUNE).import_all("changes", &part);
        federation.node_mut(victim).kill9();
        federation.node_mut(victim).run();
    }
    let all_there = || {
        let sets = shown(&federation, &["--last", "1000"]);
        let missing = |set: &Value| states(set).iter().any(|(_, state)| *state != "receipted");
        (!sets.iter().any(missing)).then_some(())
    };
    wait_for(|| format!("receipts are missing: {:?}", shown(&federation, &["--last", "1000"])), all_there);
    federation.truth_holds(&truth);
}

#[test]
fn a_receipt_file_holds_by_the_anchor_alone_and_not_with_one_byte_changed() {
    let federation = Federation::over(&[COMMUNE]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    federation.node(COMMUNE).import_all("households", &truth.households(COMMUNE));
    federation.settle();
    federation.node(COMMUNE).import_all("changes", &truth.changes(COMMUNE));
    federation.settle();
    let anchor = federation.node(ROOT).status_text("anchor");
    let file = federation.path("receipts.proof");
    let out = file.to_string_lossy().into_owned();
    let commune = federation.node(COMMUNE);
    commune.admin(["receipt", "show", "--out", &out]).must(USAGE);
    let set = shown(&federation, &["--sequence", "0", "--out", &out]).remove(0);

    // A machine without a node: nothing but the file, in an empty directory.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("f");
    fs::copy(&file, &copy).unwrap();
    let proven: Value = serde_json::from_str(&check(&copy, &anchor, &["--output", "json"]).printed()).unwrap();
    let mut said: Vec<(String, String)> = pairs(set["above"].as_array().unwrap(), "node");
    said.sort();
    assert_eq!(pairs(proven["receipts"].as_array().unwrap(), "giver"), said, "each tier with its time, as was shown");
    assert_eq!(said.len(), 3);
    let table = check(&copy, &anchor, &[]).printed();
    for unit in [DISTRICT, PROVINCE, ROOT] {
        let found = table.lines().any(|line| line.trim_start().starts_with(&format!("{unit} ")) && line.contains("20"));
        assert!(found, "{unit} and its time are told:\n{table}");
    }

    let bytes = fs::read(&copy).unwrap();
    // A hundred places over the whole file; every byte is tried beside the code, where a try costs no process.
    for at in (0..bytes.len()).step_by((bytes.len() / 100).max(1)).chain([bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&copy, changed).unwrap();
        check(&copy, &anchor, &[]).must(REFUSED);
    }
    // Of another's log the node has no such receipts.
    let other = format!("{}/records", federation.node(COMMUNE).status_text("node"));
    federation.node(DISTRICT).admin(["receipt", "show", "--log", &other]).refused_with("request_invalid");
    commune.admin(["receipt", "show", "--sequence", "100000"]).refused_with("not_found");
    commune.admin(["receipt", "show", "--change", "00000000-0000-7000-8000-000000000000"]).refused_with("not_found");
}

fn shown(federation: &Federation, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["receipt", "show", "--output", "json"];
    all.extend_from_slice(args);
    serde_json::from_str(&federation.node(COMMUNE).admin(all).printed()).expect("a list")
}

fn states(set: &Value) -> Vec<(&str, &str)> {
    let above = set["above"].as_array().expect("a list");
    above.iter().map(|a| (a["unit"].as_str().expect("unit"), a["state"].as_str().expect("state"))).collect()
}

fn pairs(receipts: &[Value], giver: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    receipts.iter().map(|receipt| (text(&receipt[giver]), text(&receipt["receipted_at"]))).collect()
}

fn check(proof: &Path, anchor: &str, more: &[&str]) -> Ended {
    let mut args = vec!["proof", "check", proof.to_str().expect("text"), "--anchor", anchor];
    args.extend_from_slice(more);
    run(program("danso-admin"), args)
}
