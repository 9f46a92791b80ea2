//! A backup in one file: parts behind a manifest, summed, compressed, and encrypted when a passphrase is given. Streams: memory does not grow
//! with what is in it. Knows nothing of what the parts are.
//!
//! ```text
//! file   plain, or age (age-encryption.org/v1) with a passphrase around plain: `age -d` opens it too
//! plain  "danso-backup-v1" LF | zstd(body) | SHA-256 of all before it
//! body   length of the manifest, 4 bytes, big-endian | manifest, JSON | the parts, one after the other, in its order
//! ```

mod manifest;
mod read;
mod write;

use danso_proto::refusal::{Reason, Refusal};

pub use age::secrecy::SecretString;
pub use manifest::{HeldLog, Manifest, Part, Table};
pub use read::Reader;
pub use write::{Source, clear, write};

/// What a plain backup begins with.
const MAGIC: &[u8; 16] = b"danso-backup-v1\n";
/// What an encrypted one begins with.
const AGE_MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// Bytes of the sum at the end.
const SUM: usize = 32;
/// Number of the manifest's form.
const FORMAT: u32 = 1;
/// Bytes of a manifest at most: a hundred thousand logs.
const MANIFEST_MAX: usize = 32 * 1024 * 1024;
/// Work for a passphrase: 2^17 rounds, 128 MiB and well below a second. What costs us a second once costs a guesser one for every guess.
const WORK: u8 = 17;
/// Work that is accepted when reading: 1 GiB, for backups of later versions.
const WORK_MAX: u8 = 20;

/// Why a backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// It is none.
    #[error("this is not a backup of a Danso node")]
    NotABackup,
    /// It is encrypted, and no passphrase was given.
    #[error("the backup is encrypted: give --passphrase-file")]
    PassphraseMissing,
    /// Another passphrase, or the first lines are damaged: the two cannot be told apart.
    #[error("the passphrase does not open this backup; or its first lines are damaged")]
    PassphraseWrong,
    /// A later version wrote it.
    #[error("the backup has form {found}, this version reads {FORMAT}: use a newer danso-node")]
    Newer {
        /// Its form.
        found: u32,
    },
    /// A file of that name is there.
    #[error("{0} is there already, and a backup never replaces a file; choose another name")]
    Exists(String),
    /// The file system refuses.
    #[error("cannot {what}")]
    Io {
        /// What was tried, and with which file.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// As a refusal with a reason code; `None` for a fault of this machine.
    pub fn refusal(&self) -> Option<Refusal> {
        let reason = match self {
            Self::Damaged(_) | Self::NotABackup | Self::Newer { .. } => Reason::BackupDamaged,
            Self::PassphraseMissing | Self::PassphraseWrong => Reason::PassphraseWrong,
            Self::Exists(_) => Reason::DirectoryNotEmpty,
            Self::Io { .. } => return None,
        };
        Some(Refusal::new(reason, self.to_string()))
    }
}

#[cfg(test)]
mod tests;
