//! Proof files: one entry with everything that is needed to check it from the anchor's fingerprint alone, with no node at hand.
//!
//! What holds after [`check`]: the anchor's key began the federation, each node on the way enrolled the next one in its own
//! directory, and the last one signed the entry and a tree head that contains it. What a file cannot show is what it does not
//! contain: that the log grew since, or that a node was revoked. This room does not know units: whether an author may write about
//! a place is checked by the nodes that take the entry.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;

use crate::change::{Body, ChangeSet};
use crate::checkpoint::{self, SignedNote};
use crate::envelope::{self, Envelope, Keys, Opened, PublicKey};
use crate::ids::{Fingerprint, LogId, NodeId, Stream};
use crate::limits;
use crate::merkle::{self, Hash};
use crate::pb::exchange::v1 as pb;
use crate::refusal::{Reason, Refusal};
use crate::wire;

mod heads;

pub use heads::ProvenHead;

/// First line of a proof file; the message follows.
pub const MAGIC: &[u8] = b"danso-proof-v1\n";

/// A proof file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    /// The genesis entry, then for each node on the way down the entry that enrols it, and entries that change its key.
    pub chain: Vec<ProvenEntry>,
    /// What is proven.
    pub entry: ProvenEntry,
    /// Further checkpoints that cover the entry, with receipts that were given at other sizes of the log.
    pub further: Vec<ProvenHead>,
}

/// An entry with its place in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenEntry {
    /// Verbatim envelope bytes.
    pub envelope: Bytes,
    /// Position in the log.
    pub sequence: u64,
    /// A checkpoint of the log that covers the position: a signed note, with the receipts that are known.
    pub checkpoint: String,
    /// Inclusion proof of the entry in the checkpoint's tree.
    pub inclusion: Vec<Hash>,
}

impl ProofFile {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let message = pb::ProofFile {
            chain: self.chain.iter().map(ProvenEntry::to_pb).collect(),
            entry: Some(self.entry.to_pb()),
            further: self.further.iter().map(ProvenHead::to_pb).collect(),
        };
        [MAGIC, &message.encode_to_vec()].concat()
    }

    /// Reads a file within its bounds. Nothing is verified: see [`check`].
    ///
    /// # Errors
    /// `malformed`, also for bytes that say more than this version reads: evidence counts as a whole or not at all. `too_large`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::PROOF_BYTES_MAX {
            let detail = format!(
                "proof file of {} bytes, {} at most; the logs themselves can be checked still: danso-admin log verify",
                bytes.len(),
                limits::PROOF_BYTES_MAX
            );
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let message = bytes.strip_prefix(MAGIC).ok_or_else(|| malformed("not a proof file"))?;
        check_chain_length(message)?;
        if wire::count(message, 3).is_none_or(|further| further > limits::PROOF_FURTHER_MAX) {
            return Err(Refusal::new(
                Reason::TooLarge,
                "more further checkpoints than there can be nodes above the author",
            ));
        }
        let message =
            pb::ProofFile::decode(Bytes::copy_from_slice(message)).map_err(|_| malformed("not a proof file"))?;
        let entry = message.entry.ok_or_else(|| malformed("a proof file without entry"))?;
        let file = Self {
            chain: message.chain.into_iter().map(ProvenEntry::from_pb).collect::<Result<_, _>>()?,
            entry: ProvenEntry::from_pb(entry)?,
            further: message.further.into_iter().map(ProvenHead::from_pb).collect::<Result<_, _>>()?,
        };
        if file.encode() != bytes {
            return Err(malformed("the file was changed, or says more than this version reads"));
        }
        Ok(file)
    }
}

impl ProvenEntry {
    pub(crate) fn to_pb(&self) -> pb::ProvenEntry {
        pb::ProvenEntry {
            envelope: self.envelope.clone(),
            sequence: self.sequence,
            checkpoint: self.checkpoint.clone(),
            inclusion: hashes_to_pb(&self.inclusion),
        }
    }

    pub(crate) fn from_pb(entry: pb::ProvenEntry) -> Result<Self, Refusal> {
        Ok(Self {
            envelope: entry.envelope,
            sequence: entry.sequence,
            checkpoint: entry.checkpoint,
            inclusion: hashes_from_pb(&entry.inclusion)?,
        })
    }
}

fn hashes_to_pb(hashes: &[Hash]) -> Vec<Bytes> {
    hashes.iter().map(|hash| Bytes::copy_from_slice(hash)).collect()
}

fn hashes_from_pb(hashes: &[Bytes]) -> Result<Vec<Hash>, Refusal> {
    if hashes.len() > limits::PROOF_HASHES_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("inclusion proof of {} hashes", hashes.len())));
    }
    hashes.iter().map(|bytes| bytes[..].try_into().map_err(|_| malformed("a hash has 32 bytes"))).collect()
}

/// A chain is counted before it is read: the first field of a proof file and of an evidence file.
pub(crate) fn check_chain_length(message: &[u8]) -> Result<(), Refusal> {
    match wire::count(message, 1) {
        None | Some(0) => Err(malformed("no chain of entries, or not to be read")),
        Some(chain) if chain > limits::PROOF_CHAIN_MAX => {
            let detail = format!("a chain of {chain} entries; {} at most", limits::PROOF_CHAIN_MAX);
            Err(Refusal::new(Reason::TooLarge, detail))
        }
        Some(_) => Ok(()),
    }
}

/// What a proof file proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// What the entry says.
    pub change_set: ChangeSet,
    /// The log.
    pub log: LogId,
    /// Position of the entry.
    pub sequence: u64,
    /// Leaf hash of the entry.
    pub leaf_hash: Hash,
    /// Size of the log in the checkpoint that was checked.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Receipts by nodes of the chain that cover the entry: giver, and its time in seconds since the Unix epoch. One for each giver.
    pub receipts: Vec<(NodeId, u64)>,
    /// Givers of receipts that this file has no key for.
    pub unchecked: Vec<NodeId>,
    /// From the central node to the author.
    pub chain: Vec<NodeId>,
}

/// What the chain has established so far.
#[derive(Default)]
pub(crate) struct Known {
    by_print: BTreeMap<Fingerprint, PublicKey>,
    /// The keys of each node, oldest first.
    keys: BTreeMap<NodeId, Vec<PublicKey>>,
    /// Who enrolled a node; `None` for the central node.
    enroller: BTreeMap<NodeId, Option<NodeId>>,
}

impl Keys for Known {
    fn public_key(&self, keyid: &Fingerprint) -> Option<PublicKey> {
        self.by_print.get(keyid).copied()
    }
}

impl Known {
    fn add(&mut self, node: &NodeId, key: PublicKey) {
        self.by_print.insert(key.fingerprint(), key);
        self.keys.entry(node.clone()).or_default().push(key);
    }

    pub(crate) fn keys_of(&self, node: &NodeId) -> &[PublicKey] {
        self.keys.get(node).map_or(&[], |keys| keys)
    }

    /// Takes over what an entry of a directory says about keys.
    fn learn(&mut self, set: &ChangeSet) -> Result<(), Refusal> {
        let author = set.log.node();
        for change in &set.changes {
            match &change.body {
                Body::Genesis(genesis) if self.keys.is_empty() => {
                    self.enroller.insert(author.clone(), None);
                    self.add(author, PublicKey::new(genesis.log_public_key)?);
                }
                Body::NodeEnrolled(enrolled) if !self.keys.contains_key(&enrolled.node) => {
                    if NodeId::new(&enrolled.unit, &enrolled.log_public_key) != enrolled.node {
                        return Err(malformed("an enrolled node's id is not that of its unit and key"));
                    }
                    self.enroller.insert(enrolled.node.clone(), Some(author.clone()));
                    self.add(&enrolled.node, PublicKey::new(enrolled.log_public_key)?);
                }
                // Both keys signed it: `envelope::open` saw to that for a key that was not known.
                Body::NodeRekeyed(rekeyed) if rekeyed.node == *author => {
                    self.add(author, PublicKey::new(rekeyed.log_public_key)?);
                }
                // The old key was lost, and a node above vouches for the new one.
                Body::NodeRekeyed(rekeyed) if self.chain_to(&rekeyed.node).contains(author) => {
                    self.add(&rekeyed.node, PublicKey::new(rekeyed.log_public_key)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// From the central node to `node`. Every enroller was known before whom it enrolled, so that this ends.
    pub(crate) fn chain_to(&self, node: &NodeId) -> Vec<NodeId> {
        let mut chain = vec![node.clone()];
        while let Some(Some(above)) = chain.last().and_then(|last| self.enroller.get(last)) {
            chain.push(above.clone());
        }
        chain.reverse();
        chain
    }
}

/// Checks a proof file against the anchor.
pub fn check(bytes: &[u8], anchor: &Fingerprint) -> Result<Proven, Refusal> {
    let file = ProofFile::decode(bytes)?;
    let mut known = establish(&file.chain, anchor)?;
    let opened = open(&known, &file.entry)?;
    known.learn(opened.change_set())?;
    let note = place(&known, &file.entry, &opened)?;
    let author = opened.change_set().log.node().clone();
    let chain = known.chain_to(&author);
    let (mut receipts, unchecked) = receipts(&known, &note, &chain, &author)?;
    for head in &file.further {
        receipts.extend(head.check(&known, &opened, &chain)?);
    }
    receipts.sort();
    if receipts.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Refusal::new(Reason::ReceiptInvalid, "several receipts of one giver"));
    }
    let head = note.unverified().clone();
    let leaf_hash = opened.leaf_hash();
    let (_, change_set, _) = opened.into_inner();
    Ok(Proven {
        log: head.log,
        sequence: change_set.sequence,
        leaf_hash,
        size: head.size,
        root: head.root,
        receipts,
        unchecked,
        chain,
        change_set,
    })
}

/// What the entries of a chain establish, from the genesis on.
pub(crate) fn establish(chain: &[ProvenEntry], anchor: &Fingerprint) -> Result<Known, Refusal> {
    let mut known = Known::default();
    let [first, rest @ ..] = chain else {
        return Err(malformed("a file without chain"));
    };
    let genesis = envelope::open_genesis(Envelope::decode(first.envelope.clone())?, *anchor)?;
    // All keys are learnt before a checkpoint is looked at: a log's checkpoint is signed with the key that its author has now, which a later
    // entry may bring. What an entry says about keys counts by its envelope's signature; nothing is said to hold before everything is checked.
    known.learn(genesis.change_set())?;
    let mut opened = vec![genesis];
    for entry in rest {
        let next = open(&known, entry)?;
        if *next.change_set().log.stream() != Stream::Directory {
            return Err(malformed("an entry of the chain is not in a directory"));
        }
        known.learn(next.change_set())?;
        opened.push(next);
    }
    for (entry, opened) in chain.iter().zip(&opened) {
        place(&known, entry, opened)?;
    }
    Ok(known)
}

/// Opens an entry with what is known, and checks that its author signed it.
fn open(known: &Known, entry: &ProvenEntry) -> Result<Opened, Refusal> {
    let opened = envelope::open(Envelope::decode(entry.envelope.clone())?, None, known)?;
    let author = opened.change_set().log.node();
    let own = |key: PublicKey| known.keys_of(author).contains(&key);
    if !opened.signers().iter().filter_map(|signer| known.public_key(signer)).any(own) {
        return Err(Refusal::new(
            Reason::KeyNotEnrolled,
            format!("no key of {author} signed {}", opened.change_set().log),
        ));
    }
    Ok(opened)
}

/// Checks the author's checkpoint, and that it contains the entry.
fn place(known: &Known, entry: &ProvenEntry, opened: &Opened) -> Result<SignedNote, Refusal> {
    let set = opened.change_set();
    let refused = |why: String| Refusal::new(Reason::CheckpointInvalid, why);
    if set.sequence != entry.sequence {
        return Err(refused(format!("the file says position {}, the entry {}", entry.sequence, set.sequence)));
    }
    covers(known, &entry.checkpoint, &entry.inclusion, opened)
}

/// Checks a checkpoint by the entry's author, and that it contains the entry.
fn covers(known: &Known, checkpoint: &str, inclusion: &[Hash], opened: &Opened) -> Result<SignedNote, Refusal> {
    let set = opened.change_set();
    let refused = |why: String| Refusal::new(Reason::CheckpointInvalid, why);
    let note = checkpoint::parse(checkpoint)?;
    let head = note.unverified();
    if head.log != set.log {
        return Err(refused(format!("the checkpoint is of {}, the entry in {}", head.log, set.log)));
    }
    let author = set.log.node();
    let mut verified = Err(refused(format!("no key of {author} is known")));
    for key in known.keys_of(author).iter().rev() {
        verified = note.verify(author, key);
        if verified.is_ok() {
            break;
        }
    }
    let head = verified?;
    merkle::verify_inclusion(opened.leaf_hash(), set.sequence, head.size, inclusion, &head.root)
        .map_err(|e| refused(format!("entry {} of {}: {e}", set.sequence, set.log)))?;
    Ok(note)
}

type Receipts = (Vec<(NodeId, u64)>, Vec<NodeId>);

/// The receipts of the nodes above the author; a wrong one refuses the file, as signed-note recommends.
fn receipts(known: &Known, note: &SignedNote, chain: &[NodeId], author: &NodeId) -> Result<Receipts, Refusal> {
    let (mut checked, mut unchecked) = (Vec::new(), Vec::new());
    for giver in note.givers().into_iter().collect::<BTreeSet<_>>() {
        let key = known.keys_of(&giver).iter().rev().find(|key| note.has_cosignature_by(&giver, key));
        match key.filter(|_| giver != *author && chain.contains(&giver)) {
            Some(key) => checked.push((giver.clone(), checkpoint::verify_cosignature(note, &giver, key)?)),
            None => unchecked.push(giver),
        }
    }
    Ok((checked, unchecked))
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Reason::Malformed, detail)
}

#[cfg(test)]
mod tests;
