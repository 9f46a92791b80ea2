//! The files as Rust types. Field order here is the order in the files.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as lower-case hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

/// Bytes as standard base64 with padding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct B64(pub Vec<u8>);

impl Hex {
    pub fn array<const N: usize>(&self) -> [u8; N] {
        self.0[..].try_into().expect("length is right in a vector")
    }
}

impl<T: AsRef<[u8]>> From<T> for Hex {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl<T: AsRef<[u8]>> From<T> for B64 {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
        let digits = digits.filter(|d| d.len() % 2 == 0).ok_or_else(|| D::Error::custom("not hex"))?;
        Ok(Self(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
    }
}

impl Serialize for B64 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for B64 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map(Self).map_err(D::Error::custom)
    }
}

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $(
            #[serde(default, skip_serializing_if = "is_default")]
            pub $field: $type,
        )* })*
    };
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

records! {
    EnvelopeFile { pae: Vec<Pae>, envelopes: Vec<EnvelopeCase>, }
    Pae { payload_type: String, payload: B64, pae: B64, }
    EnvelopeCase {
        name: String, expect: String, open: String, envelope: B64, parts: B64, keys: Vec<Hex>, anchor: Hex, secrets: Vec<Hex>,
        payload_type: String, payload: B64, leaf_hash: Hex, key_ids: Vec<String>,
    }
    MerkleFile { leaves: Vec<Leaf>, trees: Vec<Tree>, inclusion: Vec<Inclusion>, consistency: Vec<Consistency>, }
    Leaf { entry: Hex, leaf_hash: Hex, }
    Tree { size: u64, frontier: Hex, root: Hex, }
    Inclusion { name: String, expect: String, leaf_hash: Hex, index: u64, size: u64, root: Hex, proof: Vec<Hex>, }
    Consistency {
        name: String, expect: String, old_size: u64, old_root: Hex, new_size: u64, new_root: Hex, proof: Vec<Hex>,
    }
    CheckpointFile { checkpoints: Vec<CheckpointCase>, receipts: Vec<ReceiptCase>, }
    CheckpointCase {
        name: String, expect: String, note: String, signer: String, key: Hex, log: String, size: u64, root: Hex,
    }
    ReceiptCase { name: String, expect: String, note: String, giver: String, key: Hex, time_s: u64, }
    IdentityFile { salts: Vec<Salt>, commitments: Vec<Commitment>, sets: Vec<SetCase>, }
    Salt { seed: Hex, index: u32, salt: Hex, }
    Commitment { salt: Hex, part: Hex, full_name: String, birth_date: u32, commitment: Hex, }
    SetCase { name: String, expect: String, set: B64, commitments: Vec<Hex>, }
    ChangeSetFile { change_sets: Vec<ChangeSetCase>, }
    ChangeSetCase {
        name: String, expect: String, payload: B64, log: String, sequence: u64, previous: Hex, recorded_at_ms: i64,
        units_version: String, ids: Vec<String>, kinds: Vec<String>, commitments: Vec<Hex>,
    }
    PackageFile { packages: Vec<PackageCase>, }
    PackageCase {
        name: String, expect: String, package: B64, log: String, first: u64, checkpoint: String, entries: Vec<EntryCase>,
    }
    EntryCase { envelope: B64, parts: B64, }
    ProofFileFile { proofs: Vec<ProofCase>, }
    ProofCase {
        name: String, expect: String, file: B64, anchor: Hex, log: String, sequence: u64, leaf_hash: Hex, size: u64, root: Hex,
        receipts: Vec<Receipt>, unchecked: Vec<String>, chain: Vec<String>,
    }
    Receipt { giver: String, time_s: u64, }
    EvidenceFileFile { evidence: Vec<EvidenceCase>, }
    EvidenceCase {
        name: String, expect: String, file: B64, anchor: Hex, log: String, kind: String, ours_size: u64, theirs_size: u64,
        differ: u64, agree: Option<u64>, digest: Hex, chain: Vec<String>,
    }
}

pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file)
}

pub fn load<T: DeserializeOwned>(file: &str) -> T {
    let text = std::fs::read_to_string(path(file)).expect("vector file is there");
    serde_json::from_str(&text).expect("vector file has the format of README.md")
}
