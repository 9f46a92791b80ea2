//! Asks a node's health service over its socket, as a monitor does. It may not know what makes a node ill.

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use tonic::transport::{Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::node::Node;

/// Whether the service with this name serves; the empty name stands for the node as a whole.
///
/// # Panics
/// When the node does not answer.
pub fn serves(node: &Node, service: &str) -> bool {
    let socket: PathBuf = node.data.join("admin.sock");
    let service = service.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://node").connect_with_connector(connector).await.expect("the socket");
        let answer = HealthClient::new(channel).check(HealthCheckRequest { service }).await.expect("an answer");
        answer.into_inner().status == i32::from(ServingStatus::Serving)
    })
}
