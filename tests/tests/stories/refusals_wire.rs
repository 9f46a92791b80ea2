//! What a parent refuses of a peer that breaks the rules of the exchange: each with its own reason, as the peer itself sees it. Nothing of
//! it is written, and the link of the honest child beside it is not cut.
//!
//! The peer is a child that really joined; the story speaks with its keys. All other nodes are real processes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use danso_proto::envelope::SoftwareSigner;
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::merkle::leaf_hash;
use danso_proto::package::{self, Package, SealedEntry};
use danso_proto::pb::exchange::v1::{self as pb, frame::Body};
use danso_tests::federation::{Federation, ROOT};
use danso_tests::node::Node;
use danso_tests::peer::{self, Author, Peer, Shows, person};
use danso_tests::process::{DONE, wait_for};
use danso_tests::truth::rows;

/// The unit whose node breaks the rules.
pub(crate) const BAD: &str = "17065";
/// The unit whose node keeps them, below the same parent.
const GOOD: &str = "17035";
/// Between the communes and the root.
const MIDDLE: &str = "40";

/// A parent with two children. One runs; of the other there are only the files.
pub(crate) struct Stage {
    honest: Node,
    bad: Node,
    parent: &'static str,
    federation: Federation,
}

impl Stage {
    /// The children are those of the central node.
    pub(crate) fn below_root() -> Self {
        Self::below(Federation::central(), ROOT)
    }

    /// There is a node between them and the central node.
    pub(crate) fn below_middle() -> Self {
        let mut federation = Federation::central();
        federation.add(MIDDLE);
        Self::below(federation, MIDDLE)
    }

    fn below(federation: Federation, parent: &'static str) -> Self {
        let mut honest = Node::at(federation.dir(), GOOD);
        honest.join(federation.node(parent));
        honest.run();
        let bad = Node::at(federation.dir(), BAD);
        bad.join(federation.node(parent));
        Self { honest, bad, parent, federation }
    }

    pub(crate) fn parent(&self) -> &Node {
        self.federation.node(self.parent)
    }

    /// The directory of the story.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.federation.dir()
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::of(&self.bad, self.parent())
    }

    /// The honest child writes, and gets its receipt over the link that it has had all the time.
    pub(crate) fn others_go_on(&self) {
        assert_eq!(self.honest.status_text("link"), "connected");
        let file = self.federation.path("honest.csv");
        let header = "unit_code,household_no,person_ref,full_name,sex,birth_date";
        fs::write(&file, format!("{header}\n{GOOD},001,001.1,Vi Văn Nam,M,1980-05-04\n")).unwrap();
        assert_eq!(self.honest.import_all("households", &file).taken, 1);
        self.honest.receipt_wait("").must(DONE);
        assert_eq!(residents(self.parent(), GOOD), 1);
        let log = self.honest.logged();
        assert_eq!(log.matches("link: connected").count(), 1, "the honest child's link was cut\n{log}");
    }
}

/// Residents of a unit at the end of the year in which the peer writes.
pub(crate) fn residents(node: &Node, unit: &str) -> i64 {
    let question = ["--from", "2021-12", "--to", "2021-12", "--measure", "residents", "--output", "csv"];
    let said = node.admin(["aggregate", "pull", "--unit", unit].into_iter().chain(question)).printed();
    rows(&said).map(|row| row["value"].parse::<i64>().unwrap()).sum()
}

/// Entries of a log at a node, and why it is stopped.
pub(crate) fn log_at(node: &Node, log: &LogId) -> (u64, String) {
    let status = node.status();
    let row = status["logs"].as_array().unwrap().iter().find(|row| row["log"] == log.to_string()).cloned();
    row.map(|row| (row["entries"].as_u64().unwrap(), row["reason"].as_str().unwrap().to_owned())).unwrap_or_default()
}

#[test]
fn only_an_enrolled_child_is_let_in() {
    let stage = Stage::below_middle();
    let peer = stage.peer();
    // A child of the central node. The parent knows it from the central node's directory.
    let elsewhere = Node::at(stage.federation.dir(), "415");
    elsewhere.join(stage.federation.node(ROOT));
    let elsewhere = Peer::of(&elsewhere, stage.federation.node(ROOT)).node;
    let central: NodeId = stage.federation.node(ROOT).status_text("node").parse().unwrap();
    let directory = LogId::new(central, Stream::Directory);
    let there = log_at(stage.federation.node(ROOT), &directory);
    wait_for(
        || "the directory does not come down".into(),
        || (log_at(stage.parent(), &directory) == there).then_some(()),
    );

    let stranger: NodeId = format!("{BAD}-0123456789abcdef").parse().unwrap();
    let shown = [
        (Shows::Nothing, "certificate_missing"),
        (Shows::BySelf, "certificate_unknown"),
        (Shows::ByParent(stranger), "not_a_child"),
        (Shows::ByParent(elsewhere.clone()), "not_a_child"),
    ];
    for (shows, reason) in shown {
        let refusal = peer.open(&shows).err().expect("it is not let in");
        assert_eq!(refusal.reason.code(), reason, "{refusal}");
    }
    let own = peer.hello();
    let hellos = [
        (pb::Hello { protocol_min: 2, protocol_max: 9, ..own.clone() }, "protocol_unsupported"),
        (pb::Hello { protocol_min: 0, protocol_max: 0, ..own.clone() }, "protocol_unsupported"),
        (pb::Hello { node: elsewhere.to_string(), ..own.clone() }, "certificate_unknown"),
        (pb::Hello { node: "nobody".into(), ..own.clone() }, "malformed"),
        (pb::Hello { heads: limits::HEADS_MAX as u32 + 1, ..own }, "too_large"),
    ];
    for (hello, reason) in hellos {
        let line = peer.open(&Shows::Own).unwrap();
        line.say(Body::Hello(hello));
        assert_eq!(line.ended(), reason);
    }
    peer.session(&[]);
    stage.others_go_on();
}

#[test]
fn a_bad_entry_is_refused_alone() {
    let stage = Stage::below_root();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let name = log.log.to_string();
    let mut line = peer.session(&[]);

    let late = log.aside(|log| [log.entry(vec![person(BAD, 198_001)]), log.entry(vec![person(BAD, 198_002)])]);
    line.send(&log.package(1, late[1..].to_vec(), false));
    assert_eq!(line.refused(), (name.clone(), 0, "sequence_gap".into()));

    // One that the author signed is proof of two histories: see `forks`.
    let other = log.aside(|log| {
        log.signer = Arc::new(SoftwareSigner::from_secret(&[9; 32]));
        log.entry(vec![person(BAD, 197_001)])
    });
    let good = log.entry(vec![person(BAD, 198_001)]);
    line.send(&log.package(0, vec![good], true));
    line.durable(&log.log, 1);
    line.send(&log.package(0, vec![other], false));
    assert_eq!(line.refused(), (name.clone(), 0, "replay_differs".into()));

    for (make, reason) in FAULTS {
        let bad = log.aside(make);
        line.send(&log.package(1, vec![bad], false));
        assert_eq!(line.refused(), (name.clone(), 1, (*reason).into()), "{reason}");
    }

    let honest: NodeId = stage.honest.status_text("node").parse().unwrap();
    let theirs = LogId::new(honest, Stream::Records);
    let entry = log.aside(|log| log.entry(vec![person(GOOD, 198_001)]));
    line.send(&Package { log: theirs.clone(), first: 0, entries: vec![entry], checkpoint: None });
    assert_eq!(line.refused(), (theirs.to_string(), 0, "log_not_for_link".into()));

    // The same session, the same log: what is right is still taken.
    let next = log.entry(vec![person(BAD, 198_002)]);
    line.send(&log.package(1, vec![next], true));
    line.durable(&log.log, 2);
    assert_eq!(log_at(stage.parent(), &log.log), (2, String::new()));
    assert_eq!((residents(stage.parent(), BAD), residents(stage.parent(), GOOD)), (2, 0));
    assert_eq!(log_at(stage.parent(), &theirs), (0, String::new()));
    stage.others_go_on();
    stage.parent().admin(["log", "verify"]).must(DONE);
}

/// Makes a log's next entry, with one thing wrong.
type Fault = fn(&mut Author) -> SealedEntry;

/// What can be wrong about a log's next entry, and the reason.
const FAULTS: &[(Fault, &str)] = &[
    (
        |log| {
            let mut entry = log.entry(vec![person(BAD, 198_002)]);
            let mut bytes = entry.envelope.to_vec();
            // In the middle of the payload: the shape stays right.
            let at = bytes.len() / 3;
            bytes[at] ^= 1;
            entry.envelope = Bytes::from(bytes);
            entry
        },
        "signature_invalid",
    ),
    (
        |log| {
            log.signer = Arc::new(SoftwareSigner::from_secret(&[9; 32]));
            log.entry(vec![person(BAD, 198_002)])
        },
        "key_not_enrolled",
    ),
    (|log| log.entry(vec![person(GOOD, 198_002)]), "out_of_scope"),
    (|log| log.entry(vec![person(ROOT, 198_002)]), "out_of_scope"),
    (|log| log.entry(vec![person("99999", 198_002)]), "unit_unknown"),
    (
        |log| {
            log.units_version = "vn-1945".into();
            log.entry(vec![person(BAD, 198_002)])
        },
        "units_version_unknown",
    ),
    (
        |log| {
            log.entry(vec![person(BAD, 198_002)]);
            log.entry(vec![person(BAD, 198_003)])
        },
        "sequence_gap",
    ),
    (
        |log| {
            let mut entry = log.entry(vec![person(BAD, 198_002)]);
            let other = IdentityPart { full_name: "Ai khác".into(), ..Default::default() };
            entry.parts.as_mut().unwrap().parts[0] = other.encode().unwrap();
            entry
        },
        "commitment_mismatch",
    ),
    (|log| log.entry_of("application/x-other", b"payload"), "envelope_type_unknown"),
    (|_| SealedEntry { envelope: Bytes::from_static(b"\xff\xff\xff"), parts: None }, "malformed"),
];

#[test]
fn a_package_that_cannot_be_read_ends_its_session_and_nothing_else() {
    let mut stage = Stage::below_root();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let entry = log.aside(|log| log.entry(vec![person(BAD, 198_001)]));
    let encoded = |package: &Package| package::encode(package, package::PACKAGE_ZSTD_LEVEL);
    let whole = encoded(&log.package(0, vec![entry.clone()], false));
    let many = vec![entry.clone(); limits::PACKAGE_ENTRIES_MAX + 1];
    let bomb = "0".repeat(limits::PACKAGE_INFLATED_MAX);
    let bomb = Package { checkpoint: Some(bomb), ..log.package(0, vec![entry], false) };
    let bad = [
        (encoded(&bomb), "inflates_too_far"),
        (vec![0; limits::PACKAGE_ZSTD_MAX + 1], "too_large"),
        (vec![0; limits::GRPC_MESSAGE_MAX + 1], "too_large"),
        (whole[..whole.len() / 2].to_vec(), "malformed"),
        ([&whole[..], b"x"].concat(), "malformed"),
        (b"garbage".to_vec(), "malformed"),
        (Vec::new(), "malformed"),
        (encoded(&log.package(0, many, false)), "too_large"),
    ];
    for (zstd, reason) in bad {
        let length = zstd.len();
        let line = peer.session(&[]);
        line.send_zstd(zstd);
        assert_eq!(line.ended(), reason, "{length} bytes");
    }
    let line = peer.session(&[]);
    line.say_frame(pb::Frame { body: None });
    assert_eq!(line.ended(), "malformed");
    // Somebody who does not even speak TLS.
    let mut socket = TcpStream::connect(&stage.parent().listen).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: danso\r\n\r\n").unwrap();
    let mut said = Vec::new();
    // An alert, or just the end.
    let _ = socket.read_to_end(&mut said);

    assert_eq!(log_at(stage.parent(), &log.log), (0, String::new()));
    assert_eq!(residents(stage.parent(), BAD), 0);
    let mut line = peer.session(&[]);
    let entry = log.entry(vec![person(BAD, 198_001)]);
    line.send(&log.package(0, vec![entry], true));
    line.durable(&log.log, 1);
    stage.others_go_on();
    assert!(stage.federation.node_mut(ROOT).is_running());
}

#[test]
fn a_frame_that_does_not_belong_here_ends_the_session() {
    let stage = Stage::below_root();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let receipt =
        pb::ForwardedReceipt { log: log.log.to_string(), giver: peer.parent.to_string(), note: "note".into() };
    let question = pb::Question { id: 1, query: Some(Default::default()), nonce: vec![0; 16].into() };
    let frames = [
        (Body::Question(question), "frame_unexpected"),
        (Body::Receipts(pb::Receipts { receipts: vec![receipt] }), "frame_unexpected"),
        (Body::Hello(peer.hello()), "frame_unexpected"),
        (Body::Heads(pb::Heads { heads: vec![log.head()] }), "frame_unexpected"),
        (Body::Heads(pb::Heads { heads: vec![log.head(); limits::HEADS_PER_FRAME + 1] }), "too_large"),
    ];
    for (frame, reason) in frames {
        let line = peer.session(&[]);
        line.say(frame);
        assert_eq!(line.ended(), reason);
    }
    let line = peer.open(&Shows::Own).unwrap();
    line.say(Body::Heads(pb::Heads { heads: vec![log.head()] }));
    assert_eq!(line.ended(), "frame_unexpected", "before the hello");

    // A word about entries that are not there stops that log; the session goes on.
    let mut line = peer.session(&[]);
    let directory = LogId::new(peer.parent.clone(), Stream::Directory).to_string();
    line.say(Body::Durable(pb::Durable { log: directory.clone(), size: 1_000_000, receipt: String::new() }));
    assert_eq!(line.refused(), (directory, 1_000_000, "frame_unexpected".into()));
    let entry = log.entry(vec![person(BAD, 198_001)]);
    line.send(&log.package(0, vec![entry], true));
    line.durable(&log.log, 1);
    stage.others_go_on();
}

#[test]
fn more_packages_than_the_window_end_the_session() {
    let stage = Stage::below_root();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    // Packages that take far longer to write than to read, so that they pile up.
    let packages: Vec<Package> = (0..4 * u64::from(limits::WINDOW_MAX))
        .map(|first| {
            let people = (0..200).map(|_| (person(BAD, 198_001).0, None)).collect();
            let entry = log.entry(people);
            log.package(first, vec![entry], false)
        })
        .collect();
    let line = peer.session(&[]);
    packages.iter().for_each(|package| line.send(package));
    assert_eq!(line.ended(), "too_large");
    // What had been taken until then was right, and stays.
    let taken = log_at(stage.parent(), &log.log).0;
    assert!(taken >= u64::from(limits::WINDOW_MAX) && taken < packages.len() as u64, "{taken} entries");
    assert_eq!(residents(stage.parent(), BAD), 200 * taken as i64);
    stage.others_go_on();
}

#[test]
fn a_second_session_of_a_node_ends_the_first() {
    let stage = Stage::below_root();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let first = peer.session(&[]);
    let mut second = peer.session(&[]);
    assert_eq!(first.ended(), "session_replaced");
    let entry = log.entry(vec![person(BAD, 198_001)]);
    second.send(&log.package(0, vec![entry], true));
    second.durable(&log.log, 1);
    assert_eq!(residents(stage.parent(), BAD), 1);
    stage.others_go_on();
}

#[test]
fn a_join_that_proves_nothing_does_not_use_up_the_invite() {
    let stage = Stage::below_root();
    let peer = stage.peer();
    let central = stage.parent();
    let text = central.invite("415");
    let token = peer::token(&text);
    let secret = token.secret.0;
    let entries = central.status()["own_entries"].clone();
    type Change<'a> = &'a dyn Fn(&mut pb::JoinRequest);
    let wrong: &[(Change<'_>, &str)] = &[
        (&|r| r.unit = "420".into(), "token_wrong_unit"),
        (&|r| r.unit = BAD.into(), "token_wrong_unit"),
        (&|r| r.proof = vec![7; 64].into(), "join_proof_invalid"),
        (&|r| r.proof = Bytes::new(), "join_proof_invalid"),
        (&|r| r.proof = peer.prove(&[0; 32], &r.link_csr).into(), "join_proof_invalid"),
        (&|r| r.log_public_key = vec![1; 31].into(), "join_proof_invalid"),
        (&|r| r.secret = Bytes::new(), "join_proof_invalid"),
        (
            &|r| {
                r.link_csr = Bytes::from_static(b"no request");
                r.proof = peer.prove(&secret, &r.link_csr).into();
            },
            "join_proof_invalid",
        ),
        (
            &|r| {
                // The request's own signature is its end.
                let mut csr = r.link_csr.to_vec();
                *csr.last_mut().unwrap() ^= 1;
                r.proof = peer.prove(&secret, &csr).into();
                r.link_csr = csr.into();
            },
            "join_proof_invalid",
        ),
        (
            &|r| {
                r.secret = vec![0; 32].into();
                r.proof = peer.prove(&[0; 32], &r.link_csr).into();
            },
            "token_unknown",
        ),
    ];
    for (change, reason) in wrong {
        let refusal = peer.ask_to_join(&token, change).expect_err("it is refused");
        assert_eq!(refusal.reason.code(), *reason, "{refusal}");
    }
    assert_eq!(central.status()["own_entries"], entries, "nobody was enrolled");
    let mut right = Node::at(stage.federation.dir(), "415");
    right.join_with(&right.token_file(&text)).must(DONE);
    right.run();
    stage.others_go_on();
}

#[test]
fn a_kind_of_the_future_goes_up_verbatim_and_is_listed() {
    let stage = Stage::below_middle();
    let peer = stage.peer();
    let mut log = peer.author(Stream::Records);
    let future = log.entry_of_the_future(BAD);
    let known = log.entry(vec![person(BAD, 198_001)]);
    let mut line = peer.session(&[]);
    line.send(&log.package(0, vec![future.clone(), known], true));
    line.durable(&log.log, 2);
    let central = stage.federation.node(ROOT);
    wait_for(|| "the log does not go up".into(), || (log_at(central, &log.log).0 == 2).then_some(()));

    let leaf: String = leaf_hash(&future.envelope).iter().map(|byte| format!("{byte:02x}")).collect();
    for node in [stage.parent(), central] {
        let shown = node.admin(["log", "show", &log.log.to_string(), "--output", "json"]).printed();
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown[0]["leaf"], leaf, "the bytes that were signed");
        let found = node.admin(["finding", "list", "--output", "csv"]).printed();
        let found: Vec<(String, String)> =
            rows(&found).map(|row| (row["log"].clone(), row["reason"].clone())).collect();
        assert_eq!(found, [(log.log.to_string(), "kind_unknown".to_owned())]);
        assert_eq!(residents(node, BAD), 1, "the known change beside it counts");
        node.admin(["log", "verify"]).must(DONE);
    }
    stage.others_go_on();
}
