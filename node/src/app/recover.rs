//! `recover`: a node gets back what it wrote. Its disk is lost, its database is damaged or an old copy, or it moves below another node.
//!
//! The new database is made beside the old one, from the parent's logs by the same door as everything else, and takes the old one's place
//! when it is whole. Cut anywhere, run again it goes on. The old database is set aside, never removed: entries that the parent does not
//! have are taken over from it, and where it holds another history than the parent, it is the only copy of that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use danso_proto::change::NodeRekeyed;
use danso_proto::envelope::Signer as _;
use danso_proto::ids::{Fingerprint, LogId, NodeId};
use danso_proto::refusal::{Reason, Refusal};
use rustls::pki_types::CertificateDer;

use super::{Error, META_ANCHOR, META_PARENT, clock, run};
use crate::clock::Clock;
use crate::config::{Address, Config, Layout};
use crate::files;
use crate::keys::{LinkKey, LogKey, Rotation};
use crate::pipeline::{self, Handle};
use crate::pki::{self, Ca, TrustDomain};
use crate::store::{self, Store};
use crate::token::Token;

mod alone;
mod ask;
mod keep;

use ask::{Asking, Given};
use keep::keep;

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
    /// Who gave back what it holds; nobody, where a root was made again from its own database.
    pub(super) parent: Option<NodeId>,
    /// Entries that came from the parent.
    pub(super) entries: u64,
    /// Entries that only the old database had, taken over.
    pub(super) kept: u64,
    /// Logs of which the old database holds another history, and from which entry on.
    pub(super) apart: Vec<(LogId, u64)>,
    /// Logs of others that the parent gave and that were refused.
    pub(super) refused: BTreeMap<LogId, Refusal>,
    /// What is wrong with the old database.
    pub(super) damage: Option<String>,
    /// What of the old database could not be read any more.
    pub(super) unread: Vec<String>,
    /// Where the old database is now.
    pub(super) aside: Option<PathBuf>,
}

/// Name of a database, and of the file with the heads of its node's own logs.
const DATABASE: &str = "danso.db";
const HEADS: &str = "heads";

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
    let root = if token.is_none() { alone::is_damaged_root(old.as_ref()).await } else { None };
    let old = match (root, old) {
        (Some(anchor), Some(old)) => return alone::recover(&layout, old, anchor, clock).await,
        (_, old) => old,
    };
    let config = match layout.config().exists() {
        true => Some(Config::load(&layout.config())?),
        false => None,
    };
    let link_key = LinkKey::load_or_create(&layout.link_key())?;
    let there = old.as_ref().map(|old| &old.store);
    let place = place(&layout, token, config.as_ref(), there).await?;
    let mut unread = Vec::new();
    let (key, keys) =
        own_key(&layout, (&place.node, place.anchor), !place.secret.is_empty(), there, &mut unread).await?;
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
        parent: Some(place.parent.clone()),
        entries: given.entries,
        kept: 0,
        apart: Vec::new(),
        refused: BTreeMap::new(),
        damage: None,
        unread,
        aside: None,
    };
    if let Some(old) = old {
        let shared = keep(&old.store, &store, &given.handle, &mut recovered).await?;
        match &old.damage {
            None => old.store.close().await,
            Some(damage) => {
                old.store.close_unsealed().await;
                recovered.damage = Some(damage.to_string());
            }
        }
        recovered.unread.extend(store.adopt(&layout.database(), &shared).await?);
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
    let Given { handle, certificates, refused, .. } = given;
    drop(handle);
    recovered.refused = refused;
    settle(&store, place.anchor, Some(&place.parent)).await?;
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

/// Whether the log key signs what comes next in each own log. It does not where the change of keys reached the parent, which takes
/// directories first, and entries from before it did not, and are lost.
fn signs_on(handle: &Handle, place: &Place, key: &LogKey) -> bool {
    let snapshot = handle.snapshot();
    let ends = |log: &LogId| snapshot.log(log).map_or(0, |row| row.head.size());
    let me = snapshot.directory().node(&place.node);
    me.is_some_and(|me| me.key() == key.public_key() && me.keys().signs_on(ends))
}

/// The old database.
struct Old {
    store: Store,
    /// What is wrong with it, if it opens to look only.
    damage: Option<store::Error>,
}

/// The old database, if there is one. One that does not open is set aside all the same; of one that is damaged is taken what can be read: its
/// entries pass the same door as everybody's.
async fn open_old(layout: &Layout) -> Option<Old> {
    if !layout.database().exists() {
        return None;
    }
    let damage = match Store::open(&layout.database()).await {
        Ok(store) => return Some(Old { store, damage: None }),
        Err(error) => error,
    };
    match Store::open_to_look(&layout.database()).await {
        Ok((store, _)) => Some(Old { store, damage: Some(damage) }),
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
        if config.is_some_and(|config| config.parent.is_none()) {
            return alone::lost(what);
        }
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
        let detail = "this is the root of its federation: nobody above holds its logs, and its database is not damaged. An old copy: restore its newest backup, danso-node restore";
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

/// The node's log key, made anew where it was lost, and those before it, as far as the old database can be read. It is read only: where it is
/// damaged, or holds another history, it is evidence. A change of keys that was cut may have left the right key in the second file.
async fn own_key(
    layout: &Layout,
    (node, anchor): (&NodeId, Fingerprint),
    may_make: bool,
    old: Option<&Store>,
    unread: &mut Vec<String>,
) -> Result<(Arc<LogKey>, Vec<NodeRekeyed>), Error> {
    let key = match may_make {
        true => LogKey::load_or_create(&layout.log_key())?,
        false => LogKey::load(&layout.log_key())?,
    };
    let key = Arc::new(key);
    let Some(old) = old else { return Ok((key, Vec::new())) };
    let directory = match pipeline::directory_to_look(old, anchor).await {
        Ok((directory, damage)) => {
            unread.extend(damage);
            directory
        }
        Err(error) => {
            unread.push(format!("what it says of keys: {error}"));
            return Ok((key, Vec::new()));
        }
    };
    let Some(me) = directory.node(node) else { return Ok((key, Vec::new())) };
    let settled = Rotation::new(layout.log_key(), layout.next_log_key()).settle(me.key())?;
    let stated = if settled.is_some() { me.keys().stated(node) } else { Vec::new() };
    Ok((settled.unwrap_or(key), stated))
}

/// Writes down where the node belongs, and closes the new database.
async fn settle(store: &Store, anchor: Fingerprint, parent: Option<&NodeId>) -> Result<(), Error> {
    store
        .run_tx("recover", async |tx| {
            tx.meta_put(META_ANCHOR, &anchor.0).await?;
            match parent {
                Some(parent) => tx.meta_put(META_PARENT, parent.as_str().as_bytes()).await,
                None => Ok(()),
            }
        })
        .await?;
    // What was typed is lost with the old disk; which rows came before is told by what was written.
    pipeline::remember_rows(store, anchor).await?;
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
