//! What a session learns about this node's own logs. Knows nothing of frames.

use danso_core::sync::Role;
use danso_proto::ids::NodeId;

use crate::pipeline::Handle;

/// A node that was restored from a backup writes again once its parent holds nothing of its logs that it does not. A child cannot say that:
/// it may be an old copy itself.
pub(super) async fn agree(pipeline: Handle, role: Role, peer: NodeId) {
    if role != Role::Child || pipeline.snapshot().restored().is_none() {
        return;
    }
    match pipeline.confirm().await {
        Ok(()) => {
            tracing::info!(parent = %peer, "this node was restored from a backup and is not behind its parent: it writes again")
        }
        Err(error) => tracing::error!(%error, "link: that this node is not behind could not be noted"),
    }
}

/// For people: a peer holds more of a log of this node than is here.
pub(super) fn behind((ours, theirs): (u64, u64), peer: &NodeId, role: Role, is_proven: bool, advice: &str) -> String {
    let holder = match role {
        Role::Child => "the parent".to_owned(),
        Role::Parent => format!("the child {peer}"),
    };
    let proven = if is_proven { "" } else { " (it shows no proof)" };
    format!("{ours} entries here, {theirs} at {holder}{proven}: this node was restored from an old copy. {advice}")
}
