//! What the node shows to its parent, and how it gets a new one in time: over the running session, or, when the parent does not accept what
//! it shows, over a connection without a certificate on which it proves itself with its log key. Knows nothing of sessions and back-off.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use danso_proto::ids::NodeId;
use danso_proto::limits;
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use super::dial::{Dial, client, refusal_of};
use super::status::{LinkState, LinkStatus, ParentClock, Renewal};
use crate::clock::Clock;
use crate::keys::{self, LinkKey, Signing};
use crate::pki::{self, Binding, Connection, Identity, PkiError, TrustDomain, Validity};
use crate::telemetry;

/// Time for the parent to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Certificates of a chain: our parents send one.
const CHAIN_MAX: usize = 4;

/// What credentials are made of.
pub struct Outfit {
    /// This node.
    pub me: NodeId,
    /// The node's key for TLS.
    pub link_key: Arc<LinkKey>,
    /// The node's log key, whichever it is then: it proves who asks for a certificate.
    pub log_key: Arc<Signing>,
    /// The parent's CA.
    pub parent_ca: CertificateDer<'static>,
    /// The federation's name in certificates.
    pub domain: TrustDomain,
    /// Where the certificate lies.
    pub path: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The node's certificate for its link, and the keys to get another.
pub struct Credentials {
    outfit: Outfit,
    shown: Mutex<Option<Shown>>,
}

/// A certificate that is shown.
struct Shown {
    tls: Arc<ClientConfig>,
    chain: Vec<CertificateDer<'static>>,
    valid: Validity,
    /// How much later than with a third of its life left it is renewed: the nodes that joined on one day do not all ask in one minute.
    spread: Duration,
    /// It lies in its file.
    saved: bool,
}

impl Credentials {
    /// Reads the certificate. One that is missing or unfit is no obstacle: a new one is asked for.
    pub fn load(outfit: Outfit) -> Self {
        let read = pki::read_certificates(&outfit.path).map_err(|error| error.to_string());
        let shown = read.and_then(|chain| outfit.shown(chain, true).map_err(|refusal| refusal.to_string()));
        if let Err(why) = &shown {
            tracing::warn!(path = %outfit.path.display(), %why, "the link certificate cannot be used; a new one will be asked for");
        }
        let credentials = Self { outfit, shown: Mutex::new(shown.ok()) };
        credentials.gauge();
        credentials
    }

    /// What the next connection shows; `None` when there is no certificate.
    pub(super) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.with(|shown| shown.tls.clone())
    }

    /// When the certificate is valid.
    pub fn valid(&self) -> Option<Validity> {
        self.with(|shown| shown.valid)
    }

    fn with<T>(&self, take: impl FnOnce(&Shown) -> T) -> Option<T> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(take)
    }

    fn gauge(&self) {
        if let Some(valid) = self.valid() {
            metrics::gauge!(telemetry::CERTIFICATE_ENDS).set(valid.until_ms as f64 / 1000.0);
        }
    }

    /// Why the parent refused the certificate for its time. It judges by its own clock; when it is valid by ours, the clocks differ.
    pub(super) fn out_of_time(&self, refusal: Refusal) -> Refusal {
        let now_ms = self.outfit.clock.now_ms();
        match self.valid() {
            Some(valid) if valid.holds(now_ms) => Refusal::new(
                Reason::ClockSkew,
                "the certificate is valid by this machine's clock and not by the parent's: the clocks differ",
            ),
            _ => refusal,
        }
    }

    /// Time until the certificate is to be renewed: when a third of its life is left by the parent's clock, and a little later.
    fn due_in(&self, parent_clock: Option<ParentClock>) -> Duration {
        let clock = &*self.outfit.clock;
        // The parent judges it, so its clock is what counts.
        let now_ms = parent_clock.map_or_else(|| clock.now_ms(), |parent| parent.now_ms(clock));
        let due = self.with(|shown| match shown.saved {
            true => due_in(shown.valid, shown.spread, now_ms),
            false => Duration::ZERO,
        });
        due.unwrap_or(Duration::ZERO)
    }

    /// Renews the certificate in time, over the connection of a session and beside it, for as long as it is polled. It begins once the
    /// parent has said what time it is.
    pub(super) async fn keep(&self, connection: &Connection, dial: &Dial, status: &watch::Sender<LinkStatus>) {
        let connected = async |seen: &mut watch::Receiver<LinkStatus>| {
            seen.wait_for(|status| status.state == LinkState::Connected).await.is_ok()
        };
        if !connected(&mut status.subscribe()).await {
            return;
        }
        let mut backoff = Duration::from_millis(limits::BACKOFF_MIN_MS);
        loop {
            let due = self.due_in(status.borrow().parent_clock);
            if !due.is_zero() {
                backoff = Duration::from_millis(limits::BACKOFF_MIN_MS);
                // Not the whole time at once: clocks are set, and machines sleep.
                tokio::time::sleep(due.min(dial.timing.renewal_check)).await;
                continue;
            }
            // What went wrong is in the status. A certificate that is due as soon as it is made must not make us ask without end either.
            if self.renew(connection, status).await.is_ok() && !self.due_in(status.borrow().parent_clock).is_zero() {
                continue;
            }
            tokio::time::sleep(backoff / 2 + keys::jitter(backoff / 2)).await;
            backoff = (backoff * 2).min(Duration::from_millis(limits::BACKOFF_MAX_MS));
        }
    }

    /// Gets a new certificate over a connection on which none is shown.
    pub(super) async fn renew_bare(&self, dial: &Dial, status: &watch::Sender<LinkStatus>) -> Result<(), Refusal> {
        let tls = pki::client_config(&self.outfit.parent_ca, None, self.outfit.clock.clone()).map_err(of_pki)?;
        let connection = pki::connect_with(&dial.address, tls, &dial.parent, dial.timing.keep_alive).await?;
        self.renew(&connection, status).await
    }

    /// Asks for a new certificate and takes it. How it went is noted in the status.
    async fn renew(&self, connection: &Connection, status: &watch::Sender<LinkStatus>) -> Result<(), Refusal> {
        let clock = &*self.outfit.clock;
        let unsaved = self.with(|shown| (!shown.saved).then(|| shown.chain.clone())).flatten();
        let outcome = match unsaved {
            Some(chain) => self.save(chain).await,
            None => match self.ask(connection).await {
                Ok(answer) => {
                    let parent_clock = ParentClock::heard(answer.clock_ms, clock);
                    status.send_modify(|status| status.parent_clock = Some(parent_clock));
                    parent_clock.gauge(clock);
                    self.take(answer).await
                }
                Err(refusal) => Err(refusal),
            },
        };
        let (at_ms, ends_ms) = (clock.now_ms(), self.valid().map_or(0, |valid| valid.until_ms));
        match &outcome {
            Ok(()) => tracing::info!(certificate_ends_ms = ends_ms, "link: the certificate was renewed"),
            Err(refusal) => {
                tracing::warn!(reason = %refusal.reason, detail = %refusal.detail, certificate_ends_ms = ends_ms,
                    "link: the certificate was not renewed; it will be tried again");
            }
        }
        status.send_modify(|status| {
            status.certificate_ends_ms = ends_ms;
            status.renewal = Some(Renewal { at_ms, trouble: outcome.as_ref().err().cloned() });
        });
        outcome
    }

    async fn ask(&self, connection: &Connection) -> Result<pb::RenewResponse, Refusal> {
        let Outfit { me, link_key, log_key, .. } = &self.outfit;
        let csr = pki::csr(link_key, me).map_err(of_pki)?;
        let proof = log_key.current().sign(&renew_statement(me, &csr, &connection.binding));
        let proof = proof.map_err(|error| Refusal::new(Reason::Internal, format!("the log key: {error}")))?;
        let request = pb::RenewRequest { node: me.to_string(), link_csr: csr.into(), proof: proof.to_vec().into() };
        match tokio::time::timeout(ANSWER_TIMEOUT, client(connection.channel.clone()).renew(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if status.code() == tonic::Code::Unimplemented => Err(Refusal::new(
                Reason::ProtocolUnsupported,
                "the parent's software is older and renews no certificates",
            )),
            Ok(Err(status)) => Err(refusal_of(&status)),
            Err(_) => Err(Refusal::new(Reason::LinkDown, "the parent did not answer in time")),
        }
    }

    /// Takes a certificate that the parent itself will accept, and no other: a bad one must not take the place of a good one.
    async fn take(&self, answer: pb::RenewResponse) -> Result<(), Refusal> {
        let Outfit { me, parent_ca, domain, .. } = &self.outfit;
        let chain: Vec<CertificateDer<'static>> =
            answer.certificates.iter().take(CHAIN_MAX).map(|der| CertificateDer::from(der.to_vec())).collect();
        pki::check_client(&chain, parent_ca, answer.clock_ms)?;
        let shown = self.outfit.shown(chain.clone(), false)?;
        let named = pki::node_of(&chain[0], domain)?;
        if named != *me {
            return Err(Refusal::new(Reason::CertificateUnknown, format!("the new certificate is for {named}")));
        }
        // Used at once, and written then: a full disk keeps no backlog from being delivered.
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        self.gauge();
        self.save(chain).await
    }

    async fn save(&self, chain: Vec<CertificateDer<'static>>) -> Result<(), Refusal> {
        let path = self.outfit.path.clone();
        let written = tokio::task::spawn_blocking(move || pki::write_certificates(&path, &chain)).await;
        written.map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?.map_err(of_pki)?;
        if let Some(shown) = self.shown.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            shown.saved = true;
        }
        Ok(())
    }
}

impl Outfit {
    fn shown(&self, chain: Vec<CertificateDer<'static>>, saved: bool) -> Result<Shown, Refusal> {
        let leaf = chain.first().ok_or_else(|| Refusal::new(Reason::CertificateUnknown, "no certificate"))?;
        let valid = pki::validity(leaf)?;
        // That key and certificate belong together is checked here.
        let own = Identity::new(chain.clone(), &self.link_key);
        let tls = pki::client_config(&self.parent_ca, Some(own), self.clock.clone()).map_err(of_pki)?;
        Ok(Shown { tls, chain, valid, spread: keys::jitter(valid.life() / 12), saved })
    }
}

fn of_pki(error: PkiError) -> Refusal {
    let full = matches!(&error, PkiError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
    Refusal::new(if full { Reason::DiskFull } else { Reason::Internal }, error.to_string())
}

/// Time until a certificate is to be renewed.
fn due_in(valid: Validity, spread: Duration, now_ms: i64) -> Duration {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let due_ms = valid.until_ms.saturating_sub(ms(valid.life() / 3)).saturating_add(ms(spread));
    Duration::from_millis(u64::try_from(due_ms.saturating_sub(now_ms)).unwrap_or(0))
}

/// What a node signs with its log key to get a certificate: who it is, for which request, and on which connection.
pub fn renew_statement(node: &NodeId, csr: &[u8], binding: &Binding) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mut statement = b"danso/renew/v1".to_vec();
    statement.extend_from_slice(&Sha256::digest(node.as_str()));
    statement.extend_from_slice(&Sha256::digest(csr));
    statement.extend_from_slice(&binding.0);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3600 * 1000;
    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_certificate_is_due_when_a_third_of_its_life_is_left_and_at_once_when_it_is_over() {
        let valid = Validity { from_ms: 0, until_ms: 90 * DAY_MS };
        assert_eq!(due_in(valid, Duration::ZERO, 0), 60 * DAY);
        assert_eq!(due_in(valid, DAY, 0), 61 * DAY, "spread");
        assert_eq!(due_in(valid, Duration::ZERO, 59 * DAY_MS), DAY);
        for now_ms in [60 * DAY_MS, 89 * DAY_MS, 900 * DAY_MS, i64::MAX] {
            assert_eq!(due_in(valid, Duration::ZERO, now_ms), Duration::ZERO, "{now_ms}");
        }
        // A clock of years ago is the parent's own; it will come to the day.
        assert_eq!(due_in(valid, Duration::ZERO, -40 * DAY_MS), 100 * DAY);
    }

    #[test]
    fn the_statement_says_who_for_which_request_and_on_which_connection() {
        let node = |key: u8| NodeId::new(&"17065".parse().expect("unit"), &[key; 32]);
        let statement = renew_statement(&node(1), b"request", &Binding([1; 32]));
        assert_eq!(statement.len(), 14 + 3 * 32);
        assert_ne!(statement, renew_statement(&node(2), b"request", &Binding([1; 32])));
        assert_ne!(statement, renew_statement(&node(1), b"other", &Binding([1; 32])));
        assert_ne!(statement, renew_statement(&node(1), b"request", &Binding([2; 32])));
    }
}
