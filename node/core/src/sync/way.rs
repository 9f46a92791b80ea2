//! Which logs go over which link, and in which direction. It knows the tree of nodes only as "who is whose parent".

use danso_proto::ids::{LogId, NodeId, Stream};

use crate::verify::{DEPTH_MAX, Directory};

/// The tree of nodes, as the directory logs tell it.
pub trait Kin {
    /// Who enrolled `node`; `None` for the root and for a node that is not known here.
    fn parent_of(&self, node: &NodeId) -> Option<NodeId>;
    /// Whether `node` is below `above`, or was before it was taken over.
    fn was_above(&self, above: &NodeId, node: &NodeId) -> bool;
    /// Whether `by` ever enrolled a node that is `top` or below it now.
    fn enrolled_below(&self, by: &NodeId, top: &NodeId) -> bool;
}

impl Kin for Directory {
    fn parent_of(&self, node: &NodeId) -> Option<NodeId> {
        self.node(node)?.parent().cloned()
    }

    fn was_above(&self, above: &NodeId, node: &NodeId) -> bool {
        Directory::was_above(self, above, node)
    }

    fn enrolled_below(&self, by: &NodeId, top: &NodeId) -> bool {
        self.enrolled_by(by).any(|node| at_or_below(node, top, self))
    }
}

/// A link, by its two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The end that dials.
    pub child: NodeId,
    /// The end that is dialled.
    pub parent: NodeId,
}

/// A direction over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the child to the parent.
    Up,
    /// From the parent to the child.
    Down,
}

/// The way of `log` over `link`, `None` when it may not come over it:
///
/// - up: `directory` and `records` of the child and of all nodes below it;
/// - up, one step: `mail` of the child itself, so that a child whose disk is lost, or that was restored from an old copy, is told of all that
///   it wrote. Also of mail to a node that was below it once and was taken over since: the author goes on from what it holds of it;
/// - down: `directory` of all nodes above the child, of those that were until it was taken over, and of those that enrolled a node which is
///   below it now: they vouched for keys that count on, and the taker may not have heard of it by then;
/// - down: `mail/X` of all nodes that are or were above the child, when X is the child or below it.
///
/// A log whose author `kin` does not know yet goes nowhere; its author's enrolment, in a directory log, comes first.
pub fn flows(log: &LogId, link: &Link, kin: &dyn Kin) -> Option<Way> {
    let author = log.node();
    match log.stream() {
        Stream::Directory | Stream::Records if at_or_below(author, &link.child, kin) => Some(Way::Up),
        Stream::Mail(to) if *author == link.child && kin.was_above(author, to) => Some(Way::Up),
        Stream::Directory if kin.was_above(author, &link.child) || kin.enrolled_below(author, &link.child) => {
            Some(Way::Down)
        }
        Stream::Mail(to) if at_or_below(to, &link.child, kin) && kin.was_above(author, &link.child) => Some(Way::Down),
        _ => None,
    }
}

/// Steps from `node` up to the root, as far as it is known: the rank of its directory log in the order of sending.
pub fn rank(node: &NodeId, kin: &dyn Kin) -> u32 {
    let above = std::iter::successors(kin.parent_of(node), |node| kin.parent_of(node));
    above.take(DEPTH_MAX).count() as u32
}

/// Whether `node` is `top` or below it.
pub fn at_or_below(node: &NodeId, top: &NodeId, kin: &dyn Kin) -> bool {
    if node == top {
        return true;
    }
    let mut at = kin.parent_of(node);
    for _ in 0..DEPTH_MAX {
        match at {
            Some(parent) if parent == *top => return true,
            Some(parent) => at = kin.parent_of(&parent),
            None => return false,
        }
    }
    false
}
