//! Strict: who may write what, and whether an entry fits where it claims to stand.
//!
//! Trust begins at one fingerprint, the anchor. The [`Directory`] grows only from entries that were verified against it, so that every
//! key in it hangs on a chain of signed enrolments. An entry that does not pass is refused with a reason; whether a verified
//! change makes sense is not asked here (that is the register's business).

use std::collections::BTreeMap;

use danso_proto::change::{Body, Change, ChangeSet};
use danso_proto::envelope::Opened;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::merkle::Hash;
use danso_proto::refusal::{Reason, Refusal};

mod authors;
mod directory;
mod keys;
mod words;

pub(crate) use directory::DEPTH_MAX;
pub use directory::{Directory, Node};
pub use keys::{Era, KeyHistory};
use words::About;

/// Where the next entry of a log belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Entries so far: the sequence of the next one.
    pub size: u64,
    /// Leaf hash of the last entry; `None` while there is none.
    pub last_leaf: Option<Hash>,
}

/// An entry whose signature, author, scope and place were found right. Made by [`verify`] only.
#[derive(Debug)]
pub struct Verified {
    opened: Opened,
}

impl Verified {
    /// What was signed.
    pub fn change_set(&self) -> &ChangeSet {
        self.opened.change_set()
    }

    pub(crate) fn into_opened(self) -> Opened {
        self.opened
    }
}

/// Checks an opened entry against the directory and the place in its log where it shall go.
///
/// # Errors
/// `key_not_enrolled`, `key_revoked`, `sequence_gap`, `replay_differs` (a position that is taken), `previous_hash_wrong`,
/// `units_version_unknown`, `unit_unknown`, `out_of_scope`, `wrong_stream`, `too_large` (one who says too much about one node).
pub fn verify(opened: Opened, directory: &Directory, position: &Position) -> Result<Verified, Refusal> {
    let set = opened.change_set();
    let author = directory.author(set.log.node())?;
    if !opened.signers().contains(&author.keys().at(&set.log, set.sequence).fingerprint()) {
        return Err(not_signed(set, author));
    }
    if let Some(bound) = author.valid_size(&set.log)
        && set.sequence >= bound
    {
        return Err(Refusal::new(Reason::KeyRevoked, format!("{} counts up to size {bound}", set.log)));
    }
    check_position(set, position)?;
    check_children(set, author, directory)?;
    check_rules(set, author, directory)?;
    check_words(set, author, directory)?;
    verify_again(opened, directory, position)
}

/// Checks an entry that was verified when it was taken in, and is read back: as [`verify`], but neither a revocation nor a change of keys
/// or parents that came since undoes it. Else these could keep those who took the entry in from ever starting again.
///
/// # Errors
/// As [`verify`], without `key_revoked` and `too_large`, and without the `out_of_scope` of a child that has another parent and of rules that
/// somebody sets for itself, which an earlier version took in.
pub fn verify_again(opened: Opened, directory: &Directory, position: &Position) -> Result<Verified, Refusal> {
    let set = opened.change_set();
    let author = directory.author(set.log.node())?;
    if !opened.signers().iter().any(|signer| directory.has_key(author.id(), signer)) {
        return Err(not_signed(set, author));
    }
    check_position(set, position)?;
    match set.log.stream() {
        Stream::Directory => check_directory(set, opened.signers(), author, directory)?,
        Stream::Mail(to) => check_mail(&set.log, author.id(), to, directory)?,
        Stream::Records => check_scope(set, author, directory)?,
    }
    Ok(Verified { opened })
}

fn not_signed(set: &ChangeSet, author: &Node) -> Refusal {
    let detail =
        format!("entry {} of {} is not signed by the key that {} had there", set.sequence, set.log, author.id());
    Refusal::new(Reason::KeyNotEnrolled, detail)
}

fn check_position(set: &ChangeSet, position: &Position) -> Result<(), Refusal> {
    let at = || format!("{} entry {}, size here {}", set.log, set.sequence, position.size);
    if set.sequence > position.size {
        return Err(Refusal::new(Reason::SequenceGap, at()));
    }
    if set.sequence < position.size {
        return Err(Refusal::new(Reason::ReplayDiffers, at()));
    }
    if set.previous != position.last_leaf {
        return Err(Refusal::new(Reason::PreviousHashWrong, at()));
    }
    Ok(())
}

/// An author writes about its own unit and the units below it, in the list version that the set names.
fn check_scope(set: &ChangeSet, author: &Node, directory: &Directory) -> Result<(), Refusal> {
    let Some(list) = directory.units().get(&set.units_version) else {
        return Err(Refusal::new(Reason::UnitsVersionUnknown, set.units_version.clone()));
    };
    // Most sets are about one unit: ask the tree once a run, not once a change.
    let mut last = None;
    for change in &set.changes {
        if last == Some(&change.unit) {
            continue;
        }
        if !list.contains(&change.unit) {
            return Err(Refusal::new(Reason::UnitUnknown, format!("{} in {}", change.unit, set.units_version)));
        }
        if !list.is_within(&change.unit, author.unit()) {
            return Err(Refusal::new(Reason::OutOfScope, format!("{} writes about {}", author.id(), change.unit)));
        }
        last = Some(&change.unit);
    }
    Ok(())
}

fn check_mail(log: &LogId, author: &NodeId, to: &NodeId, directory: &Directory) -> Result<(), Refusal> {
    if directory.was_above(author, to) {
        return Ok(());
    }
    Err(Refusal::new(Reason::OutOfScope, format!("{log}: mail goes down")))
}

fn check_directory(
    set: &ChangeSet,
    signers: &[Fingerprint],
    author: &Node,
    directory: &Directory,
) -> Result<(), Refusal> {
    let denied =
        |why: &str| Err(Refusal::new(Reason::OutOfScope, format!("{} entry {}: {why}", set.log, set.sequence)));
    // Who is spoken of may not have been heard of yet, so that the units alone are asked. Whether the word counts is judged with the node.
    let is_over = |node: &NodeId| directory.units().is_over(author.unit(), &node.unit());
    let speaks_below = |node: &NodeId, why: &str| match directory.units().get(&set.units_version) {
        _ if is_over(node) => Ok(()),
        Some(_) => denied(why),
        // A list that is on its way may put the one unit below the other.
        None => Err(Refusal::new(Reason::UnitsVersionUnknown, set.units_version.clone())),
    };
    for change in &set.changes {
        match &change.body {
            Body::Genesis(_) if set.sequence == 0 && author.id() == directory.root() => {}
            Body::Genesis(_) => return denied("a genesis stands first in the anchor's log"),
            Body::UnitsPublished(_) | Body::UnitsReorganised(_) | Body::PolicyPublished(_)
                if author.id() != directory.root() =>
            {
                return denied("only the anchor's node publishes");
            }
            Body::NodeEnrolled(child) => {
                check_enrolment(change, set, author, directory)?;
                if child.node != NodeId::new(&child.unit, &child.log_public_key) {
                    return denied("the node id does not fit its unit and key");
                }
                if child.former.iter().any(|(log, _)| *log.stream() != Stream::Directory) {
                    return denied("former parents are named by their directory logs");
                }
            }
            Body::NodeRevoked(revoked) => speaks_below(&revoked.node, "only a node above revokes")?,
            Body::NodeRekeyed(rekeyed) if rekeyed.node == *author.id() => {
                let own = rekeyed.from.iter().find(|(log, _)| *log == set.log);
                if own.is_none_or(|(_, size)| *size != set.sequence + 1) {
                    return denied("a new key counts from the entry after the one that announces it");
                }
                // Its envelope is signed by both keys: `envelope::open` lets a key that nobody enrolled pass only so.
                if !signers.contains(&Fingerprint::of_key(&rekeyed.log_public_key)) {
                    return denied("the new key did not sign its announcement");
                }
            }
            Body::NodeRekeyed(rekeyed) => {
                speaks_below(&rekeyed.node, "a key is changed by its node, or vouched for by a node above")?;
            }
            Body::RulesPublished(rules) => {
                let Some(list) = directory.units().get(&rules.units_version) else {
                    return Err(Refusal::new(Reason::UnitsVersionUnknown, rules.units_version.clone()));
                };
                if rules.settings.iter().any(|setting| !list.is_within(&setting.unit, author.unit())) {
                    return denied("rules are set for units of the author and below it");
                }
            }
            Body::ForkDecided(decided) => {
                speaks_below(decided.log.node(), "only a node above decides about a log with two histories")?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_enrolment(change: &Change, set: &ChangeSet, author: &Node, directory: &Directory) -> Result<(), Refusal> {
    let Body::NodeEnrolled(child) = &change.body else { return Ok(()) };
    let Some(list) = directory.units().get(&set.units_version) else {
        return Err(Refusal::new(Reason::UnitsVersionUnknown, set.units_version.clone()));
    };
    if !list.contains(&child.unit) {
        return Err(Refusal::new(Reason::UnitUnknown, format!("{} in {}", child.unit, set.units_version)));
    }
    if !list.is_within(&child.unit, author.unit()) || child.unit == *author.unit() {
        return Err(Refusal::new(Reason::OutOfScope, format!("{} enrols a node for {}", author.id(), child.unit)));
    }
    Ok(())
}

/// A node that has a place is enrolled by its parent, by one above that, which takes it over, or by one between: seen from who took it over,
/// that is the older enrolment. Whose parent was revoked may go to the successor, and what the parent wrote before its end may be heard after that.
fn check_children(set: &ChangeSet, author: &Node, directory: &Directory) -> Result<(), Refusal> {
    if author.is_revoked() {
        return Ok(());
    }
    for change in &set.changes {
        let Body::NodeEnrolled(child) = &change.body else { continue };
        let Some(known) = directory.node(&child.node).filter(|known| known.has_place()) else { continue };
        let is_in_line = |parent: &NodeId| {
            parent == author.id()
                || directory.was_above(author.id(), parent)
                || directory.was_above(parent, author.id())
                || directory.node(parent).is_some_and(Node::is_revoked)
        };
        if !known.parent().is_some_and(is_in_line) {
            return Err(Refusal::new(Reason::OutOfScope, format!("{} has a parent already", child.node)));
        }
    }
    Ok(())
}

/// Rules come from above: nobody switches off what its own records are doubted by. Above the root is nobody.
fn check_rules(set: &ChangeSet, author: &Node, directory: &Directory) -> Result<(), Refusal> {
    if author.id() == directory.root() {
        return Ok(());
    }
    for change in &set.changes {
        let Body::RulesPublished(rules) = &change.body else { continue };
        if let Some(own) = rules.settings.iter().find(|setting| setting.unit == *author.unit()) {
            let (by, unit, rule) = (author.id(), author.unit(), &own.rule);
            let detail = format!("{by} sets rule {rule} for its own unit {unit}: only a node above may, or the root");
            return Err(Refusal::new(Reason::OutOfScope, detail));
        }
    }
    Ok(())
}

/// Everything said about a node is judged again with each further word.
fn check_words(set: &ChangeSet, author: &Node, directory: &Directory) -> Result<(), Refusal> {
    let settings = set.changes.iter().map(|change| match &change.body {
        Body::RulesPublished(rules) => rules.settings.len(),
        _ => 0,
    });
    let settings = settings.sum::<usize>();
    if settings > 0 && settings + directory.rule_words(author.id()) > limits::RULE_WORDS_MAX {
        let detail =
            format!("{} entry {} sets rules; {} settings at most", set.log, set.sequence, limits::RULE_WORDS_MAX);
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    let mut words: BTreeMap<(&NodeId, About), usize> = BTreeMap::new();
    for change in &set.changes {
        let (node, about) = match &change.body {
            Body::NodeRekeyed(rekeyed) => (&rekeyed.node, About::Keys),
            Body::NodeRevoked(revoked) => (&revoked.node, About::End),
            Body::ForkDecided(decided) => (decided.log.node(), About::Forks),
            _ => continue,
        };
        let said = words.entry((node, about)).or_insert_with(|| directory.words(author.id(), node, about));
        *said += 1;
        if *said > limits::WORDS_MAX {
            let about = match about {
                About::Keys => "keys",
                About::End => "the end",
                About::Forks => "logs with two histories",
            };
            let (log, at, by) = (&set.log, set.sequence, author.id());
            let detail = format!(
                "{log} entry {at} is word {said} of {by} about {about} of {node}; {} at most",
                limits::WORDS_MAX
            );
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
