//! What both ends of a link demand of TLS: version 1.3, HTTP/2, and the parent's CA as the only root.

use std::sync::Arc;
use std::time::Duration;

use danso_proto::refusal::{Reason, Refusal};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig, SignatureScheme};

use super::PkiError;
use super::dial::is_out_of_time;
use crate::clock::Clock;
use crate::keys::LinkKey;

/// A certificate with the key that it is for.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The chain, leaf first, and the node's link key.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &LinkKey) -> Self {
        Self { chain, key: key.private_key() }
    }
}

/// The parent's end. A client without a certificate passes, because `Join` and `Renew` need none: who may do what is decided per call. A
/// certificate that is shown must be of the CA `roots` and valid now by `clock`.
pub fn server_config(
    own: Identity,
    roots: &CertificateDer<'_>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(root(roots)?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| PkiError::Tls(error.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(own.chain, own.key)
        .map_err(tls)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session is not verified again: it would outlive its certificate. Links are few and long.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The child's end: trusts the parent's CA alone, and shows `own` if it has a certificate already.
pub fn client_config(
    parent_ca: &CertificateDer<'_>,
    own: Option<Identity>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, PkiError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(root(parent_ca)?, provider())
        .build()
        .map_err(|error| PkiError::Tls(error.to_string()))?;
    let config = ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?
        .with_webpki_verifier(verifier);
    let mut config = match own {
        Some(own) => config.with_client_auth_cert(own.chain, own.key).map_err(tls)?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Checks that a parent whose CA is `root` will take the chain at the time `at_ms` (Unix milliseconds), with the parent's own verifier.
///
/// # Errors
/// `anchor_mismatch` when another CA issued it, `certificate_expired` when it is not valid then, `certificate_unknown`.
pub fn check_client(
    chain: &[CertificateDer<'_>],
    root_certificate: &CertificateDer<'_>,
    at_ms: i64,
) -> Result<(), Refusal> {
    let unfit = |error: &dyn std::fmt::Display| Refusal::new(Reason::CertificateUnknown, error.to_string());
    let (leaf, rest) = chain.split_first().ok_or_else(|| unfit(&"no certificate"))?;
    let roots = root(root_certificate).map_err(|error| unfit(&error))?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|error| unfit(&error))?;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(at_ms).unwrap_or(0)));
    match verifier.verify_client_cert(leaf, rest, at) {
        Ok(_) => Ok(()),
        Err(error @ rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Err(Refusal::new(Reason::AnchorMismatch, format!("another CA than the parent's issued it: {error}")))
        }
        Err(rustls::Error::InvalidCertificate(cause)) if is_out_of_time(&cause) => {
            Err(Refusal::new(Reason::CertificateExpired, cause.to_string()))
        }
        Err(error) => Err(unfit(&error)),
    }
}

/// Whether `signature` (ECDSA P-256 with SHA-256, DER) over `message` is by `key`.
pub(super) fn is_signed(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let schemes = provider().signature_verification_algorithms.mapping;
    let ours = schemes.iter().filter(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256);
    ours.flat_map(|(_, algorithms)| *algorithms).any(|by| by.verify_signature(key, message, signature).is_ok())
}

fn tls(error: rustls::Error) -> PkiError {
    PkiError::Tls(error.to_string())
}

fn root(certificate: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, PkiError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).map_err(tls)?;
    Ok(Arc::new(roots))
}

/// Named explicitly everywhere: a process-wide default would depend on which features other crates switch on.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Our clock as rustls wants it, so that validity is judged by the same time as everything else.
#[derive(Debug)]
struct ClockTime(Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        // A clock before 1970 is wrong for certain; to refuse every handshake for that would only keep data where it is.
        let now = u64::try_from(self.0.now_ms()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_millis(now)))
    }
}
