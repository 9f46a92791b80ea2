//! Enrolling a new child: checks its invite and its keys, and gives it a certificate and the directory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use danso_proto::change::ForwardingPolicy;
use danso_proto::envelope::PublicKey;
use danso_proto::ids::{LogId, NodeId, Stream, UnitCode};
use danso_proto::limits;
use danso_proto::package::{self, PACKAGE_ZSTD_LEVEL};
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::Stream as AsyncStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::clock::Clock;
use crate::link::{self, Context, OwnTrees};
use crate::pipeline::{Enrolment, Snapshot};
use crate::pki::Ca;
use crate::token::InviteSecret;

/// Where new children are enrolled, and children get their certificates.
#[derive(Clone)]
pub struct JoinDesk {
    /// Pipeline and store, by way of the link room.
    pub context: Context,
    /// Issues link certificates.
    pub ca: Arc<Ca>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Life of a certificate.
    pub certificate_life: Duration,
}

/// Messages that wait for a joining node.
const WAITING: usize = 2;

impl JoinDesk {
    /// Enrols a node; the answer is its place, then the directory logs from the anchor down.
    ///
    /// # Errors
    /// `join_proof_invalid`, and what the invite refuses.
    pub(super) async fn join(
        &self,
        request: pb::JoinRequest,
    ) -> Result<impl AsyncStream<Item = Result<pb::JoinResponse, Refusal>> + Send + use<>, Refusal> {
        let garbled = |what: &str| Refusal::new(Reason::JoinProofInvalid, what);
        let unit: UnitCode = request.unit.parse()?;
        let secret = InviteSecret(request.secret[..].try_into().map_err(|_| garbled("a secret has 32 bytes"))?);
        let key: [u8; 32] = request.log_public_key[..].try_into().map_err(|_| garbled("a log key has 32 bytes"))?;
        let proof: [u8; 64] = request.proof[..].try_into().map_err(|_| garbled("a proof has 64 bytes"))?;
        let public = PublicKey::new(key)?;
        public
            .verify(&link::join_statement(&secret.0, &request.link_csr), &proof)
            .map_err(|_| garbled("the node does not hold the log key that it names"))?;
        let node = NodeId::new(&unit, &key);
        // Before anything is written: a request that cannot be certified must not use up the invite.
        let now_ms = self.clock.now_ms();
        let certificate = self.ca.issue(&request.link_csr, &node, now_ms, self.certificate_life)?;
        let enrolment =
            Enrolment { secret_hash: secret.hash(), unit, log_public_key: key, policy: ForwardingPolicy::Full };
        let node = self.context.pipeline.enrol(enrolment).await.map_err(|error| error.refusal())?;
        tracing::info!(%node, "enrolled a node");
        let snapshot = self.context.pipeline.snapshot();
        let first = pb::join_response::Body::Enrolment(pb::Enrolment {
            node: node.to_string(),
            parent_node: snapshot.me().to_string(),
            trust_domain: snapshot.directory().trust_domain().to_owned(),
            certificates: vec![Bytes::copy_from_slice(&certificate)],
            ca_certificate: Bytes::copy_from_slice(self.ca.certificate()),
        });
        let (messages, receiver) = mpsc::channel(WAITING);
        let context = self.context.clone();
        tokio::spawn(async move {
            let sent = messages.send(Ok(pb::JoinResponse { body: Some(first) })).await;
            if sent.is_ok() {
                let logs = directory_logs(&context.pipeline.snapshot()).map(|log| (log, 0));
                let body = pb::join_response::Body::Package;
                // Who joins may have gone.
                let _ =
                    send_logs(&context, logs, &messages, |frame| pb::JoinResponse { body: Some(body(frame)) }).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

/// The directory logs of this node and of all that were ever above it, the anchor's first.
fn directory_logs(snapshot: &Snapshot) -> impl Iterator<Item = LogId> + use<> {
    snapshot.directory().ancestry(snapshot.me()).into_iter().map(|node| LogId::new(node, Stream::Directory))
}

/// Sends logs in packages, each from an entry on. False: nobody takes them, or they could not be read, which was said.
pub(super) async fn send_logs<T>(
    context: &Context,
    logs: impl IntoIterator<Item = (LogId, u64)>,
    messages: &mpsc::Sender<Result<T, Refusal>>,
    wrap: impl Fn(pb::PackageFrame) -> T,
) -> bool {
    let trees = OwnTrees::default();
    for (log, mut from) in logs {
        // What counts nowhere would be refused, and all that comes after it would be missing there.
        let to = context.pipeline.snapshot().counted(&log);
        while from < to {
            let left = usize::try_from(to - from).unwrap_or(usize::MAX);
            let (bytes, entries) = (limits::PACKAGE_BYTES_MAX, limits::PACKAGE_ENTRIES_MAX.min(left));
            let package = link::load(context, &trees, &log, from, bytes, entries).await;
            let message = match package {
                Ok(None) => break,
                Ok(Some(package)) => {
                    from += package.entries.len() as u64;
                    let zstd = package::encode(&package, PACKAGE_ZSTD_LEVEL).into();
                    Ok(wrap(pb::PackageFrame { zstd }))
                }
                Err(error) => {
                    tracing::error!(%log, %error, "a log could not be read for another node");
                    Err(Refusal::new(Reason::Internal, format!("{log} could not be read")))
                }
            };
            let broken = message.is_err();
            if messages.send(message).await.is_err() || broken {
                return false;
            }
        }
    }
    true
}
