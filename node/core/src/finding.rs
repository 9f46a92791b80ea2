//! Findings: what is wrong or doubtful about a record, as a closed catalogue with stable codes. Knows neither how one is found, nor where it is
//! kept, nor what people are told of it.

use danso_proto::change::{Seen, SeenValue, Severity, Verdict};
use danso_proto::ids::{ChangeId, PersonId, UnitCode};
use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $severity:ident;)*) => {
        /// What is wrong or doubtful. The codes are part of the protocol: they are added, never changed. Each has its texts in `messages`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingKind { $($(#[$doc])* $name,)* }

        impl FindingKind {
            /// The catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// How bad it is, where nothing says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// The kind with this code, if this version knows it.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// Nothing says when the person came to live here.
    PersonUnknown = "person_unknown", Error;
    /// The person was not a resident then.
    NotResident = "not_resident", Error;
    /// The person was a resident already.
    AlreadyResident = "already_resident", Error;
    /// The change that is corrected is not about this person and unit.
    CorrectsNothing = "corrects_nothing", Error;
    /// A date does not exist.
    DateInvalid = "date_invalid", Error;
    /// The event is later than the month in which it became known.
    EventAfterReport = "event_after_report", Error;
    /// The event is before the person's birth.
    EventBeforeBirth = "event_before_birth", Error;
    /// A kind of change that this version does not know.
    KindUnknown = "kind_unknown", Error;
    /// The month of the event is not known.
    MonthUnknown = "month_unknown", Warning;
    // --- rules of consistency (`rules`): the record counts
    /// A mother is younger than `years` at the birth.
    MotherYoung = "mother_young", Warning;
    /// A mother is older than `years` at the birth.
    MotherOld = "mother_old", Warning;
    /// A child of this order needs a mother who had `months` for each before it, from the age of `years` on.
    OrderHigh = "birth_order_high", Warning;
    /// Somebody marries who is married.
    MarriedAlready = "married_already", Warning;
    /// Somebody divorces who is not married.
    DivorceUnmarried = "divorce_unmarried", Warning;
    /// Somebody marries below the age that the law asks for (Law on Marriage and Family 2014, article 8).
    MarriageYoung = "marriage_young", Notice;
    /// Contraception stands on a man's record: it is counted on the woman's.
    ContraceptionOfMan = "contraception_of_man", Warning;
    /// Contraception starts at an age at which nobody conceives.
    ContraceptionAge = "contraception_age", Warning;
    /// A sterilised woman starts another method.
    ContraceptionAfterSterilisation = "contraception_after_sterilisation", Warning;
    /// The personal number says the other sex.
    NumberSex = "number_sex", Warning;
    /// The personal number says another year or century of birth.
    NumberYear = "number_birth_year", Warning;
    /// The personal number has neither 12 nor 9 digits.
    NumberForm = "number_form", Warning;
    /// The insurance number has none of its three forms.
    InsuranceForm = "insurance_form", Warning;
    /// The insurance number is a personal number, and not this person's.
    InsuranceOther = "insurance_other_number", Warning;
    /// Two statements of one birth differ as the lunar and the solar date of one day do.
    LunarDate = "lunar_date", Warning;
    /// A newborn has no name after `days`.
    Unnamed = "newborn_unnamed", Notice;
    /// The mother is recorded as a man.
    MotherMale = "mother_male", Warning;
    /// The mother had died before the birth.
    MotherDead = "mother_dead", Warning;
    /// The birth says another month of the mother's birth than her own record.
    MotherMonth = "mother_birth_month_differs", Notice;
    /// Two deliveries of one mother within less than `months`; births of one delivery are at most `days` apart.
    BirthsClose = "births_close", Warning;
    /// One delivery is told twice: same mother, sex, order, and no other day. Twins of one sex look the same.
    BirthTwice = "birth_twice", Notice;
    /// A later child has no higher birth order, or one that the time between does not allow.
    OrderWrong = "birth_order_wrong", Warning;
    /// A method that is not begun in pregnancy began within the `months` before a birth.
    ContraceptionPregnant = "contraception_pregnant", Warning;
    /// A code means another unit in the list that was in force on the day of the event.
    UnitOfOtherList = "unit_of_other_list", Warning;
    /// A hamlet that the commune does not have.
    HamletUnknown = "hamlet_unknown", Warning;
}

impl FindingKind {
    /// Who tells the author. Most kinds are a function of what the author wrote, and every node above comes to the same: the author's parent tells,
    /// and nobody else. Where the other side is in another branch only a node above both sees it, and tells whoever wrote below it.
    pub fn is_told_from_afar(self) -> bool {
        // None of those above.
        false
    }
}

/// A finding about a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// The person whose facts make it: it is made again whenever something is said about that person.
    pub person: PersonId,
    /// The change.
    pub change: ChangeId,
    /// The unit that the change is about.
    pub unit: UnitCode,
    /// What.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// Another change that it is about.
    pub other: Option<ChangeId>,
    /// What was seen. Other persons that it is about stand here, too.
    pub seen: Sights,
}

/// What a finding saw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Sights {
    /// On the signed side: told to the author, too.
    pub signed: Vec<Seen>,
    /// In identity parts: stays where the parts are.
    pub of_parts: Vec<Seen>,
}

/// Stored bytes that are no sights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what a finding saw cannot be read: rebuild the register")]
pub struct SightsError;

/// Version of the stored form.
const VERSION: u8 = 1;

impl Sights {
    /// Sights of the signed side.
    pub fn signed(seen: impl IntoIterator<Item = (&'static str, SeenValue)>) -> Self {
        let seen = seen.into_iter().map(|(name, value)| Seen { name: name.into(), value });
        Self { signed: seen.collect(), of_parts: Vec::new() }
    }

    /// All of them, those of the signed side first.
    pub fn iter(&self) -> impl Iterator<Item = &Seen> {
        self.signed.iter().chain(&self.of_parts)
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.signed.is_empty() && self.of_parts.is_empty()
    }

    /// The stored form: a version byte, then postcard; nothing for nothing.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        postcard::to_stdvec(&(VERSION, self)).expect("a growing buffer takes every list whose length is known")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When another version wrote it or it is broken: findings are derived, and are then made again.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SightsError> {
        match bytes.split_first() {
            None => Ok(Self::default()),
            Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
                Ok((sights, [])) => Ok(sights),
                _ => Err(SightsError),
            },
            Some(_) => Err(SightsError),
        }
    }
}

/// An answer to a finding, from the records of whoever may write about the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingAnswer {
    /// Id of the change that says so.
    pub id: ChangeId,
    /// The unit in whose name it is said. It counts for records of this unit alone.
    pub unit: UnitCode,
    /// The record.
    pub change: ChangeId,
    /// Code of the finding, which this version may not know.
    pub code: String,
    /// What is said.
    pub verdict: Verdict,
}

/// What somebody wrote in an answer, as it is kept: without blanks around it, NFC. May be empty.
///
/// # Errors
/// `field_too_long`.
pub fn written(text: &str) -> Result<String, Refusal> {
    let text: String = text.trim().nfc().collect();
    if text.len() > limits::NOTE_MAX {
        return Err(Refusal::new(Reason::FieldTooLong, format!("{} bytes; at most {}", text.len(), limits::NOTE_MAX)));
    }
    Ok(text)
}

/// Names of what is seen. They are part of the protocol; each has its words in `messages`.
pub mod name {
    /// When it happened by the record.
    pub const EVENT_DATE: &str = "event_date";
    /// Month in which the record became known.
    pub const RECORDED: &str = "recorded";
    /// The person's month of birth.
    pub const BIRTH_MONTH: &str = "birth_month";
    /// Month since which the person lives where it lives.
    pub const RESIDENT_SINCE: &str = "resident_since";
    /// Month in which the person left, or died.
    pub const LEFT: &str = "left";
    /// Month in which the event is counted.
    pub const COUNTED_IN: &str = "counted_in";
    /// Unit in which the person lived then.
    pub const LIVES_IN: &str = "lives_in";

    /// Full years of age.
    pub const AGE: &str = "age";
    /// Months between two events.
    pub const MONTHS_BETWEEN: &str = "months_between";
    /// What a rule expects, at least or at most.
    pub const BOUND: &str = "bound";
    /// Birth order by the record.
    pub const BIRTH_ORDER: &str = "birth_order";
    /// Birth order of the birth before.
    pub const BIRTH_ORDER_BEFORE: &str = "birth_order_before";
    /// Year of birth by the personal number.
    pub const YEAR_BY_NUMBER: &str = "year_by_number";
    /// Year of birth as recorded.
    pub const YEAR_RECORDED: &str = "year_recorded";
    /// A date of birth read as a lunar date.
    pub const LUNAR_DATE: &str = "lunar_date";
    /// The solar day of a lunar date.
    pub const SOLAR_DATE: &str = "solar_date";

    /// All names.
    pub const ALL: &[&str] = &[
        EVENT_DATE,
        RECORDED,
        BIRTH_MONTH,
        RESIDENT_SINCE,
        LEFT,
        COUNTED_IN,
        LIVES_IN,
        AGE,
        MONTHS_BETWEEN,
        BOUND,
        BIRTH_ORDER,
        BIRTH_ORDER_BEFORE,
        YEAR_BY_NUMBER,
        YEAR_RECORDED,
        LUNAR_DATE,
        SOLAR_DATE,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_are_words() {
        for kind in FindingKind::ALL {
            assert_eq!(FindingKind::from_code(kind.code()), Some(*kind));
            assert!(kind.code().bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{}", kind.code());
        }
        for severity in Severity::ALL {
            assert_eq!(Severity::from_word(severity.as_str()), Some(severity));
        }
    }

    #[test]
    fn sights_have_one_stored_form_and_nothing_is_nothing() {
        let id = ChangeId::first(7, [7; 6]);
        let mut sights = Sights::signed([
            (name::EVENT_DATE, SeenValue::Date(20_210_200)),
            (name::LIVES_IN, SeenValue::Word("17065".into())),
        ]);
        sights.of_parts.push(Seen { name: "of_a_part".into(), value: SeenValue::Lunar(20_210_115, true) });
        sights.of_parts.push(Seen { name: "other".into(), value: SeenValue::Person(id) });
        let bytes = sights.to_bytes();
        assert_eq!(Sights::from_bytes(&bytes), Ok(sights.clone()));
        assert_eq!(sights.iter().count(), 4);
        assert_eq!((Sights::default().to_bytes(), Sights::from_bytes(&[])), (Vec::new(), Ok(Sights::default())));
        assert_eq!(Sights::from_bytes(&bytes[..bytes.len() - 1]), Err(SightsError));
        assert_eq!(Sights::from_bytes(&[9, 0, 0]), Err(SightsError));
    }

    #[test]
    fn what_was_written_is_normal_and_bounded() {
        assert_eq!(written("  vo\u{302} ly\u{301} \n"), Ok("vô lý".into()));
        assert_eq!(
            written(&"x".repeat(limits::NOTE_MAX + 1)).map_err(|refusal| refusal.reason),
            Err(Reason::FieldTooLong)
        );
    }
}
