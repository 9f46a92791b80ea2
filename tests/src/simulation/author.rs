//! What people write: slips about persons, most of them sensible, some not. It knows no logs.

use danso_core::calendar::{VIET_NAM_OFFSET_MINUTES, civil_from_unix_ms};
use danso_core::ledger::Draft;
use danso_proto::change::{
    Birth, Body, Change, ContraceptionChanged, Death, Divorce, EventDate, FindingOpened, MaritalStatus, Marriage,
    Method, MovedIn, MovedOut, NewHousehold, PeriodClosed, PersonEnrolled, PersonUpdated, Retraction, Severity, Sex,
};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, PersonId, UnitCode};

use super::cast::code;
use super::node::Node;
use super::rng::Rng;

/// Changes in a set at most.
const CHANGES: usize = 4;

/// A change without meaning that nothing else is known of.
pub fn change(unit: UnitCode, body: Body) -> Change {
    Change { unit, hamlet: String::new(), event_date: None, reported_on: None, identity_commitment: None, body }
}

/// A draft of one change.
pub fn single(rng: &mut Rng, now_ms: i64, change: Change) -> Draft {
    Draft { first_id: Node::change_id(now_ms, rng.bytes()), changes: vec![change], parts: vec![None] }
}

/// A change set about people of `units`; the persons that it makes known are added to `roster`.
pub fn slips(
    rng: &mut Rng,
    now_ms: i64,
    units: &'static [&'static str],
    roster: &mut Vec<(PersonId, &'static str)>,
) -> Option<Draft> {
    let first_id = Node::change_id(now_ms, rng.bytes());
    let (mut changes, mut parts) = (Vec::new(), Vec::new());
    for at in 0..=rng.below(CHANGES) {
        let unit = *rng.pick(units)?;
        let id = first_id.at(at as u32)?;
        let (change, part) = slip(rng, now_ms, unit, id, roster);
        changes.push(change);
        parts.push(part);
    }
    Some(Draft { first_id, changes, parts })
}

/// A letter from above about a record.
pub fn letter(rng: &mut Rng, now_ms: i64, unit: UnitCode) -> Draft {
    let body = Body::FindingOpened(FindingOpened {
        change: Node::change_id(now_ms, rng.bytes()),
        reason: "person_unknown".into(),
        severity: Severity::Error,
        other: None,
        seen: Vec::new(),
    });
    single(rng, now_ms, change(unit, body))
}

fn slip(
    rng: &mut Rng,
    now_ms: i64,
    unit: &'static str,
    id: ChangeId,
    roster: &mut Vec<(PersonId, &'static str)>,
) -> (Change, Option<IdentityPart>) {
    let today = civil_from_unix_ms(now_ms, VIET_NAM_OFFSET_MINUTES).month();
    let sex = if rng.one_in(2) { Sex::Male } else { Sex::Female };
    // Most happened lately; one in thirty is dated in the future by mistake.
    let month = match rng.below(30) {
        0 => today.add_months(2),
        1..12 => today,
        n => today.add_months(-(n as i32)),
    };
    let born = month.add_months(-(rng.below(900) as i32));
    // A slip can be about a person of another unit, or about nobody: both are findings, and nobody's trouble.
    let known = roster.len().checked_sub(1).map(|last| roster[last - rng.below(last.min(30) + 1)].0);
    let person = known.filter(|_| !rng.one_in(25)).unwrap_or_else(|| Node::change_id(now_ms, rng.bytes()));
    let household = known.filter(|_| rng.one_in(2));
    let other_unit = [None, Some(code("42")), Some(code("16720"))][rng.below(3)].clone();
    let kind = if known.is_none() { 0 } else { rng.below(24) };
    let (body, makes_known) = match kind {
        0..7 => (
            Body::PersonEnrolled(PersonEnrolled {
                household,
                sex,
                birth_month: born.ymm(),
                marital_status: MaritalStatus::ALL.get(rng.below(6)).copied(),
                method: None,
                resident_since: None,
            }),
            true,
        ),
        7..10 => (
            Body::Birth(Birth {
                household,
                sex,
                birth_month: month.ymm(),
                mother: None,
                mother_birth_month: Some(month.add_months(-300).ymm()),
                birth_order: 1 + rng.below(4) as u32,
                birth_weight_g: 3_100,
                birth_place: None,
            }),
            true,
        ),
        10 => (Body::MovedIn(MovedIn { person: None, household, sex, birth_month: born.ymm(), other_unit }), true),
        11 => (
            Body::MovedIn(MovedIn { person: Some(person), household, sex, birth_month: born.ymm(), other_unit }),
            false,
        ),
        12..14 => (Body::MovedOut(MovedOut { person, other_unit }), false),
        14..16 => (Body::Death(Death { person }), false),
        16..18 => (Body::Marriage(Marriage { person, spouse: None }), false),
        18 => (Body::Divorce(Divorce { person, spouse: None }), false),
        19 => {
            let method = Method::ALL[rng.below(Method::ALL.len())];
            (Body::ContraceptionChanged(ContraceptionChanged { person, method, method_since: None }), false)
        }
        20 | 21 => (
            Body::PersonUpdated(PersonUpdated {
                person,
                refers_to: None,
                sex: Some(sex),
                birth_month: Some(born.ymm()),
                marital_status: None,
                method: None,
                household: rng.one_in(3).then_some(NewHousehold::Begun),
                birth_order: None,
                mother_birth_month: None,
                other_unit: None,
                reason: String::new(),
            }),
            false,
        ),
        22 => (Body::Retraction(Retraction { person, refers_to: person, reason: "twice".into() }), false),
        _ => (Body::PeriodClosed(PeriodClosed { month: month.ymm() }), false),
    };
    if makes_known {
        roster.push((id, unit));
    }
    let part = (makes_known && rng.one_in(2)).then(|| IdentityPart {
        person_ref: format!("P{}", rng.below(1_000)),
        full_name: "Vi Thị Mai".into(),
        household_no: format!("H{}", rng.below(50)),
        ..Default::default()
    });
    let dated = !matches!(body, Body::PersonEnrolled(_) | Body::PeriodClosed(_));
    let event_date = dated.then(|| EventDate::solar(month.ymm() * 100 + 1 + rng.below(28) as u32));
    (Change { event_date, ..change(code(unit), body) }, part)
}
