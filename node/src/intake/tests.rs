use std::io::Write as _;

use super::*;

fn open(bytes: impl Into<Vec<u8>>) -> Result<RowReader, FileProblem> {
    RowReader::open(io::Cursor::new(bytes.into()), &std::env::temp_dir())
}

/// Lines with their fields, and the reason and line of what ended the file.
type Told = (Vec<(u64, Vec<String>)>, Option<(Reason, Option<u64>)>);

fn rows(bytes: impl Into<Vec<u8>>) -> Told {
    let (mut good, mut problem) = (Vec::new(), None);
    match open(bytes) {
        Err(p) => problem = Some((p.reason, p.line)),
        Ok(reader) => {
            for row in reader {
                match row {
                    Ok(row) => good.push((row.line, row.fields)),
                    Err(p) => problem = Some((p.reason, p.line)),
                }
            }
        }
    }
    (good, problem)
}

fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
    (line, fields.iter().map(|f| (*f).to_owned()).collect())
}

/// A zip file with stored parts, enough for a workbook.
fn zip(parts: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut contents) = (Vec::new(), Vec::new());
    for (name, content) in parts {
        let mut crc = !0u32;
        for byte in content.bytes() {
            crc ^= u32::from(byte);
            (0..8).for_each(|_| crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
        }
        let (size, at) = (content.len() as u32, out.len() as u32);
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        [!crc, size, size].iter().for_each(|n| common.extend(n.to_le_bytes()));
        common.extend((name.len() as u16).to_le_bytes());
        out.extend([b"PK\x03\x04", &common[..], &[0, 0], name.as_bytes(), content.as_bytes()].concat());
        contents.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 12], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, size, at) = (parts.len() as u16, contents.len() as u32, out.len() as u32);
    out.extend(contents);
    out.extend(
        [
            &b"PK\x05\x06\0\0\0\0"[..],
            &count.to_le_bytes(),
            &count.to_le_bytes(),
            &size.to_le_bytes(),
            &at.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    out
}

/// A workbook of one sheet; style 1 is a date.
fn workbook(cells: &str) -> Vec<u8> {
    let parts = parts_of(cells);
    zip(&parts.iter().map(|(name, content)| (*name, content.as_str())).collect::<Vec<_>>())
}

fn parts_of(cells: &str) -> Vec<(&'static str, String)> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    vec![
        (
            "[Content_Types].xml",
            r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#.to_owned(),
        ),
        (
            "_rels/.rels",
            format!(
                r#"<Relationships xmlns="{package}"><Relationship Id="r" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                r#"<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="Sổ A0" sheetId="1" r:id="rId1"/></sheets></workbook>"#
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                r#"<Relationships xmlns="{package}"><Relationship Id="rId1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/styles.xml",
            format!(
                r#"<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>"#
            ),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!(r#"<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>"#),
        ),
    ]
}

const SHEET: &str = r#"
<row r="1"><c r="A1" t="inlineStr"><is><t>unit_code</t></is></c><c r="B1" t="inlineStr"><is><t>Ngày sinh</t></is></c><c r="C1" t="inlineStr"><is><t>id</t></is></c></row>
<row r="3"><c r="A3"><v>17065</v></c><c r="B3" s="1"><v>31447</v></c><c r="C3"><v>40086152372</v></c></row>
<row r="4"><c r="A4" t="inlineStr"><is><t>00004</t></is></c></row>
<row r="5"><c r="A5" t="inlineStr"><is><t> </t></is></c></row>
<row r="6"><c r="A6"><v>12.5</v></c><c r="D6"><v>1</v></c></row>"#;

#[test]
fn csv_comes_in_all_its_dresses() {
    let expected = vec![row(2, &["1", "Vi Thị\nHoa, x"]), row(5, &["2", "\"A\""])];
    let text = "a,b\n1,\"Vi Thị\nHoa, x\"\n\n2,\"\"\"A\"\"\"\n";
    for end in ["\r\n", "\r"] {
        let (lines, problem) = rows(text.replace('\n', end));
        assert_eq!((lines.iter().map(|(line, _)| *line).collect::<Vec<_>>(), problem), (vec![2, 5], None));
    }
    for dress in [text.to_owned(), format!("\u{feff}{text}"), text.trim_end().to_owned(), text.replace("\n\n", "\n,\n")]
    {
        assert_eq!(rows(dress.clone()), (expected.clone(), None), "{dress}");
    }
    assert_eq!(rows("a;b\n1;x,y\n"), (vec![row(2, &["1", "x,y"])], None));
    assert_eq!(rows("a,b,,\n1,x,,\n2,y\n"), (vec![row(2, &["1", "x"]), row(3, &["2", "y"])], None));
}

#[test]
fn rows_of_another_shape_are_for_the_form_to_refuse() {
    assert_eq!(rows("a,b\n1\n1,2,3\n"), (vec![row(2, &["1"]), row(3, &["1", "2", "3"])], None));
}

#[test]
fn what_is_no_file_of_rows_has_its_own_reason() {
    for empty in ["", "\n\n", "\u{feff}", "a,b\n", "a,b\n,\n"] {
        assert_eq!(rows(empty), (vec![], Some((Reason::FileEmpty, None))), "{empty:?}");
    }
    let reason = |bytes: &[u8]| rows(bytes).1.map(|(reason, line)| (reason, line.unwrap_or(0)));
    assert_eq!(reason(b"a,b\n1,2\n1,\xe1\xba\n2,2\n"), Some((Reason::FileEncoding, 3)));
    assert_eq!(reason(b"\xff\xfea\0,\0b\0"), Some((Reason::FileEncoding, 1)));
    assert_eq!(reason(b"a,b\n\x00\x01\x02"), Some((Reason::FileFormat, 2)));
    assert_eq!(reason(b"\x7fELF\x02\x01\xff"), Some((Reason::FileFormat, 1)));
    assert_eq!(reason(b"%PDF-1.4"), Some((Reason::FileFormat, 0)));
    assert_eq!(reason(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), Some((Reason::FileFormat, 0)));
}

#[test]
fn a_file_that_ends_too_early_keeps_what_came_before() {
    let first = vec![row(2, &["1", "2"])];
    assert_eq!(rows("a,b\n1,2\n1"), (first.clone(), Some((Reason::FileTruncated, Some(3)))));
    assert_eq!(rows("a,b\n1,2\n1,\"x"), (first.clone(), Some((Reason::FileTruncated, Some(3)))));
    assert_eq!(rows(b"a,b\n1,2\n1,\xe1\xba"), (first.clone(), Some((Reason::FileTruncated, Some(3)))));
    assert_eq!(rows("a,b\n1,2\n3,4"), (vec![row(2, &["1", "2"]), row(3, &["3", "4"])], None));

    struct Cut(&'static [u8]);
    impl Read for Cut {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.read(out) {
                Ok(0) => Err(io::ErrorKind::ConnectionReset.into()),
                read => read,
            }
        }
    }
    let mut reader = RowReader::open(Cut(b"a,b\n1,2\n1,"), &std::env::temp_dir());
    let last = reader.as_mut().map(|reader| reader.map(|row| row.map_err(|p| p.reason)).last());
    match last {
        Ok(last) => assert_eq!(last, Some(Err(Reason::FileTruncated))),
        Err(problem) => assert_eq!(problem.reason, Reason::FileTruncated),
    }
}

#[test]
fn a_row_without_end_is_refused_before_it_is_held() {
    let long = format!("a,b\n1,2\n1,\"{}\"\n", "x".repeat(ROW_BYTES_MAX as usize));
    assert_eq!(rows(long), (vec![row(2, &["1", "2"])], Some((Reason::FieldTooLong, Some(3)))));
}

#[test]
fn rows_do_not_add_up_in_memory() {
    /// A source that makes its rows as it is read: were they kept, this test would need gigabytes.
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let line: &[u8] = if self.0 == 0 { b"a,b,c\n" } else { b"1,2,3\n" };
            self.0 += 1;
            let n = line.len().min(out.len());
            out[..n].copy_from_slice(&line[..n]);
            Ok(if self.0 > 200_000 { 0 } else { n })
        }
    }
    let reader = RowReader::open(Endless(0), &std::env::temp_dir()).expect("header");
    assert!(reader.map(|row| row.expect("row").fields.len()).all(|n| n > 0));
}

#[test]
fn a_sheet_reads_as_a_person_sees_it() {
    let mut reader = open(workbook(SHEET)).expect("workbook");
    assert_eq!(reader.titles(), ["unit_code", "Ngày sinh", "id"]);
    let mut fractions = Vec::new();
    let rows: Vec<_> = reader
        .by_ref()
        .map(|row| {
            row.map(|row| {
                fractions.push(row.fractions);
                (row.line, row.fields)
            })
        })
        .collect();
    assert_eq!(fractions, [vec![], vec![], vec![0]]);
    assert_eq!(
        rows,
        [
            Ok(row(3, &["17065", "1986-02-04", "40086152372"])),
            Ok(row(4, &["00004", "", ""])),
            Ok(row(6, &["12.5", "", "", "1"])),
        ]
    );
}

#[test]
fn what_is_no_workbook_has_its_own_reason() {
    let reason = |bytes: &[u8]| rows(bytes).1.map(|(reason, _)| reason);
    let whole = workbook(SHEET);
    assert_eq!(reason(&whole[..whole.len() / 2]), Some(Reason::FileTruncated));
    assert_eq!(reason(&whole[..whole.len() - 1]), Some(Reason::FileTruncated));
    assert_eq!(reason(&zip(&[("word/document.xml", "<w/>")])), Some(Reason::FileFormat));
    assert_eq!(reason(&zip(&[])), Some(Reason::FileFormat));
    assert_eq!(reason(&workbook("")), Some(Reason::FileEmpty));
    let mut broken = whole.clone();
    let at = broken.windows(9).position(|w| w == b"sheetData").expect("there");
    broken[at + 20..at + 40].fill(b'<');
    assert_eq!(reason(&broken), Some(Reason::FileFormat));
}

/// A workbook of which one part is other: deflated, `start`, then `times` times `middle`, then `end`.
fn bomb(name: &str, start: &str, middle: &str, times: usize, end: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (other, content) in parts_of(SHEET).iter().filter(|(other, _)| *other != name) {
        zip.start_file(*other, options).expect("part");
        zip.write_all(content.as_bytes()).expect("content");
    }
    zip.start_file(name, options).expect("part");
    zip.write_all(start.as_bytes()).expect("start");
    let block = middle.repeat(1000);
    for _ in 0..times / 1000 {
        zip.write_all(block.as_bytes()).expect("middle");
    }
    zip.write_all(end.as_bytes()).expect("end");
    zip.finish().expect("zip").into_inner()
}

#[test]
fn a_small_file_that_inflates_without_end_is_refused_early() {
    let sheet = "<worksheet><sheetData>";
    let strings = "xl/sharedStrings.xml";
    let long = "x".repeat(100);
    let item = format!("<si><t>{long}</t></si>");
    for (what, bytes) in [
        ("one string", bomb(strings, "<sst><si><t>", &long, 200_000, "</t></si></sst>")),
        ("many strings", bomb(strings, "<sst>", &item, 600_000, "</sst>")),
        ("a number of strings", bomb(strings, "<sst uniqueCount=\"999999999999999\">", "<si/>", 1000, "</sst>")),
        ("one cell", bomb("xl/worksheets/sheet1.xml", &format!("{sheet}<row><c><v>"), &long, 200_000, "</v>")),
        ("one tag", bomb("xl/worksheets/sheet1.xml", &format!("{sheet}<row><c a=\""), &long, 200_000, "\">")),
        (
            "one cell in pieces",
            bomb("xl/worksheets/sheet1.xml", &format!("{sheet}<row><c><is><t>"), "x<b/>", 200_000, "</t>"),
        ),
        ("styles", bomb("xl/styles.xml", "<styleSheet><cellXfs>", "<xf numFmtId=\"0\"/>", 1_000_000, "</cellXfs>")),
        ("a picture", bomb("xl/media/image1.png", "", &long, 200_000, "")),
    ] {
        assert!(bytes.len() < 1 << 20, "{what}: {}", bytes.len());
        assert_eq!(rows(bytes).1, Some((Reason::FileTooLarge, None)), "{what}");
    }
}

#[test]
fn a_file_does_not_get_around_the_bounds_by_its_own_account() {
    // The table of contents says that the part has a few bytes: it is not read further.
    let mut bytes = bomb("xl/sharedStrings.xml", "<sst><si><t>", &"x".repeat(100), 200_000, "</t></si></sst>");
    let at = bytes.windows(4).rposition(|magic| magic == b"PK\x01\x02").expect("the part comes last");
    bytes[at + 24..at + 28].copy_from_slice(&100u32.to_le_bytes());
    assert_eq!(rows(bytes).1, Some((Reason::FileFormat, None)));
    // A workbook that passes for a sheet.
    let package = r#"<Relationships><Relationship Id="r" Type="x/relationships/officeDocument" Target="xl/workSheets/w.xml"/></Relationships>"#;
    assert_eq!(rows(bomb("_rels/.rels", package, "", 0, "")).1, Some((Reason::FileFormat, None)));
}

#[test]
fn deflated_workbooks_and_their_pictures_are_read() {
    let good = (vec![row(3, &["17065", "1986-02-04", "40086152372"])], None);
    let picture = bomb("xl/media/image1.png", "\u{0}PNG", "\u{0}", 1_000_000, "");
    assert_eq!(rows(picture).0.first(), good.0.first());
    let strings = bomb("xl/sharedStrings.xml", "<sst uniqueCount=\"1000\">", "<si><t>x</t></si>", 1000, "</sst>");
    assert_eq!(rows(strings).1, good.1);
}
