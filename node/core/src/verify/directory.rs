//! The directory: which nodes there are, for which unit, below whom, with which keys; and the unit lists.
//!
//! It comes to the same whatever the order in which the directory logs arrive, as far as that order can differ: a key counts from log
//! sizes on, the parent is the enroller nearest the root, and of several revocations the narrowest bound of each log holds. What those above
//! say of a node ends with a takeover, and an enrolment behind its author's end makes no child (`words`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use danso_proto::change::{Body, ForkDecided, ForwardingPolicy, NodeEnrolled, RulesPublished, UnitsPublished};
use danso_proto::envelope::{self, Envelope, Keys, Opened, PublicKey};
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::refusal::{Reason, Refusal};

use super::Verified;
use super::keys::KeyHistory;
use super::words::{Judgement, Said, Word, Words};
use crate::units::{UnitListAssembler, UnitLists, UnitsError};

/// Steps from a node to the root at most: a tree that is deeper is a circle, by unit lists that contradict each other.
pub(crate) const DEPTH_MAX: usize = 32;

/// An enrolled node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    id: NodeId,
    unit: UnitCode,
    /// All who ever enrolled it.
    enrolments: BTreeMap<NodeId, Enrolment>,
    /// What comes of all that was said about it.
    pub(super) judged: Judgement,
}

impl Node {
    /// The node's id.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// The unit that it serves.
    pub fn unit(&self) -> &UnitCode {
        &self.unit
    }

    /// Who enrolled it, of several the one nearest the root whose enrolment counts; `None` for the root of the federation.
    pub fn parent(&self) -> Option<&NodeId> {
        self.judged.parent.as_ref()
    }

    /// The log key that it signs with now.
    pub fn key(&self) -> &PublicKey {
        self.judged.keys.current()
    }

    /// Its log keys, and where each of them counts.
    pub fn keys(&self) -> &KeyHistory {
        &self.judged.keys
    }

    /// What its link carries.
    pub fn policy(&self) -> ForwardingPolicy {
        let enrolment = self.parent().and_then(|parent| self.enrolments.get(parent));
        enrolment.map_or(ForwardingPolicy::Full, |enrolment| enrolment.policy)
    }

    /// Whether it was revoked, or its enrolment with the end of who enrolled it.
    pub fn is_revoked(&self) -> bool {
        self.judged.bounds.is_some()
    }

    /// The size up to which a log of the node counts; `None`: without bound.
    pub fn valid_size(&self, log: &LogId) -> Option<u64> {
        self.judged.bounds.as_ref().map(|bounds| bounds.get(log).copied().unwrap_or(0))
    }

    /// All who ever enrolled it, and what they said when they first did.
    pub(super) fn enrolments(&self) -> impl Iterator<Item = (&NodeId, &Enrolment)> {
        self.enrolments.iter()
    }

    /// Whether an enrolment of it counts: else all who enrolled it had been revoked before.
    pub fn has_place(&self) -> bool {
        self.judged.has_place
    }

    /// All who are or were above it.
    pub(super) fn above(&self) -> &BTreeSet<NodeId> {
        &self.judged.above
    }

    /// How many are or were above it. Those above a node have fewer, but where unit lists make a circle.
    pub(super) fn depth(&self) -> usize {
        self.judged.above.len()
    }

    /// Up to which sequence of its directory log `by` has a say about the node.
    pub(super) fn say(&self, by: &NodeId) -> u64 {
        self.judged.say.get(by).copied().unwrap_or(0)
    }
}

/// What a node said when it enrolled another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Enrolment {
    /// Sequence in the directory log of the one who enrolled.
    pub(super) at: u64,
    /// The node's first key.
    pub(super) key: PublicKey,
    policy: ForwardingPolicy,
    /// Where it took the node over: up to which size of their directories those speak of it who were above it before.
    pub(super) former: BTreeMap<NodeId, u64>,
}

/// Who decided about a log with two histories, in which entry of its directory log, and how.
pub(super) type Decision = (NodeId, u64, ForkDecided);

/// All that the verified directory logs say. Cloning is cheap enough for one clone a batch that has directory entries.
#[derive(Debug, Clone)]
pub struct Directory {
    anchor: Fingerprint,
    root: NodeId,
    trust_domain: String,
    pub(super) nodes: Arc<BTreeMap<NodeId, Arc<Node>>>,
    /// Whom each node ever enrolled.
    enrolled: Arc<BTreeMap<NodeId, BTreeSet<NodeId>>>,
    /// All keys, and the nodes of which somebody said that the key is theirs, whether that counts or not.
    keys: Arc<HashMap<Fingerprint, (PublicKey, BTreeSet<NodeId>)>>,
    assembler: UnitListAssembler,
    units: Arc<UnitLists>,
    /// What was said about keys and ends of nodes, whether it counts or not.
    pub(super) said: Arc<BTreeMap<NodeId, Arc<Words>>>,
    /// What was said about rules, by whom, and where in its directory.
    rules: Arc<BTreeMap<NodeId, Vec<(u64, RulesPublished)>>>,
    /// What operators decided about each log with two histories, with who wrote it, and where in its directory.
    pub(super) forks: Arc<BTreeMap<LogId, Vec<Decision>>>,
}

impl Directory {
    /// The directory that the genesis entry alone makes.
    ///
    /// # Errors
    /// `anchor_mismatch` when the entry is not signed by the key whose fingerprint is the anchor, `malformed` when it is no genesis.
    pub fn found(genesis: Envelope, anchor: Fingerprint) -> Result<Self, Refusal> {
        let opened = envelope::open_genesis(genesis, anchor)?;
        let set = opened.change_set();
        let Some(Body::Genesis(genesis)) = set.changes.first().map(|change| &change.body) else {
            return Err(Refusal::new(Reason::AnchorMismatch, "the log does not begin with a genesis"));
        };
        if genesis.node != NodeId::new(&genesis.unit, &genesis.log_public_key)
            || set.log != LogId::new(genesis.node.clone(), Stream::Directory)
            || set.sequence != 0
        {
            return Err(Refusal::new(Reason::AnchorMismatch, "the genesis is not about its own log"));
        }
        let mut directory = Self {
            anchor,
            root: genesis.node.clone(),
            trust_domain: genesis.trust_domain.clone(),
            nodes: Arc::default(),
            enrolled: Arc::default(),
            keys: Arc::default(),
            assembler: UnitListAssembler::default(),
            units: Arc::default(),
            said: Arc::default(),
            rules: Arc::default(),
            forks: Arc::default(),
        };
        let key = PublicKey::new(genesis.log_public_key)?;
        directory.add(&genesis.node, &genesis.unit, key);
        Ok(directory)
    }

    /// The fingerprint that everything hangs on.
    pub fn anchor(&self) -> Fingerprint {
        self.anchor
    }

    /// The node whose first key is the anchor.
    pub fn root(&self) -> &NodeId {
        &self.root
    }

    /// Trust domain of the link certificates.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The unit lists that are complete.
    pub fn units(&self) -> &UnitLists {
        &self.units
    }

    /// A node, if it is enrolled.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id).map(|node| &**node)
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().map(|node| &**node)
    }

    /// The nodes that `parent` enrolled and that are not revoked.
    pub fn children<'a>(&'a self, parent: &'a NodeId) -> impl Iterator<Item = &'a Node> {
        self.nodes().filter(move |node| node.parent() == Some(parent) && !node.is_revoked())
    }

    /// The node itself, its parent, and so on up to the root; empty when it is not enrolled.
    pub fn lineage<'a>(&'a self, id: &NodeId) -> impl Iterator<Item = &'a NodeId> {
        std::iter::successors(self.node(id), |node| node.parent().and_then(|parent| self.node(parent)))
            .take(DEPTH_MAX)
            .map(Node::id)
    }

    /// A node and all that were ever above it, each behind those above it: in this order their directory logs can be read by one who has none.
    /// Where a node was taken over, the keys of the time before are told by the log of who was its parent then.
    /// Those above a node have a shorter ancestry than it has.
    pub fn ancestry(&self, id: &NodeId) -> Vec<NodeId> {
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        self.add_ancestry(id, &mut seen, &mut order);
        order
    }

    fn add_ancestry(&self, id: &NodeId, seen: &mut BTreeSet<NodeId>, order: &mut Vec<NodeId>) {
        let Some(node) = self.node(id).filter(|_| seen.insert(id.clone())) else { return };
        node.enrolments.keys().for_each(|above| self.add_ancestry(above, seen, order));
        order.push(id.clone());
    }

    /// All whose directory logs tell of keys that count at `id` and below it: the [ancestry](Self::ancestry) of each of these nodes, in the same
    /// order.
    pub fn ancestry_below(&self, id: &NodeId) -> Vec<NodeId> {
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        self.add_ancestry(id, &mut seen, &mut order);
        for below in self.nodes.keys().filter(|node| self.was_above(id, node)) {
            self.add_ancestry(below, &mut seen, &mut order);
        }
        order
    }

    /// Whom `id` ever enrolled.
    pub fn enrolled_by(&self, id: &NodeId) -> impl Iterator<Item = &NodeId> {
        self.enrolled.get(id).into_iter().flatten()
    }

    /// What operators decided about `log` when two histories of it were shown, as far as it counts, with the node that wrote it; the latest of a
    /// node last.
    pub fn fork_decisions<'a>(&'a self, log: &'a LogId) -> impl Iterator<Item = (&'a NodeId, &'a ForkDecided)> {
        let decisions = self.forks.get(log).into_iter().flatten();
        decisions.filter(|(by, at, _)| self.counts(by, *at, log.node())).map(|(by, _, decided)| (by, decided))
    }

    /// What counts of all that was said about rules of consistency: who said it, and in which entry of its directory log.
    pub fn rules(&self) -> impl Iterator<Item = (&Node, u64, &RulesPublished)> {
        let by = self.rules.iter().filter_map(|(by, said)| Some((self.node(by)?, said)));
        let by = by.filter(|(by, _)| by.has_place() || by.id() == self.root());
        by.flat_map(|(by, said)| {
            let bound = by.valid_size(&LogId::new(by.id().clone(), Stream::Directory)).unwrap_or(u64::MAX);
            said.iter().filter(move |(at, _)| *at < bound).map(move |(at, rules)| (by, *at, rules))
        })
    }

    /// How many settings of rules a node has published.
    pub(super) fn rule_words(&self, by: &NodeId) -> usize {
        self.rules.get(by).into_iter().flatten().map(|(_, rules)| rules.settings.len()).sum()
    }

    /// Whether `above` is above `node`: its parent, or above that.
    pub fn is_above(&self, above: &NodeId, node: &NodeId) -> bool {
        self.lineage(node).skip(1).any(|up| up == above)
    }

    /// Whether `above` is above `node`, or was before that was taken over, as far as it is known here: whose enrolments have not been read yet is
    /// above nobody. What it says after a takeover is taken in and does not count (`words`).
    pub fn was_above(&self, above: &NodeId, node: &NodeId) -> bool {
        self.node(node).is_some_and(|node| node.above().contains(above))
    }

    /// Whether anybody ever said of this key that it is the node's, whether that counts or not. Entries that were taken in with it stay readable;
    /// nothing else is the key's.
    pub fn has_key(&self, node: &NodeId, print: &Fingerprint) -> bool {
        self.keys.get(print).is_some_and(|(_, of)| of.contains(node))
    }

    /// Opens an envelope with the keys of this directory.
    ///
    /// # Errors
    /// As [`envelope::open`].
    pub fn open(&self, envelope: Bytes, parts: Option<danso_proto::identity::PartSet>) -> Result<Opened, Refusal> {
        envelope::open(Envelope::decode(envelope)?, parts, self)
    }

    /// A node that writes.
    ///
    /// # Errors
    /// `key_not_enrolled`.
    pub(super) fn author(&self, id: &NodeId) -> Result<&Node, Refusal> {
        let unknown = || Refusal::new(Reason::KeyNotEnrolled, format!("{id} is not enrolled"));
        self.node(id).ok_or_else(unknown)
    }

    /// Takes in what a verified entry of a directory log says. Other streams change nothing.
    ///
    /// # Errors
    /// `units_version_unknown` and others of the unit list, when a published list contradicts itself; then nothing was changed.
    pub fn apply(&mut self, entry: &Verified) -> Result<(), Refusal> {
        let set = entry.change_set();
        if *set.log.stream() != Stream::Directory {
            return Ok(());
        }
        self.heed(set.log.node(), set.sequence, set.changes.iter().map(|change| &change.body))
    }

    /// The directory as it would be if `by` said this in entry `at` of its directory log, and was let.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn after(&self, by: &NodeId, at: u64, bodies: &[Body]) -> Result<Self, Refusal> {
        let mut after = self.clone();
        after.heed(by, at, bodies.iter())?;
        Ok(after)
    }

    fn heed<'a>(&mut self, by: &NodeId, at: u64, bodies: impl Iterator<Item = &'a Body>) -> Result<(), Refusal> {
        let said = |word| Said { at, word };
        // Who is to be judged anew, once for all that the entry says; and whether all below are, too.
        let mut heard: BTreeMap<NodeId, bool> = BTreeMap::new();
        for body in bodies {
            match body {
                Body::NodeEnrolled(child) => {
                    let is_news = self.enrolled(child, by, at)?;
                    *heard.entry(child.node.clone()).or_default() |= is_news;
                }
                Body::NodeRekeyed(rekeyed) => {
                    let key = PublicKey::new(rekeyed.log_public_key)?;
                    self.know(&rekeyed.node, key);
                    // A key of a node says nothing about the logs of another.
                    let from = rekeyed.from.iter().filter(|(log, _)| *log.node() == rekeyed.node);
                    self.hear(&rekeyed.node, by, said(Word::Key(key, from.cloned().collect())));
                    heard.entry(rekeyed.node.clone()).or_default();
                }
                Body::NodeRevoked(revoked) => {
                    self.hear(&revoked.node, by, said(Word::End(revoked.bounds.clone())));
                    // It may have spoken about others.
                    heard.insert(revoked.node.clone(), true);
                }
                Body::ForkDecided(decided) => {
                    let decision = (by.clone(), at, decided.clone());
                    Arc::make_mut(&mut self.forks).entry(decided.log.clone()).or_default().push(decision);
                }
                Body::RulesPublished(rules) => {
                    Arc::make_mut(&mut self.rules).entry(by.clone()).or_default().push((at, rules.clone()));
                }
                Body::UnitsPublished(part) => self.publish(part)?,
                _ => {}
            }
        }
        self.judge(heard);
        Ok(())
    }

    /// Whether this enrolment is news.
    fn enrolled(&mut self, child: &NodeEnrolled, by: &NodeId, at: u64) -> Result<bool, Refusal> {
        let key = PublicKey::new(child.log_public_key)?;
        self.add(&child.node, &child.unit, key);
        self.know(&child.node, key);
        Arc::make_mut(&mut self.enrolled).entry(by.clone()).or_default().insert(child.node.clone());
        let Some(node) = Arc::make_mut(&mut self.nodes).get_mut(&child.node) else { return Ok(false) };
        // What one says again changes nothing.
        let is_new = !node.enrolments.contains_key(by);
        if is_new {
            let former = child.former.iter().map(|(log, size)| (log.node().clone(), *size)).collect();
            let enrolment = Enrolment { at, key, policy: child.policy, former };
            Arc::make_mut(node).enrolments.insert(by.clone(), enrolment);
        }
        Ok(is_new)
    }

    /// A node that has its first key, if it is not known.
    fn add(&mut self, id: &NodeId, unit: &UnitCode, key: PublicKey) {
        if self.nodes.contains_key(id) {
            return;
        }
        let judged = Judgement::new(key, id);
        let node = Node { id: id.clone(), unit: unit.clone(), enrolments: BTreeMap::new(), judged };
        self.know(id, key);
        Arc::make_mut(&mut self.nodes).insert(id.clone(), Arc::new(node));
    }

    fn know(&mut self, node: &NodeId, key: PublicKey) {
        let known = Arc::make_mut(&mut self.keys).entry(key.fingerprint());
        known.or_insert_with(|| (key, BTreeSet::new())).1.insert(node.clone());
    }

    fn publish(&mut self, part: &UnitsPublished) -> Result<(), Refusal> {
        let refused = |e: UnitsError| Refusal::new(Reason::Malformed, format!("unit list {}: {e}", part.version));
        if let Some(list) = self.assembler.take(part).map_err(refused)? {
            Arc::make_mut(&mut self.units).insert(list).map_err(refused)?;
        }
        Ok(())
    }
}

impl Keys for Directory {
    fn public_key(&self, keyid: &Fingerprint) -> Option<PublicKey> {
        self.keys.get(keyid).map(|(key, _)| *key)
    }
}
