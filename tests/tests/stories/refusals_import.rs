//! Every fault of a file or row is refused with its own reason, the good rows beside it are taken, and nothing is half written.
//!
//! The central node imports: it may write for every commune below it, and one process is enough.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};

use danso_tests::federation::{Federation, ROOT};
use danso_tests::node::Imported;
use danso_tests::process::{DONE, REFUSED};
use danso_tests::truth::{Plan, Truth, rows};

const HOUSEHOLDS: &str = "unit_code,household_no,person_ref,full_name,sex,birth_date";
const CHANGES: &str = "slip_no,unit_code,household_no,change_type,event_date,reported_on,person_ref,other_unit_code,method,mother_ref,refers_to";

#[test]
fn a_household_row_with_a_fault_is_refused_alone() {
    let faults: &[(&str, &str)] = &[
        ("99999,001,001.9,Lô Thị Hoa,F,1990-01-01", "unit_unknown"),
        ("420,001,001.9,Lô Thị Hoa,F,1990-01-01", "unit_not_commune"),
        ("17065,001,001.9,Lô Thị Hoa,F,1990-02-30", "date_invalid"),
        ("17065,001,001.9,Lô Thị Hoa,F,30/02/1990", "date_invalid"),
        ("17065,001,001.9,Lô Thị Hoa,F,2199-01-01", "date_in_future"),
        ("17065,001,,Lô Thị Hoa,F,1990-01-01", "person_missing"),
        ("17065,001,001.9,Lô Thị Hoa,X,1990-01-01", "value_unknown"),
        ("17065,001,001.9,,F,1990-01-01", "field_missing"),
        ("17065,,001.9,Lô Thị Hoa,F,1990-01-01", "field_missing"),
        ("17065,001,001.9,Lô Thị Hoa,F", "row_shape"),
        // The good row's person, with another sex.
        ("17065,001,001.1,Vi Văn Nam,F,1980-05-04", "row_differs"),
    ];
    check_rows("households", HOUSEHOLDS, &["17065,001,001.1,Vi Văn Nam,M,1980-05-04"], faults);
}

#[test]
fn a_slip_with_a_fault_is_refused_alone() {
    let faults: &[(&str, &str)] = &[
        ("b1,99999,001,death,2021-02-01,2021-02-05,001.1,,,,", "unit_unknown"),
        ("b1,420,001,death,2021-02-01,2021-02-05,001.1,,,,", "unit_not_commune"),
        ("b1,17065,001,death,2021-02-30,2021-03-05,001.1,,,,", "date_invalid"),
        ("b1,17065,001,death,2199-01-01,2199-01-05,001.1,,,,", "date_in_future"),
        ("b1,17065,001,death,2021-02-06,2021-02-05,001.1,,,,", "event_after_report"),
        ("b1,17065,001,death,2021-02-01,2021-02-05,,,,,", "person_missing"),
        ("b1,17065,001,adoption?,2021-02-01,2021-02-05,001.1,,,,", "change_type_unknown"),
        ("b1,17065,001,move_out,2021-02-01,2021-02-05,001.1,17065,,,", "move_inside_commune"),
        ("b1,17065,001,contraception,2021-02-01,2021-02-05,001.2,,magic,,", "value_unknown"),
        ("b1,17065,001,retract,2021-02-01,2021-02-05,001.1,,,,", "field_missing"),
        (",17065,001,death,2021-02-01,2021-02-05,001.1,,,,", "field_missing"),
        // The good slip's number, with another date.
        ("g1,17065,001,contraception,2021-01-21,2021-01-25,001.2,,condom,,", "row_differs"),
    ];
    check_rows("changes", CHANGES, &["g1,17065,001,contraception,2021-01-20,2021-01-25,001.2,,condom,,"], faults);
}

/// Imports a good row with each fault behind it, into a node that knows the persons of household 001.
fn check_rows(form: &str, header: &str, good: &[&str], faults: &[(&str, &str)]) {
    let federation = Federation::central();
    let node = federation.node(ROOT);
    let people = federation.path("people.csv");
    let rows_of_001 = "17065,001,001.1,Vi Văn Nam,M,1980-05-04\n17065,001,001.2,Lô Thị Lan,F,1985-07-08\n";
    fs::write(&people, format!("{HOUSEHOLDS}\n{rows_of_001}")).unwrap();
    node.import_all("households", &people);
    let file = federation.path("bad.csv");
    fs::write(&file, format!("{header}\n{}\n", good.join("\n"))).unwrap();
    node.import_all(form, &file);
    for (row, reason) in faults {
        let entries = node.status()["own_entries"].clone();
        fs::write(&file, format!("{header}\n{}\n{row}\n", good.join("\n"))).unwrap();
        let ended = node.import(form, &file, &[]).refused_with(reason);
        assert!(ended.stderr.contains(&(good.len() + 2).to_string()), "{row}: the line is named\n{}", ended.stderr);
        let summary = Imported::of(&ended.stdout);
        assert_eq!((summary.refused, summary.unchanged, summary.taken), (1, good.len() as u64, 0), "{row}");
        assert_eq!(node.status()["own_entries"], entries, "{row}: a refused row writes nothing");
    }
}

#[test]
fn a_reject_file_holds_what_was_refused_and_can_be_corrected() {
    let federation = Federation::central();
    let node = federation.node(ROOT);
    let truth = Truth::simulate(
        &federation.path("sim"),
        &Plan { communes: &["17065"], households: 200, dirt_percent: 20, ..Plan::default() },
    );
    node.import_all("households", &truth.households("17065"));
    let rejects = federation.path("rejects.csv");
    let ended =
        node.import("changes", &truth.changes("17065"), &["--reject-file", &rejects.to_string_lossy()]).must(REFUSED);
    let mut faulty: Vec<String> = truth.faults("17065").into_iter().map(|(slip, _)| slip).collect();
    assert!(!faulty.is_empty());
    assert_eq!(Imported::of(&ended.stdout).refused, faulty.len() as u64);
    let collected: Vec<_> = rows(&fs::read_to_string(&rejects).unwrap()).collect();
    let mut refused: Vec<String> = collected.iter().map(|row| row["slip_no"].clone()).collect();
    faulty.sort();
    refused.sort();
    assert_eq!(refused, faulty);
    truth.holds_at(node, ROOT, "local");

    // As it is, it is refused again, row for row; with one date corrected in it, that row is taken.
    let again = node.import("changes", &rejects, &[]).must(REFUSED);
    assert_eq!(Imported::of(&again.stdout).refused, faulty.len() as u64);
    let text = fs::read_to_string(&rejects).unwrap();
    let dates = text.matches("2199-01-01").count() as u64;
    assert!(dates > 0, "the seed gives an event in the future");
    fs::write(&rejects, text.replace("2199-01-01", "2021-01-01")).unwrap();
    let again = node.import("changes", &rejects, &[]).must(REFUSED);
    assert!(Imported::of(&again.stdout).refused < faulty.len() as u64);
}

#[test]
fn a_file_with_a_fault_is_refused_as_a_whole() {
    let federation = Federation::central();
    let node = federation.node(ROOT);
    let good = "17065,001,001.1,Vi Văn Nam,M,1980-05-04\n";
    let utf16: Vec<u8> = format!("\u{feff}{HOUSEHOLDS}\n{good}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1 = [HOUSEHOLDS.as_bytes(), b"\n17065,001,001.1,Vi V\xe3n Nam,M,1980-05-04\n"].concat();
    let files: &[(&str, &[u8], &str)] = &[
        ("empty.csv", b"", "file_empty"),
        ("header.csv", HOUSEHOLDS.as_bytes(), "file_empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08", "file_format"),
        ("utf16.csv", &utf16, "file_encoding"),
        ("latin1.csv", &latin1, "file_encoding"),
        ("book.xlsx", b"this is no workbook", "file_format"),
        ("missing.csv", b"unit_code,household_no\n17065,001\n", "column_missing"),
        ("twice.csv", b"unit_code,unit_code,household_no,person_ref,full_name,sex,birth_date\n", "column_twice"),
    ];
    let entries = node.status()["own_entries"].clone();
    for (name, bytes, reason) in files {
        let file = federation.path(name);
        fs::write(&file, bytes).unwrap();
        node.import("households", &file, &[]).refused_with(reason);
        assert_eq!(node.status()["own_entries"], entries, "{name}: nothing is written");
    }
    // The quote that opens is never closed: what came before it may be taken, because importing the whole file later adds only the rest.
    let file = federation.path("cut.csv");
    fs::write(&file, format!("{HOUSEHOLDS}\n{good}17065,001,001.2,\"Lô Thị")).unwrap();
    node.import("households", &file, &[]).refused_with("file_truncated");
    fs::write(&file, format!("{HOUSEHOLDS}\n{good}17065,001,001.2,\"Lô Thị Lan\",F,1985-07-08\n")).unwrap();
    assert_eq!(node.import("households", &file, &[]).must(DONE).code, DONE);
    assert_eq!(node.status()["persons"], 2);
}

#[test]
fn a_million_rows_of_one_fault_need_no_more_memory_than_a_few() {
    /// Bytes above what the idle node had: buffers, and the bounded list of problems.
    const GROWTH_KIB_MAX: u64 = 96 * 1024;
    const ROWS: u64 = 1_000_000;
    let federation = Federation::central();
    let node = federation.node(ROOT);
    let file = federation.path("million.csv");
    let mut out = BufWriter::new(File::create(&file).unwrap());
    writeln!(out, "{HOUSEHOLDS}").unwrap();
    for n in 0..ROWS {
        writeln!(out, "99999,{:03},{n}.1,Vi Văn Nam,M,1980-05-04", n % 1000).unwrap();
    }
    out.into_inner().unwrap();
    let before = node.memory_peak_kib();
    let entries = node.status()["own_entries"].clone();
    let ended = node.import("households", &file, &[]).refused_with("unit_unknown");
    let summary = Imported::of(&ended.stdout);
    assert_eq!((summary.rows, summary.refused, summary.taken), (ROWS, ROWS, 0));
    let growth = node.memory_peak_kib() - before;
    assert!(growth < GROWTH_KIB_MAX, "the node grew by {growth} KiB");
    assert!(ended.stderr.len() < 16 * 1024 * 1024, "not every row is printed: {} bytes", ended.stderr.len());
    assert_eq!(node.status()["own_entries"], entries);
}
