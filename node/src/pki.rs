//! Certificates and TLS of links: each parent's small CA for its own children, and the two ends of a connection.
//!
//! TLS proves who the peer is. What it may do is decided elsewhere, from the directory: this room knows no units, logs or invites.
//! Verification is rustls's own (WebPki), with exactly one root: the parent's CA.

mod accept;
mod ca;
mod dial;
mod names;
mod peer;
#[cfg(test)]
mod tests;
mod tls;

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::files;
use crate::keys::KeyError;

pub use accept::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, accept};
pub use ca::{CERTIFICATE_LIFE, Ca, csr, is_whole};
pub use dial::{CONNECT_TIMEOUT, Connection, KeepAlive, connect, connect_with, refusal_in};
pub use names::{TrustDomain, Validity, dns_name, is_for, node_of, not_after_ms, validity};
pub use peer::{Binding, PeerInfo, PeerStream, count_unproven, peer_address, peer_binding, peer_certificate};
pub use tls::{Identity, check_client, client_config, server_config};

/// Why certificates or TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key is missing or unfit.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// A file holds no certificate, or not the right one.
    #[error("{} holds no usable certificate ({why}); restore it from your backup", path.display())]
    NotACertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A certificate or request could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
    /// Keys, certificates and roots do not make a TLS configuration.
    #[error("cannot set up TLS: {0}; the certificate and keys/link.pem may not belong together")]
    Tls(String),
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(error.to_string())
    }
}

/// Writes certificates to a PEM file, leaf first; what was there is replaced as a whole.
pub fn write_certificates(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(), PkiError> {
    let blocks: Vec<_> = chain.iter().map(|der| pem::Pem::new("CERTIFICATE", der.to_vec())).collect();
    let text = pem::encode_many_config(&blocks, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF));
    files::replace(path, text.as_bytes(), 0o644).map_err(|source| PkiError::Io {
        what: "write the certificate",
        path: path.into(),
        source,
    })
}

/// Reads the certificates of a PEM file: one at least.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let bytes = std::fs::read(path).map_err(|source| PkiError::Io {
        what: "read the certificate",
        path: path.into(),
        source,
    })?;
    let unfit = |why: String| PkiError::NotACertificate { path: path.into(), why };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| unfit(error.to_string()))?;
    if chain.is_empty() {
        return Err(unfit("no PEM block named CERTIFICATE".into()));
    }
    Ok(chain)
}
