//! `recover`: a node gets back what it wrote. Its disk is lost, its database is damaged or an old copy, or it moves below another node.
//!
//! The new database is made beside the old one, from the parent's logs by the same door as everything else, and takes the old one's place
//! when it is whole. Cut anywhere, run again it goes on. The old database is set aside, never removed: entries that the parent does not
//! have are taken over from it, and where it holds another history than the parent, it is the only copy of that.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use danso_core::sync::rank;
use danso_proto::change::NodeRekeyed;
use danso_proto::envelope::{Envelope, Signer as _};
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::package::{self, Package, SealedEntry};
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::pb::exchange::v1::exchange_service_client::ExchangeServiceClient;
use danso_proto::refusal::{Reason, Refusal};
use pb::recover_response::Body;
use rustls::pki_types::CertificateDer;
use tonic::transport::Channel;

use super::{Error, META_ANCHOR, META_PARENT, clock, run};
use crate::clock::Clock;
use crate::config::{Address, Config, Layout};
use crate::keys::{LinkKey, LogKey, Rotation};
use crate::pipeline::{self, Handle, Outfit};
use crate::pki::{self, Ca, TrustDomain};
use crate::store::{LogRow, Store};
use crate::token::Token;
use crate::{files, link};

/// What `recover` is told.
pub(super) struct Recover<'a> {
    pub(super) data: &'a Path,
    pub(super) token: Option<Token>,
    pub(super) listen: Option<Address>,
    pub(super) advertise: Option<Address>,
    /// Told how many entries came so far.
    pub(super) progress: &'a mut dyn FnMut(u64),
}

/// What `recover` did.
pub(super) struct Recovered {
    pub(super) node: NodeId,
    pub(super) parent: NodeId,
    /// Entries that came from the parent.
    pub(super) entries: u64,
    /// Entries that only the old database had, taken over.
    pub(super) kept: u64,
    /// Logs of which the old database holds another history, and from which entry on.
    pub(super) apart: Vec<(LogId, u64)>,
    /// Where the old database is now.
    pub(super) aside: Option<PathBuf>,
}

/// Name of a database, and of the file with the heads of its node's own logs.
const DATABASE: &str = "danso.db";
const HEADS: &str = "heads";
/// Time for the parent's next message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// Whom to ask, and as whom.
struct Place {
    node: NodeId,
    anchor: Fingerprint,
    parent: NodeId,
    address: Address,
    secret: Vec<u8>,
    ca: CertificateDer<'static>,
}

/// Gets everything back.
pub(super) async fn recover(what: Recover<'_>) -> Result<Recovered, Error> {
    let Recover { data, token, listen, advertise, progress } = what;
    let clock = clock();
    let layout = if token.is_some() { Layout::create(data)? } else { Layout::open(data)? };
    let _lock = layout.lock()?;
    let old = open_old(&layout).await;
    let config = match layout.config().exists() {
        true => Some(Config::load(&layout.config())?),
        false => None,
    };
    let link_key = LinkKey::load_or_create(&layout.link_key())?;
    let place = place(&layout, token, config.as_ref(), old.as_ref()).await?;
    let (key, keys) = own_key(&layout, &place, old.as_ref()).await?;
    let tls = match place.secret.is_empty() {
        true => run::client_tls(&layout, &link_key, clock.clone())?,
        false => pki::client_config(&place.ca, None, clock.clone())?,
    };
    let channel = pki::connect(&place.address, tls, &place.parent).await?;
    // What an attempt that was cut brought is kept; of another node it would be refused entry by entry.
    let beside = layout.recovering();
    layout.make(&beside)?;
    let store = Store::open(&beside.join(DATABASE)).await?;
    let mut asking = Asking {
        place: &place,
        key: &key,
        keys,
        link_key: &link_key,
        store: &store,
        clock: clock.clone(),
        handle: None,
    };
    asking.handle = match store.read("recover").await?.meta_get(pipeline::META_NODE).await? {
        Some(node) if node == place.node.as_str().as_bytes() => Some(Handle::start(asking.outfit()).await?),
        Some(_) => {
            let detail = format!("{} is of another node; move it away", beside.display());
            return Err(Refusal::new(Reason::AlreadyJoined, detail).into());
        }
        None => None,
    };
    let mut given = asking.ask(channel.clone(), false, progress).await?;
    let mut recovered = Recovered {
        node: place.node.clone(),
        parent: place.parent.clone(),
        entries: given.entries,
        kept: 0,
        apart: Vec::new(),
        aside: None,
    };
    if let Some(old) = old {
        keep(&old, &store, &given.handle, &mut recovered).await?;
        old.close().await;
        store.adopt(&layout.database()).await?;
    }
    if !signs_on(&given.handle, &place, &key) {
        tracing::warn!(
            "entries from before the last change of keys are lost; the parent is asked to vouch for the key from here on"
        );
        asking.handle = Some(given.handle);
        given = asking.ask(channel, true, &mut |_| {}).await?;
        if !signs_on(&given.handle, &place, &key) {
            let detail = "entries from before the last change of the log key are lost, and the parent does not accept the key for what comes next; \
                          recover with a new key: move keys/log.pem away, and use a token that the parent makes: danso-admin child invite --node NODE";
            return Err(Refusal::new(Reason::KeyNotEnrolled, detail).into());
        }
    }
    drop(asking);
    let Given { handle, certificates, .. } = given;
    drop(handle);
    settle(&store, &place).await?;
    pki::write_certificates(&layout.link_certificate(), &certificates)?;
    pki::write_certificates(&layout.parent_ca_certificate(), std::slice::from_ref(&place.ca))?;
    if !layout.ca_key().exists() && layout.ca_certificate().exists() {
        // From a backup without keys: without its key the certificate is of no use to anybody.
        let what = || format!("cannot remove {}", layout.ca_certificate().display());
        fs::remove_file(layout.ca_certificate()).map_err(|source| Error::Io { what: what(), source })?;
    }
    if !layout.ca_certificate().exists() {
        let domain = TrustDomain::of_anchor(&place.anchor);
        Ca::create(&layout.ca_key(), &layout.ca_certificate(), &place.node, &domain)?;
    }
    let unit = place.node.unit();
    let mut config = config.unwrap_or_else(|| Config::new(unit, listen.clone().unwrap_or_else(Address::any_local)));
    config.parent = Some(place.address.clone());
    config.listen = listen.unwrap_or(config.listen);
    config.advertise = advertise.or(config.advertise);
    config.write(&layout.config())?;
    recovered.aside = swap(&layout, clock.now_ms())?;
    Ok(recovered)
}

/// Asks the parent, and takes what it gives.
struct Asking<'a> {
    place: &'a Place,
    key: &'a Arc<LogKey>,
    /// The keys that the node had and has, as far as the old database knows.
    keys: Vec<NodeRekeyed>,
    link_key: &'a LinkKey,
    store: &'a Store,
    clock: Arc<dyn Clock>,
    /// The new node, from when it has its anchor.
    handle: Option<Handle>,
}

/// What the parent gave.
struct Given {
    handle: Handle,
    certificates: Vec<CertificateDer<'static>>,
    entries: u64,
}

impl Asking<'_> {
    fn outfit(&self) -> Outfit {
        let Self { place, key, store, clock, .. } = self;
        Outfit { store: (*store).clone(), signer: (*key).clone(), clock: clock.clone(), anchor: place.anchor }
    }

    fn request(&self, vouch: bool) -> Result<pb::RecoverRequest, Error> {
        let Self { place, key, .. } = self;
        let csr = pki::csr(self.link_key, &place.node)?;
        let statement = link::recover_statement(&place.node, &place.secret, &csr);
        let proof = key.sign(&statement).map_err(pipeline::Error::from)?;
        let head = |row: &LogRow| pb::RecoverHead { log: row.log.to_string(), size: row.head.size() };
        let there = self.handle.as_ref().map(Handle::snapshot);
        let there = there.iter().flat_map(|snapshot| snapshot.logs());
        Ok(pb::RecoverRequest {
            node: place.node.to_string(),
            secret: place.secret.clone().into(),
            log_public_key: key.public_key().as_bytes().to_vec().into(),
            link_csr: csr.into(),
            proof: proof.to_vec().into(),
            heads: there.map(head).collect(),
            vouch,
            keys: self.keys.iter().map(Into::into).collect(),
        })
    }

    /// All that the parent holds and is not here yet; with `vouch`, after it has vouched for the key from the ends of what is here.
    async fn ask(&mut self, channel: Channel, vouch: bool, progress: &mut dyn FnMut(u64)) -> Result<Given, Error> {
        let place = self.place;
        let request = self.request(vouch)?;
        let mut answer = Answer::open(channel, request).await?;
        let Some(Body::Enrolment(enrolled)) = answer.next().await? else {
            return Err(Refusal::new(Reason::Malformed, "the parent's answer does not begin with a place").into());
        };
        if enrolled.node != place.node.as_str() || enrolled.parent_node != place.parent.as_str() {
            let detail = format!("the parent answers for {} below {}", enrolled.node, enrolled.parent_node);
            return Err(Refusal::new(Reason::AnchorMismatch, detail).into());
        }
        let mut entries = 0;
        let end = loop {
            match answer.next().await? {
                Some(Body::Package(frame)) => {
                    let package = package::decode(&frame.zstd)?;
                    entries += package.entries.len() as u64;
                    let running = match self.handle.take() {
                        Some(running) => running,
                        None => {
                            found(self.store, place, &package, self.clock.now_ms()).await?;
                            Handle::start(self.outfit()).await?
                        }
                    };
                    take(&running, package).await?;
                    self.handle = Some(running);
                    progress(entries);
                }
                Some(Body::End(end)) => break end,
                Some(Body::Enrolment(_)) => {
                    return Err(Refusal::new(Reason::Malformed, "the parent named a place twice").into());
                }
                None => return Err(cut()),
            }
        };
        let handle =
            self.handle.take().ok_or_else(|| Refusal::new(Reason::AnchorMismatch, "the parent sent no directory"))?;
        complete(&handle, place, self.key, &end)?;
        let certificates = enrolled.certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        Ok(Given { handle, certificates, entries })
    }
}

/// Whether the log key signs what comes next in each own log. It does not where the change of keys reached the parent, which takes
/// directories first, and entries from before it did not, and are lost.
fn signs_on(handle: &Handle, place: &Place, key: &LogKey) -> bool {
    let snapshot = handle.snapshot();
    let ends = |log: &LogId| snapshot.log(log).map_or(0, |row| row.head.size());
    let me = snapshot.directory().node(&place.node);
    me.is_some_and(|me| me.key() == key.public_key() && me.keys().signs_on(ends))
}

/// The old database, if there is one that opens. One that does not is set aside all the same.
async fn open_old(layout: &Layout) -> Option<Store> {
    if !layout.database().exists() {
        return None;
    }
    match Store::open(&layout.database()).await {
        Ok(store) => Some(store),
        Err(error) => {
            tracing::warn!(%error, "the old database cannot be read; what only it had is not taken over");
            None
        }
    }
}

/// Where the node belongs: by the token, else by what is in its directory.
async fn place(
    layout: &Layout,
    token: Option<Token>,
    config: Option<&Config>,
    old: Option<&Store>,
) -> Result<Place, Error> {
    if let Some(token) = token {
        let node = token.node.ok_or_else(|| {
            let detail = format!("the token is for a new node of {}: use it with danso-node join", token.unit);
            Refusal::new(Reason::TokenWrongUnit, detail)
        })?;
        return Ok(Place {
            node,
            anchor: token.anchor,
            parent: token.parent,
            address: token.address,
            secret: token.secret.0.to_vec(),
            ca: CertificateDer::from(token.ca_certificate),
        });
    }
    let lost = |what: &str| {
        let detail = format!(
            "{what}; recover with a token that the parent makes: danso-admin child invite --node NODE, then --token-file"
        );
        Error::from(Refusal::new(Reason::NotFound, detail))
    };
    let config = config.ok_or_else(|| lost("the configuration is missing"))?;
    let old = old.ok_or_else(|| lost("the database is missing or cannot be read"))?;
    let (anchor, parent) = run::place(old).await?;
    let node = old.read("recover").await?.meta_get(pipeline::META_NODE).await?;
    let node = node.ok_or_else(|| lost("the database does not say whose it is"))?;
    let (Some(parent), Some(address)) = (parent, config.parent.clone()) else {
        let detail = "this is the root of its federation: nobody above holds its logs. Restore its newest backup: danso-node restore";
        return Err(Refusal::new(Reason::NotFound, detail).into());
    };
    let ca = pki::read_certificates(&layout.parent_ca_certificate())?.into_iter().next();
    Ok(Place {
        node: String::from_utf8_lossy(&node).parse().map_err(Refusal::from)?,
        anchor,
        parent,
        address,
        secret: Vec::new(),
        ca: ca.ok_or_else(|| lost("the certificate of the parent's CA is missing"))?,
    })
}

/// The node's log key, made anew where it was lost, and those before it. A change of keys that was cut may have left the right one in the
/// second file.
async fn own_key(
    layout: &Layout,
    place: &Place,
    old: Option<&Store>,
) -> Result<(Arc<LogKey>, Vec<NodeRekeyed>), Error> {
    let key = match place.secret.is_empty() {
        true => LogKey::load(&layout.log_key())?,
        false => LogKey::load_or_create(&layout.log_key())?,
    };
    let mut key = Arc::new(key);
    if let Some(old) = old
        && let Ok(handle) = Handle::start(Outfit {
            store: old.clone(),
            signer: Arc::new(LogKey::load(&layout.log_key())?),
            clock: clock(),
            anchor: place.anchor,
        })
        .await
        && let Some(me) = handle.snapshot().directory().node(&place.node)
    {
        if let Some(settled) = Rotation::new(layout.log_key(), layout.next_log_key()).settle(me.key())? {
            key = settled;
        }
        if me.key() == key.public_key() {
            return Ok((key, me.keys().stated(&place.node)));
        }
    }
    Ok((key, Vec::new()))
}

/// The parent's answer.
struct Answer(tonic::Streaming<pb::RecoverResponse>);

impl Answer {
    async fn open(channel: Channel, request: pb::RecoverRequest) -> Result<Self, Error> {
        let mut client = ExchangeServiceClient::new(channel)
            .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
            .max_encoding_message_size(limits::GRPC_MESSAGE_MAX);
        let call = tokio::time::timeout(MESSAGE_TIMEOUT, client.recover(request));
        Ok(Self(call.await.map_err(|_| cut())?.map_err(|error| link::refusal_of(&error))?.into_inner()))
    }

    async fn next(&mut self) -> Result<Option<Body>, Error> {
        let message = tokio::time::timeout(MESSAGE_TIMEOUT, self.0.message()).await.map_err(|_| cut())?;
        match message.map_err(|error| link::refusal_of(&error))? {
            None => Ok(None),
            Some(pb::RecoverResponse { body: Some(body) }) => Ok(Some(body)),
            Some(_) => {
                Err(Refusal::new(Reason::Malformed, "the parent sent something that this version does not know").into())
            }
        }
    }
}

fn cut() -> Error {
    Refusal::new(Reason::LinkDown, "the parent did not send everything; run recover again, it goes on where it was cut")
        .into()
}

/// The first package must begin with the anchor's genesis.
async fn found(store: &Store, place: &Place, package: &Package, now_ms: i64) -> Result<(), Error> {
    let first = package.entries.first().filter(|_| package.first == 0);
    let first = first.ok_or_else(|| Refusal::new(Reason::AnchorMismatch, "the parent's directory has no beginning"))?;
    let genesis = Envelope::decode(first.envelope.clone())?;
    Ok(pipeline::found(store, &place.node, genesis, place.anchor, now_ms).await?)
}

async fn take(handle: &Handle, package: Package) -> Result<(), Error> {
    match handle.receive(package).await?.await?.refused {
        Some((_, refusal)) => Err(refusal.into()),
        None => Ok(()),
    }
}

/// All that the parent named is here, and the directory gives this node its place and its key.
fn complete(handle: &Handle, place: &Place, key: &LogKey, end: &pb::RecoverEnd) -> Result<(), Error> {
    let snapshot = handle.snapshot();
    for head in &end.heads {
        let log: LogId = head.log.parse().map_err(Refusal::from)?;
        if snapshot.log(&log).map_or(0, |row| row.head.size()) < head.size {
            return Err(cut());
        }
    }
    match snapshot.directory().node(&place.node) {
        Some(me) if me.parent() != Some(&place.parent) => {
            Err(Refusal::new(Reason::AnchorMismatch, "the directory does not place this node below its parent").into())
        }
        Some(me) if me.key() != key.public_key() => {
            Err(Refusal::new(Reason::KeyNotEnrolled, "the directory does not name the log key that is here").into())
        }
        Some(_) => Ok(()),
        None => Err(Refusal::new(Reason::AnchorMismatch, "the directory does not enrol this node").into()),
    }
}

/// Takes over from the old database what goes on where the parent's logs end. Where it holds another history that stays behind, and is said.
async fn keep(old: &Store, new: &Store, handle: &Handle, recovered: &mut Recovered) -> Result<(), Error> {
    let (mut tx, mut now) = (old.read("recover").await?, new.read("recover").await?);
    let mut rows = tx.log_list().await?;
    let directory = handle.snapshot().directory_arc();
    rows.sort_by_key(|row| match row.log.stream() {
        Stream::Directory => (0, rank(row.log.node(), &*directory)),
        _ => (1, 0),
    });
    for row in rows {
        let here = handle.snapshot().log(&row.log).map(|row| (row.pk, row.head.size()));
        let (pk, size) = here.unwrap_or((0, 0));
        let own = *row.log.node() == recovered.node;
        let shared = size.min(row.head.size());
        let (theirs, ours) = (tx.leaf_read(row.pk, 0..shared).await?, now.leaf_read(pk, 0..shared).await?);
        if let Some(at) = theirs.iter().zip(&ours).position(|(old, new)| old != new) {
            tracing::warn!(log = %row.log, at, "the old database holds another history of a log");
            if own {
                recovered.apart.push((row.log.clone(), at as u64));
            }
            continue;
        }
        let mut from = size;
        while from < row.head.size() {
            let entries = tx.entry_read(row.pk, from, limits::PACKAGE_ENTRIES_MAX, limits::PACKAGE_BYTES_MAX).await?;
            let count = entries.len() as u64;
            if count == 0 {
                break;
            }
            let sealed = entries.into_iter().map(|e| SealedEntry { envelope: e.envelope, parts: e.parts }).collect();
            let checkpoint = row.checkpoint.clone().filter(|_| from + count == row.head.size());
            let package = Package { log: row.log.clone(), first: from, entries: sealed, checkpoint };
            let received = handle.receive(package).await?.await?;
            recovered.kept += received.size.saturating_sub(from);
            if let Some((sequence, refusal)) = received.refused {
                tracing::warn!(log = %row.log, sequence, %refusal, "entries of the old database were not taken over");
                if own {
                    recovered.apart.push((row.log.clone(), sequence));
                }
                break;
            }
            from += count;
        }
    }
    Ok(())
}

/// Writes down where the node belongs, and closes the new database.
async fn settle(store: &Store, place: &Place) -> Result<(), Error> {
    store
        .run_tx("recover", async |tx| {
            tx.meta_put(META_ANCHOR, &place.anchor.0).await?;
            tx.meta_put(META_PARENT, place.parent.as_str().as_bytes()).await
        })
        .await?;
    // What was typed is lost with the old disk; which rows came before is told by what was written.
    pipeline::remember_rows(store, place.anchor).await?;
    store.close().await;
    Ok(())
}

/// Puts the new database in the old one's place, and the old one aside with the files that belong to it.
fn swap(layout: &Layout, now_ms: i64) -> Result<Option<PathBuf>, Error> {
    let (database, beside) = (layout.database(), layout.recovering());
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| Error::Io { what, source }
    };
    let mut aside = None;
    if database.exists() {
        let to = layout.dir().join(format!("danso.db.before-recover-{now_ms}"));
        for suffix in ["-wal", "-shm"] {
            let of = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            match fs::rename(of(&database), of(&to)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("cannot set the old database aside")(error));
                }
                _ => {}
            }
        }
        files::rename(&database, &to).map_err(io("cannot set the old database aside"))?;
        aside = Some(to);
    }
    // The heads first: cut between the two, the node finds its database older than they say, and recover is run again.
    let heads = beside.join(HEADS);
    if heads.exists() {
        files::rename(&heads, &layout.dir().join(HEADS)).map_err(io("cannot put the heads in their place"))?;
    }
    files::rename(&beside.join(DATABASE), &database).map_err(io("cannot put the new database in its place"))?;
    fs::remove_dir_all(&beside).map_err(io("cannot remove the directory of the new database"))?;
    Ok(aside)
}
