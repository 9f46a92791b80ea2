//! The cube: what is counted, as steps. A flow is the sum of its steps in a period, a stock the sum of all steps up to the end of a month.
//!
//! It is the sum, over persons and households, of a pure function of their timelines, told apart by the month in which each step became
//! known: so any order of arrival gives the same cube, a correction reaches every past month, and what was known in any past month can
//! still be asked for. This room knows the register, and neither units' tree, nor questions, nor storage.

mod batch;
mod delta;
mod group;
mod measure;
mod trace;

pub use batch::{Batch, Counts, Outcome, WithPersons};
pub use delta::{CubeDelta, CubeKey};
pub(crate) use group::merged;
pub use group::{CubeGroup, GroupRows};
pub use measure::{BirthDetail, Measure, ResidentDetail, method_from_code};
pub use trace::{Redo, Undone};

#[cfg(test)]
mod tests;
