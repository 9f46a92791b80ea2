//! One bad record never blocks the rest: it is logged, receipted and left out of the figures, its author is told by itself and by its
//! parent, and a slip that corrects it settles it everywhere. Walked through as a population officer would, with slips and `finding list`.

use std::fs;
use std::path::PathBuf;

use danso_tests::federation::Federation;
use danso_tests::process::{DONE, wait_for};
use danso_tests::truth::{Plan, Truth, rows};
use serde_json::Value;

const COMMUNE: &str = "17065";
const DISTRICT: &str = "420";
const SLIPS: &str = "slip_no,unit_code,household_no,change_type,event_date,reported_on,person_ref,refers_to";

/// A commune of a thousand, three of whose slips are bad, and the slips that correct them.
struct Case {
    truth: Truth,
    /// The commune's slips, one of them with a wrong date, and two that should not be.
    bad: PathBuf,
    /// Corrections.
    good: PathBuf,
    /// Numbers and reasons of the bad slips.
    expected: Vec<(String, &'static str)>,
}

/// Thousand persons, as the simulator makes them; the bad ones are chosen from them.
fn case(federation: &Federation) -> Case {
    let truth = Truth::simulate(
        &federation.path("sim"),
        &Plan { communes: &[COMMUNE], households: 400, seed: 8, ..Plan::default() },
    );
    let slips = fs::read_to_string(truth.changes(COMMUNE)).unwrap();
    let book = fs::read_to_string(truth.households(COMMUNE)).unwrap();
    let all: Vec<_> = rows(&slips).collect();
    // Somebody who moved in and later married: the marriage gets a date before the move.
    let arrived = |person: &str| all.iter().any(|row| row["person_ref"] == person && row["change_type"] == "move_in");
    let late = all.iter().find(|row| row["change_type"] == "marriage" && arrived(&row["person_ref"])).unwrap();
    // Somebody who moved away for good: a death here is reported after it.
    let of = |person: &str| all.iter().filter(|row| row["person_ref"] == person).count();
    let gone = all.iter().find(|row| row["change_type"] == "move_out" && of(&row["person_ref"]) == 1).unwrap();
    // Somebody of whom nothing was reported: an arrival is.
    let resident = rows(&book).find(|row| of(&row["person_ref"]) == 0).unwrap();

    let date = &late["event_date"];
    let line = slips.lines().find(|line| line.starts_with(&format!("{},", late["slip_no"]))).unwrap();
    let wrong = slips.replace(line, &line.replacen(&format!(",{date},"), ",2020-12-20,", 1));
    assert_ne!(wrong, slips);
    // The columns of the simulator's file, with what these two need.
    let header: Vec<&str> = slips.lines().next().unwrap().split(',').collect();
    let row = |values: &[(&str, &str)]| {
        let value = |name: &&str| values.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value);
        header.iter().map(value).collect::<Vec<_>>().join(",")
    };
    let death = row(&[
        ("slip_no", "x-1"),
        ("unit_code", COMMUNE),
        ("household_no", &gone["household_no"]),
        ("change_type", "death"),
        ("event_date", "2021-12-20"),
        ("reported_on", "2021-12-25"),
        ("person_ref", &gone["person_ref"]),
    ]);
    let arrival = row(&[
        ("slip_no", "x-2"),
        ("unit_code", COMMUNE),
        ("household_no", &resident["household_no"]),
        ("change_type", "move_in"),
        ("event_date", "2021-06-01"),
        ("reported_on", "2021-06-05"),
        ("person_ref", &resident["person_ref"]),
    ]);
    let bad = federation.path("bad.csv");
    fs::write(&bad, format!("{}\n{death}\n{arrival}\n", wrong.trim_end())).unwrap();
    let good = federation.path("good.csv");
    let correct = |n: u32, kind: &str, date: &str, household: &str, person: &str, refers_to: &str| {
        format!("y-{n},{COMMUNE},{household},{kind},{date},2021-12-28,{person},{refers_to}\n")
    };
    let corrections = [
        correct(1, "update", date, &late["household_no"], &late["person_ref"], &late["slip_no"]),
        correct(2, "retract", "2021-12-20", &gone["household_no"], &gone["person_ref"], "x-1"),
        correct(3, "retract", "2021-06-01", &resident["household_no"], &resident["person_ref"], "x-2"),
    ];
    fs::write(&good, format!("{SLIPS}\n{}", corrections.concat())).unwrap();
    let mut expected = vec![
        (late["slip_no"].clone(), "not_resident"),
        ("x-1".to_owned(), "not_resident"),
        ("x-2".to_owned(), "already_resident"),
    ];
    expected.sort();
    Case { truth, bad, good, expected }
}

#[test]
fn bad_slips_among_a_thousand_good_records_reach_their_author_and_are_released_by_corrections() {
    let federation = Federation::over(&[COMMUNE]);
    without_doubts(&federation);
    let case = case(&federation);
    let commune = federation.node(COMMUNE);
    let taken = commune.import_all("households", &case.truth.households(COMMUNE));
    assert!(taken.taken > 1_000, "{taken:?}");
    let ended = commune.import("changes", &case.bad, &[]).must(DONE);
    assert!(ended.stderr.contains("finding list"), "who imports is told where to look: {}", ended.stderr);

    // Everything is receipted everywhere, the bad slips too: they are in the log.
    federation.settle();
    let people = commune.status()["persons"].clone();
    for node in federation.nodes() {
        let status = node.status();
        assert_eq!((&status["findings"], &status["persons"]), (&Value::from(3), &people), "{}", node.unit);
    }
    // The commune finds them itself, and its district says the same, each with the number of its slip and what to do.
    wait_until_told(&federation, DISTRICT, 3);
    for sayer in [COMMUNE, DISTRICT] {
        let said = findings(&federation, COMMUNE, &[]);
        let said: Vec<&Value> = said.iter().filter(|finding| finding["said_by_unit"] == sayer).collect();
        let mut slips: Vec<(String, &str)> =
            said.iter().map(|f| (text(f, "slip_no"), f["reason"].as_str().unwrap())).collect();
        slips.sort();
        assert_eq!(slips, case.expected, "{sayer} says");
        for finding in said {
            assert_eq!(finding["state"], "open");
            assert!(finding["since"].is_string() && !text(finding, "person_ref").is_empty(), "{finding}");
            assert!(text(finding, "message").contains("retract"), "the next step: {finding}");
        }
    }
    let vi = commune.admin(["finding", "list", "--lang", "vi"]).printed();
    assert!(vi.contains("còn mở") && vi.contains("x-1"), "{vi}");
    // Above, numbers of slips and references of persons stay in the parts; and no name is told anywhere.
    let names: Vec<String> = rows(&fs::read_to_string(case.truth.households(COMMUNE)).unwrap())
        .map(|row| row["full_name"].clone())
        .collect();
    for node in federation.nodes() {
        let said = node.admin(["finding", "list", "--output", "json", "--all"]).printed();
        assert!(!names.iter().any(|name| said.contains(name)), "a name at {}", node.unit);
        assert_eq!(said.contains("x-1"), node.unit == COMMUNE, "{}: {said}", node.unit);
    }

    // The officer corrects them. Everything else has flowed all the time.
    commune.import_all("changes", &case.good);
    federation.settle();
    wait_until_told(&federation, DISTRICT, 0);
    for node in federation.nodes() {
        assert_eq!(node.status()["findings"], 0, "{}", node.unit);
    }
    federation.truth_holds(&case.truth);
    assert!(findings(&federation, COMMUNE, &[]).is_empty());
    let settled = findings(&federation, COMMUNE, &["--all"]);
    assert_eq!(settled.len(), 6, "three slips, told by two");
    assert!(settled.iter().all(|f| f["state"] == "closed" && f["closed_at"].is_string()), "{settled:?}");
    assert_eq!(mails(&federation), (3, 3), "each was told once, and its end once");
    federation.logs_verify();
}

#[test]
fn findings_are_told_once_though_the_parent_dies_and_the_author_is_away() {
    let mut federation = Federation::over(&[COMMUNE]);
    without_doubts(&federation);
    let case = case(&federation);
    federation.node(COMMUNE).import_all("households", &case.truth.households(COMMUNE));
    // The district dies while the slips come in.
    let importer = federation.node(COMMUNE).import_in_background("changes", &case.bad);
    federation.node_mut(DISTRICT).kill9();
    assert_eq!(importer.wait(), DONE);
    federation.node_mut(DISTRICT).run();
    federation.node(COMMUNE).receipt_wait("central").must(DONE);
    // Now the author is away, and its parent dies again and again: what it has to tell is in its log.
    assert_eq!(federation.node_mut(COMMUNE).stop(), DONE);
    for _ in 0..3 {
        federation.node_mut(DISTRICT).kill9();
        federation.node_mut(DISTRICT).run();
    }
    assert_eq!(mails(&federation), (3, 0));
    federation.node_mut(COMMUNE).run();
    wait_until_told(&federation, DISTRICT, 3);

    // The same while they are corrected.
    let importer = federation.node(COMMUNE).import_in_background("changes", &case.good);
    federation.node_mut(DISTRICT).kill9();
    assert_eq!(importer.wait(), DONE);
    federation.node_mut(DISTRICT).run();
    federation.settle();
    wait_until_told(&federation, DISTRICT, 0);
    assert_eq!(mails(&federation), (3, 3));
    federation.truth_holds(&case.truth);
    for node in federation.nodes() {
        assert_eq!(node.status()["findings"], 0, "{}", node.unit);
    }
}

#[test]
fn what_an_officer_gets_wrong_most_often_is_refused_at_entry_or_can_be_withdrawn() {
    let federation = Federation::over(&[COMMUNE]);
    without_doubts(&federation);
    let commune = federation.node(COMMUNE);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    commune.import_all("households", &truth.households(COMMUNE));
    commune.import_all("changes", &truth.changes(COMMUNE));
    let slips = fs::read_to_string(truth.changes(COMMUNE)).unwrap();
    let born = rows(&slips).find(|row| row["change_type"] == "birth").unwrap();
    let file = federation.path("slips.csv");
    let header = format!("{SLIPS},full_name,sex,birth_date,mother_ref");
    let import = |row: &str| {
        fs::write(&file, format!("{header}\n{row}\n")).unwrap();
        commune.import("changes", &file, &[])
    };
    // A second birth slip for the same child, under its reference: refused. Under another it is another child, and is withdrawn.
    let (household, date) = (&born["household_no"], &born["event_date"]);
    let birth = |n: &str, person: &str| {
        format!("{n},{COMMUNE},{household},birth,{date},2021-12-28,{person},,Vi Thị Mai,{},{date},", born["sex"])
    };
    import(&birth("z-1", &born["person_ref"])).refused_with("person_known");
    import(&birth("z-2", "zz.9")).must(DONE);
    import(&format!("z-3,{COMMUNE},{household},retract,{date},2021-12-28,zz.9,z-2,,,,")).must(DONE);
    // Something before the birth: refused, with the line and the reason.
    import(&format!("z-4,{COMMUNE},{household},death,1990-01-01,2021-12-28,{},,,,,", born["person_ref"]))
        .refused_with("event_before_birth");
    // Somebody who stands in the book twice: the second row is withdrawn by the person's reference, which is what the book calls it.
    let book = federation.path("book.csv");
    let columns = "unit_code,household_no,person_ref,full_name,sex,birth_date";
    fs::write(&book, format!("{columns}\n{COMMUNE},{household},zz.8,Vi Thị Mai,F,1980-01-01\n")).unwrap();
    commune.import_all("households", &book);
    import(&format!("z-5,{COMMUNE},{household},retract,2021-12-28,2021-12-28,zz.8,zz.8,,,,")).must(DONE);
    assert_eq!(commune.import_all("households", &book).unchanged, 1, "importing the book again does not bring it back");
    federation.settle();
    federation.truth_holds(&truth);
    for node in federation.nodes() {
        assert_eq!(node.status()["findings"], 0, "{}", node.unit);
    }
}

/// The ministry switches off what the simulated lives trip over (they space no births, and so on): these stories are about what does not count. Waits
/// until the commune has heard of it.
fn without_doubts(federation: &Federation) {
    const DOUBTS: [&str; 5] = [
        "births_close",
        "contraception_after_sterilisation",
        "contraception_pregnant",
        "marriage_young",
        "newborn_unnamed",
    ];
    for rule in DOUBTS {
        let reason = ["--reason", "the simulated people live so"];
        federation
            .node("VN")
            .admin([["rule", "set", rule, "--unit", "VN", "--off"].as_slice(), &reason].concat())
            .must(DONE);
    }
    let on = || -> Vec<String> {
        let list = federation.node(COMMUNE).admin(["rule", "list", "--output", "json"]).printed();
        let list: Vec<Value> = serde_json::from_str(&list).expect("a list");
        let on = list.iter().filter(|rule| rule["on"] == true).map(|rule| text(rule, "rule"));
        on.filter(|rule| DOUBTS.contains(&rule.as_str())).collect()
    };
    wait_for(|| format!("{:?} hold at the commune", on()), || on().is_empty().then_some(()));
}

fn findings(federation: &Federation, unit: &str, more: &[&str]) -> Vec<Value> {
    let mut args = vec!["finding", "list", "--output", "json"];
    args.extend_from_slice(more);
    serde_json::from_str(&federation.node(unit).admin(args).printed()).expect("a list")
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Waits until as many open findings as `count` are known at the commune from a node of `sayer`.
fn wait_until_told(federation: &Federation, sayer: &str, count: usize) {
    let told = || findings(federation, COMMUNE, &[]).iter().filter(|f| f["said_by_unit"] == sayer).count();
    wait_for(|| format!("{sayer} told of {}, not {count}", told()), || (told() == count).then_some(()));
}

/// How many findings the district told the commune that they are open, and that they are no more.
fn mails(federation: &Federation) -> (usize, usize) {
    let node = |unit: &str| {
        let list = federation.node(DISTRICT).admin(["log", "list", "--output", "json"]).printed();
        let list: Value = serde_json::from_str(&list).expect("a list");
        let log = list
            .as_array()
            .unwrap()
            .iter()
            .map(|log| text(log, "log"))
            .find(|log| log.starts_with(&format!("{unit}-")));
        log.expect("the node has a log").split('/').next().expect("a node").to_owned()
    };
    let log = format!("{}/mail/{}", node(DISTRICT), node(COMMUNE));
    let shown = federation.node(DISTRICT).admin(["log", "show", &log, "--output", "json"]).printed();
    let count = |kind: &str| shown.matches(&format!("\"kind\": \"{kind}\"")).count();
    (count("finding_opened"), count("finding_closed"))
}
