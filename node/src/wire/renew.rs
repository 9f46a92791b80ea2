//! A new link certificate for a child that proves itself with its log key: over its session's connection, or over one without a certificate
//! when the old one is not accepted any more. That connection may do nothing else.

use bytes::Bytes;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::{JoinDesk, permit};

impl JoinDesk {
    /// Issues the certificate.
    ///
    /// # Errors
    /// `renew_proof_invalid`, and what [`permit::renewal`] refuses.
    pub(super) fn renew(
        &self,
        extensions: &tonic::Extensions,
        request: &pb::RenewRequest,
    ) -> Result<pb::RenewResponse, Refusal> {
        let node = permit::renewal(extensions, &self.context.pipeline.snapshot(), request)?.into_child();
        let now_ms = self.clock.now_ms();
        let issued = self.ca.issue(&request.link_csr, &node, now_ms, self.certificate_life);
        let certificate = issued.map_err(|refusal| match refusal.reason {
            // Whose proof it is has been shown; what is broken is the request.
            Reason::JoinProofInvalid => Refusal::new(Reason::RenewProofInvalid, refusal.detail),
            _ => refusal,
        })?;
        let proven = if crate::pki::peer_certificate(extensions).is_some() { "certificate" } else { "log key" };
        tracing::info!(%node, proven, "renewed a child's certificate");
        Ok(pb::RenewResponse {
            certificates: vec![Bytes::copy_from_slice(&certificate)],
            ca_certificate: Bytes::copy_from_slice(self.ca.certificate()),
            clock_ms: now_ms,
        })
    }
}
