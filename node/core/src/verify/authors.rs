//! The directory as the one who says which key is whose, for evidence.

use danso_proto::envelope::PublicKey;
use danso_proto::evidence::Authors;
use danso_proto::ids::NodeId;

use super::Directory;

impl Authors for Directory {
    fn keys_of(&self, node: &NodeId) -> Vec<PublicKey> {
        self.node(node).map(|node| node.keys().newest_first().copied().collect()).unwrap_or_default()
    }
}
