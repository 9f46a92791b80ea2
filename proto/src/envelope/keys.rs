//! Keys: the public ones that signatures are checked with, and the secret ones behind a trait, because a token may hold them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::ids::Fingerprint;
use crate::refusal::{Reason, Refusal};

/// An Ed25519 public key (RFC 8032): a point of the curve in its one encoding, and not one of the few that fit any signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key with these 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Result<Self, Refusal> {
        let key = VerifyingKey::from_bytes(&bytes).ok();
        let key = key.filter(|key| !key.is_weak() && key.to_edwards().compress().to_bytes() == bytes);
        key.map(Self).ok_or_else(|| Refusal::new(Reason::Malformed, "not an Ed25519 public key"))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// SHA-256 of the 32 bytes: the key id of signatures.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_key(self.as_bytes())
    }

    /// Checks a signature strictly: one message and key have one signature that fits, so that nobody can make another leaf hash.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), Refusal> {
        self.0
            .verify_strict(message, &Signature::from_bytes(signature))
            .map_err(|_| Refusal::new(Reason::SignatureInvalid, format!("by key {}", self.fingerprint())))
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = Refusal;
    fn try_from(bytes: &[u8]) -> Result<Self, Refusal> {
        let bytes = bytes.try_into().map_err(|_| Refusal::new(Reason::Malformed, "a public key has 32 bytes"))?;
        Self::new(bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

/// A secret key that does not sign, or cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// What holds the key does not answer.
    #[error("the key does not sign: {0}")]
    Unavailable(String),
    /// Not a PKCS#8 PEM file with an Ed25519 key. What was found is not repeated: it may be half a secret.
    #[error("not an Ed25519 key in PKCS#8 PEM")]
    KeyFile,
}

/// What signs: a key in memory today, a PKCS#11 token perhaps tomorrow.
pub trait Signer: Send + Sync {
    /// The public key that checks the signatures.
    fn public_key(&self) -> &PublicKey;
    /// Signs `message` (Ed25519, RFC 8032).
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError>;
}

/// A signing key in memory, wiped when it is dropped.
pub struct SoftwareSigner {
    key: SigningKey,
    public: PublicKey,
}

impl SoftwareSigner {
    /// The key with this secret (the 32-byte seed of RFC 8032).
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        Self { public: PublicKey(key.verifying_key()), key }
    }

    /// Reads a key file.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SignerError> {
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| SignerError::KeyFile)?;
        Ok(Self { public: PublicKey(key.verifying_key()), key })
    }

    /// The key file, wiped when it is dropped. PKCS#8 version 1 (no public key inside), which every OpenSSL reads.
    pub fn to_pkcs8_pem(&self) -> Result<impl Deref<Target = String> + use<>, SignerError> {
        let mut pair = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|_| SignerError::KeyFile);
        pair.secret_key.fill(0);
        pem
    }
}

impl Signer for SoftwareSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let signature = self.key.try_sign(message).map_err(|e| SignerError::Unavailable(e.to_string()))?;
        Ok(signature.to_bytes())
    }
}

impl fmt::Debug for SoftwareSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareSigner(secret of {:?})", self.public)
    }
}

/// Where public keys are looked up.
pub trait Keys {
    /// The key with this fingerprint, if it is known here.
    fn public_key(&self, keyid: &Fingerprint) -> Option<PublicKey>;
}

impl Keys for HashMap<Fingerprint, PublicKey> {
    fn public_key(&self, keyid: &Fingerprint) -> Option<PublicKey> {
        self.get(keyid).copied()
    }
}

impl Keys for BTreeMap<Fingerprint, PublicKey> {
    fn public_key(&self, keyid: &Fingerprint) -> Option<PublicKey> {
        self.get(keyid).copied()
    }
}

/// One known key.
impl Keys for PublicKey {
    fn public_key(&self, keyid: &Fingerprint) -> Option<PublicKey> {
        (self.fingerprint() == *keyid).then_some(*self)
    }
}
