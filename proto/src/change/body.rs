//! The kinds of change. Each kind's meaning stands beside its message in `change.proto`.

use super::*;

/// Sex as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Sex {
    /// Nam.
    Male,
    /// Nữ.
    Female,
}

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident, $pb:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs, reason = "the variants are the words of import-format.md")]
        pub enum $name { $($variant,)* }

        impl $name {
            /// All values, in the order of the form.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in files and on screens.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value with this word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($text => Some(Self::$variant),)* _ => None }
            }

            fn from_code(code: i32) -> Result<Option<Self>, Refusal> {
                match pb::$pb::try_from(code) {
                    Ok(pb::$pb::Unspecified) => Ok(None),
                    $(Ok(pb::$pb::$variant) => Ok(Some(Self::$variant)),)*
                    Err(_) => Err(newer(concat!(stringify!($name)), code)),
                }
            }

            fn code(self) -> i32 {
                match self { $(Self::$variant => pb::$pb::$variant as i32,)* }
            }
        }
    };
}

coded! {
    /// Marital status as recorded.
    MaritalStatus, MaritalStatus {
        Single = "single", Married = "married", Widowed = "widowed", Divorced = "divorced", Separated = "separated",
    }
}

coded! {
    /// Contraceptive method.
    Method, ContraceptiveMethod {
        None = "none", Iud = "iud", SterilisationMale = "sterilisation_male", SterilisationFemale = "sterilisation_female",
        Implant = "implant", Injectable = "injectable", PillCombined = "pill_combined", PillProgestin = "pill_progestin",
        PillEmergency = "pill_emergency", Condom = "condom", Calendar = "calendar", Withdrawal = "withdrawal",
        LactationalAmenorrhoea = "lactational_amenorrhoea", Spermicide = "spermicide", Other = "other",
    }
}

coded! {
    /// Where a birth took place.
    BirthPlace, BirthPlace { Facility = "facility", Home = "home", Elsewhere = "elsewhere", }
}

coded! {
    /// What a child's link carries.
    ForwardingPolicy, ForwardingPolicy { Full = "full", Deidentified = "deidentified", Aggregates = "aggregates", }
}

/// A value that a newer version added: the change is carried like one of an unknown kind, so that a newer author's log goes on.
fn newer(what: &str, code: i32) -> Refusal {
    Refusal::new(Reason::KindUnknown, format!("{what} {code}"))
}

impl Method {
    /// Modern methods: all from `iud` to `condom`, and `spermicide` (import-format.md).
    pub fn is_modern(self) -> bool {
        !matches!(
            self,
            Self::None | Self::Calendar | Self::Withdrawal | Self::LactationalAmenorrhoea | Self::Other
        )
    }
}

impl Sex {
    /// `M` or `F`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Male => "M",
            Self::Female => "F",
        }
    }

    fn from_code(code: i32) -> Result<Option<Self>, Refusal> {
        match pb::Sex::try_from(code) {
            Ok(pb::Sex::Unspecified) => Ok(None),
            Ok(pb::Sex::Male) => Ok(Some(Self::Male)),
            Ok(pb::Sex::Female) => Ok(Some(Self::Female)),
            Err(_) => Err(newer("sex", code)),
        }
    }

    fn required(code: i32) -> Result<Self, Refusal> {
        Self::from_code(code)?.ok_or_else(|| malformed("no sex"))
    }

    fn code(self) -> i32 {
        match self {
            Self::Male => pb::Sex::Male as i32,
            Self::Female => pb::Sex::Female as i32,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each kind is described at its struct")]
pub enum Body {
    PersonEnrolled(PersonEnrolled),
    Birth(Birth),
    Death(Death),
    Marriage(Marriage),
    Divorce(Divorce),
    MovedOut(MovedOut),
    MovedIn(MovedIn),
    ContraceptionChanged(ContraceptionChanged),
    PersonUpdated(PersonUpdated),
    Retraction(Retraction),
    PeriodClosed(PeriodClosed),
    Genesis(Genesis),
    NodeEnrolled(NodeEnrolled),
    NodeRekeyed(NodeRekeyed),
    NodeRevoked(NodeRevoked),
    UnitsPublished(UnitsPublished),
    UnitsReorganised(UnitsReorganised),
    PolicyPublished(PolicyPublished),
    FindingOpened(FindingOpened),
    FindingClosed(FindingClosed),
    TransferOffered(TransferOffered),
    ReceiptForwarded(ReceiptForwarded),
    /// A kind that this version does not know. Carried as it is, listed, not counted. Cannot be written.
    Unknown,
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }
     from($m:ident) $from:expr; to($s:ident) $to:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are described in change.proto")]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl $name {
            fn from_pb($m: pb::$name) -> Result<Self, Refusal> { $from }
            fn to_pb(&self) -> pb::$name { let $s = self; $to }
        }
    };
}

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
    /// The central node and its first log key.
    Genesis { node: NodeId, unit: UnitCode, log_public_key: [u8; 32], trust_domain: String, }
    from(m) {
        text("trust domain", &m.trust_domain, limits::TEXT_MAX)?;
        Ok(Self {
            node: m.node.parse()?,
            unit: m.unit.parse()?,
            log_public_key: key(&m.log_public_key)?,
            trust_domain: m.trust_domain,
        })
    };
    to(s) pb::Genesis {
        node: s.node.to_string(),
        unit: s.unit.to_string(),
        log_public_key: Bytes::copy_from_slice(&s.log_public_key),
        trust_domain: s.trust_domain.clone(),
    }
}

kind! {
    /// A parent enrols a child.
    NodeEnrolled { node: NodeId, unit: UnitCode, log_public_key: [u8; 32], policy: ForwardingPolicy, }
    from(m) Ok(Self {
        node: m.node.parse()?,
        unit: m.unit.parse()?,
        log_public_key: key(&m.log_public_key)?,
        policy: ForwardingPolicy::from_code(m.policy)?.ok_or_else(|| malformed("no forwarding policy"))?,
    });
    to(s) pb::NodeEnrolled {
        node: s.node.to_string(),
        unit: s.unit.to_string(),
        log_public_key: Bytes::copy_from_slice(&s.log_public_key),
        policy: s.policy.code(),
    }
}

kind! {
    /// A node's next log key.
    NodeRekeyed { node: NodeId, log_public_key: [u8; 32], }
    from(m) Ok(Self { node: m.node.parse()?, log_public_key: key(&m.log_public_key)? });
    to(s) pb::NodeRekeyed {
        node: s.node.to_string(),
        log_public_key: Bytes::copy_from_slice(&s.log_public_key),
    }
}

kind! {
    /// A node's logs count up to a size and no further.
    NodeRevoked { node: NodeId, bounds: Vec<(LogId, u64)>, reason: String, }
    from(m) {
        text("reason", &m.reason, limits::NOTE_MAX)?;
        let bounds = m.bounds.iter().map(|b| Ok((b.log.parse()?, b.valid_size))).collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self { node: m.node.parse()?, bounds, reason: m.reason })
    };
    to(s) pb::NodeRevoked {
        node: s.node.to_string(),
        bounds: s
            .bounds
            .iter()
            .map(|(log, size)| pb::LogBound { log: log.to_string(), valid_size: *size })
            .collect(),
        reason: s.reason.clone(),
    }
}

/// A unit as published: the tier is text here, because only the core knows tiers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are described in change.proto")]
pub struct PublishedUnit {
    pub code: UnitCode,
    pub name: String,
    pub tier: String,
    pub parent: Option<UnitCode>,
}

kind! {
    /// A part of a dated unit list.
    UnitsPublished {
        version: String,
        valid_from: Option<u32>,
        part: u32,
        parts: u32,
        digest: [u8; 32],
        units: Vec<PublishedUnit>,
    }
    from(m) {
        text("units version", &m.version, 32)?;
        if m.units.len() > limits::UNITS_PER_PART {
            return Err(Refusal::new(Reason::TooLarge, format!("{} units in a part", m.units.len())));
        }
        let units = m.units.into_iter().map(|u| {
            text("unit name", &u.name, limits::TEXT_MAX)?;
            text("tier", &u.tier, 32)?;
            Ok(PublishedUnit { code: u.code.parse()?, name: u.name, tier: u.tier, parent: unit_or_none(&u.parent)? })
        }).collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self {
            version: m.version,
            valid_from: packed_date(m.valid_from)?,
            part: m.part,
            parts: m.parts,
            digest: key(&m.digest)?,
            units,
        })
    };
    to(s) pb::UnitsPublished {
        version: s.version.clone(),
        valid_from: s.valid_from.unwrap_or_default(),
        part: s.part,
        parts: s.parts,
        digest: Bytes::copy_from_slice(&s.digest),
        units: s.units.iter().map(|u| pb::Unit {
            code: u.code.to_string(),
            name: u.name.clone(),
            tier: u.tier.clone(),
            parent: u.parent.as_ref().map(UnitCode::to_string).unwrap_or_default(),
        }).collect(),
    }
}

/// What became of an old unit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are described in change.proto")]
pub struct Succession {
    pub old_code: UnitCode,
    pub new_code: UnitCode,
    pub whole: bool,
    pub default_target: bool,
}

kind! {
    /// What became of units when a list replaced another.
    UnitsReorganised { from_version: String, to_version: String, successions: Vec<Succession>, }
    from(m) {
        text("units version", &m.from_version, 32)?;
        text("units version", &m.to_version, 32)?;
        let successions = m.successions.iter().map(|s| Ok(Succession {
            old_code: s.old_code.parse()?,
            new_code: s.new_code.parse()?,
            whole: s.whole,
            default_target: s.default_target,
        })).collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self { from_version: m.from_version, to_version: m.to_version, successions })
    };
    to(s) pb::UnitsReorganised {
        from_version: s.from_version.clone(),
        to_version: s.to_version.clone(),
        successions: s.successions.iter().map(|s| pb::Succession {
            old_code: s.old_code.to_string(),
            new_code: s.new_code.to_string(),
            whole: s.whole,
            default_target: s.default_target,
        }).collect(),
    }
}

kind! {
    /// Rules of the federation.
    PolicyPublished { min_version: String, }
    from(m) {
        text("version", &m.min_version, 32)?;
        Ok(Self { min_version: m.min_version })
    };
    to(s) pb::PolicyPublished { min_version: s.min_version.clone() }
}

kind! {
    /// A receiver found a record that it cannot count.
    FindingOpened { change: ChangeId, reason: String, }
    from(m) {
        text("reason", &m.reason, limits::TEXT_MAX)?;
        Ok(Self { change: id(&m.change_id)?, reason: m.reason })
    };
    to(s) pb::FindingOpened { change_id: id_bytes(Some(s.change)), reason: s.reason.clone() }
}

kind! {
    /// A finding was settled.
    FindingClosed { change: ChangeId, note: String, }
    from(m) {
        text("note", &m.note, limits::NOTE_MAX)?;
        Ok(Self { change: id(&m.change_id)?, note: m.note })
    };
    to(s) pb::FindingClosed { change_id: id_bytes(Some(s.change)), note: s.note.clone() }
}

kind! {
    /// A commune tells another that a person comes to it.
    TransferOffered { person: PersonId, to_unit: UnitCode, }
    from(m) Ok(Self { person: id(&m.person)?, to_unit: m.to_unit.parse()? });
    to(s) pb::TransferOffered { person: id_bytes(Some(s.person)), to_unit: s.to_unit.to_string() }
}

kind! {
    /// A higher tier's receipt, handed down.
    ReceiptForwarded { log: LogId, note: String, }
    from(m) {
        text("receipt", &m.note, limits::NOTE_BYTES_MAX)?;
        Ok(Self { log: m.log.parse()?, note: m.note })
    };
    to(s) pb::ReceiptForwarded { log: s.log.to_string(), note: s.note.clone() }
}

macro_rules! bodies {
    ($($kind:ident = $word:literal,)*) => {
        impl Body {
            /// The kind's word, as in SQL, metrics and listings.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => $word,)* Self::Unknown => "unknown" }
            }

            pub(super) fn from_pb(body: Option<pb::change::Body>) -> Result<Self, Refusal> {
                Ok(match body {
                    None => Self::Unknown,
                    $(Some(pb::change::Body::$kind(m)) => match $kind::from_pb(m) {
                        Err(refusal) if refusal.reason == Reason::KindUnknown => Self::Unknown,
                        read => Self::$kind(read?),
                    },)*
                })
            }

            pub(super) fn to_pb(&self) -> Option<pb::change::Body> {
                match self {
                    Self::Unknown => None,
                    $(Self::$kind(s) => Some(pb::change::Body::$kind(s.to_pb())),)*
                }
            }
        }
    };
}

bodies! {
    PersonEnrolled = "person_enrolled", Birth = "birth", Death = "death", Marriage = "marriage", Divorce = "divorce",
    MovedOut = "moved_out", MovedIn = "moved_in", ContraceptionChanged = "contraception_changed",
    PersonUpdated = "person_updated", Retraction = "retraction", PeriodClosed = "period_closed",
    Genesis = "genesis", NodeEnrolled = "node_enrolled", NodeRekeyed = "node_rekeyed", NodeRevoked = "node_revoked",
    UnitsPublished = "units_published", UnitsReorganised = "units_reorganised", PolicyPublished = "policy_published",
    FindingOpened = "finding_opened", FindingClosed = "finding_closed", TransferOffered = "transfer_offered",
    ReceiptForwarded = "receipt_forwarded",
}
