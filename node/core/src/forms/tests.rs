use danso_proto::change::{
    Birth, BirthPlace, Body, MaritalStatus, Method, MovedIn, NewHousehold, PersonEnrolled, PersonUpdated, Sex,
};
use danso_proto::ids::ChangeId;
use proptest::prelude::*;

use super::*;

mod doubt;

const P0: &str = "slip_no,unit_code,hamlet,household_no,change_type,event_date,calendar,reported_on,person_ref,full_name,sex,birth_date,\
national_id,health_insurance_no,ethnicity,mother_ref,birth_order,birth_weight_g,birth_place,spouse_ref,spouse_name,other_unit_code,method,\
method_since,cause,refers_to,note,marital_status";
const A0: &str = "unit_code,hamlet,household_no,person_ref,full_name,sex,birth_date,relation_to_head,national_id,health_insurance_no,\
ethnicity,marital_status,contraceptive_method,resident_since";

fn units() -> UnitList {
    let rows = [
        ["VN", "Việt Nam", "central", ""],
        ["40", "Nghệ An", "province", "VN"],
        ["420", "Quỳ Hợp", "district", "40"],
        ["17065", "Châu Quang", "commune", "420"],
        ["17035", "Quỳ Hợp", "commune", "420"],
        ["415", "Quế Phong", "district", "40"],
        ["16738", "Kim Sơn", "commune", "415"],
    ];
    UnitList::from_rows("vn-2024", None, rows).expect("list")
}

fn titles(line: &str) -> Vec<String> {
    line.split(',').map(str::to_owned).collect()
}

/// Reads a row given as `column=value` pairs, at the node of district 420 on 2022-01-10.
fn read(form: Form, pairs: &[(&str, &str)]) -> Result<Row, RowProblem> {
    let titles = titles(if form == Form::Households { A0 } else { P0 });
    let header = Header::parse(form, &titles).expect("header");
    let mut fields = vec![String::new(); titles.len()];
    for (column, value) in pairs {
        let i = titles.iter().position(|title| title == column).unwrap_or_else(|| panic!("{column}"));
        fields[i] = (*value).to_owned();
    }
    let (units, own_unit) = (units(), "420".parse().expect("code"));
    let context = Context { units: &units, own_unit: &own_unit, today: "2022-01-10".parse().expect("date") };
    parse(&header, &RawRow { line: 5, fields, ..RawRow::default() }, &context)
}

fn person(more: &[(&'static str, &'static str)]) -> Result<Row, RowProblem> {
    let row = [
        ("unit_code", "17065"),
        ("household_no", "040"),
        ("person_ref", "040.2"),
        ("full_name", "Lô Thị Hoa"),
        ("sex", "F"),
        ("birth_date", "1986-02-04"),
    ];
    read(Form::Households, &[&row[..], more].concat())
}

fn slip(kind: &'static str, more: &[(&'static str, &'static str)]) -> Result<Row, RowProblem> {
    let row = [
        ("slip_no", "17065-1"),
        ("unit_code", "17065"),
        ("household_no", "040"),
        ("change_type", kind),
        ("event_date", "2021-03-02"),
        ("reported_on", "2021-03-05"),
        ("person_ref", "040.2"),
    ];
    read(Form::Changes, &[&row[..], more].concat())
}

const NEWBORN: [(&str, &str); 4] =
    [("person_ref", "040.9"), ("full_name", "Gái"), ("sex", "Nữ"), ("mother_ref", "040.2")];

fn born(more: &[(&'static str, &'static str)]) -> Row {
    slip("birth", &[&NEWBORN[..], more].concat()).expect("birth")
}

fn reason(row: Result<Row, RowProblem>) -> Option<(Reason, String)> {
    row.err().map(|problem| (problem.reason, problem.column.unwrap_or_default()))
}

struct Desk<F> {
    known: Known,
    drafter: Drafter<F>,
}

fn desk() -> Desk<impl FnMut() -> ChangeId> {
    Desk { known: Known::new(), drafter: Drafter::new(|| ChangeId::first(1_640_000_000_000, [7; 6])) }
}

impl<F: FnMut() -> ChangeId> Desk<F> {
    fn put(&mut self, row: &Row) -> Outcome {
        resolve(row, &mut self.known, &mut self.drafter)
    }

    fn taken(&mut self, row: &Row) -> (ChangeId, ChangeId) {
        match self.put(row) {
            Outcome::Taken { change, person } => (change, person),
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, row: &Row) -> Reason {
        match self.put(row) {
            Outcome::Refused(problem) => problem.reason,
            other => panic!("{other:?}"),
        }
    }

    fn all(&mut self) -> DraftSet {
        let mut sets = self.drafter.finish();
        assert_eq!(sets.len(), 1);
        sets.remove(0)
    }
}

/// What is told of the case, the columns that are changed, the reason, and the column that is named.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Reason, &'a str);

#[test]
fn faults_have_their_own_reason() {
    let cases: &[Case<'_>] = &[
        ("death", &[("unit_code", "99999")], Reason::UnitUnknown, "unit_code"),
        ("death", &[("unit_code", "")], Reason::FieldMissing, "unit_code"),
        ("death", &[("unit_code", "16738")], Reason::UnitNotOurs, "unit_code"),
        ("death", &[("unit_code", "420")], Reason::UnitNotCommune, "unit_code"),
        ("death", &[("slip_no", " ")], Reason::FieldMissing, "slip_no"),
        ("adoption?", &[], Reason::ChangeTypeUnknown, "change_type"),
        ("death", &[("person_ref", "")], Reason::PersonMissing, "person_ref"),
        ("death", &[("household_no", "")], Reason::FieldMissing, "household_no"),
        ("death", &[("event_date", "2021-02-30")], Reason::DateInvalid, "event_date"),
        ("death", &[("event_date", "2199-01-01")], Reason::DateInFuture, "event_date"),
        ("death", &[("event_date", "2021-03-06")], Reason::EventAfterReport, "event_date"),
        ("death", &[("reported_on", "2022-01-11")], Reason::DateInFuture, "reported_on"),
        ("death", &[("reported_on", "2021")], Reason::DateInvalid, "reported_on"),
        ("death", &[("calendar", "julian")], Reason::ValueUnknown, "calendar"),
        ("move_out", &[("other_unit_code", "17065")], Reason::MoveInsideCommune, "other_unit_code"),
        ("move_out", &[("other_unit_code", "99999")], Reason::UnitUnknown, "other_unit_code"),
        ("contraception", &[], Reason::FieldMissing, "method"),
        ("contraception", &[("method", "magic")], Reason::ValueUnknown, "method"),
        ("birth", &[("full_name", "Trai")], Reason::FieldMissing, "sex"),
        (
            "birth",
            &[("full_name", "Trai"), ("sex", "M"), ("birth_date", "2021-03-01")],
            Reason::BirthDateDiffers,
            "birth_date",
        ),
        ("birth", &[("full_name", "Trai"), ("sex", "M"), ("birth_order", "0")], Reason::NumberInvalid, "birth_order"),
        ("birth", &[("full_name", "Trai"), ("sex", "M"), ("mother_ref", "040.2")], Reason::ValueUnknown, "mother_ref"),
        ("move_in", &[("birth_date", "2021-04-01")], Reason::EventBeforeBirth, "event_date"),
        ("update", &[("national_id", "40086152372")], Reason::IdentifierInvalid, "national_id"),
        ("update", &[("health_insurance_no", "DN12")], Reason::IdentifierInvalid, "health_insurance_no"),
        ("retract", &[], Reason::FieldMissing, "refers_to"),
        ("retract", &[("refers_to", "17065-1")], Reason::SlipUnknown, "refers_to"),
    ];
    for (kind, more, expected, column) in cases {
        assert_eq!(reason(slip(kind, more)), Some((*expected, (*column).to_owned())), "{kind} {more:?}");
    }
    assert_eq!(reason(person(&[("sex", "?")])), Some((Reason::ValueUnknown, "sex".into())));
    assert_eq!(reason(person(&[("birth_date", "")])), Some((Reason::FieldMissing, "birth_date".into())));
    assert_eq!(
        reason(person(&[("resident_since", "1985")])),
        Some((Reason::EventBeforeBirth, "resident_since".into()))
    );
    let shape = RawRow { line: 9, fields: vec!["17065".into()], ..RawRow::default() };
    let (units, own_unit) = (units(), "420".parse().expect("code"));
    let context = Context { units: &units, own_unit: &own_unit, today: "2022-01-10".parse().expect("date") };
    let header = Header::parse(Form::Households, &titles(A0)).expect("header");
    assert_eq!(parse(&header, &shape, &context).map_err(|p| (p.line, p.reason)), Err((9, Reason::RowShape)));
}

#[test]
fn a_reference_that_was_a_number_with_a_fraction_is_refused_by_its_column() {
    let (units, own_unit) = (units(), "420".parse().expect("code"));
    let context = Context { units: &units, own_unit: &own_unit, today: "2022-01-10".parse().expect("date") };
    for (form, names, good) in [
        (Form::Households, A0, "17065,,12,12,Hoa,F,1986,,,,,,,"),
        (Form::Changes, P0, "7,17065,,12,death,2021-03-02,,2021-03-05,12,,,,,,,,,,,,,,,,,,,"),
    ] {
        let header = Header::parse(form, &titles(names)).expect("header");
        let row = RawRow { line: 7, fields: titles(good), fractions: Vec::new() };
        assert_eq!(parse(&header, &row, &context).map(|row| row.person_ref().to_owned()), Ok("12".to_owned()));
        for (place, name) in titles(names).iter().enumerate() {
            let mut row = row.clone();
            row.fractions = vec![place as u16];
            let told = parse(&header, &row, &context).map_err(|p| (p.line, p.reason, p.column, p.severity));
            let reference = ["slip_no", "household_no", "person_ref", "mother_ref", "spouse_ref", "refers_to"];
            if reference.contains(&name.as_str()) {
                let refused = (7, Reason::CellIsNumber, Some(name.clone()), Severity::Refused);
                assert_eq!(told.err(), Some(refused), "{name}");
            } else {
                assert!(told.is_ok(), "{name}: {told:?}");
            }
        }
    }
}

#[test]
fn a_slip_of_any_kind_turned_into_a_move_inside_the_commune_says_so() {
    for more in [
        &NEWBORN[..],
        &[("cause", "tai nạn")],
        &[("method", "iud"), ("method_since", "2021-03-02")],
        &[("spouse_ref", "040.1")],
    ] {
        let row = [more, &[("change_type", "move_out"), ("other_unit_code", "17065")]].concat();
        assert_eq!(reason(slip("move_out", &row)).map(|(reason, _)| reason), Some(Reason::MoveInsideCommune));
    }
}

#[test]
fn what_is_found_never_shows_names_and_identifiers() {
    let long: &'static str = Box::leak("Nguyễn".repeat(60).into_boxed_str());
    let problem = person(&[("full_name", long)]).expect_err("too long");
    assert_eq!((problem.reason, problem.found.as_str()), (Reason::FieldTooLong, "360"));
    let problem = person(&[("national_id", "40086152372")]).expect_err("eleven");
    assert_eq!(problem.found, "11");
    assert!(!format!("{:?}", person(&[])).contains("Hoa"));
}

#[test]
fn vietnamese_words_and_dates_mean_the_same() {
    let english =
        person(&[("marital_status", "married"), ("contraceptive_method", "condom"), ("relation_to_head", "spouse")]);
    let viet = person(&[
        ("sex", "nữ"),
        ("birth_date", "04/02/1986"),
        ("household_no", "40"),
        ("full_name", " Lô Thi\u{323} Hoa "),
        ("marital_status", "Có vợ/chồng"),
        ("contraceptive_method", "Bao cao su"),
        ("relation_to_head", "Vợ"),
    ]);
    let (english, viet) = (english.expect("row"), viet.expect("row"));
    assert_eq!(english, viet);
    assert_eq!(digest(&english), digest(&viet));
    assert_ne!(digest(&english), digest(&person(&[]).expect("row")));
}

#[test]
fn a_personal_number_that_contradicts_is_a_warning() {
    assert_eq!(person(&[("national_id", "040186152372")]).expect("row").warning(), None);
    let warning = person(&[("national_id", "040 086 152372")]).expect("taken all the same").warning().expect("sex");
    assert_eq!((warning.severity, warning.reason), (Severity::Warning, Reason::IdentifierInvalid));
}

#[test]
fn lunar_dates_are_converted_and_kept() {
    let lunar = |date| slip("death", &[("calendar", "Âm lịch"), ("event_date", date), ("reported_on", "2021-04-25")]);
    let Ok(Row::Slip(slip)) = lunar("15/01/2021") else { panic!("full moon after Tết") };
    assert_eq!((slip.event.solar.packed(), slip.event.lunar), (20210226, Some((20210115, false))));
    assert_eq!(slip.event.signed().lunar, Some((20210115, false)));
    assert_eq!(reason(lunar("15/01+/2021")), Some((Reason::DateInvalid, "event_date".into())));
    assert_eq!(reason(lunar("31/01/2021")), Some((Reason::DateInvalid, "event_date".into())));
    assert_eq!(reason(lunar("2021-01-15")), None);
}

#[test]
fn the_book_makes_persons_and_households_once() {
    let mut desk = desk();
    let (head, wife) = (
        person(&[("person_ref", "040.1"), ("sex", "M")]).expect("row"),
        person(&[("household_no", "040.2")]).expect("row"),
    );
    let (household, _) = desk.taken(&head);
    desk.taken(&wife);
    assert_eq!(desk.put(&head), Outcome::Unchanged);
    assert_eq!(desk.refused(&person(&[("hamlet", "Bản Cà")]).expect("row")), Reason::RowDiffers);
    let set = desk.all();
    assert_eq!(set.changes.len(), 2);
    let Body::PersonEnrolled(PersonEnrolled { household: second, birth_month, .. }) = set.changes[1].body else {
        panic!("kind")
    };
    assert_eq!((second, birth_month), (Some(household), 198602));
    let part = set.parts[1].clone().expect("part");
    assert_eq!(
        (part.full_name.as_str(), part.birth_date, part.household_no.as_str()),
        ("Lô Thị Hoa", 19860204, "040.2")
    );
}

#[test]
fn a_birth_waits_for_its_mother_and_signs_the_month_only() {
    let mut desk = desk();
    let birth = born(&[("birth_order", "3"), ("birth_place", "Trạm y tế")]);
    let Outcome::Waits { missing } = desk.put(&birth) else { panic!("mother") };
    assert_eq!((missing.what, missing.reference.as_str()), (MissingWhat::Person, "040.2"));
    desk.known.add_waiting(birth.unit(), "17065-1");
    let (_, mother) = desk.taken(&person(&[]).expect("row"));
    let (change, child) = desk.taken(&birth);
    assert_eq!(change, child);
    assert!(!desk.known.is_waiting(birth.unit(), "17065-1"));
    assert_eq!(
        desk.refused(&slip("birth", &[&NEWBORN[..], &[("slip_no", "2")]].concat()).expect("row")),
        Reason::PersonKnown
    );
    let set = desk.all();
    let Body::Birth(Birth { mother: named, mother_birth_month, birth_order, birth_place, birth_month, .. }) =
        set.changes[1].body
    else {
        panic!("kind")
    };
    assert_eq!((named, mother_birth_month, birth_order, birth_month), (Some(mother), Some(198602), 3, 202103));
    assert_eq!(birth_place, Some(BirthPlace::Facility));
    assert_eq!(set.changes[1].event_date.map(|date| date.solar), Some(20210300));
    assert_eq!(set.parts[1].clone().expect("part").event_date, 20210302);
}

#[test]
fn who_comes_back_is_the_same_person() {
    let mut desk = desk();
    let (_, id) = desk.taken(&person(&[]).expect("row"));
    desk.taken(&slip("move_out", &[]).expect("row"));
    let back =
        [("slip_no", "2"), ("household_no", "099"), ("sex", "F"), ("birth_date", "1986"), ("full_name", "Lô Thị Hoa")];
    assert_eq!(desk.taken(&slip("move_in", &back).expect("row")).1, id);
    let other = [("slip_no", "3"), ("sex", "M"), ("birth_date", "1986"), ("full_name", "Lô Văn Hải")];
    assert_eq!(desk.refused(&slip("move_in", &other).expect("row")), Reason::PersonKnown);
    assert_eq!(
        desk.refused(&slip("move_in", &[("slip_no", "4"), ("person_ref", "new")]).expect("row")),
        Reason::FieldMissing
    );
    let set = desk.all();
    let Body::MovedIn(MovedIn { person, household, .. }) = set.changes[2].body else { panic!("kind") };
    assert_eq!((person, household), (Some(id), None));
}

#[test]
fn a_partner_who_is_not_known_is_no_reason_to_wait() {
    let mut desk = desk();
    desk.taken(&person(&[]).expect("row"));
    desk.taken(&slip("marriage", &[("spouse_ref", "050.1")]).expect("row"));
    let set = desk.all();
    assert!(matches!(&set.changes[1].body, Body::Marriage(marriage) if marriage.spouse.is_none()));
    assert_eq!(set.parts[1].clone().expect("part").other_ref, "050.1");
}

#[test]
fn events_before_the_recorded_birth_are_refused() {
    let mut desk = desk();
    desk.taken(&person(&[("birth_date", "2021-04")]).expect("row"));
    assert_eq!(desk.refused(&slip("death", &[]).expect("row")), Reason::EventBeforeBirth);
}

#[test]
fn updates_correct_slips_and_persons() {
    let mut desk = desk();
    let (_, mother) = desk.taken(&person(&[]).expect("row"));
    let (birth, child) = desk.taken(&born(&[]));
    let update =
        |more: &[(&'static str, &'static str)]| slip("update", &[&[("slip_no", "9")], more].concat()).expect("row");
    assert_eq!(desk.refused(&update(&[("note", "x")])), Reason::NothingToUpdate);
    assert_eq!(desk.refused(&update(&[("refers_to", "none")])), Reason::SlipUnknown);
    assert_eq!(desk.refused(&update(&[("refers_to", "17065-1")])), Reason::CorrectsNothing);
    desk.taken(&update(&[
        ("refers_to", "17065-1"),
        ("person_ref", "040.9"),
        ("event_date", "2021-02-27"),
        ("sex", "M"),
    ]));
    desk.taken(&update(&[("slip_no", "10"), ("marital_status", "Ly hôn"), ("household_no", "041")]));
    desk.taken(&slip("retract", &[("slip_no", "11"), ("person_ref", "040.9"), ("refers_to", "17065-1")]).expect("row"));
    assert_eq!(
        desk.known.person(&"17065".parse().expect("code"), "040.9").map(|p| (p.sex, p.birth_month)),
        Some((Sex::Male, 202102))
    );
    let set = desk.all();
    let nothing = PersonUpdated {
        person: child,
        refers_to: None,
        sex: None,
        birth_month: None,
        marital_status: None,
        method: None,
        household: None,
        birth_order: None,
        mother_birth_month: None,
        other_unit: None,
        reason: String::new(),
    };
    let corrected =
        PersonUpdated { refers_to: Some(birth), sex: Some(Sex::Male), birth_month: Some(202102), ..nothing.clone() };
    assert_eq!(set.changes[2].body, Body::PersonUpdated(corrected));
    assert_eq!(set.changes[2].event_date.map(|date| date.solar), Some(20210200));
    assert_eq!(set.parts[2].clone().expect("part").event_date, 20210227);
    let person = PersonUpdated {
        person: mother,
        marital_status: Some(MaritalStatus::Divorced),
        household: Some(NewHousehold::Begun),
        ..nothing
    };
    assert_eq!(set.changes[3].body, Body::PersonUpdated(person));
    assert!(matches!(&set.changes[4].body, Body::Retraction(r) if r.refers_to == birth && r.person == child));
}

#[test]
fn an_update_of_a_waiting_slip_waits_for_that_slip() {
    let mut desk = desk();
    let unit: UnitCode = "17065".parse().expect("code");
    desk.taken(&person(&[]).expect("row"));
    desk.known.add_waiting(&unit, "17065-7");
    let update = slip("update", &[("refers_to", "17065-7")]).expect("row");
    let Outcome::Waits { missing } = desk.put(&update) else { panic!("slip") };
    assert_eq!((missing.what, missing.reference.as_str()), (MissingWhat::Slip, "17065-7"));
    assert_eq!(missing.problem(5).severity, Severity::Waiting);
}

#[test]
fn a_waiting_slip_reads_back_from_its_bytes() {
    let row = born(&[("calendar", "lunar"), ("event_date", "15/01/2021")]);
    let bytes = postcard::to_stdvec(&row).expect("bytes");
    assert_eq!(postcard::from_bytes::<Row>(&bytes), Ok(row));
}

#[test]
fn what_rows_need_is_named_once() {
    let rows = [person(&[]).expect("row"), born(&[]), slip("retract", &[("refers_to", "17065-0")]).expect("row")];
    let needed = needed(&rows);
    assert_eq!(needed.persons.iter().map(|(_, r)| *r).collect::<Vec<_>>(), ["040.2", "040.9"]);
    assert_eq!(needed.households.len(), 1);
    assert_eq!(needed.sources.iter().map(|(_, _, key)| *key).collect::<Vec<_>>(), ["040.2", "17065-0", "17065-1"]);
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        2 => prop::sample::select(vec![
            "17065", "17035", "16738", "99999", "birth", "move_in", "update", "retract", "marriage", "M", "Nữ", "2021-03-02", "03/2021",
            "15/01+/2021", "2021", "lunar", "040.1", "040.2", "040", "iud", "single", "040186152372", "DN4010123456789", "17065-1",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    /// Whole rows at random, and good rows with some fields at random, so that many are taken.
    #[test]
    fn no_row_makes_it_panic_and_what_is_taken_is_unchanged_next(
        rows in prop::collection::vec((prop::collection::vec(field(), 28), prop::collection::vec(0usize..28, 0..5), any::<bool>()), 1..20),
        book in any::<bool>(),
    ) {
        let (form, names) = if book { (Form::Households, titles(A0)) } else { (Form::Changes, titles(P0)) };
        let good = if book { "17065,,040,040.2,Hoa,F,1986,,,,,,," } else {
            "17065-1,17065,,040,move_in,2021-03-02,,2021-03-05,040.2,Hoa,F,1986,,,,,,,,,,,iud,,,,,"
        };
        let header = Header::parse(form, &names).expect("header");
        let (units, own_unit) = (units(), "420".parse().expect("code"));
        let context = Context { units: &units, own_unit: &own_unit, today: "2022-01-10".parse().expect("date") };
        let mut desk = desk();
        for (random, places, wild) in rows {
            let mut fields = if wild { random.clone() } else { titles(good) };
            fields.truncate(names.len());
            for place in places {
                fields[place % names.len()] = random[place].clone();
            }
            match parse(&header, &RawRow { line: 2, fields, ..RawRow::default() }, &context) {
                Err(problem) => prop_assert!(problem.found.chars().count() <= 40),
                Ok(row) => {
                    if let Outcome::Taken { .. } = desk.put(&row) {
                        prop_assert_eq!(desk.put(&row), Outcome::Unchanged);
                    }
                }
            }
        }
    }
}

#[test]
fn contraception_names_its_method() {
    let mut desk = desk();
    desk.taken(&person(&[]).expect("row"));
    desk.taken(&slip("contraception", &[("method", "none")]).expect("row"));
    assert!(matches!(&desk.all().changes[1].body, Body::ContraceptionChanged(c) if c.method == Method::None));
}
