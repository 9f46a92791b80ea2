//! What persons, households, groups of the cube and roll-ups have in common on their way to and from the store: a version byte, and how a sex is
//! written; and labels.

use danso_proto::change::Sex;
use danso_proto::ids::ChangeId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version of the stored forms. Another form gets another number; `rebuild` makes the rows anew.
const VERSION: u8 = 2;

/// Stored bytes of the register that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Written by another version: the register has to be rebuilt.
    #[error("register row of form {found}, this version reads {VERSION}: rebuild the register")]
    OtherVersion {
        /// The form found.
        found: u8,
    },
    /// Not what was written.
    #[error("register row cannot be read: rebuild the register")]
    Broken,
}

/// A sex as stored, and that of nobody.
pub(crate) fn sex_code(sex: Option<Sex>) -> u8 {
    match sex {
        None => 0,
        Some(Sex::Male) => 1,
        Some(Sex::Female) => 2,
    }
}

pub(crate) fn sex_from(code: u8) -> Result<Option<Sex>, StoredError> {
    match code {
        0 => Ok(None),
        1 => Ok(Some(Sex::Male)),
        2 => Ok(Some(Sex::Female)),
        _ => Err(StoredError::Broken),
    }
}

pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // A u8 is one byte in postcard.
    postcard::to_stdvec(&(VERSION, value))
        .expect("a growing buffer takes every row, and no row has a sequence of unknown length")
}

pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoredError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            _ => Err(StoredError::Broken),
        },
        Some((&found, _)) => Err(StoredError::OtherVersion { found }),
        None => Err(StoredError::Broken),
    }
}

/// A text from an identity part, and the change that it came with. Of several, that of the change which began its owner wins, then
/// that of the lowest id: so it does not matter which came first.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) from: ChangeId,
    pub(crate) text: Box<str>,
}

impl Label {
    /// The lowest is the best.
    pub(crate) fn rank(&self, owner: ChangeId) -> (bool, ChangeId, &str) {
        (self.from != owner, self.from, &self.text)
    }

    /// Puts the better of `held` and `offered` into `held`; says whether it changed.
    pub(crate) fn offer(held: &mut Option<Label>, offered: Label, owner: ChangeId) -> bool {
        let better = held.as_ref().is_none_or(|held| offered.rank(owner) < held.rank(owner));
        if better {
            *held = Some(offered);
        }
        better
    }
}

impl std::fmt::Debug for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Label(of {}, redacted)", self.from)
    }
}
