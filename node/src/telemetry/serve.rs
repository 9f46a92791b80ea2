//! Answers `GET /metrics`. The exporter's own listener cannot tell which port it got, and brings an HTTP client along; what Prometheus
//! asks for is one request and one answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::TelemetryError;
use crate::config::Address;

/// Time for one request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests at once.
const REQUESTS_MAX: usize = 8;
/// Bytes of a request's head.
const HEAD_MAX: usize = 8 * 1024;
/// How often histograms are folded, so that they stay small while nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves metrics until it is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Listens on `address`; port 0 takes any free one.
    pub async fn start(address: &Address, metrics: PrometheusHandle) -> Result<Self, TelemetryError> {
        let failed = |source| TelemetryError::Listen { address: address.clone(), source };
        let listener = TcpListener::bind((address.host(), address.port())).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok(Self { address: bound, task: tokio::spawn(serve(listener, metrics)) })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, metrics: PrometheusHandle) {
    let slots = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut upkeep = tokio::time::interval(UPKEEP);
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            _ = upkeep.tick() => {
                metrics.run_upkeep();
                continue;
            }
            next = next => next,
        };
        let Ok((socket, _)) = accepted else {
            // Out of file descriptors: wait for the next turn instead of spinning.
            upkeep.tick().await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            // Who asks and goes away is no event.
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, answer(socket, &metrics)).await;
            drop(slot);
        });
    }
}

async fn answer(mut socket: TcpStream, metrics: &PrometheusHandle) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= HEAD_MAX || socket.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match head.starts_with(b"GET /metrics ") {
        true => ("200 OK", metrics.render()),
        false => ("404 Not Found", "metrics are at /metrics\n".into()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::super::{TLS_REFUSED, builder, describe};
    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut socket = TcpStream::connect(address).await.expect("connect");
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.expect("ask");
        let mut text = String::new();
        socket.read_to_string(&mut text).await.expect("answer");
        text
    }

    #[tokio::test]
    async fn prometheus_gets_its_page_and_others_a_hint() {
        let recorder = builder().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(TLS_REFUSED, "reason" => "certificate_unknown").increment(2);
            metrics::histogram!(super::super::COMMIT_SECONDS).record(0.004);
        });
        let any: Address = "127.0.0.1:0".parse().expect("address");
        let server = MetricsServer::start(&any, recorder.handle()).await.expect("served");
        assert_ne!(server.address().port(), 0);
        let page = get(server.address(), "/metrics").await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("danso_tls_refused_total{reason=\"certificate_unknown\"} 2"), "{page}");
        assert!(page.contains("# HELP danso_tls_refused_total Connections refused"), "{page}");
        assert!(page.contains("danso_commit_seconds_bucket{le=\"0.005\"} 1"), "{page}");
        assert!(get(server.address(), "/").await.starts_with("HTTP/1.1 404 "));
        let taken = Address::from(server.address());
        let error = MetricsServer::start(&taken, recorder.handle()).await.expect_err("taken");
        assert!(error.to_string().contains("metrics.listen"), "{error}");
    }
}
