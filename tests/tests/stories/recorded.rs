//! Databases that released versions wrote, kept in `tests/fixtures`: this version opens each of them, gives the recorded figures, and goes
//! on writing. And the story that records them, for the next release.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use danso_proto::ids::Stream;
use danso_tests::node::Node;
use danso_tests::peer::{Author, Peer, person};
use danso_tests::process::{self, DONE, REFUSED, wait_for};
use danso_tests::truth::repository;
use serde_json::{Value, json};

/// The files of a node that are kept. Its socket and its lock are made anew.
const KEPT: [&str; 8] = [
    "danso.toml",
    "danso.db",
    "keys/log.pem",
    "keys/link.pem",
    "keys/link-cert.pem",
    "keys/ca.pem",
    "keys/ca-cert.pem",
    "keys/parent-ca-cert.pem",
];
const ROOT: &str = "VN";
/// The commune that runs.
const COMMUNE: &str = "90101";
/// The commune of which only the keys are there: the story speaks for it.
const OTHER: &str = "90102";
/// Figures that are recorded.
const MEASURES: &str = "residents,households,births,deaths,marriages,divorces,arrivals,departures,contraception_starts";
/// The last month that the slips of the fixture are about.
const TO: &str = "2021-04";

fn fixtures() -> PathBuf {
    repository().join("tests/fixtures")
}

/// What a node says that a later version must say too.
fn said(node: &Node) -> Value {
    let json = |words: &[&str]| -> Value {
        let text = node.admin(words.iter().copied().chain(["--output", "json"])).printed();
        serde_json::from_str(&text).unwrap()
    };
    let status = node.status();
    let mut facts = BTreeMap::new();
    for key in ["node", "unit", "unit_name", "tier", "anchor", "units_version", "parent_node"] {
        facts.insert(key, status[key].clone());
    }
    for key in ["persons", "changes", "own_entries", "waiting", "findings"] {
        facts.insert(key, status[key].clone());
    }
    let mut logs: Vec<Value> = json(&["log", "verify"]).as_array().unwrap().clone();
    logs.sort_by_key(|log| log["log"].as_str().unwrap().to_owned());
    let of = ["--unit", &node.unit, "--from", "2021-01", "--to", TO, "--measure", MEASURES];
    let figures = ["aggregate", "pull", "--dimensions", "month,sex", "--output", "csv"];
    json!({
        "status": facts,
        "logs": logs,
        "stopped": status["logs"].as_array().unwrap().iter().filter(|log| log["reason"] != "").collect::<Vec<_>>(),
        "waiting": json(&["waiting", "list"]),
        "findings": json(&["finding", "list"]),
        "receipts": json(&["receipt", "list"]),
        "figures": node.admin(figures.into_iter().chain(of)).printed(),
    })
}

/// Slips by hand, beside the simulated ones: one that waits, a correction, a retraction, and one that makes no sense.
fn slips(books: &Path) -> String {
    let book = fs::read_to_string(books).unwrap();
    let person = |at: usize| {
        let row = danso_tests::truth::rows(&book).nth(at).expect("the book has some people");
        (row["household_no"].clone(), row["person_ref"].clone())
    };
    let ((h0, p0), (h1, p1), (h2, p2)) = (person(0), person(4), person(8));
    format!(
        "slip_no,unit_code,household_no,change_type,event_date,reported_on,person_ref,full_name,sex,birth_date,other_unit_code,refers_to,note\n\
         H-1,{COMMUNE},{h0},move_out,2021-04-02,2021-04-05,{p0},,,,91101,,\n\
         H-2,{COMMUNE},{h0},move_out,2021-04-12,2021-04-15,{p0},,,,91101,,đã chuyển đi rồi\n\
         H-3,{COMMUNE},{h1},move_out,2021-04-03,2021-04-05,{p1},,,,91101,,\n\
         H-4,{COMMUNE},{h1},retract,2021-04-03,2021-04-25,{p1},,,,,H-3,ghi nhầm người\n\
         H-5,{COMMUNE},{h2},death,2021-03-03,2021-03-05,{p2},,,,,,\n\
         H-6,{COMMUNE},{h2},update,2021-04-03,2021-04-25,{p2},,,,,H-5,ngày sai\n\
         H-7,{COMMUNE},777,death,2021-04-20,2021-04-25,777.7,,,,,,chưa có trong sổ\n"
    )
}

/// Makes the fixture of this version: `cargo test -p danso-tests --test stories record_the_databases -- --ignored`.
#[test]
#[ignore = "records a release's databases anew: run it by hand, once a release, before anything of the next one changes the schema"]
fn record_the_databases_of_this_version() {
    let target = fixtures().join(format!("v{}", env!("CARGO_PKG_VERSION")));
    assert!(!target.exists(), "{} is recorded; a fixture is never changed", target.display());
    let dir = tempfile::Builder::new().prefix("danso-").tempdir().unwrap();
    let units = fixtures().join("units.csv");
    let mut root = Node::at(dir.path(), ROOT);
    root.init(&units, "vn-2024").must(DONE);
    root.run();
    let mut commune = Node::at(dir.path(), COMMUNE);
    commune.join(&root);
    commune.run();
    let other = Node::at(dir.path(), OTHER);
    other.join(&root);

    let simulator = repository().join("tests/tools/simulate_population.py");
    let (simulator, units, data) =
        (simulator.display().to_string(), units.display().to_string(), dir.path().join("sim"));
    let out = data.display().to_string();
    let plan = ["--households", "12", "--months", "3", "--seed", "11", "--root", COMMUNE];
    let words = [&*simulator, "--units", &*units, "--out", &*out];
    process::run("python3", words.into_iter().chain(plan)).must(DONE);
    let book = data.join(COMMUNE).join("households.csv");
    commune.import_all("households", &book);
    commune.import_all("changes", &data.join(COMMUNE).join("changes.csv"));
    let by_hand = dir.path().join("hand.csv");
    fs::write(&by_hand, slips(&book)).unwrap();
    let imported = commune.import_all("changes", &by_hand);
    assert_eq!((imported.taken, imported.waiting), (6, 1));
    commune.admin(["period", "close", "--unit", COMMUNE, "--month", "2021-03"]).must(DONE);
    commune.receipt_wait("").must(DONE);

    // A log with an entry of a later version in it, and one with two histories.
    let peer = Peer::of(&other, &root);
    let mut records = peer.author(Stream::Records);
    let mut directory = peer.author(Stream::Directory);
    let entries = vec![
        records.entry(vec![person(OTHER, 198_001), person(OTHER, 198_612)]),
        records.entry_of_the_future(OTHER),
        records.entry(vec![person(OTHER, 200_003)]),
    ];
    let mut twin = directory.clone();
    let entry = directory.entry_of_the_future(OTHER);
    let mut line = peer.session(&[]);
    line.send(&records.package(0, entries, true));
    line.durable(&records.log, 3);
    line.send(&directory.package(0, vec![entry], true));
    line.durable(&directory.log, 1);
    twin.entry(vec![person(OTHER, 197_001)]);
    let mut line = peer.session(&[&twin, &records]);
    assert_eq!(line.refused().2, "root_differs");
    let stopped = |log: &Author| {
        root.status()["logs"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["log"] == log.log.to_string() && row["reason"] != "")
    };
    wait_for(|| "the fork does not show".into(), || stopped(&directory).then_some(()));
    root.invite("90103");

    let expected =
        json!({ "software": root.status()["software"], "nodes": { ROOT: said(&root), COMMUNE: said(&commune) } });
    let mut expected = expected;
    for node in [&mut root, &mut commune] {
        assert_eq!(node.stop(), DONE);
        expected["nodes"][&node.unit]["derived"] = rebuilt(node)["sha256"].clone();
        for name in KEPT {
            let from = node.data.join(name);
            if from.exists() {
                let to = target.join(&node.unit).join(format!("{name}.zst"));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::write(to, zstd::encode_all(&*fs::read(from).unwrap(), 19).unwrap()).unwrap();
            }
        }
    }
    fs::write(target.join("expected.json"), serde_json::to_string_pretty(&expected).unwrap() + "\n").unwrap();
}

/// Register and figures made again.
fn rebuilt(node: &Node) -> Value {
    let data = node.data.display().to_string();
    let said = process::run(process::program("danso-node"), ["rebuild", "--data", &data, "--output", "json"]).printed();
    serde_json::from_str(&said).unwrap()
}

/// Puts a recorded node where it can run.
fn unpacked(version: &Path, unit: &str, dir: &Path) -> Node {
    use std::os::unix::fs::PermissionsExt as _;
    let mut node = Node::at(dir, unit);
    for name in KEPT {
        let from = version.join(unit).join(format!("{name}.zst"));
        if from.exists() {
            let to = node.data.join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(&to, zstd::decode_all(&*fs::read(from).unwrap()).unwrap()).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    let config: toml::Table = fs::read_to_string(node.data.join("danso.toml")).unwrap().parse().unwrap();
    let listened = config["node"]["listen"].as_str().expect("an address").to_owned();
    let free = node.listen.clone();
    node.readdress(&listened, &free);
    node
}

/// Whether all that was recorded is said still. A later version may say more; texts for people may change.
fn holds(now: &Value, recorded: &Value) -> bool {
    match (now, recorded) {
        (Value::Object(now), Value::Object(recorded)) => recorded
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "message" | "detail"))
            .all(|(key, value)| match (key.as_str(), now.get(key)) {
                // What is found is told by mail now, which is changes, too.
                ("changes", Some(now)) => now.as_u64() >= value.as_u64(),
                (_, now) => now.is_some_and(|now| holds(now, value)),
            }),
        (Value::Array(now), Value::Array(recorded)) => {
            // In whatever order: a list is for people. What is found is told by mail now, which makes logs that were not there before.
            let without_mail = |list: &[Value]| list.iter().filter(|row| !is_mail(row)).count();
            without_mail(now) == without_mail(recorded)
                && recorded.iter().all(|recorded| now.iter().any(|now| holds(now, recorded)))
        }
        (now, recorded) => now == recorded,
    }
}

fn is_mail(row: &Value) -> bool {
    row["log"].as_str().is_some_and(|log| log.contains("/mail/"))
}

fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("expected.json").exists()).collect()
}

#[test]
fn every_recorded_database_opens_says_what_it_said_and_goes_on_writing() {
    let versions = versions();
    assert!(!versions.is_empty(), "there is the first release at least");
    for version in versions {
        let expected: Value =
            serde_json::from_str(&fs::read_to_string(version.join("expected.json")).unwrap()).unwrap();
        for (unit, expected) in expected["nodes"].as_object().unwrap() {
            let dir = tempfile::Builder::new().prefix("danso-").tempdir().unwrap();
            let mut node = unpacked(&version, unit, dir.path());
            let aside = tempfile::Builder::new().prefix("danso-").tempdir().unwrap();
            let digest = rebuilt(&unpacked(&version, unit, aside.path()))["sha256"].clone();
            assert_eq!(
                digest, expected["derived"],
                "{unit}: these logs make other rows now. Is that meant? Then give Rules::CURRENT another number and record it"
            );
            node.run();
            let now = said(&node);
            for (what, expected) in expected.as_object().unwrap().iter().filter(|(what, _)| *what != "derived") {
                let said = &now[what];
                assert!(
                    holds(said, expected),
                    "{what} of {unit}, recorded by {}:\n{expected}\nnow:\n{said}",
                    version.display()
                );
            }
            goes_on_writing(&mut node, dir.path());
        }
    }
}

/// New slips are taken; the one that waits is taken when its person comes; what came before is not taken twice.
fn goes_on_writing(node: &mut Node, dir: &Path) {
    if node.unit == ROOT {
        let file = dir.join("root.csv");
        fs::write(
            &file,
            "unit_code,household_no,person_ref,full_name,sex,birth_date\n90103,001,001.1,Lô Văn Bảy,M,1980-05-04\n",
        )
        .unwrap();
        assert_eq!(node.import_all("households", &file).taken, 1);
    } else {
        let file = dir.join("book.csv");
        fs::write(
            &file,
            "unit_code,household_no,person_ref,full_name,sex,birth_date\n90101,777,777.7,Lô Thị Bảy,F,1940-05-04\n",
        )
        .unwrap();
        assert_eq!(node.import_all("households", &file).taken, 1);
        assert_eq!(node.status()["waiting"], 0, "the slip that waited in the old database was taken");
        assert_eq!(node.import_all("households", &file).unchanged, 1);
        let changed = dir.join("changed.csv");
        let header = "slip_no,unit_code,household_no,change_type,event_date,reported_on,person_ref";
        fs::write(&changed, format!("{header}\nH-7,{COMMUNE},777,death,2021-04-21,2021-04-25,777.7\n")).unwrap();
        // Other content under a number that the old version took.
        let ended = node.import("changes", &changed, &[]).must(REFUSED);
        assert!(
            format!("{}{}", ended.stdout, ended.stderr).contains("row_differs"),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
    }
    node.admin(["log", "verify"]).must(DONE);
    assert_eq!(node.stop(), DONE);
    assert!(node.logged().contains("made by another version"), "what an older version derived is derived again");
    let rebuilt = rebuilt(node);
    assert_eq!(rebuilt["same"], true, "{rebuilt}");
    node.run();
    node.admin(["log", "verify"]).must(DONE);
}
