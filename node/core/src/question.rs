//! Questions about figures, and how rows of the cube answer them. A pure function: the same question and the same rows give the same cells.
//!
//! Three stages: [`Question`] is well-formed; [`Asked`] is a question put to one unit list, which knows what to read
//! ([`Asked::plan`]); [`Asked::evaluate`] makes the cells. This room knows neither where rows are kept nor who asks.

mod admit;
mod age;
mod asked;
mod evaluate;
mod explain;
mod figure;

use std::fmt::Display;

use danso_proto::ids::UnitCode;
use danso_proto::refusal::{Reason, Refusal};

use crate::calendar::Month;
use crate::tier::Tier;

pub use admit::VALUE_MAX;
pub use age::AgeGroup;
pub use asked::{Asked, Read, RollupRead};
pub use evaluate::{Cell, CubeRow, Tally, add_up};
pub use explain::{Contribution, contributions};
pub use figure::{Dimension, Figure};

/// Months that a question may span: fifty years.
pub const MONTHS_MAX: i32 = 600;
/// Cells that an answer may have if none were empty: ten years of every commune by month, sex and age group with all figures. Most cells
/// of such an answer are empty, and how many are not is known only when it is made ([`Asked::cells_each`]); what has more than these is
/// no question.
pub const CELLS_MAX: usize = 256_000_000;

/// A well-formed question in canonical form: figures and dimensions sorted by word, each once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    unit: UnitCode,
    by: Option<Tier>,
    from: Month,
    to: Month,
    figures: Vec<Figure>,
    dimensions: Vec<Dimension>,
    within: Option<UnitCode>,
}

impl Question {
    /// A question about `unit`, broken down by the units of tier `by` in it (`None`: not broken down), for the months `from` to `to`,
    /// both included. No `figures`: all. `within`: only records about that unit and the units below it count, while moves
    /// still compare with the boundary of the units asked about, so that the answers for disjoint parts add up.
    ///
    /// # Errors
    /// `query_invalid` for an unknown word, ages both by year and by group, a period that ends before it begins, or one longer than [`MONTHS_MAX`].
    pub fn new(
        unit: UnitCode,
        by: Option<Tier>,
        (from, to): (Month, Month),
        figures: &[impl AsRef<str>],
        dimensions: &[impl AsRef<str>],
        within: Option<UnitCode>,
    ) -> Result<Self, Refusal> {
        if to < from {
            return Err(invalid(format!("the period ends ({to}) before it begins ({from})")));
        }
        if to - from >= MONTHS_MAX {
            return Err(invalid(format!("{from} to {to} are {} months; at most {MONTHS_MAX}", to - from + 1)));
        }
        let mut figures = words(figures, "measure", Figure::ALL, Figure::from_word)?;
        if figures.is_empty() {
            figures = Figure::ALL.to_vec();
        }
        let dimensions = words(dimensions, "dimension", Dimension::ALL, Dimension::from_word)?;
        if [Dimension::Age, Dimension::AgeGroup].iter().all(|ages| dimensions.contains(ages)) {
            return Err(invalid("age and age_group are one question each".into()));
        }
        Ok(Self { unit, by, from, to, figures, dimensions, within })
    }

    /// The unit asked about.
    pub fn unit(&self) -> &UnitCode {
        &self.unit
    }

    /// The tier to break down by.
    pub fn by(&self) -> Option<Tier> {
        self.by
    }

    /// The first month.
    pub fn from(&self) -> Month {
        self.from
    }

    /// The last month.
    pub fn to(&self) -> Month {
        self.to
    }

    /// The figures, sorted by word.
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// The dimensions, sorted by word.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The part of the country whose records count.
    pub fn within(&self) -> Option<&UnitCode> {
        self.within.as_ref()
    }

    /// The same question, restricted to the records about `within` and the units below it: what a parent asks a child.
    #[must_use]
    pub fn restricted_to(&self, within: UnitCode) -> Self {
        Self { within: Some(within), ..self.clone() }
    }

    fn has(&self, dimension: Dimension) -> bool {
        self.dimensions.contains(&dimension)
    }
}

/// The things that `given` names, sorted, each once.
fn words<T: Copy + Ord + Display>(
    given: &[impl AsRef<str>],
    what: &str,
    known: &[T],
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Refusal> {
    let read = |word: &str| {
        read(word).ok_or_else(|| {
            let known: Vec<String> = known.iter().map(T::to_string).collect();
            let word: String = word.chars().take(40).collect();
            invalid(format!("no {what} {word:?}; there are {}", known.join(", ")))
        })
    };
    let mut things = given.iter().map(|word| read(word.as_ref())).collect::<Result<Vec<T>, _>>()?;
    things.sort_unstable();
    things.dedup();
    Ok(things)
}

fn invalid(detail: String) -> Refusal {
    Refusal::new(Reason::QueryInvalid, detail)
}

#[cfg(test)]
mod tests;
