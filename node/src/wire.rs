//! The gRPC faces: the exchange with children (mTLS), and the operator's services (unix socket). Translates between protobuf and the
//! rooms below, decides who may call what, and holds no rule of its own. Never sees the store.

use danso_proto::limits;
use danso_proto::pb::admin::v1::admin_service_server::AdminServiceServer;
use danso_proto::pb::exchange::v1::exchange_service_server::ExchangeServiceServer;
use danso_proto::pb::query::v1::query_service_server::QueryServiceServer;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::pki;

pub mod admin;
mod exchange;
mod join;
mod permit;
pub mod query;
mod recover;
mod renew;
pub mod status;

pub use exchange::Exchange;
pub use join::JoinDesk;

/// A ping when nothing was heard from a child for this long.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Time for the answer to a ping; then the link counts as cut. As long as at the child's end.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(40);
/// Streams of one connection: an exchange and a few calls.
const STREAMS: u32 = 16;

/// Serves children until `stop` is cancelled.
///
/// # Errors
/// When the listener fails.
pub async fn serve_children(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    exchange: Exchange,
    health: tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let service = ExchangeServiceServer::new(exchange)
        .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
        .max_encoding_message_size(limits::GRPC_MESSAGE_MAX);
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(Some(STREAMS))
        .add_service(service)
        .add_service(health)
        .serve_with_incoming_shutdown(pki::accept(listener, tls), stop.cancelled_owned())
        .await
}

/// Serves the operator until `stop` is cancelled. Whoever can open the socket is the operator: it has mode 0600.
///
/// # Errors
/// When the listener fails.
pub async fn serve_operator(
    listener: UnixListener,
    admin: admin::Admin,
    query: query::Queries,
    health: tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let admin = AdminServiceServer::new(admin)
        .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
        .max_encoding_message_size(limits::OPERATOR_MESSAGE_MAX);
    let query = QueryServiceServer::new(query)
        .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
        .max_encoding_message_size(limits::GRPC_MESSAGE_MAX);
    Server::builder()
        .add_service(admin)
        .add_service(query)
        .add_service(health)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled_owned())
        .await
}
