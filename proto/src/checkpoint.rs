//! Checkpoints and receipts: signed tree heads of logs.
//!
//! Formats: C2SP tlog-checkpoint and signed-note (Ed25519, type 0x01) for the author, tlog-cosignature v1 (type 0x04) for
//! receipts. Key names are node ids, the origin is `danso/<log id>`. One key makes both kinds of signature and seals envelopes:
//! the messages begin with `danso/`, `cosignature/v1` and `DSSEv1`, so that none can be taken for another.
//! This room does not know which keys count: callers bring name and key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::envelope::{PublicKey, Signer, SignerError};
use crate::ids::{LogId, NodeId};
use crate::limits;
use crate::merkle::{self, Hash};
use crate::refusal::{Reason, Refusal};

/// Signature type of the author's note signature.
const NOTE_ED25519: u8 = 0x01;
/// Signature type of a cosignature.
const COSIGNATURE_V1: u8 = 0x04;
/// Bytes of a cosignature behind the key id: 8 of time, 64 of signature.
const COSIGNATURE_LEN: usize = 8 + 64;
/// Latest time that tlog-cosignature allows, seconds.
const TIME_MAX: u64 = i64::MAX as u64;

/// A log's tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub log: LogId,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root of these entries.
    pub root: Hash,
}

impl Checkpoint {
    /// The note text: origin, size and root, a line each.
    pub fn body(&self) -> String {
        format!("danso/{}\n{}\n{}\n", self.log, self.size, STANDARD.encode(self.root))
    }

    fn parse(body: &str) -> Option<Self> {
        let mut lines = body.strip_suffix('\n')?.split('\n');
        let log = lines.next()?.strip_prefix("danso/")?.parse().ok()?;
        let digits = lines.next()?;
        let size: u64 = digits.parse().ok().filter(|size: &u64| size.to_string() == digits)?;
        let root: Hash = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        // What follows are extension lines: signed, opaque, and never empty.
        let extensions_fit = lines.all(|line| !line.is_empty());
        (extensions_fit && (size > 0 || root == merkle::empty_root())).then_some(Self { log, size, root })
    }
}

/// Why a receipt was not made.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// The key did not sign.
    #[error("the cosignature was not made")]
    Signer(#[from] SignerError),
    /// The note has no room for one more line.
    #[error("the note has no room for another cosignature")]
    Full,
    /// After the year 292 billion.
    #[error("a time of {0} s cannot be written into a cosignature")]
    Time(u64),
}

/// Signs a checkpoint as the author of its log. The text may be stored and sent as it is.
pub fn sign(checkpoint: &Checkpoint, signer: &dyn Signer) -> Result<String, SignerError> {
    let mut text = checkpoint.body();
    let signature = signer.sign(text.as_bytes())?;
    let name = checkpoint.log.node().as_str();
    text.push('\n');
    text.push_str(&line(name, key_id(name, NOTE_ED25519, signer.public_key()), &signature));
    Ok(text)
}

/// Adds a receipt: `giver` states at `time_s` (seconds since the Unix epoch) that it holds these entries durably, and that they continue
/// what it held before. It replaces an earlier receipt of the same giver.
pub fn cosign(note: &SignedNote, giver: &NodeId, signer: &dyn Signer, time_s: u64) -> Result<String, CosignError> {
    if time_s > TIME_MAX {
        return Err(CosignError::Time(time_s));
    }
    let signature = signer.sign(cosigned(note.body(), time_s).as_bytes())?;
    let mut blob = time_s.to_be_bytes().to_vec();
    blob.extend_from_slice(&signature);
    let kept = note.lines.iter().filter(|l| !(l.name == giver.as_str() && l.blob.len() == COSIGNATURE_LEN));
    let mut text = format!("{}\n", note.body());
    kept.for_each(|l| text.push_str(&line(&l.name, l.key_id, &l.blob)));
    text.push_str(&line(giver.as_str(), key_id(giver.as_str(), COSIGNATURE_V1, signer.public_key()), &blob));
    if text.len() > limits::NOTE_BYTES_MAX {
        return Err(CosignError::Full);
    }
    Ok(text)
}

/// Checks the receipt of `giver` on a checkpoint and says when it was given, seconds since the Unix epoch on the giver's clock.
pub fn verify_cosignature(note: &SignedNote, giver: &NodeId, key: &PublicKey) -> Result<u64, Refusal> {
    let refused = |why: &str| Refusal::new(Reason::ReceiptInvalid, format!("{why} {giver} on {}", note.checkpoint.log));
    let blobs: Vec<_> = note.signatures_by(giver, COSIGNATURE_V1, key).collect();
    let [blob] = blobs[..] else {
        return Err(refused(if blobs.is_empty() { "no receipt of" } else { "several receipts of" }));
    };
    let Some((time, signature)) = blob.split_first_chunk::<8>() else {
        return Err(refused("garbled receipt of"));
    };
    let time_s = u64::from_be_bytes(*time);
    let signature: &[u8; 64] = signature.try_into().map_err(|_| refused("garbled receipt of"))?;
    let signed = key.verify(cosigned(note.body(), time_s).as_bytes(), signature);
    if time_s > TIME_MAX || signed.is_err() {
        return Err(refused("wrong signature of"));
    }
    Ok(time_s)
}

/// Reads a checkpoint with its signatures. Nothing is verified yet: see [`SignedNote::verify`].
pub fn parse(text: &str) -> Result<SignedNote, Refusal> {
    if text.len() > limits::NOTE_BYTES_MAX {
        return Err(Refusal::new(Reason::TooLarge, format!("checkpoint of {} bytes", text.len())));
    }
    let refused = |why| Refusal::new(Reason::CheckpointInvalid, why);
    if text.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(refused("a control character in the note"));
    }
    let Some((body, lines)) = text.rsplit_once("\n\n") else {
        return Err(refused("no signatures under the note"));
    };
    let body_len = body.len() + 1;
    let lines = lines.strip_suffix('\n').ok_or_else(|| refused("the note does not end with a line"))?;
    let lines = lines.split('\n').map(Line::parse).collect::<Option<Vec<_>>>();
    let lines = lines.ok_or_else(|| refused("a garbled signature line"))?;
    let checkpoint = Checkpoint::parse(&text[..body_len]).ok_or_else(|| refused("not a checkpoint of a Danso log"))?;
    Ok(SignedNote { text: text.into(), body_len, checkpoint, lines })
}

/// A checkpoint with signature lines of which nothing is known before they are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    body_len: usize,
    checkpoint: Checkpoint,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: String,
    key_id: [u8; 4],
    blob: Vec<u8>,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
        let name_fits = !name.is_empty() && !name.contains('+') && !name.chars().any(char::is_whitespace);
        let signature = STANDARD.decode(signature).ok().filter(|_| name_fits)?;
        let (key_id, blob) = signature.split_first_chunk::<4>().filter(|(_, blob)| !blob.is_empty())?;
        Some(Self { name: name.into(), key_id: *key_id, blob: blob.into() })
    }
}

impl SignedNote {
    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The note text: what is signed, with its last newline.
    pub fn body(&self) -> &str {
        &self.text[..self.body_len]
    }

    /// What the note claims; not verified.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Checks that `name`, the author of the log, signed the checkpoint with `key`. Lines of others are ignored.
    pub fn verify(&self, name: &NodeId, key: &PublicKey) -> Result<Checkpoint, Refusal> {
        let refused = |why: String| Refusal::new(Reason::CheckpointInvalid, why);
        if self.checkpoint.log.node() != name {
            return Err(refused(format!("{name} does not write {}", self.checkpoint.log)));
        }
        let mut signed = false;
        for blob in self.signatures_by(name, NOTE_ED25519, key) {
            let signature = blob.try_into().map_err(|_| refused(format!("garbled signature of {name}")))?;
            key.verify(self.body().as_bytes(), signature)
                .map_err(|_| refused(format!("wrong signature of {name} on {}", self.checkpoint.log)))?;
            signed = true;
        }
        if !signed {
            return Err(refused(format!("{} is not signed by {name} with the key that counts", self.checkpoint.log)));
        }
        Ok(self.checkpoint.clone())
    }

    /// The note with the line of `name` by `key` as its only one; `None` when it has none. Not verified.
    pub fn bare(&self, name: &NodeId, key: &PublicKey) -> Option<Self> {
        let key_id = key_id(name.as_str(), NOTE_ED25519, key);
        let own = self.lines.iter().find(|line| line.name == name.as_str() && line.key_id == key_id)?;
        let text = format!("{}\n{}", self.body(), line(&own.name, own.key_id, &own.blob));
        Some(Self { text, lines: vec![own.clone()], ..self.clone() })
    }

    /// Whether there is one line under the note and no more.
    pub fn is_bare(&self) -> bool {
        self.lines.len() == 1
    }

    /// How many signature lines stand under the note, of whatever kind; not verified.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Names under the note that look like receipts; not verified. Names that are no node ids are left out.
    pub fn givers(&self) -> Vec<NodeId> {
        let receipts = self.lines.iter().filter(|line| line.blob.len() == COSIGNATURE_LEN);
        receipts.filter_map(|line| line.name.parse().ok()).collect()
    }

    /// Whether there is a line that claims to be a receipt of `giver` with this key; not verified.
    pub fn has_cosignature_by(&self, giver: &NodeId, key: &PublicKey) -> bool {
        self.signatures_by(giver, COSIGNATURE_V1, key).next().is_some()
    }

    fn signatures_by(&self, name: &NodeId, kind: u8, key: &PublicKey) -> impl Iterator<Item = &[u8]> {
        let key_id = key_id(name.as_str(), kind, key);
        let by = move |line: &&Line| line.name == name.as_str() && line.key_id == key_id;
        self.lines.iter().filter(by).map(|line| &line.blob[..])
    }
}

/// Key id: SHA-256(name || 0x0A || type || public key), its first 4 bytes. A hint, no security.
fn key_id(name: &str, kind: u8, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', kind]).chain_update(key.as_bytes()).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn line(name: &str, key_id: [u8; 4], blob: &[u8]) -> String {
    let signature = [&key_id[..], blob].concat();
    format!("— {name} {}\n", STANDARD.encode(signature))
}

fn cosigned(body: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{body}")
}

#[cfg(test)]
mod tests;
