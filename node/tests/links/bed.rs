//! A parent and its child, each with a clock of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use danso_core::ledger::{Draft, LogHead, Sealing, seal};
use danso_core::units::UnitList;
use danso_node::answer::Answers;
use danso_node::clock::{Clock, ManualClock};
use danso_node::config::Address;
use danso_node::keys::LinkKey;
use danso_node::link::{
    self, Children, Context, Credentials, CredentialsOutfit, Dial, LinkState, LinkStatus, OwnTrees, Retry, Timing,
};
use danso_node::pipeline::{self, Handle, Outfit, directory_draft};
use danso_node::pki::{self, Ca, Identity, KeepAlive, TrustDomain};
use danso_node::store::Store;
use danso_node::wire;
use danso_proto::change::{Body, ForwardingPolicy, Genesis, NodeEnrolled, PeriodClosed};
use danso_proto::envelope::{Envelope, Signer as _, SoftwareSigner};
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::package::Package;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// 2027-01-15.
pub const NOW: i64 = 1_800_000_000_000;
pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const DAY_MS: i64 = 24 * 3600 * 1000;
pub const YEAR_MS: i64 = 365 * DAY_MS;
/// Unit of the child.
pub const COMMUNE: &str = "17065";
const VERSION: &str = "vn-2024";
/// Longest that a test waits for one thing.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn unit(code: &str) -> UnitCode {
    code.parse().unwrap()
}

/// A node with a pipeline and a store.
pub struct Node {
    pub context: Context,
    pub clock: Arc<ManualClock>,
    pub key: Arc<SoftwareSigner>,
    pub link_key: Arc<LinkKey>,
    pub dir: tempfile::TempDir,
    anchor: Fingerprint,
}

impl Node {
    async fn start(code: &str, secret: u8, genesis: Option<(Envelope, Fingerprint)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(SoftwareSigner::from_secret(&[secret; 32]));
        let public = *key.public_key().as_bytes();
        let me = NodeId::new(&unit(code), &public);
        let (genesis, anchor) = genesis.unwrap_or_else(|| (genesis_of(&me, &key), Fingerprint::of_key(&public)));
        let clock = Arc::new(ManualClock::new(NOW));
        let store = Store::open(&dir.path().join("danso.db")).await.unwrap();
        pipeline::found(&store, &me, genesis, anchor, NOW).await.unwrap();
        let outfit = Outfit { store: store.clone(), signer: key.clone(), clock: clock.clone(), anchor };
        let pipeline = Handle::start(outfit).await.unwrap();
        let answers = Answers::new(store.clone(), pipeline.signing(), me, clock.clone());
        let context = Context { pipeline, store, answers, clock: clock.clone(), link: None };
        let link_key = Arc::new(LinkKey::create(&dir.path().join("link.pem")).unwrap());
        Self { context, clock, key, link_key, dir, anchor }
    }

    pub fn me(&self) -> NodeId {
        self.context.pipeline.me().clone()
    }

    pub fn log(&self, stream: Stream) -> LogId {
        LogId::new(self.me(), stream)
    }

    pub fn domain(&self) -> TrustDomain {
        TrustDomain::of_anchor(&self.anchor)
    }

    /// Entries of a log that are here.
    pub fn size(&self, log: &LogId) -> u64 {
        self.context.pipeline.snapshot().log(log).map_or(0, |row| row.head.size())
    }

    pub async fn package(&self, log: &LogId) -> Package {
        link::load(&self.context, &OwnTrees::default(), log, 0, usize::MAX, 1_000).await.unwrap().unwrap()
    }

    /// Closes a month of years that nothing else writes about: an entry.
    pub async fn close(&self, month: u32) -> u64 {
        let draft = directory_draft(self.me().unit(), Body::PeriodClosed(PeriodClosed { month }), NOW);
        self.context.pipeline.write(Stream::Records, vec![draft]).await.unwrap().size
    }

    /// A copy of this node, which `secret` is of.
    pub async fn twin(&self, secret: u8) -> Self {
        let twin = self.started(self.me().unit().as_str(), secret).await;
        assert_eq!(twin.me(), self.me());
        twin.receive(self.package(&self.log(Stream::Records)).await).await;
        twin
    }

    /// A node with the directory that is here, from the anchor down.
    async fn started(&self, code: &str, secret: u8) -> Self {
        let logs = self.context.pipeline.snapshot().directory().ancestry(&self.me());
        let logs = logs.into_iter().map(|node| LogId::new(node, Stream::Directory));
        let logs: Vec<LogId> = logs.filter(|log| self.size(log) > 0).collect();
        let root = self.package(&logs[0]).await;
        let genesis = Envelope::decode(root.entries[0].envelope.clone()).unwrap();
        let node = Self::start(code, secret, Some((genesis, self.anchor))).await;
        for log in logs {
            node.receive(self.package(&log).await).await;
        }
        node
    }

    pub async fn receive(&self, package: Package) {
        let received = self.context.pipeline.receive(package).await.unwrap().await.unwrap();
        assert_eq!(received.refused, None);
    }

    pub async fn publish(&self, bodies: Vec<(&str, Body)>) {
        let draft = |(code, body)| directory_draft(unit(code), body, NOW);
        let drafts: Vec<Draft> = bodies.into_iter().map(draft).collect();
        self.context.pipeline.write(Stream::Directory, drafts).await.unwrap();
    }

    /// A new node that this one enrols, with the directory.
    pub async fn child(&self, code: &str, secret: u8) -> Self {
        let public = *SoftwareSigner::from_secret(&[secret; 32]).public_key().as_bytes();
        let node = NodeId::new(&unit(code), &public);
        let enrolled = NodeEnrolled {
            node,
            unit: unit(code),
            log_public_key: public,
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        };
        self.publish(vec![(code, Body::NodeEnrolled(enrolled))]).await;
        self.started(code, secret).await
    }
}

fn genesis_of(me: &NodeId, key: &SoftwareSigner) -> Envelope {
    let log = LogId::new(me.clone(), Stream::Directory);
    let body = Body::Genesis(Genesis {
        node: me.clone(),
        unit: me.unit(),
        log_public_key: *key.public_key().as_bytes(),
        trust_domain: TrustDomain::of_anchor(&Fingerprint::of_key(key.public_key().as_bytes())).as_str().into(),
    });
    let sealing = Sealing {
        log: &log,
        position: LogHead::default().position(),
        recorded_at_ms: NOW,
        units_version: VERSION,
        salt_seed: [0; 32],
        signer: key,
    };
    seal(directory_draft(me.unit(), body, NOW), &sealing).unwrap().0
}

/// The root of a federation, which serves its children.
pub struct Parent {
    pub node: Node,
    pub ca: Arc<Ca>,
    pub address: Address,
    pub life: Duration,
    serving: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

impl Parent {
    pub async fn start() -> Self {
        let node = Node::start("VN", 200, None).await;
        let rows = [
            ["VN", "Việt Nam", "central", ""],
            ["40", "Nghệ An", "province", "VN"],
            ["17065", "Châu Quang", "commune", "40"],
            ["17035", "Quỳ Hợp", "commune", "40"],
        ];
        let list = UnitList::from_rows(VERSION, None, rows).unwrap();
        node.publish(list.split(10).into_iter().map(|part| ("VN", Body::UnitsPublished(part))).collect()).await;
        let (key, certificate) = (node.dir.path().join("ca.pem"), node.dir.path().join("ca-cert.pem"));
        let ca = Arc::new(Ca::create(&key, &certificate, &node.me(), &node.domain()).unwrap());
        let mut parent =
            Self { node, ca, address: "127.0.0.1:0".parse().unwrap(), life: pki::CERTIFICATE_LIFE, serving: None };
        parent.serve().await;
        parent
    }

    /// Serves its children, at the address that it had before if it had one.
    pub async fn serve(&mut self) {
        let Node { context, clock, link_key, .. } = &self.node;
        let clock: Arc<dyn Clock> = clock.clone();
        let own = Identity::new(vec![self.ca.server_certificate(link_key).unwrap()], link_key);
        let tls = pki::server_config(own, self.ca.certificate(), clock.clone()).unwrap();
        let at = (self.address.host().to_owned(), self.address.port());
        let listener =
            wait_async("the port is not free again", async || TcpListener::bind(at.clone()).await.ok()).await;
        self.address = listener.local_addr().unwrap().into();
        let stop = CancellationToken::new();
        let exchange = wire::Exchange {
            pipeline: context.pipeline.clone(),
            children: Children::new(context.clone(), stop.child_token()),
            join: wire::JoinDesk { context: context.clone(), ca: self.ca.clone(), clock, certificate_life: self.life },
        };
        let (_, health) = tonic_health::server::health_reporter();
        let token = stop.clone();
        let serving = tokio::spawn(async move {
            wire::serve_children(listener, tls, exchange, health, token).await.unwrap();
        });
        self.serving = Some((stop, serving));
    }

    /// Goes away: nobody listens, and all connections are cut.
    pub async fn leave(&mut self) {
        let (stop, serving) = self.serving.take().unwrap();
        stop.cancel();
        serving.await.unwrap();
    }

    /// Waits until `size` entries of a log are durable here.
    pub async fn holds(&self, log: &LogId, size: u64) {
        wait("the parent does not get the entries", || (self.node.size(log) >= size).then_some(())).await;
    }
}

/// A child with a certificate, and its link when it dials.
pub struct Child {
    pub node: Node,
    pub parent: NodeId,
    pub parent_ca: Vec<u8>,
    pub address: Address,
    pub timing: Timing,
    pub certificate: PathBuf,
    months: u32,
    dialling: Option<Dialling>,
}

struct Dialling {
    status: watch::Receiver<LinkStatus>,
    retry: Retry,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Child {
    /// Enrolled, with the certificate that joining gives.
    pub async fn below(parent: &Parent) -> Self {
        let node = parent.node.child(COMMUNE, 7).await;
        let certificate = node.dir.path().join("link-cert.pem");
        let csr = pki::csr(&node.link_key, &node.me()).unwrap();
        let issued = parent.ca.issue(&csr, &node.me(), parent.node.clock.now_ms(), parent.life).unwrap();
        pki::write_certificates(&certificate, &[issued]).unwrap();
        Self {
            node,
            parent: parent.node.me(),
            parent_ca: parent.ca.certificate().to_vec(),
            address: parent.address.clone(),
            timing: Timing { renewal_check: Duration::from_millis(20), ..Timing::default() },
            certificate,
            months: 0,
            dialling: None,
        }
    }

    pub fn credentials(&self) -> Credentials {
        Credentials::load(CredentialsOutfit {
            me: self.node.me(),
            link_key: self.node.link_key.clone(),
            log_key: self.node.context.pipeline.signing(),
            parent_ca: self.parent_ca.clone().into(),
            domain: self.node.domain(),
            path: self.certificate.clone(),
            clock: self.node.clock.clone(),
        })
    }

    pub fn with_keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.timing.keep_alive = KeepAlive { interval, timeout };
        self
    }

    pub fn dial(&mut self) {
        assert!(self.dialling.is_none());
        let dial = Dial {
            address: self.address.clone(),
            parent: self.parent.clone(),
            credentials: Arc::new(self.credentials()),
            timing: self.timing,
        };
        let (sender, status) = watch::channel(LinkStatus::default());
        let (retry, stop) = (Retry::default(), CancellationToken::new());
        let task = tokio::spawn(link::dial(self.node.context.clone(), dial, sender, retry.clone(), stop.clone()));
        self.dialling = Some(Dialling { status, retry, stop, task });
    }

    pub async fn hang_up(&mut self) {
        let dialling = self.dialling.take().unwrap();
        dialling.stop.cancel();
        dialling.task.await.unwrap();
    }

    pub fn status(&self) -> LinkStatus {
        self.dialling.as_ref().unwrap().status.borrow().clone()
    }

    /// What is told of the link.
    pub fn reason(&self) -> Option<danso_proto::refusal::Refusal> {
        self.status().reason(&*self.node.clock)
    }

    pub fn retry(&self) {
        self.dialling.as_ref().unwrap().retry.now();
    }

    pub async fn until<T>(&self, what: &str, mut probe: impl FnMut(&LinkStatus) -> Option<T>) -> T {
        wait(what, || probe(&self.status())).await
    }

    pub async fn connected(&self) {
        self.until("not connected", |status| (status.state == LinkState::Connected).then_some(())).await;
    }

    /// Writes an entry; gives back how many there are in the log.
    pub async fn write(&mut self) -> u64 {
        self.months += 1;
        let month = 200_001 + self.months / 12 * 100 + self.months % 12;
        self.node.close(month).await
    }

    pub fn records(&self) -> LogId {
        self.node.log(Stream::Records)
    }
}

/// Asks until there is an answer.
pub async fn wait<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    wait_async(what, async || probe()).await
}

async fn wait_async<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            // Between two questions, so that asking does not take the core that the answer needs.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}
