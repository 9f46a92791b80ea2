//! The key that signs change sets, checkpoints and receipts (`keys/log.pem`).

use std::fmt;
use std::path::Path;

use danso_proto::envelope::{PublicKey, Signer, SignerError, SoftwareSigner};

use super::{KeyError, file, random_bytes};

/// The node's log key.
pub struct LogKey(SoftwareSigner);

impl LogKey {
    /// Makes a new key and writes it to `path`, which must not exist.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let key = SoftwareSigner::from_secret(&random_bytes());
        let pem = key.to_pkcs8_pem().map_err(|error| KeyError::not_a_key(path, error))?;
        file::create(path, &pem)?;
        Ok(Self(key))
    }

    /// Reads the key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let pem = file::read(path)?;
        Ok(Self(SoftwareSigner::from_pkcs8_pem(&pem).map_err(|error| KeyError::not_a_key(path, error))?))
    }

    /// Reads the key, or makes it when there is none: so that a set-up that was interrupted can be run again.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Missing(_)) => Self::create(path),
            other => other,
        }
    }
}

impl Signer for LogKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        self.0.sign(message)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.public_key().fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_key_signs_verifies_after_a_restart() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("log.pem");
        let key = LogKey::load_or_create(&path).expect("made");
        let signature = key.sign(b"message").expect("signed");
        let again = LogKey::load(&path).expect("read");
        again.public_key().verify(b"message", &signature).expect("fits");
        assert!(matches!(LogKey::create(&path), Err(KeyError::Exists(_))));
        let other = LogKey::create(&dir.path().join("other.pem")).expect("made");
        assert_ne!(other.public_key(), key.public_key());
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("log.pem");
        super::super::LinkKey::create(&path).expect("made");
        assert!(matches!(LogKey::load(&path), Err(KeyError::NotAKey { .. })));
    }
}
