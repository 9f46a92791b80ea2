//! The log key that signs now. It changes while the node runs: who signs takes it anew each time, and signs one thing with one key.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use danso_proto::envelope::{PublicKey, Signer};
use tokio::sync::{Mutex, MutexGuard};

use super::{KeyError, LogKey};
use crate::files;

/// The log key in use.
pub struct Signing(RwLock<Arc<dyn Signer>>);

impl Signing {
    /// Signs with `key` until another takes over.
    pub fn new(key: Arc<dyn Signer>) -> Self {
        Self(RwLock::new(key))
    }

    /// The key to sign the next thing with.
    pub fn current(&self) -> Arc<dyn Signer> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on `next` signs.
    pub fn replace(&self, next: Arc<dyn Signer>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signing({})", self.current().public_key().fingerprint())
    }
}

/// The two files of a change of keys. The next key is durable before anybody hears of it, and takes the old one's place only after its
/// announcement is durable: at every moment the key that the directory names is in one of the two.
#[derive(Debug)]
pub struct Rotation {
    current: PathBuf,
    next: PathBuf,
    turn: Mutex<()>,
}

impl Rotation {
    /// The files `keys/log.pem` and `keys/log-next.pem`.
    pub fn new(current: PathBuf, next: PathBuf) -> Self {
        Self { current, next, turn: Mutex::default() }
    }

    /// Held while a change is made.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The next key: made, or the one that an earlier attempt made and never announced.
    ///
    /// # Errors
    /// When it can be neither made nor read.
    pub fn begin(&self) -> Result<Arc<LogKey>, KeyError> {
        Ok(Arc::new(LogKey::load_or_create(&self.next)?))
    }

    /// Puts the next key in the old one's place, which is gone then.
    ///
    /// # Errors
    /// When the file system refuses; both files are as they were.
    pub fn finish(&self) -> Result<(), KeyError> {
        files::rename(&self.next, &self.current).map_err(|source| KeyError::Io {
            what: "put the new key in place of",
            path: self.current.clone(),
            source,
        })
    }

    /// Whether one of the two files has the key whose public part the directory names. Changes nothing.
    pub fn holds(&self, named: &PublicKey) -> bool {
        let mut held = [&self.current, &self.next].into_iter().filter_map(|path| LogKey::load(path).ok());
        held.any(|key| key.public_key() == named)
    }

    /// The key whose public part the directory names, from whichever file has it: a node that was stopped in the middle of a change
    /// goes on with it. `None`: neither file has it.
    ///
    /// # Errors
    /// When a file cannot be read, or cannot be put in place.
    pub fn settle(&self, named: &PublicKey) -> Result<Option<Arc<LogKey>>, KeyError> {
        let current = LogKey::load(&self.current)?;
        if current.public_key() == named {
            return Ok(Some(Arc::new(current)));
        }
        match LogKey::load(&self.next) {
            Ok(next) if next.public_key() == named => {
                self.finish()?;
                Ok(Some(Arc::new(next)))
            }
            Ok(_) | Err(KeyError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_keys_that_was_cut_goes_on_wherever_it_was_cut() {
        let dir = tempfile::tempdir().expect("dir");
        let files = Rotation::new(dir.path().join("log.pem"), dir.path().join("log-next.pem"));
        let old = LogKey::create(&files.current).expect("made");
        let next = files.begin().expect("made");
        assert!(files.holds(old.public_key()) && files.holds(next.public_key()));
        assert_eq!(files.begin().expect("again").public_key(), next.public_key(), "the same one, not a third");
        // Not announced: the directory names the old key.
        let settled = files.settle(old.public_key()).expect("read").expect("there");
        assert_eq!(settled.public_key(), old.public_key());
        // Announced, and cut before the files changed places.
        let settled = files.settle(next.public_key()).expect("read").expect("there");
        assert_eq!(settled.public_key(), next.public_key());
        assert!(!files.next.exists());
        assert_eq!(LogKey::load(&files.current).expect("read").public_key(), next.public_key());
        // The old one is gone.
        assert!(!files.holds(old.public_key()) && files.holds(next.public_key()));
        assert!(files.settle(old.public_key()).expect("read").is_none());
    }
}
