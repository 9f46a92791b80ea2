//! Merkle trees over log entries (RFC 6962, section 2; RFC 9162, section 2.1): roots, inclusion and consistency.
//! This room knows hashes only: neither what a leaf means nor where leaves are stored.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash: of a leaf, of a node, or a root.
pub type Hash = [u8; 32];

/// A proof or a stored frontier that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size.
    #[error("there is no entry {index} in a tree of {size}")]
    IndexOutOfRange {
        /// Index asked for.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The later tree is smaller than the earlier one.
    #[error("a tree of {old} entries cannot have become one of {new}")]
    SizesDescend {
        /// Earlier size.
        old: u64,
        /// Later size.
        new: u64,
    },
    /// The proof has too few or too many hashes.
    #[error("a proof of {0} hashes is none for these sizes")]
    Length(usize),
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    RootDiffers,
    /// A stored frontier has not the number of hashes that its size asks for.
    #[error("a frontier of {bytes} bytes is none for a tree of {size}")]
    Frontier {
        /// Bytes found.
        bytes: usize,
        /// Size of the tree.
        size: u64,
    },
}

/// Hash of a leaf: SHA-256(0x00 || `entry`). The entry is a log entry's envelope, verbatim.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// Hash of an inner node: SHA-256(0x01 || `left` || `right`).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Root of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Root of the tree over `leaves`.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = CompactTree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// The right frontier of a tree: the roots of its complete subtrees, largest first, one for each bit of the size. It is all that
/// is needed to append and to say the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactTree {
    size: u64,
    hashes: Vec<Hash>,
}

impl CompactTree {
    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Every trailing one of the size is a complete subtree that the new leaf completes to one of twice its size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root; of the empty tree [`empty_root`].
    pub fn root(&self) -> Hash {
        let mut subtrees = self.hashes.iter().rev();
        match subtrees.next() {
            None => empty_root(),
            Some(last) => subtrees.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// The hashes for storage, 32 bytes each; the size is stored beside them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.concat()
    }

    /// Reads back what [`CompactTree::to_bytes`] wrote for a tree of `size` leaves.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, ProofError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() != size.count_ones() as usize {
            return Err(ProofError::Frontier { bytes: bytes.len(), size });
        }
        Ok(Self { size, hashes: hashes.to_vec() })
    }
}

/// The largest power of two below `n`; where a tree of `n` > 1 leaves splits.
fn split(n: usize) -> usize {
    debug_assert!(n > 1);
    1 << (n - 1).ilog2()
}

/// The hashes that lead from leaf `index` to the root of the tree over `leaves` (RFC 9162, section 2.1.3.1); `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut part, mut index, mut proof) = (leaves, index, Vec::new());
    while part.len() > 1 {
        let (left, right) = part.split_at(split(part.len()));
        let other;
        (part, other) = if index < left.len() {
            (left, right)
        } else {
            index -= left.len();
            (right, left)
        };
        proof.push(root(other));
    }
    proof.reverse();
    Some(proof)
}

/// Checks that `leaf` is entry `index` of the tree of `size` entries with this root (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for other in proof {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(other, &hash);
            climb(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, other);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::RootDiffers),
        _ => Err(ProofError::Length(proof.len())),
    }
}

/// A node without a right neighbour moves up unchanged: skips the levels on which that is so.
fn climb(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

/// The hashes that show that the tree over the first `old_size` of `leaves` became the tree over all of them (RFC 9162, section 2.1.4.1);
/// `None` when there are fewer leaves. Empty from size 0 and to the same size.
pub fn consistency_proof(leaves: &[Hash], old_size: usize) -> Option<Vec<Hash>> {
    if old_size > leaves.len() {
        return None;
    }
    let (mut part, mut old, mut proof) = (leaves, old_size, Vec::new());
    // Whether `part` begins at the first leaf: then its root is the old root, which the verifier has.
    let mut from_start = true;
    while old > 0 && old < part.len() {
        let (left, right) = part.split_at(split(part.len()));
        if old <= left.len() {
            proof.push(root(right));
            part = left;
        } else {
            proof.push(root(left));
            old -= left.len();
            part = right;
            from_start = false;
        }
    }
    if old > 0 && !from_start {
        proof.push(root(part));
    }
    proof.reverse();
    Some(proof)
}

/// Checks that the tree (`old_size`, `old_root`) is a beginning of the tree (`new_size`, `new_root`) (RFC 9162, section 2.1.4.2).
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::SizesDescend { old: old_size, new: new_size });
    }
    if old_size == 0 || old_size == new_size {
        let old = if old_size == new_size { *new_root } else { empty_root() };
        return match (proof.is_empty(), *old_root == old && (new_size > 0 || *new_root == empty_root())) {
            (false, _) => Err(ProofError::Length(proof.len())),
            (true, false) => Err(ProofError::RootDiffers),
            (true, true) => Ok(()),
        };
    }
    // The old tree is one complete subtree of the new one: its root begins the path.
    let mut path = old_size.is_power_of_two().then_some(old_root).into_iter().chain(proof);
    let Some(first) = path.next() else {
        return Err(ProofError::Length(0));
    };
    let shift = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for other in path {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(other, &old_hash);
            new_hash = node_hash(other, &new_hash);
            climb(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, other);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last, old_hash == *old_root && new_hash == *new_root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::RootDiffers),
        _ => Err(ProofError::Length(proof.len())),
    }
}

#[cfg(test)]
mod tests;
