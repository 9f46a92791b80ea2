//! The closed list of rules: the finding that each makes, and its numbers. Knows nothing of how a rule is applied.

use std::fmt;

use danso_proto::change::Severity;

use crate::finding::FindingKind;

/// A number by which a rule is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in policies.
    pub name: &'static str,
    /// What it is where no policy says otherwise.
    pub default: u32,
    /// The greatest that a policy may set.
    pub max: u32,
}

/// Parameters of a rule at most.
pub(super) const PARAMETERS_MAX: usize = 2;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident $(, $parameter:ident: $default:literal ..= $max:literal)*;)*) => {
        /// A rule. Its code is that of the finding it makes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Rule { $($(#[$doc])* $name,)* }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// The finding that it makes.
            pub fn kind(self) -> FindingKind {
                match self { $(Rule::$name => FindingKind::$name,)* }
            }

            /// The rule that makes findings of this kind; `None` for those of the register.
            pub fn of_kind(kind: FindingKind) -> Option<Rule> {
                match kind { $(FindingKind::$name => Some(Rule::$name),)* _ => None }
            }

            /// The numbers that tune it.
            pub fn parameters(self) -> &'static [Parameter] {
                match self {
                    $(Rule::$name => {
                        const ALL: &[Parameter] =
                            &[$(Parameter { name: stringify!($parameter), default: $default, max: $max },)*];
                        const { assert!(ALL.len() <= PARAMETERS_MAX) };
                        ALL
                    })*
                }
            }
        }
    };
}

rules! {
    // --- of one record (`alone`)
    /// A mother is younger than `years` at the birth.
    MotherYoung, years: 12 ..= 30;
    /// A mother is older than `years` at the birth.
    MotherOld, years: 55 ..= 99;
    /// A child of this order needs a mother who had `months` for each before it, from the age of `years` on.
    OrderHigh, years: 12 ..= 30, months: 10 ..= 36;
    /// Somebody marries who is married.
    MarriedAlready;
    /// Somebody divorces who is not married.
    DivorceUnmarried;
    /// Somebody marries below the age that the law asks for (Law on Marriage and Family 2014, article 8).
    MarriageYoung, women: 18 ..= 30, men: 20 ..= 30;
    /// Contraception stands on a man's record: it is counted on the woman's.
    ContraceptionOfMan;
    /// Contraception starts at an age at which nobody conceives.
    ContraceptionAge, youngest: 12 ..= 30, oldest: 55 ..= 99;
    /// A sterilised woman starts another method.
    ContraceptionAfterSterilisation;
    /// The personal number says the other sex.
    NumberSex;
    /// The personal number says another year or century of birth.
    NumberYear;
    /// The personal number has neither 12 nor 9 digits.
    NumberForm;
    /// The insurance number has none of its three forms.
    InsuranceForm;
    /// The insurance number is a personal number, and not this person's.
    InsuranceOther;
    /// Two statements of one birth differ as the lunar and the solar date of one day do.
    LunarDate;
    /// A newborn has no name after `days`.
    Unnamed, days: 60 ..= 3_650;
    // --- of a mother and her children (`family`)
    /// The mother is recorded as a man.
    MotherMale;
    /// The mother had died before the birth.
    MotherDead;
    /// The birth says another month of the mother's birth than her own record.
    MotherMonth;
    /// Two deliveries of one mother within less than `months`; births of one delivery are at most `days` apart.
    BirthsClose, months: 7 ..= 24, days: 3 ..= 90;
    /// One delivery is told twice: same mother, sex, order, and no other day.
    BirthTwice;
    /// A later child has no higher birth order, or one that the time between does not allow.
    OrderWrong, months: 7 ..= 24;
    /// A method that is not begun in pregnancy began within the `months` before a birth.
    ContraceptionPregnant, months: 5 ..= 9;
    // --- of a place (`other_unit`, `hamlet`)
    /// A code means another unit in the list that was in force on the day of the event.
    UnitOfOtherList;
    /// A hamlet that the commune does not have.
    HamletUnknown;
}

impl Rule {
    /// The stable code: that of its finding.
    pub fn code(self) -> &'static str {
        self.kind().code()
    }

    /// The rule with this code, if this version knows it.
    pub fn from_code(code: &str) -> Option<Rule> {
        Rule::of_kind(FindingKind::from_code(code)?)
    }

    /// How bad it is that it is broken.
    pub fn severity(self) -> Severity {
        self.kind().severity()
    }

    /// The rules of a mother and her children.
    pub const FAMILY: [Rule; 7] = [
        Rule::MotherMale,
        Rule::MotherDead,
        Rule::MotherMonth,
        Rule::BirthsClose,
        Rule::BirthTwice,
        Rule::OrderWrong,
        Rule::ContraceptionPregnant,
    ];
}

/// Rules that the register keeps by not counting what breaks them: each with its finding.
pub const COVERED: [(&str, FindingKind); 6] = [
    ("death before birth, and every event before birth", FindingKind::EventBeforeBirth),
    ("second death, moves and events of the departed and the dead", FindingKind::NotResident),
    ("second arrival of one who lives here", FindingKind::AlreadyResident),
    ("event after it was reported", FindingKind::EventAfterReport),
    ("date that does not exist", FindingKind::DateInvalid),
    ("correction of nothing", FindingKind::CorrectsNothing),
];

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
