//! `recover`: a node gets back what it wrote. Its disk is lost, its database is damaged or an old copy, or it moves below another node.
//!
//! The new database is made beside the old one, from the parent's logs by the same door as everything else, and takes the old one's place
//! when it is whole. Cut anywhere, run again it goes on. The old database is set aside, never removed nor written to: entries that the parent
//! does not have are taken over from a copy of it, and where it holds another history than the parent, it is the only copy of that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use danso_proto::change::NodeRekeyed;
use danso_proto::envelope::Signer as _;
use danso_proto::ids::{Fingerprint, LogId, NodeId};
use danso_proto::refusal::{Class, Reason, Refusal};
use rustls::pki_types::CertificateDer;

use super::{Error, META_ANCHOR, META_PARENT, clock, database, run};
use crate::clock::Clock;
use crate::config::{Address, Config, Fresh, Layout};
use crate::keys::{LinkKey, LogKey, Rotation};
use crate::pipeline::{self, Handle, heads};
use crate::pki::{self, Ca, TrustDomain};
use crate::store::Store;
use crate::token::Token;

mod alone;
mod ask;
mod keep;
mod lost;
mod old;
mod swap;

use ask::{Ask, Asking, Given};
use keep::keep;
use old::Old;

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
    /// Own entries that were written here and are nowhere now.
    pub(super) lost: Vec<Lost>,
    /// Logs of others that the parent gave and that were refused.
    pub(super) refused: BTreeMap<LogId, Refusal>,
    /// What is wrong with the old database.
    pub(super) damage: Option<String>,
    /// What of the old database could not be read any more.
    pub(super) unread: Vec<String>,
    /// Where the old database is now.
    pub(super) aside: Option<PathBuf>,
}

/// Own entries of a log that are lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) log: LogId,
    /// Entries that are here.
    pub(super) here: u64,
    /// Entries that were written, by the file `heads`. No more than are here: then others stand in their place.
    pub(super) written: u64,
}

/// Name of a database, and of the file with the heads of its node's own logs.
const DATABASE: &str = "danso.db";
const HEADS: &str = "heads";

/// What to do where the database is on a server.
const INSTEAD: &str = "recover into an empty directory with a token that the parent makes (danso-admin child invite --node NODE); the database is a \
                       file there, and the old one stays as it is";

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
pub(super) async fn recover(mut what: Recover<'_>) -> Result<Recovered, Error> {
    let missing = Layout::missing(what.data);
    let layout = if what.token.is_some() { Layout::create(what.data)? } else { Layout::open(what.data)? };
    let _lock = layout.lock()?;
    database::is_file(&layout, INSTEAD)?;
    let fresh = Fresh::of(&layout, missing);
    swap::resume(&layout)?;
    let old = Old::open(&layout).await?;
    let mut may_stand = false;
    let given = give_back(&layout, &mut what, old.as_ref(), &mut may_stand).await;
    if let Some(old) = old {
        old.close(&layout).await;
    }
    let mut recovered = match (given, fresh) {
        (Ok(recovered), _) => recovered,
        (Err(error), Some(fresh)) if !may_stand => {
            fresh.remove();
            return Err(error);
        }
        (Err(error), _) => return Err(error),
    };
    recovered.aside = swap::swap(&layout, clock().now_ms())?;
    Ok(recovered)
}

/// Makes the new database, to the end. `may_stand` is set while a parent may have vouched for the keys that are here.
async fn give_back(
    layout: &Layout,
    what: &mut Recover<'_>,
    old: Option<&Old>,
    may_stand: &mut bool,
) -> Result<Recovered, Error> {
    let token = what.token.take();
    if token.is_none()
        && let Some(root) = alone::damaged_root(old).await?
    {
        return alone::recover(layout, root, clock()).await;
    }
    let config = match layout.config().exists() {
        true => Some(Config::load(&layout.config())?),
        false => None,
    };
    let place = place(layout, token, config.as_ref(), old.map(|old| &old.store)).await?;
    // What an attempt that was cut brought is kept; of another node it would be refused entry by entry.
    let (mut store, was_there) = open_new(layout).await?;
    let mut started = None;
    let into = (&mut store, was_there);
    let given = from_parent(layout, &place, old, into, (what.progress, may_stand), &mut started).await;
    ended(&mut started).await;
    let recovered = match given {
        Ok(recovered) => recovered,
        Err(error) => {
            let is_empty = is_empty(&store).await;
            store.close_unsealed().await;
            if is_empty {
                swap::remove_new(layout)?;
            }
            return Err(error);
        }
    };
    let unit = place.node.unit();
    let listen = what.listen.take();
    let mut config = config.unwrap_or_else(|| Config::new(unit, listen.clone().unwrap_or_else(Address::any_local)));
    config.parent = Some(place.address.clone());
    config.listen = listen.unwrap_or(config.listen);
    config.advertise = what.advertise.take().or(config.advertise);
    config.write(&layout.config())?;
    Ok(recovered)
}

/// The new database, and whether an attempt that was cut left it. One that is damaged is begun anew: all of it comes again.
///
/// The disk is judged as by the node that runs then; where nothing is configured yet, by what really fails.
async fn open_new(layout: &Layout) -> Result<(Store, bool), Error> {
    layout.make(&layout.recovering())?;
    let path = layout.recovering().join(DATABASE);
    let was_there = path.exists();
    let (store, was_there) = match Store::open(&path).await {
        Err(error) if was_there && error.is_damage() => {
            tracing::warn!(error = error.told(), "what an earlier recovery left is damaged; it is begun anew");
            swap::remove_new(layout)?;
            (Store::open(&path).await?, false)
        }
        opened => (opened?, was_there),
    };
    let config = Config::load(&layout.config()).ok();
    store.condition().set_floor(config.map_or(0, |config| config.min_free()));
    Ok((store, was_there))
}

/// Ends a pipeline that was started, if one was.
async fn ended(started: &mut Option<Handle>) {
    if let Some(handle) = started.take() {
        handle.end().await;
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Store(error) | Error::Pipeline(pipeline::Error::Store(error)) if error.is_damage())
}

/// Whether what refused an entry passes: the entry can be taken later, so that a database without it must not take the old one's place.
fn passes(refusal: &Refusal) -> bool {
    match refusal.reason {
        Reason::DiskFull | Reason::StoreDamaged | Reason::ReadOnly => true,
        // The list can be in a log that nobody can read any more.
        Reason::UnitsVersionUnknown => false,
        reason => matches!(reason.class(), Class::Unavailable | Class::Internal),
    }
}

/// Whether nothing came yet that an attempt could go on with.
async fn is_empty(store: &Store) -> bool {
    match store.read("recover").await {
        Ok(mut tx) => matches!(pipeline::node_of(&mut tx).await, Ok(None)),
        Err(_) => false,
    }
}

/// Asks the parent, takes over what only the old database has, and writes down where the node belongs. That it was restored from a backup is
/// not carried over: who gave all that it holds has said by that that nothing is missing.
async fn from_parent(
    layout: &Layout,
    place: &Place,
    old: Option<&Old>,
    (store, was_there): (&mut Store, bool),
    (progress, may_stand): (&mut dyn FnMut(u64), &mut bool),
    started: &mut Option<Handle>,
) -> Result<Recovered, Error> {
    let clock = clock();
    let link_key = LinkKey::load_or_create(&layout.link_key())?;
    let mut unread: Vec<String> = old.and_then(Old::unread).into_iter().collect();
    let there = old.map(|old| &old.store);
    let (key, keys) =
        own_key(layout, (&place.node, place.anchor), !place.secret.is_empty(), there, &mut unread).await?;
    let tls = match place.secret.is_empty() {
        true => run::client_tls(layout, &link_key, clock.clone())?,
        false => pki::client_config(&place.ca, None, clock.clone())?,
    };
    let channel = pki::connect(&place.address, tls, &place.parent).await?;
    let mut asking = Asking {
        place,
        key: &key,
        keys,
        link_key: &link_key,
        store: store.clone(),
        clock: clock.clone(),
        handle: None,
        started,
        may_stand,
        is_other: false,
    };
    let mut given = match asking.go_on(layout, &channel, progress).await {
        // The node ran since, or the disk has changed: what is there stops every further attempt, too.
        Err(error) if was_there && (asking.is_other || is_damage(&error)) => {
            tracing::warn!(%error, "what an earlier recovery left does not fit any more; it is begun anew");
            asking.handle = None;
            ended(asking.started).await;
            store.close_unsealed().await;
            swap::remove_new(layout)?;
            (*store, _) = open_new(layout).await?;
            asking.store = store.clone();
            asking.ask(&channel, Ask::Rest, progress).await?
        }
        given => given?,
    };
    let mut recovered = Recovered {
        node: place.node.clone(),
        parent: Some(place.parent.clone()),
        entries: given.entries,
        kept: 0,
        apart: Vec::new(),
        lost: Vec::new(),
        refused: BTreeMap::new(),
        damage: old.and_then(|old| old.damage.clone()),
        unread,
        aside: None,
    };
    if let Some(old) = old {
        let shared = keep(&old.store, store, &given.handle, &mut recovered).await?;
        old.store.close_unsealed().await;
        recovered.unread.extend(store.adopt(&old.path, &shared).await?);
    }
    if !signs_on(&given.handle, place, &key) {
        tracing::warn!(
            "entries from before the last change of keys are lost; the parent is asked to vouch for the key from here on"
        );
        asking.handle = Some(given.handle);
        given = asking.ask(&channel, Ask::Vouch, &mut |_| {}).await?;
        if !signs_on(&given.handle, place, &key) {
            let detail = "entries from before the last change of the log key are lost, and the parent does not accept the key for what comes next; \
                          recover with a new key: move keys/log.pem away, and use a token that the parent makes: danso-admin child invite --node NODE";
            return Err(Refusal::new(Reason::KeyNotEnrolled, detail).into());
        }
    }
    drop(asking);
    lost::look(layout, store, &given.handle, key.public_key(), &mut recovered).await?;
    let Given { handle, certificates, refused, .. } = given;
    handle.end().await;
    recovered.refused = refused;
    settle(store, place.anchor, Some(&place.parent)).await?;
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
        let detail = format!(
            "this is the root of its federation: nobody above holds its logs, and no entry in its database is damaged. {}",
            heads::advice(true, true, &layout.dir().display())
        );
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
    // What was typed is lost with the old disk; which rows came before is told by what was written. Nor shall the node say for ever that an
    // attempt which was cut left something that nobody compared.
    match store.condition().health().uncompared {
        true => drop(pipeline::rebuild(store, anchor, &pipeline::tell()).await?),
        false => pipeline::remember_rows(store, anchor).await?,
    }
    store.close().await;
    Ok(())
}
