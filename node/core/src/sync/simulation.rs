//! A federation in one thread: a chain of four nodes with siblings, model stores, links that are cut at any frame, nodes that restart at
//! any step. At the end everybody has what it should have; on the way nobody claims what is not so.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::merkle::{Hash, empty_root};
use danso_proto::package::SealedEntry;
use danso_proto::refusal::{Reason, Refusal};

use super::*;

/// Parent of each node; node 0 is the root. 0-1-2-3 is the chain.
const TREE: [usize; 7] = [0, 0, 1, 2, 2, 1, 0];

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

fn id(node: usize) -> NodeId {
    format!("U{node}-{node:016x}").parse().unwrap()
}

#[derive(Default)]
struct Stored {
    leaves: Vec<Bytes>,
    /// Root at each size, from 1.
    roots: Vec<Hash>,
}

impl Stored {
    fn push(&mut self, leaf: Bytes) {
        let mut hash = self.roots.last().copied().unwrap_or(empty_root());
        for (i, byte) in leaf.iter().enumerate() {
            hash[i % 32] = (hash[i % 32] ^ byte).wrapping_mul(167).wrapping_add(hash[(i + 1) % 32]).wrapping_add(1);
        }
        self.leaves.push(leaf);
        self.roots.push(hash);
    }
    fn size(&self) -> u64 {
        self.leaves.len() as u64
    }
    fn root(&self) -> Hash {
        self.roots.last().copied().unwrap_or(empty_root())
    }
}

struct Job {
    link: usize,
    end: usize,
    generation: u64,
    package: Package,
}

#[derive(Default)]
struct Node {
    logs: BTreeMap<LogId, Stored>,
    parents: BTreeMap<NodeId, NodeId>,
    pipeline: VecDeque<Job>,
}

impl Kin for Node {
    fn parent_of(&self, node: &NodeId) -> Option<NodeId> {
        self.parents.get(node).cloned()
    }

    fn was_above(&self, above: &NodeId, node: &NodeId) -> bool {
        above != node && at_or_below(node, above, self)
    }

    fn enrolled_below(&self, by: &NodeId, top: &NodeId) -> bool {
        self.parents.iter().any(|(node, parent)| parent == by && at_or_below(node, top, self))
    }
}

impl Node {
    fn push(&mut self, log: &LogId, leaf: Bytes) {
        if let Some(child) = std::str::from_utf8(&leaf).unwrap().strip_prefix("enrol ") {
            self.parents.insert(child.parse().unwrap(), log.node().clone());
        }
        self.logs.entry(log.clone()).or_default().push(leaf);
    }
    fn reread(&mut self) {
        self.parents.clear();
        for (log, stored) in &self.logs {
            for leaf in &stored.leaves {
                if let Some(child) = std::str::from_utf8(leaf).unwrap().strip_prefix("enrol ") {
                    self.parents.insert(child.parse().unwrap(), log.node().clone());
                }
            }
        }
    }
    fn size(&self, log: &LogId) -> u64 {
        self.logs.get(log).map_or(0, Stored::size)
    }
    fn held(&self, log: &LogId) -> Held {
        let stored = &self.logs[log];
        let head = Head { log: log.clone(), size: stored.size(), root: stored.root(), checkpoint: None };
        Held { head, rank: rank(log.node(), self) }
    }
    fn all(&self) -> Vec<Held> {
        self.logs.keys().map(|log| self.held(log)).collect()
    }
}

enum Todo {
    Load(LogId, u64),
    Root(LogId, u64),
}

struct Side {
    session: Session,
    /// Frames on their way to the other end.
    wire: VecDeque<Frame>,
    credit: usize,
    todo: VecDeque<Todo>,
}

struct World {
    rng: Rng,
    now: i64,
    generation: u64,
    nodes: Vec<Node>,
    /// Link i joins node i (end 0) to its parent (end 1).
    links: Vec<Option<(u64, [Side; 2])>>,
    windows: Vec<[u32; 2]>,
    chaos: bool,
    /// Commits fail now and then.
    faulty: bool,
    restored: bool,
    cuts: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut nodes: Vec<Node> = TREE.iter().map(|_| Node::default()).collect();
        let directory = |node| LogId::new(id(node), Stream::Directory);
        for child in 1..TREE.len() {
            let leaf = Bytes::from(format!("enrol {}", id(child)));
            nodes[TREE[child]].push(&directory(TREE[child]), leaf);
            // Joining brings the directory logs from the root down.
            let mut above = TREE[child];
            loop {
                let leaves = nodes[above].logs[&directory(above)].leaves.clone();
                leaves.into_iter().for_each(|leaf| nodes[child].push(&directory(above), leaf));
                if above == 0 {
                    break;
                }
                above = TREE[above];
            }
        }
        Self {
            rng: Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            now: 1_700_000_000_000,
            generation: 0,
            nodes,
            links: TREE.iter().map(|_| None).collect(),
            windows: vec![[1; 2]; TREE.len()],
            chaos: true,
            faulty: seed.is_multiple_of(2),
            restored: false,
            cuts: 0,
        }
    }

    fn node_at(link: usize, end: usize) -> usize {
        if end == 0 { link } else { TREE[link] }
    }

    fn connect(&mut self, link: usize) {
        self.generation += 1;
        let side = |end: usize| {
            let (me, peer) = (Self::node_at(link, end), Self::node_at(link, 1 - end));
            let session = Session::new(SessionConfig {
                role: if end == 0 { Role::Child } else { Role::Parent },
                me: id(me),
                peer: id(peer),
                protocol: 1..=1,
                window_start: self.windows[link][end],
                software: "simulation".into(),
            });
            Side { session, wire: VecDeque::new(), credit: 0, todo: VecDeque::new() }
        };
        self.links[link] = Some((self.generation, [side(0), side(1)]));
        for end in [0, 1] {
            let heads = self.nodes[Self::node_at(link, end)].all();
            self.feed(link, end, Event::Start { now_ms: self.now, heads });
        }
    }

    fn cut(&mut self, link: usize) {
        if let Some((_, sides)) = self.links[link].take() {
            self.windows[link] = [0, 1].map(|end: usize| sides[end].session.window_after_cut());
            self.cuts += 1;
        }
    }

    fn restart(&mut self, node: usize) {
        (1..TREE.len()).filter(|link| *link == node || TREE[*link] == node).for_each(|link| self.cut(link));
        self.nodes[node].pipeline.clear();
        if self.restored && node != 0 {
            // Restored from an old copy, but only of what others wrote: the node's own logs are not cut.
            let me = id(node);
            let cut: Vec<_> = self.nodes[node].logs.keys().filter(|log| *log.node() != me).cloned().collect();
            let log = &cut[self.rng.below(cut.len())];
            let above = *log.stream() == Stream::Directory && at_or_below(&me, log.node(), &self.nodes[node]);
            if !above {
                let stored = self.nodes[node].logs.get_mut(log).unwrap();
                let keep = self.rng.below(stored.leaves.len() + 1);
                stored.leaves.truncate(keep);
                stored.roots.truncate(keep);
                self.nodes[node].reread();
            }
        }
    }

    fn feed(&mut self, link: usize, end: usize, event: Event) {
        let Some((generation, sides)) = &mut self.links[link] else { return };
        let generation = *generation;
        let node = Self::node_at(link, end);
        let mut actions = Vec::new();
        sides[end].session.step(event, &self.nodes[node], &mut actions);
        for action in actions {
            match action {
                Action::Send(frame) => {
                    sides[end].wire.push_back(frame);
                    sides[end].credit += 1;
                }
                Action::Load { log, from, .. } => sides[end].todo.push_back(Todo::Load(log, from)),
                Action::CompareRoot { log, size, .. } => sides[end].todo.push_back(Todo::Root(log, size)),
                Action::Commit(package) => {
                    self.nodes[node].pipeline.push_back(Job { link, end, generation, package });
                }
                Action::Durable { log, size, receipt } => {
                    let peer = Self::node_at(link, 1 - end);
                    assert!(self.nodes[peer].size(&log) >= size, "acknowledged before the commit: {log} {size}");
                    assert!(self.nodes[node].size(&log) >= size, "more than was sent: {log} {size}");
                    assert!(receipt.is_none_or(|receipt| receipt == format!("{log} {size}")));
                }
                Action::RefusedByPeer { log, reason, again, detail, .. } => {
                    // Only what we broke; without faults the order of sending leaves nothing to refuse.
                    let faults = [Reason::Internal, Reason::LogNotForLink];
                    assert!(self.faulty && again && faults.contains(&reason), "{log} {reason} {detail}");
                }
                Action::Receipts(receipts) => {
                    for ForwardedReceipt { log, giver, note } in receipts {
                        let size: u64 = note.rsplit_once(' ').unwrap().1.parse().unwrap();
                        let peer = Self::node_at(link, 1 - end);
                        assert_eq!(giver, id(peer), "a receipt that waited for the directory");
                        assert!(
                            self.restored || self.nodes[peer].size(&log) >= size,
                            "receipted too early: {log} {size}"
                        );
                    }
                }
                Action::Greeted { .. } | Action::OwnLogsAgree => {}
                Action::PeerAhead { .. } if self.restored => {}
                other => panic!("an honest peer gave {other:?}"),
            }
        }
    }

    fn tell_all(&mut self, node: usize, held: &[Held], except: Option<(usize, usize)>) {
        for link in 1..TREE.len() {
            for end in [0, 1] {
                if Self::node_at(link, end) == node && except != Some((link, end)) {
                    held.iter().for_each(|held| self.feed(link, end, Event::Appended(held.clone())));
                }
            }
        }
    }

    fn grew(&mut self, node: usize, log: &LogId, except: Option<(usize, usize)>) {
        // A directory log may tell who the author of other logs is.
        let directory = *log.stream() == Stream::Directory;
        // What grew comes first, as in the node: the others may depend on it.
        let mut held = vec![self.nodes[node].held(log)];
        if directory {
            held.extend(self.nodes[node].all().into_iter().filter(|held| held.head.log != *log));
        }
        self.tell_all(node, &held, except.filter(|_| !directory));
    }

    fn write(&mut self) {
        let node = self.rng.below(TREE.len());
        let stream = match self.rng.below(4) {
            0 => Stream::Directory,
            1 => match (1..TREE.len()).filter(|to| is_below(*to, node)).nth(self.rng.below(3)) {
                Some(to) => Stream::Mail(id(to)),
                None => Stream::Records,
            },
            _ => Stream::Records,
        };
        let log = LogId::new(id(node), stream);
        for _ in 0..=self.rng.below(6) {
            let leaf = format!("{log} {} {}", self.nodes[node].size(&log), self.rng.below(1 << 30));
            self.nodes[node].push(&log, leaf.into());
        }
        self.grew(node, &log, None);
    }

    fn commit(&mut self, node: usize) -> bool {
        let Some(Job { link, end, generation, package }) = self.nodes[node].pipeline.pop_front() else { return false };
        let Package { log, first, entries, .. } = package;
        let before = self.nodes[node].size(&log);
        let mut refusal = None;
        for (sequence, entry) in (first..).zip(entries) {
            let size = self.nodes[node].size(&log);
            let known = *log.node() == id(0) || self.nodes[node].parents.contains_key(log.node());
            assert!(known, "{log} came before its author's enrolment");
            if self.chaos && self.faulty && self.rng.one_in(60) {
                refusal = Some((sequence, Refusal::new(Reason::Internal, "chaos")));
            } else if sequence < size {
                assert_eq!(
                    self.nodes[node].logs[&log].leaves[sequence as usize], entry.envelope,
                    "a duplicate differs"
                );
            } else if sequence > size {
                refusal = Some((sequence, Refusal::new(Reason::SequenceGap, "behind a refused package")));
            } else {
                self.nodes[node].push(&log, entry.envelope);
            }
            if refusal.is_some() {
                break;
            }
        }
        let size = self.nodes[node].size(&log);
        let root = self.nodes[node].logs.get(&log).map_or(empty_root(), Stored::root);
        if self.links[link].as_ref().is_some_and(|(now, _)| *now == generation) {
            let event = match refusal {
                None => {
                    let receipt = (end == 1).then(|| format!("{log} {size}"));
                    Event::Committed { log: log.clone(), size, root, receipt }
                }
                Some((sequence, refusal)) => Event::Refused { log: log.clone(), size, root, sequence, refusal },
            };
            self.feed(link, end, event);
        }
        if size > before {
            self.grew(node, &log, Some((link, end)));
        }
        true
    }

    /// One small thing at one end of a link; whether there was anything to do.
    fn work(&mut self, link: usize, end: usize) -> bool {
        let node = Self::node_at(link, end);
        let Some((_, sides)) = &mut self.links[link] else { return false };
        if sides[end].credit > 0 && self.rng.one_in(2) {
            sides[end].credit -= 1;
            self.feed(link, end, Event::Sent);
            return true;
        }
        let event = match sides[end].todo.pop_front() {
            Some(Todo::Load(log, from)) => {
                let leaves = &self.nodes[node].logs[&log].leaves[from as usize..];
                let count = leaves.len().min(1 + self.rng.below(3));
                let sealed = |leaf: &Bytes| SealedEntry { envelope: leaf.clone(), parts: None };
                let entries = leaves[..count].iter().map(sealed).collect();
                Event::Loaded { package: Package { log, first: from, entries, checkpoint: None } }
            }
            Some(Todo::Root(log, size)) => {
                let root = self.nodes[node].logs[&log].roots.get(size as usize - 1).copied();
                Event::RootAt { log, size, root: root.filter(|_| !(self.chaos && self.faulty && self.rng.one_in(10))) }
            }
            None => match sides[1 - end].wire.pop_front() {
                Some(frame) => Event::Frame { frame, now_ms: self.now },
                None => return sides[end].credit > 0,
            },
        };
        self.feed(link, end, event);
        true
    }

    fn tick(&mut self) {
        self.now += 16 * 60_000;
        for link in 1..TREE.len() {
            for end in [0, 1] {
                self.feed(link, end, Event::Tick { now_ms: self.now });
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..600 {
            let link = 1 + self.rng.below(TREE.len() - 1);
            match self.rng.below(40) {
                0 => self.cut(link),
                1 if self.rng.one_in(3) => {
                    let node = self.rng.below(TREE.len());
                    self.restart(node);
                }
                2..6 => self.write(),
                6 => self.tick(),
                7..20 => {
                    let node = self.rng.below(TREE.len());
                    self.commit(node);
                }
                _ if self.links[link].is_none() => self.connect(link),
                _ => {
                    let end = self.rng.below(2);
                    for _ in 0..=self.rng.below(4) {
                        self.work(link, end);
                    }
                }
            }
        }
        // Now everything holds.
        self.chaos = false;
        for link in 1..TREE.len() {
            if self.links[link].is_none() {
                self.connect(link);
            }
        }
        for _ in 0..3 {
            let mut busy = true;
            while busy {
                busy = false;
                for node in 0..TREE.len() {
                    busy |= self.commit(node);
                    for end in [0, 1] {
                        busy |= self.work(node, end);
                    }
                }
            }
            self.tick();
        }
    }

    fn check(&self) {
        for (author, parent) in TREE.into_iter().enumerate() {
            for (log, stored) in self.nodes[author].logs.iter().filter(|(log, _)| *log.node() == id(author)) {
                for node in 0..TREE.len() {
                    let wanted = node == author
                        || match log.stream() {
                            Stream::Directory => is_below(author, node) || is_below(node, author),
                            Stream::Records => is_below(author, node),
                            Stream::Mail(to) => {
                                let to = (0..TREE.len()).find(|node| id(*node) == *to).unwrap();
                                let on_the_way = is_below(node, author) && (node == to || is_below(to, node));
                                on_the_way || (author != 0 && node == parent)
                            }
                        };
                    let there = self.nodes[node].logs.get(log).map_or(&[][..], |stored| &stored.leaves[..]);
                    assert_eq!(there, if wanted { &stored.leaves[..] } else { &[] }, "{log} at node {node}");
                }
            }
        }
        for (_, sides) in self.links.iter().flatten() {
            for side in sides {
                assert!(side.session.is_idle());
                assert_eq!(side.session.backlog(), 0);
            }
        }
    }
}

fn is_below(node: usize, top: usize) -> bool {
    node != top && node != 0 && (TREE[node] == top || is_below(TREE[node], top))
}

fn simulate(seed: u64, restored: bool) -> usize {
    let run = std::panic::AssertUnwindSafe(|| {
        let mut world = World::new(seed);
        world.restored = restored;
        world.run();
        world.check();
        world.cuts
    });
    std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("seed {seed}, restored {restored}"))
}

#[test]
fn whatever_is_cut_or_restarted_every_log_arrives_where_it_belongs() {
    let cuts: usize = (0..500).map(|seed| simulate(seed, false)).sum();
    assert!(cuts > 500, "the links are cut indeed: {cuts}");
}

#[test]
fn a_relay_restored_from_an_old_copy_catches_up() {
    (10_000..10_100).for_each(|seed| {
        simulate(seed, true);
    });
}
