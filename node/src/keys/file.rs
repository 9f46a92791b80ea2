//! Private key files: made once with mode 0600, and read only while nobody else can have touched them.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::KeyError;
use crate::files;

/// Bytes of a key file at most: a PKCS#8 PEM of our kinds has about 250.
const KEY_FILE_MAX: u64 = 16 * 1024;

/// Writes a private key to a new file.
pub(super) fn create(path: &Path, pem: &str) -> Result<(), KeyError> {
    files::create_new(path, pem.as_bytes(), 0o600).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => KeyError::Exists(path.into()),
        _ => KeyError::Io { what: "write the key", path: path.into(), source },
    })
}

/// Reads a private key that only its owner, who is us, can read.
pub(super) fn read(path: &Path) -> Result<String, KeyError> {
    let io = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => KeyError::Missing(path.into()),
        _ => KeyError::Io { what: "read the key", path: path.into(), source },
    };
    // The open file is asked, not the path: what is checked is what is read.
    let file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    let mode = meta.mode() & 0o7777;
    if mode & !0o600 != 0 {
        return Err(KeyError::TooOpen { path: path.into(), mode });
    }
    // The owner of our own /proc entry is the user that we run as. Without /proc the mode alone has to do.
    if let Ok(we) = std::fs::metadata("/proc/self").map(|own| own.uid())
        && we != meta.uid()
    {
        return Err(KeyError::WrongOwner { path: path.into(), owner: meta.uid(), we });
    }
    let mut pem = String::new();
    file.take(KEY_FILE_MAX).read_to_string(&mut pem).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => KeyError::not_a_key(path, "it is no text"),
        _ => io(error),
    })?;
    Ok(pem)
}
