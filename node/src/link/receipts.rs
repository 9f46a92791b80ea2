//! Which receipts go down to a child.

use std::collections::HashSet;

use danso_core::sync::{ForwardedReceipt, Link, Way, flows};
use danso_core::verify::Directory;
use danso_proto::checkpoint;
use danso_proto::ids::{LogId, NodeId};

use super::Context;
use crate::store::{self, ReceiptRow};

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
