//! The figures that can be asked for, by the words of the import format's indicators, and what each is made from.

use std::fmt;

use danso_proto::change::{MaritalStatus, Method, Sex};

use crate::cube::{BirthDetail, Measure, ResidentDetail};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$fdoc])* $variant,)* }

        impl $name {
            /// All of them, in canonical order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its word in files, in questions and on screens.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What this word names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// What can be asked for. The order is that of the words.
    Figure {
        /// Persons who came from outside the unit asked about.
        Arrivals = "arrivals",
        /// Live births; sex is the newborn's.
        Births = "births",
        /// Births to mothers under 20.
        BirthsMotherUnder20 = "births_mother_under20",
        /// Third and later births.
        BirthsOrder3 = "births_order3",
        /// Married women 15-49 who use any method.
        ContraceptionAny = "contraception_any",
        /// Married women 15-49 who use a modern method.
        ContraceptionModern = "contraception_modern",
        /// Women who began a method. Contraception is counted on the woman's record only.
        ContraceptionStarts = "contraception_starts",
        /// Deaths of residents.
        Deaths = "deaths",
        /// Deaths before the first birthday.
        DeathsUnder1 = "deaths_under1",
        /// Persons who left for outside the unit asked about.
        Departures = "departures",
        /// Persons divorcing.
        Divorces = "divorces",
        /// Households in which somebody lives.
        Households = "households",
        /// Persons marrying.
        Marriages = "marriages",
        /// Married women 15-49.
        MarriedWomen15To49 = "married_women_15_49",
        /// Residents.
        Residents = "residents",
        /// Residents 15-64.
        Residents15To64 = "residents_15_64",
        /// Residents of 60 and over.
        Residents60Over = "residents_60_over",
        /// Residents of 65 and over.
        Residents65Over = "residents_65_over",
        /// Residents under 15.
        ResidentsUnder15 = "residents_under_15",
        /// Women 15-49.
        Women15To49 = "women_15_49",
    }
}

words! {
    /// What cells can be told apart by, besides unit and figure. The order is that of the words.
    Dimension {
        /// Single years of age, open at 100: at the event, or at the end of the month for stocks. Not together with age groups.
        Age = "age",
        /// Five-year groups of age: at the event, or at the end of the month for stocks.
        AgeGroup = "age_group",
        /// Solar month.
        Month = "month",
        /// `M`, `F`.
        Sex = "sex",
    }
}

/// What a figure needs to know of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) sex: Option<Sex>,
    /// Full years, where a birth month is known.
    pub(super) age: Option<u32>,
    pub(super) class: Class,
}

/// What matters of a row's detail; a bit set, so that details which count alike are summed before ages are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Class(u8);

impl Class {
    const MARRIED: u8 = 1;
    const ANY_METHOD: u8 = 2;
    const MODERN_METHOD: u8 = 4;

    pub(super) fn of_resident(detail: i64) -> Self {
        let ResidentDetail { marital, method } = ResidentDetail::unpack(detail);
        let bit = |set, bit| if set { bit } else { 0 };
        Self(
            bit(marital == Some(MaritalStatus::Married), Self::MARRIED)
                | bit(method.is_some_and(|method| method != Method::None), Self::ANY_METHOD)
                | bit(method.is_some_and(Method::is_modern), Self::MODERN_METHOD),
        )
    }

    fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

impl Figure {
    /// The measure of the cube that it is made from.
    pub fn measure(self) -> Measure {
        match self {
            Self::Residents
            | Self::ResidentsUnder15
            | Self::Residents15To64
            | Self::Residents60Over
            | Self::Residents65Over
            | Self::Women15To49
            | Self::MarriedWomen15To49
            | Self::ContraceptionAny
            | Self::ContraceptionModern => Measure::Residents,
            Self::Households => Measure::Households,
            Self::Births | Self::BirthsOrder3 | Self::BirthsMotherUnder20 => Measure::Births,
            Self::Deaths | Self::DeathsUnder1 => Measure::Deaths,
            Self::Marriages => Measure::Marriages,
            Self::Divorces => Measure::Divorces,
            Self::Arrivals => Measure::Arrivals,
            Self::Departures => Measure::Departures,
            Self::ContraceptionStarts => Measure::ContraceptionStarts,
        }
    }

    /// Whether its cells can be told apart by sex.
    pub fn has_sex(self) -> bool {
        self != Self::Households
    }

    /// Whether its cells can be told apart by age group: a newborn's age says nothing.
    pub fn has_age_group(self) -> bool {
        !matches!(self.measure(), Measure::Households | Measure::Births)
    }

    /// The one sex that it counts.
    pub(super) fn only_sex(self) -> Option<Sex> {
        let women = matches!(
            self,
            Self::Women15To49
                | Self::MarriedWomen15To49
                | Self::ContraceptionAny
                | Self::ContraceptionModern
                | Self::ContraceptionStarts
        );
        women.then_some(Sex::Female)
    }

    /// The ages that it counts, in full years: first, and one behind the last.
    pub(super) fn ages(self) -> Option<(u32, u32)> {
        match self {
            Self::ResidentsUnder15 => Some((0, 15)),
            Self::Residents15To64 => Some((15, 65)),
            Self::Residents60Over => Some((60, u32::MAX)),
            Self::Residents65Over => Some((65, u32::MAX)),
            Self::Women15To49 | Self::MarriedWomen15To49 | Self::ContraceptionAny | Self::ContraceptionModern => {
                Some((15, 50))
            }
            Self::DeathsUnder1 => Some((0, 1)),
            _ => None,
        }
    }

    /// Whether it looks at a row's detail.
    pub(super) fn needs_detail(self) -> bool {
        matches!(
            self,
            Self::MarriedWomen15To49
                | Self::ContraceptionAny
                | Self::ContraceptionModern
                | Self::BirthsOrder3
                | Self::BirthsMotherUnder20
        )
    }

    /// Whether it counts residents or events of this kind.
    pub(super) fn counts(self, traits: Traits) -> bool {
        let class = match self {
            Self::MarriedWomen15To49 => Class::MARRIED,
            Self::ContraceptionAny => Class::MARRIED | Class::ANY_METHOD,
            Self::ContraceptionModern => Class::MARRIED | Class::MODERN_METHOD,
            _ => 0,
        };
        self.only_sex().is_none_or(|sex| traits.sex == Some(sex))
            && self.ages().is_none_or(|(first, end)| traits.age.is_some_and(|age| (first..end).contains(&age)))
            && traits.class.has(class)
    }

    /// Whether it counts a birth with this detail; `mother_age` gives the mother's age in full years.
    pub(super) fn counts_birth(self, detail: i64, mother_age: impl Fn(crate::calendar::Month) -> Option<u32>) -> bool {
        let BirthDetail { order, mother } = BirthDetail::unpack(detail);
        match self {
            Self::BirthsOrder3 => order >= 3,
            Self::BirthsMotherUnder20 => mother.and_then(mother_age).is_some_and(|age| age < 20),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_words() {
        assert!(Figure::ALL.windows(2).all(|pair| pair[0] < pair[1] && pair[0].word() < pair[1].word()));
        assert!(Dimension::ALL.windows(2).all(|pair| pair[0] < pair[1] && pair[0].word() < pair[1].word()));
        assert!(Figure::ALL.iter().all(|figure| Figure::from_word(figure.word()) == Some(*figure)));
    }
}
