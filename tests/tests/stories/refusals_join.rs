//! Every misuse of a token is refused with its own reason, and the right use still works afterwards.

use std::time::{Duration, Instant};

use danso_tests::federation::Federation;
use danso_tests::node::Node;
use danso_tests::process::{DONE, wait_for};

/// Below the central node: what the stories invite.
const UNIT: &str = "40";

#[test]
fn a_token_is_used_once() {
    let federation = Federation::central();
    let central = federation.node("VN");
    let token = central.invite(UNIT);
    let first = Node::named(federation.dir(), "first", UNIT);
    first.join_with(&first.token_file(&token)).must(DONE);
    let second = Node::named(federation.dir(), "second", UNIT);
    second.join_with(&second.token_file(&token)).refused_with("token_used");
    first.join_with(&first.token_file(&token)).refused_with("already_joined");
    nothing_was_made(&second);
    joins_after_all(&federation, second);
}

#[test]
fn a_token_expires() {
    let federation = Federation::central();
    let central = federation.node("VN");
    let invite = ["child", "invite", "--unit", UNIT, "--address", &central.listen, "--expires", "1s"];
    let token = central.admin(invite).printed().trim().to_owned();
    let given = Instant::now();
    wait_for(|| "a second does not pass".into(), || (given.elapsed() > Duration::from_millis(1500)).then_some(()));
    let late = Node::at(federation.dir(), UNIT);
    late.join_with(&late.token_file(&token)).refused_with("token_expired");
    nothing_was_made(&late);
    joins_after_all(&federation, late);
}

#[test]
fn a_token_that_cannot_be_read_is_refused() {
    let federation = Federation::central();
    let token = federation.node("VN").invite(UNIT);
    let node = Node::at(federation.dir(), UNIT);
    let middle = token.len() / 2;
    let swapped = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let garbled = [
        String::new(),
        "hello".into(),
        token[..middle].into(),
        format!("{token}x"),
        format!("{}{swapped}{}", &token[..middle], &token[middle + 1..]),
    ];
    for text in garbled {
        node.join_with(&node.token_file(&text)).refused_with("token_garbled");
        nothing_was_made(&node);
    }
    // What was garbled was not used: the token itself is still good. A line's end after it does no harm.
    node.join_with(&node.token_file(&format!("{token}\n"))).must(DONE);
}

#[test]
fn nobody_invites_a_unit_that_is_not_below_it() {
    let mut federation = Federation::central();
    federation.add(UNIT);
    let province = federation.node(UNIT);
    for unit in ["VN", UNIT, "01"] {
        province
            .admin(["child", "invite", "--unit", unit, "--address", &province.listen])
            .refused_with("unit_not_below");
    }
    province.admin(["child", "invite", "--unit", "99999", "--address", &province.listen]).refused_with("unit_unknown");
}

/// A refused join leaves nothing, and nothing that would run.
fn nothing_was_made(node: &Node) {
    assert!(!node.data.exists(), "where nothing was there is nothing");
    let ended = danso_tests::process::run(
        danso_tests::process::program("danso-node"),
        ["run".as_ref(), "--data".as_ref(), node.data.as_os_str()],
    );
    assert_ne!(ended.code, DONE, "a node that never joined does not run");
}

/// The parent is unharmed: it invites the same unit again, and that works, in the same directory.
fn joins_after_all(federation: &Federation, mut node: Node) {
    let token = federation.node("VN").invite_with(&node.unit, &["--again"]);
    node.join_with(&node.token_file(&token)).must(DONE);
    node.run();
    node.receipt_wait("central").must(DONE);
}
