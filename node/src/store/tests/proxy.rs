//! Between a node and its server: what the node says is counted, and at one of its messages the connection is lost, before or after the server
//! has heard it. Knows of PostgreSQL's protocol how long a message is and what kind it is of.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::oneshot;

use super::cluster::Cluster;
use crate::store::Address;

/// When the connection is lost.
pub(crate) enum Loss {
    /// The server does not hear the message.
    Before,
    /// It hears it, and what it answers is lost.
    After,
    /// As the first, or as the second one, and there is no way to the server afterwards.
    ForGood(Box<Loss>),
    /// The node is told that the connection is lost; the server, which notices nothing, hears the message when this comes.
    Late(oneshot::Receiver<()>),
    /// Nobody is told anything, neither the node nor the server, and whoever calls hears nothing: a machine lost its power.
    Silent,
}

/// What is counted, and where the connection is lost.
#[derive(Default)]
struct Plan {
    counted: Vec<String>,
    /// None: at none.
    at: Option<(usize, Loss)>,
    is_closed: bool,
    is_silent: bool,
    is_pooler: bool,
}

/// A way to a server.
pub(crate) struct Proxy {
    plan: Arc<Mutex<Plan>>,
    port: u16,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Proxy {
    pub(crate) async fn to(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let (socket, shared) = (cluster.socket(), plan.clone());
        let work = tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                tokio::spawn(carry(node, socket.clone(), shared.clone()));
            }
        });
        Self { plan, port, work }
    }

    /// The server's address by this way.
    pub(crate) fn address(&self) -> Address {
        let text = format!("postgres://danso@127.0.0.1:{}/postgres?sslmode=disable", self.port);
        text.parse().expect("an address")
    }

    /// The server's address by this way, or else by another one.
    pub(crate) fn or(&self, other: &Self) -> Address {
        let text =
            format!("postgres://danso@127.0.0.1:{},127.0.0.1:{}/postgres?sslmode=disable", self.port, other.port);
        text.parse().expect("an address")
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts from now on, and loses the connection at the message that is then the `at`-th, from 0.
    pub(crate) fn lose(&self, at: usize, loss: Loss) {
        *self.plan() = Plan { at: Some((at, loss)), ..Plan::default() };
    }

    /// Counts from now on, and loses no connection.
    pub(crate) fn count(&self) {
        *self.plan() = Plan::default();
    }

    /// From now on it hands on who calls and where to, and no more, as one does that gives the same connection to many.
    pub(crate) fn pool(&self) {
        *self.plan() = Plan { is_pooler: true, ..Plan::default() };
    }

    /// What was counted.
    pub(crate) fn counted(&self) -> Vec<String> {
        self.plan().counted.clone()
    }

    /// Whether the connection was lost as planned.
    pub(crate) fn is_lost(&self) -> bool {
        self.plan().at.is_none()
    }
}

/// The kinds of message by which something is done: Query, Parse, Bind, Execute, Sync.
const DONE_BY: &[u8] = b"QPBES";

async fn carry(node: TcpStream, socket: PathBuf, plan: Arc<Mutex<Plan>>) {
    let (is_closed, is_silent, is_pooler) = {
        let plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        (plan.is_closed, plan.is_silent, plan.is_pooler)
    };
    match (is_closed, is_silent) {
        (true, _) => return,
        (_, true) => std::future::pending().await,
        _ => {}
    }
    // A server that is gone closes the node's connection.
    let Ok(server) = UnixStream::connect(socket).await else { return };
    let (mut from_node, mut to_node) = node.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // The first message has no kind.
    let Some(mut first) = message(&mut from_node, false).await else { return };
    if is_pooler {
        first = without_options(&first);
    }
    if to_server.write_all(&first).await.is_err() {
        return;
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let answers = tokio::spawn(async move {
        tokio::select! {
            _ = tokio::io::copy(&mut from_server, &mut to_node) => None,
            // What the server answers from here on is lost; the node hears that the connection is.
            _ = stopped => {
                drop(to_node);
                Some(from_server)
            }
        }
    });
    while let Some(message) = message(&mut from_node, true).await {
        match next(&plan, &message) {
            None => {
                if to_server.write_all(&message).await.is_err() {
                    break;
                }
            }
            Some(Loss::Silent) => {
                plan.lock().unwrap_or_else(PoisonError::into_inner).is_silent = true;
                std::future::pending::<()>().await;
            }
            Some(mut loss) => {
                if let Loss::ForGood(then) = loss {
                    plan.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
                    loss = *then;
                }
                let _ = stop.send(());
                let from_server = answers.await.ok().flatten();
                drop(from_node);
                match loss {
                    Loss::Before => return,
                    Loss::After | Loss::ForGood(_) | Loss::Silent => {}
                    Loss::Late(go_on) => drop(go_on.await),
                }
                let _ = to_server.write_all(&message).await;
                let _ = to_server.shutdown().await;
                // Until the server is done with it.
                if let Some(mut from_server) = from_server {
                    let _ = tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await;
                }
                return;
            }
        }
    }
}

/// The first message of a connection without the settings that are in it.
fn without_options(first: &[u8]) -> Vec<u8> {
    // The length and the version; then names and values, each with a 0 behind it, and a 0.
    let (version, rest) = first[4..].split_at(4);
    let texts: Vec<&[u8]> = rest.split(|byte| *byte == 0).collect();
    let pairs = texts.chunks_exact(2).filter(|pair| !pair[0].is_empty() && pair[0] != b"options");
    let mut body = version.to_vec();
    for text in pairs.flatten() {
        body.extend_from_slice(text);
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&length[..], &body].concat()
}

fn next(plan: &Mutex<Plan>, message: &[u8]) -> Option<Loss> {
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    if !DONE_BY.contains(&message[0]) {
        return None;
    }
    let n = plan.counted.len();
    let text = String::from_utf8_lossy(&message[5..message.len().min(45)]).replace('\0', " ");
    plan.counted.push(format!("{} {text}", char::from(message[0])));
    plan.at.take_if(|(at, _)| *at == n).map(|(_, loss)| loss)
}

/// The next message, as it stands.
async fn message(from: &mut (impl tokio::io::AsyncRead + Unpin), has_kind: bool) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4 + usize::from(has_kind)];
    from.read_exact(&mut bytes).await.ok()?;
    let length = bytes.last_chunk::<4>().map(|length| u32::from_be_bytes(*length))?;
    let from_here = bytes.len();
    bytes.resize(from_here + usize::try_from(length).ok()?.checked_sub(4)?, 0);
    from.read_exact(&mut bytes[from_here..]).await.ok()?;
    Some(bytes)
}
