//! What was said about a node's keys and its end, and which of that counts.
//!
//! Who is above a node may vouch for a key of it, revoke it, and decide between two histories of its log. A node that was taken over has former
//! parents, and those could go on to speak: hence the takeover says how far it has read their directory logs, and what stands behind that
//! counts no more. So does what stands behind the size up to which a revoked node's directory counts. Nothing is refused for this and nothing
//! depends on the order in which logs are read: what was said is kept, and judged anew whenever who may speak has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use danso_proto::envelope::PublicKey;
use danso_proto::ids::{LogId, NodeId, Stream};

use super::directory::{Directory, ENROLMENTS_MAX, Node};
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

impl Directory {
    /// Whether what `by`, who is or was above `node`, said about it in entry `at` of its directory log counts.
    pub(super) fn counts(&self, by: &NodeId, at: u64, node: &NodeId) -> bool {
        self.is_before_end(by, at) && self.counts_within(by, at, node, ENROLMENTS_MAX)
    }

    /// Whether entry `at` of a node's directory log stands before its end, if the node was revoked.
    fn is_before_end(&self, by: &NodeId, at: u64) -> bool {
        let end = self.node(by).and_then(|by| by.valid_size(&LogId::new(by.id().clone(), Stream::Directory)));
        end.is_none_or(|end| at < end)
    }

    /// As a path of enrolments leads from `by` down to `node`, none of which was ended by a takeover before the entry.
    fn counts_within(&self, by: &NodeId, at: u64, node: &NodeId, steps: usize) -> bool {
        // Units that contain each other in two lists could make a circle.
        let (Some(steps), Some(node)) = (steps.checked_sub(1), self.node(node)) else { return false };
        node.enrolments().filter(|(up, enrolment)| self.is_before_end(up, enrolment.at)).any(|(up, _)| {
            (up == by || self.counts_within(by, at, up, steps)) && !self.is_ended(node, up, by, at, ENROLMENTS_MAX)
        })
    }

    /// Whether one above `up` enrolled `node` and does not say that `by` had said so much until then: it took the node over, or had it from
    /// the beginning, and then who enrols it further down has no say. What is ended itself by one from further up, or by a revocation, ends
    /// nothing: else a former parent could unsay what another had said before.
    fn is_ended(&self, node: &Node, up: &NodeId, by: &NodeId, at: u64, steps: usize) -> bool {
        let Some(steps) = steps.checked_sub(1) else { return false };
        let mut enrolments = node.enrolments().filter(|(new, enrolment)| self.is_before_end(new, enrolment.at));
        enrolments.any(|(new, taken)| {
            new != up
                && taken.former.get(by).is_none_or(|size| at >= *size)
                && self.was_above(new, up)
                && !self.is_ended(node, new, new, taken.at, steps)
        })
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
        let (Some(said), Some(node)) = (self.said.get(id), self.node(id)) else { return };
        let mut keys = KeyHistory::new(*node.keys().first(), id);
        let mut end: Option<BTreeMap<LogId, u64>> = None;
        for Said { by, at, word } in said {
            if let Word::End(bounds) = word
                && self.counts(by, *at, id)
            {
                end = Some(narrowest(end, bounds));
            }
        }
        // The end first: a key that the node announced behind it is none.
        let own_end = end.as_ref().map(|end| end.get(&LogId::new(id.clone(), Stream::Directory)).copied().unwrap_or(0));
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
        if let Some(node) = Arc::make_mut(&mut self.nodes).get_mut(id) {
            node.judged(keys, end);
        }
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
