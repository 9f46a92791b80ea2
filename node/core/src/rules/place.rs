//! Rules of a place that a record names: units of another list, hamlets that the commune does not have. They look at what a change says and at lists
//! that the caller knows, and at no person.

use danso_proto::ids::UnitCode;
use unicode_normalization::UnicodeNormalization as _;

use crate::calendar::PartialDate;
use crate::units::{Unit, UnitList, UnitLists};

/// Why a unit's code may be another unit than was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitDoubt<'a> {
    /// On the day of the event the code was another unit: 17035 was a town, and is a commune of four since 1 July 2025.
    Other {
        /// What it was on the day of the event.
        then: &'a Unit,
        /// What it is in the list that the record names.
        named: &'a Unit,
        /// The first day of the list that the record names.
        since: Option<PartialDate>,
    },
    /// The list that was in force on the day of the event does not have the code.
    NotThen {
        /// The unit in the list that the record names.
        named: &'a Unit,
    },
    /// Only another list has it.
    Elsewhere {
        /// The unit there.
        unit: &'a Unit,
        /// The version of that list.
        version: &'a str,
    },
}

/// What is doubtful about `code`, which a record of an event on `event` names by the list `named`. Same code and same name are taken for the same unit: which
/// territory changed is for the successions between lists to say.
pub fn other_unit<'a>(
    code: &UnitCode,
    event: PartialDate,
    named: &'a UnitList,
    lists: &'a UnitLists,
) -> Option<UnitDoubt<'a>> {
    let Some(unit) = named.get(code) else {
        let mut others = lists.iter().filter(|list| list.version() != named.version());
        return others.find_map(|list| Some(UnitDoubt::Elsewhere { unit: list.get(code)?, version: list.version() }));
    };
    // A date that may be on either side says nothing.
    let then = lists.in_force(event.earliest())?;
    if then.version() == named.version() || lists.in_force(event.latest())?.version() == named.version() {
        return None;
    }
    match then.get(code) {
        None => Some(UnitDoubt::NotThen { named: unit }),
        Some(before) if before.name != unit.name => {
            Some(UnitDoubt::Other { then: before, named: unit, since: named.valid_from() })
        }
        Some(_) => None,
    }
}

/// A hamlet that the commune does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HamletDoubt<'a> {
    /// One that it has and that is written nearly so.
    pub like: Option<&'a str>,
}

/// What is doubtful about the hamlet that a record names, if the commune's hamlets are known and it is none of them. Nothing when none is named.
pub fn hamlet<'a>(said: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<HamletDoubt<'a>> {
    let mut any = false;
    let is_known = known.clone().any(|name| {
        any = true;
        name == said
    });
    if said.is_empty() || is_known || !any {
        return None;
    }
    let plain = plain(said);
    Some(HamletDoubt { like: known.into_iter().find(|name| self::plain(name) == plain) })
}

/// A name without its marks, capitals and spaces, as people write it in a hurry: `Bản Yên Luốm` and `ban yen luom` are one.
fn plain(name: &str) -> String {
    let letters = name.nfd().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric());
    letters.map(|c| if c == 'đ' { 'd' } else { c }).collect()
}
