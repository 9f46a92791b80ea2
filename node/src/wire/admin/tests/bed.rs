//! Nodes with a pipeline and a store of their own, whose operator's service is called over an in-memory connection.

use std::sync::Arc;

use danso_core::ledger::{Draft, LogHead, Sealing, seal};
use danso_core::units::UnitList;
use danso_proto::change::{Body, Change, ForwardingPolicy, Genesis, NodeEnrolled};
use danso_proto::envelope::{Envelope, Signer as _, SoftwareSigner};
use danso_proto::ids::{ChangeId, Fingerprint, LogId, NodeId, Stream, UnitCode};
use danso_proto::limits;
use danso_proto::package::{Package, SealedEntry};
use danso_proto::pb::admin::v1 as pb;
use danso_proto::pb::admin::v1::admin_service_client::AdminServiceClient;
use danso_proto::pb::admin::v1::admin_service_server::AdminServiceServer;
use danso_proto::pb::admin::v1::import_request::Body as Asked;
use danso_proto::pb::admin::v1::import_response::Body as Said;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server};

use crate::answer::Answers;
use crate::clock::ManualClock;
use crate::link::{Children, Context, LinkStatus, Retry};
use crate::pipeline::{Handle, Outfit, found};
use crate::store::Store;
use crate::view::View;
use crate::wire::admin::{Admin, Parts};

/// 2022-01-01.
pub(super) const NOW_MS: i64 = 1_640_995_200_000;
const VERSION: &str = "vn-2024";

pub(super) fn code(unit: &str) -> UnitCode {
    unit.parse().expect("unit code")
}

/// Runs a test on its own runtime.
pub(super) fn run(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(test());
}

/// A node.
pub(super) struct Bed {
    pub(super) admin: AdminServiceClient<Channel>,
    pub(super) pipeline: Handle,
    pub(super) clock: Arc<ManualClock>,
    /// How the link to the parent is said to be.
    pub(super) link: watch::Sender<LinkStatus>,
    pub(super) store: Store,
    anchor: Fingerprint,
    _dir: tempfile::TempDir,
}

/// What an import said, apart from its progress.
pub(super) struct Imported {
    pub(super) header: pb::ImportHeader,
    pub(super) problems: Vec<pb::RowProblem>,
    pub(super) summary: pb::ImportSummary,
}

impl Bed {
    /// The root of a federation of three communes in one province.
    pub(super) async fn root() -> Self {
        let key = SoftwareSigner::from_secret(&[200; 32]);
        let public = *key.public_key().as_bytes();
        let node = NodeId::new(&code("VN"), &public);
        let log = LogId::new(node.clone(), Stream::Directory);
        let genesis = Body::Genesis(Genesis {
            node: node.clone(),
            unit: code("VN"),
            log_public_key: public,
            trust_domain: "test".into(),
        });
        let sealing = Sealing {
            log: &log,
            position: LogHead::default().position(),
            recorded_at_ms: NOW_MS,
            units_version: VERSION,
            salt_seed: [0; 32],
            signer: &key,
        };
        let (genesis, _) = seal(draft("VN", genesis, 1), &sealing).expect("genesis");
        let bed = Self::start(node, key, genesis, Fingerprint::of_key(&public), None).await;
        let rows = [
            ["VN", "Việt Nam", "central", ""],
            ["40", "Nghệ An", "province", "VN"],
            ["17065", "Châu Quang", "commune", "40"],
            ["17035", "Quỳ Hợp", "commune", "40"],
        ];
        let list = UnitList::from_rows(VERSION, None, rows).expect("list");
        let parts = list.split(2).into_iter().zip(10..).map(|(part, n)| draft("VN", Body::UnitsPublished(part), n));
        bed.pipeline.write(Stream::Directory, parts.collect()).await.expect("published");
        bed
    }

    /// A node for a unit, enrolled by this one, with the directory: the root's, and this node's own where it is another.
    pub(super) async fn child(&self, unit: &str, secret: u8) -> Self {
        let key = SoftwareSigner::from_secret(&[secret; 32]);
        let public = *key.public_key().as_bytes();
        let node = NodeId::new(&code(unit), &public);
        let enrolled = Body::NodeEnrolled(NodeEnrolled {
            node: node.clone(),
            unit: code(unit),
            log_public_key: public,
            policy: ForwardingPolicy::Full,
            former: Vec::new(),
        });
        self.pipeline.write(Stream::Directory, vec![draft(unit, enrolled, secret)]).await.expect("enrolled");
        let directory = LogId::new(self.pipeline.snapshot().directory().root().clone(), Stream::Directory);
        let package = self.package(&directory).await;
        let genesis = Envelope::decode(package.entries[0].envelope.clone()).expect("genesis");
        let bed = Self::start(node, key, genesis, self.anchor, Some(self.pipeline.me().clone())).await;
        bed.receive(package).await;
        if self.log(Stream::Directory) != directory {
            bed.receive(self.package(&self.log(Stream::Directory)).await).await;
        }
        bed
    }

    async fn start(
        node: NodeId,
        key: SoftwareSigner,
        genesis: Envelope,
        anchor: Fingerprint,
        parent: Option<NodeId>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(&dir.path().join("danso.db")).await.expect("store");
        let key = Arc::new(key);
        let clock = Arc::new(ManualClock::new(NOW_MS));
        found(&store, &node, genesis, anchor, NOW_MS).await.expect("founded");
        let outfit = Outfit { store: store.clone(), signer: key.clone(), clock: clock.clone(), anchor };
        let pipeline = Handle::start(outfit).await.expect("started");
        let answers = Answers::new(store.clone(), pipeline.signing(), node, clock.clone());
        let link = watch::Sender::new(LinkStatus::default());
        let context = Context {
            pipeline: pipeline.clone(),
            store: store.clone(),
            answers,
            clock: clock.clone(),
            link: parent.as_ref().map(|_| link.subscribe()),
        };
        let admin = Admin::new(Parts {
            pipeline: pipeline.clone(),
            view: View::new(store.clone()),
            children: Children::new(context, CancellationToken::new()),
            link: parent.as_ref().map(|_| link.subscribe()),
            retry: Retry::default(),
            clock: clock.clone(),
            ca_certificate: vec![7; 64],
            invite_address: "192.0.2.7:7443".parse().expect("address"),
            parent: parent.map(|parent| (parent, "192.0.2.1:7443".parse().expect("address"))),
            listen: "0.0.0.0:7443".parse().expect("address"),
            doctor: crate::doctor::Doctor {
                layout: crate::config::Layout::open(dir.path()).expect("the directory"),
                store: store.clone(),
                clock: clock.clone(),
            },
            scratch: dir.path().to_path_buf(),
            rotation: Arc::new(crate::keys::Rotation::new(dir.path().join("log.pem"), dir.path().join("log-next.pem"))),
        });
        Self { admin: connect(admin).await, pipeline, clock, link, store, anchor, _dir: dir }
    }

    pub(super) fn anchor(&self) -> Fingerprint {
        self.anchor
    }

    pub(super) fn log(&self, stream: Stream) -> LogId {
        LogId::new(self.pipeline.me().clone(), stream)
    }

    /// A whole log, with its checkpoint.
    pub(super) async fn package(&self, log: &LogId) -> Package {
        let row = self.pipeline.snapshot().log(log).cloned().expect("the log");
        let entries = self.store.read("test").await.expect("store").entry_read(row.pk, 0, 1_000, usize::MAX).await;
        let sealed = |entry: crate::store::StoredEntry| SealedEntry { envelope: entry.envelope, parts: entry.parts };
        let entries = entries.expect("entries").into_iter().map(sealed).collect();
        Package { log: log.clone(), first: 0, entries, checkpoint: row.checkpoint }
    }

    /// Takes a package; our receipt for it.
    pub(super) async fn receive(&self, package: Package) -> Option<String> {
        let received = self.pipeline.receive(package).await.expect("queued").await.expect("the store works");
        assert_eq!(received.refused, None);
        received.receipt
    }

    /// Brings a log to `parent`, and its receipt back.
    pub(super) async fn deliver(&self, log: &LogId, parent: &Self) {
        let receipt = parent.receive(self.package(log).await).await.expect("a receipt");
        let row = self.pipeline.snapshot().check_receipt(log, parent.pipeline.me(), &receipt).expect("checked");
        self.pipeline.receipts(vec![row]).await.expect("kept");
    }

    /// Imports a file in chunks of a few bytes.
    pub(super) async fn import(&mut self, form: pb::Form, dry_run: bool, file: impl AsRef<[u8]>) -> Imported {
        let start = pb::ImportStart { form: form.into(), dry_run, lang: "en".into(), ..Default::default() };
        let chunks = file.as_ref().chunks(if file.as_ref().len() < 4096 { 7 } else { limits::CHUNK_BYTES });
        let bodies =
            std::iter::once(Asked::Start(start)).chain(chunks.map(|chunk| Asked::Chunk(chunk.to_vec().into())));
        let requests: Vec<_> = bodies.map(|body| pb::ImportRequest { body: Some(body) }).collect();
        let mut answers = self.admin.import(tokio_stream::iter(requests)).await.expect("begins").into_inner();
        let (mut header, mut problems) = (pb::ImportHeader::default(), Vec::new());
        while let Some(answer) = answers.message().await.expect("goes on") {
            match answer.body.expect("a body") {
                Said::Header(said) => header = said,
                Said::Problem(problem) => problems.push(problem),
                Said::Progress(_) => {}
                Said::Summary(summary) => {
                    assert!(answers.message().await.expect("ends").is_none(), "the summary is the last word");
                    return Imported { header, problems, summary };
                }
            }
        }
        panic!("no summary");
    }

    pub(super) async fn status(&mut self) -> pb::GetStatusResponse {
        self.admin.get_status(pb::GetStatusRequest {}).await.expect("status").into_inner()
    }
}

/// The reason code of a refused call.
pub(super) fn reason<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) -> String {
    use tonic_types::StatusExt as _;
    answer.expect_err("refused").get_details_error_info().expect("an ErrorInfo").reason
}

async fn connect(admin: Admin) -> AdminServiceClient<Channel> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = AdminServiceServer::new(admin)
        .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
        .max_encoding_message_size(limits::GRPC_MESSAGE_MAX);
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(theirs));
    tokio::spawn(Server::builder().add_service(server).serve_with_incoming(incoming));
    let mut ours = Some(ours);
    let connector = tower::service_fn(move |_| {
        let ours = ours.take();
        async move { ours.map(TokioIo::new).ok_or_else(|| std::io::Error::other("connected once")) }
    });
    let endpoint = Endpoint::from_static("http://node");
    AdminServiceClient::new(endpoint.connect_with_connector(connector).await.expect("connects"))
}

/// A draft of one change of a directory log; `n` makes its id.
fn draft(unit: &str, body: Body, n: u8) -> Draft {
    let change = Change {
        unit: code(unit),
        hamlet: String::new(),
        event_date: None,
        reported_on: None,
        identity_commitment: None,
        body,
    };
    Draft { first_id: ChangeId::first(NOW_MS as u64, [n; 6]), changes: vec![change], parts: vec![None] }
}
