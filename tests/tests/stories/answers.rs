//! A doubtful record from its discovery to its end over four tiers: the commune sees it with its slip, answers with a reason, all above close it;
//! the answer is withdrawn, given once more, and a correction makes it needless. As a population officer would do it, with `danso-admin finding`.

use std::fs;

use danso_tests::federation::Federation;
use danso_tests::process::{DONE, USAGE, wait_for};
use danso_tests::truth::{Plan, Truth, rows};
use serde_json::{Value, json};

const COMMUNE: &str = "17065";
const DISTRICT: &str = "420";
/// Another commune of the district.
const NEIGHBOUR: &str = "17035";
const DOUBT: &str = "month_unknown";
const WHY: &str = "Gia đình ông Vi Văn Nam không nhớ tháng";

fn list(federation: &Federation, unit: &str, more: &[&str]) -> Vec<Value> {
    let mut args = vec!["finding", "list", "--output", "json"];
    args.extend_from_slice(more);
    serde_json::from_str(&federation.node(unit).admin(args).printed()).expect("a list")
}

fn show(federation: &Federation, unit: &str, change: &str) -> Vec<Value> {
    let shown = federation.node(unit).admin(["finding", "show", change, DOUBT, "--output", "json"]).printed();
    serde_json::from_str(&shown).expect("a list")
}

/// Who says so, and how far it is there.
fn states(found: &[Value]) -> Vec<(String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("a text").to_owned();
    found.iter().map(|finding| (text(finding, "said_by_unit"), text(finding, "state"))).collect()
}

/// Waits until the nodes above and at the commune have as many findings open as `open`, and none that is answered and not closed.
fn wait_until_open(federation: &Federation, open: u64) {
    wait_until_open_at(federation, &["VN", "40", DISTRICT, COMMUNE], open);
}

fn wait_until_open_at(federation: &Federation, units: &[&str], open: u64) {
    for node in units.iter().map(|unit| federation.node(unit)) {
        let said = || {
            let status = node.status();
            (status["findings"].as_u64(), status["findings_answered"].as_str().unwrap_or_default().to_owned())
        };
        let wanted = (Some(open), String::new());
        wait_for(|| format!("{} has {:?}", node.unit, said()), || (said() == wanted).then_some(()));
    }
}

#[test]
fn a_doubtful_record_is_answered_closed_everywhere_withdrawn_and_corrected() {
    let federation = Federation::over(&[COMMUNE, NEIGHBOUR]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &[COMMUNE], ..Plan::default() });
    let commune = federation.node(COMMUNE);
    commune.import_all("households", &truth.households(COMMUNE));
    let book = fs::read_to_string(truth.households(COMMUNE)).unwrap();
    let person = rows(&book).next().unwrap();
    let (household, person) = (&person["household_no"], &person["person_ref"]);
    let file = federation.path("slips.csv");
    let import = |row: &str| {
        let header = "slip_no,unit_code,household_no,change_type,event_date,reported_on,person_ref,refers_to";
        fs::write(&file, format!("{header}\n{row}\n")).unwrap();
        commune.import_all("changes", &file);
    };
    // Of a departure only the year is known; and somebody who is gone leaves again.
    import(&format!("d-1,{COMMUNE},{household},move_out,2021,2021-12-05,{person},"));
    import(&format!("d-2,{COMMUNE},{household},move_out,2021-11-20,2021-12-05,{person},"));
    federation.settle();
    wait_until_open(&federation, 2);
    assert_eq!(commune.status()["findings_open"], "1 error, 1 warning");

    // The commune sees it with its slip, what was seen and what to do; its district said the same.
    let doubtful = || list(&federation, COMMUNE, &["--severity", "warning"]);
    wait_for(|| format!("{:?}", doubtful()), || (doubtful().len() == 2).then_some(()));
    let found = doubtful();
    for finding in &found {
        assert_eq!(
            (&finding["slip_no"], &finding["reason"], &finding["state"]),
            (&json!("d-1"), &json!(DOUBT), &json!("open"))
        );
        assert!(finding["message"].as_str().unwrap().contains("finding answer"), "{finding}");
    }
    let change = found[0]["change_id"].as_str().unwrap().to_owned();
    let people = commune.admin(["finding", "show", &change, "--lang", "vi"]).printed();
    for words in ["d-1", "nghi ngờ", "còn mở", "được tính vào tháng", "Vì sao quan trọng", "Việc cần làm"]
    {
        assert!(people.contains(words), "{words}: {people}");
    }
    assert!(
        list(&federation, COMMUNE, &["--code", "not_resident", "--unit", "40"]).iter().all(|f| f["slip_no"] == "d-2")
    );
    assert_eq!(list(&federation, COMMUNE, &["--unit", NEIGHBOUR]), Vec::<Value>::new());

    // What cannot be: no reason given, a record that does not count, somebody else's record, a finding that is not there.
    let answer = |unit: &str, code: &str, more: &[&str]| {
        let mut args = vec!["finding", "answer", &*change, code];
        args.extend_from_slice(more);
        federation.node(unit).admin(args)
    };
    answer(COMMUNE, DOUBT, &["--right"]).must(USAGE);
    let right = ["--right", "--because", WHY];
    answer(COMMUNE, "mother_old", &right).refused_with("finding_unknown");
    answer(NEIGHBOUR, DOUBT, &right).refused_with("finding_unknown");
    let wrong = list(&federation, COMMUNE, &["--severity", "error"])[0]["change_id"].as_str().unwrap().to_owned();
    let refused = commune.admin(["finding", "answer", &wrong, "not_resident", "--right", "--because", WHY]);
    let refused = refused.refused_with("finding_needs_correction");
    assert!(refused.stderr.contains("retract"), "what helps instead: {}", refused.stderr);

    // The officer answers. The commune's own finding is closed at once, all above follow, and the district can read why.
    let written = answer(COMMUNE, DOUBT, &right).printed();
    assert!(written.contains("/records"), "{written}");
    federation.settle();
    wait_until_open(&federation, 1);
    let told = || states(&list(&federation, COMMUNE, &["--all", "--code", DOUBT]));
    let closed = |unit: &str| (unit.to_owned(), "closed".to_owned());
    let all_closed = vec![closed(COMMUNE), closed(DISTRICT)];
    wait_for(|| format!("{:?}", told()), || (told() == all_closed).then_some(()));
    for unit in [COMMUNE, DISTRICT, "40", "VN"] {
        let shown = show(&federation, unit, &change);
        let answers = shown[0]["answers"].as_array().unwrap();
        assert_eq!(
            (answers.len(), &answers[0]["stands"], &answers[0]["note"]),
            (1, &json!(true), &json!(WHY)),
            "{unit}"
        );
        // In lists and files there is no name.
        let listed = federation.node(unit).admin(["finding", "list", "--all", "--output", "json"]).printed();
        assert!(!listed.contains("Vi Văn Nam"), "{listed}");
    }
    let again = answer(COMMUNE, DOUBT, &right).must(DONE);
    assert!(again.stdout.contains("yes") || again.stderr.contains("before"), "{} {}", again.stdout, again.stderr);
    assert_eq!(show(&federation, COMMUNE, &change)[0]["answers"].as_array().unwrap().len(), 1, "nothing was written");

    // It was not right after all: open again everywhere.
    answer(COMMUNE, DOUBT, &["--withdraw"]).must(DONE);
    answer(COMMUNE, DOUBT, &["--withdraw"]).refused_with("finding_unknown");
    federation.settle();
    wait_until_open(&federation, 2);
    // A file for the spreadsheet.
    let sheet = federation.path("findings.csv");
    let name = sheet.to_string_lossy().into_owned();
    commune.admin(["finding", "export", "--out", &name, "--severity", "warning", "--lang", "vi"]).must(DONE);
    let sheet = fs::read(&sheet).unwrap();
    let text = String::from_utf8(sheet).unwrap();
    assert!(text.starts_with("\u{feff}Đơn vị,") && text.contains("d-1") && !text.contains("d-2"), "{text}");

    // The district answers in the commune's name: that closes it there and above. The commune does not hold what the district writes.
    answer(DISTRICT, DOUBT, &right).must(DONE);
    wait_until_open_at(&federation, &["VN", "40", DISTRICT], 1);
    assert_eq!(commune.status()["findings"], 2);
    // Then the commune learns the month: nothing is left to answer.
    import(&format!("d-3,{COMMUNE},{household},update,2021-03-10,2021-12-28,{person},d-1"));
    import(&format!("d-4,{COMMUNE},{household},retract,2021-11-20,2021-12-28,{person},d-2"));
    federation.settle();
    wait_until_open(&federation, 0);
    answer(COMMUNE, DOUBT, &["--right", "--because", "x"]).must(3);
    federation.logs_verify();
}
