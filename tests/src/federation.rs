//! A federation of real nodes on this machine: whoever is needed between the country and some communes, each joined to the one above.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::node::Node;
use crate::process;
use crate::truth::{Truth, unit_row, units_file};

/// Version under which the stories' unit list is published.
pub const UNITS_VERSION: &str = "vn-2024";
/// The unit of the central node.
pub const ROOT: &str = "VN";

/// Running nodes. They end, and their files go, when this is dropped.
pub struct Federation {
    // Before the directory, so that the processes have ended when it goes.
    nodes: Vec<Node>,
    dir: TempDir,
}

impl Federation {
    /// The central node alone, running.
    #[track_caller]
    pub fn central() -> Self {
        // A short name: the path of a unix socket has 107 bytes at most.
        let dir = tempfile::Builder::new().prefix("danso-").tempdir().expect("there is a place for temporary files");
        let mut central = Node::at(dir.path(), ROOT);
        central.init(&units_file(), UNITS_VERSION).must(process::DONE);
        central.run();
        Self { nodes: vec![central], dir }
    }

    /// The central node, `communes`, and every unit between, all running.
    #[track_caller]
    pub fn over(communes: &[&str]) -> Self {
        let mut federation = Self::central();
        for commune in communes {
            federation.add(commune);
        }
        federation
    }

    /// A unit's node, and first those above it that are missing; all running.
    #[track_caller]
    pub fn add(&mut self, unit: &str) {
        if self.nodes.iter().any(|node| node.unit == unit) {
            return;
        }
        let parent = unit_row(unit)["parent_code"].clone();
        self.add(&parent);
        let mut node = Node::at(self.dir.path(), unit);
        node.join(self.node(&parent));
        node.run();
        self.nodes.push(node);
    }

    /// A unit's node in a directory of its own, below the node above it, with a change to its files before it runs.
    #[track_caller]
    pub fn add_in(&mut self, dir: &Path, unit: &str, before: impl FnOnce(&Node)) {
        let parent = unit_row(unit)["parent_code"].clone();
        let mut node = Node::at(dir, unit);
        node.join(self.node(&parent));
        before(&node);
        node.run();
        self.nodes.push(node);
    }

    /// A node for a unit that has records already, which its parent's operator means; running.
    #[track_caller]
    pub fn add_again(&mut self, unit: &str) {
        let parent = unit_row(unit)["parent_code"].clone();
        let mut node = Node::at(self.dir.path(), unit);
        let token = self.node(&parent).invite_with(unit, &["--again"]);
        node.join_with(&node.token_file(&token)).must(process::DONE);
        node.run();
        self.nodes.push(node);
    }

    /// A unit's node.
    #[track_caller]
    pub fn node(&self, unit: &str) -> &Node {
        self.nodes.iter().find(|node| node.unit == unit).unwrap_or_else(|| panic!("no node of {unit}"))
    }

    /// A unit's node, to start or stop it.
    #[track_caller]
    pub fn node_mut(&mut self, unit: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.unit == unit).unwrap_or_else(|| panic!("no node of {unit}"))
    }

    /// All nodes, each after the one above it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A path for a file of the story.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory of the story.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until everything that every node wrote is receipted by the central node.
    #[track_caller]
    pub fn settle(&self) {
        for node in self.nodes.iter().filter(|node| node.unit != ROOT) {
            node.receipt_wait("central").must(process::DONE);
        }
    }

    /// Compares the figures of every node about its own unit with the truth.
    #[track_caller]
    pub fn truth_holds(&self, truth: &Truth) {
        for node in &self.nodes {
            truth.holds_at(node, &node.unit, "local");
        }
    }

    /// Every node can verify every log it has from the anchor, and none is refused.
    #[track_caller]
    pub fn logs_verify(&self) {
        for node in &self.nodes {
            node.admin(["log", "verify"]).must(process::DONE);
        }
    }
}
