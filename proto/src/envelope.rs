//! Envelopes: bytes with the signatures over them (DSSE v1, <https://github.com/secure-systems-lab/dsse>, protocol.md).
//!
//! Sign bytes, not structures: the payload is opaque here, and the bytes that were received are what is hashed, stored and sent on.
//! An envelope has one encoding only, so that nobody on the way can make another leaf hash out of the same signatures.
//! This room knows no trees and no links. [`open`] is the only way from an envelope to what it says.

use bytes::Bytes;
use prost::Message as _;

use crate::ids::Fingerprint;
use crate::limits;
use crate::merkle::{self, Hash};
use crate::pb::exchange::v1 as pb;
use crate::refusal::{Reason, Refusal};
use crate::wire;

mod keys;
mod open;

pub use keys::{Keys, PublicKey, Signer, SignerError, SoftwareSigner};
pub use open::{Opened, open, open_answer, open_genesis, open_payload};

/// Payload type of a change set.
pub const CHANGE_SET_TYPE: &str = "application/vnd.danso.changeset.v1+protobuf";
/// Payload type of a signed answer.
pub const ANSWER_TYPE: &str = "application/vnd.danso.answer.v1+protobuf";
/// Bytes of a payload type: a media type, with a margin.
const TYPE_BYTES_MAX: usize = 128;

/// The bytes that are signed: `DSSEv1 <length> <type> <length> <payload>`, lengths in ASCII decimal bytes (protocol.md, "Signature
/// Definition").
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload_type.len() + payload.len() + 48);
    out.extend_from_slice(format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out
}

/// Why something could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A key did not sign.
    #[error("the signature was not made")]
    Signer(#[from] SignerError),
    /// No signer, too many, or one twice.
    #[error("{0} signers; 1 to {max} different ones", max = limits::SIGNATURES_MAX)]
    Signers(usize),
    /// The payload or its type is over its bound.
    #[error("a payload of {0} bytes is over its bound")]
    TooLarge(usize),
}

/// An envelope of right shape and of which nothing else is known: [`open`] says whether it is signed by somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    bytes: Bytes,
    payload: Bytes,
    payload_type: String,
    signatures: Vec<(Fingerprint, [u8; 64])>,
    leaf_hash: Hash,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({}, {} bytes, signed by {:?})", self.payload_type, self.bytes.len(), self.keyids())
    }
}

impl Envelope {
    /// Reads an envelope of at most [`limits::ENVELOPE_BYTES_MAX`] bytes. The payload shares the memory of `bytes`.
    pub fn decode(bytes: Bytes) -> Result<Self, Refusal> {
        Self::decode_within(bytes, limits::PAYLOAD_BYTES_MAX)
    }

    /// Reads an envelope around an answer, which may have [`limits::ANSWER_BYTES_MAX`] bytes.
    pub fn decode_answer(bytes: Bytes) -> Result<Self, Refusal> {
        Self::decode_within(bytes, limits::ANSWER_BYTES_MAX)
    }

    fn decode_within(bytes: Bytes, payload_max: usize) -> Result<Self, Refusal> {
        let envelope_max = payload_max + (limits::ENVELOPE_BYTES_MAX - limits::PAYLOAD_BYTES_MAX);
        if bytes.len() > envelope_max {
            return Err(Refusal::new(Reason::TooLarge, format!("envelope of {} bytes", bytes.len())));
        }
        let count = wire::count(&bytes, 3).ok_or_else(|| malformed("not an envelope"))?;
        if !(1..=limits::SIGNATURES_MAX).contains(&count) {
            return Err(malformed(format!("{count} signatures")));
        }
        let message = pb::Envelope::decode(bytes.clone()).map_err(|_| malformed("not an envelope"))?;
        if message.payload.len() > payload_max {
            return Err(Refusal::new(Reason::TooLarge, format!("payload of {} bytes", message.payload.len())));
        }
        if message.payload.is_empty() || message.payload_type.is_empty() || message.payload_type.len() > TYPE_BYTES_MAX
        {
            return Err(malformed("no payload, or a payload type of wrong length"));
        }
        let signatures = message.signatures.iter().map(signature).collect::<Result<Vec<_>, _>>()?;
        if !signatures.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(malformed("the signatures are not in the order of their keys"));
        }
        let pb::Envelope { payload, payload_type, signatures: list } = message;
        // Everything but the payload, which is not copied to be compared with itself.
        let tail = pb::Envelope { payload: Bytes::new(), payload_type, signatures: list };
        let head = head(payload.len());
        let canonical = bytes.len() == head.len() + payload.len() + tail.encoded_len()
            && bytes.starts_with(&head)
            && bytes.ends_with(&tail.encode_to_vec());
        if !canonical {
            return Err(malformed("the envelope is not in its one encoding"));
        }
        let leaf_hash = merkle::leaf_hash(&bytes);
        Ok(Self { bytes, payload, payload_type: tail.payload_type, signatures, leaf_hash })
    }

    /// Signs `payload` with every one of `signers`.
    pub fn seal(payload_type: &str, payload: &[u8], signers: &[&dyn Signer]) -> Result<Self, SealError> {
        let max = if payload_type == ANSWER_TYPE { limits::ANSWER_BYTES_MAX } else { limits::PAYLOAD_BYTES_MAX };
        if payload.is_empty() || payload.len() > max || !(1..=TYPE_BYTES_MAX).contains(&payload_type.len()) {
            return Err(SealError::TooLarge(payload.len()));
        }
        if !(1..=limits::SIGNATURES_MAX).contains(&signers.len()) {
            return Err(SealError::Signers(signers.len()));
        }
        let message = pae(payload_type, payload);
        let mut signatures = signers
            .iter()
            .map(|signer| Ok((signer.public_key().fingerprint(), signer.sign(&message)?)))
            .collect::<Result<Vec<_>, SignerError>>()?;
        signatures.sort_unstable();
        if !signatures.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(SealError::Signers(signers.len()));
        }
        let tail = pb::Envelope {
            payload: Bytes::new(),
            payload_type: payload_type.into(),
            signatures: signatures
                .iter()
                .map(|(key, sig)| pb::Signature { sig: Bytes::copy_from_slice(sig), keyid: key.to_string() })
                .collect(),
        };
        let mut bytes = head(payload.len());
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&tail.encode_to_vec());
        let bytes = Bytes::from(bytes);
        Ok(Self {
            payload: bytes.slice(start..start + payload.len()),
            payload_type: tail.payload_type,
            signatures,
            leaf_hash: merkle::leaf_hash(&bytes),
            bytes,
        })
    }

    /// What the payload claims to be.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The signed bytes. Until the envelope is opened nobody knows who wrote them.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The exact bytes, as received or sealed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Leaf hash of the entry that this envelope is: computed once, when it was read.
    pub fn leaf_hash(&self) -> Hash {
        self.leaf_hash
    }

    /// The keys that the signatures name, ascending. Only a hint where to look.
    pub fn keyids(&self) -> Vec<Fingerprint> {
        self.signatures.iter().map(|(key, _)| *key).collect()
    }
}

/// Tag and length of the payload field, as protobuf writes them.
fn head(payload: usize) -> Vec<u8> {
    let mut head = vec![1 << 3 | 2];
    wire::put_varint(&mut head, payload as u64);
    head
}

fn signature(signature: &pb::Signature) -> Result<(Fingerprint, [u8; 64]), Refusal> {
    let sig = signature.sig[..].try_into().map_err(|_| malformed("a signature has 64 bytes"))?;
    let key = signature.keyid.parse::<Fingerprint>().ok().filter(|key| key.to_string() == signature.keyid);
    Ok((key.ok_or_else(|| malformed("a key id has 64 lower-case hex digits"))?, sig))
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Malformed, detail)
}

#[cfg(test)]
mod tests;
