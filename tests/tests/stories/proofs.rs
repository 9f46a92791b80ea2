//! What anybody can check: logs from the anchor's fingerprint alone, one entry in a file without any node; and that one byte is enough.

use std::fs;
use std::path::{Path, PathBuf};

use danso_tests::federation::{Federation, ROOT};
use danso_tests::process::{DONE, Ended, REFUSED, USAGE, program, run};
use danso_tests::truth::{Plan, Truth};

#[test]
fn one_byte_is_enough() {
    let mut federation = Federation::over(&["17065"]);
    let truth = Truth::simulate(&federation.path("sim"), &Plan { communes: &["17065"], ..Plan::default() });
    federation.node("17065").import_all("households", &truth.households("17065"));
    federation.node("17065").import_all("changes", &truth.changes("17065"));
    federation.settle();
    federation.logs_verify();

    let anchor = federation.node(ROOT).status_text("anchor");
    let log = format!("{}/records", federation.node("17065").status_text("node"));
    // The central node proves what a commune three tiers below it wrote.
    let proof = federation.path("entry.proof");
    let args = ["log", "prove", &log, "0", "--out", &proof.to_string_lossy()].map(str::to_owned);
    federation.node(ROOT).admin(args.iter().map(String::as_str)).must(DONE);
    let said = check(&proof, &anchor).must(DONE);
    assert!(said.stdout.contains(&log), "the check says what was proven: {}", said.stdout);

    let other = anchor.chars().rev().collect::<String>();
    assert_eq!(check(&proof, &other).code, REFUSED, "another anchor proves nothing");

    let bytes = fs::read(&proof).unwrap();
    let tampered = federation.path("tampered.proof");
    // Some sixty places over the whole file, the first and the last byte among them.
    for at in (0..bytes.len()).step_by((bytes.len() / 60).max(1)).chain([bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        fs::write(&tampered, changed).unwrap();
        check(&tampered, &anchor).must(REFUSED);
    }
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&tampered, &bytes[..length]).unwrap();
        check(&tampered, &anchor).must(REFUSED);
    }

    tamper_with_the_database(&mut federation, &bytes);
    // What was changed is never served: the node does not even start.
    let ended = run(program("danso-node"), ["run".as_ref(), "--data".as_ref(), federation.node(ROOT).data.as_os_str()]);
    ended.refused_with("store_damaged");
    federation.node("17065").admin(["log", "verify"]).must(DONE);
}

#[test]
fn a_proof_of_what_is_not_there_is_refused() {
    let federation = Federation::central();
    let central = federation.node(ROOT);
    let node = central.status_text("node");
    let out = federation.path("none.proof");
    let out = out.to_string_lossy();
    central.admin(["log", "prove", &format!("{node}/records"), "5", "--out", &out]).refused_with("not_found");
    central.admin(["log", "prove", "no log", "0", "--out", &out]).must(USAGE);
    assert!(!Path::new(&*out).exists(), "nothing is written");
    let missing = check(Path::new(&*out), &central.status_text("anchor"));
    assert_ne!(missing.code, DONE);
}

fn check(proof: &Path, anchor: &str) -> Ended {
    run(
        program("danso-admin"),
        ["proof".as_ref(), "check".as_ref(), proof.as_os_str(), "--anchor".as_ref(), anchor.as_ref()],
    )
}

/// Flips one bit of an entry where the central node keeps it. Its place is found by the entry's own bytes, which are in the proof too.
fn tamper_with_the_database(federation: &mut Federation, proof: &[u8]) {
    /// Long enough to be met only once, short enough to lie within a page.
    const WINDOW: usize = 64;
    assert_eq!(federation.node_mut(ROOT).stop(), DONE);
    let files: Vec<PathBuf> =
        fs::read_dir(&federation.node(ROOT).data).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    let mut changed = 0;
    for file in files {
        let mut bytes = fs::read(&file).unwrap();
        // From the middle on: an envelope's payload, not the names at its head.
        for from in (proof.len() / 4..proof.len().saturating_sub(WINDOW)).step_by(WINDOW / 2) {
            let window = &proof[from..from + WINDOW];
            if let Some(at) = bytes.windows(WINDOW).position(|w| w == window) {
                bytes[at + WINDOW / 2] ^= 0x01;
                fs::write(&file, bytes).unwrap();
                changed += 1;
                break;
            }
        }
    }
    assert!(changed > 0, "the entry's bytes are in the database as they were signed");
}
