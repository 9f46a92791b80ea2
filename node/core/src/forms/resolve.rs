//! A typed row against what is known: taken as a change, unchanged, waiting or refused. This room may not know how rows are read and
//! where changes go.

use danso_proto::change::{
    Birth, Body, Change, ContraceptionChanged, Death, Divorce, EventDate, Marriage, MovedIn, MovedOut, NewHousehold,
    PersonEnrolled, PersonUpdated, Retraction,
};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, PersonId, UnitCode};
use danso_proto::refusal::Reason;

use super::{
    Column, Drafter, Form, HouseholdRow, Known, KnownPerson, Relation, Row, RowProblem, Severity, Slip, SlipKind,
    Source, digest, household_key,
};
use crate::calendar::PartialDate;
use crate::rules::read_by_month;

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is a change now, about this person.
    Taken {
        /// The change.
        change: ChangeId,
        /// Whom it is about.
        person: PersonId,
    },
    /// It was here before.
    Unchanged,
    /// It was here before, and says otherwise what cannot be both: nothing is changed, and somebody should look.
    Doubted(RowProblem),
    /// It can be taken once something is known.
    Waits {
        /// What.
        missing: Missing,
    },
    /// It cannot be taken.
    Refused(RowProblem),
}

/// What a slip waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Missing {
    /// The unit of the slip, and of what it waits for.
    pub unit: UnitCode,
    /// Whether the reference is a person's or a slip's.
    pub what: MissingWhat,
    /// Person reference or slip number.
    pub reference: String,
}

/// See [`Missing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissingWhat {
    /// A person who is not known yet.
    Person,
    /// A slip that waits itself, for somebody who is not known yet.
    Slip,
}

impl Missing {
    /// What to tell of a slip that waits.
    pub fn problem(&self, line: u64) -> RowProblem {
        let column = match self.what {
            MissingWhat::Person => Column::PersonRef,
            MissingWhat::Slip => Column::RefersTo,
        };
        RowProblem { severity: Severity::Waiting, ..problem(line, column, Reason::PersonUnknown, &self.reference) }
    }
}

fn problem(line: u64, column: Column, reason: Reason, found: &str) -> RowProblem {
    let found = found.chars().take(40).collect();
    RowProblem { line, column: Some(column.as_str().into()), reason, found, severity: Severity::Refused }
}

/// Takes a row, if it can be taken. Rows are resolved one after the other, in the order of the file: `known` grows with each.
///
/// A slip that was taken waits no longer: whoever keeps the waiting slips drops the one with its number.
pub fn resolve<F: FnMut() -> ChangeId>(row: &Row, known: &mut Known, drafter: &mut Drafter<F>) -> Outcome {
    let (unit, (form, key)) = (row.unit(), row.key());
    let digest = digest(row);
    if let Some(source) = known.source(unit, form, key) {
        return match source.digest {
            Some(before) if before != digest => {
                let column = if form == Form::Households { Column::PersonRef } else { Column::SlipNo };
                Outcome::Refused(problem(row.line(), column, Reason::RowDiffers, key))
            }
            _ => Outcome::Unchanged,
        };
    }
    let drafted = match row {
        Row::Household(row) => enrol(row, known),
        Row::Slip(slip) => draft(slip, known),
    };
    let Draft { body, event_date, reported_on, part, person } = match drafted {
        Ok(draft) => draft,
        Err(outcome) => return *outcome,
    };
    let hamlet = match row {
        Row::Household(row) => &row.hamlet,
        Row::Slip(slip) => &slip.hamlet,
    };
    let birth = matches!(body, Body::Birth(_));
    let begun = begins_household(&body);
    let change =
        Change { unit: unit.clone(), hamlet: hamlet.clone(), event_date, reported_on, identity_commitment: None, body };
    let part = Some(part).filter(|part| !part.is_empty());
    let household_no = match row {
        Row::Household(row) => &row.household_no,
        Row::Slip(slip) => &slip.household_no,
    };
    let change = drafter.push(change, part, digest);
    if begun {
        known.add_household(unit, household_key(household_no), change);
    }
    let person = match person {
        Whom::Known(id) => id,
        Whom::Changed(person_ref, mut person) => {
            person.household = if begun { Some(change) } else { person.household };
            known.add_person(unit, person_ref, person);
            person.id
        }
        Whom::New(person_ref, sex, birth_month, household) => {
            let household = household.or(Some(change));
            known.add_person(unit, person_ref, KnownPerson { id: change, sex, birth_month, household });
            change
        }
    };
    known.add_source(unit, form, key, Source { digest: Some(digest), change, person, birth });
    if form == Form::Changes {
        known.remove_waiting(unit, key);
    }
    Outcome::Taken { change, person }
}

/// A change before it has an id.
struct Draft<'a> {
    body: Body,
    event_date: Option<EventDate>,
    reported_on: Option<u32>,
    part: IdentityPart,
    person: Whom<'a>,
}

/// Whom a change is about, and what is known of that person after it.
enum Whom<'a> {
    Known(PersonId),
    Changed(&'a str, KnownPerson),
    /// Reference, sex, month of birth, household (`None`: the change begins one).
    New(&'a str, danso_proto::change::Sex, u32, Option<ChangeId>),
}

/// Boxed, because it is large and rare.
type Drafted<'a> = Result<Draft<'a>, Box<Outcome>>;

fn refused(slip: &Slip, column: Column, reason: Reason, found: &str) -> Box<Outcome> {
    Box::new(Outcome::Refused(problem(slip.line, column, reason, found)))
}

fn waits(slip: &Slip, what: MissingWhat, reference: &str) -> Box<Outcome> {
    let missing = Missing { unit: slip.unit.clone(), what, reference: reference.into() };
    Box::new(Outcome::Waits { missing })
}

fn begins_household(body: &Body) -> bool {
    match body {
        Body::PersonEnrolled(b) => b.household.is_none(),
        Body::Birth(b) => b.household.is_none(),
        Body::MovedIn(b) => b.household.is_none(),
        Body::PersonUpdated(b) => b.household == Some(NewHousehold::Begun),
        _ => false,
    }
}

/// yyyymm with 00 where the month is unknown.
fn month_of(date: PartialDate) -> u32 {
    date.packed() / 100
}

fn enrol<'a>(row: &'a HouseholdRow, known: &Known) -> Drafted<'a> {
    // Known from a slip, or from a book whose rows are not remembered: the book adds only whom nobody knows.
    if let Some(person) = known.person(&row.unit, &row.person_ref) {
        return Err(Box::new(lunar(row, person).map_or(Outcome::Unchanged, Outcome::Doubted)));
    }
    let household = known.household(&row.unit, household_key(&row.household_no));
    let birth_month = month_of(row.birth_date);
    Ok(Draft {
        body: Body::PersonEnrolled(PersonEnrolled {
            household,
            sex: row.sex,
            birth_month,
            marital_status: row.marital_status,
            method: row.method,
            resident_since: row.resident_since.map(PartialDate::packed),
        }),
        event_date: None,
        reported_on: None,
        part: IdentityPart {
            person_ref: row.person_ref.clone(),
            full_name: row.full_name.clone(),
            birth_date: row.birth_date.packed(),
            national_id: row.national_id.clone(),
            health_insurance_no: row.health_insurance_no.clone(),
            household_no: row.household_no.clone(),
            ethnicity: row.ethnicity.clone(),
            relation_to_head: row.relation_to_head.map_or("", Relation::as_str).into(),
            ..Default::default()
        },
        person: Whom::New(&row.person_ref, row.sex, birth_month, household),
    })
}

/// Of a person who is known: whether the book's date of birth and what is known are probably the lunar and the solar date of one day.
fn lunar(row: &HouseholdRow, known: KnownPerson) -> Option<RowProblem> {
    let month = PartialDate::from_ymm(known.birth_month).ok().filter(|date| date.known_month().is_some())?.month();
    let reading = read_by_month(row.birth_date, month)?;
    let found = format!("{} = {}", reading.lunar, reading.solar);
    Some(RowProblem { severity: Severity::Warning, ..problem(row.line, Column::BirthDate, Reason::LunarDate, &found) })
}

fn draft<'a>(slip: &'a Slip, known: &Known) -> Drafted<'a> {
    let person = known.person(&slip.unit, &slip.person_ref);
    match (slip.kind, person) {
        (SlipKind::Birth, Some(_)) => Err(refused(slip, Column::PersonRef, Reason::PersonKnown, &slip.person_ref)),
        (SlipKind::Birth, None) => birth(slip, known),
        (SlipKind::MoveIn, person) => move_in(slip, person, known),
        (_, None) => Err(waits(slip, MissingWhat::Person, &slip.person_ref)),
        (SlipKind::Update, Some(person)) => update(slip, person, known),
        (SlipKind::Retract, Some(person)) => retract(slip, person, known),
        (SlipKind::Death, Some(person)) => happened(slip, person, known, Body::Death(Death { person: person.id })),
        (SlipKind::Marriage | SlipKind::Divorce, Some(person)) => {
            // Persons are counted, not couples: a partner who is not known is no reason to wait. The reference stays in the part.
            let spouse = partner(slip, known);
            happened(
                slip,
                person,
                known,
                match slip.kind {
                    SlipKind::Marriage => Body::Marriage(Marriage { person: person.id, spouse }),
                    _ => Body::Divorce(Divorce { person: person.id, spouse }),
                },
            )
        }
        (SlipKind::MoveOut, Some(person)) => happened(
            slip,
            person,
            known,
            Body::MovedOut(MovedOut { person: person.id, other_unit: slip.other_unit.clone() }),
        ),
        (SlipKind::Contraception, Some(person)) => {
            let Some(method) = slip.method else {
                return Err(refused(slip, Column::Method, Reason::FieldMissing, ""));
            };
            let method_since = slip.method_since.map(PartialDate::packed);
            happened(
                slip,
                person,
                known,
                Body::ContraceptionChanged(ContraceptionChanged { person: person.id, method, method_since }),
            )
        }
    }
}

fn partner(slip: &Slip, known: &Known) -> Option<PersonId> {
    known.person(&slip.unit, &slip.spouse_ref).map(|spouse| spouse.id)
}

/// What every slip detaches. The number of a household that is known to be the person's says nothing new.
fn part(slip: &Slip, implied_household: bool) -> IdentityPart {
    let about = &slip.about;
    IdentityPart {
        person_ref: slip.person_ref.clone(),
        full_name: about.full_name.clone(),
        birth_date: about.birth_date.map_or(0, PartialDate::packed),
        national_id: about.national_id.clone(),
        health_insurance_no: about.health_insurance_no.clone(),
        household_no: if implied_household { String::new() } else { slip.household_no.clone() },
        slip_no: slip.slip_no.clone(),
        ethnicity: about.ethnicity.clone(),
        spouse_name: slip.spouse_name.clone(),
        cause: slip.cause.clone(),
        note: slip.note.clone(),
        other_ref: if slip.mother_ref.is_empty() { slip.spouse_ref.clone() } else { slip.mother_ref.clone() },
        refers_to: slip.refers_to.clone(),
        ..Default::default()
    }
}

fn is_household_of(slip: &Slip, person: KnownPerson, known: &Known) -> bool {
    let named = known.household(&slip.unit, household_key(&slip.household_no));
    named.is_some() && named == person.household
}

fn after_birth(slip: &Slip, birth_month: u32) -> Result<(), Box<Outcome>> {
    let born = PartialDate::from_ymm(birth_month).ok();
    match born.is_some_and(|born| slip.event.solar.certainly_before(born)) {
        true => Err(refused(slip, Column::EventDate, Reason::EventBeforeBirth, &slip.event.solar.to_string())),
        false => Ok(()),
    }
}

/// Something happened to a resident.
fn happened<'a>(slip: &'a Slip, person: KnownPerson, known: &Known, body: Body) -> Drafted<'a> {
    after_birth(slip, person.birth_month)?;
    Ok(Draft {
        body,
        event_date: Some(slip.event.signed()),
        reported_on: Some(slip.reported_on.packed()),
        part: part(slip, is_household_of(slip, person, known)),
        person: Whom::Known(person.id),
    })
}

fn birth<'a>(slip: &'a Slip, known: &Known) -> Drafted<'a> {
    let mother = known.person(&slip.unit, &slip.mother_ref);
    if mother.is_none() && !slip.mother_ref.is_empty() {
        return Err(waits(slip, MissingWhat::Person, &slip.mother_ref));
    }
    let sex = slip.about.sex.ok_or_else(|| refused(slip, Column::Sex, Reason::FieldMissing, ""))?;
    let household = known.household(&slip.unit, household_key(&slip.household_no));
    let birth_month = month_of(slip.event.solar);
    Ok(Draft {
        body: Body::Birth(Birth {
            household,
            sex,
            birth_month,
            mother: mother.map(|mother| mother.id),
            mother_birth_month: mother.map(|mother| mother.birth_month),
            birth_order: slip.birth_order.unwrap_or_default(),
            birth_weight_g: slip.birth_weight_g.unwrap_or_default(),
            birth_place: slip.birth_place,
        }),
        event_date: Some(slip.event.signed_month()),
        reported_on: Some(slip.reported_on.packed()),
        part: IdentityPart { event_date: slip.event.solar.packed(), ..part(slip, false) },
        person: Whom::New(&slip.person_ref, sex, birth_month, household),
    })
}

fn move_in<'a>(slip: &'a Slip, former: Option<KnownPerson>, known: &Known) -> Drafted<'a> {
    let household = known.household(&slip.unit, household_key(&slip.household_no));
    let said = slip.about.birth_date.map(month_of);
    if let Some(former) = former {
        // One reference is one person, so that whoever differs in what cannot change is somebody else.
        if slip.about.sex.is_some_and(|sex| sex != former.sex)
            || said.is_some_and(|month| !same_month(month, former.birth_month))
        {
            return Err(refused(slip, Column::PersonRef, Reason::PersonKnown, &slip.person_ref));
        }
    } else {
        let about = &slip.about;
        for (empty, column) in [
            (about.full_name.is_empty(), Column::FullName),
            (about.sex.is_none(), Column::Sex),
            (said.is_none(), Column::BirthDate),
        ] {
            if empty {
                return Err(refused(slip, column, Reason::FieldMissing, ""));
            }
        }
    }
    let sex = slip.about.sex.or(former.map(|former| former.sex));
    let sex = sex.ok_or_else(|| refused(slip, Column::Sex, Reason::FieldMissing, ""))?;
    let birth_month = said.or(former.map(|former| former.birth_month));
    let birth_month = birth_month.ok_or_else(|| refused(slip, Column::BirthDate, Reason::FieldMissing, ""))?;
    after_birth(slip, birth_month)?;
    let person = match former {
        Some(former) => Whom::Changed(&slip.person_ref, KnownPerson { household, ..former }),
        None => Whom::New(&slip.person_ref, sex, birth_month, household),
    };
    Ok(Draft {
        body: Body::MovedIn(MovedIn {
            person: former.map(|former| former.id),
            household,
            sex,
            birth_month,
            other_unit: slip.other_unit.clone(),
        }),
        event_date: Some(slip.event.signed()),
        reported_on: Some(slip.reported_on.packed()),
        part: part(slip, false),
        person,
    })
}

/// Whether two yyyymm may be the same month, 00 being any.
fn same_month(a: u32, b: u32) -> bool {
    a == b || (a / 100 == b / 100 && (a.is_multiple_of(100) || b.is_multiple_of(100)))
}

/// The change that an update or a retraction corrects: a slip by its number, or the person's row of the household book by the person's
/// reference.
fn corrected(slip: &Slip, person: KnownPerson, known: &Known) -> Result<Source, Box<Outcome>> {
    let in_book = || {
        let row = known.source(&slip.unit, Form::Households, &slip.refers_to)?;
        (slip.refers_to == slip.person_ref && row.person == person.id).then_some(row)
    };
    let of_slip = known.source(&slip.unit, Form::Changes, &slip.refers_to);
    if let Some(row) = of_slip.is_none_or(|source| source.person != person.id).then(in_book).flatten() {
        return Ok(row);
    }
    match of_slip {
        Some(source) if source.person == person.id => Ok(source),
        Some(_) => Err(refused(slip, Column::RefersTo, Reason::CorrectsNothing, &slip.refers_to)),
        None if known.is_waiting(&slip.unit, &slip.refers_to) => Err(waits(slip, MissingWhat::Slip, &slip.refers_to)),
        None => Err(refused(slip, Column::RefersTo, Reason::SlipUnknown, &slip.refers_to)),
    }
}

fn retract<'a>(slip: &'a Slip, person: KnownPerson, known: &Known) -> Drafted<'a> {
    let refers_to = corrected(slip, person, known)?.change;
    Ok(Draft {
        // Why is in the note, and a note may name people: it stays in the part.
        body: Body::Retraction(Retraction { person: person.id, refers_to, reason: String::new() }),
        event_date: Some(slip.event.signed()),
        reported_on: Some(slip.reported_on.packed()),
        part: part(slip, is_household_of(slip, person, known)),
        person: Whom::Known(person.id),
    })
}

/// With `refers_to` the date and every field that is filled replace those of the corrected change, without it those of the person.
fn update<'a>(slip: &'a Slip, person: KnownPerson, known: &Known) -> Drafted<'a> {
    let about = &slip.about;
    let source = match slip.refers_to.is_empty() {
        true => None,
        false => Some(corrected(slip, person, known)?),
    };
    let of_birth = source.is_some_and(|source| source.birth);
    let said = about.birth_date.map(month_of);
    // The date of a birth is the date of birth.
    let birth_month = said.or(Some(month_of(slip.event.solar)).filter(|_| of_birth));
    let same_household = is_household_of(slip, person, known);
    let household = match (same_household, known.household(&slip.unit, household_key(&slip.household_no))) {
        (true, _) => None,
        (false, Some(household)) => Some(NewHousehold::Existing(household)),
        (false, None) => Some(NewHousehold::Begun),
    };
    let says_nothing = about.sex.is_none()
        && said.is_none()
        && about.marital_status.is_none()
        && slip.method.is_none()
        && household.is_none()
        && [&about.full_name, &about.national_id, &about.health_insurance_no, &about.ethnicity]
            .iter()
            .all(|text| text.is_empty());
    if source.is_none() && says_nothing {
        return Err(refused(slip, Column::ChangeType, Reason::NothingToUpdate, ""));
    }
    if !of_birth {
        after_birth(slip, birth_month.unwrap_or(person.birth_month))?;
    }
    let mother = known.person(&slip.unit, &slip.mother_ref).map(|mother| mother.birth_month);
    let corrects = |filled: bool| source.is_some() && filled;
    let body = Body::PersonUpdated(PersonUpdated {
        person: person.id,
        refers_to: source.map(|source| source.change),
        sex: about.sex,
        birth_month,
        marital_status: about.marital_status,
        method: slip.method,
        household,
        birth_order: slip.birth_order.filter(|_| source.is_some()),
        mother_birth_month: mother.filter(|_| source.is_some()),
        other_unit: corrects(slip.other_unit.is_some()).then(|| slip.other_unit.clone()),
        reason: String::new(),
    });
    let event_date = if of_birth { slip.event.signed_month() } else { slip.event.signed() };
    let mut part = part(slip, same_household);
    if of_birth {
        part.event_date = slip.event.solar.packed();
    }
    let after = KnownPerson {
        sex: about.sex.unwrap_or(person.sex),
        birth_month: birth_month.unwrap_or(person.birth_month),
        household: match household {
            Some(NewHousehold::Existing(household)) => Some(household),
            _ => person.household,
        },
        ..person
    };
    Ok(Draft {
        body,
        event_date: Some(event_date),
        reported_on: Some(slip.reported_on.packed()),
        part,
        person: Whom::Changed(&slip.person_ref, after),
    })
}
