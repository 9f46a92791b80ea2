//! Ages. They come from the month of birth alone, so that every tier computes the same: the birthday counts as passed in its month.

use std::fmt;

use crate::calendar::Month;

/// A group of ages: five years, open at 85, or a single year, open at 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgeGroup(u8);

/// Groups of five years; single years come behind them.
const FIVES: u8 = 18;
/// Single years.
const YEARS: u8 = 101;

impl AgeGroup {
    /// The five years that an age in full years lies in.
    pub fn of(years: u32) -> Self {
        // At most 17.
        Self((years / 5).min(u32::from(FIVES) - 1) as u8)
    }

    /// The single year of an age in full years.
    pub fn year(years: u32) -> Self {
        // At most 118.
        Self(FIVES + years.min(u32::from(YEARS) - 1) as u8)
    }

    /// All groups of five years, from the youngest.
    pub fn fives() -> impl ExactSizeIterator<Item = Self> {
        (0..FIVES).map(Self)
    }

    /// All single years, from the youngest.
    pub fn years() -> impl ExactSizeIterator<Item = Self> {
        (FIVES..FIVES + YEARS).map(Self)
    }

    /// The group that `0-4` to `80-84` or `85+` names, the year that `0` to `99` or `100+` does.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::fives().chain(Self::years()).find(|group| group.to_string() == word)
    }

    /// Whether it is a single year.
    pub(super) fn is_year(self) -> bool {
        self.0 >= FIVES
    }
}

impl fmt::Display for AgeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIVES_LAST: u8 = FIVES - 1;
        const YEARS_LAST: u8 = FIVES + YEARS - 1;
        match self.0 {
            group @ FIVES_LAST => write!(f, "{}+", group * 5),
            group if group < FIVES => write!(f, "{}-{}", group * 5, group * 5 + 4),
            year @ YEARS_LAST => write!(f, "{}+", year - FIVES),
            year => write!(f, "{}", year - FIVES),
        }
    }
}

/// How cells of a figure are told apart by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgeScale {
    /// Not at all.
    Whole,
    /// By [`AgeGroup::fives`].
    Fives,
    /// By [`AgeGroup::years`].
    Years,
}

impl AgeScale {
    /// How many cells there are for one of all else.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Whole => 1,
            Self::Fives => FIVES.into(),
            Self::Years => YEARS.into(),
        }
    }

    /// The place of an age among them; `None` where it is needed and unknown.
    pub(super) fn place(self, age: Option<u32>) -> Option<usize> {
        match self {
            Self::Whole => Some(0),
            Self::Fives => age.map(|age| AgeGroup::of(age).0.into()),
            Self::Years => age.map(|age| (AgeGroup::year(age).0 - FIVES).into()),
        }
    }

    /// What stands at each place.
    pub(super) fn groups(self) -> impl Iterator<Item = Option<AgeGroup>> {
        let first = if self == Self::Years { FIVES } else { 0 };
        // At most 101.
        (0..self.len() as u8).map(move |place| (self != Self::Whole).then_some(AgeGroup(first + place)))
    }
}

/// Full years from `birth` to `month`; `None` before birth.
pub(super) fn full_years(birth: Month, month: Month) -> Option<u32> {
    u32::try_from((month - birth).div_euclid(12)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_words_of_the_age_pyramid() {
        let words: Vec<String> = AgeGroup::fives().map(|group| group.to_string()).collect();
        assert_eq!(words.first().map(String::as_str), Some("0-4"));
        assert_eq!(words[16..], ["80-84", "85+"]);
        let years: Vec<String> = AgeGroup::years().map(|year| year.to_string()).collect();
        assert_eq!((years.len(), &*years[0], &*years[7], &*years[99], &*years[100]), (101, "0", "7", "99", "100+"));
        assert!(AgeGroup::fives().chain(AgeGroup::years()).all(|of| AgeGroup::from_word(&of.to_string()) == Some(of)));
        for (years, word) in [(0, "0-4"), (4, "0-4"), (5, "5-9"), (84, "80-84"), (85, "85+"), (u32::MAX, "85+")] {
            assert_eq!(AgeGroup::of(years).to_string(), word);
        }
        for (years, word) in [(0, "0"), (85, "85"), (99, "99"), (100, "100+"), (u32::MAX, "100+")] {
            assert_eq!(AgeGroup::year(years).to_string(), word);
        }
    }

    #[test]
    fn a_birthday_has_passed_in_its_month() {
        let month = |ymm| Month::from_ymm(ymm).expect("a month");
        for (at, years) in [(202_102, None), (202_103, Some(0)), (202_202, Some(0)), (202_203, Some(1))] {
            assert_eq!(full_years(month(202_103), month(at)), years, "{at}");
        }
    }
}
