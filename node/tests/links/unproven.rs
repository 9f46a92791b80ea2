//! What a connection without a certificate may do: join, renew with a proof that fits this very connection, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use danso_node::clock::Clock as _;
use danso_node::keys::LinkKey;
use danso_node::link::{refusal_of, renew_statement};
use danso_node::pki::{self, Connection, Identity, KeepAlive};
use danso_proto::change::{Body, ForwardingPolicy, NodeEnrolled, NodeRevoked};
use danso_proto::envelope::{Signer as _, SoftwareSigner};
use danso_proto::ids::{NodeId, Stream};
use danso_proto::limits;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::pb::exchange::v1::exchange_service_client::ExchangeServiceClient;
use danso_proto::refusal::{Reason, Refusal};

use crate::bed::{COMMUNE, Child, NOW, Node, Parent, unit};

async fn connect(parent: &Parent, child: &Node, own: Option<Identity>) -> Connection {
    let tls = pki::client_config(parent.ca.certificate(), own, child.clock.clone()).unwrap();
    pki::connect_with(&parent.address, tls, &parent.node.me(), KeepAlive::default()).await.unwrap()
}

async fn renew(connection: &Connection, request: pb::RenewRequest) -> Result<pb::RenewResponse, Refusal> {
    let mut client = ExchangeServiceClient::new(connection.channel.clone());
    client.renew(request).await.map(tonic::Response::into_inner).map_err(|status| refusal_of(&status))
}

/// What an honest node sends.
fn request(node: &NodeId, key: &SoftwareSigner, link_key: &LinkKey, connection: &Connection) -> pb::RenewRequest {
    let csr = pki::csr(link_key, node).unwrap();
    let proof = key.sign(&renew_statement(node, &csr, &connection.binding)).unwrap();
    pb::RenewRequest { node: node.to_string(), link_csr: csr.into(), proof: proof.to_vec().into() }
}

fn honest(child: &Node, connection: &Connection) -> pb::RenewRequest {
    request(&child.me(), &child.key, &child.link_key, connection)
}

#[tokio::test]
async fn a_proof_opens_renew_and_nothing_else() {
    let parent = Parent::start().await;
    let child = Child::below(&parent).await.node;
    let connection = connect(&parent, &child, None).await;
    let answer = renew(&connection, honest(&child, &connection)).await.unwrap();
    assert_eq!(answer.clock_ms, parent.node.clock.now_ms());
    assert_eq!(answer.ca_certificate, *parent.ca.certificate().as_ref());
    let leaf = &answer.certificates[0];
    assert_eq!(pki::node_of(leaf, &child.domain()), Ok(child.me()));
    assert_eq!(pki::validity(leaf).unwrap().until_ms, NOW + limits::CERTIFICATE_LIFE_S as i64 * 1_000);
    // The connection is still nobody's.
    let mut client = ExchangeServiceClient::new(connection.channel.clone());
    let refused = client.exchange(tokio_stream::pending::<pb::ExchangeRequest>()).await.map(drop);
    assert_eq!(refusal_of(&refused.unwrap_err()).reason, Reason::CertificateMissing);
}

#[tokio::test]
async fn a_proof_that_does_not_fit_is_refused() {
    let parent = Parent::start().await;
    let child = Child::below(&parent).await.node;
    let connection = connect(&parent, &child, None).await;
    let good = honest(&child, &connection);
    let thief = LinkKey::create(&child.dir.path().join("thief.pem")).unwrap();
    let wrong: [(&str, Reason, pb::RenewRequest); 7] = [
        (
            "another key",
            Reason::RenewProofInvalid,
            request(&child.me(), &SoftwareSigner::from_secret(&[99; 32]), &child.link_key, &connection),
        ),
        (
            "another's request under an honest proof",
            Reason::RenewProofInvalid,
            pb::RenewRequest { link_csr: pki::csr(&thief, &child.me()).unwrap().into(), ..good.clone() },
        ),
        ("no proof", Reason::RenewProofInvalid, pb::RenewRequest { proof: Bytes::new(), ..good.clone() }),
        (
            "a request over its bound",
            Reason::RenewProofInvalid,
            pb::RenewRequest { link_csr: vec![0x30; limits::CSR_BYTES_MAX + 1].into(), ..good.clone() },
        ),
        ("no node", Reason::Malformed, pb::RenewRequest { node: "x".into(), ..good.clone() }),
        (
            "a node that nobody enrolled",
            Reason::NotAChild,
            request(&NodeId::new(&unit(COMMUNE), &[1; 32]), &child.key, &child.link_key, &connection),
        ),
        ("the proof of another connection", Reason::RenewProofInvalid, {
            let other = connect(&parent, &child, None).await;
            honest(&child, &other)
        }),
    ];
    for (what, reason, request) in wrong {
        let refusal = renew(&connection, request).await.unwrap_err();
        assert_eq!(refusal.reason, reason, "{what}: {refusal}");
    }
    // A broken request under a good proof.
    let fresh = connect(&parent, &child, None).await;
    let csr = Bytes::from_static(b"no request");
    let proof = child.key.sign(&renew_statement(&child.me(), &csr, &fresh.binding)).unwrap();
    let broken = pb::RenewRequest { node: child.me().to_string(), link_csr: csr, proof: proof.to_vec().into() };
    assert_eq!(renew(&fresh, broken).await.unwrap_err().reason, Reason::RenewProofInvalid);
    assert!(renew(&fresh, honest(&child, &fresh)).await.is_ok(), "the honest one is not harmed by any of it");
}

#[tokio::test]
async fn a_link_key_alone_renews_nothing_and_a_certificate_not_for_others() {
    let parent = Parent::start().await;
    let bed = Child::below(&parent).await;
    let child = &bed.node;
    let sibling = parent.node.child("17035", 8).await;
    let own = pki::read_certificates(&bed.certificate).unwrap();
    let connection = connect(&parent, child, Some(Identity::new(own, &child.link_key))).await;
    let unsigned = pb::RenewRequest { proof: vec![0; 64].into(), ..honest(child, &connection) };
    assert_eq!(renew(&connection, unsigned).await.unwrap_err().reason, Reason::RenewProofInvalid);
    let other = honest(&sibling, &connection);
    assert_eq!(renew(&connection, other).await.unwrap_err().reason, Reason::CertificateUnknown);
    assert!(renew(&connection, honest(child, &connection)).await.is_ok());
}

#[tokio::test]
async fn only_our_own_children_renew_here_and_only_until_they_are_revoked() {
    let parent = Parent::start().await;
    let province = parent.node.child("40", 40).await;
    let grandchild = province.child("17035", 41).await;
    parent.node.receive(province.package(&province.log(Stream::Directory)).await).await;
    let connection = connect(&parent, &grandchild, None).await;
    let refusal = renew(&connection, honest(&grandchild, &connection)).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::NotAChild, "{refusal}");
    // Nor does the parent itself.
    let refusal = renew(&connection, honest(&parent.node, &connection)).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::NotAChild, "{refusal}");
    assert!(renew(&connection, honest(&province, &connection)).await.is_ok());
    let revoked = NodeRevoked { node: province.me(), bounds: Vec::new(), reason: "closed".into() };
    parent.node.publish(vec![("40", Body::NodeRevoked(revoked))]).await;
    let refusal = renew(&connection, honest(&province, &connection)).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::KeyRevoked, "{refusal}");
    // Who only says to be the revoked node is not told that it was revoked.
    let stranger = request(&province.me(), &grandchild.key, &grandchild.link_key, &connection);
    assert_eq!(renew(&connection, stranger).await.unwrap_err().reason, Reason::RenewProofInvalid);
}

#[tokio::test]
async fn who_tries_many_proofs_pays_a_handshake_for_each_few() {
    let parent = Parent::start().await;
    let child = Child::below(&parent).await.node;
    let connection = connect(&parent, &child, None).await;
    let wrong = pb::RenewRequest { proof: vec![7; 64].into(), ..honest(&child, &connection) };
    for _ in 0..limits::UNPROVEN_CALLS_MAX {
        assert_eq!(renew(&connection, wrong.clone()).await.unwrap_err().reason, Reason::RenewProofInvalid);
    }
    let refusal = renew(&connection, honest(&child, &connection)).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::TooManyCalls, "{refusal}");
    // Joins are counted with them.
    let mut client = ExchangeServiceClient::new(connection.channel.clone());
    let refused = client.join(pb::JoinRequest::default()).await.map(drop).unwrap_err();
    assert_eq!(refusal_of(&refused).reason, Reason::TooManyCalls);
    // Another connection is not the worse for it, and one with a certificate is not counted.
    let fresh = connect(&parent, &child, None).await;
    assert!(renew(&fresh, honest(&child, &fresh)).await.is_ok());
    let own = renew(&fresh, honest(&child, &fresh)).await.unwrap().certificates[0].to_vec();
    let known = connect(&parent, &child, Some(Identity::new(vec![own.into()], &child.link_key))).await;
    for _ in 0..2 * limits::UNPROVEN_CALLS_MAX {
        assert!(renew(&known, honest(&child, &known)).await.is_ok());
    }
}

#[tokio::test]
async fn a_node_that_is_enrolled_twice_renews_with_its_own_key() {
    // Two nodes of one unit, as after a reinstall: each proves itself with its own key and not with the other's.
    let parent = Parent::start().await;
    let old = Child::below(&parent).await.node;
    let public = *SoftwareSigner::from_secret(&[9; 32]).public_key().as_bytes();
    let new = NodeId::new(&unit(COMMUNE), &public);
    let enrolled = NodeEnrolled {
        node: new.clone(),
        unit: unit(COMMUNE),
        log_public_key: public,
        policy: ForwardingPolicy::Full,
        former: Vec::new(),
    };
    parent.node.publish(vec![(COMMUNE, Body::NodeEnrolled(enrolled))]).await;
    let connection = connect(&parent, &old, None).await;
    let crossed = request(&new, &old.key, &old.link_key, &connection);
    assert_eq!(renew(&connection, crossed).await.unwrap_err().reason, Reason::RenewProofInvalid);
    let own = request(&new, &SoftwareSigner::from_secret(&[9; 32]), &old.link_key, &connection);
    assert!(renew(&connection, own).await.is_ok());
}

#[tokio::test]
async fn after_a_change_of_log_keys_the_one_that_the_parent_knows_of_proves_and_no_other() {
    let parent = Parent::start().await;
    let child = Child::below(&parent).await.node;
    let next = Arc::new(SoftwareSigner::from_secret(&[77; 32]));
    child.context.pipeline.rekey(next.clone()).await.unwrap();
    let connection = connect(&parent, &child, None).await;
    let with = |key: &SoftwareSigner| request(&child.me(), key, &child.link_key, &connection);
    // The announcement is still here.
    assert!(renew(&connection, with(&child.key)).await.is_ok());
    assert_eq!(renew(&connection, with(&next)).await.unwrap_err().reason, Reason::RenewProofInvalid);
    parent.node.receive(child.package(&child.log(Stream::Directory)).await).await;
    assert!(renew(&connection, with(&next)).await.is_ok());
    assert_eq!(renew(&connection, with(&child.key)).await.unwrap_err().reason, Reason::RenewProofInvalid);
}
