//! Logs and proofs, with real signatures: what is right passes from the fingerprint alone, and one changed bit is found where it is.

mod support;

use danso_admin::exit::Exit;
use serde_json::Value;
use support::Fake;
use support::logs::{World, world};

fn fake(world: &World) -> Fake {
    // Not in the order in which they must be checked.
    let logs = vec![world.records.clone(), world.directory.clone()];
    Fake { anchor: world.anchor.to_string(), logs, proof: world.proof.clone(), ..Fake::default() }
}

#[tokio::test]
async fn right_logs_pass_from_the_fingerprint_alone() {
    let world = world(1);
    let node = fake(&world).start().await;
    let anchor = world.anchor.to_string();
    let said = node.admin(&["log", "verify", "--anchor", &anchor, "--output", "json"]).await;
    assert_eq!(said.exit, Exit::Done, "{} {}", said.out, said.err);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json[0]["log"], world.directory.log.to_string(), "from the anchor down");
    assert_eq!((&json[0]["entries"], &json[1]["entries"]), (&Value::from(3), &Value::from(4)));
    assert!(!said.err.contains("taken from the node"));

    let said = node.admin(&["log", "verify", &world.records.log.to_string()]).await;
    assert_eq!(said.exit, Exit::Done);
    assert!(said.err.contains("taken from the node"), "{}", said.err);
    assert!(!said.out.contains(&world.directory.log.to_string()), "only what was asked for: {}", said.out);
}

#[tokio::test]
async fn a_changed_bit_is_found_where_it_is() {
    let world = world(1);
    let mut fake = fake(&world);
    fake.logs[0].tamper(2);
    let node = fake.start().await;
    let said = node.admin(&["log", "verify", "--anchor", &world.anchor.to_string(), "--output", "json"]).await;
    assert_eq!(said.exit, Exit::Refused);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&json[1]["ok"], &json[1]["first_bad"]), (&Value::from(false), &Value::from(2)), "{json:#}");
    assert!(json[0]["ok"] == true && json[1]["entries"] == 2, "{json:#}");
}

#[tokio::test]
async fn heads_that_do_not_fit_are_found() {
    let world = world(1);
    let anchor = world.anchor.to_string();
    let verify = ["log", "verify", "--anchor", &anchor, "--output", "csv"];

    let mut other_root = fake(&world);
    other_root.logs[0].root = [7; 32];
    let said = other_root.start().await.admin(&verify).await;
    assert!(said.exit == Exit::Refused && said.out.contains("root_differs"), "{}", said.out);

    let mut other_note = fake(&world);
    other_note.logs[0].checkpoint = world.directory.checkpoint.clone();
    let said = other_note.start().await.admin(&verify).await;
    assert!(said.exit == Exit::Refused, "{}", said.out);

    let mut cut = fake(&world);
    cut.logs[0].entries.remove(1);
    let said = cut.start().await.admin(&verify).await;
    assert!(said.exit == Exit::Refused && said.out.contains("sequence_gap"), "{}", said.out);
}

#[tokio::test]
async fn another_anchor_is_refused() {
    let (world, other) = (world(1), world(11));
    let node = fake(&world).start().await;
    let said = node.admin(&["log", "verify", "--anchor", &other.anchor.to_string(), "--output", "csv"]).await;
    assert!(said.exit == Exit::Refused && said.out.contains("anchor_mismatch"), "{}", said.out);

    // A log of a federation that nobody here knows.
    let mut with_stranger = fake(&world);
    with_stranger.logs.push(other.records.clone());
    let said = with_stranger.start().await.admin(&["log", "verify", "--output", "csv"]).await;
    assert!(said.exit == Exit::Refused && said.out.contains("key_not_enrolled"), "{}", said.out);
}

#[tokio::test]
async fn entries_are_shown_decoded() {
    let world = world(1);
    let node = fake(&world).start().await;
    let log = world.records.log.to_string();
    let said = node.admin(&["log", "show", &log, "--from", "1", "--limit", "2", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    assert_eq!(json[0]["change_set"]["changes"][0]["period_closed"]["month"], 202_102);
    assert!(said.err.contains("--from 3"), "{}", said.err);
    let said = node.admin(&["log", "show", &log]).await;
    assert!(said.out.contains("period_closed 1"), "{}", said.out);
    let said = node.admin(&["log", "list", "--output", "csv"]).await;
    assert_eq!(said.out.lines().count(), 3);
    assert_eq!(node.admin(&["log", "show", "nothing"]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn a_proof_is_written_and_checked_without_a_node() {
    let world = world(1);
    let node = fake(&world).start().await;
    let file = node.dir.path().join("x.proof");
    let file = file.to_str().expect("text");
    let said = node.admin(&["log", "prove", &world.records.log.to_string(), "1", "--out", file]).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);

    let anchor = world.anchor.to_string();
    let check = ["proof", "check", file, "--anchor", &anchor, "--output", "json"];
    let said = danso_admin::capture(check).await;
    assert_eq!(said.exit, Exit::Done, "{}", said.err);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&json["sequence"], &json["log_size"]), (&Value::from(1), &Value::from(4)));
    assert_eq!(json["change_set"]["changes"][0]["period_closed"]["month"], 202_102);

    let other = support::logs::world(11).anchor.to_string();
    let said = danso_admin::capture(["proof", "check", file, "--anchor", &other]).await;
    assert_eq!((said.exit, said.out.as_str()), (Exit::Refused, ""), "{}", said.err);

    let mut bytes = std::fs::read(file).expect("reads");
    let middle = bytes.len() * 2 / 3;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).expect("writes");
    assert_eq!(danso_admin::capture(check).await.exit, Exit::Refused);
    assert_eq!(danso_admin::capture(["proof", "check", "/nonexistent", "--anchor", &anchor]).await.exit, Exit::Usage);
    assert_eq!(danso_admin::capture(["proof", "check", file, "--anchor", "12"]).await.exit, Exit::Usage);
}
