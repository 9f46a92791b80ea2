//! From an envelope to what it says: signatures first, then the payload, then the parts beside it.

use bytes::Bytes;

use super::{ANSWER_TYPE, CHANGE_SET_TYPE, Envelope, Keys, PublicKey, malformed, pae};
use crate::change::{Body, ChangeSet};
use crate::identity::PartSet;
use crate::ids::{Fingerprint, NodeId, Stream};
use crate::limits;
use crate::merkle::Hash;
use crate::refusal::{Reason, Refusal};

/// A change set whose signatures fit, with the identity parts that fit its commitments. Whether its signers may write it, and
/// whether it has this place in this log, is for `danso-core::verify` to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    envelope: Envelope,
    change_set: ChangeSet,
    parts: Option<PartSet>,
    signers: Vec<Fingerprint>,
}

impl Opened {
    /// The envelope, with the exact bytes.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What it says.
    pub fn change_set(&self) -> &ChangeSet {
        &self.change_set
    }

    /// The identity parts; `None` when they were withheld altogether.
    pub fn parts(&self) -> Option<&PartSet> {
        self.parts.as_ref()
    }

    /// Leaf hash of the entry.
    pub fn leaf_hash(&self) -> Hash {
        self.envelope.leaf_hash()
    }

    /// The keys that signed it, ascending: one, or two when the set changes keys.
    pub fn signers(&self) -> &[Fingerprint] {
        &self.signers
    }

    /// All of it, for those who keep it.
    pub fn into_inner(self) -> (Envelope, ChangeSet, Option<PartSet>) {
        (self.envelope, self.change_set, self.parts)
    }
}

/// Opens an envelope around a change set. All its signatures must fit. A key that `keys` does not know passes only as the next
/// key of a `NodeRekeyed` in the set, when a known key signed it too; see [`Opened::signers`].
pub fn open(envelope: Envelope, parts: Option<PartSet>, keys: &dyn Keys) -> Result<Opened, Refusal> {
    let message = pae(&envelope.payload_type, &envelope.payload);
    let mut unknown = None;
    for (keyid, signature) in &envelope.signatures {
        match keys.public_key(keyid) {
            Some(key) => key.verify(&message, signature)?,
            None if unknown.is_none() && envelope.signatures.len() > 1 => unknown = Some((keyid, signature)),
            None => return Err(not_enrolled(keyid)),
        }
    }
    let change_set = change_set(&envelope)?;
    if let Some((keyid, signature)) = unknown {
        let next = change_set.changes.iter().find_map(|change| match &change.body {
            Body::NodeRekeyed(rekeyed) if Fingerprint::of_key(&rekeyed.log_public_key) == *keyid => {
                Some(rekeyed.log_public_key)
            }
            _ => None,
        });
        PublicKey::new(next.ok_or_else(|| not_enrolled(keyid))?)?.verify(&message, signature)?;
    }
    finish(envelope, change_set, parts)
}

/// Opens the first entry of the federation. It is signed by the key that it contains, and nobody enrolled that key: what makes it
/// true is that its fingerprint is the anchor.
pub fn open_genesis(envelope: Envelope, anchor: Fingerprint) -> Result<Opened, Refusal> {
    let [(keyid, signature)] = envelope.signatures[..] else {
        return Err(malformed("the genesis entry has one signature"));
    };
    if keyid != anchor {
        return Err(Refusal::new(
            Reason::AnchorMismatch,
            format!("the first entry is signed by {keyid}, not by {anchor}"),
        ));
    }
    // The key is in the payload, so this is the one payload that is read before its signature is checked. The anchor, being a
    // hash of the key, decides whether it is the key at all.
    let change_set = change_set(&envelope)?;
    let genesis = change_set.changes.iter().find_map(|change| match &change.body {
        Body::Genesis(genesis) => Some(genesis),
        _ => None,
    });
    let Some(genesis) = genesis else {
        return Err(Refusal::new(Reason::AnchorMismatch, "the first entry has no genesis"));
    };
    if Fingerprint::of_key(&genesis.log_public_key) != anchor {
        return Err(Refusal::new(Reason::AnchorMismatch, "the key in the first entry is not the anchor"));
    }
    PublicKey::new(genesis.log_public_key)?.verify(&pae(&envelope.payload_type, &envelope.payload), &signature)?;
    let log = &change_set.log;
    if change_set.sequence != 0
        || *log.stream() != Stream::Directory
        || *log.node() != genesis.node
        || genesis.node != NodeId::new(&genesis.unit, &genesis.log_public_key)
    {
        return Err(malformed("the genesis is not the first entry of its own node's directory"));
    }
    finish(envelope, change_set, None)
}

/// The payload of an envelope that `key`, and nobody else, signed as `expected_type`.
pub fn open_payload(envelope: &Envelope, expected_type: &str, key: &PublicKey) -> Result<Bytes, Refusal> {
    let [(keyid, signature)] = &envelope.signatures[..] else {
        return Err(malformed("one signature is expected"));
    };
    if *keyid != key.fingerprint() {
        return Err(not_enrolled(keyid));
    }
    key.verify(&pae(&envelope.payload_type, &envelope.payload), signature)?;
    check_type(envelope, expected_type)?;
    Ok(envelope.payload.clone())
}

/// The encoded `danso.query.v1.Answer` that `key` signed.
pub fn open_answer(envelope: &Envelope, key: &PublicKey) -> Result<Bytes, Refusal> {
    open_payload(envelope, ANSWER_TYPE, key)
}

fn not_enrolled(keyid: &Fingerprint) -> Refusal {
    Refusal::new(Reason::KeyNotEnrolled, format!("key {keyid}"))
}

fn check_type(envelope: &Envelope, expected: &str) -> Result<(), Refusal> {
    if envelope.payload_type != expected {
        let found: String = envelope.payload_type.chars().filter(|c| !c.is_control()).collect();
        return Err(Refusal::new(Reason::EnvelopeTypeUnknown, format!("{found}, not {expected}")));
    }
    Ok(())
}

fn change_set(envelope: &Envelope) -> Result<ChangeSet, Refusal> {
    check_type(envelope, CHANGE_SET_TYPE)?;
    ChangeSet::decode(&envelope.payload)
}

fn finish(envelope: Envelope, change_set: ChangeSet, parts: Option<PartSet>) -> Result<Opened, Refusal> {
    if let Some(parts) = &parts {
        check_parts(&change_set, parts)?;
    }
    let signers = envelope.keyids();
    Ok(Opened { envelope, change_set, parts, signers })
}

fn check_parts(set: &ChangeSet, parts: &PartSet) -> Result<(), Refusal> {
    if parts.encoded_len() > limits::PARTS_BYTES_MAX || parts.parts.iter().any(|p| p.len() > limits::IDENTITY_PART_MAX)
    {
        return Err(Refusal::new(Reason::TooLarge, format!("identity parts of {}/{}", set.log, set.sequence)));
    }
    let signed: Vec<_> = set.changes.iter().filter_map(|change| change.identity_commitment).collect();
    if signed.len() != parts.parts.len() {
        let detail = format!("{} identity parts for {} commitments", parts.parts.len(), signed.len());
        return Err(Refusal::new(Reason::CommitmentMismatch, detail));
    }
    for (i, (found, signed)) in parts.commitments().iter().zip(&signed).enumerate() {
        // A part that is here and has no salt fits no commitment.
        if !parts.parts[i].is_empty() && found.as_ref() != Some(signed) {
            return Err(Refusal::new(
                Reason::CommitmentMismatch,
                format!("identity part {i} of {}/{}", set.log, set.sequence),
            ));
        }
    }
    Ok(())
}
