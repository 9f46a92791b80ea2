//! `run`: a node at work, until it is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use danso_proto::ids::{Fingerprint, NodeId};
use danso_proto::refusal::{Reason, Refusal};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Error, META_ANCHOR, META_PARENT, clock, database, gauges, restore, watch as watching};
use crate::answer::Answers;
use crate::clock::Clock;
use crate::config::{Address, Config, Layout, Months};
use crate::doctor::{self, Doctor};
use crate::keys::{LinkKey, LogKey, Rotation};
use crate::link::{self, Children, Context, Dial, LinkStatus, Retry, Timing};
use crate::pipeline::{Handle, Outfit};
use crate::pki::{self, Ca, Identity, TrustDomain};
use crate::store::Store;
use crate::telemetry::{self, MetricsServer};
use crate::view::View;
use crate::wire;

/// Time for the servers to end in order; then what is left of them is dropped (hyper waits for ever for a silent client).
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the node in `data` until SIGTERM or SIGINT.
pub(super) async fn run(data: &Path, config: Option<&Path>) -> Result<(), Error> {
    let layout = Layout::open(data)?;
    is_whole(&layout)?;
    let config = Config::load(config.unwrap_or(&layout.config()))?;
    telemetry::init_logs(config.log_format, &config.log_filter)?;
    let _lock = layout.lock()?;
    let stop = CancellationToken::new();
    let signals = on_signal(stop.clone())?;
    let result = serve(&layout, &config, &stop).await;
    stop.cancel();
    signals.abort();
    result
}

/// What was cut while it made a node of this directory is gone on with by its own verb.
pub(super) fn is_whole(layout: &Layout) -> Result<(), Error> {
    let missing = !layout.config().exists() || !(layout.database().exists() || database::is_on_server(layout));
    let dir = layout.dir().display();
    let detail = if missing && layout.recovering().exists() {
        format!(
            "recover was cut here: run it again as it was run, with the same token file if there was one: danso-node recover --data {dir}"
        )
    } else if !layout.config().exists() && layout.dir().join(restore::MARK).exists() {
        format!("restore was cut here: run it again: danso-node restore --in FILE --data {dir}")
    } else {
        return Ok(());
    };
    Err(Refusal::new(Reason::NotFound, detail).into())
}

/// Serves until `stop`, and closes the database.
pub(super) async fn serve(layout: &Layout, config: &Config, stop: &CancellationToken) -> Result<(), Error> {
    let clock: Arc<dyn Clock> = clock();
    let metrics = match &config.metrics {
        Some(address) => Some(MetricsServer::start(address, telemetry::init_metrics()?).await?),
        None => None,
    };
    let link_key = Arc::new(LinkKey::load(&layout.link_key())?);
    let ca = Arc::new(Ca::load(&layout.ca_key(), &layout.ca_certificate())?);
    let store = database::open(layout, config.server.as_ref()).await?;
    store.condition().set_floor(config.min_free());
    let (anchor, parent) = place(&store).await?;
    let key = Arc::new(LogKey::load(&layout.log_key())?);
    let outfit = Outfit { store: store.clone(), signer: key, clock: clock.clone(), anchor };
    let patience = tokio::spawn(ask_for_patience());
    let pipeline = Handle::start(outfit).await;
    patience.abort();
    let pipeline = pipeline?;
    let started = Started { layout, config, clock, metrics, link_key, ca, store, anchor, parent, pipeline };
    let served = started.serve(stop).await;
    started.end().await;
    served
}

/// A node whose pipeline runs.
struct Started<'a> {
    layout: &'a Layout,
    config: &'a Config,
    clock: Arc<dyn Clock>,
    metrics: Option<MetricsServer>,
    link_key: Arc<LinkKey>,
    ca: Arc<Ca>,
    store: Store,
    anchor: Fingerprint,
    parent: Option<NodeId>,
    pipeline: Handle,
}

impl Started<'_> {
    /// However serving ended: the pipeline's thread goes before the runtime, which it uses. What was acknowledged is durable already; closing
    /// folds the write-ahead log.
    async fn end(self) {
        self.pipeline.end().await;
        self.store.close().await;
        tracing::info!("stopped");
    }

    async fn serve(&self, stop: &CancellationToken) -> Result<(), Error> {
        let &Self {
            layout,
            config,
            ref clock,
            ref metrics,
            ref link_key,
            ref ca,
            ref store,
            anchor,
            ref parent,
            ref pipeline,
        } = self;
        let me = pipeline.me().clone();
        let rotation = Rotation::new(layout.log_key(), layout.next_log_key());
        settle_key(layout, &rotation, pipeline)?;
        let Months { deadlines, silent_after } = config.months.clone();
        let answers =
            Answers::new(store.clone(), pipeline.signing(), me.clone(), clock.clone()).judging(deadlines, silent_after);
        let (link_sender, link_seen) = parent.as_ref().map(|_| watch::channel(LinkStatus::default())).unzip();
        let context = Context {
            pipeline: pipeline.clone(),
            store: store.clone(),
            answers,
            clock: clock.clone(),
            link: link_seen.clone(),
        };
        let children = Children::new(context.clone(), stop.child_token());

        let listener = bind(&config.listen).await?;
        let listen = Address::from(listener.local_addr().map_err(io(&config.listen))?);
        let server = ca.server_certificate(link_key)?;
        let identity = Identity::new(vec![server, ca.certificate().clone()], link_key);
        let tls = pki::server_config(identity, ca.certificate(), clock.clone())?;
        let socket = bind_socket(&layout.admin_socket())?;

        let (health, health_service) = tonic_health::server::health_reporter();
        let mut work = tokio::task::JoinSet::new();
        let retry = Retry::default();
        let dialled = match (parent.as_ref().zip(link_sender), &config.parent) {
            (Some((parent, status)), Some(address)) => {
                let credentials = link::Credentials::load(link::CredentialsOutfit {
                    me: me.clone(),
                    link_key: link_key.clone(),
                    log_key: pipeline.signing(),
                    parent_ca: pki::read_certificates(&layout.parent_ca_certificate())?.swap_remove(0),
                    domain: TrustDomain::of_anchor(&anchor),
                    path: layout.link_certificate(),
                    clock: clock.clone(),
                });
                let credentials = Arc::new(credentials);
                let dial =
                    Dial { address: address.clone(), parent: parent.clone(), credentials, timing: Timing::default() };
                let dialling = link::dial(context.clone(), dial.clone(), status, retry.clone(), stop.child_token());
                work.spawn(async {
                    dialling.await;
                    Ok(())
                });
                Some(dial)
            }
            (Some((parent, _)), None) => {
                let detail = format!("this node's parent is {parent}, but the configuration has no [parent] address");
                return Err(Refusal::new(Reason::NotFound, detail).into());
            }
            (None, _) => None,
        };
        let desk = wire::JoinDesk {
            context: context.clone(),
            ca: ca.clone(),
            clock: clock.clone(),
            certificate_life: config.certificate_life,
        };
        let exchange = wire::Exchange { pipeline: pipeline.clone(), children: children.clone(), join: desk };
        let admin = wire::admin::Admin::new(wire::admin::Parts {
            pipeline: pipeline.clone(),
            view: View::new(store.clone()),
            children: children.clone(),
            link: link_seen,
            retry,
            clock: clock.clone(),
            ca_certificate: ca.certificate().to_vec(),
            invite_address: config.advertise.clone().unwrap_or_else(|| listen.clone()),
            parent: dialled.as_ref().map(|dial| (dial.parent.clone(), dial.address.clone())),
            listen: listen.clone(),
            doctor: Doctor { layout: layout.clone(), store: store.clone(), clock: clock.clone() },
            scratch: layout.dir().to_path_buf(),
            rotation: Arc::new(rotation),
        });
        if metrics.is_some() {
            let gauges = gauges::Gauges {
                pipeline: pipeline.clone(),
                view: View::new(store.clone()),
                children: children.clone(),
                parent: dialled.as_ref().map(|dial| dial.parent.clone()),
            };
            let over = stop.child_token();
            work.spawn(async move {
                over.run_until_cancelled(gauges.run()).await;
                Ok(())
            });
        }
        let queries = wire::query::Queries::new(context.clone(), children);
        work.spawn(wire::serve_operator(socket, admin, queries, health_service.clone(), stop.child_token()));
        work.spawn(wire::serve_children(listener, tls, exchange, health_service, stop.child_token()));
        let metrics_address = metrics.as_ref().map(|server| server.address().to_string()).unwrap_or_default();
        tracing::info!(node = %me, %listen, metrics = metrics_address, data = %layout.dir().display(), "ready");
        // Systemd learns it when it waits for it (Type=notify); elsewhere this does nothing.
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            tracing::warn!(%error, "the service manager could not be told");
        }

        // A server that ends by itself ends the node: a node that looks alive and serves nobody would be worse.
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            over = watching::watch(store, pipeline, &health) => over.map_err(Error::from),
            Some(ended) = work.join_next() => match ended {
                Ok(ended) => ended.map_err(Error::from),
                Err(broke) => Err(Refusal::new(Reason::Internal, format!("a part of the node broke: {broke}")).into()),
            },
        };
        tracing::info!("shutting down");
        stop.cancel();
        health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        let drained = async { while work.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            work.abort_all();
            tracing::info!("some connections did not end in time and were cut");
        }
        if let Err(error) = std::fs::remove_file(layout.admin_socket()) {
            tracing::debug!(%error, "the admin socket was gone already");
        }
        ended
    }
}

/// Sees to it that the key that the directory names is the one that signs: a change of keys that was cut is finished here.
fn settle_key(layout: &Layout, rotation: &Rotation, pipeline: &Handle) -> Result<(), Error> {
    let snapshot = pipeline.snapshot();
    let Some(me) = snapshot.directory().node(snapshot.me()) else { return Ok(()) };
    match rotation.settle(me.key())? {
        Some(key) => pipeline.signing().replace(key),
        None => {
            let detail = doctor::other_key(&layout.log_key(), me);
            return Err(Refusal::new(Reason::KeyNotEnrolled, detail).into());
        }
    }
    Ok(())
}

/// Asks the service manager for more time, again and again: after an upgrade the register may have to be made again, which takes as long as
/// the logs are. Elsewhere this does nothing.
async fn ask_for_patience() {
    const MORE: Duration = Duration::from_secs(120);
    let mut turn = tokio::time::interval(MORE / 4);
    loop {
        turn.tick().await;
        let more = sd_notify::NotifyState::ExtendTimeoutUsec(u32::try_from(MORE.as_micros()).unwrap_or(u32::MAX));
        if let Err(error) = sd_notify::notify(&[more]) {
            tracing::debug!(%error, "the service manager could not be asked for more time");
        }
    }
}

/// The anchor, and the parent's id unless this is the root.
pub(super) async fn place(store: &Store) -> Result<(Fingerprint, Option<NodeId>), Error> {
    let mut tx = store.read("place").await?;
    let unreadable =
        || Refusal::new(Reason::NotFound, "the database does not say where this node belongs; set it up anew");
    let anchor = tx.meta_get(META_ANCHOR).await?.ok_or_else(unreadable)?;
    let anchor = Fingerprint(anchor.try_into().map_err(|_| unreadable())?);
    let parent = match tx.meta_get(META_PARENT).await? {
        Some(parent) => Some(String::from_utf8_lossy(&parent).parse().map_err(Refusal::from)?),
        None => None,
    };
    Ok((anchor, parent))
}

pub(super) fn client_tls(
    layout: &Layout,
    key: &LinkKey,
    clock: Arc<dyn Clock>,
) -> Result<Arc<rustls::ClientConfig>, Error> {
    let own = pki::read_certificates(&layout.link_certificate())?;
    let ca = pki::read_certificates(&layout.parent_ca_certificate())?;
    let ca = ca.first().ok_or_else(|| Refusal::new(Reason::NotFound, "the parent's CA certificate is missing"))?;
    Ok(pki::client_config(ca, Some(Identity::new(own, key)), clock)?)
}

fn io(what: &impl std::fmt::Display) -> impl Fn(std::io::Error) -> Error {
    let what = what.to_string();
    move |source| Error::Io { what: what.clone(), source }
}

async fn bind(address: &Address) -> Result<TcpListener, Error> {
    let what = format!("cannot listen on {address}; is it in use, or not an address of this machine?");
    TcpListener::bind((address.host(), address.port())).await.map_err(io(&what))
}

/// The operator's socket, for this user only. The directory's lock says that no other process of ours uses it.
fn bind_socket(path: &Path) -> Result<UnixListener, Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let what = format!("cannot make the admin socket {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&what)(error)),
        _ => {}
    }
    // Made under another name and moved, so that it is never reachable with another mode.
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let socket = UnixListener::bind(&fresh).map_err(io(&what))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(io(&what))?;
    std::fs::rename(&fresh, path).map_err(io(&what))?;
    Ok(socket)
}

/// Cancels `stop` when the process is told to end.
fn on_signal(stop: CancellationToken) -> Result<tokio::task::JoinHandle<()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = io(&"cannot listen for signals");
    let mut term = signal(SignalKind::terminate()).map_err(&failed)?;
    let mut int = signal(SignalKind::interrupt()).map_err(&failed)?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stop.cancel();
    }))
}
