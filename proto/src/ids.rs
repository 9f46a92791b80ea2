//! Names of things: units, nodes, logs, changes, keys. Each is checked where it is made, so that it needs no check later.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {why}")]
pub struct IdError {
    kind: &'static str,
    text: String,
    why: &'static str,
}

impl IdError {
    fn new(kind: &'static str, text: &str, why: &'static str) -> Self {
        Self { kind, text: text.chars().take(80).collect(), why }
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
    };
}

/// Code of an administrative unit, for example `VN`, `40`, `420`, `17065`. Text: leading zeros count. A code means a place only
/// together with the version of the unit list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitCode(Box<str>);
text_id!(UnitCode);

impl FromStr for UnitCode {
    type Err = IdError;
    /// 1 to 8 ASCII letters or digits.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > 8 {
            return Err(IdError::new("unit code", text, "it has 1 to 8 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(IdError::new("unit code", text, "it has ASCII letters and digits only"));
        }
        Ok(Self(text.into()))
    }
}

/// One installation serving one unit: `<unit code>-<first 16 hex of SHA-256 of its first log public key>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Box<str>);
text_id!(NodeId);

impl NodeId {
    /// The id of the node for `unit` whose first log key is `log_public_key`.
    pub fn new(unit: &UnitCode, log_public_key: &[u8; 32]) -> Self {
        let print = Fingerprint::of_key(log_public_key).to_string();
        Self(format!("{unit}-{}", &print[..16]).into())
    }

    /// Code of the unit that the node was installed for.
    pub fn unit(&self) -> UnitCode {
        UnitCode(self.0.split_once('-').map_or(&*self.0, |(unit, _)| unit).into())
    }
}

impl FromStr for NodeId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let Some((unit, print)) = text.split_once('-') else {
            return Err(IdError::new("node id", text, "it is a unit code, a hyphen and 16 hex digits"));
        };
        unit.parse::<UnitCode>()?;
        if print.len() != 16 || !print.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(IdError::new("node id", text, "behind the hyphen are 16 lower-case hex digits"));
        }
        Ok(Self(text.into()))
    }
}

/// What a log is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Stream {
    /// Who and where: goes up and down.
    Directory,
    /// Addressed: goes down the path to that node.
    Mail(NodeId),
    /// About people: goes up.
    Records,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str("directory"),
            Self::Records => f.write_str("records"),
            Self::Mail(node) => write!(f, "mail/{node}"),
        }
    }
}

/// An append-only list of entries by one node on one stream: `<node id>/<stream>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogId {
    node: NodeId,
    stream: Stream,
}

impl LogId {
    /// The log of `node` on `stream`.
    pub fn new(node: NodeId, stream: Stream) -> Self {
        Self { node, stream }
    }

    /// The author.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The stream.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.stream)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

impl FromStr for LogId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let Some((node, stream)) = text.split_once('/') else {
            return Err(IdError::new("log id", text, "it is a node id, a slash and a stream"));
        };
        let stream = match stream.split_once('/') {
            None if stream == "directory" => Stream::Directory,
            None if stream == "records" => Stream::Records,
            Some(("mail", to)) => Stream::Mail(to.parse()?),
            _ => return Err(IdError::new("log id", text, "the stream is directory, records or mail/<node id>")),
        };
        Ok(Self { node: node.parse()?, stream })
    }
}

impl TryFrom<String> for LogId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<LogId> for String {
    fn from(id: LogId) -> String {
        id.to_string()
    }
}

/// Id of a change, and of the person or household that the change began: a UUIDv7 (RFC 9562). The last 32 bits count within a
/// change set, so that a set carries one id for all its changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChangeId([u8; 16]);

/// A person is named by the change that made it known.
pub type PersonId = ChangeId;
/// A household is named by the change that began it.
pub type HouseholdId = ChangeId;

impl ChangeId {
    /// A fresh id for the first change of a set: 48 bits of `unix_ms`, 42 bits of `random`, and a counter at 0.
    pub fn first(unix_ms: u64, random: [u8; 6]) -> Self {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
        id[6..12].copy_from_slice(&random);
        id[6] = 0x70 | (id[6] & 0x0f);
        id[8] = 0x80 | (id[8] & 0x3f);
        Self(id)
    }

    /// The id of change `index` of the set whose first id this is; `None` when the counter would overflow.
    pub fn at(self, index: u32) -> Option<Self> {
        let counter = u32::from_be_bytes([self.0[12], self.0[13], self.0[14], self.0[15]]).checked_add(index)?;
        let mut id = self.0;
        id[12..].copy_from_slice(&counter.to_be_bytes());
        Some(Self(id))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl TryFrom<&[u8]> for ChangeId {
    type Error = IdError;
    /// 16 bytes with the version and variant of a UUIDv7.
    fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
        let id: [u8; 16] = bytes.try_into().map_err(|_| IdError::new("change id", "", "it has 16 bytes"))?;
        if id[6] >> 4 != 7 || id[8] >> 6 != 2 {
            return Err(IdError::new("change id", "", "it is a UUID of version 7"));
        }
        Ok(Self(id))
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeId({self})")
    }
}

impl FromStr for ChangeId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let bytes = hex_decode(&hex).ok_or_else(|| IdError::new("change id", text, "it is a UUID in hex"))?;
        Self::try_from(&bytes[..]).map_err(|_| IdError::new("change id", text, "it is a UUID of version 7"))
    }
}

/// SHA-256 of a public key (its 32 raw bytes) or of a certificate (DER), as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of an Ed25519 public key. The anchor is the fingerprint of the central node's first log key.
    pub fn of_key(public_key: &[u8; 32]) -> Self {
        Self(Sha256::digest(public_key).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = hex_decode(&text.trim().to_ascii_lowercase());
        match bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(IdError::new("fingerprint", text, "it has 64 hex digits")),
        }
    }
}

fn hex_decode(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let unit: UnitCode = "17065".parse().expect("code");
        let node = NodeId::new(&unit, &[7; 32]);
        assert_eq!(node.unit(), unit);
        for stream in [Stream::Directory, Stream::Records, Stream::Mail(node.clone())] {
            let log = LogId::new(node.clone(), stream);
            assert_eq!(log.to_string().parse::<LogId>(), Ok(log));
        }
        let id = ChangeId::first(1_700_000_000_000, [0xff; 6]);
        assert_eq!(id.to_string().parse::<ChangeId>(), Ok(id));
        assert!(id.at(1).expect("counter") > id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in ["", "1706500000", "17 65", "17/65", "ấ"] {
            assert!(bad.parse::<UnitCode>().is_err(), "{bad}");
        }
        for bad in ["17065", "17065-", "17065-0123456789ABCDEF", "-0123456789abcdef", "17065-0123456789abcdef0"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
        for bad in ["17065-0123456789abcdef", "17065-0123456789abcdef/other", "17065-0123456789abcdef/mail/x"] {
            assert!(bad.parse::<LogId>().is_err(), "{bad}");
        }
        assert!(ChangeId::try_from(&[0u8; 16][..]).is_err());
        assert!(ChangeId::first(1, [0; 6]).at(u32::MAX).and_then(|id| id.at(1)).is_none());
    }
}
