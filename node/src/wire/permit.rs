//! Who may do what: TLS proves which node calls, or a proof with its log key does; the directory says whether it is a child of this one.

use danso_proto::ids::NodeId;
use danso_proto::limits;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use crate::link::{check_child, renew_statement};
use crate::pipeline::Snapshot;
use crate::pki::{self, TrustDomain};

/// The right to hold a session as this child. Made by [`child`] only.
#[derive(Debug)]
pub(super) struct Permit(NodeId);

/// The right to get a certificate as this child, and to nothing else. Made by [`renewal`] only.
#[derive(Debug)]
pub(super) struct RenewalPermit(NodeId);

impl Permit {
    pub(super) fn into_child(self) -> NodeId {
        self.0
    }
}

impl RenewalPermit {
    pub(super) fn into_child(self) -> NodeId {
        self.0
    }
}

/// Lets a child in.
///
/// # Errors
/// `certificate_missing`, `certificate_unknown`, `not_a_child`, `key_revoked`, `place_lost`.
pub(super) fn child(extensions: &tonic::Extensions, snapshot: &Snapshot) -> Result<Permit, Refusal> {
    let certificate = pki::peer_certificate(extensions).ok_or_else(|| {
        Refusal::new(Reason::CertificateMissing, "a session needs the certificate that joining gives")
    })?;
    let directory = snapshot.directory();
    let node = pki::node_of(&certificate, &TrustDomain::of_anchor(&directory.anchor()))?;
    check_child(snapshot, &node)?;
    Ok(Permit(node))
}

/// Lets a child have a new certificate. It proves with its log key, on this very connection, that it asks for it: also where it shows a
/// certificate, so that a thief of its link key cannot renew that for ever.
///
/// # Errors
/// `too_many_calls`, `renew_proof_invalid`, `not_a_child`, `key_revoked`, `place_lost`, `certificate_unknown`.
pub(super) fn renewal(
    extensions: &tonic::Extensions,
    snapshot: &Snapshot,
    request: &pb::RenewRequest,
) -> Result<RenewalPermit, Refusal> {
    pki::count_unproven(extensions)?;
    let unproven = |why: &str| Refusal::new(Reason::RenewProofInvalid, why);
    if request.link_csr.len() > limits::CSR_BYTES_MAX {
        return Err(unproven("the certificate request is too large"));
    }
    let node: NodeId = request.node.parse()?;
    let directory = snapshot.directory();
    if let Some(certificate) = pki::peer_certificate(extensions) {
        let shown = pki::node_of(&certificate, &TrustDomain::of_anchor(&directory.anchor()))?;
        if shown != node {
            let detail = format!("the connection is of {shown}, and asks for a certificate for {node}");
            return Err(Refusal::new(Reason::CertificateUnknown, detail));
        }
    }
    let Some(known) = directory.node(&node) else {
        return Err(Refusal::new(Reason::NotAChild, format!("{node} is not enrolled here")));
    };
    let binding =
        pki::peer_binding(extensions).ok_or_else(|| unproven("the connection cannot be proven anything on"))?;
    let proof: [u8; 64] = request.proof[..].try_into().map_err(|_| unproven("a proof has 64 bytes"))?;
    // Before anything is said about the node: who does not hold its key learns nothing of it.
    known
        .key()
        .verify(&renew_statement(&node, &request.link_csr, &binding), &proof)
        .map_err(|_| unproven("it is not signed by the node's log key, or was made for another connection"))?;
    check_child(snapshot, &node)?;
    Ok(RenewalPermit(node))
}
