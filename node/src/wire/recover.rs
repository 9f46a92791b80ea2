//! Giving a node everything back that it wrote and that was written below it: its disk is lost, or it was restored from an old copy, or
//! it moves below this node. Who it is says its certificate, or an invite for this very node; that it holds its log key it proves.

use std::collections::BTreeMap;

use bytes::Bytes;
use danso_proto::change::NodeRekeyed;
use danso_proto::envelope::PublicKey;
use danso_proto::ids::{LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::Stream as AsyncStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::JoinDesk;
use super::join::send_logs;
use crate::link;
use crate::pipeline::{Recovery, Snapshot};
use crate::token::InviteSecret;

/// Messages that wait for a recovering node.
const WAITING: usize = 2;

impl JoinDesk {
    /// Gives a node its place back; the answer is its place, then the logs. `shown` is the child that its certificate proved.
    ///
    /// # Errors
    /// `join_proof_invalid`, `certificate_missing`, `log_quarantined`, and what the invite or the directory refuses.
    pub(super) async fn recover(
        &self,
        request: pb::RecoverRequest,
        shown: Option<NodeId>,
    ) -> Result<impl AsyncStream<Item = Result<pb::RecoverResponse, Refusal>> + Send + use<>, Refusal> {
        let garbled = |what: &str| Refusal::new(Reason::JoinProofInvalid, what);
        let node: NodeId = request.node.parse()?;
        let key: [u8; 32] = request.log_public_key[..].try_into().map_err(|_| garbled("a log key has 32 bytes"))?;
        let proof: [u8; 64] = request.proof[..].try_into().map_err(|_| garbled("a proof has 64 bytes"))?;
        PublicKey::new(key)?
            .verify(&link::recover_statement(&node, &request.secret, &request.link_csr), &proof)
            .map_err(|_| garbled("the node does not hold the log key that it names"))?;
        if request.heads.len() > limits::HEADS_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("{} heads", request.heads.len())));
        }
        let there = request.heads.iter().map(|head| Ok((head.log.parse()?, head.size)));
        let there = there.collect::<Result<BTreeMap<LogId, u64>, Refusal>>()?;
        let secret_hash = match &request.secret[..] {
            [] if shown.as_ref() == Some(&node) => None,
            [] => {
                let detail = format!(
                    "{node} shows neither its certificate nor a token (danso-admin child invite --node {node})"
                );
                return Err(Refusal::new(Reason::CertificateMissing, detail));
            }
            secret => Some(InviteSecret(secret.try_into().map_err(|_| garbled("a secret has 32 bytes"))?).hash()),
        };
        let stopped = |snapshot: &Snapshot| {
            let mut rows = snapshot.logs().filter(|row| row.log.node() == &node);
            rows.find_map(|row| Some((row.log.clone(), row.trouble.clone()?)))
        };
        if let Some((log, (code, _))) = stopped(&self.context.pipeline.snapshot()) {
            let detail =
                format!("{log} is stopped here ({code}); the operator must decide first: danso-admin quarantine list");
            return Err(Refusal::new(Reason::LogQuarantined, detail));
        }
        // Given back with less than stands above, it would write another history.
        if let Some(link) = &self.context.link {
            link.borrow().all_here_of(&node, &self.context.pipeline.snapshot())?;
        }
        // Before anything is written: a request that cannot be certified must not use up the invite.
        let now_ms = self.clock.now_ms();
        let certificate = self.ca.issue(&request.link_csr, &node, now_ms, self.certificate_life)?;
        if request.keys.len() > limits::KEYS_STATED_MAX {
            let detail = format!("{} keys, {} at most", request.keys.len(), limits::KEYS_STATED_MAX);
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let keys = request.keys.into_iter().map(NodeRekeyed::try_from);
        let recovery = Recovery {
            secret_hash,
            node: node.clone(),
            log_public_key: key,
            keys: keys.collect::<Result<Vec<_>, Refusal>>()?,
            ends: request.vouch.then(|| there.clone()),
        };
        self.context.pipeline.recover(recovery).await.map_err(|error| error.refusal())?;
        tracing::warn!(%node, "a node is given back what it wrote");
        let snapshot = self.context.pipeline.snapshot();
        let place = pb::Enrolment {
            node: node.to_string(),
            parent_node: snapshot.me().to_string(),
            trust_domain: snapshot.directory().trust_domain().to_owned(),
            certificates: vec![Bytes::copy_from_slice(&certificate)],
            ca_certificate: Bytes::copy_from_slice(self.ca.certificate()),
        };
        let (messages, receiver) = mpsc::channel(WAITING);
        let context = self.context.clone();
        tokio::spawn(async move {
            let message = |body| pb::RecoverResponse { body: Some(body) };
            use pb::recover_response::Body;
            let logs = logs_of(&snapshot, &node);
            let rest: Vec<(LogId, u64)> =
                logs.iter().map(|log| (log.clone(), there.get(log).copied().unwrap_or(0))).collect();
            let sent = messages.send(Ok(message(Body::Enrolment(place)))).await.is_ok()
                && send_logs(&context, rest, &messages, |frame| message(Body::Package(frame))).await;
            if sent {
                // What the logs had when they were listed: who recovers has at least that.
                let head = |log: &LogId| pb::RecoverHead { log: log.to_string(), size: snapshot.counted(log) };
                let end = pb::RecoverEnd { heads: logs.iter().map(head).collect() };
                // It may have gone.
                let _ = messages.send(Ok(message(Body::End(end)))).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

/// The directory from the anchor down to `node`, then everything by `node` and the nodes that are or were below it: directory logs behind
/// those of all that were ever above their nodes, as each says who may sign the next, then mail and records.
fn logs_of(snapshot: &Snapshot, node: &NodeId) -> Vec<LogId> {
    let directory = snapshot.directory();
    // Of all that were ever above these, not above this node only: who was a parent before may have vouched for a key.
    let told = directory.ancestry_below(node).into_iter().map(|node| LogId::new(node, Stream::Directory));
    let told = told.filter(|log| snapshot.log(log).is_some());
    // Those that were taken over are among those below: `node` had what they wrote by then.
    let mut written: Vec<&LogId> = snapshot
        .logs()
        .map(|row| &row.log)
        .filter(|log| match log.stream() {
            Stream::Directory => false,
            Stream::Mail(_) => log.node() == node,
            Stream::Records => log.node() == node || directory.was_above(node, log.node()),
        })
        .collect();
    // Mail first, as everywhere.
    written.sort_by_key(|log| (*log.stream() == Stream::Records, *log));
    told.chain(written.into_iter().cloned()).collect()
}
