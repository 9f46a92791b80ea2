//! `join`: a node takes its place below its parent. Run again after it was cut, it goes on with the same keys.

use std::path::Path;
use std::time::Duration;

use danso_proto::envelope::{Envelope, Signer as _};
use danso_proto::ids::{NodeId, UnitCode};
use danso_proto::limits;
use danso_proto::package::{self, Package};
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::pb::exchange::v1::exchange_service_client::ExchangeServiceClient;
use danso_proto::refusal::{Reason, Refusal};
use rustls::pki_types::CertificateDer;

use super::{Error, META_ANCHOR, META_PARENT, clock, database, is_refusal, log_key, public_bytes};
use crate::clock::Clock as _;
use crate::config::{Address, Config, Fresh, Layout, Server};
use crate::keys::LinkKey;
use crate::link;
use crate::pipeline::{self, Handle, Outfit};
use crate::pki::{self, Ca, TrustDomain};
use crate::store::Store;
use crate::token::Token;

/// What `join` made.
pub(super) struct Joined {
    pub(super) node: NodeId,
    pub(super) unit: UnitCode,
    pub(super) unit_name: String,
    pub(super) parent: NodeId,
}

/// Time for the parent's next message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// Uses an invite.
pub(super) async fn join(
    data: &Path,
    token: Token,
    (listen, advertise): (Address, Option<Address>),
    server: Option<Server>,
) -> Result<Joined, Error> {
    let missing = Layout::missing(data);
    let layout = Layout::create(data)?;
    let _lock = layout.lock()?;
    let fresh = Fresh::of(&layout, missing);
    let mut may_stand = false;
    let joined = enter(&layout, token, (listen, advertise), server, &mut may_stand).await;
    if let (Err(_), Some(fresh), false) = (&joined, fresh, may_stand) {
        fresh.remove();
    }
    joined
}

/// Takes the place. `may_stand` is set while the parent may have given it to the keys that are here.
async fn enter(
    layout: &Layout,
    token: Token,
    (listen, advertise): (Address, Option<Address>),
    server: Option<Server>,
    may_stand: &mut bool,
) -> Result<Joined, Error> {
    let clock = clock();
    if let Some(node) = &token.node {
        let detail = format!("the token gives {node} its place back: use it with danso-node recover");
        return Err(Refusal::new(Reason::TokenWrongUnit, detail).into());
    }
    if layout.config().exists() {
        let detail =
            format!("{} holds a node already; a new node needs a directory of its own", layout.dir().display());
        return Err(Refusal::new(Reason::AlreadyJoined, detail).into());
    }
    if token.expires_at_ms <= clock.now_ms() {
        // The parent's clock decides; ours may be wrong.
        tracing::warn!("by this machine's clock the invite has ended; asking the parent all the same");
    }
    let key = log_key(layout)?;
    let link_key = LinkKey::load_or_create(&layout.link_key())?;
    let public = public_bytes(&key);
    let node = NodeId::new(&token.unit, &public);
    database::is_free(layout, server.as_ref(), &node).await?;
    let csr = pki::csr(&link_key, &node)?;
    let statement = link::join_statement(&token.secret.0, &csr);
    let proof = key.sign(&statement).map_err(pipeline::Error::from)?;
    let ca = CertificateDer::from(token.ca_certificate.clone());
    let tls = pki::client_config(&ca, None, clock.clone())?;
    let channel = pki::connect(&token.address, tls, &token.parent).await?;
    let mut client = ExchangeServiceClient::new(channel)
        .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
        .max_encoding_message_size(limits::GRPC_MESSAGE_MAX);
    let request = pb::JoinRequest {
        secret: token.secret.0.to_vec().into(),
        unit: token.unit.to_string(),
        log_public_key: public.to_vec().into(),
        link_csr: csr.into(),
        proof: proof.to_vec().into(),
    };
    *may_stand = true;
    let call = tokio::time::timeout(MESSAGE_TIMEOUT, client.join(request));
    let mut answer = match call.await.map_err(|_| silent())? {
        Ok(answer) => answer.into_inner(),
        Err(error) => {
            let error = Error::from(link::refusal_of(&error));
            *may_stand = !is_refusal(&error);
            return Err(error);
        }
    };
    let mut next = async || {
        let message = tokio::time::timeout(MESSAGE_TIMEOUT, answer.message());
        message.await.map_err(|_| silent())?.map_err(|e| link::refusal_of(&e))
    };
    let Some(pb::JoinResponse { body: Some(pb::join_response::Body::Enrolment(place)) }) = next().await? else {
        return Err(Refusal::new(Reason::Malformed, "the parent's answer does not begin with an enrolment").into());
    };
    if place.node != node.as_str() || place.parent_node != token.parent.as_str() {
        let detail = format!("enrolled as {} below {}, not as the invite says", place.node, place.parent_node);
        return Err(Refusal::new(Reason::AnchorMismatch, detail).into());
    }
    let store = database::open(layout, server.as_ref()).await?;
    let (mut pipeline, mut refused): (Option<Handle>, Option<Refusal>) = (None, None);
    while let Some(message) = next().await? {
        let Some(pb::join_response::Body::Package(frame)) = message.body else {
            return Err(Refusal::new(Reason::Malformed, "the parent sent something else than a package").into());
        };
        let package = package::decode(&frame.zstd)?;
        let handle = match pipeline.take() {
            Some(handle) => handle,
            None => {
                found(&store, &node, &package, &token, clock.now_ms()).await?;
                let outfit =
                    Outfit { store: store.clone(), signer: key.clone(), clock: clock.clone(), anchor: token.anchor };
                Handle::start(outfit).await?
            }
        };
        // A log that cannot be read yet stops nobody, as long as the others say where this node's place is: it comes over the link.
        if let Some((_, refusal)) = handle.receive(package).await?.await?.refused {
            tracing::warn!(%refusal, "a log of the parent's directory was not taken");
            refused.get_or_insert(refusal);
        }
        pipeline = Some(handle);
    }
    let unit_name = placed(pipeline, &node, &token).map_err(|mismatch| refused.unwrap_or(mismatch))?;
    let domain = TrustDomain::of_anchor(&token.anchor);
    Ca::create(&layout.ca_key(), &layout.ca_certificate(), &node, &domain)?;
    let certificates: Vec<CertificateDer<'_>> =
        place.certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    pki::write_certificates(&layout.link_certificate(), &certificates)?;
    pki::write_certificates(&layout.parent_ca_certificate(), &[ca])?;
    store
        .run_tx("join", async |tx| {
            tx.meta_put(META_ANCHOR, &token.anchor.0).await?;
            tx.meta_put(META_PARENT, token.parent.as_str().as_bytes()).await
        })
        .await?;
    store.close().await;
    // The configuration last: a directory without it has not joined to the end.
    let mut config = Config::new(token.unit.clone(), listen);
    config.parent = Some(token.address.clone());
    config.advertise = advertise;
    config.server = server;
    config.write(&layout.config())?;
    Ok(Joined { node, unit: token.unit, unit_name, parent: token.parent })
}

fn silent() -> Refusal {
    Refusal::new(Reason::LinkDown, "the parent did not answer in time")
}

/// The first package must begin with the anchor's genesis.
async fn found(store: &Store, node: &NodeId, package: &Package, token: &Token, now_ms: i64) -> Result<(), Error> {
    let first = package.entries.first().filter(|_| package.first == 0);
    let first = first.ok_or_else(|| Refusal::new(Reason::AnchorMismatch, "the parent's directory has no beginning"))?;
    let genesis = Envelope::decode(first.envelope.clone())?;
    pipeline::found(store, node, genesis, token.anchor, now_ms).await?;
    Ok(())
}

/// Checks that the directory enrols this node below its parent, as the parent said; the name of its unit.
fn placed(pipeline: Option<Handle>, node: &NodeId, token: &Token) -> Result<String, Refusal> {
    let mismatch = |why: &str| Refusal::new(Reason::AnchorMismatch, why);
    let pipeline = pipeline.ok_or_else(|| mismatch("the parent sent no directory"))?;
    let snapshot = pipeline.snapshot();
    let directory = snapshot.directory();
    match directory.node(node) {
        Some(me) if me.parent() == Some(&token.parent) => {}
        _ => return Err(mismatch("the directory does not enrol this node below its parent")),
    }
    let name = directory.units().iter().find_map(|list| list.get(&token.unit)).map(|unit| unit.name.to_string());
    name.ok_or_else(|| mismatch("the unit is in no list of the directory"))
}
