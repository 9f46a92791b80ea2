//! Slips that wait: what becomes of them when what they wait for is known.

use danso_core::calendar::PartialDate;
use danso_core::forms::{Context, Form, Header, Outcome, RawRow, Row, parse};
use danso_proto::refusal::Reason;

use super::bed::{Bed, code};
use super::run;
use crate::pipeline::{ImportBatch, ImportedRows};

const TITLES: [&str; 11] = [
    "slip_no",
    "unit_code",
    "household_no",
    "change_type",
    "event_date",
    "reported_on",
    "person_ref",
    "full_name",
    "sex",
    "birth_date",
    "mother_ref",
];

/// A birth or a death of the person `person_ref` in 17065.
pub(super) fn slip(bed: &Bed, slip_no: &str, kind: &str, person_ref: &str, date: &str) -> Row {
    let (name, sex, born) = if kind == "birth" { ("Trai", "M", date) } else { ("", "", "") };
    let titles = TITLES.map(str::to_owned);
    let header = Header::parse(Form::Changes, &titles).expect("header");
    let fields = [slip_no, "17065", "001", kind, date, "2021-12-30", person_ref, name, sex, born, ""];
    let snapshot = bed.handle.snapshot();
    let context = Context {
        units: snapshot.directory().units().get("vn-2024").expect("the list"),
        own_unit: &code("VN"),
        today: PartialDate::full(2021, 12, 31).expect("day"),
    };
    parse(&header, &RawRow { line: 2, fields: fields.map(str::to_owned).to_vec(), ..RawRow::default() }, &context)
        .expect("a good row")
}

pub(super) async fn import(bed: &Bed, rows: Vec<Row>) -> ImportedRows {
    bed.handle.import(ImportBatch { rows, dry_run: None }).await.expect("the store works")
}

fn refused(rows: &ImportedRows, at: usize) -> Option<Reason> {
    match &rows.rows[at].outcome {
        Outcome::Refused(problem) => Some(problem.reason),
        _ => None,
    }
}

#[test]
fn a_slip_that_waits_for_the_same_file_and_is_then_wrong_is_not_lost_without_a_word() {
    run(async |bed| {
        let death = slip(&bed, "1", "death", "001.5", "2021-03-01");
        let birth = slip(&bed, "2", "birth", "001.5", "2021-06-01");
        let imported = import(&bed, vec![death, birth]).await;
        assert_eq!(refused(&imported, 0), Some(Reason::EventBeforeBirth), "{:?}", imported.rows[0].outcome);
        assert_eq!(imported.released, 0);
        assert_eq!(bed.counts().await, (1, 0, 0), "one person, and nothing waits");
    });
}

#[test]
fn a_corrected_slip_is_taken_in_place_of_the_one_that_waits() {
    run(async |bed| {
        import(&bed, vec![slip(&bed, "1", "death", "001.5", "2021-02-01")]).await;
        assert_eq!(bed.counts().await.1, 1, "it waits");
        let corrected = slip(&bed, "1", "death", "001.5", "2021-09-01");
        let birth = slip(&bed, "2", "birth", "001.5", "2021-06-01");
        let imported = import(&bed, vec![corrected.clone(), birth]).await;
        assert_eq!(imported.released, 1, "{:?}", imported.rows);
        assert_eq!(bed.counts().await, (1, 0, 0), "nothing waits, nothing is found wrong");
        let again = import(&bed, vec![corrected]).await;
        assert!(matches!(again.rows[0].outcome, Outcome::Unchanged), "{:?}", again.rows[0].outcome);
    });
}
