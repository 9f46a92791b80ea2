//! What was said about a node: that it is one, its keys, its end; and which of that counts.
//!
//! Who is above a node may vouch for a key of it, revoke it, and decide between two histories of its log. A node that was taken over has former
//! parents, and those could go on to speak: hence the takeover says how far it has read their directory logs, and what stands behind that
//! counts no more. So does what stands behind the size up to which a revoked node's directory counts, enrolments as well. Nothing is refused for
//! this and nothing depends on the order in which logs are read: what was said is kept, and judged anew whenever who may speak has changed.
//!
//! What a node says of one below counts up to one sequence of its directory log. That is worked out once for each author when a node is judged,
//! from those who enrolled it, who are judged before it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use danso_proto::envelope::PublicKey;
use danso_proto::ids::{LogId, NodeId, Stream};

use super::directory::{Directory, Enrolment, Node};
use super::keys::{Era, KeyHistory};

/// Of those who enrolled one node so many are asked at most, those nearest the root: a node has few parents in its life, and a hostile node could
/// make up thousands below it.
const ENROLLERS_MAX: usize = 64;

/// Something said about a node, by itself or by one above it.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// Sequence in the directory log of the one who said it.
    pub(super) at: u64,
    pub(super) word: Word,
}

#[derive(Debug, Clone)]
pub(super) enum Word {
    /// A further key, and from which sizes of its logs on it signs.
    Key(PublicKey, Vec<(LogId, u64)>),
    /// The sizes up to which its logs count.
    End(Vec<(LogId, u64)>),
}

/// What a word is about. Words are counted for each apart: a child that has its parent vouch for many keys can still be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Keys,
    End,
    Forks,
}

/// What comes of all that was said about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    /// All who are or were above it, whether their enrolments count or not.
    pub(super) above: BTreeSet<NodeId>,
    /// Who above it has or had a say about it, and the first sequence of its directory log that has none.
    pub(super) say: BTreeMap<NodeId, u64>,
    pub(super) has_place: bool,
    pub(super) parent: Option<NodeId>,
    pub(super) keys: KeyHistory,
    /// What still counts of its logs, if it has an end.
    pub(super) bounds: Option<BTreeMap<LogId, u64>>,
}

impl Judgement {
    /// Of a node that nobody enrolled: the root, or one whose enrolment is being taken in.
    pub(super) fn new(key: PublicKey, node: &NodeId) -> Self {
        Self {
            above: BTreeSet::new(),
            say: BTreeMap::new(),
            has_place: true,
            parent: None,
            keys: KeyHistory::new(key, node),
            bounds: None,
        }
    }
}

/// What each node said about one, in the order of its log.
pub(super) type Words = BTreeMap<NodeId, Vec<Said>>;

/// Who enrolled a node, and how.
type By<'a> = (&'a Node, &'a Enrolment);

impl Directory {
    /// How often `by` spoke about this of `node`.
    pub(super) fn words(&self, by: &NodeId, node: &NodeId, about: About) -> usize {
        let said = self.said.get(node).and_then(|words| words.get(by)).into_iter().flatten();
        match about {
            About::Keys => said.filter(|said| matches!(said.word, Word::Key(..))).count(),
            About::End => said.filter(|said| matches!(said.word, Word::End(_))).count(),
            About::Forks => {
                let first = LogId::new(node.clone(), Stream::Directory);
                let of_node = self.forks.range(first..).take_while(|(log, _)| log.node() == node);
                of_node.flat_map(|(_, decisions)| decisions).filter(|(decider, _, _)| decider == by).count()
            }
        }
    }

    /// Whether what `by`, who is or was above `node`, said about it in entry `at` of its directory log counts: it stands before the end of who
    /// said it, and a path of enrolments leads from there down to `node`, none of which was ended by a takeover before the entry.
    pub(super) fn counts(&self, by: &NodeId, at: u64, node: &NodeId) -> bool {
        self.node(node).is_some_and(|node| node.say(by) > at)
    }

    /// The sequence at which the directory log of a node ends, if the node was revoked.
    fn directory_end(node: &Node) -> Option<u64> {
        node.valid_size(&LogId::new(node.id().clone(), Stream::Directory))
    }

    /// Who ever enrolled `node`, those nearest the root first. In unit lists that contradict each other two nodes can enrol each other: neither
    /// is above the other.
    fn enrollers<'a>(&'a self, node: &'a Node) -> Vec<By<'a>> {
        let made = node.enrolments().filter_map(|(up, enrolment)| Some((self.node(up)?, enrolment)));
        let mut made: Vec<By> = made.filter(|(up, _)| up.depth() < node.depth()).collect();
        made.sort_by_key(|(up, _)| (up.depth(), up.id()));
        made
    }

    /// Which enrolments of `node` count. Of a node that has no place nothing counts anyway: it is judged as if it had one, so that those
    /// who do not know yet that the end counts nowhere refuse no more than they must.
    fn counting<'a>(mut made: Vec<By<'a>>, has_place: bool) -> Vec<By<'a>> {
        made.retain(|(up, enrolment)| !has_place || is_before_end(up, enrolment.at));
        made.truncate(ENROLLERS_MAX);
        made
    }

    /// Who would have no place any longer if the directory log of `node` ended at `size`, each behind those above it: whom it enrolled behind
    /// that, and whom those enrolled.
    pub fn losing_place(&self, node: &NodeId, size: u64) -> Vec<NodeId> {
        let mut ends: BTreeMap<&NodeId, u64> = [(node, size)].into();
        let mut below: Vec<&Node> =
            self.nodes().filter(|below| below.has_place() && below.above().contains(node)).collect();
        below.sort_by_key(|below| below.depth());
        let mut losing = Vec::new();
        for below in below {
            let stands = |(up, enrolment): By| {
                is_before_end(up, enrolment.at) && ends.get(up.id()).is_none_or(|end| enrolment.at < *end)
            };
            if !self.enrollers(below).into_iter().any(stands) {
                ends.insert(below.id(), 0);
                losing.push(below.id().clone());
            }
        }
        losing
    }

    /// The directory logs of all who were above `node` and are not above it any longer once `by` has taken it over.
    pub fn former(&self, node: &NodeId, by: &NodeId) -> Vec<LogId> {
        let still: BTreeSet<NodeId> = self.ancestry(by).into_iter().chain([node.clone()]).collect();
        let former = self.ancestry(node).into_iter().filter(|above| !still.contains(above));
        former.map(|above| LogId::new(above, Stream::Directory)).collect()
    }

    /// Takes in something that was said. It is judged by [`Self::judge`].
    pub(super) fn hear(&mut self, node: &NodeId, by: &NodeId, said: Said) {
        let words = Arc::make_mut(&mut self.said).entry(node.clone()).or_default();
        Arc::make_mut(words).entry(by.clone()).or_default().push(said);
    }

    /// Judges anew what was said about these nodes, and about all below those that say so: who may speak about them has changed.
    pub(super) fn judge(&mut self, nodes: BTreeMap<NodeId, bool>) {
        let mut order: Vec<NodeId> = nodes.iter().filter(|(_, below)| **below).map(|(id, _)| id.clone()).collect();
        let (mut seen, mut next): (BTreeSet<NodeId>, usize) = (order.iter().cloned().collect(), 0);
        while let Some(id) = order.get(next).cloned() {
            next += 1;
            order.extend(self.enrolled_by(&id).filter(|below| seen.insert((*below).clone())).cloned());
        }
        for id in &order {
            let above = self.find_above(id);
            if self.node(id).is_some_and(|node| *node.above() != above) {
                self.change(id, |judged| judged.above = above);
            }
        }
        order.extend(nodes.into_keys().filter(|id| !seen.contains(id)));
        // Who is above another is judged before it.
        order.sort_by_cached_key(|id| self.node(id).map(Node::depth));
        for id in &order {
            let Some(node) = self.node(id) else { continue };
            let judgement = self.judgement(node);
            // A node that is unchanged is shared with the directory before.
            if judgement != node.judged {
                self.change(id, |judged| *judged = judgement);
            }
        }
    }

    fn change(&mut self, id: &NodeId, change: impl FnOnce(&mut Judgement)) {
        if let Some(node) = Arc::make_mut(&mut self.nodes).get_mut(id) {
            change(&mut Arc::make_mut(node).judged);
        }
    }

    fn find_above(&self, id: &NodeId) -> BTreeSet<NodeId> {
        let (mut above, mut stack) = (BTreeSet::new(), vec![id]);
        while let Some(id) = stack.pop() {
            for (up, _) in self.node(id).into_iter().flat_map(Node::enrolments) {
                if above.insert(up.clone()) {
                    stack.push(up);
                }
            }
        }
        above
    }

    fn judgement(&self, node: &Node) -> Judgement {
        let made = self.enrollers(node);
        // The root has its place by itself.
        let has_place =
            node.enrolments().next().is_none() || made.iter().any(|(up, enrolment)| is_before_end(up, enrolment.at));
        let counting = Self::counting(made, has_place);
        let say = say(&counting);
        let words = self.said.get(node.id());
        let heard = |by: &NodeId| words.and_then(|words| words.get(by)).into_iter().flatten();
        // Upper ones took the node over from those below them, and spoke last; of two beside each other the one that was revoked spoke first.
        let mut above: Vec<(&NodeId, &u64)> = say.iter().collect();
        above.sort_by_cached_key(|(by, _)| {
            let known = self.node(by);
            (Reverse(known.map(Node::depth)), Reverse(known.map(Node::is_revoked)))
        });
        let (mut end, mut vouched) = (None, Vec::new());
        for (by, say) in above {
            for said in heard(by).take_while(|said| said.at < *say) {
                match &said.word {
                    Word::End(narrower) => end = Some(narrowest(end, narrower)),
                    Word::Key(key, from) => vouched.push(Era::new(*key, from, by)),
                }
            }
        }
        // A key that the node announced behind its end is none.
        let own = LogId::new(node.id().clone(), Stream::Directory);
        let own_end = end.as_ref().map_or(u64::MAX, |end: &BTreeMap<LogId, u64>| end.get(&own).copied().unwrap_or(0));
        let announced = heard(node.id()).take_while(|said| said.at < own_end).filter_map(|said| match &said.word {
            Word::Key(key, from) => Some(Era::new(*key, from, node.id())),
            Word::End(_) => None,
        });
        let parent = parent(&counting);
        // Two keys can be made that give one id: the one in the enrolment that counts is the node's.
        let first = parent.map_or(*node.keys().first(), |(_, enrolment)| enrolment.key);
        let keys = KeyHistory::of(first, node.id(), announced.collect(), vouched);
        // Without a place it is there for what was taken in of it to be read.
        let bounds = if has_place { end } else { Some(BTreeMap::new()) };
        let parent = parent.map(|(up, _)| up.id().clone());
        Judgement { above: node.above().clone(), say, has_place, parent, keys, bounds }
    }
}

/// Whether entry `at` of a node's directory log stands before its end, if the node was revoked.
fn is_before_end(by: &Node, at: u64) -> bool {
    Directory::directory_end(by).is_none_or(|end| at < end)
}

/// Of those whose enrolments count the one nearest the root. One that was revoked gives way to its successor, not to those below it.
fn parent<'a>(counting: &[By<'a>]) -> Option<By<'a>> {
    let gives_way = |up: &Node| {
        let mut others = counting.iter().map(|(other, _)| other);
        up.is_revoked() && others.any(|other| !other.is_revoked() && !other.above().contains(up.id()))
    };
    counting.iter().find(|(up, _)| !gives_way(up)).copied()
}

/// The enrolments that end the say of those below their author who are not named in it: who enrols took the node over, or had it
/// from the beginning, and then who enrols it further down has no say. What is ended itself by one from further up, or by a revocation,
/// ends nothing: else a former parent could unsay what another had said before.
fn takeovers<'a>(counting: &[By<'a>]) -> Vec<By<'a>> {
    let mut standing: Vec<By> = Vec::new();
    for (new, taken) in counting {
        let is_ended = standing.iter().any(|(upper, over)| {
            new.above().contains(upper.id()) && over.former.get(new.id()).is_none_or(|size| taken.at >= *size)
        });
        if !is_ended {
            standing.push((new, taken));
        }
    }
    standing
}

/// Up to which sequence of its directory log each node above has a say about one that these enrolled: along the path on which it has the longest.
fn say(counting: &[By]) -> BTreeMap<NodeId, u64> {
    let takeovers = takeovers(counting);
    let mut say: BTreeMap<NodeId, u64> = BTreeMap::new();
    for (up, _) in counting {
        let over: Vec<_> = takeovers.iter().filter(|(new, _)| up.above().contains(new.id())).collect();
        let own = Directory::directory_end(up).unwrap_or(u64::MAX);
        for (by, size) in up.judged.say.iter().chain([(up.id(), &own)]) {
            let ends = over.iter().map(|(_, taken)| taken.former.get(by).copied().unwrap_or(0));
            let size = ends.min().unwrap_or(u64::MAX).min(*size);
            let longest = say.entry(by.clone()).or_default();
            *longest = (*longest).max(size);
        }
    }
    say
}

/// Several revocations bound a log by the narrowest of them, in whatever order they come.
fn narrowest(before: Option<BTreeMap<LogId, u64>>, bounds: &[(LogId, u64)]) -> BTreeMap<LogId, u64> {
    let mut new: BTreeMap<LogId, u64> = bounds.iter().cloned().collect();
    if let Some(before) = before {
        new.retain(|log, size| {
            *size = (*size).min(before.get(log).copied().unwrap_or(0));
            *size > 0
        });
    }
    new
}
