//! Verbs against a node in this process: what scripts rely on (standard output, exit codes) and what people read.

mod support;

use danso_admin::exit::Exit;
use danso_core::messages::{self, Lang};
use danso_proto::pb::admin::v1::{HeldAbove, Receipt, ShowReceiptsResponse};
use danso_proto::pb::query::v1::{AnswerHeader, Cell, FrontierEntry};
use danso_proto::refusal::Reason;
use serde_json::{Value, json};
use support::Fake;

#[tokio::test]
async fn an_invite_prints_the_token_alone() {
    let node = Fake::default().start().await;
    let said = node.admin(&["child", "invite", "--unit", "17065", "--expires", "12h"]).await;
    assert_eq!((said.exit, said.out.as_str()), (Exit::Done, "token-for-17065-43200\n"));
    assert!(said.err.contains("Châu Quang") && said.err.contains("2021-01-01 07:00:00"), "{}", said.err);
    let said = node.admin(&["child", "invite", "--unit", "17065", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["token"], "token-for-17065-604800");
}

#[tokio::test]
async fn who_revokes_is_told_first_who_loses_a_place_with_that() {
    let node = Fake::default().start().await;
    let revoke = ["child", "revoke", "420-0123456789abcdef", "--reason", "stolen"];
    let said = node.admin(&revoke).await;
    assert!(said.err.contains("lose their place") && said.err.contains("420-0123456789abcdef-below"), "{}", said.err);
    assert_eq!((said.exit, said.out.as_str()), (Exit::Usage, ""), "nobody was there to say yes");
    let said = node.admin(&[&revoke[..], &["--yes", "--lang", "vi", "--output", "csv"]].concat()).await;
    assert!(said.err.contains("mất chỗ"), "{}", said.err);
    assert_eq!((said.exit, said.out.as_str()), (Exit::Done, "log,size\n"));
}

#[tokio::test]
async fn a_good_import_is_done_and_says_so() {
    let node = Fake::default().start().await;
    let file = node.file("a.csv", "slip_no,what\n1,ok\n2,ok\n");
    let said = node.admin(&["import", "changes", &file, "--output", "csv"]).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let head = "file,rows,taken,unchanged,waiting,refused,released,slips_refused,entries,dry_run,reason,message\n";
    assert_eq!(said.out, format!("{head}a.csv,2,2,0,0,0,0,0,0,false,,\n"));
}

#[tokio::test]
async fn refused_rows_are_named_and_collected() {
    let node = Fake::default().start().await;
    let file = node.file("a.csv", "slip_no,what,extra\n1,ok,x\n2,bad,y\n3,wait,z\n");
    let rejects = node.dir.path().join("rejects.csv");
    let rejects_text = rejects.to_str().expect("text");
    let words = ["import", "changes", &file, "--reject-file", rejects_text, "--output", "json", "--lang", "vi"];
    let said = node.admin(&words).await;
    assert_eq!(said.exit, Exit::Refused);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&json[0]["taken"], &json[0]["waiting"], &json[0]["refused"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(json[0]["refused_by_reason"], json!({"date_invalid": 1}));
    assert!(said.err.contains("date_invalid") && said.err.contains("correct it (vi)") && said.err.contains("extra"));
    let written = std::fs::read_to_string(&rejects).expect("reads");
    assert_eq!(written, "slip_no,what,extra,line,reason,message\n2,bad,y,3,date_invalid,correct it (vi)\n");

    // Corrected and imported again, under another name for what is refused now.
    std::fs::write(&rejects, written.replace("bad", "ok")).expect("writes");
    let again = node.dir.path().join("again.csv");
    let said = node.admin(&["import", "changes", rejects_text, "--reject-file", again.to_str().expect("text")]).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert_eq!(std::fs::read_to_string(&again).expect("reads"), "slip_no,what,extra,line,reason,message\n");
}

#[tokio::test]
async fn a_waiting_slip_that_is_refused_is_told_and_is_no_row_of_the_file() {
    let node = Fake::default().start().await;
    let file = node.file("a.csv", "slip_no,what\n1,late\n");
    let rejects = node.dir.path().join("rejects.csv");
    let said = node.admin(&["import", "changes", &file, "--reject-file", rejects.to_str().expect("text")]).await;
    assert_eq!(said.exit, Exit::Refused);
    assert!(said.err.contains("Slip P1") && said.err.contains("event_before_birth"), "{}", said.err);
    assert!(said.out.contains("Waiting slips refused"), "{}", said.out);
    assert_eq!(std::fs::read_to_string(&rejects).expect("reads"), "slip_no,what,line,reason,message\n");
}

#[tokio::test]
async fn many_problems_are_grouped() {
    let node = Fake::default().start().await;
    let rows: String = (0..30_000).map(|i| format!("{i},bad\n")).collect();
    let file = node.file("a.csv", &format!("slip_no,what\n{rows}"));
    let said = node.admin(&["import", "changes", &file]).await;
    assert_eq!(said.exit, Exit::Refused);
    assert!(said.err.lines().count() < 40, "{}", said.err);
    assert!(said.err.contains("30,000"), "{}", said.err);
}

#[tokio::test]
async fn a_refused_file_stops_no_other() {
    let node = Fake::default().start().await;
    let (empty, good) = (node.file("empty.csv", ""), node.file("good.csv", "slip_no,what\n1,ok\n"));
    let said = node.admin(&["import", "households", &empty, &good, "--output", "json"]).await;
    assert_eq!(said.exit, Exit::Refused);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&json[0]["reason"], &json[1]["taken"]), (&json!("file_empty"), &json!(1)));
    assert!(said.err.contains("file_empty"), "{}", said.err);
}

#[tokio::test]
async fn a_node_that_ends_in_mid_import_is_unavailable_and_what_was_refused_is_kept() {
    let node = Fake::default().start().await;
    let file = node.file("a.csv", "slip_no,what\n1,bad\n2,die\n");
    let rejects = node.dir.path().join("r.csv");
    let said = node.admin(&["import", "changes", &file, "--reject-file", rejects.to_str().expect("text")]).await;
    assert_eq!(said.exit, Exit::Unavailable);
    assert!(said.err.contains("shutting_down"), "{}", said.err);
    assert!(said.err.contains("the node answered for 1 rows"), "{}", said.err);
    assert!(said.err.contains("Import the same file again") && said.err.contains("correct it (en)"), "{}", said.err);
    let dry = node.admin(&["import", "changes", &file, "--dry-run"]).await;
    assert!(!dry.err.contains("durable"), "nothing was written: {}", dry.err);
    assert!(std::fs::read_to_string(&rejects).expect("reads").contains("1,bad,2,date_invalid"));
}

#[tokio::test]
async fn wrong_usage_is_found_before_anything_is_sent() {
    let node = Fake::default().start().await;
    let file = node.file("a.csv", "slip_no,what\n1,die\n");
    for words in [
        vec!["import", "changes", &file, "/nonexistent.csv"],
        vec!["import", "changes", &file, "--reject-file", &file],
        vec!["import", "changes"],
        vec!["aggregate", "pull", "--unit", "40", "--from", "2021-02", "--to", "2021-01"],
        vec!["aggregate", "pull", "--unit", "40", "--from", "2021-1", "--to", "2021-01"],
        vec!["child", "invite", "--unit", "17065", "--expires", "1ms"],
        vec!["child", "invite", "--unit", "17065", "--expires", "31d"],
        vec!["receipt", "wait", "--tier", "hamlet"],
    ] {
        let said = node.admin(&words).await;
        assert_eq!((said.exit, said.out.as_str()), (Exit::Usage, ""), "{words:?}: {}", said.err);
    }
    assert_eq!(danso_admin::capture(["status"]).await.exit, Exit::Usage, "--data is missing");
}

#[tokio::test]
async fn no_node_is_unavailable() {
    let dir = tempfile::tempdir().expect("temp dir");
    let said = danso_admin::capture(["--data", dir.path().to_str().expect("text"), "status"]).await;
    assert_eq!((said.exit, said.out.as_str()), (Exit::Unavailable, ""));
    assert!(said.err.contains("danso-node run"), "{}", said.err);
}

#[tokio::test]
async fn a_refusal_exits_by_its_class_and_leaves_standard_output_empty() {
    for (reason, exit) in [
        (Reason::UnitNotBelow, Exit::Refused),
        (Reason::ChildUnavailable, Exit::Unavailable),
        (Reason::Internal, Exit::Fault),
    ] {
        let node = Fake { refuse: Some(reason), ..Fake::default() }.start().await;
        for words in [
            &["status", "--output", "csv"][..],
            &["aggregate", "pull", "--unit", "40", "--from", "2021-01", "--to", "2021-02", "--output", "csv"],
            &["receipt", "wait"],
            &["waiting", "list"],
            &["period", "close", "--unit", "17065", "--month", "2021-01"],
            &["rule", "list"],
            &["rule", "set", "mother_young", "--unit", "420", "--off", "--reason", "x"],
        ] {
            let said = node.admin(words).await;
            assert_eq!((said.exit, said.out.as_str()), (exit, ""), "{words:?}");
            assert!(said.err.contains(reason.code()), "{}", said.err);
            assert!(said.err.contains(messages::next_step(reason, Lang::En)), "{}", said.err);
        }
    }
}

fn figures() -> Fake {
    let cell = |month, sex: &str, value| Cell {
        unit: "17065".into(),
        month,
        measure: "births".into(),
        sex: sex.into(),
        age_group: String::new(),
        value,
    };
    let frontier = |log: &str, size| FrontierEntry { log: log.into(), size, recorded_at_ms: 1_609_459_200_000 };
    Fake {
        cells: vec![cell(202_101, "F", 1_204), cell(202_101, "M", 3), cell(0, "", -1)],
        header: AnswerHeader {
            node: "17065-0123456789abcdef".into(),
            answered_at_ms: 1_609_459_260_000,
            frontier: vec![frontier("a", 3), frontier("b", 9)],
            findings: 5,
            ..Default::default()
        },
        ..Fake::default()
    }
}

#[tokio::test]
async fn an_aggregate_as_csv_has_the_shape_of_expected_csv() {
    let node = figures().start().await;
    let words = ["aggregate", "pull", "--unit", "17065", "--from", "2021-01", "--to", "2021-12", "--output", "csv"];
    let said = node.admin(&words).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let expected = "unit_code,month,measure,sex,age_group,value\n\
        17065,2021-01,births,F,,1204\n17065,2021-01,births,M,,3\n17065,,births,,,-1\n";
    assert_eq!(said.out, expected);
    assert!(said.err.contains("2 logs"), "{}", said.err);
}

#[tokio::test]
async fn an_aggregate_says_what_it_was_made_from() {
    let node = figures().start().await;
    let words =
        ["aggregate", "pull", "--unit", "17065", "--from", "2021-01", "--to", "2021-12", "--dimensions", "sex,month"];
    let said = node.admin(&words).await;
    assert!(
        said.out.contains("1,204") && !said.out.contains("Age group") && said.out.contains("Month"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("2 logs") && said.out.contains("2021-01-01 07:00:00") && said.out.contains("left out: 5")
    );
    assert!(said.out.contains("Months: 2021-01 to 2021-12."), "{}", said.out);
    let said = node.admin(&[&words[..], &["--measure", "deaths,births", "--output", "json"]].concat()).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        json["header"]["frontier"][1],
        json!({"log": "b", "size": 9, "recorded_at": "2021-01-01T07:00:00.000+07:00"})
    );
    assert_eq!(json["header"]["query"]["dimensions"], json!(["month", "sex"]), "canonical: sorted");
    assert_eq!(json["header"]["query"]["measures"], json!(["births", "deaths"]));
    assert_eq!(json["cells"].as_array().map(Vec::len), Some(3));
    let whole = &json["cells"][2];
    assert_eq!((&whole["month"], &whole["sex"], &whole["age_group"]), (&json!(""), &json!(""), &json!("")));
}

#[tokio::test]
async fn receipts_are_waited_for() {
    let receipt = |size| Receipt {
        log: "a/records".into(),
        size,
        log_size: 12,
        giver: "420-x".into(),
        giver_tier: "province".into(),
        ..Default::default()
    };
    let node = Fake { complete: true, receipts: vec![receipt(12)], ..Fake::default() }.start().await;
    for (words, tier) in [(&["--lang", "vi"][..], "tỉnh"), (&["--lang", "vi", "--output", "csv"], "province")] {
        let said = node.admin(&[&["receipt", "wait"], words].concat()).await;
        assert!(said.out.contains(tier), "{words:?}: {}", said.out);
    }
    assert_eq!(node.admin(&["receipt", "wait", "--timeout", "500ms"]).await.exit, Exit::Done);
    let node = Fake { complete: false, receipts: vec![receipt(10)], wait_reason: "out_of_scope", ..Fake::default() };
    let node = node.start().await;
    let said = node.admin(&["receipt", "wait", "--timeout", "500ms"]).await;
    assert_eq!(said.exit, Exit::Unavailable);
    assert!(said.err.contains("the parent refuses [out_of_scope]: a/records: from entry 10 on"), "{}", said.err);
    assert!(
        said.err.contains("a/records") && said.err.contains("10 of 12") && said.err.contains("420-x"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn receipts_and_figures_of_a_node_that_was_revoked_or_is_behind_do_not_look_well() {
    let known = [Reason::KeyRevoked, Reason::PlaceLost].map(|reason| (reason, Exit::Refused));
    for (reason, exit) in known.into_iter().chain([(Reason::ReadOnly, Exit::Unavailable)]) {
        let node = Fake { wait_reason: reason.code(), ..figures() }.start().await;
        let waited = node.admin(&["receipt", "wait", "--timeout", "500ms"]).await;
        assert_eq!(waited.exit, exit, "{}", waited.err);
        assert!(!waited.err.contains("Nothing is lost"), "{}", waited.err);
        let pull = ["aggregate", "pull", "--unit", "17065", "--from", "2021-01", "--to", "2021-12", "--output"];
        for format in ["csv", "json", "table"] {
            let said = node.admin(&[&pull[..], &[format]].concat()).await;
            assert!(said.err.contains(reason.code()), "{format}: {}", said.err);
            assert_eq!(said.out.contains(reason.code()), format == "json", "{format}: {}", said.out);
        }
        for words in [&["receipt", "show"][..], &["receipt", "wait", "--lang", "vi"]] {
            let said = node.admin(words).await;
            assert!(said.err.contains(reason.code()), "{words:?}: {}", said.err);
        }
    }
}

#[tokio::test]
async fn a_node_that_does_not_say_where_it_stands_does_not_look_well() {
    let node = Fake { no_status: true, ..figures() }.start().await;
    let pull = ["aggregate", "pull", "--unit", "17065", "--from", "2021-01", "--to", "2021-12", "--output", "json"];
    let said = node.admin(&pull).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.err.contains("standing unknown") && said.err.contains("too slow"), "{}", said.err);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["header"]["reason"], "standing_unknown");
    let said = node.admin(&["receipt", "show", "--lang", "vi"]).await;
    assert!(said.err.contains("standing unknown"), "{}", said.err);
}

#[tokio::test]
async fn words_of_a_state_come_from_receipts_alone() {
    let above = |tier: &str, unit: &str, time_s| HeldAbove {
        tier: tier.into(),
        unit: unit.into(),
        node: format!("{unit}-x"),
        time_s,
        ..Default::default()
    };
    let set = |sequence, district, province| ShowReceiptsResponse {
        log: "17065-x/records".into(),
        sequence,
        changes: 1_000,
        recorded_at_ms: 1_609_459_200_000,
        above: vec![above("district", "420", district), above("province", "40", province)],
        unit: "17065".into(),
        tier: "commune".into(),
    };
    let held = vec![set(7, 1_609_459_260, 1_609_459_320), set(8, 1_609_459_260, 0), set(9, 0, 0)];
    let node = Fake { held, proof: b"proof".to_vec(), ..Fake::default() }.start().await;
    let said = node.admin(&["receipt", "show"]).await;
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].contains("district") && lines[0].contains("province"), "{}", said.out);
    assert!(lines[2].contains("at the province") && lines[2].contains("2021-01-01 07:02:00"), "{}", said.out);
    assert!(lines[3].contains("at the district") && !lines[3].contains("at the province"), "{}", said.out);
    assert!(lines[4].contains("here") && lines[4].matches("not yet").count() == 2, "{}", said.out);
    assert!(!lines[4].contains("at the"), "nobody confirmed it: {}", said.out);
    let said = node.admin(&["receipt", "show", "--lang", "vi"]).await;
    assert!(said.out.contains("tại cấp tỉnh") && said.out.contains("chưa có biên nhận"), "{}", said.out);
    let said = node.admin(&["receipt", "show", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json[1]["above"][0]["receipted_at"], "2021-01-01T07:01:00.000+07:00");
    assert_eq!(
        (&json[1]["above"][1]["state"], &json[1]["above"][1]["receipted_at"]),
        (&json!("not_yet"), &json!(null))
    );
    let said = node.admin(&["receipt", "show", "--output", "csv"]).await;
    assert!(said.out.contains("17065-x/records,8,1000,2021-01-01T07:00:00.000+07:00,province,40,40-x,not_yet,\n"));

    let file = node.dir.path().join("x.proof").to_str().expect("text").to_owned();
    for wrong in [&["--out", &file][..], &["--out", &file, "--last", "1"], &["--sequence", "1", "--last", "1"]] {
        let said = node.admin(&[&["receipt", "show"], wrong].concat()).await;
        assert_eq!(said.exit, Exit::Usage, "{wrong:?}");
    }
    let said = node.admin(&["receipt", "show", "--sequence", "7", "--out", &file]).await;
    assert_eq!((said.exit, std::fs::read(&file).expect("the file")), (Exit::Done, b"proof".to_vec()), "{}", said.err);
}

#[tokio::test]
async fn status_and_lists_are_for_people_and_for_programs() {
    let node = Fake::default().start().await;
    let said = node.admin(&["status", "--lang", "vi"]).await;
    assert!(said.out.contains("12.345") && said.out.contains("đang nối"), "{}", said.out);
    let said = node.admin(&["status", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&json["link"], &json["persons"], &json["logs"]), (&json!("connected"), &json!(12_345), &json!([])));
    let said = node.admin(&["waiting", "list", "--output", "csv"]).await;
    assert_eq!(said.out, "unit,slip_no,person_ref,change_type,since,reason\n,17065-00001,,,,\n");
    let said = node.admin(&["finding", "list"]).await;
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "(none)\n"));
    let said = node.admin(&["child", "list", "--output", "json"]).await;
    assert_eq!(said.out, "[]\n");
    let said = node.admin(&["period", "close", "--unit", "17065", "--month", "2021-03", "--output", "csv"]).await;
    assert_eq!(said.out, "unit,month,log,sequence,closed_at,already\n17065,2021-03,log-of-202103,7,,false\n");
}

#[tokio::test]
async fn a_decision_says_what_will_happen_and_is_asked_for() {
    let node = Fake::default().start().await;
    let log = "17065-0123456789abcdef/records";
    let words = ["quarantine", "reset", log, "--size", "7", "--reason", "asked them"];
    // Under a test nobody is there to ask.
    let asked = node.admin(&words).await;
    assert_eq!(asked.exit, Exit::Usage, "{}", asked.err);
    assert!(asked.err.contains("only the first 7 of the 12 entries") && asked.out.is_empty(), "{}", asked.err);
    let done = node.admin(&[&words[..], &["--yes", "--output", "csv"]].concat()).await;
    assert_eq!(done.exit, Exit::Done, "{}", done.err);
    assert!(done.out.contains(&format!("{log},17065-0123456789abcdef,,7,12,")), "{}", done.out);
    let accepted = node.admin(&["quarantine", "accept", log, "--reason", "x", "--yes"]).await;
    assert!(
        accepted.err.contains("entries of 17065-0123456789abcdef/records that are held here stand"),
        "{}",
        accepted.err
    );
    let before = Fake { complete: true, ..Fake::default() }.start().await;
    let again = before.admin(&["quarantine", "accept", log, "--reason", "x"]).await;
    assert_eq!(again.exit, Exit::Done, "{}", again.err);
    assert!(again.err.contains("decided so before"), "{}", again.err);
}

#[tokio::test]
async fn a_link_that_is_dialled_now_is_up_or_the_exit_code_says_that_it_is_not() {
    let said = Fake { complete: true, ..Fake::default() }.start().await.admin(&["link", "retry"]).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    assert!(said.out.contains("connected"), "{}", said.out);
    let down = Fake { wait_reason: Reason::LinkDown.code(), ..Fake::default() }.start().await;
    let said = down.admin(&["link", "retry", "--output", "csv"]).await;
    assert_eq!((said.exit, &*said.out), (Exit::Unavailable, "link,link_reason,link_detail\nwaiting,link_down,\n"));
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_is_refused() {
    let node = Fake::default().start().await;
    let said = node.admin(&["doctor", "--output", "json"]).await;
    assert_eq!(said.exit, Exit::Refused, "{}", said.err);
    let lines: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&lines[0]["check"], &lines[0]["state"]), (&json!("database"), &json!("fail")));
    assert_eq!((&lines[0]["reason"], &lines[0]["next_step"]), (&json!("store_damaged"), &json!("restore")));
    assert_eq!((&lines[1]["state"], &lines[1]["reason"]), (&json!("ok"), &json!("")));
}

#[tokio::test]
async fn dates_are_converted_without_a_node_and_what_is_no_date_is_said() {
    let node = Fake::default().start().await;
    let head = "solar_date,lunar_year,lunar_month,lunar_day,leap_month\n";
    let said = node.admin(&["calendar", "to-lunar", "2023-03-22", "10/10/1954", "--output", "csv"]).await;
    assert_eq!((said.exit, said.out), (Exit::Done, format!("{head}2023-03-22,2023,2,1,1\n1954-10-10,1954,9,14,0\n")));
    assert!(said.err.contains("1 of the days"), "another calendar may say otherwise: {}", said.err);
    let said =
        node.admin(&["calendar", "to-solar", "01/02+/2023", "30/02+/2023", "--output", "csv", "--lang", "vi"]).await;
    assert_eq!(
        (said.exit, said.out),
        (Exit::Refused, format!("{head}2023-03-22,2023,2,1,1\n")),
        "the others all the same"
    );
    assert!(said.err.contains("30/02+/2023") && said.err.contains("không chuyển được: 1"), "{}", said.err);
    let rows = format!("{head},2023,2,1,1\n,2023,2,1,2\n,2023,2,1\n");
    let file = node.file("lunar.csv", &rows);
    let said = node.admin(&["calendar", "to-solar", "--file", &file, "--output", "csv"]).await;
    assert_eq!((said.exit, said.out), (Exit::Refused, format!("{head}2023-03-22,2023,2,1,1\n2023-02-20,2023,2,1,0\n")));
    assert!(said.err.contains("line 3"), "{}", said.err);
    let said = node.admin(&["calendar", "to-lunar", "--file", &file]).await;
    assert_eq!(said.exit, Exit::Refused, "an empty date: {}", said.err);
    let wrong = node.file("wrong.csv", "day\n2023-02-20\n");
    let said = node.admin(&["calendar", "to-lunar", "--file", &wrong]).await;
    assert!(said.exit == Exit::Refused && said.err.contains("solar_date"), "{}", said.err);
}

#[tokio::test]
async fn rules_are_listed_and_set() {
    let node = Fake::default().start().await;
    let said = node.admin(&["rule", "list", "--output", "csv"]).await;
    let head = "rule,severity,on,numbers,message\n";
    let row = "mother_young,warning,true,years=13 (12),The mother was very young at the birth.\n";
    assert_eq!((said.exit, said.out), (Exit::Done, format!("{head}{row}")));
    let set = ["rule", "set", "mother_young", "--unit", "420", "--reason", "x", "--output", "csv"];
    let said = node.admin(&[&set[..], &["--on", "--number", "years=13"]].concat()).await;
    assert_eq!(
        (said.exit, &*said.out),
        (Exit::Done, "rule,unit,log,sequence\nmother_young,420,log-of-mother_young,7\n")
    );
    assert_eq!(node.admin(&set).await.exit, Exit::Usage, "neither on nor off");
    assert_eq!(node.admin(&[&set[..], &["--on", "--off"]].concat()).await.exit, Exit::Usage, "both");
    assert_eq!(node.admin(&[&set[..], &["--on", "--number", "years"]].concat()).await.exit, Exit::Usage);
}
