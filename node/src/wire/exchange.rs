//! The exchange service: lets children in and hands their frames to the link room.

use std::pin::Pin;

use danso_proto::pb::exchange::v1::exchange_service_server::ExchangeService;
use danso_proto::pb::exchange::v1::{
    ExchangeRequest, ExchangeResponse, Frame, JoinRequest, JoinResponse, RecoverRequest, RecoverResponse, RenewRequest,
    RenewResponse,
};
use danso_proto::refusal::{Reason, Refusal};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{JoinDesk, permit, status};
use crate::link::{Children, from_pb};
use crate::pipeline::Handle;
use crate::pki;
use crate::telemetry::CALLS_REFUSED;

/// What the exchange service is made of.
pub struct Exchange {
    /// The pipeline, for the directory.
    pub pipeline: Handle,
    /// The children's sessions.
    pub children: Children,
    /// Where new children are enrolled.
    pub join: JoinDesk,
}

/// Frames between the session and the carrier.
const CARRIER: usize = 2;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ExchangeService for Exchange {
    type ExchangeStream = Responses<ExchangeResponse>;

    async fn exchange(
        &self,
        request: Request<Streaming<ExchangeRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let permit = permit::child(request.extensions(), &self.pipeline.snapshot())
            .map_err(|refusal| refused(request.extensions(), &refusal, "refused a session"))?;
        let inbound = request.into_inner().map(|message| match message {
            Ok(ExchangeRequest { frame: Some(frame) }) => from_pb(frame),
            Ok(_) => Err(Refusal::new(Reason::Malformed, "a message without a frame")),
            Err(error) => Err(status::of_inbound(&error)),
        });
        let (outbound, frames) = mpsc::channel::<Frame>(CARRIER);
        let (end, ended) = oneshot::channel();
        let children = self.children.clone();
        // Its own task: tonic drops a call's future when the client goes, and a session ends in order.
        tokio::spawn(async move {
            let ended = children.serve(permit.into_child(), Box::pin(inbound), outbound).await;
            // The client may have gone.
            let _ = end.send(ended.refusal);
        });
        let frames = ReceiverStream::new(frames).map(|frame| Ok(ExchangeResponse { frame: Some(frame) }));
        // The last word says why the session ended.
        let last = futures_util::stream::once(async {
            let refusal = ended.await.unwrap_or_else(|_| Refusal::new(Reason::Internal, "the session broke"));
            Err(status::from_refusal(&refusal))
        });
        Ok(Response::new(Box::pin(frames.chain(last))))
    }

    type RecoverStream = Responses<RecoverResponse>;

    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<Self::RecoverStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let refuse = |refusal| refused(&extensions, &refusal, "refused a node that wants its place back");
        pki::count_unproven(&extensions).map_err(refuse)?;
        let shown = permit::child(&extensions, &self.pipeline.snapshot()).map(permit::Permit::into_child);
        // With a token the certificate does not matter.
        let shown = if request.secret.is_empty() { Some(shown.map_err(refuse)?) } else { shown.ok() };
        let answer = self.join.recover(request, shown).await.map_err(refuse)?;
        let answer = answer.map(|message| message.map_err(|refusal| status::from_refusal(&refusal)));
        Ok(Response::new(Box::pin(answer)))
    }

    type JoinStream = Responses<JoinResponse>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Self::JoinStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let refuse = |refusal| refused(&extensions, &refusal, "refused a node that wants to join");
        pki::count_unproven(&extensions).map_err(refuse)?;
        let answer = self.join.join(request).await.map_err(refuse)?;
        let answer = answer.map(|message| message.map_err(|refusal| status::from_refusal(&refusal)));
        Ok(Response::new(Box::pin(answer)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.join.renew(&extensions, &request);
        answer.map(Response::new).map_err(|refusal| refused(&extensions, &refusal, "refused a new certificate"))
    }
}

/// A refused call, as the operator hears of it, and as the caller does.
fn refused(extensions: &tonic::Extensions, refusal: &Refusal, what: &str) -> Status {
    let peer = pki::peer_address(extensions);
    tracing::warn!(%peer, reason = %refusal.reason, detail = %refusal.detail, "{what}");
    metrics::counter!(CALLS_REFUSED, "reason" => refusal.reason.code()).increment(1);
    status::from_refusal(refusal)
}
