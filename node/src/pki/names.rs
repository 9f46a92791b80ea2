//! What a certificate says: whose it is, and until when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use danso_proto::ids::{Fingerprint, NodeId};
use danso_proto::refusal::{Reason, Refusal};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::keys::LinkKey;

/// Name of a federation in its certificates, as in SPIFFE: lower-case letters, digits, dots, hyphens, underscores.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(Box<str>);

/// Characters of a trust domain at most (SPIFFE-ID 2.1).
const TRUST_DOMAIN_MAX: usize = 255;

impl TrustDomain {
    /// The trust domain of the federation that begins at this anchor. Two federations never share one.
    pub fn of_anchor(anchor: &Fingerprint) -> Self {
        Self(format!("{}.danso.internal", &anchor.to_string()[..16]).into())
    }

    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a node in certificates.
    pub(super) fn uri(&self, node: &NodeId) -> String {
        format!("spiffe://{self}/node/{node}")
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({self})")
    }
}

impl FromStr for TrustDomain {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > TRUST_DOMAIN_MAX || !text.bytes().all(fits) {
            let shown: String = text.chars().take(80).collect();
            return Err(Refusal::new(Reason::Malformed, format!("{shown:?} is not a trust domain")));
        }
        Ok(Self(text.into()))
    }
}

/// The DNS name in a node's certificates, and the name that a child expects whatever address it dials. It is in no DNS.
pub fn dns_name(node: &NodeId) -> String {
    format!("{}.danso.internal", node.as_str().to_ascii_lowercase())
}

/// The node that a certificate (DER) is for. It has exactly one URI, and that is of this trust domain. Nothing else is checked: whether
/// the certificate is good was decided in the handshake.
pub fn node_of(certificate: &[u8], domain: &TrustDomain) -> Result<NodeId, Refusal> {
    let (found, node) = name_of(certificate)?;
    if found != *domain {
        return Err(unknown(format!("the certificate is of trust domain {found}, this node is of {domain}")));
    }
    Ok(node)
}

/// Whether a certificate (DER) is for this key.
pub fn is_for(certificate: &[u8], key: &LinkKey) -> bool {
    parse(certificate).is_ok_and(|parsed| parsed.public_key().subject_public_key.data == key.pair().public_key_raw())
}

/// Trust domain and node that a certificate names.
pub(super) fn name_of(certificate: &[u8]) -> Result<(TrustDomain, NodeId), Refusal> {
    let certificate = parse(certificate)?;
    let names = certificate.subject_alternative_name().map_err(|_| unknown("its alternative names cannot be read"))?;
    let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(unknown("the certificate names no node, or more than one"));
    };
    let path = uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once("/node/"));
    let (domain, node) =
        path.ok_or_else(|| unknown("the certificate's URI is not spiffe://<trust domain>/node/<node>"))?;
    let domain = domain.parse().map_err(|refusal: Refusal| unknown(refusal.detail))?;
    Ok((domain, node.parse().map_err(|error| unknown(format!("{error}")))?))
}

/// When a certificate is valid, milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From.
    pub from_ms: i64,
    /// To, inclusive.
    pub until_ms: i64,
}

impl Validity {
    /// Whether a moment is inside.
    pub fn holds(&self, at_ms: i64) -> bool {
        (self.from_ms..=self.until_ms).contains(&at_ms)
    }

    /// From the beginning to the end.
    pub fn life(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.until_ms.saturating_sub(self.from_ms)).unwrap_or(0))
    }
}

/// When a certificate (DER) is valid.
pub fn validity(certificate: &[u8]) -> Result<Validity, Refusal> {
    let certificate = parse(certificate)?;
    let ms = |time: ASN1Time| time.timestamp().saturating_mul(1_000);
    let validity = certificate.validity();
    Ok(Validity { from_ms: ms(validity.not_before), until_ms: ms(validity.not_after) })
}

/// End of a certificate's validity (DER), milliseconds since the Unix epoch.
pub fn not_after_ms(certificate: &[u8]) -> Result<i64, Refusal> {
    validity(certificate).map(|validity| validity.until_ms)
}

fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, Refusal> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(unknown("not a certificate")),
    }
}

fn unknown(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::CertificateUnknown, detail)
}
