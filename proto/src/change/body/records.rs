//! Kinds of the stream `records`.

use super::*;

kind! {
    /// A resident taken over from the household book. Person id: the change's id.
    PersonEnrolled {
        household: Option<HouseholdId>,
        sex: Sex,
        birth_month: u32,
        marital_status: Option<MaritalStatus>,
        method: Option<Method>,
        resident_since: Option<u32>,
    }
    from(m) Ok(Self {
        household: id_or_none(&m.household)?,
        sex: Sex::required(m.sex)?,
        birth_month: packed_month(m.birth_month)?.ok_or_else(|| malformed("no birth month"))?,
        marital_status: MaritalStatus::from_code(m.marital_status)?,
        method: Method::from_code(m.method)?,
        resident_since: packed_date(m.resident_since)?,
    });
    to(s) pb::PersonEnrolled {
        household: id_bytes(s.household),
        sex: s.sex.code(),
        birth_month: s.birth_month,
        marital_status: s.marital_status.map_or(0, MaritalStatus::code),
        method: s.method.map_or(0, Method::code),
        resident_since: s.resident_since.unwrap_or_default(),
    }
}

kind! {
    /// A live birth. Person id: the change's id.
    Birth {
        household: Option<HouseholdId>,
        sex: Sex,
        birth_month: u32,
        mother: Option<PersonId>,
        mother_birth_month: Option<u32>,
        birth_order: u32,
        birth_weight_g: u32,
        birth_place: Option<BirthPlace>,
    }
    from(m) Ok(Self {
        household: id_or_none(&m.household)?,
        sex: Sex::required(m.sex)?,
        birth_month: packed_month(m.birth_month)?.ok_or_else(|| malformed("no birth month"))?,
        mother: id_or_none(&m.mother)?,
        mother_birth_month: packed_month(m.mother_birth_month)?,
        birth_order: m.birth_order,
        birth_weight_g: m.birth_weight_g,
        birth_place: BirthPlace::from_code(m.birth_place)?,
    });
    to(s) pb::Birth {
        household: id_bytes(s.household),
        sex: s.sex.code(),
        birth_month: s.birth_month,
        mother: id_bytes(s.mother),
        mother_birth_month: s.mother_birth_month.unwrap_or_default(),
        birth_order: s.birth_order,
        birth_weight_g: s.birth_weight_g,
        birth_place: s.birth_place.map_or(0, BirthPlace::code),
    }
}

kind! {
    /// A death.
    Death { person: PersonId, }
    from(m) Ok(Self { person: id(&m.person)? });
    to(s) pb::Death { person: id_bytes(Some(s.person)) }
}

kind! {
    /// One person marries.
    Marriage { person: PersonId, spouse: Option<PersonId>, }
    from(m) Ok(Self { person: id(&m.person)?, spouse: id_or_none(&m.spouse)? });
    to(s) pb::Marriage { person: id_bytes(Some(s.person)), spouse: id_bytes(s.spouse) }
}

kind! {
    /// One person divorces.
    Divorce { person: PersonId, spouse: Option<PersonId>, }
    from(m) Ok(Self { person: id(&m.person)?, spouse: id_or_none(&m.spouse)? });
    to(s) pb::Divorce { person: id_bytes(Some(s.person)), spouse: id_bytes(s.spouse) }
}

kind! {
    /// A resident leaves.
    MovedOut { person: PersonId, other_unit: Option<UnitCode>, }
    from(m) Ok(Self { person: id(&m.person)?, other_unit: unit_or_none(&m.other_unit)? });
    to(s) pb::MovedOut {
        person: id_bytes(Some(s.person)),
        other_unit: s.other_unit.as_ref().map(UnitCode::to_string).unwrap_or_default(),
    }
}

kind! {
    /// Somebody becomes a resident. Person id: `person` for one who is back, else the change's id.
    MovedIn {
        person: Option<PersonId>,
        household: Option<HouseholdId>,
        sex: Sex,
        birth_month: u32,
        other_unit: Option<UnitCode>,
    }
    from(m) Ok(Self {
        person: id_or_none(&m.person)?,
        household: id_or_none(&m.household)?,
        sex: Sex::required(m.sex)?,
        birth_month: packed_month(m.birth_month)?.ok_or_else(|| malformed("no birth month"))?,
        other_unit: unit_or_none(&m.other_unit)?,
    });
    to(s) pb::MovedIn {
        person: id_bytes(s.person),
        household: id_bytes(s.household),
        sex: s.sex.code(),
        birth_month: s.birth_month,
        other_unit: s.other_unit.as_ref().map(UnitCode::to_string).unwrap_or_default(),
    }
}

kind! {
    /// Contraception starts, changes or stops.
    ContraceptionChanged { person: PersonId, method: Method, method_since: Option<u32>, }
    from(m) Ok(Self {
        person: id(&m.person)?,
        method: Method::from_code(m.method)?.ok_or_else(|| malformed("no method"))?,
        method_since: packed_date(m.method_since)?,
    });
    to(s) pb::ContraceptionChanged {
        person: id_bytes(Some(s.person)),
        method: s.method.code(),
        method_since: s.method_since.unwrap_or_default(),
    }
}

/// The household that an update names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewHousehold {
    /// One that exists.
    Existing(HouseholdId),
    /// One that this change begins.
    Begun,
}

kind! {
    /// A correction. Only what is set changes.
    PersonUpdated {
        person: PersonId,
        refers_to: Option<ChangeId>,
        sex: Option<Sex>,
        birth_month: Option<u32>,
        marital_status: Option<MaritalStatus>,
        method: Option<Method>,
        household: Option<NewHousehold>,
        birth_order: Option<u32>,
        mother_birth_month: Option<u32>,
        /// Set and `None`: abroad or unknown.
        other_unit: Option<Option<UnitCode>>,
        reason: String,
    }
    from(m) {
        text("reason", &m.reason, limits::NOTE_MAX)?;
        Ok(Self {
            person: id(&m.person)?,
            refers_to: id_or_none(&m.refers_to)?,
            sex: m.sex.map(Sex::required).transpose()?,
            birth_month: packed_month(m.birth_month.unwrap_or_default())?,
            marital_status: MaritalStatus::from_code(m.marital_status.unwrap_or_default())?,
            method: Method::from_code(m.method.unwrap_or_default())?,
            household: match m.household {
                None => None,
                Some(bytes) => Some(id_or_none(&bytes)?.map_or(NewHousehold::Begun, NewHousehold::Existing)),
            },
            birth_order: m.birth_order,
            mother_birth_month: packed_month(m.mother_birth_month.unwrap_or_default())?,
            other_unit: m.other_unit.map(|code| unit_or_none(&code)).transpose()?,
            reason: m.reason,
        })
    };
    to(s) pb::PersonUpdated {
        person: id_bytes(Some(s.person)),
        refers_to: id_bytes(s.refers_to),
        sex: s.sex.map(Sex::code),
        birth_month: s.birth_month,
        marital_status: s.marital_status.map(MaritalStatus::code),
        method: s.method.map(Method::code),
        household: s.household.map(|household| match household {
            NewHousehold::Existing(household) => id_bytes(Some(household)),
            NewHousehold::Begun => Bytes::new(),
        }),
        birth_order: s.birth_order,
        mother_birth_month: s.mother_birth_month,
        other_unit: s.other_unit.as_ref().map(|unit| unit.as_ref().map(UnitCode::to_string).unwrap_or_default()),
        reason: s.reason.clone(),
    }
}

kind! {
    /// An earlier change was wrong altogether.
    Retraction { person: PersonId, refers_to: ChangeId, reason: String, }
    from(m) {
        text("reason", &m.reason, limits::NOTE_MAX)?;
        Ok(Self { person: id(&m.person)?, refers_to: id(&m.refers_to)?, reason: m.reason })
    };
    to(s) pb::Retraction {
        person: id_bytes(Some(s.person)),
        refers_to: id_bytes(Some(s.refers_to)),
        reason: s.reason.clone(),
    }
}

kind! {
    /// A unit's month is complete.
    PeriodClosed { month: u32, }
    from(m) Ok(Self { month: packed_month(m.month)?.ok_or_else(|| malformed("no month"))? });
    to(s) pb::PeriodClosed { month: s.month }
}

kind! {
    /// Somebody says something about a finding that a record has.
    FindingAnswered { change: ChangeId, code: String, verdict: Verdict, }
    from(m) {
        text("code", &m.code, limits::TEXT_MAX)?;
        Ok(Self {
            change: id(&m.change_id)?,
            code: m.code,
            verdict: match pb::FindingVerdict::try_from(m.verdict) {
                Ok(pb::FindingVerdict::Right) => Verdict::Right,
                Ok(pb::FindingVerdict::Withdrawn) => Verdict::Withdrawn(id(&m.withdraws)?),
                Ok(pb::FindingVerdict::Unspecified) => return Err(malformed("no verdict")),
                Err(_) => return Err(newer("verdict", m.verdict)),
            },
        })
    };
    to(s) pb::FindingAnswered {
        change_id: id_bytes(Some(s.change)),
        code: s.code.clone(),
        verdict: match s.verdict {
            Verdict::Right => pb::FindingVerdict::Right,
            Verdict::Withdrawn(_) => pb::FindingVerdict::Withdrawn,
        } as i32,
        withdraws: match s.verdict {
            Verdict::Right => Bytes::new(),
            Verdict::Withdrawn(answer) => id_bytes(Some(answer)),
        },
    }
}
