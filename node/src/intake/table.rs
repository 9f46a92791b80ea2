//! CSV (RFC 4180) as rows. This room may not know which bytes are good.

use std::io::Read;

use csv::{Reader, ReaderBuilder, StringRecord};
use danso_core::forms::{FileProblem, RawRow};
use danso_proto::refusal::Reason;

use super::guard::Guard;

pub(super) struct Table<R> {
    reader: Reader<Guard<R>>,
    record: StringRecord,
    /// A row that was read ahead.
    ahead: Option<RawRow>,
}

impl<R: Read> Table<R> {
    pub(super) fn open(source: R) -> Result<Self, FileProblem> {
        let guard = Guard::new(source)?;
        let mut builder = ReaderBuilder::new();
        let reader = builder.has_headers(false).flexible(true).delimiter(guard.delimiter()).from_reader(guard);
        Ok(Self { reader, record: StringRecord::new(), ahead: None })
    }

    /// The next row in which anything stands.
    pub(super) fn next(&mut self) -> Result<Option<RawRow>, FileProblem> {
        if let Some(row) = self.ahead.take() {
            return Ok(Some(row));
        }
        loop {
            match self.reader.read_record(&mut self.record) {
                Ok(false) => return Ok(None),
                Ok(true) => {
                    let line = self.reader.get_mut().next_row_line();
                    if self.record.iter().any(|field| !field.trim().is_empty()) {
                        let fields = self.record.iter().map(str::to_owned).collect();
                        return Ok(Some(RawRow { line, fields, fractions: Vec::new() }));
                    }
                }
                Err(error) => {
                    let line = error.position().map(csv::Position::line);
                    let problem = self.reader.get_mut().take_problem();
                    // The guard lets nothing pass that the reader could refuse.
                    return Err(problem.unwrap_or_else(|| FileProblem::new(Reason::FileFormat, line, "")));
                }
            }
        }
    }

    /// The next row. A last one with fewer than `fields` fields and no end of line was cut off.
    pub(super) fn next_of(&mut self, fields: usize) -> Result<Option<RawRow>, FileProblem> {
        let Some(row) = self.next()? else {
            return Ok(None);
        };
        if row.fields.len() < fields {
            self.ahead = self.next()?;
            if self.ahead.is_none() && self.reader.get_ref().ended_inside_line() {
                return Err(FileProblem::new(
                    Reason::FileTruncated,
                    Some(row.line),
                    format!("{} / {fields}", row.fields.len()),
                ));
            }
        }
        Ok(Some(row))
    }
}
