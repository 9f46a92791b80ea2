//! Tests: `init` and `join` die at every point of the disk, and go on where they stopped when they are run again; `recover`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use danso_proto::pb::admin::v1::CreateInviteRequest;
use danso_proto::pb::admin::v1::admin_service_client::AdminServiceClient;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};

use super::init::{self, Init, Made};
use super::{Error, join, run};
use crate::config::{Config, Layout, Server};
use crate::faults::harness::{Detail, content, die_everywhere};
use crate::token::Token;

mod backup;
mod migrate;
mod recover;
mod root;

fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(test);
}

fn list(dir: &Path) -> PathBuf {
    let path = dir.join("units.csv");
    let text =
        "code,name,tier,parent_code\nVN,Việt Nam,central,\n40,Nghệ An,province,VN\n17065,Châu Quang,commune,40\n";
    std::fs::write(&path, text).expect("a list");
    path
}

async fn set_up(data: &Path, units: &Path) -> Result<Made, Error> {
    set_up_on(data, units, None).await
}

async fn set_up_on(data: &Path, units: &Path, server: Option<Server>) -> Result<Made, Error> {
    init::init(Init {
        data,
        unit: "VN".parse().expect("a code"),
        units,
        units_version: "vn-2024",
        valid_from: None,
        listen: "127.0.0.1:0".parse().expect("an address"),
        advertise: None,
        server,
    })
    .await
}

/// What was done before is no fault.
fn finished(done: Result<impl Sized, Error>, about: &str) {
    match done {
        Ok(_) => {}
        Err(Error::Refused(refusal)) if refusal.reason == danso_proto::refusal::Reason::AlreadyJoined => {}
        Err(error) => panic!("{about}: {error:?}"),
    }
}

/// The tables without the node's own id, which comes from a drawn key.
async fn meaning(dir: &Path) -> String {
    let layout = Layout::open(dir).expect("a node's directory");
    let key = crate::keys::LogKey::load(&layout.log_key()).expect("its key");
    let unit = Config::load(&layout.config()).expect("its configuration").unit;
    let node = danso_proto::ids::NodeId::new(&unit, &super::public_bytes(&key));
    content(dir, Detail::Meaning).await.replace(node.as_str(), "ME")
}

#[test]
fn init_goes_on_wherever_it_died() {
    on_runtime(async {
        let place = tempfile::tempdir().expect("directory");
        let units = list(place.path());
        let after = RefCell::new(String::new());
        let points = die_everywhere(
            &place.path().join("nothing"),
            async |dir: PathBuf| drop(set_up(&dir, &units).await),
            async |dir: PathBuf| drop(after.replace(meaning(&dir).await)),
            async |dir: PathBuf, at, point| {
                let about = format!("init, dying at point {at} ({point:?})");
                finished(set_up(&dir, &units).await, &about);
                assert_eq!(meaning(&dir).await, *after.borrow(), "{about}");
            },
        )
        .await;
        println!("init: died at {} points", points.len());
        assert!(points.len() > 40, "{points:?}");
    });
}

/// A client of the operator's socket, once it is there.
async fn operator(layout: &Layout) -> AdminServiceClient<Channel> {
    let socket = layout.admin_socket();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let path = socket.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        });
        match Endpoint::from_static("http://node").connect_with_connector(connector).await {
            Ok(channel) => return AdminServiceClient::new(channel),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "the parent does not answer: {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A parent, on a runtime of its own while it serves, as a process of its own would have.
struct Parent {
    data: PathBuf,
    layout: Layout,
    serving: Option<(CancellationToken, std::thread::JoinHandle<Result<(), Error>>)>,
}

impl Parent {
    async fn starts(place: &Path) -> Self {
        let data = place.join("VN");
        set_up(&data, &list(place)).await.expect("a parent");
        let layout = Layout::open(&data).expect("its directory");
        let mut parent = Self { data, layout, serving: None };
        parent.serves();
        parent
    }

    fn serves(&mut self) {
        let config = Config::load(&self.layout.config()).expect("its configuration");
        let stop = CancellationToken::new();
        let (layout, over) = (self.layout.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
            runtime.block_on(run::serve(&layout, &config, &over))
        });
        self.serving = Some((stop, thread));
    }

    fn stops(&mut self) {
        let (stop, thread) = self.serving.take().expect("it serves");
        stop.cancel();
        thread.join().expect("the parent").expect("ended in order");
    }

    /// A token for the commune.
    async fn invite(&self) -> String {
        let request = CreateInviteRequest { unit: "17065".into(), again: true, ..Default::default() };
        operator(&self.layout).await.create_invite(request).await.expect("an invite").into_inner().token
    }

    /// A token with which a node gets its place back.
    async fn invite_lost(&self, node: &danso_proto::ids::NodeId) -> String {
        let request = CreateInviteRequest { node: node.to_string(), ..Default::default() };
        operator(&self.layout).await.create_invite(request).await.expect("an invite").into_inner().token
    }
}

async fn join_with(data: &Path, token: &str) -> Result<join::Joined, Error> {
    let token: Token = token.parse().expect("a token");
    join::join(data, token, ("127.0.0.1:0".parse().expect("an address"), None), None).await
}

#[test]
fn join_goes_on_wherever_it_died() {
    on_runtime(async {
        let place = tempfile::Builder::new().prefix("danso-").tempdir().expect("directory");
        let mut parent = Parent::starts(place.path()).await;
        let token = RefCell::new(String::new());
        // The directory grows with every child that joins, so that only what does not is compared.
        let own = async |dir: &Path| {
            let layout = Layout::open(dir).expect("a node's directory");
            for file in [layout.link_certificate(), layout.parent_ca_certificate(), layout.ca_certificate()] {
                crate::pki::read_certificates(&file).expect("a certificate");
            }
            let config = Config::load(&layout.config()).expect("its configuration");
            assert!(config.parent.is_some());
            assert!(!meaning(dir).await.is_empty());
        };
        let points = die_everywhere(
            &place.path().join("nothing"),
            async |dir: PathBuf| {
                token.replace(parent.invite().await);
                let token = token.borrow().clone();
                drop(join_with(&dir, &token).await);
            },
            async |dir: PathBuf| own(&dir).await,
            async |dir: PathBuf, at, point| {
                let about = format!("join, dying at point {at} ({point:?})");
                let token = token.borrow().clone();
                finished(join_with(&dir, &token).await, &about);
                own(&dir).await;
                let layout = Layout::open(&dir).expect("a node's directory");
                let store = crate::store::Store::open(&layout.database()).await.expect("it opens");
                let (anchor, parent) = run::place(&store).await.expect("it knows its place");
                assert!(parent.is_some(), "{about}");
                let signer = std::sync::Arc::new(crate::keys::LogKey::load(&layout.log_key()).expect("its key"));
                let outfit = crate::pipeline::Outfit { store: store.clone(), signer, clock: super::clock(), anchor };
                let snapshot = crate::pipeline::look(&outfit).await.expect("its directory verifies");
                assert!(snapshot.directory().node(snapshot.me()).is_some(), "{about}: it is enrolled");
                drop(snapshot);
                store.close().await;
            },
        )
        .await;
        println!("join: died at {} points", points.len());
        assert!(points.len() > 40, "{points:?}");
        parent.stops();
    });
}
