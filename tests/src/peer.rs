//! A peer that speaks the exchange by hand: with a real node's keys, read from its directory while its process does not run, and without
//! its manners. For stories about what a parent refuses.
//!
//! It uses the product's own connection, envelopes and packages, so that what is wrong about a message is only what the story made wrong.

mod author;

use std::path::PathBuf;
use std::sync::Arc;

use danso_node::clock::{Clock as _, SystemClock};
use danso_node::config::Layout;
use danso_node::keys::{LinkKey, LogKey};
use danso_node::pki::{self, CERTIFICATE_LIFE, Ca, Identity};
use danso_node::{link, token};
use danso_proto::envelope::Signer as _;
use danso_proto::ids::{LogId, NodeId, Stream, UnitCode};
use danso_proto::package::{self, PACKAGE_ZSTD_LEVEL, Package};
use danso_proto::pb::exchange::v1::exchange_service_client::ExchangeServiceClient;
use danso_proto::pb::exchange::v1::{self as pb, frame::Body};
use danso_proto::refusal::{Reason, Refusal};
use rustls::pki_types::CertificateDer;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::node::Node;
use crate::process::PATIENCE;

pub use author::{Author, Said, person};

/// Frames that wait for the carrier: all that a story says at once.
const OUTBOX: usize = 256;

/// A node's place and keys, in hands that do not keep the rules.
pub struct Peer {
    /// The node that it is.
    pub node: NodeId,
    /// The node that it dials.
    pub parent: NodeId,
    key: Arc<LogKey>,
    layout: Layout,
    parent_data: PathBuf,
    address: String,
    runtime: Runtime,
}

/// What it shows as its certificate.
pub enum Shows {
    /// The one that joining gave it.
    Own,
    /// None.
    Nothing,
    /// One for this node, by its parent's CA.
    ByParent(NodeId),
    /// One for itself, by its own CA.
    BySelf,
}

impl Peer {
    /// Speaks as `node`, which joined `parent` and does not run.
    pub fn of(node: &Node, parent: &Node) -> Self {
        let layout = Layout::open(&node.data).expect("the node joined");
        let key = Arc::new(LogKey::load(&layout.log_key()).expect("a node has a log key"));
        Self {
            node: NodeId::new(&unit(&node.unit), key.public_key().as_bytes()),
            parent: parent.status_text("node").parse().expect("a node has an id"),
            key,
            layout,
            parent_data: parent.data.clone(),
            address: parent.listen.clone(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime starts"),
        }
    }

    /// The author of its log on a stream, at the log's beginning.
    pub fn author(&self, stream: Stream) -> Author {
        Author::new(LogId::new(self.node.clone(), stream), self.key.clone())
    }

    /// Opens a session: the hello, the heads of `logs`, and all that the parent says until its own heads are complete.
    #[track_caller]
    pub fn session(&self, logs: &[&Author]) -> Line {
        self.session_with(logs.iter().map(|log| log.head()).collect())
    }

    /// As [`Peer::session`], with heads of the story's making.
    #[track_caller]
    pub fn session_with(&self, heads: Vec<pb::Head>) -> Line {
        let mut line = self.open(&Shows::Own).expect("an enrolled child is let in");
        line.say(Body::Hello(pb::Hello { heads: heads.len() as u32, ..self.hello() }));
        if !heads.is_empty() {
            line.say(Body::Heads(pb::Heads { heads }));
        }
        let hello = line.until(|body| match body {
            Body::Hello(hello) => Some(hello.heads),
            _ => None,
        });
        let mut missing = hello as usize;
        while missing > 0 {
            missing -= line.until(|body| match body {
                Body::Heads(heads) => Some(heads.heads.len()),
                _ => None,
            });
        }
        line
    }

    /// A hello without heads.
    pub fn hello(&self) -> pb::Hello {
        pb::Hello {
            protocol_max: *link::PROTOCOL.end(),
            protocol_min: *link::PROTOCOL.start(),
            software: "peer/0".into(),
            node: self.node.to_string(),
            clock_ms: SystemClock::new().now_ms(),
            heads: 0,
        }
    }

    /// Opens a stream of frames and says nothing yet.
    ///
    /// # Errors
    /// As the child sees it: the connection's reason, or that of the call.
    pub fn open(&self, shows: &Shows) -> Result<Line, Refusal> {
        let (frames, outbox) = mpsc::channel(OUTBOX);
        let requests = ReceiverStream::new(outbox).map(|frame: pb::Frame| pb::ExchangeRequest { frame: Some(frame) });
        let inbound = self.within(async {
            let mut client = self.client(shows).await?;
            let answer = client.exchange(requests).await.map_err(|status| link::refusal_of(&status))?;
            Ok(answer.into_inner())
        })?;
        Ok(Line { frames, inbound, runtime: self.runtime.handle().clone() })
    }

    /// Asks `parent` to enrol it, with a token's secret; `change` makes the request wrong.
    ///
    /// # Errors
    /// The call's reason.
    pub fn ask_to_join(
        &self,
        token: &token::Token,
        change: impl FnOnce(&mut pb::JoinRequest),
    ) -> Result<pb::JoinResponse, Refusal> {
        let node = NodeId::new(&token.unit, self.key.public_key().as_bytes());
        let csr = pki::csr(&self.link_key(), &node).expect("a request can be made");
        let mut request = pb::JoinRequest {
            secret: token.secret.0.to_vec().into(),
            unit: token.unit.to_string(),
            log_public_key: self.key.public_key().as_bytes().to_vec().into(),
            proof: self.prove(&token.secret.0, &csr).into(),
            link_csr: csr.into(),
        };
        change(&mut request);
        self.within(async {
            let mut client = self.client(&Shows::Nothing).await?;
            let mut answer = client.join(request).await.map_err(|status| link::refusal_of(&status))?.into_inner();
            let first = answer.message().await.map_err(|status| link::refusal_of(&status))?;
            first.ok_or_else(|| Refusal::new(Reason::LinkDown, "the answer is empty"))
        })
    }

    /// Proof of possession of its log key, for a join.
    pub fn prove(&self, secret: &[u8; 32], csr: &[u8]) -> Vec<u8> {
        self.key.sign(&link::join_statement(secret, csr)).expect("a key in memory signs").to_vec()
    }

    async fn client(&self, shows: &Shows) -> Result<ExchangeServiceClient<Channel>, Refusal> {
        let ca = pki::read_certificates(&self.layout.parent_ca_certificate()).expect("joining leaves the parent's CA");
        let own = self.certificate(shows).map(|chain| Identity::new(chain, &self.link_key()));
        let tls = pki::client_config(&ca[0], own, Arc::new(SystemClock::new())).expect("keys and certificate fit");
        let address = self.address.parse().expect("a node has an address");
        let channel = pki::connect(&address, tls, &self.parent).await?;
        // Nothing of ours stops what is too large: that is for the parent to do.
        Ok(ExchangeServiceClient::new(channel).max_encoding_message_size(usize::MAX))
    }

    fn certificate(&self, shows: &Shows) -> Option<Vec<CertificateDer<'static>>> {
        let parent = Layout::open(&self.parent_data).expect("the parent has a directory");
        let issue = |from: &Layout, node: &NodeId| {
            let ca = Ca::load(&from.ca_key(), &from.ca_certificate()).expect("every node has a CA");
            let csr = pki::csr(&self.link_key(), node).expect("a request can be made");
            vec![ca.issue(&csr, node, SystemClock::new().now_ms(), CERTIFICATE_LIFE).expect("it is issued")]
        };
        match shows {
            Shows::Own => Some(pki::read_certificates(&self.layout.link_certificate()).expect("joining leaves one")),
            Shows::Nothing => None,
            Shows::ByParent(node) => Some(issue(&parent, node)),
            Shows::BySelf => Some(issue(&self.layout, &self.node)),
        }
    }

    fn link_key(&self) -> LinkKey {
        LinkKey::load(&self.layout.link_key()).expect("a node has a link key")
    }

    fn within<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("the parent answers") })
    }
}

/// An open session.
pub struct Line {
    frames: mpsc::Sender<pb::Frame>,
    inbound: tonic::Streaming<pb::ExchangeResponse>,
    runtime: tokio::runtime::Handle,
}

impl Line {
    /// Says a frame.
    pub fn say(&self, body: Body) {
        self.say_frame(pb::Frame { body: Some(body) });
    }

    /// Says a frame, whatever it is. When the parent has gone already, [`Line::ended`] tells why.
    pub fn say_frame(&self, frame: pb::Frame) {
        let _ = self.frames.blocking_send(frame);
    }

    /// Sends a package.
    pub fn send(&self, package: &Package) {
        self.send_zstd(package::encode(package, PACKAGE_ZSTD_LEVEL));
    }

    /// Sends what it says is a package.
    pub fn send_zstd(&self, zstd: Vec<u8>) {
        self.say(Body::Package(pb::PackageFrame { zstd: zstd.into() }));
    }

    /// The next frame; when the session has ended, the reason.
    ///
    /// # Errors
    /// The reason with which the parent ended the session.
    pub fn hear(&mut self) -> Result<Body, Refusal> {
        let next = async { tokio::time::timeout(PATIENCE, self.inbound.message()).await };
        match self.runtime.block_on(next).expect("the parent says something") {
            Ok(Some(message)) => Ok(message.frame.and_then(|frame| frame.body).expect("a parent sends whole frames")),
            Ok(None) => Err(Refusal::new(Reason::LinkDown, "ended without a word")),
            Err(status) => Err(link::refusal_of(&status)),
        }
    }

    /// Hears frames until one is what is waited for.
    #[track_caller]
    pub fn until<T>(&mut self, mut take: impl FnMut(Body) -> Option<T>) -> T {
        loop {
            match self.hear() {
                Ok(body) => {
                    if let Some(found) = take(body) {
                        return found;
                    }
                }
                Err(refusal) => panic!("the session ended: {refusal}"),
            }
        }
    }

    /// The next refusal of a log: its name, the entry, the reason code.
    #[track_caller]
    pub fn refused(&mut self) -> (String, u64, String) {
        self.until(|body| match body {
            Body::Refused(refused) => Some((refused.log, refused.sequence, refused.reason)),
            _ => None,
        })
    }

    /// Waits until the parent says that `size` entries of `log` are durable.
    #[track_caller]
    pub fn durable(&mut self, log: &LogId, size: u64) {
        self.until(|body| match body {
            Body::Durable(durable) if durable.log == log.to_string() && durable.size >= size => Some(()),
            Body::Refused(refused) if refused.log == log.to_string() => {
                panic!("{log} is refused at {}: {} ({})", refused.sequence, refused.reason, refused.detail)
            }
            _ => None,
        });
    }

    /// Waits until the parent ends the session; the reason code that it gives.
    pub fn ended(mut self) -> String {
        loop {
            if let Err(refusal) = self.hear() {
                return refusal.reason.code().to_owned();
            }
        }
    }
}

/// A unit code.
pub fn unit(code: &str) -> UnitCode {
    code.parse().expect("a unit code")
}

/// The secret and the rest of an invite.
pub fn token(text: &str) -> token::Token {
    text.parse().expect("a token that was just given out")
}
