//! Lines that are cut, that fall silent without a word, and that nobody uses for a while.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use danso_core::sync::{Frame, Hello};
use danso_node::clock::Clock as _;
use danso_node::config::Address;
use danso_node::link::{Children, LinkState};
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::refusal::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::bed::{Child, Parent, wait};

/// A line between a child and its parent that can fall silent without being cut, as behind a router that forgot it.
pub struct Proxy {
    pub address: Address,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Connections that are let through from now on; further ones are swallowed: accepted, and nothing comes back.
    left: AtomicU64,
    /// Everything that came through so far falls silent.
    silent: AtomicU64,
    accepted: AtomicU64,
    bytes: AtomicU64,
    stopped: AtomicBool,
    swallowed: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub async fn before(target: &Address) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let shared = Arc::new(Shared { left: AtomicU64::new(u64::MAX), ..Shared::default() });
        let (state, target) = (shared.clone(), (target.host().to_owned(), target.port()));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if state.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let number = state.accepted.fetch_add(1, Ordering::Relaxed);
                if state.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
                    state.swallowed.lock().unwrap().push(near);
                    continue;
                }
                let Ok(far) = TcpStream::connect(target.clone()).await else { continue };
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_read, far_write, number, state.clone()));
                tokio::spawn(carry(far_read, near_write, number, state.clone()));
            }
        });
        Self { address, shared }
    }

    /// Lets so many more connections through. Those that were swallowed are cut: who waits for them need not wait to the end.
    pub fn limit(&self, connections: u64) {
        self.shared.left.store(connections, Ordering::Relaxed);
        self.shared.swallowed.lock().unwrap().clear();
    }

    /// All connections that there are fall silent: nothing passes any more, and nobody is told.
    pub fn fall_silent(&self) {
        self.shared.silent.store(self.shared.accepted.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, shared: Arc<Shared>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if number < shared.silent.load(Ordering::Relaxed) {
            // Reads on, and says nothing: also the end is not passed on.
            if read == 0 {
                std::future::pending::<()>().await;
            }
            continue;
        }
        shared.bytes.fetch_add(read as u64, Ordering::Relaxed);
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_line_that_falls_silent_is_noticed_and_dialled_again() {
    let parent = Parent::start().await;
    let proxy = Proxy::before(&parent.address).await;
    let mut child = Child::below(&parent).await.with_keep_alive(Duration::from_millis(200), Duration::from_millis(300));
    child.address = proxy.address.clone();
    child.dial();
    child.connected().await;
    for cut in 1..=3 {
        proxy.fall_silent();
        // With something on its way, and nobody to say that it did not arrive.
        let size = child.write().await;
        child.until("not noticed", |status| (status.ended >= cut).then_some(())).await;
        parent.holds(&child.records(), size).await;
        child.connected().await;
        assert_eq!(child.reason(), None);
    }
    assert_eq!(
        child.status().sessions,
        4,
        "each new session ended the old one at the parent, which had noticed nothing"
    );
}

#[tokio::test]
async fn an_idle_node_keeps_its_link_by_itself() {
    let parent = Parent::start().await;
    let proxy = Proxy::before(&parent.address).await;
    let mut child = Child::below(&parent).await.with_keep_alive(Duration::from_millis(50), Duration::from_secs(20));
    child.address = proxy.address.clone();
    child.dial();
    child.connected().await;
    let size = child.write().await;
    parent.holds(&child.records(), size).await;
    // Nobody writes anything; pings pass, so that no router forgets the line.
    for _ in 0..10 {
        let before = proxy.bytes();
        wait("no ping passes", || (proxy.bytes() > before).then_some(())).await;
    }
    let status = child.status();
    assert_eq!((status.state, status.sessions, status.ended), (LinkState::Connected, 1, 0));
}

#[tokio::test]
async fn a_parent_that_comes_back_is_found_when_the_operator_says_so() {
    let mut parent = Parent::start().await;
    let mut child = Child::below(&parent).await;
    parent.leave().await;
    child.dial();
    // Some vain attempts: the wait between them grows to minutes.
    child
        .until("no attempts", |status| {
            child.retry();
            (status.ended >= 8 && status.state == LinkState::Waiting).then_some(())
        })
        .await;
    assert_eq!(child.status().trouble.unwrap().reason, Reason::LinkDown);
    parent.serve().await;
    child.retry();
    child.connected().await;
    assert_eq!(child.reason(), None);
}

#[tokio::test]
async fn who_accepts_and_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let parent = Parent::start().await;
    let child = Child::below(&parent).await;
    let address = listener.local_addr().unwrap().into();
    let tls = danso_node::pki::client_config(&child.parent_ca.clone().into(), None, child.node.clock.clone()).unwrap();
    tokio::time::pause(); // from here on time passes when everybody waits
    let start = tokio::time::Instant::now();
    let refusal = danso_node::pki::connect(&address, tls, &child.parent).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::LinkDown, "{refusal}");
    assert!(start.elapsed() <= danso_node::pki::CONNECT_TIMEOUT + Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_peer_that_answers_nothing_is_let_go_although_its_connection_stands() {
    let parent = Parent::start().await;
    let child = Child::below(&parent).await;
    let children = Children::new(parent.node.context.clone(), CancellationToken::new());
    // It says hello, takes the directory, and never says that it has it.
    let hello = Frame::Hello(Hello {
        protocol: danso_node::link::PROTOCOL,
        software: "mute/0".into(),
        node: child.node.me(),
        clock_ms: child.node.clock.now_ms(),
        heads: 0,
    });
    let inbound = tokio_stream::iter([Ok(hello)]).chain(tokio_stream::pending());
    let (outbound, mut taken) = tokio::sync::mpsc::channel::<pb::Frame>(1);
    let serving = tokio::spawn(async move { children.serve(child.node.me(), Box::pin(inbound), outbound).await });
    while !matches!(taken.recv().await.unwrap().body, Some(pb::frame::Body::Package(_))) {}
    tokio::time::pause(); // from here on time passes when everybody waits
    let start = tokio::time::Instant::now();
    let ended = serving.await.unwrap();
    assert_eq!(ended.refusal.reason, Reason::LinkDown, "{}", ended.refusal);
    assert!(ended.greeted && ended.refusal.detail.contains("does not answer"), "{}", ended.refusal);
    let minutes = start.elapsed().as_secs() / 60;
    assert!((14..=16).contains(&minutes), "{minutes}");
}
