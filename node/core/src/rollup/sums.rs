//! One sum: counts by what figures tell apart. Knows nothing of where it belongs.

use std::collections::BTreeMap;

use danso_proto::change::Sex;
use danso_proto::ids::UnitCode;

use crate::calendar::Month;
use crate::cube::{Measure, merged};
use crate::register::{StoredError, from_bytes, sex_code, sex_from, to_bytes};

/// Counts that differ in the month of birth only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// What is counted.
    pub measure: Measure,
    /// Whose.
    pub sex: Option<Sex>,
    /// See [`Measure`].
    pub detail: i64,
    /// The other unit of a move. Where units are summed up by a list: the lowest unit that has both sides below it; moves inside of the
    /// sum's own unit are left out.
    pub other: Option<UnitCode>,
}

/// By month of birth (of events: a month so long before the event that the age in full years is right): how many. Sorted, without zeros.
type Counts = Vec<(Option<Month>, i64)>;

/// A sum, in canonical form: the same rows of the cube make the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    runs: BTreeMap<Run, Counts>,
}

/// As stored: measure, sex (0 none, 1 male, 2 female), detail, other unit; and for each count how much later the birth is than the one before it.
/// Births count from 1, 0 is none.
type Stored<Code> = (u8, u8, i64, Option<Code>, Vec<(u32, i64)>);

impl Sums {
    /// Adds a count.
    pub fn add(&mut self, run: Run, births: Counts) {
        match self.runs.entry(run) {
            std::collections::btree_map::Entry::Vacant(at) => {
                if !births.is_empty() {
                    at.insert(births);
                }
            }
            std::collections::btree_map::Entry::Occupied(mut at) => {
                let sum = merged(std::mem::take(at.get_mut()), births);
                if sum.is_empty() {
                    at.remove();
                } else {
                    at.insert(sum);
                }
            }
        }
    }

    /// Adds all of another sum.
    pub fn add_all(&mut self, other: &Self) {
        for (run, births) in &other.runs {
            self.add(run.clone(), births.clone());
        }
    }

    /// Whether nothing is left: then it is not kept.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Its counts.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (&Run, &[(Option<Month>, i64)])> {
        self.runs.iter().map(|(run, births)| (run, births.as_slice()))
    }

    /// As stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let runs = self.runs.iter().map(|(run, births)| {
            let mut before = 0;
            let steps = births.iter().map(|(birth, count)| {
                let birth = birth.map_or(0, |month| month.index().unsigned_abs() + 1);
                (birth - std::mem::replace(&mut before, birth), *count)
            });
            (
                run.measure.code(),
                sex_code(run.sex),
                run.detail,
                run.other.as_ref().map(UnitCode::as_str),
                steps.collect(),
            )
        });
        to_bytes::<Vec<Stored<&str>>>(&runs.collect())
    }

    /// From what is stored.
    ///
    /// # Errors
    /// When another version wrote it, or it is not what was written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let stored: Vec<Stored<String>> = from_bytes(bytes)?;
        let mut runs = BTreeMap::new();
        for (measure, sex, detail, other, steps) in stored {
            let sex = sex_from(sex)?;
            let measure = Measure::from_code(measure.into()).ok_or(StoredError::Broken)?;
            let other = other.map(|code| code.parse()).transpose().map_err(|_| StoredError::Broken)?;
            let mut birth = 0u32;
            let counts = steps.into_iter().map(|(later, count)| {
                birth = birth.checked_add(later).ok_or(StoredError::Broken)?;
                let month = match birth {
                    0 => None,
                    birth => {
                        let index = i32::try_from(birth - 1).map_err(|_| StoredError::Broken)?;
                        Some(Month::from_index(index).map_err(|_| StoredError::Broken)?)
                    }
                };
                Ok((month, count))
            });
            runs.insert(Run { measure, sex, detail, other }, counts.collect::<Result<_, StoredError>>()?);
        }
        Ok(Self { runs })
    }
}
