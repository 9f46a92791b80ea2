//! The two forms that a commune hands over (import-format.md): the household book (A0) and the change slips (P0), from the fields
//! of a row to draft change sets.
//!
//! `header` knows the columns, `words` the words in them; `field`, `household` and `slip` make typed rows; `digest` tells a row that
//! came before from one that differs; `known`, `resolve` and `draft` turn rows into changes against what the node knows. This room may
//! not know files, stores or clocks: rows, today's date, what is known and fresh ids come in as parameters.

use danso_proto::ids::UnitCode;
use danso_proto::refusal::Reason;
use serde::{Deserialize, Serialize};

use crate::calendar::PartialDate;
use crate::rules::{UnitDoubt, other_unit};
use crate::units::{UnitList, UnitLists};

mod digest;
mod draft;
mod field;
mod header;
mod household;
mod known;
mod remembered;
mod resolve;
mod slip;
mod words;

pub use digest::digest;
pub use draft::{DraftSet, Drafter, SET_BYTES_TARGET};
pub use header::{Column, Header, header_words};
pub use household::HouseholdRow;
pub use known::{Known, KnownPerson, Needed, Source, household_key, needed};
pub use remembered::remembered;
pub use resolve::{Missing, MissingWhat, Outcome, resolve};
pub use slip::{Declared, Particulars, Slip};
pub use words::{Calendar, Relation, SlipKind, value_words};

/// A form of the programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Form {
    /// A0, the household book: one row a resident.
    Households,
    /// P0, the change slips: one row a change.
    Changes,
}

impl Form {
    /// The word in commands, SQL and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Households => "households",
            Self::Changes => "changes",
        }
    }
}

/// One row as the file has it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawRow {
    /// Line in the file on which the row begins, the header being line 1.
    pub line: u64,
    /// The fields in the order of the header.
    pub fields: Vec<String>,
    /// Places in `fields`, ascending, that were numbers with a fraction in the file: nobody knows any more with which zeros they were
    /// typed. Text files have none.
    pub fractions: Vec<u16>,
}

impl std::fmt::Debug for RawRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawRow(line {}, {} fields, redacted)", self.line, self.fields.len())
    }
}

/// What rows are read against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The unit list in force.
    pub units: &'a UnitList,
    /// The importing node's unit: rows are about it or units below it.
    pub own_unit: &'a UnitCode,
    /// Today in Viet Nam: nothing that is reported lies after it.
    pub today: PartialDate,
}

/// A typed row. It is stored as it is when it has to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// A row of the household book.
    Household(HouseholdRow),
    /// A change slip.
    Slip(Box<Slip>),
}

impl Row {
    /// The unit that the row is about.
    pub fn unit(&self) -> &UnitCode {
        match self {
            Self::Household(row) => &row.unit,
            Self::Slip(slip) => &slip.unit,
        }
    }

    /// The collaborator's reference of the person that the row is about.
    pub fn person_ref(&self) -> &str {
        match self {
            Self::Household(row) => &row.person_ref,
            Self::Slip(slip) => &slip.person_ref,
        }
    }

    /// The form's word for what the row says.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Household(_) => Form::Households.as_str(),
            Self::Slip(slip) => slip.kind.as_str(),
        }
    }

    /// Line of the file that the row came in.
    pub fn line(&self) -> u64 {
        match self {
            Self::Household(row) => row.line,
            Self::Slip(slip) => slip.line,
        }
    }

    /// Form and key: a key comes once in a unit and form.
    pub fn key(&self) -> (Form, &str) {
        match self {
            Self::Household(row) => (Form::Households, &row.person_ref),
            Self::Slip(slip) => (Form::Changes, &slip.slip_no),
        }
    }

    /// What an officer should look at although the row is taken: a personal number that contradicts the sex or the year of birth.
    /// Such numbers exist, so it is no reason to refuse.
    pub fn warning(&self) -> Option<RowProblem> {
        let (id, sex, birth) = match self {
            Self::Household(row) => (&row.national_id, Some(row.sex), Some(row.birth_date)),
            Self::Slip(slip) => (&slip.about.national_id, slip.about.sex, slip.about.birth_date),
        };
        field::contradicts(id, sex, birth).then(|| RowProblem {
            line: self.line(),
            column: Some(Column::NationalId.as_str().into()),
            reason: Reason::IdentifierInvalid,
            found: String::new(),
            severity: Severity::Warning,
        })
    }

    /// What an officer should look at although the row is taken: the other unit of a move had another name on the day of the event than in the list in force.
    pub fn unit_warning(&self, units: &UnitList, lists: &UnitLists) -> Option<RowProblem> {
        let Self::Slip(slip) = self else { return None };
        let code = slip.other_unit.as_ref()?;
        let found = match other_unit(code, slip.event.solar, units, lists)? {
            UnitDoubt::Other { then, named, .. } => format!("{code}: {} / {}", then.name, named.name),
            UnitDoubt::NotThen { named } => format!("{code}: {}", named.name),
            // Of a unit that the list in force does not have the row was refused.
            UnitDoubt::Elsewhere { .. } => return None,
        };
        Some(RowProblem {
            line: self.line(),
            column: Some(Column::OtherUnit.as_str().into()),
            reason: Reason::UnitOfOtherList,
            found: found.chars().take(40).collect(),
            severity: Severity::Warning,
        })
    }
}

/// What a problem means for its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Not taken.
    Refused,
    /// Taken once somebody is known.
    Waiting,
    /// Taken; somebody should look.
    Warning,
}

/// Why a row was not taken, or what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RowProblem {
    /// Line in the file.
    pub line: u64,
    /// The column as the file names it.
    pub column: Option<String>,
    /// The stable reason.
    pub reason: Reason,
    /// The offending value, at most 40 characters; for names, identifiers and free text only the number of characters.
    pub found: String,
    /// What it means for the row.
    pub severity: Severity,
}

/// Why a file, or the rest of it, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct FileProblem {
    /// The stable reason.
    pub reason: Reason,
    /// Line in the file, where there is one.
    pub line: Option<u64>,
    /// What was found: names of columns, an encoding, a size. Never a person's data.
    pub detail: String,
}

impl FileProblem {
    /// A problem with a file.
    pub fn new(reason: Reason, line: Option<u64>, detail: impl Into<String>) -> Self {
        Self { reason, line, detail: detail.into() }
    }
}

/// Reads one row. The first thing that is wrong with it is the reason of its refusal.
pub fn parse(header: &Header, row: &RawRow, context: &Context<'_>) -> Result<Row, RowProblem> {
    let fields = field::Fields::new(header, row, context)?;
    fields.references_are_text()?;
    match header.form() {
        Form::Households => household::parse(&fields).map(Row::Household),
        Form::Changes => slip::parse(&fields).map(|slip| Row::Slip(Box::new(slip))),
    }
}

#[cfg(test)]
mod tests;
