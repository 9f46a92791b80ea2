//! `completeness`, `aggregate explain`, and what `aggregate pull` says of how complete its months are.

mod support;

use danso_admin::exit::Exit;
use danso_proto::pb::query::v1::{AnswerHeader, ExplainStep, FrontierEntry, MonthCoverage, UnitMonth};
use serde_json::{Value, json};
use support::Fake;

fn month(unit: &str, state: &str, residents: i64) -> UnitMonth {
    let closed_at_ms = if matches!(state, "on_time" | "late") { 1_636_000_000_000 } else { 0 };
    UnitMonth {
        unit: unit.into(),
        name: format!("Xã {unit}"),
        state: state.into(),
        deadline: 20_211_105,
        closed_at_ms,
        residents,
        ..Default::default()
    }
}

fn fake() -> Fake {
    Fake {
        months: vec![
            month("17062", "late", 100),
            month("17065", "on_time", 500),
            month("17068", "silent", 150),
            month("17071", "missing", 250),
        ],
        ..Fake::default()
    }
}

#[tokio::test]
async fn a_month_is_summed_up_with_the_people_behind_it() {
    let node = fake().start().await;
    let said = node.admin(&["completeness", "--month", "2021-10", "--unit", "420", "--output", "csv"]).await;
    let head = "unit,month,units_version,units,expected,received,on_time,late,open,missing,silent,residents,residents_received,share\n";
    assert_eq!((said.exit, said.out), (Exit::Done, format!("{head}420,2021-10,,4,4,2,1,1,0,1,1,1000,600,60.0\n")));
    let said = node.admin(&["completeness", "--month", "2021-10"]).await;
    assert!(
        said.out.contains("2 of 4 communes that are expected were received, 60.0 % of the residents"),
        "{}",
        said.out
    );
    assert!(said.out.contains("add --by-unit"), "{}", said.out);
    let said = node.admin(&["completeness", "--month", "2021-10", "--lang", "vi"]).await;
    assert!(said.out.contains("đã nhận 2 trên 4 xã phải báo cáo, tức 60.0 % nhân khẩu"), "{}", said.out);
}

#[tokio::test]
async fn each_unit_has_its_row() {
    let node = fake().start().await;
    let said = node.admin(&["completeness", "--month", "2021-10", "--by-unit", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(4));
    assert_eq!(
        (&json[1]["unit"], &json[1]["state"], &json[1]["deadline"]),
        (&json!("17065"), &json!("on_time"), &json!("2021-11-05"))
    );
    assert_eq!((&json[1]["share"], &json[3]["closed_at"]), (&json!("50.0"), &Value::Null));
    let said = node.admin(&["completeness", "--month", "2021-10", "--by-unit", "--lang", "vi"]).await;
    assert!(said.out.contains("mất liên lạc") && said.out.contains("Xã 17071"), "{}", said.out);
    assert!(said.out.contains("nhắc xã chốt tháng"), "{}", said.out);
}

#[tokio::test]
async fn an_answer_says_how_complete_its_months_are() {
    let coverage = |month, closed| MonthCoverage {
        month,
        units: 4,
        reporting: 3,
        closed,
        on_time: 1,
        residents: 1_000,
        residents_closed: 600,
    };
    let header = AnswerHeader { coverage: vec![coverage(202_110, 2)], ..AnswerHeader::default() };
    let node = Fake { header, ..Fake::default() }.start().await;
    let pull = ["aggregate", "pull", "--unit", "420", "--from", "2021-10", "--to", "2021-10"];
    let said = node.admin(&pull).await;
    assert!(
        said.out.contains("2021-10: 2 of 4 communes have closed it (1 late), 60.0 % of the residents"),
        "{}",
        said.out
    );
    let said = node.admin(&[&pull[..], &["--output", "json"]].concat()).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["header"]["coverage"][0]["late"], 1);
    assert_eq!(json["header"]["coverage"][0]["closed"], 2);
}

#[tokio::test]
async fn a_figure_is_explained_against_an_answer_that_was_saved() {
    let log = "17065-0123456789abcdef/records";
    let step = |sequence, kind: &str, added, removed, late| ExplainStep {
        log: log.into(),
        sequence,
        recorded_at_ms: 1_636_000_000_000,
        unit: "17065".into(),
        kind: kind.into(),
        changes: 1,
        added,
        removed,
        late,
        correction: kind == "retraction",
        ..Default::default()
    };
    let header = AnswerHeader {
        frontier: vec![FrontierEntry { log: log.into(), size: 3, recorded_at_ms: 0 }],
        ..AnswerHeader::default()
    };
    let fake = Fake {
        steps: vec![step(3, "birth", 2, 0, false), step(4, "retraction", 0, 1, true)],
        header,
        ..Fake::default()
    };
    let node = fake.start().await;
    let saved = |value: i64| {
        json!({
            "header": {
                "query": { "unit": "17065", "by": "", "from": "2021-10", "to": "2021-10", "measures": ["births"], "dimensions": [] },
                "frontier": [{ "log": log, "size": 3, "recorded_at": null }],
            },
            "cells": [{ "unit_code": "17065", "month": "", "measure": "births", "value": value }],
        })
        .to_string()
    };
    let same = node.file("same.json", &saved(5));
    let ask =
        |measure: &'static str| ["aggregate", "explain", "--unit", "17065", "--month", "2021-10", "--measure", measure];
    let said = node.admin(&[&ask("births")[..], &["--earlier", &same, "--output", "json"]].concat()).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    let header = &json["header"];
    assert_eq!((&header["then"], &header["now"], &header["unexplained"]), (&json!(5), &json!(6), &json!(0)));
    assert_eq!(header["frontier"][0]["size"], 3, "the sizes were asked for");
    assert_eq!((&json["steps"][1]["net"], &json["steps"][1]["late"]), (&json!(-1), &json!(true)));
    assert_eq!(said.err, "");

    let said = node.admin(&[&ask("births")[..], &["--earlier", &same]].concat()).await;
    assert!(said.out.contains("births of 17065, 2021-10: 5 then, 6 now, +1"), "{}", said.out);
    // The unit has closed nothing itself.
    assert!(said.out.contains("the column Net. Recorded after the units had closed the month: -1."), "{}", said.out);

    let other = node.file("other.json", &saved(9));
    let said = node.admin(&[&ask("births")[..], &["--earlier", &other]].concat()).await;
    assert!(said.err.contains("-4 is not explained"), "{}", said.err);
    let said = node.admin(&[&ask("deaths")[..], &["--earlier", &same]].concat()).await;
    assert_eq!(said.exit, Exit::Usage);
    let said = node.admin(&[&ask("deaths")[..], &["--since", &same]].concat()).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let nothing = node.file("nothing.json", "{}");
    let said = node.admin(&[&ask("births")[..], &["--since", &nothing]].concat()).await;
    assert!(said.exit == Exit::Usage && said.err.contains("aggregate pull --output json"), "{}", said.err);
}
