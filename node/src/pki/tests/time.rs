//! Certificates and time: none that a parent serves ends, and a proof is bound to one connection.

use super::*;

#[test]
fn a_parent_serves_no_certificate_that_ends_and_its_clock_at_the_start_does_not_matter() {
    let dir = tempfile::tempdir().expect("dir");
    let ca = ca(dir.path(), "ca", &node("VN", 1));
    let key = LinkKey::create(&dir.path().join("server.pem")).expect("key");
    let always = validity(&ca.server_certificate(&key).expect("made")).expect("read");
    assert_eq!((always.from_ms, always), (0, validity(ca.certificate()).expect("read")));
    assert!(always.holds(NOW + 1000 * 365 * DAY.as_millis() as i64));
    // A parent whose clock says 1970, or before, still gives out certificates that are good by its clock.
    let (link, child) = (LinkKey::create(&dir.path().join("link.pem")).expect("key"), node("17065", 2));
    for now in [-1_000_000_000, 0, 1, NOW] {
        let request = csr(&link, &child).expect("request");
        let certificate = ca.issue(&request, &child, now, CERTIFICATE_LIFE).expect("issued");
        assert_eq!(check_client(&[certificate], ca.certificate(), now), Ok(()), "{now}");
    }
}

#[test]
fn a_ca_with_an_end_is_made_anew_and_its_children_go_on_trusting_it() {
    counted(async {
        let bench = Bench::start().await;
        let (key, certificate) = (bench.dir.path().join("ca.pem"), bench.dir.path().join("ca-cert.pem"));
        let ends = Validity { from_ms: 0, until_ms: NOW - 1_000 };
        let old =
            Ca::create_for(&key, &certificate, &bench.parent, &domain(), ends).expect("as the first versions did");
        let pinned = old.certificate().clone();
        let new = Ca::load(&key, &certificate).expect("read");
        assert_ne!(new.certificate(), &pinned);
        assert_eq!(read_certificates(&certificate).expect("written")[0], *new.certificate());
        assert_eq!(Ca::load(&key, &certificate).expect("again").certificate(), new.certificate(), "once");
        // The child has pinned what its invite said; the parent shows and issues with the new one.
        let server_key = LinkKey::load(&bench.dir.path().join("server.pem")).expect("key");
        let chain = vec![new.server_certificate(&server_key).expect("made"), new.certificate().clone()];
        let config = server_config(Identity::new(chain, &server_key), new.certificate(), bench.clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address: Address = listener.local_addr().expect("address").into();
        let request = csr(&bench.key, &bench.child).expect("request");
        let own = new.issue(&request, &bench.child, NOW, CERTIFICATE_LIFE).expect("issued");
        assert_eq!(check_client(std::slice::from_ref(&own), &pinned, NOW), Ok(()));
        let (note, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(HealthServer::new(Watcher(note)))
                .serve_with_incoming(accept(listener, config.expect("server"))),
        );
        let child = Identity::new(vec![own], &bench.key);
        let config = client_config(&pinned, Some(child), bench.clock.clone()).expect("client");
        let channel = connect(&address, config, &bench.parent).await.expect("trusted");
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("answered");
        assert!(seen.recv().await.expect("the handler ran").is_some());
    });
}

#[test]
fn both_ends_of_a_connection_have_the_same_binding_and_no_other_connection_has_it() {
    /// Gives back the binding that the parent saw.
    struct Bindings(mpsc::UnboundedSender<Binding>);

    #[tonic::async_trait]
    impl Health for Bindings {
        type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, tonic::Status>>;

        async fn check(
            &self,
            request: tonic::Request<HealthCheckRequest>,
        ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
            self.0.send(peer_binding(request.extensions()).expect("bound")).expect("the test listens");
            Ok(tonic::Response::new(HealthCheckResponse { status: ServingStatus::Serving as i32 }))
        }

        async fn watch(
            &self,
            _: tonic::Request<HealthCheckRequest>,
        ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
            Ok(tonic::Response::new(tokio_stream::empty()))
        }
    }

    counted(async {
        let bench = Bench::start().await;
        let server_key = LinkKey::load(&bench.dir.path().join("server.pem")).expect("key");
        let own = Identity::new(vec![bench.ca.server_certificate(&server_key).expect("made")], &server_key);
        let config = server_config(own, bench.ca.certificate(), bench.clock.clone()).expect("server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = Address::from(listener.local_addr().expect("address"));
        let (note, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(HealthServer::new(Bindings(note)))
                .serve_with_incoming(accept(listener, config)),
        );
        let mut all = Vec::new();
        for own in [None, Some(bench.issue()), None] {
            let own = own.map(|certificate| Identity::new(vec![certificate], &bench.key));
            let config = client_config(bench.ca.certificate(), own, bench.clock.clone()).expect("client");
            let connected = connect_with(&address, config, &bench.parent, KeepAlive::default()).await.expect("through");
            for _ in 0..2 {
                let mut client = HealthClient::new(connected.channel.clone());
                client.check(HealthCheckRequest::default()).await.expect("answered");
                assert_eq!(seen.recv().await, Some(connected.binding));
            }
            assert!(!all.contains(&connected.binding));
            all.push(connected.binding);
        }
    });
}
