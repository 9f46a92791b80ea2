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
        #[expect(missing_docs, reason = "the variants are the words of import-format.md")]
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

            pub(super) fn from_code(code: i32) -> Result<Option<Self>, Refusal> {
                match pb::$pb::try_from(code) {
                    Ok(pb::$pb::Unspecified) => Ok(None),
                    $(Ok(pb::$pb::$variant) => Ok(Some(Self::$variant)),)*
                    Err(_) => Err(newer(concat!(stringify!($name)), code)),
                }
            }

            pub(super) fn code(self) -> i32 {
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
        !matches!(self, Self::None | Self::Calendar | Self::Withdrawal | Self::LactationalAmenorrhoea | Self::Other)
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

    pub(super) fn from_code(code: i32) -> Result<Option<Self>, Refusal> {
        match pb::Sex::try_from(code) {
            Ok(pb::Sex::Unspecified) => Ok(None),
            Ok(pb::Sex::Male) => Ok(Some(Self::Male)),
            Ok(pb::Sex::Female) => Ok(Some(Self::Female)),
            Err(_) => Err(newer("sex", code)),
        }
    }

    pub(super) fn required(code: i32) -> Result<Self, Refusal> {
        Self::from_code(code)?.ok_or_else(|| malformed("no sex"))
    }

    pub(super) fn code(self) -> i32 {
        match self {
            Self::Male => pb::Sex::Male as i32,
            Self::Female => pb::Sex::Female as i32,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each kind is described at its struct")]
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
    FindingAnswered(FindingAnswered),
    Genesis(Genesis),
    NodeEnrolled(NodeEnrolled),
    NodeRekeyed(NodeRekeyed),
    NodeRevoked(NodeRevoked),
    UnitsPublished(UnitsPublished),
    UnitsReorganised(UnitsReorganised),
    PolicyPublished(PolicyPublished),
    ForkDecided(ForkDecided),
    RulesPublished(RulesPublished),
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
        #[expect(missing_docs, reason = "the fields are described in change.proto")]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl $name {
            pub(super) fn from_pb($m: pb::$name) -> Result<Self, Refusal> { $from }
            pub(super) fn to_pb(&self) -> pb::$name { let $s = self; $to }
        }
    };
}

mod directory;
mod finding;
mod mail;
mod records;

pub use directory::*;
pub use finding::*;
pub use mail::*;
pub use records::*;

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
    FindingAnswered = "finding_answered",
    Genesis = "genesis", NodeEnrolled = "node_enrolled", NodeRekeyed = "node_rekeyed", NodeRevoked = "node_revoked",
    UnitsPublished = "units_published", UnitsReorganised = "units_reorganised", PolicyPublished = "policy_published",
    ForkDecided = "fork_decided", RulesPublished = "rules_published",
    FindingOpened = "finding_opened", FindingClosed = "finding_closed", TransferOffered = "transfer_offered",
    ReceiptForwarded = "receipt_forwarded",
}
