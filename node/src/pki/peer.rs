//! What the parent knows of a connection before any call on it: the peer's address, the certificate that it showed, and the keying material
//! that binds a proof to this very connection. Knows nothing of who may do what.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};
use rustls::ConnectionCommon;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Label of the exported keying material (RFC 5705 keeps "EXPERIMENTAL" for labels that are registered nowhere).
const LABEL: &[u8] = b"EXPERIMENTAL danso/renew/v1";

/// Keying material that both ends of one TLS connection can export and nobody else: what is signed with it proves something on this
/// connection only, and cannot be played again on another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding(pub [u8; 32]);

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(..)")
    }
}

/// The binding of a connection whose handshake is over.
pub(super) fn binding<D>(connection: &ConnectionCommon<D>) -> Result<Binding, rustls::Error> {
    connection.export_keying_material([0; 32], LABEL, None).map(Binding)
}

/// A connection whose peer is proven as far as it wanted to be.
#[derive(Debug)]
pub struct PeerStream(pub(super) TlsStream<TcpStream>);

/// What tonic gives the handlers of every call on a connection.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    address: Option<SocketAddr>,
    certificate: Option<CertificateDer<'static>>,
    binding: Option<Binding>,
    /// Calls on this connection for which nobody was proven yet.
    unproven: Arc<AtomicU32>,
}

impl Connected for PeerStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        let (socket, tls) = self.0.get_ref();
        PeerInfo {
            address: socket.peer_addr().ok(),
            certificate: tls.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.clone().into_owned()),
            binding: binding(tls).ok(),
            unproven: Arc::default(),
        }
    }
}

/// The address of the client of a call, for log lines; empty when it is not known.
pub fn peer_address(extensions: &tonic::Extensions) -> String {
    let address = extensions.get::<PeerInfo>().and_then(|peer| peer.address);
    address.map(|address| address.to_string()).unwrap_or_default()
}

/// The certificate that the client of a call has proven to own; `None` when it showed none.
pub fn peer_certificate(extensions: &tonic::Extensions) -> Option<CertificateDer<'static>> {
    extensions.get::<PeerInfo>()?.certificate.clone()
}

/// The binding of the connection that a call came over.
pub fn peer_binding(extensions: &tonic::Extensions) -> Option<Binding> {
    extensions.get::<PeerInfo>()?.binding
}

/// Counts a call that needs no certificate, before anything is done for it. A peer that showed one is not counted: it is known who it is.
///
/// # Errors
/// `too_many_calls`.
pub fn count_unproven(extensions: &tonic::Extensions) -> Result<(), Refusal> {
    let Some(peer) = extensions.get::<PeerInfo>().filter(|peer| peer.certificate.is_none()) else { return Ok(()) };
    // Saturating: whoever calls four billion times does not get a new allowance.
    let count = |calls: u32| Some(calls.saturating_add(1));
    let before = peer.unproven.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).unwrap_or(u32::MAX);
    match before < limits::UNPROVEN_CALLS_MAX {
        true => Ok(()),
        false => {
            let detail = format!("at most {} over one connection", limits::UNPROVEN_CALLS_MAX);
            Err(Refusal::new(Reason::TooManyCalls, detail))
        }
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
