//! What was said about a node: that it is one, its keys, its end; and which of that counts.
//!
//! Who is above a node may vouch for a key of it, revoke it, and decide between two histories of its log. A node that was taken over has former
//! parents, and those could go on to speak: hence the takeover says how far it has read their directory logs, and what stands behind that
//! counts no more. So does what stands behind the size up to which a revoked node's directory counts, enrolments as well. Nothing is refused for
//! this and nothing depends on the order in which logs are read: what was said is kept, and judged anew whenever who may speak has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use danso_proto::envelope::PublicKey;
use danso_proto::ids::{LogId, NodeId, Stream};

use super::directory::{Directory, Enrolment, Node};
use super::keys::{Era, KeyHistory};

/// Something said about a node, by itself or by one above it.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) by: NodeId,
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

/// What comes of all that was said about a node.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) parent: Option<NodeId>,
    pub(super) keys: KeyHistory,
    /// What still counts of its logs, if it has an end.
    pub(super) bounds: Option<BTreeMap<LogId, u64>>,
}

impl Directory {
    /// How often `by` spoke about keys or the end of `node`.
    pub(super) fn words(&self, by: &NodeId, node: &NodeId) -> usize {
        self.said.get(node).map_or(0, |said| said.iter().filter(|said| said.by == *by).count())
    }

    /// Whether an enrolment of the node counts; the root has its place by itself.
    pub(super) fn has_place(&self, node: &Node) -> bool {
        node.enrolments().next().is_none()
            || node.enrolments().any(|(up, enrolment)| self.is_before_end(up, enrolment.at))
    }

    /// Whether what `by`, who is or was above `node`, said about it in entry `at` of its directory log counts: it stands before the end of who
    /// said it, and a path of enrolments leads from there down to `node`, none of which was ended by a takeover before the entry.
    pub(super) fn counts(&self, by: &NodeId, at: u64, node: &NodeId) -> bool {
        if !self.is_before_end(by, at) {
            return false;
        }
        let (mut seen, mut stack) = (BTreeSet::new(), vec![node]);
        while let Some(node) = stack.pop() {
            let Some(node) = self.node(node) else { continue };
            let takeovers = self.takeovers(node);
            for (up, _) in self.counting(node) {
                let is_ended = takeovers.iter().any(|(new, taken)| {
                    *new != up && taken.former.get(by).is_none_or(|size| at >= *size) && self.was_above(new, up)
                });
                if is_ended {
                    continue;
                }
                if up == by {
                    return true;
                }
                if seen.insert(up) {
                    stack.push(up);
                }
            }
        }
        false
    }

    /// Whether entry `at` of a node's directory log stands before its end, if the node was revoked.
    fn is_before_end(&self, by: &NodeId, at: u64) -> bool {
        let end = self.node(by).and_then(|by| by.valid_size(&LogId::new(by.id().clone(), Stream::Directory)));
        end.is_none_or(|end| at < end)
    }

    /// Who enrolled `node` before its own end. Of a node that has no place nothing counts anyway: it is judged as if it had one, so that those
    /// who do not know yet that the end counts nowhere refuse no more than they must.
    fn counting<'a>(&self, node: &'a Node) -> Vec<(&'a NodeId, &'a Enrolment)> {
        let has_place = self.has_place(node);
        node.enrolments().filter(|(up, enrolment)| !has_place || self.is_before_end(up, enrolment.at)).collect()
    }

    /// The enrolments of `node` that end the say of those below their author who are not named in it: who enrols took the node over, or had it
    /// from the beginning, and then who enrols it further down has no say. What is ended itself by one from further up, or by a revocation,
    /// ends nothing: else a former parent could unsay what another had said before.
    fn takeovers<'a>(&self, node: &'a Node) -> Vec<(&'a NodeId, &'a Enrolment)> {
        let mut made = self.counting(node);
        made.sort_by_cached_key(|(up, _)| self.ancestry(up).len());
        let mut standing: Vec<(&NodeId, &Enrolment)> = Vec::new();
        for (new, taken) in made {
            let is_ended = standing.iter().any(|(upper, over)| {
                over.former.get(new).is_none_or(|size| taken.at >= *size) && self.was_above(upper, new)
            });
            if !is_ended {
                standing.push((new, taken));
            }
        }
        standing
    }

    /// The directory logs of all who were above `node` and are not above it any longer once `by` has taken it over.
    pub fn former(&self, node: &NodeId, by: &NodeId) -> Vec<LogId> {
        let still: BTreeSet<NodeId> = self.ancestry(by).into_iter().chain([node.clone()]).collect();
        let former = self.ancestry(node).into_iter().filter(|above| !still.contains(above));
        former.map(|above| LogId::new(above, Stream::Directory)).collect()
    }

    /// Takes in something that was said.
    pub(super) fn hear(&mut self, node: &NodeId, said: Said) {
        let is_end = matches!(said.word, Word::End(_));
        Arc::make_mut(&mut self.said).entry(node.clone()).or_default().push(said);
        match is_end {
            // It may have spoken about others.
            true => self.judge_below(node),
            false => self.judge(node),
        }
    }

    /// Judges anew what was said about a node and all below it: who may speak about them has changed.
    pub(super) fn judge_below(&mut self, node: &NodeId) {
        let (mut seen, mut order) = (BTreeSet::new(), vec![node.clone()]);
        let mut next = 0;
        while let Some(id) = order.get(next).cloned() {
            next += 1;
            order.extend(self.enrolled_by(&id).filter(|below| seen.insert((*below).clone())).cloned());
        }
        // An end of one above comes before what it ends.
        order.sort_by_cached_key(|id| self.ancestry(id).len());
        order.iter().for_each(|id| self.judge(id));
    }

    fn judge(&mut self, id: &NodeId) {
        let Some(node) = self.node(id) else { return };
        let judgement = self.judgement(node, self.said.get(id).map_or(&[], Vec::as_slice));
        if let Some(node) = Arc::make_mut(&mut self.nodes).get_mut(id) {
            node.judged(judgement);
        }
    }

    fn judgement(&self, node: &Node, said: &[Said]) -> Judgement {
        let id = node.id();
        let counting = self.counting(node).into_iter().map(|(up, _)| up);
        let parent = counting.min_by_key(|up| self.ancestry(up).len()).cloned();
        let place = match self.has_place(node) {
            true => None,
            // It is there for what was taken in of it to be read.
            false => Some(BTreeMap::new()),
        };
        let mut end = None;
        for Said { by, at, word } in said {
            if let Word::End(narrower) = word
                && self.counts(by, *at, id)
            {
                end = Some(narrowest(end, narrower));
            }
        }
        // The end first: a key that the node announced behind it is none.
        let own = LogId::new(id.clone(), Stream::Directory);
        let own_end = end.as_ref().map(|end| end.get(&own).copied().unwrap_or(0));
        let mut keys = KeyHistory::new(*node.keys().first(), id);
        for Said { by, at, word } in said {
            let Word::Key(key, from) = word else { continue };
            let counts = match by == id {
                true => own_end.is_none_or(|end| *at < end),
                false => self.counts(by, *at, id),
            };
            match counts {
                true => keys.add(Era::new(*key, from, by), id, |above, node| self.was_above(above, node)),
                false => keys.set_aside(*key),
            }
        }
        Judgement { parent, keys, bounds: place.or(end) }
    }
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
