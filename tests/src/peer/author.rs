//! Somebody who seals entries of a log outside of any node, right ones and wrong ones.

use std::sync::Arc;

use danso_core::ledger::{Draft, LogHead, Sealing, seal};
use danso_core::verify::Position;
use danso_proto::change::{Body, Change, ChangeSet, PersonEnrolled, Sex};
use danso_proto::checkpoint::{self, Checkpoint};
use danso_proto::envelope::{CHANGE_SET_TYPE, Envelope, Signer};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, LogId};
use danso_proto::merkle::{CompactTree, Hash};
use danso_proto::package::{Package, SealedEntry};
use danso_proto::pb::exchange::v1 as pb;
use prost::Message as _;

use super::unit;
use crate::federation::UNITS_VERSION;

/// 31 December 2021 in Viet Nam: what the authors' clocks show.
const NOW_MS: i64 = 1_640_883_600_000;

/// A change with its identity part.
pub type Said = (Change, Option<IdentityPart>);

/// Who writes a log, and how far it is. A clone is another history of the same log.
#[derive(Clone)]
pub struct Author {
    /// The log.
    pub log: LogId,
    /// What it signs with.
    pub signer: Arc<dyn Signer>,
    /// Where the next entry goes.
    pub position: Position,
    /// The unit list that it names.
    pub units_version: String,
    tree: CompactTree,
    /// Makes ids and salts differ.
    turn: u8,
}

impl Author {
    pub(super) fn new(log: LogId, signer: Arc<dyn Signer>) -> Self {
        let position = LogHead::default().position();
        Self { log, signer, position, units_version: UNITS_VERSION.into(), tree: CompactTree::default(), turn: 0 }
    }

    /// Seals the next entry; the log grows by it.
    pub fn entry(&mut self, said: Vec<Said>) -> SealedEntry {
        self.turn += 1;
        let (changes, parts) = said.into_iter().unzip();
        let draft = Draft { first_id: ChangeId::first(NOW_MS as u64, [self.turn; 6]), changes, parts };
        let sealing = Sealing {
            log: &self.log,
            position: self.position,
            recorded_at_ms: NOW_MS,
            units_version: &self.units_version,
            salt_seed: [self.turn; 32],
            signer: &*self.signer,
        };
        let (envelope, parts) = seal(draft, &sealing).expect("the story's changes keep the bounds");
        self.grow(envelope.leaf_hash());
        SealedEntry { envelope: envelope.bytes().clone(), parts }
    }

    /// Seals a payload of the story's making as the next entry.
    pub fn entry_of(&mut self, payload_type: &str, payload: &[u8]) -> SealedEntry {
        let envelope = Envelope::seal(payload_type, payload, &[&*self.signer]).expect("it is sealed");
        self.grow(envelope.leaf_hash());
        SealedEntry { envelope: envelope.bytes().clone(), parts: None }
    }

    /// The next entry with a change of a kind that no version knows yet.
    pub fn entry_of_the_future(&mut self, about: &str) -> SealedEntry {
        self.turn += 1;
        let (mut change, _) = person(about, 198_001);
        change.body = Body::Unknown;
        let set = ChangeSet {
            log: self.log.clone(),
            sequence: self.position.size,
            previous: self.position.last_leaf,
            recorded_at_ms: NOW_MS,
            units_version: self.units_version.clone(),
            first_id: ChangeId::first(NOW_MS as u64, [self.turn; 6]),
            changes: vec![change],
        };
        self.entry_of(CHANGE_SET_TYPE, &of_the_future(&set))
    }

    /// Without the log growing: what it would be if it did.
    pub fn aside<T>(&self, make: impl FnOnce(&mut Author) -> T) -> T {
        make(&mut self.clone())
    }

    /// A package of entries, with a checkpoint for where the author stands if wanted.
    pub fn package(&self, first: u64, entries: Vec<SealedEntry>, with_checkpoint: bool) -> Package {
        let checkpoint = with_checkpoint.then(|| self.checkpoint());
        Package { log: self.log.clone(), first, entries, checkpoint }
    }

    /// Its head, signed.
    pub fn head(&self) -> pb::Head {
        let (size, root) = (self.tree.size(), self.tree.root());
        pb::Head { log: self.log.to_string(), size, root: root.to_vec().into(), checkpoint: self.checkpoint() }
    }

    fn checkpoint(&self) -> String {
        let head = Checkpoint { log: self.log.clone(), size: self.tree.size(), root: self.tree.root() };
        checkpoint::sign(&head, &*self.signer).expect("a key signs")
    }

    fn grow(&mut self, leaf: Hash) {
        self.tree.push(leaf);
        self.position = Position { size: self.tree.size(), last_leaf: Some(leaf) };
    }
}

/// Somebody enrolled from a household book, with a name beside it.
pub fn person(about: &str, birth_month: u32) -> Said {
    let body = Body::PersonEnrolled(PersonEnrolled {
        household: None,
        sex: Sex::Female,
        birth_month,
        marital_status: None,
        method: None,
        resident_since: None,
    });
    let change = Change {
        unit: unit(about),
        hamlet: String::new(),
        event_date: None,
        reported_on: None,
        identity_commitment: None,
        body,
    };
    (change, Some(IdentityPart { full_name: "Vi Thị Mai".into(), ..Default::default() }))
}

/// The payload of a set of one change, with a field in the change that no version knows: its kind.
fn of_the_future(set: &ChangeSet) -> Vec<u8> {
    let mut message = pb::ChangeSet::decode(&*set.encode()).expect("a set of ours reads back");
    let mut change = message.changes.pop().expect("a set of one change").encode_to_vec();
    // Field 99, three bytes.
    change.extend_from_slice(&[0x9a, 0x06, 3, b'n', b'e', b'w']);
    let mut payload = message.encode_to_vec();
    // Field 7, the last of this set: it has no commitments.
    payload.extend_from_slice(&[0x3a, u8::try_from(change.len()).expect("a short change")]);
    payload.extend_from_slice(&change);
    payload
}
