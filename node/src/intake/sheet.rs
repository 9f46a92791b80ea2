//! The first sheet of an XLSX file as rows: its cells are streamed into a nameless CSV file, and read from there, so that no sheet is
//! ever in memory. This room may not know forms.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::Path;

use calamine::{DataRef, ExcelDateTime, Reader as _, Xlsx, XlsxError};
use csv::{ByteRecord, Reader, ReaderBuilder, Writer};
use danso_core::forms::{FileProblem, RawRow};
use danso_proto::limits;
use danso_proto::refusal::Reason;

use super::parts::{self, ours};
use super::{COLUMNS_MAX, ROW_BYTES_MAX, cut};

pub(super) struct Sheet {
    /// Rows of line number, places of the numbers with a fraction, and fields.
    rows: Reader<BufReader<File>>,
    record: ByteRecord,
}

impl Sheet {
    pub(super) fn open(source: impl Read, scratch: &Path) -> Result<Self, FileProblem> {
        let mut file = tempfile::tempfile_in(scratch).map_err(|e| ours(&e))?;
        spool(source, &mut file)?;
        parts::check(&mut file)?;
        let mut book = Xlsx::new(BufReader::new(file)).map_err(|e| not_xlsx(&e))?;
        let first = book.sheet_names().first().cloned().ok_or_else(|| FileProblem::new(Reason::FileEmpty, None, ""))?;
        let mut text = tempfile::tempfile_in(scratch).map_err(|e| ours(&e))?;
        write_rows(&mut book, &first, &text)?;
        text.rewind().map_err(|e| ours(&e))?;
        let rows = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(BufReader::new(text));
        Ok(Self { rows, record: ByteRecord::new() })
    }

    /// The next row in which anything stands.
    pub(super) fn next(&mut self) -> Result<Option<RawRow>, FileProblem> {
        let internal = |_| FileProblem::new(Reason::Internal, None, "scratch file");
        if !self.rows.read_byte_record(&mut self.record).map_err(internal)? {
            return Ok(None);
        }
        let mut fields = self.record.iter().map(|field| String::from_utf8_lossy(field).into_owned());
        let line = fields.next().and_then(|line| line.parse().ok()).unwrap_or_default();
        let fractions = fields.next().unwrap_or_default();
        let fractions = fractions.split(' ').filter_map(|place| place.parse().ok()).collect();
        Ok(Some(RawRow { line, fields: fields.collect(), fractions }))
    }
}

fn spool(source: impl Read, file: &mut File) -> Result<(), FileProblem> {
    let mut source = source.take(limits::XLSX_BYTES_MAX + 1);
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                file.write_all(&buffer[..n]).map_err(|e| ours(&e))?;
                total += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(cut(&e)),
        }
        if total > limits::XLSX_BYTES_MAX {
            return Err(FileProblem::new(
                Reason::FileTooLarge,
                None,
                format!("> {} MiB", limits::XLSX_BYTES_MAX >> 20),
            ));
        }
    }
}

fn write_rows(book: &mut Xlsx<BufReader<File>>, sheet: &str, out: &File) -> Result<(), FileProblem> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(|e| not_xlsx(&e))?;
    let mut out = csv::WriterBuilder::new().flexible(true).from_writer(BufWriter::new(out));
    let mut row = Row { line: 0, bytes: 0, fields: Vec::new(), fractions: BTreeSet::new() };
    while let Some(cell) = cells.next_cell().map_err(|e| not_xlsx(&e))? {
        let (line, column) = cell.get_position();
        // People know rows by the number that the spreadsheet shows.
        let (line, column) = (u64::from(line) + 1, column as usize);
        let text = text(cell.get_value());
        if text.trim().is_empty() {
            continue;
        }
        if line != row.line {
            row.write(&mut out)?;
            row.line = line;
        }
        row.bytes += text.len() as u64;
        if column >= COLUMNS_MAX || row.bytes > ROW_BYTES_MAX {
            return Err(FileProblem::new(Reason::FieldTooLong, Some(line), format!("> {ROW_BYTES_MAX}")));
        }
        if row.fields.len() <= column {
            row.fields.resize(column + 1, String::new());
        }
        row.fields[column] = text;
        match is_fraction(cell.get_value()) {
            true => row.fractions.insert(column),
            false => row.fractions.remove(&column),
        };
    }
    row.write(&mut out)?;
    out.flush().map_err(|e| ours(&e))
}

struct Row {
    line: u64,
    bytes: u64,
    fields: Vec<String>,
    fractions: BTreeSet<usize>,
}

impl Row {
    fn write(&mut self, out: &mut Writer<impl Write>) -> Result<(), FileProblem> {
        if !self.fields.is_empty() {
            let line = self.line.to_string();
            let fractions = self.fractions.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
            let record = [&line, &fractions].into_iter().chain(&self.fields);
            out.write_record(record).map_err(|e| match e.into_kind() {
                csv::ErrorKind::Io(e) => ours(&e),
                _ => FileProblem::new(Reason::Internal, None, "scratch file"),
            })?;
        }
        self.bytes = 0;
        self.fields.clear();
        self.fractions.clear();
        Ok(())
    }
}

/// A cell as a person would have typed it.
fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(n) => n.to_string(),
        DataRef::Float(n) => plain(*n),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::DateTime(date) => day(date),
        // 2021-03-02T00:00:00
        DataRef::DateTimeIso(text) => text.split('T').next().unwrap_or_default().to_owned(),
        DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// Whether a cell is a number of which the sheet shows more than it keeps: `50.10` is kept as `50.1`.
fn is_fraction(value: &DataRef<'_>) -> bool {
    match value {
        DataRef::Float(number) => number.fract() != 0.0,
        // A number in a style of hours.
        DataRef::DateTime(date) => !date.is_datetime() && date.as_f64().fract() != 0.0,
        _ => false,
    }
}

/// `17065`, not `17065.0` and never with an exponent.
fn plain(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { format!("{number:.0}") } else { number.to_string() }
}

/// The day of a date cell. Serial numbers of dates go from 1900 to 9999.
fn day(date: &ExcelDateTime) -> String {
    if !date.is_datetime() || !(1.0..2_958_466.0).contains(&date.as_f64()) {
        return plain(date.as_f64());
    }
    let (year, month, day, ..) = date.to_ymd_hms_milli();
    format!("{year:04}-{month:02}-{day:02}")
}

/// It has the shape of a zip file, and no workbook that can be read.
fn not_xlsx(error: &XlsxError) -> FileProblem {
    let detail = match error {
        XlsxError::Io(_) => "XLSX: input/output",
        XlsxError::Zip(_) => "XLSX: zip",
        XlsxError::Xml(_) => "XLSX: xml",
        XlsxError::Password => "XLSX: password",
        _ => "XLSX",
    };
    FileProblem::new(Reason::FileFormat, None, detail)
}
