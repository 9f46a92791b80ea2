//! The truth of several simulated populations, and of a full year over both districts with all their communes, comes out exactly at every
//! tier.

use std::fs;
use std::path::Path;

use danso_tests::federation::Federation;
use danso_tests::truth::{Plan, Truth};

#[test]
fn three_other_populations_come_out_exactly_at_every_tier() {
    for (seed, communes) in [(19, ["17065", "16738"]), (1979, ["17071", "16753"]), (2_021, ["17035", "16744"])] {
        println!("seed {seed}");
        let federation = Federation::over(&communes);
        let plan = Plan { communes: &communes, households: 100, seed, ..Plan::default() };
        tell(&federation, &Truth::simulate(&federation.path("sim"), &plan), &communes);
    }
}

#[test]
fn a_full_year_over_both_districts_comes_out_exactly_at_every_tier() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/units/units-2024.csv");
    let list = fs::read_to_string(list).unwrap();
    let communes: Vec<&str> = list
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|row| matches!(row.get(3), Some(&"420" | &"415")))
        .map(|row| row[0])
        .collect();
    assert_eq!(communes.len(), 34);
    let federation = Federation::over(&communes);
    let plan = Plan { communes: &communes, households: 300, ..Plan::default() };
    tell(&federation, &Truth::simulate(&federation.path("sim"), &plan), &communes);
}

fn tell(federation: &Federation, truth: &Truth, communes: &[&str]) {
    for commune in communes {
        let node = federation.node(commune);
        node.import_all("households", &truth.households(commune));
        node.import_all("changes", &truth.changes(commune));
    }
    federation.settle();
    federation.truth_holds(truth);
    for above in ["VN", "40", "420", "415"] {
        truth.holds_at(federation.node(above), above, "children");
    }
    federation.logs_verify();
}
