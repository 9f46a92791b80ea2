//! What is handed to operators says what is true of the code: an alert on a metric that nobody records would never ring.

use std::collections::BTreeSet;
use std::fs;

use danso_tests::tidy;
use danso_tests::truth::repository;

#[test]
fn every_metric_in_the_alerts_is_recorded_by_the_node() {
    let rules = fs::read_to_string(repository().join("deploy/alerts/danso.rules.yml")).unwrap();
    let telemetry = fs::read_to_string(repository().join("node/src/telemetry.rs")).unwrap();
    let used: BTreeSet<String> = rules
        .split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .filter(|word| word.starts_with("danso_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect();
    assert!(used.len() >= 5, "{used:?}");
    let rest: String = tidy::sources(repository())
        .unwrap()
        .into_iter()
        .filter(|path| path.starts_with("node/src") && !path.ends_with("telemetry.rs"))
        .map(|path| fs::read_to_string(repository().join(path)).unwrap())
        .collect();
    for metric in used {
        let line = telemetry
            .lines()
            .find(|line| line.contains(&format!("= \"{metric}\"")))
            .unwrap_or_else(|| panic!("{metric} is no metric"));
        let name = line.split_whitespace().nth(1).unwrap();
        assert!(rest.contains(name), "{metric} is described and never recorded");
    }
}

#[test]
fn the_unit_starts_what_the_runbook_installs() {
    let unit = fs::read_to_string(repository().join("deploy/systemd/danso-node.service")).unwrap();
    let runbook = fs::read_to_string(repository().join("deploy/README.md")).unwrap();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let (program, data) = (start.split_whitespace().next().unwrap(), start.split_whitespace().last().unwrap());
    let (dir, name) = program.rsplit_once('/').unwrap();
    assert!(
        runbook
            .lines()
            .any(|line| line.starts_with("install ") && line.contains(name) && line.ends_with(&format!("{dir}/")))
    );
    assert!(runbook.contains(&format!("join --data {data} ")));
    assert!(unit.contains(&format!("ConditionPathExists={data}/danso.toml")));
}
