//! Rules of consistency are set by nodes above.

use danso_proto::change::{RuleSetting, RulesPublished};

use super::*;

#[test]
fn rules_come_from_above() {
    let Tiers { mut top, mut province, .. } = Tiers::new();
    let off = |units: &[&str]| {
        let setting = |unit: &&str| RuleSetting {
            unit: unit.parse().expect("a code"),
            rule: "births_close".into(),
            state: Some(false),
            values: Vec::new(),
        };
        let settings = units.iter().map(setting).collect();
        Body::RulesPublished(RulesPublished { units_version: VERSION.into(), settings, reason: "a test".into() })
    };
    // Nobody is above the root.
    top.root.write(&mut top.directory, off(&["VN", "40"]));
    province.write(&mut top.directory, off(&["420", "17065"]));
    for (units, word) in [(&["40"][..], "own unit 40"), (&["420", "40"], "own unit 40"), (&["VN"], "below")] {
        let mut trial = Trial::new(top.directory.clone(), province.head.clone());
        let refused = trial.take(&province.log(), province.seal(off(units)).bytes(), None).expect_err("not its to set");
        assert_eq!(refused.reason, Reason::OutOfScope);
        assert!(refused.detail.contains(word), "{}", refused.detail);
    }
    // What an earlier version took in is read back.
    let own = province.seal(off(&["40"]));
    let opened = top.directory.open(own.bytes().clone(), None);
    let position = province.head.position();
    verify_again(opened.expect("signed"), &top.directory, &position).expect("it was taken in");
}
