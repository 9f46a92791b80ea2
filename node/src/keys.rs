//! Keys and randomness: the only room that draws random bytes, and the only one that reads or writes private keys.
//! It knows nothing of certificates, logs or links.

mod file;
mod link;
mod log;
mod signing;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use link::{CaKey, LinkKey};
pub use log::LogKey;
pub use signing::{Rotation, Signing};

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key is there already; it is never replaced.
    #[error("{} exists already and is never overwritten; move it away if the node shall begin anew", .0.display())]
    Exists(PathBuf),
    /// There is no key.
    #[error("there is no key {}; restore it from your backup, or begin with `danso-node init` or `danso-node join`", .0.display())]
    Missing(PathBuf),
    /// Others than the owner may read or change it.
    #[error("the key {} has mode {mode:04o}, so others on this machine may have read it; if you are sure they have not: chmod 600 {0}", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("the key {} belongs to user {owner}, the node runs as user {we}; run the node as its service user, or chown {we} the file", path.display())]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// User id of the file's owner.
        owner: u32,
        /// User id of this process.
        we: u32,
    },
    /// The file holds no usable key.
    #[error("{} holds no usable private key ({why}); restore it from your backup", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any of its content.
        why: String,
    },
    /// The file system refuses.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
}

impl KeyError {
    fn not_a_key(path: &Path, why: impl ToString) -> Self {
        Self::NotAKey { path: path.into(), why: why.to_string() }
    }
}

/// Random bytes from the operating system, fit for secrets, salts and nonces.
///
/// # Panics
/// When the operating system has no randomness to give: nothing that this node does is safe then.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("getrandom(2) fails only on kernels older than this program's target");
    bytes
}

/// A random time from zero to `most`, evenly: the full jitter of a back-off.
pub fn jitter(most: Duration) -> Duration {
    let part = u64::from_be_bytes(random_bytes()) as f64 / u64::MAX as f64;
    most.mul_f64(part).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_differ_and_jitter_stays_inside() {
        assert_ne!(random_bytes::<32>(), random_bytes::<32>());
        let most = Duration::from_secs(900);
        let drawn: Vec<_> = (0..200).map(|_| jitter(most)).collect();
        assert!(drawn.iter().all(|time| *time <= most));
        assert!(drawn.iter().any(|time| *time < most / 2) && drawn.iter().any(|time| *time > most / 2));
        assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
    }
}
