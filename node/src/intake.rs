//! The files that a commune hands over, as rows of text: CSV and XLSX. Blocking, for a thread of its own; what is held in memory does
//! not grow with the number of rows. This room may not know what a column or a row means, nor what becomes of it.

use std::io::{self, Read};
use std::path::Path;

use danso_core::forms::{FileProblem, RawRow};
use danso_proto::limits;
use danso_proto::refusal::Reason;

mod guard;
mod markup;
mod parts;
mod sheet;
mod table;

/// Columns of a file: far more than the forms have.
const COLUMNS_MAX: usize = 512;
/// Bytes of a row: the longest texts of a form in every field, with a margin.
const ROW_BYTES_MAX: u64 = 64 * 1024;

/// The rows of a file, first to last. After a problem there are no more rows; those before it were good.
pub struct RowReader {
    rows: Rows,
    titles: Vec<String>,
    count: u64,
    ended: bool,
}

enum Rows {
    Table(table::Table<Box<dyn Read + Send>>),
    Sheet(sheet::Sheet),
}

impl RowReader {
    /// Reads the header. Whether it is CSV or XLSX says the content. An XLSX file is spooled into nameless files in `scratch`, because
    /// its reader needs to seek; they are gone when the reader is dropped or the process ends.
    ///
    /// # Errors
    /// A `file_…` reason, `field_too_long` for a row without end, and `disk_full` or `internal` for `scratch`.
    pub fn open(mut source: impl Read + Send + 'static, scratch: &Path) -> Result<Self, FileProblem> {
        let mut start = Vec::with_capacity(8);
        source.by_ref().take(8).read_to_end(&mut start).map_err(|e| cut(&e))?;
        if let Some(kind) = other_format(&start) {
            return Err(FileProblem::new(Reason::FileFormat, None, kind));
        }
        let zipped = start.starts_with(b"PK\x03\x04");
        let source: Box<dyn Read + Send> = Box::new(io::Cursor::new(start).chain(source));
        let (titles, rows) = if zipped {
            let mut sheet = sheet::Sheet::open(source, scratch)?;
            (sheet.next()?.map(|row| row.fields), Rows::Sheet(sheet))
        } else {
            let mut table = table::Table::open(source)?;
            (table.next()?.map(|row| row.fields), Rows::Table(table))
        };
        let mut titles = titles.ok_or_else(|| FileProblem::new(Reason::FileEmpty, None, ""))?;
        // Spreadsheets leave empty columns behind the last one.
        titles.truncate(titles.iter().rposition(|title| !title.trim().is_empty()).map_or(0, |last| last + 1));
        if titles.len() > COLUMNS_MAX {
            return Err(FileProblem::new(Reason::FileFormat, Some(1), format!("{} columns", titles.len())));
        }
        Ok(Self { rows, titles, count: 0, ended: false })
    }

    /// The header row.
    pub fn titles(&self) -> &[String] {
        &self.titles
    }

    /// Whether the file is a workbook (XLSX), by its content.
    pub fn is_workbook(&self) -> bool {
        matches!(self.rows, Rows::Sheet(_))
    }

    fn read(&mut self) -> Result<Option<RawRow>, FileProblem> {
        let row = match &mut self.rows {
            Rows::Table(table) => table.next_of(self.titles.len())?,
            Rows::Sheet(sheet) => sheet.next()?,
        };
        let Some(mut row) = row else {
            return if self.count == 0 { Err(FileProblem::new(Reason::FileEmpty, None, "")) } else { Ok(None) };
        };
        self.count += 1;
        if self.count > limits::IMPORT_ROWS_MAX {
            return Err(FileProblem::new(
                Reason::FileTooLarge,
                Some(row.line),
                format!("{} rows", limits::IMPORT_ROWS_MAX),
            ));
        }
        // As many fields as titles, unless something stands in the ones behind; a sheet does not keep its last empty cells.
        while row.fields.len() > self.titles.len() && row.fields.last().is_some_and(|field| field.trim().is_empty()) {
            row.fields.pop();
        }
        if matches!(self.rows, Rows::Sheet(_)) && row.fields.len() < self.titles.len() {
            row.fields.resize(self.titles.len(), String::new());
        }
        Ok(Some(row))
    }
}

impl Iterator for RowReader {
    type Item = Result<RawRow, FileProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

/// A format that people try and that is neither CSV nor XLSX.
fn other_format(start: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 9] = [
        (b"\xd0\xcf\x11\xe0", "XLS"),
        (b"%PDF", "PDF"),
        (b"{\\rtf", "RTF"),
        (b"\x89PNG", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x1f\x8b", "GZIP"),
        (b"PK\x05\x06", "ZIP"),
        (b"<?xml", "XML"),
        (b"<html", "HTML"),
    ];
    known.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| *name)
}

/// The file did not come to its end.
fn cut(error: &io::Error) -> FileProblem {
    FileProblem::new(Reason::FileTruncated, None, error.kind().to_string())
}

#[cfg(test)]
mod tests;
