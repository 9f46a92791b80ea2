use proptest::prelude::*;

use super::*;

/// RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn leaves(n: usize) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn flip(hash: &mut Hash, bit: usize) {
    hash[bit / 8 % 32] ^= 1 << (bit % 8);
}

/// The tree of the reference implementation's tests (google/certificate-transparency, `merkletree/merkle_tree_test.cc`).
#[test]
fn known_roots() {
    let data: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let leaves: Vec<Hash> = data.iter().map(|d| leaf_hash(d)).collect();
    let hex = |hash: Hash| hash.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(hex(root(&leaves[..1])), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    assert_eq!(hex(root(&leaves[..3])), "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
    assert_eq!(hex(root(&leaves)), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
}

#[test]
fn every_small_tree_proves_itself() {
    for n in 0..=33 {
        let all = leaves(n);
        let root = naive_root(&all);
        for i in 0..n {
            let proof = inclusion_proof(&all, i).expect("leaf is there");
            assert_eq!(verify_inclusion(all[i], i as u64, n as u64, &proof, &root), Ok(()));
        }
        assert_eq!(inclusion_proof(&all, n), None);
        for old in 0..=n {
            let proof = consistency_proof(&all, old).expect("no more than there are");
            let old_root = naive_root(&all[..old]);
            assert_eq!(verify_consistency(old as u64, &old_root, n as u64, &root, &proof), Ok(()), "{old} {n}");
        }
        assert_eq!(consistency_proof(&all, n + 1), None);
    }
}

#[test]
fn a_frontier_of_the_wrong_length_is_refused() {
    for (size, bytes) in [(0, 32), (1, 0), (3, 32), (3, 65), (4, 64)] {
        assert_eq!(
            CompactTree::from_bytes(size, &vec![0; bytes]),
            Err(ProofError::Frontier { bytes, size }),
            "{size} {bytes}"
        );
    }
}

proptest! {
    #[test]
    fn compact_tree_says_the_naive_root(n in 0usize..300) {
        let all = leaves(n);
        let mut tree = CompactTree::default();
        for leaf in &all {
            // Storing and loading between two leaves changes nothing.
            tree = CompactTree::from_bytes(tree.size(), &tree.to_bytes()).expect("own bytes");
            tree.push(*leaf);
        }
        prop_assert_eq!(tree.size(), n as u64);
        prop_assert_eq!(tree.root(), naive_root(&all));
    }

    #[test]
    fn a_broken_inclusion_proof_fails(n in 1usize..200, i in any::<prop::sample::Index>(), bit in 0usize..4096, other in 0u64..260) {
        let all = leaves(n);
        let i = i.index(n);
        let root = naive_root(&all);
        let proof = inclusion_proof(&all, i).expect("leaf is there");
        let (index, size) = (i as u64, n as u64);
        for at in 0..proof.len() {
            let mut broken = proof.clone();
            flip(&mut broken[at], bit);
            prop_assert!(verify_inclusion(all[i], index, size, &broken, &root).is_err());
            broken = proof.clone();
            broken.remove(at);
            prop_assert!(verify_inclusion(all[i], index, size, &broken, &root).is_err());
            broken = proof.clone();
            broken.insert(at, proof[at]);
            prop_assert!(verify_inclusion(all[i], index, size, &broken, &root).is_err());
        }
        let (mut leaf, mut wrong_root) = (all[i], root);
        flip(&mut leaf, bit);
        flip(&mut wrong_root, bit);
        prop_assert!(verify_inclusion(leaf, index, size, &proof, &root).is_err());
        prop_assert!(verify_inclusion(all[i], index, size, &proof, &wrong_root).is_err());
        if other != index {
            prop_assert!(verify_inclusion(all[i], other, size, &proof, &root).is_err());
        }
    }

    /// What is proven is the place of the leaf below the root. A size whose tree has the same shape above the leaf gives the same
    /// path, which is why a size is only ever taken from a signed checkpoint; a size that asks for another path length fails.
    #[test]
    fn a_size_of_another_path_fails(n in 1usize..200, i in any::<prop::sample::Index>(), size in 0u64..300) {
        let all = leaves(n);
        let i = i.index(n);
        let proof = inclusion_proof(&all, i).expect("leaf is there");
        let same_path = (i as u64) < size
            && inclusion_proof(&leaves(size as usize), i).is_some_and(|p| p.len() == proof.len());
        let result = verify_inclusion(all[i], i as u64, size, &proof, &naive_root(&all));
        prop_assert!(same_path || result.is_err());
    }

    #[test]
    fn a_broken_consistency_proof_fails(n in 1usize..200, old in any::<prop::sample::Index>(), bit in 0usize..4096) {
        let all = leaves(n);
        let old = old.index(n + 1);
        let (old_root, root) = (naive_root(&all[..old]), naive_root(&all));
        let proof = consistency_proof(&all, old).expect("no more than there are");
        let (old_size, size) = (old as u64, n as u64);
        for at in 0..proof.len() {
            let mut broken = proof.clone();
            flip(&mut broken[at], bit);
            prop_assert!(verify_consistency(old_size, &old_root, size, &root, &broken).is_err());
            broken.remove(at);
            prop_assert!(verify_consistency(old_size, &old_root, size, &root, &broken).is_err());
        }
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert!(verify_consistency(old_size, &old_root, size, &root, &longer).is_err());
        let mut wrong = old_root;
        flip(&mut wrong, bit);
        prop_assert!(verify_consistency(old_size, &wrong, size, &root, &proof).is_err());
        if old > 0 {
            let mut wrong = root;
            flip(&mut wrong, bit);
            prop_assert!(verify_consistency(old_size, &old_root, size, &wrong, &proof).is_err());
        }
        prop_assert!(verify_consistency(size + 1, &old_root, size, &root, &proof).is_err());
    }
}
