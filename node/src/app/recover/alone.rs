//! The root has nobody above who holds its logs. Where its database is damaged and its own entries can all be read, it is made again from
//! them: what is derived is then new, and what its children wrote and cannot be read here comes from them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use danso_proto::envelope::Envelope;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::refusal::{Reason, Refusal};

use super::super::{Error, run};
use super::keep::keep;
use super::{DATABASE, HEADS, Old, Recovered, own_key, settle, swap};
use crate::clock::Clock;
use crate::config::Layout;
use crate::pipeline::heads::{self, Kept};
use crate::pipeline::{self, Handle, Outfit};
use crate::store::{LogRow, Store};

/// The anchor of a root whose database is damaged.
pub(super) async fn is_damaged_root(old: Option<&Old>) -> Option<Fingerprint> {
    let old = old.filter(|old| old.damage.is_some())?;
    let (anchor, parent) = run::place(&old.store).await.ok()?;
    parent.is_none().then_some(anchor)
}

/// Makes the database of a root again from what can be read of it.
pub(super) async fn recover(
    layout: &Layout,
    old: Old,
    anchor: Fingerprint,
    clock: Arc<dyn Clock>,
) -> Result<Recovered, Error> {
    match again(layout, old, anchor, clock).await {
        Err(Error::Store(error) | Error::Pipeline(pipeline::Error::Store(error))) if error.is_damage() => {
            Err(lost(&error.to_string()))
        }
        done => done,
    }
}

async fn again(layout: &Layout, old: Old, anchor: Fingerprint, clock: Arc<dyn Clock>) -> Result<Recovered, Error> {
    let node = pipeline::node_of(&mut old.store.read("recover").await?).await?;
    let node = node.ok_or_else(|| lost("the database does not say whose it is"))?;
    let mut unread = Vec::new();
    let (signer, _) = own_key(layout, (&node, anchor), false, Some(&old.store), &mut unread).await?;
    let beside = layout.recovering();
    layout.make(&beside)?;
    let store = Store::open(&beside.join(DATABASE)).await?;
    if store.read("recover").await?.meta_get(pipeline::META_NODE).await?.is_none() {
        let genesis = Envelope::decode(genesis(&old.store, &node).await?)?;
        pipeline::found(&store, &node, genesis, anchor, clock.now_ms()).await?;
    }
    let handle = Handle::start(Outfit { store: store.clone(), signer, clock: clock.clone(), anchor }).await?;
    let mut recovered = Recovered {
        node,
        parent: None,
        entries: 0,
        kept: 0,
        apart: Vec::new(),
        refused: BTreeMap::new(),
        damage: old.damage.as_ref().map(ToString::to_string),
        unread,
        aside: None,
    };
    let shared = keep(&old.store, &store, &handle, &mut recovered).await?;
    is_whole(layout, &old.store, &store, &handle).await?;
    recovered.kept = handle.snapshot().logs().map(|row| row.head.size()).sum();
    drop(handle);
    old.store.close_unsealed().await;
    recovered.unread.extend(store.adopt(&layout.database(), &shared).await?);
    settle(&store, anchor, None).await?;
    recovered.aside = swap(layout, clock.now_ms())?;
    Ok(recovered)
}

/// A root that cannot be made again from what is here.
pub(super) fn lost(what: &str) -> Error {
    let detail = format!(
        "{what}, and this is the root of its federation: nobody above holds its logs. Restore its newest backup: danso-node restore"
    );
    Refusal::new(Reason::NotFound, detail).into()
}

async fn genesis(old: &Store, node: &NodeId) -> Result<bytes::Bytes, Error> {
    let log = LogId::new(node.clone(), Stream::Directory);
    let mut tx = old.read("recover").await?;
    let row = tx.log_list().await?.into_iter().find(|row| row.log == log);
    let row = row.ok_or_else(|| lost("the directory is not in the database"))?;
    let first = tx.entry_read(row.pk, 0, 1, usize::MAX).await?.pop();
    Ok(first.ok_or_else(|| lost("the first entry of the directory is not in the database"))?.envelope)
}

/// What the root wrote must all be here: others hold it, and it must not write other entries in its place.
async fn is_whole(layout: &Layout, old: &Store, new: &Store, handle: &Handle) -> Result<(), Error> {
    let snapshot = handle.snapshot();
    let rows = old.read("recover").await?.log_list().await?;
    for LogRow { log, head, .. } in rows.iter().filter(|row| row.log.node() == snapshot.me()) {
        let here = snapshot.log(log).map_or(0, |row| row.head.size());
        if here < head.size() {
            return Err(lost(&format!("entry {here} of {log} cannot be read")));
        }
    }
    match heads::read(&layout.dir().join(HEADS)).signed(&snapshot, None) {
        Kept::Heads(kept) => match heads::contradiction(&mut new.read("recover").await?, &snapshot, &kept).await? {
            Some(why) => Err(lost(&format!("entries are missing: {why}"))),
            None => Ok(()),
        },
        Kept::Missing => Err(lost("the file `heads` is missing, so that nobody can tell whether entries are missing")),
        Kept::Unreadable(why) => Err(lost(&format!(
            "the file `heads` does not read ({why}), so that nobody can tell whether entries are missing"
        ))),
    }
}
