//! What identifies persons: detached from what is signed, bound to it by salted commitments, erasable for good.
//! This room knows nothing of envelopes and changes. Nothing in here prints what a part says.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::limits;
use crate::pb::exchange::v1 as pb;
use crate::refusal::{Reason, Refusal};
use crate::wire;

/// Bytes of a salt and of a commitment.
type Bytes32 = [u8; 32];

/// Stands in a list of salts where the salt was dropped.
const DROPPED: Bytes32 = [0; 32];

/// `commitment = SHA-256("danso/identity/v1" || salt || part)`. Nobody who lacks the salt can test a guess at the part.
pub fn commitment(salt: &[u8; 32], part: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"danso/identity/v1").chain_update(salt).chain_update(part).finalize().into()
}

/// `salt = SHA-256("danso/salt/v1" || seed || index)`, the index as 4 bytes, big-endian; it counts parts of the set, not changes.
pub fn derive_salt(seed: &[u8; 32], index: u32) -> [u8; 32] {
    Sha256::new().chain_update(b"danso/salt/v1").chain_update(seed).chain_update(index.to_be_bytes()).finalize().into()
}

macro_rules! identity_part {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// What identifies a person, and what a fact says beyond what figures need. An empty text or 0 means: not said.
        #[derive(Clone, Default, PartialEq, Eq)]
        pub struct IdentityPart { $($(#[$doc])* pub $field: $type,)* }

        impl IdentityPart {
            fn from_pb(part: pb::IdentityPart) -> Self {
                Self { $($field: part.$field,)* }
            }

            fn to_pb(&self) -> pb::IdentityPart {
                pb::IdentityPart { $($field: self.$field.clone(),)* }
            }
        }
    };
}

identity_part! {
    /// Reference of the person as the collaborator wrote it.
    person_ref: String,
    /// Full name, NFC.
    full_name: String,
    /// yyyymmdd; 00 where unknown.
    birth_date: u32,
    /// National id.
    national_id: String,
    /// Health insurance number.
    health_insurance_no: String,
    /// Household number.
    household_no: String,
    /// Number of the change slip.
    slip_no: String,
    /// Ethnicity.
    ethnicity: String,
    /// Relation to the head of the household.
    relation_to_head: String,
    /// Name of the spouse.
    spouse_name: String,
    /// Cause of death.
    cause: String,
    /// Free text.
    note: String,
    /// Reference of the mother or the partner.
    other_ref: String,
    /// yyyymmdd of the event, where the signed side has the month only.
    event_date: u32,
    /// Slip that an update or a retraction corrects.
    refers_to: String,
}

impl fmt::Debug for IdentityPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityPart(redacted)")
    }
}

impl IdentityPart {
    /// Whether nothing is said. A change without anything to detach has no identity part at all: an empty part on the wire means
    /// that the part was withheld or erased.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The bytes that the commitment is over. Refused when there is nothing to say, and over [`limits::IDENTITY_PART_MAX`].
    pub fn encode(&self) -> Result<Bytes, Refusal> {
        let part = self.to_pb();
        check_part(part.encoded_len())?;
        Ok(part.encode_to_vec().into())
    }

    /// Reads a part. Fields that this version does not know are skipped; the bytes themselves are kept by whoever holds the set.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        check_part(bytes.len())?;
        let part = pb::IdentityPart::decode(bytes).map_err(|_| malformed("identity part"))?;
        Ok(Self::from_pb(part))
    }
}

fn check_part(length: usize) -> Result<(), Refusal> {
    match length {
        0 => Err(malformed("an identity part that says nothing")),
        1..=limits::IDENTITY_PART_MAX => Ok(()),
        _ => Err(Refusal::new(Reason::TooLarge, format!("identity part of {length} bytes"))),
    }
}

/// Where the salts of a set come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Salts {
    /// All from one seed: 32 bytes for the whole set, as long as no part of it was erased.
    Seed([u8; 32]),
    /// One for each part; 32 zero bytes where it was dropped.
    Each(Vec<[u8; 32]>),
}

impl fmt::Debug for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(_) => f.write_str("Seed(redacted)"),
            Self::Each(salts) => write!(f, "Each({} redacted)", salts.len()),
        }
    }
}

/// The identity parts of one change set, in the order of its commitments.
#[derive(Clone, PartialEq, Eq)]
pub struct PartSet {
    /// The salts.
    pub salts: Salts,
    /// Encoded [`IdentityPart`]s; empty: withheld or erased. A part that is here is never empty.
    pub parts: Vec<Bytes>,
}

impl fmt::Debug for PartSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PartSet({} of {} parts, redacted)",
            self.parts.iter().filter(|p| !p.is_empty()).count(),
            self.parts.len()
        )
    }
}

impl PartSet {
    /// The salt of part `index`; `None` when it was dropped or never was.
    pub fn salt(&self, index: usize) -> Option<[u8; 32]> {
        match &self.salts {
            Salts::Seed(seed) if index < self.parts.len() => Some(derive_salt(seed, u32::try_from(index).ok()?)),
            Salts::Seed(_) => None,
            Salts::Each(salts) => salts.get(index).copied().filter(|salt| *salt != DROPPED),
        }
    }

    /// The commitment to each part that is here, `None` for the others.
    pub fn commitments(&self) -> Vec<Option<[u8; 32]>> {
        let of = |(i, part): (usize, &Bytes)| Some(commitment(&self.salt(i).filter(|_| !part.is_empty())?, part));
        self.parts.iter().enumerate().map(of).collect()
    }

    /// Whether no part is withheld or erased.
    pub fn is_complete(&self) -> bool {
        self.parts.iter().enumerate().all(|(i, part)| !part.is_empty() && self.salt(i).is_some())
    }

    /// Forgets part `index` and its salt. A seed is turned into individual salts and forgotten too, so that nobody who holds this
    /// set can test a guess at what was erased. `false` when there is no such part.
    pub fn erase(&mut self, index: usize) -> bool {
        let Some(part) = self.parts.get_mut(index) else {
            return false;
        };
        *part = Bytes::new();
        self.settle();
        true
    }

    /// Keeps salts of parts that are here only; a seed stays only when all are.
    fn settle(&mut self) {
        let whole = self.parts.iter().all(|part| !part.is_empty());
        if whole && matches!(self.salts, Salts::Seed(_)) {
            return;
        }
        let kept = |(i, part): (usize, &Bytes)| self.salt(i).filter(|_| !part.is_empty()).unwrap_or(DROPPED);
        self.salts = Salts::Each(self.parts.iter().enumerate().map(kept).collect());
    }

    /// The transport and storage form. Salts of parts that are not here are left out of it, whatever the set holds.
    pub fn encode(&self) -> Bytes {
        self.to_pb().encode_to_vec().into()
    }

    /// Reads the transport form: bounds, one salt for each part that is here and none for the others.
    pub fn decode(bytes: Bytes) -> Result<Self, Refusal> {
        if bytes.len() > limits::PARTS_BYTES_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("identity parts of {} bytes", bytes.len())));
        }
        if wire::count(&bytes, 3).is_none_or(|parts| parts > limits::CHANGES_PER_SET_MAX) {
            return Err(malformed("identity parts"));
        }
        Self::from_pb(pb::IdentityParts::decode(bytes).map_err(|_| malformed("identity parts"))?)
    }

    /// Bytes of the transport form.
    pub fn encoded_len(&self) -> usize {
        // One or two bytes of tag and length for parts up to 16 KiB, as in `pb::IdentityParts`.
        let parts: usize = self.parts.iter().map(|p| 1 + prost::length_delimiter_len(p.len()) + p.len()).sum();
        let salts = match (&self.salts, self.parts.iter().all(|p| !p.is_empty())) {
            (Salts::Seed(_), true) => 32,
            _ => 32 * self.parts.len(),
        };
        parts + 1 + prost::length_delimiter_len(salts) + salts
    }

    pub(crate) fn to_pb(&self) -> pb::IdentityParts {
        let mut settled = self.clone();
        settled.settle();
        let (seed, salts) = match settled.salts {
            Salts::Seed(seed) => (Bytes::copy_from_slice(&seed), Bytes::new()),
            Salts::Each(salts) => (Bytes::new(), salts.concat().into()),
        };
        pb::IdentityParts { seed, salts, parts: settled.parts }
    }

    pub(crate) fn from_pb(set: pb::IdentityParts) -> Result<Self, Refusal> {
        let count = set.parts.len();
        if count == 0 || count > limits::CHANGES_PER_SET_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("{count} identity parts")));
        }
        if let Some(part) = set.parts.iter().find(|part| part.len() > limits::IDENTITY_PART_MAX) {
            return Err(Refusal::new(Reason::TooLarge, format!("identity part of {} bytes", part.len())));
        }
        let salts = match (set.seed.len(), set.salts.as_chunks::<32>()) {
            // A seed gives every salt, also that of a part which is not here: who sends one has not erased the part.
            (32, ([], [])) if set.parts.iter().all(|part| !part.is_empty()) => {
                Salts::Seed(set.seed[..].try_into().map_err(|_| malformed("seed"))?)
            }
            (0, (salts, [])) if salts.len() == count => {
                if !salts.iter().zip(&set.parts).all(|(salt, part)| (*salt == DROPPED) == part.is_empty()) {
                    return Err(malformed("a salt without its identity part, or a part without its salt"));
                }
                Salts::Each(salts.to_vec())
            }
            _ => return Err(malformed("the salts do not fit the identity parts")),
        };
        Ok(Self { salts, parts: set.parts })
    }
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Reason::Malformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str) -> Bytes {
        IdentityPart { full_name: name.into(), birth_date: 19860204, ..Default::default() }.encode().expect("part")
    }

    fn set() -> PartSet {
        PartSet {
            salts: Salts::Seed([3; 32]),
            parts: vec![part("Nguyễn Thị An"), part("Lò Văn Bình"), part("Giàng A Páo")],
        }
    }

    #[test]
    fn a_part_reads_back_and_prints_nothing() {
        let part = IdentityPart { full_name: "Nguyễn Thị An".into(), event_date: 20240101, ..Default::default() };
        let bytes = part.encode().expect("part");
        assert_eq!(IdentityPart::decode(&bytes), Ok(part.clone()));
        assert_eq!(format!("{part:?} {:?}", set()), "IdentityPart(redacted) PartSet(3 of 3 parts, redacted)");
        assert!(!format!("{:?}", set().salts).contains('3'));
    }

    #[test]
    fn parts_out_of_bounds_are_refused() {
        assert_eq!(IdentityPart::default().encode().map_err(|r| r.reason), Err(Reason::Malformed));
        let long = IdentityPart { note: "a".repeat(limits::IDENTITY_PART_MAX), ..Default::default() };
        assert_eq!(long.encode().map_err(|r| r.reason), Err(Reason::TooLarge));
        assert_eq!(IdentityPart::decode(&[]).map_err(|r| r.reason), Err(Reason::Malformed));
        assert_eq!(IdentityPart::decode(&[0xff; 9]).map_err(|r| r.reason), Err(Reason::Malformed));
    }

    #[test]
    fn sets_read_back_and_know_their_length() {
        let whole = set();
        let mut erased = set();
        assert!(erased.erase(1));
        for set in [whole, erased] {
            let bytes = set.encode();
            assert_eq!(bytes.len(), set.encoded_len());
            assert_eq!(PartSet::decode(bytes), Ok(set));
        }
    }

    #[test]
    fn erasing_leaves_the_other_commitments_and_nothing_to_test_a_guess_with() {
        let mut set = set();
        let before = set.commitments();
        let salt = set.salt(1).expect("there");
        assert!(set.is_complete());
        assert!(set.erase(1));
        assert_eq!(set.commitments(), [before[0], None, before[2]]);
        assert_eq!(set.salt(1), None);
        assert!(!set.is_complete());
        let bytes = set.encode();
        for secret in [&salt[..], &[3; 32], b"B\xc3\xacnh"] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret));
        }
        assert!(!set.erase(3));
    }

    #[test]
    fn a_withheld_part_never_travels_with_its_seed() {
        let mut withheld = set();
        withheld.parts[2] = Bytes::new();
        let read = PartSet::decode(withheld.encode()).expect("set");
        assert!(matches!(read.salts, Salts::Each(_)));
        assert_eq!(read.commitments()[..2], set().commitments()[..2]);
        assert_eq!(read.salt(2), None);
    }

    #[test]
    fn sets_of_wrong_shape_are_refused() {
        let refused = |seed: &[u8], salts: &[u8], parts: &[&[u8]]| {
            let parts = parts.iter().map(|p| Bytes::copy_from_slice(p)).collect();
            let pb =
                pb::IdentityParts { seed: Bytes::copy_from_slice(seed), salts: Bytes::copy_from_slice(salts), parts };
            PartSet::decode(pb.encode_to_vec().into()).map_err(|r| r.reason).err()
        };
        assert_eq!(refused(&[1; 32], &[], &[b"a"]), None);
        assert_eq!(refused(&[], &[1; 32], &[b"a"]), None);
        for (seed, salts, parts) in [
            (&[1; 31][..], &[][..], &[&b"a"[..]][..]),
            (&[1; 32], &[1; 32], &[b"a"]),
            (&[1; 32], &[], &[b"a", b""]),
            (&[], &[1; 32], &[b"a", b"b"]),
            (&[], &[1; 33], &[b"a"]),
            (&[], &[1; 32], &[b""]),
            (&[], &[0; 32], &[b"a"]),
            (&[], &[], &[b"a"]),
        ] {
            assert_eq!(refused(seed, salts, parts), Some(Reason::Malformed), "{seed:?} {salts:?} {parts:?}");
        }
        assert_eq!(refused(&[1; 32], &[], &[]), Some(Reason::TooLarge));
        assert_eq!(refused(&[1; 32], &[], &[&[7; limits::IDENTITY_PART_MAX + 1]]), Some(Reason::TooLarge));
        assert_eq!(refused(&[1; 32], &[], &[&b"a"[..]; 1001]), Some(Reason::Malformed));
        assert_eq!(PartSet::decode(vec![0xff; 20].into()).map_err(|r| r.reason).err(), Some(Reason::Malformed));
    }
}
