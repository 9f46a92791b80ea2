//! The link to the parent: one supervisor, which dials again for as long as the node runs.

use std::sync::Arc;
use std::time::Duration;

use danso_core::sync::Role;
use danso_proto::ids::NodeId;
use danso_proto::limits;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::pb::exchange::v1::exchange_service_client::ExchangeServiceClient;
use danso_proto::refusal::{Reason, Refusal};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::session::{self, Ended, Setup};
use super::{Context, Credentials, LinkState, LinkStatus, ParentClock, Retry, Seen, from_pb};
use crate::config::Address;
use crate::pki::{Connection, KeepAlive};
use crate::{keys, pki, telemetry};

/// The parent, and how to reach it.
#[derive(Clone)]
pub struct Dial {
    /// Its address now.
    pub address: Address,
    /// Its id: TLS proves it, whatever the address.
    pub parent: NodeId,
    /// Our certificate and the parent's CA.
    pub credentials: Arc<Credentials>,
    /// How soon what is noticed.
    pub timing: Timing,
}

/// How soon what is noticed.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// A connection that says nothing.
    pub keep_alive: KeepAlive,
    /// A certificate that is due, at the latest: clocks are set, and machines sleep.
    pub renewal_check: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { keep_alive: KeepAlive::default(), renewal_check: Duration::from_secs(3600) }
    }
}

/// Keeps the link up until `stop` is cancelled.
pub async fn dial(
    context: Context,
    dial: Dial,
    status: watch::Sender<LinkStatus>,
    retry: Retry,
    stop: CancellationToken,
) {
    status.send_modify(|status| {
        status.certificate_ends_ms = dial.credentials.valid().map_or(0, |valid| valid.until_ms);
    });
    let (sender, token) = (status.clone(), stop.clone());
    let attempts = move |window| attempt(context.clone(), dial.clone(), window, sender.clone(), token.clone());
    supervise(attempts, status, retry, stop).await;
}

/// Tries again and again until `stop` is cancelled: capped back-off with full jitter, begun anew by every success and by an operator.
/// An attempt gets the window with which to begin, and has deadlines of its own.
async fn supervise<F: Future<Output = Ended>>(
    mut attempts: impl FnMut(u32) -> F,
    status: watch::Sender<LinkStatus>,
    retry: Retry,
    stop: CancellationToken,
) {
    let mut window = 1;
    let mut backoff = Duration::from_millis(limits::BACKOFF_MIN_MS);
    while !stop.is_cancelled() {
        status.send_modify(|status| status.state = LinkState::Connecting);
        let ended = tokio::select! {
            ended = attempts(window) => ended,
            () = stop.cancelled() => break,
        };
        window = ended.window;
        // Who was replaced by its own copy must not take the session back at once, or the two do nothing else.
        if ended.greeted && ended.refusal.reason != Reason::SessionReplaced {
            backoff = Duration::from_millis(limits::BACKOFF_MIN_MS);
        }
        metrics::gauge!(telemetry::LINK_UP).set(0.0);
        tracing::info!(reason = %ended.refusal.reason, detail = %ended.refusal.detail,
            backoff_ms = backoff.as_millis() as u64, "link: down, will dial again");
        status.send_modify(|status| {
            status.state = LinkState::Waiting;
            if matches!(ended.refusal.reason, Reason::KeyRevoked | Reason::PlaceLost) {
                status.revoked = Some(ended.refusal.clone());
            }
            status.trouble = Some(ended.refusal);
            status.ended += 1;
        });
        tokio::select! {
            () = tokio::time::sleep(keys::jitter(backoff)) => {
                backoff = (backoff * 2).min(Duration::from_millis(limits::BACKOFF_MAX_MS));
            }
            () = retry.wanted() => {
                tracing::info!("link: the operator wants it dialled now");
                backoff = Duration::from_millis(limits::BACKOFF_MIN_MS);
            }
            () = stop.cancelled() => break,
        }
    }
}

/// Time for the parent to accept a session once the connection stands.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames between the session and the carrier.
const CARRIER: usize = 2;

async fn attempt(
    context: Context,
    dial: Dial,
    window: u32,
    status: watch::Sender<LinkStatus>,
    stop: CancellationToken,
) -> Ended {
    let connection = match connect(&dial, &status).await {
        Ok(connection) => connection,
        Err(refusal) => return Ended { refusal, greeted: false, window },
    };
    tokio::select! {
        ended = converse(&context, &dial, &connection, window, &status, &stop) => ended,
        () = dial.credentials.keep(&connection, &dial, &status) => {
            Ended { refusal: Refusal::new(Reason::Internal, "the link was not watched"), greeted: false, window }
        }
    }
}

/// Connects with our certificate. When there is none, or the parent does not take it for its time, a new one is got first, once.
async fn connect(dial: &Dial, status: &watch::Sender<LinkStatus>) -> Result<Connection, Refusal> {
    let Dial { address, parent, credentials, timing } = dial;
    let shown = match credentials.tls() {
        Some(tls) => pki::connect_with(address, tls, parent, timing.keep_alive).await,
        None => Err(Refusal::new(Reason::CertificateMissing, "this node has no certificate for its link")),
    };
    let refusal = match shown {
        Err(refusal) if refusal.reason == Reason::CertificateExpired => credentials.out_of_time(refusal),
        Err(refusal) if refusal.reason == Reason::CertificateMissing => refusal,
        connected_or_not => return connected_or_not,
    };
    tracing::warn!(reason = %refusal.reason, detail = %refusal.detail, "link: proving this node with its log key to get a new certificate");
    status.send_modify(|status| status.trouble = Some(refusal));
    credentials.renew_bare(dial, status).await?;
    let tls = credentials.tls().ok_or_else(|| Refusal::new(Reason::Internal, "renewed, and no certificate"))?;
    pki::connect_with(address, tls, parent, timing.keep_alive).await
}

/// One session over a connection that stands.
async fn converse(
    context: &Context,
    dial: &Dial,
    connection: &Connection,
    window: u32,
    status: &watch::Sender<LinkStatus>,
    stop: &CancellationToken,
) -> Ended {
    let failed = |refusal| Ended { refusal, greeted: false, window };
    let (outbound, frames) = mpsc::channel::<pb::Frame>(CARRIER);
    let requests = ReceiverStream::new(frames).map(|frame| pb::ExchangeRequest { frame: Some(frame) });
    let mut client = client(connection.channel.clone());
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
        let mut greeted = false;
        while seen_by_us.changed().await.is_ok() {
            let seen = seen_by_us.borrow_and_update().clone();
            metrics::gauge!(telemetry::LINK_HEARD).set(seen.heard_ms as f64 / 1000.0);
            if seen.greeted {
                let clock = &*context.clock;
                let parent_clock = ParentClock::heard(clock.now_ms().saturating_add(seen.skew_ms), clock);
                let first = !std::mem::replace(&mut greeted, true);
                if first {
                    metrics::gauge!(telemetry::LINK_UP).set(1.0);
                    metrics::counter!(telemetry::LINK_SESSIONS).increment(1);
                    parent_clock.gauge(clock);
                }
                status.send_modify(|status| {
                    status.state = LinkState::Connected;
                    status.trouble = None;
                    status.revoked = None;
                    status.heard_ms = seen.heard_ms;
                    status.refused = seen.refused;
                    status.shorter = seen.shorter;
                    status.ahead = seen.ahead;
                    if first {
                        status.parent_clock = Some(parent_clock);
                        status.sessions += 1;
                    }
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

/// The exchange service over a channel, with our bounds.
pub(super) fn client(channel: Channel) -> ExchangeServiceClient<Channel> {
    ExchangeServiceClient::new(channel)
        .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
        .max_encoding_message_size(limits::GRPC_MESSAGE_MAX)
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::Instant;

    use super::*;

    /// Backs off no longer than this.
    const CAP: Duration = Duration::from_millis(limits::BACKOFF_MAX_MS);
    /// Most that an attempt takes at a parent that is away: see its deadlines.
    const TIMEOUT: Duration = pki::CONNECT_TIMEOUT;

    fn ended(reason: Reason, greeted: bool) -> Ended {
        Ended { refusal: Refusal::new(reason, "as the test says"), greeted, window: 1 }
    }

    /// A supervisor in virtual time; `attempt` says what comes of each.
    async fn supervised<F: Future<Output = Ended>>(attempts: impl FnMut(u32) -> F, retry: &Retry, end: impl Future) {
        let stop = CancellationToken::new();
        tokio::select! {
            () = supervise(attempts, watch::Sender::new(LinkStatus::default()), retry.clone(), stop) => panic!("it gave up"),
            _ = end => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_parent_away_for_three_hours_is_found_again_within_the_back_off_cap() {
        for _ in 0..50 {
            let start = Instant::now();
            let back = start + Duration::from_secs(3 * 3600);
            let (attempts, found) = (Cell::new(0), tokio::sync::Notify::new());
            let attempt = |_| async {
                attempts.set(attempts.get() + 1);
                if Instant::now() < back {
                    // Half of the time nobody answers, half of the time somebody refuses.
                    tokio::time::sleep(if attempts.get() % 2 == 0 { TIMEOUT } else { Duration::ZERO }).await;
                    return ended(Reason::LinkDown, false);
                }
                found.notify_one();
                std::future::pending().await
            };
            supervised(attempt, &Retry::default(), found.notified()).await;
            let late = Instant::now() - back;
            assert!(late <= CAP + TIMEOUT, "found {late:?} after it was back");
            assert!((12..=200).contains(&attempts.get()), "{} attempts in three hours", attempts.get());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn back_off_begins_anew_after_a_success_and_not_after_being_replaced() {
        for (reason, anew) in [(Reason::LinkDown, true), (Reason::SessionReplaced, false)] {
            let gaps = RefCell::new(Vec::new());
            let done = tokio::sync::Notify::new();
            let last = Cell::new(Instant::now());
            let attempt = |_| {
                let gap = Instant::now() - last.get();
                gaps.borrow_mut().push(gap);
                last.set(Instant::now());
                let count = gaps.borrow().len();
                if count == 200 {
                    done.notify_one();
                }
                // Twenty vain attempts, then sessions that are cut as soon as they have begun.
                std::future::ready(if count <= 20 { ended(Reason::LinkDown, false) } else { ended(reason, true) })
            };
            supervised(attempt, &Retry::default(), done.notified()).await;
            let gaps = gaps.into_inner();
            assert!(gaps[..21].iter().all(|gap| *gap <= CAP));
            let longest = gaps[21..].iter().max().expect("many");
            assert_eq!(*longest <= Duration::from_millis(limits::BACKOFF_MIN_MS), anew, "{reason}: {longest:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_has_the_parent_dialled_at_once() {
        let (retry, attempts, done) = (Retry::default(), Cell::new(0), tokio::sync::Notify::new());
        let asked = Cell::new(Instant::now());
        let attempt = |_| {
            attempts.set(attempts.get() + 1);
            match attempts.get() {
                1..20 => {}
                20 => {
                    asked.set(Instant::now());
                    retry.now();
                }
                _ => done.notify_one(),
            }
            std::future::ready(ended(Reason::LinkDown, false))
        };
        supervised(attempt, &retry, done.notified()).await;
        // After twenty vain attempts the wait is minutes.
        assert_eq!(Instant::now() - asked.get(), Duration::ZERO);
    }
}
