//! Evidence files: two statements about one log, each signed with its author's key, that cannot both be true; checked from the anchor's
//! fingerprint alone, with no node at hand.
//!
//! What holds after [`check`]: the author's key signed two histories of one log. Who did it, and which of the two is right, no file can
//! show: a disk that was copied, a backup that was put back and a stolen key leave the same traces. This room does not know what is
//! done about it.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::change::Body;
use crate::checkpoint::{self, Checkpoint};
use crate::envelope::{self, Envelope, Keys, Opened, PublicKey};
use crate::ids::{Fingerprint, LogId, NodeId, Stream};
use crate::limits;
use crate::merkle::{self, Hash};
use crate::pb::exchange::v1 as pb;
use crate::proof::{self, Known, ProvenEntry};
use crate::refusal::{Reason, Refusal};

/// First line of an evidence file; the message follows.
pub const MAGIC: &[u8] = b"danso-evidence-v1\n";

/// An evidence file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceFile {
    /// The genesis entry, then for each node on the way down the entry that enrols it, and entries that change its key; their
    /// checkpoints are bare ([`checkpoint::SignedNote::bare`]).
    pub chain: Vec<ProvenEntry>,
    /// What contradicts itself.
    pub contradiction: Contradiction,
}

/// Something that the author of a log signed about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A checkpoint with its author's signature and no other line.
    Checkpoint(String),
    /// Verbatim envelope bytes of an entry.
    Entry(Bytes),
}

/// Two statements about one log, and what shows that they contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// What is kept by the node that saw it.
    pub ours: Statement,
    /// What was shown to it.
    pub theirs: Statement,
    /// Between checkpoints of different sizes: the root that the larger one's tree has at the smaller one's size, and the consistency
    /// proof from there to the larger one's root.
    pub growth: Option<(Hash, Vec<Hash>)>,
}

/// In which way two statements contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two checkpoints of one size with different roots.
    Roots,
    /// Two checkpoints of different sizes: the larger tree did not grow out of the smaller one.
    Growth,
    /// Two entries that say different things at one place.
    Entries,
    /// Two entries, one behind the other, of which the later one names another before it.
    Links,
    /// A change of keys that says how much of the log the key before signs, and an entry behind that by the key before.
    Keys,
}

impl Kind {
    /// The word for programs and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Roots => "roots",
            Self::Growth => "growth",
            Self::Entries => "entries",
            Self::Links => "links",
            Self::Keys => "keys",
        }
    }
}

/// What a statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Entries of the log up to which it speaks: a checkpoint's size, an entry's sequence and one, of a change of keys in another log the size up
    /// to which the key before signs this one.
    pub size: u64,
    /// A checkpoint's root, an entry's leaf hash.
    pub hash: Hash,
}

/// A contradiction that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradicted {
    /// The log.
    pub log: LogId,
    /// In which way.
    pub kind: Kind,
    /// What is kept by the node that saw it.
    pub ours: Said,
    /// What was shown to it.
    pub theirs: Said,
    /// At this many entries the histories differ for certain; they may differ earlier.
    pub differ: u64,
    /// Up to this many entries they agree for certain, when the statements tell: entries at one place that name the same one before them.
    pub agree: Option<u64>,
}

/// What an evidence file proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// What contradicts itself.
    pub contradicted: Contradicted,
    /// From the central node to the author.
    pub chain: Vec<NodeId>,
    /// What a `ForkDecided` names: [`Contradiction::digest`].
    pub digest: Hash,
}

/// Who may say which key is whose.
pub trait Authors: Keys {
    /// The keys that the node has and had.
    fn keys_of(&self, node: &NodeId) -> Vec<PublicKey>;
}

impl Authors for Known {
    fn keys_of(&self, node: &NodeId) -> Vec<PublicKey> {
        Self::keys_of(self, node).to_vec()
    }
}

impl EvidenceFile {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let message = pb::EvidenceFile {
            chain: self.chain.iter().map(ProvenEntry::to_pb).collect(),
            contradiction: Some(self.contradiction.to_pb()),
        };
        [MAGIC, &message.encode_to_vec()].concat()
    }

    /// Reads a file within its bounds. A file has one encoding: whatever else stands in it is refused. Nothing is verified: see
    /// [`check`].
    ///
    /// # Errors
    /// `too_large`, `malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::EVIDENCE_BYTES_MAX {
            let detail = format!("evidence file of {} bytes, {} at most", bytes.len(), limits::EVIDENCE_BYTES_MAX);
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let message = bytes.strip_prefix(MAGIC).ok_or_else(|| malformed("not an evidence file"))?;
        proof::check_chain_length(message)?;
        let message =
            pb::EvidenceFile::decode(Bytes::copy_from_slice(message)).map_err(|_| malformed("not an evidence file"))?;
        let contradiction = message.contradiction.ok_or_else(|| malformed("an evidence file without statements"))?;
        let file = Self {
            chain: message.chain.into_iter().map(ProvenEntry::from_pb).collect::<Result<_, _>>()?,
            contradiction: Contradiction::from_pb(contradiction)?,
        };
        if file.encode() != bytes {
            return Err(malformed("an evidence file with something else in it"));
        }
        Ok(file)
    }
}

impl Contradiction {
    /// The bytes, as they are kept and as their SHA-256 names them.
    pub fn encode(&self) -> Vec<u8> {
        self.to_pb().encode_to_vec()
    }

    /// Reads what [`Contradiction::encode`] wrote.
    ///
    /// # Errors
    /// `malformed`, `too_large`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let message = pb::Contradiction::decode(bytes).map_err(|_| malformed("not two statements"))?;
        Self::from_pb(message)
    }

    /// SHA-256 of [`Contradiction::encode`]: what a decision names. The chain of trust is not in it, because it is put together anew
    /// whenever a file is written.
    pub fn digest(&self) -> Hash {
        Sha256::digest(self.encode()).into()
    }

    fn to_pb(&self) -> pb::Contradiction {
        let (root, consistency) = match &self.growth {
            Some((root, proof)) => {
                (Bytes::copy_from_slice(root), proof.iter().map(|hash| Bytes::copy_from_slice(hash)).collect())
            }
            None => (Bytes::new(), Vec::new()),
        };
        pb::Contradiction { ours: Some(self.ours.to_pb()), theirs: Some(self.theirs.to_pb()), root, consistency }
    }

    fn from_pb(message: pb::Contradiction) -> Result<Self, Refusal> {
        let pb::Contradiction { ours: Some(ours), theirs: Some(theirs), root, consistency } = message else {
            return Err(malformed("evidence is two statements"));
        };
        if consistency.len() > limits::PROOF_HASHES_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("consistency proof of {} hashes", consistency.len())));
        }
        let hash = |bytes: &Bytes| bytes[..].try_into().map_err(|_| malformed("a hash has 32 bytes"));
        let growth = match root.is_empty() {
            true if consistency.is_empty() => None,
            true => return Err(malformed("a consistency proof without a root")),
            false => Some((hash(&root)?, consistency.iter().map(hash).collect::<Result<_, Refusal>>()?)),
        };
        Ok(Self { ours: Statement::from_pb(ours)?, theirs: Statement::from_pb(theirs)?, growth })
    }
}

impl Statement {
    fn to_pb(&self) -> pb::Statement {
        use pb::statement::Body;
        let body = match self {
            Self::Checkpoint(text) => Body::Checkpoint(text.clone()),
            Self::Entry(envelope) => Body::Envelope(envelope.clone()),
        };
        pb::Statement { body: Some(body) }
    }

    fn from_pb(statement: pb::Statement) -> Result<Self, Refusal> {
        use pb::statement::Body;
        match statement.body {
            Some(Body::Checkpoint(text)) => Ok(Self::Checkpoint(text)),
            Some(Body::Envelope(envelope)) => Ok(Self::Entry(envelope)),
            None => Err(malformed("a statement of a kind that is not known")),
        }
    }
}

/// Checks an evidence file against the anchor.
///
/// # Errors
/// What refuses a proof file's chain; `checkpoint_invalid`, `signature_invalid`, `key_not_enrolled` for a statement that the author did not
/// sign; `no_contradiction` when both statements can be true.
pub fn check(bytes: &[u8], anchor: &Fingerprint) -> Result<Proven, Refusal> {
    let file = EvidenceFile::decode(bytes)?;
    let known = proof::establish(&file.chain, anchor)?;
    for entry in &file.chain {
        // Receipts would prove nothing here, and what is not checked has no place in evidence.
        if !checkpoint::parse(&entry.checkpoint)?.is_bare() {
            return Err(malformed("a checkpoint of the chain has lines beside its author's"));
        }
    }
    let contradicted = weigh(&file.contradiction, &known)?;
    let chain = known.chain_to(contradicted.log.node());
    Ok(Proven { contradicted, chain, digest: file.contradiction.digest() })
}

/// Checks both statements' signatures, and that they cannot both be true.
///
/// # Errors
/// `checkpoint_invalid`, `signature_invalid`, `key_not_enrolled`; `no_contradiction`.
pub fn weigh(contradiction: &Contradiction, authors: &dyn Authors) -> Result<Contradicted, Refusal> {
    let Contradiction { ours, theirs, growth } = contradiction;
    match (ours, theirs) {
        (Statement::Checkpoint(ours), Statement::Checkpoint(theirs)) => {
            checkpoints(signed(ours, authors)?, signed(theirs, authors)?, growth.as_ref())
        }
        (Statement::Entry(ours), Statement::Entry(theirs)) if growth.is_none() => {
            entries(&opened(ours, authors)?, &opened(theirs, authors)?)
        }
        (Statement::Entry(_), Statement::Entry(_)) => Err(malformed("entries need no consistency proof")),
        _ => Err(malformed("a checkpoint beside an entry")),
    }
}

fn checkpoints(
    ours: Checkpoint,
    theirs: Checkpoint,
    growth: Option<&(Hash, Vec<Hash>)>,
) -> Result<Contradicted, Refusal> {
    if ours.log != theirs.log {
        return Err(agree("the checkpoints are of two logs"));
    }
    let (old, new) = if ours.size < theirs.size { (&ours, &theirs) } else { (&theirs, &ours) };
    let kind = match growth {
        None if old.size != new.size => {
            return Err(agree("of checkpoints of two sizes nothing shows that they differ"));
        }
        None if old.root == new.root => return Err(agree("the checkpoints are of one tree")),
        None => Kind::Roots,
        Some(_) if old.size == new.size => return Err(malformed("checkpoints of one size need no consistency proof")),
        Some((root, proof)) => {
            merkle::verify_consistency(old.size, root, new.size, &new.root, proof)
                .map_err(|e| Refusal::new(Reason::CheckpointInvalid, format!("the consistency proof: {e}")))?;
            if *root == old.root {
                return Err(agree("the larger tree grew out of the smaller one"));
            }
            Kind::Growth
        }
    };
    let said = |head: &Checkpoint| Said { size: head.size, hash: head.root };
    let (ours_said, theirs_said, differ) = (said(&ours), said(&theirs), old.size);
    Ok(Contradicted { kind, ours: ours_said, theirs: theirs_said, differ, agree: None, log: ours.log })
}

fn entries(ours: &Opened, theirs: &Opened) -> Result<Contradicted, Refusal> {
    let (a, b) = (ours.change_set(), theirs.change_set());
    if a.log != b.log {
        return given_up(ours, theirs);
    }
    let (earlier, later) = if a.sequence < b.sequence { (ours, theirs) } else { (theirs, ours) };
    let (first, second) = (earlier.change_set().sequence, later.change_set().sequence);
    let (kind, differ, agrees) = if first == second {
        // The same payload twice is one statement: whoever drops one of two signatures has not made another history.
        if ours.envelope().payload() == theirs.envelope().payload() {
            return Err(agree("both entries say the same"));
        }
        // Each names the one before it: when they do not name the same, the histories have parted there already.
        match a.previous == b.previous {
            true => (Kind::Entries, first + 1, Some(first)),
            false => (Kind::Entries, first, None),
        }
    } else if first + 1 == second {
        if later.change_set().previous == Some(earlier.leaf_hash()) {
            return Err(agree("one entry follows the other"));
        }
        (Kind::Links, second, None)
    } else {
        return Err(agree("the entries are at places that have nothing to do with each other"));
    };
    let said = |entry: &Opened| Said { size: entry.change_set().sequence + 1, hash: entry.leaf_hash() };
    Ok(Contradicted { log: a.log.clone(), kind, ours: said(ours), theirs: said(theirs), differ, agree: agrees })
}

/// Two entries in two logs of one node, one of which says that a key signs the other log no further than where it signed the other entry.
fn given_up(ours: &Opened, theirs: &Opened) -> Result<Contradicted, Refusal> {
    let (change, entry) =
        if *ours.change_set().log.stream() == Stream::Directory { (ours, theirs) } else { (theirs, ours) };
    let (set, other) = (change.change_set(), entry.change_set());
    let node = set.log.node();
    let is_change = *set.log.stream() == Stream::Directory && *other.log.node() == *node;
    let mut rekeyed = set.changes.iter().filter(|_| is_change).filter_map(|change| match &change.body {
        Body::NodeRekeyed(rekeyed) if rekeyed.node == *node => Some(rekeyed),
        _ => None,
    });
    // What is said last rules. A log that is not named did not exist.
    let rekeyed = rekeyed.next_back().ok_or_else(|| agree("the entries are in two logs"))?;
    let from = rekeyed.from.iter().rfind(|(log, _)| *log == other.log).map_or(0, |(_, from)| *from);
    let next = Fingerprint::of_key(&rekeyed.log_public_key);
    let by_both = change.signers().contains(&next) && !entry.signers().contains(&next);
    if !by_both || !entry.signers().iter().any(|print| change.signers().contains(print)) {
        return Err(agree("the entry is not by the key that the change of keys ends"));
    }
    if other.sequence < from {
        return Err(agree("the entry stands before the change of keys"));
    }
    let differ = other.sequence + 1;
    let (change, entry) =
        (Said { size: from, hash: change.leaf_hash() }, Said { size: differ, hash: entry.leaf_hash() });
    let (ours, theirs) = if ours.change_set().log == other.log { (entry, change) } else { (change, entry) };
    Ok(Contradicted { log: other.log.clone(), kind: Kind::Keys, ours, theirs, differ, agree: None })
}

/// Reads a checkpoint that its log's author signed.
fn signed(text: &str, authors: &dyn Authors) -> Result<Checkpoint, Refusal> {
    let note = checkpoint::parse(text)?;
    if !note.is_bare() {
        return Err(malformed("a checkpoint with lines beside its author's"));
    }
    let author = note.unverified().log.node().clone();
    let mut refused = Refusal::new(Reason::KeyNotEnrolled, format!("no key of {author} is known"));
    for key in authors.keys_of(&author).iter().rev() {
        match note.verify(&author, key) {
            Ok(head) => return Ok(head),
            Err(refusal) => refused = refusal,
        }
    }
    Err(refused)
}

/// Opens an entry that its log's author signed.
fn opened(envelope: &Bytes, authors: &dyn Authors) -> Result<Opened, Refusal> {
    let opened = envelope::open(Envelope::decode(envelope.clone())?, None, &Through(authors))?;
    let author = opened.change_set().log.node();
    if !authors.keys_of(author).iter().any(|key| opened.signers().contains(&key.fingerprint())) {
        let detail = format!("no key of {author} signed an entry of {}", opened.change_set().log);
        return Err(Refusal::new(Reason::KeyNotEnrolled, detail));
    }
    // The last place of all has no successor, and nobody ever gets there.
    if opened.change_set().sequence == u64::MAX {
        return Err(malformed("a sequence past the end of all numbers"));
    }
    Ok(opened)
}

struct Through<'a>(&'a dyn Authors);

impl Keys for Through<'_> {
    fn public_key(&self, keyid: &Fingerprint) -> Option<PublicKey> {
        self.0.public_key(keyid)
    }
}

fn agree(why: &str) -> Refusal {
    Refusal::new(Reason::NoContradiction, why)
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Reason::Malformed, detail)
}

#[cfg(test)]
mod tests;
