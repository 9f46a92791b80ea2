//! Months over the tiers: who has closed one is seen above, by whom, when and for how many people; and why a figure is not what it was.

use std::fs;

use danso_core::calendar::{Month, PartialDate};
use danso_tests::federation::Federation;
use danso_tests::node::Node;
use danso_tests::process::DONE;
use danso_tests::truth::rows;
use serde_json::Value;

use crate::backups::book;

const PROMPT: &str = "17065";
const LATE: &str = "17062";
const SILENT: &str = "17068";
const DISTRICT: &str = "420";
const PROVINCE: &str = "40";

#[track_caller]
fn json(node: &Node, words: &[&str]) -> Value {
    let text = node.admin(words.iter().copied().chain(["--output", "json"])).printed();
    serde_json::from_str(&text).unwrap()
}

/// The month before last, by the node's clock.
fn month_before_last(node: &Node) -> Month {
    let pull = ["aggregate", "pull", "--unit", &node.unit, "--from", "2021-01", "--to", "2021-01"];
    let answer = json(node, &pull);
    let today = answer["header"]["answered_at"].as_str().unwrap();
    today[..7].parse::<Month>().unwrap().add_months(-2)
}

/// By when the month is closed on time: by the prompt one within a hundred days, by others on the first day behind it.
fn rules(month: Month) -> String {
    let next = month.add_months(1);
    let first = PartialDate::full(next.year(), next.month(), 1).unwrap().days().unwrap();
    let off: Vec<String> =
        (first..first + 100).map(|day| format!("{:?}", PartialDate::from_days(day).unwrap().to_string())).collect();
    format!(
        "[months]\ndeadline = \"day 1\"\ndays_off = [{}]\n[months.deadlines]\n{PROMPT} = \"1 working day\"\n",
        off.join(", ")
    )
}

/// States by unit, as a node says them.
fn states(node: &Node, month: &str) -> Vec<(String, String)> {
    let text = node.admin(["completeness", "--month", month, "--by-unit", "--output", "csv"]).printed();
    rows(&text).map(|row| (row["unit"].clone(), row["state"].clone())).collect()
}

#[test]
fn a_month_is_seen_above_as_on_time_late_or_silent_and_a_late_slip_is_explained() {
    let mut federation = Federation::central();
    federation.add(PROVINCE);
    let dir = federation.dir().to_owned();
    let month = month_before_last(federation.node(PROVINCE));
    let (text, rules) = (month.to_string(), rules(month));
    federation.add_in(&dir, DISTRICT, |node| node.configure(&rules));
    let province = federation.node_mut(PROVINCE);
    assert_eq!(province.stop(), DONE);
    province.configure(&rules);
    province.run();
    for commune in [PROMPT, LATE] {
        federation.add(commune);
    }
    // It was enrolled, and never came.
    Node::at(&dir, SILENT).join(federation.node(DISTRICT));

    let (prompt, late) = (federation.node(PROMPT), federation.node(LATE));
    prompt.import_all("households", &book(&dir, "one.csv", &[("001.1", "1980-05-04"), ("001.2", "1984-07-01")]));
    let other = fs::read_to_string(dir.join("one.csv")).unwrap().lines().take(2).collect::<Vec<_>>().join("\n");
    fs::write(dir.join("two.csv"), other.replace(PROMPT, LATE) + "\n").unwrap();
    late.import_all("households", &dir.join("two.csv"));
    let close = |node: &Node| json(node, &["period", "close", "--unit", &node.unit, "--month", &text]);
    let closed = close(prompt);
    assert_eq!((&closed[0]["already"], &closed[0]["sequence"]), (&Value::Bool(false), &Value::from(1)));
    let again = close(prompt);
    assert_eq!((&again[0]["already"], &again[0]["sequence"]), (&Value::Bool(true), &Value::from(1)), "harmless");
    close(late);
    let early = month.add_months(2).to_string();
    prompt.admin(["period", "close", "--unit", PROMPT, "--month", &early]).refused_with("date_in_future");
    federation.settle();

    let told = |unit: &str, state: &str| (unit.to_owned(), state.to_owned());
    for tier in [DISTRICT, PROVINCE] {
        let node = federation.node(tier);
        assert_eq!(
            states(node, &text),
            [told(LATE, "late"), told(PROMPT, "on_time"), told(SILENT, "silent")],
            "{tier}"
        );
        let sum = json(node, &["completeness", "--month", &text]);
        for (key, count) in
            [("expected", 3), ("received", 2), ("on_time", 1), ("late", 1), ("silent", 1), ("missing", 0)]
        {
            assert_eq!(sum[0][key], count, "{key} at {tier}: {sum}");
        }
        assert_eq!((&sum[0]["residents"], &sum[0]["residents_received"]), (&Value::from(3), &Value::from(3)));
        let units = json(node, &["completeness", "--month", &text, "--by-unit"]);
        assert!(units[1]["arrived_at"].is_string() && units[1]["closed_at"].is_string(), "{units}");
    }
    // What an answer says of it is the same, asked from below as well.
    let pull = ["aggregate", "pull", "--unit", DISTRICT, "--from", &text, "--to", &text];
    for source in ["local", "children"] {
        let answer = json(federation.node(PROVINCE), &[&pull[..], &["--source", source]].concat());
        let of = &answer["header"]["coverage"][0];
        assert_eq!((&of["closed"], &of["on_time"], &of["late"]), (&2.into(), &1.into(), &1.into()), "{source}: {of}");
        assert_eq!((&of["reporting"], &of["residents_closed"]), (&2.into(), &3.into()), "{source}: {of}");
    }

    // A household that was forgotten comes after the closing: it counts, and the ministry is told why its figure moved.
    let central = federation.node(danso_tests::federation::ROOT);
    let pull = ["aggregate", "pull", "--unit", PROMPT, "--from", &text, "--to", &text, "--measure", "residents"];
    let saved = dir.join("saved.json");
    fs::write(&saved, central.admin(pull.into_iter().chain(["--output", "json"])).printed()).unwrap();
    federation.node(PROMPT).import_all("households", &book(&dir, "three.csv", &[("002.1", "1990-02-03")]));
    federation.settle();
    let saved = saved.to_str().unwrap();
    let explain = ["aggregate", "explain", "--unit", PROMPT, "--month", &text, "--measure", "residents"];
    let why = json(central, &[&explain[..], &["--earlier", saved]].concat());
    let header = &why["header"];
    assert_eq!((&header["then"], &header["now"], &header["unexplained"]), (&2.into(), &3.into(), &0.into()), "{why}");
    let [step] = &why["steps"].as_array().unwrap()[..] else { panic!("one entry: {why}") };
    assert_eq!((&step["kind"], &step["net"], &step["late"]), (&"person_enrolled".into(), &1.into(), &true.into()));
    assert!(step["log"].as_str().unwrap().starts_with(PROMPT) && step["arrived_at"].is_string(), "{step}");
    assert_eq!(json(central, &[&explain[..], &["--late"]].concat())["steps"], why["steps"], "the revision");
    let said = central.admin(explain.into_iter().chain(["--earlier", saved, "--lang", "vi"])).must(DONE);
    assert!(said.stdout.contains("trước 2, nay 3, chênh +1"), "{}", said.stdout);
}
