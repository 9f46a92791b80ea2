//! Puts published parts of unit lists together, in whatever order and however often they arrive. Knows nothing of who may
//! publish: that was decided before.

use std::collections::BTreeMap;
use std::sync::Arc;

use danso_proto::change::UnitsPublished;
use danso_proto::limits;

use super::{LISTS_MAX, PARTS_MAX, Unit, UnitList, UnitLists, UnitsError, check_header, read_tier};
use crate::calendar::PartialDate;

/// Unit lists of which parts have arrived. One assembler takes the parts of all versions. A clone shares the units.
#[derive(Debug, Clone, Default)]
pub struct UnitListAssembler {
    open: BTreeMap<String, Open>,
    /// Digests of the lists that were handed out.
    done: BTreeMap<String, [u8; 32]>,
}

#[derive(Debug, Clone)]
struct Open {
    digest: [u8; 32],
    valid_from: Option<PartialDate>,
    parts: u32,
    received: BTreeMap<u32, Arc<[Unit]>>,
}

impl UnitListAssembler {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing has arrived but the whole `lists`, whose parts are therefore taken as repetitions.
    pub fn knowing(lists: &UnitLists) -> Self {
        let done = lists.iter().map(|list| (list.version().to_owned(), list.digest())).collect();
        Self { open: BTreeMap::new(), done }
    }

    /// Takes a part (parts count from 1), and gives the list when this part completes it. A part that came before with the
    /// same content changes nothing.
    ///
    /// A refused part leaves what arrived before as it was, with one exception: when the list is complete and is no list, or
    /// does not match its digest, all its parts are dropped, so that it can be published again.
    pub fn take(&mut self, part: &UnitsPublished) -> Result<Option<UnitList>, UnitsError> {
        let valid_from = part.valid_from.map(PartialDate::from_packed).transpose();
        let valid_from = valid_from.map_err(UnitsError::ValidFromInvalid)?;
        check_header(&part.version, valid_from)?;
        check_numbers(part)?;
        let version = || part.version.clone();
        let known_digest =
            self.done.get(&part.version).or_else(|| self.open.get(&part.version).map(|open| &open.digest));
        if known_digest.is_some_and(|digest| *digest != part.digest) {
            return Err(UnitsError::VersionTaken { version: version() });
        }
        if self.done.contains_key(&part.version) {
            return Ok(None);
        }
        let units = units_of(part)?;
        let count = self.open.len() + self.done.len();
        if !self.open.contains_key(&part.version) && count >= LISTS_MAX {
            return Err(UnitsError::TooManyLists { count });
        }
        let open = self.open.entry(version()).or_insert_with(|| Open {
            digest: part.digest,
            valid_from,
            parts: part.parts,
            received: BTreeMap::new(),
        });
        if (open.valid_from, open.parts) != (valid_from, part.parts) {
            return Err(UnitsError::HeaderDiffers { version: version() });
        }
        match open.received.get(&part.part) {
            Some(before) if **before == units[..] => return Ok(None),
            Some(_) => return Err(UnitsError::PartDiffers { version: version(), part: part.part }),
            None => open.received.insert(part.part, units.into()),
        };
        if open.received.len() < open.parts as usize {
            return Ok(None);
        }
        let received = std::mem::take(&mut open.received);
        self.open.remove(&part.version);
        let units = received.values().flat_map(|units| units.iter().cloned()).collect();
        let list = UnitList::new(&part.version, valid_from, units)?;
        if list.digest() != part.digest {
            return Err(UnitsError::DigestWrong { version: version() });
        }
        self.done.insert(version(), part.digest);
        Ok(Some(list))
    }

    /// Lists that wait for parts: version, parts received, parts in all.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.open.iter().map(|(version, open)| (version.as_str(), open.received.len(), open.parts as usize))
    }
}

fn check_numbers(published: &UnitsPublished) -> Result<(), UnitsError> {
    let (part, parts, units) = (published.part, published.parts, published.units.len());
    if parts as usize > PARTS_MAX {
        return Err(UnitsError::TooManyParts { parts });
    }
    if !(1..=parts).contains(&part) {
        return Err(UnitsError::PartOutOfRange { part, parts });
    }
    if !(1..=limits::UNITS_PER_PART).contains(&units) {
        return Err(UnitsError::PartSize { units });
    }
    Ok(())
}

fn units_of(part: &UnitsPublished) -> Result<Vec<Unit>, UnitsError> {
    let unit = |(row, unit): (usize, &danso_proto::change::PublishedUnit)| {
        Ok(Unit {
            code: unit.code.clone(),
            name: unit.name.as_str().into(),
            tier: read_tier(row, &unit.tier)?,
            parent: unit.parent.clone(),
        })
    };
    (1..).zip(&part.units).map(unit).collect()
}
