//! A parent's CA. It imposes its own profile on every request: of a request only the public key is taken, and the proof that the
//! requester holds the secret one.

use std::path::Path;
use std::time::Duration;

use danso_proto::ids::NodeId;
use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;

use super::names::{TrustDomain, Validity, dns_name, name_of, not_after_ms};
use super::tls::is_signed;
use super::{PkiError, read_certificates, write_certificates};
use crate::keys::{CaKey, LinkKey, random_bytes};

/// Life of a child's certificate, unless the parent is configured otherwise: it renews itself over the link long before.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(limits::CERTIFICATE_LIFE_S);
/// How long before its making a child's certificate counts as valid, at most: the parent's clock may be set back. Never more than a tenth
/// of its life, so that who sees only the certificate still knows when most of the life is over.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// From when to when CA and server certificates count as valid: 1970-01-01 to 9999-12-31T23:59:59 (RFC 5280, 4.1.2.5: no end). A child
/// whose clock battery is dead believes that it is 1970, another that it is 2060; neither is a reason to refuse a backlog. And no parent
/// serves an expired certificate, however long it runs and whatever its clock said when it started. An end would protect nothing: the
/// children pin the CA, and the server certificate is made at each start from a key that lies beside the CA's.
const ALWAYS: Validity = Validity { from_ms: 0, until_ms: 253_402_300_799_000 };

/// The CA that a node runs for its children.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    domain: TrustDomain,
    node: NodeId,
}

impl Ca {
    /// Makes the CA of `node` and writes its key (`key`, 0600) and certificate (`certificate`). A key that is there already is kept, so
    /// that a set-up that was interrupted can be run again; the certificate is made anew.
    pub fn create(key: &Path, certificate: &Path, node: &NodeId, domain: &TrustDomain) -> Result<Self, PkiError> {
        Self::create_for(key, certificate, node, domain, ALWAYS)
    }

    pub(super) fn create_for(
        key: &Path,
        certificate: &Path,
        node: &NodeId,
        domain: &TrustDomain,
        valid: Validity,
    ) -> Result<Self, PkiError> {
        let pair = CaKey::load_or_create(key)?.into_pair();
        let mut params = profile(node, domain, &format!("Danso CA {node}"), valid)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = Vec::new();
        let der = params.self_signed(&pair)?.der().clone();
        write_certificates(certificate, std::slice::from_ref(&der))?;
        Ok(Self { issuer: Issuer::new(params, pair), certificate: der, domain: domain.clone(), node: node.clone() })
    }

    /// Reads the CA. Whose it is stands in its certificate. A certificate with an end, as the first versions made it, is made anew with the
    /// same name and key: the children, who pin these two, go on trusting it.
    pub fn load(key: &Path, certificate: &Path) -> Result<Self, PkiError> {
        let unfit = |why: String| PkiError::NotACertificate { path: certificate.into(), why };
        let (pair, der) = Self::read(key, certificate)?;
        let (domain, node) = name_of(&der).map_err(|refusal| unfit(refusal.detail))?;
        if not_after_ms(&der).map_err(|refusal| unfit(refusal.detail))? < ALWAYS.until_ms {
            return Self::create(key, certificate, &node, &domain);
        }
        let issuer = Issuer::from_ca_cert_der(&der, pair)?;
        Ok(Self { issuer, certificate: der, domain, node })
    }

    /// Checks what [`Ca::load`] checks, and writes nothing.
    ///
    /// # Errors
    /// When the key or the certificate is missing or unfit, or they do not belong together.
    pub fn check(key: &Path, certificate: &Path) -> Result<(), PkiError> {
        Self::read(key, certificate).map(drop)
    }

    fn read(key: &Path, certificate: &Path) -> Result<(KeyPair, CertificateDer<'static>), PkiError> {
        let unfit = |why: String| PkiError::NotACertificate { path: certificate.into(), why };
        let pair = CaKey::load(key)?.into_pair();
        let der = read_certificates(certificate)?.swap_remove(0);
        name_of(&der).map_err(|refusal| unfit(refusal.detail))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|error| unfit(error.to_string()))?;
        if parsed.public_key().subject_public_key.data != pair.public_key_raw() {
            return Err(unfit(format!("it does not belong to {}", key.display())));
        }
        match is_whole(&der) {
            true => Ok((pair, der)),
            false => Err(unfit("its signature does not fit".to_owned())),
        }
    }

    /// The CA's certificate: the only root that the children trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The trust domain of the CA's certificates.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Issues a certificate for `node` to whoever made the request (PKCS#10, DER), from now for `life`.
    /// Whether the requester is `node` is the caller's business.
    pub fn issue(
        &self,
        csr: &[u8],
        node: &NodeId,
        now_ms: i64,
        life: Duration,
    ) -> Result<CertificateDer<'static>, Refusal> {
        let broken = |why: String| Refusal::new(Reason::JoinProofInvalid, format!("the certificate request: {why}"));
        if csr.len() > limits::CSR_BYTES_MAX {
            return Err(broken(format!("it has {} bytes, at most {}", csr.len(), limits::CSR_BYTES_MAX)));
        }
        // Reading checks the request's own signature.
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
            .map_err(|error| broken(error.to_string()))?;
        let internal = |error: PkiError| Refusal::new(Reason::Internal, error.to_string());
        let params = profile(node, &self.domain, node.as_str(), lives(now_ms, life)).map_err(internal)?;
        let request = CertificateSigningRequestParams { params, public_key: request.public_key };
        let certificate = request.signed_by(&self.issuer).map_err(|error| internal(error.into()))?;
        Ok(certificate.der().clone())
    }

    /// The server certificate of the CA's own node, for its link key. Made at each start, stored nowhere; it has no end.
    pub fn server_certificate(&self, key: &LinkKey) -> Result<CertificateDer<'static>, PkiError> {
        let params = profile(&self.node, &self.domain, self.node.as_str(), ALWAYS)?;
        Ok(params.signed_by(key.pair(), &self.issuer)?.der().clone())
    }
}

/// Whether no bit of a CA's certificate (DER) has changed: it signs itself.
pub fn is_whole(certificate: &[u8]) -> bool {
    x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, parsed)| {
        let key = &parsed.public_key().subject_public_key.data;
        is_signed(key, parsed.tbs_certificate.as_ref(), &parsed.signature_value.data)
    })
}

/// A request (PKCS#10, DER) for a certificate of `node` with its link key.
pub fn csr(key: &LinkKey, node: &NodeId) -> Result<Vec<u8>, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(node.as_str());
    Ok(params.serialize_request(key.pair())?.der().to_vec())
}

/// The one profile of all our certificates.
fn profile(node: &NodeId, domain: &TrustDomain, name: &str, valid: Validity) -> Result<CertificateParams, PkiError> {
    let date = |ms: i64| {
        OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).map_err(|error| PkiError::Make(error.to_string()))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.subject_alt_names =
        vec![SanType::URI(domain.uri(node).try_into()?), SanType::DnsName(dns_name(node).try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date(valid.from_ms)?;
    params.not_after = date(valid.until_ms)?;
    let mut serial = random_bytes::<16>();
    serial[0] = serial[0] & 0x7f | 0x40; // positive, and of one length
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// When a certificate of this life that is made now is valid. Certificates know no time before 1970, whatever a clock says.
fn lives(now_ms: i64, life: Duration) -> Validity {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let now_ms = now_ms.max(0);
    Validity {
        from_ms: now_ms.saturating_sub(ms(BACKDATED.min(life / 10))).max(ALWAYS.from_ms),
        until_ms: now_ms.saturating_add(ms(life)).min(ALWAYS.until_ms),
    }
}
