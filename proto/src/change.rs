//! Change sets as the rest of Danso sees them, and their way from and to bytes.
//!
//! Decoding is strict about shape (ids, bounds, enumerations) and knows nothing of meaning: whether a date exists in the calendar or a
//! person is known is for `danso-core` to say. A kind of change that this version does not know becomes [`Body::Unknown`].

use bytes::Bytes;
use prost::Message as _;

use crate::ids::{ChangeId, HouseholdId, LogId, NodeId, PersonId, Stream, UnitCode};
use crate::limits;
use crate::pb::exchange::v1 as pb;
use crate::refusal::{Reason, Refusal};

mod body;

pub use body::*;

/// What is signed: changes by one node, at one position of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// The log.
    pub log: LogId,
    /// Position in the log, from 0.
    pub sequence: u64,
    /// Leaf hash of the entry before; `None` at position 0.
    pub previous: Option<[u8; 32]>,
    /// Author's clock, milliseconds since the Unix epoch.
    pub recorded_at_ms: i64,
    /// Version of the unit list that the codes belong to.
    pub units_version: String,
    /// Id of the first change; the others count up from it.
    pub first_id: ChangeId,
    /// 1 to 1,000 changes.
    pub changes: Vec<Change>,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The unit that the fact is about.
    pub unit: UnitCode,
    /// Hamlet, may be empty.
    pub hamlet: String,
    /// When it happened; `None` where the kind has no date of its own.
    pub event_date: Option<EventDate>,
    /// yyyymmdd on which the commune learnt of it.
    pub reported_on: Option<u32>,
    /// Commitment to the detached identity part.
    pub identity_commitment: Option<[u8; 32]>,
    /// What happened.
    pub body: Body,
}

/// A solar date, and the lunar one if it was declared so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventDate {
    /// yyyymmdd; dd or mmdd 00 where unknown.
    pub solar: u32,
    /// Declared lunar date, yyyymmdd, and whether its month was a leap month.
    pub lunar: Option<(u32, bool)>,
}

impl EventDate {
    /// A date declared as a solar date, packed as yyyymmdd.
    pub fn solar(packed: u32) -> Self {
        Self { solar: packed, lunar: None }
    }
}

/// Number of the field `ChangeSet.changes`.
const CHANGES_FIELD: u64 = 7;

impl ChangeSet {
    /// Reads a payload. The signature has been checked before: see [`crate::envelope::open`].
    pub fn decode(payload: &[u8]) -> Result<Self, Refusal> {
        if payload.len() > limits::PAYLOAD_BYTES_MAX {
            return Err(Refusal::new(Reason::TooLarge, format!("payload of {} bytes", payload.len())));
        }
        // Empty changes take two bytes each and much more memory: counted before anything is made of them.
        let changes = crate::wire::count(payload, CHANGES_FIELD).ok_or_else(|| malformed("not a change set"))?;
        if changes > limits::CHANGES_PER_SET_MAX {
            return Err(Refusal::new(
                Reason::TooLarge,
                format!("{changes} changes; 1 to {}", limits::CHANGES_PER_SET_MAX),
            ));
        }
        let set = pb::ChangeSet::decode(payload).map_err(|e| malformed(format!("change set: {e}")))?;
        Self::from_pb(set)
    }

    /// The bytes to sign. Only the author encodes; everybody else keeps the bytes that it received.
    pub fn encode(&self) -> Vec<u8> {
        let commitments: Vec<u8> = self.changes.iter().filter_map(|c| c.identity_commitment).flatten().collect();
        pb::ChangeSet {
            log: self.log.to_string(),
            sequence: self.sequence,
            previous: self.previous.map(|hash| Bytes::copy_from_slice(&hash)).unwrap_or_default(),
            recorded_at_ms: self.recorded_at_ms,
            units_version: self.units_version.clone(),
            first_id: Bytes::copy_from_slice(self.first_id.as_bytes()),
            changes: self.changes.iter().map(Change::to_pb).collect(),
            identity_commitments: commitments.into(),
        }
        .encode_to_vec()
    }

    /// The changes with their ids.
    pub fn ids(&self) -> impl Iterator<Item = (ChangeId, &Change)> {
        let first = self.first_id;
        // `from_pb` and `Sealing` keep the counter from overflowing, so that no change is skipped here.
        (0u32..).zip(&self.changes).filter_map(move |(i, change)| Some((first.at(i)?, change)))
    }

    fn from_pb(set: pb::ChangeSet) -> Result<Self, Refusal> {
        let log: LogId = set.log.parse()?;
        let count = set.changes.len();
        if count == 0 || count > limits::CHANGES_PER_SET_MAX {
            return Err(Refusal::new(
                Reason::TooLarge,
                format!("{count} changes; 1 to {}", limits::CHANGES_PER_SET_MAX),
            ));
        }
        let previous = match (set.sequence, set.previous.len()) {
            (0, 0) => None,
            (0, _) => return Err(Refusal::new(Reason::PreviousHashWrong, "the first entry names an entry before it")),
            (_, 32) => set.previous[..].try_into().ok(),
            (_, n) => return Err(malformed(format!("previous hash of {n} bytes"))),
        };
        let first_id = ChangeId::try_from(&set.first_id[..])?;
        if first_id.at(count as u32).is_none() {
            return Err(malformed("change ids overflow"));
        }
        let (commitments, rest) = set.identity_commitments.as_chunks::<32>();
        if !rest.is_empty() || commitments.len() != set.changes.iter().filter(|c| c.identity).count() {
            return Err(malformed("the identity commitments do not fit the changes"));
        }
        let mut commitments = commitments.iter();
        let changes = set
            .changes
            .into_iter()
            .map(|change| {
                let commitment = if change.identity { commitments.next().copied() } else { None };
                Change::from_pb(change, commitment)
            })
            .collect::<Result<Vec<_>, _>>()?;
        text("units version", &set.units_version, 32)?;
        if let Some(change) = changes.iter().find(|c| !c.body.belongs_to(log.stream())) {
            return Err(Refusal::new(Reason::WrongStream, format!("{} in {log}", change.body.kind())));
        }
        Ok(Self {
            log,
            sequence: set.sequence,
            previous,
            recorded_at_ms: set.recorded_at_ms,
            units_version: set.units_version,
            first_id,
            changes,
        })
    }
}

impl Change {
    fn from_pb(change: pb::Change, identity_commitment: Option<[u8; 32]>) -> Result<Self, Refusal> {
        text("hamlet", &change.hamlet, limits::HAMLET_MAX)?;
        let event_date = match change.event_date {
            None => None,
            Some(date) => Some(EventDate {
                solar: packed_date(date.solar)?.ok_or_else(|| malformed("event date 0"))?,
                lunar: packed_date(date.lunar)?.map(|lunar| (lunar, date.lunar_leap)),
            }),
        };
        Ok(Self {
            unit: change.unit.parse()?,
            hamlet: change.hamlet,
            event_date,
            reported_on: packed_date(change.reported_on)?,
            identity_commitment,
            body: Body::from_pb(change.body)?,
        })
    }

    fn to_pb(&self) -> pb::Change {
        pb::Change {
            unit: self.unit.to_string(),
            hamlet: self.hamlet.clone(),
            identity: self.identity_commitment.is_some(),
            event_date: self.event_date.map(|date| pb::EventDate {
                solar: date.solar,
                lunar: date.lunar.map_or(0, |(packed, _)| packed),
                lunar_leap: date.lunar.is_some_and(|(_, leap)| leap),
            }),
            reported_on: self.reported_on.unwrap_or_default(),
            body: self.body.to_pb(),
        }
    }
}

impl Body {
    /// Whether a change of this kind may stand in a log on `stream`. What this version does not know may stand anywhere.
    pub fn belongs_to(&self, stream: &Stream) -> bool {
        match self {
            Self::Unknown => true,
            Self::Genesis(_)
            | Self::NodeEnrolled(_)
            | Self::NodeRekeyed(_)
            | Self::NodeRevoked(_)
            | Self::UnitsPublished(_)
            | Self::UnitsReorganised(_)
            | Self::PolicyPublished(_)
            | Self::ForkDecided(_)
            | Self::RulesPublished(_) => *stream == Stream::Directory,
            Self::FindingOpened(_) | Self::FindingClosed(_) | Self::TransferOffered(_) | Self::ReceiptForwarded(_) => {
                matches!(stream, Stream::Mail(_))
            }
            _ => *stream == Stream::Records,
        }
    }
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Malformed, detail)
}

fn text(what: &str, value: &str, max: usize) -> Result<(), Refusal> {
    if value.len() > max {
        return Err(Refusal::new(Reason::TooLarge, format!("{what} of {} bytes; at most {max}", value.len())));
    }
    Ok(())
}

/// A packed yyyymmdd of plausible shape; 0 is `None`.
fn packed_date(packed: u32) -> Result<Option<u32>, Refusal> {
    let (year, month, day) = (packed / 10_000, packed / 100 % 100, packed % 100);
    match packed {
        0 => Ok(None),
        _ if (1000..=9999).contains(&year) && month <= 12 && day <= 31 => Ok(Some(packed)),
        _ => Err(malformed(format!("date {packed}"))),
    }
}

/// A packed yyyymm of plausible shape; 0 is `None`.
fn packed_month(packed: u32) -> Result<Option<u32>, Refusal> {
    match packed {
        0 => Ok(None),
        _ if (1000..=9999).contains(&(packed / 100)) && packed % 100 <= 12 => Ok(Some(packed)),
        _ => Err(malformed(format!("month {packed}"))),
    }
}

fn key(bytes: &Bytes) -> Result<[u8; 32], Refusal> {
    bytes[..].try_into().map_err(|_| malformed(format!("key or digest of {} bytes; 32", bytes.len())))
}

fn id(bytes: &Bytes) -> Result<ChangeId, Refusal> {
    Ok(ChangeId::try_from(&bytes[..])?)
}

fn id_or_none(bytes: &Bytes) -> Result<Option<ChangeId>, Refusal> {
    if bytes.is_empty() { Ok(None) } else { id(bytes).map(Some) }
}

fn unit_or_none(code: &str) -> Result<Option<UnitCode>, Refusal> {
    if code.is_empty() { Ok(None) } else { Ok(Some(code.parse()?)) }
}

fn id_bytes(id: Option<ChangeId>) -> Bytes {
    id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
