//! Keys for TLS: the node's own, and that of its small CA. ECDSA P-256, which every TLS stack and HSM knows.

use std::fmt;
use std::path::Path;

use rcgen::KeyPair;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{KeyError, file};

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(KeyPair);

        impl $name {
            /// Makes a new key and writes it to `path`, which must not exist.
            pub fn create(path: &Path) -> Result<Self, KeyError> {
                let key = generate(path)?;
                file::create(path, &key.serialize_pem())?;
                Ok(Self(key))
            }

            /// Reads the key.
            pub fn load(path: &Path) -> Result<Self, KeyError> {
                let pem = file::read(path)?;
                Ok(Self(KeyPair::from_pem(&pem).map_err(|error| KeyError::not_a_key(path, error))?))
            }

            /// Reads the key, or makes it when there is none: so that a set-up that was interrupted can be run again.
            pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
                match Self::load(path) {
                    Err(KeyError::Missing(_)) => Self::create(path),
                    other => other,
                }
            }

            /// The key, to sign with.
            pub fn pair(&self) -> &KeyPair {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

key! {
    /// The node's key for TLS, as a client and as a server (`keys/link.pem`).
    LinkKey
}
key! {
    /// Key of the CA that a node runs for its children (`keys/ca.pem`).
    CaKey
}

impl LinkKey {
    /// The key as rustls wants it.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }
}

impl CaKey {
    pub(crate) fn into_pair(self) -> KeyPair {
        self.0
    }
}

fn generate(path: &Path) -> Result<KeyPair, KeyError> {
    KeyPair::generate().map_err(|error| KeyError::Io {
        what: "make a key for",
        path: path.into(),
        source: std::io::Error::other(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("link.pem");
        assert!(matches!(LinkKey::load(&path), Err(KeyError::Missing(_))));
        let key = LinkKey::load_or_create(&path).expect("made");
        let again = LinkKey::load_or_create(&path).expect("read");
        assert_eq!(key.pair().public_key_raw(), again.pair().public_key_raw());
        assert!(matches!(LinkKey::create(&path), Err(KeyError::Exists(_))));
        assert_eq!(format!("{key:?}"), "LinkKey(..)");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ca.pem");
        CaKey::create(&path).expect("made");
        for mode in [0o640, 0o604, 0o660, 0o700] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
            let error = CaKey::load(&path).expect_err("refused");
            assert!(matches!(error, KeyError::TooOpen { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).expect("chmod");
        CaKey::load(&path).expect("narrower is fine");
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("link.pem");
        for text in [
            &b""[..],
            b"secret words",
            b"\xff\xfe\x00",
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            crate::files::replace(&path, text, 0o600).expect("write");
            let error = LinkKey::load(&path).expect_err("refused");
            assert!(matches!(error, KeyError::NotAKey { .. }), "{error}");
            assert!(!error.to_string().contains("secret words"));
        }
    }
}
