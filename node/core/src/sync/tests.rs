//! The rules of a session, one by one. R is the root, P below it, C and S below P, D below C; the link is the one from C to P.

mod answer;
mod heads;
mod sink;
mod source;

use std::collections::BTreeMap;

use bytes::Bytes;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::package::SealedEntry;
use danso_proto::refusal::Reason;

use super::*;

pub(super) const NOW: i64 = 1_700_000_000_000;

/// Parents, and who enrolled nodes that were taken over since.
pub(super) struct Tree(BTreeMap<NodeId, NodeId>, Vec<(NodeId, NodeId)>);

impl Kin for Tree {
    fn parent_of(&self, node: &NodeId) -> Option<NodeId> {
        self.0.get(node).cloned()
    }

    fn was_above(&self, above: &NodeId, below: &NodeId) -> bool {
        self.1.contains(&(above.clone(), below.clone())) || above != below && at_or_below(below, above, self)
    }

    fn enrolled_below(&self, by: &NodeId, top: &NodeId) -> bool {
        let now = self.0.iter().map(|(node, parent)| (parent, node));
        let once = self.1.iter().map(|(parent, node)| (parent, node));
        now.chain(once).any(|(parent, node)| parent == by && at_or_below(node, top, self))
    }
}

pub(super) fn node(name: &str) -> NodeId {
    format!("{name}-0123456789abcdef").parse().unwrap()
}

/// `C/records` is C's; `P/mail/D` is P's for D.
pub(super) fn log(text: &str) -> LogId {
    let (author, stream) = text.split_once('/').unwrap();
    let stream = match stream.split_once('/') {
        Some((mail, to)) => format!("{mail}/{}", node(to)),
        None => stream.to_owned(),
    };
    format!("{}/{stream}", node(author)).parse().unwrap()
}

pub(super) fn tree() -> Tree {
    let parents = [("P", "R"), ("C", "P"), ("S", "P"), ("D", "C"), ("T", "P")].map(|(a, b)| (node(a), node(b)));
    // T was below C until P took it over.
    Tree(parents.into(), vec![(node("C"), node("T"))])
}

pub(super) fn head(text: &str, size: u64, root: u8) -> Head {
    Head { log: log(text), size, root: [root; 32], checkpoint: None }
}

/// Rank as the tree says.
pub(super) fn held(text: &str, size: u64, root: u8) -> Held {
    let head = head(text, size, root);
    Held { rank: rank(head.log.node(), &tree()), head }
}

pub(super) fn package(text: &str, first: u64, count: usize) -> Package {
    let entry = SealedEntry { envelope: Bytes::from_static(b"entry"), parts: None };
    Package { log: log(text), first, entries: vec![entry; count], checkpoint: None }
}

pub(super) fn hello(name: &str, heads: usize) -> Hello {
    Hello { protocol: 1..=1, software: "test".into(), node: node(name), clock_ms: NOW, heads: heads as u32 }
}

/// One session with its tree; what it wants done comes back from every event.
pub(super) struct End {
    pub(super) session: Session,
    pub(super) tree: Tree,
}

impl End {
    pub(super) fn new(role: Role) -> Self {
        let (me, peer) = if role == Role::Child { ("C", "P") } else { ("P", "C") };
        let session = Session::new(SessionConfig {
            role,
            me: node(me),
            peer: node(peer),
            protocol: 1..=1,
            window_start: 1,
            software: "test".into(),
        });
        Self { session, tree: tree() }
    }

    /// A session after the hellos, with what came out once the peer's heads were complete.
    pub(super) fn ready(role: Role, ours: Vec<Held>, theirs: Vec<Head>) -> (Self, Vec<Action>) {
        let mut end = Self::new(role);
        end.step(Event::Start { now_ms: NOW, heads: ours });
        let peer = if role == Role::Child { "P" } else { "C" };
        let mut out = end.frame(Frame::Hello(hello(peer, theirs.len())));
        out.retain(|action| !matches!(action, Action::Greeted { .. }));
        if !theirs.is_empty() {
            out.extend(end.frame(Frame::Heads(theirs)));
        }
        out.retain(|action| *action != Action::OwnLogsAgree);
        (end, out)
    }

    pub(super) fn window(mut self, window: u32) -> Self {
        self.session.window = window;
        self
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.session.step(event, &self.tree, &mut out);
        // The carrier takes everything at once.
        let sent = out.iter().filter(|action| matches!(action, Action::Send(_))).count();
        for _ in 0..sent {
            self.session.step(Event::Sent, &self.tree, &mut out);
        }
        out
    }

    pub(super) fn frame(&mut self, frame: Frame) -> Vec<Action> {
        self.step(Event::Frame { frame, now_ms: NOW })
    }

    pub(super) fn durable(&mut self, text: &str, size: u64) -> Vec<Action> {
        self.frame(Frame::Durable(Durable { log: log(text), size, receipt: None }))
    }

    pub(super) fn refused(&mut self, text: &str, sequence: u64, reason: Reason) -> Vec<Action> {
        self.frame(Frame::Refused(Refused { log: log(text), sequence, reason, detail: String::new() }))
    }

    pub(super) fn committed(&mut self, text: &str, size: u64) -> Vec<Action> {
        self.step(Event::Committed { log: log(text), size, root: [1; 32], receipt: None })
    }

    pub(super) fn refuse(&mut self, text: &str, size: u64, reason: Reason) -> Vec<Action> {
        let refusal = Refusal::new(reason, "test");
        self.step(Event::Refused { log: log(text), size, root: [1; 32], sequence: size, refusal })
    }
}

/// The logs that are to be loaded, with the first entry.
pub(super) fn loads(actions: &[Action]) -> Vec<(LogId, u64)> {
    let load = |action: &Action| match action {
        Action::Load { log, from, .. } => Some((log.clone(), *from)),
        _ => None,
    };
    actions.iter().filter_map(load).collect()
}

/// The logs of which an entry is to be laid beside the peer's: how many entries both have, and whether that is only for one who cannot read heads.
pub(super) fn proofs(actions: &[Action]) -> Vec<(LogId, u64, bool)> {
    let proof = |action: &Action| match action {
        Action::LoadProof { log, size, unless_known } => Some((log.clone(), *size, *unless_known)),
        _ => None,
    };
    actions.iter().filter_map(proof).collect()
}

/// The frames `Refused` that are sent: log, sequence, reason.
pub(super) fn refusals(actions: &[Action]) -> Vec<(LogId, u64, Reason)> {
    let refused = |action: &Action| match action {
        Action::Send(Frame::Refused(refused)) => Some((refused.log.clone(), refused.sequence, refused.reason)),
        _ => None,
    };
    actions.iter().filter_map(refused).collect()
}

/// The frames `Durable` that are sent: log and size.
pub(super) fn durables(actions: &[Action]) -> Vec<(LogId, u64)> {
    let durable = |action: &Action| match action {
        Action::Send(Frame::Durable(durable)) => Some((durable.log.clone(), durable.size)),
        _ => None,
    };
    actions.iter().filter_map(durable).collect()
}

/// Why the link ends.
pub(super) fn closed(actions: &[Action]) -> Option<Reason> {
    match actions.last() {
        Some(Action::Close(refusal)) => Some(refusal.reason),
        _ => None,
    }
}

#[test]
fn what_goes_over_a_link() {
    let link = Link { child: node("C"), parent: node("P") };
    let way = |text: &str| flows(&log(text), &link, &tree());
    for up in ["C/directory", "C/records", "D/directory", "D/records", "C/mail/D", "C/mail/T"] {
        assert_eq!(way(up), Some(Way::Up), "{up}");
    }
    for down in ["P/directory", "R/directory", "P/mail/C", "P/mail/D", "R/mail/D"] {
        assert_eq!(way(down), Some(Way::Down), "{down}");
    }
    for never in [
        "P/records",
        "R/records",
        "S/directory",
        "S/records",
        "P/mail/S",
        "D/mail/C",
        "C/mail/P",
        "C/mail/S",
        "C/mail/C",
        "S/mail/C",
        "X/records",
    ] {
        assert_eq!(way(never), None, "{never}");
    }
    let link = Link { child: node("P"), parent: node("R") };
    assert_eq!(flows(&log("C/directory"), &link, &tree()), Some(Way::Up), "up goes before down");
    let link = Link { child: node("T"), parent: node("P") };
    for down in ["C/directory", "C/mail/T", "P/directory"] {
        assert_eq!(flows(&log(down), &link, &tree()), Some(Way::Down), "{down} to one that C was above of");
    }
    for never in ["C/records", "C/mail/D", "D/directory"] {
        assert_eq!(flows(&log(never), &link, &tree()), None, "{never}");
    }
}

#[test]
fn a_log_that_goes_the_other_way_after_a_takeover_begins_with_a_new_session() {
    for by_package in [false, true] {
        let (mut end, _) = End::ready(Role::Child, vec![held("D/directory", 3, 1)], vec![head("D/directory", 2, 1)]);
        // D enrolled E; C took that over, and P took over D.
        end.tree.0.extend([(node("D"), node("P")), (node("E"), node("C"))]);
        end.tree.1.push((node("D"), node("E")));
        let out = match by_package {
            true => end.frame(Frame::Package(package("D/directory", 2, 1))),
            false => end.step(Event::Appended(held("D/directory", 3, 1))),
        };
        assert_eq!(closed(&out), Some(Reason::LinkDown), "{out:?}");
    }
}

#[test]
fn a_circle_of_parents_ends() {
    let circle = Tree([("C", "D"), ("D", "C")].map(|(a, b)| (node(a), node(b))).into(), vec![]);
    assert!(!at_or_below(&node("C"), &node("P"), &circle));
    assert!(rank(&node("C"), &circle) > 1);
}

/// Frames in any order and with any numbers: no panic, and nothing is committed or confirmed that may not be.
#[test]
fn nothing_that_a_peer_sends_does_harm() {
    let names =
        ["C/records", "D/records", "D/directory", "P/directory", "R/directory", "P/mail/C", "S/records", "X/records"];
    let mut state = 7u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for round in 0..3_000 {
        let role = if round % 2 == 0 { Role::Child } else { Role::Parent };
        let ours = names.iter().map(|name| held(name, 3, 1)).collect();
        let theirs: Vec<Head> =
            (0..random(6)).map(|_| head(names[random(8)], random(6) as u64, random(2) as u8)).collect();
        let (mut end, mut out) = End::ready(role, ours, theirs);
        for _ in 0..30 {
            let name = names[random(8)];
            let size = [0, 1, 2, 3, 4, 5, u64::MAX][random(7)];
            out.extend(match random(9) {
                0 => end.frame(Frame::Package(package(name, size, random(4)))),
                1 => end.durable(name, size),
                2 => end.refused(name, size, Reason::ALL[random(Reason::ALL.len())]),
                3 => end.committed(name, size.min(6)),
                4 => end.refuse(name, size.min(6), Reason::SignatureInvalid),
                5 => end.step(Event::Loaded { package: package(name, size, random(3)) }),
                6 => end.step(Event::Appended(held(name, size, random(2) as u8))),
                7 => end.step(Event::RootAt { log: log(name), size, root: Some([random(2) as u8; 32]) }),
                _ => end.step(Event::Tick { now_ms: NOW + random(1 << 30) as i64 }),
            });
        }
        let link = Link { child: node("C"), parent: node("P") };
        for action in out {
            if let Action::Commit(package) = action {
                let way = if role == Role::Child { Way::Down } else { Way::Up };
                assert_eq!(flows(&package.log, &link, &tree()), Some(way));
                assert!(!package.entries.is_empty());
            }
        }
    }
}
