//! Which receipts go down to a child, and what becomes of those that come from the parent.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use danso_core::sync::{ForwardedReceipt, Link, Way, flows};
use danso_core::verify::Directory;
use danso_proto::checkpoint;
use danso_proto::ids::{LogId, NodeId};

use super::Context;
use crate::pipeline::Handle;
use crate::store::{self, ReceiptRow};

/// Receipts that wait at a time at most: more come with the next session.
const UNREAD_MAX: usize = 10_000;

/// Receipts of a session whose signatures could not be checked yet: the keys stand in a directory entry that is still on its way. The last
/// one of each giver for each log.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<Mutex<BTreeMap<(LogId, NodeId), ForwardedReceipt>>>);

impl Unread {
    fn keep(&self, receipt: ForwardedReceipt) {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (receipt.log.clone(), receipt.giver.clone());
        if unread.len() < UNREAD_MAX || unread.contains_key(&key) {
            unread.insert(key, receipt);
        }
    }

    /// All of them, to be tried again.
    pub(super) fn take(&self) -> Vec<ForwardedReceipt> {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *unread).into_values().collect()
    }
}

/// As a child: keeps receipts once their signatures were checked.
pub(super) async fn keep(pipeline: Handle, link: Link, unread: Unread, mut receipts: Vec<ForwardedReceipt>) {
    let mut rows = Vec::with_capacity(receipts.len());
    while !receipts.is_empty() {
        let snapshot = pipeline.snapshot();
        for receipt in receipts {
            if flows(&receipt.log, &link, snapshot.directory()) != Some(Way::Up) {
                continue;
            }
            match snapshot.check_receipt(&receipt.log, &receipt.giver, &receipt.note) {
                Ok(row) => rows.push(row),
                Err(refusal) => {
                    tracing::info!(reason = %refusal.reason, detail = %refusal.detail, "link: a receipt cannot be read, or not yet");
                    unread.keep(receipt);
                }
            }
        }
        // The key may have come in the meantime, when nobody saw that something waits for it.
        let grown = !Arc::ptr_eq(&snapshot.directory_arc(), &pipeline.snapshot().directory_arc());
        receipts = if grown { unread.take() } else { Vec::new() };
    }
    if !rows.is_empty()
        && let Err(error) = pipeline.receipts(rows).await
    {
        tracing::error!(%error, "link: receipts could not be kept");
    }
}

/// All receipts for logs at or below the child: those that we were given, and our own, given anew. A `Durable` that was lost with a cut
/// is made good by this.
pub(super) async fn for_child(context: &Context, link: &Link) -> Result<Vec<ForwardedReceipt>, store::Error> {
    let kept = context.store.read("receipts").await?.receipt_list(None).await?;
    let snapshot = context.pipeline.snapshot();
    let directory = snapshot.directory();
    let mut receipts = select(&kept, link, directory);
    for row in snapshot.logs() {
        if flows(&row.log, link, directory) != Some(Way::Up) {
            continue;
        }
        let Some(note) = row.checkpoint.as_deref().and_then(|note| checkpoint::parse(note).ok()) else { continue };
        match context.pipeline.cosign(&note) {
            Ok(note) => receipts.push(ForwardedReceipt { log: row.log.clone(), giver: snapshot.me().clone(), note }),
            Err(error) => tracing::error!(log = %row.log, %error, "no receipt could be signed"),
        }
    }
    Ok(receipts)
}

/// Those of `rows` that concern the child.
pub(super) fn select(rows: &[ReceiptRow], link: &Link, directory: &Directory) -> Vec<ForwardedReceipt> {
    let mut seen = HashSet::<(&LogId, &NodeId)>::new();
    rows.iter()
        .rev()
        .filter(|row| flows(&row.log, link, directory) == Some(Way::Up) && seen.insert((&row.log, &row.giver)))
        .map(|row| ForwardedReceipt { log: row.log.clone(), giver: row.giver.clone(), note: row.note.clone() })
        .collect()
}
