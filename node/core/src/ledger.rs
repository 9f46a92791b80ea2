//! The ledger's rules: how a log grows and how an author seals the next entry. Where entries are kept is the store's business.

use bytes::Bytes;
use danso_proto::change::{Change, ChangeSet};
use danso_proto::checkpoint::Checkpoint;
use danso_proto::envelope::{self, CHANGE_SET_TYPE, Envelope, Opened, Signer};
use danso_proto::identity::{IdentityPart, PartSet, Salts, commitment, derive_salt};
use danso_proto::ids::{ChangeId, LogId};
use danso_proto::merkle::{CompactTree, Hash, ProofError};
use danso_proto::refusal::Refusal;

use crate::verify::{Position, Verified};

mod trial;
mod word;

pub use trial::{Ahead, Judged, Trial, repeated};
pub use word::check_word;

/// How far a log has grown: enough to append to it and to state its root.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogHead {
    tree: CompactTree,
    last_leaf: Option<Hash>,
}

impl LogHead {
    /// Reads back what the store kept.
    ///
    /// # Errors
    /// When the kept tree does not fit the size.
    pub fn restore(size: u64, tree: &[u8], last_leaf: Option<Hash>) -> Result<Self, ProofError> {
        Ok(Self { tree: CompactTree::from_bytes(size, tree)?, last_leaf })
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// RFC 6962 root.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Leaf hash of the last entry.
    pub fn last_leaf(&self) -> Option<Hash> {
        self.last_leaf
    }

    /// The right edge of the tree, for the store.
    pub fn tree_bytes(&self) -> Vec<u8> {
        self.tree.to_bytes()
    }

    /// Where the next entry belongs.
    pub fn position(&self) -> Position {
        Position { size: self.size(), last_leaf: self.last_leaf }
    }

    /// The tree head to sign.
    pub fn checkpoint(&self, log: &LogId) -> Checkpoint {
        Checkpoint { log: log.clone(), size: self.size(), root: self.root() }
    }
}

/// A verified entry at its place in its log. Made by [`append`] only.
#[derive(Debug)]
pub struct Entry {
    opened: Opened,
    leaf: Hash,
}

impl Entry {
    /// The log.
    pub fn log(&self) -> &LogId {
        &self.change_set().log
    }

    /// Position in the log.
    pub fn sequence(&self) -> u64 {
        self.change_set().sequence
    }

    /// What was signed.
    pub fn change_set(&self) -> &ChangeSet {
        self.opened.change_set()
    }

    /// The envelope, verbatim.
    pub fn envelope(&self) -> &Bytes {
        self.opened.envelope().bytes()
    }

    /// The identity parts that came with it.
    pub fn parts(&self) -> Option<&PartSet> {
        self.opened.parts()
    }

    /// RFC 6962 leaf hash.
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// Its changes with their ids, each with its identity part. One that is withheld, erased or unreadable is `None`.
    pub fn said(&self) -> impl Iterator<Item = (ChangeId, &Change, Option<IdentityPart>)> {
        // Parts stand in the order of the commitments.
        let mut parts = self.parts().map(|set| set.parts.iter());
        self.change_set().ids().map(move |(id, change)| {
            let part = change.identity_commitment.and_then(|_| parts.as_mut()?.next());
            (id, change, part.and_then(|bytes| IdentityPart::decode(bytes).ok()))
        })
    }
}

/// Puts a verified entry at the end of its log. `head` must be the head that the entry was verified against.
pub fn append(head: &mut LogHead, verified: Verified) -> Entry {
    let opened = verified.into_opened();
    let leaf = opened.leaf_hash();
    head.tree.push(leaf);
    head.last_leaf = Some(leaf);
    Entry { opened, leaf }
}

/// What an author wants to write: one change set, not yet in a log.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Id of the first change.
    pub first_id: ChangeId,
    /// The changes; commitments are set when it is sealed.
    pub changes: Vec<Change>,
    /// The identity part of each change.
    pub parts: Vec<Option<IdentityPart>>,
}

/// The author's circumstances when it seals.
pub struct Sealing<'a> {
    /// The log to write to, and where it stands.
    pub log: &'a LogId,
    /// See `log`.
    pub position: Position,
    /// Author's clock, milliseconds since the Unix epoch.
    pub recorded_at_ms: i64,
    /// Unit list that the codes belong to.
    pub units_version: &'a str,
    /// 32 fresh random bytes; the salts of the parts come from it.
    pub salt_seed: [u8; 32],
    /// The author's log key.
    pub signer: &'a dyn Signer,
}

/// A draft could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// An identity part breaks a bound.
    #[error("the draft cannot be sealed")]
    Refused(#[from] Refusal),
    /// The envelope could not be made.
    #[error("the change set cannot be sealed")]
    Envelope(#[from] envelope::SealError),
}

/// Signs a draft as the next entry of a log. The result goes through the same door as an entry from anybody else.
///
/// # Errors
/// When the draft breaks a bound, or the key does not sign.
pub fn seal(draft: Draft, with: &Sealing<'_>) -> Result<(Envelope, Option<PartSet>), SealError> {
    seal_by(draft, with, &[with.signer])
}

/// As [`seal`], signed by the author's next key, too: the entry that announces it.
///
/// # Errors
/// As [`seal`], and when both keys are the same.
pub fn seal_by_both(
    draft: Draft,
    with: &Sealing<'_>,
    next: &dyn Signer,
) -> Result<(Envelope, Option<PartSet>), SealError> {
    seal_by(draft, with, &[with.signer, next])
}

fn seal_by(
    draft: Draft,
    with: &Sealing<'_>,
    signers: &[&dyn Signer],
) -> Result<(Envelope, Option<PartSet>), SealError> {
    let Draft { first_id, mut changes, parts } = draft;
    let mut kept = Vec::with_capacity(parts.len());
    for (change, part) in changes.iter_mut().zip(parts) {
        let Some(part) = part else { continue };
        let bytes = part.encode()?;
        let salt = derive_salt(&with.salt_seed, kept.len() as u32);
        change.identity_commitment = Some(commitment(&salt, &bytes));
        kept.push(bytes);
    }
    let set = ChangeSet {
        log: with.log.clone(),
        sequence: with.position.size,
        previous: with.position.last_leaf,
        recorded_at_ms: with.recorded_at_ms,
        units_version: with.units_version.to_owned(),
        first_id,
        changes,
    };
    let envelope = Envelope::seal(CHANGE_SET_TYPE, &set.encode(), signers)?;
    let parts = (!kept.is_empty()).then_some(PartSet { salts: Salts::Seed(with.salt_seed), parts: kept });
    Ok((envelope, parts))
}
