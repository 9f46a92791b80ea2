//! What this node wrote by the file `heads` beside its old database, and is nowhere now. A lost disk took it: that is told, and stops nobody.

use danso_proto::envelope::PublicKey;
use danso_proto::ids::LogId;

use super::super::Error;
use super::{HEADS, Lost, Recovered};
use crate::config::Layout;
use crate::pipeline::Handle;
use crate::pipeline::heads::{self, Kept, Shortfall};
use crate::store::Store;

/// Compares the file with the new database.
pub(super) async fn look(
    layout: &Layout,
    store: &Store,
    handle: &Handle,
    key: &PublicKey,
    recovered: &mut Recovered,
) -> Result<(), Error> {
    let snapshot = handle.snapshot();
    let kept = match heads::read(&layout.dir().join(HEADS)).signed(&snapshot, Some(key)) {
        Kept::Heads(kept) => kept,
        Kept::Missing => return Ok(()),
        Kept::Unreadable(why) => {
            recovered.unread.push(format!("the file `heads`, which says how much was written here: {why}"));
            return Ok(());
        }
    };
    let short = heads::shortfalls(&mut store.read("recover").await?, &snapshot, &kept).await?;
    // Where the old database holds another history, that is told, and it is not nowhere.
    let is_told = |log: &LogId| recovered.apart.iter().any(|(apart, _)| apart == log);
    let short = short.into_iter().filter(|short| !is_told(&short.log));
    recovered.lost = short.map(|Shortfall { log, here, kept }| Lost { log, here, written: kept }).collect();
    Ok(())
}
