//! The first sheet of an XLSX file as rows: its cells are streamed into a nameless CSV file, and read from there, so that no sheet is
//! ever in memory. This room may not know forms.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use calamine::{DataRef, ExcelDateTime, Reader as _, Xlsx, XlsxError};
use csv::{ByteRecord, Reader, ReaderBuilder, Writer};
use danso_core::forms::{FileProblem, RawRow};
use danso_proto::limits;
use danso_proto::refusal::Reason;

use super::{COLUMNS_MAX, ROW_BYTES_MAX, cut};

/// Bytes that the parts of an XLSX file may have together after inflation, by its own account.
const INFLATED_MAX: u64 = 16 * limits::XLSX_BYTES_MAX;
/// Bytes of the end of a zip file: its last record, and the longest comment.
const ZIP_END_BYTES: u64 = 22 + 65_535;

pub(super) struct Sheet {
    /// Rows of line number and fields.
    rows: Reader<BufReader<File>>,
    record: ByteRecord,
}

impl Sheet {
    pub(super) fn open(source: impl Read, scratch: &Path) -> Result<Self, FileProblem> {
        let mut file = tempfile::tempfile_in(scratch).map_err(|e| ours(&e))?;
        spool(source, &mut file)?;
        check_zip(&mut file)?;
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
        Ok(Some(RawRow { line, fields: fields.collect() }))
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

/// A zip file has its table of contents at its end: without it the file was cut off, and with it one knows what will be inflated.
fn check_zip(file: &mut File) -> Result<(), FileProblem> {
    let length = file.seek(SeekFrom::End(0)).map_err(|e| ours(&e))?;
    let start = length.saturating_sub(ZIP_END_BYTES);
    let end = read_at(file, start, ZIP_END_BYTES)?;
    let at = end.windows(4).rposition(|magic| magic == b"PK\x05\x06").filter(|at| at + 22 <= end.len());
    let record = at.map(|at| &end[at..]).ok_or_else(|| FileProblem::new(Reason::FileTruncated, None, "XLSX"))?;
    let (size, offset) = (number(record, 12), number(record, 16));
    if offset + size > length {
        return Err(FileProblem::new(Reason::FileTruncated, None, "XLSX"));
    }
    let contents = read_at(file, offset, size)?;
    let (mut inflated, mut rest) = (0u64, &contents[..]);
    while rest.starts_with(b"PK\x01\x02") && rest.len() >= 46 {
        inflated += number(rest, 24);
        let names = [28, 30, 32].map(|at| usize::from(rest[at]) + (usize::from(rest[at + 1]) << 8));
        rest = rest.get(46 + names.iter().sum::<usize>()..).unwrap_or_default();
    }
    file.rewind().map_err(|e| ours(&e))?;
    match inflated > INFLATED_MAX {
        true => Err(FileProblem::new(Reason::FileTooLarge, None, format!("> {} MiB", INFLATED_MAX >> 20))),
        false => Ok(()),
    }
}

fn read_at(file: &mut File, from: u64, length: u64) -> Result<Vec<u8>, FileProblem> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).and_then(|_| file.take(length).read_to_end(&mut bytes)).map_err(|e| ours(&e))?;
    Ok(bytes)
}

/// Four bytes, little-endian, 0 when they are not there.
fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 4).map_or(0, |four| four.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

fn write_rows(book: &mut Xlsx<BufReader<File>>, sheet: &str, out: &File) -> Result<(), FileProblem> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(|e| not_xlsx(&e))?;
    let mut out = csv::WriterBuilder::new().flexible(true).from_writer(BufWriter::new(out));
    let mut row = Row { line: 0, bytes: 0, fields: Vec::new() };
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
    }
    row.write(&mut out)?;
    out.flush().map_err(|e| ours(&e))
}

struct Row {
    line: u64,
    bytes: u64,
    fields: Vec<String>,
}

impl Row {
    fn write(&mut self, out: &mut Writer<impl Write>) -> Result<(), FileProblem> {
        if !self.fields.is_empty() {
            let line = self.line.to_string();
            let record = std::iter::once(&line).chain(&self.fields);
            out.write_record(record).map_err(|e| match e.into_kind() {
                csv::ErrorKind::Io(e) => ours(&e),
                _ => FileProblem::new(Reason::Internal, None, "scratch file"),
            })?;
        }
        self.bytes = 0;
        self.fields.clear();
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

/// The scratch directory fails us.
fn ours(error: &io::Error) -> FileProblem {
    let reason = if error.kind() == io::ErrorKind::StorageFull { Reason::DiskFull } else { Reason::Internal };
    FileProblem::new(reason, None, "scratch file")
}
