//! The link to the parent: one supervisor, which dials again for as long as the node runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use danso_core::sync::Role;
use danso_proto::ids::{LogId, NodeId};
use danso_proto::limits;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::pb::exchange::v1::exchange_service_client::ExchangeServiceClient;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::StreamExt as _;
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::session::{self, Ended, Setup};
use super::{Context, Refused, Seen, Shorter, from_pb};
use crate::config::Address;
use crate::{keys, pki, telemetry};

/// The parent, and how to reach it.
#[derive(Clone)]
pub struct Dial {
    /// Its address now.
    pub address: Address,
    /// Its id: TLS proves it, whatever the address.
    pub parent: NodeId,
    /// Our certificate and the parent's CA.
    pub tls: Arc<ClientConfig>,
}

/// How the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Frames flow.
    Connected,
    /// Being set up.
    Connecting,
    /// Between two attempts.
    Waiting,
}

/// How the link is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// How it is.
    pub state: LinkState,
    /// What ended the last attempt; `None` while all is well.
    pub trouble: Option<Refusal>,
    /// The parent's clock less ours at the last hello, milliseconds.
    pub skew_ms: i64,
    /// Unix milliseconds of the last frame from the parent; 0: never since the start.
    pub heard_ms: i64,
    /// Our logs that the parent refuses. Kept while the link is down: the parent does not change its mind by that.
    pub refused: Refused,
    /// Logs of the parent of which it shows less than is here. Kept while the link is down, too.
    pub shorter: BTreeMap<LogId, Shorter>,
}

impl Default for LinkStatus {
    fn default() -> Self {
        Self {
            state: LinkState::Connecting,
            trouble: None,
            skew_ms: 0,
            heard_ms: 0,
            refused: Refused::new(),
            shorter: BTreeMap::new(),
        }
    }
}

/// Keeps the link up until `stop` is cancelled: capped back-off with full jitter, begun anew by every success.
pub async fn dial(context: Context, dial: Dial, status: watch::Sender<LinkStatus>, stop: CancellationToken) {
    let mut window = 1;
    let mut backoff = Duration::from_millis(limits::BACKOFF_MIN_MS);
    while !stop.is_cancelled() {
        status.send_modify(|status| status.state = LinkState::Connecting);
        let ended = tokio::select! {
            ended = attempt(&context, &dial, window, &status, &stop) => ended,
            () = stop.cancelled() => break,
        };
        window = ended.window;
        // Who was replaced by its own copy must not take the session back at once, or the two do nothing else.
        if ended.greeted && ended.refusal.reason != Reason::SessionReplaced {
            backoff = Duration::from_millis(limits::BACKOFF_MIN_MS);
        }
        metrics::gauge!(telemetry::LINK_UP).set(0.0);
        tracing::info!(parent = %dial.parent, address = %dial.address, reason = %ended.refusal.reason,
            detail = %ended.refusal.detail, backoff_ms = backoff.as_millis() as u64, "link: down, will dial again");
        status.send_modify(|status| {
            status.state = LinkState::Waiting;
            status.trouble = Some(ended.refusal);
        });
        let wait = keys::jitter(backoff);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => break,
        }
        backoff = (backoff * 2).min(Duration::from_millis(limits::BACKOFF_MAX_MS));
    }
}

/// Time for the parent to accept a session once the connection stands.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames between the session and the carrier.
const CARRIER: usize = 2;

async fn attempt(
    context: &Context,
    dial: &Dial,
    window: u32,
    status: &watch::Sender<LinkStatus>,
    stop: &CancellationToken,
) -> Ended {
    let failed = |refusal| Ended { refusal, greeted: false, window };
    let channel = match pki::connect(&dial.address, dial.tls.clone(), &dial.parent).await {
        Ok(channel) => channel,
        Err(refusal) => return failed(refusal),
    };
    let mut client = ExchangeServiceClient::new(channel)
        .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
        .max_encoding_message_size(limits::GRPC_MESSAGE_MAX);
    let (outbound, frames) = mpsc::channel::<pb::Frame>(CARRIER);
    let requests = ReceiverStream::new(frames).map(|frame| pb::ExchangeRequest { frame: Some(frame) });
    let response = match tokio::time::timeout(OPEN_TIMEOUT, client.exchange(requests)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(error)) => return failed(refusal_of(&error)),
        Err(_) => return failed(Refusal::new(Reason::LinkDown, "the parent did not answer in time")),
    };
    let inbound = response.map(|message| match message {
        Ok(pb::ExchangeResponse { frame: Some(frame) }) => from_pb(frame),
        Ok(_) => Err(Refusal::new(Reason::Malformed, "a message without a frame")),
        Err(error) => Err(refusal_of(&error)),
    });
    let (seen, mut seen_by_us) = watch::channel(Seen { refused: status.borrow().refused.clone(), ..Seen::default() });
    // Nobody asks a parent; the channel only has to exist.
    let (_questions, asked) = mpsc::channel(1);
    let setup = Setup {
        role: Role::Child,
        peer: dial.parent.clone(),
        window,
        inbound: Box::pin(inbound),
        outbound,
        questions: asked,
        seen,
        stop: stop.child_token(),
    };
    let watching = async {
        while seen_by_us.changed().await.is_ok() {
            let seen = seen_by_us.borrow_and_update().clone();
            metrics::gauge!(telemetry::LINK_HEARD).set(seen.heard_ms as f64 / 1000.0);
            if seen.greeted {
                metrics::gauge!(telemetry::LINK_UP).set(1.0);
                metrics::gauge!(telemetry::CLOCK_SKEW).set(seen.skew_ms as f64 / 1000.0);
                status.send_modify(|status| {
                    status.state = LinkState::Connected;
                    status.trouble = None;
                    (status.skew_ms, status.heard_ms) = (seen.skew_ms, seen.heard_ms);
                    status.refused = seen.refused;
                    status.shorter = seen.shorter;
                });
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = session::run(context.clone(), setup) => ended,
        () = watching => failed(Refusal::new(Reason::Internal, "the session was not watched")),
    }
}

/// Why a call to the parent failed: its own reason where it gave one, else what the connection says.
pub fn refusal_of(error: &tonic::Status) -> Refusal {
    use tonic_types::StatusExt as _;
    let code = error.get_details_error_info().map(|info| info.reason);
    match code.as_deref().and_then(Reason::from_code) {
        Some(reason) => Refusal::new(reason, error.message()),
        None => pki::refusal_in(error),
    }
}
