//! The closed list of rules: code, weight and numbers of each. Knows nothing of how a rule is applied.

use std::fmt;

use danso_proto::refusal::Reason;

/// How much a broken rule weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Hardly possible: somebody should look at it.
    Warning,
    /// Possible, and rare.
    Notice,
}

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
    ($($(#[$doc:meta])* $name:ident = $code:literal, $weight:ident $(, $parameter:ident: $default:literal ..= $max:literal)*;)*) => {
        /// A rule. The codes are part of the protocol: they are added, never changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Rule { $($(#[$doc])* $name,)* }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $(Rule::$name => $code,)* }
            }

            /// The rule with this code, if this version knows it.
            pub fn from_code(code: &str) -> Option<Rule> {
                match code { $($code => Some(Rule::$name),)* _ => None }
            }

            /// How much it weighs when it is broken.
            pub fn weight(self) -> Weight {
                match self { $(Rule::$name => Weight::$weight,)* }
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
    MotherYoung = "mother_young", Warning, years: 12 ..= 30;
    /// A mother is older than `years` at the birth.
    MotherOld = "mother_old", Warning, years: 55 ..= 99;
    /// A child of this order needs a mother who had `months` for each before it, from the age of `years` on.
    OrderHigh = "birth_order_high", Warning, years: 12 ..= 30, months: 10 ..= 36;
    /// Somebody marries who is married.
    MarriedAlready = "married_already", Warning;
    /// Somebody divorces who is not married.
    DivorceUnmarried = "divorce_unmarried", Warning;
    /// Somebody marries below the age that the law asks for (Law on Marriage and Family 2014, article 8).
    MarriageYoung = "marriage_young", Notice, women: 18 ..= 30, men: 20 ..= 30;
    /// Contraception stands on a man's record: it is counted on the woman's.
    ContraceptionOfMan = "contraception_of_man", Warning;
    /// Contraception starts at an age at which nobody conceives.
    ContraceptionAge = "contraception_age", Warning, youngest: 12 ..= 30, oldest: 55 ..= 99;
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
    Unnamed = "newborn_unnamed", Notice, days: 60 ..= 3_650;
    // --- of a mother and her children (`family`)
    /// The mother is recorded as a man.
    MotherMale = "mother_male", Warning;
    /// The mother had died before the birth.
    MotherDead = "mother_dead", Warning;
    /// The birth says another month of the mother's birth than her own record.
    MotherMonth = "mother_birth_month_differs", Notice;
    /// Two deliveries of one mother within less than `months`; births of one delivery are at most `days` apart.
    BirthsClose = "births_close", Warning, months: 7 ..= 24, days: 3 ..= 90;
    /// One delivery is told twice: same mother, sex, order, and no other day.
    BirthTwice = "birth_twice", Warning;
    /// A later child has no higher birth order, or one that the time between does not allow.
    OrderWrong = "birth_order_wrong", Warning, months: 7 ..= 24;
    /// A method that is not begun in pregnancy began within the `months` before a birth.
    ContraceptionPregnant = "contraception_pregnant", Warning, months: 5 ..= 9;
    // --- of a place (`other_unit`, `hamlet`)
    /// A code means another unit in the list that was in force on the day of the event.
    UnitOfOtherList = "unit_of_other_list", Warning;
    /// A hamlet that the commune does not have.
    HamletUnknown = "hamlet_unknown", Warning;
}

impl Rule {
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

/// Rules that the register keeps by not counting what breaks them: each with the reason of its finding.
pub const COVERED: [(&str, Reason); 6] = [
    ("death before birth, and every event before birth", Reason::EventBeforeBirth),
    ("second death, moves and events of the departed and the dead", Reason::NotResident),
    ("second arrival of one who lives here", Reason::AlreadyResident),
    ("event after it was reported", Reason::EventAfterReport),
    ("date that does not exist", Reason::DateInvalid),
    ("correction of nothing", Reason::CorrectsNothing),
];

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
