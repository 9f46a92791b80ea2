//! The root has nobody above who holds its logs. Where its database is damaged and its own entries can all be read, it is made again from
//! them: what is derived is then new, and what its children wrote and cannot be read here comes from them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use danso_proto::envelope::Envelope;
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::refusal::{Reason, Refusal};

use super::super::{Error, run};
use super::keep::keep;
use super::swap::remove_new;
use super::{HEADS, Old, Recovered, ended, open_new, own_key, settle};
use crate::clock::Clock;
use crate::config::Layout;
use crate::pipeline::heads::{self, Kept};
use crate::pipeline::{self, Handle, Outfit};
use crate::store::{LogRow, Store};

/// A root whose database is damaged.
pub(super) struct DamagedRoot<'a> {
    old: &'a Old,
    anchor: Fingerprint,
    damage: String,
}

/// The old database, if it is a root's and damaged. What was found when it was opened does not say all: pages hang together whatever the disk
/// changed within an entry. So every entry is verified then, as a start does it.
///
/// # Errors
/// When it cannot be read for another reason than damage.
pub(super) async fn damaged_root(old: Option<&Old>) -> Result<Option<DamagedRoot<'_>>, Error> {
    let Some(old) = old else { return Ok(None) };
    let Ok((anchor, None)) = run::place(&old.store).await else { return Ok(None) };
    let damage = match &old.damage {
        Some(damage) => Some(damage.clone()),
        None => match pipeline::verify(&old.store, anchor).await {
            Ok(_) => None,
            Err(pipeline::Error::Store(error)) if error.is_unreadable() => Some(error.told()),
            // All of it was right when it was taken in: it is the disk that changed it.
            Err(pipeline::Error::Refused(refusal)) => Some(refusal.detail),
            Err(error) => return Err(error.into()),
        },
    };
    Ok(damage.map(|damage| DamagedRoot { old, anchor, damage }))
}

/// Makes the database of a root again from what can be read of it.
pub(super) async fn recover(layout: &Layout, root: DamagedRoot<'_>, clock: Arc<dyn Clock>) -> Result<Recovered, Error> {
    // All that it is made of is here: what an attempt that was cut left is worth nothing.
    remove_new(layout)?;
    let (store, _) = open_new(layout).await?;
    let mut started = None;
    let made = again(layout, root, clock, &store, &mut started).await;
    ended(&mut started).await;
    match made {
        Ok(recovered) => Ok(recovered),
        Err(error) => {
            store.close_unsealed().await;
            remove_new(layout)?;
            Err(match error {
                Error::Store(error) | Error::Pipeline(pipeline::Error::Store(error)) if error.is_unreadable() => {
                    lost(&error.told())
                }
                error => error,
            })
        }
    }
}

async fn again(
    layout: &Layout,
    DamagedRoot { old, anchor, damage }: DamagedRoot<'_>,
    clock: Arc<dyn Clock>,
    store: &Store,
    started: &mut Option<Handle>,
) -> Result<Recovered, Error> {
    let node = pipeline::node_of(&mut old.store.read("recover").await?).await?;
    let node = node.ok_or_else(|| lost("the database does not say whose it is"))?;
    let mut unread: Vec<String> = old.unread().into_iter().collect();
    let (signer, _) = own_key(layout, (&node, anchor), false, Some(&old.store), &mut unread).await?;
    let restored = pipeline::restored(&mut old.store.read("recover").await?).await;
    let genesis = Envelope::decode(genesis(&old.store, &node).await?)?;
    pipeline::found(store, &node, genesis, anchor, clock.now_ms()).await?;
    let handle = Handle::start(Outfit { store: store.clone(), signer, clock: clock.clone(), anchor }).await?;
    *started = Some(handle.clone());
    let mut recovered = Recovered {
        node,
        parent: None,
        entries: 0,
        kept: 0,
        apart: Vec::new(),
        lost: Vec::new(),
        refused: BTreeMap::new(),
        damage: Some(damage),
        unread,
        aside: None,
    };
    let shared = keep(&old.store, store, &handle, &mut recovered).await?;
    is_whole(layout, &old.store, store, &handle).await?;
    recovered.kept = handle.snapshot().logs().map(|row| row.head.size()).sum();
    handle.end().await;
    old.store.close_unsealed().await;
    recovered.unread.extend(store.adopt(&old.path, &shared).await?);
    // Nobody has said since that it is not behind. A mark that does not read was there, too.
    let restored = match restored {
        Err(pipeline::Error::Store(error)) if error.is_damage() => Some(clock.now_ms()),
        restored => restored?,
    };
    if let Some(taken_at_ms) = restored {
        pipeline::mark_restored(store, taken_at_ms).await?;
    }
    settle(store, anchor, None).await?;
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
