//! What a backup says about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is in a backup, and what must be found when it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Number of this form.
    pub format: u32,
    /// The software that wrote it.
    pub software: String,
    /// Number of the rules that made what is derived.
    pub rules: u32,
    /// The node.
    pub node: String,
    /// Fingerprint of its trust anchor.
    pub anchor: String,
    /// When the database was copied, Unix milliseconds.
    pub taken_at_ms: i64,
    /// Whether the private keys are in it.
    pub keys: bool,
    /// The logs.
    pub logs: Vec<HeldLog>,
    /// The derived tables.
    pub derived: Vec<Table>,
    /// Some figures, by name.
    pub figures: BTreeMap<String, i64>,
    /// The parts, in the order in which they follow.
    pub parts: Vec<Part>,
}

/// A log as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLog {
    /// The log.
    pub log: String,
    /// Entries.
    pub size: u64,
    /// RFC 6962 root, hex.
    pub root: String,
}

/// A derived table as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over its rows, hex.
    pub sha256: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its place in the node's directory.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
}
