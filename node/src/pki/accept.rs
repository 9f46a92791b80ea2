//! The parent's end of connections: accepts, makes the handshakes beside each other, and hands on what came through.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use danso_proto::refusal::{Reason, Refusal};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::dial::{is_out_of_time, rustls_error};
use super::peer::PeerStream;
use crate::telemetry;

/// Time for one handshake: five round trips of a bad link.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at once. Further clients wait in the kernel's queue: a storm of reconnects costs time, not memory.
pub const HANDSHAKES_MAX: usize = 256;
/// Time for a refused client to read why.
const LINGER: Duration = Duration::from_secs(1);
/// Pause when the system refuses to accept (no file descriptors): spinning would make it worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts from `listener` until the stream is dropped: then the port is free again, and unfinished handshakes end.
/// For `serve_with_incoming_shutdown`. Must be called inside a tokio runtime.
pub fn accept(listener: TcpListener, config: Arc<ServerConfig>) -> ReceiverStream<io::Result<PeerStream>> {
    let (ready, stream) = mpsc::channel(16);
    tokio::spawn(accept_loop(listener, TlsAcceptor::from(config), ready));
    ReceiverStream::new(stream)
}

async fn accept_loop(listener: TcpListener, tls: TlsAcceptor, ready: mpsc::Sender<io::Result<PeerStream>>) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = ready.closed() => return,
            next = next => next,
        };
        match accepted {
            Ok((socket, peer)) => {
                let (tls, ready) = (tls.clone(), ready.clone());
                tokio::spawn(async move {
                    let stream = tokio::select! {
                        () = ready.closed() => return,
                        stream = handshake(tls, socket, peer) => stream,
                    };
                    drop(slot);
                    if let Some(stream) = stream {
                        // Nobody takes it only when the server ends.
                        drop(ready.send(Ok(stream)).await);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn handshake(tls: TlsAcceptor, socket: TcpStream, peer: SocketAddr) -> Option<PeerStream> {
    if let Err(error) = socket.set_nodelay(true) {
        refused(peer, &error);
        return None;
    }
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(socket).into_fallible()).await {
        Ok(Ok(stream)) => Some(PeerStream(stream)),
        Ok(Err((error, socket))) => {
            refused(peer, &error);
            linger(socket).await;
            None
        }
        Err(_) => {
            refused(peer, &io::ErrorKind::TimedOut.into());
            None
        }
    }
}

/// Lets the client read why it was refused: closing a socket with unread bytes would throw the alert away on its way.
async fn linger(mut socket: TcpStream) {
    let mut rest = [0; 1024];
    let drained = async {
        socket.shutdown().await?;
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever comes of it, the connection is over.
    let _ = timeout(LINGER, drained).await;
}

fn refused(peer: SocketAddr, error: &io::Error) {
    let refusal = refusal_of(error);
    metrics::counter!(telemetry::TLS_REFUSED, "reason" => refusal.reason.code()).increment(1);
    if refusal.reason == Reason::LinkDown {
        // Port scans, health checks, cut lines.
        tracing::debug!(%peer, reason = %refusal.reason, detail = %refusal.detail, "a connection did not come about");
    } else {
        tracing::warn!(%peer, reason = %refusal.reason, detail = %refusal.detail, "refused a connection");
    }
}

/// Why a handshake failed, as seen from the parent.
fn refusal_of(error: &io::Error) -> Refusal {
    match rustls_error(error) {
        Some(cause @ rustls::Error::InvalidCertificate(why)) => {
            let reason = if is_out_of_time(why) { Reason::CertificateExpired } else { Reason::CertificateUnknown };
            Refusal::new(reason, cause.to_string())
        }
        Some(rustls::Error::AlertReceived(alert)) => Refusal::new(
            Reason::CertificateUnknown,
            format!("the client does not accept this node's certificate: {alert:?}"),
        ),
        Some(cause) => Refusal::new(Reason::ProtocolUnsupported, cause.to_string()),
        None => Refusal::new(Reason::LinkDown, error.to_string()),
    }
}
