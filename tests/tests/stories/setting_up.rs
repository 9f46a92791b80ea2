//! `init` and `join` are killed anywhere and run again: they go on where they stopped.
//!
//! The kill comes at a chosen system call of a chosen kind, one after the other: strace does it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use danso_tests::federation::{Federation, ROOT};
use danso_tests::node::Node;
use danso_tests::process::{DONE, Ended, program};
use danso_tests::truth::units_file;

/// Kinds of system calls that change what is on the disk.
const CALLS: [&str; 6] = [
    "pwrite64,write",
    "fsync,fdatasync",
    "link,linkat",
    "unlink,unlinkat",
    "rename,renameat,renameat2",
    "mkdir,mkdirat",
];

/// Runs `danso-node` and kills it at the `at`-th call (counted in each thread) of a kind. `None`: there were fewer.
fn killed(args: &[&OsStr], calls: &str, at: usize) -> Option<()> {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:signal=KILL:when={at}")])
        .arg(program("danso-node"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace was there a moment ago");
    (!status.success()).then_some(())
}

/// Kills at every kind of call: the first ones one by one, later ones farther and farther apart. Returns how often.
fn kill_everywhere(
    mut args: impl FnMut(usize) -> Vec<std::ffi::OsString>,
    mut again: impl FnMut(usize, &str),
) -> usize {
    let there = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    assert!(
        there.is_ok_and(|status| status.success()),
        "this test needs strace that may trace its own children: install it, or allow ptrace"
    );
    let mut kills = 0;
    for calls in CALLS {
        let mut at = 1;
        loop {
            let words = args(kills);
            let words: Vec<&OsStr> = words.iter().map(|word| &**word).collect();
            let was = killed(&words, calls, at);
            again(kills, &format!("killed at call {at} of {calls}"));
            kills += 1;
            if was.is_none() {
                break;
            }
            at += 1 + at / 3;
        }
    }
    kills
}

fn is_a_node(node: &mut Node, about: &str) {
    node.run();
    node.admin(["log", "verify"]).must(DONE);
    node.admin(["doctor"]).must(DONE);
    assert_eq!(node.stop(), DONE, "{about}");
}

/// Done now, or done when it was killed.
fn finished(ended: &Ended, about: &str) {
    assert!(ended.code == DONE || ended.stderr.contains("already_joined"), "{about}: {ended:?}");
}

/// A short list: what is written is the same kinds of things.
fn short_list(dir: &Path) -> std::path::PathBuf {
    let all = fs::read_to_string(units_file()).unwrap();
    let keep = |line: &&str| {
        line.starts_with("code") || ["VN,", "40,", "420,", "17065,"].iter().any(|code| line.starts_with(code))
    };
    let list: String = all.lines().filter(keep).map(|line| format!("{line}\n")).collect();
    let path = dir.join("units.csv");
    fs::write(&path, list).unwrap();
    path
}

#[test]
fn init_is_killed_anywhere_and_run_again() {
    let dir = tempfile::Builder::new().prefix("danso-").tempdir().unwrap();
    let units = short_list(dir.path());
    let node = |n: usize| Node::named(dir.path(), &format!("i{n}"), ROOT);
    let kills = kill_everywhere(
        |n| {
            let node = node(n);
            let words = ["init", "--unit", ROOT, "--units-version", "vn-2024", "--listen", &node.listen, "--units"];
            let mut words: Vec<_> = words.iter().map(Into::into).collect();
            words.extend([units.clone().into(), "--data".into(), node.data.clone().into()]);
            words
        },
        |n, about| {
            let mut node = node(n);
            finished(&node.init(&units, "vn-2024"), about);
            if n % 5 == 0 {
                is_a_node(&mut node, about);
            }
        },
    );
    println!("init was killed {kills} times");
    assert!(kills > 20, "{kills} kills");
}

#[test]
fn join_is_killed_anywhere_and_run_again() {
    let federation = Federation::central();
    let dir = tempfile::Builder::new().prefix("danso-").tempdir().unwrap();
    let central = federation.node(ROOT);
    let node = |n: usize| Node::named(dir.path(), &format!("j{n}"), "40");
    let kills = kill_everywhere(
        |n| {
            let node = node(n);
            let token = node.token_file(&central.invite_with("40", &["--again"]));
            let mut words: Vec<std::ffi::OsString> = vec!["join".into(), "--token-file".into(), token.into()];
            words.extend(["--data".into(), node.data.clone().into(), "--listen".into(), node.listen.clone().into()]);
            words
        },
        |n, about| {
            let mut node = node(n);
            let token = node.data.with_extension("token");
            finished(&node.join_with(&token), about);
            if n % 5 == 0 {
                is_a_node(&mut node, about);
            }
        },
    );
    println!("join was killed {kills} times");
    assert!(kills > 20, "{kills} kills");
}
