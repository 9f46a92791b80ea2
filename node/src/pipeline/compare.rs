//! After an unclean end: whether register and figures, which no hash protects, are still what the logs make.

use std::sync::Arc;

use danso_core::register::Rules;
use danso_proto::ids::Fingerprint;

use super::rebuild::{Progress, Rebuilt, again, made_by, node_of, remember, tell};
use super::state::replay;
use super::{Error, Outfit};
pub(super) use crate::store::META_UNCOMPARED;
use crate::store::{self, DIFFERS, Store, Tx};

/// Changes up to which a start after an unclean end compares register and figures with the logs: a commune has no more in many years.
const COMPARED_AT_START: u64 = 100_000;

/// Brings what is derived to `rules`, if others made it: a change that an older version carried without knowing its kind is applied now.
///
/// # Errors
/// When the store fails, does not hold the anchor's log, or an entry of it does not verify: then nothing was changed.
pub(super) async fn bring_up_to_date(outfit: &Outfit, rules: Rules) -> Result<(), Error> {
    let Outfit { store, anchor, .. } = outfit;
    let mut tx = store.read("rules").await?;
    if node_of(&mut tx).await?.is_none() {
        return Ok(());
    }
    let made_by = made_by(&mut tx).await?;
    let uncompared = tx.meta_get(META_UNCOMPARED).await?;
    drop(tx);
    if made_by == rules.version() {
        // What is known to be wrong is made again, however long it takes.
        let most = if uncompared.as_deref() == Some(DIFFERS) { u64::MAX } else { COMPARED_AT_START };
        return match uncompared.is_some() || store.condition().health().uncompared {
            true => compare(store, *anchor, rules, most).await,
            false => Ok(()),
        };
    }
    tracing::info!(
        made_by,
        rules = rules.version(),
        "register and figures were made by another version: making them again"
    );
    let rebuilt = store.run_tx("rules", async |tx| from_logs(tx, *anchor, rules, &tell()).await).await?;
    store.condition().set_uncompared(false);
    let Rebuilt { entries, changes, .. } = rebuilt;
    tracing::info!(entries, changes, "register and figures are those of this version now");
    Ok(())
}

/// As [`again`], from all logs of the store.
async fn from_logs(tx: &mut Tx, anchor: Fingerprint, rules: Rules, progress: Progress<'_>) -> Result<Rebuilt, Error> {
    let rows = tx.log_list().await?;
    let directory = Arc::new(replay(tx, &rows, anchor).await?);
    let logs = rows.into_iter().map(|row| (row.log.clone(), row)).collect();
    again(tx, &directory, &logs, rules, progress).await
}

/// Remembers rows of forms that the disk made forgotten: imported once more they would be counted twice. How many those were.
async fn rows_again(tx: &mut Tx, anchor: Fingerprint) -> Result<u64, Error> {
    let Some(me) = node_of(tx).await? else { return Ok(0) };
    let rows = tx.log_list().await?;
    let directory = replay(tx, &rows, anchor).await?;
    remember(tx, &directory, &me, &rows).await
}

/// Why the transaction of a comparison is undone: nothing of it is written, unless something was wrong.
enum Undone {
    Same,
    Failed(Error),
}

impl From<store::Error> for Undone {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Compares what is derived with what the logs make, and makes it again if the disk changed it. Beyond `most` changes the start would take
/// too long: the node says that it did not, until `doctor` has done it.
pub(super) async fn compare(store: &Store, anchor: Fingerprint, rules: Rules, most: u64) -> Result<(), Error> {
    let changes = store.read("compare").await?.change_count().await?;
    if changes > most {
        tracing::warn!(
            changes,
            "the node did not end cleanly, and its register is too large to be compared with its logs at start; run `danso-admin doctor`"
        );
        return put_off(store).await;
    }
    let compared = store
        .run_tx("compare", async |tx| {
            let before = tx.derived().await?;
            from_logs(tx, anchor, rules, &|_, _| {}).await.map_err(Undone::Failed)?;
            let forgotten = rows_again(tx, anchor).await.map_err(Undone::Failed)?;
            match tx.derived().await? == before && forgotten == 0 {
                true => Err(Undone::Same),
                false => Ok(()),
            }
        })
        .await;
    match compared {
        Ok(()) => {
            tracing::error!(
                "the disk had changed the register, the figures, or what is known of imported rows: they were made again from the logs; look after this disk"
            );
            store.condition().set_uncompared(false);
            Ok(())
        }
        Err(Undone::Same) => is_compared(store).await,
        // There is no room for it: what was there is served, as before.
        Err(Undone::Failed(Error::Store(error))) if error.is_full() && most == COMPARED_AT_START => {
            tracing::warn!(%error, "there was no room to compare the register with its logs; run `danso-admin doctor`");
            put_off(store).await
        }
        Err(Undone::Failed(error)) => Err(error),
    }
}

async fn put_off(store: &Store) -> Result<(), Error> {
    store.condition().set_uncompared(true);
    let mark = async |tx: &mut Tx| match tx.meta_get(META_UNCOMPARED).await? {
        Some(_) => Ok(()),
        None => tx.meta_put(META_UNCOMPARED, b"1").await,
    };
    match store.run_tx("uncompared", mark).await {
        // This run says so; a next one begins as this one did.
        Err(error) if error.is_full() => Ok(()),
        put => Ok(put?),
    }
}

/// Register or figures were found not to be what the logs make: the node answers nothing any more, and its next start makes them again.
///
/// # Errors
/// When the store fails.
pub async fn differs(store: &Store, tables: &str) -> Result<(), Error> {
    let what = format!("its tables {tables} are not what the logs make");
    store.condition().note(&store::Error::Damaged { what });
    store.condition().set_uncompared(true);
    Ok(store.run_tx("differs", async |tx| tx.meta_put(META_UNCOMPARED, DIFFERS).await).await?)
}

/// Register and figures were found to be what the logs make.
///
/// # Errors
/// When the store fails.
pub async fn is_compared(store: &Store) -> Result<(), Error> {
    if store.read("compared").await?.meta_get(META_UNCOMPARED).await?.is_some() {
        store.run_tx("compared", async |tx| tx.meta_remove(META_UNCOMPARED).await).await?;
    }
    store.condition().set_uncompared(false);
    Ok(())
}
