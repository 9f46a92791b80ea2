//! Changes for the tests of this and of the next rooms.

use danso_proto::change::{
    Birth, Body, Change, ContraceptionChanged, Death, Divorce, EventDate, MaritalStatus, Marriage, Method, MovedIn,
    MovedOut, NewHousehold, PersonEnrolled, PersonUpdated, Retraction, Sex,
};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::{ChangeId, UnitCode};
use proptest::prelude::*;

use super::RegisterChange;
use super::change::taken;
use crate::calendar::Month;

/// 2021-01-01 00:00 UTC.
pub(crate) const RECORDED_AT_MS: i64 = 1_609_459_200_000;

pub(crate) fn id(n: u32) -> ChangeId {
    ChangeId::first(1, [0; 6]).at(n).expect("a small number")
}

pub(crate) fn unit(code: &str) -> UnitCode {
    code.parse().expect("a code")
}

pub(crate) fn month(ymm: u32) -> Month {
    Month::from_ymm(ymm).expect("a month")
}

/// A fact that happened on `date` and was reported on `reported`, both yyyymmdd.
pub(crate) fn fact(n: u32, code: &str, date: u32, reported: u32, body: Body) -> RegisterChange {
    labelled(n, code, date, reported, body, None)
}

pub(crate) fn labelled(
    n: u32,
    code: &str,
    date: u32,
    reported: u32,
    body: Body,
    part: Option<IdentityPart>,
) -> RegisterChange {
    let change = Change {
        unit: unit(code),
        hamlet: String::new(),
        event_date: (date != 0).then(|| EventDate::solar(date)),
        reported_on: (reported != 0).then_some(reported),
        identity_commitment: None,
        body,
    };
    taken(id(n), &change, part).changes.pop().expect("a change about a person")
}

pub(crate) fn enrolled(household: Option<ChangeId>, sex: Sex, birth_month: u32) -> Body {
    Body::PersonEnrolled(PersonEnrolled {
        household,
        sex,
        birth_month,
        marital_status: Some(MaritalStatus::Single),
        method: None,
        resident_since: None,
    })
}

pub(crate) fn born(household: Option<ChangeId>, sex: Sex, birth_month: u32, order: u32, mother: Option<u32>) -> Body {
    Body::Birth(Birth {
        household,
        sex,
        birth_month,
        mother: None,
        mother_birth_month: mother,
        birth_order: order,
        birth_weight_g: 0,
        birth_place: None,
    })
}

pub(crate) fn moved_in(
    person: Option<ChangeId>,
    household: Option<ChangeId>,
    sex: Sex,
    birth: u32,
    from: &str,
) -> Body {
    let other_unit = (!from.is_empty()).then(|| unit(from));
    Body::MovedIn(MovedIn { person, household, sex, birth_month: birth, other_unit })
}

pub(crate) fn moved_out(person: ChangeId, to: &str) -> Body {
    Body::MovedOut(MovedOut { person, other_unit: (!to.is_empty()).then(|| unit(to)) })
}

pub(crate) fn died(person: ChangeId) -> Body {
    Body::Death(Death { person })
}

pub(crate) fn married(person: ChangeId) -> Body {
    Body::Marriage(Marriage { person, spouse: None })
}

pub(crate) fn divorced(person: ChangeId) -> Body {
    Body::Divorce(Divorce { person, spouse: None })
}

pub(crate) fn uses(person: ChangeId, method: Method) -> Body {
    Body::ContraceptionChanged(ContraceptionChanged { person, method, method_since: None })
}

pub(crate) fn retracted(person: ChangeId, refers_to: ChangeId) -> Body {
    Body::Retraction(Retraction { person, refers_to, reason: String::new() })
}

pub(crate) fn update(person: ChangeId, refers_to: Option<ChangeId>) -> PersonUpdated {
    PersonUpdated {
        person,
        refers_to,
        sex: None,
        birth_month: None,
        marital_status: None,
        method: None,
        household: None,
        birth_order: None,
        mother_birth_month: None,
        other_unit: None,
        reason: String::new(),
    }
}

/// Any facts about up to three persons in two units, sensible or not, in the order of their ids.
pub(crate) fn any_facts() -> impl Strategy<Value = Vec<RegisterChange>> {
    let one = (0u8..14, 0u32..3, 0u32..30, 0u32..29, 0u32..4, 0usize..8, 0u32..40);
    proptest::collection::vec(one, 1..24).prop_map(|all| (0..).zip(all).map(|(n, one)| any_fact(n, one)).collect())
}

fn any_fact(
    n: u32,
    (kind, who, at, day, delay, variant, target): (u8, u32, u32, u32, u32, usize, u32),
) -> RegisterChange {
    let first = month(202_001);
    let code = ["A", "B"][usize::from(variant == 7)];
    let date = first.add_months(at as i32).ymm() * 100 + day;
    let reported = first.add_months((at + delay) as i32).ymm() * 100 + 28;
    let person = id(who);
    let household = (variant % 3 != 0).then(|| id(target % 4));
    let sex = [Sex::Male, Sex::Female][variant % 2];
    let birth = 198_000 + target % 13;
    // Persons are called after changes 0 to 2, which make them known, if they do.
    let body = match kind {
        0..=2 => enrolled(household, sex, birth),
        3 if n < 3 => born(household, sex, date / 100, target, Some(birth)),
        3..=5 => moved_in((n >= 3).then_some(person), household, sex, birth, ["", "A", "C"][variant % 3]),
        6 => moved_out(person, ["", "B", "C"][variant % 3]),
        7 => died(person),
        8 => married(person),
        9 => divorced(person),
        10 => uses(person, Method::ALL[variant]),
        11 => retracted(person, id(target)),
        12 => Body::PersonUpdated(PersonUpdated {
            marital_status: MaritalStatus::ALL.get(variant).copied(),
            sex: (variant == 6).then_some(sex),
            birth_month: (variant == 5).then_some(birth),
            household: (variant == 4).then_some(NewHousehold::Begun),
            ..update(person, None)
        }),
        _ => Body::PersonUpdated(PersonUpdated {
            method: Method::ALL.get(variant).copied(),
            sex: (variant == 6).then_some(sex),
            household: (variant == 4).then_some(NewHousehold::Existing(id(target))),
            other_unit: (variant == 3).then(|| Some(unit("C"))),
            ..update(person, Some(id(target)))
        }),
    };
    fact(n, code, if variant == 1 { 0 } else { date }, reported, body)
}
