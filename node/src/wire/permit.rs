//! Who may hold a session: TLS proves which node calls, the directory says whether it is a child of this one.

use danso_proto::ids::NodeId;
use danso_proto::refusal::{Reason, Refusal};

use crate::link::check_child;
use crate::pipeline::Snapshot;
use crate::pki::{self, TrustDomain};

/// The right to hold a session as this child. Made by [`child`] only.
#[derive(Debug)]
pub(super) struct Permit(NodeId);

impl Permit {
    pub(super) fn into_child(self) -> NodeId {
        self.0
    }
}

/// Lets a child in.
///
/// # Errors
/// `certificate_missing`, `certificate_unknown`, `not_a_child`, `key_revoked`.
pub(super) fn child(extensions: &tonic::Extensions, snapshot: &Snapshot) -> Result<Permit, Refusal> {
    let certificate = pki::peer_certificate(extensions).ok_or_else(|| {
        Refusal::new(Reason::CertificateMissing, "a session needs the certificate that joining gives")
    })?;
    let directory = snapshot.directory();
    let node = pki::node_of(&certificate, &TrustDomain::of_anchor(&directory.anchor()))?;
    check_child(snapshot, &node)?;
    Ok(Permit(node))
}
