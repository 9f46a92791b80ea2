//! The parts of an XLSX file before anybody reads them: that the zip file is whole, and that its parts inflate to what a node can
//! hold, by inflating them and not by the file's own account. This room may not know sheets.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use danso_core::forms::FileProblem;
use danso_proto::refusal::Reason;
use zip::ZipArchive;

use super::markup::Markup;

/// Bytes of all parts together. Sheets may have all of them: they are streamed.
const INFLATED_MAX: u64 = 512 << 20;
/// Bytes of the shared strings, which are held in memory.
const STRINGS_MAX: u64 = 64 << 20;
/// Bytes of any other part: styles, the list of sheets, a picture.
const PART_MAX: u64 = 16 << 20;
/// Bytes of the zip file's table of contents, which is held in memory: thousands of parts.
const CONTENTS_MAX: u64 = 1 << 20;
/// Bytes of the end of a zip file: where its wide record is, its last record, and the longest comment.
const ZIP_END_BYTES: u64 = 20 + 22 + 65_535;

/// Checks a file, and leaves it at its start.
pub(super) fn check(file: &mut File) -> Result<(), FileProblem> {
    contents(file)?;
    file.rewind().map_err(|e| ours(&e))?;
    inflated(file)?;
    file.rewind().map_err(|e| ours(&e))
}

/// A zip file has its table of contents at its end: without it the file was cut off.
fn contents(file: &mut File) -> Result<(), FileProblem> {
    let truncated = || FileProblem::new(Reason::FileTruncated, None, "XLSX");
    let length = file.seek(SeekFrom::End(0)).map_err(|e| ours(&e))?;
    let start = length.saturating_sub(ZIP_END_BYTES);
    let end = read_at(file, start, ZIP_END_BYTES)?;
    let at = end.windows(4).rposition(|magic| magic == b"PK\x05\x06").filter(|at| at + 22 <= end.len());
    let at = at.ok_or_else(truncated)?;
    let mut tables = vec![(number(&end, at + 12), number(&end, at + 16))];
    // Some writers always add the wide record, and a reader may go by either.
    let locator = at.checked_sub(20).map(|at| &end[at..]).filter(|bytes| bytes.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let wide = read_at(file, number(locator, 8), 56)?;
        if [number(locator, 12), number(&wide, 44), number(&wide, 52)] != [0; 3] {
            return Err(truncated());
        }
        tables.retain(|(size, offset)| ![*size, *offset].contains(&u64::from(u32::MAX)));
        tables.push((number(&wide, 40), number(&wide, 48)));
    }
    for (size, offset) in tables {
        if offset + size > length {
            return Err(truncated());
        }
        if size > CONTENTS_MAX {
            return Err(too_large(CONTENTS_MAX));
        }
    }
    Ok(())
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

/// Inflates every part once, with the code that will read it.
fn inflated(file: &File) -> Result<(), FileProblem> {
    let broken = || FileProblem::new(Reason::FileFormat, None, "XLSX: zip");
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|_| broken())?;
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    for i in 0..zip.len() {
        let mut part = zip.by_index(i).map_err(|_| broken())?;
        // The reader finds parts by their names in any case, and with either slash.
        let kind = Kind::of(&String::from_utf8_lossy(part.name_raw()).replace('\\', "/").to_ascii_lowercase());
        let mut markup = kind.is_markup().then(Markup::new);
        let (mut size, mut package) = (0, Vec::new());
        loop {
            let n = match part.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(broken()),
            };
            size += n as u64;
            total += n as u64;
            for (bytes, max) in [(size, kind.bytes_max()), (total, INFLATED_MAX)] {
                if bytes > max {
                    return Err(too_large(max));
                }
            }
            if let Some(markup) = &mut markup {
                markup.read(&buffer[..n]).map_err(|reason| FileProblem::new(reason, None, "XLSX: xml"))?;
            }
            if kind == Kind::Package {
                package.extend_from_slice(&buffer[..n]);
            }
        }
        // It tells where the workbook is, and the bounds above go by that: a workbook is not to pass for a sheet.
        let package = String::from_utf8_lossy(&package).to_ascii_lowercase();
        if package.contains("worksheets") || package.contains("&#") {
            return Err(broken());
        }
    }
    Ok(())
}

/// What a part is, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The root of all links between parts.
    Package,
    Strings,
    Sheet,
    Markup,
    /// Pictures, and what people's document systems put into a file.
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        let xml = name.ends_with(".xml") || name.ends_with(".rels");
        match name {
            "_rels/.rels" => Self::Package,
            _ if name.ends_with("sharedstrings.xml") => Self::Strings,
            _ if name.starts_with("customxml/") || name.starts_with("docprops/") || !xml => Self::Other,
            _ if name.contains("worksheets/") && name.ends_with(".xml") => Self::Sheet,
            _ => Self::Markup,
        }
    }

    fn is_markup(self) -> bool {
        self != Self::Other
    }

    fn bytes_max(self) -> u64 {
        match self {
            Self::Sheet => INFLATED_MAX,
            Self::Strings => STRINGS_MAX,
            Self::Package => 64 << 10,
            Self::Markup | Self::Other => PART_MAX,
        }
    }
}

fn too_large(max: u64) -> FileProblem {
    FileProblem::new(Reason::FileTooLarge, None, format!("> {} KiB", max >> 10))
}

/// The scratch directory fails us.
pub(super) fn ours(error: &io::Error) -> FileProblem {
    let reason = if error.kind() == io::ErrorKind::StorageFull { Reason::DiskFull } else { Reason::Internal };
    FileProblem::new(reason, None, "scratch file")
}
