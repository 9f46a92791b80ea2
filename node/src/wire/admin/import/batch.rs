//! Rows that go to the pipeline together, and what to tell of each. Bounded in rows and in bytes. Knows nothing of channels.

use danso_core::forms::{Outcome, RawRow, Row, RowProblem, Severity};
use danso_core::units::{UnitList, UnitLists};
use danso_proto::pb::admin::v1::ImportSummary;

use crate::pipeline::ImportedRows;

/// Rows in a batch: enough that the commit costs little beside the rows.
pub(super) const ROWS: usize = 2_000;
/// Bytes of fields in a batch: rows may be long.
const BYTES: usize = 2 * 1024 * 1024;

/// Rows in the order of the file.
#[derive(Default)]
pub(super) struct Batch {
    read: Vec<ReadRow>,
    rows: Vec<Row>,
    bytes: usize,
}

/// A row as it was read, and what came of reading it.
struct ReadRow {
    raw: RawRow,
    /// `Ok`: it went to the pipeline, with this to be said of it should it be taken.
    parsed: Result<Option<RowProblem>, RowProblem>,
}

impl Batch {
    pub(super) fn push(
        &mut self,
        raw: RawRow,
        parsed: Result<Row, RowProblem>,
        (units, lists): (&UnitList, &UnitLists),
    ) {
        self.bytes += raw.fields.iter().map(|field| field.len() + size_of::<String>()).sum::<usize>();
        let parsed = parsed.map(|row| {
            let warning = row.warning().or_else(|| row.unit_warning(units, lists));
            self.rows.push(row);
            warning
        });
        self.read.push(ReadRow { raw, parsed });
    }

    pub(super) fn is_full(&self) -> bool {
        self.read.len() >= ROWS || self.bytes >= BYTES
    }

    /// The rows for the pipeline.
    pub(super) fn take_rows(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.rows)
    }

    /// Whether there is an outcome for each row that went to the pipeline.
    pub(super) fn fits(&self, imported: &ImportedRows) -> bool {
        imported.rows.len() == self.read.iter().filter(|row| row.parsed.is_ok()).count()
    }

    /// Counts what became of the rows, and gives what is to be told, in the order of the file. `imported` has an outcome for each row
    /// that went to the pipeline, in their order: see [`Self::fits`].
    pub(super) fn outcomes(self, imported: ImportedRows, summary: &mut ImportSummary) -> Vec<(RawRow, RowProblem)> {
        let mut outcomes = imported.rows.into_iter();
        let mut told = Vec::new();
        summary.rows += self.read.len() as u64;
        for ReadRow { raw, parsed } in self.read {
            let problem = match parsed {
                Err(problem) => Some(problem),
                Ok(warning) => match outcomes.next().map(|row| row.outcome) {
                    Some(Outcome::Taken { .. }) => {
                        summary.taken += 1;
                        warning
                    }
                    Some(Outcome::Unchanged) => {
                        summary.unchanged += 1;
                        None
                    }
                    Some(Outcome::Doubted(problem)) => {
                        summary.unchanged += 1;
                        Some(problem)
                    }
                    Some(Outcome::Waits { missing }) => Some(missing.problem(raw.line)),
                    Some(Outcome::Refused(problem)) => Some(problem),
                    // See `fits`.
                    None => None,
                },
            };
            let Some(problem) = problem else { continue };
            match problem.severity {
                Severity::Refused => summary.refused += 1,
                Severity::Waiting => summary.waiting += 1,
                Severity::Warning => {}
            }
            told.push((raw, problem));
        }
        told
    }
}
