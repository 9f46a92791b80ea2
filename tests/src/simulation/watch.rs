//! The watch: what must always hold, checked after every step by one who sees everything. It believes no node: what authors committed it
//! wrote down itself, and what it counts it counts from there.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::rc::Rc;

use danso_core::ledger::Entry;
use danso_core::sync::ForwardedReceipt;
use danso_core::units::UnitList;
use danso_proto::checkpoint;
use danso_proto::envelope::{self, Envelope, PublicKey};
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::merkle::{CompactTree, Hash};
use danso_proto::refusal::{Reason, Refusal};

use super::cast;
use super::model::Figures;
use super::node::Node;
use super::pipeline::Done;
use super::store::{Kept, ReceiptRow};
use super::world::{Result, Violation};

/// What an author committed.
#[derive(Default)]
pub struct Truth {
    pub entries: Vec<Rc<Entry>>,
    roots: Vec<Hash>,
    tree: CompactTree,
}

impl Truth {
    fn push(&mut self, entry: Rc<Entry>) {
        self.tree.push(*entry.leaf());
        self.roots.push(self.tree.root());
        self.entries.push(entry);
    }

    fn truncate(&mut self, size: usize) {
        self.entries.truncate(size);
        self.roots.truncate(size);
        self.tree = CompactTree::default();
        self.entries.iter().for_each(|entry| self.tree.push(*entry.leaf()));
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    fn leaf(&self, at: usize) -> Option<&Hash> {
        self.entries.get(at).map(|entry| entry.leaf())
    }
}

/// What was checked of a node so far, and what it must count by that.
#[derive(Default)]
struct Shadow {
    seen: BTreeMap<LogId, usize>,
    figures: Figures,
}

/// See the module.
pub struct Watch {
    units: UnitList,
    keys: BTreeMap<NodeId, BTreeMap<Fingerprint, PublicKey>>,
    pub truth: BTreeMap<LogId, Truth>,
    shadows: BTreeMap<NodeId, Shadow>,
    /// By giver: what anybody was told to be durable there.
    promises: BTreeMap<NodeId, BTreeMap<LogId, u64>>,
    /// The same, whatever disks were put back since: at the end all of it is there again.
    for_ever: BTreeMap<NodeId, BTreeMap<LogId, u64>>,
    /// How much of a log somebody else than its author held once.
    spread: BTreeMap<LogId, u64>,
    /// Logs that two copies of one node write.
    pub forked: BTreeSet<LogId>,
    /// Nodes whose disks were put back to an earlier state.
    rewound: BTreeSet<NodeId>,
    /// Nodes of which a former parent spoke.
    spoken_of: BTreeSet<NodeId>,
    /// Logs of which somebody raised an alarm.
    pub alarms: BTreeSet<LogId>,
    /// Logs that a node stopped.
    stopped: BTreeSet<(NodeId, LogId)>,
    verified: HashSet<(Hash, bool)>,
    /// Cubes by what they were made from.
    cubes: HashMap<Vec<(LogId, Hash)>, u64>,
}

impl Watch {
    pub fn new() -> Self {
        Self {
            units: cast::units(),
            keys: BTreeMap::new(),
            truth: BTreeMap::new(),
            shadows: BTreeMap::new(),
            promises: BTreeMap::new(),
            for_ever: BTreeMap::new(),
            spread: BTreeMap::new(),
            forked: BTreeSet::new(),
            rewound: BTreeSet::new(),
            spoken_of: BTreeSet::new(),
            alarms: BTreeSet::new(),
            stopped: BTreeSet::new(),
            verified: HashSet::new(),
            cubes: HashMap::new(),
        }
    }

    /// A node has a key: its first, or a further one.
    pub fn key(&mut self, node: &NodeId, key: PublicKey) {
        self.keys.entry(node.clone()).or_default().insert(key.fingerprint(), key);
    }

    // --- after a commit

    /// What a commit left on the disk.
    pub fn committed(&mut self, node: &Node, done: &Done) -> Result<()> {
        if done.repeated > 0 {
            return Err(Violation(format!("{}: {} facts were applied twice", node.id, done.repeated)));
        }
        let mut new = Vec::new();
        for log in &done.logs {
            new.extend(self.log(node, log)?);
        }
        if !new.is_empty() {
            let shadow = self.shadows.entry(node.id.clone()).or_default();
            let touched = shadow.figures.take(new.iter().map(|entry| &**entry));
            let must = &shadow.figures.cube;
            if let Some(key) = touched.iter().find(|key| node.store.cube.get(key) != must.get(key)) {
                let (is, must) = (node.store.cube.get(key), must.get(key));
                return Err(Violation(format!("{}: {key:?} counts {is:?}, and is {must:?}", node.id)));
            }
            let (is, must) = (node.store.cube.len(), must.len());
            if is != must {
                return Err(Violation(format!("{}: a cube of {is} rows, {must} must be", node.id)));
            }
        }
        self.kept_promises(node)
    }

    /// The new entries of a log, if they are to be counted.
    fn log(&mut self, node: &Node, log: &LogId) -> Result<Vec<Rc<Entry>>> {
        let held = node.store.log(log);
        let shadow = self.shadows.entry(node.id.clone()).or_default();
        let seen = shadow.seen.insert(log.clone(), held.len()).unwrap_or(0);
        let row = node.store.logs.get(log);
        if held.len() < seen || row.is_none_or(|row| row.head.size() != held.len() as u64) {
            let says = row.map(|row| row.head.size());
            return Err(Violation(format!(
                "{} holds {} entries of {log}, held {seen}, says {says:?}",
                node.id,
                held.len()
            )));
        }
        let own = *log.node() == node.id;
        for (at, kept) in held.iter().enumerate().skip(seen) {
            self.entry(node, log, at, kept, at.checked_sub(1).map(|before| &held[before].leaf))?;
        }
        let whose = (node.id.clone(), log.clone());
        match row.is_some_and(|row| row.trouble.is_some()) {
            true => self.stopped.insert(whose),
            false => self.stopped.remove(&whose),
        };
        if !own {
            let spread = self.spread.entry(log.clone()).or_default();
            *spread = (*spread).max(held.len() as u64);
        }
        let counted = if *log.stream() == Stream::Records { &held[seen..] } else { &[] };
        Ok(counted.iter().map(|kept| kept.seen.clone()).collect())
    }

    fn entry(&mut self, node: &Node, log: &LogId, at: usize, kept: &Kept, before: Option<&Hash>) -> Result<()> {
        let wrong = |why: &str| Err(Violation(format!("{} holds an entry {at} of {log} that {why}", node.id)));
        let set = kept.seen.change_set();
        if set.log != *log || set.sequence != at as u64 {
            return wrong(&format!("says it is entry {} of {}", set.sequence, set.log));
        }
        if set.previous.as_ref() != before {
            return wrong("does not name the entry before it");
        }
        if danso_proto::merkle::leaf_hash(&kept.envelope) != kept.leaf {
            return wrong("has other bytes than its leaf hash");
        }
        if *log.stream() == Stream::Records {
            let about = log.node().unit();
            if let Some(change) = set.changes.iter().find(|change| !self.units.is_within(&change.unit, &about)) {
                return wrong(&format!("speaks about {}", change.unit));
            }
        }
        let (own, forked) = (*log.node() == node.id, self.forked.contains(log));
        if own && forked {
            return Ok(());
        }
        let spread = self.spread.get(log).copied().unwrap_or(0);
        let truth = self.truth.entry(log.clone()).or_default();
        match truth.leaf(at) {
            Some(leaf) if *leaf == kept.leaf => Ok(()),
            _ if own && (node.unsure || self.stopped.contains(&(node.id.clone(), log.clone()))) => {
                wrong("it wrote while it may not write")
            }
            None if at == truth.entries.len() && (own || forked) => {
                truth.push(kept.seen.clone());
                Ok(())
            }
            // What was lost with a disk, and nobody else had, did not happen.
            Some(_) if own && self.rewound.contains(&node.id) && spread <= at as u64 => {
                truth.truncate(at);
                truth.push(kept.seen.clone());
                Ok(())
            }
            Some(_) if own => wrong("was another before, and others hold that"),
            Some(_) => wrong("its author did not commit there"),
            None => wrong("its author did not commit"),
        }
    }

    // --- promises

    /// Somebody was told that `size` entries of `log` are durable at `giver`.
    pub fn promised(&mut self, giver: &Node, log: &LogId, size: u64) -> Result<()> {
        let held = giver.store.size(log);
        if held < size {
            let detail = format!("{} said that {size} entries of {log} are durable there, and holds {held}", giver.id);
            return Err(Violation(detail));
        }
        for told in [&mut self.promises, &mut self.for_ever] {
            let told = told.entry(giver.id.clone()).or_default().entry(log.clone()).or_default();
            *told = size.max(*told);
        }
        Ok(())
    }

    /// A receipt was taken for good by its log's author or by a node between.
    pub fn receipt(&mut self, row: &ReceiptRow, giver: Option<&Node>) -> Result<()> {
        let note = checkpoint::parse(&row.note).map_err(|refusal| Violation(format!("{refusal}")))?;
        let truth = self.truth.get(&row.log);
        let root = row.size.checked_sub(1).and_then(|at| truth?.roots.get(at as usize));
        if !self.forked.contains(&row.log) && root != Some(&note.unverified().root) {
            return Err(Violation(format!("{} gave a receipt for another history of {}", row.giver, row.log)));
        }
        // A receipt can be older than a disk that was put back since.
        match giver {
            Some(giver) if !self.rewound.contains(&giver.id) => self.promised(giver, &row.log, row.size),
            _ => Ok(()),
        }
    }

    /// A receipt did not pass at a node that holds `held` entries of its log. `behind`: the node was put back, and lost what it knew of keys.
    pub fn bad_receipt(&self, receipt: &ForwardedReceipt, held: u64, behind: bool, refusal: &Refusal) -> Result<()> {
        // It can come before the directory log that says who gave it and with which key, and to a node that lost what it is about.
        let known = |what| refusal.reason == Reason::ReceiptInvalid && refusal.detail.contains(what);
        // And before the takeover from which on a former parent's word counts no more.
        let spoken_of = self.spoken_of.contains(receipt.log.node());
        let behind = (behind || spoken_of) && refusal.reason == Reason::CheckpointInvalid;
        let later = checkpoint::parse(&receipt.note).is_ok_and(|note| note.unverified().size > held);
        if known("not enrolled") || known("no key of") || later || behind || self.forked.contains(&receipt.log) {
            return Ok(());
        }
        let (giver, log) = (&receipt.giver, &receipt.log);
        Err(Violation(format!("a receipt of {giver} for {log} was refused: {} {}", refusal.reason, refusal.detail)))
    }

    /// Nothing that was acknowledged is missing.
    pub fn kept_promises(&self, node: &Node) -> Result<()> {
        let told = self.promises.get(&node.id).into_iter().flatten();
        match told.into_iter().find(|(log, size)| node.store.size(log) < **size) {
            None => Ok(()),
            Some((log, size)) => {
                let held = node.store.size(log);
                Err(Violation(format!("{} acknowledged {size} entries of {log} and holds {held}", node.id)))
            }
        }
    }

    /// At the end: even what a disk had lost that was put back is there again, if it is `due` there.
    pub fn all_promises(&self, node: &Node, due: impl Fn(&LogId) -> bool) -> Result<()> {
        for (log, size) in self.for_ever.get(&node.id).into_iter().flatten() {
            let held = node.store.size(log);
            if held < *size && !self.forked.contains(log) && due(log) {
                return Err(Violation(format!(
                    "{} once acknowledged {size} entries of {log} and holds {held}",
                    node.id
                )));
            }
        }
        Ok(())
    }

    // --- what faults allow

    /// A node's disk is an earlier one now. What it had promised since is forgotten there, until it comes again.
    pub fn rewound(&mut self, node: &Node) {
        self.rewound.insert(node.id.clone());
        if let Some(told) = self.promises.get_mut(&node.id) {
            told.iter_mut().for_each(|(log, size)| *size = node.store.size(log).min(*size));
        }
        self.look_again(node);
    }

    /// Counts a node anew from its logs.
    pub fn look_again(&mut self, node: &Node) {
        let mut shadow = Shadow::default();
        for (log, held) in &node.store.entries {
            shadow.seen.insert(log.clone(), held.len());
            if *log.stream() == Stream::Records {
                shadow.figures.take(held.iter().map(|kept| &*kept.seen));
            }
        }
        self.shadows.insert(node.id.clone(), shadow);
    }

    /// How much of a log somebody else than its author held once.
    pub fn spread(&self, log: &LogId) -> u64 {
        self.spread.get(log).copied().unwrap_or(0)
    }

    /// What a node lost with its disk, and nobody else had, did not happen.
    pub fn settle(&mut self, node: &Node) {
        if self.rewound.contains(&node.id) {
            let own = self.truth.iter_mut().filter(|(log, _)| *log.node() == node.id && !self.forked.contains(*log));
            for (log, truth) in own {
                let spread = self.spread.get(log).copied().unwrap_or(0);
                truth.truncate(node.store.size(log).max(spread) as usize);
            }
        }
    }

    /// From now on two copies of one node write this log.
    pub fn fork(&mut self, log: &LogId) {
        let spread = self.spread.get(log).copied().unwrap_or(0);
        self.truth.entry(log.clone()).or_default().truncate(spread as usize);
        self.forked.insert(log.clone());
    }

    /// A peer refused a log. Honest peers do so for a few reasons only.
    pub fn refused(&self, log: &LogId, reason: Reason, detail: &str) -> Result<()> {
        let allowed = match reason {
            Reason::SequenceGap
            | Reason::LogQuarantined
            | Reason::KeyNotEnrolled
            | Reason::UnitsVersionUnknown
            | Reason::LogNotForLink
            | Reason::ReadOnly
            | Reason::KeyRevoked => true,
            // The new key's announcement was still on its way, or the takeover from which on the word of a former parent counts no more.
            Reason::CheckpointInvalid if self.spoken_of.contains(log.node()) => true,
            Reason::CheckpointInvalid => self.keys.get(log.node()).is_some_and(|keys| keys.len() > 1),
            Reason::LogShorter => self.forked.contains(log) || self.rewound.contains(log.node()),
            Reason::RootDiffers | Reason::ReplayDiffers | Reason::PreviousHashWrong => self.forked.contains(log),
            _ => false,
        };
        if allowed { Ok(()) } else { Err(Violation(format!("an honest peer refused {log}: {reason} {detail}"))) }
    }

    /// A former parent says something of its child.
    pub fn spoken_of(&mut self, node: &NodeId) {
        self.spoken_of.insert(node.clone());
    }

    /// A peer saw two histories of a log, or a shorter one.
    pub fn alarm(&mut self, log: &LogId, reason: Reason) -> Result<()> {
        let shorter = reason == Reason::LogShorter && self.rewound.contains(log.node());
        if !shorter && !self.forked.contains(log) {
            return Err(Violation(format!("an alarm about an honest log: {log} {reason}")));
        }
        self.alarms.insert(log.clone());
        Ok(())
    }

    /// A node was told that it is behind itself.
    pub fn behind(&mut self, log: &LogId) -> Result<()> {
        if !self.rewound.contains(log.node()) && !self.forked.contains(log) {
            return Err(Violation(format!("{log} is said to be behind, and its disk was never put back")));
        }
        self.alarms.insert(log.clone());
        Ok(())
    }

    // --- the whole of a node

    /// Everything about a node from its logs alone: signatures, register, cube, findings.
    pub fn whole(&mut self, node: &Node) -> Result<()> {
        let wrong = |what: String| Violation(format!("{}: {what}", node.id));
        let mut figures = Figures::default();
        let mut made_from = Vec::new();
        let mut entries: Vec<&Entry> = Vec::new();
        for (log, held) in node.store.entries.iter().filter(|(_, held)| !held.is_empty()) {
            let Some(keys) = self.keys.get(log.node()) else {
                return Err(wrong(format!("{log} is by nobody")));
            };
            for kept in held {
                if self.verified.insert((kept.leaf, kept.parts.is_some())) {
                    let opened = Envelope::decode(kept.envelope.clone())
                        .and_then(|envelope| envelope::open(envelope, kept.parts.clone(), keys));
                    opened.map_err(|refusal| wrong(format!("{log}: {} {}", refusal.reason, refusal.detail)))?;
                }
            }
            if *log.stream() == Stream::Records {
                made_from.extend(held.last().map(|kept| (log.clone(), kept.leaf)));
                entries.extend(held.iter().map(|kept| &*kept.seen));
            }
        }
        for ((log, giver), receipt) in &node.store.receipts {
            let theirs = checkpoint::parse(&receipt.note).map(|note| note.unverified().root);
            let ours = node.root_at(log, receipt.size);
            if *log.node() == node.id && !theirs.is_ok_and(|theirs| ours == Some(theirs)) {
                return Err(wrong(format!("it counts a receipt of {giver} for another history of {log}")));
            }
        }
        figures.take(entries.into_iter());
        figures.compare(&node.store).map_err(wrong)?;
        let mut hasher = DefaultHasher::new();
        node.store.cube.iter().for_each(|row| row.hash(&mut hasher));
        let digest = hasher.finish();
        if *self.cubes.entry(made_from).or_insert(digest) != digest {
            return Err(wrong("the same logs gave another cube elsewhere".into()));
        }
        Ok(())
    }
}
