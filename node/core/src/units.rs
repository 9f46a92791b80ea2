//! Administrative units in dated lists: who stands under whom, and which list counts when. A code is unique only within a list,
//! and neither the number of tiers nor a parent is fixed: every question is asked of one list.
//!
//! This room knows no file format, no log and no clock: rows and published parts come in as values. What a tier may do is
//! asked of [`TierPolicy`] alone.

mod assembler;
mod lists;

use std::fmt;
use std::iter;

use danso_proto::change::{PublishedUnit, UnitsPublished};
use danso_proto::ids::{IdError, UnitCode};
use danso_proto::limits;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

pub use assembler::UnitListAssembler;
pub use lists::UnitLists;

use crate::calendar::{CalendarError, PartialDate};
use crate::tier::{Tier, TierPolicy};

/// Bytes of a list's version, as in a change set's `units_version`.
pub const VERSION_MAX: usize = 32;
/// Parts in which a list is published: ten times what the largest list so far needs.
pub const PARTS_MAX: usize = 100;
/// Units of a list: what [`PARTS_MAX`] parts can carry.
pub const UNITS_MAX: usize = PARTS_MAX * limits::UNITS_PER_PART;
/// Lists that a node knows: two a year for a generation.
pub const LISTS_MAX: usize = 64;

/// One administrative unit of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unit {
    /// Its code in this list.
    pub code: UnitCode,
    /// Its official name, NFC once it is in a list.
    pub name: Box<str>,
    /// Its tier.
    pub tier: Tier,
    /// Code of the unit above; none for the root.
    pub parent: Option<UnitCode>,
}

/// Why something is not a unit list, or not a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and their fields are")]
pub enum UnitsError {
    #[error("the version of a unit list has 1 to {VERSION_MAX} ASCII letters, digits, dots, hyphens or underscores")]
    VersionInvalid,
    #[error("a unit list is in force from a full date on")]
    ValidFromPartial,
    #[error("the date from which the unit list is in force is not a date")]
    ValidFromInvalid(#[source] CalendarError),
    #[error("a unit list has at least one unit")]
    Empty,
    #[error("{count} units: a list has {UNITS_MAX} at most")]
    TooManyUnits { count: usize },
    #[error("row {row}: the unit code cannot be read")]
    RowCode {
        row: usize,
        #[source]
        source: IdError,
    },
    #[error("row {row}: the code of the unit above cannot be read")]
    RowParent {
        row: usize,
        #[source]
        source: IdError,
    },
    #[error("row {row}: there is no tier {tier:?}")]
    RowTier { row: usize, tier: String },
    #[error("unit {code}: the name has 1 to {max} bytes and no control characters", max = limits::TEXT_MAX)]
    NameInvalid { code: UnitCode },
    #[error("unit {code} stands twice in the list")]
    CodeTwice { code: UnitCode },
    #[error("unit {code}: the unit above, {parent}, is not in the list")]
    ParentMissing { code: UnitCode, parent: UnitCode },
    #[error("unit {code} ({tier}) cannot stand below {parent} ({parent_tier})")]
    TierOrder { code: UnitCode, tier: Tier, parent: UnitCode, parent_tier: Tier },
    #[error("no unit is the root: each has one above it")]
    NoRoot,
    #[error("both {first} and {second} have no unit above: a list has one root")]
    TwoRoots { first: UnitCode, second: UnitCode },
    #[error("{count} unit lists are known: no more are taken")]
    TooManyLists { count: usize },
    #[error("another unit list {version} is known already: a changed list needs a new version")]
    VersionTaken { version: String },
    #[error("there is no part {part} of {parts}: parts count from 1")]
    PartOutOfRange { part: u32, parts: u32 },
    #[error("{parts} parts: a list has {PARTS_MAX} at most")]
    TooManyParts { parts: u32 },
    #[error("{units} units in a part: it has 1 to {max}", max = limits::UNITS_PER_PART)]
    PartSize { units: usize },
    #[error("part {part} of unit list {version} came before with other content")]
    PartDiffers { version: String, part: u32 },
    #[error("the parts of unit list {version} do not agree on when it begins or how many they are")]
    HeaderDiffers { version: String },
    #[error("unit list {version} is complete and does not match the digest that its parts name")]
    DigestWrong { version: String },
}

/// An immutable list of units, from a day on. Equal lists have equal digests.
///
/// Units are numbered in preorder, so that a subtree is a range of numbers and "is a within b" two comparisons.
pub struct UnitList {
    version: Box<str>,
    valid_from: Option<PartialDate>,
    digest: [u8; 32],
    /// In preorder, children by code.
    units: Box<[Unit]>,
    /// By position: one behind the last position of the subtree.
    ends: Box<[u32]>,
    /// By position: that of the unit above; the root's own for the root.
    parents: Box<[u32]>,
    /// By position: the place of the code among all codes.
    ranks: Box<[u32]>,
    /// By rank: the code as a number, see [`key`].
    keys: Box<[u64]>,
    /// By rank: the position.
    positions: Box<[u32]>,
}

const NONE: u32 = u32::MAX;

impl UnitList {
    /// A list `version`, in force from `valid_from` on (always, when none). Names are brought to NFC.
    ///
    /// The units may come in any order. Each has a unit above it that is in the list and of a higher tier, but for one: the
    /// root. As tiers only fall on the way down, there can be no cycle.
    pub fn new(version: &str, valid_from: Option<PartialDate>, units: Vec<Unit>) -> Result<Self, UnitsError> {
        check_header(version, valid_from)?;
        if units.is_empty() {
            return Err(UnitsError::Empty);
        }
        if units.len() > UNITS_MAX {
            return Err(UnitsError::TooManyUnits { count: units.len() });
        }
        let mut units = units.into_iter().map(with_checked_name).collect::<Result<Vec<Unit>, _>>()?;
        units.sort_by(|a, b| a.code.cmp(&b.code));
        if let Some(pair) = units.windows(2).find(|pair| pair[0].code == pair[1].code) {
            return Err(UnitsError::CodeTwice { code: pair[0].code.clone() });
        }
        let digest = digest(version, valid_from, &units);
        let keys: Box<[u64]> = units.iter().map(|unit| key(&unit.code)).collect();
        let (root, parent_ranks) = parents_by_rank(&units, &keys)?;
        let order = preorder(root, &parent_ranks);

        let mut positions = vec![0; units.len()].into_boxed_slice();
        for (position, rank) in (0..).zip(&order) {
            positions[*rank as usize] = position;
        }
        let parents: Box<[u32]> = order.iter().map(|rank| positions[parent_ranks[*rank as usize] as usize]).collect();
        let mut ends: Box<[u32]> = (1..=units.len() as u32).collect();
        // Backwards, a unit comes after its whole subtree; its end is the largest there.
        for position in (1..ends.len()).rev() {
            let parent = parents[position] as usize;
            ends[parent] = ends[parent].max(ends[position]);
        }
        let mut numbered: Vec<(u32, Unit)> = positions.iter().copied().zip(units).collect();
        numbered.sort_unstable_by_key(|(position, _)| *position);
        let units = numbered.into_iter().map(|(_, unit)| unit).collect();
        let ranks = order.into();
        Ok(Self { version: version.into(), valid_from, digest, units, ends, parents, ranks, keys, positions })
    }

    /// A list from rows of `code, name, tier, parent code`, the last empty for the root. Errors count rows from 1.
    pub fn from_rows<T: AsRef<str>>(
        version: &str,
        valid_from: Option<PartialDate>,
        rows: impl IntoIterator<Item = [T; 4]>,
    ) -> Result<Self, UnitsError> {
        let mut units = Vec::new();
        for (row, fields) in (1..).zip(rows) {
            // Checked here too, so that an endless source is not collected first.
            if units.len() == UNITS_MAX {
                return Err(UnitsError::TooManyUnits { count: row });
            }
            let [code, name, tier, parent] = fields.each_ref().map(AsRef::as_ref);
            let parent = Some(parent).filter(|parent| !parent.is_empty()).map(str::parse).transpose();
            units.push(Unit {
                code: code.parse().map_err(|source| UnitsError::RowCode { row, source })?,
                name: name.into(),
                tier: read_tier(row, tier)?,
                parent: parent.map_err(|source| UnitsError::RowParent { row, source })?,
            });
        }
        Self::new(version, valid_from, units)
    }

    /// The version, for example `vn-2025`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The first day on which the list is in force; none: always.
    pub fn valid_from(&self) -> Option<PartialDate> {
        self.valid_from
    }

    /// SHA-256 over the canonical form: UTF-8 text of the lines `danso-units-v1`, the version, `valid_from` (`yyyymmdd`, `0` when none),
    /// then for each unit, by code in byte order, `code TAB name TAB tier TAB parent` (name in NFC, tier in lower-case English,
    /// parent empty for the root). Each line, the last too, ends in one LF.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// How many units.
    #[expect(clippy::len_without_is_empty, reason = "a list is never empty")]
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// The unit with no unit above it.
    pub fn root(&self) -> &Unit {
        &self.units[0]
    }

    /// All units, by code.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Unit> {
        self.positions.iter().map(|position| &self.units[*position as usize])
    }

    /// The unit with this code.
    pub fn get(&self, code: &UnitCode) -> Option<&Unit> {
        self.position(code).map(|position| &self.units[position])
    }

    /// Is a unit with this code in the list?
    pub fn contains(&self, code: &UnitCode) -> bool {
        self.position(code).is_some()
    }

    /// Is `unit` the unit `ancestor` itself or somewhere below it? Not when either is unknown.
    pub fn is_within(&self, unit: &UnitCode, ancestor: &UnitCode) -> bool {
        match (self.position(unit), self.position(ancestor)) {
            (Some(unit), Some(ancestor)) => self.range(ancestor).contains(&unit),
            _ => false,
        }
    }

    /// The unit itself, then the one above it, up to the root; nothing when unknown.
    pub fn ancestors<'a>(&'a self, code: &UnitCode) -> impl Iterator<Item = &'a Unit> + use<'a> {
        iter::successors(self.position(code), |position| (*position != 0).then(|| self.parents[*position] as usize))
            .map(|position| &self.units[position])
    }

    /// The unit itself or the one above it that is of `tier`, if there is one.
    pub fn ancestor_at(&self, code: &UnitCode, tier: Tier) -> Option<&Unit> {
        self.ancestors(code).find(|unit| unit.tier == tier)
    }

    /// The units directly below, by code; nothing when unknown.
    pub fn children<'a>(&'a self, code: &UnitCode) -> impl Iterator<Item = &'a Unit> + use<'a> {
        let range = self.position(code).map_or(0..0, |position| self.range(position));
        let below = move |position: usize| (position < range.end).then_some(position);
        iter::successors(below(range.start + 1), move |position| below(self.ends[*position] as usize))
            .map(|position| &self.units[position])
    }

    /// The unit itself and all below it, by code; nothing when unknown.
    pub fn subtree<'a>(&'a self, code: &UnitCode) -> impl ExactSizeIterator<Item = &'a Unit> + use<'a> {
        self.sorted_ranks(code, |_| true).into_iter().map(|rank| self.at_rank(rank))
    }

    /// Of the unit itself and all below it those of `tier`, by code; nothing when unknown.
    pub fn at_tier<'a>(&'a self, code: &UnitCode, tier: Tier) -> impl ExactSizeIterator<Item = &'a Unit> + use<'a> {
        self.sorted_ranks(code, |unit| unit.tier == tier).into_iter().map(|rank| self.at_rank(rank))
    }

    /// The list in parts of at most `max_per_part` units, to be published. The number is brought between 1 and
    /// [`limits::UNITS_PER_PART`], and up to what keeps the parts below [`PARTS_MAX`].
    pub fn split(&self, max_per_part: usize) -> Vec<UnitsPublished> {
        let size = max_per_part.max(self.len().div_ceil(PARTS_MAX)).clamp(1, limits::UNITS_PER_PART);
        let units: Vec<&Unit> = self.iter().collect();
        // At most PARTS_MAX, as the list has at most UNITS_MAX units.
        let parts = units.len().div_ceil(size) as u32;
        let publish = |unit: &&Unit| PublishedUnit {
            code: unit.code.clone(),
            name: unit.name.to_string(),
            tier: unit.tier.to_string(),
            parent: unit.parent.clone(),
        };
        (1..)
            .zip(units.chunks(size))
            .map(|(part, units)| UnitsPublished {
                version: self.version.to_string(),
                valid_from: self.valid_from.map(PartialDate::packed),
                part,
                parts,
                digest: self.digest,
                units: units.iter().map(publish).collect(),
            })
            .collect()
    }

    fn position(&self, code: &UnitCode) -> Option<usize> {
        self.keys.binary_search(&key(code)).ok().map(|rank| self.positions[rank] as usize)
    }

    fn range(&self, position: usize) -> std::ops::Range<usize> {
        position..self.ends[position] as usize
    }

    fn at_rank(&self, rank: u32) -> &Unit {
        &self.units[self.positions[rank as usize] as usize]
    }

    /// Ranks, in order, of those units of a subtree that are wanted.
    fn sorted_ranks(&self, code: &UnitCode, wanted: impl Fn(&Unit) -> bool) -> Vec<u32> {
        let range = self.position(code).map_or(0..0, |position| self.range(position));
        let wanted = range.filter(|position| wanted(&self.units[*position]));
        let mut ranks: Vec<u32> = wanted.map(|position| self.ranks[position]).collect();
        ranks.sort_unstable();
        ranks
    }
}

impl PartialEq for UnitList {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for UnitList {}

impl fmt::Debug for UnitList {
    /// Not the thousands of units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnitList({}, {} units)", self.version, self.len())
    }
}

fn check_header(version: &str, valid_from: Option<PartialDate>) -> Result<(), UnitsError> {
    let fits = (1..=VERSION_MAX).contains(&version.len());
    if !fits || !version.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
        return Err(UnitsError::VersionInvalid);
    }
    if valid_from.is_some_and(|date| !date.is_full()) {
        return Err(UnitsError::ValidFromPartial);
    }
    Ok(())
}

/// The unit with its name in NFC. Control characters are refused: a tab or line feed would blur the canonical form.
fn with_checked_name(mut unit: Unit) -> Result<Unit, UnitsError> {
    // NFC shortens a text to a third at the most, so that a longer name cannot fit and is not worth the work.
    if unit.name.len() > 3 * limits::TEXT_MAX {
        return Err(UnitsError::NameInvalid { code: unit.code });
    }
    if !unicode_normalization::is_nfc(&unit.name) {
        unit.name = unit.name.nfc().collect::<String>().into();
    }
    if unit.name.trim().is_empty() || unit.name.len() > limits::TEXT_MAX || unit.name.chars().any(char::is_control) {
        return Err(UnitsError::NameInvalid { code: unit.code });
    }
    Ok(unit)
}

fn read_tier(row: usize, text: &str) -> Result<Tier, UnitsError> {
    Tier::parse(text).ok_or_else(|| UnitsError::RowTier { row, tier: text.chars().take(32).collect() })
}

/// The code's bytes as a number of the same order. A code has at most 8 bytes, none of them 0.
fn key(code: &UnitCode) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(code.as_str().bytes()).for_each(|(to, from)| *to = from);
    u64::from_be_bytes(bytes)
}

/// The rank of the root, and for each rank that of the unit above (the root's own for the root). `units` are sorted by code.
fn parents_by_rank(units: &[Unit], keys: &[u64]) -> Result<(u32, Vec<u32>), UnitsError> {
    let mut root = None;
    let mut parents = Vec::with_capacity(units.len());
    for (rank, unit) in (0u32..).zip(units) {
        let Some(parent_code) = &unit.parent else {
            if let Some(first) = root.replace(rank) {
                let first = units[first as usize].code.clone();
                return Err(UnitsError::TwoRoots { first, second: unit.code.clone() });
            }
            parents.push(rank);
            continue;
        };
        let Ok(parent_rank) = keys.binary_search(&key(parent_code)) else {
            return Err(UnitsError::ParentMissing { code: unit.code.clone(), parent: parent_code.clone() });
        };
        let parent = &units[parent_rank];
        if !TierPolicy::of(parent.tier).may_parent(unit.tier) {
            return Err(UnitsError::TierOrder {
                code: unit.code.clone(),
                tier: unit.tier,
                parent: parent.code.clone(),
                parent_tier: parent.tier,
            });
        }
        // A rank is below UNITS_MAX.
        parents.push(parent_rank as u32);
    }
    Ok((root.ok_or(UnitsError::NoRoot)?, parents))
}

/// Ranks in preorder, children by rank.
fn preorder(root: u32, parents: &[u32]) -> Vec<u32> {
    let (mut first_child, mut next_sibling) = (vec![NONE; parents.len()], vec![NONE; parents.len()]);
    // Backwards, so that the first child is the one of lowest rank.
    for (rank, parent) in parents.iter().enumerate().rev().filter(|(rank, _)| *rank != root as usize) {
        next_sibling[rank] = std::mem::replace(&mut first_child[*parent as usize], rank as u32);
    }
    let mut order = Vec::with_capacity(parents.len());
    let mut open = vec![root];
    while let Some(rank) = open.pop() {
        order.push(rank);
        let (sibling, child) = (next_sibling[rank as usize], first_child[rank as usize]);
        open.extend([sibling, child].into_iter().filter(|rank| *rank != NONE));
    }
    order
}

/// See [`UnitList::digest`]. `units` are sorted by code and their names are in NFC.
fn digest(version: &str, valid_from: Option<PartialDate>, units: &[Unit]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(format!("danso-units-v1\n{version}\n{}\n", valid_from.map_or(0, PartialDate::packed)));
    for unit in units {
        let parent = unit.parent.as_ref().map_or("", UnitCode::as_str);
        hash.update(format!("{}\t{}\t{}\t{parent}\n", unit.code, unit.name, unit.tier));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
