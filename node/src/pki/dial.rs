//! The child's end of connections: dials its parent, whatever its address, and says why that failed.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use danso_proto::ids::NodeId;
use danso_proto::refusal::{Reason, Refusal};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::names::dns_name;
use super::peer::{Binding, binding};
use crate::config::Address;

/// Time to reach the parent: name, TCP and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How a connection that says nothing any more is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// A ping when nothing was heard for this long, also between calls: middle boxes forget silent connections.
    pub interval: Duration,
    /// Time for the answer to a ping; then the link counts as cut. The ping waits behind what is on its way: with a minute from the last
    /// byte heard, a package of 128 KiB passes at 2 KiB a second.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(20), timeout: Duration::from_secs(40) }
    }
}

/// A connection to the parent. The channel never connects again by itself: what was proven with the binding holds for all of it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// For calls.
    pub channel: Channel,
    /// What a proof on this connection is bound to.
    pub binding: Binding,
}

/// As [`connect_with`], with the usual keep-alive, for who proves nothing on the connection.
pub async fn connect(address: &Address, config: Arc<ClientConfig>, parent: &NodeId) -> Result<Channel, Refusal> {
    connect_with(address, config, parent, KeepAlive::default()).await.map(|connection| connection.channel)
}

/// Connects to `parent` at `address` and waits until the parent has accepted what this node shows. Message sizes are for the caller to
/// set. Refused: `CertificateExpired` (our certificate is not valid by the parent's clock), `CertificateUnknown` (the parent does not take
/// it), `AnchorMismatch` (it is not the parent), `ClockSkew` (its certificate is not valid by our clock), `ProtocolUnsupported`, `LinkDown`.
/// For calls on the channel see [`refusal_in`].
pub async fn connect_with(
    address: &Address,
    config: Arc<ClientConfig>,
    parent: &NodeId,
    keep_alive: KeepAlive,
) -> Result<Connection, Refusal> {
    let internal = |error: &dyn Error| Refusal::new(Reason::Internal, error.to_string());
    let name = dns_name(parent);
    let server = ServerName::try_from(name.clone()).map_err(|error| internal(&error))?;
    // To tonic the connection is plain: TLS is the connector's.
    let origin = format!("https://{name}").parse().map_err(|error| internal(&error))?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| internal(&error))?
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(keep_alive.interval)
        .keep_alive_timeout(keep_alive.timeout)
        .keep_alive_while_idle(true);
    let target = (address.host().to_owned(), address.port());
    let bound = Arc::new(OnceLock::new());
    let bind = bound.clone();
    let connector = tower::service_fn(move |_| {
        let (target, server, tls) = (target.clone(), server.clone(), TlsConnector::from(config.clone()));
        let bind = bind.clone();
        async move {
            if bind.get().is_some() {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection ended"));
            }
            let socket = TcpStream::connect(target).await?;
            socket.set_nodelay(true)?;
            let mut stream = tls.connect(server, socket).await?;
            // In TLS 1.3 the client's handshake is over before the parent has looked at its certificate. The parent speaks first
            // (HTTP/2 settings): waiting for that makes a refusal show here, not as some call's "connection closed".
            if stream.fill_buf().await?.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            bind.get_or_init(|| binding(stream.get_ref().1));
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| refusal_in(&error))?;
    match bound.get() {
        Some(Ok(binding)) => Ok(Connection { channel, binding: *binding }),
        Some(Err(error)) => Err(refusal_of(error)),
        None => Err(Refusal::new(Reason::Internal, "a connection without a handshake")),
    }
}

/// Why a connection or a call on it failed, as seen from the child: looks for a TLS error among the causes, else the link is down.
pub fn refusal_in(error: &(dyn Error + 'static)) -> Refusal {
    if let Some(cause) = rustls_error(error) {
        return refusal_of(cause);
    }
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let text = last.to_string();
    // HTTP/2 keeps only the text of some causes.
    if text.contains("fatal alert: CertificateExpired") {
        return out_of_time();
    }
    if text.contains("fatal alert") {
        return Refusal::new(Reason::CertificateUnknown, format!("the parent ended the connection: {text}"));
    }
    Refusal::new(Reason::LinkDown, text)
}

fn refusal_of(error: &rustls::Error) -> Refusal {
    match error {
        rustls::Error::InvalidCertificate(cause) => match cause {
            _ if is_out_of_time(cause) => Refusal::new(
                Reason::ClockSkew,
                format!("the parent's certificate is not valid by this node's clock ({cause}): set the clock"),
            ),
            _ => Refusal::new(Reason::AnchorMismatch, format!("who answers at the address is not the parent: {cause}")),
        },
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol | AlertDescription::ProtocolVersion) => {
            Refusal::new(Reason::ProtocolUnsupported, error.to_string())
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => out_of_time(),
        rustls::Error::AlertReceived(alert) => Refusal::new(
            Reason::CertificateUnknown,
            format!("the parent does not accept this node's certificate: {alert:?}"),
        ),
        _ => Refusal::new(Reason::ProtocolUnsupported, error.to_string()),
    }
}

fn out_of_time() -> Refusal {
    Refusal::new(Reason::CertificateExpired, "this node's certificate is not valid by the parent's clock")
}

/// Whether a certificate is refused for the time alone: expired, or not valid yet.
pub(super) fn is_out_of_time(cause: &CertificateError) -> bool {
    use CertificateError as C;
    matches!(cause, C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. })
}

/// The TLS error among the causes of `error`.
pub(super) fn rustls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error leaves what it holds out of its sources.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map(|held| held as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}
