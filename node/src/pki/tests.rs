//! Links in one process, with real sockets: who gets through, who does not, and what each side is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use danso_proto::ids::{Fingerprint, NodeId};
use danso_proto::refusal::{Reason, Refusal};
use metrics_exporter_prometheus::PrometheusBuilder;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::config::Address;
use crate::keys::LinkKey;

mod time;

const NOW: i64 = 1_800_000_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn node(unit: &str, key: u8) -> NodeId {
    NodeId::new(&unit.parse().expect("unit"), &[key; 32])
}

fn domain() -> TrustDomain {
    TrustDomain::of_anchor(&Fingerprint([0xaa; 32]))
}

fn ca(dir: &Path, name: &str, node: &NodeId) -> Ca {
    let (key, certificate) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}-cert.pem")));
    Ca::create(&key, &certificate, node, &domain()).expect("made");
    Ca::load(&key, &certificate).expect("read")
}

/// A health service that answers only, and notes whom it saw.
struct Watcher(mpsc::UnboundedSender<Option<CertificateDer<'static>>>);

#[tonic::async_trait]
impl Health for Watcher {
    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, tonic::Status>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        self.0.send(peer_certificate(request.extensions())).expect("the test listens");
        assert!(!peer_address(request.extensions()).is_empty());
        Ok(tonic::Response::new(HealthCheckResponse { status: ServingStatus::Serving as i32 }))
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        Ok(tonic::Response::new(tokio_stream::empty()))
    }
}

/// A parent that listens, and a child with its keys.
struct Bench {
    dir: tempfile::TempDir,
    ca: Ca,
    parent: NodeId,
    child: NodeId,
    clock: Arc<ManualClock>,
    key: LinkKey,
    address: Address,
    seen: mpsc::UnboundedReceiver<Option<CertificateDer<'static>>>,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Bench {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let (parent, child) = (node("VN", 1), node("17065", 2));
        let ca = ca(dir.path(), "ca", &parent);
        let clock = Arc::new(ManualClock::new(NOW));
        let server_key = LinkKey::create(&dir.path().join("server.pem")).expect("key");
        let own = Identity::new(vec![ca.server_certificate(&server_key).expect("certificate")], &server_key);
        let config = server_config(own, ca.certificate(), clock.clone()).expect("server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address").into();
        let (note, seen) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let incoming = accept(listener, config);
        let server = tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(HealthServer::new(Watcher(note)))
                .serve_with_incoming_shutdown(incoming, async { drop(stopped.await) }),
        );
        let key = LinkKey::create(&dir.path().join("link.pem")).expect("key");
        Self { dir, ca, parent, child, clock, key, address, seen, stop: Some(stop), server }
    }

    fn issue(&self) -> CertificateDer<'static> {
        let csr = csr(&self.key, &self.child).expect("request");
        self.ca.issue(&csr, &self.child, NOW, CERTIFICATE_LIFE).expect("issued")
    }

    /// Connects and makes one call; the certificate that the parent saw.
    async fn call(&mut self, own: Option<CertificateDer<'static>>) -> Result<Option<CertificateDer<'static>>, Refusal> {
        let root = self.ca.certificate().clone();
        self.call_as(own, &root, &self.parent.clone(), self.clock.clone()).await
    }

    async fn call_as(
        &mut self,
        own: Option<CertificateDer<'static>>,
        root: &CertificateDer<'_>,
        parent: &NodeId,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<CertificateDer<'static>>, Refusal> {
        let own = own.map(|certificate| Identity::new(vec![certificate], &self.key));
        let config = client_config(root, own, clock).expect("client");
        let channel = connect(&self.address, config, parent).await?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        answer.map_err(|status| refusal_in(&status))?;
        Ok(self.seen.recv().await.expect("the handler ran"))
    }
}

/// Runs a test with its own counters; gives back how many connections were refused, by reason.
fn counted<F: Future<Output = ()>>(test: F) -> BTreeMap<String, u64> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    metrics::with_local_recorder(&recorder, || runtime.block_on(test));
    let page = recorder.handle().render();
    page.lines()
        .filter_map(|line| line.strip_prefix("danso_tls_refused_total{reason=\"")?.split_once("\"} "))
        .map(|(reason, count)| (reason.to_owned(), count.parse().expect("count")))
        .collect()
}

fn only(reason: Reason) -> BTreeMap<String, u64> {
    BTreeMap::from([(reason.code().to_owned(), 1)])
}

#[test]
fn the_handler_sees_which_node_calls() {
    let refused = counted(async {
        let mut bench = Bench::start().await;
        let certificate = bench.issue();
        let seen = bench.call(Some(certificate.clone())).await.expect("through").expect("a certificate");
        assert_eq!(seen, certificate);
        assert_eq!(node_of(&seen, &domain()), Ok(bench.child.clone()));
        let other = TrustDomain::of_anchor(&Fingerprint([0xbb; 32]));
        assert_eq!(node_of(&seen, &other).expect_err("foreign").reason, Reason::CertificateUnknown);
        assert_eq!(not_after_ms(&seen), Ok(NOW + CERTIFICATE_LIFE.as_millis() as i64));
    });
    assert_eq!(refused, BTreeMap::new());
}

#[test]
fn without_a_certificate_a_client_gets_through_and_is_nobody() {
    let refused = counted(async {
        let mut bench = Bench::start().await;
        assert_eq!(bench.call(None).await, Ok(None));
    });
    assert_eq!(refused, BTreeMap::new());
}

#[test]
fn a_certificate_of_another_ca_is_refused_and_counted() {
    let refused = counted(async {
        let mut bench = Bench::start().await;
        // The same name, and even the same subject as the right CA.
        let foreign = ca(bench.dir.path(), "foreign", &bench.parent);
        let request = csr(&bench.key, &bench.child).expect("request");
        let certificate = foreign.issue(&request, &bench.child, NOW, CERTIFICATE_LIFE).expect("issued");
        let refusal = bench.call(Some(certificate)).await.expect_err("refused");
        assert_eq!(refusal.reason, Reason::CertificateUnknown, "{refusal}");
        let good = bench.issue();
        assert!(bench.call(Some(good)).await.is_ok(), "others are unharmed");
    });
    assert_eq!(refused, only(Reason::CertificateUnknown));
}

#[test]
fn an_expired_certificate_is_refused_and_counted() {
    let refused = counted(async {
        let mut bench = Bench::start().await;
        let certificate = bench.issue();
        bench.clock.advance(CERTIFICATE_LIFE - DAY);
        assert!(bench.call(Some(certificate.clone())).await.is_ok(), "to its last day");
        bench.clock.advance(2 * DAY);
        let refusal = bench.call(Some(certificate.clone())).await.expect_err("refused");
        assert_eq!(refusal.reason, Reason::CertificateExpired, "{refusal}");
        bench.clock.set_ms(NOW - 2 * DAY.as_millis() as i64);
        let refusal = bench.call(Some(certificate)).await.expect_err("refused");
        assert_eq!(refusal.reason, Reason::CertificateExpired, "of the future: {refusal}");
    });
    assert_eq!(refused, BTreeMap::from([(Reason::CertificateExpired.code().to_owned(), 2)]));
}

#[test]
fn a_client_with_a_wrong_clock_gets_through() {
    const YEAR: i64 = 365 * DAY.as_millis() as i64;
    counted(async {
        let mut bench = Bench::start().await;
        let (certificate, root, parent) = (bench.issue(), bench.ca.certificate().clone(), bench.parent.clone());
        // 1960, 1970, 2060 and thousands of years from now.
        for now in [-10 * YEAR, 0, 90 * YEAR, 8_000 * YEAR] {
            let clock = Arc::new(ManualClock::new(now));
            let seen = bench.call_as(Some(certificate.clone()), &root, &parent, clock).await;
            assert!(seen.expect("through").is_some(), "{now}");
        }
    });
}

#[test]
fn who_is_not_the_parent_is_not_talked_to() {
    let refused = counted(async {
        let mut bench = Bench::start().await;
        let (root, parent, clock) = (bench.ca.certificate().clone(), bench.parent.clone(), bench.clock.clone());
        let refusal = bench.call_as(None, &root, &node("40", 9), clock.clone()).await.expect_err("another name");
        assert_eq!(refusal.reason, Reason::AnchorMismatch, "{refusal}");
        let foreign = ca(bench.dir.path(), "foreign", &parent);
        let refusal = bench.call_as(None, foreign.certificate(), &parent, clock).await.expect_err("another CA");
        assert_eq!(refusal.reason, Reason::AnchorMismatch, "{refusal}");
        // The parent's log has both before a good call ends.
        bench.call(None).await.expect("through");
    });
    assert_eq!(refused, BTreeMap::from([(Reason::CertificateUnknown.code().to_owned(), 2)]));
}

#[test]
fn a_child_cannot_pose_as_its_parent() {
    counted(async {
        let mut bench = Bench::start().await;
        // A server with a sibling's certificate, rightly issued by the parent's CA.
        let own = Identity::new(vec![bench.issue()], &bench.key);
        let config = server_config(own, bench.ca.certificate(), bench.clock.clone()).expect("server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        bench.address = listener.local_addr().expect("address").into();
        let _incoming = accept(listener, config);
        assert_eq!(bench.call(None).await.expect_err("refused").reason, Reason::AnchorMismatch);
    });
}

#[test]
fn who_speaks_no_tls_is_refused_and_counted_and_nobody_home_is_a_link_down() {
    let refused = counted(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut bench = Bench::start().await;
        let mut socket =
            tokio::net::TcpStream::connect((bench.address.host(), bench.address.port())).await.expect("tcp");
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await; // an alert, then the end or a reset
        bench.stop.take().expect("running").send(()).expect("told");
        (&mut bench.server).await.expect("no panic").expect("served");
        // The accept loop frees the port when its stream is gone.
        while TcpListener::bind((bench.address.host(), bench.address.port())).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.call(None).await.expect_err("nobody").reason, Reason::LinkDown);
    });
    assert_eq!(refused, only(Reason::ProtocolUnsupported));
}

#[test]
fn a_silent_client_is_let_go_and_keeps_nobody_out() {
    let refused = counted(async {
        use tokio::io::AsyncReadExt as _;
        let mut bench = Bench::start().await;
        let mut silent =
            tokio::net::TcpStream::connect((bench.address.host(), bench.address.port())).await.expect("tcp");
        bench.call(None).await.expect("beside it");
        tokio::time::pause(); // from here on time passes when everybody waits
        assert_eq!(silent.read(&mut [0; 1]).await.expect("ended by the parent"), 0);
    });
    assert_eq!(refused, only(Reason::LinkDown));
}

#[test]
fn the_refused_client_is_told_why_on_many_threads_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let mut bench = Bench::start().await;
        let foreign = ca(bench.dir.path(), "foreign", &node("VN", 7));
        let request = csr(&bench.key, &bench.child).expect("request");
        let certificate = foreign.issue(&request, &bench.child, NOW, CERTIFICATE_LIFE).expect("issued");
        for _ in 0..20 {
            let refusal = bench.call(Some(certificate.clone())).await.expect_err("refused");
            assert_eq!(refusal.reason, Reason::CertificateUnknown, "{refusal}");
        }
    });
}

#[test]
fn a_request_gets_our_profile_whatever_it_asks_for() {
    let dir = tempfile::tempdir().expect("dir");
    let (parent, child) = (node("VN", 1), node("17065", 2));
    let ca = ca(dir.path(), "ca", &parent);
    let key = rcgen::KeyPair::generate().expect("key");
    let mut wish = rcgen::CertificateParams::new(vec!["evil.example".into()]).expect("params");
    wish.subject_alt_names.push(rcgen::SanType::URI(domain().uri(&parent).try_into().expect("uri")));
    wish.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wish.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    wish.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    let request = wish.serialize_request(&key).expect("request").der().to_vec();
    let first = ca.issue(&request, &child, NOW, CERTIFICATE_LIFE).expect("issued");
    let second = ca.issue(&request, &child, NOW, 100_000 * CERTIFICATE_LIFE).expect("issued");
    let (_, read) = x509_parser::parse_x509_certificate(&first).expect("certificate");
    assert_eq!(node_of(&first, &domain()), Ok(child.clone()));
    assert!(!read.is_ca());
    let names = read.subject_alternative_name().expect("readable").expect("present").value.general_names.len();
    assert_eq!(names, 2, "one URI and one DNS name");
    assert!(!format!("{read:?}").contains("evil"));
    let usage = read.key_usage().expect("readable").expect("present").value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    let extended = read.extended_key_usage().expect("readable").expect("present").value;
    assert!(extended.client_auth && extended.server_auth && !extended.code_signing && !extended.any);
    assert_eq!(read.public_key().subject_public_key.data, key.public_key_raw());
    let (_, other) = x509_parser::parse_x509_certificate(&second).expect("certificate");
    assert_ne!(read.raw_serial(), other.raw_serial());
    assert_eq!(not_after_ms(&second), not_after_ms(ca.certificate()), "no certificate outlives its CA");
}

#[test]
fn a_broken_request_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let ca = ca(dir.path(), "ca", &node("VN", 1));
    let child = node("17065", 2);
    let key = LinkKey::create(&dir.path().join("link.pem")).expect("key");
    let good = csr(&key, &child).expect("request");
    let mut refused = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        match ca.issue(&bad, &child, NOW, CERTIFICATE_LIFE) {
            Err(refusal) => {
                assert_eq!(refusal.reason, Reason::JoinProofInvalid, "byte {at}: {refusal}");
                refused += 1;
            }
            // A tag outside the signed part is read leniently: the key is the proven one all the same.
            Ok(certificate) => {
                let (_, read) = x509_parser::parse_x509_certificate(&certificate).expect("certificate");
                assert_eq!(read.public_key().subject_public_key.data, key.pair().public_key_raw(), "byte {at}");
            }
        }
    }
    assert!(refused >= good.len() - 2, "{refused} of {}", good.len());
    for bad in [&[][..], b"no request", &[0x30; 100_000]] {
        let refusal = ca.issue(bad, &child, NOW, CERTIFICATE_LIFE).expect_err("refused");
        assert_eq!(refusal.reason, Reason::JoinProofInvalid);
    }
}

#[test]
fn a_certificate_names_one_node_or_none() {
    let key = rcgen::KeyPair::generate().expect("key");
    let uri = |text: String| rcgen::SanType::URI(text.try_into().expect("uri"));
    let (one, two) = (domain().uri(&node("1", 1)), domain().uri(&node("2", 2)));
    let made = |names: Vec<rcgen::SanType>| {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".into()]).expect("params");
        params.subject_alt_names.extend(names);
        params.self_signed(&key).expect("certificate").der().to_vec()
    };
    assert!(node_of(&made(vec![uri(one.clone())]), &domain()).is_ok());
    for bad in [
        made(vec![]),
        made(vec![uri(one.clone()), uri(two)]),
        made(vec![uri(one.replace("spiffe", "https"))]),
        made(vec![uri(format!("{one}/more"))]),
        made(vec![uri("spiffe://A B/node/1-0123456789abcdef".replace(' ', ""))]),
        b"no certificate".to_vec(),
        [made(vec![uri(one)]), vec![0]].concat(),
    ] {
        assert_eq!(node_of(&bad, &domain()).expect_err("refused").reason, Reason::CertificateUnknown);
    }
}

#[test]
fn a_ca_is_read_back_and_an_interrupted_set_up_runs_again() {
    let dir = tempfile::tempdir().expect("dir");
    let (key, certificate) = (dir.path().join("ca.pem"), dir.path().join("ca-cert.pem"));
    let parent = node("VN", 1);
    assert!(matches!(Ca::load(&key, &certificate), Err(PkiError::Key(KeyError::Missing(_)))));
    Ca::create(&key, &certificate, &parent, &domain()).expect("made");
    std::fs::remove_file(&certificate).expect("as if killed before it was written");
    assert!(matches!(Ca::load(&key, &certificate), Err(PkiError::Io { .. })));
    let made = Ca::create(&key, &certificate, &parent, &domain()).expect("made again");
    let read = Ca::load(&key, &certificate).expect("read");
    assert_eq!((read.certificate(), read.domain()), (made.certificate(), &domain()));
    let other = ca(dir.path(), "other", &parent);
    write_certificates(&certificate, std::slice::from_ref(other.certificate())).expect("written");
    let error = Ca::load(&key, &certificate).expect_err("not a pair");
    assert!(error.to_string().contains("does not belong"), "{error}");
}
